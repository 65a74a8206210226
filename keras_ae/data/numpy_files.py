"""NumPy files: `.npy` arrays and `.npz` archives. Pickled objects are never loaded."""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from keras_ae.checks import one_line
from keras_ae.data.contents import (
    Contents,
    Part,
    converter,
    pixels,
    read_at_most,
    refuse_beyond_limit,
    visible_files,
    with_class_names,
    with_image_axes,
)
from keras_ae.data.image_set import DataError, listed
from keras_ae.data.storage import Storage
from keras_ae.stored_images import PART_BYTES, StoredImages

_MAX_HEADER_BYTES = 2**14  # NumPy itself accepts at most 10,000
_BATCH_BYTES = 2**20
_SHARD = re.compile(r"-(\d+)-of-(\d+)$")
# The names that an archive's arrays usually have, in upper or lower case; the first one that is
# there is read.
_IMAGES = {
    "training": (
        *("x_train", "train_images", "train_x", "images_train", "xtrain", "trainx"),
        *("images", "x", "data", "imgs", "train", "arr_0"),
    ),
    "validation": (
        *("x_val", "x_valid", "x_validation", "val_images", "valid_images", "validation_images"),
        *("val_x", "valid_x", "validation_x", "images_val", "xval", "valx", "val", "validation"),
    ),
    "test": ("x_test", "test_images", "test_x", "images_test", "xtest", "testx", "test"),
}
_LABELS = {
    "training": (
        *("y_train", "train_labels", "train_y", "labels_train", "ytrain", "trainy"),
        *("labels", "label", "y", "targets", "target", "arr_1"),
    ),
    "validation": (
        *("y_val", "y_valid", "y_validation", "val_labels", "valid_labels", "validation_labels"),
        *("val_y", "valid_y", "validation_y", "labels_val", "yval", "valy"),
    ),
    "test": ("y_test", "test_labels", "test_y", "labels_test", "ytest", "testy"),
}


def read_class_arrays(
    files: Mapping[str, Sequence[Path]], storage: Storage | None = None
) -> Contents:
    """Read the arrays of images of each class.

    Args:
        files: `{class name: .npy files}`; labels are indices in this order.
        storage: Where the images are kept; None for memory, where they fit.

    Raises:
        DataError: a file is damaged or too large, or the files differ in shape or type.
    """
    storage = storage or Storage()
    paths = [path for of_class in files.values() for path in of_class]
    headers = {path: ArrayStream(path, _no_archive(path)) for path in paths}
    pixel_bytes = max(each.dtype.itemsize for each in headers.values())
    if storage.fits(sum(math.prod(each.shape) for each in headers.values()), pixel_bytes):
        num_bytes = sum(path.stat().st_size for path in paths)
        refuse_beyond_limit(num_bytes, str(paths[0].parent))
        converted = pixels({str(path): _load_array(path) for path in paths})
        arrays, notices = converted.images, converted.notices
        _check_alike(dict(zip(paths, arrays, strict=True)))
        images: Any = np.concatenate(arrays)
    else:
        images, notices = _mapped(list(headers.values()), storage)
    lengths = {path: len(each) for path, each in headers.items()}
    of_class = [sum(lengths[path] for path in each) for each in files.values()]
    labels = np.repeat(np.arange(len(files)), of_class)
    return Contents(images, labels.astype(np.int64), tuple(files), notices=notices)


def _check_alike(arrays: Mapping[Path, np.ndarray]) -> None:
    first_path, first = next(iter(arrays.items()))
    for path, array in arrays.items():
        if (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
            raise DataError(
                f"All classes must have images of one shape and type: {first_path} holds "
                f"{_describe(first)}, {path} holds {_describe(array)}."
            )


def _mapped(streams: Sequence[ArrayStream], storage: Storage) -> tuple[StoredImages, tuple]:
    """Arrays of images that stay in their files, and notices.

    Raises:
        DataError: the arrays hold no images, or not alike ones.
    """
    arrays = {each.path: with_image_axes(each.mapped(), str(each.path)) for each in streams}
    _check_alike(arrays)
    number, done = sum(map(len, arrays.values())), 0
    extremes: dict[Path, tuple[float, float]] = {}
    for path, array in arrays.items():
        lowest, highest = math.inf, -math.inf
        step = max(1, PART_BYTES // (array[:1].nbytes or 1))
        for start in range(0, len(array), step):
            part = array[start : start + step]
            # Unlike min and max, these keep a NaN.
            lowest, highest = np.minimum(lowest, part.min()), np.maximum(highest, part.max())
            done += len(part)
            storage.progress(done, number)
        extremes[path] = float(lowest), float(highest)
    # The range of all of them decides; the file that an error names is the brightest, or has a NaN.
    lowest = float(np.min([low for low, _ in extremes.values()]))
    brightest = max(extremes, key=lambda path: np.nan_to_num(extremes[path][1], nan=math.inf))
    dtype = next(iter(arrays.values())).dtype
    convert, notice = converter(str(brightest), dtype, lowest, extremes[brightest][1])
    images = StoredImages(list(arrays.values()), convert=convert)
    notices = [notice] if notice else []
    where = "from the files themselves"
    notices.append(storage.notice(number, math.prod(images.shape), where, dtype.itemsize))
    return images, tuple(notices)


def class_files(folder: Path) -> dict[str, list[Path]]:
    """`{class name: files}` of the `.npy` files in a folder, sorted, without hidden files.

    The name of the file is that of the class; the files `cat-00000-of-00002.npy` and
    `cat-00001-of-00002.npy` are shards of the class cat.

    Raises:
        DataError: a shard is missing.
    """
    found: dict[str, list[Path]] = {}
    for file in visible_files(folder):
        if file.suffix.lower() == ".npy":
            found.setdefault(_SHARD.sub("", file.stem), []).append(file)
    for name, files in found.items():
        counts = {int(match[2]) for file in files if (match := _SHARD.search(file.stem))}
        if counts and (len(counts) > 1 or len(files) != max(counts)):
            raise DataError(
                f"{folder} must have all shards of {name}: found {len(files)} of {max(counts)}."
            )
    return found


def _no_archive(path: Path) -> Callable[[Sequence[str]], str]:
    def refuse(names: Sequence[str]) -> str:
        raise DataError(f"{path} is a .npz archive with the suffix of an array: rename it to .npz.")

    return refuse


def _load_array(path: Path) -> np.ndarray:
    loaded = _load_numpy(path, _no_archive(path))
    assert isinstance(loaded, np.ndarray)
    return loaded


def _load_numpy(
    path: Path, choose: Callable[[Sequence[str]], Iterable[str]] = lambda names: ()
) -> np.ndarray | dict[str, np.ndarray | None]:
    """Load an array, or those arrays of an archive that `choose` selects of their names.

    The result for an archive has all names in it, with None for arrays that are not selected.
    """
    with _plain_errors(path):
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return _read_array(file, path, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            sizes = {
                info.filename.removesuffix(".npy"): (info.filename, info.file_size)
                for info in archive.infolist()
            }
            wanted = {key: sizes[key] for key in choose(list(sizes))}
            refuse_beyond_limit(sum(size for _, size in wanted.values()), str(path))
            arrays: dict[str, np.ndarray | None] = dict.fromkeys(sizes)
            for key, (name, size) in wanted.items():
                with archive.open(name) as file:
                    arrays[key] = _read_array(file, path, size)
            return arrays


def _read_array(file: IO[bytes], path: Path, num_bytes: int) -> np.ndarray:
    """Read an array in NumPy's format; its header must fit `num_bytes` and the memory limit."""
    header = _read_header(file)
    declared = math.prod(header.shape) * header.dtype.itemsize
    refuse_beyond_limit(declared, str(path))
    header.check(num_bytes)
    file.seek(header.num_bytes)
    content = read_at_most(file, declared)  # the size in a zip archive may be wrong, too
    order = "F" if header.in_columns else "C"
    return np.ndarray(header.shape, header.dtype, content, order=order)


class _Header(NamedTuple):
    """The header of an array in NumPy's format.

    Attributes:
        shape, dtype: Those of the array.
        in_columns: Whether the first index changes fastest.
        num_bytes: Length of the header in the file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    in_columns: bool
    num_bytes: int

    def check(self, num_bytes: int) -> None:
        """Raise a ValueError for pickled objects, or more content than `num_bytes`."""
        declared = math.prod(self.shape) * self.dtype.itemsize
        if self.dtype.hasobject:
            raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
        if declared > num_bytes:
            raise ValueError(f"its header declares {declared:,} bytes; the file has {num_bytes:,}")


def _read_header(file: IO[bytes]) -> _Header:
    """Read the header at the start of a file."""
    start = io.BytesIO(file.read(_MAX_HEADER_BYTES))  # a header may claim to be gigabytes long
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version} of the .npy format")
    read_header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read_header = np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read_header(start)
    return _Header(shape, dtype, in_columns, start.tell())


class ArrayStream:
    """An array in a `.npy` file or a `.npz` archive that is read in batches.

    Only one batch is in memory, unless the array is stored by columns. Pickled objects are never
    loaded.

    Args:
        path: The file.
        choose: Called with the names of the arrays of an archive; returns the one to read, or
            raises a DataError.

    Attributes:
        path: The file.
        name: The name of the array in an archive, else None.
        shape, dtype: Those of the array.

    Raises:
        DataError: the file is damaged, incomplete, or no plain NumPy file.
    """

    def __init__(self, path: Path, choose: Callable[[Sequence[str]], str]):
        self.path, self.name, self._member = path, None, ""
        with _plain_errors(path):
            size = path.stat().st_size
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                    self.name = choose(list(members))
                    self._member = members[self.name]
                    size = archive.getinfo(self._member).file_size
            with self._opened() as file:
                self._header = _read_header(file)
            self._header.check(size)
        self.shape, self.dtype = self._header.shape, self._header.dtype

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def batches(self, batch_size: int | None = None) -> Iterator[np.ndarray]:
        """The array in parts of at most `batch_size` rows, in order; by default of about 1 MB.

        Raises:
            DataError: the file is damaged.
        """
        row_shape = self.shape[1:]
        row_bytes = math.prod(row_shape) * self.dtype.itemsize
        batch_size = batch_size or max(1, _BATCH_BYTES // max(1, row_bytes))
        with _plain_errors(self.path), self._opened() as file:
            if self._header.in_columns:
                whole = _read_array(file, self.path, sys.maxsize)
                for start in range(0, len(self), batch_size):
                    yield whole[start : start + batch_size]
                return
            refuse_beyond_limit(row_bytes, str(self.path))
            file.seek(self._header.num_bytes)
            for start in range(0, len(self), batch_size):
                number = min(batch_size, len(self) - start)
                content = read_at_most(file, number * row_bytes)
                yield np.ndarray((number, *row_shape), self.dtype, content)

    def mapped(self) -> np.ndarray:
        """The array of a `.npy` file without reading it into memory.

        Raises:
            DataError: it is stored by columns, so that an image is spread over the whole file.
        """
        if self._header.in_columns and len(self.shape) > 1:
            raise DataError(
                f"{self.path} is larger than the memory limit and stored by columns: save "
                "numpy.ascontiguousarray(images), or raise the limit."
            )
        return np.memmap(self.path, self.dtype, "r", self._header.num_bytes, self.shape)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if not self._member:
            with open(self.path, "rb") as file:
                yield file
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(self._member) as file:
            yield file


def choose_images(path: Path, names: Sequence[str]) -> str:
    """The array of images in an archive: the first usual name, of training images before others.

    Args:
        path: The archive.
        names: The names of its arrays.

    Raises:
        DataError: no array has a usual name.
    """
    lower = {name.lower(): name for name in reversed(names)}
    usual = [*_IMAGES["training"], *_IMAGES["test"], *_IMAGES["validation"]]
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        raise DataError(
            f"{path} needs an array images, x, data, x_test, x_train or arr_0; it has "
            f"{listed(names)}."
        )
    return found


@contextlib.contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    """A block in which every error of a damaged file is a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and ast raise errors of their own on damaged files
        raise DataError(
            f"{path} cannot be read as a plain NumPy file ({one_line(error)}): it is damaged, "
            "incomplete, or holds pickled objects, which are never loaded."
        ) from error


def read_numpy(path: Path, storage: Storage | None = None) -> Contents:
    """Read a `.npy` array of images, or a `.npz` archive with labels, validation and test images.

    An archive has its images in the array `x_train`, `images`, `x`, `data` or `arr_0`, its labels
    in `y_train`, `labels`, `y` or `targets`, and so on: the first names in `_IMAGES` and `_LABELS`
    that are there, in upper or lower case. All but the images are optional.

    Args:
        path: The file.
        storage: Where the images of a `.npy` file are kept; None for memory, where they fit.

    Raises:
        DataError: the file is damaged, larger than the limit, or holds no images.
    """
    roles: dict[tuple[str, str], str] = {}
    storage = storage or Storage()
    with _plain_errors(path):
        is_archive = zipfile.is_zipfile(path)
    if not is_archive:
        stream = ArrayStream(path, _no_archive(path))
        if not storage.fits(math.prod(stream.shape), stream.dtype.itemsize):
            images, notices = _mapped([stream], storage)
            return Contents(images, notices=notices)

    def choose(names: Sequence[str]) -> Iterable[str]:
        lower = {name.lower(): name for name in reversed(names)}
        for what, known in (("images", _IMAGES), ("labels", _LABELS)):
            for part, usual in known.items():
                name = next((lower[name] for name in usual if name in lower), None)
                if name is not None:
                    roles[part, what] = name
        return roles.values()

    loaded = _load_numpy(path, choose)
    if isinstance(loaded, np.ndarray):
        converted = pixels({str(path): loaded})
        return Contents(converted.images[0], notices=converted.notices)
    if ("training", "images") not in roles:
        raise DataError(
            f"{path} needs an array x_train, images, x, data or arr_0 (with labels: y_train, "
            "labels, y or targets; with test images: x_test, y_test); it has "
            f"{', '.join(loaded) or 'none'}."
        )
    _forget_other_arrays(roles, loaded)
    parts = {}
    for part in _IMAGES:
        if (part, "images") in roles:
            images = loaded[roles[part, "images"]]
            assert images is not None
            name = roles.get((part, "labels"))
            parts[part] = Part(images, None if name is None else loaded[name])
    contents = with_class_names(str(path), parts)
    used = {name for (part, _), name in roles.items() if part in parts}
    if unused := [name for name in loaded if name not in used]:
        notice = f"{path.name}: read {listed(roles.values())}; not used: {listed(unused)}"
        contents = contents._replace(notices=(*contents.notices, notice))
    return contents


def _forget_other_arrays(
    roles: dict[tuple[str, str], str], loaded: Mapping[str, np.ndarray | None]
) -> None:
    """Remove `arr_1` from the labels unless it looks like labels: its name does not tell."""
    name = roles.get(("training", "labels"))
    if name is not None and name.lower() == "arr_1":
        array, images = loaded[name], loaded[roles["training", "images"]]
        assert array is not None and images is not None
        if array.shape not in (images.shape[:1], (*images.shape[:1], 1)):
            del roles["training", "labels"]


def _describe(images: np.ndarray) -> str:
    return f"{images.dtype} images of {' x '.join(map(str, images.shape[1:]))}"
