"""Data sets of images: loading, splitting, held-out classes and few labels.

    images = data.load("mnist")                        # or the path of a file or folder
    parts = data.split(images, seed=42)                # parts.train, parts.validation, parts.test
    labeled = data.few_labels(parts.train.labels)      # indices of the images whose labels are used

`load` returns the data set that was requested or raises `DataError`; it never switches to another
one. TensorFlow is imported only to read a set that tensorflow-datasets prepares, and only if it is
not in the cache yet.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_ae.checks import one_line
from keras_ae.data import digits, published, quickdraw
from keras_ae.data.contents import Contents, refuse_beyond_limit, visible_files
from keras_ae.data.idx_files import has_idx_files, read_idx_folder
from keras_ae.data.image_files import find_images, image_files, read_image
from keras_ae.data.image_folders import read_image_folder
from keras_ae.data.image_set import (
    DataError,
    ImageSet,
    MixedSizes,
    Split,
    Subset,
    UnreadableImage,
    hint,
    listed,
)
from keras_ae.data.numpy_files import class_files, read_class_arrays, read_numpy
from keras_ae.data.preprocessing import Preprocessing
from keras_ae.data.splits import (
    BINARIZATIONS,
    binarized,
    few_labels,
    held_out_index,
    in_memory,
    num_in_memory,
    split,
    with_test_images,
)
from keras_ae.data.storage import DecodedImages, Storage
from keras_ae.data.tfrecord_files import is_tfrecord
from keras_ae.stored_images import StoredImages

__all__ = [
    "BINARIZATIONS",
    "DATASETS",
    "DataError",
    "ImageSet",
    "MixedSizes",
    "PUBLISHED",
    "Preprocessing",
    "Split",
    "Storage",
    "Subset",
    "UnreadableImage",
    "binarized",
    "few_labels",
    "held_out_index",
    "image_files",
    "in_memory",
    "load",
    "load_default",
    "num_in_memory",
    "read_image",
    "split",
]


class _NamedDataset(NamedTuple):
    """An entry of `DATASETS`.

    Attributes:
        read: Called as `read(data_dir)`, or `read(data_dir, classes, storage)` where
            `takes_classes`; returns the images. `data_dir` is None by default.
        takes_classes: Whether some of the classes can be chosen.
    """

    read: Callable[..., Contents]
    takes_classes: bool = False


# Names of the sets with published results, whose protocol is the default there.
PUBLISHED = frozenset(published.PUBLISHED)

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
    image_size: int | Sequence[int] | None = None,
    resize: str = "crop",
    color: str = "auto",
    background: str = "white",
    strict: bool = False,
    storage: Storage | None = None,
) -> ImageSet:
    """Load a data set by name or from a file or folder.

    Args:
        dataset: A name in `DATASETS`, or a path: a `.npz`, `.npy` or `.tfrecord` file, or a folder
            of image files (one subfolder per class, or all images directly in it; subfolders
            `train`, `validation` and `test` are the parts of the set), of `.npy` files named by
            their class, of TFRecord files, or of the four IDX files. If a set has no test images, a
            seventh of each class becomes its test images.
        classes: The classes to load, in this order, of quickdraw or of a folder of `.npy` files.
            Default: all classes on disk.
        data_dir: The folder of a named set, also for downloads. Default: `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`; for quickdraw `$QUICKDRAW_DIR` or a folder in the cache.
        image_size: Resize the images to this height and width, or to a square of this side.
            Default: leave them as they are; images of several sizes are then an error.
        resize: "crop", "pad" or "stretch": see `Preprocessing`.
        color: "auto", "gray" or "rgb": see `Preprocessing`.
        background: Name of a color or "#rrggbb": what is behind transparent pixels and around
            padded images.
        strict: Whether files that cannot be read as images are an error. Default: they are skipped,
            and `ImageSet.notices` says so.
        storage: Memory limit of a folder of image files or of `.npy` files; beyond it the images
            stay on disk, as `StoredImages`. Default: half of the memory that is free.

    Returns:
        The images, uint8 or float32 in [0, 1], with labels where there are any, and notices.

    Raises:
        MixedSizes: images of several sizes, without `image_size`.
        DataError: the data set is unknown, missing, damaged, too large or cannot be downloaded, or
            an argument cannot be used.

    Example:
        >>> data.load("digits").image_shape
        (28, 28)
        >>> data.load("my_photographs", image_size=(48, 64), resize="pad").image_shape
        (48, 64, 3)
        >>> data.load("a_million_photographs", image_size=64, storage=data.Storage(4 * 10**9))
    """
    if not isinstance(dataset, str | os.PathLike):
        raise DataError(
            f"A data set is a name ({listed(DATASETS)}) or a path; received {dataset!r}."
        )
    preprocessing = Preprocessing(image_size, resize, color, background)  # pyright: ignore
    storage = storage or Storage()
    if classes is not None:
        classes = _checked_classes(classes)
    if isinstance(dataset, str) and dataset in DATASETS:
        entry = DATASETS[dataset]
        if classes is not None and not entry.takes_classes:
            raise DataError(
                "classes can be chosen for quickdraw or a folder of .npy files; "
                f"received {dataset!r}."
            )
        chosen = (classes, storage) if entry.takes_classes else ()
        contents = entry.read(data_dir, *chosen)
        contents = _preprocessed(contents, preprocessing, dataset, storage)
        image_set = with_test_images(dataset, contents)
        return replace(image_set, fixed_test=dataset in PUBLISHED)
    text = os.fsdecode(dataset)
    path = Path(os.path.expanduser(text))
    if not os.path.exists(path) or not text:
        raise DataError(
            f"{text!r} is neither a data set ({listed(DATASETS)}) nor a path that exists."
            + hint(text, DATASETS)
        )
    contents = _read_path(path, classes, preprocessing, strict, storage)
    return with_test_images(path.resolve().name, contents)


def load_default(
    *, data_dir: str | os.PathLike | None = None, **options: Any
) -> tuple[ImageSet, str | None]:
    """Load MNIST, or digits where MNIST cannot be loaded: the default when no set is named.

    Args:
        data_dir: As in `load`.
        **options: Further arguments of `load`.

    Returns:
        The data set, and a notice to show to the user if it is not MNIST, else None.
    """
    try:
        return load("mnist", data_dir=data_dir, **options), None
    except DataError as error:
        notice = (
            "NOTICE: no data set was named and MNIST could not be loaded; using the small "
            f"`digits` of scikit-learn instead. The reason: {error}"
        )
        return load("digits", **options), notice


def _checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as a tuple, after a check that each can be a file name; one string is one."""
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    for name in names:
        if not isinstance(name, str) or not name or name[0] == "." or set(name) & set("/\\\0"):
            raise DataError(f"{name!r} cannot be the name of a class.")
    if not names or len(set(names)) < len(names):
        raise DataError(f"classes must be one or more different names; received {list(names)}.")
    return names


def _read_path(
    path: Path,
    classes: Sequence[str] | None,
    preprocessing: Preprocessing,
    strict: bool,
    storage: Storage,
) -> Contents:
    """Read a file or folder of any supported kind."""
    try:
        if path.is_dir():
            return _read_folder(path, classes, preprocessing, strict, storage)
        if classes is not None:
            raise DataError(
                f"classes can be chosen from a folder of .npy files only; received the file {path}."
            )
        if is_tfrecord(path):
            return read_image_folder(path, preprocessing, strict=strict, storage=storage)
        if path.suffix.lower() not in (".npz", ".npy"):
            raise DataError(
                f"{path} is not a kind of file that can be read: "
                "give a .npz, .npy or .tfrecord file, or a folder of images."
            )
        return _preprocessed(read_numpy(path, storage), preprocessing, str(path), storage)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}.") from error


def _read_folder(
    folder: Path,
    classes: Sequence[str] | None,
    preprocessing: Preprocessing,
    strict: bool,
    storage: Storage,
) -> Contents:
    """Read a folder as its content requires: `.npy` files, IDX files, or image files."""
    arrays = class_files(folder)
    if (arrays or has_idx_files(folder)) and (images := find_images(folder).images):
        kind = "NumPy arrays" if arrays else "IDX files"
        examples = [*(paths[0].name for paths in list(arrays.values())[:1]), images[0].name]
        raise DataError(
            f"{folder} has {kind} and images, such as {' and '.join(examples)}: keep one kind in "
            "the folder, or give the path of the array."
        )
    if arrays:
        unknown = [name for name in classes or () if name not in arrays]
        if unknown:
            raise DataError(f"{folder} has no class {unknown[0]!r}; it has {', '.join(arrays)}.")
        contents = read_class_arrays({name: arrays[name] for name in classes or arrays}, storage)
        known = [path for paths in arrays.values() for path in paths]
        others = [path.name for path in visible_files(folder) if path not in known]
        if others and strict:
            raise DataError(f"{folder} has more than .npy files: {listed(others)}. Remove them.")
        if others:
            notice = f"{folder.name}: read {len(known)} .npy files; skipped {listed(others)}"
            contents = contents._replace(notices=(*contents.notices, notice))
        return _preprocessed(contents, preprocessing, str(folder), storage)
    if classes is not None:
        raise DataError(f"classes can be chosen from .npy files only; {folder} holds none.")
    if has_idx_files(folder):
        return _preprocessed(read_idx_folder(folder), preprocessing, str(folder), storage)
    return read_image_folder(folder, preprocessing, strict=strict, storage=storage)


def _preprocessed(
    contents: Contents, preprocessing: Preprocessing, source: str, storage: Storage
) -> Contents:
    """Resize and convert images that were read from arrays."""
    size = preprocessing.image_size
    changed, notices = {}, list(contents.notices)
    for part in ("images", "test_images", "validation_images"):
        images = getattr(contents, part)
        if images is None:
            continue
        is_color = preprocessing.color == "rgb" or images.ndim == 4
        shape = (len(images), *(size or images.shape[1:3]), 3 if is_color else 1)
        if not isinstance(images, StoredImages):
            refuse_beyond_limit(math.prod(shape) * images.itemsize, source)
        if part == "images" and images.shape[3:] == (4,):
            notices.append(
                f"{source}: images of 4 channels are taken as red, green, blue and transparency, "
                f"and composited over {preprocessing.background}"
            )
        if isinstance(images, StoredImages):
            changed[part] = _preprocessed_on_disk(images, preprocessing, source, storage)
        else:
            changed[part] = preprocessing.of_arrays(images)
    return contents._replace(**changed, notices=tuple(notices))


def _preprocessed_on_disk(
    images: StoredImages, preprocessing: Preprocessing, source: str, storage: Storage
) -> StoredImages:
    """Images that stay on disk, resized and converted into a file of the cache where needed."""
    example = images.pixels(slice(0, 1))
    changed = preprocessing.of_arrays(example)
    if changed is example:
        return images
    if images.pixel_dtype != np.uint8:
        raise DataError(
            f"{source} is larger than the memory limit, and its floats would have to be resized or "
            'converted: store them as bytes, (images * 255).astype("uint8"), or raise the limit.'
        )
    files = [[str(path), os.stat(path).st_size, os.stat(path).st_mtime_ns] for path in images.files]
    decoded = DecodedImages([files, preprocessing.to_dict()])

    def fill(pixels: np.ndarray) -> int:
        for part in images.parts():
            pixels[part] = preprocessing.of_arrays(images.pixels(part))
            storage.progress(min(part.stop, len(images)), len(images))
        return len(images)

    found = decoded.load() or decoded.write((len(images), *changed.shape[1:]), fill, dict)
    return found[0]
