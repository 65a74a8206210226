"""Images that stay on disk, or bytes in memory: `StoredImages`, which are floats in parts only.

They serve where an array of images serves: `model.fit`, `evaluate`, `encode`, `reconstruct` and
`anomaly_score` read them in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

PART_BYTES = 2**26  # of images in memory at a time


class StoredImages:
    """Images as float32 in [0, 1], of which only the part that is read is float32.

    From arrays that are mapped from files, which stay on disk, or from bytes in memory, which take
    a quarter of the memory.

    Args:
        arrays: One or more arrays `(N, H, W)` or `(N, H, W, C)` that differ in N only, such as
            `numpy.load(path, mmap_mode="r")` or a uint8 array.
        chosen: Indices into all of them, one array after the other; None for all images in order.
        convert: Makes uint8 or float32 images of a part of an array. Default: leaves them as they
            are.

    Attributes:
        shape: `(N, H, W)` or `(N, H, W, C)`.
        ndim: Length of `shape`.
        dtype: float32, that of the images read.
        pixel_dtype: uint8 or float32, that of the pixels in the arrays, once converted.

    Example:
        >>> pixels = np.load("photographs.npy", mmap_mode="r")     # uint8
        >>> model.fit(StoredImages([pixels]), epochs=10)
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        chosen: np.ndarray | None = None,
        convert: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self._arrays = list(arrays)
        shapes = {array.shape[1:] for array in self._arrays}
        if len(shapes) != 1:
            raise ValueError(f"All images must have one shape; received {sorted(shapes)}.")
        self._ends = np.cumsum([len(array) for array in self._arrays])
        self._chosen = np.arange(self._ends[-1]) if chosen is None else np.asarray(chosen, np.int64)
        self._convert = convert or _unchanged
        self.pixel_dtype = self._convert(self._arrays[0][:1]).dtype
        self.shape = (len(self._chosen), *shapes.pop())
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def image_bytes(self) -> int:
        """The size of one image as float32."""
        return 4 * int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def on_disk(self) -> bool:
        """Whether any of the arrays is mapped from a file."""
        return any(isinstance(array, np.memmap) for array in self._arrays)

    @property
    def files(self) -> list[str]:
        """The paths of the files that the arrays are mapped from."""
        return [str(array.filename) for array in self._arrays if isinstance(array, np.memmap)]

    @property
    def key(self) -> bytes:
        """The same for the same images of the same arrays."""
        arrays = [array.__array_interface__["data"][0] for array in self._arrays]
        layouts = [(array.shape, array.strides, array.dtype.str) for array in self._arrays]
        return repr([arrays, layouts]).encode() + self._chosen.tobytes()

    def __getitem__(self, index: Any) -> np.ndarray:
        """The images that an index, a slice, a mask or an array of indices selects, in memory.

        Raises:
            ValueError: float pixels outside [0, 1].
        """
        images = as_float(self.pixels(index))
        if self.pixel_dtype.kind == "f" and images.size:
            lowest, highest = images.min(), images.max()
            if not (lowest >= 0 and highest <= 1):
                raise ValueError(
                    f"Images on disk must have pixels in [0, 1]; received pixels from {lowest:g} "
                    f"to {highest:g}. Pass a convert function that scales them."
                )
        return images

    def pixels(self, index: Any) -> np.ndarray:
        """The same as uint8 where the arrays have bytes."""
        return self._convert(self._read(self._chosen[index]))

    def where(self, index: Any) -> StoredImages:
        """The images that a slice, a mask or an array of indices selects, still on disk."""
        return StoredImages(self._arrays, self._chosen[index], self._convert)

    def followed_by(self, other: StoredImages) -> StoredImages:
        """These images, then others of the same arrays.

        Raises:
            ValueError: the others are of other arrays.
        """
        ours, theirs = ([id(array) for array in each._arrays] for each in (self, other))
        if ours != theirs:
            raise ValueError("Images of different arrays cannot be joined.")
        both = np.concatenate([self._chosen, other._chosen])
        return StoredImages(self._arrays, both, self._convert)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All images in memory."""
        return np.asarray(self[:], dtype)

    def parts(self) -> Iterator[slice]:
        """Slices that together select all images, of at most 64 MiB each."""
        length = max(1, PART_BYTES // self.image_bytes)
        for start in range(0, len(self), length):
            yield slice(start, start + length)

    def _read(self, indices: Any) -> np.ndarray:
        """The stored pixels of some images, by their place in all arrays."""
        flat = np.atleast_1d(indices)
        if len(self._arrays) == 1 and flat.size and np.all(np.diff(flat) == 1):
            copy = np.array(self._arrays[0][flat[0] : flat[-1] + 1])
            return copy.reshape(*np.shape(indices), *self.shape[1:])
        read = np.empty((len(flat), *self.shape[1:]), self._arrays[0].dtype)
        of_array = np.searchsorted(self._ends, flat, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        for number in np.unique(of_array):
            places = np.flatnonzero(of_array == number)
            places = places[np.argsort(flat[places], kind="stable")]  # a disk reads in order faster
            read[places] = self._arrays[number][flat[places] - starts[number]]
        return read.reshape(*np.shape(indices), *self.shape[1:])


def _unchanged(part: np.ndarray) -> np.ndarray:
    return part


def bytes_or_floats(images: Any, index: Any) -> np.ndarray:
    """Some of the images: of `StoredImages` that have bytes those, uint8; of others float32."""
    if isinstance(images, StoredImages) and images.pixel_dtype == np.uint8:
        return images.pixels(index)
    return images[index]


def as_float(images: np.ndarray) -> np.ndarray:
    """uint8 as float32 in [0, 1], without a temporary array; floats as float32."""
    if images.dtype == np.uint8:
        return np.divide(images, np.float32(255), dtype=np.float32)
    return np.asarray(images, dtype=np.float32)


def selected(images: Any, index: Any) -> Any:
    """`images[index]` of an array, or `images.where(index)` of images that stay on disk."""
    return images.where(index) if isinstance(images, StoredImages) else images[index]
