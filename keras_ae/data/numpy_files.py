"""NumPy files: `.npy` arrays and `.npz` archives. Pickled objects are never loaded."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from keras_ae.checks import one_line
from keras_ae.data.contents import (
    Contents,
    pixels,
    read_at_most,
    refuse_beyond_limit,
    visible_files,
    with_class_names,
)
from keras_ae.data.image_set import DataError

_MAX_HEADER_BYTES = 2**14  # NumPy itself accepts at most 10,000
# The arrays that are read from an archive.
_KEYS = ("x_train", "y_train", "x_test", "y_test", "images", "labels", "x", "y")


def read_class_arrays(files: Mapping[str, Path]) -> Contents:
    """Read one array of images per class.

    Args:
        files: `{class name: .npy file}`; labels are indices in this order.

    Raises:
        DataError: a file is damaged or too large, or the classes differ in shape or type.
    """
    num_bytes = sum(path.stat().st_size for path in files.values() if path.is_file())
    refuse_beyond_limit(num_bytes, str(next(iter(files.values())).parent))
    images = {name: pixels(_load_array(path), str(path)) for name, path in files.items()}
    first_name, first = next(iter(images.items()))
    for name, array in images.items():
        if (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
            raise DataError(
                f"All classes must have images of one shape and type: {files[first_name]} holds "
                f"{_describe(first)}, {files[name]} holds {_describe(array)}."
            )
    labels = np.repeat(np.arange(len(images)), [len(array) for array in images.values()])
    return Contents(np.concatenate(list(images.values())), labels.astype(np.int64), tuple(images))


def class_files(folder: Path) -> dict[str, Path]:
    """`{class name: file}` of the `<class>.npy` files in a folder, sorted, without hidden files."""
    return {file.stem: file for file in visible_files(folder) if file.suffix.lower() == ".npy"}


def _load_array(path: Path) -> np.ndarray:
    loaded = _load_numpy(path)
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path} is a .npz archive with the suffix of an array: rename it to .npz.")
    return loaded


def _load_numpy(path: Path, keys: Sequence[str] = ()) -> np.ndarray | dict[str, np.ndarray | None]:
    """Load an array, or the arrays of an archive that are in `keys`.

    If an archive has none of `keys`, the result has the names in it, and no arrays.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return _read_array(file, path, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            sizes = {
                info.filename.removesuffix(".npy"): (info.filename, info.file_size)
                for info in archive.infolist()
            }
            wanted = {key: sizes[key] for key in keys if key in sizes}
            refuse_beyond_limit(sum(size for _, size in wanted.values()), str(path))
            if not wanted:
                return dict.fromkeys(sizes)
            arrays: dict[str, np.ndarray | None] = {}
            for key, (name, size) in wanted.items():
                with archive.open(name) as file:
                    arrays[key] = _read_array(file, path, size)
            return arrays
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and ast raise errors of their own on damaged files
        raise DataError(
            f"{path} cannot be read as a plain NumPy file ({one_line(error)}): it is damaged, "
            "incomplete, or holds pickled objects, which are never loaded."
        ) from error


def _read_array(file: IO[bytes], path: Path, num_bytes: int) -> np.ndarray:
    """Read an array in NumPy's format; its header must fit `num_bytes` and the memory limit."""
    start = io.BytesIO(file.read(_MAX_HEADER_BYTES))  # a header may claim to be gigabytes long
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version} of the .npy format")
    read_header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read_header = np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read_header(start)
    declared = math.prod(shape) * dtype.itemsize
    refuse_beyond_limit(declared, str(path))
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if declared > num_bytes:
        raise ValueError(f"its header declares {declared:,} bytes; the file has {num_bytes:,}")
    file.seek(start.tell())
    content = read_at_most(file, declared)  # the size in a zip archive may be wrong, too
    return np.ndarray(shape, dtype, content, order="F" if in_columns else "C")


def read_numpy(path: Path) -> Contents:
    """Read a `.npy` array of images, or a `.npz` archive with labels and test images.

    An archive has the arrays `x_train`, `y_train`, `x_test`, `y_test`, or `images`, `labels`, or
    `x`, `y`; all but the images are optional.

    Raises:
        DataError: the file is damaged, larger than the limit, or holds no images.
    """
    loaded = _load_numpy(path, _KEYS)
    if isinstance(loaded, np.ndarray):
        return Contents(pixels(loaded, str(path)))

    def first_of(*keys: str) -> np.ndarray | None:
        return next((loaded[key] for key in keys if key in loaded), None)

    images = first_of("x_train", "images", "x")
    if images is None:
        raise DataError(
            f"{path} needs an array x_train, images or x (with labels: y_train, labels or y; with "
            f"test images: x_test, y_test); it has {', '.join(loaded) or 'none'}."
        )
    labels = first_of("y_train") if "x_train" in loaded else first_of("labels", "y")
    test_images = first_of("x_test") if "x_train" in loaded else None
    test_labels = first_of("y_test") if test_images is not None else None
    return with_class_names(str(path), images, labels, test_images, test_labels)


def _describe(images: np.ndarray) -> str:
    return f"{images.dtype} images of {' x '.join(map(str, images.shape[1:]))}"
