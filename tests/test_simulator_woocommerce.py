"""WooCommerce's stand-in answers what servers of four flavours answered."""

from __future__ import annotations

import pytest
import requests

from shipfwd.simulator.server import Simulator

AST = "/wp-json/wc-ast/v3/orders/12/shipment-trackings"
OFFICIAL = "/wp-json/wc-shipment-tracking/v3/orders/12/shipment-trackings"
FULFILLMENTS = "/wp-json/wc/v3/orders/12/fulfillments"
OWN, READER = ("ck_SECRET_sim", "cs_SECRET_sim"), ("ck_SECRET_read", "cs_SECRET_read")
WRITER = ("ck_SECRET_write", "cs_SECRET_write")


@pytest.fixture
def sim():
    with Simulator() as running:
        yield running


@pytest.fixture
def shop(sim):
    shop = sim.platform("woocommerce")
    shop.add_order("12")
    return shop


@pytest.fixture
def woo(sim, shop):
    with requests.Session() as session:
        session.trust_env = False

        def call(method, path, auth=OWN, **more):
            return session.request(method, shop.base_url + path, auth=auth, timeout=5, **more)

        yield call


def code(reply):
    return reply.status_code, reply.json()["code"]


def test_woo_changes_status_once_and_mails_once(woo, shop):
    done = [woo("PUT", "/wp-json/wc/v3/orders/12?_fields=id,status", json={"status": "completed"}) for _ in range(2)]
    assert [reply.json()["status"] for reply in done] == ["completed"] * 2
    assert set(done[0].json()) == {"id", "status", "_links"}
    assert [mail.order for mail in shop.mails] == ["12"]
    refused = woo("PUT", "/wp-json/wc/v3/orders/12", json={"status": "shipped"})
    assert code(refused) == (400, "rest_invalid_param")
    assert "status is not one of auto-draft" in refused.json()["data"]["params"]["status"]


def test_woo_meta_is_updated_by_key_and_counts_as_a_number(woo, shop):
    for value in ("A1", "A2"):
        sent = {"meta_data": [{"key": "_tracking_number", "value": value}]}
        reply = woo("PUT", "/wp-json/wc/v3/orders/12", json=sent)
    assert [meta["value"] for meta in reply.json()["meta_data"]] == ["A2"]
    assert shop.numbers("12") == ["A2"]
    woo("PUT", "/wp-json/wc/v3/orders/12", json={"meta_data": [{"key": "_tracking_number", "value": None}]})
    assert shop.numbers("12") == []


def test_woo_reads_many_orders_at_once_and_leaves_out_the_unknown(woo, shop):
    shop.add_order("13", number="2013")
    shop.put("13", "U1", "UPS")
    query = "include=12,13,999&per_page=100&_fields=id,number,status,meta_data"
    reply = woo("GET", f"/wp-json/wc/v3/orders?{query}")
    assert [order["id"] for order in reply.json()] == [13, 12]
    assert set(reply.json()[0]) == {"id", "number", "status", "meta_data"}
    meta = reply.json()[0]["meta_data"][0]
    assert meta["key"] == "_wc_shipment_tracking_items"
    assert (meta["value"][0]["tracking_number"], meta["value"][0]["tracking_provider"]) == ("U1", "ups")
    assert reply.headers["X-WP-Total"] == "2"
    assert [o["id"] for o in woo("GET", "/wp-json/wc/v3/orders?search=2013").json()] == [13]
    assert code(woo("GET", "/wp-json/wc/v3/orders?per_page=500")) == (400, "rest_invalid_param")


@pytest.mark.parametrize(
    ("method", "path", "auth", "answer"),
    [
        ("GET", "/wp-json/wc/v3/orders/12", None, (401, "woocommerce_rest_cannot_view")),
        ("GET", "/wp-json/wc/v3/orders/12", ("ck_no", "x"), (401, "woocommerce_rest_cannot_view")),
        ("PUT", "/wp-json/wc/v3/orders/12", ("ck_no", "x"), (401, "woocommerce_rest_cannot_edit")),
        ("GET", "/wp-json/wc/v3/orders/12", ("ck_SECRET_sim", "x"), (401, "woocommerce_rest_authentication_error")),
        ("PUT", "/wp-json/wc/v3/orders/12", READER, (401, "woocommerce_rest_authentication_error")),
        ("GET", "/wp-json/wc/v3/orders/12", WRITER, (401, "woocommerce_rest_authentication_error")),
        ("GET", "/?rest_route=/wc/v3/orders/12", OWN, (401, "woocommerce_rest_cannot_view")),
        ("GET", "/wp-json/wc/v3/orders/99", OWN, (404, "woocommerce_rest_shop_order_invalid_id")),
        ("PUT", "/wp-json/wc/v3/orders/99", OWN, (400, "woocommerce_rest_shop_order_invalid_id")),
        ("GET", "/wp-json/wc/v3/orders/abc", OWN, (404, "rest_no_route")),
        ("GET", FULFILLMENTS, OWN, (404, "rest_no_route")),
        ("POST", AST, None, (403, "forbidden")),
        ("GET", AST, None, (401, "woocommerce_rest_cannot_view")),
        ("POST", AST.replace("12", "99"), OWN, (404, "woocommerce_rest_order_invalid_id")),
        ("GET", AST + "/" + "0" * 32, OWN, (404, "woocommerce_rest_order_shipment_tracking_invalid_id")),
    ],
)  # fmt: skip
def test_woo_refuses_in_its_own_words(woo, method, path, auth, answer):
    body = {"json": {"tracking_number": "X"}} if method != "GET" else {}
    assert code(woo(method, path, auth=auth, **body)) == answer


def test_woo_takes_keys_in_the_query_and_ignores_them_on_plain_http(woo, shop):
    path = "/wp-json/wc/v3/orders/12?consumer_key=ck_SECRET_sim&consumer_secret=cs_SECRET_sim"
    assert woo("GET", path, auth=None).status_code == 200
    shop.https = False
    assert code(woo("GET", path)) == (401, "woocommerce_rest_cannot_view")


def test_woo_notes_mail_the_buyer_only_when_told_to(woo, shop):
    for to_buyer in (False, True):
        sent = {"note": "Shipped", "customer_note": to_buyer}
        assert woo("POST", "/wp-json/wc/v3/orders/12/notes", json=sent).json()["customer_note"] is to_buyer
    assert len(shop.mails) == 1
    assert len(woo("GET", "/wp-json/wc/v3/orders/12/notes").json()) == 2


@pytest.mark.parametrize(
    ("flavour", "spaces", "routes"),
    [
        ("core", set(), set()),
        ("ast", {"wc-ast/v3", "wc-shipment-tracking/v3"}, {"shipment-trackings"}),
        ("shipment-tracking", {"wc-shipment-tracking/v3"}, {"shipment-trackings"}),
        ("fulfillments", set(), {"fulfillments"}),
    ],
)
def test_woos_index_tells_the_flavours_apart(woo, shop, flavour, spaces, routes):
    shop.flavour = flavour
    index = woo("GET", "/wp-json/", auth=None).json()
    assert {space for space in index["namespaces"] if "-" in space} == spaces
    found = {word for path in index["routes"] for word in ("shipment-trackings", "fulfillments") if word in path}
    assert found == routes
    version = woo("GET", "/wp-json/wc/v3").json()
    assert any("fulfillments" in path for path in version["routes"]) is (flavour == "fulfillments")
    statuses = woo("OPTIONS", "/wp-json/wc/v3/orders", auth=None).json()["schema"]["properties"]["status"]["enum"]
    assert "completed" in statuses
    assert "shipped" not in statuses


def test_ast_doubles_repeats_completes_and_replaces_when_told_to(woo, shop):
    sent = {"tracking_number": "1Z1", "tracking_provider": "ups", "date_shipped": "2026-11-20"}
    first, _ = woo("POST", AST, json=sent), woo("POST", AST, json=sent)
    row = first.json()
    assert first.status_code == 201
    assert (row["tracking_provider"], row["date_shipped"]) == ("UPS", "2026-11-20")
    assert row["tracking_link"].endswith("tracknum=1Z1")
    assert not first.headers["Location"].endswith(row["tracking_id"])
    assert shop.numbers("12") == ["1Z1", "1Z1"]
    woo("POST", AST, json={"tracking_number": "2", "status_shipped": 1, "replace_tracking": 1})
    assert shop.numbers("12") == ["2"]
    assert shop.orders["12"].status == "completed"
    assert shop.mails[0].numbers == ("2",)
    for space in ("wc/v1", "wc/v2", "wc/v3", "wc-shipment-tracking/v3"):
        assert len(woo("GET", AST.replace("wc-ast/v3", space)).json()) == 1
    row = woo("GET", AST).json()[0]
    assert woo("DELETE", f"{AST}/{row['tracking_id']}").status_code == 200
    assert shop.numbers("12") == []


@pytest.mark.parametrize(
    ("flavour", "sent", "provider", "link"),
    [
        ("ast", {"tracking_provider": "No Such"}, "", ""),
        ("ast", {}, "", ""),
        ("ast", {"custom_tracking_provider": "Van", "custom_tracking_link": "https://v.test/1"}, "", "https://v.test/1"),
        ("ast", {"custom_tracking_provider": "UPS"}, "UPS", "https://www.ups.com/track?loc=en_US&tracknum=1"),
        ("shipment-tracking", {"tracking_provider": "No Such"}, "", ""),
        ("shipment-tracking", {"custom_tracking_provider": "Van", "custom_tracking_link": "https://v.test/%1$s"},
         "Van", "https://v.test/1"),
    ],
)  # fmt: skip
def test_the_plugins_empty_a_carrier_that_they_do_not_know(woo, shop, flavour, sent, provider, link):
    shop.flavour = flavour
    row = woo("POST", OFFICIAL, json={"tracking_number": "1", **sent}).json()
    assert (row["tracking_provider"], row["tracking_link"]) == (provider, link)


def test_the_plugins_take_almost_any_number_but_not_none(woo, shop):
    assert code(woo("POST", AST, json={"tracking_provider": "UPS"})) == (400, "rest_missing_callback_param")
    assert code(woo("POST", AST, data='{"x":', headers={"Content-Type": "application/json"})) == (
        400,
        "rest_invalid_json",
    )
    assert woo("POST", AST, json={"tracking_number": "", "tracking_provider": "UPS"}).status_code == 201
    odd = woo("POST", AST, json={"tracking_number": ["a"], "tracking_provider": "UPS"}).json()
    assert odd["tracking_link"].endswith("tracknum=Array")
    assert woo("POST", AST, json={"tracking_number": 5}).json()["tracking_number"] == "5"


def test_the_official_plugin_neither_completes_nor_replaces(woo, shop):
    shop.flavour = "shipment-tracking"
    for number in ("1", "2"):
        sent = {"tracking_number": number, "status_shipped": 1, "replace_tracking": 1}
        assert woo("POST", OFFICIAL, json=sent).status_code == 201
    assert shop.numbers("12") == ["1", "2"]
    assert shop.orders["12"].status == "processing"
    assert code(woo("GET", AST)) == (404, "rest_no_route")
    assert code(woo("GET", OFFICIAL.replace("wc-shipment-tracking/v3", "wc/v3"))) == (404, "rest_no_route")
    assert code(woo("POST", OFFICIAL, auth=None, json={"tracking_number": "3"})) == (
        401,
        "woocommerce_rest_cannot_create",
    )


def test_ast_maps_a_number_to_an_order_on_post_but_not_on_get(woo, shop):
    shop.orders["12"].number = "11"
    shop.add_order("40", number="12")
    assert woo("POST", AST, json={"tracking_number": "1"}).status_code == 201
    assert (shop.numbers("12"), shop.numbers("40")) == ([], ["1"])
    assert woo("GET", AST).json() == []


def fulfillment(number="F1", **more):
    items = [{"item_id": 1, "qty": 2}, {"item_id": 2, "qty": 1}]
    metas = {"_items": items, "_tracking_number": number, "_shipment_provider": "ups", **more}
    return {"status": "fulfilled", "meta_data": [{"key": k, "value": v} for k, v in metas.items() if v is not None]}


def test_woos_fulfillments_double_and_leave_the_status(woo, shop):
    shop.flavour = "fulfillments"
    first = woo("POST", FULFILLMENTS, json=fulfillment())
    assert (first.status_code, first.json()["is_fulfilled"]) == (201, True)
    assert woo("POST", FULFILLMENTS + "?notify_customer=true", json=fulfillment()).status_code == 201
    assert shop.numbers("12") == ["F1", "F1"]
    assert len(shop.mails) == 1
    rows = woo("GET", FULFILLMENTS).json()
    assert [row["is_fulfilled"] for row in rows] == ["1", "1"]
    order = woo("GET", "/wp-json/wc/v3/orders/12").json()
    assert order["status"] == "processing"
    assert {m["key"]: m["value"] for m in order["meta_data"]} == {"_fulfillment_status": "fulfilled"}
    one = f"{FULFILLMENTS}/{first.json()['id']}"
    assert woo("PUT", one, json=fulfillment("F2")).status_code == 200
    assert shop.numbers("12") == ["F2", "F1"]
    assert woo("DELETE", one).status_code == 200
    assert shop.numbers("12") == ["F1"]
    assert code(woo("GET", one)) == (400, 404)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ({}, (400, "rest_missing_callback_param")),
        (fulfillment(_items=None), (400, 0)),
        (fulfillment(_items="6"), (400, 0)),
        (fulfillment(_items=[{"item_id": "1", "qty": 1}]), (400, 0)),
        ({**fulfillment(), "is_fulfilled": "maybe"}, (400, "rest_invalid_param")),
    ],
)
def test_woos_fulfillments_check_only_their_shape(woo, shop, sent, answer):
    shop.flavour = "fulfillments"
    assert code(woo("POST", FULFILLMENTS, json=sent)) == answer
    assert shop.numbers("12") == []


def test_an_unknown_order_of_a_fulfillment_has_its_status_as_a_text(woo, shop):
    shop.flavour = "fulfillments"
    reply = woo("POST", FULFILLMENTS.replace("12", "99"), json=fulfillment())
    assert reply.status_code == 404
    assert reply.json()["data"] == {"status": "404"}


@pytest.mark.parametrize("flavour", ["core", "ast", "shipment-tracking", "fulfillments"])
def test_two_shops_of_any_flavour_stand_side_by_side(sim, flavour):
    shop = sim.mount("woocommerce", at="second", flavour=flavour)
    shop.add_order("5")
    shop.put("5", "N1")
    assert shop.numbers("5") == ["N1"]
    assert shop.base_url.endswith("/second")
    assert sim.platform("woocommerce").numbers("5") == []
