"""The only reader of data sets: names, splits, the held-out class, the few labels.

    images = load("mnist")                        # or a path; load_default() takes what there is
    parts = split(images, seed=42)                # parts.train, parts.validation, parts.test
    labelled = few_labels(parts.train.labels)     # indices of the images whose labels are used

A data set that is asked for is loaded, or `DataError` says in one line why not. Splits are a
function of the data set and the seed alone. TensorFlow and tensorflow-datasets are imported only
where they are needed, so that the cache and the check of the network come first and cost little.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import logging
import os
import shutil
import sys
import threading
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from keras_ae.checks import one_line
from keras_ae.data.image_folders import (
    Contents,
    DataError,
    class_files,
    existing_path,
    read_class_arrays,
    read_path,
)

DATASETS = ("mnist", "fashion_mnist", "kmnist", "quickdraw", "digits")
BINARIZATIONS = ("threshold", "bernoulli")

# The test images of a set that names none are drawn with this seed, whatever the seed of the run.
_TEST_SEED = 7
_BINARIZATION_SEED = 7
_NUM_VALIDATION = 5000
_NUM_FEW_LABELS = 550
_QUICKDRAW_URL = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"


class _Published(NamedTuple):
    """A set that tensorflow-datasets prepares; its class names as they stand there.

    `digest` is `digest_of_sums`, where it is known: the shapes alone would let other images pass.
    """

    url: str
    class_names: tuple[str, ...]
    digest: str | None = None


# All three have 60,000 + 10,000 images of 28x28 and this version in tensorflow-datasets.
_PUBLISHED_VERSION = "3.0.1"
_PUBLISHED = {
    "mnist": _Published(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        tuple("0123456789"),
        "d2fad4294ac33316",
    ),
    "fashion_mnist": _Published(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
        + ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": _Published(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A data set as it is stored.

    Attributes:
        name: What the set is called in a report.
        train_images: `(N, H, W)` or `(N, H, W, C)`, uint8 or float32 in [0, 1].
        train_labels: `(N,)` int64 indices into `class_names`, or None without labels.
        test_images: As `train_images`.
        test_labels: As `train_labels`; None exactly where those are.
        class_names: One name a class; empty without labels.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray | None
    test_images: np.ndarray
    test_labels: np.ndarray | None
    class_names: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width)` or `(height, width, channels)`."""
        return self.train_images.shape[1:]

    @property
    def num_classes(self) -> int:
        """The number of classes, 0 without labels."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the shapes, types and contents: other data, other fingerprint."""
        digest = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            if array is None:
                digest.update(b"None")
            else:
                digest.update(f"{array.shape} {array.dtype.str}".encode())
                digest.update(np.ascontiguousarray(array).reshape(-1))
        return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Subset:
    """Images as a model takes them, float32 in [0, 1], and `(N,)` labels or None."""

    images: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def where(self, chosen: np.ndarray) -> Subset:
        """Those that a mask or indices choose."""
        return Subset(self.images[chosen], None if self.labels is None else self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Split:
    """The three parts of a data set."""

    train: Subset
    validation: Subset
    test: Subset


def load(
    dataset: str | os.PathLike,
    *,
    classes: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
) -> ImageSet:
    """Loads the data set that is asked for and no other.

    Args:
        dataset: One of `DATASETS`, or a path: a `.npz` or `.npy` file, or a folder of image files
            (one subfolder a class, or flat), of one `.npy` file a class, or of the four IDX files.
            Sets without test images of their own have a seventh of each class put aside for it.
        classes: Which classes to take, in this order, of quickdraw or of a folder of `.npy` files;
            all those on disk by default.
        data_dir: Where a named set lies or is downloaded to. By default `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`; for quickdraw `$QUICKDRAW_DIR` or a folder in the cache.

    Raises:
        DataError: in one line, for a set that is unknown, absent, out of reach or damaged.
    """
    if not isinstance(dataset, str | os.PathLike):
        raise DataError(
            f"A data set is a name ({_listed(DATASETS)}) or a path; received {dataset!r}."
        )
    if classes is not None:
        classes = _checked_classes(classes)
    if dataset == "quickdraw":
        return _load_quickdraw(classes, data_dir)
    if classes is not None and dataset in DATASETS:
        raise DataError(
            f"classes can be chosen for quickdraw or a folder of .npy files; received {dataset!r}."
        )
    if dataset == "digits":
        return _load_digits()
    if dataset in DATASETS:
        return _load_published(dataset, data_dir)
    path = existing_path(dataset)
    if path is None:
        text = os.fsdecode(dataset)
        raise DataError(
            f"{text!r} is neither a data set ({_listed(DATASETS)}) nor a path that exists."
            + _hint(text, DATASETS)
        )
    return _with_test_images(path.resolve().name, read_path(path, classes=classes))


def load_default(*, data_dir: str | os.PathLike | None = None) -> tuple[ImageSet, str | None]:
    """MNIST where it can be had, else digits; for when nobody asked for a data set.

    Returns:
        The data set, and a notice to show where it is not MNIST, else None.
    """
    try:
        return load("mnist", data_dir=data_dir), None
    except DataError as error:
        notice = (
            "NOTICE: no data set was named and MNIST could not be loaded; using the small "
            f"`digits` of scikit-learn instead. The reason: {error}"
        )
        return load("digits"), notice


def binarized(image_set: ImageSet, how: str) -> ImageSet:
    """The set in black and white, the same at every call; `_<how>` is added to its name.

    Args:
        image_set: What `load` returned.
        how: "threshold": a pixel is white from half of full intensity on. "bernoulli": it is white
            with its intensity as the probability, drawn once for good (Salakhutdinov and Murray,
            "On the quantitative analysis of deep belief networks", ICML 2008, section 4.2).

    Raises:
        DataError: an unknown `how`.
    """
    if how not in BINARIZATIONS:
        raise DataError(f"how must be one of {_listed(BINARIZATIONS)}; received {how!r}.")
    random = np.random.default_rng(_BINARIZATION_SEED)

    def in_black_and_white(images: np.ndarray) -> np.ndarray:
        full = 255 if images.dtype == np.uint8 else 1
        if how == "threshold":
            return np.where(images >= full / 2, np.uint8(255), np.uint8(0))
        white = [random.random(image.shape, np.float32) * full < image for image in images]
        return np.where(white, np.uint8(255), np.uint8(0))

    return replace(
        image_set,
        name=f"{image_set.name}_{how}",
        train_images=in_black_and_white(image_set.train_images),
        test_images=in_black_and_white(image_set.test_images),
    )


def split(image_set: ImageSet, *, seed: int = 42, held_out_class: int | str | None = None) -> Split:
    """Splits into training, validation and test images: a function of (data set, seed) alone.

    One image in twelve, at most 5,000, is drawn for validation from the training images (5,000 of
    MNIST's 60,000). A class that is held out leaves training and validation only after that draw,
    so that the others stay where they are; it stays in the test images.

    Args:
        image_set: What `load` returned.
        seed: Seed of the draw, not negative.
        held_out_class: Name or index of a class that training must not see.

    Returns:
        The training images in their stored order, the validation images in the order drawn, and
        the test images, all float32 in [0, 1].

    Raises:
        DataError: with fewer than 3 training images, an unknown class, or nothing left.
    """
    num_images = len(image_set.train_images)
    if num_images < 3:
        raise DataError(
            f"{image_set.name} has too few training images to split: at least 3 are needed; "
            f"received {num_images}."
        )
    held_out = None if held_out_class is None else held_out_index(image_set, held_out_class)
    num_validation = max(1, min(_NUM_VALIDATION, num_images // 12))
    drawn = np.random.default_rng(seed).permutation(num_images)
    indices = {"training": np.sort(drawn[num_validation:]), "validation": drawn[:num_validation]}
    if held_out is not None:
        for part, kept in indices.items():
            indices[part] = kept[image_set.train_labels[kept] != held_out]
            if not len(indices[part]):
                raise DataError(
                    f"{image_set.name} has no {part} images left without the class "
                    f"{image_set.class_names[held_out]!r}: hold out another class, or split with "
                    "another seed."
                )

    def subset(images: np.ndarray, labels: np.ndarray | None, kept: np.ndarray | slice) -> Subset:
        # The images are chosen before they grow fourfold.
        return Subset(_as_float(images[kept]), None if labels is None else labels[kept])

    return Split(
        train=subset(image_set.train_images, image_set.train_labels, indices["training"]),
        validation=subset(image_set.train_images, image_set.train_labels, indices["validation"]),
        test=subset(image_set.test_images, image_set.test_labels, slice(None)),
    )


def held_out_index(image_set: ImageSet, held_out_class: int | str) -> int:
    """The index of a class given by name, or else by index; `"1"` may be either."""
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
        f"{_listed(names)}.{_hint(text, names)}"
    )


def few_labels(labels: np.ndarray, *, seed: int = 42, num: int | None = None) -> np.ndarray:
    """Chooses the few images whose labels are used: a function of the arguments alone.

    Args:
        labels: `(N,)` labels of the training images.
        seed: Seed of the draw, not negative.
        num: How many; by default 1% of the images, at most 550 but at least 10 a class.

    Returns:
        Sorted distinct indices into `labels`: 10 of each class (all of a class that has fewer; an
        equal share where `num` does not allow 10), and the rest uniformly from what is left.

    Raises:
        DataError: without labels, or with a `num` above N or below one a class.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.dtype == object:
        raise DataError(
            "Few labels are chosen from a list of labels, one an image; "
            f"received {labels.dtype} of the shape {labels.shape}."
        )
    kinds = np.unique(labels)
    if num is None:
        num = max(10 * len(kinds), min(_NUM_FEW_LABELS, round(0.01 * len(labels))))
        num = min(num, len(labels))
    if not len(kinds) <= num <= len(labels):
        raise DataError(
            f"The number of few labels must lie between {len(kinds)}, one a class, and "
            f"{len(labels)}, the number of images; received {num}."
        )
    # Not the stream `split` draws from with the same seed.
    random = np.random.default_rng([seed, 1])
    num_each = min(10, num // len(kinds))
    of_each = [random.permutation(np.flatnonzero(labels == kind))[:num_each] for kind in kinds]
    first = np.concatenate(of_each)
    left = np.setdiff1d(np.arange(len(labels)), first)
    rest = random.choice(left, num - len(first), replace=False)
    return np.sort(np.concatenate([first, rest]))


def network_problem(url: str, *, seconds: float = 4.0) -> str | None:
    """What keeps `url` from answering within `seconds` in all; None where it answers.

    Asked before every download, since tensorflow-datasets tries for minutes without a network.
    A thread of its own keeps to the deadline even where the lookup of the name hangs.
    """
    outcome = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                response.read(1)
            outcome.append(None)
        except Exception as error:  # Proxies and sockets raise many kinds; none matters here.
            outcome.append(one_line(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer within {seconds:g} seconds"


# --- MNIST and its relatives, through tensorflow-datasets


def _load_published(name: str, data_dir: str | os.PathLike | None) -> ImageSet:
    """Takes the decoded copy in the cache; else decodes, and downloads first if need be."""
    cached = _cache_dir() / f"{name}-{_PUBLISHED_VERSION}.npz"
    try:
        with np.load(cached, allow_pickle=False) as archive:
            contents = Contents(class_names=_PUBLISHED[name].class_names, **archive)
        _check_published(name, contents)
    except Exception:  # Absent, damaged or foreign: all the same, it is written anew.
        contents = _decode_published(name, _data_dir(data_dir))
        arrays = {key: value for key, value in contents._asdict().items() if key != "class_names"}
        with contextlib.suppress(OSError):  # A cache that cannot be written is only slower.
            _write_whole(cached, lambda file: np.savez(file, **arrays))
    return _with_test_images(name, contents)


def _decode_published(name: str, data_dir: Path) -> Contents:
    """Has tensorflow-datasets read the set from `data_dir`, after preparing it there if needed."""
    folder = data_dir / name / _PUBLISHED_VERSION
    is_prepared = (folder / "dataset_info.json").is_file()
    url = _PUBLISHED[name].url
    if not is_prepared and (problem := network_problem(f"{url}train-labels-idx1-ubyte.gz")):
        raise DataError(
            f"{name} is not prepared in {data_dir} and cannot be downloaded ({problem}): set "
            "TFDS_DATA_DIR to where it is, use --dataset digits, or give the path of a data set."
        )
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(f"{name}:{_PUBLISHED_VERSION}", data_dir=data_dir)
        if not is_prepared:
            print(f"Downloading {name} to {data_dir} ...", file=sys.stderr, flush=True)
            # Only from the address that was checked, not from a mirror of prepared sets before.
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            with _quiet():
                builder.download_and_prepare(download_config=config)
        # One file at a time, so that the order is that of the files.
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)

        def part(which: str) -> tuple[np.ndarray, np.ndarray]:
            batches = list(
                tfds.as_numpy(
                    builder.as_dataset(
                        split=which, batch_size=10_000, shuffle_files=False, read_config=in_order
                    )
                )
            )
            images = np.concatenate([batch["image"][..., 0] for batch in batches])
            return images, np.concatenate([batch["label"] for batch in batches]).astype(np.int64)

        contents = Contents(*part("train"), _PUBLISHED[name].class_names, *part("test"))
        _check_published(name, contents)
        return contents
    except Exception as error:  # Records, protocol buffers and downloads each fail in their way.
        advice = (
            f"delete {folder} to have it prepared anew"
            if is_prepared
            else "try again, or use --dataset digits"
        )
        raise DataError(
            f"{name} cannot be {'read from' if is_prepared else 'downloaded to'} {folder} "
            f"({one_line(error)}): {advice}."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back the bars, banners and retries that a download reports."""
    retries = logging.getLogger("urllib3.connectionpool")
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        retries.setLevel(level)


def _check_published(name: str, contents: Contents) -> None:
    """Raises unless the numbers, shapes, types, labels and pixels are the published ones."""
    expected = ((60_000, contents.images, contents.labels),)
    expected += ((10_000, contents.test_images, contents.test_labels),)
    for number, images, labels in expected:
        if images.shape != (number, 28, 28) or images.dtype != np.uint8:
            raise DataError(
                f"{name} must have {number} images of 28 x 28 uint8; "
                f"received {images.dtype} of the shape {images.shape}."
            )
        if (
            labels.shape != (number,)
            or labels.dtype != np.int64
            or np.unique(labels).tolist() != list(range(10))
        ):
            raise DataError(f"{name} must have {number} labels from 0 to 9.")
    known = _PUBLISHED[name].digest
    if known is not None and (found := digest_of_sums(contents)) != known:
        raise DataError(f"{name} must have images with the digest {known}; received {found}.")


def digest_of_sums(contents: Contents) -> str:
    """16 hex digits of the sum of each class's images: the same in whatever order they come."""
    digest = hashlib.sha256()
    parts = (contents.images, contents.labels), (contents.test_images, contents.test_labels)
    for images, labels in parts:
        for kind in range(len(contents.class_names)):
            digest.update(images[labels == kind].sum(axis=0, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]


def _data_dir(data_dir: str | os.PathLike | None) -> Path:
    """Where tensorflow-datasets keeps its sets."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(data_dir or default).expanduser()


def _cache_dir() -> Path:
    """Where this package keeps decoded sets; read anew each time, as the environment may change."""
    if own := os.environ.get("KERAS_AE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keras_ae"


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes beside `path` and renames, so that no reader ever meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose files nobody else may read; hidden, so that it is no class of drawings.
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "wb") as file:
            write(file)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


# --- QuickDraw, class by class


def _load_quickdraw(
    classes: tuple[str, ...] | None, data_dir: str | os.PathLike | None
) -> ImageSet:
    default = os.environ.get("QUICKDRAW_DIR") or _cache_dir() / "quickdraw"
    folder = Path(data_dir or default).expanduser()
    on_disk = class_files(folder) if folder.is_dir() else {}
    if classes is None and not on_disk:
        raise DataError(
            f"No class of quickdraw is in {folder}: choose some with classes (cat, fish, ...), or "
            "set QUICKDRAW_DIR to a folder of <class>.npy files."
        )
    for name in classes or ():
        if name not in on_disk:
            _download_drawings(name, folder / f"{name}.npy", tuple(on_disk))
    files = {name: on_disk.get(name, folder / f"{name}.npy") for name in classes or on_disk}
    return _with_test_images("quickdraw", read_class_arrays(files))


def _download_drawings(name: str, path: Path, on_disk: Sequence[str]) -> None:
    """Downloads one class of quickdraw."""
    url = f"{_QUICKDRAW_URL}{urllib.parse.quote(name)}.npy"
    problem = network_problem(url)
    if problem is None:
        print(f"Downloading {name} of quickdraw to {path} ...", file=sys.stderr, flush=True)
        try:
            _write_whole(path, lambda file: _copy_drawings(url, file))
            return
        except Exception as error:  # The network, the disk, and what came over the one to the other
            problem = one_line(error)
    raise DataError(
        f"The class {name!r} of quickdraw is not in {path.parent} ({_listed(on_disk)}) and cannot "
        f"be downloaded ({problem}).{_hint(name, on_disk)} "
        "Set QUICKDRAW_DIR to a folder of <class>.npy files, or use --dataset digits."
    )


def _copy_drawings(url: str, file: BinaryIO) -> None:
    """Copies drawings from `url`, and makes sure that they came whole."""
    with urllib.request.urlopen(url, timeout=60) as response:
        shutil.copyfileobj(response, file)
        announced = response.headers.get("Content-Length")
    if announced is not None and file.tell() != int(announced):
        raise DataError(f"{file.tell()} of {announced} bytes came")


def _checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names that can be file names; one name alone will do."""
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    for name in names:
        if not isinstance(name, str) or not name or name[0] == "." or set(name) & set("/\\\0"):
            raise DataError(f"{name!r} cannot be the name of a class.")
    if not names or len(set(names)) < len(names):
        raise DataError(f"classes must be one or more different names; received {list(names)}.")
    return names


# --- The digits of scikit-learn


def _load_digits() -> ImageSet:
    """scikit-learn's 1,797 digits of 8x8, brought to MNIST's 28x28 and to [0, 1]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    enlarge = interpolation_matrix(8, 28)
    images = np.clip(enlarge @ (digits.images / 16.0) @ enlarge.T, 0, 1).astype(np.float32)
    labels = digits.target.astype(np.int64)
    return _with_test_images("digits", Contents(images, labels, tuple("0123456789")))


def interpolation_matrix(num_from: int, num_to: int) -> np.ndarray:
    """`(num_to, num_from)` weights that resize one axis linearly; each row sums to 1.

    The centres of the pixels are matched, as image libraries do it: `matrix @ image @ matrix.T`.
    """
    centres = (np.arange(num_to) + 0.5) * num_from / num_to - 0.5
    centres = np.clip(centres, 0, num_from - 1)
    return np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(num_from)))


# --- What they share


def _with_test_images(name: str, contents: Contents) -> ImageSet:
    """Makes an `ImageSet`, after drawing a seventh of each class for testing if there is none.

    MNIST has 10,000 of its 70,000 images for that. Both parts come in random order, so that the
    first few images of a set stored class by class show more than its first class.
    """
    images, labels, class_names, test_images, test_labels = contents
    if test_images is not None:
        return ImageSet(name, images, labels, test_images, test_labels, class_names)
    if len(images) < 2:
        raise DataError(f"{name} has too few images: at least 2 are needed; received 1.")
    test = _draw_test_indices(labels, len(images))
    random = np.random.default_rng(_TEST_SEED)
    test = random.permutation(test)
    train = random.permutation(np.setdiff1d(np.arange(len(images)), test))
    if labels is None:
        return ImageSet(name, images[train], None, images[test], None)
    return ImageSet(name, images[train], labels[train], images[test], labels[test], class_names)


def _draw_test_indices(labels: np.ndarray | None, num_images: int) -> np.ndarray:
    """A seventh of each class; which images of a class depends on no other class."""
    everything = np.arange(num_images)
    groups = [] if labels is None else [everything[labels == kind] for kind in np.unique(labels)]
    if not any(len(group) > 1 for group in groups):
        groups = [everything]
    drawn = []
    for group in groups:
        number = min(len(group) - 1, max(1, round(len(group) / 7)))
        drawn.append(np.random.default_rng(_TEST_SEED).permutation(group)[:number])
    return np.concatenate(drawn)


def _as_float(images: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1] without an array in between."""
    if images.dtype == np.uint8:
        return np.divide(images, np.float32(255), dtype=np.float32)
    return np.asarray(images, dtype=np.float32)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "") or "none"


def _hint(received: str, known: Sequence[str]) -> str:
    """Names the nearest of the known names, if one is near."""
    lower = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(received.lower(), lower, 1)
    return f" Did you mean {lower[nearest[0]]!r}?" if nearest else ""
