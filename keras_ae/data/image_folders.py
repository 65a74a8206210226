"""Folders of image files: classes, training, validation and test images, and skipped files."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_ae.data.contents import Contents, printable
from keras_ae.data.image_files import (
    DecodedImage,
    Header,
    ImageFile,
    decode,
    describe_size,
    has_image_suffix,
    image_header,
)
from keras_ae.data.image_set import DataError, MixedSizes, SkippedFiles, UnreadableImage
from keras_ae.data.listing import (
    Listed,
    Skipped,
    list_images,
    names_of,
    suffix_of,
    summary,
)
from keras_ae.data.preprocessing import Preprocessing
from keras_ae.data.storage import DecodedImages, Storage, gigabytes
from keras_ae.progress import counted
from keras_ae.stored_images import selected

_USUAL_SIDE = 64
_KEPT_BYTES = 2**24  # of decoded images, from which they are kept in the cache
_AT_A_TIME = 64
_LARGE = 2**14  # pixels of an image; of smaller ones, threads only wait for each other
_MAX_12_BIT = 2**12 - 1


class _File(NamedTuple):
    """A `Listed` image with its header."""

    path: ImageFile
    part: str
    class_name: str | None
    mask: Path | None
    header: Header


class _Read(NamedTuple):
    """What was read: images, and what `_contents` needs besides them.

    Attributes:
        images: An array, or `StoredImages`.
        num_of_part: The number of images of each part, in order.
        labels: A label for each image; None without classes.
        masks: The path of the mask of each test image, or None.
        names: The path of each image relative to the folder.
        class_names, notices: Those of `Contents`.
    """

    images: Any
    num_of_part: dict[str, int]
    labels: list[int] | None
    class_names: list[str]
    masks: list[str | None]
    names: list[str]
    notices: list[str]


def read_image_folder(
    folder: Path,
    preprocessing: Preprocessing | None = None,
    *,
    strict: bool = False,
    storage: Storage | None = None,
) -> Contents:
    """Read the images of a folder: one subfolder per class, or all images directly in it.

    The class of an image in deeper folders is the first of them. Subfolders `train` and `test` or
    `validation` (or `val`, `valid`) hold the parts of the data set, each with or without classes.
    Files that cannot be read are skipped, and a notice says so.

    Args:
        folder: The folder.
        preprocessing: Size and colors of the images; None for the defaults.
        strict: Whether skipped files are an error.
        storage: Where the images are kept; None for memory, where they fit.

    Returns:
        Images of `(N, height, width)`, or `(N, height, width, 3)` where any has color, uint8, in
        the order of the file names. Labels follow the sorted names of the classes. The decoded
        images, from 16 MiB on, are also in a file of the cache, which the next call reads; those
        that do not fit into memory are there only.

    Raises:
        MixedSizes: their sizes differ, and `preprocessing` has no `image_size`.
        DataError: there are no images, the classes are unclear, or the disk is too small.
    """
    preprocessing, storage = preprocessing or Preprocessing(), storage or Storage()
    skipped: list[Skipped] = []
    listed = list_images(folder, skipped)
    request = _request(folder, listed, skipped, preprocessing, strict)
    decoded = DecodedImages(request, _Read._fields[1:])
    read = _from_cache(decoded, storage)
    if read is None:
        files = _with_headers(folder, listed, skipped, storage)
        if preprocessing.image_size is None:
            _check_sizes(files)
        read = _decoded(folder, listed, files, preprocessing, skipped, strict, storage, decoded)
    return _contents(folder, read, preprocessing)


def _request(
    folder: Path,
    listed: Sequence[Listed],
    skipped: Sequence[Skipped],
    preprocessing: Preprocessing,
    strict: bool,
) -> list:
    """All that decides what is read: the name of the decoded images in the cache."""

    files = []
    for each in listed:
        files.append([_relative(each.file, folder), each.part, each.class_name])
        for path in (each.file, each.mask):
            with contextlib.suppress(OSError, AttributeError):  # a broken link, no mask
                status: Any = path.stat()  # pyright: ignore[reportOptionalMemberAccess]
                files[-1] += [status.st_size, status.st_mtime_ns]
    others = [[_relative(each.path, folder), each.reason] for each in skipped]
    return [str(folder.resolve()), files, others, preprocessing.to_dict(), strict]


def _relative(path: Any, folder: Path) -> str:
    if isinstance(path, Path):  # twice as fast as relative_to
        return os.sep.join(path.parts[len(folder.parts) :])
    return str(path.relative_to(folder))


def _from_cache(decoded: DecodedImages, storage: Storage) -> _Read | None:
    """Images that an earlier call has decoded; None where it has not."""
    found = decoded.load()
    if found is None:
        return None
    images, content = found
    read = _Read(images, *(content[name] for name in _Read._fields[1:]))
    if storage.fits(math.prod(images.shape)):
        return read._replace(images=images.pixels(slice(None)))
    return _with_notice(read, storage, decoded)


def _with_notice(read: _Read, storage: Storage, decoded: DecodedImages) -> _Read:
    disk = gigabytes(math.prod(read.images.shape))
    where = f"decoded into {decoded.folder} ({disk}), which can be deleted at any time"
    words = storage.notice(len(read.images), math.prod(read.images.shape), where)
    return read._replace(notices=[*read.notices, words])


def _contents(folder: Path, read: _Read, preprocessing: Preprocessing) -> Contents:
    """The parts of a set, which are stored one after the other."""
    labels = None if read.labels is None else np.array(read.labels, np.int64)
    all_names = np.array(read.names, object)
    arrays, names, start = {}, {}, 0
    for part, number in read.num_of_part.items():
        chosen = slice(start, start + number)
        arrays[part] = selected(read.images, chosen), None if labels is None else labels[chosen]
        names[part] = all_names[chosen]
        start += number
    nothing = (None, None)
    masks = _masks(read, preprocessing) if any(read.masks) else None
    images, train_labels = arrays["training"]
    test_images, test_labels = arrays.get("test", nothing)
    validation_images, validation_labels = arrays.get("validation", nothing)
    return Contents(
        images,
        train_labels,
        tuple(map(printable, read.class_names)),
        test_images,
        test_labels,
        validation_images,
        validation_labels,
        (*read.notices, *_notice_on_masks(folder, masks, read.masks)),
        masks,
        names["training"],
        names.get("test"),
        names.get("validation"),
    )


def _notice_on_masks(
    folder: Path, masks: np.ndarray | None, names: Sequence[str | None]
) -> list[str]:
    """A line on masks of which nothing is left, as where cropping cuts the defect off."""
    if masks is None:
        return []
    num = sum(name is not None and not mask.any() for mask, name in zip(masks, names, strict=True))
    if not num:
        return []
    return [
        f"{folder.name}: {counted(num, 'mask')} of {sum(name is not None for name in names):,} "
        "mark no pixel: cropping cuts the defect off, or the file is black. Resizing can also pad "
        "or stretch"
    ]


def _masks(read: _Read, preprocessing: Preprocessing) -> np.ndarray:
    """The masks of the test images, `(N, height, width)` bool, cut and resized as the images."""
    settings = replace(preprocessing, color="gray", background="black")
    masks = np.zeros((len(read.masks), *read.images.shape[1:3]), bool)
    for number, name in enumerate(read.masks):
        if name is not None:
            header = image_header(Path(name))
            masks[number] = decode(Path(name), header, settings, False).pixels >= 128
    return masks


def _with_headers(
    folder: Path,
    files: Sequence[Listed],
    skipped: list[Skipped],
    storage: Storage,
) -> list[_File]:
    """The files whose headers can be read."""
    arrays = [each.path for each in skipped if each.reason == ".npy"]
    if arrays:
        raise DataError(
            f"{folder} has images and NumPy arrays, such as {files[0].file} and "
            f"{arrays[0].name}: keep one kind, or give the path of the array."
        )
    read, problem = [], None
    for number, each in enumerate(files, start=1):
        path = each.file
        storage.progress(number, 2 * len(files))  # decoding them is the second half
        try:
            header = image_header(path)
            if each.mask:
                _check_mask(each.mask, path, header)
            read.append(_File(path, each.part, each.class_name, each.mask, header))
        except UnreadableImage as error:
            problem = problem or error
            reason = "unreadable" if has_image_suffix(path) else suffix_of(path)
            skipped.append(Skipped(path, reason))
    if not read:
        raise DataError(f"{folder} holds no readable image; the first problem: {problem}")
    return read


def _check_mask(mask: Path, file: ImageFile, header: Header) -> None:
    try:
        size = image_header(mask).size
    except UnreadableImage as error:  # not to be skipped with the image
        raise DataError(str(error)) from error
    if size != header.size:
        raise DataError(
            f"{mask} must have the {describe_size(header.size)} pixels of {file}; it has "
            f"{describe_size(size)}."
        )


# ---- pixels ----


def _check_sizes(files: Sequence[_File]) -> None:
    first = files[0]
    for file in files:
        if file.header.size != first.header.size:
            side = round(statistics.median(min(each.header.size) for each in files))
            side -= side % 8 if side > 8 else 0  # networks halve the sides
            raise MixedSizes(
                f"All images must be of one size: {first.path} has "
                f"{describe_size(first.header.size)} pixels, {file.path} has "
                f"{describe_size(file.header.size)}.",
                max(1, min(side, _USUAL_SIDE)),
            )


def _decoded(
    folder: Path,
    listed: Sequence[Listed],
    files: Sequence[_File],
    preprocessing: Preprocessing,
    skipped: list[Skipped],
    strict: bool,
    storage: Storage,
    decoded: DecodedImages,
) -> _Read:
    """Decode the images into memory, or into a file of the cache where they do not fit."""
    color = preprocessing.color == "rgb"
    if preprocessing.color == "auto":
        color = any(file.header.channels == 3 for file in files)
    size = preprocessing.image_size or files[0].header.size
    shape = (len(files), *size, *([3] if color else []))
    kept: list[_File] = []
    peaks: list[int] = []

    def decoded_or_error(file: _File) -> DecodedImage | UnreadableImage:
        try:
            return decode(file.path, file.header, preprocessing, color)
        except UnreadableImage as error:
            return error

    def fill(images: np.ndarray) -> int:
        problem = None
        large = math.prod(files[0].header.size) >= _LARGE
        results = in_parallel(decoded_or_error, files) if large else map(decoded_or_error, files)
        for number, (file, image) in enumerate(zip(files, results, strict=True), start=1):
            storage.progress(len(listed) + number, len(listed) + len(files))
            if isinstance(image, UnreadableImage):
                problem = problem or image
                skipped.append(Skipped(file.path, "unreadable"))
                continue
            images[len(kept)] = image.pixels
            kept.append(file)
            peaks.extend([] if image.peak is None else [image.peak])
        if not kept:
            raise DataError(f"{folder} holds no readable image; the first problem: {problem}")
        _check_skipped(folder, listed, kept, skipped, strict)
        return len(kept)

    def described() -> dict[str, Any]:
        class_names = _in_order({each.class_name for each in listed if each.class_name is not None})
        index = {name: number for number, name in enumerate(class_names)}
        labels = [index[file.class_name or ""] for file in kept] if class_names else None
        return {
            "num_of_part": Counter(file.part for file in kept),
            "labels": labels,
            "class_names": class_names,
            "masks": [file.mask and str(file.mask) for file in kept if file.part == "test"],
            "names": [_relative(file.path, folder) for file in kept],
            "notices": list(_notices(folder, kept, skipped, peaks)),
        }

    if storage.fits(math.prod(shape)):
        images = np.empty(shape, np.uint8)
        images = images[: fill(images)]
        read = _Read(images, **described())
        return read if images.nbytes < _KEPT_BYTES else _kept(read, decoded, described)
    images, content = decoded.write(shape, fill, described)
    read = _Read(images, *(content[name] for name in _Read._fields[1:]))
    return _with_notice(read, storage, decoded)


def _kept(read: _Read, decoded: DecodedImages, content: Callable[[], dict]) -> _Read:
    """Write images that are in memory into the cache, for the next program."""

    def fill(pixels: np.ndarray) -> int:
        pixels[:] = read.images
        return len(pixels)

    try:
        decoded.write(read.images.shape, fill, content)
        words = (
            f"the decoded images are kept in {decoded.folder} ({gigabytes(read.images.nbytes)}), "
            "where the next program finds them; it can be deleted at any time"
        )
    except DataError as error:
        words = f"the next program decodes the images again. {error}"
    return read._replace(notices=[*read.notices, words])


def in_parallel(function: Callable, items: Sequence) -> Iterator:
    """`function` of each item, in order, by threads: Pillow decodes without Python's lock."""
    parts = [items[start : start + _AT_A_TIME] for start in range(0, len(items), _AT_A_TIME)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for results in threads.map(lambda part: [function(item) for item in part], parts):
            yield from results


def _in_order(class_names: set[str]) -> list[str]:
    """Sorted names; numbers by their value."""
    numbers = all(name.isdecimal() for name in class_names)
    return sorted(class_names, key=lambda name: (len(name), name) if numbers else (0, name))


def _check_skipped(
    folder: Path,
    listed: Sequence[Listed],
    files: Sequence[_File],
    skipped: Sequence[Skipped],
    strict: bool,
) -> None:
    """Raise a DataError for skipped files where they matter."""
    if strict and skipped:
        raise SkippedFiles(
            f"{folder}: {summary(skipped)} cannot be read as images: {names_of(folder, skipped)}."
        )
    lost = {(each.part, each.class_name) for each in listed} - {
        (file.part, file.class_name) for file in files
    }
    if lost:
        part, name = min(lost, key=str)
        which = f"{part} image" if name is None else f"{part} image of the class {name!r}"
        raise DataError(f"{folder} has no {which} that is readable: {names_of(folder, skipped)}.")


# ---- notices ----


def _notices(
    folder: Path, files: Sequence[_File], skipped: Sequence[Skipped], peaks: Sequence[int]
) -> Iterable[str]:
    if skipped:
        yield (
            f"{printable(folder.name)}: read {counted(len(files), 'image')}; skipped "
            f"{summary(skipped)}: {names_of(folder, skipped)}"
        )
    animated = [Skipped(file.path, "") for file in files if file.header.frames > 1]
    if animated:
        has = "has" if len(animated) == 1 else "have"
        yield (
            f"{counted(len(animated), 'file')} {has} several frames or pages, of which the first "
            f"is read: {names_of(folder, animated)}"
        )
    if peaks and max(peaks) <= _MAX_12_BIT:
        yield (
            f"the {counted(len(peaks), 'image')} of 16 bits use at most "
            f"{max(1, max(peaks).bit_length())} bits (largest value {max(peaks):,} of 65,535), so "
            "they are dark; stretch their values to 16 bits if that is not intended"
        )
