"""Private files, atomic writes and locks."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shipfwd.errors import ConfigError
from shipfwd.files import (
    atomic_write,
    flocked,
    is_network_file_system,
    private_dir,
    private_file,
    refuse_shared,
)

UMASKS = [0o000, 0o022, 0o077, 0o377]


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", UMASKS)
def test_a_private_file_is_0600_whatever_the_umask(tmp_path, umask, bits):
    umask(bits)
    os.close(private_file(tmp_path / "a"))
    atomic_write(tmp_path / "b", b"x")
    assert mode(tmp_path / "a") == mode(tmp_path / "b") == 0o600


def test_a_private_file_that_is_there_keeps_its_mode_and_content(tmp_path):
    path = tmp_path / "a"
    path.write_text("kept")
    path.chmod(0o640)
    os.close(private_file(path))
    assert (mode(path), path.read_text()) == (0o640, "kept")


def test_a_private_file_behind_a_dangling_link_is_made(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.close(private_file(tmp_path / "link"))
    assert mode(tmp_path / "target") == 0o600


def test_a_private_file_that_cannot_be_opened_is_a_configuration_error_naming_it(tmp_path):
    with pytest.raises(ConfigError, match="cannot open .*/no/file: No such file"):
        private_file(tmp_path / "no" / "file")


@pytest.mark.parametrize("bits", UMASKS)
def test_private_folders_are_0700_and_folders_already_there_keep_theirs(tmp_path, umask, bits):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    umask(bits)
    private_dir(shared / "a" / "b")
    private_dir(shared / "a" / "b")
    assert [mode(shared), mode(shared / "a"), mode(shared / "a" / "b")] == [0o755, 0o700, 0o700]


def test_a_folder_in_the_place_of_a_file_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        private_dir(tmp_path / "file" / "inside")


@pytest.mark.parametrize(("bits", "wanted"), [(0o022, 0o644), (0o027, 0o640)])
def test_an_atomic_write_without_a_mode_follows_the_umask(tmp_path, umask, bits, wanted):
    umask(bits)
    atomic_write(tmp_path / "report", b"x", None)
    assert mode(tmp_path / "report") == wanted


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    before = path.stat().st_ino
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["a"]


def test_an_atomic_write_that_fails_keeps_the_old_content_and_leaves_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="cannot write .*No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_atomic_write_syncs_the_file_and_then_its_folder(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    atomic_write(tmp_path / "a", b"x")
    assert synced == [False, True]


def test_an_atomic_write_keeps_a_symbolic_link_pointing(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")
    atomic_write(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"x"


def test_an_atomic_write_to_a_device_writes_into_it():
    atomic_write("/dev/null", b"x")
    assert Path("/dev/null").is_char_device()


def test_only_a_writer_that_is_alone_deletes_what_killed_ones_left(tmp_path):
    for name in (".a.1234.tmp", ".ab.1234.tmp", "a.tmp"):
        (tmp_path / name).write_text("")
    atomic_write(tmp_path / "a", b"x")
    assert len(os.listdir(tmp_path)) == 4
    atomic_write(tmp_path / "a", b"x", alone=True)
    assert sorted(os.listdir(tmp_path)) == [".ab.1234.tmp", "a", "a.tmp"]


@pytest.mark.parametrize(("bits", "refused"), [(0o600, False), (0o400, False), (0o640, True), (0o602, True)])
def test_a_file_that_others_may_use_is_refused_with_the_command_that_helps(bits, refused):
    if not refused:
        refuse_shared("/a b", bits)
        return
    with pytest.raises(ConfigError, match=f"mode {bits:04o}.*chmod 600 '/a b'"):
        refuse_shared("/a b", bits)


def test_a_lock_excludes_others_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    with flocked(path) as held:
        assert held is not None
        with flocked(path, blocking=False) as other:
            assert other is None
    with flocked(path, blocking=False) as again:
        assert again is not None
    assert mode(path) == 0o600


def test_shared_locks_go_together_and_exclude_an_exclusive_one(tmp_path):
    path = tmp_path / "lock"
    with flocked(path, exclusive=False), flocked(path, exclusive=False, blocking=False) as second:
        assert second is not None
        with flocked(path, blocking=False) as third:
            assert third is None


def test_a_bounded_wait_ends_empty_handed(tmp_path):
    with flocked(tmp_path / "lock"), flocked(tmp_path / "lock", seconds=0.02) as late:
        assert late is None


@pytest.mark.parametrize("seconds", [None, 5])
def test_who_waits_gets_the_lock_when_it_becomes_free(tmp_path, seconds):
    path, got = tmp_path / "lock", []

    def wait():
        with flocked(path, seconds=seconds) as fd:
            got.append(fd)

    with flocked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got
    thread.join(5)
    assert got
    assert got[0] is not None


def test_the_descriptor_reads_and_writes_the_locked_file(tmp_path):
    with flocked(tmp_path / "clock") as fd:
        os.write(fd, b"17")
    with flocked(tmp_path / "clock") as fd:
        assert os.read(fd, 10) == b"17"


def test_a_lock_on_a_deleted_file_is_not_mistaken_for_the_lock(tmp_path):
    path, got = tmp_path / "lock", threading.Event()

    def wait():
        with flocked(path):
            got.set()
            assert path.exists()

    with flocked(path):
        thread = threading.Thread(target=wait)
        thread.start()
        path.unlink()
    thread.join(5)
    assert got.is_set()
    assert path.exists()


def test_a_killed_holder_frees_the_lock(tmp_path):
    code = "import sys, shipfwd.files as f\nwith f.flocked(sys.argv[1]): print('held', flush=True), sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        with flocked(tmp_path / "lock", blocking=False) as fd:
            assert fd is None
        process.send_signal(signal.SIGKILL)
        with flocked(tmp_path / "lock", seconds=5) as fd:
            assert fd is not None


def test_no_descriptor_is_left_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    with flocked(tmp_path / "lock"), flocked(tmp_path / "lock", blocking=False):
        pass
    atomic_write(tmp_path / "a", b"x")
    assert os.listdir("/proc/self/fd") == before


MOUNTS = """\
/dev/vda / ext4 rw 0 0
nas:/export /mnt/nas nfs4 rw 0 0
/dev/vdb /mnt/nas/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
systemd-1 /auto autofs rw 0 0
nas:/auto /auto nfs rw 0 0
host /vm 9p rw 0 0
me@host: /home/me/remote fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/shipfwd.db", None),
        ("/mnt/nas/shipfwd.db", "nfs4"),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nasty/shipfwd.db", None),
        ("/mnt/nas/local/shipfwd.db", None),
        ("/mnt/my share/x/y", "cifs"),
        ("/auto/x", "nfs"),
        ("/vm/x", None),
        ("/home/me/remote/x", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_known_by_the_mount_that_a_path_lies_on(tmp_path, path, kind):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert is_network_file_system(path, str(tmp_path / "mounts")) == kind


def test_without_a_table_of_mounts_nothing_is_said(tmp_path):
    assert is_network_file_system("/x", str(tmp_path / "none")) is None
    assert is_network_file_system(tmp_path) is None
