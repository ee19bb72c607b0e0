"""Rows that say nothing new are left out before anything is merged; that must change nothing but the time."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import NOON, Clock, Filled, row

from shipfwd.rows import whole
from shipfwd.store import intake

STATES = ["pending", "forwarded", "sending", "failed"]

rows = st.lists(
    st.builds(
        lambda order, number, carrier, more, ago: row(
            order, number, carrier=carrier, created_at=NOON - timedelta(hours=ago) if ago else None, **more
        ),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["", "NO1", "no-1"]),
        st.sampled_from(["dpd", "", "gls"]),
        st.fixed_dictionaries(
            {"integration_id": st.sampled_from([1, 2])},
            optional={
                "status": st.sampled_from(["New", "new", "Sent"]),
                "url": st.just("https://t.test/1"),
                "item_id": st.sampled_from(["L1", "L2"]),
                "quantity": st.sampled_from([1, 2]),
            },
        ),
        st.sampled_from([0, 1, 2]),
    ).filter(lambda one: one.tracking_key or one.order_status),
    max_size=8,
)


def as_short_as_can_be(one):
    short = one[:8]
    return short if whole(short) == one else one


def everything_after(path, files, states, shape=lambda one: one, **patched):
    """What stands in the tables, and all that was said, after these files; `patched`: another way through intake."""
    filled = Filled(path, Clock())
    filled.integration("shop")
    filled.integration("other")
    said = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in patched.items():
                patch.setattr(intake, name, value)
            for file in files:
                run = filled.store.begin_run("import")
                staged = filled.store.intake(run)
                staged.put(shape(one._replace(line=line)) for line, one in enumerate(file, 2))
                said += [staged.overused(), staged.group(), staged.merge()]
                for shipment, state in zip(range(1, filled.store.newest_id() + 1), states, strict=False):
                    filled.change("UPDATE shipments SET state = ? WHERE id = ?", state, shipment)
                filled.clock.forward(hours=1)
        tables = ("SELECT * FROM orders", "SELECT * FROM shipments ORDER BY id")
        return said, [[tuple(one) for one in filled.store._read(sql)] for sql in tables]
    finally:
        filled.store.close()


numbers = count()


@settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(rows, min_size=2, max_size=3), st.lists(st.sampled_from(STATES), max_size=4), st.booleans())
def test_leaving_known_rows_out_changes_nothing(tmp_path, files, states, again):
    files = [*files, files[0]] if again else files
    made = [
        everything_after(tmp_path / f"{next(numbers)}.db", files, states, **patched)
        for patched in (
            {},
            {"FEW": 0, "shape": as_short_as_can_be},  # all rows are sorted
            {"_FIND_NEWS": "INSERT OR IGNORE INTO temp.news SELECT integration_id, order_id FROM temp.compared"},
        )
    ]
    assert made[0] == made[1] == made[2]
