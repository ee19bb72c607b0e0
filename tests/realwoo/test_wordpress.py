"""The WooCommerce adapter against a real WordPress: what stands between a shop's address and its REST API."""

from __future__ import annotations

import pytest
import requests

# A double of WooCommerce's routes inside the real WordPress: WordPress routes, filters fields and shapes errors.
DOUBLE = """<?php
add_action('rest_api_init', function () {
    $may = function () {
        $given = [$_SERVER['PHP_AUTH_USER'] ?? $_GET['consumer_key'] ?? '', $_SERVER['PHP_AUTH_PW'] ?? $_GET['consumer_secret'] ?? ''];
        if ($given === ['SECRET-ck', 'SECRET-cs']) { return true; }
        return new WP_Error('woocommerce_rest_cannot_view', 'Sorry, you cannot list resources.', ['status' => 401]);
    };
    $order = function ($id) { return ['id' => $id, 'number' => "$id", 'status' => get_option("s$id", 'processing'),
        'line_items' => [], 'meta_data' => get_option("m$id", [])]; };
    register_rest_route('wc/v3', '/orders', ['methods' => 'GET', 'permission_callback' => $may,
        'callback' => function ($asked) use ($order) {
            return array_map($order, array_values(array_filter(array_map('intval', explode(',', $asked['include'] ?? '13')))));
        }]);
    register_rest_route('wc/v3', '/orders/(?P<id>[0-9]+)', [
        ['methods' => 'GET', 'permission_callback' => $may, 'callback' => function ($asked) use ($order) {
            if ($asked['id'] > 99) {
                return new WP_Error('woocommerce_rest_shop_order_invalid_id', 'Invalid ID.', ['status' => 404]);
            }
            return $order((int) $asked['id']); }],
        ['methods' => 'POST, PUT, PATCH', 'permission_callback' => $may, 'callback' => function ($asked) use ($order) {
            $id = (int) $asked['id'];
            if ($asked['meta_data']) { update_option("m$id", $asked['meta_data']); }
            if ($asked['status']) { update_option("s$id", $asked['status']); }
            return $order($id); }]]);
});
"""
NUMBER = "620000000000000000000001"


@pytest.fixture
def plugins(wordpress):
    """Put small plugins there; gone afterwards."""
    made = []

    def put(**codes):
        made.extend(wordpress.must_use(name, code) for name, code in codes.items())

    yield put
    for one in made:
        one.unlink(missing_ok=True)


@pytest.fixture
def flag(wordpress):
    """Files that change what the web server does; gone afterwards."""
    made = []

    def put(name, text=""):
        (path := wordpress.folder / name).write_text(text)
        made.append(path)

    yield put
    for one in made:
        one.unlink(missing_ok=True)


def check(shop):
    said = shop.run("integration", "check", "woo")
    text = said.out + said.err
    assert "SECRET" not in text
    return said.code, text


def send(shop, order, number=NUMBER):
    return shop.run("add", order, number, "-i", "woo", "--carrier", "inpost").code


def first(shop):
    return shop.json("status")[0]


def test_a_wordpress_without_woocommerce_is_told_in_plain_words(merchant):
    code, text = check(shop := merchant())
    assert (code, "plugin WooCommerce is missing or switched off" in text) == (3, True)
    assert send(shop, "13") == 3
    assert first(shop)["state"] == "pending"


def test_plain_permalinks_are_told_with_the_place_to_change_them(merchant, flag):
    flag("plain")
    code, text = check(merchant())
    assert (code, "Permalinks" in text) == (3, True)


def test_the_wrong_folder_of_the_site_is_told(merchant, wordpress):
    code, text = check(merchant(base=wordpress.url.removesuffix("/shop") + "/nothing"))
    assert code == 3
    assert "base_url" in text or "route" in text


def test_a_number_goes_into_a_meta_field_once_and_the_order_is_completed(merchant, plugins):
    plugins(double=DOUBLE)
    shop = merchant()
    assert check(shop)[0] == 0
    assert send(shop, "13") == 0
    assert first(shop)["state"] == "forwarded"
    assert first(shop)["confirmed_at"]
    assert first(shop)["status_sent_at"]
    assert shop.run("verify").code == 0
    assert send(shop, "100") == 1
    assert "knows no" in first(shop)["reason"]


def test_where_the_header_is_lost_the_query_is_used(merchant, plugins, flag):
    plugins(double=DOUBLE)
    flag("strip")
    shop = merchant()
    assert check(shop)[0] == 0
    assert send(shop, "14") == 0
    assert shop.run("verify").code == 0


def test_a_wrong_key_is_a_login_problem(merchant, plugins, monkeypatch):
    plugins(double=DOUBLE)
    shop = merchant()
    monkeypatch.setenv("T_CS", "SECRET-other")
    code, text = check(shop)
    assert (code, "consumer_key" in text) == (3, True)


def test_maintenance_is_passing_trouble_whatever_the_step(merchant, plugins, wordpress):
    plugins(double=DOUBLE)
    shop = merchant()
    place = wordpress.site / ".maintenance"
    place.write_text("<?php $upgrading = time();")
    try:
        assert check(shop)[0] == 4
        assert send(shop, "15") == 4
        assert first(shop)["state"] == "retrying"
    finally:
        place.unlink()
    shop.clock.forward(hours=1)
    assert shop.run("forward").code == 0


def test_a_fatal_error_of_a_plugin_is_passing_trouble(merchant, plugins):
    plugins(double=DOUBLE, broken="<?php add_action('rest_api_init', function () { not_there(); });")
    shop = merchant()
    code, text = check(shop)
    assert (code, "critical error on this website" in text, "<p>" in text) == (4, True, False)
    assert send(shop, "16") == 4
    assert first(shop)["state"] == "retrying"


@pytest.mark.parametrize(
    "noise", ["\ufeff", "\n\n", "<br />\n<b>Warning</b>: Undefined variable $x in /a.php on line 3<br />\n"]
)
def test_what_a_plugin_prints_before_the_document_loses_no_number(merchant, plugins, noise):
    plugins(double=DOUBLE, noise=f"<?php echo {noise!r};".replace("'", '"') if noise.isascii() else f"{noise}<?php ")
    shop = merchant()
    code, text = check(shop)
    assert code == (4 if "Warning" in noise else 0), text
    assert send(shop, "17") == code
    assert first(shop)["state"] == ("forwarded" if code == 0 else "retrying")


def test_a_write_whose_answer_breaks_is_in_doubt_and_the_number_is_found(merchant, plugins):
    late = "add_filter('rest_pre_echo_response', function ($r) { if ($_SERVER['REQUEST_METHOD'] === 'PUT') { not_there(); } return $r; });"
    plugins(double=DOUBLE, broken=f"<?php {late}")
    shop = merchant("--set", "mode=meta")
    assert send(shop, "18") == 4
    assert first(shop)["state"] == "retrying"
    plugins(broken="<?php ")
    shop.clock.forward(hours=1)
    assert shop.run("forward").code == 0
    assert first(shop)["state"] == "forwarded"


def test_a_redirect_is_told_and_never_followed(merchant, plugins):
    plugins(
        double=DOUBLE,
        move="<?php header('Location: https://www.shop.test' . $_SERVER['REQUEST_URI'], true, 301); exit;",
    )
    shop = merchant()
    code, text = check(shop)
    assert (code, "www.shop.test" in text) == (3, True)
    assert send(shop, "19") == 3
    assert first(shop)["state"] == "pending"


def test_wordpress_reads_notify_customer_false_as_no(wordpress, plugins):
    """Why: PHP itself takes the word "false" for true, and a buyer would be mailed."""
    plugins(
        asks="""<?php add_action('rest_api_init', function () {
        register_rest_route('double/v1', '/asks', ['methods' => 'POST', 'permission_callback' => '__return_true',
            'args' => ['notify_customer' => ['type' => 'boolean', 'default' => false]],
            'callback' => function ($asked) { return ['notify' => (bool) $asked->get_param('notify_customer')]; }]); });"""
    )

    def said(word):
        answer = requests.post(f"{wordpress.url}/wp-json/double/v1/asks", params={"notify_customer": word}, timeout=30)
        return answer.json()["notify"]

    assert (said("false"), said("true")) == (False, True)
