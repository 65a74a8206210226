"""Directory locks: one process per run, released by the operating system when it exits."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from keras_ae.files import atomic_write
from keras_ae.runs.errors import Remedy, RunLocked

LOCK_FILE = ".lock"
OWNER_FILE = ".lock_owner.json"
# Mount options with which locks hold between the processes of one machine only.
LOCAL_LOCKS = {"nolock", "local_lock=all", "local_lock=flock", "localflock"}


@contextlib.contextmanager
def lock_directory(folder: Path) -> Iterator[None]:
    """Lock `folder` until the block ends, creating it where it is missing.

    The operating system releases the lock when the process ends, also after SIGKILL; a stale lock
    file is taken over. A directory that was created here and is still empty is removed again.

    Args:
        folder: The directory that no other process may write to.

    Raises:
        RunLocked: another process, or another block of this one, has the lock; names it.
        OSError: the folder cannot be written to.
    """
    existed = folder.is_dir()
    lock = _acquire(folder)
    try:
        owner = json.dumps(_this_process())
        atomic_write(folder / OWNER_FILE, lambda path: path.write_text(owner))
        yield
    finally:
        # While the lock is held: filelock notices that a file was replaced and tries again.
        for name in (OWNER_FILE, LOCK_FILE):
            (folder / name).unlink(missing_ok=True)
        lock.release()
        if not existed:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def _acquire(folder: Path) -> FileLock:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        try:
            lock.acquire()
            return lock
        except Timeout:
            problem = f"{folder} is in use by {lock_owner(folder)}."
            raise RunLocked(problem, Remedy.WAIT) from None
        except NotImplementedError as error:  # so says filelock
            raise OSError(f"The file system of {folder} has no locks.") from error
        except FileNotFoundError:  # another process just removed the empty folder
            continue


def is_locked(folder: Path) -> bool:
    """Whether another process, or a block of this one, has the lock. Creates nothing."""
    if not (folder / LOCK_FILE).exists():
        return False
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


def lock_problem(folder: Path) -> str | None:
    """Why locks below a folder cannot be relied on, or None. Creates the folder.

    A file is locked twice, through two handles, as two processes would; and the options of the
    mount say whether a network file system keeps its locks to one machine. What the machines of a
    cluster cannot find out alone, `check_owner` finds during the training.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if found := _local_mount(folder):
        return f"Locks on {folder} do not reach other machines: it is mounted with {found}."
    try:
        import fcntl
    except ImportError:  # on Windows
        return None
    path = folder / f".lock_test-{uuid.uuid4().hex[:8]}"
    exclusive = fcntl.LOCK_EX | fcntl.LOCK_NB
    try:
        with open(path, "x") as first, open(path, "a") as second:
            try:
                fcntl.flock(first, exclusive)
            except OSError as error:
                return f"The file system of {folder} has no locks ({error.strerror})."
            try:
                fcntl.flock(second, exclusive)
            except OSError:
                return None
    finally:
        path.unlink(missing_ok=True)
    return f"Locks on {folder} do not work: two handles of one file had the lock at once."


def _local_mount(folder: Path) -> str | None:
    """The mount option that keeps locks to one machine, or None."""
    place = folder.resolve()
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        return None
    over = [each for each in mounts if place.is_relative_to(each.mountpoint)]
    if not over:
        return None
    # Of several mounts at one place, the last one is on top.
    mount = max(enumerate(over), key=lambda pair: (len(pair[1].mountpoint), pair[0]))[1]
    return next((option for option in mount.opts.split(",") if option in LOCAL_LOCKS), None)


def check_owner(folder: Path) -> None:
    """Check that no other process has taken the lock that this process holds.

    Where locks do not work across machines, two processes get the same one; each overwrites the
    name of the owner.

    Raises:
        RunLocked: another process has.
    """
    try:
        owner = json.loads((folder / OWNER_FILE).read_text())
        others = (owner["process"], owner["host"]) != (os.getpid(), socket.gethostname())
    except (OSError, ValueError, TypeError, KeyError):
        return
    if others:
        raise RunLocked(
            f"{folder} is also in use by {lock_owner(folder)}, although this process holds the "
            "lock: the locks of this file system do not work across machines.",
            Remedy.DIVIDE,
        )


def owner_left_in(folder: Path) -> str | None:
    """The process whose name is in the folder: it holds the lock, or was killed while it did."""
    return lock_owner(folder) if (folder / OWNER_FILE).exists() else None


def lock_owner(folder: Path) -> str:
    """The process that holds the lock on `folder`, for a message."""
    try:
        owner = json.loads((folder / OWNER_FILE).read_text())
        return f"process {owner['process']:d} on {owner['host']!s} since {owner['since']!s}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _this_process() -> dict:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}
