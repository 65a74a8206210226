"""Data sets of images: `ImageSet`, its parts `Subset` and `Split`, and `DataError`."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_ae.stored_images import StoredImages, selected


class DataError(ValueError):
    """A data set that cannot be loaded; the message is one line: the reason, then what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))  # file names may contain line breaks


class UnreadableImage(DataError):
    """An image file that is damaged, or that is no image."""


class MixedSizes(DataError):
    """Images of several sizes where one is needed.

    Attributes:
        problem: The message without advice.
        image_size: A size that all of them can be resized to: the side of a square.
    """

    def __init__(self, problem: str, image_size: int):
        super().__init__(f"{problem} Give an image_size, such as {image_size}, to resize them.")
        self.problem = " ".join(problem.splitlines())
        self.image_size = image_size


class SkippedFiles(DataError):
    """Files that are no readable images, in a folder that was to be read with `strict`.

    Attributes:
        problem: The message without advice.
    """

    def __init__(self, problem: str):
        super().__init__(f"{problem} Remove them, or load the folder without strict.")
        self.problem = problem


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set: training and test images with labels.

    Attributes:
        name: The name of the set in a report.
        train_images: `(N, H, W)` or `(N, H, W, C)`, uint8 or float32 in [0, 1]; `StoredImages` of
            a set that is larger than the memory limit.
        train_labels: `(N,)` int64 indices into `class_names`, or None without labels.
        test_images: As `train_images`.
        test_labels: As `train_labels`; None exactly where those are.
        class_names: One name per class; empty without labels.
        validation_images: As `train_images`; None where `split` draws them from those.
        validation_labels: As `train_labels`; None where those or the validation images are.
        notices: One line for each thing to know about the reading, such as skipped files.
        test_masks: `(N, H, W)` bool, where a test image is anomalous; None without masks.
        fixed_test: Whether a published protocol fixes the test images.
        train_names: `(N,)`, the path of each image relative to the folder, str, or its index in the
            array, int; None where that is its place here.
        test_names, validation_names: As `train_names`.
    """

    name: str
    train_images: Any
    train_labels: np.ndarray | None
    test_images: Any
    test_labels: np.ndarray | None
    class_names: tuple[str, ...] = ()
    validation_images: Any = None
    validation_labels: np.ndarray | None = None
    notices: tuple[str, ...] = ()
    test_masks: np.ndarray | None = None
    fixed_test: bool = False
    train_names: np.ndarray | None = None
    test_names: np.ndarray | None = None
    validation_names: np.ndarray | None = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width)` or `(height, width, channels)`."""
        return self.train_images.shape[1:]

    @property
    def num_classes(self) -> int:
        """The number of classes, 0 without labels."""
        return len(self.class_names)

    @property
    def normal_class(self) -> str | None:
        """The only class of the training images where the test images have others, else None.

        That is the layout of sets of defects: `train/good`, `test/good`, `test/hole`.
        """
        if self.train_labels is None:
            return None
        trained = np.unique(self.train_labels)
        others = np.setdiff1d(self.test_labels, trained)  # pyright: ignore
        return self.class_names[trained[0]] if len(trained) == 1 and len(others) else None

    @cached_property
    def names_digest(self) -> str | None:
        """A digest of the names of the files, 16 hex digits; None for images from arrays."""
        names = [self.train_names, self.validation_names, self.test_names]
        if self.train_names is None or self.train_names.dtype != object:
            return None
        text = json.dumps([each if each is None else each.tolist() for each in names])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of shapes, types and contents, 16 hex digits."""
        digest = hashlib.sha256()
        arrays = [self.train_images, self.train_labels, self.test_images, self.test_labels]
        if self.validation_images is not None:  # sets without them keep their fingerprint
            arrays += [self.validation_images, self.validation_labels]
        if self.test_masks is not None:
            arrays.append(self.test_masks)
        for array in arrays:
            if array is None:
                digest.update(b"None")
            elif isinstance(array, StoredImages):  # as the same images in memory
                digest.update(f"{array.shape} {array.pixel_dtype.str}".encode())
                for part in array.parts():
                    digest.update(np.ascontiguousarray(array.pixels(part)).reshape(-1).data)
            else:
                digest.update(f"{array.shape} {array.dtype.str}".encode())
                digest.update(np.ascontiguousarray(array).reshape(-1).data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Subset:
    """Images and labels as models take them.

    Attributes:
        images: `(N, H, W)` or `(N, H, W, C)`, float32 in [0, 1]; `StoredImages` of a set that is
            large (see `split`) or stays on disk.
        labels: `(N,)` int64, or None.
    """

    images: Any
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def where(self, chosen: np.ndarray) -> Subset:
        """The images and labels that a mask or an array of indices selects."""
        images = selected(self.images, chosen)
        return Subset(images, None if self.labels is None else self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test images of a data set.

    Attributes:
        train, validation, test: The images and labels.
        test_masks: `(N, H, W)` bool, where a test image is anomalous; None without masks.
        test_names: `(N,)`, the path of each test image relative to the folder of the set, str; of
            images from arrays the index, int. An image of a held-out class that comes from another
            array than the test images is, for example, "training 17". None where not known.
    """

    train: Subset
    validation: Subset
    test: Subset
    test_masks: np.ndarray | None = None
    test_names: np.ndarray | None = None


def listed(names: Iterable[str]) -> str:
    """The first 40 names, for a message."""
    names = list(names)
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "") or "none"


def hint(received: str, known: Iterable[str]) -> str:
    """'Did you mean ...?' with the most similar known name; empty if none is similar."""
    lower = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(received.lower(), lower, 1)
    return f" Did you mean {lower[nearest[0]]!r}?" if nearest else ""
