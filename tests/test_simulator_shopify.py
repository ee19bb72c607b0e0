"""Shopify's stand-in answers as Shopify's documents and other people's logs say that it answers."""

from __future__ import annotations

import pytest
import requests

from shipfwd.simulator import _graphql as graphql
from shipfwd.simulator._shopify import SCHEMA

FIND = "query F($q: String!) { orders(first: 5, query: $q) { nodes { id name displayFulfillmentStatus } } }"
STATE = """query S($id: ID!) { order(id: $id) {
  fulfillments { id status trackingInfo { number company url } }
  fulfillmentOrders(first: 10) { nodes { id status supportedActions { action } lineItems(first: 5) {
    nodes { id remainingQuantity } } } } } }"""
CREATE = """mutation C($f: FulfillmentInput!) { fulfillmentCreate(fulfillment: $f) {
  fulfillment { id trackingInfo { number url } } userErrors { field message } } }"""
UPDATE = """mutation U($id: ID!, $t: FulfillmentTrackingInput!, $n: Boolean) {
  fulfillmentTrackingInfoUpdate(fulfillmentId: $id, trackingInfoInput: $t, notifyCustomer: $n) {
    fulfillment { trackingInfo { number company } } userErrors { message } } }"""
CANCEL = "mutation X($id: ID!) { fulfillmentCancel(id: $id) { fulfillment { status } userErrors { message } } }"


@pytest.fixture
def stand(sim):
    return sim.platform("shopify")


@pytest.fixture
def ask(stand):
    """Answers of the API; the whole document where it holds errors, otherwise its data."""
    with requests.Session() as session:
        session.trust_env = False

        def call(query, token="", version="2026-07", **variables):
            reply = session.post(
                f"{stand.base_url}/admin/api/{version}/graphql.json",
                json={"query": query, "variables": variables},
                headers={"X-Shopify-Access-Token": token or stand.access_token},
                timeout=5,
            )
            call.status, answer = reply.status_code, reply.json()
            return answer if "errors" in answer else answer["data"]

        call.status = 0
        yield call


def code(answer):
    return answer["errors"][0]["extensions"]["code"]


def parts(ask, order):
    return ask(STATE, id=order.more["gid"])["order"]["fulfillmentOrders"]["nodes"]


def wanted(gid, *numbers, lines=(), **more):
    rows = {"fulfillmentOrderLineItems": [{"id": id, "quantity": n} for id, n in lines]} if lines else {}
    info = {"company": "DPD", "numbers": list(numbers)}
    return {"lineItemsByFulfillmentOrder": [{"fulfillmentOrderId": gid, **rows}], "trackingInfo": info, **more}


def create(ask, fulfillment):
    payload = ask(CREATE, f=fulfillment)["fulfillmentCreate"]
    return payload["fulfillment"], [one["message"] for one in payload["userErrors"]]


def test_a_search_finds_what_holds_the_word_and_later_than_it_was_made(sim, stand, ask):
    for name in ("#1001", "#1001-A", "EN-1001", "#10010"):
        stand.add_order(name)
    found = ask(FIND, q='name:"#1001"')["orders"]["nodes"]
    assert [one["name"] for one in found] == ["#1001", "#1001-A", "EN-1001"]
    stand.index_seconds = 30
    stand.add_order("#2001")
    assert ask(FIND, q="name:2001")["orders"]["nodes"] == []
    sim.advance(31)
    assert len(ask(FIND, q="name:2001")["orders"]["nodes"]) == 1


def test_a_full_fulfilment_closes_its_order_and_a_repeat_is_refused_in_200(stand, ask):
    order = stand.add_order("#1", lines=2)
    (part,) = parts(ask, order)
    made, _ = create(ask, wanted(part["id"], "A1", "A2", notifyCustomer=True))
    assert [one["number"] for one in made["trackingInfo"]] == ["A1", "A2"]
    assert made["trackingInfo"][0]["url"].endswith("A1")
    assert [mail.numbers for mail in stand.mails] == [("A1", "A2")]
    number = part["id"].rpartition("/")[2]
    said = f"Fulfillment order {number} has an unfulfillable status= closed."
    assert create(ask, wanted(part["id"], "A1")) == (None, [said])
    assert ask.status == 200
    assert ask(FIND, q="name:1")["orders"]["nodes"][0]["displayFulfillmentStatus"] == "FULFILLED"


def test_a_part_of_the_lines_twice_is_the_same_number_twice(stand, ask):
    order = stand.add_order("#1", lines=[stand.line("#1", 1)])
    order.more["parts"][0]["rows"][0].update(total=3, left=3)
    (part,) = parts(ask, order)
    line = part["lineItems"]["nodes"][0]["id"]
    for left in (2, 1):
        create(ask, wanted(part["id"], "A1", lines=[(line, 1)]))
        assert parts(ask, order)[0]["lineItems"]["nodes"][0]["remainingQuantity"] == left
    assert stand.doubles() == {"#1": ["A1"]}
    assert create(ask, wanted(part["id"], "A1", lines=[(line, 2)]))[1] == [
        "Invalid fulfillment order line item quantity requested."
    ]
    assert create(ask, wanted(part["id"], "A1", lines=[(line, 0)]))[1] == ["Quantity must be greater than 0"]


def test_one_call_takes_one_order_and_one_location(stand, ask):
    here, there = (stand.add_order(name, lines=2, locations=2) for name in ("#1", "#2"))
    first, second = parts(ask, here)
    foreign, _ = parts(ask, there)
    both = wanted(first["id"], "A1")
    both["lineItemsByFulfillmentOrder"].append({"fulfillmentOrderId": second["id"]})
    assert "same location" in create(ask, both)[1][0]
    both["lineItemsByFulfillmentOrder"][1] = {"fulfillmentOrderId": foreign["id"]}
    assert "same order" in create(ask, both)[1][0]
    assert create(ask, wanted("gid://shopify/FulfillmentOrder/1", "A1"))[1] == ["Fulfillment order does not exist."]


def test_tracking_is_replaced_as_a_whole_and_cancelling_opens_the_lines_again(stand, ask):
    order = stand.add_order("#1")
    made = stand.fulfil("#1", "A1", "UPS")
    done = ask(UPDATE, id=made["gid"], t={"company": "DPD", "number": "B1"}, n=True)["fulfillmentTrackingInfoUpdate"]
    assert done["fulfillment"]["trackingInfo"] == [{"number": "B1", "company": "DPD"}]
    assert len(stand.mails) == 1
    assert ask(CANCEL, id=made["gid"])["fulfillmentCancel"]["fulfillment"] == {"status": "CANCELLED"}
    assert [part["status"] for part in parts(ask, order)] == ["CLOSED", "OPEN"]
    assert stand.numbers("#1") == []
    assert "cancelled" in str(ask(UPDATE, id=made["gid"], t={"number": "C1"}))


def test_what_is_held_cannot_be_fulfilled(stand, ask):
    order = stand.add_order("#1")
    stand.hold("#1", "AWAITING_PAYMENT")
    (part,) = parts(ask, order)
    assert {"action": "CREATE_FULFILLMENT"} not in part["supportedActions"]
    assert "status= on_hold" in create(ask, wanted(part["id"], "A1"))[1][0]
    stand.hold("#1")
    assert create(ask, wanted(part["id"], "A1"))[1] == []


def test_missing_rights_are_silent_for_lists_and_loud_elsewhere(stand, ask):
    order = stand.add_order("#1", kind="third_party")
    assert parts(ask, order) == []
    stand.rights = ("read_orders", "read_third_party_fulfillment_orders")
    (part,) = parts(ask, order)
    denied = ask(CREATE, f=wanted(part["id"], "A1"))
    assert (code(denied), denied["data"]) == ("ACCESS_DENIED", {"fulfillmentCreate": None})
    stand.rights = ()
    assert code(ask(FIND, q="name:1")) == "ACCESS_DENIED"


def test_wrong_tokens_versions_and_shops_are_refused(stand, ask):
    assert "Invalid API key" in ask(FIND, token="no", q="name:1")["errors"]
    assert ask.status == 401
    assert ask(FIND, version="2019-04", q="name:1") == {"errors": "Not Found"}
    stand.frozen = True
    ask(FIND, q="name:1")
    assert ask.status == 402


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("{ orders(first: 1) { nodes { number } } }", "undefinedField"),
        ("{ orders(first: 1) { nodes } }", "selectionMismatch"),
        ("{ shop { name { first } } }", "selectionMismatch"),
        ("{ order(id: $id) { name } }", "variableNotDefined"),
        ("query Q($id: ID!) { order(id: $id) { name } }", "INVALID_VARIABLE"),
        ("{ shop { name }", "parseError"),
        ("subscription { shop { name } }", "parseError"),
        ("{ orders(first: 250) { nodes { fulfillments { trackingInfo { number } } fulfillmentOrders(first: 9) "
         "{ nodes { lineItems(first: 99) { nodes { id } } } } } } }", "MAX_COST_EXCEEDED"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_before_anything_happens(ask, query, said):
    assert code(ask(query)) == said
    assert ask.status == 200


def test_the_points_run_out_and_come_back(sim, stand, ask):
    stand.maximum = stand._points = 40.0
    while "errors" not in (answer := ask(FIND, q="name:1")):
        pass
    assert (ask.status, code(answer)) == (200, "THROTTLED")
    balance = answer["extensions"]["cost"]
    assert balance["requestedQueryCost"] > balance["throttleStatus"]["currentlyAvailable"]
    sim.advance(1)
    assert "orders" in ask(FIND, q="name:1")
    sim.fail_next("shopify", "429")
    assert code(ask(FIND, q="name:1")) == "THROTTLED"
    assert ask.status == 429


def test_an_apps_token_lasts_a_day_and_keeps_its_rights(sim, stand, ask):
    def token(**more):
        form = {"grant_type": "client_credentials", "client_id": stand.client_id, "client_secret": stand.client_secret}
        with requests.Session() as session:
            session.trust_env = False
            return session.post(f"{stand.base_url}/admin/oauth/access_token", data={**form, **more}, timeout=5)

    stand.rights = ("read_orders",)
    issued = token().json()
    assert (issued["expires_in"], issued["scope"]) == (86399, "read_orders")
    stand.rights = type(stand).rights
    order = stand.add_order("#1")
    state = ask(STATE, token=issued["access_token"], id=order.more["gid"])
    assert state["order"]["fulfillmentOrders"]["nodes"] == []
    sim.advance(86400)
    ask(FIND, token=issued["access_token"], q="name:1")
    assert ask.status == 401
    assert token(client_secret="no").json()["error"] == "invalid_client"
    assert token(grant_type="password").status_code == 400
    for option, word in (("installed", "app_not_installed"), ("same_organisation", "shop_not_permitted")):
        setattr(stand, option, False)
        assert word in token().text
        setattr(stand, option, True)


def test_the_parser_reads_what_clients_write():
    operation = graphql.parse(
        "# a comment\nmutation Do($a: [Int!]! = [1, -2], $b: T) { "
        'x: fulfillmentCancel(id: "a\\"b", in: {k: [true, null, ENUM, 1.5, $a]}) { fulfillment { id, status } } }'
    )
    (field,) = operation.fields
    assert (operation.kind, operation.name, field.key, field.name) == ("mutation", "Do", "x", "fulfillmentCancel")
    assert operation.variables == {"a": ("[Int!]!", [1, -2]), "b": ("T", None)}
    values = operation.values({"b": 7})
    given = graphql.filled(field.arguments, values)
    assert given == {"id": 'a"b', "in": {"k": [True, None, "ENUM", 1.5, [1, -2]]}}
    graphql.check(operation, SCHEMA, "Mutation")
    with pytest.raises(graphql.Refused):
        graphql.parse("{ a % }")
