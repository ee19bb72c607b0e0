"""The WooCommerce adapter against four kinds of shop, over a real socket."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shipfwd import platforms
from shipfwd.errors import AuthFailed, ConfigError, NotReady, OutcomeUnknown, Rejected
from shipfwd.http import Channel, Network, Talk, WouldSend
from shipfwd.models import Item, Parcel
from shipfwd.platforms.base import Tools
from shipfwd.redactor import Redactor
from shipfwd.settings import filled
from shipfwd.simulator.server import Simulator

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# what the shop is → the mode that has to be found
FLAVOURS = {"ast": "ast", "shipment-tracking": "shipment-tracking", "fulfillments": "fulfillments", "core": "meta"}


class Memory(dict):
    """A cache that never forgets by itself."""

    def put(self, key, value, seconds):
        self[key] = value


@pytest.fixture
def sim():
    with Simulator() as running:
        yield running


@pytest.fixture
def shop(sim):
    shop = sim.platform("woocommerce")
    shop.add_order("13")
    return shop


@pytest.fixture
def connect(sim, shop, tmp_path):
    """Make an adapter for the shop as it is now; keywords are settings, secrets, `cache` and `dry_run`."""
    channels = []

    def made(cache=None, dry_run=False, **more):
        settings, secrets = shop.credentials()
        secrets |= {name: more.pop(name) for name in list(more) if name in secrets}
        redactor = Redactor()
        for value in secrets.values():
            redactor.add(value)
        network = Network(redactor, lambda: NOW, lambda seconds: None, tmp_path, dry_run)
        cls = platforms.load("woocommerce")
        channels.append(Channel(network, cls.rates, "test"))
        return cls(
            Tools(
                values=filled(cls, settings | more),
                secrets=secrets,
                wire=Talk(channels[-1]),
                tokens=type("NoTokens", (), {"current": lambda self: None})(),
                cache=Memory() if cache is None else cache,
                carrier_map={},
                now=lambda: NOW,
                wait=lambda seconds: None,
                ask=str,
                tell=print,
            )
        )

    yield made
    for channel in channels:
        channel.close()


def parcel(
    number="JD0140", carrier="inpost", name="InPost", url="https://inpost.pl/sledzenie-przesylek?number=JD0140", **more
):
    return Parcel(1, number, carrier, name, url, NOW, **more)


def sent(adapter, order="13", **more):
    """Look and forward, as the engine does."""
    return adapter.forward(order, [parcel(**more)], adapter.look([order])[order])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_shop_is_recognised_and_holds_the_number_once(connect, shop, flavour):
    shop.flavour = flavour
    adapter = connect()
    (receipt,) = sent(adapter)
    assert receipt.confirmed
    assert adapter.known_mode == FLAVOURS[flavour]
    assert shop.numbers("13") == ["JD0140"]
    assert adapter.look(["13"])["13"].numbers == ("JD0140",)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_buyer_reads_the_number_in_the_mail_about_the_completed_order(connect, shop, flavour):
    shop.flavour = flavour
    adapter = connect()
    sent(adapter)
    seen = adapter.look(["13"])["13"]
    assert not seen.sent
    assert seen.state in adapter.sent_from
    adapter.mark_sent("13", seen)
    adapter.mark_sent("13", seen)
    assert shop.orders["13"].status == "completed"
    assert [(mail.order, mail.numbers) for mail in shop.mails] == [("13", ("JD0140",))]
    assert adapter.look(["13"])["13"].sent


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_number_is_replaced_and_the_others_stay(connect, shop, flavour):
    shop.flavour = flavour
    shop.put("13", "GLS123", "GLS")
    shop.orders["13"].lines[0].quantity += 1
    adapter = connect()
    more = {"items": (Item("1", quantity=1),)} if flavour == "fulfillments" else {}
    sent(adapter, **more)
    adapter.replace("13", parcel(), "JD0199", adapter.look(["13"])["13"])
    assert sorted(shop.numbers("13")) == ["GLS123", "JD0199"]


@pytest.mark.parametrize("flavour", ["ast", "shipment-tracking", "fulfillments"])
def test_a_lost_answer_is_in_doubt_and_the_next_look_finds_the_number(connect, sim, shop, flavour):
    shop.flavour = flavour
    adapter = connect()
    seen = adapter.look(["13"])["13"]
    sim.fail_next("woocommerce", "drop", match="^POST")
    with pytest.raises(OutcomeUnknown):
        adapter.forward("13", [parcel()], seen)
    assert adapter.look(["13"])["13"].has("JD0140")
    assert shop.numbers("13") == ["JD0140"]


def test_a_lost_answer_of_a_meta_field_is_simply_asked_for_again(connect, sim, shop):
    shop.flavour = "core"
    adapter = connect()
    seen = adapter.look(["13"])["13"]
    sim.fail_next("woocommerce", "drop", match="^PUT")
    assert adapter.forward("13", [parcel()], seen)[0].confirmed
    assert shop.numbers("13") == ["JD0140"]


def test_a_lost_answer_to_marking_and_to_removing_is_asked_for_again(connect, sim, shop):
    adapter = connect()
    sent(adapter)
    sim.fail_next("woocommerce", "drop", match="^(PUT|DELETE)", times=1)
    adapter.mark_sent("13", adapter.look(["13"])["13"])
    assert [mail.order for mail in shop.mails] == ["13"]
    sim.fail_next("woocommerce", "drop", match="^DELETE", times=1)
    adapter.replace("13", parcel(), "JD0199", adapter.look(["13"])["13"])
    assert shop.numbers("13") == ["JD0199"]


def test_a_half_made_correction_is_finished_without_a_second_number(connect, shop):
    adapter = connect()
    sent(adapter)
    shop.put("13", "JD0199")
    adapter.replace("13", parcel(), "JD0199", adapter.look(["13"])["13"])
    assert shop.numbers("13") == ["JD0199"]


def test_a_hundred_orders_are_looked_up_in_one_call_and_the_missing_ones_one_by_one(connect, sim, shop):
    for id in range(100, 198):
        shop.add_order(str(id))
    adapter = connect()
    asked = [str(id) for id in range(100, 200)]
    assert adapter.look_batch == 100
    assert sorted(adapter.look(asked)) == asked[:98]
    assert len(sim.calls("woocommerce", "GET .*/orders")) == 3


@pytest.mark.parametrize(
    ("settings", "batch", "parcels", "repeat"),
    [
        ({}, 100, "many", "doubles"),
        ({"order_key": "number"}, 1, "many", "doubles"),
        ({"mode": "fulfillments"}, 1, "items", "doubles"),
        ({"mode": "meta"}, 100, "joined", "harmless"),
    ],
)
def test_what_a_write_means_hangs_on_the_mode(connect, settings, batch, parcels, repeat):
    adapter = connect(**settings)
    assert (adapter.look_batch, adapter.parcels, adapter.repeat) == (batch, parcels, repeat)
    assert type(adapter).repeat == "doubles"


@pytest.mark.parametrize(("pages", "found"), [(20, ["20"]), (1, Rejected)])
def test_an_order_number_is_looked_for_on_all_pages_of_a_search(connect, shop, monkeypatch, pages, found):
    """A search finds what has to do with a word, newest first: 202, 201 and 120 stand before the order meant."""
    monkeypatch.setattr("shipfwd.platforms._woo_trackings.PAGE", 2)
    monkeypatch.setattr("shipfwd.platforms._woo_trackings.MOST_PAGES", pages)
    shop.add_order("9", number="20")
    for id in ("120", "201", "202"):
        shop.add_order(id)
    adapter = connect(mode="ast", order_key="number")
    if found is Rejected:
        with pytest.raises(Rejected, match="more than 2 orders"):
            adapter.look(["20"])
    else:
        assert [adapter.look(["20"])[order].more["id"] for order in found] == ["9"]


@pytest.mark.parametrize("order", ["0", "007", "12a", "1/2", "²", "", "9" * 30])
def test_what_is_no_order_id_is_unknown_and_never_asked_for(connect, sim, order):
    assert connect(mode="ast").look([order]) == {}
    assert sim.calls("woocommerce", "orders") == []


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        ("processing", None), ("completed", None), ("packed-by-us", None),
        ("pending", NotReady), ("on-hold", NotReady), ("checkout-draft", NotReady),
        ("cancelled", Rejected), ("refunded", Rejected), ("failed", Rejected), ("trash", Rejected),
    ],
)  # fmt: skip
def test_order_states_that_take_no_number(connect, shop, status, refusal):
    shop.orders["13"].status = status
    seen = connect(mode="ast").look(["13"])["13"]
    assert type(seen.refusal) is (refusal or type(None))


def test_ast_reaches_an_order_whose_id_is_another_orders_number(connect, shop):
    shop.add_order("107", number="2007")
    shop.add_order("55", number="107")
    sent(connect(), "107")
    assert (shop.numbers("107"), shop.numbers("55")) == (["JD0140"], [])


def test_ast_takes_back_what_went_astray(connect, shop):
    shop.add_order("107")
    adapter = connect()
    seen = adapter.look(["107"])["107"]
    shop.add_order("55", number="107")  # behind our back
    shop.orders["107"].number = "2007"
    with pytest.raises(Rejected, match="id 55; it was taken back"):
        adapter.forward("107", [parcel()], seen)
    assert (shop.numbers("107"), shop.numbers("55")) == ([], [])


def test_what_went_astray_and_cannot_be_taken_back_is_said(connect, sim, shop):
    shop.add_order("107")
    adapter = connect()
    seen = adapter.look(["107"])["107"]
    shop.add_order("55", number="107")
    shop.orders["107"].number = "2007"
    sim.fail_next("woocommerce", "502", match="^DELETE", times=9)
    with pytest.raises(Rejected, match="id 55 and it could not be taken back; remove it there"):
        adapter.forward("107", [parcel()], seen)


@pytest.mark.parametrize("flavour", ["ast", "shipment-tracking", "fulfillments"])
def test_a_plugin_that_goes_away_rests_the_shop_and_never_turns_into_a_meta_field(connect, shop, flavour):
    shop.flavour = flavour
    cache = Memory()
    connect(cache).look(["13"])
    shop.flavour, cache["mode"] = "core", None  # a day later
    with pytest.raises(ConfigError, match=f"offered {flavour} and does not now"):
        connect(cache).look(["13"])
    assert connect(cache, mode="meta").look(["13"])


def test_a_plugin_that_comes_is_used_from_the_next_day(connect, shop):
    shop.flavour = "core"
    cache = Memory()
    connect(cache).look(["13"])
    shop.flavour, cache["mode"] = "ast", None
    adapter = connect(cache)
    adapter.look(["13"])
    assert adapter.known_mode == "ast"


def test_the_list_of_carriers_is_asked_for_once(connect, sim, shop):
    shop.add_order("14")
    adapter = connect()
    sent(adapter)
    sent(adapter, "14", number="JD0141")
    assert len(sim.calls("woocommerce", "providers")) == 1
    assert len(sim.calls("woocommerce", "GET .*/wp-json/?$")) == 1


def test_a_carrier_that_the_shop_shows_as_nothing_makes_its_list_be_asked_for_anew(connect, sim, shop):
    shop.add_order("14")
    cache = Memory({"carriers ast": ["Old Van"]})
    adapter = connect(cache)
    assert sent(adapter, carrier="own-transport", name="Old Van")[0].confirmed
    sent(adapter, "14", number="JD0141")
    assert len(sim.calls("woocommerce", "providers")) == 1
    assert "InPost" in cache["carriers ast"]


def test_the_shops_index_is_read_as_a_stranger(connect, sim, shop):
    connect().look(["13"])
    index, order = sim.calls("woocommerce")
    assert index.header("authorization") == ""
    assert order.header("authorization").startswith("Basic ")


def test_check_names_the_shop_whatever_the_scheme(connect, sim):
    assert connect().check() == f"127.0.0.1:{sim.port}/woocommerce"


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ({"consumer_secret": "cs_SECRET_wrong"}, "Consumer secret is invalid"),
        ({"consumer_key": "ck_SECRET_nobody"}, "an unknown consumer_key"),
        ({"consumer_key": "ck_SECRET_write", "consumer_secret": "cs_SECRET_write"}, "does not have read permissions"),
    ],
)
def test_keys_that_may_not_are_refused_without_being_shown(connect, secrets, words):
    adapter = connect(**secrets)
    with pytest.raises(AuthFailed, match=words) as caught:
        adapter.check()
    told = str(caught.value) + "".join(str(one) for one in adapter.wire.exchanges)
    assert not [value for value in secrets.values() if value in told]


def test_a_dry_run_shows_the_write_and_sends_nothing(connect, shop):
    with pytest.raises(WouldSend) as caught:
        sent(connect(dry_run=True))
    assert caught.value.request.url.endswith("/wp-json/wc-ast/v3/orders/13/shipment-trackings")
    assert shop.numbers("13") == []
