"""Folders of image files: classes, training, validation and test images, and skipped files."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_ae.data.contents import Contents, printable, refuse_beyond_limit, visible_files
from keras_ae.data.image_files import (
    Header,
    decode,
    describe_size,
    find_images,
    has_image_suffix,
    image_header,
    leads_back,
)
from keras_ae.data.image_set import DataError, MixedSizes, UnreadableImage
from keras_ae.data.preprocessing import Preprocessing

# Subfolders with these names are the parts of a data set, not classes.
_PARTS = {
    "training": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
_USUAL_SIDE = 64
_MAX_12_BIT = 2**12 - 1
_NUM_NAMED = 5  # files named in a notice


class _File(NamedTuple):
    """An image file, its part of the data set, and its class (None without classes)."""

    path: Path
    part: str
    class_name: str | None
    header: Header


class _Skipped(NamedTuple):
    """A file that is not read, and why: "unreadable", or its suffix."""

    path: Path
    reason: str


def read_image_folder(
    folder: Path, preprocessing: Preprocessing | None = None, *, strict: bool = False
) -> Contents:
    """Read the images of a folder: one subfolder per class, or all images directly in it.

    The class of an image in deeper folders is the first of them. Subfolders `train` and `test` or
    `validation` (or `val`, `valid`) hold the parts of the data set, each with or without classes.
    Files that cannot be read are skipped, and a notice says so.

    Args:
        folder: The folder.
        preprocessing: Size and colors of the images; None for the defaults.
        strict: Whether skipped files are an error.

    Returns:
        Images of `(N, height, width)`, or `(N, height, width, 3)` where any has color, uint8, in
        the order of the file names. Labels follow the sorted names of the classes.

    Raises:
        MixedSizes: their sizes differ, and `preprocessing` has no `image_size`.
        DataError: there are no images, the classes are unclear, or all together are larger than the
            limit.
    """
    preprocessing = preprocessing or Preprocessing()
    skipped: list[_Skipped] = []
    listed = _listed_files(folder, skipped)
    files = _with_headers(folder, listed, skipped)
    if preprocessing.image_size is None:
        _check_sizes(files)
    images, files, peaks = _decoded(folder, files, preprocessing, skipped)
    if strict and skipped:
        raise DataError(
            f"{folder}: {_summary(skipped)} cannot be read as images: {_names(folder, skipped)}. "
            "Remove them, or load the folder without strict."
        )
    groups = {(part, name) for _, part, name in listed}
    lost = groups - {(file.part, file.class_name) for file in files}
    if lost:
        part, name = min(lost, key=str)
        which = f"{part} image" if name is None else f"{part} image of the class {name!r}"
        raise DataError(f"{folder} has no {which} that is readable: {_names(folder, skipped)}.")
    class_names = sorted({name for _, name in groups if name is not None})
    labels = None
    if class_names:
        index = {name: number for number, name in enumerate(class_names)}
        labels = np.array([index[file.class_name or ""] for file in files], np.int64)
    arrays, start = {}, 0
    for part, number in Counter(file.part for file in files).items():  # stored one after the other
        chosen = slice(start, start + number)
        arrays[part] = images[chosen], None if labels is None else labels[chosen]
        start += number
    nothing = (None, None)
    train_images, train_labels = arrays["training"]
    test_images, test_labels = arrays.get("test", nothing)
    validation_images, validation_labels = arrays.get("validation", nothing)
    return Contents(
        train_images,
        train_labels,
        tuple(map(printable, class_names)),
        test_images,
        test_labels,
        validation_images,
        validation_labels,
        tuple(_notices(folder, files, skipped, peaks)),
    )


# ---- which files ----


def _listed_files(folder: Path, skipped: list[_Skipped]) -> list[tuple[Path, str, str | None]]:
    """Every image file with its part and its class."""
    parts = _part_folders(folder)
    if not parts:
        return [(path, "training", name) for path, name in _with_classes(folder, skipped)]
    others = find_images(folder, nested=False)
    inside = [path for path in visible_files(folder) if path.is_dir()]
    for path in inside:
        if path not in parts.values():
            found = find_images(path)
            others.images.extend(found.images)
            others.others.extend(found.others)
    if others.images:
        names = ", ".join(path.name for path in parts.values())
        raise DataError(
            f"{folder} has the subfolders {names}, and images outside of them, such as "
            f"{others.images[0]}: move those into one of the subfolders."
        )
    skipped += [_Skipped(path, _suffix(path)) for path in others.others]
    files = []
    for part, path in parts.items():
        files += [(file, part, name) for file, name in _with_classes(path, skipped)]
    with_names = {
        part: any(name is not None for _, each, name in files if each == part) for part in parts
    }
    for part, has_classes in with_names.items():
        if has_classes != with_names["training"]:
            raise DataError(
                f"{folder} must have subfolders for the classes in each of its parts, or in none; "
                f"{parts[part].name} has {'' if has_classes else 'no '}subfolders, unlike "
                f"{parts['training'].name}."
            )
    return files


def _part_folders(folder: Path) -> dict[str, Path]:
    """The folder of each part; empty where the subfolders are not parts.

    Only "train" with another part: "train" alone may be a class among cars and buses.
    """
    subfolders = {path.name.lower(): path for path in visible_files(folder) if path.is_dir()}
    found = {
        part: [subfolders[name] for name in names if name in subfolders]
        for part, names in _PARTS.items()
    }
    double = next((paths for paths in found.values() if len(paths) > 1), None)
    parts = {part: paths[0] for part, paths in found.items() if paths}
    if "training" not in parts or (len(parts) < 2 and len(subfolders) > 1):
        return {}
    if double:
        names = " and ".join(path.name for path in double)
        raise DataError(f"{folder} has the subfolders {names} for the same images: keep one.")
    return parts


def _with_classes(folder: Path, skipped: list[_Skipped]) -> list[tuple[Path, str | None]]:
    """The image files of a folder with the names of their classes, None without subfolders."""
    direct = find_images(folder, nested=False)
    skipped += [_Skipped(path, _suffix(path)) for path in direct.others]
    by_class = {}
    for path in visible_files(folder):
        if path.is_symlink() and leads_back(path):
            skipped.append(_Skipped(path, _suffix(path)))
        elif path.is_dir():
            found = find_images(path)
            skipped += [_Skipped(file, _suffix(file)) for file in found.others]
            if found.images:
                by_class[path.name] = found.images
            else:
                skipped.append(_Skipped(path, "empty"))
    if direct.images and by_class:
        raise DataError(
            f"{folder} has images both in itself and in subfolders: use one subfolder per class, "
            "or put all images directly into the folder."
        )
    if direct.images:
        return [(path, None) for path in direct.images]
    if not by_class:
        there = [each for each in skipped if each.reason != "empty"]
        raise DataError(
            f"{folder} holds no images{f' but {_summary(there)}' if there else ''}: give a .npz or "
            ".npy file, or a folder of image files (one subfolder per class), of .npy files or of "
            "IDX files."
        )
    return [(path, name) for name, paths in by_class.items() for path in paths]


def _with_headers(
    folder: Path, files: Sequence[tuple[Path, str, str | None]], skipped: list[_Skipped]
) -> list[_File]:
    """The files whose headers can be read."""
    arrays = [each.path for each in skipped if each.reason == ".npy"]
    if arrays:
        raise DataError(
            f"{folder} has images and NumPy arrays, such as {files[0][0].name} and "
            f"{arrays[0].name}: keep one kind, or give the path of the array."
        )
    read, problem = [], None
    for path, part, class_name in files:
        try:
            read.append(_File(path, part, class_name, image_header(path)))
        except UnreadableImage as error:
            problem = problem or error
            reason = "unreadable" if has_image_suffix(path) else _suffix(path)
            skipped.append(_Skipped(path, reason))
    if not read:
        raise DataError(f"{folder} holds no readable image; the first problem: {problem}")
    return read


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
    folder: Path, files: Sequence[_File], preprocessing: Preprocessing, skipped: list[_Skipped]
) -> tuple[np.ndarray, list[_File], list[int]]:
    """The images of the files that can be decoded, those files, and the peaks of 16-bit images."""
    color = preprocessing.color == "rgb"
    if preprocessing.color == "auto":
        color = any(file.header.channels == 3 for file in files)
    size = preprocessing.image_size or files[0].header.size
    shape = (len(files), *size, *([3] if color else []))
    refuse_beyond_limit(math.prod(shape), str(folder))
    images = np.empty(shape, np.uint8)
    kept, peaks, problem = [], [], None
    for file in files:
        try:
            decoded = decode(file.path, file.header, preprocessing, color)
        except UnreadableImage as error:
            problem = problem or error
            skipped.append(_Skipped(file.path, "unreadable"))
            continue
        images[len(kept)] = decoded.pixels
        kept.append(file)
        peaks += [] if decoded.peak is None else [decoded.peak]
    if not kept:
        raise DataError(f"{folder} holds no readable image; the first problem: {problem}")
    return images[: len(kept)], kept, peaks


# ---- notices ----


def _notices(
    folder: Path, files: Sequence[_File], skipped: Sequence[_Skipped], peaks: Sequence[int]
) -> Iterable[str]:
    if skipped:
        yield (
            f"{printable(folder.name)}: read {_counted(len(files), 'image')}; skipped "
            f"{_summary(skipped)}: {_names(folder, skipped)}"
        )
    animated = [_Skipped(file.path, "") for file in files if file.header.frames > 1]
    if animated:
        has = "has" if len(animated) == 1 else "have"
        yield (
            f"{_counted(len(animated), 'file')} {has} several frames or pages, of which the first "
            f"is read: {_names(folder, animated)}"
        )
    if peaks and max(peaks) <= _MAX_12_BIT:
        yield (
            f"the {_counted(len(peaks), 'image')} of 16 bits use at most "
            f"{max(1, max(peaks).bit_length())} bits (largest value {max(peaks):,} of 65,535), so "
            "they are dark; stretch their values to 16 bits if that is not intended"
        )


def _summary(skipped: Sequence[_Skipped]) -> str:
    """Such as "3 files (2 unreadable, 1 .txt) and 1 folder without images"."""
    reasons = Counter(each.reason for each in skipped if each.reason != "empty")
    num_folders = sum(each.reason == "empty" for each in skipped)
    reasons = dict(sorted(reasons.items(), key=lambda item: (item[0] != "unreadable", item[0])))
    listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
    words = [f"{_counted(sum(reasons.values()), 'file')} ({listed})"] if reasons else []
    words += [f"{_counted(num_folders, 'folder')} without images"] if num_folders else []
    return " and ".join(words)


def _names(folder: Path, skipped: Sequence[_Skipped]) -> str:
    """The first few, unreadable images first, relative to the folder."""
    in_order = sorted(skipped, key=lambda each: each.reason != "unreadable")
    names = [printable(str(each.path.relative_to(folder))) for each in in_order[:_NUM_NAMED]]
    return ", ".join(names) + (", ..." if len(skipped) > _NUM_NAMED else "")


def _suffix(path: Path) -> str:
    """What a skipped file counts as."""
    if path.is_dir():
        return "link to a folder above"
    if not path.is_file():
        return "unreadable"
    return printable(path.suffix.lower()) or "without a suffix"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
