"""Allegro: marketplace in PL, CZ, SK and HU; OAuth by device flow.

Source: https://developer.allegro.pl/swagger.yaml and github.com/allegro/allegro-api/issues (#N), read 2026-11-23.
Quirks, each the reason for a line below:
- A number under another carrier is a second entry, and nothing can be deleted (#3028, #13971): compared by number
  alone, and OTHER only where the merchant switched it on.
- AD… numbers, and those on orders of One Fulfillment, are put there by Allegro itself (#13267).
- Carrier ids come and go (#7585, #13154, #13267); only GET /order/carriers knows today's.
- User-Agent "Registered-Name/1.2.3 (+https://…)" is required, in ASCII (#13126, #13632, #13607). Without it, without
  Accept or without the right the answer is 403, which no new token cures (#12894, #9284); a page is a captcha (#12463).
- The seller's automatic SENT may come between our look and our PUT (#13287), hence the revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import (
    CarrierNotAccepted,
    ConfigError,
    NotOurs,
    NotReady,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    PlatformError,
    Rejected,
    Unavailable,
)
from shipfwd.models import Line, Parcel, Rate, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._oauth import OAuth
from shipfwd.platforms.base import VERSION

MEDIA = "application/vnd.allegro.public.v1+json"
JSON = {"Content-Type": MEDIA}
ORDER = "/order/checkout-forms/{}"
DAY = 86400
MEANS: dict[str, tuple[type[PlatformError], str]] = {  # their words for orders and refusals
    "BOUGHT": (NotReady, "the order is not paid yet at Allegro"),
    "FILLED_IN": (NotReady, "the order is not paid yet at Allegro"),
    "CANCELLED": (Rejected, "the order is cancelled at Allegro; nothing is to be sent"),
    "RETURNED": (Rejected, "the order came back and is refunded at Allegro; nothing is to be sent"),
    "ALLEGRO": (NotOurs, "Allegro's own warehouse sends this order (One Fulfillment)"),
    "CarrierIdValidationException": (CarrierNotAccepted, "Allegro does not take this carrier"),
    "CarrierWaybillValidationException": (NumberNotAccepted, "Allegro: the number does not fit the carrier"),
    "WaybillValidationException": (NumberNotAccepted, "Allegro does not take this number"),
    "WaybillsAssignedToOrderLimitReached": (Rejected, "the order has as many numbers as Allegro allows"),
}
WITHDRAWN = {"RUCH": "ORLEN", "POCZTEX": "POCZTA_POLSKA", "ALLEGRO": "", "WEDO": "", "X_PRESS_COURIERS": ""}


class Allegro(OAuth):
    name = "allegro"
    title = "Allegro"
    source = "https://developer.allegro.pl/documentation"
    read_on = "2026-11-23"
    where = "https://salescenter.allegro.com/orders/{order}"  # as other people's programs link to it
    settings = (
        Setting("base_url", "API host", default="https://api.allegro.pl", url=True),
        Setting("auth_url", "login host", default="https://allegro.pl", url=True),
        Setting("client_id", "Client ID of the application, from apps.developer.allegro.pl"),
        Setting("app_name", "the name that the application is registered under; sent as User-Agent"),
        Setting("app_url", "a page about it; sent as User-Agent", optional=True),
        Setting("other_carrier", "send carriers that Allegro does not list as OTHER", default="false", flag=True),
        Setting("client_secret", "Client Secret of the application", secret=True),
        Setting("refresh_token", "from a login elsewhere; or: integration login", optional=True, secret=True),
    )
    carriers = {
        "inpost": "INPOST", "dpd": "DPD", "dhl": "DHL", "gls": "GLS", "ups": "UPS", "fedex": "FEDEX",
        "poczta-polska": "POCZTA_POLSKA", "pocztex": "POCZTA_POLSKA", "orlen": "ORLEN", "packeta": "PACKETA",
        "tnt": "TNT_EXPRESS", "ambro-express": "AMBRO_EXPRESS", "db-schenker": "DB_SCHENKER", "dsv": "DSV",
        "dts": "DTS", "geis": "GEIS", "meest": "MEEST", "raben": "RABEN", "rhenus": "RHENUS_LOGISTICS", "suus": "SUUS",
        "kuehne-nagel": "KN", "express-one": "EXPRESS_ONE", "dpd-cz": "DPD_CZ", "dpd-sk": "DPD_SK", "dpd-hu": "DPD_HU",
        "postnord": "POSTNORD", "lietuvos-pastas": "LITHUANIAN_POST", "ukrposhta": "UKR_POSHTA",
        "china-post": "CHINA_POST", "japan-post": "JAPAN_POST", "4px": "4PX_EXPRESS", "cainiao": "CAINIAO",
        "sf-express": "SF_EXPRESS", "yanwen": "YANWEN", "yunexpress": "YUN_EXPRESS",
    }  # fmt: skip
    other_carrier = "OTHER"
    number_pattern = r"[A-Za-z0-9_()-]+"  # as the description of 2020 says; `*` is refused (#10424)
    rates = (Rate(9000, 60), Rate(50, operations=("shipments",)), Rate(50, operations=("carriers",)))
    concurrency = 4  # parallel calls of one user are slowed down, then refused (#8258)
    throttled_seconds = 60.0  # over the limit the client id is blocked for a minute
    status_transfer = "separate"
    status_transfer_default = False
    sent_from = frozenset({"NEW", "PROCESSING", "READY_FOR_SHIPMENT"})
    correct = "add"  # the old number stays until a person takes it away (#1217)
    login_path = "/auth/oauth/token"
    login_seconds = 90 * DAY  # "3 months", begun anew by each refresh
    rotates = True

    def headers(self) -> Mapping[str, str]:
        page = f" (+{self.values['app_url']})" if self.values.get("app_url") else ""
        agent = f"{self.values['app_name'].strip().replace(' ', '-')}/{VERSION}{page}"
        if not (agent.isascii() and agent.isprintable()):
            raise ConfigError("app_name and app_url are sent in a header: write them without accents")
        return {"Authorization": f"Bearer {self.access_token()}", "Accept": MEDIA, "User-Agent": agent}

    def login(self) -> str:
        self.device_login("/auth/oauth/device")
        return self.check()

    def check(self) -> str:
        return self.text(self.get("/me").data, "id")

    def preflight(self, parcel: Parcel) -> None:
        if parcel.key.startswith("AD") or parcel.carrier == "allegro-one":
            raise NotOurs("Allegro puts the numbers of its own deliveries on the order itself; nothing is to be sent")
        self._carrier(parcel)

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            form = self.get(ORDER, order, accept=(404, 422))  # 422: not a UUID
            if form.status == 200:
                rows = self.get(f"{ORDER}/shipments", order, operation="shipments").data
                found[order] = self._seen(form.data, self.rows(rows, "shipments"))
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        body: dict[str, Any] = {"carrierId": self._carrier(parcel), "waybill": parcel.tracking_number}
        if body["carrierId"] == "OTHER":
            body["carrierName"] = (parcel.carrier_name or parcel.carrier)[:30]
        if parcel.items:  # whole lines: Allegro knows no quantities here
            body["lineItems"] = [{"id": line.id} for line, _ in self.parts(parcel, seen.lines, shared=True)]
        row = self.post(f"{ORDER}/shipments", order, json=body, headers=JSON, operation="shipments").data
        if tracking_key(self.text(row, "waybill")) != parcel.key:
            raise NotUnderstood("Allegro accepted the number and answered with another one")
        return [Receipt(parcel.id, remote_id=self.text(row, "id", absent=""))]

    def mark_sent(self, order: str, seen: Seen) -> None:
        how: dict[str, Any] = {"headers": JSON, "repeatable": True, "expect": "empty", "accept": (409,)}
        for _ in range(2):
            reply = self.put(f"{ORDER}/fulfillment", order, params=seen.more, json={"status": "SENT"}, **how)
            if reply.status != 409:
                return
            seen = self.look([order]).get(order, Seen())
            if seen.sent:
                return
            if seen.state not in self.sent_from:
                raise Rejected(f"the order went to '{seen.state}' there meanwhile, from which it is not marked")
        raise Unavailable("the order is being changed at Allegro all the time")

    def explain(self, reply: Reply) -> Exception | None:
        if not 400 <= reply.status < 500:
            return None
        data = reply.data if isinstance(reply.data, dict) else {}
        errors = data.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else data  # in 2019 a bare error was seen (#1217)
        if known := MEANS.get(str(first.get("code")) if isinstance(first, dict) else ""):
            return known[0](known[1])
        if reply.status == 409:
            return Rejected("Allegro has this number on too many orders; check whether it is mixed up")
        if reply.status == 404 and "/order/checkout-forms/" in reply.url:
            return OrderNotFound("Allegro knows no such order of this seller")
        if reply.status == 403 and reply.data is None:
            return Unavailable("Allegro shows a page, perhaps a captcha, in place of an answer")
        if reply.status == 403:
            rights = "allegro:api:orders:read, orders:write and profile:read, a new login after they were added"
            return ConfigError(f"Allegro denies access: the application needs {rights}, and its registered app_name")
        return None

    def _seen(self, form: Any, shipments: Any) -> Seen:
        status, state = self.text(form, "status"), self.text(form, "fulfillment", "status", absent="")
        provider, revision = (
            self.text(form, "fulfillment", "provider", "id", absent=""),
            self.text(form, "revision", absent=""),
        )
        kind, words = next((MEANS[word] for word in (state, provider, status) if word in MEANS), (None, ""))
        if kind is None and status != "READY_FOR_PROCESSING":
            kind, words = NotUnderstood, f"Allegro shows the order as '{status}', a word that shipfwd does not know"
        lines = []
        for row in self.rows(form, "lineItems", absent=()):
            count, sku = self.count(row, "quantity"), self.text(row, "offer", "external", "id", absent="")
            lines.append(Line(self.text(row, "id"), count, count, sku))
        return Seen(
            numbers=tuple(self.text(row, "waybill") for row in shipments),
            sent=state in ("SENT", "READY_FOR_PICKUP", "PICKED_UP", "RETURNED"),
            state=state if status == "READY_FOR_PROCESSING" else status,
            refusal=kind(words) if kind else None,
            lines=tuple(lines),
            more={"checkoutForm.revision": revision} if revision else {},
        )

    def _carrier(self, parcel: Parcel) -> str:
        """Allegro's id for the parcel's carrier, if it is listed today."""
        code, listed = self.carrier_code(parcel), self.cache.get("carriers")
        if not listed:
            answer = self.get("/order/carriers", operation="carriers").data
            listed = [self.text(row, "id") for row in self.rows(answer, "carriers")]
            self.cache.put("carriers", listed, DAY)
        if code in listed:
            return code
        if self.other_allowed and parcel.carrier not in self.tools.carrier_map:
            return "OTHER"
        instead = WITHDRAWN.get(code)
        hint = f"; it is {instead} now" if instead else " any more" if code in WITHDRAWN else ""
        raise CarrierNotAccepted(f"Allegro does not list the carrier {code}{hint}")
