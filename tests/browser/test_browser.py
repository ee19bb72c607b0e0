"""The status page in a real browser: from file://, with every request counted and the console read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shipfwd import page as pages
from shipfwd.models import STATES

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SHOTS = os.environ.get("SHOTS")
HOSTILE = "</script><img src=x onerror=alert(1)>"
NOTE = "1 shipment of allegro-main leaves its window before the next sweep (at 2026-11-23 13:10): waits for 'Shipped'."
REASONS = {
    "failed": "the order is 'cancelled' at the shop; nothing is sent for it",
    "blocked": "WooCommerce has no name for carrier 'kurier-rowerowy'; name it: shipfwd carriers map -i shop …",
    "waiting": "waits for its order to reach 'Shipped'; it is in 'Packed'",
    "retrying": "the shop does not answer",
    "expired": "its order did not reach 'Shipped' within 72 hours",
}
INTEGRATIONS = [
    {
        "name": name, "platform": platform, "forwarding": on, "trigger": trigger, "status_transfer": transfer,
        "last_success_at": "2026-11-23T11:30:00Z", "login_expires_at": None, "pending": 2, "failed": 1,
    }
    for name, platform, on, trigger, transfer in (
        ("shop", "woocommerce", True, "created", "on"),
        ("allegro-main", "allegro", True, "status:Shipped", "off"),
        ("old-shop", "woocommerce", False, "created", "unavailable"),
    )
]  # fmt: skip


def rows(count: int):
    for n in range(count, 0, -1):
        state = STATES[n % len(STATES)]
        sent = f"2026-11-{n % 20 + 1:02}T11:30:00Z" if state == "forwarded" else None
        yield {
            "id": n, "integration": "shop" if n % 3 else "allegro-main", "carrier": ("inpost", "dpd", "gls")[n % 3],
            "order_id": HOSTILE if n == count else f"A-{(n * 7919) % 100003:06}",
            "tracking_number": f"6200226964084301{n:08}", "state": state, "reason": REASONS.get(state, ""),
            "created_at": "2026-11-23T08:00:00Z", "next_attempt_at": None, "forwarded_at": sent, "confirmed_at": sent,
        }  # fmt: skip


def write(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as out:
        fire = "Needs a person: 1 failed; 2 waiting. Next sweep 13:30."
        pages.write(out, rows(count), INTEGRATIONS, fire, True, NOON, ZoneInfo("Europe/Warsaw"), [NOTE])
    return path


@dataclass
class Open:
    """A page, and all that it said and asked for."""

    page: object
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def cells(self, column: int) -> list[str]:
        return self.page.locator(f"#shipments tbody tr td:nth-child({column})").all_inner_texts()

    @property
    def said(self) -> str:
        return self.page.locator("#said").inner_text()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("page") / "status.html", 360)


@pytest.fixture
def opened(browser, file):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    seen = Open(context.new_page())
    seen.page.on("console", lambda message: seen.console.append(message.text))
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.on("dialog", lambda dialog: (seen.console.append(f"dialog {dialog.message}"), dialog.dismiss()))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.route("**/*", lambda route: route.continue_() if route.request.url == file.as_uri() else route.abort())
    seen.page.goto(file.as_uri())
    yield seen
    # Whatever a test did: it said nothing, and asked nobody but for itself.
    assert seen.console == []
    assert seen.requests == [file.as_uri()]
    context.close()


def test_a_hostile_row_is_only_text(opened):
    assert opened.cells(4)[0] == HOSTILE
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("script").count() == 2


def test_the_sign_tells_the_date_of_transfer_when_pointed_at(opened):
    opened.page.locator("input[name=state][value=forwarded]").check()
    sign = opened.page.locator("#shipments tbody tr td.sign").first
    sign.hover()
    title = sign.get_attribute("title")
    assert title.startswith("forwarded 2026-11-")
    assert opened.page.evaluate("document.querySelector('td.sign:hover').title") == title
    assert sign.evaluate("element => getComputedStyle(element).color") == "rgb(20, 128, 60)"


def test_states_filter(opened):
    opened.page.locator("input[name=state][value=failed]").check()
    assert opened.said == "40 of 360 shipments, page 1 of 1"
    assert {text.split("\n")[0] for text in opened.cells(8)} == {"failed"}
    opened.page.locator("input[name=state][value=blocked]").check()
    assert opened.said.startswith("80 of 360")


def test_integrations_and_words_filter(opened):
    opened.page.locator("#integration").select_option("allegro-main")
    assert set(opened.cells(3)) == {"allegro-main"}
    opened.page.locator("#search").fill("NO NAME kurier")
    assert opened.said.startswith("0 of") or {"no name" in text for text in opened.cells(8)} == {True}
    opened.page.locator("#integration").select_option("")
    opened.page.locator("#search").fill("620022696408430100000123")
    assert opened.cells(2) == ["123"]


def test_headings_sort_both_ways_and_say_so(opened):
    heading = opened.page.get_by_role("columnheader", name="Order", exact=True)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    up = opened.cells(4)
    assert up == sorted(up)
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    down = opened.cells(4)
    assert down == sorted(down, reverse=True)
    assert opened.page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1


def test_the_keyboard_is_enough(opened):
    for _ in range(60):
        opened.page.keyboard.press("Tab")
        focused = opened.page.evaluate("document.activeElement.textContent")
        if focused.startswith("Order"):
            break
    outline = opened.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    opened.page.keyboard.press("Space")
    assert opened.page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"


def test_pages_turn(opened):
    first = opened.cells(2)
    assert opened.page.locator("#back").is_disabled()
    opened.page.locator("#on").click()
    assert opened.said == "360 of 360 shipments, page 2 of 4"
    assert set(opened.cells(2)).isdisjoint(first)


def test_without_scripts_it_is_still_a_page(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#shipments tbody tr").count() == 100
    assert not page.locator("#filters").is_visible()
    context.close()


def test_what_is_about_to_be_lost_stands_at_the_top(opened):
    assert opened.page.locator(".radar li").inner_text() == NOTE
    top = opened.page.locator(".radar").bounding_box()["y"]
    assert top < opened.page.locator("#integrations").bounding_box()["y"]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_but_the_tables_scrolls_sideways(browser, file, width):
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_on_a_telephone_all_of_a_shipment_is_seen_and_it_stays_a_table(browser, file):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(file.as_uri())
    row = page.get_by_role("table").nth(1).get_by_role("row").nth(1)
    assert row.get_by_role("cell").count() == 7  # when it was shipped is left out
    for name in (".number", ".tracking", ".why"):
        box = row.locator(name).last.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / "telephone.png", full_page=True)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_from_their_ground(browser, file, scheme):
    """WCAG AA: a contrast of 4.5 for every text that is shown. SHOTS=FOLDER keeps pictures of both."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(file.as_uri())
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{scheme}.png")
    worst = page.evaluate(
        """() => {
          const light = (text) => {
            const part = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map((c) => c / 255)
              .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
          };
          const ground = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" && element.parentElement ? ground(element.parentElement) : colour;
          };
          const found = [...document.querySelectorAll("td, td small, th button, p, li, label, legend, h1, h2")]
            .filter((one) => one.innerText && one.offsetParent).map((one) => {
              const a = light(getComputedStyle(one).color), b = light(ground(one));
              return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.innerText.slice(0, 30)];
            });
          return found.sort((a, b) => a[0] - b[0])[0];
        }"""
    )
    assert worst[0] >= 4.5, worst
    context.close()
