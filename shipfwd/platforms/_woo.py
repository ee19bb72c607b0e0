"""WooCommerce's words: its carriers, how its documents show a number, and what its refusals mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from shipfwd.errors import AuthFailed, ConfigError, NotUnderstood, NumberNotAccepted, OrderNotFound, Rejected
from shipfwd.models import Line, Reply
from shipfwd.platforms._fields import Fields
from shipfwd.platforms.base import host

DAY = 86400.0
ORDERS, ORDER = "/wp-json/wc/v3/orders", "/wp-json/wc/v3/orders/{}"
SPACES = {"ast": "wc-ast/v3", "shipment-tracking": "wc-shipment-tracking/v3"}
MODES = (*SPACES, "fulfillments", "meta")  # what buyers see best comes first
# Keys of meta_data: both plugins', core's and the meta mode's number, the meta mode's carrier.
ITEMS, NUMBER, PROVIDER = "_wc_shipment_tracking_items", "_tracking_number", "_tracking_provider"

# Order states. Whatever is in none of these is the shop's own, and takes a number.
OVER = ("cancelled", "refunded", "failed", "trash")
UNPAID = ("pending", "on-hold", "checkout-draft", "auto-draft")
LATER = ("completed", "shipped", "delivered")

# Slugs of core fulfillments; a slug of ours that is missing here goes as "other" with its name.
SLUGS = {slug: slug for slug in (
    "an-post", "australia-post", "bpost", "bulgarian-posts", "canada-post", "ceska-posta", "chronopost", "correos",
    "ctt", "deutsche-post", "dhl", "dpd", "econt", "elta", "fan-courier", "fedex", "gls", "hrvatska-posta", "inpost",
    "latvijas-pasts", "magyar-posta", "matkahuolto", "mondial-relay", "mrw", "nova-poshta", "omniva", "parcelforce",
    "poczta-polska", "post-luxembourg", "posta-romana", "poste-italiane", "postnl", "postnord", "purolator",
    "royal-mail", "sda", "seur", "slovenska-posta", "swiss-post", "ukrposhta", "ups", "usps",
)} | {
    "acs": "acs-courier", "amazon": "amazon-logistics", "austrian-post": "osterreichische-post",
    "bring": "posten-norge-bring", "brt": "bartolini-brt", "cargus": "urgent-cargus",
    "colissimo": "la-poste-colissimo", "dhl-de": "dhl", "dhl-ecommerce": "dhl", "dhl-express": "dhl", "dhl-nl": "dhl",
    "dpd-cz": "dpd", "dpd-de": "dpd", "dpd-hu": "dpd", "dpd-ie": "dpd", "dpd-ro": "dpd", "dpd-sk": "dpd",
    "dpd-uk": "dpd", "evri": "evri-hermes", "gls-it": "gls", "gls-nl": "gls", "ontrac": "lasership-ontrac",
    "packeta": "zasilkovna", "posti": "itella",
}  # fmt: skip

# What the plugins' lists call a carrier, where it is not our own name for it.
NAMES: Mapping[str, tuple[str, ...]] = {
    "austrian-post": ("post.at",),
    "brt": ("BRT (Bartolini)", "BRT Bartolini"),
    "cargus": ("Urgent Cargus",),
    "dpd": ("DPD.PL", "DPD Poland", "DPD Polska"),
    "dpd-cz": ("DPD.cz",),
    "dpd-de": ("DPD.de",),
    "dpd-ie": ("DPD.ie",),
    "posti": ("Itella",),
    "ppl": ("PPL.cz",),
}

STRANGER = "look the same"  # the mark of a 401 that a lost Authorization header explains
_KEYS = "WooCommerce > Settings > Advanced > REST API"


# ---- documents ----------------------------------------------------------------------------------------------


@lru_cache(1024)  # a shop's whole list is compared for each parcel
def letters(name: str) -> str:
    """A carrier's name as it is compared: letters and digits, case folded."""
    return "".join(c for c in name.casefold() if c.isalnum())


def dicts(values: Any) -> list[dict[str, Any]]:
    """A list's objects; also of a PHP list with gaps, which comes as an object."""
    if isinstance(values, Mapping):
        values = values.values()
    return [one for one in values if isinstance(one, dict)] if isinstance(values, Iterable) else []


def metas(rows: Any, key: str) -> list[Any]:
    """The values that stand under a key of meta_data."""
    return [row.get("value") for row in dicts(rows) if row.get("key") == key]


def word_of(value: Any) -> str:
    """A meta field's text. Raises NotUnderstood where a plugin keeps something else there."""
    if isinstance(value, bool | list | dict) and value:
        raise NotUnderstood("the shop shows a tracking number that is no word")
    return str(value or "")


def joined(values: Sequence[Any]) -> list[str]:
    """The words of a field that holds several, joined by commas."""
    return [word.strip() for value in values for word in re.split("[,;\n]", word_of(value)) if word.strip()]


def bare(data: Any, name: str) -> Any:
    """A document, out of the object that fulfillments stood in at first (WooCommerce 10.1; #60699 took it away)."""
    return data[name] if isinstance(data, dict) and name in data else data


def number_of(fulfillment: Any) -> str:
    return "".join(word_of(value) for value in metas(fulfillment.get("meta_data"), NUMBER)[:1])


def lines_of(reads: Fields, order: Mapping[str, Any], fulfillments: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    """The order's lines, and how many of each no fulfilled fulfillment has; half a piece is one."""
    gone: dict[str, float] = {}
    for one in fulfillments:
        for items in metas(one.get("meta_data"), "_items") if one.get("status") == "fulfilled" else ():
            for item in dicts(items):
                id = str(item.get("item_id"))
                gone[id] = gone.get(id, 0) + reads.amount(item, "qty", absent=0)
    lines = []
    for line in dicts(order.get("line_items")):
        id, many = str(reads.count(line, "id")), reads.amount(line, "quantity", absent=0)
        if many > 0:
            left = max(0, math.ceil(many - gone.get(id, 0)))
            lines.append(Line(id, math.ceil(many), left, reads.text(line, "sku", absent="")))
    return tuple(lines)


# ---- refusals -----------------------------------------------------------------------------------------------


def explain(reply: Reply, shipped_status: str) -> Exception | None:
    """What a refusal means, by its code; None leaves it to the status."""
    if reply.status < 400 or reply.status in (408, 429) or reply.status >= 500:
        return None
    data = reply.data if isinstance(reply.data, dict) else {}
    code, said, shop = str(data.get("code", "")), str(data.get("message") or "")[:200], host(reply.url)
    if code == "woocommerce_rest_cannot_view":
        return AuthFailed(
            f"{shop} does not let these keys read orders ({said}): an unknown consumer_key, an owner without the right "
            f"and an Authorization header lost on the way {STRANGER}; check the key at {_KEYS}"
        )
    if code == "forbidden" or code.startswith("woocommerce_rest_cannot_"):
        return AuthFailed(
            f"{shop} does not let these keys write ({said}); the key's owner must be an administrator or shop manager "
            f"(manage_woocommerce), see {_KEYS}"
        )
    if reply.status == 401:
        return AuthFailed(f"{shop} refuses these keys ({said or 'no reason given'}); check them at {_KEYS}")
    if code == "rest_no_route":
        return ConfigError(
            f"{shop} has no such route; is WooCommerce with its tracking plugin switched on, and the mode right? "
            "see: shipfwd integration check"
        )
    if not data and reply.status == 404:
        return ConfigError(
            f"{shop} answers 404 with a page where its API should be; set Settings > Permalinks there to anything but "
            "Plain, or correct base_url"
        )
    if not data and reply.status in (403, 406):
        return ConfigError(f"{shop} answers {reply.status} with a page; a firewall or security plugin is in the way")
    if "pecial character" in said:  # older AST, under the code of an unknown order
        return NumberNotAccepted(f"the tracking plugin of {shop} takes letters, digits and hyphens only")
    if code.endswith("_invalid_id"):
        return OrderNotFound(f"{shop} knows no such order ({said}); order_key says whether ids or numbers are given")
    params = data["data"].get("params") if isinstance(data.get("data"), dict) else None
    if code == "rest_invalid_param" and isinstance(params, dict) and "status" in params:
        return Rejected(
            f"{shop} has no order status '{shipped_status}' ({params['status']}); name one of them: "
            "shipfwd integration edit NAME --set shipped_status=…"
        )
    return None
