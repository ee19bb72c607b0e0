"""WooCommerce shops of four flavours, from what servers answered on 2026-11-23.

WooCommerce 11.0.1 (core; with order fulfillments on; with Advanced Shipment Tracking 3.9.2) and WooCommerce 8.9.3
with the official Shipment Tracking 2.3.1. `flavour` chooses which of them this is, at any time. Kept because it
bites: an unknown key is no authentication error but a missing right; an unknown order is 404 to GET and 400 to
PUT; nothing is idempotent; AST's POST alone understands order numbers.
"""

from __future__ import annotations

from shipfwd.simulator._woo_fulfillments import Fulfillments
from shipfwd.simulator._woo_trackings import NAMESPACES, Trackings, slug


class WooCommerce(Trackings, Fulfillments):
    """flavour: core | ast | shipment-tracking | fulfillments."""

    name = "woocommerce"
    title = "WooCommerce"
    flavour = "ast"

    @property
    def namespaces(self) -> tuple[str, ...]:  # type: ignore[override]
        own = NAMESPACES.get(self.flavour, ())
        return (*super().namespaces, *(space for space in own if not space.startswith("wc/")))

    def put(self, id: str, number: str, provider: str = "InPost") -> None:
        """A number comes to stand on the order, by whomever, the way this flavour keeps it."""
        order = self.orders[id]
        if self.flavour == "core":
            self.set_meta(order, {"key": "_tracking_number", "value": number})
        elif self.flavour == "fulfillments":
            items = [{"item_id": int(line.id), "qty": line.quantity} for line in order.lines]
            given = {"_items": items, "_tracking_number": number, "_shipment_provider": slug(provider)}
            metas = [{"key": key, "value": value} for key, value in given.items()]
            self._add_fulfillment(order, {"status": "fulfilled", "meta_data": metas})
        else:
            self._add_tracking(order, {"tracking_number": number, "tracking_provider": provider})

    def describe(self) -> str:
        return f"{super().describe()} (flavour {self.flavour})"

    def seed(self) -> dict[str, str]:
        """101 to 103 ready, 104 cancelled, 105 not paid, 106 with a number, 107 called 2007 by the merchant."""
        self.add_order("101")
        self.add_order("102", lines=1)
        self.add_order("103")
        self.add_order("104", status="cancelled")
        self.add_order("105", status="pending")
        self.add_order("106")
        self.put("106", "620000000000000000000106")
        self.add_order("107", number="2007")
        return {
            "101": "ready",
            "102": "ready, one line",
            "103": "ready",
            "104": "cancelled",
            "105": "not paid yet",
            "106": "has a number already",
            "107": "ready; the merchant calls it 2007",
        }
