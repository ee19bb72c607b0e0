"""eBay's Sell Fulfillment API, as far as tracking numbers need it.

Sources: sell_fulfillment_v1_oas3.json (v1.20.7), the enums beside it and the vendor's OAuth pages, read 2026-11.
Kept because it bites:
- a fulfilment marks its lines as shipped, whatever its quantity, and nothing can change or remove it;
- the answer is 201 without a body, the id in Location is the number; sent as `trackingNumber`, shown as
  `shipmentTrackingNumber`; without a number the id is 999;
- letters and digits only; carrier and number come together or not at all;
- a refresh answers without a refresh token: the old one stays;
- above the day's quota: 429 with 2001, without Retry-After.
Not documented, and ours: the same number again is taken as one more (`again`), a cancelled or unpaid order takes a
number, a request without lines is refused, how many numbers an order holds.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, TokenDesk, route

API = "/sell/fulfillment/v1/order"
ONE = API + "/{id}"
PACKAGES = ONE + "/shipping_fulfillment"
SCOPE = "https://api.ebay.com/oauth/api_scope/sell.fulfillment"
NUMBER = "shipmentTrackingNumber"
MOMENT = "%Y-%m-%dT%H:%M:%S.000Z"
_ID = "12-34567-{:05d}"


class EBay(Stand):
    """add_order: status="PAID" (the payment), cancel="NONE_REQUESTED", requests=[states], legacy="item-transaction"."""

    name = "ebay"
    title = "eBay"
    first_status = "PAID"
    number_field = NUMBER
    plausible = r"\d{2}-\d{5}-\d{5}"

    client_id = "SimShop-shipfwd-SBX-0123456789ab-01234567"
    client_secret = "SECRET-ebay-cert"  # noqa: S105
    ru_name = "Sim_Shop-SimShop-shipfw-abcdef"
    seller = "sim_seller"
    scope = SCOPE  # what the next consent grants
    agrees = True  # the person on the consent page
    again = "double"  # the same number once more: double | conflict (409) | put (400, 34500)
    empty_object = False  # answer a new fulfilment with {} instead of nothing
    suspended = False
    numbers_per_order = 50
    calls_a_day = 100_000
    lag_seconds = 0.0  # a new fulfilment is not shown before

    def set_up(self) -> None:
        self.desk = TokenDesk("ebay", self.now, access_seconds=7200, refresh_seconds=47_304_000, rotates=False)
        self.day, self.calls = 0, 0

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """A fresh login each time."""
        login = self.desk.sign_in(self.seller, self.scope)
        settings = {
            "base_url": self.base_url,
            "auth_url": self.base_url,
            "client_id": self.client_id,
            "ru_name": self.ru_name,
        }
        return settings, {"client_secret": self.client_secret, "refresh_token": login["refresh_token"]}

    def seed(self) -> dict[str, str]:
        """…00001 to …00003 ready, …00004 cancelled, …00005 not paid, …00006 has a number, …00007 shipped by hand."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready, two lines", {"lines": 2}),
            ("ready", {}),
            ("cancelled", {"status": "FULLY_REFUNDED", "cancel": "CANCELED"}),
            ("not paid yet", {"status": "PENDING"}),
            ("has a number from elsewhere", {}),
            ("marked as shipped without a number", {}),
            ("the buyer asks to cancel it", {"cancel": "IN_PROGRESS", "requests": ["REQUESTED"]}),
        ]
        ids = {_ID.format(place): words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        self.put(_ID.format(6), "1Z999AA10123456784", "UPS")
        self.put(_ID.format(7))
        return ids

    def add_order(self, id: str, **more: Any) -> Order:
        return super().add_order(id, **{"cancel": "NONE_REQUESTED", "requests": (), "legacy": "", **more})

    def line(self, order_id: str, place: int) -> Line:
        return Line("100" + re.sub(r"\D", "", order_id)[-9:] + f"{place:02d}", sku=f"SKU-{place}")

    def put(
        self, id: str, number: str = "", carrier: str = "", lines: dict[str, int] | None = None, shipped: str = ""
    ) -> dict[str, Any]:
        """A package comes to be on the order, by whomever; its row."""
        order = self.orders[id]
        counts = lines or {line.id: line.quantity for line in order.lines}
        row: dict[str, Any] = {
            "fulfillmentId": number or "999",
            "lineItems": [{"lineItemId": line, "quantity": count} for line, count in counts.items()],
            "shippedDate": shipped or self.stamp(MOMENT),
        }
        if number:
            row |= {NUMBER: number, "shippingCarrierCode": carrier}
        order.rows.append(row)
        order.more.setdefault("put_at", []).append(self.now())
        return row

    def find(self, id: str) -> Order | None:
        """By its id, or by the old form ItemID-TransactionID."""
        return next((one for one in self.orders.values() if id and one.more["legacy"] == id), None) or super().find(id)

    def numbers_of(self, order: Order) -> list[str]:
        return [row[NUMBER] for row in order.rows if NUMBER in row]

    # ---- the vendor's words -----------------------------------------------------------------------------

    def unauthorised(self, request: Request) -> Answer:
        return refusal(401, 1001, "Invalid access token", "OAuth")

    def too_many(self, request: Request) -> Answer:
        return refusal(
            429, 2001, "Too many requests.", "ACCESS", "The request limit has been reached for the resource."
        )

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        if re.fullmatch(self.plausible, id):
            return Answer.empty(404)
        return refusal(400, 32100, f"Invalid order ID: {id}")

    def not_json(self, request: Request) -> Answer:
        return refusal(400, 32600, "Invalid input data")

    def no_route(self, request: Request) -> Answer:
        return refusal(404, 2002, "Resource not found", "ACCESS")

    # ---- the login --------------------------------------------------------------------------------------

    @route("GET", "/oauth2/authorize", open=True)
    def authorise(self, request: Request) -> Answer:
        """The consent page; the person agrees at once, and the browser goes to where the RuName leads."""
        asked = request.query
        right = {"client_id": self.client_id, "redirect_uri": self.ru_name, "response_type": "code"}
        if any(asked.get(key) != value for key, value in right.items()):
            return Answer.html("unauthorized_client: the application or its RuName is not known", 400)
        if SCOPE not in asked.get("scope", "").split():
            return Answer.html("invalid_scope", 400)
        back = {"state": asked.get("state", "")}
        if self.agrees:
            back |= {"code": "v^1.1#i^1#" + self.desk.code(self.seller, self.scope, 299), "expires_in": "299"}
        else:
            back |= {"error": "access_denied"}
        return Answer.redirect(f"{self.base_url}/accepted?{urlencode(back)}")

    @route("GET", "/accepted", open=True)
    def accepted(self, request: Request) -> Answer:
        return Answer.html("Copy the address of this page into the terminal")

    @route("POST", "/identity/v1/oauth2/token", open=True)
    def token(self, request: Request) -> Answer:
        if self.basic(request) != (self.client_id, self.client_secret):
            return denial(401, "invalid_client", "client authentication failed")
        asked, answer = request.form, None
        if asked.get("grant_type") == "refresh_token":
            answer = self.desk.refresh(asked.get("refresh_token", ""))
            what = "the provided authorization refresh token is invalid or was issued to another client"
        elif asked.get("grant_type") == "authorization_code":
            if asked.get("redirect_uri") == self.ru_name:
                answer = self.desk.redeem(asked.get("code", "").removeprefix("v^1.1#i^1#"))
            what = "the provided authorization grant code is invalid or was issued to another client"
        else:
            return denial(400, "unsupported_grant_type", "grant type in request is not supported")
        if answer is None:
            return denial(400, "invalid_grant", what)
        shown = {key: answer[key] for key in ("access_token", "expires_in")} | {"token_type": "User Access Token"}
        if "refresh_token" in answer:
            shown |= {"refresh_token": answer["refresh_token"], "refresh_token_expires_in": 47_304_000}
        return Answer.json(shown)

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        if (grant := self.desk.grant(self.bearer(request))) is None:
            raise Stop(self.unauthorised(request))
        scopes = {SCOPE, SCOPE + ".readonly"} if request.method == "GET" else {SCOPE}
        if not grant.user or not scopes & set(grant.scope.split()):
            raise Stop(
                refusal(403, 1100, "Access denied", "ACCESS", "Insufficient permissions to fulfill the request.")
            )
        if self.day != (today := int(self.now() // 86400)):
            self.day, self.calls = today, 0
        self.calls += 1
        if self.calls > self.calls_a_day:
            raise Stop(self.too_many(request))

    @route("GET", API)
    def listing(self, request: Request) -> Answer:
        limit = int(request.query.get("limit", "50"))
        if not 1 <= limit <= 200:
            return refusal(400, 31100, f"Invalid limit: {limit}")
        if "filter" in request.query and not re.fullmatch(r"creationdate:\[\S+Z\.\.(\S+Z)?\]", request.query["filter"]):
            return refusal(400, 30810, "Invalid date format")
        rows = [self._shown(order) for order in list(self.orders.values())]
        return Answer.json({"href": self.base_url + API, "total": len(rows), "limit": limit, "orders": rows[:limit]})

    @route("GET", ONE)
    def order(self, request: Request, id: str) -> Answer:
        return Answer.json(self._shown(self.known(id, request)))

    @route("GET", PACKAGES)
    def packages(self, request: Request, id: str) -> Answer:
        order = self.known(id, request)
        since = order.more.get("put_at", [])
        rows = [row for row, at in zip(order.rows, since, strict=True) if at + self.lag_seconds <= self.now()]
        return Answer.json({"fulfillments": rows, "total": len(rows)})

    @route("GET", PACKAGES + "/{package}")
    def package(self, request: Request, id: str, package: str) -> Answer:
        for row in self.known(id, request).rows:
            if row["fulfillmentId"] == package:
                return Answer.json(row)
        return refusal(400, 32110, f"Invalid shipping fulfillment ID: {package}")

    @route("POST", PACKAGES)
    def ship(self, request: Request, id: str) -> Answer:
        if request.header("content-type").split(";")[0].strip() != "application/json":
            return refusal(415, 2003, "Unsupported media type", "ACCESS")
        sent = self.document(request)
        order = self.known(id, request)
        if self.suspended:
            return refusal(400, 32400, "Requested user is suspended")
        lines = self._lines(order, sent.get("lineItems"))
        number, carrier = sent.get("trackingNumber", ""), sent.get("shippingCarrierCode", "")
        if bool(number) != bool(carrier) or number and not re.fullmatch("[A-Za-z0-9]+", str(number)):
            return refusal(400, 32300, "Invalid shipment tracking number or carrier")
        shipped = str(sent.get("shippedDate", self.stamp(MOMENT)))
        if not re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", shipped):
            return refusal(400, 32500, "Invalid shipped date")
        if number in self.numbers_of(order) and self.again == "conflict":
            return Answer.empty(409)
        if number in self.numbers_of(order) and self.again == "put":
            return refusal(400, 34500, "Please use PUT operation for updating shipping fulfillment")
        if len(order.rows) >= self.numbers_per_order:
            return refusal(400, 34100, "Maximum tracking number for order is exceeded")
        row = self.put(order.id, str(number), str(carrier), lines, shipped)
        location = {"Location": f"{self.base_url}{API}/{order.id}/shipping_fulfillment/{row['fulfillmentId']}"}
        return Answer.json({}, 201, location) if self.empty_object else Answer.empty(201, location)

    def _lines(self, order: Order, sent: Any) -> dict[str, int]:
        """Line → quantity of a request; raises Stop."""
        if not isinstance(sent, list) or not sent or not all(isinstance(one, dict) for one in sent):
            raise Stop(refusal(400, 32600, "Invalid input data"))
        known, lines = {line.id for line in order.lines}, {}
        for one in sent:
            line, count = one.get("lineItemId"), one.get("quantity", 1)
            if line not in known:
                raise Stop(refusal(400, 32200, f"Invalid line item id: {line}"))
            if line in lines:
                raise Stop(refusal(400, 32210, "Duplicate line item in the request"))
            if not isinstance(count, int) or count < 1:
                raise Stop(refusal(400, 32600, "Invalid input data"))
            lines[line] = count
        return lines

    def _shown(self, order: Order) -> dict[str, Any]:
        gone = {item["lineItemId"] for row in order.rows for item in row["lineItems"]}
        price = {"value": "49.90", "currency": "PLN"}
        lines = [
            {
                "lineItemId": line.id,
                "legacyItemId": f"1101234{place:05d}",
                "sku": line.sku,
                "title": f"Item {place}",
                "lineItemCost": price,
                "quantity": line.quantity,
                "listingMarketplaceId": "EBAY_PL",
                "lineItemFulfillmentStatus": "FULFILLED" if line.id in gone else "NOT_STARTED",
            }
            for place, line in enumerate(order.lines, 1)
        ]
        every = {line.id for line in order.lines}
        requests = [
            {"cancelRequestId": f"50{place:08d}", "cancelRequestState": state, "cancelInitiator": "Buyer"}
            for place, state in enumerate(order.more["requests"], 1)
        ]
        hrefs = [f"{self.base_url}{API}/{order.id}/shipping_fulfillment/{row['fulfillmentId']}" for row in order.rows]
        return {
            "orderId": order.id,
            "creationDate": self.stamp(MOMENT),
            "lastModifiedDate": self.stamp(MOMENT),
            "orderFulfillmentStatus": "FULFILLED" if gone >= every else "IN_PROGRESS" if gone else "NOT_STARTED",
            "orderPaymentStatus": order.status,
            "sellerId": self.seller,
            "buyer": {"username": "sim_buyer"},
            "pricingSummary": {"total": price},
            "cancelStatus": {"cancelState": order.more["cancel"], "cancelRequests": requests},
            "fulfillmentHrefs": hrefs,
            "lineItems": lines,
        }


def refusal(status: int, id: int, message: str, domain: str = "API_FULFILLMENT", long: str = "") -> Answer:
    error = {"errorId": id, "domain": domain, "category": "REQUEST", "message": message, "longMessage": long or message}
    return Answer.json({"errors": [error]}, status)


def denial(status: int, error: str, description: str) -> Answer:
    return Answer.json({"error": error, "error_description": description}, status)
