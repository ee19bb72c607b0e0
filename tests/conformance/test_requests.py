"""Every request of the contract cases keeps the vendor's own description, and every answer looks like the vendor's.

To add a platform, add a row.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openapi import answer_problems, description, problems

CASES = Path(__file__).parent.parent / "platforms"
# platform → (description, what stands before its paths in our cases). The longest fitting prefix counts.
APIS: dict[str, list[tuple[str, str]]] = {
    "allegro": [("allegro.yaml", "")],
    "amazon": [("amazon_orders_v0.json", ""), ("amazon_orders_2026-01-01.json", "")],
    "bigcommerce": [("bigcommerce_orders.v2.oas2.yml", "/v2")],
    "ebay": [("ebay_fulfillment.json", "/sell/fulfillment/v1")],
    "empik": [("mirakl_seller.json", "")],
    "erli": [("erli.json", "")],
    "etsy": [("etsy.json", "")],
    "kaufland": [("kaufland_seller.json", "")],
    "magento": [("magento_orders_shipments_2.4.9.swagger.json", f"/rest/{store}") for store in ("all", "pl")],
    "mirakl": [("mirakl_seller.json", "")],
    "shopware": [("shopware6_adminApiSchema.json.gz", "/api")],
    "woocommerce": [("woocommerce_v3_tracking.openapi.json", "/wp-json")],
}
# What the descriptions leave out: token hosts, and the lists of routes of a WordPress.
ELSEWHERE = {
    "allegro": "https://allegro.pl/auth/oauth/",
    "amazon": "https://api.amazon.com/auth/",
    "ebay": "https://api(.sandbox)?.ebay.com/identity/",
    "etsy": "https://api.etsy.com/v3/public/oauth/",
    "woocommerce": "/wp-json/(wc/v3)?$|.*wc-shipment-tracking.*/providers$",  # as a shop was seen to have it
}
# Answers that are wrong on purpose.
CROOKED = {
    "allegro": {"unknown_status", "token_ends_during_the_run"},
    "amazon": {"unknown_state"},
    "bigcommerce": {"a_list_that_is_a_page"},
    "erli": {"unknown_state", "check_ok"},  # the pattern of a shop's name is no regular expression of Python's
    "mirakl": {"an_answer_of_neither"},
    "etsy": {"unknown_status", "token_ends_during_the_run", "status_as_answers_write_it"},
    "kaufland": {"unknown_status", "a_204_is_all_there_is"},
    "shopware": {  # a refusal's meta is described as a list and sent as an object; what `ship` answers is left open
        "codes_that_are_no_list", "delivery_gone_at_the_write", "token_ends_during_the_run", "write_refused",
        "status_accepted_without_a_change", "status_mails_only_when_wanted", "status_of_a_partly_shipped_delivery",
        "status_transfer", "status_of_a_part", "status_of_the_last_piece",
    },
}  # fmt: skip
# Parameters that a description leaves to its prose ("this resource supports offset pagination").
PROSE = {
    "empik": {"max"},
    "magento": {"fields"},
    "mirakl": {"max", "limit", "page_token"},
    "woocommerce": {"_fields", "consumer_key", "consumer_secret"},  # WordPress's own, and the keys in the query
}
# Descriptions that show the whole thing where a part of it is sent (PATCH) or asked for by its fields' names.
PARTIAL = {"shopware"}
# What real servers were seen to answer in spite of their description. With `fields` the rest is left out.
OBSERVED = {
    "magento": r"is a required property|answer: '\d+' is not of type 'integer'|None is not of type 'array'"
    r"|answer.parameters: {.*} is not of type 'array'",
    # An index of what carries tracking: an order has more fields, a DELETE answers with what it took away.
    "woocommerce": r"has no such field|answer 200: the description has no document there"
    r"|is_fulfilled: '[01]' is not of type 'boolean'|answer.data.status: '404' is not of type 'integer'",
}
STEPS = [
    pytest.param(name, step, id=f"{name}-{case}-{place}")
    for name in APIS
    for case, talk in json.loads((CASES / f"{name}.json").read_text())["cases"].items()
    for place, step in enumerate({**one, "case": case} for one in talk["talk"])
    if not re.match(ELSEWHERE.get(name, "(?!)"), step["path"])
]
ANSWERS = [
    one
    for one in STEPS
    if not {"broken", "reply_text"} & set(one.values[1]) and one.values[1]["case"] not in CROOKED.get(one.values[0], ())
]


def api(name: str, path: str) -> tuple[str, str]:
    """The description that a path belongs to, and the path in it."""
    path = urlsplit(path).path
    fitting = [(file, prefix) for file, prefix in APIS[name] if path.startswith(prefix)]
    assert fitting, f"no description of {name} holds {path}"
    file, prefix = max(fitting, key=lambda row: (len(row[1]), description(row[0]).holds(path[len(row[1]) :])))
    return file, path[len(prefix) :]


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_request_keeps_the_description(name, step):
    file, path = api(name, step["path"])
    query = {key: value for key, value in step.get("query", {}).items() if key not in PROSE.get(name, ())}
    asked = problems(
        file,
        step["method"],
        path,
        query=query if "query" in step else None,
        headers=step.get("headers"),
        body=step.get("sent", step.get("text") or None),
        form=step.get("form"),
    )
    assert [one for one in asked if name not in PARTIAL or "is a required property" not in one] == []


@pytest.mark.parametrize(("name", "step"), ANSWERS)
def test_an_answer_looks_like_the_vendors(name, step):
    file, path = api(name, step["path"])
    wrong = answer_problems(file, step["method"], path, step.get("status", 200), step.get("reply"))
    wrong = [one for one in wrong if not re.search(OBSERVED.get(name, "(?!)"), one)]
    assert [one for one in wrong if name not in PARTIAL or "is a required property" not in one] == []


def test_every_description_can_be_read():
    assert all(description(file).document["paths"] for rows in APIS.values() for file, _ in rows)
