"""Amazon's own samples: the orders and refusals that its sandbox answers with are read as what they say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from shipfwd.errors import NotOurs, NotReady, Rejected
from shipfwd.models import Reply
from shipfwd.platforms import load

SAMPLES = json.loads((Path(os.environ["SHIPFWD_SPECS"]) / "amazon_sandbox_cases.json").read_text())["cases"]
READS = [one for one in SAMPLES if one["operationId"] in ("searchOrders", "getOrder") and "2026" in one["api"]]
ORDERS = [
    order
    for one in READS
    if one["status"] == 200
    for order in one["response"].get("orders") or [one["response"]["order"]]
]
REFUSALS = [one for one in SAMPLES if one["status"] == 400 and one["operationId"] in ("getOrder", "confirmShipment")]
OVER = {"PENDING": NotReady, "PENDING_AVAILABILITY": NotReady, "CANCELLED": Rejected, "UNFULFILLABLE": Rejected}


@pytest.fixture
def amazon():
    return object.__new__(load("amazon"))  # what reads documents needs no tools


@pytest.mark.parametrize("order", ORDERS, ids=lambda one: one["orderId"])
def test_a_sample_order_is_read_as_it_stands(amazon, order):
    seen, fulfilment = amazon._seen(order), order["fulfillment"]
    wanted = NotOurs if fulfilment.get("fulfilledBy") == "AMAZON" else OVER.get(fulfilment["fulfillmentStatus"])
    assert type(seen.refusal) is (wanted or type(None))
    assert list(seen.numbers) == [one["trackingNumber"] for one in order.get("packages", ())]
    assert [(line.id, line.quantity) for line in seen.lines] == [
        (item["orderItemId"], item["quantityOrdered"]) for item in order["orderItems"]
    ]
    assert seen.sent == (fulfilment["fulfillmentStatus"] == "SHIPPED")


@pytest.mark.parametrize("sample", REFUSALS, ids=lambda one: one["operationId"])
def test_a_sample_refusal_is_final(amazon, sample):
    url = "https://sellingpartnerapi-eu.amazon.com" + sample["path"]
    assert type(amazon.explain(Reply(400, sample["response"], {}, url))) is Rejected
