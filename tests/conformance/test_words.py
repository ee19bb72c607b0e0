"""No state that a vendor's description lists is a word that the adapter does not know."""

from __future__ import annotations

import pytest
from openapi import description, problems

from shipfwd.errors import NotUnderstood
from shipfwd.platforms import load
from shipfwd.platforms.erli import TRACKED

# platform → description, where its list of states stands, and an order in such a state as the adapter reads it
STATES = [
    ("allegro", "allegro.yaml", "CheckoutFormStatus",
     lambda one, word: one._seen({"status": word, "fulfillment": {"status": "NEW"}}, [])),
    ("allegro", "allegro.yaml", "CheckoutFormFulfillmentStatus",
     lambda one, word: one._seen({"status": "READY_FOR_PROCESSING", "fulfillment": {"status": word}}, [])),
    ("amazon", "amazon_orders_2026-01-01.json", "FulfillmentStatus",
     lambda one, word: one._seen({"fulfillment": {"fulfillmentStatus": word}, "orderItems": []})),
    ("erli", "erli.json", "Order/properties/status",
     lambda one, word: one._seen({"status": word, "sellerStatus": "created"})),
    ("erli", "erli.json", "Order/properties/sellerStatus",
     lambda one, word: one._seen({"status": "purchased", "sellerStatus": word})),
    ("etsy", "etsy.json", "ShopReceipt/properties/status",
     lambda one, word: one._seen({"status": word, "is_paid": True, "is_shipped": False, "shipments": []})),
]  # fmt: skip


def listed(file, where):
    document = description(file).document
    node = document.get("components", {}).get("schemas") or document["definitions"]
    for part in where.split("/"):
        node = node[part]
    return node["enum"]


@pytest.mark.parametrize(
    ("name", "word", "seen"),
    [
        pytest.param(name, word, seen, id=f"{name}-{word}")
        for name, file, where, seen in STATES
        for word in listed(file, where)
    ],
)
def test_a_state_of_the_vendors_list_is_known(name, word, seen):
    assert not isinstance(seen(object.__new__(load(name)), word).refusal, NotUnderstood)


@pytest.mark.parametrize(("name", "seen"), [(one[0], one[3]) for one in STATES if one[2] != "CheckoutFormFulfillmentStatus"
                                           and "sellerStatus" not in one[2]])  # fmt: skip
def test_a_state_that_is_on_no_list_is_not(name, seen):
    assert isinstance(seen(object.__new__(load(name)), "NEW_IN_2027").refusal, NotUnderstood)


@pytest.mark.parametrize("vendor", sorted(load("erli").carriers.values()))
def test_erli_lists_each_carrier_of_our_table(vendor):
    """Which of them must come with a state, the description leaves to its prose."""
    parcel = {"vendor": vendor, "orderId": "261123x0001", "trackingNumber": "620000000000000000000001"}
    sent = parcel if vendor in TRACKED else {**parcel, "status": "sent"}
    assert problems("erli.json", "POST", "/shipping/external", body=[sent]) == []
    assert problems("erli.json", "POST", "/shipping/external", body=[{**sent, "vendor": "packeta"}]) != []
