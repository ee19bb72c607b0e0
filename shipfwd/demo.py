"""`shipfwd demo`: the whole job against local stand-ins, in a temporary folder.

Every line that begins with $ is run for real, through the command line, with a database of its own; what follows is
its own output. Nothing outside the temporary folder is read or written.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from shipfwd.simulator.server import Simulator

# What a label program exports: semicolons, Polish headings, and a spreadsheet's damage in one line.
PARCELS = """\
Integracja;Numer zamówienia;Kurier;Numer przesyłki;Status zamówienia;Data nadania
;101;InPost;6200 2269 6408 4301 1945 8408;;{lately}
;102;InPost;6,20022E+23;;{lately}
;103;Kurier Rowerowy;KR-2026-0042;;{lately}
;104;DPD;0000123456789U;;{lately}
;105;InPost;620022696408430119458416;;{lately}
allegro-main;{lamp};DPD Polska;0000987654321X;Packed;{lately}
allegro-main;{vase};InPost;620022696408430119458424;Packed;{lately}
allegro-main;{clock};GLS;12345678901;Packed;{long_ago}
"""
LAMP, VASE, CLOCK = (f"a11e9000-0000-4000-8000-{place:012d}" for place in (1, 2, 3))
# order → the state in which the demo must leave its shipment
ENDS = {
    "101": "forwarded", "103": "blocked", "104": "failed", "105": "forwarded",
    LAMP: "forwarded", VASE: "waiting", CLOCK: "expired",
}  # fmt: skip
SECRETS = ("DEMO_ALLEGRO_SECRET", "DEMO_ALLEGRO_TOKEN", "DEMO_SHOP_KEY", "DEMO_SHOP_SECRET")
ZONE = ZoneInfo("Europe/Warsaw")  # shipfwd's own default
WIDTH = 120  # columns of a table where the output is no terminal
EXIT_WORDS = {1: "a person must look", 3: "configuration or credentials", 4: "passing trouble"}
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Stopped(Exception):
    """Ctrl-C came while a command ran."""


def play(say: Callable[[str], None]) -> int:
    """Run the demo; its exit code: 0, or 70 when it did not end as it must.

    say   gets each line that is the demo's own; the commands print to stdout, as they do for a person.
    """
    with tempfile.TemporaryDirectory(prefix="shipfwd-demo-") as folder, Simulator() as simulator:
        stage = Stage(say, simulator, Path(folder))
        with stage.set(), contextlib.suppress(Stopped):
            _acts(stage)
            return stage.end()
    return 130


def _acts(stage: Stage) -> None:
    say, run = stage.say, stage.run
    say("shipfwd demo: the whole job, against stand-ins of Allegro and of a WooCommerce shop on this machine.")
    say(f"Everything happens in {stage.folder}, which is deleted at the end; nothing of yours is touched.")

    stage.title("1. Register each sales channel. Secrets are named, never written down.")
    allegro, shop = stage.channels()
    run(f"integration add allegro-main --platform allegro {allegro} --trigger status:Shipped")
    run(f"integration add shop --platform woocommerce {shop}")
    run(f"integration add old-shop --platform woocommerce {shop} --disabled")
    run("integration check allegro-main shop")

    stage.title("2. Bring in today's parcels. The shop's go out at once; Allegro's wait for their order's status.")
    stage.write("parcels.csv", PARCELS)
    run("import parcels.csv -i shop --rejects rejected.csv")
    run("status")

    stage.title("3. An order is packed and handed over; the sweep that cron starts sends what is due.")
    run(f"order move {LAMP} --to Shipped -i allegro-main")
    run("sweep")

    stage.title("4. Did it work? Green is on, grey is off; for each parcel the date it arrived, or why it did not.")
    run("integration list")
    run("status")
    run(f"show {stage.shipment(LAMP)}")

    stage.title("5. What the channels have now")
    say(f"shop, order 101: {', '.join(stage.shop.numbers('101'))}; its state: {stage.shop.orders['101'].status}")
    say(f"allegro-main, order {LAMP}: {', '.join(stage.allegro.numbers(LAMP))}")
    say("shop, order 105, which had its number before: " + ", ".join(stage.shop.numbers("105")) + " (written once)")

    stage.title("Next")
    say("  shipfwd platforms                      what you can connect, and which settings it needs")
    say("  shipfwd integration add NAME …         connect your own shop or account")
    say("  shipfwd simulate                       stand-ins that stay, to rehearse against")
    say("  shipfwd schedule --emit cron           the line that sends at your times of day")


class Stage:
    """The stand-ins, the folder, and a command line that is shown before it is run."""

    def __init__(self, say: Callable[[str], None], simulator: Simulator, folder: Path) -> None:
        self.folder = folder
        self.allegro, self.shop = simulator.platform("allegro"), simulator.platform("woocommerce")
        self._db = folder / "shipfwd.db"
        self._say, self._out = say, Screen(sys.stdout)
        self.allegro.app_name = "shipfwd-demo"
        for order in (LAMP, VASE, CLOCK):
            self.allegro.add_order(order)
        for order in ("101", "102", "103", "105"):
            self.shop.add_order(order)
        self.shop.add_order("104", status="cancelled")
        self.shop.put("105", "620022696408430119458416")

    @contextlib.contextmanager
    def set(self) -> Iterator[None]:
        """The demo's folder and environment, for as long as it plays."""
        _, allegro = self.allegro.credentials()
        _, shop = self.shop.credentials()
        values = (allegro["client_secret"], allegro["refresh_token"], shop["consumer_key"], shop["consumer_secret"])
        here = "127.0.0.1"
        no_proxy = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), here)))
        changes = dict(zip(SECRETS, values, strict=True)) | {"no_proxy": no_proxy, "NO_PROXY": no_proxy}
        if not self._out.real:
            changes |= {"COLUMNS": str(WIDTH), "TERM": "xterm"}
        with environment(changes), contextlib.chdir(self.folder):
            yield

    def channels(self) -> tuple[str, str]:
        """Options of `integration add` that lead to the stand-ins."""
        settings, _ = self.allegro.credentials()
        client_secret, token, key, secret = SECRETS
        allegro = [f"--set {name}={value}" for name, value in settings.items()]
        allegro += [f"--secret client_secret=env:{client_secret}", f"--secret refresh_token=env:{token}"]
        shop = [f"--set base_url={self.shop.base_url}"]
        shop += [f"--secret consumer_key=env:{key}", f"--secret consumer_secret=env:{secret}"]
        return " ".join(allegro), " ".join(shop)

    def say(self, text: str) -> None:
        self._say(self._out.fit(text))

    def title(self, text: str) -> None:
        self.say("")
        self.say(text)

    def write(self, name: str, text: str) -> None:
        """Make a file in the folder, and show it."""
        now = datetime.now(ZONE)
        lately, long_ago = (f"{now - ago:%Y-%m-%d %H:%M}" for ago in (timedelta(hours=2), timedelta(days=5)))
        text = text.format(lamp=LAMP, vase=VASE, clock=CLOCK, lately=lately, long_ago=long_ago)
        (self.folder / name).write_text(text, encoding="utf-8")
        self.say(f"$ cat {name}")
        self.say(text.rstrip("\n"))

    def run(self, line: str) -> None:
        """Show a command, then run it."""
        self.say("")
        typed = textwrap.wrap(f"$ shipfwd {line}", WIDTH - 6, break_long_words=False, break_on_hyphens=False)
        self.say(" \\\n    ".join(typed))
        code = self._call(shlex.split(line), self._out)
        if code:
            self.say(f"(exit code {code}: {EXIT_WORDS.get(code, 'see shipfwd --help')})")

    def _call(self, arguments: Sequence[str], out: io.TextIOBase) -> int:
        from shipfwd.cli import cli

        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = cli.main(["--db", str(self._db), *arguments], prog_name="shipfwd", standalone_mode=False)
        if code == 130:
            raise Stopped
        return code or 0

    def rows(self) -> list[dict[str, Any]]:
        """What `status` says, for the demo itself."""
        out = io.StringIO()
        self._call(["status", "--format", "json"], out)
        rows: list[dict[str, Any]] = json.loads(out.getvalue())
        return rows

    def shipment(self, order: str) -> int:
        return next(row["id"] for row in self.rows() if row["order_id"] == order)

    def end(self) -> int:
        """0 when everything is where it must be."""
        ended = {row["order_id"]: row["state"] for row in self.rows()}
        wrong = [
            f"{order} is {ended.get(order)}, not {state}" for order, state in ENDS.items() if ended[order] != state
        ]
        for sentence in wrong:
            self.say(f"The demo went wrong, please report it: order {sentence}")
        return 70 if wrong else 0


class Screen(io.TextIOBase):
    """stdout as a terminal: where it is none, the same tables without colours."""

    def __init__(self, under: TextIO) -> None:
        self._under = under
        self.real = under.isatty()
        self._encoding = under.encoding or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._under.fileno()

    def fit(self, text: str) -> str:
        """Text that can be written there."""
        return (text if self.real else _ANSI.sub("", text)).encode(self._encoding, "replace").decode(self._encoding)

    def write(self, text: str) -> int:
        self._under.write(self.fit(text))
        return len(text)

    def flush(self) -> None:
        self._under.flush()


@contextlib.contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that are back to what they were afterwards."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
