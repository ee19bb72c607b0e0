"""Etsy: marketplace; OAuth by authorisation code with PKCE, refresh token rotates.

Source: https://www.etsy.com/openapi/generated/oas/3.0.0.json, developers.etsy.com and github.com/etsy/open-api
(#N), read 2026-11-23; nothing was tried live.
Quirks, each the reason for a line below:
- Each POST is one more shipment and one more mail to the buyer, and nothing can be taken back (#201). How soon a read
  shows it is unknown: a lost one is looked up, and sent again after ten minutes at the earliest.
- 200 is no proof: where body or carrier were not understood, Etsy marked the order as shipped, mailed the buyer and
  dropped the number (#201, #157, #135). Only `shipments` tells.
- x-api-key is "keystring:shared_secret" (#1529, #1531); at the login the keystring alone. A wrong one is 403, as is a
  missing right.
- `status` is "fully refunded" in the description and "Fully Refunded" in answers (#806).
- The limit per second and the one per day are both 429; often only the words tell (#198, #611). The day slides.
- `carrier_name` may come back as a display name: only codes are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import ConfigError, NotReady, NotUnderstood, OrderNotFound, PlatformError, Rejected, Throttled
from shipfwd.models import Parcel, Rate, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._oauth import OAuth

RECEIPT = "/v3/application/shops/{}/receipts/{}"
DAY = 86400
MEANS: dict[str, tuple[type[PlatformError], str]] = {
    "canceled": (Rejected, "the order is cancelled at Etsy; nothing is to be sent"),
    "fully refunded": (Rejected, "the order is refunded at Etsy; nothing is to be sent"),
    "open": (NotReady, "the order is not paid yet at Etsy"),
    "payment processing": (NotReady, "the order is not paid yet at Etsy"),
}
SAME = (  # slugs that Etsy and we share
    "gls ups fedex poczta-polska tnt dpd-de dpd-uk dhl-nl lietuvos-pastas latvijas-pasts nova-poshta ukrposhta "
    "ceska-posta slovenska-posta magyar-posta posta-romana hrvatska-posta posta-slovenije austrian-post swiss-post "
    "postnl bpost post-luxembourg colissimo royal-mail yodel an-post poste-italiane postnord posti usps ontrac "
    "canada-post purolator australia-post aramex china-post japan-post 4px sf-express yanwen"
)


class Etsy(OAuth):
    name = "etsy"
    title = "Etsy"
    source = "https://developers.etsy.com/documentation/reference#operation/createReceiptShipment"
    read_on = "2026-11-23"
    where = "https://www.etsy.com/your/orders/sold?order_id={order}"  # as other people's programs link to it
    settings = (
        Setting("base_url", "API host", default="https://openapi.etsy.com", url=True),
        Setting("auth_url", "token host", default="https://api.etsy.com", url=True),
        Setting("consent_url", "page where the seller agrees", default="https://www.etsy.com/oauth/connect", url=True),
        Setting("shop_id", "the shop's number"),
        Setting("keystring", "keystring of the application, from etsy.com/developers/your-apps"),
        Setting("redirect_uri", "a callback address that the application has registered", login=True),
        Setting("notify_seller", "send the seller a copy of each mail to the buyer", default="false", flag=True),
        Setting("shared_secret", "shared secret of the application", secret=True),
        Setting("refresh_token", "from a login elsewhere; or: integration login", optional=True, secret=True),
    )
    carriers = {slug: slug for slug in SAME.split()} | {
        "dpd": "dpd-poland", "dhl": "dhl-poland", "pocztex": "poczta-polska", "dhl-express": "dhl", "dpd-cz": "dpd",
        "dpd-sk": "dpd", "dpd-hu": "dpd", "dpd-ro": "dpd", "dpd-ie": "dpd", "dhl-de": "dhl-germany",
        "dhl-ecommerce": "dhl-global-mail", "gls-it": "gls", "gls-nl": "gls", "acs": "acscourier",
        "elta": "elta-courier", "omniva": "estonian-post", "bulgarian-posts": "bgpost",
        "deutsche-post": "deutsch-post", "hermes": "hermes-de", "chronopost": "chronopost-france",
        "mondial-relay": "mondialrelay", "parcelforce": "parcel-force", "evri": "hermes", "sda": "italy-sda",
        "correos": "spain-correos-es", "seur": "spanish-seur", "mrw": "mrw-spain", "nacex": "nacex-spain",
        "ctt": "portugal-ctt", "bring": "posten-norge", "ptt": "ptt-posta", "kuehne-nagel": "kn",
        "landmark": "landmark-global",
    }  # fmt: skip
    other_carrier = "other"
    rates = (Rate(10),)  # the lowest that Etsy gives; the application's own limits stand in its developer portal
    concurrency = 4
    host_key = "keystring"
    doubt_seconds = 600
    status_transfer = "with-tracking"
    knows_lines = False
    correct = "add"
    login_path = "/v3/public/oauth/token"
    login_seconds = 90 * DAY  # begun anew by each refresh
    scope = "shops_r transactions_r transactions_w"
    pkce = True
    rotates = True
    client_advice = "check keystring"

    @property
    def client_id(self) -> str:
        return self.values["keystring"]

    def client(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        return {}, {"client_id": self.client_id}

    def headers(self) -> Mapping[str, str]:
        key = f"{self.client_id}:{self.secret('shared_secret')}"
        return {"Authorization": f"Bearer {self.access_token()}", "x-api-key": key}

    def login(self) -> str:
        back = self.values.get("redirect_uri") or self.tools.ask("A callback address that the application registered")
        self.code_login(self.values["consent_url"], back)
        return self.check()

    def check(self) -> str:
        shop, wanted = self.text(self.get("/v3/application/users/me").data, "shop_id"), self.values["shop_id"]
        if shop != wanted:
            right = f"shipfwd integration edit NAME --set shop_id={shop}"
            raise ConfigError(f"this login belongs to shop {shop} and shop_id says {wanted}; {right}")
        return shop

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            if not (order.isascii() and order.isdecimal()):  # a receipt's id is a number
                continue
            try:
                found[order] = self._seen(self.get(RECEIPT, self.values["shop_id"], order).data)
            except OrderNotFound:
                continue
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        body = {
            "tracking_code": parcel.tracking_number,
            "carrier_name": self.carrier_code(parcel),
            "send_bcc": self.flag("notify_seller"),
        }
        reply = self.post(RECEIPT + "/tracking", self.values["shop_id"], order, json=body, accept=(409,))
        refused = reply.status == 409  # without a meaning: a look decides
        receipt = self.get(RECEIPT, self.values["shop_id"], order).data if refused else reply.data
        rows = [row for row in self.rows(receipt, "shipments") if tracking_key(self._code(row)) == parcel.key]
        if rows:
            return [Receipt(parcel.id, self.text(rows[-1], "receipt_shipping_id", absent=""))]
        if refused:
            raise Rejected("Etsy refuses the number for the state that the order is in: look at it in Shop Manager")
        raise Rejected(
            "Etsy marked the order as shipped and mailed the buyer, but dropped the number: "
            "check the carrier's name and enter the number by hand in Shop Manager"
        )

    def explain(self, reply: Reply) -> Exception | None:
        words = str(reply.data.get("error", "")).lower() if isinstance(reply.data, dict) else ""
        if reply.status == 429:
            daily = "daily" in words or reply.headers.get("x-remaining-today") == "0"
            after = reply.headers.get("Retry-After", "")
            limit = "Etsy's limit of calls a day is used up" if daily else "Etsy asks for fewer calls a second"
            return Throttled(limit, after=float(after) if after.isdigit() else 3600.0 if daily else 2.0)
        if reply.status in (401, 403) and ("api key" in words or "api-key" in words):
            return ConfigError("Etsy refuses the application's key; check keystring and shared_secret")
        if reply.status == 403:
            rights = "the login must be the shop owner's and have shops_r, transactions_r and transactions_w"
            return ConfigError(f"Etsy denies access: {rights}; check shop_id, or run: shipfwd integration login")
        if reply.status == 404 and "/receipts/" in reply.url:
            return OrderNotFound("Etsy knows no such order in this shop; check the number and shop_id")
        return None

    def _code(self, row: Any) -> str:
        """A shipment's number; "" where it was marked as shipped without one."""
        return self.text(row, "tracking_code", null="")

    def _seen(self, receipt: Any) -> Seen:
        state, paid = self.text(receipt, "status").lower(), self.field(receipt, "is_paid")
        kind, words = MEANS.get(state) or (None if paid else MEANS["open"]) or (None, "")
        if kind is None and state not in ("paid", "completed", "partially refunded"):
            kind, words = NotUnderstood, f"Etsy shows the order as '{state}', a word that shipfwd does not know"
        numbers = tuple(code for row in self.rows(receipt, "shipments") if (code := self._code(row)))
        return Seen(numbers, bool(self.field(receipt, "is_shipped")), state, kind(words) if kind else None)
