"""PrestaShop from the command line to its stand-in and back, over real sockets; and the stand-in's own habits."""

from __future__ import annotations

import pytest
import requests

NUMBER, SECOND, THIRD = (f"62000000000000000000000{place}" for place in (1, 2, 3))
READY, SPLIT, TWO_ROWS, UNPAID, CANCELLED, DELIVERED = (
    "XKBKNABJK", "OHSATSERP", "FFATNOMMJ", "KHWLILZLL", "JDKAAHSDO", "PAIKSZPTO",
)  # fmt: skip
PATCH, MARK = "PATCH .*order_carriers", "POST .*order_histories"
KEPT = {"weight": "0.500000", "shipping_cost_tax_excl": "7.000000", "shipping_cost_tax_incl": "8.400000"}


@pytest.fixture
def stand(sim):
    found = sim.platform("prestashop")
    found.seed()
    return found


@pytest.fixture
def presta(shop, stand):
    shop.add("presta", "prestashop")
    return shop


def add(shop, order, number=NUMBER, *more):
    return shop.run("add", order, number, "-i", "presta", *more)


def reasons(shop):
    return {row["id"]: row["reason"] for row in shop.json("status")}


def test_a_number_is_there_once_weight_and_costs_are_kept_and_the_order_is_shipped(sim, presta, stand):
    assert presta.run("integration", "check", "presta").code == 0
    assert add(presta, READY).code == 0
    (row,) = stand.orders[READY].rows
    assert row["tracking_number"] == NUMBER
    assert {name: row[name] for name in KEPT} == KEPT
    assert stand.orders[READY].status == "4"
    (shown,) = presta.json("status")
    assert (shown["state"], shown["remote_id"]) == ("forwarded", str(row["id"]))
    assert shown["confirmed_at"]
    assert shown["status_sent_at"]
    assert presta.run("forward", 1, "--again").code == 0
    assert presta.run("sweep").code == 0
    assert presta.run("verify").code == 0
    assert (len(sim.calls("prestashop", PATCH)), len(sim.calls("prestashop", MARK))) == (1, 1)
    assert stand.mails == []


@pytest.mark.parametrize("state", ["x", "0", "4.0", "shipped"])
def test_a_shipped_state_that_is_no_number_is_refused_at_once(presta, state):
    said = presta.run("integration", "edit", "presta", "--set", f"shipped_state={state}")
    assert (said.code, "number of an order status" in said.err) == (2, True)


def test_a_shop_before_8_and_a_key_without_patch_get_the_whole_row(sim, presta, stand):
    stand.version = (1, 7)
    assert add(presta, READY).code == 0
    assert add(presta, TWO_ROWS, SECOND).code == 0
    for order, number in ((READY, NUMBER), (TWO_ROWS, SECOND)):
        row = stand.orders[order].rows[-1]
        assert row["tracking_number"] == number
        assert {name: row[name] for name in KEPT} == KEPT
        assert (row["id_order_invoice"], row["date_add"][:4]) == ("9", stand.stamp("%Y"))
    assert stand.orders[TWO_ROWS].rows[0]["tracking_number"] == ""
    assert len(sim.calls("prestashop", PATCH)) == 1, "asked once, then known"


def test_a_lost_answer_is_simply_asked_for_again(sim, presta, stand):
    sim.fail_next("prestashop", "drop", match=PATCH)
    assert add(presta, READY).code == 0
    assert stand.numbers(READY) == [NUMBER]


def test_a_lost_answer_that_was_asked_for_again_keeps_the_orders_next_parcel_for_later(sim, presta, stand):
    """The first request may still arrive, and writes the whole field."""
    sim.fail_next("prestashop", "drop", match=PATCH)
    assert add(presta, READY).code == 0
    assert add(presta, READY, SECOND).code == 4
    assert reasons(presta)[2] == "a write for shipment 1 of its order was lost and may still arrive; sent after that"
    presta.clock.forward(seconds=125)
    assert presta.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER, SECOND]


def test_where_the_buyer_is_mailed_a_lost_answer_is_looked_up_and_mailed_once(sim, presta, stand):
    presta.run("integration", "edit", "presta", "--set", "notify_buyer=true")
    sim.fail_next("prestashop", "drop", match=PATCH)
    assert add(presta, READY).code == 4
    assert reasons(presta)[1].startswith("in doubt")
    presta.clock.forward(seconds=121)
    assert presta.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]
    assert [(mail.subject, mail.numbers) for mail in stand.mails] == [
        ("Package in transit", (NUMBER,)), ("Shipped", (NUMBER,)),
    ]  # fmt: skip


def test_a_mail_that_fails_after_saving_is_not_sent_again(presta, stand):
    presta.run("integration", "edit", "presta", "--set", "notify_buyer=true", "--no-status-transfer")
    stand.mail_breaks = True
    assert add(presta, READY).code == 4
    presta.clock.forward(seconds=121)
    assert presta.run("forward").code == 0
    assert (stand.numbers(READY), stand.mails) == ([NUMBER], [])


def test_a_write_that_never_arrived_is_sent_again_after_the_wait(sim, presta, stand):
    presta.run("integration", "edit", "presta", "--set", "notify_buyer=true")
    sim.fail_next("prestashop", "close", match=PATCH)
    assert add(presta, READY).code == 4
    presta.clock.forward(seconds=60)
    assert presta.run("forward", 1).code == 4
    assert len(sim.calls("prestashop", PATCH)) == 1
    presta.clock.forward(seconds=61)
    assert presta.run("forward").code == 0
    assert stand.numbers(READY) == [NUMBER]


def test_parcels_join_in_one_field_until_it_is_full(sim, presta, stand):
    add(presta, READY, NUMBER, "--no-forward")
    add(presta, READY, SECOND, "--no-forward")
    assert presta.run("forward").code == 0
    assert stand.orders[READY].rows[0]["tracking_number"] == f"{NUMBER},{SECOND}"
    assert (len(sim.calls("prestashop", PATCH)), len(sim.calls("prestashop", MARK))) == (1, 1)
    assert add(presta, READY, THIRD).code == 1
    assert "holds 64 characters" in reasons(presta)[3]
    assert presta.json("status")[0]["state"] == "blocked", "refused before anything was sent"
    assert presta.run("sweep").code == 0, "told once"
    assert stand.numbers(READY) == [NUMBER, SECOND]
    stand.orders[READY].rows[0]["tracking_number"] = NUMBER
    assert presta.run("forward", 3).code == 0
    assert stand.numbers(READY) == [NUMBER, THIRD]


def test_what_does_not_fit_stays_behind_and_the_order_is_marked_once_it_is_dropped(presta, stand):
    for number in (NUMBER, SECOND, THIRD):
        add(presta, READY, number, "--no-forward")
    assert presta.run("forward").code == 1
    assert {row["id"]: row["state"] for row in presta.json("status")} == {1: "forwarded", 2: "forwarded", 3: "blocked"}
    assert stand.numbers(READY) == [NUMBER, SECOND]
    assert stand.orders[READY].status != "4"  # one parcel is in trouble still
    assert presta.run("drop", 3).code == 0
    assert presta.run("sweep").code == 0
    assert stand.orders[READY].status == "4"


def test_a_correction_leaves_the_other_numbers_alone(presta, stand):
    stand.put(READY, "JD0140")
    add(presta, READY)
    assert presta.run("correct", 1, SECOND, "--yes").code == 0
    assert stand.orders[READY].rows[0]["tracking_number"] == f"JD0140,{SECOND}"


@pytest.mark.parametrize(
    ("order", "code", "state", "words"),
    [
        (SPLIT, 1, "failed", "2 orders of the shop share the reference OHSATSERP"),
        (CANCELLED, 1, "failed", "cancelled at the shop"),
        (UNPAID, 4, "retrying", "awaiting a bank wire"),
        ("no order|at all", 1, "failed", "knows no order"),
    ],
)
def test_orders_that_take_no_number(sim, presta, stand, order, code, state, words):
    assert add(presta, order).code == code
    (shown,) = presta.json("status")
    assert shown["state"] == state
    assert words in shown["reason"]
    assert not sim.calls("prestashop", "PATCH|PUT|POST")


def test_a_delivered_order_gets_its_number_and_keeps_its_state(sim, presta, stand):
    assert add(presta, DELIVERED).code == 0
    assert stand.numbers(DELIVERED)[-1] == NUMBER
    assert stand.orders[DELIVERED].status == "5"
    assert not sim.calls("prestashop", MARK)


@pytest.mark.parametrize(("when", "code", "marked"), [("after", 0, True), ("before", 1, False)])
def test_a_shop_that_breaks_off_while_marking_is_looked_at_again(sim, presta, stand, when, code, marked):
    stand.history = when
    assert add(presta, READY).code == code
    assert bool(presta.json("status")[0]["status_sent_at"]) is marked
    stand.history = ""
    presta.run("sweep")
    assert len(sim.calls("prestashop", MARK)) == 1, "a history line is one more each time"


def test_orders_may_be_called_by_their_id(presta, stand):
    stand.add_order("15")
    presta.run("integration", "edit", "presta", "--set", "order_key=id")
    assert add(presta, "15").code == 0
    assert stand.numbers("15") == [NUMBER]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keys": {"SECRETSIMKEYFULLRIGHTS0000000001": {}}}, "No permission for this authentication key"),
        ({"keys": {}}, "Authentification key is not active"),
        ({"webservice": False}, "is switched off"),
        ({"moved_to": "http://www.shop.example"}, "redirects to http://www.shop.example"),
    ],
)
def test_what_only_the_shops_owner_can_mend_rests_the_integration(presta, stand, change, words):
    for name, value in change.items():
        setattr(stand, name, value)
    said = add(presta, READY)
    assert said.code == 3
    assert words in said.err
    assert presta.json("status")[0]["state"] == "pending"
    assert words in presta.run("integration", "check", "presta").err


# ---- the stand-in does what the shop did ------------------------------------------------------------------------


@pytest.fixture
def ask(stand):
    with requests.Session() as session:
        session.trust_env = False

        def call(method, path, inner="", key="SECRETSIMKEYFULLRIGHTS0000000001", **more):
            body = f"<prestashop>{inner}</prestashop>" if inner else None
            auth = None if key is None else (key, "")
            return session.request(
                method, stand.base_url + path, data=body, auth=auth, timeout=5, allow_redirects=False, **more
            )

        yield call


def row_xml(row, **fields):
    return (
        "<order_carrier>"
        + "".join(f"<{k}>{v}</{k}>" for k, v in {"id": row["id"], **fields}.items())
        + "</order_carrier>"
    )


def test_the_stand_in_empties_what_a_put_leaves_out(ask, stand):
    (row,) = stand.orders[READY].rows
    least = {"id_order": row["id_order"], "id_carrier": 2}
    assert (
        ask("PUT", f"/api/order_carriers/{row['id']}", row_xml(row, **least, tracking_number="A1")).status_code == 200
    )
    assert (row["tracking_number"], row["weight"], row["id_order_invoice"]) == ("A1", "0.000000", "0")
    assert ask("PUT", f"/api/order_carriers/{row['id']}", row_xml(row, tracking_number="A1")).status_code == 400


def test_the_stand_in_answers_all_of_a_number_and_stores_64_characters(ask, stand):
    (row,) = stand.orders[READY].rows
    path = f"/api/order_carriers/{row['id']}?output_format=JSON"
    said = ask("PATCH", path, row_xml(row, tracking_number="9" * 65)).json()
    assert said["order_carrier"]["tracking_number"] == "9" * 65
    assert row["tracking_number"] == "9" * 64
    assert ask("PATCH", path, row_xml(row, tracking_number="A;1")).json()["errors"][0]["code"] == 85


def test_the_stand_in_follows_the_id_in_the_body(ask, stand):
    (row,), (other,) = stand.orders[READY].rows, stand.orders[UNPAID].rows
    assert ask("PATCH", f"/api/order_carriers/{row['id']}", row_xml(other, tracking_number="X1")).status_code == 200
    assert (row["tracking_number"], other["tracking_number"]) == ("", "X1")


def test_the_stand_in_doubles_history_lines_and_says_nothing_to_an_unknown_state(ask, stand):
    def line(state):
        order = stand.orders[READY].more["id"]
        return f"<order_history><id_order>{order}</id_order><id_order_state>{state}</id_order_state></order_history>"

    for _ in range(2):
        assert ask("POST", "/api/order_histories?sendemail=1", line(4)).status_code == 201
    assert (len(stand.histories), len(stand.mails)) == (2, 2)
    said = ask("POST", "/api/order_histories", line(999))
    assert (said.status_code, said.text) == (500, "")


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "codes"),
    [
        ("GET", "/api/orders", "x" * 32, 401, [20, 21]),
        ("GET", "/api/orders", "short", 401, [18]),
        ("GET", "/api/orders", "", 401, [17]),
        ("GET", "/api/orders", "SECRETSIMKEYNORIGHTS000000000001", 401, [21]),
        ("GET", "/api/order_states", "SECRETSIMKEYREADONLY000000000001", 401, [26]),
        ("PATCH", "/api/order_carriers/1", "SECRETSIMKEYREADONLY000000000001", 405, [25]),
        ("GET", "/api/shipments", "SECRETSIMKEYFULLRIGHTS0000000001", 400, [27]),
        ("GET", "/api/orders?filter[nope]=1", "SECRETSIMKEYFULLRIGHTS0000000001", 500, [32, 3]),
        ("GET", "/api/orders?display=[nope]", "SECRETSIMKEYFULLRIGHTS0000000001", 500, [35, 3]),
    ],
)  # fmt: skip
def test_the_stand_in_refuses_in_the_shops_own_words(ask, method, path, key, status, codes):
    json = "&output_format=JSON" if "?" in path else "?output_format=JSON"
    said = ask(method, path + json, key=key)
    assert (said.status_code, [one["code"] for one in said.json()["errors"]]) == (status, codes)
    assert [f"[{code}]" in ask(method, path, key=key).text for code in codes] == [True] * len(codes)


def test_the_stand_in_says_nothing_where_it_finds_nothing(ask):
    assert ask("GET", "/api/orders?filter[reference]=[NO-SUCH.1]&output_format=JSON").json() == []
    assert "<orders>\n</orders>" in ask("GET", "/api/orders?filter[reference]=[NO-SUCH.1]").text
    assert (ask("GET", "/api/orders/99999").status_code, ask("GET", "/api/orders/99999").text) == (404, "")
    assert ask("GET", "/api/orders", key=None).text == "401 Unauthorized"
