"""Shopify's fulfilments: which of an order's parts become one, what tracking it has, and the write.

Words: a fulfilment order is a part of an order that waits at one location; a fulfilment is a shipment of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import NeedsItems, NotReady, OutcomeUnknown, Rejected
from shipfwd.models import Line, Parcel, Seen, tracking_key
from shipfwd.platforms import _shopify as gql
from shipfwd.platforms._oauth import OAuth
from shipfwd.platforms.base import Tools

Json = Any
Tracks = Sequence[tuple[str, str]]  # number and link of each parcel
LOW = 0.25  # of the points that Shopify gives at most; below, the next look waits


class Fulfilments(OAuth):
    """What an adapter for Shopify does with the answers. `linked`: companies whose numbers get a link by themselves."""

    linked: frozenset[str] = frozenset()

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self.purse: dict[str, float] = {}  # seconds until the next look; one purse for all copies of this adapter

    def _ask(self, query: str, variables: Mapping[str, Json], write: bool = False) -> Json:
        body = {"query": query, "variables": variables}
        answer = self.post("/admin/api/{}/graphql.json", self.values["api_version"], json=body, write=write).data
        self.purse["wait"] = gql.pause(answer, LOW) or 0.0
        return self.field(answer, "data")

    def _pages(self, page: Json, query: str, id: str, *path: str) -> list[Json]:
        """All rows of a list that comes in pages, of which the first is here."""
        rows = self.rows(page, "nodes")
        while self.field(page, "pageInfo", "hasNextPage"):
            page = self.field(self._ask(query, {"id": id, "after": self.field(page, "pageInfo", "endCursor")}), *path)
            rows += self.rows(page, "nodes")
        return rows

    # ---- reading ----------------------------------------------------------------------------------------

    def _tracks(self, fulfilment: Json) -> list[tuple[str, str]]:
        found = self.rows(fulfilment, "trackingInfo")
        rows = [(self.text(row, "number", null=""), self.text(row, "url", absent="")) for row in found]
        return [(number, url) for number, url in rows if number]

    def _company_of(self, fulfilment: Json) -> str:
        names = [self.text(row, "company", absent="") for row in self.rows(fulfilment, "trackingInfo")]
        return next(filter(None, names), "")

    def _obstacle(self, order: Json, parts: Sequence[Json], ready: bool) -> Exception | None:
        """Why nothing may be written now. parts: fulfilment orders. ready: some of them can go."""
        if self.field(order, "cancelledAt"):
            return Rejected("the order is cancelled at Shopify; nothing is to be sent")
        if order.get("displayFinancialStatus") == "REFUNDED":
            return Rejected("the order is refunded at Shopify; nothing is to be sent")
        states = {self.text(part, "status") for part in parts}
        if not ready and "ON_HOLD" in states:
            holds = {self.text(one, "reason") for part in parts for one in self.rows(part, "fulfillmentHolds")}
            why = ", ".join(sorted(holds)).replace("_", " ").lower() or "no reason given"
            return NotReady(f"Shopify holds the order back ({why}); release it there")
        if not ready and "SCHEDULED" in states:
            dates = [self.text(part, "fulfillAt", absent="") for part in parts if part["status"] == "SCHEDULED"]
            when = min(filter(None, dates), default="later")
            return NotReady(f"Shopify has the order scheduled for {when}; mark it as ready there to send it now")
        return None

    def _contents(self, parcel: Parcel, ready: Sequence[Json]) -> dict[str, list[dict[str, Json]]]:
        """Lines and quantities of a parcel's items, by fulfilment order; a line may be spread over several of them."""
        rows: list[tuple[str, str, dict[str, Json]]] = []
        lines: dict[str, Line] = {}
        for part in ready:
            id = self.text(part, "id")
            page = self.field(self._ask(gql.LINES, {"id": id}), "fulfillmentOrder", "lineItems")
            for row in self._pages(page, gql.LINES, id, "fulfillmentOrder", "lineItems"):
                key, left = gql.tail(self.text(row, "lineItem", "id")), self.count(row, "remainingQuantity")
                known = lines.get(key, Line(key, 0, 0, self.text(row, "sku", absent="")))
                lines[key] = Line(key, known.quantity + self.count(row, "totalQuantity"), known.left + left, known.sku)
                rows.append((id, key, {"id": self.text(row, "id"), "quantity": left}))
        chosen: dict[str, list[dict[str, Json]]] = {}
        try:
            wanted = self.parts(parcel, list(lines.values()))
        except Rejected as error:
            raise Rejected(f"{error}, or it cannot be shipped any more: check the parcel's items") from None
        for line, count in wanted:
            for id, key, row in rows:
                if key == line.id and (take := min(count, row["quantity"])):
                    chosen.setdefault(id, []).append({"id": row["id"], "quantity": take})
                    row["quantity"], count = row["quantity"] - take, count - take
        return chosen

    # ---- writing ----------------------------------------------------------------------------------------

    def _company(self, parcel: Parcel) -> str:
        code = self.carrier_code(parcel)
        return code if code != self.other_carrier else parcel.carrier_name or parcel.carrier

    def _tracking(self, company: str, tracks: Tracks) -> dict[str, Json]:
        info: dict[str, Json] = {"company": company, "numbers": [number for number, _ in tracks]}
        links = [link for _, link in tracks]
        return info if company in self.linked or not all(links) else info | {"urls": links}

    def _creation(self, parcels: Sequence[Parcel], seen: Seen) -> list[dict[str, Json]]:
        """A fulfilment for each location that has something left: of a parcel's items, or of everything."""
        first, ready = parcels[0], seen.more["ready"]
        contents = self._contents(first, ready) if first.items else {}
        places: dict[str, list[dict[str, Json]]] = {}
        for part in ready:
            id, location = self.text(part, "id"), self.field(part, "assignedLocation", "location")
            if not first.items or id in contents:
                named = {"fulfillmentOrderLineItems": contents[id]} if first.items else {}
                place = self.text(location, "id") if location else id
                places.setdefault(place, []).append({"fulfillmentOrderId": id, **named})
        tracks = [(parcel.tracking_number, parcel.tracking_url) for parcel in parcels]
        more = {
            "trackingInfo": self._tracking(self._company(first), tracks),
            "notifyCustomer": self.flag("notify_buyer"),
        }
        return [{"fulfillment": {"lineItemsByFulfillmentOrder": rows, **more}} for rows in places.values()]

    def _addition(self, parcels: Sequence[Parcel], seen: Seen) -> list[dict[str, Json]]:
        """All is fulfilled: the first fulfilment without a number gets it, else the last one of the same company."""
        company, live = self._company(parcels[0]), seen.more["live"]
        if not seen.sent:
            parts = ", ".join(seen.more["parts"]) or "none that this app may see"
            raise Rejected(
                f"Shopify shows this order as {seen.state} and lets nothing of it be fulfilled (its parts: {parts}): "
                "look at it there, and whether the app has the rights for all locations"
            )
        bare = [one for one in live if self.field(one, "requiresShipping") and not self._tracks(one)]
        same = [one for one in live if self._company_of(one).casefold() == company.casefold()]
        if not bare and not same:
            there = [f"{number} ({self._company_of(one) or '?'})" for one in live for number, _ in self._tracks(one)]
            kind = NeedsItems if there and not parcels[0].items else Rejected
            raise kind(
                f"all of this order is fulfilled at Shopify ({', '.join(there) or 'nothing was to be shipped'}), and a "
                f"fulfilment has one carrier: what went with {company} needs one of its own, and --item. Cancel that "
                "one there, give this parcel its items, forward it, and then the other with --again"
            )
        new = [(parcel.tracking_number, parcel.tracking_url) for parcel in parcels]
        target = bare[0] if bare else same[-1]
        return [self._update(target, company, [*self._tracks(target), *new])]

    def _update(self, fulfilment: Json, company: str, tracks: Tracks) -> dict[str, Json]:
        """All of a fulfilment's tracking anew; the carrier that stands there stays."""
        return {
            "fulfillmentId": self.text(fulfilment, "id"),
            "trackingInfoInput": self._tracking(self._company_of(fulfilment) or company, tracks),
            "notifyCustomer": self.flag("notify_buyer"),
        }

    def _write(self, steps: Sequence[Mapping[str, Json]]) -> tuple[set[str], str]:
        """All steps in one request. Keys of the numbers that the answer shows, and the first fulfilment's id."""
        data = self._ask(*gql.mutation(steps), write=True)
        payloads = [self.field(data, f"w{place}") for place in range(len(steps))]
        if None in payloads:
            raise OutcomeUnknown("Shopify does not say what became of the number")
        errors = [self.text(one, "message") for payload in payloads for one in self.rows(payload, "userErrors")]
        if errors:
            raise gql.refused(errors, partly=any(not payload["userErrors"] for payload in payloads))
        ids = [self.text(payload, "fulfillment", "id") for payload in payloads]
        tracks = [track for payload in payloads for track in self._tracks(payload["fulfillment"])]
        return {tracking_key(number) for number, _ in tracks}, ids[0]
