"""What a monitoring system is told after a sweep: a Prometheus text file, and a dead man's ping."""

from __future__ import annotations

from datetime import datetime

from shipfwd.files import unwritable
from shipfwd.store import Store
from shipfwd.vault import Vault


def write_textfile(path: str, store: Store, vault: Vault, now: datetime, exit_code: int) -> None:
    """Metrics for node_exporter's textfile collector, replaced in one step. Raises ConfigError when it cannot."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    shipments = Gauge("shipfwd_shipments", "Shipments by state", ["integration", "state"], registry=registry)
    for integration, state, count in store.counts_by_state():
        shipments.labels(integration, state).set(count)
    last = "shipfwd_last_sweep"
    Gauge(f"{last}_timestamp_seconds", "When the last sweep ended", registry=registry).set(now.timestamp())
    Gauge(f"{last}_exit_code", "Its exit code", registry=registry).set(exit_code)
    success = Gauge(
        "shipfwd_last_success_timestamp_seconds", "When a number last arrived", ["integration"], registry=registry
    )
    login = Gauge("shipfwd_login_expires_timestamp_seconds", "When a login ends", ["integration"], registry=registry)
    for one in store.integrations():
        if one.last_success_at:
            success.labels(one.name).set(one.last_success_at.timestamp())
        if ends := vault.login_expires_at(one.id):
            login.labels(one.name).set(ends.timestamp())
    try:
        write_to_textfile(path, registry)
    except OSError as error:
        raise unwritable(path, error) from None
