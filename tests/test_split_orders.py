"""Several parcels of one order in one run: each gets what the ones before it left, whatever the platform."""

from __future__ import annotations

import pytest

from shipfwd import platforms
from shipfwd.simulator.base import Line

FIRST, SECOND = "620000000000000000000001", "620000000000000000000002"
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


def test_woocommerce_completes_an_order_with_its_last_pieces_and_not_before(shop, sim):
    stand = sim.platform("woocommerce")
    stand.flavour = "fulfillments"
    order = stand.add_order("13", lines=[Line("1001", 3, "MUG")])
    shop.add("shop", "woocommerce")
    assert shop.run("add", "13", FIRST, "-i", "shop", "--carrier", "dpd", "--item", "1001:1").code == 0
    (first,) = shop.json("status")
    assert (first["state"], first["status_sent_at"], order.status) == ("forwarded", None, "processing")
    assert "2 more of the order are in no parcel yet" in first["reason"]
    assert shop.run("sweep").code == 0
    assert order.status == "processing"
    assert shop.run("add", "13", SECOND, "-i", "shop", "--carrier", "dpd", "--item", "1001").code == 0
    assert order.status == "completed"
    assert [(one["reason"], bool(one["status_sent_at"])) for one in shop.json("status")] == [("", True)] * 2
