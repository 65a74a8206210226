"""Which images a folder has: their parts of the data set, their classes, and the skipped files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_ae.data.contents import printable, visible_files
from keras_ae.data.image_files import ImageFile, find_images, leads_back
from keras_ae.data.image_set import DataError, listed
from keras_ae.data.tfrecord_files import list_records, tfrecord_files
from keras_ae.progress import counted

# Subfolders with these names are the parts of a data set, not classes.
_PARTS = {
    "training": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
MASKS = "ground_truth"  # the subfolder of the masks of defects
_NUM_NAMED = 5  # files named in a notice


class Listed(NamedTuple):
    """An image, its part of the data set, its class, and the mask of its defect.

    The class is None without classes, the mask where there is none.
    """

    file: ImageFile
    part: str
    class_name: str | None
    mask: Path | None = None


class Skipped(NamedTuple):
    """A file that is not read, and why: "unreadable", or its suffix."""

    path: Any  # an `ImageFile` or a folder
    reason: str


def list_images(folder: Path, skipped: list[Skipped]) -> list[Listed]:
    """Every image of a folder of image files or of TFRecord files.

    Args:
        folder: The folder.
        skipped: Gets the files that are no images.

    Raises:
        DataError: there are no images, or the parts or classes are unclear.
    """
    if folder.is_file():
        return _records([folder], skipped)
    if shards := tfrecord_files(folder):
        found = find_images(folder)
        if found.images:
            raise DataError(
                f"{folder} has TFRecord files and images, such as {shards[0].name} and "
                f"{found.images[0].name}: keep one kind in the folder."
            )
        skipped += [Skipped(path, suffix_of(path)) for path in found.others if path not in shards]
        return _records(shards, skipped)
    parts = _part_folders(folder)
    if not parts:
        return [Listed(path, "training", name) for path, name in _with_classes(folder, skipped)]
    others = find_images(folder, nested=False)
    masks = folder / MASKS
    if "test" not in parts and masks.is_dir():
        raise DataError(f"{folder} has masks in {MASKS}, but no folder test with their images.")
    for path in [path for path in visible_files(folder) if path.is_dir()]:
        if path not in parts.values() and not (path == masks and "test" in parts):
            found = find_images(path)
            others.images.extend(found.images)
            others.others.extend(found.others)
    if others.images:
        names = ", ".join(path.name for path in parts.values())
        raise DataError(
            f"{folder} has the subfolders {names}, and images outside of them, such as "
            f"{others.images[0]}: move those into one of the subfolders."
        )
    skipped += [Skipped(path, suffix_of(path)) for path in others.others]
    files = []
    for part, path in parts.items():
        files += [Listed(file, part, name) for file, name in _with_classes(path, skipped)]
    with_names = {
        part: any(each.class_name is not None for each in files if each.part == part)
        for part in parts
    }
    for part, has_classes in with_names.items():
        if has_classes != with_names["training"]:
            raise DataError(
                f"{folder} must have subfolders for the classes in each of its parts, or in none; "
                f"{parts[part].name} has {'' if has_classes else 'no '}subfolders, unlike "
                f"{parts['training'].name}."
            )
    return _with_masks(masks, parts["test"], files) if masks.is_dir() and "test" in parts else files


def _with_masks(folder: Path, test: Path, files: Sequence[Listed]) -> list[Listed]:
    """The test images with the masks of their defects.

    The layout is that of MVTec AD (Bergmann et al., CVPR 2019): the mask of `test/hole/007.png` is
    `ground_truth/hole/007_mask.png`. Images of the classes in training have none.
    """
    masks = {}
    for path in find_images(folder).images:
        class_name, *rest = path.relative_to(folder).parts
        masks[class_name, (*rest[:-1], path.stem.removesuffix("_mask"))] = path
    normal = {each.class_name for each in files if each.part == "training"}
    found = []
    for each in files:
        file: Any = each.file
        mask = None
        if each.part == "test":
            class_name, *rest = file.relative_to(test).parts
            mask = masks.pop((class_name, (*rest[:-1], file.stem)), None)
            if mask is None and class_name not in normal:
                wanted = folder.joinpath(class_name, *rest[:-1], f"{file.stem}_mask.png")
                raise DataError(f"{file} has no mask: add {wanted}, or remove {folder}.")
        found.append(each._replace(mask=mask))
    if masks:
        raise DataError(f"{next(iter(masks.values()))} is a mask without its image in test.")
    return found


def _records(shards: Sequence[Path], skipped: list[Skipped]) -> list[Listed]:
    """The records of TFRecord files, one part of the data set after the other."""
    found, unreadable = list_records(shards, _part_of)
    skipped += [Skipped(record, "unreadable") for record in unreadable]
    records = [Listed(*each) for each in found]
    parts = {each.part for each in records}
    if len(parts) == 1:  # a file of test images alone is a set, too
        return [each._replace(part="training") for each in records]
    if "training" not in parts:
        raise DataError(
            f"{shards[0].parent} has no training images: its files are {listed(parts)} ones."
        )
    return sorted(records, key=lambda each: each.part)


def _part_of(shard: Path) -> str:
    """The part that the name of a file says: `mnist-test.tfrecord-00000-of-00001`."""
    words = re.split(r"[^a-z]+", shard.name.lower())
    return next((part for part, names in _PARTS.items() if set(names) & set(words)), "training")


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


def _with_classes(folder: Path, skipped: list[Skipped]) -> list[tuple[Path, str | None]]:
    """The image files of a folder with the names of their classes, None without subfolders."""
    direct = find_images(folder, nested=False)
    skipped += [Skipped(path, suffix_of(path)) for path in direct.others]
    by_class = {}
    for path in visible_files(folder):
        if path.is_symlink() and leads_back(path):
            skipped.append(Skipped(path, suffix_of(path)))
        elif path.is_dir():
            found = find_images(path)
            skipped += [Skipped(file, suffix_of(file)) for file in found.others]
            if found.images:
                by_class[path.name] = found.images
            else:
                skipped.append(Skipped(path, "empty"))
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
            f"{folder} holds no images{f' but {summary(there)}' if there else ''}: give a .npz or "
            ".npy file, or a folder of image files (one subfolder per class), of .npy files or of "
            "IDX files."
        )
    return [(path, name) for name, paths in by_class.items() for path in paths]


def summary(skipped: Sequence[Skipped]) -> str:
    """Such as "3 files (2 unreadable, 1 .txt) and 1 folder without images"."""
    reasons = Counter(each.reason for each in skipped if each.reason != "empty")
    num_folders = sum(each.reason == "empty" for each in skipped)
    reasons = dict(sorted(reasons.items(), key=lambda item: (item[0] != "unreadable", item[0])))
    listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
    words = [f"{counted(sum(reasons.values()), 'file')} ({listed})"] if reasons else []
    words += [f"{counted(num_folders, 'folder')} without images"] if num_folders else []
    return " and ".join(words)


def names_of(folder: Path, skipped: Sequence[Skipped]) -> str:
    """The first few, unreadable images first, relative to the folder."""
    in_order = sorted(skipped, key=lambda each: each.reason != "unreadable")
    names = [printable(str(each.path.relative_to(folder))) for each in in_order[:_NUM_NAMED]]
    return ", ".join(names) + (", ..." if len(skipped) > _NUM_NAMED else "")


def suffix_of(path: Any) -> str:
    """What a skipped file counts as."""
    if not isinstance(path, Path):
        return "unreadable"
    if path.is_dir():
        return "link to a folder above"
    if not path.is_file():
        return "unreadable"
    return printable(path.suffix.lower()) or "without a suffix"
