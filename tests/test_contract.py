"""The contract that every platform keeps, from its data file (tests/platforms/README.md says what stands there)."""

from __future__ import annotations

import pytest
import requests
import urllib3
from contract import FOLDER, Player, Stage, is_write, platform_of, play, sheet

from shipfwd import carriers, platforms
from shipfwd.platforms.base import Platform
from shipfwd.simulator import names as simulator_names

NAMES = [name for name in platforms.names() if (FOLDER / f"{name}.json").exists()]
NEEDED = {
    "check_ok", "bad_credentials", "forward_ok", "already_there", "different_number", "unknown_order",
    "cancelled_order", "carrier_refused", "two_parcels", "lost_answer_found", "lost_answer_absent",
}  # fmt: skip
CASES = [(name, case) for name in NAMES for case in sheet(name)["cases"]]
UNREACHABLE = requests.ConnectTimeout(
    urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.ConnectTimeoutError(None, "no answer"))
)
CUT = requests.ConnectionError(
    urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))
)
HTML = "<!doctype html><title>maintenance</title>"
# fault → (what happens instead of the scripted answer,
#          state and exit code at a read, at a write, at the status step)
DOUBT, LATER, FAILED, REST = ("retrying", 4, True), ("retrying", 4, False), ("failed", 1, False), ("pending", 3, False)
ODD = ("failed", 1, True)  # well-formed and not what was promised: a person must look, and the number may be there
FAULTS = {
    "unreachable": (UNREACHABLE, LATER, LATER, 4),
    "cut off": (CUT, LATER, DOUBT, 4),
    "silent": (requests.ReadTimeout("read timed out"), LATER, DOUBT, 4),
    "429": ((429, {"Retry-After": "7"}, "{}"), LATER, LATER, 4),
    "502 html": ((502, {}, HTML), LATER, DOUBT, 4),
    "401": ((401, {}, "{}"), REST, REST, 3),
    "200 html": ((200, {"Content-Type": "text/html"}, HTML), LATER, DOUBT, 4),
    "200 {}": ((200, {}, "{}"), FAILED, ODD, 1),
    "200 []": ((200, {}, "[]"), FAILED, ODD, 1),
    "redirect": ((302, {"Location": "https://elsewhere.test/login"}, ""), REST, REST, 3),
}  # fmt: skip
STEPS = [
    (name, case, step, fault)
    for name in NAMES
    for case in ("forward_ok", "status_transfer")
    if case in sheet(name)["cases"]
    for step in range(len(sheet(name)["cases"][case]["talk"]))
    for fault in FAULTS
]


def test_every_platform_has_its_data_file_and_its_stand_in_and_its_page():
    files = {path.stem for path in FOLDER.glob("*.json")}
    assert set(platforms.names()) == files
    assert set(platforms.names()) <= set(simulator_names())
    missing = [name for name in platforms.names() if not (FOLDER.parent.parent / "docs" / f"{name}.md").exists()]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_declares_itself(name):
    data = sheet(name)
    cls = platform_of(name, data)
    assert cls.name == name and cls.title and cls.source.startswith("https://")
    assert len(cls.read_on) == 10 and cls.read_on[:2] == "20"
    if isinstance(cls.carriers, dict):
        assert set(cls.carriers) <= set(carriers.NAMES)
    assert data["from"]
    assert all(str(value).startswith("SECRET-") for value in data["secrets"].values())
    needed = set(NEEDED)
    if cls.status_transfer == "separate":
        needed |= {"status_transfer", "status_not_lowered"}
    if any(one.name == "refresh_token" for one in cls.settings):
        needed.add("login_ok")
    if cls.correct is not None:
        needed.add("correct_ok")
    if cls.proof == "read":
        needed.add("read_back")
    without = data.get("without", {})
    assert all(len(reason) > 10 for reason in without.values())
    assert needed <= set(data["cases"]) | set(without)


@pytest.fixture
def staged(tmp_path, monkeypatch):
    """Sets the stage for a case; takes it down when the test is over."""
    made = []

    def stage(data, name, case):
        made.append(Stage(tmp_path, data, name, case, monkeypatch))
        return made[-1]

    yield stage
    for one in made:
        one.store.close()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_case(name, case, staged):
    data = sheet(name)
    wanted = data["cases"][case]
    stage, player = staged(data, name, wanted), Player(data, wanted)
    out = play(stage, player)
    assert not player.problems
    unasked = [f"{step['method']} {step['path']}" for step in player.talk[player.at :]]
    assert not unasked
    expected = wanted.get("expect", {})
    each = expected if isinstance(expected, list) else [expected] * len(out["rows"])
    for row, one in zip(out["rows"], each, strict=True):
        shown = {
            "state": row["state"],
            "remote_id": row["remote_id"],
            "confirmed": row["confirmed_at"] is not None,
            "status_sent": row["status_sent_at"] is not None,
            "adopted": row["id"] in out["adopted"],
            "in_doubt": row["in_doubt_since"] is not None,
            "tracking_number": row["tracking_number"],
        }
        compared = [key for key in one if key in shown]
        assert {key: shown[key] for key in compared} == {key: one[key] for key in compared}, row["reason"]
        assert one.get("reason", "") in row["reason"]
        assert set(one) <= {*shown, "reason"}
    assert out["exit"] == wanted.get("exit", 0), stage.run.tally
    assert out["identity"] == wanted.get("identity")
    if "verdicts" in wanted:
        assert out["verdicts"] == wanted["verdicts"]
    assert wanted.get("told", "") in "\n".join([*stage.run.tally.told, *stage.run.tally.talk, *stage.told])
    assert "SECRET-" not in stage.everything_said()


@pytest.mark.parametrize(("name", "case", "step", "fault"), STEPS)
def test_every_fault_at_every_step(name, case, step, fault, staged, caplog):
    data = sheet(name)
    wanted = data["cases"][case]
    talk = wanted["talk"]
    broken, at_read, at_write, at_status = FAULTS[fault]
    stage, player = staged(data, name, wanted), Player(data, wanted, step, broken)
    out = play(stage, player)
    assert not player.problems
    writes = [n for n, one in enumerate(talk) if is_write(one)]
    (row,) = out["rows"]
    platform = platform_of(name, data)
    repeat = data.get("repeat", platform.repeat)
    marking = step > writes[0] and platform.status_transfer == "separate"
    said = f"{row['state']}: {row['reason']} {stage.run.tally}"
    if marking:
        assert row["state"] == "forwarded", said
        assert row["status_sent_at"] is None, said
        assert out["exit"] == at_status, said
    else:
        state, code, doubt = at_write if step == writes[0] else at_read
        if at_read is FAILED and talk[step]["path"].endswith("/token"):
            state, code, doubt = REST  # nobody can log in: that is no shipment's fault
        if repeat == "harmless" and at_write is ODD and step == writes[0]:
            doubt = name == "mirakl"  # repeat hangs on the account there, and this one may split
        if doubt and not platform.read_back and platform.arrived is Platform.arrived:
            state, code = "failed", 1
        assert (row["state"], out["exit"]) == (state, code), said
        assert (row["in_doubt_since"] is not None) == doubt, said
        if not talk[step].get("repeats") and fault not in ("429", "unreachable") and repeat == "doubles":
            assert player.writes <= 1 + (fault == "401" and step == writes[0]), (
                "a write that may have arrived left twice"
            )
    assert "SECRET-" not in stage.everything_said() + caplog.text
