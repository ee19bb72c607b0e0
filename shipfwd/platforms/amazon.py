"""Amazon: Selling Partner API, with tokens of Login with Amazon.

Source: github.com/amzn/selling-partner-api-models (ordersV0.json, orders_2026-01-01.json) and its issues (#N),
github.com/jlevers/selling-partner-api issues (jlevers N), developer-docs.amazon.com/sp-api, read 2026-11-23.
Quirks, each the reason for a line below:
- Writing stays v0 (confirmShipment), reading is 2026-01-01: the reads of v0 end on 2027-03-27 and never told a number.
- packageReferenceId is ours, a positive number in a string (jlevers 489, #5094). The same one again edits that package,
  so it is made from the tracking number: no counter of another database or tool then edits a parcel by mistake.
- A 204 is empty and may have stored nothing (#5232): each number is read back, many by one search in three minutes. An
  order on which nothing was stored was not updated, so no search lists it: what is overdue is asked for by its id.
- A fulfilled order may refuse a package, also an edit (#5037); only the words tell that. It may show our number.
- Codes are "InvalidInput" and "Invalid Input", the field at fault stands in the message (jlevers 489, 528).
- A client secret ends after 180 days (invalid_client); the refresh token lives on.
- No answer names the seller, so `check` can tell the marketplace only.
- India refuses Other (selling-partner-api-docs 712).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from shipfwd import __version__
from shipfwd.errors import ConfigError, NotOurs, NotUnderstood, Rejected, Throttled
from shipfwd.models import Line, Parcel, Rate, Receipt, Reply, Seen, Setting, stamp, tracking_key
from shipfwd.platforms._amazon import CARRIERS, INDIA, MEANS, Fulfilled, explain
from shipfwd.platforms._oauth import OAuth

CONFIRM = "/orders/v0/orders/{}/shipmentConfirmation"
ORDERS, ORDER = "/orders/2026-01-01/orders", "/orders/2026-01-01/orders/{}"
DATA = {"includedData": "PACKAGES,FULFILLMENT"}


class Amazon(OAuth):
    name = "amazon"
    title = "Amazon"
    source = "https://developer-docs.amazon.com/sp-api/reference/confirmshipment"
    read_on = "2026-11-23"
    where = "Seller Central > Orders > Manage Orders > {order}"
    settings = (
        Setting("base_url", "API host of the region", default="https://sellingpartnerapi-eu.amazon.com", url=True),
        Setting("auth_url", "host of Login with Amazon", default="https://api.amazon.com", url=True),
        Setting("client_id", "LWA client identifier of the application, from Seller Central > Develop Apps"),
        Setting("marketplace_id", "Amazon's id of the marketplace, such as A1C3SOZRARQ6R3 for Amazon.pl"),
        Setting("app_name", "sent as User-Agent", default="shipfwd"),
        Setting("client_secret", "LWA client secret; to be renewed every 180 days", secret=True),
        Setting("refresh_token", "shown once, by Develop Apps > Authorize", optional=True, secret=True),
    )
    carriers = CARRIERS
    other_carrier = "Other"
    rates = (
        Rate(2, burst=10, operations=("confirmShipment",)),
        Rate(0.5, burst=30, operations=("getOrder",)),
        Rate(1, 180, operations=("searchOrders",)),  # also allowed: twenty at once, which are left to `check`
    )
    host_key = "client_id refresh_token"  # each limit is one of a seller and an application
    concurrency = 4
    verify_batch = 100
    parcels = "items"
    proof = "read"
    repeat = "harmless"
    proof_seconds = 1800
    status_transfer = "with-tracking"
    correct = "replace"
    login_path = "/auth/o2/token"
    client_advice = (
        "a client secret of Amazon ends after 180 days: make a new one in Seller Central > Develop Apps, then: "
        "shipfwd integration edit NAME --secret client_secret=prompt (the refresh token stays)"
    )
    login_advice = (
        "take one from Seller Central > Develop Apps > Authorize, then: "
        "shipfwd integration edit NAME --secret refresh_token=prompt"
    )

    @property
    def other_allowed(self) -> bool:
        return self.values["marketplace_id"] != INDIA

    def client(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        return {}, {"client_id": self.client_id, "client_secret": self.secret("client_secret")}

    def headers(self) -> Mapping[str, str]:
        agent = f"{self.values['app_name'].replace('/', chr(92) + '/')}/{__version__} (Language=Python)"
        if not (agent.isascii() and agent.isprintable() and len(agent) <= 500):
            raise ConfigError("app_name is sent in a header: write it without accents, in at most 400 characters")
        at = self.now().strftime("%Y%m%dT%H%M%SZ")
        return {"x-amz-access-token": self.access_token(), "x-amz-date": at, "User-Agent": agent}

    def login(self) -> str:
        raise ConfigError(f"Amazon's consent gives no code to shipfwd but a refresh token to you: {self.login_advice}")

    def check(self) -> str:
        self._search(self.now() - timedelta(days=1), size=1)
        return self.values["marketplace_id"]

    def needs_look(self, parcels: Sequence[Parcel]) -> bool:
        return not all(one.items and all(item.item_id and item.quantity for item in one.items) for one in parcels)

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            reply = self.get(ORDER, order, params=DATA, operation="getOrder", accept=(404,))
            if reply.status != 404:
                found[order] = self._seen(self.field(reply.data, "order"))
        return found

    def seen_again(self, written: Mapping[str, datetime]) -> Mapping[str, Seen]:
        if len(written) == 1:
            return super().seen_again(written)
        page = self._search(min(written.values()) - timedelta(minutes=2), operation="searchOrders")
        found = {self.text(row, "orderId"): self._seen(row) for row in page}
        for order, at in written.items():
            if order not in found and (self.now() - at).total_seconds() >= self.proof_seconds:
                try:
                    found |= super().seen_again({order: at})
                except Throttled:
                    break
        return found

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        items = [(item.item_id, item.quantity) for item in parcel.items]
        if self.needs_look(parcels):
            edit = parcel.in_doubt or bool(parcel.remote_id)  # what it holds may be counted as sent already
            items = [(line.id, count) for line, count in self.parts(parcel, seen.lines, shared=edit)]
        reference = parcel.remote_id or str(10**8 + int(sha256(parcel.key.encode()).hexdigest(), 16) % (9 * 10**8))
        return [self._confirm(order, parcel, reference, items)]

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        """The same package again, with the items that it has there."""
        for package in seen.more.get("packages", ()):
            reference = self.text(package, "packageReferenceId")
            there = self.text(package, "trackingNumber", absent="")
            if reference.isdecimal() and (reference == parcel.remote_id or tracking_key(there) == parcel.key):
                rows = self.rows(package, "packageItems")
                items = [(self.text(row, "orderItemId"), self.count(row, "quantity")) for row in rows]
                return self._confirm(order, replace(parcel, tracking_number=number), reference, items)
        raise Rejected(
            f"Amazon shows no package of ours with {parcel.tracking_number}; if it is there later, run this again, "
            f"else change it by hand: {self.where.format(order=order)} > Edit shipment"
        )

    def explain(self, reply: Reply) -> Exception | None:
        return explain(reply)

    def _search(self, since: datetime, operation: str = "", size: int = 100) -> Any:
        """Orders that were changed since then: the first `size` of them."""
        params = {"lastUpdatedAfter": stamp(since), "marketplaceIds": self.values["marketplace_id"], **DATA}
        params |= {"fulfilledBy": "MERCHANT", "maxResultsPerPage": str(size)}
        return self.rows(self.get(ORDERS, params=params, operation=operation).data, "orders")

    def _seen(self, row: Any) -> Seen:
        state = self.text(row, "fulfillment", "fulfillmentStatus")
        kind, words = MEANS.get(state, (None, ""))
        if self.text(row, "fulfillment", "fulfilledBy", absent="") == "AMAZON":
            kind, words = NotOurs, "Amazon's own warehouse sends this order (FBA)"
        elif kind is None and state not in ("UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED"):
            kind, words = NotUnderstood, f"Amazon shows the order as '{state}', a word that shipfwd does not know"
        lines = []
        for item in self.rows(row, "orderItems"):
            count, gone = (
                self.count(item, "quantityOrdered"),
                self.count(item, "fulfillment", "quantityFulfilled", absent=0),
            )
            left = self.count(item, "fulfillment", "quantityUnfulfilled", absent=max(0, count - gone))
            sku = self.text(item, "product", "sellerSku", absent="")
            lines.append(Line(self.text(item, "orderItemId"), count, left, sku))
        packages = self.rows(row, "packages", absent=())
        numbers = [self.text(one, "trackingNumber", absent="") for one in packages]
        return Seen(
            numbers=tuple(filter(None, numbers)),
            sent=state == "SHIPPED",
            state=state,
            refusal=kind(words) if kind else None,
            lines=tuple(lines),
            more={"packages": packages},
        )

    def _confirm(self, order: str, parcel: Parcel, reference: str, items: Sequence[tuple[str, Any]]) -> Receipt:
        code = self.carrier_code(parcel)
        package: dict[str, Any] = {"packageReferenceId": reference, "carrierCode": code}
        if code == self.other_carrier:
            package["carrierName"] = parcel.carrier_name or parcel.carrier
        package |= {"trackingNumber": parcel.tracking_number, "shipDate": stamp(parcel.created_at)}
        package["orderItems"] = [{"orderItemId": id, "quantity": count} for id, count in items]
        sent = {"marketplaceId": self.values["marketplace_id"], "packageDetail": package}
        try:
            self.post(CONFIRM, order, json=sent, operation="confirmShipment", expect="empty")
        except Fulfilled as error:
            if not self.look([order]).get(order, Seen()).has(parcel.tracking_number):
                raise Rejected(str(error)) from None
            return Receipt(parcel.id, reference)
        return Receipt(parcel.id, reference, confirmed=False)
