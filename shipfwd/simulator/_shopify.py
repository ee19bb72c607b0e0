"""What Shopify's stand-in knows by heart: its schema, its carriers, the shapes of its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shipfwd.simulator._graphql import Refused

# Companies whose numbers get a link by themselves (a few of those that the vendor lists).
LINKS = {
    "DPD": "https://www.dpd.com/tracking/{}", "GLS": "https://gls-group.eu/track/{}",
    "UPS": "https://www.ups.com/WebTracking?trackingNumber={}", "FedEx": "https://www.fedex.com/fedextrack/?trknbr={}",
    "DHL Express": "https://www.dhl.com/track?id={}", "Packeta": "https://tracking.packeta.com/{}",
    "Inpost": "https://inpost.pl/sledzenie-przesylek?number={}",
}  # fmt: skip
ACTIONS = {
    "OPEN": ["CREATE_FULFILLMENT", "REPORT_PROGRESS", "MOVE", "HOLD", "SPLIT"],
    "IN_PROGRESS": ["CREATE_FULFILLMENT", "REPORT_PROGRESS", "HOLD", "MARK_AS_OPEN"],
    "ON_HOLD": ["RELEASE_HOLD", "HOLD", "MOVE"],
    "SCHEDULED": ["MARK_AS_OPEN", "MOVE"],
}
SCHEMA = {
    "QueryRoot": {"orders": "OrderConnection", "order": "Order", "fulfillmentOrder": "FulfillmentOrder", "shop": "Shop",
                  "currentAppInstallation": "AppInstallation"},
    "Mutation": {"fulfillmentCreate": "FulfillmentCreatePayload", "fulfillmentCancel": "FulfillmentCancelPayload",
                 "fulfillmentTrackingInfoUpdate": "FulfillmentTrackingInfoUpdatePayload"},
    "OrderConnection": {"nodes": "Order", "pageInfo": "PageInfo"},
    "PageInfo": {"hasNextPage": "", "endCursor": ""},
    "Order": {"id": "", "name": "", "cancelledAt": "", "displayFinancialStatus": "", "displayFulfillmentStatus": "",
              "fulfillments": "Fulfillment", "fulfillmentOrders": "FulfillmentOrderConnection"},
    "Fulfillment": {"id": "", "status": "", "displayStatus": "", "createdAt": "", "requiresShipping": "",
                    "trackingInfo": "FulfillmentTrackingInfo"},
    "FulfillmentTrackingInfo": {"number": "", "company": "", "url": ""},
    "FulfillmentOrderConnection": {"nodes": "FulfillmentOrder", "pageInfo": "PageInfo"},
    "FulfillmentOrder": {"id": "", "status": "", "requestStatus": "", "fulfillAt": "",
                         "supportedActions": "FulfillmentOrderSupportedAction", "fulfillmentHolds": "FulfillmentHold",
                         "assignedLocation": "FulfillmentOrderAssignedLocation",
                         "lineItems": "FulfillmentOrderLineItemConnection"},
    "FulfillmentOrderSupportedAction": {"action": "", "externalUrl": ""},
    "FulfillmentHold": {"id": "", "reason": "", "reasonNotes": ""},
    "FulfillmentOrderAssignedLocation": {"location": "Location", "name": ""},
    "Location": {"id": "", "name": ""},
    "FulfillmentOrderLineItemConnection": {"nodes": "FulfillmentOrderLineItem", "pageInfo": "PageInfo"},
    "FulfillmentOrderLineItem": {"id": "", "totalQuantity": "", "remainingQuantity": "", "sku": "",
                                 "lineItem": "LineItem"},
    "LineItem": {"id": "", "sku": "", "quantity": ""},
    "Shop": {"name": "", "myshopifyDomain": ""},
    "AppInstallation": {"id": "", "accessScopes": "AccessScope"},
    "AccessScope": {"handle": "", "description": ""},
    **{f"Fulfillment{what}Payload": {"fulfillment": "Fulfillment", "userErrors": "UserError"}
       for what in ("Create", "Cancel", "TrackingInfoUpdate")},
    "UserError": {"field": "", "message": ""},
}  # fmt: skip
# What a mutation's input may hold.
INPUTS = {
    "fulfillment": {"lineItemsByFulfillmentOrder", "notifyCustomer", "originAddress", "trackingInfo"},
    "trackingInfoInput": {"company", "number", "numbers", "url", "urls"},
}


def words_of(name: str) -> list[str]:
    return re.findall(r"\w+", name.lower())


def shown(made: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": made["gid"],
        "status": made["status"],
        "displayStatus": "FULFILLED" if made["status"] == "SUCCESS" else "CANCELED",
        "createdAt": made["at"],
        "requiresShipping": True,
        "trackingInfo": lambda first=None: made["tracks"][:first],
    }


def tracks_of(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`number` for one, `numbers` for several; a link that was given, or the company's."""
    numbers = info.get("numbers") or [one for one in [info.get("number")] if one]
    urls = info.get("urls") or [one for one in [info.get("url")] if one]
    company = info.get("company") or None
    made = LINKS.get(company or "", "")
    return [
        {
            "number": number,
            "company": company,
            "url": urls[place] if place < len(urls) else made.format(number) if made else None,
        }
        for place, number in enumerate(numbers)
    ]


def in_pages(rows: list[Any], first: int, after: str = "") -> dict[str, Any]:
    start = int(after.removeprefix("row-") or 0)
    end = start + first
    more = {"hasNextPage": end < len(rows), "endCursor": f"row-{end}" if rows[start:end] else None}
    return {"nodes": rows[start:end], "pageInfo": more}


def objects(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(objects(one) for one in value.values())
    return sum(objects(one) for one in value) if isinstance(value, list) else 0


def refused(message: str, field: str = "fulfillment") -> dict[str, Any]:
    return {"fulfillment": None, "userErrors": [{"field": [field], "message": message}]}


def denied(field: str, required: str) -> Refused:
    return Refused(f"Access denied for {field} field.", "ACCESS_DENIED", requiredAccess=required)


def error(refusal: Refused) -> dict[str, Any]:
    more = {**({"code": refusal.code} if refusal.code else {}), **refusal.more}
    return {"message": str(refusal), **({"extensions": more} if more else {})}
