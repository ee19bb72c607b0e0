"""Several parcels of one order in one run: each gets what the ones before it left, whatever the platform."""

from __future__ import annotations

import pytest

from shipfwd import platforms
from shipfwd.models import Item
from shipfwd.models import Line as Mug
from shipfwd.platforms._pieces import unpacked
from shipfwd.simulator.base import Line

FIRST, SECOND, LABEL = "620000000000000000000001", "620000000000000000000002", "620000000000000000000099"
# platform: an order's number there, its write, and the pieces that a write names (the platform's line id is 1001).
WIRE = {
    "woocommerce": ("13", "POST .*/fulfillments", lambda sent: metas(sent)["_items"][0]["qty"]),
    "magento": ("000000013", "POST .*/ship$", lambda sent: sent["items"][0]["qty"]),
    "bigcommerce": ("13", "POST .*/shipments", lambda sent: sent["items"][0]["quantity"]),
    "shopify": ("#13", "POST .*/graphql.json", lambda sent: fulfilled(sent)[0]["quantity"]),
    "ebay": ("11-12345-67890", "POST .*/shipping_fulfillment", lambda sent: sent["lineItems"][0]["quantity"]),
    "amazon": ("702-1234567-1234567", "POST .*/shipmentConfirmation", lambda sent: packed(sent)[0]["quantity"]),
}
SAME_PIECE_TWICE = {"ebay", "magento", "shopify"}  # one piece in several boxes: one more number for it


def metas(sent):
    return {one["key"]: one["value"] for one in sent["meta_data"]}


def fulfilled(sent):
    (part,) = sent["variables"]["fulfillment0"]["lineItemsByFulfillmentOrder"]
    return part["fulfillmentOrderLineItems"]


def packed(sent):
    return sent["packageDetail"]["orderItems"]


@pytest.fixture(params=sorted(WIRE))
def split(request, sim, shop, monkeypatch):
    """A shop with an order of three pieces of one line; `send` puts parcels on it in one run."""
    platform = request.param
    shop.order, call, pieces = WIRE[platform]
    monkeypatch.setattr(platforms.load(platform), "rates", ())
    stand = shop.stand = sim.platform(platform)
    if platform == "woocommerce":
        stand.flavour = "fulfillments"
    stand.add_order(shop.order, lines=[Line("1001", 3, "MUG")])
    shop.add("shop", platform)

    def send(*parcels):
        for number, items in parcels:
            said = shop.run("add", shop.order, number, "-i", "shop", "--carrier", "dpd", "--no-forward", *items)
            assert said.code == 0
            shop.clock.forward(seconds=1)
        return shop.run("forward").code

    def written():
        sent = [one.json() for one in sim.calls(platform, call)]
        return [pieces(one) for one in sent if "variables" not in one or "fulfillment0" in one["variables"]]

    shop.send, shop.written, shop.platform = send, written, platform
    return shop


def test_a_parcel_without_a_quantity_gets_what_the_one_before_it_left(split):
    assert split.send((FIRST, ["--item", "1001:1"]), (SECOND, ["--item", "1001"])) == 0
    assert split.written() == [1, 2]
    assert sorted(split.stand.numbers(split.order)) == [FIRST, SECOND]


def test_pieces_that_have_gone_are_not_sent_a_second_time(split):
    code = split.send((FIRST, ["--item", "1001:3"]), (SECOND, ["--item", "1001"]))
    if split.platform in SAME_PIECE_TWICE:
        assert code == 0
        assert sorted(split.stand.numbers(split.order)) == [FIRST, SECOND]
        return
    assert code == 1
    assert split.written() == [3]
    assert split.stand.numbers(split.order) == [FIRST]
    assert [one["state"] for one in split.json("status")] == ["failed", "forwarded"]
    assert "0 of item '1001' left to ship, not 1" in split.json("status", "--state", "failed")[0]["reason"]


# Where marking is a call of its own: platform, flavour, order, its state there, that of a part, that of the whole.
STEPS = [
    ("allegro", "", "a11e9000-0000-4000-8000-000000000013", lambda one: one.more["fulfillment"], "NEW", "SENT"),
    ("erli", "", "180909x12345", lambda one: one.more["seller"], "readyToProcess", "sent"),
    ("prestashop", "", "XKBKNABJK", lambda one: one.status, "3", "4"),
    ("shopware", "", "13", lambda one: one.rows[0]["stateMachineState"]["technicalName"], "shipped_partially", "shipped"),
    *(("woocommerce", how, "13", lambda one: one.status, "processing", "completed")
      for how in ("core", "ast", "shipment-tracking", "fulfillments")),
]  # fmt: skip


@pytest.fixture(params=STEPS, ids=lambda step: " ".join(filter(None, step[:2])))
def stepped(request, sim, shop, monkeypatch):
    """A shop with an order of three mugs and a plate; `status` tells what it is there, `put` sends a parcel."""
    platform, flavour, shop.order, state, part, whole = request.param
    monkeypatch.setattr(platforms.load(platform), "rates", ())
    stand = sim.platform(platform)
    if flavour:
        stand.flavour = flavour
    order = stand.add_order(shop.order, lines=[Line("1001", 3, "MUG"), Line("1002", 1, "PLATE")])
    shop.add("shop", platform, *(["--status-transfer"] if platform == "allegro" else []))
    shop.number = 620000000000000000000000

    def put(*items, code=0):
        shop.number += 1
        given = [word for item in items for word in ("--item", item)]
        assert shop.run("add", shop.order, shop.number, "-i", "shop", "--carrier", "dpd", *given).code == code
        return shop.json("status")[0]

    shop.put, shop.status, shop.part, shop.whole = put, lambda: state(order), part, whole
    return shop


def test_an_order_is_marked_with_its_last_pieces_and_not_before(stepped):
    first = stepped.put("1001:1", "1002")
    assert (first["state"], first["status_sent_at"], stepped.status()) == ("forwarded", None, stepped.part)
    assert "2 more of the order are in no parcel yet" in first["reason"]
    assert stepped.run("sweep").code == 0
    assert stepped.status() == stepped.part
    stepped.put("1001:2")
    assert stepped.status() == stepped.whole
    assert [(one["reason"], bool(one["status_sent_at"])) for one in stepped.json("status")] == [("", True)] * 2


def test_a_label_that_was_cancelled_holds_no_pieces(stepped):
    stepped.put("1001:1", "1002")
    assert stepped.run("add", stepped.order, LABEL, "-i", "shop", "--no-forward", "--item", "1001:2").code == 0
    assert stepped.run("drop", "2").code == 0
    assert stepped.run("forward").code == 0
    assert stepped.status() == stepped.part
    stepped.put("1001")
    assert stepped.status() == stepped.whole


def test_an_expired_parcel_that_holds_the_last_pieces_does_not_hold_back_its_order(sim, shop):
    """It came after the first one was sent, and nothing of it is ever settled."""
    sim.platform("prestashop").add_order("13", lines=[Line("1001", 3, "MUG")])
    shop.add("shop", "prestashop")
    assert shop.run("add", "13", FIRST, "-i", "shop", "--carrier", "dpd", "--item", "1001:1").code == 0
    assert shop.run("integration", "edit", "shop", "--trigger", "status:Packed").code == 0
    assert shop.run("add", "13", SECOND, "-i", "shop", "--carrier", "dpd", "--item", "1001:2").code == 0
    shop.clock.forward(hours=73)
    assert shop.run("sweep").code == 1
    second, first = shop.json("status")
    assert (second["state"], bool(first["status_sent_at"])) == ("expired", True)


@pytest.mark.parametrize("platform", ["prestashop", "shopware"])
def test_a_parcel_without_items_holds_all_the_rest(sim, shop, platform):
    sim.platform(platform).add_order("13", lines=[Line("1001", 3, "MUG")])
    shop.add("shop", platform)
    assert shop.run("add", "13", FIRST, "-i", "shop", "--carrier", "dpd", "--no-forward", "--item", "MUG:1").code == 0
    assert shop.run("add", "13", SECOND, "-i", "shop", "--carrier", "dpd").code == 0
    assert shop.run("forward").code == 0
    assert all(one["status_sent_at"] for one in shop.json("status"))


@pytest.mark.parametrize("items", [["MUG:3", "PLATE"], ["MUG", "MUG", "PLATE:9"]])
def test_pieces_are_counted_by_sku_too(items):
    lines = [Mug("1", 2, 2, "MUG"), Mug("2", 1, 1, "MUG"), Mug("3", 1, 1, "PLATE")]
    given = [Item("", word.partition(":")[0], int(word.partition(":")[2] or 0) or None) for word in items]
    assert unpacked(lines, given) == (0, [])
    assert unpacked(lines, given[:1])[0] == 1


def test_an_item_that_is_not_on_the_order_leaves_its_status_to_a_person(sim, shop):
    order = sim.platform("prestashop").add_order("XKBKNABJK", lines=[Line("1001", 1, "MUG")])
    shop.add("shop", "prestashop")
    assert shop.run("add", "XKBKNABJK", FIRST, "-i", "shop", "--carrier", "dpd", "--item", "CUP").code == 1
    (row,) = shop.json("status")
    assert (row["state"], order.status) == ("forwarded", "3")
    assert "item 'CUP' is not on this order at PrestaShop" in row["reason"]


def test_fulfillments_of_the_first_versions_stand_in_one_more_object(shop, sim):
    stand = sim.platform("woocommerce")
    stand.flavour, stand.wrapped = "fulfillments", True
    order = stand.add_order("13", lines=[Line("1001", 3, "MUG")])
    shop.add("shop", "woocommerce")
    assert shop.run("add", "13", FIRST, "-i", "shop", "--carrier", "dpd").code == 0
    assert (shop.json("status")[0]["confirmed_at"] is not None, order.status) == (True, "completed")
    assert shop.run("correct", "1", SECOND, "--yes").code == 0
    assert stand.numbers("13") == [SECOND]
    assert shop.run("verify").code == 0


def test_a_parcel_that_finds_no_room_still_holds_the_last_pieces(sim, shop):
    """Why: nothing of it is sent, so nothing else would have its order marked."""
    order = sim.platform("empik").add_order("1234567-A", lines=[Line("1001", 3, "MUG")])
    shop.add("shop", "empik")
    assert shop.run("add", "1234567-A", FIRST, "-i", "shop", "--carrier", "dpd", "--item", "1001:1").code == 0
    assert (order.status, shop.json("status")[0]["status_sent_at"]) == ("SHIPPING", None)
    assert shop.run("add", "1234567-A", SECOND, "-i", "shop", "--carrier", "dpd", "--item", "1001:2").code == 1
    assert order.status == "SHIPPED"
    assert shop.run("sweep").code == 0
    assert sum(one.path.endswith("/ship") for one in sim.calls("empik")) == 1
