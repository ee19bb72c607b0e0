"""The two tracking plugins of WooCommerce: Advanced Shipment Tracking (AST) and the official Shipment Tracking.

Same routes in namespaces of their own, same rows in the order's meta; quirks are in woocommerce.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shipfwd.errors import NotUnderstood, OrderNotFound, PlatformError, Rejected
from shipfwd.models import Parcel, Receipt, Seen, tracking_key
from shipfwd.platforms._woo import DAY, NAMES, ORDERS, SPACES, dicts, letters
from shipfwd.platforms.base import Platform

PAGE, MOST_PAGES = 100, 20  # rows that a search gives at once; and how many times it is asked for more
TRACKINGS = {mode: f"/wp-json/{space}/orders/{{}}/shipment-trackings" for mode, space in SPACES.items()}


class Trackings(Platform):
    """What a shop's adapter needs to write to a plugin; `seen.more` has the mode, the order's id and its number."""

    def _list(self, data: Any, what: str) -> list[Any]:
        if not isinstance(data, list):
            raise NotUnderstood(f"{self.title} answered without a list of {what}")
        return data

    def _search(self, word: str, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Orders that have something to do with a word: a telephone number has, too. The one meant may come last."""
        found: list[Any] = []
        for page in range(1, MOST_PAGES + 1):
            asked = {"search": word, "per_page": str(PAGE), **({"page": str(page)} if page > 1 else {}), **fields}
            rows = self._list(self.get(ORDERS, params=asked).data, "orders")
            found += rows
            if len(rows) < PAGE:
                return dicts(found)
        raise Rejected(f"more than {len(found):,} orders of the shop have to do with '{word}'; put it there by hand")

    def _names(self, parcel: Parcel) -> list[str]:
        """What the shop may call the carrier, best first."""
        code = self.carrier_code(parcel)
        mapped = self.tools.carrier_map.get(parcel.carrier)
        return [mapped] if mapped else [parcel.carrier_name or code, *NAMES.get(parcel.carrier, ())]

    def _add_tracking(self, parcel: Parcel, seen: Seen) -> Receipt:
        mode, order = seen.more["mode"], seen.more["id"]
        carrier = self._carrier(parcel, mode, order)
        address = self._address(seen) if mode == "ast" else order
        data = self.post(TRACKINGS[mode], address, json={"tracking_number": parcel.tracking_number, **carrier}).data
        number, entry = self.text(data, "tracking_number", null=""), self.text(data, "tracking_id", null="")
        if (landed := _order_of(data)) and landed != order:
            raise Rejected(self._taken_back(mode, landed, entry))
        if "tracking_provider" in carrier and not data.get("tracking_provider"):
            self.cache.put(f"carriers {mode}", None, 0)  # the shop has dropped it since we asked
        return Receipt(parcel.id, entry, confirmed=tracking_key(number) == parcel.key)

    def _carrier(self, parcel: Parcel, mode: str, order: str) -> dict[str, str]:
        """The carrier by a name of the shop's own list, otherwise as custom, with its link."""
        names = self._names(parcel)
        known = self.cache.get(f"carriers {mode}")
        if not known:
            regions = self.get(TRACKINGS[mode] + "/providers", order).data
            known = [name for region in dicts(regions) for name in region]
            if not known:
                raise NotUnderstood(f"{self.title} answered without carriers; switch some on in the tracking plugin")
            self.cache.put(f"carriers {mode}", known, DAY)
        theirs = {letters(name): name for name in known}
        for name in names:
            if letters(name) in theirs:
                return {"tracking_provider": theirs[letters(name)]}
        custom = {"custom_tracking_provider": names[0]}
        return custom | ({"custom_tracking_link": parcel.tracking_url} if parcel.tracking_url else {})

    def _address(self, seen: Seen) -> str:
        """What AST's POST understands as this order: its id, unless that is another order's number."""
        order, number = str(seen.more["id"]), str(seen.more["number"])
        if number == order:
            return order
        others = [row for row in self._search(order, {"_fields": "id,number"}) if str(row.get("number")) == order]
        if not others:
            return order
        if re.fullmatch("[0-9]+", number):
            return number
        raise Rejected(f"the shop would put it on the order with number {order}; add it to order {number} by hand")

    def _taken_back(self, mode: str, other: str, entry: str) -> str:
        """Take a number off the order where it went astray; says what happened."""
        what = f"a numbering plugin of the shop led it to the order with id {other}"
        try:
            self._remove_tracking(mode, other, entry)
        except PlatformError:
            return f"{what} and it could not be taken back; remove it there and add it to the right order by hand"
        return f"{what}; it was taken back, add it to the right order by hand"

    def _remove_tracking(self, mode: str, order: str, entry: str) -> None:
        try:
            self.call("DELETE", TRACKINGS[mode] + "/{}", order, entry, repeatable=True)
        except OrderNotFound:
            pass  # gone already


def _order_of(tracking: Any) -> str:
    """The id of the order that a tracking stands on, by its link upwards; "" when it does not say."""
    links = tracking.get("_links")
    for up in dicts(links.get("up")) if isinstance(links, dict) else ():
        if found := re.search("/orders/([0-9]+)/?$", str(up.get("href"))):
            return found[1]
    return ""
