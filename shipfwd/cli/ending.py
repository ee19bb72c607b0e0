"""What a run says at its end: what a person must know, its counts, or what a dry run would have sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from shipfwd import views
from shipfwd.cli.app import App, nowhere
from shipfwd.errors import ConfigError

if TYPE_CHECKING:
    from shipfwd.assembly import Assembly
    from shipfwd.runs import Run

NAMED = 8  # shipments of one reason that are named; the others are counted
TELLING_SECONDS = 5.0  # how long a run waits for another one that is telling; told twice is better than never


def finish(
    app: App,
    run: Run,
    assembly: Assembly,
    form: str,
    counts: dict[str, int],
    shown: Rehearsal | None = None,
    nothing: str = "nothing was due",
) -> int:
    """Say what a run has to say; its exit code. Called inside the run, when the work is done."""
    run.shown = counts
    for sentence in run.tally.talk:
        app.say(sentence)
    if run.dry:
        for sentence in run.tally.told:
            app.complain(sentence)
        (shown or Rehearsal(app, run, form)).end()
        return run.tally.exit_code
    _tell(app, run, assembly)
    if form != "table" or not app.quiet:
        write_figures(app, run, lambda: views.emit_one(counts, form, app.out, nothing))
    return run.tally.exit_code


def write_figures(app: App, run: Run, write: Callable[[], None]) -> None:
    """Write a run's figures; where that cannot be, what the run did stays true, and so does its exit code."""
    try:
        write()
        app.out.flush()
    except BrokenPipeError:  # the reader has seen enough
        nowhere(app.out)
    except OSError as error:
        nowhere(app.out)
        app.complain(f"all is recorded, but the figures cannot be written: {error.strerror}; see: shipfwd status")
        run.tally.codes.add(3)


def _tell(app: App, run: Run, assembly: Assembly) -> None:
    """What needs a person, each thing once: it counts as told when the words are out, so that a kill repeats them.

    One run tells at a time, or two would say the same. Where stderr is broken nothing counts as told.
    """
    from shipfwd import sweeper
    from shipfwd.files import flocked, locks_folder

    with ExitStack() as turn:
        turn.enter_context(flocked(locks_folder(run.store.path) / "telling", seconds=TELLING_SECONDS))
        sweeper.warn(run, assembly, run.store.integrations())
        for sentence in run.tally.told:
            app.complain(sentence)
        if app.unheard:
            return
        if run.tally.told and assembly.config.text("notify"):
            _notify(app, run, assembly)
        run.tally.all_told()


def _notify(app: App, run: Run, assembly: Assembly) -> None:
    """One digest of what this run has to tell, of each problem once. What fails here is said, no more."""
    from shipfwd import notify
    from shipfwd.assembly import notify_addresses

    redact = app.redactor.redact
    if not (news := notify.fresh(run.store, [redact(one) for one in run.tally.told], run.clock())):
        return
    try:
        addresses = notify_addresses(assembly.config, app.redactor)
        trouble = notify.send(addresses, f"shipfwd: {len(news)} need a person", notify.text(news))
    except ConfigError as error:
        trouble = str(error)
    if trouble:
        app.say(f"nobody was notified: {trouble}")
    else:
        notify.remember(run.store, news, run.clock())


def say_outcomes(app: App, run: Run) -> None:
    """What became of shipments that a person sent, when it is not simply done; many with one reason together.

    There may be a million of them: of each reason the first few are kept, and their number.
    """
    if app.quiet:
        return
    from shipfwd import terminal

    zone, ids = app.config().zone, sorted(run.tally.touched)
    counts: Counter[tuple[str, ...]] = Counter()
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for start in range(0, len(ids), 500):
        for row in run.store.status(ids=ids[start : start + 500]):
            if row["state"] == "retrying":
                row["reason"] += f"; again {views.local(row['next_attempt_at'], zone)}"
            elif row["state"] not in ("failed", "blocked") or not row["told"]:  # what is new, `finish` tells
                continue
            group = terminal.group_of(row)
            counts[group] += 1
            if len(some := groups.setdefault(group, [])) < NAMED:
                some.append(row)
    for group, count in counts.most_common():
        first = groups[group][0]
        if count == 1:
            app.say(f"shipment {first['id']}: {first['state']}: {first['reason']}")
        else:
            named = ", ".join(str(row["id"]) for row in groups[group]) + (", …" if count > NAMED else "")
            app.say(f"{count} shipments ({named}): {first['state']}: {terminal.general(first)}")


class Rehearsal:
    """A dry run's answer on stdout: what would be sent, shipment by shipment, as it comes."""

    FIELDS = ("id", "what", "method", "url", "headers", "body", "curl")

    def __init__(self, app: App, run: Run, form: str) -> None:
        self._app, self._run, self._count = app, run, 0
        self._broken: OSError | None = None
        self._stream = views.Stream(self.FIELDS, form, app.out) if form != "table" else None
        run.show = self.show

    def show(self, lines: list[tuple[int, str, Any]]) -> None:
        """Called from any thread, by one at a time."""
        if self._broken is not None:
            return
        redactor = self._app.redactor
        masks = (redactor.redact_headers, redactor.redact, redactor.redact_url)
        try:
            for shipment_id, sentence, request in sorted(lines, key=lambda line: line[0]):
                self._count += 1
                if self._stream is not None:
                    self._stream.rows([{"id": shipment_id, "what": sentence, **views.request_row(request, *masks)}])
                    continue
                self._app.out.write(f"shipment {shipment_id}: {views.clean(sentence)}\n")
                if request is not None:
                    text = views.request_text(request, *masks)
                    self._app.out.write("".join(f"  {line}\n" for line in text.split("\n")))
        except OSError as error:  # the reader has seen enough
            self._broken = error
            self._run.stop()

    def end(self) -> None:
        self.show(self._run.tally.rehearsed)
        if self._broken is not None:
            raise self._broken
        if self._stream is not None:
            self._stream.end()
        elif not self._count:
            self._app.say("nothing is due")
