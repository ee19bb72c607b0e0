"""Shopify: stores through the GraphQL Admin API, by a token that stays or by an app's own, which lives for a day.

Source: schema 2026-10 (npm @shopify/dev-mcp 1.16.0) and shopify.dev, read 2026-11-23; nothing was tried live.
Quirks, each the reason for a line below:
- HTTP 200 says nothing: `errors`, `userErrors` and the payload do (_shopify.py).
- Orders are searched by an index that is late and not exact: names are compared here, all else is read by id.
- The list of fulfilment orders holds what the app may see. Empty, it mostly means a right that is missing; and a
  token has the rights of the day it was made, so a new one is asked for before anybody is told.
- One fulfilment is one location and one company. So several locations are several fulfilments: in one request, so
  that a lost answer is lost for all of them, and the look finds the number or nothing.
- Everything that is left is fulfilled where no lines are named. So parcels without items go together, and a later one
  is added to a fulfilment that stands; that replaces all of its tracking, hence old and new are sent.
- Fulfilled by hand without a number there is nothing left to fulfil: that fulfilment gets the number.
- A company is known in its exact spelling only; others, and those known in some countries alone, need a link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import AuthFailed, ConfigError, Rejected, ShipfwdError, UsageError
from shipfwd.models import Parcel, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms import _shopify as gql
from shipfwd.platforms._shopify_fulfilments import Fulfilments

EVERYWHERE = {  # links by itself in every country
    "dpd": "DPD", "gls": "GLS", "ups": "UPS", "fedex": "FedEx", "packeta": "Packeta", "dhl-express": "DHL Express",
    "tnt": "TNT", "dhl-ecommerce": "DHL eCommerce", "dpd-uk": "DPD UK", "deutsche-post": "Deutsche Post",
    "evri": "Evri", "royal-mail": "Royal Mail", "an-post": "An Post", "poste-italiane": "Poste Italiane",
    "correos": "Correos", "ctt": "CTT", "ctt-express": "CTT Express", "colissimo": "Colissimo",
    "chronopost": "Chronopost", "mondial-relay": "Mondial Relay", "postnl": "PostNL", "bpost": "BPost",
    "swiss-post": "Swiss Post", "lietuvos-pastas": "Lietuvos Paštas", "latvijas-pasts": "Latvia Post",
    "venipak": "Venipak", "usps": "USPS", "ontrac": "OnTrac", "canada-post": "Canada Post", "purolator": "Purolator",
    "australia-post": "Australia Post", "amazon": "Amazon", "china-post": "China Post",
    "japan-post": "Japan Post (EN)", "4px": "4PX", "sf-express": "SF Express", "yunexpress": "YunExpress",
    "dpd-cz": "DPD", "dpd-sk": "DPD", "dpd-hu": "DPD", "dpd-ro": "DPD", "dpd-de": "DPD", "gls-nl": "GLS",
}  # fmt: skip
SOMEWHERE = {  # in one or a few
    "inpost": "Inpost", "dhl-de": "DHL", "dhl-nl": "DHL Parcel", "hermes": "Hermes", "parcelforce": "Parcelforce",
    "yodel": "Yodel", "austrian-post": "Österreichische Post", "speedy": "Speedy", "acs": "ACS Courier",
    "gls-it": "GLS Italy", "dpd-ie": "DPD Ireland", "seur": "SEUR", "brt": "BRT", "bring": "Bring", "ptt": "PTT",
    "colis-prive": "Colis Privé",
}  # fmt: skip
DEAD = ("CANCELLED", "ERROR", "FAILURE")  # fulfilments that are none


class Shopify(Fulfilments):
    name = "shopify"
    title = "Shopify"
    source = "https://shopify.dev/docs/api/admin-graphql"
    read_on = "2026-11-23"
    where = "Shopify admin > Orders > {order}"
    settings = (
        Setting("base_url", "the shop's own address: https://NAME.myshopify.com", url=True),
        Setting("api_version", "version of the Admin API", default="2026-07"),
        Setting("client_id", "Client ID of the app, from the Dev Dashboard; with client_secret", optional=True),
        Setting("notify_buyer", "mail the buyer about each fulfilment", default="false", flag=True),
        Setting("access_token", "shpat_… of an app made in the shop's admin until 2025", optional=True, secret=True),
        Setting("client_secret", "Client secret of the app, from the Dev Dashboard", optional=True, secret=True),
    )
    carriers = EVERYWHERE | SOMEWHERE
    linked = frozenset(EVERYWHERE.values())
    other_carrier = "Other"  # never sent: a company may be any text, so our name for the carrier is
    host_key = "client_id access_token"  # points are counted by app and store
    concurrency = 4
    together = True
    rewrites = True  # all tracking of a fulfilment
    doubt_seconds = 120  # how late a look may be is not documented
    status_transfer = "with-tracking"
    correct = "replace"
    login_base = "base_url"
    login_path = "/admin/oauth/access_token"
    grant = "client_credentials"

    @classmethod
    def complete(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        if "access_token" in secrets and "client_secret" not in secrets:
            return
        if "client_id" not in settings or "client_secret" not in secrets:
            raise UsageError(
                "Shopify needs the credentials of an app: --set client_id=… --secret client_secret=env:… "
                "(or, of one made in the shop's admin until 2025, --secret access_token=env:…)"
            )

    def headers(self) -> Mapping[str, str]:
        return {"X-Shopify-Access-Token": self.access_token()}

    def check(self) -> str:
        return self.text(self._rights(), "shop", "myshopifyDomain")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        found = {}
        for order in orders:
            if wait := self.purse.get("wait"):
                self.tools.wait(wait)
            ids = self._find(order)
            if len(ids) > 1:
                two = f"{len(ids)} orders are called {order} at Shopify; put the number on the right one by hand"
                found[order] = Seen(refusal=Rejected(two))
            elif ids and (seen := self._seen(ids[0])):
                found[order] = seen
        return found

    def bundle(self, parcel: Parcel) -> str:
        return f"parcel {parcel.id}" if parcel.items else parcel.carrier

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        if seen.more["stale"]:  # another bundle of this order was written since
            seen = self._seen(seen.more["id"]) or Seen(refusal=Rejected("the order is gone at Shopify"))
            if seen.refusal:
                raise seen.refusal
        seen.more["stale"].append(True)
        steps = self._creation(parcels, seen) if seen.more["ready"] else self._addition(parcels, seen)
        shown, id = self._write(steps)
        return [Receipt(parcel.id, id, confirmed=parcel.key in shown) for parcel in parcels]

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        old, steps = parcel.tracking_number, []
        for one in seen.more.get("live", ()):
            tracks = self._tracks(one)
            new = [
                (number, u.replace(old, number) if old in u else "") if tracking_key(n) == parcel.key else (n, u)
                for n, u in tracks
            ]
            if new != tracks:
                steps.append(self._update(one, self._company(parcel), new))
        if not steps:
            raise Rejected(f"the order does not show {old} any more")
        shown, id = self._write(steps)
        return Receipt(parcel.id, id, confirmed=tracking_key(number) in shown)

    def explain(self, reply: Reply) -> Exception | None:
        return gql.explain(reply)

    # ---- the token --------------------------------------------------------------------------------------

    def access_token(self) -> str:
        return super().access_token() if "client_secret" in self.secrets else self.secret("access_token")

    def renew_access(self, stale: str) -> bool:
        return "client_secret" in self.secrets and super().renew_access(stale)

    def client(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        return {}, {"client_id": self.client_id, "client_secret": self.secret("client_secret")}

    def _refusal(self, reply: Reply) -> ShipfwdError:
        word = next((word for word in gql.TOKEN if word in reply.text), None)
        return AuthFailed(f"Shopify gives no token: {gql.TOKEN[word]}") if word else super()._refusal(reply)

    def _rights(self) -> Any:
        """Who we are and may, as Shopify says it. Raises ConfigError when a right is missing."""
        data = self._ask(gql.SCOPES, {})
        if self._lacking(data) and self._may_have_grown():
            data = self._ask(gql.SCOPES, {})
        if missing := self._lacking(data):
            raise ConfigError(f"the app may not {missing}. It needs {gql.RIGHTS}; {gql.RELEASE}")
        return data

    def _may_have_grown(self) -> bool:
        """True when there is a new token to try with; once a run."""
        first = self.purse.setdefault("tokens", 0.0) == 0.0
        self.purse["tokens"] = 1.0
        return first and self.renew_access(self.access_token())

    def _lacking(self, data: Any) -> str:
        rows = self.rows(data, "currentAppInstallation", "accessScopes")
        return gql.lacking({self.text(row, "handle") for row in rows})

    # ---- the order --------------------------------------------------------------------------------------

    def _find(self, order: str) -> list[str]:
        """Ids of the orders of this name; 1001 is also #1001 and the other way round, where only one of them is."""
        bare = order.removeprefix("#")
        words = " OR ".join(f"name:{gql.quoted(name)}" for name in (bare, f"#{bare}"))
        nodes = self.rows(self._ask(gql.FIND, {"words": words}), "orders", "nodes")
        named = [(self.text(node, "name"), self.text(node, "id")) for node in nodes]
        exact = [id for name, id in named if name == order]
        if not exact and len(named) >= gql.MOST_FOUND:
            raise Rejected(
                f"a search for '{order}' finds {len(named)} orders, and more; name the order as Shopify does"
            )
        return exact or [id for name, id in named if name.removeprefix("#") == bare]

    def _seen(self, id: str) -> Seen | None:
        order = self.field(self._ask(gql.STATE, {"id": id}), "order")
        if order is None:
            return None
        parts = self._pages(self.field(order, "fulfillmentOrders"), gql.STATE, id, "order", "fulfillmentOrders")
        if not parts:
            if self._may_have_grown():
                return self._seen(id)
            self._rights()
        ready = [part for part in parts if {"action": "CREATE_FULFILLMENT"} in self.rows(part, "supportedActions")]
        live = [one for one in self.rows(order, "fulfillments") if self.text(one, "status") not in DEAD]
        states = sorted({self.text(part, "status") for part in parts})
        state = self.text(order, "displayFulfillmentStatus")
        return Seen(
            numbers=tuple(number for one in live for number, _ in self._tracks(one)),
            sent=state == "FULFILLED",
            state=state,
            refusal=self._obstacle(order, parts, bool(ready)),
            more={"id": id, "parts": states, "ready": ready, "live": live, "stale": []},
        )
