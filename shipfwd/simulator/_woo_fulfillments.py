"""WooCommerce's own order fulfillments (10.1 and later, behind a feature flag), as observed on 11.0.

Nothing is checked against the order: quantities, items and providers are taken as they come, twice if asked
twice. The order's status stays; only its meta `_fulfillment_status` changes.
"""

from __future__ import annotations

from typing import Any

from shipfwd.simulator._woo import ORDER, Shop, error, invalid, missing, truth
from shipfwd.simulator.base import Answer, Order, Request, Stop, route

HERE = ORDER + "/fulfillments"
ONE = HERE + "/{fid:[0-9]+}"


class Fulfillments(Shop):
    flavour = "core"
    wrapped = False  # at first (10.1) each document stood in one more object

    def set_up(self) -> None:
        super().set_up()
        self._fulfillment_ids = 0

    def routes_here(self) -> dict[str, list[str]]:
        if self.flavour != "fulfillments":
            return super().routes_here()
        base = "/wc/v3/orders/(?P<order_id>[\\d]+)/fulfillments"
        one = base + "/(?P<fulfillment_id>[\\d]+)"
        more = {base: ["GET", "POST"], one: ["GET", "PUT", "PATCH", "DELETE"], one + "/metadata": ["GET"]}
        return super().routes_here() | more

    # ---- routes -----------------------------------------------------------------------------------------

    @route("GET", HERE)
    def fulfillments(self, request: Request, id: str) -> Answer:
        order = self._order(request, id, "view")
        rows = [_stored(one) for one in order.more["fulfillments"] if not one["date_deleted"]]
        return Answer.json({"fulfillments": rows} if self.wrapped else rows)

    @route("POST", HERE)
    def fulfill(self, request: Request, id: str) -> Answer:
        self._switched_on(request)
        sent = self._checked(request)
        order = self._order(request, id, "create")
        return Answer.json(self._wrap(self._add_fulfillment(order, sent)), 201)

    @route("GET", ONE)
    def fulfillment(self, request: Request, id: str, fid: str) -> Answer:
        return Answer.json(self._wrap(_stored(self._get(self._order(request, id, "view"), fid))))

    @route("GET", ONE + "/metadata")
    def metadata(self, request: Request, id: str, fid: str) -> Answer:
        return Answer.json(self._get(self._order(request, id, "view"), fid)["meta_data"])

    @route("PUT", ONE)
    @route("PATCH", ONE)
    def refill(self, request: Request, id: str, fid: str) -> Answer:
        self._switched_on(request)
        sent = self._checked(request)
        order = self._order(request, id, "edit")
        one = self._get(order, fid)
        self._fill(one, sent)
        self._told(order, one, sent, "Your shipment has been updated")
        return Answer.json(self._wrap(one))

    @route("DELETE", ONE)
    def unfulfill(self, request: Request, id: str, fid: str) -> Answer:
        order = self._order(request, id, "delete")
        self._get(order, fid)["date_deleted"] = self.stamp()
        self._told(order, {"is_fulfilled": False}, {}, "")
        return Answer.json({"message": "Fulfillment deleted successfully."})

    def _wrap(self, one: dict[str, Any]) -> dict[str, Any]:
        return {"fulfillment": one} if self.wrapped else one

    # ---- helpers ----------------------------------------------------------------------------------------

    def _switched_on(self, request: Request) -> None:
        if self.flavour != "fulfillments":
            raise Stop(self.no_route(request))

    def _order(self, request: Request, id: str, verb: str) -> Order:
        self._switched_on(request)
        words = {"view": "Sorry, you cannot list resources.", "create": "Sorry, you cannot create resources."}
        self.permit(request, verb, words.get(verb, ""))
        if (order := self.find(id)) is None:
            answer = error(404, "woocommerce_rest_order_invalid_id", "Invalid order ID.")
            answer.body = answer.body.replace(b'"status":404', b'"status":"404"')  # a text, here alone
            raise Stop(answer)
        return order

    def _get(self, order: Order, fid: str) -> dict[str, Any]:
        for one in order.more["fulfillments"]:
            if str(one["id"]) == fid:
                if one["date_deleted"]:
                    raise Stop(error(400, 404, "Fulfillment not found."))
                return one
        if int(fid) <= self._fulfillment_ids:
            raise Stop(error(400, 0, "Invalid fulfillment ID."))
        raise Stop(error(400, 0, "Fulfillment not found."))

    def _add_fulfillment(self, order: Order, sent: dict[str, Any]) -> dict[str, Any]:
        self._fulfillment_ids += 1
        one: dict[str, Any] = {"id": self._fulfillment_ids, "entity_type": "WC_Order", "entity_id": order.id}
        one |= {"date_deleted": None, "meta_data": []}
        self._fill(one, sent)
        order.more["fulfillments"].append(one)
        self._told(order, one, sent, "Your order has been shipped")
        return one

    def _checked(self, request: Request) -> dict[str, Any]:
        sent = self.sent(request)
        if "meta_data" not in sent:
            raise Stop(missing("meta_data"))
        if sent.get("is_fulfilled", False) not in (True, False, "true", "false", "0", "1"):
            raise Stop(invalid("is_fulfilled", "is_fulfilled is not of type boolean.", "rest_invalid_type"))
        return sent

    def _fill(self, one: dict[str, Any], sent: dict[str, Any]) -> None:
        """Take status and meta; what is not given again is gone. Raises Stop for items that are none."""
        given = {meta["key"]: meta.get("value") for meta in sent["meta_data"] if isinstance(meta, dict)}
        items = given.get("_items")
        if not items:
            raise Stop(error(400, 0, "The fulfillment should contain at least one item."))
        if not isinstance(items, list):
            raise Stop(error(400, 0, "The fulfillment items should be an array."))
        for item in items:
            if not isinstance(item, dict) or type(item.get("item_id")) is not int:
                raise Stop(error(400, 0, "Invalid item."))
            if type(item.get("qty")) not in (int, float):
                raise Stop(error(400, 0, "Invalid item."))
        if sent.get("status") == "fulfilled":
            given["_date_fulfilled"] = self.stamp()
        old = {meta["key"]: meta["id"] for meta in one["meta_data"] if meta["key"] != "_date_fulfilled"}
        fulfilled = sent.get("status") == "fulfilled"
        one |= {"status": "fulfilled" if fulfilled else "unfulfilled", "is_fulfilled": fulfilled}
        one["date_updated"] = self.stamp()
        rows = [{"key": k, "value": v, "id": old.get(k) or self.next_id()} for k, v in given.items()]
        one["meta_data"] = rows

    def _told(self, order: Order, one: dict[str, Any], sent: dict[str, Any], subject: str) -> None:
        """The order's meta follows; the buyer hears of it only when asked for."""
        left = {line.id: line.quantity for line in order.lines}
        live = [f for f in order.more["fulfillments"] if not f["date_deleted"]]
        for fulfillment in live:
            for meta in fulfillment["meta_data"]:
                for item in meta["value"] if meta["key"] == "_items" and fulfillment["is_fulfilled"] else ():
                    left[str(item["item_id"])] = left.get(str(item["item_id"]), 0) - item["qty"]
        done = all(left[line.id] <= 0 for line in order.lines)
        some = any(fulfillment["is_fulfilled"] for fulfillment in live)
        status = "fulfilled" if some and done else "partially_fulfilled" if some else "unfulfilled"
        self.set_meta(order, {"key": "_fulfillment_status", "value": status if live else "no_fulfillments"})
        if one["is_fulfilled"] and truth(sent.get("notify_customer")):
            self.mail(order, subject)


def _stored(one: dict[str, Any]) -> dict[str, Any]:
    """What a GET shows: the flag has become a text."""
    return {**one, "is_fulfilled": "1" if one["is_fulfilled"] else "0"}
