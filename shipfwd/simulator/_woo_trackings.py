"""The two tracking plugins: Advanced Shipment Tracking 3.9 and the official Shipment Tracking 2.3, as observed.

Neither looks for an equal number: every repeat is another row. Both take an unknown carrier with 201 and keep
an empty name; the `Location` of that 201 is wrong. AST alone completes orders and replaces rows.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from shipfwd.simulator._woo import ROOT, TRACKING_META, Shop, error, missing, truth
from shipfwd.simulator.base import Answer, Order, Request, Stop, route

# Region → the name a shop shows → the link, {n} for the number.
PROVIDERS = {
    "Global": {
        "DHL Express": "https://www.dhl.com/en/express/tracking.html?AWB={n}&brand=DHL",
        "FedEx": "https://www.fedex.com/apps/fedextrack/?action=track&action=track&tracknumbers={n}",
        "GLS": "https://gls-group.eu/EU/en/parcel-tracking?match={n}",
        "UPS": "https://www.ups.com/track?loc=en_US&tracknum={n}",
    },
    "Poland": {
        "DPD.PL": "https://tracktrace.dpd.com.pl/parcelDetails?p1={n}",
        "InPost": "https://inpost.pl/sledzenie-przesylek?number={n}",
        "Poczta Polska": "https://emonitoring.poczta-polska.pl/?numer={n}",
    },
}
NAMESPACES = {
    "ast": ("wc-ast/v3", "wc/v1", "wc/v2", "wc/v3", "wc-shipment-tracking/v3"),
    "shipment-tracking": ("wc-shipment-tracking/v3", "wc/v1", "wc/v2"),
}
SPACE = "{space:wc-ast/v3|wc-shipment-tracking/v3|wc/v[123]}"
HERE = f"{ROOT}/{SPACE}/orders/{{id:[0-9]+}}/shipment-trackings"


def slug(name: str) -> str:
    """WordPress's sanitize_title, for plain names."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")


_KNOWN = {slug(name): (name, link) for region in PROVIDERS.values() for name, link in region.items()}


class Trackings(Shop):
    number_field = "tracking_number"
    flavour = "core"

    @property
    def ast(self) -> bool:
        return self.flavour == "ast"

    def routes_here(self) -> dict[str, list[str]]:
        more = {}
        for space in NAMESPACES.get(self.flavour, ()):
            base = f"/{space}/orders/(?P<order_id>[\\d]+)/shipment-trackings"
            more[base] = ["GET", "POST"]
            more[base + "/(?P<id>[a-fA-F0-9]{0,64})"] = ["GET", "DELETE"]
            more[base + "/providers"] = ["GET"]
        return super().routes_here() | more

    def meta_of(self, order: Order) -> list[dict[str, Any]]:
        if not order.rows:
            return super().meta_of(order)
        id = order.more.setdefault("tracking_meta_id", None) or self.next_id()
        order.more["tracking_meta_id"] = id
        return [*super().meta_of(order), {"id": id, "key": TRACKING_META, "value": order.rows}]

    # ---- routes -----------------------------------------------------------------------------------------

    @route("POST", HERE)
    def track(self, request: Request, space: str, id: str) -> Answer:
        self._plugged_in(request, space)
        sent = self.sent(request)
        if "tracking_number" not in sent:
            return missing("tracking_number")
        if not self._key(request) and self.ast:
            return error(403, "forbidden", "Insufficient permissions")
        self.permit(request, "create", "Sorry, you are not allowed to create resources.")
        # AST turns an order number into an id here, and nowhere else.
        order = (self.ast and self.by_number(id)) or self.known(id)
        if "tracking_id" in sent:
            message = "Cannot create existing order shipment tracking."
            return error(400, "woocommerce_rest_shop_order_shipment_tracking_exists", message)
        if self.ast and truth(sent.get("replace_tracking")):
            order.rows.clear()
        row = self._add_tracking(order, sent)
        if self.ast:
            self.add_note(order, f"Order was shipped with {_name(row)} and tracking number is: {_text(row)}")
            if truth(sent.get("status_shipped")):
                self.set_status(order, "completed")
        wrong = f"{self.base_url}{ROOT}/{space}/orders/{id}/shipment-trackings/{_as_integer(row['tracking_id'])}"
        return Answer.json(self._shown(space, order, row), 201, {"Location": wrong})

    @route("GET", HERE)
    def trackings(self, request: Request, space: str, id: str) -> Answer:
        self._plugged_in(request, space)
        self.permit(request, "view", "Sorry, you cannot list resources.")
        order = self.known(id)
        return Answer.json([self._shown(space, order, row) for row in order.rows])

    @route("GET", HERE + "/providers")
    def providers(self, request: Request, space: str, id: str) -> Answer:
        self._plugged_in(request, space)
        form = "%number%" if self.ast else "%1$s"
        return Answer.json(
            {
                region: {name: link.replace("{n}", form) for name, link in names.items()}
                for region, names in PROVIDERS.items()
            }
        )

    @route("GET", HERE + "/{tracking:[0-9a-fA-F]{1,64}}")
    def tracking(self, request: Request, space: str, id: str, tracking: str) -> Answer:
        self._plugged_in(request, space)
        self.permit(request, "view", "Sorry, you cannot view this resource.")
        order = self.known(id)
        return Answer.json(self._shown(space, order, self._row(order, tracking)))

    @route("DELETE", HERE + "/{tracking:[0-9a-fA-F]{1,64}}")
    def untrack(self, request: Request, space: str, id: str, tracking: str) -> Answer:
        self._plugged_in(request, space)
        self.permit(request, "delete", "Sorry, you are not allowed to delete this resource.")
        order = self.known(id)
        row = self._row(order, tracking)
        order.rows.remove(row)
        return Answer.json(self._shown(space, order, row))

    # ---- helpers ----------------------------------------------------------------------------------------

    def _plugged_in(self, request: Request, space: str) -> None:
        if space not in NAMESPACES.get(self.flavour, ()):
            raise Stop(self.no_route(request))

    def _row(self, order: Order, tracking: str) -> dict[str, Any]:
        for row in order.rows:
            if row["tracking_id"] == tracking:
                return row
        code = "woocommerce_rest_order_shipment_tracking_invalid_id"
        raise Stop(error(404, code, "Invalid shipment tracking ID."))

    def _add_tracking(self, order: Order, sent: dict[str, Any]) -> dict[str, Any]:
        number = sent["tracking_number"]
        number = number if isinstance(number, list) else str(number)
        custom = str(sent.get("custom_tracking_provider") or "")
        provider = slug(custom or str(sent.get("tracking_provider") or ""))
        known = provider if provider in _KNOWN and (self.ast or not custom) else ""
        row = {
            "tracking_provider": known,
            "custom_tracking_provider": "" if self.ast else custom or None,
            "custom_tracking_link": str(sent.get("custom_tracking_link") or "") or ("" if self.ast else None),
            "tracking_number": number,
            "date_shipped": self._shipped(sent.get("date_shipped")),
        }
        if self.ast:
            row |= {"tracking_product_code": "", "source": "REST_API", "status_shipped": "", "user_id": 1}
        seed = f"{provider}-{number}-{self.next_id()}"
        row["tracking_id"] = hashlib.md5(seed.encode(), usedforsecurity=False).hexdigest()
        order.rows.append(row)
        return row

    def _shipped(self, text: Any) -> str | int:
        """Unix time of the day; no date, or none that is one: today, and then as a number."""
        today = int(self.now()) // 86400 * 86400
        if found := re.match(r"(\d{4})-(\d\d)-(\d\d)|(\d\d)-(\d\d)-(\d{4})", str(text or "")):
            year, month, day = found.group(1, 2, 3) if found[1] else found.group(6, 5, 4)
            try:
                return str(int(datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp()))
            except ValueError:
                return today
        return today

    def _shown(self, space: str, order: Order, row: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.base_url}{ROOT}/{space}/orders/{order.id}"
        here = f"{url}/shipment-trackings"
        own = row["custom_tracking_link"]
        link = own or _KNOWN.get(row["tracking_provider"], ("", ""))[1]
        for place in ("{n}", "%number%", "%1$s"):
            link = link.replace(place, _text(row))
        return {
            "tracking_id": row["tracking_id"],
            "tracking_provider": _name(row),
            "tracking_link": link,
            "tracking_number": row["tracking_number"],
            "date_shipped": datetime.fromtimestamp(int(row["date_shipped"]), UTC).strftime("%Y-%m-%d"),
            "_links": {
                "self": [{"href": f"{here}/{row['tracking_id']}"}],
                "collection": [{"href": here}],
                "up": [{"href": url}],
            },
        }


def _name(row: dict[str, Any]) -> str:
    return row["custom_tracking_provider"] or _KNOWN.get(row["tracking_provider"], ("",))[0]


def _text(row: dict[str, Any]) -> str:
    """The number as PHP puts it into a text."""
    return "Array" if isinstance(row["tracking_number"], list) else row["tracking_number"]


def _as_integer(hexadecimal: str) -> int:
    """What PHP makes of a hex id that is printed as a number: its leading digits, "85e37" being a float."""
    found = re.match(r"(\d+)(?:e(\d+))?", hexadecimal)
    if not found:
        return 0
    exponent = min(int(found[2] or 0), 40)
    return min(int(found[1]) * 10**exponent, 2**63 - 1)
