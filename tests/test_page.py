"""The status page: one file that asks nobody for anything, whatever stands in the rows."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from support import NOON, row

from shipfwd import page, views
from shipfwd.models import STATES

WARSAW = ZoneInfo("Europe/Warsaw")
HOSTILE = "</script><img src=x onerror=alert(1)><!--"
INTEGRATION = {
    "name": f"shop {HOSTILE}", "platform": "woocommerce", "forwarding": True, "trigger": "created",
    "status_transfer": "on", "last_success_at": None, "login_expires_at": None, "pending": 0, "failed": 0,
}  # fmt: skip


def made(n: int, **more: object) -> dict[str, object]:
    """A row as the store's `status` gives it."""
    return {
        "id": n, "integration": "shop", "order_id": f"A-{n}", "carrier": "dpd", "tracking_number": f"{n:013}U",
        "state": "forwarded", "reason": "", "created_at": "2026-11-23T08:00:00Z", "next_attempt_at": None,
        "forwarded_at": "2026-11-23T11:30:00Z", "confirmed_at": "2026-11-23T11:30:00Z", **more,
    }  # fmt: skip


def written(rows=(), integrations=(INTEGRATION,), notes=()) -> str:
    out = io.StringIO()
    page.write(out, rows, integrations, "Nothing is wrong.", False, NOON, WARSAW, notes)
    return out.getvalue()


class Parts(HTMLParser):
    """The elements of a page, the texts of its scripts and styles, and its shown words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag + (dict(attrs).get("id") or "")

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.raw[self._inside] = self.raw.get(self._inside, "") + data
        else:
            self.words.append(data)


def test_style_and_script_are_those_that_the_policy_names():
    parts = Parts(written([made(1)]))
    (policy,) = [attrs["content"] for tag, attrs in parts.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parts.raw[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_it_names_no_address_and_has_no_handler_of_its_own():
    parts = Parts(written([made(1)]))
    for tag, attrs in parts.tags:
        assert tag not in ("link", "img", "iframe", "object", "a", "base")
        assert not {name for name in attrs if name in ("src", "href", "style") or name.startswith("on")}, (tag, attrs)
    assert not re.search(r"fetch|XMLHttpRequest|import\(|WebSocket|innerHTML|document\.write|eval", parts.raw["script"])


@pytest.mark.parametrize("field", ["order_id", "carrier", "tracking_number", "integration", "reason"])
def test_whatever_a_row_holds_stays_text(field):
    plain = Parts(written([made(1)]))
    parts = Parts(written([made(1, **{field: HOSTILE}, state="failed")], notes=[HOSTILE]))
    assert [tag for tag, _ in parts.tags if tag in ("img", "script")] == ["script", "script"]
    assert len(parts.tags) <= len(plain.tags) + 2  # a <small> for the reason and the <li> of the note
    assert any(HOSTILE in words for words in parts.words)
    assert any(HOSTILE in str(cell) for cell in json.loads(parts.raw["scriptrows"])[0])


def test_marks_in_rows_are_not_filled_in():
    text = written([made(1, order_id="@SCRIPT@ @ROWS@ @STYLE@")])
    assert json.loads(Parts(text).raw["scriptrows"])[0][2] == "@SCRIPT@ @ROWS@ @STYLE@"


def test_the_sign_tells_the_date_of_transfer():
    parts = Parts(written([made(1), made(2, confirmed_at=None), made(3, state="failed", reason="no such order")]))
    titles = [attrs["title"] for tag, attrs in parts.tags if attrs.get("title")]
    assert titles == [
        "forwarded 2026-11-23 12:30; seen there 2026-11-23 12:30",
        "forwarded 2026-11-23 12:30; not read back yet",
        "failed 2026-11-23 12:30: no such order",
    ]


def test_without_scripts_the_newest_shipments_stand_in_it():
    parts = Parts(written(made(n) for n in range(500, 0, -1)))
    shown = [words for words in parts.words if re.fullmatch(r"A-\d+", words)]
    assert shown == [f"A-{n}" for n in range(500, 400, -1)]
    assert len(json.loads(parts.raw["scriptrows"])) == 500


def test_rows_are_written_as_they_come():
    given = 0

    def rows():
        nonlocal given
        for n in range(1000):
            given += 1
            yield made(n)

    lags: list[int] = []

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            lags.append(given)
            return super().write(text)

    page.write(Out(), rows(), [INTEGRATION], "", False, NOON, WARSAW)
    assert lags[0] == page.FIRST
    assert lags[-1] == 1000
    assert max(later - before for before, later in zip(lags, lags[1:], strict=False)) <= 1


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_box_and_a_colour_or_is_dim(state):
    text = written([made(1, state=state)])
    assert f'name="state" value="{state}"' in text
    assert state in ("pending",) or f".{state}" in text
    assert state in views.ICONS


def test_what_is_about_to_be_lost_has_a_place_of_its_own_only_when_there_is_something():
    assert '<section class="radar" hidden' in written()
    text = written(notes=["3 shipments leave"])
    assert '<section class="radar" aria' in text
    assert "<li>3 shipments leave</li>" in text


def test_the_command_writes_it_in_one_step(shop):
    shop.add()
    shop.run("add", "101", "620022696408430119458408", "-i", "shop", "--carrier", "inpost")
    file = shop.folder / "status.html"
    assert shop.run("status", "--format", "html", "--output", file).code == 0
    parts = Parts(file.read_text(encoding="utf-8"))
    assert json.loads(parts.raw["scriptrows"])[0][4] == "620022696408430119458408"
    assert [path.name for path in shop.folder.iterdir() if "status" in path.name] == ["status.html"]


def test_the_page_has_the_radars_sentences(shop, filled):
    allegro = filled.integration("allegro-main", "allegro", trigger="status:Shipped")
    filled.put(allegro, row("A-1", "620022696408430119458408", created_at=NOON))
    shop.clock.forward(hours=71, minutes=50)
    said = shop.run("--db", filled.path, "status", "--format", "html").out
    assert "1 shipment of allegro-main leaves its window before the next sweep" in said
