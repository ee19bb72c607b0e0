"""Kaufland: marketplace in DE, CZ, SK, PL, AT, FR and IT; every request is signed.

Source: https://sellerapi.kaufland.com (rest-api, order-files) and its description of version 2.27, read 2026-11-23.
Quirks, each the reason for a line below:
- A number belongs to an order unit, and a unit is one piece: two pieces of one offer are two units.
- Sending a unit puts the number there, mails the buyer and credits the seller at once. A unit takes it once, all its
  numbers joined by commas under one carrier; what comes later is a shipment added to the sent unit.
- No call shows a number. A unit's status tells whether it was sent, and so decides what a lost answer meant; it does
  not tell by whom, so a unit that somebody else sent is left to a person.
- That `duplicate-action` means "sent already" is written nowhere: it is taken for that only after a lost answer.
- Nothing says from when on an `open` unit may be sent: it is tried, and a refusal means "not yet".
- Carriers are those of GET /carriers. A plain name may be one country's (DPD): where longer ones begin with it, a
  person says which.
- The User-Agent is required; people's own programs say Inhouse_development (seen in several clients).
- Limits are not published, a 429 is not described, and no call tells who the keys belong to.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shipfwd import __version__
from shipfwd.errors import (
    AuthFailed,
    CarrierNotAccepted,
    ConfigError,
    NotOurs,
    NotReady,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    OutcomeUnknown,
    Rejected,
)
from shipfwd.models import Parcel, Receipt, Reply, Request, Seen, Setting
from shipfwd.platforms.base import Platform, host

READY = frozenset({"open", "need_to_be_sent"})
SENT = frozenset({"sent", "sent_and_autopaid", "received", "returned", "returned_paid"})
UNSEEN = "not with what number: look there, then drop it here or add it there"
MEANS: dict[Any, tuple[type[Exception], str]] = {  # how a problem's type ends, and the fields that it complains of
    "missing-payment": (NotReady, "the order is not paid yet at Kaufland"),
    "action-not-allowed": (Rejected, "Kaufland does not allow that now"),
    "forbidden": (Rejected, "Kaufland forbids that for this order"),
    "not-found": (OrderNotFound, "Kaufland knows no such order of this seller"),
    "invalid-credentials": (AuthFailed, "Kaufland refuses the keys; make new ones in the Seller Portal"),
    "unauthorized": (AuthFailed, "Kaufland refuses the keys; make new ones in the Seller Portal"),
    "corrupted-signature": (AuthFailed, "Kaufland refuses the signature; check secret_key and this machine's clock"),
    "inactive-account": (ConfigError, "the seller's account is not active at Kaufland"),
    "storefront-not-configured": (ConfigError, "the storefront is not set up in the Seller Portal"),
    "carrier_code": (CarrierNotAccepted, "Kaufland does not take the carrier"),
    "tracking_number": (NumberNotAccepted, "Kaufland does not take the number"),
    "tracking_numbers": (NumberNotAccepted, "Kaufland does not take the number"),
}


class _SentBefore(Rejected):
    pass


class Kaufland(Platform):
    name = "kaufland"
    title = "Kaufland"
    source = "https://sellerapi.kaufland.com/?page=rest-api"
    read_on = "2026-11-23"
    where = "Seller Portal > Manage orders > {order}"
    settings = (
        Setting("base_url", "API address with its version", default="https://sellerapi.kaufland.com/v2", url=True),
        Setting("storefront", "refuse orders of other countries' storefronts", optional=True,
                choices=("de", "cz", "sk", "pl", "at", "fr", "it")),
        Setting("client_key", "Seller Portal > API settings, 32 characters", secret=True),
        Setting("secret_key", "shown beside it, 64 characters", secret=True),
    )  # fmt: skip
    carriers = {"dhl": "DHL", "fedex": "FedEx", "ups": "UPS", "usps": "USPS"}
    number_pattern = "[^,]+"
    host_key = "client_key"
    concurrency = 4
    together = True
    read_back = False
    doubt_seconds = 300  # how soon a unit's status shows what happened is written nowhere
    status_transfer = "with-tracking"
    correct = "add"

    def headers(self) -> Mapping[str, str]:
        agent = f"shipfwd/{__version__} (Inhouse_development)"
        return {"Shop-Client-Key": self.secret("client_key"), "User-Agent": agent}

    def sign(self, request: Request, now: datetime) -> Mapping[str, str]:
        """Over the bytes that leave and the second they leave in."""
        stamp = str(int(now.timestamp()))
        text = f"{request.method}\n{request.url}\n".encode() + request.body + f"\n{stamp}".encode()
        signature = hmac.new(self.secret("secret_key").encode(), text, "sha256").hexdigest()
        return {"Shop-Timestamp": stamp, "Shop-Signature": signature}

    def check(self) -> str:
        there, wanted = self.words(self.get("/info/storefront").data, "data"), self.values.get("storefront")
        if wanted and wanted not in there:
            raise ConfigError(f"this seller has no storefront '{wanted}' at Kaufland; there are {', '.join(there)}")
        return host(self.values["base_url"])

    def preflight(self, parcel: Parcel) -> None:
        self._carrier(parcel)

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            try:
                found[order] = self._seen(self.field(self.get("/orders/{}", order).data, "data"))
            except OrderNotFound:
                pass
        return found

    def bundle(self, parcel: Parcel) -> str:
        """One carrier a call; and the same units, so that what becomes of one becomes of all."""
        return f"{parcel.carrier} {parcel.items} {parcel.in_doubt}"

    def arrived(self, parcel: Parcel, seen: Seen, others: Sequence[Parcel]) -> bool | None:
        try:
            units = set(self._units(parcel, seen))
            theirs = {unit for other in others for unit in self._units(other, seen)}
        except Rejected:
            return None
        return all(seen.more[unit]["status"] in SENT for unit in units) if units and not units & theirs else None

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        """A call for each unit. What a broken-off attempt left unsent the next one sends; the rest shows as sent."""
        units, carrier = self._units(parcels[0], seen), self._carrier(parcels[0])
        fresh = [unit for unit in units if seen.more[unit]["status"] in READY]
        numbers = [parcel.tracking_number for parcel in parcels]
        if not fresh and not seen.numbers:
            raise Rejected(f"Kaufland shows that it was sent already, and {UNSEEN}")
        for unit in fresh:
            body = {"tracking_numbers": ",".join(numbers), "carrier_code": carrier}
            try:
                self._done(self.patch("/order-units/{}/send", unit, json=body, expect="empty"))
            except Rejected as error:
                if not (isinstance(error, _SentBefore) and parcels[0].in_doubt):
                    raise self._refused(error, unit, fresh, seen) from None
            seen.more[unit]["status"] = "sent"  # for the next parcel of this order
        for number in numbers if not fresh else ():
            for unit in units:
                information = {"tracking_number": number, "carrier_code": carrier}
                extra = {"id_order_unit": int(unit), "shipment_information": information}
                self._done(self.post("/shipments", json=extra, expect="empty"))
        return [Receipt(parcel.id, confirmed=False) for parcel in parcels]

    def explain(self, reply: Reply) -> Exception | None:
        if not 400 <= reply.status < 500 or not isinstance(reply.data, dict):
            return None
        problem = str(reply.data.get("type") or "").rpartition("/")[2]
        errors = reply.data.get("errors")
        rows = [row for row in errors if isinstance(row, dict)] if isinstance(errors, list) else []
        said = "; ".join(f"{row.get('field')}: {row.get('message')}" for row in rows) or reply.data.get("message")
        if problem == "duplicate-action" and reply.url.endswith("/send"):
            return _SentBefore(f"Kaufland says that it was sent before, and {UNSEEN}")
        if reply.status == 404 and not any(f"/{word}" in reply.url for word in ("orders", "order-units", "shipments")):
            return ConfigError(f"Kaufland has no such address ({said}); base_url ends in /v2")
        for word in (problem, *(str(row.get("field")) for row in rows), "not-found" if reply.status == 404 else ""):
            if word in MEANS:
                kind, words = MEANS[word]
                return kind(f"{words} ({said})" if said else words)
        return Rejected(f"Kaufland refuses it: {said}") if said and reply.status in (400, 409, 422) else None

    def _done(self, reply: Reply) -> None:
        """Both writes promise a 204. An empty 200 is somebody else's: the units' status tells what became of it."""
        if reply.status != 204:
            raise OutcomeUnknown(f"Kaufland answered {reply.status} without a word, where what was done is a 204")

    def _seen(self, data: Any) -> Seen:
        units = {}
        for row in self.rows(data, "order_units"):
            if (status := self.text(row, "status")) != "cancelled":
                offer = self.text(row, "id_offer", absent="")
                units[str(self.count(row, "id_order_unit"))] = {"status": status, "offer": offer}
        states = sorted({unit["status"] for unit in units.values()})
        storefront, strange = self.text(data, "storefront"), set(states) - READY - SENT
        refusal: Exception | None = None
        if self.field(data, "fulfillment_type") != "fulfilled_by_merchant":
            refusal = NotOurs("Kaufland's own warehouse sends this order")
        elif storefront != self.values.get("storefront", storefront):
            refusal = Rejected(f"the order belongs to the storefront '{storefront}'; check the integration")
        elif not units:
            refusal = Rejected("the order is cancelled at Kaufland; nothing is to be sent")
        elif strange:
            refusal = NotUnderstood(f"Kaufland shows a unit as '{min(strange)}', a word that shipfwd does not know")
        return Seen(sent=bool(units) and set(states) <= SENT, state=", ".join(states), refusal=refusal, more=units)

    def _units(self, parcel: Parcel, seen: Seen) -> list[str]:
        """The units that lie in a parcel, without items all. Raises Rejected where an item leaves a choice."""
        chosen: dict[str, None] = {} if parcel.items else dict.fromkeys(seen.more)
        for item in parcel.items:
            word = item.item_id or item.sku
            found = [unit for unit, one in seen.more.items() if word == (unit if item.item_id else one["offer"])]
            if not found or len(found) != (item.quantity or len(found)):
                which = f" has {len(found)} units, name them by id: {', '.join(found)}" if found else " is not in it"
                raise Rejected(f"it must be clear which units lie in the parcel, but item '{word}'{which}")
            chosen |= dict.fromkeys(found)
        return list(chosen)

    def _refused(self, error: Rejected, unit: str, fresh: Sequence[str], seen: Seen) -> Exception:
        """Their word on one of several units; one that was still open may be sent later."""
        done = f" (unit {unit} of this order; {fresh.index(unit)} others took it)" if len(fresh) > 1 else ""
        if seen.more[unit]["status"] == "open":
            return NotReady(f"the order is still open at Kaufland: {error}{done}")
        return Rejected(f"{error}{done}")

    def _carrier(self, parcel: Parcel) -> str:
        """Kaufland's name for the parcel's carrier, if it is listed today."""
        listed = self.cache.get("carriers")
        if not listed:
            rows = self.rows(self.get("/carriers").data, "data", "carriers")
            listed = [self.text(row, "name") for row in rows]
            self.cache.put("carriers", listed, 86400)
        given = self.tools.carrier_map.get(parcel.carrier) or self.carriers.get(parcel.carrier)
        word = (given or parcel.carrier_name or self.carrier_code(parcel)).casefold()
        same = [name for name in listed if name.casefold() == word]
        longer = [name for name in listed if name.casefold().startswith(word + " ")]
        if len(same) == 1 and (given or not longer):
            return same[0]
        near = f"; it lists {', '.join(same + longer)}" if same or longer else ""
        raise CarrierNotAccepted(f"Kaufland lists no carrier that is surely '{given or parcel.carrier_name}'{near}")
