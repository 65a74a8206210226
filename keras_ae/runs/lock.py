"""Directory locks: one process per run, released by the operating system when it exits."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from keras_ae.files import atomic_write
from keras_ae.runs.errors import Remedy, RunLocked

LOCK_FILE = ".lock"
OWNER_FILE = ".lock_owner.json"


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
