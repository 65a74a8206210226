"""Image files, read with Pillow: any format that it knows, except those that run programs.

The header of a file is checked against the memory limit before any pixel is decoded.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_ae.checks import one_line
from keras_ae.data.contents import refuse_beyond_limit
from keras_ae.data.image_set import DataError, UnreadableImage
from keras_ae.data.preprocessing import DecodedImage, Preprocessing, orientation

# EPS and WMF start other programs, IPTC writes temporary files, MPEG is a video, FITS and MCIDAS
# expand without a check of their size, and the rest are only stubs that identify a format.
_EXCLUDED = {"EPS", "WMF", "IPTC", "MPEG", "FITS", "MCIDAS", "BUFR", "GRIB", "HDF5", "FPX", "MIC"}
# Formats that a file of any name is recognized as, by its first bytes.
_BY_CONTENT = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PSD", "QOI")
# Further frames of these are layers or previews, not an animation or pages.
_WITHOUT_FRAMES = ("MPO", "PSD")
# One channel each. GIF files are always read in color: their palette may be gray by chance.
_GRAY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


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

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


def image_files(path: str | os.PathLike) -> list[Path]:
    """The image files in a folder and its subfolders, or one file; nothing is decoded.

    Hidden files and folders are left out. A file counts as an image by its suffix, or by its first
    bytes.

    Args:
        path: A folder, or an image file.

    Returns:
        The paths, sorted by folder and name.

    Raises:
        DataError: the path does not exist, or holds no image files.

    Example:
        >>> for path in image_files("new_photographs"):
        ...     image = read_image(path, preprocessing, model.image_shape)
    """
    path = Path(os.path.expanduser(path))
    try:
        if not path.is_dir():
            if not path.exists():
                raise DataError(f"{path} does not exist.")
            return [path]
        files = find_images(path).images
    except OSError as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}.") from error
    if not files:
        raise DataError(f"{path} holds no image files.")
    return files


def read_image(
    path: str | os.PathLike, preprocessing: Preprocessing, image_shape: Sequence[int]
) -> np.ndarray:
    """Read one image file as the images of a data set were read.

    Args:
        path: The file.
        preprocessing: The settings of the data set, such as
            `Preprocessing.from_dict(model.preprocessing)`.
        image_shape: The shape to return, `(height, width)` or `(height, width, 3)`, such as
            `model.image_shape`.

    Returns:
        The pixels, uint8 `image_shape`. Divide them by 255 for a model.

    Raises:
        UnreadableImage: the file is damaged or no image.
        DataError: it is larger than the limit, or has another size and `preprocessing` has no
            `image_size`.

    Example:
        >>> settings = Preprocessing(image_size=64)
        >>> read_image("cat.jpg", settings, (64, 64, 3)).shape
        (64, 64, 3)
    """
    shape = tuple(image_shape)
    if len(shape) == 3 and shape[2] == 1:
        return read_image(path, preprocessing, shape[:2])[..., None]
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        raise DataError(
            "Image files can be read with the shape (height, width) or (height, width, 3); "
            f"received {shape}."
        )
    wanted = preprocessing.image_size or shape[:2]
    if wanted != shape[:2]:
        raise DataError(f"image_size {wanted} does not belong to images of the shape {shape}.")
    path = Path(path)
    header = image_header(path)
    if preprocessing.image_size is None and header.size != wanted:
        raise DataError(
            f"{path} has {describe_size(header.size)} pixels, and {describe_size(wanted)} are "
            "needed: resize it, or use settings with an image_size."
        )
    return decode(path, header, preprocessing, len(shape) == 3).pixels


def image_header(file: ImageFile) -> Header:
    """The header of an image file.

    Raises:
        UnreadableImage: the file is damaged, or no image.
        DataError: the image is larger than the limit.
    """
    with _opened(file) as image:
        width, height = image.size
        if image.format == "PNG" and "exif" not in image.info and _has_late_exif(file):
            refuse_beyond_limit(width * height * 4, str(file))
            image.load()  # reads what follows the pixels
        if orientation(image) >= 5:
            width, height = height, width
        channels = 1 if image.mode in _GRAY_MODES and image.format != "GIF" else 3
        frames = 1 if image.format in _WITHOUT_FRAMES else getattr(image, "n_frames", 1)
        header = Header(height, width, channels, frames)
    if width < 1 or height < 1:
        raise UnreadableImage(f"{file} is not a readable image: it has {width} x {height} pixels.")
    refuse_beyond_limit(math.prod(header), str(file))
    return header


def decode(
    file: ImageFile, header: Header, preprocessing: Preprocessing, color: bool
) -> DecodedImage:
    """Decode an image file whose header was checked.

    Raises:
        UnreadableImage: the file is damaged.
    """
    with _opened(file) as image:
        decoded = preprocessing.pixels_of(image, 3 if color else 1)
    if decoded.pixels.shape[:2] != (preprocessing.image_size or header.size):
        raise UnreadableImage(f"{file} is not a readable image: its header is damaged.")
    return decoded


def has_image_suffix(file: ImageFile) -> bool:
    """Whether the name of a file says that it is an image."""
    return file.suffix.lower() in _suffixes()


class ImageFile(Protocol):
    """What is read of an image file: a `Path`, or a record that stands for one."""

    @property
    def suffix(self) -> str: ...

    def stat(self) -> Any: ...

    def read_bytes(self) -> bytes: ...


class Found(NamedTuple):
    """What `find_images` found in a folder and its subfolders.

    Attributes:
        images: Image files, by their suffix or first bytes.
        others: Other files, such as text files and broken links, and links to a folder that they
            are in.
    """

    images: list[Path]
    others: list[Path]


def find_images(folder: Path, *, nested: bool = True) -> Found:
    """The files of a folder, sorted, with or without those of its subfolders.

    Hidden files and folders are left out. Links to other folders are followed.
    """
    found = Found([], [])
    _collect(folder, nested, found)
    return found


def leads_back(folder: Path) -> bool:
    """Whether a path is a link to a folder that it is in."""
    return os.path.realpath(folder) in {os.path.realpath(parent) for parent in folder.parents}


def is_image(file: Path) -> bool:
    """Whether a file is an image by its suffix, or by its first bytes."""
    if not file.is_file():  # a broken link, a pipe
        return False
    if file.suffix.lower() in _suffixes():
        return True
    try:
        with open(file, "rb") as opened:
            start = opened.read(32)
    except OSError:
        return False
    return any(_accepts(name, start) for name in _BY_CONTENT if name in Image.OPEN)


def _has_late_exif(file: ImageFile) -> bool:
    """Whether a PNG file has an EXIF chunk, which some programs write after the pixels."""
    return b"eXIf" in file.read_bytes()


def describe_size(size: Sequence[int]) -> str:
    """Height and width in words."""
    return f"{size[0]} x {size[1]}"


def _collect(folder: Path, nested: bool, found: Found) -> None:
    with os.scandir(folder) as listing:  # its entries know their kind
        entries = sorted((each for each in listing if each.name[0] != "."), key=lambda e: e.name)
    for entry in entries:
        path = folder / entry.name
        if not entry.is_dir():
            image = entry.is_file() if has_image_suffix(path) else is_image(path)
            (found.images if image else found.others).append(path)
        elif nested and path.is_symlink() and leads_back(path):
            found.others.append(path)
        elif nested:
            _collect(path, nested, found)


def _suffixes() -> dict[str, str]:
    """The suffixes of image files, and the format of each."""
    Image.init()
    return _suffixes_of(len(Image.EXTENSION), len(Image.OPEN))


@functools.cache
def _suffixes_of(num_suffixes: int, num_formats: int) -> dict[str, str]:
    """As `_suffixes`; a plugin of Pillow that is added changes the arguments."""
    suffixes = Image.registered_extensions().items()
    return {
        suffix: name for suffix, name in suffixes if name in Image.OPEN and name not in _EXCLUDED
    }


def _formats(suffix: str) -> tuple[str, ...]:
    """The formats that a file with this suffix may have, whatever the suffix says.

    Formats that are not recognized by their first bytes, such as TGA, would accept damaged files of
    other formats: only their own suffix allows them.
    """
    own = _suffixes().get(suffix.lower())
    return tuple(
        name
        for name in Image.ID
        if name not in _EXCLUDED and (Image.OPEN[name][1] is not None or name == own)
    )


def _accepts(name: str, start: bytes) -> bool:
    """Whether the first bytes of a file are those of a format."""
    accept = Image.OPEN[name][1]
    return accept is not None and accept(start) is True


class _WarningFilters:
    """Pillow's warnings ignored, but for that of too many pixels, which is an error.

    Python's filters are those of all threads, so they are changed for the first and restored after
    the last that is within the block.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._within = 0
        self._changed = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                self._changed = warnings.catch_warnings()
                self._changed.__enter__()
                warnings.simplefilter("ignore")  # such as metadata that Pillow cannot parse
                warnings.simplefilter("error", Image.DecompressionBombWarning)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                self._changed.__exit__(None, None, None)


_filters = _WarningFilters()


@contextlib.contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    """Open an image without decoding it; every error, also within the block, is a DataError."""
    formats = _formats(file.suffix)
    try:
        refuse_beyond_limit(file.stat().st_size, str(file))
        content = file.read_bytes()
        # From memory: a file object would allocate the size that a damaged header claims.
        with _filters, Image.open(io.BytesIO(content), formats=formats) as image:
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{file} is refused: it has more pixels than PIL.Image.MAX_IMAGE_PIXELS "
            f"({Image.MAX_IMAGE_PIXELS:,}). Make the image smaller."
        ) from error
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{file} is not an image of a known format.") from error
    except Exception as error:  # Pillow's plugins raise many kinds of errors on damaged files
        raise UnreadableImage(f"{file} is not a readable image: {one_line(error)}.") from error
