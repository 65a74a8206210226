"""Result files: a folder that is filled all at once, PNG files, and a growing array of codes."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_ae.files import remove_tree

_TEMPORARY = ".keras_ae.partial"
_GAP, _GAP_VALUE = 2, 128  # pixels between the images of a contact sheet, and their gray
_SMALL, _TILE = 64, 128  # images of a contact sheet up to 64 pixels are enlarged, to 128 at most


class OutputExists(ValueError):
    """A result that is there already.

    Attributes:
        problem: The message without advice.
    """

    def __init__(self, path: Path):
        self.problem = f"{path} exists already."
        super().__init__(f"{self.problem} Choose another folder, or overwrite it.")


def check_output(folder: Path, owned: Callable[[str], bool], overwrite: bool = False) -> None:
    """Check that results can be written to a folder.

    Args:
        folder: The folder; it need not exist.
        owned: Whether a name in the folder is that of a result.
        overwrite: Whether existing results may be replaced.

    Raises:
        OutputExists: a result is there already.
    """
    if existing := [] if overwrite else _owned(folder, owned):
        raise OutputExists(existing[0])


@contextlib.contextmanager
def output_folder(
    folder: Path, owned: Callable[[str], bool], last: str | None = None, overwrite: bool = False
) -> Iterator[Path]:
    """A folder that gets all results at once, or none where the block fails.

    The block fills a temporary folder. A new folder is then made of it by renaming. Where the
    folder exists, its former results are deleted and each new one is moved into it.

    Args:
        folder: The folder to fill.
        owned: Whether a name in the folder is that of a result. Other files are kept.
        last: The result that is deleted first and moved last, so that it marks complete results.
        overwrite: Whether existing results may be replaced.

    Yields:
        The temporary folder.

    Raises:
        OutputExists: a result is there already.
        OSError: the folder cannot be written to.
    """
    check_output(folder, owned, overwrite)
    is_new = not os.path.lexists(folder)
    place = folder.absolute()
    temporary = place / _TEMPORARY
    if is_new:
        temporary = place.with_name(f".{place.name}{_TEMPORARY}")
        place.parent.mkdir(parents=True, exist_ok=True)
    remove_tree(temporary)  # of a process that was killed
    temporary.mkdir()
    try:
        yield temporary
        if is_new:
            os.rename(temporary, place)
            return
        check_output(folder, owned, overwrite)
        for path in sorted(_owned(folder, owned), key=lambda path: path.name != last):
            _delete(path)
        for path in sorted(temporary.iterdir(), key=lambda path: (path.name == last, path.name)):
            os.replace(path, place / path.name)
    finally:
        remove_tree(temporary)


class CodesFile:
    """A `.npy` file of float32 rows that are appended one batch after the other.

    Args:
        path: The file to write.
        row_shape: The shape of one row.
    """

    def __init__(self, path: Path, row_shape: Sequence[int]):
        self._row_shape = tuple(row_shape)
        self._num_rows = 0
        self._file = open(path, "wb")  # noqa: SIM115
        self._file.write(self._header())

    def append(self, rows: np.ndarray) -> None:
        """Append rows, `(N, *row_shape)`."""
        self._file.write(np.ascontiguousarray(rows, np.float32).data)
        self._num_rows += len(rows)

    def close(self) -> None:
        """Complete the header with the number of rows, and close the file."""
        with self._file as file:
            file.seek(0)
            file.write(self._header())

    def _header(self) -> bytes:
        """The header; its length is that of any number of rows, because NumPy leaves space."""
        header = io.BytesIO()
        shape = (self._num_rows, *self._row_shape)
        descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
        np.lib.format.write_array_header_1_0(
            header, {"descr": descr, "fortran_order": False, "shape": shape}
        )
        return header.getvalue()


class Table:
    """A CSV file that is written row by row.

    Args:
        path: The file to write.
        columns: The names of the columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]):
        self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(columns)

    def append(self, row: Sequence[object]) -> None:
        """Write a row."""
        self._writer.writerow(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_png(image: np.ndarray, folder: Path, name: str) -> Path:
    """Write an image as a PNG file below a folder.

    Args:
        image: `(H, W)`, `(H, W, 1)` or `(H, W, 3)`, values in [0, 1], or uint8.
        folder: The folder.
        name: The path below it; `.png` is added unless it ends so.

    Raises:
        ValueError: the name leads out of the folder, or an image of this shape is no PNG.
    """
    name = name if name.endswith(".png") else f"{name}.png"
    path = folder / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"{name} leads out of the output folder.")
    while os.path.lexists(path):  # such as that of a.jpg, where there is also a.jpg.png
        path = path.with_name(f"{path.name}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_pixels(image)).save(path, format="PNG")
    return path


def error_maps(images: np.ndarray, reconstructions: np.ndarray, white: float) -> np.ndarray:
    """The absolute error of each pixel, averaged over the channels: 0 is black, 1 is white.

    Args:
        images, reconstructions: `(N, H, W)` or `(N, H, W, channels)`, pixels in [0, 1].
        white: The error that becomes 1; larger ones do too.

    Returns:
        `(N, H, W)`, in [0, 1].
    """
    errors = np.abs(reconstructions - images)
    errors = errors.mean(-1) if errors.ndim == 4 else errors
    return np.minimum(errors / white, 1.0)


def pixel_scale(shape: Sequence[int]) -> int:
    """By how much a picture `(height, width)` is enlarged, so that it is seen without zooming.

    Pictures of at most 64 x 64 pixels, to 128 at most: those of 28 x 28 become 112 x 112.
    """
    return _TILE // max(shape) if max(shape) <= _SMALL else 1


def write_contact_sheet(images: np.ndarray, path: Path) -> None:
    """Write images side by side in one PNG file, in rows of a square, with gray gaps.

    Small images are enlarged, see `pixel_scale`.

    Args:
        images: `(N, H, W)`, `(N, H, W, 1)` or `(N, H, W, 3)`, values in [0, 1].
        path: The file.
    """
    columns = math.ceil(math.sqrt(len(images)))
    scale = pixel_scale(images.shape[1:3])
    tiles = [_pixels(image).repeat(scale, axis=0).repeat(scale, axis=1) for image in images]
    height, width = (side + _GAP for side in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    shape = (rows * height + _GAP, columns * width + _GAP, *tiles[0].shape[2:])
    page = np.full(shape, _GAP_VALUE, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = ((place // columns) * height + _GAP, (place % columns) * width + _GAP)
        page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    Image.fromarray(page).save(path, format="PNG")


def _pixels(image: np.ndarray) -> np.ndarray:
    """An image as uint8, `(H, W)` or `(H, W, 3)`."""
    pixels = image
    if image.dtype != np.uint8:
        pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    if pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"images of the shape {image.shape} cannot be written as PNG files.")
    return pixels


def numbered(index: int, number: int) -> str:
    """The name of an image: its index with leading zeros, so that names sort by index."""
    return f"{index:0{max(4, len(str(number - 1)))}}.png"


def numbered_in(folder: Path, number: int) -> Callable[[str], bool]:
    """Whether a name is one of `number` numbered images, or of an earlier series in the folder.

    An earlier series begins at 0 and has no gap; other files, such as `20240101.png`, are not part
    of it.
    """
    known = {numbered(index, number) for index in range(number)}
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    for digits in range(4, 10):
        index = 0
        while (name := f"{index:0{digits}}.png") in present:
            known.add(name)
            index += 1
    return known.__contains__


def _owned(folder: Path, owned: Callable[[str], bool]) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if owned(entry.name))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
