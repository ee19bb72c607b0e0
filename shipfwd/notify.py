"""What needs a person, told once through Apprise: mail, chat, push. Never fails the run that it tells of.

The addresses hold secrets, so the config keeps a reference to them; see `vault.py`. Apprise is an extra
(`pip install 'shipfwd[notify]'`), imported only when there is something to tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from shipfwd.models import parse_stamp, stamp
from shipfwd.store import Store

KEPT = "notified"  # in the config table: what was told when, by its digest
AGAIN_AFTER = timedelta(hours=24)  # the same sentence once a day; the next run would tell it again
MOST = 20  # sentences of a digest; the rest is counted


def fresh(store: Store, sentences: Sequence[str], now: datetime) -> list[str]:
    """The sentences that were not told within a day. What was is remembered by `remember`, once it got through."""
    told = _told(store, now)
    return [one for one in dict.fromkeys(sentences) if _digest(one) not in told]


def remember(store: Store, sentences: Sequence[str], now: datetime) -> None:
    told = _told(store, now) | {_digest(one): stamp(now) for one in sentences}
    store.set_config(KEPT, json.dumps(told))


def _told(store: Store, now: datetime) -> dict[str, str]:
    try:
        kept: dict[str, str] = json.loads(store.config().get(KEPT, "{}"))
        return {key: at for key, at in kept.items() if now - AGAIN_AFTER < parse_stamp(at) <= now}
    except (ValueError, TypeError, AttributeError):
        return {}


def _digest(sentence: str) -> str:
    return hashlib.sha256(sentence.encode()).hexdigest()[:16]


def text(sentences: Sequence[str]) -> str:
    """The body of a digest."""
    lines = [f"- {one}" for one in sentences[:MOST]]
    if len(sentences) > MOST:
        lines.append(f"- and {len(sentences) - MOST} more: shipfwd status")
    return "\n".join(lines)


def send(addresses: str, title: str, body: str) -> str:
    """Send to all addresses (separated by commas or white space); what went wrong, or "". Never raises."""
    try:
        import logging
        import warnings

        import apprise
    except ImportError:
        return "notifications need Apprise: pip install 'shipfwd[notify]'"
    try:
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would print the addresses
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own business
            service = apprise.Apprise()
            if not service.add(addresses):
                return "Apprise does not understand an address there; see https://github.com/caronc/apprise/wiki"
            return "" if service.notify(body=body, title=title) else "an address did not take the message"
    except Exception as error:  # whatever its 130 plugins do, the run goes on
        return f"the message could not be sent ({type(error).__name__})"
