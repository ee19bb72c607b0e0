"""contrib/drop-folder.sh: files are imported once, never lost, never read half."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "contrib" / "drop-folder.sh"
INPOST = "620022696408430119458408"
GOOD = f"order_id,tracking_number,carrier\n1,{INPOST},inpost\n"


class Drop:
    """A drop folder, and a shipfwd of which only the exit code and the calls are wanted."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.calls = tmp_path / "drop here", tmp_path / "calls"
        self.folder.mkdir()
        self._stand_in, self._env = tmp_path / "stand-in", dict(os.environ)
        self.ends_with(0)

    def ends_with(self, code: int) -> None:
        self._stand_in.write_text(f'#!/bin/sh\necho "$@" >> "{self.calls}"\nexit {code}\n')
        self._stand_in.chmod(0o755)

    def put(self, name: str, text: str = GOOD, minutes: float = 5) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        then = path.stat().st_mtime - 60 * minutes
        os.utime(path, (then, then))
        return path

    def run(self, *options: str, shipfwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["/bin/sh", str(SCRIPT), str(self.folder), *options]
        env = {**self._env, "SHIPFWD": str(shipfwd or self._stand_in), **env}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    def files(self) -> dict[str, list[str]]:
        """Folder → its files, without the time in front of their names."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name != ".lock":
                parent = path.parent.name if path.parent != self.folder else ""
                found.setdefault(parent, []).append(path.name.partition("Z-")[2] or path.name)
        return found

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def drop(tmp_path) -> Drop:
    return Drop(tmp_path)


@pytest.mark.parametrize(
    ("code", "where", "ends"),
    [
        (0, "done", 0),
        (1, "done", 1),
        (4, "done", 0),
        (2, "failed", 2),
        (3, "work", 3),
        (70, "work", 70),
        (130, "work", 130),
    ],
)
def test_a_file_goes_where_its_outcome_belongs(drop, code, where, ends):
    drop.put("parcels of today.csv")
    drop.ends_with(code)
    assert drop.run("-i", "shop").returncode == ends
    assert drop.files() == {where: ["parcels of today.csv"]}
    (call,) = drop.called
    assert call.startswith(f"-q import {drop.folder}/work/parcels of today.csv --rejects {drop.folder}/rejects/")
    assert call.endswith("parcels of today.csv -i shop")


def test_a_file_that_is_still_written_to_is_left_alone(drop):
    drop.put("growing.csv", minutes=0)
    drop.run()
    assert drop.files() == {"": ["growing.csv"]}
    assert drop.called == []


def test_what_a_killed_run_left_is_read_again(drop):
    drop.put("work/left.csv", minutes=0)
    drop.run()
    assert drop.files() == {"done": ["left.csv"]}


def test_a_second_file_of_the_same_name_waits_for_the_first(drop):
    drop.put("a.csv", "first")
    drop.ends_with(3)
    drop.run()
    drop.put("a.csv", "second")
    drop.run()
    assert drop.files() == {"": ["a.csv"], "work": ["a.csv"]}
    assert (drop.folder / "work" / "a.csv").read_text() == "first"
    drop.ends_with(0)
    drop.run()
    assert sum(len(names) for names in drop.files().values()) == 2


def test_two_runs_take_turns(drop):
    drop.put("a.csv")
    drop.run()
    drop.put("b.csv")
    with open(drop.folder / "work" / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert drop.run().returncode == 0
        assert drop.files()[""] == ["b.csv"]
    drop.run()
    assert drop.files() == {"done": ["a.csv", "b.csv"]}


def test_an_empty_file_is_said_once(drop):
    drop.put("empty.csv", "")
    said = drop.run()
    assert (said.returncode, said.stderr) == (2, "drop-folder: empty.csv is empty\n")
    assert drop.files() == {"failed": ["empty.csv"]}
    assert drop.run().stderr == ""


def test_a_good_one_goes_on_after_a_bad_one(drop):
    drop.put("a.csv", "")
    drop.put("b.csv")
    assert drop.run().returncode == 2
    assert drop.files() == {"done": ["b.csv"], "failed": ["a.csv"]}


def test_the_real_program_stores_it_and_rejects_come_back_mended(drop, shop):
    shop.add()
    here = {name: value for name, value in os.environ.items() if name.startswith(("SHIPFWD_DB", "T_SHOP"))}
    real = drop.folder.parent / "shipfwd"
    real.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from shipfwd.__main__ import main; main()" "$@"\n')
    real.chmod(0o755)
    drop.put("a.csv", GOOD + "2,6.2E+23,inpost\n")
    said = drop.run("-i", "shop", "--no-forward", shipfwd=real, **here)
    assert said.returncode == 1
    assert "its digits are lost" in said.stderr
    assert drop.files() == {"done": ["a.csv"], "rejects": ["a.csv"]}
    (rejects,) = (drop.folder / "rejects").iterdir()
    drop.put("mended.csv", rejects.read_text().replace("6.2E+23", INPOST[:-2] + "16"))
    assert drop.run("-i", "shop", "--no-forward", shipfwd=real, **here).returncode == 0
    assert set(shop.states()) == {"1", "2"}
