"""IDX files, the format in which MNIST and its relatives are published; gzipped or not.

The format: a big-endian magic number, the length of each axis, then one byte per value
(Y. LeCun et al., http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from keras_ae.checks import one_line
from keras_ae.data.contents import (
    Contents,
    Part,
    read_at_most,
    refuse_beyond_limit,
    with_class_names,
)
from keras_ae.data.image_set import DataError

_IMAGES_MAGIC = 2051
_LABELS_MAGIC = 2049
_PARTS = (
    ("train-images", "idx3"),
    ("train-labels", "idx1"),
    ("t10k-images", "idx3"),
    ("t10k-labels", "idx1"),
)


def has_idx_files(folder: Path) -> bool:
    """Whether `folder` contains any of the four IDX files."""
    return any(_idx_file(folder, *part) for part in _PARTS)


def read_idx_folder(folder: Path) -> Contents:
    """Read the four IDX files in `folder`.

    Raises:
        DataError: one of the four is missing, damaged or larger than the limit.
    """
    files = [_idx_file(folder, *part) for part in _PARTS]
    found = [file for file in files if file is not None]
    if len(found) < len(_PARTS):
        missing = [
            f"{part}-{kind}-ubyte[.gz]"
            for (part, kind), file in zip(_PARTS, files, strict=True)
            if file is None
        ]
        raise DataError(f"{folder} needs all four IDX files; it lacks {', '.join(missing)}.")
    magics = (_IMAGES_MAGIC, _LABELS_MAGIC) * 2
    images, labels, test_images, test_labels = map(_read_idx, found, magics)
    parts = {"training": Part(images, labels), "test": Part(test_images, test_labels)}
    return with_class_names(str(folder), parts)


def _idx_file(folder: Path, part: str, kind: str) -> Path | None:
    """The file of one part: published with a hyphen, often unpacked with a dot, .gz or not."""
    names = [f"{part}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_idx(path: Path, magic: int) -> np.ndarray:
    """Read one IDX file of bytes; the last byte of `magic` is the number of axes."""
    num_axes = magic & 0xFF
    header_size = 4 * (1 + num_axes)
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            header = file.read(header_size)
            if len(header) < header_size:
                raise DataError(f"{path} is incomplete: {len(header)} bytes hold no IDX header.")
            received, *shape = struct.unpack(f">{1 + num_axes}I", header)
            if received != magic:
                raise DataError(
                    f"{path} is not the IDX file its name says: magic number {received}, expected "
                    f"{magic}."
                )
            expected = math.prod(shape)
            refuse_beyond_limit(expected, str(path))
            content = read_at_most(file, expected + 1)  # one byte more than expected
    except DataError:
        raise
    except Exception as error:  # gzip raises EOFError and zlib.error besides OSError
        raise DataError(f"{path} is damaged or incomplete: {one_line(error)}.") from error
    if len(content) != expected:
        size = f"{len(content)} or more" if len(content) > expected else len(content)
        raise DataError(
            f"{path} is damaged or incomplete: its header says {' x '.join(map(str, shape))} = "
            f"{expected} bytes; received {size}."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
