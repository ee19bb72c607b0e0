"""The WooCommerce plugin itself, from WOOCOMMERCE=PATH, and Advanced Shipment Tracking from AST=PATH.

Collected only where WOOCOMMERCE is given (conftest.py says loudly when it is not).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

MODES = ["meta", "fulfillments", *(["ast"] if os.environ.get("AST") else [])]
NUMBER, SECOND, CORRECTED = "620000000000000000000001", "620000000000000000000002", "620000000000000000000009"
KEY = """
global $wpdb;
$wpdb->insert($wpdb->prefix . 'woocommerce_api_keys', ['user_id' => 1, 'description' => 'test', 'permissions' => 'read_write',
    'consumer_key' => wc_api_hash('SECRET-ck'), 'consumer_secret' => 'SECRET-cs', 'truncated_key' => 'cret-ck']);
update_option('woocommerce_feature_fulfillments_enabled', '%s');
return WC()->version;
"""
ORDER = """
$product = new WC_Product_Simple(); $product->set_name('Mug'); $product->set_regular_price('10'); $product->save();
$order = wc_create_order(); $order->add_product($product, 3); $order->set_billing_email('buyer@example.test');
$order->set_status('processing'); $order->save();
return [$order->get_id(), array_key_first($order->get_items())];
"""


@pytest.fixture(scope="session")
def woocommerce(wordpress):
    version = wordpress.plugin(Path(os.environ["WOOCOMMERCE"]))
    print(f"WooCommerce {version}")
    if extra := os.environ.get("AST"):
        print(f"Advanced Shipment Tracking {wordpress.plugin(Path(extra))}")
    return wordpress


@pytest.fixture(params=MODES)
def store(request, woocommerce, merchant):
    woocommerce.wp(KEY % ("yes" if request.param == "fulfillments" else "no"))
    shop = merchant("--set", f"mode={request.param}")
    shop.woocommerce = woocommerce
    shop.order, shop.line = map(str, woocommerce.wp(ORDER))
    return shop


def put(shop, number, *more):
    return shop.run("add", shop.order, number, "-i", "woo", "--carrier", "inpost", *more)


def status(shop):
    return shop.woocommerce.wp(f"return wc_get_order({shop.order})->get_status();")


def test_a_number_is_there_once_and_the_order_completed(store):
    assert store.run("integration", "check", "woo").code == 0
    assert put(store, NUMBER).code == 0
    row = store.json("status")[0]
    assert (row["state"], bool(row["confirmed_at"]), bool(row["status_sent_at"])) == ("forwarded", True, True)
    assert status(store) == "completed"
    assert store.run("forward", "--again", "1").code == 0
    assert store.run("verify").code == 0


def test_an_order_in_two_parcels_is_completed_with_the_second(store):
    assert put(store, NUMBER, "--item", f"{store.line}:1").code == 0
    assert "2 more of the order are in no parcel yet" in store.json("status")[0]["reason"]
    assert status(store) == "processing"
    assert put(store, SECOND, "--item", store.line).code == 0
    assert status(store) == "completed"
    assert store.run("verify").code == 0


def test_a_correction_leaves_the_new_number_alone(store):
    assert put(store, NUMBER).code == 0
    assert store.run("correct", "1", CORRECTED, "--yes").code == 0
    row = store.json("status")[0]
    assert (row["tracking_number"], row["state"], bool(row["confirmed_at"])) == (CORRECTED, "forwarded", True)
    assert store.run("verify").code == 0


def test_an_order_that_is_not_there_and_a_wrong_key_are_told(store, monkeypatch):
    assert store.run("add", "99999999", NUMBER, "-i", "woo", "--carrier", "inpost").code == 1
    assert "knows no" in store.json("status")[0]["reason"]
    monkeypatch.setenv("T_CS", "SECRET-other")
    said = store.run("integration", "check", "woo")
    assert (said.code, "Consumer secret is invalid" in said.out + said.err) == (3, True)
