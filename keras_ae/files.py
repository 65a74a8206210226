"""Files: atomic writes, content digests, safe names, the cache folder.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def atomic_write(path: Path, write: Callable[[Path], Any], *, shared: bool = False) -> Path:
    """Write a file so that no reader ever sees half of it.

    `write` gets a temporary path in the same folder with the same suffix; the temporary file is
    then renamed to `path`. A symbolic link at either path is replaced, never followed.

    Args:
        path: The file to write. Missing parent folders are created.
        write: Called as `write(temporary_path)`; creates the file.
        shared: True where several processes may write `path` at once, as in a cache: each then
            uses a temporary name of its own. By default the temporary name is always the same, so
            the next write cleans up after a process that was killed.

    Returns:
        `path`.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = f"partial-{uuid.uuid4().hex[:8]}" if shared else "partial"
    temporary = path.with_name(f".{path.stem}.{mark}{path.suffix}")
    temporary.unlink(missing_ok=True)  # a link would be written through
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def remove_tree(folder: Path) -> None:
    """Delete a folder with its content; of a symbolic link, only the link."""
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def digest(content: bytes) -> str:
    """The first 16 hex digits of the SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()[:16]


def json_digest(content: Any) -> str:
    """The digest of plain JSON data; the order of a dict's keys does not matter."""
    return digest(json.dumps(content, sort_keys=True).encode())


def file_digest(path: Path) -> str:
    """The digest of a file's bytes, read in chunks.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def safe_name(text: str) -> str:
    """`text` as one part of a file name: letters, digits, `_`, `.` and `-` only."""
    return re.sub(r"[^\w.-]+", "_", text)


def cache_dir() -> Path:
    """Where decoded data sets are cached.

    `$KERAS_AE_CACHE`, else `keras_ae` below `$XDG_CACHE_HOME` or `~/.cache`.
    """
    if own := os.environ.get("KERAS_AE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keras_ae"
