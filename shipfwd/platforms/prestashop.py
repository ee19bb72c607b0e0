"""PrestaShop 1.7, 8 and 9: shops with a Webservice that answers JSON and reads XML.

Source: https://devdocs.prestashop-project.org/8/webservice/, the core's source, and what a local shop (8.2.1) answered;
read and tried 2026-11-23. #N: github.com/PrestaShop/PrestaShop/issues.
Quirks, each the reason for a line below or in _presta.py:
- A PUT empties what it leaves out: weight, costs, invoice, date. PATCH keeps it, but came with 8.0 and is a right of
  its own: 405 without, and then the whole row is PUT.
- The id in the body wins over the address, and an order that does not exist is taken: both are of the row just read.
- One field a row, 64 characters; more is answered in full and stored cut. The newest row counts.
- Asked for JSON, an empty list is `[]`. In a filter brackets, | and a comma have a meaning and cannot be asked for.
- A reference may name several orders, one for each warehouse or carrier.
- A history line is added, and mailed, whatever state the order is in. An unknown state, like a module that breaks after
  the deed, is a 500 without a word.
- `sendemail` alone mails, not `sendmail` (#15147); then a repeat mails again. A mail that fails after the number was
  saved is a 500 with code 46.
- A shop that was once 1.6 has other states behind the ids from 11 up: what is unpaid, its flag tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shipfwd.errors import AuthFailed, NoRoom, NotReady, NotUnderstood, OrderNotFound, Rejected, UsageError
from shipfwd.models import Line, Parcel, Receipt, Seen, Setting, tracking_key
from shipfwd.platforms._presta import DAY, PAGE, Webservice, errors_of, parsed, told

FIELD = 64  # characters of a row's tracking_number
ROW = "/api/order_carriers/{}"
RIGHTS = {"orders": "get", "order_carriers": "get put", "order_states": "get", "order_histories": "post"}
ASKABLE = {"reference": r"[^\[\]|,%]+", "id": "[1-9][0-9]{0,9}"}
OVER = {"6": "cancelled", "7": "refunded"}
UNPAID = {"1": "awaiting a check", "8": "in payment error", "10": "awaiting a bank wire", "12": "on unpaid backorder"}


class PrestaShop(Webservice):
    name = "prestashop"
    title = "PrestaShop"
    source = "https://devdocs.prestashop-project.org/8/webservice/"
    read_on = "2026-11-23"
    where = "back office > Orders > {order} > Carriers"
    settings = (
        Setting("base_url", "the shop's address, without /api", url=True),
        Setting("order_key", "what our orders are called by: the shop's reference or its id", default="reference",
                choices=("reference", "id")),
        Setting("shipped_state", "id of the order status that means sent", default="4"),
        Setting("notify_buyer", "have the shop mail the number and the status", default="false", flag=True),
        Setting("api_key", f"32 characters, from {PAGE}", secret=True),
    )  # fmt: skip
    needs_carrier = False  # the row names the shop's own, which the buyer chose
    number_max = FIELD
    number_pattern = r"[A-Za-z0-9~:#%&_=()\[\].?+@/-]+"  # isTrackingNumber without the comma, which parts numbers here
    concurrency = 4
    host_key = "base_url"  # what refuses calls is the shop's own server
    look_batch = 50
    parcels = "joined"
    together = True
    repeat = "harmless"  # unless it mails
    doubt_seconds = 120  # PHP may work on after we hung up
    status_transfer = "separate"
    sent_from = frozenset({"2", "3", "9", "11", "12", "13"})
    correct = "replace"

    @classmethod
    def complete(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        if not re.fullmatch("[1-9][0-9]{0,9}", (state := settings.get("shipped_state", "4").strip())):
            raise UsageError(f"shipped_state is the number of an order status (4 by default), not '{state}'")

    def check(self) -> str:
        index = parsed(self.get("/api/", expect="text").text)
        nodes = {name: index.find(f"api/{name}") for name in RIGHTS}
        missing = [
            f"{method.upper()} {name}"
            for name, methods in RIGHTS.items()
            for method in methods.split()
            if nodes[name] is None or nodes[name].get(method) != "true"
        ]
        if missing:
            raise AuthFailed(f"the key lacks {', '.join(missing)}; tick it at {PAGE}")
        self._must_exist(self.values["shipped_state"])
        home = self.field(nodes["orders"].attrib, "{http://www.w3.org/1999/xlink}href")
        return re.sub("^https?://", "", str(home).lower()).removesuffix("/api/orders")

    def look(self, orders: Sequence[str]) -> Mapping[str, Seen]:
        key = self.values["order_key"]
        found: dict[str, list[Any]] = {order: [] for order in orders if re.fullmatch(ASKABLE[key], order)}
        for one in self._some("orders", key, list(found), "[id,reference,current_state]"):
            if (name := self.text(one, key)) in found:
                found[name].append(one)
        ids = [str(self.count(one, "id")) for ones in found.values() for one in ones]
        rows: dict[str, list[Any]] = {}
        for row in self._some("order_carriers", "id_order", ids, "full"):
            self.numbers_of(row)
            rows.setdefault(str(self.count(row, "id_order")), []).append(row)
        return {name: self._seen(name, ones, rows) for name, ones in found.items() if ones}

    def forward(self, order: str, parcels: Sequence[Parcel], seen: Seen) -> Sequence[Receipt]:
        row = seen.more["rows"][-1]
        numbers, refused = [self.text(row, "tracking_number", absent="")], {}
        for parcel in parcels:
            try:
                self._joined([*numbers, parcel.tracking_number])
                numbers.append(parcel.tracking_number)
            except NoRoom as error:
                refused[parcel.id] = error
        if len(refused) == len(parcels):
            raise refused[parcels[0].id]
        there = self._write(row, numbers)
        return [
            Receipt(one.id, str(row["id"]), confirmed=one.key in there, refusal=refused.get(one.id)) for one in parcels
        ]

    def replace(self, order: str, parcel: Parcel, number: str, seen: Seen) -> Receipt:
        """In the row that shows the old number; where none does any more, the new one joins the newest."""
        if not seen.more:
            raise OrderNotFound(f"the shop knows no order '{order}' any more")
        rows, new = seen.more["rows"], tracking_key(number)
        row = next((row for row in rows if parcel.key in map(tracking_key, self.numbers_of(row))), rows[-1])
        kept = [one for one in self.numbers_of(row) if tracking_key(one) != new]
        put = [number if tracking_key(one) == parcel.key else one for one in kept]
        there = self._write(row, put if number in put else [*put, number])
        return Receipt(parcel.id, str(row["id"]), confirmed=new in there)

    def mark_sent(self, order: str, seen: Seen) -> None:
        state = self.values["shipped_state"]
        self._must_exist(state)
        body = {"id_order": seen.more["id"], "id_order_state": state}
        reply = self._send("POST", "/api/order_histories", "order_history", body, accept=(500,))
        if reply.status != 500:
            if (now := self.text(reply.data, "order_history", "id_order_state")) != state:
                raise NotUnderstood(f"the shop wrote state {now} where {state} was asked for")
        elif not (seen := self.look([order]).get(order, seen)).sent:
            said = told(errors_of(reply)) or "without a word"
            raise Rejected(f"the shop broke off ({said}), the order stays in state {seen.state}; see the shop's log")

    def contents(self, order: str, seen: Seen) -> Sequence[Line]:
        """Of the one order, in full: a list of fields leaves its rows out."""
        rows = self.rows(self._some("orders", "id", [seen.more["id"]], "full"), 0, "associations", "order_rows")
        return tuple(
            Line(
                str(self.count(row, "id")),
                self.count(row, "product_quantity"),
                sku=self.text(row, "product_reference", absent=""),
            )
            for row in rows
        )

    def _seen(self, name: str, orders: Sequence[Any], rows: Mapping[str, list[Any]]) -> Seen:
        if len(orders) > 1:
            ids = ", ".join(self.text(one, "id") for one in orders)
            shared = f"{len(orders)} orders of the shop share the reference {name}, with the ids {ids}"
            return Seen(refusal=Rejected(f"{shared}; put the number on the right one by hand, or use order_key=id"))
        id, state = str(self.count(orders[0], "id")), self.text(orders[0], "current_state")
        own = sorted(rows.get(id, ()), key=lambda row: self.count(row, "id"))
        flags = self._states(state).get(state)
        refusal: Exception | None = None
        if state in OVER:
            refusal = Rejected(f"the order is {OVER[state]} at the shop; nothing is sent for it")
        elif not own:
            refusal = Rejected("the order has no carrier at the shop, so no place for a number; give it one there")
        elif flags is None:
            refusal = NotUnderstood(f"the order is in state {state}, which the shop itself does not list")
        elif state in UNPAID and "paid" not in flags:
            refusal = NotReady(f"the order is {UNPAID[state]} at the shop; it is sent once it is paid")
        return Seen(
            numbers=tuple(number for row in own for number in self.numbers_of(row)),
            sent=state == self.values["shipped_state"] or "shipped" in (flags or ()),
            state=state,
            refusal=refusal,
            more={"id": id, "rows": own},
        )

    def _joined(self, numbers: Sequence[str]) -> str:
        """The field's text. Raises NoRoom when it does not fit."""
        text = ",".join(filter(None, numbers))
        if len(text) > FIELD:
            raise NoRoom(f"the order's one field holds {FIELD} characters, '{text}' has {len(text)}")
        return text

    def _write(self, row: dict[str, Any], numbers: Sequence[str]) -> set[str]:
        """Put numbers into a row's field; the keys of those that it shows then."""
        text, id = self._joined(numbers), self.text(row, "id")
        whole = bool(self.cache.get("put"))
        if not whole:
            changes = {"id": id, "tracking_number": text}
            reply = self._send("PATCH", ROW, "order_carrier", changes, id, accept=(405, 501))
            if whole := reply.status in (405, 501):
                self.cache.put("put", True, 7 * DAY)
        if whole:
            reply = self._send("PUT", ROW, "order_carrier", {**row, "tracking_number": text}, id)
        return set(map(tracking_key, self.numbers_of(self.table(reply.data, "order_carrier"))))
