"""Amazon's Selling Partner API, as far as tracking numbers need it: Orders v0 to write, Orders 2026-01-01 to read.

Sources: ordersV0.json and orders_2026-01-01.json of amzn/selling-partner-api-models with their sandbox answers, issues
of that repository (#N) and of jlevers/selling-partner-api (jlevers N), read 2026-11. Kept because it bites:
- packageReferenceId is a positive number in a string (jlevers 489, #5094); the same one again edits that package;
- a 204 may have stored nothing (#5232), and then the order counts as not updated;
- an order whose units are all confirmed takes no package and no edit (#5037); `edits_fulfilled` allows edits;
- a US-style date is "Invalid Input", most others "InvalidInput" (the sandbox's pair, jlevers 528);
- an expired token is 403; each operation has a bucket of its own, and 429 names no time to wait.
How soon a package shows, and the words for what these sources do not quote, are ours.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, TokenDesk, route

V0, V26 = "/orders/v0/orders", "/orders/2026-01-01/orders"
POLAND = "A1C3SOZRARQ6R3"
# operation → calls a second, burst
BUCKETS = {"confirmShipment": (2.0, 10), "getOrder": (0.5, 30), "searchOrders": (0.0056, 20)}
MATCHLESS = (
    "Failed to create package due to not finding a matching package or order already fulfilled.  ErrorMessage("
    "errorCode=GeneralError, errorDescription=Unable to find package to update for order ({}), "
    "errorMetric=PackageToUpdateNotFound, packageIndex=null)"
)
_ID = "902-1106328-{:07d}"


class Amazon(Stand):
    """add_order: status=UNSHIPPED, marketplace=POLAND, fulfilled_by="MERCHANT"."""

    name = "amazon"
    title = "Amazon"
    first_status = "UNSHIPPED"
    number_field = "trackingNumber"
    plausible = r"\d{3}-\d{7}-\d{7}"

    client_id = "amzn1.application-oa2-client.sim"
    client_secret = "SECRET-amzn1.oa2-cs.sim"  # noqa: S105
    secret_ended = False  # the 180 days are over
    authorised = True  # the application has the role
    marketplaces = (POLAND, "A1PA6795UKMFR9")
    swallow = 0  # so many of the next confirmations answer 204 and store nothing
    lag_seconds = 0.0  # until a package shows
    edits_fulfilled = False
    limits = True

    def set_up(self) -> None:
        self.desk = TokenDesk("amazon", self.now, access_seconds=3600, refresh_seconds=365 * 86400, rotates=False)
        self.refresh_token = str(
            self.desk.sign_in("A2SIMSELLER")["refresh_token"]
        )  # of the seller's self-authorisation
        self.buckets: dict[str, tuple[float, float]] = {}  # operation → calls left, when that was so
        self._answers = 0

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        settings = {
            "base_url": self.base_url,
            "auth_url": self.base_url,
            "client_id": self.client_id,
            "marketplace_id": POLAND,
        }
        return settings, {"client_secret": self.client_secret, "refresh_token": self.refresh_token}

    def seed(self) -> dict[str, str]:
        """…0000001 to 3 ready, 4 cancelled, 5 pending, 6 with a package of the seller's panel, 7 sent by Amazon."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready, two lines", {"lines": 2}),
            ("ready", {}),
            ("cancelled", {"status": "CANCELLED"}),
            ("not released yet", {"status": "PENDING"}),
            ("has a package that was confirmed in the panel", {}),
            ("fulfilled by Amazon", {"fulfilled_by": "AMAZON"}),
        ]
        ids = {_ID.format(place): words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        self.put(_ID.format(6), "620000000000000000000006")
        return ids

    def add_order(self, id: str, **more: Any) -> Order:
        order = super().add_order(id, **{"marketplace": POLAND, "fulfilled_by": "MERCHANT", **more})
        order.more.update(created=self.now(), updated=self.now())
        return order

    def line(self, order_id: str, place: int) -> Line:
        digits = re.sub(r"\D", "", order_id)[-10:] or "1"
        return Line(f"7{digits}{place:03d}", quantity=2 if place == 1 else 1, sku=f"SKU-{place}")

    def put(self, id: str, number: str, reference: str = "1", carrier: str = "InPost", items: Any = None) -> None:
        """A package comes to stand on the order, by whomever."""
        order = self.orders[id]
        parts = items or [{"orderItemId": line.id, "quantity": self._left(order, line)} for line in order.lines]
        order.rows.append(
            {
                "packageReferenceId": reference,
                "createdTime": self.stamp(),
                "packageStatus": {"status": "SHIPPED"},
                "carrier": carrier,
                "shipTime": self.stamp(),
                "trackingNumber": number,
                "packageItems": parts,
                "_at": self.now(),
            }
        )
        if len(order.rows) == 1:
            self.mail(order, "Your package was shipped")
        self._count(order)

    # ---- the vendor's words -----------------------------------------------------------------------------

    def finish(self, request: Request, answer: Answer) -> Answer:
        self._answers += 1
        answer.headers.setdefault("x-amzn-RequestId", f"5a1f0c3e-{self._answers:08x}")
        return answer

    def no_route(self, request: Request) -> Answer:
        return refusal(404, "NotFound", "The requested resource doesn't exist.")

    def unauthorised(self, request: Request) -> Answer:
        return refusal(403, "Unauthorized", "Access to requested resource is denied.")

    def too_many(self, request: Request) -> Answer:
        return refusal(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        return refusal(404, "NotFound", f"The order {id} was not found.")

    def not_json(self, request: Request) -> Answer:
        return refusal(400, "InvalidInput", "Request body is not valid.")

    # ---- Login with Amazon ------------------------------------------------------------------------------

    @route("POST", "/auth/o2/token", open=True)
    def token(self, request: Request) -> Answer:
        form = request.form
        if (form.get("client_id"), form.get("client_secret")) != (
            self.client_id,
            self.client_secret,
        ) or self.secret_ended:
            return denial(401, "invalid_client", "Client authentication failed")
        if form.get("grant_type") != "refresh_token":
            return denial(400, "unsupported_grant_type", "The authorization grant type is not supported")
        if answer := self.desk.refresh(form.get("refresh_token", "")):
            return Answer.json({**answer, "refresh_token": form["refresh_token"]})
        return denial(400, "invalid_grant", "The request has an invalid grant parameter : refresh_token")

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        if not re.search(r"[^/]/\S+ \(.*Language=", request.header("user-agent")):
            raise Stop(refusal(403, "Unauthorized", "The User-Agent header is missing or has no Language attribute."))
        if self.desk.grant(request.header("x-amz-access-token")) is None or not self.authorised:
            raise Stop(self.unauthorised(request))

    @route("POST", V0 + "/{id}/shipmentConfirmation")
    def confirm(self, request: Request, id: str) -> Answer:
        self._spend("confirmShipment", request)
        sent = self.document(request)
        order = self.known(id, request)
        package = self._checked(sent, order)
        items = [{"orderItemId": item["orderItemId"], "quantity": item["quantity"]} for item in package["orderItems"]]
        known = next((row for row in order.rows if row["packageReferenceId"] == package["packageReferenceId"]), None)
        lines = {line.id: line for line in order.lines}
        if known and order.status == "SHIPPED" and not self.edits_fulfilled:
            return refusal(400, "InvalidInput", MATCHLESS.format(id))
        if not known and any(self._left(order, lines[item["orderItemId"]]) < item["quantity"] for item in items):
            return refusal(400, "InvalidInput", MATCHLESS.format(id))
        if self.swallow:
            self.swallow -= 1
            return Answer.empty(204)
        carrier = package.get("carrierName") if package["carrierCode"] == "Other" else package["carrierCode"]
        if known:
            known.update(carrier=carrier, trackingNumber=package["trackingNumber"], packageItems=items)
            self._count(order)
        else:
            self.put(id, package["trackingNumber"], package["packageReferenceId"], str(carrier), items)
        return Answer.empty(204)

    def _checked(self, sent: dict[str, Any], order: Order) -> dict[str, Any]:
        """The packageDetail. Raises Stop with what is wrong first."""
        package = sent.get("packageDetail")
        if sent.get("marketplaceId") not in self.marketplaces:
            raise Stop(refusal(400, "InvalidInput", "Marketplace ID is not defined", "1001"))
        if not isinstance(package, dict):
            raise Stop(refusal(400, "InvalidInput", "PackageDetail is missing."))
        reference = package.get("packageReferenceId")
        if not isinstance(reference, str):
            said = "The input you have submitted is not valid. Please check the fields with invalid type"
            raise Stop(refusal(400, "InvalidInput", f"{said} [packageDetail.packageReferenceId]."))
        if not re.fullmatch("0*[1-9][0-9]*", reference):
            said = "PackageReferenceId: is invalid, must be a positive numeric value."
            raise Stop(refusal(400, "InvalidInput", said))
        items, ids = package.get("orderItems"), {line.id for line in order.lines}
        if not isinstance(items, list) or not items or not {str(item.get("orderItemId")) for item in items} <= ids:
            said = "OrderItemId is invalid, please obtain the value through the getOrderItems API"
            raise Stop(refusal(400, "InvalidInput", said))
        try:
            zone = datetime.fromisoformat(str(package.get("shipDate")).replace("Z", "+00:00")).tzinfo
        except ValueError:
            zone = None
        if zone is None or any(not isinstance(item.get("quantity"), int) for item in items):
            raise Stop(refusal(400, "Invalid Input", "Invalid Input"))
        for field in ("carrierCode", "trackingNumber"):
            if not package.get(field):
                raise Stop(refusal(400, "InvalidInput", f"{field} is missing."))
        if package["carrierCode"] == "Other" and not package.get("carrierName"):
            raise Stop(refusal(400, "InvalidInput", "carrierName is required when carrierCode is Other."))
        if order.status in ("CANCELLED", "PENDING", "PENDING_AVAILABILITY") or order.more["fulfilled_by"] == "AMAZON":
            raise Stop(refusal(400, "InvalidInput", f"The order is {order.status} and cannot be confirmed."))
        return package

    @route("GET", V26 + "/{id}")
    def get_order(self, request: Request, id: str) -> Answer:
        self._spend("getOrder", request)
        return Answer.json({"order": self._shown(self.known(id, request), request)})

    @route("GET", V26)
    def search(self, request: Request) -> Answer:
        self._spend("searchOrders", request)
        query = request.query
        since = [name for name in ("createdAfter", "lastUpdatedAfter") if name in query]
        if len(since) != 1:
            said = "Exactly one of createdAfter and lastUpdatedAfter must be provided."
            return refusal(400, "InvalidInput", said)
        if not set(query.get("marketplaceIds", POLAND).split(",")) <= set(self.marketplaces):
            return self.unauthorised(request)
        after = datetime.fromisoformat(query[since[0]].replace("Z", "+00:00")).timestamp()
        clock = "created" if since[0] == "createdAfter" else "updated"
        orders = [order for order in self.orders.values() if order.more[clock] >= after]
        if "fulfilledBy" in query:
            orders = [order for order in orders if order.more["fulfilled_by"] in query["fulfilledBy"].split(",")]
        size = int(query.get("maxResultsPerPage", "100"))
        begin = int(query.get("paginationToken", "0-0").rpartition("-")[2])
        page = orders[begin : begin + size]
        answer: dict[str, Any] = {"orders": [self._shown(order, request) for order in page]}
        if begin + size < len(orders):
            answer["pagination"] = {"nextToken": f"sim-{begin + size}"}
        answer["createdBefore" if clock == "created" else "lastUpdatedBefore"] = self.stamp()
        return Answer.json(answer)

    def _shown(self, order: Order, request: Request) -> dict[str, Any]:
        """An order as the reads tell it, with the data sets that were asked for."""
        wanted = request.query.get("includedData", "").split(",")
        lines = []
        for line in order.lines:
            left = self._left(order, line)
            shown: dict[str, Any] = {
                "orderItemId": line.id,
                "quantityOrdered": line.quantity,
                "product": {"asin": "B08C1W5N87", "title": "A thing", "sellerSku": line.sku},
            }
            if "FULFILLMENT" in wanted:
                shown["fulfillment"] = {"quantityFulfilled": line.quantity - left, "quantityUnfulfilled": left}
            lines.append(shown)
        channel = {"channelName": "AMAZON", "marketplaceId": order.more["marketplace"], "marketplaceName": "Amazon.pl"}
        answer: dict[str, Any] = {
            "orderId": order.id,
            "createdTime": at(order.more["created"]),
            "lastUpdatedTime": at(order.more["updated"]),
            "salesChannel": channel,
            "orderItems": lines,
        }
        if "FULFILLMENT" in wanted:
            by = order.more["fulfilled_by"]
            answer["fulfillment"] = {"fulfillmentStatus": order.status, "fulfilledBy": by}
        ready = [row for row in order.rows if row["_at"] + self.lag_seconds <= self.now()]
        if "PACKAGES" in wanted and ready:
            answer["packages"] = [{key: row[key] for key in row if key != "_at"} for row in ready]
        return answer

    def _left(self, order: Order, line: Line) -> int:
        parts = [item for row in order.rows for item in row["packageItems"] if item["orderItemId"] == line.id]
        return line.quantity - sum(item["quantity"] for item in parts)

    def _count(self, order: Order) -> None:
        left = [self._left(order, line) for line in order.lines]
        order.status = "SHIPPED" if not any(left) else "PARTIALLY_SHIPPED"
        order.more["updated"] = self.now()

    def _spend(self, operation: str, request: Request) -> None:
        """Take a call out of the operation's bucket. Raises Stop when it is empty."""
        rate, burst = BUCKETS[operation]
        left, then = self.buckets.get(operation, (float(burst), self.now()))
        left = min(burst, left + (self.now() - then) * rate)
        if self.limits and left < 1:
            raise Stop(self.too_many(request))
        self.buckets[operation] = (left - 1, self.now())


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refusal(status: int, code: str, message: str, details: str = "") -> Answer:
    return Answer.json({"errors": [{"code": code, "message": message, "details": details}]}, status)


def denial(status: int, error: str, description: str) -> Answer:
    return Answer.json({"error": error, "error_description": description}, status)
