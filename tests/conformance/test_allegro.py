"""The judge itself: what a request to Allegro may get wrong is found. (What the adapter sends: test_requests.)"""

from __future__ import annotations

import pytest
from openapi import answer_problems, problems

MEDIA = "application/vnd.allegro.public.v1+json"
ORDER = "/order/checkout-forms/29738e61-7f6a-11e8-ac45-09db60ede9d6"
SHIPMENT = {"carrierId": "INPOST", "waybill": "620999601234567890123456"}
ROW = {**SHIPMENT, "id": "x", "lineItems": [{"id": "1"}], "createdAt": "2026-11-23T12:00:00Z"}


def asked(method="POST", path=f"{ORDER}/shipments", media=MEDIA, body=SHIPMENT, query=None):
    return problems("allegro.yaml", method, path, query=query, headers={"Content-Type": media}, body=body)


def test_a_good_request_has_no_problems():
    assert asked() == []
    assert asked("PUT", f"{ORDER}/fulfillment", body={"status": "SENT"}, query={"checkoutForm.revision": "1"}) == []
    assert asked("GET", ORDER, body=None, query={}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "DELETE"}, "no such operation"),
        ({"path": f"{ORDER}/shipment"}, "no such operation"),
        ({"media": "application/json"}, "is none of"),
        ({"body": None}, "is required"),
        ({"body": {"waybill": "1"}}, "'carrierId' is a required property"),
        ({"body": {**SHIPMENT, "waybill": 1}}, "body.waybill: 1 is not of type 'string'"),
        ({"body": {**SHIPMENT, "waybill": "1" * 65}}, "too long"),
        ({"body": {**SHIPMENT, "carriername": "Sameday"}}, "body.carriername: the description has no such field"),
        ({"body": {**SHIPMENT, "lineItems": [{"id": "1", "quantity": 1}]}}, "body.lineItems.0.quantity"),
        ({"body": {**SHIPMENT, "lineItems": [{}]}}, "'id' is a required property"),
        ({"query": {"notify": "true"}}, "query notify: the description has no such parameter"),
    ],
)
def test_a_wrong_request_is_found(change, said):
    assert said in "\n".join(asked(**change))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"status": "DISPATCHED"}, "body.status: 'DISPATCHED' is not one of"),
        ({"state": "SENT"}, "body.state: the description has no such field"),
    ],
)
def test_a_wrong_status_is_found(body, said):
    assert said in "\n".join(asked("PUT", f"{ORDER}/fulfillment", body=body))


def test_an_answer_is_compared_where_the_description_has_one():
    path = f"{ORDER}/shipments"
    assert answer_problems("allegro.yaml", "POST", path, 201, ROW) == []
    assert answer_problems("allegro.yaml", "GET", path, 200, {"shipments": [ROW]}) == []
    assert answer_problems("allegro.yaml", "GET", path, 200, {"shipments": [{**ROW, "waybill": None}]})
    assert answer_problems("allegro.yaml", "GET", path, 200, {"shipments": [{**ROW, "number": "1"}]})
    assert answer_problems("allegro.yaml", "GET", ORDER, 200, {"id": "1"})
    assert answer_problems("allegro.yaml", "PUT", f"{ORDER}/fulfillment", 204, None) == []
    assert answer_problems("allegro.yaml", "PUT", f"{ORDER}/fulfillment", 204, {})
    assert answer_problems("allegro.yaml", "GET", path, 503, "anything") == []
