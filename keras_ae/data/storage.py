"""Where the images of a set are kept: in memory, or in a file when they are too many.

A set beyond the memory limit is decoded once into a file of the cache folder, one row of uint8 for
each image. Training reads rows from it in the order it would have used in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from keras_ae.checks import one_line
from keras_ae.data.image_set import DataError
from keras_ae.files import cache_dir, digest, remove_tree
from keras_ae.stored_images import StoredImages

MOST_FLOATS = 2**26  # pixels of a set of bytes that `split` turns into floats
VERSION = 1  # of the files in the cache; a change of it decodes all sets again
_ABANDONED = 24 * 3600  # seconds after which a partial file is that of a process that was killed
_CGROUP = Path("/sys/fs/cgroup")

Progress = Callable[[int, int], None]


def default_memory_limit() -> int:
    """Half of the memory that is free, in bytes; in a container, of what the container may use."""
    import psutil

    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        # Cached files count as used, but are given up when memory is needed.
        cached = re.search(r"^inactive_file (\d+)$", (_CGROUP / "memory.stat").read_text(), re.M)
        free = min(free, max(0, limit - used + int(cached[1] if cached else 0)))
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    return free // 2


class Storage:
    """Decides where images are kept, and keeps them on disk where they are too many.

    Args:
        memory_limit: Bytes that a training may need for its images; None for half of what is free.
        progress: Called as `progress(done, number)` while a set is read.

    Attributes:
        progress: As given; does nothing by default.
    """

    def __init__(self, memory_limit: int | None = None, progress: Progress | None = None):
        self._limit = memory_limit
        self.progress: Progress = progress or (lambda done, number: None)

    @property
    def limit(self) -> int:
        """The memory limit in bytes."""
        if self._limit is None:
            self._limit = default_memory_limit()
        return self._limit

    def fits(self, num_pixels: int, pixel_bytes: int = 1) -> bool:
        """Whether so many pixels, counting each channel, can be kept in memory.

        Args:
            num_pixels: The number of all images together.
            pixel_bytes: The size of a pixel in the array or file.
        """
        return memory_needed(num_pixels, pixel_bytes) <= self.limit

    def notice(self, num_images: int, num_pixels: int, where: str, pixel_bytes: int = 1) -> str:
        """What to tell the user about images that are not kept in memory."""
        needed = memory_needed(num_pixels, pixel_bytes)
        return (
            f"{num_images:,} images need about {gigabytes(needed)} of "
            f"memory, more than the limit of {gigabytes(self.limit)}: they are read from disk "
            f"while training, {where}"
        )


def memory_needed(num_pixels: int, pixel_bytes: int = 1) -> int:
    """Bytes of memory that a training needs for its images.

    They are there up to four times: as read, in another order, as a part, and as a tensor. Of a
    small set of bytes the last two are float32.
    """
    if pixel_bytes == 1 and num_pixels <= MOST_FLOATS:
        return 10 * num_pixels
    return 4 * num_pixels * pixel_bytes


def gigabytes(num_bytes: float) -> str:
    """A number of bytes in words, such as "2.5 GB"."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


class DecodedImages:
    """A folder of the cache for the decoded images of one set.

    Args:
        request: Plain JSON data that decides the images: files with sizes and times, settings.
        keys: What is kept beside the images, by name.
    """

    def __init__(self, request: Any, keys: Collection[str] = ()):
        self._keys = set(keys)
        request = [VERSION, PIL.__version__, request]
        self.folder = cache_dir() / "images" / digest(json.dumps(request).encode())

    def load(self) -> tuple[StoredImages, dict[str, Any]] | None:
        """The images and what was written with them, or None where they are not there."""
        try:
            content = json.loads((self.folder / "content.json").read_text())
            pixels = np.load(self.folder / "pixels.npy", mmap_mode="r")
            if not self._keys <= content.keys():
                return None
            return StoredImages([pixels[: content["num_images"]]]), content
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing or damaged
            return None

    def write(
        self,
        shape: tuple[int, ...],
        fill: Callable[[np.ndarray], int],
        content: Callable[[], Mapping[str, Any]],
    ) -> tuple[StoredImages, dict[str, Any]]:
        """Create a file of uint8 images.

        Args:
            shape: `(N, ...)`, with N at least the number of images.
            fill: Writes the images into an array of this shape; returns their number.
            content: Called after `fill`: plain JSON data to keep beside the images.

        Raises:
            DataError: the disk is too small or cannot be written to.
        """
        parent = self.folder.parent
        partial = parent / f".partial-{uuid.uuid4().hex[:8]}"
        needed = int(np.prod(shape, dtype=np.int64))
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(parent)
            if needed > (free := shutil.disk_usage(parent).free):
                raise DataError(
                    f"The decoded images take {gigabytes(needed)}, and {parent} has "
                    f"{gigabytes(free)} left. Set KERAS_AE_CACHE to a folder on a larger disk, or "
                    "use smaller images."
                )
            partial.mkdir()
            try:
                pixels = np.lib.format.open_memmap(
                    partial / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape
                )
                _reserve(partial / "pixels.npy")
                num_images = fill(pixels)
                pixels.flush()
                del pixels
                text = json.dumps({**content(), "num_images": num_images})
                (partial / "content.json").write_text(text)
                if self.load() is None:  # else another program was faster
                    remove_tree(self.folder)
                    with contextlib.suppress(OSError):  # the same, a moment ago
                        os.replace(partial, self.folder)
            finally:
                remove_tree(partial)
        except OSError as error:
            raise DataError(
                f"The decoded images cannot be written to {parent}: {one_line(error)}. They need "
                f"{gigabytes(needed)}; KERAS_AE_CACHE names another folder."
            ) from error
        written = self.load()
        if written is None:
            raise DataError(f"{self.folder} cannot be written or was removed. Try again.")
        return written


def _reserve(path: Path) -> None:
    """Take the space of a file on the disk: a full disk would end the program while it is mapped.

    Raises:
        OSError: the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _remove_abandoned(parent: Path) -> None:
    """Delete partial files of programs that were killed."""
    for folder in parent.glob(".partial-*"):
        with contextlib.suppress(FileNotFoundError):  # its program has ended
            newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            if time.time() - newest > _ABANDONED:
                remove_tree(folder)
