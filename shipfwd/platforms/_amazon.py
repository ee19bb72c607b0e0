"""Amazon's words: its carriers, the states of its orders, and what its refusals mean.

Carrier names are those of Amazon's order fulfilment schema of 2021, the newest public list; each marketplace has a list
of its own in Seller Central. Some stand there in two spellings; these are the plainer ones.
"""

from __future__ import annotations

from shipfwd.errors import (
    AuthFailed,
    CarrierNotAccepted,
    ConfigError,
    NotReady,
    NumberNotAccepted,
    OrderNotFound,
    Rejected,
)
from shipfwd.models import Reply

INDIA = "A21TJRUUN4KGV"
MEANS: dict[str, tuple[type[Exception], str]] = {  # their words for an order's state
    "PENDING": (NotReady, "the order is not released for shipping yet at Amazon"),
    "PENDING_AVAILABILITY": (NotReady, "the order waits at Amazon for an item that is not out yet"),
    "CANCELLED": (Rejected, "the order is cancelled at Amazon; nothing is to be sent"),
    "UNFULFILLABLE": (Rejected, "Amazon says that the order cannot be fulfilled; nothing is to be sent"),
}
FIELDS: dict[str, tuple[type[Exception], str]] = {  # the field that an InvalidInput names
    "orderitem": (Rejected, "Amazon does not know an item of this parcel; give Amazon's order item ids, or none"),
    "carrier": (CarrierNotAccepted, "Amazon does not take this carrier"),
    "trackingnumber": (NumberNotAccepted, "Amazon does not take this number"),
    "marketplace": (
        ConfigError,
        "Amazon does not know this marketplace_id; then: shipfwd integration edit NAME --set marketplace_id=ID",
    ),
}


CARRIERS = {
    "inpost": "InPost", "dpd": "DPD", "dhl": "DHL", "gls": "GLS", "ups": "UPS", "fedex": "FedEx",
    "poczta-polska": "Polish Post", "pocztex": "Polish Post", "dhl-express": "DHL Express", "tnt": "TNT",
    "raben": "Raben Group", "rhenus": "Rhenus", "db-schenker": "DB Schenker", "dsv": "DSV", "hellmann": "Hellmann",
    "europaczka": "Europaczka", "own-transport": "Self Delivery", "amazon": "Amazon Shipping", "dpd-cz": "DPD",
    "dpd-sk": "DPD", "dpd-hu": "DPD", "dpd-ro": "DPD", "dpd-de": "DPD", "dpd-uk": "DPD", "dpd-ie": "DPD",
    "dhl-de": "DHL", "dhl-nl": "DHL", "dhl-ecommerce": "DHL eCommerce", "dhl-freight": "DHL Freight",
    "gls-it": "GLS", "gls-nl": "GLS", "deutsche-post": "Deutsche Post", "hermes": "Hermes", "postnl": "PostNL",
    "trans-o-flex": "Trans-o-Flex", "austrian-post": "AT POST", "swiss-post": "Swiss post", "bpost": "BPOST",
    "colissimo": "Colissimo", "chronopost": "Chronopost", "mondial-relay": "Mondial Relay", "brt": "BRT",
    "colis-prive": "Colis Prive", "royal-mail": "Royal Mail", "parcelforce": "Parcelforce", "yodel": "Yodel",
    "poste-italiane": "Poste Italiane", "sda": "SDA", "correos": "Correos", "correos-express": "Correos Express",
    "seur": "Seur", "mrw": "MRW", "nacex": "Nacex", "ctt-express": "CTTExpress", "postnord": "PostNord",
    "kuehne-nagel": "Kuehne+Nagel", "geodis": "GEODIS", "dachser": "DACHSER", "asendia": "Asendia",
    "landmark": "Landmark Global", "usps": "USPS", "ontrac": "OnTrac", "canada-post": "Canada Post",
    "purolator": "PUROLATOR", "australia-post": "Australia Post", "aramex": "Aramex", "china-post": "China Post",
    "japan-post": "Japan Post", "4px": "4PX", "sf-express": "SF Express", "yanwen": "Yanwen",
    "yunexpress": "Yun Express",
}  # fmt: skip


class Fulfilled(Rejected):
    """The order takes no further package, and no edit; never leaves this file."""


def explain(reply: Reply) -> Exception | None:
    if not 400 <= reply.status < 500 or reply.status == 429:
        return None
    rows = reply.data.get("errors") if isinstance(reply.data, dict) else None
    error = next((row for row in rows if isinstance(row, dict)), {}) if isinstance(rows, list) else {}
    code, said = (str(error.get(name) or "") for name in ("code", "message"))
    if "PackageToUpdateNotFound" in code + said or "already fulfilled" in said:
        return Fulfilled(
            "Amazon takes no package for this order any more: it is fulfilled, and does not show this number; "
            "compare it in Seller Central > Orders > Manage Orders"
        )
    if reply.status in (401, 403):
        return AuthFailed(
            f"Amazon denies access ({said or code or reply.status}): the application needs the role 'Inventory and "
            "Order Tracking', and base_url and marketplace_id must be the seller's; then: shipfwd integration check"
        )
    if reply.status == 404 and "/orders/" in reply.url:
        return OrderNotFound("Amazon knows no such order of this seller in this region")
    if code.replace(" ", "").lower() == "invalidinput":
        words = said.replace(" ", "").lower()
        kind, meaning = next((FIELDS[word] for word in FIELDS if word in words), (Rejected, "Amazon refuses it"))
        return kind(f"{meaning} ({said})")
    return None
