"""Allegro's REST API, as far as tracking numbers need it.

Sources: https://developer.allegro.pl/swagger.yaml (order management, read 2026-11), the vendor's tutorials,
and answers quoted in github.com/allegro/allegro-api (numbers below). Kept because it bites:
- a row is (carrierId, waybill): the same pair again is 201 without a second row, another carrier with the same
  number is a second row that nothing can remove;
- AD… numbers are the vendor's own; DPD refuses them (#12927), here every carrier but OTHER does;
- a refresh gives a new pair; the old refresh token works for 60 s after its first use (#4136);
- a User-Agent of the form Name/1.2 (+https://…) is required since mid 2026 (#13126), not at the token host;
- POST on a cancelled order and the limits below are not documented: it is taken, and the numbers are ours.
"""

from __future__ import annotations

import base64
import re
import uuid
from typing import Any

from shipfwd.simulator.base import Answer, Line, Order, Request, Stand, Stop, TokenDesk, route

MEDIA = "application/vnd.allegro.public.v1+json"
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
FORM = "/order/checkout-forms/{id}"
SCOPES = "allegro:api:orders:read allegro:api:orders:write allegro:api:profile:read"
AGENT = re.compile(r"[!-.0-~]+/[0-9][\w.+-]*( \(\+https?://[^\s)]+\))?", re.ASCII)
LIBRARIES = re.compile("python|requests|urllib|curl|wget|java|node|axios|okhttp|go-http|php", re.IGNORECASE)
STATUSES = (
    "NEW", "PROCESSING", "READY_FOR_SHIPMENT", "READY_FOR_PICKUP", "SENT", "PICKED_UP", "CANCELLED", "SUSPENDED",
    "RETURNED",
)  # fmt: skip
CARRIERS = {
    "AMBRO_EXPRESS": "Ambro Express", "DB_SCHENKER": "DB Schenker", "DHL": "DHL", "DPD": "DPD", "DPD_CZ": "DPD CZ",
    "DPD_HU": "DPD HU", "DPD_SK": "DPD SK", "DTS": "DTS", "FEDEX": "FedEx", "GEIS": "Geis", "GLS": "GLS",
    "INPOST": "InPost", "MEEST": "Meest", "ORLEN": "ORLEN Paczka", "PACKETA": "Packeta",
    "POCZTA_POLSKA": "Poczta Polska", "RABEN": "Raben", "RHENUS_LOGISTICS": "Rhenus Logistics", "SUUS": "Suus",
    "TNT_EXPRESS": "TNT Express", "UPS": "UPS",
}  # fmt: skip
_ID = "a11e9000-0000-4000-8000-{:012d}"


class Allegro(Stand):
    """add_order: status=READY_FOR_PROCESSING, fulfillment="NEW", provider="SELLER"."""

    name = "allegro"
    title = "Allegro"
    first_status = "READY_FOR_PROCESSING"
    number_field = "waybill"
    plausible = UUID

    client_id = "sim-allegro"
    client_secret = "SECRET-allegro-client"  # noqa: S105
    app_name = ""  # the registered name; "" takes any well-formed one
    user_id = "46968690"
    scope = SCOPES  # what the next consent grants
    device_interval = 5  # seconds between polls, as the device is told
    approve_after = 2  # polls that are answered "pending"; a negative number: the person refuses
    automatic_sent = False  # the seller's setting: a number turns the order SENT
    orders_per_waybill = 5
    waybills_per_order = 100
    changes_per_order = 200
    # What a number must look like per carrier, where the vendor is known to look (#7673, #12927).
    shapes = {"DPD": r"\d{10,}[A-Za-z]?"}

    def set_up(self) -> None:
        self.desk = TokenDesk("allegro", self.now, access_seconds=43199, refresh_seconds=90 * 86400, grace_seconds=60)
        self.devices: dict[str, tuple[float, int]] = {}  # device_code → (ends, polls so far)
        self.used: dict[str, set[str]] = {}  # waybill → orders it stands on
        self._answers = 0

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """A fresh login each time."""
        login = self.desk.sign_in(self.user_id, self.scope)
        settings = {
            "base_url": self.base_url,
            "auth_url": self.base_url,
            "client_id": self.client_id,
            "app_name": self.app_name or "shipfwd-sim",
        }
        return settings, {"client_secret": self.client_secret, "refresh_token": login["refresh_token"]}

    def seed(self) -> dict[str, str]:
        """…001 to …003 ready, …004 cancelled, …005 sent by Allegro, …006 has a number, …007 not paid."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready, two lines", {"lines": 2}),
            ("ready", {}),
            ("cancelled", {"status": "CANCELLED"}),
            ("fulfilled by Allegro", {"provider": "ALLEGRO"}),
            ("has a number that its carrier put there", {}),
            ("not paid yet", {"status": "FILLED_IN"}),
        ]
        ids = {_ID.format(place): words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        self.put(_ID.format(6), "INPOST", "620000000000000000000006")
        return ids

    def add_order(self, id: str, **more: Any) -> Order:
        order = super().add_order(id, **{"fulfillment": "NEW", "provider": "SELLER", **more})
        order.more.update(revision=0, at=self.stamp())
        return order

    def put(self, id: str, carrier: str, waybill: str, carrier_name: str = "", lines: list[str] | None = None) -> Any:
        """A number comes to stand on the order, by whomever; the row."""
        order = self.orders[id]
        row: dict[str, Any] = {
            "id": base64.b64encode(f"{carrier}:{waybill}".encode()).decode(),
            "waybill": waybill,
            "carrierId": carrier,
            "lineItems": [{"id": line} for line in lines or [line.id for line in order.lines]],
            "createdAt": self.stamp(),
        }
        if carrier == "OTHER" and carrier_name:
            row["carrierName"] = carrier_name
        order.rows.append(row)
        self.used.setdefault(waybill, set()).add(id)
        if self.automatic_sent:
            self._set(order, "SENT")
        return row

    def line(self, order_id: str, place: int) -> Line:
        return Line(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{order_id}/{place}")), sku=f"SKU-{place}")

    # ---- the vendor's words -----------------------------------------------------------------------------

    def finish(self, request: Request, answer: Answer) -> Answer:
        self._answers += 1
        answer.headers.setdefault("Trace-Id", f"5ed4773c{self._answers:08x}")
        return answer

    def no_route(self, request: Request) -> Answer:
        if self.allowed(request.path):
            return refusal(405, "NotAllowedException", "The HTTP method is not allowed")
        return refusal(404, "NotFoundException", "Resource not found", request.path)

    def unauthorised(self, request: Request) -> Answer:
        if not request.header("authorization"):
            return denial(401, "unauthorized", "Full authentication is required to access this resource")
        return denial(401, "invalid_token", "Invalid access token")

    def too_many(self, request: Request) -> Answer:
        return refusal(429, "TooManyRequests", "Too many requests; the client id is blocked for a minute")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        if request is not None and request.path.endswith("/shipments"):
            return refusal(404, "ERROR", "Order not found")
        return refusal(404, "CheckoutFormNotFoundException", f"checkout form of id {id} not found")

    def not_json(self, request: Request) -> Answer:
        return refusal(400, "ERROR", "An error has occurred", request.path)

    # ---- the token host ---------------------------------------------------------------------------------

    @route("POST", "/auth/oauth/device", open=True)
    def device(self, request: Request) -> Answer:
        self._client(request)
        if {**request.query, **request.form}.get("client_id") != self.client_id:
            return denial(400, "invalid_request", "client_id is missing or not the one that signs in")
        code = f"SECRET-allegro-device-{len(self.devices) + 1}"
        self.devices[code] = (self.now() + 3600, 0)
        user = f"SIM{len(self.devices):06d}"
        page = f"{self.base_url}/skojarz-aplikacje"
        return Answer.json(
            {
                "device_code": code,
                "expires_in": 3600,
                "user_code": user,
                "interval": self.device_interval,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?code={user}",
            }
        )

    @route("GET", "/skojarz-aplikacje", open=True)
    def consent(self, request: Request) -> Answer:
        return Answer.html("The stand-in consents by itself; go back to the terminal")

    @route("POST", "/auth/oauth/token", open=True)
    def token(self, request: Request) -> Answer:
        self._client(request)
        asked = {**request.query, **request.form}
        match asked.get("grant_type", "").rpartition(":")[2]:
            case "refresh_token":
                if answer := self.desk.refresh(asked.get("refresh_token", "")):
                    return self._tokens(answer)
                return denial(400, "invalid_grant", "Invalid refresh token")
            case "device_code":
                return self._poll(asked.get("device_code", ""))
            case "authorization_code":
                if answer := self.desk.redeem(asked.get("code", "")):
                    return self._tokens(answer)
                return denial(400, "invalid_grant", "Invalid authorization code")
            case "client_credentials":
                return self._tokens(self.desk.application(self.scope))
        return denial(400, "unsupported_grant_type", "Unsupported grant type")

    def _client(self, request: Request) -> None:
        if self.basic(request) != (self.client_id, self.client_secret):
            raise Stop(denial(401, "invalid_client", "Bad client credentials"))

    def _poll(self, code: str) -> Answer:
        ends, polls = self.devices.get(code, (0.0, 0))
        if not ends:
            return denial(400, "invalid_grant", "Invalid device code")
        if ends <= self.now():
            return denial(400, "expired_token", "Device code expired")
        self.devices[code] = (ends, polls + 1)
        if self.approve_after < 0:
            return denial(400, "access_denied", "User denied access")
        if polls < self.approve_after:
            return denial(400, "authorization_pending", "User has not decided yet")
        del self.devices[code]
        return self._tokens(self.desk.sign_in(self.user_id, self.scope))

    def _tokens(self, answer: dict[str, Any]) -> Answer:
        more = {"allegro_api": True, "iss": "https://allegro.pl", "jti": str(uuid.uuid4())}
        return Answer.json(answer | more)

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        agent = request.header("user-agent")
        registered = not self.app_name or agent.startswith(self.app_name.replace(" ", "-") + "/")
        if LIBRARIES.match(agent) or not AGENT.fullmatch(agent) or not registered:
            raise Stop(refusal(403, "AccessDenied", "The User-Agent header does not name a registered application"))
        if (grant := self.desk.grant(self.bearer(request))) is None:
            raise Stop(self.unauthorised(request))
        if not request.header("accept"):
            raise Stop(refusal(403, "AccessDenied", "Access is denied"))
        if MEDIA not in request.header("accept"):
            message = "Not acceptable representation requested. Please check 'Accept' request header"
            raise Stop(refusal(406, "NotAcceptableException", message))
        if request.method in ("POST", "PUT") and request.header("content-type").split(";")[0].strip() != MEDIA:
            raise Stop(refusal(415, "UnsupportedMediaTypeException", "Unsupported media type. Please check headers"))
        if request.path == "/order/carriers":
            return
        verb = "read" if request.method == "GET" else "write"
        scope = "allegro:api:profile:read" if request.path == "/me" else f"allegro:api:orders:{verb}"
        if not grant.user or scope not in grant.scope.split():
            raise Stop(refusal(403, "AccessDenied", "Access is denied"))

    @route("GET", "/me")
    def me(self, request: Request) -> Answer:
        return reply(
            {
                "id": self.user_id,
                "login": "sim_seller",
                "email": "seller@example.test",
                "baseMarketplace": {"id": "allegro-pl"},
                "features": [],
            }
        )

    @route("GET", "/order/carriers")
    def carriers(self, request: Request) -> Answer:
        rows = [{"id": id, "name": name} for id, name in CARRIERS.items()]
        return reply({"carriers": [*rows, {"id": "OTHER"}]}, headers={"Cache-Control": "max-age=3600"})

    @route("GET", FORM)
    def form(self, request: Request, id: str) -> Answer:
        if not re.fullmatch(UUID, id):
            return refusal(422, "VALIDATION_ERROR", "Malformed checkout form id", request.path)
        order = self.known(id, request)
        sent = {line["id"] for row in order.rows for line in row["lineItems"]}
        how_many = "NONE" if not sent else "ALL" if sent >= {line.id for line in order.lines} else "SOME"
        price = {"amount": "123.45", "currency": "PLN"}
        lines = [
            {
                "id": line.id,
                "offer": {"id": f"82{place:08d}", "name": f"Item {place}", "external": {"id": line.sku}},
                "quantity": line.quantity,
                "originalPrice": price,
                "price": price,
                "boughtAt": order.more["at"],
            }
            for place, line in enumerate(order.lines, 1)
        ]
        return reply(
            {
                "id": order.id,
                "buyer": {"id": "23123123", "email": "abc+1@allegromail.pl", "login": "sim_buyer", "guest": False},
                "status": order.status,
                "fulfillment": {
                    "status": order.more["fulfillment"],
                    "shipmentSummary": {"lineItemsSent": how_many},
                    "provider": {"id": order.more["provider"]},
                },
                "lineItems": lines,
                "surcharges": [],
                "marketplace": {"id": "allegro-pl"},
                "summary": {"totalToPay": price},
                "updatedAt": order.more["at"],
                "revision": revision(order),
            }
        )

    @route("GET", FORM + "/shipments")
    def shipments(self, request: Request, id: str) -> Answer:
        return reply({"shipments": self.known(id, request).rows})

    @route("POST", FORM + "/shipments")
    def ship(self, request: Request, id: str) -> Answer:
        sent = self.document(request)
        order = self.known(id, request)
        name = str(sent.get("carrierName") or "")
        carrier, waybill = self._checked(sent.get("carrierId"), sent.get("waybill"), name)
        lines = [str(line.get("id")) for line in sent.get("lineItems") or []]
        if not {line.id for line in order.lines}.issuperset(lines):
            return refusal(422, "LineItemsValidationException", "Line item does not belong to the order", "lineItems")
        for row in order.rows:
            if (row["carrierId"], row["waybill"]) == (carrier, waybill):
                return reply(row, 201)
        if len(order.rows) >= self.waybills_per_order:
            return refusal(422, "WaybillsAssignedToOrderLimitReached", "Too many waybills on this order")
        if len(self.used.get(waybill, set()) - {id}) >= self.orders_per_waybill:
            return refusal(409, "WaybillUsageLimitReached", "Waybill is used in too many orders", "waybill")
        return reply(self.put(id, carrier, waybill, name, lines), 201)

    def _checked(self, carrier: Any, waybill: Any, name: str) -> tuple[str, str]:
        if carrier != "OTHER" and carrier not in CARRIERS:
            raise Stop(refusal(400, "CarrierIdValidationException", f"Unrecognized carrier id {carrier}", "carrierId"))
        if not isinstance(waybill, str) or not re.fullmatch(r"[A-Za-z0-9_()\-]{1,64}", waybill):
            raise Stop(refusal(400, "WaybillValidationException", "Waybill is not valid", "waybill"))
        if carrier == "OTHER":
            if len(name) > 30:
                raise Stop(refusal(400, "CarrierNameValidationException", "Carrier name is too long", "carrierName"))
        elif waybill.upper().startswith("AD") or not re.fullmatch(self.shapes.get(carrier, ".+"), waybill):
            message = "Provided waybill is not valid for this carrier"
            raise Stop(refusal(400, "CarrierWaybillValidationException", message))
        return str(carrier), waybill

    @route("PUT", FORM + "/fulfillment")
    def fulfil(self, request: Request, id: str) -> Answer:
        status = self.document(request).get("status")
        order = self.known(id, request)
        if request.query.get("checkoutForm.revision", revision(order)) != revision(order):
            return refusal(409, "SellerOrdersStoreConflictException", "Provided revision is outdated", request.path)
        known = status in STATUSES and status != "RETURNED"
        if not known or order.more["revision"] >= self.changes_per_order:
            return refusal(422, "SellerOrdersStoreUnprocessableEntityException", None, request.path)
        self._set(order, str(status))
        return Answer.empty(204)

    def _set(self, order: Order, status: str) -> None:
        order.more.update(fulfillment=status, revision=order.more["revision"] + 1, at=self.stamp())


def revision(order: Order) -> str:
    return f"{uuid.uuid5(uuid.NAMESPACE_OID, order.id).int % 0xFFFF:04x}{order.more['revision']:04x}"


def reply(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer.json(data, status, headers, MEDIA + ";charset=UTF-8")


def refusal(status: int, code: str, message: str | None, path: str | None = None) -> Answer:
    error: dict[str, Any] = {
        "code": code,
        **({} if message is None else {"message": message}),
        "details": None,
        "path": path,
        "userMessage": "The request is not correct. Ask the author of the application.",
        "metadata": {},
    }
    return Answer.json({"errors": [error]}, status)


def denial(status: int, error: str, description: str) -> Answer:
    return Answer.json({"error": error, "error_description": description}, status)
