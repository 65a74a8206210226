"""Data sets of images: loading, splitting, held-out classes and few labels.

    images = data.load("mnist")                        # or the path of a file or folder
    parts = data.split(images, seed=42)                # parts.train, parts.validation, parts.test
    labeled = data.few_labels(parts.train.labels)      # indices of the images whose labels are used

`load` returns the data set that was requested or raises `DataError`; it never switches to another
one. TensorFlow is imported only to read a set that tensorflow-datasets prepares, and only if it is
not in the cache yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from keras_ae.checks import one_line
from keras_ae.data import digits, published, quickdraw
from keras_ae.data.contents import Contents
from keras_ae.data.idx_files import has_idx_files, read_idx_folder
from keras_ae.data.image_folders import read_image_folder
from keras_ae.data.image_set import DataError, ImageSet, Split, Subset, hint, listed
from keras_ae.data.numpy_files import class_files, read_class_arrays, read_numpy
from keras_ae.data.splits import (
    BINARIZATIONS,
    binarized,
    few_labels,
    held_out_index,
    split,
    with_test_images,
)

__all__ = [
    "BINARIZATIONS",
    "DATASETS",
    "DataError",
    "ImageSet",
    "Split",
    "Subset",
    "binarized",
    "few_labels",
    "held_out_index",
    "load",
    "load_default",
    "split",
]


class _NamedDataset(NamedTuple):
    """An entry of `DATASETS`.

    Attributes:
        read: Called as `read(data_dir)`, or `read(data_dir, classes)` where `takes_classes`;
            returns the images. `data_dir` is None by default.
        takes_classes: Whether some of the classes can be chosen.
    """

    read: Callable[..., Contents]
    takes_classes: bool = False


# The registry of data sets that can be loaded by name.
DATASETS: dict[str, _NamedDataset] = {
    **{name: _NamedDataset(partial(published.read, name)) for name in published.PUBLISHED},
    "quickdraw": _NamedDataset(quickdraw.read, takes_classes=True),
    "digits": _NamedDataset(digits.read),
}


def load(
    dataset: str | os.PathLike,
    *,
    classes: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
) -> ImageSet:
    """Load a data set by name or from a file or folder.

    Args:
        dataset: A name in `DATASETS`, or a path: a `.npz` or `.npy` file, or a folder of image
            files (one subfolder per class, or all images directly in it), of one `.npy` file per
            class, or of the four IDX files. If a set has no test images, a seventh of each class
            becomes its test images.
        classes: The classes to load, in this order, of quickdraw or of a folder of `.npy` files.
            Default: all classes on disk.
        data_dir: The folder of a named set, also for downloads. Default: `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`; for quickdraw `$QUICKDRAW_DIR` or a folder in the cache.

    Returns:
        The images, uint8 or float32 in [0, 1], with labels where there are any.

    Raises:
        DataError: the data set is unknown, missing, damaged, too large or cannot be downloaded.

    Example:
        >>> data.load("digits").image_shape
        (28, 28)
    """
    if not isinstance(dataset, str | os.PathLike):
        raise DataError(
            f"A data set is a name ({listed(DATASETS)}) or a path; received {dataset!r}."
        )
    if classes is not None:
        classes = _checked_classes(classes)
    if isinstance(dataset, str) and dataset in DATASETS:
        entry = DATASETS[dataset]
        if entry.takes_classes:
            return with_test_images(dataset, entry.read(data_dir, classes))
        if classes is not None:
            raise DataError(
                "classes can be chosen for quickdraw or a folder of .npy files; "
                f"received {dataset!r}."
            )
        return with_test_images(dataset, entry.read(data_dir))
    text = os.fsdecode(dataset)
    path = Path(os.path.expanduser(text))
    if not os.path.exists(path) or not text:
        raise DataError(
            f"{text!r} is neither a data set ({listed(DATASETS)}) nor a path that exists."
            + hint(text, DATASETS)
        )
    return with_test_images(path.resolve().name, _read_path(path, classes))


def load_default(*, data_dir: str | os.PathLike | None = None) -> tuple[ImageSet, str | None]:
    """Load MNIST, or digits where MNIST cannot be loaded: the default when no set is named.

    Args:
        data_dir: As in `load`.

    Returns:
        The data set, and a notice to show to the user if it is not MNIST, else None.
    """
    try:
        return load("mnist", data_dir=data_dir), None
    except DataError as error:
        notice = (
            "NOTICE: no data set was named and MNIST could not be loaded; using the small "
            f"`digits` of scikit-learn instead. The reason: {error}"
        )
        return load("digits"), notice


def _checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as a tuple, after a check that each can be a file name; one string is one."""
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    for name in names:
        if not isinstance(name, str) or not name or name[0] == "." or set(name) & set("/\\\0"):
            raise DataError(f"{name!r} cannot be the name of a class.")
    if not names or len(set(names)) < len(names):
        raise DataError(f"classes must be one or more different names; received {list(names)}.")
    return names


def _read_path(path: Path, classes: Sequence[str] | None) -> Contents:
    """Read a file or folder of any supported kind."""
    try:
        if path.is_dir():
            return _read_folder(path, classes)
        if classes is not None:
            raise DataError(
                f"classes can be chosen from a folder of .npy files only; received the file {path}."
            )
        if path.suffix.lower() not in (".npz", ".npy"):
            raise DataError(
                f"{path} is not a kind of file that can be read: "
                "give a .npz or .npy file, or a folder of images."
            )
        return read_numpy(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}.") from error


def _read_folder(folder: Path, classes: Sequence[str] | None) -> Contents:
    """Read a folder as its content requires: `.npy` files, IDX files, or image files."""
    if arrays := class_files(folder):
        unknown = [name for name in classes or () if name not in arrays]
        if unknown:
            raise DataError(f"{folder} has no class {unknown[0]!r}; it has {', '.join(arrays)}.")
        return read_class_arrays({name: arrays[name] for name in classes or arrays})
    if classes is not None:
        raise DataError(f"classes can be chosen from .npy files only; {folder} holds none.")
    if has_idx_files(folder):
        return read_idx_folder(folder)
    return read_image_folder(folder)
