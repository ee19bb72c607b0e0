"""Magento's REST API: searching, signing, and what its refusals mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shipfwd.errors import AuthFailed, ConfigError, NotUnderstood, OrderNotFound, OutcomeUnknown, Rejected
from shipfwd.models import Line, Reply, Request
from shipfwd.platforms.base import Platform, host

OAUTH = ("consumer_key", "consumer_secret", "token_secret")
WHERE = "searchCriteria[filterGroups][0][filters][0]"
ROWS = 100  # of a page
LESS = ("qty_shipped", "qty_canceled", "qty_refunded")  # from qty_ordered, what is left to ship


class Rest(Platform):
    """Addresses below /rest/STORE/V1; the token as bearer, or all four credentials as a signature."""

    def url(self, path: str, *parts: str, base: str = "base_url") -> str:
        return super().url("/rest/{}/V1" + path, self.values["store_code"], *parts, base=base)

    @property
    def _signs(self) -> bool:
        return any(self.values.get(name) or name in self.secrets for name in OAUTH)

    def headers(self) -> Mapping[str, str]:
        return {} if self._signs else {"Authorization": f"Bearer {self.secret('access_token')}"}

    def sign(self, request: Request, now: datetime) -> Mapping[str, str]:
        """OAuth 1.0a, HMAC-SHA256. A JSON body is no part of what is signed; the query is."""
        if not self._signs:
            return {}
        if not self.values.get("consumer_key"):
            raise ConfigError("OAuth 1.0a needs the setting consumer_key; give it with --set consumer_key=…")
        try:
            from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, Client
        except ImportError:
            raise ConfigError("OAuth 1.0a needs one more package: pip install 'shipfwd[magento]'") from None
        client = Client(
            self.values["consumer_key"],
            client_secret=self.secret("consumer_secret"),
            resource_owner_key=self.secret("access_token"),
            resource_owner_secret=self.secret("token_secret"),
            signature_method=SIGNATURE_HMAC_SHA256,
            timestamp=str(int(now.timestamp())),
        )
        method: Any = request.method
        _, headers, _ = client.sign(request.url, http_method=method)
        return {"Authorization": str(headers["Authorization"])}

    def explain(self, reply: Reply) -> Exception | None:
        return explain(reply)

    def _search(self, path: str, key: str, values: Sequence[str], fields: str) -> list[Any]:
        """The rows in which `key` is one of the values, oldest first, whatever the shop's longest page is."""
        rows: list[Any] = []
        asked = {
            f"{WHERE}[field]": key,
            f"{WHERE}[value]": ",".join(values),
            f"{WHERE}[conditionType]": "in",
            "searchCriteria[sortOrders][0][field]": "entity_id",
            "searchCriteria[sortOrders][0][direction]": "ASC",
            "searchCriteria[pageSize]": str(ROWS),
            "fields": f"items[{fields}],total_count",
        }
        page = 1
        while values:
            data = self.get(path, params={**asked, "searchCriteria[currentPage]": str(page)}).data
            got, count = self.rows(data, "items", absent=()), self.count(data, "total_count")
            if count > len(rows) and not got:
                raise NotUnderstood(f"{self.title} answered without the list it announces")
            rows += got
            if len(rows) >= count:
                break
            page += 1
        return rows

    def _lines(self, order: Any) -> tuple[Line, ...]:
        """What can be shipped of an order; half a piece is one."""
        lines = []
        for item in self.rows(order, "items", absent=()):
            if item.get("parent_item_id") or item.get("is_virtual"):
                continue
            ordered = self.amount(item, "qty_ordered")
            left = max(0.0, ordered - sum(self.amount(item, name, absent=0) for name in LESS))
            id, sku = str(self.count(item, "item_id")), self.text(item, "sku", absent="")
            lines.append(Line(id, math.ceil(ordered), math.ceil(left), sku))
        return tuple(lines)

    def _tracks(self, shipments: Sequence[Any]) -> list[dict[str, str]]:
        """id, number and shipment of each track, oldest first."""
        found = [(shipment, one) for shipment in shipments for one in self.rows(shipment, "tracks", absent=())]
        return [
            {
                "id": self.text(one, "entity_id"),
                "number": self.text(one, "track_number", null=""),
                "shipment": str(self.count(shipment, "entity_id")),
            }
            for shipment, one in found
        ]


def told(data: Any) -> str:
    """Magento's own words, with the holes (%1, %fieldName) filled."""
    if not isinstance(data, dict) or not isinstance(data.get("message"), str):
        return ""
    given = data.get("parameters") or {}
    named = dict(enumerate(given, 1)) if isinstance(given, list) else given if isinstance(given, dict) else {}
    named = {str(place): word for place, word in named.items()}
    filled = re.sub(r"%(\w+)", lambda hole: str(named.get(hole[1], hole[0])), data["message"])
    return " ".join(filled.removeprefix("Shipment Document Validation Error(s):").split())[:300]


def explain(reply: Reply) -> Exception | None:
    """What a refusal means; None leaves it to the status."""
    if reply.status < 400 or reply.status in (408, 429):
        return None
    said, shop = told(reply.data), host(reply.url)
    if "see error log" in said:
        return OutcomeUnknown(f"{shop} said '{said}', which it also does after the deed")
    if "oauth_problem" in reply.text or reply.status == 401 and "signature" in said.lower():
        why = said or reply.text[:200]
        return AuthFailed(f"{shop} refuses the signature ({why}); check the four credentials and this machine's clock")
    if reply.status == 401:
        return AuthFailed(
            f"{shop} refuses the token ({said or 'no reason given'}); tick that right at System > Integrations; if it "
            "is ticked, the shop takes no token alone: allow it there, or give all four credentials for OAuth 1.0a"
        )
    if "does not match any route" in said or reply.status == 404 and not said:
        return ConfigError(f"{shop} has no such address; check base_url and store_code")
    if reply.status == 404:
        return OrderNotFound(f"{shop} does not know it ({said})")
    return Rejected(f"{shop} refuses: {said}") if said and reply.status < 500 else None
