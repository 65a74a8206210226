"""Images to predict, read in batches: image files, and `.npy` or `.npz` arrays.

Only one batch of images is in memory at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from keras_ae.data.contents import converter, printable, with_image_axes
from keras_ae.data.image_files import Found, find_images, image_files, image_header, read_image
from keras_ae.data.image_set import DataError, UnreadableImage, listed
from keras_ae.data.listing import MASKS
from keras_ae.data.numpy_files import ArrayStream, choose_images
from keras_ae.prediction.trained_model import (
    TrainedModel,
    WrongSize,
    image_converter,
    settings_for,
)
from keras_ae.progress import counted
from keras_ae.stored_images import as_float


class Batch(NamedTuple):
    """Images with pixels in [0, 1], float32, and the name of each: a relative path or an index."""

    names: list[str]
    images: np.ndarray


class NotAllImages(DataError):
    """A file that is not a readable image, where all must be.

    Attributes:
        problem: The message without advice.
    """

    def __init__(self, problem: str):
        super().__init__(f"{problem} Remove such files, or predict without strict to skip them.")
        self.problem = " ".join(problem.splitlines())


class Images(Protocol):
    """Images that are read in batches.

    Attributes:
        column: What a name is: "file" or "index".
        notices: What the user should know, a line each.
        skipped: The name of each file that was skipped, and why. Complete after `batches`.
    """

    column: str
    notices: list[str]
    skipped: list[tuple[str, str]]

    def __len__(self) -> int: ...

    def batches(self, batch_size: int) -> Iterator[Batch]: ...


class ImageFiles:
    """Image files in a folder and its subfolders, or one image file.

    Args:
        path: The folder or file.
        model: The model that the images are read for.
        strict: Whether a file that cannot be read is an error; it is skipped by default.

    Raises:
        DataError: there are no images, or their size is not that of the model.
    """

    column = "file"

    def __init__(self, path: Path, model: TrainedModel, strict: bool = False):
        self._root = path if path.is_dir() else path.parent
        self._settings, self._shape = settings_for(model), model.image_shape
        self._strict = strict
        self.skipped: list[tuple[str, str]] = []
        self.notices: list[str] = []
        # Relative names: whole paths would take much more memory.
        found = find_images(path) if path.is_dir() else Found(image_files(path), [])
        if not found.images:
            raise DataError(
                f"{path} holds no image files: give a folder of image files, an image file, or a "
                ".npy or .npz file."
            )
        self._names = [file.relative_to(self._root).as_posix() for file in found.images]
        if path.is_dir() and (path / "test").is_dir():
            names = [name for name in self._names if not name.startswith(f"{MASKS}/")]
            if len(names) < len(self._names):
                num = counted(len(self._names) - len(names), "mask")
                self.notices.append(f"{path}: {num} in {MASKS} left out")
                self._names = names
        if found.others:
            names = [os.path.relpath(file, path) for file in found.others]
            words = f"{len(names):,} {'file that is' if len(names) == 1 else 'files that are'}"
            line = f"{path} has {words} not an image: {listed(map(printable, names[:5]))}"
            if strict:
                raise NotAllImages(f"{line}.")
            self.notices.append(f"{line}{', ...' if len(names) > 5 else ''}")
        if self._settings.image_size is None or strict:
            self._check_headers()

    def __len__(self) -> int:
        return len(self._names)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The images in the order of their names; unreadable ones are left out.

        Raises:
            DataError: no image is readable; or, where strict, any is not.
        """
        num_read = 0
        for start in range(0, len(self), batch_size):
            names, images = [], []
            for name in self._names[start : start + batch_size]:
                try:
                    images.append(read_image(self._root / name, self._settings, self._shape))
                except UnreadableImage as error:
                    if self._strict:
                        raise NotAllImages(str(error)) from error
                    self.skipped.append((name, str(error)))
                    continue
                names.append(name)
            if names:
                num_read += len(names)
                yield Batch(names, as_float(np.stack(images)))
        if not num_read:
            problem = self.skipped[0][1]
            if len(self) == 1:
                raise DataError(problem)
            raise DataError(f"none of {len(self):,} images is readable; the first: {problem}")

    def _check_headers(self) -> None:
        """Refuse wrong sizes, and where strict unreadable files, before anything is computed."""
        for name in self._names:
            try:
                size = image_header(self._root / name).size
            except UnreadableImage as error:
                if self._strict:
                    raise NotAllImages(str(error)) from error
                continue
            if self._settings.image_size is None and size != self._shape[:2]:
                raise WrongSize(str(self._root / name), size, self._shape)


class ImageArray:
    """The images of a `.npy` file, or of a `.npz` archive.

    Args:
        path: The file.
        model: The model that the images are read for.

    Raises:
        DataError: it does not hold images, or not of the size of the model.
    """

    column = "index"

    def __init__(self, path: Path, model: TrainedModel):
        self.skipped: list[tuple[str, str]] = []
        self.notices: list[str] = []
        self._source = str(path)
        self._stream = ArrayStream(path, self._choose)
        # An array of one row shows the shape; its content does not matter.
        row = np.zeros((min(1, len(self)), *self._stream.shape[1:]), self._stream.dtype)
        shape = with_image_axes(row, self._source).shape[1:]
        self._fit = image_converter(model, shape, self._source)
        self._convert, notice = converter(self._source, self._stream.dtype, *self._extremes())
        self.notices += [notice] if notice else []
        if shape[2:] == (4,):
            self.notices.append(
                f"{path}: images of 4 channels are taken as red, green, blue and transparency"
            )

    def __len__(self) -> int:
        return len(self._stream)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The images in order.

        Raises:
            DataError: the file is damaged.
        """
        start = 0
        for rows in self._stream.batches(batch_size):
            images = self._convert(with_image_axes(rows, self._source))
            names = [str(index) for index in range(start, start + len(rows))]
            start += len(rows)
            yield Batch(names, as_float(self._fit(images)))

    def _choose(self, names: Sequence[str]) -> str:
        chosen = choose_images(Path(self._source), names)
        if others := [name for name in names if name != chosen]:
            self.notices.append(f"read the array {chosen}; not used: {listed(others)}")
        return chosen

    def _extremes(self) -> tuple[float, float]:
        """The smallest and the largest value of the whole array; NaN where there is one."""
        found = [(rows.min(), rows.max()) for rows in self._stream.batches()]
        lowest, highest = zip(*found, strict=True)
        return np.min(lowest), np.max(highest)


def open_images(path: Path, model: TrainedModel, strict: bool = False) -> Images:
    """Images of a folder of image files, of one image file, or of a `.npy` or `.npz` array.

    Args:
        path: The folder or file.
        model: The model that the images are read for.
        strict: Whether a file that cannot be read as an image is an error.

    Raises:
        DataError: the path does not exist, or does not hold images that fit the model.
    """
    if path.suffix.lower() in (".npy", ".npz") and path.is_file():
        return ImageArray(path, model)
    return ImageFiles(path, model, strict)
