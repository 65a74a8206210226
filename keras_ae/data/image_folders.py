"""Folders of PNG, JPEG, GIF and BMP files, read with Pillow.

The header of every file is checked against the memory limit before any pixel is decoded.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from keras_ae.checks import one_line
from keras_ae.data.contents import Contents, pixels, refuse_beyond_limit, visible_files
from keras_ae.data.image_set import DataError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF")
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 exchange height and width
# One channel each. GIF files are always read in color: their palette may be gray by chance.
_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")


class Header(NamedTuple):
    """The header of an image file, read before its pixels take any memory.

    Attributes:
        height, width: After the EXIF orientation is applied.
        channels: 1 (gray) or 3 (color); transparency is left out.
        frames: More than 1 in an animation, of which the first frame is read.
    """

    height: int
    width: int
    channels: int
    frames: int = 1


def read_image_folder(folder: Path) -> Contents:
    """Read the images of a folder: one subfolder per class, or all images directly in it.

    Returns:
        Images of `(N, height, width)`, or `(N, height, width, 3)` where any has color, uint8, in
        the order of the file names. Labels follow the sorted names of the subfolders.

    Raises:
        DataError: there are no images, their sizes differ, one is damaged, or all together are
            larger than the limit.
    """
    flat = _image_files(folder)
    subfolders = [path for path in visible_files(folder) if path.is_dir()]
    if flat and any(_image_files(subfolder) for subfolder in subfolders):
        raise DataError(
            f"{folder} has images both in itself and in subfolders: use one subfolder per class, "
            "or put all images directly into the folder."
        )
    if flat:
        return Contents(_read_images(flat))
    by_class = {subfolder.name: _image_files(subfolder) for subfolder in subfolders}
    empty = [name for name, files in by_class.items() if not files]
    if empty or not by_class:
        where = f"The subfolder {empty[0]!r} of {folder}" if len(empty) < len(by_class) else folder
        raise DataError(
            f"{where} holds no images ({', '.join(_SUFFIXES)}): give a .npz or .npy file, or "
            "a folder of image files (one subfolder per class), of .npy files or of IDX files."
        )
    images = _read_images([file for files in by_class.values() for file in files])
    labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class.values()])
    return Contents(images, labels.astype(np.int64), tuple(by_class))


def image_header(file: Path) -> Header:
    """The header of an image file.

    Raises:
        DataError: the file is damaged, or the image is larger than the limit.
    """
    with _opened(file) as image:
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        channels = 1 if image.mode in _GRAY_MODES and image.format != "GIF" else 3
        header = Header(height, width, channels, getattr(image, "n_frames", 1))
    if width < 1 or height < 1:
        raise DataError(f"{file} is not a readable image: it has {_size(header)} pixels.")
    refuse_beyond_limit(math.prod(header), str(file))
    return header


def _image_files(folder: Path) -> list[Path]:
    return [
        path
        for path in visible_files(folder)
        if path.suffix.lower() in _SUFFIXES and path.is_file()
    ]


def _read_images(files: Sequence[Path]) -> np.ndarray:
    """Decode image files of one size into one array."""
    headers = [image_header(file) for file in files]
    first = headers[0]
    for file, header in zip(files, headers, strict=True):
        if header[:2] != first[:2]:
            raise DataError(
                f"All images must be of one size: {files[0]} has {_size(first)} pixels, "
                f"{file} has {_size(header)}."
            )
    num_channels = max(header.channels for header in headers)
    shape = (len(files), first.height, first.width, num_channels)
    refuse_beyond_limit(math.prod(shape), str(files[0].parent))
    images = np.empty(shape, np.uint8)
    for index, (file, header) in enumerate(zip(files, headers, strict=True)):
        with _opened(file) as image:
            decoded = _decoded(image, header.channels)
        if decoded.shape != header[:3]:
            raise DataError(f"{file} is not a readable image: its header is damaged.")
        images[index] = decoded  # gray is repeated where other images have color
    return pixels(images, str(files[0].parent))


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image without decoding it; every error, also within the block, is a DataError."""
    refuse_beyond_limit(file.stat().st_size, str(file))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as metadata that Pillow cannot parse
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # From memory: a file object would allocate the size that a damaged header claims.
            with Image.open(io.BytesIO(file.read_bytes()), formats=_FORMATS) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{file} is refused: it has more pixels than PIL.Image.MAX_IMAGE_PIXELS "
            f"({Image.MAX_IMAGE_PIXELS:,}). Make the image smaller."
        ) from error
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise many kinds of errors on damaged files
        raise DataError(f"{file} is not a readable image: {one_line(error)}.") from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or it cannot be parsed.

    Only the header is read: `getexif` would decode a PNG to find more.
    """
    if "exif" not in image.info:
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # like image viewers, ignore damaged metadata
        return 1
    return orientation if orientation in range(1, 9) else 1


def _decoded(image: Image.Image, channels: int) -> np.ndarray:
    """Decode to uint8 `(height, width, channels)`, upright and without transparency."""
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits: keep the upper eight
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    if image.mode == "LA" and channels == 1:
        return np.asarray(image)[..., :1]
    if image.mode == "RGBA" and channels == 3:
        return np.asarray(image)[..., :3]
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array.reshape(*array.shape[:2], channels)


def _size(header: Header) -> str:
    return f"{header.height} x {header.width}"
