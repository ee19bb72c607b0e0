"""WooCommerce: shops that hold the number in a tracking plugin, in core's fulfillments, or in a meta field.

Source: https://woocommerce.github.io/woocommerce-rest-api-docs/, developer.woocommerce.com (fulfillments),
woocommerce.com and docs.zorem.com (the plugins), and what four local shops answered (WooCommerce 11.0.1 and 8.9.3,
AST 3.9.2, Shipment Tracking 2.3.1); read and tried 2026-11-23.
Quirks, each the reason for a line below:
- Nothing is idempotent but meta: a number sent twice stands there twice. Hence a look before every write.
- A plugin that is switched on need not offer its API: namespaces, not plugins, tell the mode. AST also registers
  the official plugin's namespace, so it is asked for first.
- The index is read without credentials: outside wc/… WordPress takes Basic for an application password.
- An order list leaves out states that a plugin hides from searches; what is missing there is asked for by id.
- A carrier that is not on the plugin's list is taken with 201 and shown as nothing. AST drops its name even when it
  is sent as custom, the link stays.
- AST's POST alone reads the order's id as an order number where a numbering plugin has one like it (AST's source,
  get_formated_order_id). Its answer's link names the order that got the number.
- AST reads dates by a setting of the shop, both plugins make today of what is no date: none is sent.
- `is_fulfilled` is true in one answer and "1" in the next: `status` is read. A PUT drops the meta it does not name.
- Hosts that strip the Authorization header make a stranger of a good key: 401 cannot_view. The query is tried then.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from shipfwd.errors import AuthFailed, ConfigError, NotReady, OrderNotFound, Rejected
from shipfwd.models import Line, Parcel, Receipt, Reply, Seen, Setting, tracking_key
from shipfwd.platforms._woo import (
    DAY,
    ITEMS,
    LATER,
    MODES,
    NUMBER,
    ORDER,
    ORDERS,
    OVER,
    PROVIDER,
    SLUGS,
    SPACES,
    STRANGER,
    UNPAID,
    bare,
    dicts,
    explain,
    joined,
    lines_of,
    metas,
    number_of,
)
from shipfwd.platforms._woo_trackings import Trackings


class _Repeat:
    """Doubles, but for a meta field. Why no property: asked of the class, it must give the careful word."""

    def __get__(self, shop: WooCommerce | None, owner: object = None) -> Any:
        return "harmless" if shop is not None and shop.known_mode == "meta" else "doubles"


class WooCommerce(Trackings):
    name = "woocommerce"
    title = "WooCommerce"
    source = "https://woocommerce.github.io/woocommerce-rest-api-docs/"
    read_on = "2026-11-23"
    where = "wp-admin > WooCommerce > Orders > {order}"
    settings = (
        Setting("base_url", "the shop's address, without /wp-json", url=True),
        Setting("mode", "where the number goes; auto asks the shop once a day", default="auto",
                choices=("auto", *MODES)),
        Setting("order_key", "what our orders are called by: the shop's id or its order number", default="id",
                choices=("id", "number")),
        Setting("shipped_status", "the order status that means sent", default="completed"),
        Setting("notify_buyer", "fulfillments only: mail the buyer about each parcel", default="false", flag=True),
        Setting("consumer_key", "WooCommerce > Settings > Advanced > REST API, read/write", secret=True),
        Setting("consumer_secret", "shown once beside the key", secret=True),
    )  # fmt: skip
    carriers = SLUGS
    other_carrier = "other"
    concurrency = 4  # every call runs the whole shop
    host_key = "base_url"  # what refuses calls is the shop's own server
    doubt_seconds = 120  # a busy shop works on after its client hung up
    status_transfer = "separate"
    sent_from = frozenset({"processing", "partial-shipped", "updated-tracking"})
    repeat = _Repeat()
    correct = "replace"

    # ---- what hangs on the mode; until that is known, what the plugins do -------------------------------

    @property
    def known_mode(self) -> str:
        return self.values["mode"] if self.values["mode"] != "auto" else self.cache.get("mode") or ""

    parcels_usual = "many"  # with a tracking plugin

    @property
    def parcels(self) -> str:  # type: ignore[override]
        return {"meta": "joined", "fulfillments": "items"}.get(self.known_mode, "many")

    @property
    def look_batch(self) -> int:  # type: ignore[override]
        return 1 if self.values["order_key"] == "number" or self.known_mode == "fulfillments" else 100

    def check(self) -> str:
        index, mode = self._index(), self.values["mode"]
        if index is not None and "wc/v3" not in self._list(self.field(index, "namespaces"), "namespaces"):
            raise ConfigError(
                "this is a WordPress whose plugin WooCommerce is missing or switched off; or base_url is another site's"
            )
        self.get(ORDERS, params={"per_page": "1", "_fields": "id"})
        if mode == "auto":
            self._detect(index)
        elif index is not None and not self._offers(index, mode):
            raise ConfigError(f"the shop does not offer {mode}; switch it on there, or choose --set mode=auto")
        home = self.values["base_url"] if index is None else self.field(index, "home")
        return re.sub("^https?://", "", str(home).lower()).rstrip("/")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        mode, seen = self._mode(), {}
        fields = {"_fields": "id,number,status,meta_data" + (",line_items" if mode == "fulfillments" else "")}
        ids = [order for order in orders if re.fullmatch("[1-9][0-9]{0,18}", order)]
        rows: dict[str, list[Any]] = {}
        if self.values["order_key"] == "number":
            for number in orders:
                rows[number] = [row for row in self._search(number, fields) if str(row.get("number")) == number]
        elif len(ids) > 1:
            listed = self.get(ORDERS, params={"include": ",".join(ids), "per_page": "100", **fields}).data
            rows = {self.text(row, "id"): [row] for row in self._list(listed, "orders")}
        for order in ids:
            if not rows.get(order) and (row := self._one(order, fields)):
                rows[order] = [row] if self.text(row, self.values["order_key"]) == order else []
        for order in orders:
            if len(found := rows.get(order, [])) == 1:
                seen[order] = self._seen(mode, found[0])
            elif found:
                two = f"{len(found)} orders have the number {order} at the shop; name the right one by its id by hand"
                seen[order] = Seen(refusal=Rejected(two))
        return seen

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        (parcel,) = parcels
        if seen.more["mode"] == "meta":
            return [self._to_meta(parcel, [*seen.numbers, parcel.tracking_number], seen)]
        if seen.more["mode"] == "fulfillments":
            return [self._to_fulfillments(parcel, seen)]
        return [self._add_tracking(parcel, seen)]

    def mark_sent(self, order: str, seen: Seen) -> None:
        """Setting the status it has mails nobody, so a repeat is harmless."""
        sent = {"status": self._shipped}
        reply = self.put(ORDER, seen.more["id"], params={"_fields": "id,status"}, json=sent, repeatable=True)
        if (now := self.field(reply.data, "status")) not in (*LATER, self._shipped):
            raise Rejected(f"the order stays in '{now}' at the shop though '{self._shipped}' was accepted")

    def contents(self, order: str, seen: Seen) -> Sequence[Line]:
        """Asked for where it is needed alone: for each line the shop looks up a product and its picture."""
        row = self.get(ORDER, seen.more["id"], params={"_fields": "id,line_items"}).data
        return lines_of(self, row, ())

    def pieces_left(self, order: str, seen: Seen, parcels: Sequence[Parcel]) -> int:
        if seen.more["mode"] == "fulfillments":  # whoever made them
            return sum(line.left for line in lines_of(self, seen.more["row"], seen.more["rows"]))
        return super().pieces_left(order, seen, parcels)

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        """The plugins have no update: the new one is added before the old one goes, so that one is always there."""
        old, mode = parcel.tracking_number, seen.more["mode"]
        new = replace(parcel, tracking_number=number, tracking_url=parcel.tracking_url.replace(old, number))
        if mode == "meta":
            kept = [one for one in seen.numbers if tracking_key(one) not in (parcel.key, new.key)]
            return self._to_meta(new, [*kept, number], seen)
        rows = [row for row in seen.more["rows"] if tracking_key(row["number"]) == parcel.key]
        if mode == "fulfillments":
            if not rows:
                raise Rejected(f"the order does not show {old} any more")
            given = {
                meta["key"]: meta.get("value")
                for meta in dicts(rows[0]["meta_data"])
                if isinstance(meta.get("key"), str)
            }
            given |= {NUMBER: number, **({"_tracking_url": new.tracking_url} if new.tracking_url else {})}
            given.pop("_date_fulfilled", None)
            return self._fulfill(new, given, seen, self.text(rows[0], "id"))
        receipt = Receipt(parcel.id) if seen.has(number) else self._add_tracking(new, seen)
        for row in rows:
            self._remove_tracking(mode, seen.more["id"], row["tracking_id"])
        return receipt

    # ---- hooks ------------------------------------------------------------------------------------------

    def headers(self) -> Mapping[str, str]:
        pair = f"{self.secret('consumer_key')}:{self.secret('consumer_secret')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def explain(self, reply: Reply) -> Exception | None:
        return explain(reply, self._shipped)

    def call(self, method: str, path: str, *parts: str, auth: bool = True, **options: Any) -> Reply:
        """Basic; where the header is lost on the way, the query from then on."""
        if not auth or self.cache.get("auth") != "query":
            try:
                return super().call(method, path, *parts, auth=auth, **options)
            except AuthFailed as error:
                if not auth or STRANGER not in str(error):
                    raise
        params = options.pop("params", ())
        keys = [(name, self.secret(name)) for name in ("consumer_key", "consumer_secret")]
        pairs = [*(params.items() if isinstance(params, Mapping) else params), *keys]
        reply = super().call(method, path, *parts, params=pairs, auth=False, **options)
        self.cache.put("auth", "query", 7 * DAY)
        return reply

    # ---- the mode ---------------------------------------------------------------------------------------

    def _mode(self) -> str:
        return self.known_mode or self._detect(self._index())

    def _index(self) -> Any:
        """What the shop says of itself; None where a security plugin keeps that from strangers."""
        params = {"_fields": "name,url,home,namespaces"}
        reply = self.get("/wp-json/", params=params, auth=False, accept=(401, 403))
        return reply.data if reply.status < 400 else None

    def _detect(self, index: Any) -> str:
        """The mode that the shop's routes allow, for a day. Raises ConfigError when a plugin's routes are gone.

        Why: while AST is being updated its routes are away, and numbers in a meta field would be seen by nobody.
        """
        if index is None:
            raise ConfigError("the shop hides its list of routes; say where numbers go: --set mode=ast (or another)")
        mode = next(mode for mode in MODES if self._offers(index, mode))
        before = self.cache.get("mode_before")
        if mode == "meta" and before not in (None, "meta"):
            raise ConfigError(
                f"the shop offered {before} and does not now; switch it on again, or choose --set mode=meta"
            )
        self.cache.put("mode", mode, DAY)
        self.cache.put("mode_before", mode, 400 * DAY)
        return mode

    def _offers(self, index: Any, mode: str) -> bool:
        if mode in SPACES:
            return SPACES[mode] in self._list(self.field(index, "namespaces"), "namespaces")
        if mode == "fulfillments":
            routes = self.table(self.get("/wp-json/wc/v3", params={"_fields": "routes"}).data, "routes")
            return any(re.search("/orders/.*/fulfillments$", str(path)) for path in routes)
        return True

    # ---- reading ----------------------------------------------------------------------------------------

    @property
    def _shipped(self) -> str:
        return self.values["shipped_status"].removeprefix("wc-")

    def _one(self, order: str, fields: Mapping[str, str]) -> Any:
        try:
            return self.get(ORDER, order, params=fields).data
        except OrderNotFound:
            return None

    def _seen(self, mode: str, row: Any) -> Seen:
        order, state, meta = self.count(row, "id"), self.text(row, "status"), self.field(row, "meta_data")
        more: dict[str, Any] = {"mode": mode, "id": str(order), "number": self.text(row, "number"), "row": row}
        if mode == "meta":
            more["providers"] = joined(metas(meta, PROVIDER))
            numbers = joined(metas(meta, NUMBER))
        elif mode == "fulfillments":
            answer = bare(self.get(ORDER + "/fulfillments", str(order)).data, "fulfillments")
            rows = [one for one in dicts(self._list(answer, "fulfillments")) if not one.get("date_deleted")]
            more["rows"] = [{**one, "number": number_of(one)} for one in rows]
            numbers = [one["number"] for one in more["rows"] if one["number"] and one.get("status") == "fulfilled"]
        else:
            rows = [one for items in metas(meta, ITEMS) for one in dicts(items) if one.get("tracking_id")]
            more["rows"] = [{**one, "number": self.text(one, "tracking_number", absent="")} for one in rows]
            numbers = [one["number"] for one in more["rows"] if one["number"]]
        refusal: Exception | None = None
        if state in OVER:
            refusal = Rejected(f"the order is '{state}' at the shop; nothing is sent for it")
        elif state in UNPAID:
            refusal = NotReady(f"the order is '{state}' at the shop, so not paid; it is sent once it is 'processing'")
        return Seen(
            numbers=tuple(numbers),
            sent=state in (*LATER, self._shipped),
            state=state,
            refusal=refusal,
            lines=lines_of(self, row, more["rows"]) if mode == "fulfillments" else (),
            more=more,
        )

    # ---- writing ----------------------------------------------------------------------------------------

    def _to_meta(self, parcel: Parcel, numbers: Sequence[str], seen: Seen) -> Receipt:
        seen.more["providers"].append(self._names(parcel)[0])  # for the next parcel of this order, too
        sent = {NUMBER: ", ".join(numbers), PROVIDER: ", ".join(dict.fromkeys(seen.more["providers"]))}
        body = {"meta_data": [{"key": key, "value": value} for key, value in sent.items()]}
        params = {"_fields": "id,status,meta_data"}
        reply = self.put(ORDER, seen.more["id"], params=params, json=body)
        there = joined(metas(self.field(reply.data, "meta_data"), NUMBER))
        return Receipt(parcel.id, confirmed=parcel.key in map(tracking_key, there))

    def _to_fulfillments(self, parcel: Parcel, seen: Seen) -> Receipt:
        code = self.carrier_code(parcel)
        items = [{"item_id": int(line.id), "qty": count} for line, count in self.parts(parcel, seen.lines)]
        given = {"_items": items, NUMBER: parcel.tracking_number, "_shipment_provider": code}
        if code == self.other_carrier:
            given["_provider_name"] = parcel.carrier_name
        if parcel.tracking_url:
            given["_tracking_url"] = parcel.tracking_url
        drafts = [row for row in seen.more["rows"] if tracking_key(row["number"]) == parcel.key]
        return self._fulfill(parcel, given, seen, self.text(drafts[0], "id") if drafts else "")

    def _fulfill(self, parcel: Parcel, given: Mapping[str, Any], seen: Seen, which: str) -> Receipt:
        """A new fulfillment, or all of an old one anew."""
        body = {"status": "fulfilled", "meta_data": [{"key": key, "value": value} for key, value in given.items()]}
        params = {"notify_customer": str(self.flag("notify_buyer")).lower()}
        path, parts = ORDER + "/fulfillments", [seen.more["id"]]
        if which:
            reply = self.put(path + "/{}", *parts, which, params=params, json=body)
        else:
            reply = self.post(path, *parts, params=params, json=body)
        made = bare(reply.data, "fulfillment")
        self.field(made, "meta_data")
        seen.more["rows"].append({**made, "number": number_of(made)})  # for `pieces_left` in this run
        shown = tracking_key(number_of(made)) == parcel.key and made.get("status") == "fulfilled"
        return Receipt(parcel.id, self.text(made, "id"), confirmed=shown)
