"""Operator: the seller API of a marketplace that runs on Mirakl.

Source: https://developer.mirakl.com/content/product/mmp/rest/seller/openapi3 (the codes OR23, ST01 … are Mirakl's names
of its calls), github.com/mirakl/sdk-php-shop for the paging, issues of that (#N) and of magento2-seller-connector
(m2 #N), read 2026-11-23.
Quirks, each the reason for a line below:
- The key stands bare in Authorization. A new key ends the old one.
- No list of carriers is published: each operator has its own, asked for once a day. A listed one goes by its code; any
  other by its name, which an operator may forbid (PC01 disable_seller_alternative_carrier).
- OR23 overwrites the order's one number with a second parcel's. Only PC01 multi_shipment allows several, by ST01.
- The number comes before the status (m2 #25). OR24 again is a 400 that means "done" only if OR11 says so (#56).
- A page of OR11 has 10 rows unless more are asked for.
- OR11 may be polled once a minute; asked for named orders it is like a page of orders being looked at: once a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shipfwd.errors import (
    AuthFailed,
    CarrierNotAccepted,
    NotReady,
    NotUnderstood,
    NumberNotAccepted,
    OrderNotFound,
    Rejected,
)
from shipfwd.models import Line, Parcel, Rate, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._mirakl_shipments import DAY, Shipments, errors_of, words

ORDERS, TRACKING, SHIP = "/api/orders", "/api/orders/{}/tracking", "/api/orders/{}/ship"  # OR11 OR23 OR24
LATER = ("SHIPPED", "TO_COLLECT", "RECEIVED", "CLOSED")
MEANS: dict[str, tuple[type[Exception], str]] = {  # their words for an order's state
    "STAGING": (NotReady, "the order is not released yet there"),
    "WAITING_ACCEPTANCE": (NotReady, "the order is not accepted yet there; accept it"),
    "WAITING_DEBIT": (NotReady, "the order is not paid yet there"),
    "WAITING_DEBIT_PAYMENT": (NotReady, "the order is not paid yet there"),
    "REFUSED": (Rejected, "the order was refused there; nothing is to be sent"),
    "CANCELED": (Rejected, "the order is cancelled there; nothing is to be sent"),
}


def settings_with(base_url: str | None) -> tuple[Setting, ...]:
    """An operator's settings. base_url: its default, or None where the merchant has to say it."""
    return (
        Setting("base_url", "the operator's address, without /api", default=base_url, url=True),
        Setting("shop_id", "which shop, when the key's user has several", optional=True),
        Setting("api_key", "from the back office: user name > API key > Generate", secret=True),
    )


class Operator(Shipments):
    source = "https://developer.mirakl.com/content/product/mmp/rest/seller/openapi3"
    read_on = "2026-11-23"
    rates = (Rate(20), Rate(1, burst=3, operations=("OR11",)))  # no quota is published; twenty a second is ours
    host_key = "api_key"
    concurrency = 4
    look_batch = 100
    proof = "read"
    status_transfer = "separate"
    sent_from = frozenset({"SHIPPING"})
    correct = "replace"

    @property
    def multi(self) -> bool:
        """The operator takes several shipments an order; known once an order was looked at."""
        return bool((self.cache.get("features") or {}).get("multi"))

    @property
    def parcels(self) -> str:  # type: ignore[override]
        return "items" if self.multi else "one"

    @property
    def repeat(self) -> str:  # type: ignore[override]
        return "doubles" if self.multi else "harmless"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": self.secret("api_key")}

    def check(self) -> str:
        return self.text(self.get("/api/account", params=self.query()).data, "shop_id")

    def preflight(self, parcel: Parcel) -> None:
        self._carrier(parcel)

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        self._features()
        params = self.query(order_ids=",".join(orders), max="100")
        rows = self.rows(self.get(ORDERS, params=params, operation="OR11").data, "orders")
        found = {id: row for row in rows if (id := self.text(row, "order_id")) in orders}
        shipments = self.shipments(found) if self.multi and found else []
        return {
            id: self._seen(row, [one for one in shipments if one.get("order_id") == id]) for id, row in found.items()
        }

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        if seen.more["multi"] and parcel.items:
            return [self.create_shipment(order, parcel, seen, self._tracking(parcel, "tracking_url"))]
        return [self._set_tracking(order, parcel)]

    def mark_sent(self, order: str, seen: Seen) -> None:
        if seen.more["shipments"]:  # OR24 would send what lies in no shipment yet
            self.send_shipments(order, [id for id, one in seen.more["shipments"].items() if one["open"]])
            return
        how: dict[str, Any] = {"operation": "OR24", "expect": "empty", "repeatable": True, "accept": (400,)}
        reply = self.put(SHIP, order, params=self.query(), **how)
        if reply.status == 400 and not (now := self.look([order]).get(order, Seen())).sent:
            raise Rejected(f"{self.title} does not mark the order as sent, it is '{now.state}' there: {words(reply)}")

    def pieces_left(self, order: str, seen: Seen, parcels: Sequence[Parcel]) -> int:
        return 0 if seen.more["shipments"] else super().pieces_left(order, seen, parcels)  # each is marked for itself

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        keys = {one["key"]: id for id, one in seen.more.get("shipments", {}).items()}
        url = parcel.tracking_url.replace(parcel.tracking_number, number)
        new = replace(parcel, tracking_number=number, tracking_url=url)
        if id := parcel.remote_id or keys.get(parcel.key):
            self.track_shipment(id, self._tracking(new, "tracking_url"))
            return Receipt(parcel.id, id, confirmed=False)
        if seen.numbers and not seen.has(parcel.tracking_number):
            raise Rejected(f"{self.title} shows {seen.numbers[-1]} there and not {parcel.tracking_number}; look there")
        return self._set_tracking(order, new)

    def explain(self, reply: Reply) -> Exception | None:
        if reply.status in (401, 403):
            return AuthFailed(
                f"{self.title} refuses the API key ({words(reply)}), a new one ends the old one; "
                "take the one that holds: shipfwd integration edit NAME --secret api_key=prompt"
            )
        if reply.status == 404 and "/api/orders/" in reply.url:
            return OrderNotFound(f"{self.title} knows no such order of this shop")
        fields = errors_of(reply) if 400 <= reply.status < 500 else ()
        for field in (str(row.get("field", "")) for row in fields):
            if "carrier" in field:
                return CarrierNotAccepted(f"{self.title} does not take this carrier ({words(reply)})")
            if "tracking" in field:
                return NumberNotAccepted(f"{self.title} does not take this number ({words(reply)})")
        return None

    # ---- reading ----------------------------------------------------------------------------------------

    def _features(self) -> Mapping[str, bool]:
        """What the operator has switched on (PC01), for a day."""
        if not (found := self.cache.get("features")):
            features = self.field(self.get("/api/platform/configuration", params=self.query()).data, "features")
            multi = bool(self.field(features, "shipment", "multi_shipment"))
            found = {"multi": multi, "names": not self.field(features, "disable_seller_alternative_carrier")}
            self.cache.put("features", found, DAY)
        return found

    def _seen(self, row: Any, rows: Sequence[Any]) -> Seen:
        state = self.text(row, "order_state")
        kind, said = MEANS.get(state, (None, ""))
        if kind is None and state not in ("SHIPPING", *LATER):
            kind, said = NotUnderstood, f"{self.title} shows the order as '{state}', a word that shipfwd does not know"
        shipments, gone = {}, dict[str, int]()
        first = self.text(row, "shipping_tracking", absent="")
        numbers = {tracking_key(first): first} if first else {}
        for one in rows:
            if (status := self.text(one, "status")) == "CANCELED":
                continue
            number = self.text(one, "tracking", "tracking_number", absent="")
            shipments[self.text(one, "id")] = {"key": tracking_key(number), "open": status == "SHIPPING"}
            numbers |= {tracking_key(number): number} if number else {}
            for part in self.rows(one, "shipment_lines", absent=()):
                id = self.text(part, "order_line_id", absent="")
                gone[id] = gone.get(id, 0) + self.count(part, "quantity")
        lines = []
        for line in self.rows(row, "order_lines", absent=()):
            id, count = self.text(line, "order_line_id"), self.count(line, "quantity")
            if line.get("order_line_state") in ("CANCELED", "REFUSED"):
                count = gone.get(id, 0)
            lines.append(Line(id, count, max(0, count - gone.get(id, 0)), self.text(line, "offer_sku", absent="")))
        return Seen(
            numbers=tuple(numbers.values()),
            sent=state in LATER,
            state=state,
            refusal=kind(said) if kind else None,
            lines=tuple(lines),
            more={"shipments": shipments, "multi": self.multi},
        )

    # ---- writing ----------------------------------------------------------------------------------------

    def _carrier(self, parcel: Parcel) -> Mapping[str, str]:
        """The code of a carrier that the operator lists by one of our words, else its name where that is allowed."""
        mapped = self.tools.carrier_map.get(parcel.carrier, "")
        ours = [mapped] if mapped else [self.carriers.get(parcel.carrier, ""), parcel.carrier_name, parcel.carrier]
        if not parcel.carrier:
            raise CarrierNotAccepted(f"{self.title} asks for a carrier and none is given")
        if not (mapped or parcel.carrier_name):
            raise CarrierNotAccepted(f"{self.title} has no name for carrier '{parcel.carrier}'")
        if (listed := self.cache.get("carriers")) is None:
            rows = self.rows(self.get("/api/shipping/carriers", params=self.query()).data, "carriers")
            listed = [{place: self.text(row, place) for place in ("code", "label")} for row in rows]
            self.cache.put("carriers", listed, DAY)
        wanted = {_letters(word) for word in ours if word}
        for place in ("code", "label"):
            for row in listed:
                if _letters(row[place]) in wanted:
                    return {"carrier_code": row["code"]}
        name = mapped or parcel.carrier_name
        if self._features()["names"]:
            return {"carrier_name": name}
        labels = ", ".join(row["label"] for row in listed)
        raise CarrierNotAccepted(f"{self.title} does not list {name} and takes no other carriers than {labels}")

    def _tracking(self, parcel: Parcel, url: str) -> dict[str, str]:
        """Carrier and number; `url` is what this call names the tracking page of a carrier that is not listed."""
        sent = {**self._carrier(parcel), "tracking_number": parcel.tracking_number}
        if "carrier_name" in sent and parcel.tracking_url:
            sent[url] = parcel.tracking_url
        return sent

    def _set_tracking(self, order: str, parcel: Parcel) -> Receipt:
        how: dict[str, Any] = {"operation": "OR23", "expect": "empty", "repeatable": True}
        self.put(TRACKING, order, params=self.query(), json=self._tracking(parcel, "carrier_url"), **how)
        return Receipt(parcel.id, confirmed=False)


def _letters(word: str) -> str:
    """A carrier's name or code as it is compared: letters and digits, case folded."""
    return "".join(c for c in word.casefold() if c.isalnum())
