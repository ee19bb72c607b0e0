"""BigCommerce's words: its carriers, its order states, how its documents name things, and what its refusals say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shipfwd.errors import NotReady, NotUnderstood, PlatformError, Rejected
from shipfwd.models import Reply

# Our slug → their tracking_carrier, from the vendor's list; "royalmail" is a shipping_provider.
CARRIERS = {slug: slug for slug in (
    "4px", "amazon", "an-post", "aramex", "australia-post", "austrian-post", "bpost", "bring", "cainiao", "canada-post",
    "ceska-posta", "china-post", "colis-prive", "colissimo", "dachser", "dhl-nl", "dpd-de", "dpd-ro", "dpd-uk", "dsv",
    "fedex", "gls", "hellmann", "hrvatska-posta", "japan-post", "latvijas-pasts", "lietuvos-pastas", "magyar-posta",
    "matkahuolto", "meest", "nova-poshta", "omniva", "ontrac", "poczta-polska", "posta-romana", "poste-italiane",
    "posti", "postnl", "postnord", "purolator", "sf-express", "swiss-post", "tnt", "ukrposhta", "ups", "usps",
    "venipak", "wedo", "yanwen", "yodel", "yunexpress",
)} | {
    "acs": "acscourier", "brt": "brt-it", "chronopost": "chronopost-france", "correos": "spain-correos-es",
    "correos-express": "correosexpress", "ctt": "portugal-ctt", "ctt-express": "tourline",
    "deutsche-post": "deutsch-post", "dhl": "dhl-poland", "dhl-de": "dhl-germany", "dhl-ecommerce": "dhl-global-mail",
    "dhl-express": "dhl", "dpd": "dpd-poland", "dpd-hu": "dpd-hungary", "dpd-ie": "dpd-ireland",
    "elta": "elta-courier", "evri": "myhermes-uk", "geodis": "geodis-calberson-fr", "gls-it": "gls-italy",
    "gls-nl": "gls-netherlands", "hermes": "hermes-de", "inpost": "inpost-paczkomaty", "kuehne-nagel": "kn",
    "landmark": "landmark-global", "mondial-relay": "mondialrelay", "mrw": "mrw-spain", "nacex": "nacex-spain",
    "parcelforce": "parcel-force", "pocztex": "poczta-polska", "posta-slovenije": "post-slovenia", "ptt": "ptt-posta",
    "raben": "raben-group", "royal-mail": "royalmail", "sda": "italy-sda", "seur": "spanish-seur",
    "slovenska-posta": "sk-posta",
}  # fmt: skip

# Order states by status_id.
SENT = (2, 10)  # shipped, completed
OPEN = (3, 8, 9, 11, 14)  # partly shipped; awaiting pickup, shipment, fulfilment; partly refunded
STOPS: Mapping[int, tuple[type[PlatformError], str]] = {
    0: (NotReady, "incomplete, so not paid"),
    1: (NotReady, "pending, so not paid"),
    4: (Rejected, "refunded"),
    5: (Rejected, "cancelled"),
    6: (Rejected, "declined"),
    7: (NotReady, "awaiting its payment"),
    12: (NotReady, "held for a manual check"),
    13: (Rejected, "disputed"),
}


def refusal(form: Mapping[str, Any], status: int) -> Exception | None:
    """Why nothing may be written on an order, or None."""
    if form.get("is_deleted"):
        return Rejected("the order is archived at BigCommerce; nothing is sent for it")
    if status in STOPS:
        kind, what = STOPS[status]
        hint = "to send it all the same set it to Awaiting Shipment" if kind is NotReady else "nothing is sent for it"
        return kind(f"the order is {what} at BigCommerce; {hint}")
    if status not in SENT and status not in OPEN:
        return NotUnderstood(f"BigCommerce shows the order in state {status}, which shipfwd does not know")
    return None


def said(reply: Reply) -> str:
    """The words of a refusal: V2 says [{message, details}], the gateway before it {title, errors}."""
    data = reply.data[0] if isinstance(reply.data, list) and reply.data else reply.data
    if not isinstance(data, dict):
        return f"answered {reply.status}"
    more = data.get("details") or data.get("errors") or {}
    words = [data.get("message") or data.get("title") or f"answered {reply.status}"]
    words += more.values() if isinstance(more, dict) else [more]
    return " - ".join(str(word) for word in words)[:300]
