"""The store: one SQLite file with integrations, orders, shipments and their journal. The only place with SQL.

schema.py    tables, indexes, migrations, opening
transactions.py  the connection, its lock, commits that threads share
pruning.py   what becomes of old journal lines
registry.py  integrations, config, cached answers
intake.py    what imports and `add` bring in
orders.py    orders, and the statuses that a person gives them
due.py       what is due, what never will be, what is blocked
queue.py     claim, settle, take back: the engine's side
foresight.py  what a dry run would take
after.py     marking as sent, proof, what a person decides
reports.py   what people and scripts are shown
shared.py    one number on several orders
"""

from __future__ import annotations

from shipfwd.store.after import AfterStore
from shipfwd.store.foresight import ForesightStore
from shipfwd.store.intake import Intake, IntakeStore
from shipfwd.store.orders import OrderStore
from shipfwd.store.pruning import PruneStore
from shipfwd.store.registry import RegistryStore
from shipfwd.store.reports import ReportStore
from shipfwd.store.schema import SCHEMA, create, opened
from shipfwd.store.shared import SharedStore

__all__ = ["SCHEMA", "Intake", "Store", "create", "opened"]


class Store(RegistryStore, IntakeStore, OrderStore, AfterStore, ForesightStore, ReportStore, SharedStore, PruneStore):
    """Everything the rest of shipfwd may ask of the database. Thread-safe: one connection, one lock."""
