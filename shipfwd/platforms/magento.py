"""Magento 2 and Adobe Commerce on a host of one's own: the shop's REST API, by an integration's tokens.

Source: https://developer.adobe.com/commerce/webapi/rest/, its Swagger of 2.4.9, and what a local shop (2.4.7-p3)
answered; read and tried 2026-11-23. #N: github.com/magento/magento2/issues.
Quirks, each the reason for a line below or in _magento.py:
- The merchant's number is the increment id, which stores may share; addresses take the entity id.
- /ship takes its fields bare. Wrapped, as /shipment/track wants them, the whole order is shipped without a number and
  with a 200 (#13248).
- Without `items` all that is left is shipped. A second /ship finds nothing left: a later number is a track on the
  newest shipment, which Magento neither compares nor mails.
- /ship answers the shipment's id, as text or as a number, and no track. It may take longer than we wait.
- "See error log" may come after the deed: a mail or a stock module broke.
- With `fields` an empty list is null. A page may be shorter than asked for.
- A configurable or a bundle is shipped by its parent's line (#9762), what is virtual not at all.
- A track cannot be changed (magento/devdocs#9196), only added and deleted.
- Since 2.4.4 an integration's token alone is refused unless the shop allows it, in the words for a missing right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shipfwd.errors import NotReady, NotUnderstood, OrderNotFound, OutcomeUnknown, PlatformError, Rejected, UsageError
from shipfwd.models import Parcel, Receipt, Seen, Setting, tracking_key
from shipfwd.platforms._magento import LESS, OAUTH, Rest

ORDER = f"entity_id,increment_id,state,items[item_id,parent_item_id,sku,is_virtual,qty_ordered,{','.join(LESS)}]"
SHIPMENT = "entity_id,order_id,tracks[entity_id,track_number]"
NOTHING_LEFT = ("does not allow a shipment", "a shipment without products")
GO = ("new", "processing", "complete")  # new: not invoiced yet, as cash on delivery is
MEANS: dict[str, tuple[type[PlatformError], str]] = {
    "pending_payment": (NotReady, "the order is not paid yet at the shop"),
    "payment_review": (NotReady, "the order's payment is under review at the shop"),
    "holded": (NotReady, "the order is on hold at the shop"),
    "canceled": (Rejected, "the order is cancelled at the shop; nothing is sent for it"),
    "closed": (Rejected, "the order is refunded and closed at the shop; nothing is sent for it"),
}


class Magento(Rest):
    name = "magento"
    title = "Magento"
    source = "https://developer.adobe.com/commerce/webapi/rest/"
    read_on = "2026-11-23"
    where = "admin > Sales > Orders > {order}"
    settings = (
        Setting("base_url", "the shop's address, without /rest", url=True),
        Setting("store_code", "the store view in whose name the shop answers and mails", default="all"),
        Setting("consumer_key", "for OAuth 1.0a", optional=True),
        Setting("notify_buyer", "have the shop mail the buyer about the shipment", default="false", flag=True),
        Setting("access_token", "from System > Integrations", secret=True),
        Setting("consumer_secret", "for OAuth 1.0a", optional=True, secret=True),
        Setting("token_secret", "for OAuth 1.0a", optional=True, secret=True),
    )
    carriers = {"ups": "ups", "usps": "usps", "fedex": "fedex", "dhl-express": "dhl"}
    other_carrier = "custom"
    concurrency = 4
    host_key = "base_url"  # what refuses calls is the shop's own server
    look_batch = 50
    together = True
    proof = "read"
    doubt_seconds = 180
    status_transfer = "with-tracking"
    correct = "replace"

    @classmethod
    def complete(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        missing = [name for name in OAUTH if not (settings.get(name) or name in secrets)]
        if 0 < len(missing) < len(OAUTH):
            raise UsageError(f"OAuth 1.0a needs {', '.join(OAUTH)} and access_token; give {', '.join(missing)} too")

    def check(self) -> str:
        for path in ("/orders", "/shipments"):
            answer = self.get(path, params={"searchCriteria[pageSize]": "1", "fields": "total_count"}).data
            self.field(answer, "total_count")
        return re.sub("^https?://", "", self.values["base_url"].lower()).rstrip("/")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found: dict[str, list[Any]] = {order: [] for order in orders if "," not in order}  # it would be two
        for row in self._search("/orders", "increment_id", list(found), ORDER):
            if (name := self.text(row, "increment_id")) in found:
                found[name].append(row)
        ids = [str(self.count(row, "entity_id")) for rows in found.values() for row in rows]
        shipments: dict[str, list[Any]] = {}
        for row in self._search("/shipments", "order_id", ids, SHIPMENT):
            shipments.setdefault(str(self.count(row, "order_id")), []).append(row)
        return {name: self._seen(name, rows, shipments) for name, rows in found.items() if rows}

    def bundle(self, parcel: Parcel) -> str:
        return str(parcel.id) if parcel.items else ""  # named items are a shipment of their own

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        named = [part for one in parcels if one.items for part in self.parts(one, seen.lines, shared=True)]
        if not any(line.left for line in ([line for line, _ in named] if named else seen.lines)):
            return self._add(parcels, seen)
        body: dict[str, Any] = {"tracks": [self._track(one) for one in parcels], "notify": self.flag("notify_buyer")}
        if named:
            some = [(line, min(count, line.left)) for line, count in named if line.left]
            body["items"] = [{"order_item_id": int(line.id), "qty": count} for line, count in some]
        try:
            shipment = self.post("/order/{}/ship", seen.more["id"], json=body).data
        except Rejected as error:
            if not any(words in str(error) for words in NOTHING_LEFT):
                raise
            seen = self.look([order]).get(order, seen)  # somebody shipped it meanwhile
            if seen.refusal or not seen.more["shipments"]:
                raise seen.refusal or error from None
            return self._add(parcels, seen)
        if not isinstance(shipment, int | str) or not str(shipment).isdigit():
            raise NotUnderstood(f"{self.title} answered without the shipment's id")
        seen.more["shipments"].append(str(shipment))  # for the order's next parcel, too
        return [Receipt(one.id, str(shipment), confirmed=False) for one in parcels]

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        """The new track is added before the old one goes, so that one is always there."""
        if not seen.more:
            raise OrderNotFound(f"the shop knows no order '{order}' any more")
        old = [one for one in seen.more["tracks"] if tracking_key(one["number"]) == parcel.key]
        (receipt,) = self._add([replace(parcel, tracking_number=number)], seen, old[0]["shipment"] if old else "")
        for one in old:
            if self.call("DELETE", "/shipment/track/{}", one["id"]).data is not True:
                raise NotUnderstood(f"{number} was added, but {self.title} does not say that {one['number']} is gone")
        return receipt

    def _track(self, parcel: Parcel) -> dict[str, str]:
        """A carrier that the merchant maps may bring its title: custom:Bike Couriers."""
        code, _, title = self.carrier_code(parcel).partition(":")
        title = title or parcel.carrier_name or parcel.carrier
        return {"track_number": parcel.tracking_number, "title": title, "carrier_code": code}

    def _add(self, parcels: Sequence[Parcel], seen: Seen, shipment: str = "") -> list[Receipt]:
        """Numbers as tracks on a shipment that is there, the newest unless told; one call each."""
        shipment = shipment or next(reversed(seen.more["shipments"]), "")
        if not shipment:
            raise Rejected("nothing is left to ship on the order, and it has no shipment that could show a number")
        receipts: list[Receipt] = []
        for parcel in parcels:
            if seen.has(parcel.tracking_number):
                receipts.append(Receipt(parcel.id, shipment))
                continue
            entity = {"order_id": int(seen.more["id"]), "parent_id": int(shipment), **self._track(parcel)}
            try:
                answer = self.post(
                    "/shipment/track", json={"entity": {**entity, "weight": 0, "qty": 1, "description": ""}}
                )
                number = self.text(answer.data, "track_number")
            except PlatformError as error:
                if not receipts:
                    raise
                raise OutcomeUnknown(f"not all of the order's numbers are there yet ({error})") from None
            receipts.append(Receipt(parcel.id, shipment, confirmed=tracking_key(number) == parcel.key))
        return receipts

    def _seen(self, name: str, orders: Sequence[Any], shipments: Mapping[str, list[Any]]) -> Seen:
        ids = [str(self.count(order, "entity_id")) for order in orders]
        if len(ids) > 1:
            several = f"{len(ids)} orders of the shop have the number {name}, with the entity ids {', '.join(ids)}"
            return Seen(refusal=Rejected(f"{several}; ship the right one by hand"))
        state, own = self.text(orders[0], "state"), shipments.get(ids[0], [])
        kind, words = MEANS.get(state, (NotUnderstood, f"the order is '{state}', a state that shipfwd does not know"))
        tracks = self._tracks(own)
        return Seen(
            numbers=tuple(one["number"] for one in tracks if one["number"]),
            sent=state == "complete",
            state=state,
            refusal=None if state in GO else kind(words),
            lines=self._lines(orders[0]),
            more={"id": ids[0], "shipments": [str(self.count(row, "entity_id")) for row in own], "tracks": tracks},
        )
