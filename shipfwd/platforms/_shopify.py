"""Shopify's GraphQL: the documents that are sent, and what its answers mean. (What is done with them: shopify.py.)

Nearly everything is HTTP 200. `errors` is a list of what went wrong, or a string beside 401, 402, 404 and 423. An
error without `data` beside it stopped the request before anything ran; with `data`, a part may have been done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shipfwd.errors import (
    AuthFailed,
    ConfigError,
    NotReady,
    NotUnderstood,
    Rejected,
    ShipfwdError,
    Throttled,
    Unavailable,
)
from shipfwd.models import Reply

# `nodes` of a search are a guess of its index; an order by its id is exact.
MOST_FOUND = 25
FIND = f"query Find($words: String!) {{ orders(first: {MOST_FOUND}, query: $words) {{ nodes {{ id name }} }} }}"
STATE = """\
query State($id: ID!, $after: String) {
  order(id: $id) {
    id
    cancelledAt
    displayFinancialStatus
    displayFulfillmentStatus
    fulfillments { id status requiresShipping trackingInfo { number company url } }
    fulfillmentOrders(first: 20, after: $after) {
      nodes {
        id
        status
        fulfillAt
        supportedActions { action }
        fulfillmentHolds { reason }
        assignedLocation { location { id } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
LINES = """\
query Lines($id: ID!, $after: String) {
  fulfillmentOrder(id: $id) {
    lineItems(first: 100, after: $after) {
      nodes { id totalQuantity remainingQuantity sku lineItem { id } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""
SCOPES = "query Scopes { currentAppInstallation { accessScopes { handle } } shop { myshopifyDomain } }"
TYPES = {  # of the arguments of the two mutations
    "fulfillment": "FulfillmentInput!",
    "fulfillmentId": "ID!",
    "trackingInfoInput": "FulfillmentTrackingInput!",
    "notifyCustomer": "Boolean",
}
PAYLOAD = "{ fulfillment { id status trackingInfo { number } } userErrors { field message } }"

KINDS = ("merchant_managed", "third_party", "assigned")  # of fulfilment orders; each is a right of its own
RIGHTS = "read_orders, write_merchant_managed_fulfillment_orders and, for stock that other apps hold, third_party"
RELEASE = "add what is missing to the app, release a version, approve it in the shop, then: shipfwd integration check"
SHOP = {  # statuses that stop the whole shop
    402: "Shopify has frozen the shop, its bill is open; settle that in the shop's admin",
    404: "Shopify has nothing at this address; check base_url (https://NAME.myshopify.com) and api_version",
    423: "Shopify has locked the shop; ask its support",
}
TOKEN = {  # words of the token host, in JSON or on a page
    "shop_not_permitted": "the app and the shop belong to different organisations; make the app in the shop's own",
    "app_not_installed": "the app is not installed on the shop; install it, or check base_url and client_id",
    "application_cannot_be_found": "no app has this client_id; copy it from the Dev Dashboard",
    "invalid_client": "client_id and client_secret do not belong together; copy both from the Dev Dashboard",
}


def quoted(text: str) -> str:
    """A value of the search syntax, in which nothing is special any more."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def mutation(steps: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """One document for several writes, which Shopify does one after another: w0, w1 … And its variables.

    steps   the arguments of a fulfillmentCreate or, without `fulfillment`, of a fulfillmentTrackingInfoUpdate.
    """
    declared: list[str] = []
    fields: list[str] = []
    variables: dict[str, Any] = {}
    for place, step in enumerate(steps):
        name = "fulfillmentCreate" if "fulfillment" in step else "fulfillmentTrackingInfoUpdate"
        given = ", ".join(f"{key}: ${key}{place}" for key in step)
        declared += [f"${key}{place}: {TYPES[key]}" for key in step]
        fields.append(f"  w{place}: {name}({given}) {PAYLOAD}")
        variables |= {f"{key}{place}": value for key, value in step.items()}
    return "\n".join([f"mutation Forward({', '.join(declared)}) {{", *fields, "}"]), variables


def tail(gid: str) -> str:
    """The number at the end of gid://shopify/LineItem/1001, by which everybody else calls it."""
    return gid.rpartition("/")[2]


def lacking(handles: set[str]) -> str:
    """What an app with these rights cannot do; "" when it can do all that is needed. Writing includes reading."""
    can = {
        "read orders": handles & {"read_orders", "write_orders", "read_all_orders"},
        "fulfil": handles & {f"write_{kind}_fulfillment_orders" for kind in KINDS},
    }
    return " and not ".join(what for what, rights in can.items() if not rights)


def pause(data: Any, need: float | None = None) -> float | None:
    """Seconds until the balance of points in an answer reaches `need` (None: what the request asks for)."""
    try:
        cost = data["extensions"]["cost"]
        balance = cost["throttleStatus"]
        wanted = cost["requestedQueryCost"] if need is None else need * balance["maximumAvailable"]
        return max(0.0, (wanted - balance["currentlyAvailable"]) / balance["restoreRate"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def problems(data: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Code, message and extensions of each top-level error."""
    errors = data.get("errors") if isinstance(data, dict) else None
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            more = error.get("extensions")
            more = more if isinstance(more, dict) else {}
            yield str(more.get("code", "")), str(error.get("message", "")), more


def explain(reply: Reply) -> ShipfwdError | None:
    """What a reply means beyond its status. What a mutation did in part is left to who reads its payloads."""
    if reply.status in SHOP:
        return ConfigError(SHOP[reply.status])
    found = list(problems(reply.data))
    done = reply.data.get("data") if found else None
    if (
        not found
        or isinstance(done, dict)
        and any(isinstance(one, dict) and "userErrors" in one for one in done.values())
    ):
        return None
    code, message, more = found[0]
    if "THROTTLED" in (code, message.upper()):
        after = pause(reply.data)
        return Throttled(
            "Shopify's points are used up for the moment", after=None if after is None else max(1.0, after)
        )
    if code == "ACCESS_DENIED":
        needs = str(more.get("requiredAccess") or message)[:200].strip(" .`")
        return AuthFailed(f"Shopify denies a right ({needs}). The app needs {RIGHTS}; {RELEASE}")
    if code == "SHOP_INACTIVE":
        return ConfigError("Shopify says that the shop is not active; settle that in the shop's admin")
    if "data" in reply.data or code == "INTERNAL_SERVER_ERROR":
        return Unavailable(f"Shopify failed on its side ({code or message[:200]})")
    return NotUnderstood(f"Shopify does not take the request ({code}: {message[:200]}); is api_version a known one?")


def refused(messages: Sequence[str], partly: bool) -> ShipfwdError:
    """What the userErrors of a write mean: they have no codes, only words."""
    said = messages[0][:200]
    if partly:
        return Rejected(
            f"Shopify took the number for a part of the order and refused the rest ({said}); look at it there"
        )
    if "status= closed" in said:
        return Unavailable(f"the order was changed at Shopify meanwhile ({said}); it is looked at again")
    if "status= on_hold" in said or "status= scheduled" in said:
        return NotReady(f"Shopify does not let the order go yet ({said})")
    return Rejected(f"Shopify refuses: {said}")
