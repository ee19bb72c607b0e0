"""Erli: marketplace in Poland; static key, JSON.

Source: https://erli.pl/svc/shop-api/doc/swagger.json (description of 2026-06), what is left open there named as such,
read 2026-11-23.
Quirks, each the reason for a line below:
- POST /shipping/external answers 200 with an error in place of a parcel that was refused.
- Nothing says what a second POST of the same number does, so it counts as a second parcel; nor how soon an order shows
  a new number (Erli's products lag 20 minutes behind), hence the long doubt.
- An order shows one parcel, `deliveryTracking`, and external parcels cannot be searched: a number that is not shown may
  be there all the same. The id of the answer is the only handle for a correction.
- Of carriers that Erli does not track it wants to be told the parcel's state: sent, for our parcels have a ship date.
- No "other" for writing: a carrier that is not in its list cannot be sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import (
    AuthFailed,
    CarrierNotAccepted,
    NotReady,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from shipfwd.models import Line, Parcel, Rate, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms.base import Platform

ORDER, STATUS = "/orders/{}", "/orders/{}/status"
PARCELS, PARCEL = "/shipping/external", "/shipping/external/{}"
TRACKED = frozenset({"inpost", "pocztaPolska", "dhl", "dpd", "ups", "gls", "orlen", "pocztex24"})
LATER = ("sent", "readyToPickup", "received", "returned", "returningToSender")
STATES: dict[str, tuple[type[Exception], str]] = {  # their words for an order's state
    "pending": (NotReady, "the order is not paid yet at Erli"),
    "cancelled": (Rejected, "the order is cancelled at Erli; nothing is to be sent"),
    "returned": (Rejected, "the order came back at Erli; nothing is to be sent"),
}
CODES: dict[str, tuple[type[Exception], str]] = {
    "1100": (OutcomeUnknown, "Erli had an error of its own"),
    "1101": (OutcomeUnknown, "Erli had an error of its own while it made the parcel"),
    "1102": (Unavailable, "Erli could not make the parcel"),
    "1110": (Rejected, "the order is cancelled at Erli; nothing is to be sent"),
    "1200": (Rejected, "Erli does not take the data"),
    "1202": (Rejected, "the parcel is under way or cancelled at Erli and cannot be changed"),
    "1203": (Rejected, "the order belongs to another shop at Erli"),
    "1204": (Rejected, "the parcel has a label of Erli's own and is not changed from outside"),
    "1213": (Rejected, "Erli does not take the data"),
    "1300": (AuthFailed, "Erli does not let this key do that; check it: shipfwd integration check"),
    "1400": (OrderNotFound, "Erli does not find it"),
    "1402": (OrderNotFound, "Erli knows no such order or parcel of this shop"),
}


class Erli(Platform):
    name = "erli"
    title = "Erli"
    source = "https://erli.pl/svc/shop-api/doc/"
    read_on = "2026-11-23"
    where = "erli.pl > moje Erli > Zamówienia > {order}"
    settings = (
        Setting("base_url", "API address", default="https://erli.pl/svc/shop-api", url=True),
        Setting("api_key", "moje Erli > Ustawienia sklepu > Metoda integracji > Własna integracja po API", secret=True),
    )
    carriers = {
        "inpost": "inpost", "poczta-polska": "pocztaPolska", "dhl": "dhl", "dpd": "dpd", "ups": "ups", "gls": "gls",
        "orlen": "orlen", "pocztex": "pocztex24", "own-transport": "ownTransport", "ambro-express": "ambroExpress",
        "pekaes": "pekaes", "tnt": "tntExpress", "db-schenker": "schenker", "dsv": "dsv", "dts": "dts", "geis": "geis",
        "fedex": "fedex", "jas-fbg": "jasFBG", "patron": "patronService", "raben": "raben", "rhenus": "rhenus",
        "suus": "rohligSuus", "hellmann": "hellmann",
    }  # fmt: skip
    number_max = 32
    number_pattern = ".{2,}"
    rates = (Rate(10),)  # that there is a limit is known, not which; ten a second is ours
    host_key = "api_key"
    concurrency = 4
    doubt_seconds = 1800
    status_transfer = "separate"
    sent_from = frozenset({"created", "readyToProcess", "inProgress"})
    correct = "replace"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.secret('api_key')}"}

    def check(self) -> str:
        return self.text(self.get("/me").data, "id")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            reply = self.get(ORDER, order, accept=(404,))
            if reply.status != 404:
                found[order] = self._seen(reply.data)
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        reply = self.post(PARCELS, json=[{**self._sent(parcel, parcel.tracking_number), "orderId": order}])
        row = self.table(reply.data, 0)
        if errors := self.rows(row, "error", absent=()):
            raise self._meaning(errors[0])
        number = self.text(row, "trackingNumber", absent="") if self.text(row, "orderId") == order else ""
        return [Receipt(parcel.id, self.text(row, "id"), confirmed=tracking_key(number) == parcel.key)]

    def mark_sent(self, order: str, seen: Seen) -> None:
        """Setting the status that it has changes nothing, so a repeat is harmless."""
        self.patch(STATUS, order, json={"status": "sent"}, expect="empty", repeatable=True)

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        if not parcel.remote_id:
            where = self.where.format(order=order)
            raise Rejected(
                f"shipfwd did not put {parcel.tracking_number} there and has no id for it; change it at {where}"
            )
        row = self.patch(PARCEL, parcel.remote_id, json=self._sent(parcel, number), repeatable=True).data
        if tracking_key(self.text(row, "trackingNumber")) != tracking_key(number):
            raise NotUnderstood("Erli accepted the new number and answered with another one")
        return Receipt(parcel.id, parcel.remote_id)

    def explain(self, reply: Reply) -> Exception | None:
        if reply.status == 401 or reply.status == 403:
            return AuthFailed("Erli refuses the API key; a new one: moje Erli > Ustawienia sklepu > Metoda integracji")
        if reply.status < 400 or reply.status == 429 or reply.status >= 500:
            return None
        rows = reply.data if isinstance(reply.data, list) else []
        if rows and isinstance(rows[0], dict) and "errorCode" in rows[0]:
            return self._meaning(rows[0])
        return OrderNotFound("Erli knows no such order of this shop") if reply.status == 404 else None

    def _meaning(self, error: Any) -> Exception:
        """What an entry of its error list means. The message tells a refused number or carrier from other data."""
        code, said = self.field(error, "errorCode"), str(error.get("errorMessage") or "")[:200]
        kind, words = CODES.get(str(code), (Rejected, f"Erli answers with error {code}"))
        if kind is Rejected and "trackingNumber" in said:
            kind = NumberNotAccepted
        elif kind is Rejected and "vendor" in said:
            kind = CarrierNotAccepted
        return kind(f"{words} ({said})" if said else words)

    def _sent(self, parcel: Parcel, number: str) -> dict[str, str]:
        vendor = self.carrier_code(parcel)
        state = {} if vendor in TRACKED else {"status": "sent"}
        return {"vendor": vendor, **state, "trackingNumber": number}

    def _seen(self, row: Any) -> Seen:
        status, state = self.text(row, "status"), self.text(row, "sellerStatus")
        number = self.text(row, "deliveryTracking", "trackingNumber", absent="")
        kind, words = STATES.get("cancelled" if state == "canceled" else status, (None, ""))
        if kind is None and status != "purchased":
            kind, words = NotUnderstood, f"Erli shows the order as '{status}', a word that shipfwd does not know"
        return Seen(
            numbers=(number,) if number else (),
            sent=state in LATER,
            state=state,
            refusal=kind(words) if kind else None,
            lines=tuple(
                Line(str(self.count(one, "id")), self.count(one, "quantity"), sku=self.text(one, "sku", absent=""))
                for one in self.rows(row, "items", absent=())
            ),
            partial=bool(number),
        )
