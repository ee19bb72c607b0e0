"""Erli's shop API, as far as tracking numbers need it.

Source: Erli's OpenAPI description (copy of 2026-06), read 2026-11. Kept because it bites:
- POST /shipping/external is 200 with an error in place of a parcel that was refused;
- nothing is idempotent here: the same number again is a second parcel (what Erli does is not documented);
- an order shows one parcel, here the newest; external parcels are read by their id and by nothing else;
- carriers that Erli does not track need a status, and there is no "other" to write.
What an unknown order is answered with, which number pattern belongs to which carrier, and how long an order lags behind
are not documented: 404, none, and `lag_seconds`.
"""

from __future__ import annotations

import re
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, route

ORDER_ID = r"\d{6}x\d{4,}"
TRACKED = ("inpost", "pocztaPolska", "dhl", "dpd", "ups", "gls", "orlen", "pocztex24")
UNTRACKED = (
    "ownTransport", "selfPickup", "ambroExpress", "pekaes", "tntExpress", "schenker", "dsv", "dts", "geis", "fedex",
    "jasFBG", "patronService", "raben", "rhenus", "rohligSuus", "hellmann",
)  # fmt: skip
PARCEL_STATES = (
    "preparing", "readyToSend", "waitingForCourier", "sent", "readyToPickup", "pickupTimeExpired", "delivered",
    "returned", "canceled", "deliveryUnsuccessful", "redirected",
)  # fmt: skip
SELLER_STATES = (
    "created", "canceled", "readyToProcess", "inProgress", "sent", "readyToPickup", "received", "returned",
    "returningToSender", "unknown",
)  # fmt: skip
WORDS = {
    1110: "Nie można dodać paczki do anulowanego zamówienia",
    1200: "Wystąpił problem z walidacją danych",
    1202: "Nie można edytować dodanej bądź anulowanej przesyłki",
    1300: "Problem z autoryzacją",
    1400: "Nie odnaleziono zasobu",
    1402: "Nie znaleziono zamówienia",
}


class Erli(Stand):
    """add_order: status=purchased, seller="readyToProcess"."""

    name = "erli"
    title = "Erli"
    first_status = "purchased"
    number_field = "trackingNumber"
    plausible = ORDER_ID

    api_key = "SECRET-erli-key"
    shop_id = 71077
    lag_seconds = 0.0  # until an order shows a new parcel

    def set_up(self) -> None:
        self._ids = 5000

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        return {"base_url": self.base_url}, {"api_key": self.api_key}

    def seed(self) -> dict[str, str]:
        """261123x0001 to 3 ready, 4 cancelled, 5 not paid, 6 with a parcel, 7 sent without one."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready", {}),
            ("ready", {}),
            ("cancelled", {"status": "cancelled", "seller": "canceled"}),
            ("not paid yet", {"status": "pending", "seller": "created"}),
            ("has a parcel already", {}),
            ("sent already, without a number", {"seller": "sent"}),
        ]
        ids = {f"261123x{place:04d}": words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        self.put("261123x0006", "620000000000000000000006")
        return ids

    def add_order(self, id: str, **more: Any) -> Order:
        return super().add_order(id, **{"seller": "readyToProcess", **more})

    def line(self, order_id: str, place: int) -> Line:
        return Line(str(place), sku=f"SKU-{place}")

    def put(self, id: str, number: str, vendor: str = "inpost", status: str = "preparing") -> dict[str, Any]:
        """A parcel comes to stand on the order, by whomever; the row."""
        self._ids += 1
        row = {
            "id": self._ids,
            "orderId": id,
            "type": "external",
            "shipping": {"vendor": vendor},
            "status": status,
            "statusHistory": [{"status": status, "changed": self.stamp()}],
            "trackingNumber": number,
            "createdAt": self.stamp(),
            "updatedAt": self.stamp(),
            "_at": self.now(),
        }
        self.orders[id].rows.append(row)
        return row

    # ---- the vendor's words -----------------------------------------------------------------------------

    def no_route(self, request: Request) -> Answer:
        return failure(404, "NotFound", "Not Found")

    def unauthorised(self, request: Request) -> Answer:
        return failure(401, "Unauthorized", "Unauthorized")

    def too_many(self, request: Request) -> Answer:
        return failure(429, "TooManyRequests", "Too many requests")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return failure(404, "NotFound", f"Order {id} not found")

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        if self.bearer(request) != self.api_key:
            raise Stop(self.unauthorised(request))

    @route("GET", "/me")
    def me(self, request: Request) -> Answer:
        shop = {"id": self.shop_id, "name": "sim-shop", "active": True, "externalMatchingPolicy": "disabled"}
        return Answer.json(shop)

    @route("GET", "/dictionaries/deliveryVendors")
    def vendors(self, request: Request) -> Answer:
        return Answer.json([*TRACKED, *UNTRACKED, "ruch", "other"])

    @route("GET", "/orders/{id}")
    def order(self, request: Request, id: str) -> Answer:
        order = self.known(id, request)
        shown = [row for row in order.rows if row["_at"] + self.lag_seconds <= self.now()]
        answer: dict[str, Any] = {
            "id": order.id,
            "status": order.status,
            "items": [
                {"id": int(line.id), "externalId": f"EXT-{line.id}", "quantity": line.quantity, "unitPrice": 4999,
                 "name": f"Thing {line.id}", "slug": f"thing,{line.id}", "sku": line.sku}
                for line in order.lines
            ],
            "delivery": {"name": "Paczkomat InPost", "typeId": "paczkomat", "price": 1099, "cod": False},
            "totalPrice": 6098,
            "sellerStatus": order.more["seller"],
            "created": self.stamp(),
            "updated": self.stamp(),
        }  # fmt: skip
        if shown:
            newest = shown[-1]
            state = newest["status"] if newest["status"] in ("preparing", "sent", "readyToSend") else "sent"
            parts = {"vendor": newest["shipping"]["vendor"], "trackingNumber": newest["trackingNumber"]}
            answer["deliveryTracking"] = {"status": state, **parts}
        return Answer.json(answer)

    @route("PATCH", "/orders/{id}/status")
    def set_status(self, request: Request, id: str) -> Answer:
        status = self.document(request).get("status")
        if status not in SELLER_STATES:
            return failure(400, "ValidationError", '"status" must be one of the known states')
        self.known(id, request).more["seller"] = status
        return Answer.empty(204)

    @route("POST", "/shipping/external")
    def add_parcels(self, request: Request) -> Answer:
        try:
            sent = request.json()
        except ValueError:
            sent = None
        if not isinstance(sent, list) or not sent:
            return mistakes(400, 1200)
        answers = []
        for one in sent:
            if said := self._wrong(one, order_too=True):
                return mistakes(400, 1200, said)
            order = self.find(one["orderId"])
            if order is None or order.status == "cancelled":
                error = mistake(1402 if order is None else 1110)
                answers.append({"vendor": one["vendor"], "orderId": one["orderId"], "error": [error]})
                continue
            row = self.put(order.id, one.get("trackingNumber", ""), one["vendor"], one.get("status", "preparing"))
            answers.append(public(row))
        return Answer.json(answers)

    @route("GET", "/shipping/external/{id:[0-9]+}")
    def parcel(self, request: Request, id: str) -> Answer:
        return Answer.json(public(self._row(id)))

    @route("PATCH", "/shipping/external/{id:[0-9]+}")
    def edit_parcel(self, request: Request, id: str) -> Answer:
        sent, row = self.document(request), self._row(id)
        if said := self._wrong(sent, order_too=False):
            return mistakes(400, 1200, said)
        if row["status"] in ("canceled", "delivered"):
            return mistakes(400, 1202)
        row.update(shipping={"vendor": sent["vendor"]}, updatedAt=self.stamp())
        row.update({key: sent[key] for key in ("trackingNumber", "status") if key in sent})
        return Answer.json(public(row))

    @route("DELETE", "/shipping/external/{id:[0-9]+}")
    def delete_parcel(self, request: Request, id: str) -> Answer:
        row = self._row(id)
        self.orders[row["orderId"]].rows.remove(row)
        return Answer.empty(204)

    def _row(self, id: str) -> dict[str, Any]:
        for order in self.orders.values():
            for row in order.rows:
                if row["id"] == int(id):
                    return row
        raise Stop(mistakes(404, 1400))

    def _wrong(self, one: Any, order_too: bool) -> str:
        """What the schema has against an entry; "" for nothing."""
        allowed = {"vendor", "status", "trackingNumber"} | ({"orderId"} if order_too else set())
        if not isinstance(one, dict) or not set(one) <= allowed:
            return "unknown fields"
        if one.get("vendor") not in (*TRACKED, *UNTRACKED):
            return '"vendor" must be one of the list'
        if one["vendor"] in UNTRACKED and one.get("status") not in PARCEL_STATES:
            return '"status" is required'
        if not 2 <= len(str(one.get("trackingNumber", "--"))) <= 32:
            return '"trackingNumber" length must be between 2 and 32 characters'
        if order_too and not re.fullmatch(ORDER_ID, str(one.get("orderId"))):
            return '"orderId" fails to match the required pattern'
        return ""


def public(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "_at"}


def mistake(code: int, said: str = "") -> dict[str, Any]:
    return {"errorCode": code, "errorMessage": f"{WORDS[code]}: {said}" if said else WORDS[code]}


def mistakes(status: int, code: int, said: str = "") -> Answer:
    return Answer.json([mistake(code, said)], status)


def failure(status: int, name: str, message: str) -> Answer:
    return Answer.json({"failureType": name, "name": name, "message": message, "polishMessage": message}, status)
