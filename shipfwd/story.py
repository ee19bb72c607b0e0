"""`show ID`: a shipment's story in sentences: what happened, why it is so, what comes next, what a person can do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from shipfwd import carriers, schedule
from shipfwd.models import STAY_BLOCKED, parse_stamp
from shipfwd.settings import Config
from shipfwd.store.shared import Use
from shipfwd.views import clean, local

NAMED = 5  # other orders with the same number
SHORT = 160  # characters of a request or answer, unless all of it is wanted

# What a journal line says: (step, outcome) → sentence. {p} is the platform's title.
_SAID = {
    ("look", "adopted"): "the number stood there already; nothing was written",
    ("forward", "accepted"): "sent; {p} accepted the number",
    ("forward", "adopted"): "the number stood there already; nothing was written",
    ("look", "accepted"): "looked; {p} has the number",
    ("forward", "in doubt"): "sent, but the answer was lost",
    ("look", "in doubt"): "looked; still in doubt",
    ("forward", "again later"): "not sent yet",
    ("look", "again later"): "not sent yet",
    ("preflight", "blocked"): "blocked before anything was written",
    ("look", "failed"): "failed before anything was written",
    ("look", "blocked"): "blocked before anything was written",
    ("forward", "failed"): "{p} refused",
    ("forward", "blocked"): "blocked",
    ("forward", "taken back"): "taken back from a run that was killed",
    ("status", "marked as sent"): "{p} marked the order as sent",
    ("status", "done"): "{p} marked the order as sent",
    ("status", "wanted"): "marking the order as sent is tried again",
    ("status", "refused"): "{p} did not mark the order as sent",
    ("verify", "confirmed"): "looked; the number stands there: confirmed",
    ("verify", "missing"): "looked; the number is not there",
    ("correct", "replaced"): "the number was replaced",
    ("correct", "not replaced"): "the number was not replaced",
    ("correct", "left"): "the replacement left; its run ended before the answer",
    ("correct", "in doubt"): "the replacement was sent, but its answer was lost",
    ("person", "dropped"): "a person took it back: it is not sent",
    ("person", "forwarded"): "a person settled it: the number is there",
    ("person", "pending"): "a person settled it: the number is not there",
}


def tell(
    row: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    config: Config,
    now: datetime,
    title: str,
    whole: bool = False,
    uses: Sequence[Use] = (),
    read_back: bool = True,
) -> str:
    """The story, oldest first.

    row, lines   the shipment and its journal, as the store's `story` gives them.
    title        the platform's.
    whole        requests and answers in full length.
    uses         other orders that have the same number.
    read_back    False where the platform shows no numbers.
    """
    said = [*_head(row, title), *_elsewhere(uses), "", *_coming(row, config)]
    for _, attempt in groupby(lines, key=lambda line: (line["run_id"], line["step"] == "status")):
        said += _attempt(list(attempt), title, config, None if whole else SHORT)
    said += ["", *_now(row, config)]
    said += [f"Next: {sentence}" for sentence in _next(row, config, now, read_back)]
    can = list(_can(row))
    wide = max((len(line) for line, _ in can), default=0)
    said += ["You can:", *(f"  {line:{wide}}  {what}".rstrip() for line, what in can)] if can else []
    if not whole and any(len(line[name] or "") > SHORT for line in lines for name in ("request", "answer")):
        said += ["", f"Requests and answers are shortened; in full: shipfwd -v show {row['id']}"]
    return "\n".join(clean(line) for line in said)


def _head(row: Mapping[str, Any], title: str) -> Iterator[str]:
    carrier = carriers.name(row["carrier"]) or row["carrier"] or "no carrier given"
    yield (
        f"Shipment {row['id']}: {row['tracking_number']} ({carrier}) for order {row['order_id']} "
        f"of {row['integration']} ({title})"
    )
    if row["tracking_original"] != row["tracking_number"]:
        yield f"  It was given as {row['tracking_original']!r}."
    if url := row["tracking_url"] or carriers.tracking_url(row["carrier"], row["tracking_number"]):
        yield f"  Where the parcel is: {url}"
    if row["items"]:
        items = [f"{i['item_id'] or i['sku']} × {i['quantity'] or 'all'}" for i in json.loads(row["items"])]
        yield f"  It holds {', '.join(items)}."


def _elsewhere(uses: Sequence[Use]) -> Iterator[str]:
    if uses:
        orders = ", ".join(f"order {one.order_id} of {one.integration} (shipment {one.id})" for one in uses[:NAMED])
        more = f" and {len(uses) - NAMED} more" if len(uses) > NAMED else ""
        yield f"  The same number is on {orders}{more} too: right if they are in one parcel."


def _coming(row: Mapping[str, Any], config: Config) -> Iterator[str]:
    zone = config.zone
    yield f"{local(row['created_at'], zone)}     Shipped."
    yield f"{local(row['added_at'], zone)}     Came in with run {row['added_run']}."
    wanted = row["trigger"].partition(":")[2].strip()
    if row["due_at"]:
        why = f"its order was in '{wanted}'" if wanted else "it is sent as soon as it is created"
        yield f"{local(row['due_at'], zone)}     Became due: {why}."
    elif wanted and row["state"] == "pending":
        yield f"                     Waits for its order to reach '{wanted}'."


def _attempt(lines: list[Mapping[str, Any]], title: str, config: Config, most: int | None) -> Iterator[str]:
    """One run's doing: the short sentence first, then what was asked and answered."""
    words = [line for line in lines if not line["method"]] or lines[-1:]
    for line in words:
        yield f"{_when(words[0], config)}  {_sentence(line, title)}"
    answered = {(line["method"], line["url"]) for line in lines if line["outcome"] != "left"}
    for line in lines:
        if not line["method"] or line["outcome"] == "left" and (line["method"], line["url"]) in answered:
            continue
        end = f" → {line['status']}" if line["status"] else "" if line["outcome"] != "left" else " → no answer"
        notes = [] if line["outcome"] in ("answered", "left", "marked as sent", "done") else [line["outcome"]]
        notes += [line["detail"]] if line["status"] and line["detail"] and line["step"] in ("look", "forward") else []
        note = f" ({'; '.join(notes)})" if notes else ""
        yield f"    {line['method']} {line['url']}{end}{note}"
        for mark, name in ((">", "request"), ("<", "answer")):
            if text := line[name]:
                yield f"      {mark} {_short(text, most)}"


def _sentence(line: Mapping[str, Any], title: str) -> str:
    known = _SAID.get((line["step"], line["outcome"]))
    text = known.format(p=title) if known else f"{line['step']}, {line['outcome']}"
    detail = line["detail"] or ""
    end = "" if (detail or text).endswith((".", "!", ")")) else "."
    return f"{text[:1].upper()}{text[1:]}{': ' + detail if detail else ''}{end}"


def _when(line: Mapping[str, Any], config: Config) -> str:
    return parse_stamp(line["at"]).astimezone(config.zone).strftime("%Y-%m-%d %H:%M:%S")


def _short(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    return f"{text[:most]} … ({len(text):,} characters)"


def _now(row: Mapping[str, Any], config: Config) -> Iterator[str]:
    zone, state = config.zone, row["state"]
    if state == "forwarded":
        proof = f"seen there {local(row['confirmed_at'], zone)}" if row["confirmed_at"] else "not read back yet"
        yield f"Now: forwarded {local(row['forwarded_at'], zone)}, {proof}."
        if row["status_sent_at"]:
            yield f"     The order was marked as sent {local(row['status_sent_at'], zone)}."
        if row["reason"] and row["reason"] != "accepted, not read back yet":
            yield f"     {row['reason']}."
        return
    end = "" if str(row["reason"]).endswith((".", ")")) else "."
    yield f"Now: {state}" + (f": {row['reason']}{end}" if row["reason"] else ".")
    if row["in_doubt_since"]:
        lost = row["kind"] not in ("NotUnderstood", "Bug", "Correction")  # these may have been answered
        what = "its answer was lost" if lost else "nobody knows whether it was done"
        yield f"     In doubt since {local(row['in_doubt_since'], zone)}: a write left and {what}."


def _next(row: Mapping[str, Any], config: Config, now: datetime, read_back: bool) -> Iterator[str]:
    """What will happen without anybody's doing, and when."""
    state, zone = row["state"], config.zone
    slot = schedule.next_slots(now, config.times, zone, 1)[0]
    at, ends = schedule.local(slot, zone), parse_stamp(row["created_at"]) + config.window
    wanted = row["trigger"].partition(":")[2].strip()
    if state == "waiting":
        if not row["enabled"]:
            yield f"nothing, while forwarding is off; its window ends {schedule.local(ends, zone)}."
        elif ends < now:
            yield "the next run lets it expire; it is too old to be sent without your word."
        elif ends < slot:
            yield f"it expires: its window ends {schedule.local(ends, zone)}, and the next sweep is at {at}."
        else:
            many = schedule.next_slots(now, config.times, zone, _slots(ends - now, config))
            last = schedule.local([one for one in many if one <= ends][-1], zone)
            yield f"the sweep of {at} sends it if its order is in '{wanted}' then; the last one in time is at {last}."
    elif state == "pending":
        yield f"the sweep of {at} sends it" + ("." if wanted and not row["due_at"] else ", or any run before.")
    elif state == "retrying":
        if not row["next_attempt_at"]:
            yield "the next run asks the platform what it has."
            return
        what = "looked up" if row["in_doubt_since"] else "tried again"
        when = local(row["next_attempt_at"], zone)
        yield f"it is {what} by the first run after {when} (a full sweep comes at {at})."
    elif state == "sending":
        yield "a run holds it right now; look again in a minute."
    elif state == "forwarded":
        if not row["confirmed_at"] and read_back:
            yield f"a sweep reads it back, by {at} at the latest where the platform has answered by then."
        elif row["sent_state"] == "wanted":
            when = local(row["sent_next_at"], zone)
            yield "the order is marked as sent " + (f"by the first run after {when}." if when else "by a later run.")
        elif not row["confirmed_at"]:
            yield "nothing; the platform shows no numbers, so nobody can read it back."
        else:
            yield "nothing; it is done."
    elif state == "blocked" and row["kind"] not in STAY_BLOCKED:
        yield "each run examines it again, and sends it once what blocks it is gone."
    else:
        yield f"nothing, as long as nobody acts; {state} shipments stay so."


def _slots(left: timedelta, config: Config) -> int:
    """How many slots at most lie in that time."""
    return max(1, (left.days + 2) * len(config.times))


def _can(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a person can do: lines to copy, and what each does."""
    number, state = row["id"], row["state"]
    name, order = shlex.quote(row["integration"]), shlex.quote(row["order_id"])
    wanted = row["trigger"].partition(":")[2].strip()
    if state == "waiting" and row["enabled"] and not wanted:
        pass
    elif state == "waiting" and row["enabled"]:
        yield f"shipfwd order move {order} --to {shlex.quote(wanted)} -i {name}", "then the next sweep sends it"
    elif state == "waiting":
        yield f"shipfwd integration enable {name}", "switch forwarding on"
    if row["in_doubt_since"] or row["kind"] == "OutcomeUnknown" and state == "failed":
        yield f"shipfwd settle {number} --arrived", "or --not-arrived, once you looked there"
    elif state == "blocked" and row["kind"] == "CarrierNotAccepted" and row["carrier"]:
        yield f"shipfwd carriers map -i {name} {shlex.quote(row['carrier'])}=THEIRS", "say what they call the carrier"
    if state in ("waiting", "pending", "retrying", "failed", "blocked", "expired", "dropped"):
        what = "now, whatever it waits for"
        if row["in_doubt_since"]:
            what = "look there now; it is sent only if it is absent, and not while it may still arrive"
        if row["in_doubt_since"] and row["kind"] == "Correction":
            what = "look there now which number it has"
        yield f"shipfwd forward {number}", what
        if state != "dropped" and not row["in_doubt_since"]:
            yield f"shipfwd drop {number}", "never send it"
    elif state == "forwarded":
        yield f"shipfwd forward {number} --again", "look there, and send it only if it is absent"
        yield f"shipfwd correct {number} NEW-NUMBER", "where the platform can replace a number"
