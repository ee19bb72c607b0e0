"""Etsy's Open API v3, as far as tracking numbers need it.

Sources: oas/3.0.0.json of 2026-08, developers.etsy.com, and answers quoted in github.com/etsy/open-api (numbers
below), read 2026-11. Kept because it bites:
- every POST of a number is one more shipment and one more mail to the buyer, the same number too (#201);
- 200 does not mean that the number is there: an unknown carrier or a body that is not JSON marks the order as
  shipped, mails the buyer and drops the number (#135, #157, #201);
- x-api-key is keystring:shared_secret (#1529, #1531), the login knows the keystring alone;
- a refresh token works once; tokens begin with the user's id (#519);
- the status is written "Fully Refunded" (#806), the carrier comes back as a display name;
- both limits are 429; the one per second says no time (#198), the one per day 86400 (#256, #611).
Not documented, and ours: a cancelled order takes a number, which carriers are known is a part of Etsy's list.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import deque
from typing import Any
from urllib.parse import urlencode

from shipfwd.simulator.base import Answer, Order, Request, Stand, Stop, TokenDesk, route

RECEIPT = "/v3/application/shops/{shop}/receipts/{id}"
SCOPES = "shops_r transactions_r transactions_w"
CARRIERS = (
    "other usps ups fedex tnt dhl dhl-poland dhl-germany dhl-nl dhl-es dhl-benelux dhl-global-mail dpd dpd-poland "
    "dpd-de dpd-uk gls poczta-polska siodemka royal-mail parcel-force hermes hermes-de yodel deutsch-post "
    "austrian-post swiss-post postnl bpost colissimo la-poste-colissimo chronopost-france mondialrelay poste-italiane "
    "italy-sda spain-correos-es spanish-seur mrw-spain nacex-spain portugal-ctt ceska-posta slovenska-posta "
    "magyar-posta posta-romana bgpost hrvatska-posta posta-slovenije lietuvos-pastas latvijas-pasts estonian-post "
    "nova-poshta ukrposhta postnord posten-norge posti an-post canada-post australia-post china-post japan-post "
    "yanwen 4px"
)
_ID = "24552005{:02d}"


class Etsy(Stand):
    """add_order: status="paid", paid=True, shipped=False, country="PL"."""

    name = "etsy"
    title = "Etsy"
    first_status = "paid"
    number_field = "tracking_code"
    plausible = r"[1-9]\d{5,14}"

    keystring = "simkeystring0123456789ab"
    shared_secret = "SECRET-etsy-shared"  # noqa: S105
    user_id = "46968690"
    shop_id = "34632576"
    scope = SCOPES  # what the next consent grants
    agrees = True  # the person on the consent page
    with_ids = True  # shipments have a receipt_shipping_id
    drops_numbers = False  # accept, mark, mail, and keep no number
    calls_a_second = 0  # 0: no limit
    calls_a_day = 10_000
    lag_seconds = 0.0  # a new shipment is not shown before

    def set_up(self) -> None:
        self.desk = TokenDesk("etsy", self.now, access_seconds=3600, refresh_seconds=90 * 86400)
        self.challenges: dict[str, tuple[str, str]] = {}  # code → (challenge, redirect_uri)
        self.copies = 0  # mails to the seller
        self.calls: deque[float] = deque()  # of the last 24 hours

    @property
    def callback(self) -> str:
        """What the application has registered. Etsy wants https there; a stand-in has none."""
        return f"{self.base_url}/callback"

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """A fresh login each time."""
        login = self._tokens(self.desk.sign_in(self.user_id, self.scope))
        settings = {
            "base_url": self.base_url,
            "auth_url": self.base_url,
            "consent_url": f"{self.base_url}/oauth/connect",
            "shop_id": self.shop_id,
            "keystring": self.keystring,
            "redirect_uri": self.callback,
        }
        return settings, {"shared_secret": self.shared_secret, "refresh_token": login["refresh_token"]}

    def seed(self) -> dict[str, str]:
        """…01 to …03 ready, …04 cancelled, …05 not paid, …06 has a number, …07 shipped by hand, …08 refunded."""
        cases: list[tuple[str, dict[str, Any]]] = [
            ("ready", {}),
            ("ready", {}),
            ("ready", {}),
            ("cancelled", {"status": "canceled"}),
            ("not paid yet", {"status": "open", "paid": False}),
            ("has a number from elsewhere", {}),
            ("marked as shipped without a number", {}),
            ("refunded", {"status": "fully refunded"}),
        ]
        ids = {_ID.format(place): words for place, (words, _) in enumerate(cases, 1)}
        for id, (_, more) in zip(ids, cases, strict=True):
            self.add_order(id, **more)
        self.put(_ID.format(6), "1Z999AA10123456784", "ups")
        self.put(_ID.format(7), "", "")
        return ids

    def add_order(self, id: str, **more: Any) -> Order:
        return super().add_order(id, **{"paid": True, "shipped": False, "country": "PL", **more})

    def put(self, id: str, code: str, carrier: str) -> dict[str, Any]:
        """A shipment comes to stand on the order, by whomever; its row. The order is shipped, the buyer is told."""
        order = self.orders[id]
        row = {
            "receipt_shipping_id": 1_201_202_303 + sum(len(one.rows) for one in self.orders.values()),
            "shipment_notification_timestamp": int(self.now()),
            "carrier_name": carrier.replace("-", " ").title(),
            "tracking_code": code,
        }
        if not self.with_ids:
            row["receipt_shipping_id"] = None
        again = bool(order.rows)
        order.rows.append(row)
        order.status, order.more["shipped"] = "completed", True
        words = "Another package for your Etsy order is on the way" if again else "Your Etsy order has shipped"
        self.mail(order, words)
        return row

    def numbers_of(self, order: Order) -> list[str]:
        return [code for code in super().numbers_of(order) if code]

    # ---- the vendor's words -----------------------------------------------------------------------------

    def finish(self, request: Request, answer: Answer) -> Answer:
        if request.path.startswith("/v3/application/"):
            left = max(0, self.calls_a_day - len(self.calls))
            answer.headers |= {"x-limit-per-day": str(self.calls_a_day), "x-remaining-today": str(left)}
        return answer

    def no_route(self, request: Request) -> Answer:
        return error(404, "Resource not found")

    def unauthorised(self, request: Request) -> Answer:
        return error(401, "invalid_token", "access token is expired")

    def too_many(self, request: Request) -> Answer:
        return error(429, "Exceeded per second rate limit")

    def unknown_order(self, request: Request | None, id: str) -> Answer:
        words = f"Could not find a Shop Receipt with receipt_id = {id} associated with shop_id = {self.shop_id}."
        return error(404, words)

    # ---- the login --------------------------------------------------------------------------------------

    @route("GET", "/oauth/connect", open=True)
    def connect(self, request: Request) -> Answer:
        """The consent page; the person agrees at once, and the browser goes to the callback."""
        asked = request.query
        right = {"response_type": "code", "client_id": self.keystring, "redirect_uri": self.callback}
        if any(asked.get(key) != value for key, value in right.items()) or not asked.get("state"):
            return Answer.html("The application that's requesting access has an error", 400)
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return Answer.html("invalid_request: code_challenge", 400)
        back = {"error": "access_denied", "state": asked["state"]}
        if self.agrees:
            granted = " ".join(one for one in asked.get("scope", "").split() if one in self.scope.split())
            code = self.desk.code(self.user_id, granted)
            self.challenges[code] = (asked["code_challenge"], asked["redirect_uri"])
            back = {"code": code, "state": asked["state"]}
        return Answer.redirect(f"{self.callback}?{urlencode(back)}")

    @route("GET", "/callback", open=True)
    def arrived(self, request: Request) -> Answer:
        return Answer.html("Copy the address of this page into the terminal")

    @route("POST", "/v3/public/oauth/token", open=True)
    def token(self, request: Request) -> Answer:
        asked, answer = request.form, None
        if asked.get("client_id") != self.keystring:
            return error(401, "invalid_client", "client_id is invalid")
        if asked.get("grant_type") == "refresh_token":
            answer = self.desk.refresh(asked.get("refresh_token", "").removeprefix(f"{self.user_id}."))
        elif asked.get("grant_type") == "authorization_code":
            digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
            proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if self.challenges.pop(asked.get("code", ""), None) == (proof, asked.get("redirect_uri")):
                answer = self.desk.redeem(asked["code"])
        else:
            return error(400, "unsupported_grant_type", "grant_type is invalid")
        if answer is None:
            return error(400, "invalid_grant", "refresh_token is revoked")
        return Answer.json(self._tokens(answer))

    def _tokens(self, answer: dict[str, Any]) -> dict[str, Any]:
        shown = {"token_type": "Bearer", "expires_in": answer["expires_in"]}
        return shown | {key: f"{self.user_id}.{answer[key]}" for key in ("access_token", "refresh_token")}

    # ---- the API ----------------------------------------------------------------------------------------

    def guard(self, request: Request) -> None:
        keystring, colon, secret = request.header("x-api-key").partition(":")
        if not colon:
            raise Stop(error(403, "Shared secret is required in x-api-key header."))
        if (keystring, secret) != (self.keystring, self.shared_secret):
            raise Stop(error(403, "Invalid API key: should be in the format 'keystring:shared_secret'."))
        self._count()
        grant = self.desk.grant(self.bearer(request).removeprefix(f"{self.user_id}."))
        if grant is None:
            raise Stop(self.unauthorised(request))
        right = "transactions_r" if request.method == "GET" else "transactions_w"
        if "/receipts/" not in request.path:
            right = "shops_r"
        if right not in grant.scope.split():
            raise Stop(error(403, "insufficient_scope", f"the scope {right} is missing"))

    def _count(self) -> None:
        now = self.now()
        while self.calls and self.calls[0] <= now - 86400:
            self.calls.popleft()
        if len(self.calls) >= self.calls_a_day:
            raise Stop(Answer.json({"error": "Exceeded daily rate limit"}, 429, {"Retry-After": "86400"}))
        if self.calls_a_second and sum(at > now - 1 for at in self.calls) >= self.calls_a_second:
            raise Stop(error(429, "Exceeded per second rate limit"))
        self.calls.append(now)

    @route("GET", "/v3/application/users/me")
    def me(self, request: Request) -> Answer:
        return Answer.json({"user_id": int(self.user_id), "shop_id": int(self.shop_id)})

    @route("GET", RECEIPT)
    def receipt(self, request: Request, shop: str, id: str) -> Answer:
        order = self._of_shop(request, shop, id)
        return Answer.json(self._shown(order, self.now() - self.lag_seconds))

    @route("POST", RECEIPT + "/tracking")
    def ship(self, request: Request, shop: str, id: str) -> Answer:
        order = self._of_shop(request, shop, id)
        sent: Any = {}
        if request.header("content-type").split(";")[0].strip() == "application/json":
            try:
                sent = request.json()
            except ValueError:
                return error(400, "Malformed JSON")
        sent = sent if isinstance(sent, dict) else {}
        code, carrier = str(sent.get("tracking_code") or ""), str(sent.get("carrier_name") or "")
        if not code and order.more["country"] in ("US", "IN"):
            return error(400, "A tracking number is required")
        if self.drops_numbers or not code or carrier not in CARRIERS.split():
            code = carrier = ""
        self.put(order.id, code, carrier)
        self.copies += bool(sent.get("send_bcc"))
        return Answer.json(self._shown(order, self.now()))

    def _of_shop(self, request: Request, shop: str, id: str) -> Order:
        if shop != self.shop_id:
            raise Stop(error(403, "User does not own Shop"))
        if not re.fullmatch(r"\d+", id):
            raise Stop(error(400, "Invalid value for receipt_id"))
        return self.known(id, request)

    def _shown(self, order: Order, until: float) -> dict[str, Any]:
        """The receipt, with the shipments that were there at `until`."""
        rows = [row for row in order.rows if row["shipment_notification_timestamp"] <= until]
        price = {"amount": 5980, "divisor": 100, "currency_code": "PLN"}
        lines = [
            {
                "transaction_id": 3_252_423_000 + place,
                "title": f"Item {place}",
                "receipt_id": int(order.id),
                "quantity": line.quantity,
                "sku": line.sku,
                "price": price,
            }
            for place, line in enumerate(order.lines, 1)
        ]
        return {
            "receipt_id": int(order.id),
            "receipt_type": 0,
            "seller_user_id": int(self.user_id),
            "buyer_user_id": 102_574_536,
            "buyer_email": None,
            "name": "Sim Buyer",
            "country_iso": order.more["country"],
            "status": order.status.title(),
            "is_paid": order.more["paid"],
            "is_shipped": order.more["shipped"],
            "grandtotal": price,
            "shipments": rows,
            "transactions": lines,
            "refunds": [],
        }


def error(status: int, words: str, description: str = "") -> Answer:
    return Answer.json({"error": words} | ({"error_description": description} if description else {}), status)
