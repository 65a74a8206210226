"""A cache of what XLA has compiled on the CPU, so that the same training starts sooner.

TensorFlow reads and writes compiled code itself, in a folder that it is told before its first
operation. But it stops at a damaged file, takes code that was compiled for another processor, and
does not expect other processes in the folder. So it gets a temporary folder with copies of the
files that are whole and belong to this computer; new ones are added to the cache when the program
ends. The name of a cached file begins with the digest of its content.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_ae.files import atomic_write, cache_dir, digest

MAX_FILES = 64  # of 1 MB, a compiled training; the oldest ones are deleted
MIN_FREE_BYTES = 2**28  # a full disk would stop TensorFlow
_FLAGS = "TF_XLA_FLAGS"


@contextlib.contextmanager
def compiled_code_kept() -> Iterator[None]:
    """Within the block, TensorFlow uses compiled code of earlier programs and keeps new code.

    TensorFlow must have run nothing yet. Nothing happens where `TF_XLA_FLAGS` names a cache, where
    the processor is not known (elsewhere than on Linux) and where the cache cannot be used.
    """
    import tensorflow as tf

    given = os.environ.get(_FLAGS)
    computer = _computer()
    if computer is None or "persistent_cache" in (given or ""):
        yield
        return
    cache = cache_dir() / "compiled" / computer
    folder = Path(tempfile.mkdtemp(prefix="keras_ae-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # TensorFlow uses it to the end
    known = load(cache, folder)
    if known is None:
        yield
        return
    ours = [
        f"--tf_xla_persistent_cache_directory={folder}",
        "--tf_xla_persistent_cache_device_types=CPU",  # code for a GPU is left alone
    ]
    os.environ[_FLAGS] = " ".join([given or "", *ours])
    tf.config.list_logical_devices("CPU")  # reads the flags
    del os.environ[_FLAGS]  # programs started by this one have a folder of their own
    if given is not None:
        os.environ[_FLAGS] = given
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            store(folder, cache, known)


def load(folder: Path, target: Path) -> set[str] | None:
    """Copy the files of the cache that are whole into `target`; the others are deleted.

    Args:
        folder: The cache of this computer. It is created, for this user only.
        target: The folder that TensorFlow is given.

    Returns:
        The names of the copies. None where the cache cannot be written, where its disk is nearly
        full, and where others could write into it: what it holds is executed.
    """
    names = set()
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        status = os.lstat(folder)
        owned = status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)
        if not owned or status.st_mode & 0o022 or not os.access(folder, os.W_OK):
            return None
        if min(shutil.disk_usage(each).free for each in (folder, target)) < MIN_FREE_BYTES:
            return None
        for path in _newest_first(folder):
            found, _, name = path.name.partition("-")
            content = path.read_bytes()
            if found != digest(content):
                path.unlink()
                continue
            (target / name).write_bytes(content)
            names.add(name)
    except OSError:
        return None
    return names


def store(source: Path, folder: Path, known: set[str]) -> None:
    """Add the files in `source` that are not `known` to the cache, and delete the oldest ones."""
    for path in source.glob("*.pb"):
        if path.name not in known:
            content = path.read_bytes()
            cached = folder / f"{digest(content)}-{path.name}"
            atomic_write(cached, lambda temporary, c=content: temporary.write_bytes(c), shared=True)
    for path in _newest_first(folder)[MAX_FILES:]:
        path.unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    """The cached files, without those that another program is writing."""
    files = [path for path in folder.glob("*.pb") if not path.name.startswith(".")]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _computer() -> str | None:
    """A digest of what compiled code depends on beside the program; None where not known."""
    import tensorflow as tf

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        num_cores = len(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        return None
    processor = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    settings = ("XLA_FLAGS", _FLAGS, "TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")
    parts = [
        *sorted(processor),
        tf.__version__,
        num_cores,
        *(os.environ.get(name) for name in settings),
    ]
    return digest(repr(parts).encode())
