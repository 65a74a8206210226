"""Training, validation and test images; a held-out class; few labels; black-and-white images.

Every function here depends on its arguments and seed alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from keras_ae.data.contents import Contents
from keras_ae.data.image_set import DataError, ImageSet, Split, Subset, hint, listed
from keras_ae.data.storage import MOST_FLOATS
from keras_ae.stored_images import StoredImages, as_float, selected

BINARIZATIONS = ("threshold", "bernoulli")

# The seed of the test images of a data set that has none; the seed of a run does not change it.
_TEST_SEED = 7
_BINARIZATION_SEED = 7
_MOST_IN_MEMORY = {"train": 60_000, "validation": 5_000, "test": 10_000}
_BYTES_IN_MEMORY = 2**30  # as float32, of images on disk
_NUM_VALIDATION = 5000
_NUM_FEW_LABELS = 550


def binarized(image_set: ImageSet, how: str) -> ImageSet:
    """Binarize a data set: every pixel becomes black or white, the same ones at every call.

    Args:
        image_set: What `load` returned.
        how: "threshold": a pixel is white if it has at least half of full intensity. "bernoulli":
            its intensity is the probability of white, drawn with a fixed seed (Salakhutdinov and
            Murray, "On the quantitative analysis of deep belief networks", ICML 2008, sec. 4.2).

    Returns:
        A data set of uint8 images of 0 and 255, with `_<how>` added to its name.

    Raises:
        DataError: an unknown `how`.
    """
    if how not in BINARIZATIONS:
        raise DataError(f"how must be one of {listed(BINARIZATIONS)}; received {how!r}.")
    if isinstance(image_set.train_images, StoredImages):
        raise DataError(
            f"{image_set.name} is larger than the memory limit and cannot be made black and white: "
            "raise the limit, or store the images so."
        )
    random = np.random.default_rng(_BINARIZATION_SEED)

    def in_black_and_white(images: np.ndarray) -> np.ndarray:
        full = 255 if images.dtype == np.uint8 else 1
        if how == "threshold":
            return np.where(images >= full / 2, np.uint8(255), np.uint8(0))
        white = [random.random(image.shape, np.float32) * full < image for image in images]
        return np.where(white, np.uint8(255), np.uint8(0))

    train_images = in_black_and_white(image_set.train_images)
    test_images = in_black_and_white(image_set.test_images)
    validation_images = image_set.validation_images
    if validation_images is not None:
        validation_images = in_black_and_white(validation_images)
    return replace(
        image_set,
        name=f"{image_set.name}_{how}",
        train_images=train_images,
        test_images=test_images,
        validation_images=validation_images,
    )


def split(image_set: ImageSet, *, seed: int = 42, held_out_class: int | str | None = None) -> Split:
    """Split a data set into training, validation and test images, by its content and `seed` alone.

    Where the data set has validation images of its own, they are used. Otherwise one image in
    twelve, at most 5,000, is drawn for validation from the training images (5,000 of MNIST's
    60,000). The held-out class is removed from training and validation images after that draw, so
    that the other images stay in their parts. All of its images are then test images, after the
    others; only where `fixed_test` those of the training images are left out.

    Args:
        image_set: What `load` returned.
        seed: Random seed, >= 0.
        held_out_class: Name or index of a class to leave out of training and validation.

    Returns:
        The training images in their stored order, the validation images in the order drawn or
        stored, and the test images, all float32 in [0, 1]. Where they have more
        than 64 Mi pixels and those are bytes: `StoredImages` of the bytes.

    Raises:
        DataError: fewer than 3 training images to draw from, an unknown class, or no images left.
    """
    num_images = len(image_set.train_images)
    held_out = None if held_out_class is None else held_out_index(image_set, held_out_class)
    train = image_set.train_images, image_set.train_labels
    if image_set.validation_images is not None:
        validation = image_set.validation_images, image_set.validation_labels
        num_validation = len(image_set.validation_images)
        indices = {"training": np.arange(num_images), "validation": np.arange(num_validation)}
    else:
        if num_images < 3:
            raise DataError(
                f"{image_set.name} has too few training images to split: at least 3 are needed; "
                f"received {num_images}."
            )
        validation = train
        num_validation = max(1, min(_NUM_VALIDATION, num_images // 12))
        drawn = np.random.default_rng(seed).permutation(num_images)
        indices = {
            "training": np.sort(drawn[num_validation:]),
            "validation": drawn[:num_validation],
        }
    removed = []
    for part, (images, labels) in (("training", train), ("validation", validation)):
        if held_out is None or labels is None:
            continue
        kept = indices[part]
        indices[part] = kept[labels[kept] != held_out]
        dropped = kept[labels[kept] == held_out]
        source, names = "training", image_set.train_names
        if part == "validation" and image_set.validation_images is not None:
            source, names = part, image_set.validation_names
        if names is None:
            names = np.array([f"{source} {index}" for index in dropped], object)
        else:
            names = names[dropped]
        removed.append((selected(images, dropped), labels[dropped], names))
        if not len(indices[part]):
            raise DataError(
                f"{image_set.name} has no {part} images left without the class "
                f"{image_set.class_names[held_out]!r}: hold out another class, or split with "
                "another seed."
            )

    test_images: Any = image_set.test_images
    test_labels: Any = image_set.test_labels
    test_names: Any = image_set.test_names
    if test_names is None:
        test_names = np.arange(len(test_images))
    if removed and not image_set.fixed_test:
        for images, labels, names in removed:
            test_images = _joined(test_images, images)
            test_labels = np.concatenate([test_labels, labels])
            test_names = np.concatenate([test_names, names])

    def subset(images: Any, labels: np.ndarray | None, kept: np.ndarray | slice) -> Subset:
        if isinstance(images, StoredImages):
            images = images.where(kept)
        elif images.dtype == np.uint8 and images.size > MOST_FLOATS:
            images = StoredImages([images]).where(kept)
        else:
            # Select first: as float32 the images take four times the memory.
            images = as_float(images[kept])
        return Subset(images, None if labels is None else labels[kept])

    return Split(
        train=subset(*train, indices["training"]),
        validation=subset(*validation, indices["validation"]),
        test=subset(test_images, test_labels, slice(None)),
        # The images of a held-out class that were for training have no masks.
        test_masks=None if removed else image_set.test_masks,
        test_names=test_names,
    )


def in_memory(split: Split) -> Split:
    """A split whose images are arrays: of images on disk, a part drawn at random.

    Of each of the three, at most as many images as MNIST has and at most 1 GiB, always the same
    ones. Of images in memory, all.
    """
    subsets = (split.train, split.validation, split.test)
    if not any(isinstance(each.images, StoredImages) for each in subsets):
        return split
    parts: dict[str, Subset] = {}
    masks, names = split.test_masks, split.test_names
    for name, number in num_in_memory(split).items():
        part = getattr(split, name)
        chosen = np.arange(len(part))
        if number < len(part):
            chosen = np.sort(np.random.default_rng(_TEST_SEED).permutation(len(part))[:number])
        labels = None if part.labels is None else part.labels[chosen]
        parts[name] = Subset(part.images[chosen], labels)
        if name == "test":
            masks, names = (each if each is None else each[chosen] for each in (masks, names))
    return Split(**parts, test_masks=masks, test_names=names)


def num_in_memory(split: Split) -> dict[str, int]:
    """How many images `in_memory` keeps of each part."""
    number = {}
    for name, most in _MOST_IN_MEMORY.items():
        images = getattr(split, name).images
        number[name] = len(images)
        if isinstance(images, StoredImages) and images.on_disk:
            most = min(most, max(1, _BYTES_IN_MEMORY // images.image_bytes))
            number[name] = min(number[name], most)
    return number


def _joined(images: Any, others: Any) -> Any:
    if isinstance(images, StoredImages):
        return images.followed_by(others)
    return np.concatenate([images, others])


def held_out_index(image_set: ImageSet, held_out_class: int | str) -> int:
    """The index of a class given by name or index; a string is first looked up as a name.

    Raises:
        DataError: the data set has no labels, or no such class.
    """
    names = image_set.class_names
    if image_set.train_labels is None:
        raise DataError(
            f"{image_set.name} has no labels, so no class of it can be held out; "
            f"received {held_out_class!r}."
        )
    text = str(held_out_class)
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise DataError(
        f"{image_set.name} has no class {text!r}, neither by name nor by index; its classes are "
        f"{listed(names)}.{hint(text, names)}"
    )


def few_labels(labels: np.ndarray, *, seed: int = 42, num: int | None = None) -> np.ndarray:
    """Choose the few training images whose labels are used, by the labels and `seed` alone.

    Args:
        labels: `(N,)` labels of the training images.
        seed: Random seed, >= 0.
        num: The number of labels. Default: 1% of the images, at most 550, at least 10 per class.

    Returns:
        Sorted distinct indices into `labels`: 10 of each class (all of a class that has fewer; an
        equal share where `num` does not allow 10), and the rest uniformly from what is left.

    Raises:
        DataError: no labels, or `num` above N or below one per class.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype == object:
        raise DataError(
            "Few labels are chosen from a list of labels, one per image; "
            f"received {labels.dtype} of the shape {labels.shape}."
        )
    classes = np.unique(labels)
    if num is None:
        num = max(10 * len(classes), min(_NUM_FEW_LABELS, round(0.01 * len(labels))))
        num = min(num, len(labels))
    if not len(classes) <= num <= len(labels):
        raise DataError(
            f"The number of few labels must lie between {len(classes)}, one per class, and "
            f"{len(labels)}, the number of images; received {num}."
        )
    # Independent of the random numbers that `split` draws with the same seed.
    random = np.random.default_rng([seed, 1])
    num_each = min(10, num // len(classes))
    of_each = [random.permutation(np.flatnonzero(labels == label))[:num_each] for label in classes]
    first = np.concatenate(of_each)
    left = np.setdiff1d(np.arange(len(labels)), first)
    rest = random.choice(left, num - len(first), replace=False)
    return np.sort(np.concatenate([first, rest]))


def with_test_images(name: str, contents: Contents) -> ImageSet:
    """Make an `ImageSet`; where there are no test images, draw a seventh of each class for them.

    A seventh, as in MNIST: 10,000 of 70,000. Both parts are shuffled, so that the first few images
    of a set that is stored class by class show several classes.
    """
    images, labels = contents.images, contents.labels
    others = {
        "class_names": contents.class_names,
        "validation_images": contents.validation_images,
        "validation_labels": contents.validation_labels,
        "notices": contents.notices,
        "validation_names": contents.validation_names,
    }
    if contents.test_images is not None:
        test = contents.test_images, contents.test_labels
        others |= {"train_names": contents.names, "test_names": contents.test_names}
        made = ImageSet(name, images, labels, *test, test_masks=contents.test_masks, **others)
        _check_defects(made)
        return made
    if len(images) < 2:
        raise DataError(f"{name} has too few images: at least 2 are needed; received 1.")
    test = _draw_test_indices(labels, len(images))
    random = np.random.default_rng(_TEST_SEED)
    test = random.permutation(test)
    train = random.permutation(np.setdiff1d(np.arange(len(images)), test))
    train_images, test_images = selected(images, train), selected(images, test)
    names = np.arange(len(images)) if contents.names is None else contents.names
    others |= {"train_names": names[train], "test_names": names[test]}
    if labels is None:
        return ImageSet(name, train_images, None, test_images, None, **others)
    return ImageSet(name, train_images, labels[train], test_images, labels[test], **others)


def _check_defects(image_set: ImageSet) -> None:
    """Check a set with one class in training and others in the test, such as one of defects.

    Raises:
        DataError: no test image is normal, or validation images are anomalous.
    """
    name = image_set.normal_class
    if name is None:
        return
    normal = image_set.class_names.index(name)
    if not np.any(image_set.test_labels == normal):
        raise DataError(
            f"{image_set.name} has no test image of {name}, the class in training: add some, such "
            f"as a folder test/{name}."
        )
    labels = image_set.validation_labels
    others = np.unique(labels[labels != normal]) if labels is not None else []
    if len(others):
        which = listed([image_set.class_names[each] for each in others])
        raise DataError(
            f"{image_set.name} has validation images of {which}, but its training images are all "
            f"of {name}: the threshold is fitted to normal images. Move the others to the test."
        )


def _draw_test_indices(labels: np.ndarray | None, num_images: int) -> np.ndarray:
    """Indices of a seventh of each class, drawn for each class independently."""
    everything = np.arange(num_images)
    groups = [] if labels is None else [everything[labels == label] for label in np.unique(labels)]
    if not any(len(group) > 1 for group in groups):
        groups = [everything]
    drawn = []
    for group in groups:
        number = min(len(group) - 1, max(1, round(len(group) / 7)))
        drawn.append(np.random.default_rng(_TEST_SEED).permutation(group)[:number])
    return np.concatenate(drawn)
