"""Reads images and labels from files of the user's own: what is in them, or one line why not.

`data.py` gives a path to `read_path` and turns what comes back into a data set. Nothing else in
the package opens files of images.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from keras_ae.checks import check_images, one_line

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_IDX_IMAGES_MAGIC = 2051
_IDX_LABELS_MAGIC = 2049
_MAX_GB = 8.0
_MAX_HEADER = 2**14  # bytes: NumPy itself takes no more than 10,000
_CHUNK = 2**20


class DataError(ValueError):
    """A data set that cannot be had; the message is one line that says why and what to do."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.splitlines()))  # names in files may be of several


class Contents(NamedTuple):
    """What a path holds; `labels` are indices into `class_names`, and None where there are none."""

    images: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    test_images: np.ndarray | None = None
    test_labels: np.ndarray | None = None


def existing_path(text: str | os.PathLike) -> Path | None:
    """The path a user wrote, with `~` expanded, if something is there."""
    expanded = os.path.expanduser(os.fsdecode(text))
    return Path(expanded) if os.path.exists(expanded) else None


def read_path(path: Path, *, classes: Sequence[str] | None = None) -> Contents:
    """Reads whatever kind of file or folder `path` is.

    Args:
        path: A `.npz` or `.npy` file, or a folder with the four IDX files, with one `.npy` file a
            class, or with image files (one subfolder a class, or all directly in it).
        classes: Which classes of a folder of `.npy` files to take, in this order; all by default.

    Returns:
        The images as `(N, height, width)` or `(N, height, width, channels)`, uint8 or float32 in
        [0, 1], with what labels there are.

    Raises:
        DataError: for everything that cannot be read or is no set of images.
    """
    try:
        if path.is_dir():
            return _read_folder(path, classes)
        if classes is not None:
            raise DataError(
                f"classes can be chosen from a folder of .npy files only; received the file {path}."
            )
        if path.suffix.lower() not in (".npz", ".npy"):
            raise DataError(
                f"{path} is not a kind of file that can be read: "
                "give a .npz or .npy file, or a folder of images."
            )
        return _read_numpy(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}.") from error


def read_class_arrays(files: Mapping[str, Path]) -> Contents:
    """Reads one array of images a class: `{class name: .npy file}`, labelled in that order."""
    num_bytes = sum(path.stat().st_size for path in files.values() if path.is_file())
    refuse_beyond_limit(num_bytes, str(next(iter(files.values())).parent))
    images = {name: pixels(_load_array(path), str(path)) for name, path in files.items()}
    first_name, first = next(iter(images.items()))
    for name, array in images.items():
        if (array.shape[1:], array.dtype) != (first.shape[1:], first.dtype):
            raise DataError(
                f"All classes must have images alike: {files[first_name]} holds "
                f"{_describe(first)}, {files[name]} holds {_describe(array)}."
            )
    labels = np.repeat(np.arange(len(images)), [len(array) for array in images.values()])
    return Contents(np.concatenate(list(images.values())), labels.astype(np.int64), tuple(images))


def class_files(folder: Path) -> dict[str, Path]:
    """The `<class>.npy` files in a folder by class, sorted; hidden files are not classes."""
    return {file.stem: file for file in _visible(folder) if file.suffix.lower() == ".npy"}


def pixels(array: np.ndarray, source: str) -> np.ndarray:
    """Brings an array of images to uint8, or to float32 in [0, 1].

    Args:
        array: `(N, H, W)`, `(N, H, W, C)`, or `(N, k * k)` for square images, of bool, whole
            numbers within 0..255, or floats in [0, 1]. A last axis of one channel is dropped.
        source: What to call the array in an error.
    """
    if array.dtype.kind not in "biuf":
        raise DataError(f"{source} must hold numbers; received dtype {array.dtype}.")
    if array.size == 0:
        raise DataError(f"{source} holds no images; received the shape {array.shape}.")
    side = round(array.shape[1] ** 0.5) if array.ndim == 2 else 0
    if array.ndim == 2 and side * side == array.shape[1]:
        array = array.reshape(-1, side, side)
    if array.ndim not in (3, 4):
        raise DataError(
            f"{source} must have the shape (N, height, width), (N, height, width, channels), or "
            f"(N, k * k) for square images; received {array.shape}."
        )
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3, 4):
        raise DataError(
            f"{source} must have its channels last, (N, height, width, channels); "
            f"received {array.shape}. Move them with numpy.moveaxis(images, 1, -1)."
        )
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "f":
        try:
            return check_images(array, name=source)
        except ValueError as error:
            raise DataError(str(error)) from error
    lowest, highest = int(array.min()), int(array.max())
    if lowest < 0 or highest > 255:
        raise DataError(
            f"{source} must have pixels from 0 to 255 where they are whole numbers; "
            f"received pixels from {lowest} to {highest}."
        )
    if highest == 1:
        warnings.warn(
            f"{source} holds only the whole numbers 0 and 1, read as nearly black images of "
            "0..255. If it is a binary mask, store it as bool.",
            stacklevel=2,
        )
    return np.ascontiguousarray(array, dtype=np.uint8)


def _read_folder(folder: Path, classes: Sequence[str] | None) -> Contents:
    """Tells the kinds of folder apart by what lies in them."""
    if arrays := class_files(folder):
        unknown = [name for name in classes or () if name not in arrays]
        if unknown:
            raise DataError(f"{folder} has no class {unknown[0]!r}; it has {', '.join(arrays)}.")
        return read_class_arrays({name: arrays[name] for name in classes or arrays})
    if classes is not None:
        raise DataError(f"classes can be chosen from .npy files only; {folder} holds none.")
    if any(_idx_file(folder, *part) for part in _IDX_PARTS):
        return _read_idx_folder(folder)
    return _read_image_folder(folder)


def refuse_beyond_limit(num_bytes: int, source: str) -> None:
    """Raises a DataError where images would unfold to more memory than `KERAS_AE_MAX_GB`."""
    text = os.environ.get("KERAS_AE_MAX_GB", "")
    try:
        limit = float(text or _MAX_GB)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise DataError(f"KERAS_AE_MAX_GB must be a number of gigabytes > 0; received {text!r}.")
    if num_bytes > limit * 1e9:
        raise DataError(
            f"{source} would unfold to {num_bytes / 1e9:,.1f} GB; the limit is {limit:g} GB. Set "
            "KERAS_AE_MAX_GB to raise it, if the images are what you think they are."
        )


# --- NumPy files


def _load_array(path: Path) -> np.ndarray:
    loaded = _load_numpy(path)
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path} is a .npz archive named as a .npy array: rename it to .npz.")
    return loaded


def _load_numpy(path: Path, keys: Sequence[str] = ()) -> np.ndarray | dict[str, np.ndarray]:
    """An array, or those of an archive that `keys` name; never unpickles anything."""
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return _read_array(file, path, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            sizes = {
                info.filename.removesuffix(".npy"): (info.filename, info.file_size)
                for info in archive.infolist()
            }
            wanted = {key: sizes[key] for key in keys if key in sizes}
            refuse_beyond_limit(sum(size for _, size in wanted.values()), str(path))
            if not wanted:
                return dict.fromkeys(sizes)
            arrays = {}
            for key, (name, size) in wanted.items():
                with archive.open(name) as file:
                    arrays[key] = _read_array(file, path, size)
            return arrays
    except DataError:
        raise
    except Exception as error:  # A damaged file: zipfile, zlib and ast raise errors of their own.
        raise DataError(
            f"{path} cannot be read as a plain NumPy file ({one_line(error)}): it is damaged, "
            "incomplete, or holds pickled objects, which are never loaded."
        ) from error


def _read_array(file: BinaryIO, path: Path, num_bytes: int) -> np.ndarray:
    """An array in NumPy's format, after a look at whether so much can be there."""
    start = io.BytesIO(file.read(_MAX_HEADER))  # a header may say that it is gigabytes long
    version = np.lib.format.read_magic(start)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format is of a version {version} that is not known")
    read_header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read_header = np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read_header(start)
    declared = math.prod(shape) * dtype.itemsize
    refuse_beyond_limit(declared, str(path))
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if declared > num_bytes:
        raise ValueError(f"it says that it holds {declared:,} bytes, and has {num_bytes:,}")
    file.seek(start.tell())
    content = _read_at_most(file, declared)  # a zip archive, too, may say what is not so
    return np.ndarray(shape, dtype, content, order="F" if in_columns else "C")


_KEYS = ("x_train", "y_train", "x_test", "y_test", "images", "labels", "x", "y")


def _read_numpy(path: Path) -> Contents:
    loaded = _load_numpy(path, _KEYS)
    if isinstance(loaded, np.ndarray):
        return Contents(pixels(loaded, str(path)))

    def first_of(*keys: str) -> np.ndarray | None:
        return next((loaded[key] for key in keys if key in loaded), None)

    images = first_of("x_train", "images", "x")
    if images is None:
        raise DataError(
            f"{path} needs an array x_train, images or x (with labels: y_train, labels or y; with "
            f"test images: x_test, y_test); it has {', '.join(loaded) or 'none'}."
        )
    labels = first_of("y_train") if "x_train" in loaded else first_of("labels", "y")
    test_images = first_of("x_test") if "x_train" in loaded else None
    test_labels = first_of("y_test") if test_images is not None else None
    return _with_class_names(str(path), images, labels, test_images, test_labels)


def _with_class_names(
    source: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    test_images: np.ndarray | None,
    test_labels: np.ndarray | None,
) -> Contents:
    """Checks the arrays of one set against each other; labels become indices of sorted names."""
    images = pixels(images, f"The images of {source}")
    if test_images is not None:
        test_images = pixels(test_images, f"The test images of {source}")
        if test_images.shape[1:] != images.shape[1:]:
            raise DataError(
                f"The test images of {source} must have the shape of the training images, "
                f"{images.shape[1:]}; received {test_images.shape[1:]}."
            )
        if (labels is None) != (test_labels is None):
            raise DataError(
                f"{source} must have labels for both its training and its test images, or for "
                f"neither; the {'training' if labels is None else 'test'} labels are missing."
            )
    if labels is None:
        return Contents(images, test_images=test_images)
    labels = _plain_labels(labels, len(images), f"The labels of {source}")
    if test_images is None:
        names, indices = np.unique(labels, return_inverse=True)
        return Contents(images, indices.astype(np.int64), tuple(map(str, names.tolist())))
    test_labels = _plain_labels(test_labels, len(test_images), f"The test labels of {source}")
    if labels.dtype.kind != test_labels.dtype.kind:
        raise DataError(
            f"The training and test labels of {source} must be of one kind; "
            f"received {labels.dtype} and {test_labels.dtype}."
        )
    names, indices = np.unique(np.concatenate([labels, test_labels]), return_inverse=True)
    train_indices, test_indices = np.split(indices.astype(np.int64), [len(labels)])
    class_names = tuple(map(str, names.tolist()))
    return Contents(images, train_indices, class_names, test_images, test_indices)


def _plain_labels(labels: np.ndarray, num_images: int, source: str) -> np.ndarray:
    """Labels as int64 or strings of shape `(num_images,)`."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (num_images,):
        raise DataError(
            f"{source} must be one for each of the {num_images} images, of the shape "
            f"({num_images},); received {labels.shape}."
        )
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{source} are not UTF-8 text: {one_line(error)}.") from error
    if labels.dtype.kind == "U":
        # NumPy would make strings of numbers that stand for no character.
        codes = np.ascontiguousarray(labels).view(f"{labels.dtype.str[0]}u4")
        if ((codes > sys.maxunicode) | (codes >> 11 == 0xD800 >> 11)).any():
            raise DataError(f"{source} are not text: they hold what is no character.")
        return labels
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{source} must be whole numbers or text; received dtype {labels.dtype}.")
    whole = labels.dtype.kind != "f" or ((np.abs(labels) < 2**63) & (labels == np.rint(labels)))
    if not np.all(whole):
        raise DataError(
            f"{source} must be whole numbers or text; received fractions, NaN or numbers beyond "
            "64 bits."
        )
    return labels.astype(np.int64)


# --- IDX files, as MNIST and its relatives are published

_IDX_PARTS = (
    ("train-images", "idx3"),
    ("train-labels", "idx1"),
    ("t10k-images", "idx3"),
    ("t10k-labels", "idx1"),
)


def _idx_file(folder: Path, part: str, kind: str) -> Path | None:
    """The file of one part: published with a hyphen, often unpacked with a dot, .gz or not."""
    names = [f"{part}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_idx_folder(folder: Path) -> Contents:
    files = [_idx_file(folder, *part) for part in _IDX_PARTS]
    missing = [
        f"{part}-{kind}-ubyte[.gz]"
        for (part, kind), file in zip(_IDX_PARTS, files, strict=True)
        if file is None
    ]
    if missing:
        raise DataError(f"{folder} needs all four IDX files; it lacks {', '.join(missing)}.")
    magics = (_IDX_IMAGES_MAGIC, _IDX_LABELS_MAGIC) * 2
    images, labels, test_images, test_labels = map(_read_idx, files, magics)
    return _with_class_names(str(folder), images, labels, test_images, test_labels)


def _read_idx(path: Path, magic: int) -> np.ndarray:
    """One IDX file: a big-endian magic number, the sizes of the axes, then a byte a value."""
    num_axes = magic & 0xFF
    header_size = 4 * (1 + num_axes)
    open_file = gzip.open if path.suffix == ".gz" else open
    try:
        with open_file(path, "rb") as file:
            header = file.read(header_size)
            if len(header) < header_size:
                raise DataError(f"{path} is incomplete: {len(header)} bytes hold no IDX header.")
            received, *shape = struct.unpack(f">{1 + num_axes}I", header)
            if received != magic:
                raise DataError(
                    f"{path} is not the IDX file its name says: magic number {received}, expected "
                    f"{magic}."
                )
            expected = math.prod(shape)
            refuse_beyond_limit(expected, str(path))
            content = _read_at_most(file, expected + 1)  # one more than there may be
    except DataError:
        raise
    except Exception as error:  # gzip raises EOFError and zlib.error besides OSError.
        raise DataError(f"{path} is damaged or incomplete: {one_line(error)}.") from error
    if len(content) != expected:
        received = f"{len(content)} or more" if len(content) > expected else len(content)
        raise DataError(
            f"{path} is damaged or incomplete: its header says {' x '.join(map(str, shape))} = "
            f"{expected} bytes; received {received}."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_at_most(file: BinaryIO, num_bytes: int) -> bytearray:
    """Reads in chunks: `read` alone would set aside whatever a header says."""
    content = bytearray()
    while chunk := file.read(min(_CHUNK, num_bytes - len(content))):
        content += chunk
    return content


# --- Folders of image files


def _read_image_folder(folder: Path) -> Contents:
    flat = _image_files(folder)
    subfolders = [path for path in _visible(folder) if path.is_dir()]
    if flat and any(_image_files(subfolder) for subfolder in subfolders):
        raise DataError(
            f"{folder} has images both in itself and in subfolders: use one subfolder a class, "
            "or put all images directly into the folder."
        )
    if flat:
        return Contents(_read_image_files(flat))
    by_class = {subfolder.name: _image_files(subfolder) for subfolder in subfolders}
    empty = [name for name, files in by_class.items() if not files]
    if empty or not by_class:
        where = f"The subfolder {empty[0]!r} of {folder}" if len(empty) < len(by_class) else folder
        raise DataError(
            f"{where} holds no images ({', '.join(_IMAGE_SUFFIXES)}): give a .npz or .npy file, or "
            "a folder of image files (one subfolder a class), of .npy files or of IDX files."
        )
    images = _read_image_files([file for files in by_class.values() for file in files])
    labels = np.repeat(np.arange(len(by_class)), [len(files) for files in by_class.values()])
    return Contents(images, labels.astype(np.int64), tuple(by_class))


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden files."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    return [
        path
        for path in _visible(folder)
        if path.suffix.lower() in _IMAGE_SUFFIXES and path.is_file()
    ]


def _read_image_files(files: Sequence[Path]) -> np.ndarray:
    """Decodes image files of one size to `(N, H, W)`, or `(N, H, W, 3)` where any has colour."""
    import tensorflow as tf

    headers = [image_header(file) for file in files]
    sizes = [(header.height, header.width) for header in headers]
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise DataError(
                f"All images must be of one size: {files[0]} has {_size(sizes[0])} pixels, "
                f"{file} has {_size(size)}."
            )
    most_channels = max(header.channels for header in headers)
    num_bytes = len(files) * most_channels * math.prod(sizes[0])
    refuse_beyond_limit(num_bytes, str(files[0].parent))
    images = []
    for file, size in zip(files, sizes, strict=True):
        try:
            image = tf.io.decode_image(file.read_bytes(), expand_animations=False).numpy()
        except tf.errors.OpError as error:
            raise DataError(f"{file} is no image that can be read: {one_line(error)}.") from error
        if image.shape[:2] != size:
            raise DataError(f"{file} is no image that can be read: its header is damaged.")
        if image.shape[-1] in (2, 4):  # Grey or colour with transparency, which is left out.
            image = image[..., :-1]
        images.append(image)
    num_channels = max(image.shape[-1] for image in images)
    stacked = np.stack([np.broadcast_to(i, (*i.shape[:2], num_channels)) for i in images])
    return pixels(stacked, str(files[0].parent))


class Header(NamedTuple):
    """What an image file says of itself before its pixels take any memory."""

    height: int
    width: int
    channels: int
    frames: int = 1


def image_header(file: Path) -> Header:
    """The header of a PNG, GIF, BMP or JPEG file that is within the limit."""
    import tensorflow as tf

    refuse_beyond_limit(file.stat().st_size, str(file))
    content = file.read_bytes()
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height, _, colour = struct.unpack(">IIBB", content[16:26])
            header = Header(height, width, {0: 1, 4: 2, 6: 4}.get(colour, 3))
        elif content.startswith((b"GIF87a", b"GIF89a")):
            header = gif_header(content)
        elif content.startswith(b"BM"):  # a negative height means from the top
            width, height, _, bits = struct.unpack("<iiHH", content[18:30])
            header = Header(abs(height), width, max(1, bits // 8))
        else:
            header = Header(*tf.io.extract_jpeg_shape(content).numpy().tolist())
    except (struct.error, IndexError, tf.errors.OpError) as error:
        raise DataError(f"{file} is no image that can be read: {one_line(error)}.") from error
    if header.width < 1 or header.height < 1:
        size = _size((header.height, header.width))
        raise DataError(f"{file} is no image that can be read: it has {size} pixels.")
    refuse_beyond_limit(math.prod(header), str(file))
    return header


def gif_header(content: bytes) -> Header:
    """The largest frame, which is what TensorFlow decodes to, and how many frames there are.

    After the GIF89a specification: blocks are an extension (21), an image (2c) or the end (3b).
    """

    def colours(flags: int) -> int:
        return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0

    def after_blocks(place: int) -> int:
        while content[place]:
            place += 1 + content[place]
        return place + 1

    place = 13 + colours(content[10])
    height = width = frames = 0
    while place < len(content) and content[place] != 0x3B:
        if content[place] == 0x21:
            place = after_blocks(place + 2)
        else:
            wide, high, flags = struct.unpack("<HHB", content[place + 5 : place + 10])
            height, width, frames = max(height, high), max(width, wide), frames + 1
            place = after_blocks(place + 11 + colours(flags))
    return Header(height, width, 3, frames)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _describe(images: np.ndarray) -> str:
    return f"{images.dtype} images of {' x '.join(map(str, images.shape[1:]))}"
