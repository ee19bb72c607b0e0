"""Files that only their owner may read, that survive a power cut, and that processes lock against each other.

Every OSError becomes a ConfigError (exit 3) whose sentence names the path. POSIX; one host.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from shipfwd.errors import ConfigError, StoreFailed

# File systems on which flock and SQLite's shared memory do not hold between hosts, as /proc/self/mounts names
# them. 9p and virtiofs are left out: virtual machines use them for folders of their own host.
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "lustre",
            "fuse.sshfs", "fuse.s3fs", "fuse.rclone")  # fmt: skip


_RAN_OUT = {
    errno.EMFILE: "too many files are open in one process; raise the limit: ulimit -n 1024",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOSPC: "the disk is full; make room and run again",
    errno.EDQUOT: "the disk quota is used up; make room and run again",
    errno.EFBIG: "a file has reached the size that is allowed; raise the limit: ulimit -f unlimited",
    errno.ENOMEM: "there is no memory left",
    errno.EIO: "the disk answers with errors",
    errno.EROFS: "the disk is read-only",
}


_NO_THREAD = "can't start new thread"


def ran_out(error: BaseException) -> StoreFailed | None:
    """What the machine has no more of, as a sentence; None for any other error."""
    if isinstance(error, OSError) and error.errno in _RAN_OUT:
        return StoreFailed(_RAN_OUT[error.errno])
    # Python has no class of its own for the second and third.
    if isinstance(error, MemoryError) or any(words in str(error) for words in (_NO_THREAD, "failed to map segment")):
        return StoreFailed("there is no memory left, or no further thread is allowed; raise the limit: ulimit -v, -u")
    return None


def as_many(threads: Sequence[threading.Thread]) -> list[threading.Thread]:
    """Start threads, as many as the machine allows; those."""
    started = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError:
            break
        started.append(thread)
    return started


def private_file(path: str | Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file and return its descriptor; what is created gets mode 0600 whatever the umask.

    The mode of a file that is already there stays: it is its owner's choice.
    """
    try:
        if flags & os.O_CREAT:
            try:
                fd = os.open(path, flags | os.O_EXCL, 0o600)
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise
            else:
                os.fchmod(fd, 0o600)
                return fd
        return os.open(path, flags, 0o600)
    except PermissionError:
        raise ConfigError(f"cannot open {path}: another user's, or read-only; run shipfwd as its owner") from None
    except OSError as error:
        raise ConfigError(f"cannot open {path}: {error.strerror}") from None


def refuse_shared(path: str | Path, mode: int, bits: int = 0o077) -> None:
    """Raise ConfigError with the command that helps when a file's mode has any of the bits."""
    if mode & bits:
        from shlex import quote

        what = f"other users have access to {path} (mode {stat.S_IMODE(mode):04o})"
        raise ConfigError(f"{what}; as its owner run: chmod 600 {quote(str(path))}")


def private_dir(path: str | Path) -> Path:
    """Make a folder and its missing parents, each 0700 whatever the umask; those already there stay as they are."""
    path = Path(path)
    try:
        for folder in (*reversed(path.parents), path):
            try:
                os.mkdir(folder, 0o700)
            except OSError:
                if not folder.is_dir():  # "exists" is the usual error, but "/" may say "read-only" instead
                    raise
            else:
                os.chmod(folder, 0o700)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {path}: {error.strerror}") from None
    return path


def atomic_write(path: str | Path, data: bytes, mode: int | None = 0o600, *, alone: bool = False) -> None:
    """Replace a file's content in one step: a reader sees the old or the new, and so does a power cut.

    mode    of the new file whatever the umask; None: 0666 less the umask.
    alone   the caller excludes other writers: what killed ones left behind beside it is deleted too.
    A symbolic link keeps pointing; an owner other than us keeps the file (sudo); what is no regular file
    (/dev/stdout, a pipe) is simply written to.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            Path(path).write_bytes(data)
            return
        target = os.path.realpath(path)
        folder, name = os.path.split(target)
        temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}.tmp")
        if alone:
            for other in os.listdir(folder):
                if other.startswith(f".{name}.") and other.endswith(".tmp"):
                    os.unlink(os.path.join(folder, other))
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
            with open(fd, "wb") as file:
                if mode is not None:
                    os.fchmod(fd, mode)
                _keep_owner(fd, target)
                file.write(data)
                file.flush()
                os.fsync(fd)
            os.replace(temporary, target)
        except BaseException:
            try:
                os.unlink(temporary)
            except OSError:
                pass
            raise
        _sync_folder(folder)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def replacing(path: str | Path) -> Iterator[IO[str]]:
    """A text file to write that takes the place of `path` when all is written; its rights follow the umask.

    A reader sees the old or the new. What is no regular file (/dev/stdout, a pipe) is simply written to.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "w", encoding="utf-8", newline="") as plain:
                yield plain
            return
        target = os.path.realpath(path)
        temporary = f"{target}.{os.urandom(6).hex()}.tmp"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with open(fd, "w", encoding="utf-8", newline="") as file:
                _keep_owner(fd, target)
                yield file
            os.replace(temporary, target)
        except BaseException:
            try:
                os.unlink(temporary)
            except OSError:
                pass
            raise
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: str | Path, error: OSError) -> ConfigError:
    folder = Path(path).absolute().parent
    why = f"there is no folder {folder}" if isinstance(error, FileNotFoundError) else str(error.strerror)
    return ConfigError(f"cannot write {path}: {why}")


def _keep_owner(fd: int, target: str) -> None:
    """Root (sudo) must not take a file away from the user who runs the sweeps."""
    try:
        there = os.stat(target)
        if there.st_uid != os.geteuid():
            os.fchown(fd, there.st_uid, there.st_gid)
    except (FileNotFoundError, PermissionError):
        pass


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def flocked(
    path: str | Path, exclusive: bool = True, blocking: bool = True, *, seconds: float | None = None
) -> Iterator[int | None]:
    """Hold the kernel's lock on a file, made 0600 when missing; yields its descriptor, or None when it is busy.

    blocking   False: None at once when somebody else holds it.
    seconds    wait no longer than this for it, then None; by itself a blocking lock waits for ever.

    Each call opens the file anew, so that threads exclude each other as processes do (flock belongs to the open
    file). The kernel ends the lock with its holder, kill -9 included. A call inside itself waits for itself.
    """
    fd = _take(path, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, blocking, seconds)
    try:
        yield fd
    finally:
        if fd is not None:
            fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child's copy of the descriptor must not keep it
            os.close(fd)


def _take(path: str | Path, kind: int, blocking: bool, seconds: float | None) -> int | None:
    patient = blocking and seconds is None
    end = time.monotonic() + (seconds or 0.0)
    pause = 0.005
    while True:
        fd, busy, ours = private_file(path), False, False
        try:
            fcntl.flock(fd, kind if patient else kind | fcntl.LOCK_NB)
            # Deleted or replaced while we waited: then the lock is on a file that nobody else will open.
            if ours := _is_at(fd, path):
                return fd
        except BlockingIOError:
            busy = True
        except OSError as error:
            raise ConfigError(f"cannot lock {path}: {error.strerror}") from None
        finally:
            if not ours:
                os.close(fd)
        if busy:
            left = end - time.monotonic()
            if not blocking or left <= 0:
                return None
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.1)


def _is_at(fd: int, path: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def is_network_file_system(path: str | Path, mounts: str = "/proc/self/mounts") -> str | None:
    """The type of the network file system that a path lies (or would lie) on; None for a local or unknown one."""
    real = os.path.realpath(path)
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    longest, found = -1, ""
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of two mounts on one folder the later one is seen
            longest, found = len(point), kind
    return found if found in _NETWORK else None


def locks_folder(database: Path) -> Path:
    """Where run, token and pace files lie: beside the database."""
    return database.with_name(database.name + ".locks")


def lives(folder: Path, run_id: int) -> bool:
    """Does a process hold this run's lock? A kernel lock ends with its process, however that ends."""
    try:
        fd = os.open(folder / f"run-{run_id}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that ask must not take each other for the run
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
