"""eBay: marketplace; OAuth by authorisation code, with a refresh token that stays the same for about 18 months.

Source: sell/fulfillment v1.20.7 with its enums, developer.ebay.com, read 2026-11-23; nothing was tried live.
Quirks, each the reason for a line below:
- A fulfilment is what marks the lines as shipped, whatever its quantity, which is 1 where none is given; nothing
  can be changed or removed. So it is sent whole, and a further parcel has to name its items.
- Its answer has no body. Its id, at the end of Location, is the number.
- We send `trackingNumber`, eBay shows `shipmentTrackingNumber`. Marked as shipped by hand there is none: such a
  fulfilment takes no line away from the parcel that has a number.
- 409 comes without a meaning, 34500 says "use PUT", which does not exist: only a look tells what is there.
- A cancellation stays IN_PROGRESS for as long as requests were made; each request says whether it was rejected.
- 2001 is mostly the day's quota, and seldom says when to come back.
- Nothing names the seller but an order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    NotReady,
    NotUnderstood,
    OrderNotFound,
    Rejected,
    ShipfwdError,
    Throttled,
)
from shipfwd.models import Line, Parcel, Rate, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._oauth import OAuth

ORDERS = "/sell/fulfillment/v1/order"
ORDER = ORDERS + "/{}"
FULFILMENTS, NUMBER = ORDER + "/shipping_fulfillment", "shipmentTrackingNumber"
TWO_YEARS = timedelta(days=729)  # as far back as orders are listed
MEANS: dict[Any, tuple[type[ShipfwdError], str]] = {  # their words for orders, their numbers for refusals
    "CANCELED": (Rejected, "the order is cancelled at eBay; nothing is to be sent"),
    "FULLY_REFUNDED": (Rejected, "the order is refunded at eBay; nothing is to be sent"),
    "PENDING": (NotReady, "the order is not paid yet at eBay"),
    "FAILED": (NotReady, "the buyer's payment failed at eBay"),
    32100: (OrderNotFound, "eBay knows no such order of this seller; check the number and the integration"),
    32300: (CarrierNotAccepted, "eBay does not take this number with this carrier: check both, or send it as Other"),
    32400: (ConfigError, "eBay has suspended this seller; that has to be settled with eBay"),
    34100: (Rejected, "the order has as many numbers as eBay allows"),
}


class Unclear(Rejected):
    """Refused, perhaps because the number is there already."""


class EBay(OAuth):
    name = "ebay"
    title = "eBay"
    source = "https://developer.ebay.com/api-docs/sell/fulfillment/overview.html"
    read_on = "2026-11-23"
    where = "https://www.ebay.com/mesh/ord/details?orderid={order}"  # as other people's programs link to it
    settings = (
        Setting("base_url", "API host", default="https://api.ebay.com", url=True),
        Setting("auth_url", "token host", default="https://api.ebay.com", url=True),
        Setting("consent_url", "page where the seller agrees; default: auth_url's", optional=True, url=True),
        Setting("client_id", "App ID of the keyset, from developer.ebay.com > Application Keys"),
        Setting("ru_name", "its RuName, from User Tokens > Get a Token from eBay via Your Application", login=True),
        Setting("other_carrier", "send carriers that eBay does not list as Other", default="true", flag=True),
        Setting("client_secret", "Cert ID of the keyset", secret=True),
        Setting("refresh_token", "from a login elsewhere; or: integration login", optional=True, secret=True),
    )
    carriers = {
        "dpd": "DPD", "dhl": "DHL", "gls": "GLS", "ups": "UPS", "fedex": "FedEx", "poczta-polska": "PocztaPolska",
        "pocztex": "Pocztex", "dhl-express": "DHL", "dhl-de": "DHL", "dhl-nl": "DHL", "dhl-ecommerce": "DHLGlobalMail",
        "dpd-cz": "DPD", "dpd-de": "DPD", "dpd-hu": "DPD", "dpd-ie": "DPD", "dpd-uk": "DPD", "gls-it": "GLS",
        "gls-nl": "GLS", "db-schenker": "DBSchenker", "deutsche-post": "DeutschePost", "hermes": "Hermes",
        "austrian-post": "OsterreichischePostAG", "swiss-post": "SwissPost", "postnl": "PostNL", "bpost": "BPost",
        "colissimo": "Colissimo", "chronopost": "Chronopost", "mondial-relay": "MondialRelay",
        "royal-mail": "RoyalMail", "parcelforce": "Parcelforce", "yodel": "Yodel", "an-post": "AnPost",
        "poste-italiane": "PosteItaliane", "brt": "Bartolini", "sda": "SDA", "correos": "Correos", "mrw": "MRW",
        "nacex": "Nacex", "landmark": "Landmark", "usps": "USPS", "ontrac": "ONTRACK", "aramex": "ARAMEX",
        "australia-post": "AustraliaPost", "china-post": "ChinaPost", "japan-post": "JapanPost", "4px": "FourPX",
        "yanwen": "YANWEN",
    }  # fmt: skip
    other_carrier = "Other"
    number_pattern = "[A-Za-z0-9]+"
    rates = (Rate(90_000, 86_400, burst=10_000),)  # together at most the 100,000 calls a day of one application
    throttled_seconds = 3600.0
    parcels = "items"
    status_transfer = "with-tracking"
    login_path = "/identity/v1/oauth2/token"
    scope = "https://api.ebay.com/oauth/api_scope/sell.fulfillment"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.access_token()}"}

    def login(self) -> str:
        page = self.values["auth_url"].replace("//api.", "//auth.", 1) + "/oauth2/authorize"
        ru_name = self.values.get("ru_name") or self.tools.ask("The RuName of the application (its redirect name)")
        self.code_login(self.values.get("consent_url") or page, ru_name)
        try:
            return self.check()
        except NotReady as nobody:  # the login is good all the same
            self.tools.tell(str(nobody))
            return ""

    def check(self) -> str:
        since = f"{self.now() - TWO_YEARS:%Y-%m-%dT%H:%M:%S}.000Z"
        data = self.get(ORDERS, params={"filter": f"creationdate:[{since}..]", "limit": "1"}).data
        if not self.count(data, "total"):
            raise NotReady("eBay takes the login, but only an order names the seller: check again after the first sale")
        return self.text(data, "orders", 0, "sellerId")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            try:
                found[order] = self._seen(self.get(ORDER, order).data, self._fulfilments(order))
            except OrderNotFound:
                continue
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        parts = self.parts(parcel, seen.lines, shared=True)  # several packages, a call each: what is left is not asked
        body = {
            "lineItems": [{"lineItemId": line.id, "quantity": count} for line, count in parts],
            "shippedDate": f"{parcel.created_at:%Y-%m-%dT%H:%M:%S}.000Z",
            "shippingCarrierCode": self.carrier_code(parcel),
            "trackingNumber": parcel.tracking_number,
        }
        try:
            reply = self.post(FULFILMENTS, order, json=body, expect="maybe")
        except Unclear as refusal:
            there = [self.text(row, NUMBER, absent="") for row in self._fulfilments(order)]
            if parcel.key not in map(tracking_key, there):
                raise Rejected(f"{refusal}, and does not show the number: look at the order in Seller Hub") from None
            return [Receipt(parcel.id, parcel.tracking_number)]
        if reply.status != 201:
            raise NotUnderstood(f"eBay answered {reply.status} where a new shipment is 201")
        remote = unquote(reply.headers.get("Location", "").rstrip("/").rpartition("/")[2])
        return [Receipt(parcel.id, remote, confirmed=tracking_key(remote) == parcel.key)]

    def explain(self, reply: Reply) -> Exception | None:
        if reply.status == 429:
            after = reply.headers.get("Retry-After", "")
            words = "eBay's quota of calls is used up, mostly that of the day"
            return Throttled(words, after=float(after) if after.isdigit() else None)
        if reply.status == 403:
            return ConfigError("eBay denies access: the login lacks sell.fulfillment; run: shipfwd integration login")
        if not 400 <= reply.status < 500:
            return None
        errors = reply.data.get("errors") if isinstance(reply.data, dict) else None
        code = errors[0].get("errorId") if isinstance(errors, list) and errors and isinstance(errors[0], dict) else None
        if isinstance(code, int) and code in MEANS:
            return MEANS[code][0](MEANS[code][1])
        if reply.status == 409 or code == 34500:
            return Unclear(f"eBay takes this for a change of what is there ({code or reply.status})")
        if reply.status == 404 and f"{ORDERS}/" in reply.url:
            return OrderNotFound(MEANS[32100][1])
        return None

    def _fulfilments(self, order: str) -> list[Any]:
        data = self.get(FULFILMENTS, order).data
        return self.rows(data, "fulfillments") if self.count(data, "total") else []

    def _seen(self, order: Any, rows: Sequence[Any]) -> Seen:
        numbered = [row for row in rows if self.text(row, NUMBER, absent="")]
        gone: Counter[str] = Counter()
        for item in (item for row in numbered for item in self.rows(row, "lineItems", absent=())):
            gone[self.text(item, "lineItemId")] += self.count(item, "quantity", absent=0) or 1
        lines = []
        for row in self.rows(order, "lineItems"):
            id, count = self.text(row, "lineItemId"), self.count(row, "quantity")
            lines.append(Line(id, count, max(0, count - gone[id]), self.text(row, "sku", absent="")))
        numbers, state = tuple(self.text(row, NUMBER) for row in numbered), self.text(order, "orderFulfillmentStatus")
        return Seen(numbers, state == "FULFILLED", state, self._objection(order), tuple(lines))

    def _objection(self, order: Any) -> Exception | None:
        """Why nothing may be written, or None."""
        cancel = self.text(order, "cancelStatus", "cancelState")
        paid = self.text(order, "orderPaymentStatus")
        for word in (cancel, paid):
            if word in MEANS:
                return MEANS[word][0](MEANS[word][1])
        requests = self.rows(order, "cancelStatus", "cancelRequests", absent=()) or [{}]
        if cancel == "IN_PROGRESS" and any(one.get("cancelRequestState") != "REJECTED" for one in requests):
            return NotReady("a request to cancel the order is open at eBay: accept or reject it there")
        if cancel not in ("NONE_REQUESTED", "IN_PROGRESS") or paid not in ("PAID", "PARTIALLY_REFUNDED"):
            return NotUnderstood(f"eBay shows the order as {cancel} and {paid}, words that shipfwd does not know")
        return None
