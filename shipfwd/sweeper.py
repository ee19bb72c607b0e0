"""What a run is made of: which integrations get what, all at once, and what is told at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING, Any

from shipfwd import schedule
from shipfwd.assembly import Assembly
from shipfwd.errors import Interrupted, ShipfwdError, TryLater, UsageError
from shipfwd.files import as_many, ran_out
from shipfwd.models import Integration, stamp
from shipfwd.runs import Run
from shipfwd.settings import named

if TYPE_CHECKING:  # requests is imported only once there is something to send
    from shipfwd.settings import Config
    from shipfwd.verdicts import Desk

LOGIN_WARNING = timedelta(days=14)
RENEW_AFTER = timedelta(days=30)
PART = 1000  # of the shipments that a person chose, so many are held at once


def forward_all(run: Run, assembly: Assembly, integrations: Sequence[Integration]) -> None:
    """Everything that is due now, whatever the slot."""
    store, window = run.store, assembly.config.window
    if run.dry:
        _rehearse(run, assembly, integrations, {one.id for one in integrations})
        return
    for integration in integrations:
        store.full_pass(integration, window)
        run.tally.expired += store.expire(integration, window)
        _given_up(run, assembly, integration)

    def one(desk: Desk) -> None:
        _work_off(run, desk)

    each(run, assembly, [integration for integration in integrations if store.has_work(integration)], one)


def sweep(run: Run, assembly: Assembly, integrations: Sequence[Integration], if_due: bool) -> None:
    """A full pass where its slot has come (or now, without `if_due`); otherwise what needs no slot. Then prove."""
    store, config = run.store, assembly.config
    slots = {one.id: None if not if_due else _slot(run, assembly, one) for one in integrations}
    full = {one.id for one in integrations if not if_due or slots[one.id] is not None}
    if run.dry:
        _rehearse(run, assembly, integrations, full)
        return
    for integration in integrations:
        if integration.id in full:
            store.full_pass(integration, config.window, slots[integration.id])
        else:
            store.mark_created(integration, config.window)
        run.tally.expired += store.expire(integration, config.window)
        _given_up(run, assembly, integration)

    def one(desk: Desk) -> None:
        from shipfwd.prover import prove

        if _work_off(run, desk) and not run.stopping:
            prove(run, desk)

    each(run, assembly, [integration for integration in integrations if store.has_work(integration)], one)
    try:
        _renew_logins(run, assembly, integrations)
    except ShipfwdError as error:
        _note(run, str(error), error)


def _work_off(run: Run, desk: Desk) -> bool:
    """Forward what is due; False when the integration rests for this run."""
    from shipfwd.forwarder import Forwarder
    from shipfwd.prover import examine_blocked

    if desk.integration.enabled:
        examine_blocked(run, desk)
    forwarder = Forwarder(run, desk)
    forwarder.work()
    return not forwarder.resting


def _rehearse(run: Run, assembly: Assembly, integrations: Sequence[Integration], full: set[int]) -> None:
    """A dry run: all but the writes. Nothing is marked as due, so that nobody waits for it, however long it reads."""
    window = assembly.config.window
    foresights = {one.id: run.store.foresight(one, window, one.id in full) for one in integrations}

    def one(desk: Desk) -> None:
        from shipfwd.forwarder import Forwarder

        Forwarder(run, desk, foresight=foresights[desk.integration.id]).work()

    each(run, assembly, [integration for integration in integrations if foresights[integration.id].any], one)


def _slot(run: Run, assembly: Assembly, integration: Integration) -> datetime | None:
    config = assembly.config
    added = integration.created_at or run.clock()
    return schedule.slot_due(integration.last_pass_at, added, run.clock(), config.times, config.zone)


def forward_added(run: Run, assembly: Assembly, integrations: Sequence[Integration], only_run: int) -> None:
    """What this run added, where the trigger is the creation."""
    window = assembly.config.window
    busy = []
    for integration in integrations:
        if integration.trigger_key or not integration.enabled:
            continue
        due = run.store.mark_created(integration, window, only_run)
        run.store.expire(integration, window, only_run)
        if due:
            busy.append(integration)

    def one(desk: Desk) -> None:
        from shipfwd.forwarder import Forwarder

        Forwarder(run, desk, only_run=only_run).work()

    each(run, assembly, busy, one)


def forward_chosen(run: Run, assembly: Assembly, ids: Sequence[int], again: bool = False) -> dict[int, str]:
    """What a person chose, claimed in parts; why others were left alone: {id: reason}.

    again   what is forwarded already is looked at too.
    """
    chosen, left = run.store.owners(ids), dict[int, str]()
    integrations = [one for one in run.store.integrations() if one.id in chosen]
    if len(integrations) < len(chosen):
        run.tally.codes.add(3)
        run.tally.told.append("the integration of what you named was removed; nothing of it can be sent")

    def one(desk: Desk) -> None:
        from shipfwd.forwarder import Forwarder

        here, resting = desk.integration.id, ""
        for start in range(0, len(chosen[here]), PART):
            if run.stopping:
                return
            part = chosen[here][start : start + PART]
            run.ahead[here] = len(chosen[here]) - start - len(part)
            groups, others = run.store.claim_by_hand(run.id, part, again, peek=run.dry)
            left.update(others)
            forwarder = Forwarder(run, desk, chosen=groups.get(here, []))
            forwarder.resting = resting  # then what was chosen only waits for the mended integration
            forwarder.work()
            resting = forwarder.resting

    each(run, assembly, integrations, one)
    return left


def _raise_file_limit() -> None:
    """As many open files as this process may have: each integration has connections of its own."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def each(run: Run, assembly: Assembly, integrations: Iterable[Integration], work: Callable[[Desk], None]) -> None:
    """Work at all integrations at once; one's trouble never touches another."""

    def safely(integration: Integration) -> None:
        try:
            work(assembly.desk(integration))
        except Interrupted:
            pass
        except ShipfwdError as error:
            _note(run, f"{integration.name}: {named(str(error), integration.name)}", error)
        except Exception as error:  # a bug; the other integrations go on
            import traceback

            if known := ran_out(error):
                run.stop(known.exit_code)
                run.tally.told.append(f"{integration.name}: {known}")
                return
            run.tally.codes.add(70)
            run.tally.told.append(assembly.redactor.redact("".join(traceback.format_exception(error))))

    every = list(integrations)
    if len(every) == 1:
        safely(every[0])
        return
    _raise_file_limit()
    threads = [threading.Thread(target=safely, args=(one,), name=one.name, daemon=True) for one in every]
    started = as_many(threads)
    for one in every[len(started) :]:
        safely(one)
    for thread in started:
        thread.join()


def _note(run: Run, sentence: str, error: ShipfwdError) -> None:
    """An error that ends an integration's part of the run, or less."""
    # Within a run nobody gave arguments: what sounds like one (a platform or a setting that is gone) is the setup's.
    run.tally.codes.add(3 if isinstance(error, UsageError) else error.exit_code)
    (run.tally.talk if isinstance(error, TryLater) else run.tally.told).append(sentence)


def _given_up(run: Run, assembly: Assembly, integration: Integration) -> None:
    wall = partial(schedule.local, zone=assembly.config.zone)
    for one in run.store.give_up(integration.id, wall):
        run.tally.touched.add(one)
        run.tally.codes.add(1)
        run.log(
            "shipment", "error", run=run.id, id=one, integration=integration.name, state="failed", outcome="given up"
        )


# ---- logins, and what must not be lost in silence -----------------------------------------------------------


def _renew_logins(run: Run, assembly: Assembly, integrations: Sequence[Integration]) -> None:
    """Rotating logins that are older than 30 days are renewed even when nothing is due: unused, they die."""
    ages = assembly.vault.token_ages()
    for integration in integrations:
        age = ages.get(integration.id)
        if age is None or run.clock() - age < RENEW_AFTER or not integration.enabled or run.stopping:
            continue

        def renew(desk: Desk) -> None:
            token = desk.platform.tokens.current()
            if getattr(desk.platform, "rotates", False) and token is not None:
                try:
                    desk.platform.renew_access(token.access)
                except TryLater:
                    pass  # the next sweep tries again

        each(run, assembly, [integration], renew)


def warn(run: Run, assembly: Assembly, integrations: Sequence[Integration]) -> None:
    """What will not arrive unless someone acts, and by when; once per shipment and reason (`Tally.once_told`)."""
    store, config, told = run.store, assembly.config, run.tally.told
    troubled, more = store.newly_in_trouble()
    for row in troubled:
        if row["state"] == "expired":
            names = {name: row[name] for name in ("id", "integration", "order_id", "state", "reason")}
            run.log("shipment", "error", run=run.id, outcome="expired", **names)
    late = store.overdue()
    slot = schedule.next_slots(run.clock(), config.times, config.zone, 1)[0]
    leaving = [row for one in integrations for row in store.leaving_window(one, slot, config.window)]
    sections: list[tuple[str, list[dict[str, Any]]]] = [
        ("", troubled),
        ("due for 6 hours without success", late),
        ("", [row for row in leaving if row["ends_at"] > run.clock()]),
        ("", [row for row in leaving if row["ends_at"] <= run.clock()]),
    ]
    for title, rows in sections:
        for (name, reason), group in _grouped(rows).items():
            first = group[0]
            if "ends_at" in first:
                reason += _leaves(group, run.clock(), config)
            ids = ", ".join(str(row["id"]) for row in group[:8]) + (
                f" and {len(group) - 8} more" if len(group) > 8 else ""
            )
            what = f"shipment {ids} (order {first['order_id']}, {first['tracking_number']})" if len(group) == 1 else (
                f"{len(group)} shipments ({ids})"
            )  # fmt: skip
            why = ": ".join(part for part in (title, reason) if part)
            told.append(f"{name}: {what}: {first['state']}: {why}")
    if troubled or late or leaving:
        run.tally.codes.add(1)
        run.tally.once_told += [lambda: store.mark_told([*late, *leaving]), lambda: store.mark_troubled(troubled, more)]
    if more:
        told.append(f"and {len(more)} more failed, blocked or expired; see: shipfwd status --state failed (or blocked)")
    try:
        _warn_of_logins(run, assembly, integrations)
    except ShipfwdError as error:  # a vault that cannot be read must not hide what else is to be said
        _note(run, str(error), error)


def _warn_of_logins(run: Run, assembly: Assembly, integrations: Sequence[Integration]) -> None:
    for integration in integrations:
        ends = assembly.vault.login_expires_at(integration.id)
        if (
            ends is not None
            and ends - run.clock() <= LOGIN_WARNING
            and not run.store.login_warned(integration.id, stamp(ends))
        ):
            run.tally.codes.add(1)
            run.tally.once_told.append(partial(run.store.warned_of_login, integration.id, stamp(ends)))
            run.tally.told.append(
                f"{integration.name}: its login ends on {schedule.local(ends, assembly.config.zone)}; "
                f"renew it: shipfwd integration login {quote(integration.name)}"
            )


def _leaves(group: Sequence[Mapping[str, Any]], now: datetime, config: Config) -> str:
    """What becomes of waiting shipments, the oldest first, that no sweep reaches in time."""
    until, hours = schedule.local(group[0]["ends_at"], config.zone), config.text("window_hours")
    ids = " ".join(str(row["id"]) for row in group[:8]) + (" …" if len(group) > 8 else "")
    if group[0]["ends_at"] > now:
        it = "it" if len(group) == 1 else "the first of them"
        return f"; {it} will not be sent after {until}, and no sweep comes before that"
    it, old = ("it", "it is") if len(group) == 1 else ("them", "they are")
    since = f" since {until}" if len(group) == 1 else f", the first of them since {until}"
    return (
        f"; {old} older than {hours} hours{since}, so no sweep sends {it}; "
        f"to send {it} all the same: shipfwd forward {ids}"
    )


def _grouped(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """By integration and reason; a reason that names its own shipment stays alone."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((str(row["integration"]), str(row["reason"])), []).append(row)
    return groups
