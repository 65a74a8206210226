"""One program at a time: a lock on a folder, which the operating system takes from the dead."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None

NAME = ".lock"
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}  # some network file systems


class Held(ValueError):
    """A folder that another program works in, in one line that says which."""


@contextlib.contextmanager
def held(folder: Path, advice: str) -> Iterator[None]:
    """Holds `folder`, which is made where it is missing, until the block ends.

    The lock belongs to the open file, so it ends with the process, however that dies; the file
    only says who has it. A folder in which nothing was written is removed again.

    Args:
        folder: What no other program is to work in.
        advice: What to do where one does; the end of the error's line.

    Raises:
        Held: another process, or another block of this one, holds it.
        OSError: the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    there_before = folder.is_dir()
    path = folder / NAME
    file = locked(path, advice)
    try:
        os.ftruncate(file, 0)
        os.write(file, json.dumps(this_process()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for it looks again
        os.close(file)
        if not there_before:
            with contextlib.suppress(OSError):  # it is in use by now
                folder.rmdir()


def locked(path: Path, advice: str) -> int:
    """Opens and locks the file that `path` names, not one that has been deleted meanwhile."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:  # another has just removed the empty folder
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                warnings.warn(f"{path.parent} lies where no file can be locked.", stacklevel=4)
                return file
            os.close(file)
            if isinstance(error, BlockingIOError):
                raise Held(f"{path.parent} is in use by {holder(path)}. {advice}") from None
            raise
        os.close(file)


def this_process() -> dict:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


def holder(path: Path) -> str:
    """Who wrote itself into a lock's file."""
    try:
        told = json.loads(path.read_text())
        return f"process {told['process']:d} on {told['host']!s} since {told['since']!s}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another program"
