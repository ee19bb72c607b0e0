"""`forward --failed`: after the cause is mended, by reason."""

from __future__ import annotations

import pytest

NUMBERS = [f"6200226964084301194584{n:02}" for n in range(10, 15)]


@pytest.fixture
def failed(shop):
    """Three orders that were cancelled, and one that the shop does not know."""
    shop.add()
    stand = shop.sim.platform("woocommerce")
    for order in ("101", "102", "103"):
        stand.add_order(order, status="cancelled")
    lines = [f"{order},{number},inpost" for order, number in zip(("101", "102", "103"), NUMBERS, strict=False)]
    file = shop.file("a.csv", "order_id,tracking_number,carrier\n" + "\n".join(lines))
    assert shop.run("import", file, "-i", "shop").code == 1
    return shop, stand


def test_all_failed_ones_are_sent_once_the_cause_is_mended(failed):
    shop, stand = failed
    for order in ("101", "102", "103"):
        stand.orders[order].status = "processing"
    said = shop.run("forward", "--failed")
    assert (said.code, said.out) == (0, "3 forwarded\n")


def test_what_fails_again_for_one_reason_is_told_in_one_line(failed):
    shop, _ = failed
    said = shop.run("forward", "--failed")
    (line,) = [line for line in said.err.splitlines() if "cancelled" in line]
    assert line.startswith("3 shipments (3, 2, 1): failed: ")


def test_of_many_with_one_reason_the_first_are_named_and_all_are_counted(failed, monkeypatch):
    monkeypatch.setattr("shipfwd.cli.ending.NAMED", 2)
    shop, _ = failed
    said = shop.run("forward", "--failed")
    assert "3 shipments (3, 2, …): failed: " in said.err


@pytest.mark.parametrize(("reason", "sent"), [("rejected", 3), ("Rejected", 3), ("OrderNotFound", 0)])
def test_a_reason_narrows_it(failed, reason, sent):
    shop, stand = failed
    for order in ("101", "102", "103"):
        stand.orders[order].status = "processing"
    kinds = {shop.run("status", "--format", "json").data[0]["state"]}
    assert kinds == {"failed"}
    said = shop.run("forward", "--failed", "--reason", reason)
    assert said.code == 0
    assert list(shop.states().values()).count("forwarded") == sent
    assert ("nothing failed as" in said.err) is (sent == 0)


def test_a_reason_alone_is_refused(failed):
    shop, _ = failed
    assert shop.run("forward", "--reason", "Rejected").code == 2
