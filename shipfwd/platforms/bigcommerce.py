"""BigCommerce: one store, its orders by the V2 API.

Source: https://docs.bigcommerce.com/developer/api-reference/rest/admin/management/orders, github.com/bigcommerce/docs
(#N: orders.v2.oas2.yml, "Orders Overview", "API status codes", tracking_carrier_values.csv), "API rate limits"; read
2026-11-23.
Quirks, each the reason for a line below:
- An empty list is 204 without a body, never []. Lists come in pages of 50.
- A shipment's items want order_product_id: the `id` of GET …/products, not its product_id (#173).
- A shipment has one number and goes to one address of the order.
- What it says to a shipment of more than is left is not documented: pieces are counted here, read just before.
- A person or a label app may have shipped without a number: then that shipment gets ours, for nothing is left.
- A number alone is no link: tracking_carrier or shipping_provider makes one, else tracking_link. A
  shipping_provider that is left out turns to "custom".
- 429 tells its wait in X-Rate-Limit-Time-Reset-Ms; without that header the platform itself is busy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shipfwd.errors import AuthFailed, ConfigError, NotUnderstood, OrderNotFound, Rejected, Throttled
from shipfwd.models import Line, Parcel, Rate, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._bigcommerce import CARRIERS, SENT, refusal, said
from shipfwd.platforms.base import Platform

ORDERS, ORDER, SHIPMENTS = "/v2/orders", "/v2/orders/{}", "/v2/orders/{}/shipments"
PAGE = 50
LINK_MAX = 500
ITEMS = "say with --item what lies in the parcel (shipfwd add), then: shipfwd forward --failed"


class BigCommerce(Platform):
    name = "bigcommerce"
    title = "BigCommerce"
    source = "https://docs.bigcommerce.com/developer/api-reference/rest/admin/management/orders"
    read_on = "2026-11-23"
    where = "the control panel > Orders > {order}"
    settings = (
        Setting("base_url", "https://api.bigcommerce.com/stores/ and the store's hash", url=True),
        Setting("access_token", "of a store-level API account with Orders: modify", secret=True),
    )
    carriers = CARRIERS
    other_carrier = "other"  # our word; there it is an empty one, beside our link
    number_max = 50
    rates = (Rate(150, 30, burst=5),)  # the smallest plan's; the store's other programs share it
    host_key = "base_url"  # the store
    concurrency = 4
    parcels = "items"
    status_transfer = "with-tracking"
    correct = "replace"

    def headers(self) -> Mapping[str, str]:
        return {"X-Auth-Token": self.secret("access_token")}

    def check(self) -> str:
        """The store's hash stands in the address; that the token is this store's shows at the first read."""
        store = re.search("/stores/([^/]+)/?$", self.values["base_url"])
        if not store:
            raise ConfigError("base_url ends with /stores/ and the store's hash, without /v2 or /v3")
        self.get(ORDERS, params={"limit": "1"}, accept=(204,))
        return store[1]

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            form = self.get(ORDER, order, accept=(404,))
            if form.status == 200 and self.text(form.data, "id") == order:
                found[order] = self._seen(form.data, self._rows(SHIPMENTS, order))
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        lines, address = self._lines(order)
        given = self._tracking(parcel)
        if (bare := self._bare(parcel, lines, seen)) is not None:
            seen.more["bare"].remove(bare)  # not for the next parcel of this order, too
            return [self._change(order, bare, parcel, given)]
        parts = self.parts(parcel, lines)
        if len({address[line.id] for line, _ in parts}) > 1:
            raise Rejected(f"the order goes to several addresses, a shipment to one; {ITEMS}")
        items = [{"order_product_id": int(line.id), "quantity": count} for line, count in parts]
        body = {"order_address_id": address[parts[0][0].id], "items": items, **given}
        return [self._receipt(parcel, self.post(SHIPMENTS, order, json=body))]

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        for row in seen.more["rows"]:
            old = self.text(row, "tracking_number", absent="")
            if tracking_key(old) == parcel.key:
                link = self.text(row, "tracking_link", absent="").replace(old, number)
                given = {"tracking_number": number, **({"tracking_link": link} if link else {})}
                return self._change(order, row, replace(parcel, tracking_number=number), given)
        raise Rejected(f"the order does not show {parcel.tracking_number} any more")

    def explain(self, reply: Reply) -> Exception | None:
        if reply.status == 429:
            wait = reply.headers.get("X-Rate-Limit-Time-Reset-Ms", "")
            return Throttled("the store's calls are used up", after=int(wait) / 1000) if wait.isdigit() else None
        if reply.status == 423:
            return Throttled("BigCommerce has locked this for now", after=60)
        if reply.status in (401, 403):
            return AuthFailed(
                f"BigCommerce denies access ({said(reply)}); the token is another store's, was deleted or lacks "
                "Orders: modify, see Settings > Store-level API accounts there"
            )
        if reply.status == 404 and f"{ORDERS}/" in reply.url:
            return OrderNotFound("BigCommerce knows no such order in this store")
        if reply.status == 404:
            return ConfigError("BigCommerce has no orders there; base_url is …/stores/HASH, without /v2 or /v3")
        if reply.status in (400, 409, 422):
            return Rejected(f"BigCommerce refuses this: {said(reply)}")
        return None

    # ---- reading ----------------------------------------------------------------------------------------

    def _rows(self, path: str, order: str) -> list[Any]:
        rows: list[Any] = []
        while len(rows) % PAGE == 0:
            page = {"page": str(len(rows) // PAGE + 1), "limit": str(PAGE)}
            reply = self.get(path, order, params=page, accept=(204,))
            if reply.status == 204:
                break
            if not isinstance(reply.data, list) or not reply.data:
                raise NotUnderstood("BigCommerce answered without a list; an empty one comes as 204")
            rows += self.rows(reply.data)
        return rows

    def _seen(self, form: Any, rows: list[Any]) -> Seen:
        status = self.count(form, "status_id")
        numbers = [self.text(row, "tracking_number", null="") for row in rows]
        return Seen(
            numbers=tuple(number for number in numbers if number),
            sent=status in SENT,
            state=self.text(form, "status", absent="") or str(status),
            refusal=refusal(form, status),
            more={"rows": rows, "bare": [row for row, number in zip(rows, numbers, strict=True) if not number]},
        )

    def _lines(self, order: str) -> tuple[list[Line], dict[str, int]]:
        """What can be shipped of the order now, and each line's address; what is digital or fetched has none."""
        lines, address = [], {}
        for row in self._rows(ORDER + "/products", order):
            id, many, to = (self.count(row, name) for name in ("id", "quantity", "order_address_id"))
            if to and self.text(row, "type", absent="physical") == "physical":
                gone = self.count(row, "quantity_shipped") + self.count(row, "quantity_refunded", absent=0)
                lines.append(Line(str(id), many, max(0, many - gone), self.text(row, "sku", absent="")))
                address[str(id)] = to
        return lines, address

    def _contents(self, shipment: Any) -> dict[str, int]:
        """Line → how many of it lie in a shipment."""
        rows = self.rows(shipment, "items", absent=())
        return {self.text(row, "order_product_id"): self.count(row, "quantity", absent=0) for row in rows}

    def _bare(self, parcel: Parcel, lines: Sequence[Line], seen: Seen) -> Any:
        """The shipment without a number that this parcel is, or None. Raises Rejected where that is not certain."""
        bare = seen.more["bare"]
        if parcel.items:
            wanted = {line.id: count for line, count in self.parts(parcel, lines, shared=True)}
            return next((row for row in bare if self._contents(row) == wanted), None)
        if len(bare) == 1 and not any(line.left for line in lines):
            return bare[0]
        if bare:
            raise Rejected(f"{len(bare)} shipment(s) of the order have no number, and other pieces wait; {ITEMS}")
        return None

    # ---- writing ----------------------------------------------------------------------------------------

    def _tracking(self, parcel: Parcel) -> dict[str, str]:
        code = self.carrier_code(parcel)
        given = {"tracking_number": parcel.tracking_number, "shipping_provider": "", "tracking_carrier": ""}
        if code == "royalmail" or code.startswith("carrier_"):  # a provider of the store itself
            given["shipping_provider"] = code
        elif code != self.other_carrier:
            given["tracking_carrier"] = code
        else:
            given["comments"] = parcel.carrier_name or parcel.carrier
            if parcel.tracking_url and len(parcel.tracking_url) <= LINK_MAX:
                given["tracking_link"] = parcel.tracking_url
        return given

    def _change(self, order: str, row: Any, parcel: Parcel, given: Mapping[str, str]) -> Receipt:
        """Put another number on a shipment; the same again changes nothing."""
        id = self.text(row, "id")
        return self._receipt(parcel, self.put(SHIPMENTS + "/{}", order, id, json=given, repeatable=True))

    def _receipt(self, parcel: Parcel, reply: Reply) -> Receipt:
        if tracking_key(self.text(reply.data, "tracking_number", null="")) != parcel.key:
            raise NotUnderstood("BigCommerce accepted the number and answered with another one")
        return Receipt(parcel.id, remote_id=self.text(reply.data, "id"))
