"""MNIST, Fashion-MNIST and KMNIST, prepared by tensorflow-datasets."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_ae.checks import one_line
from keras_ae.data import network
from keras_ae.data.contents import Contents
from keras_ae.data.image_set import DataError
from keras_ae.files import atomic_write, cache_dir, digest


class PublishedSet(NamedTuple):
    """A data set of tensorflow-datasets with 60,000 + 10,000 images of 28x28 in ten classes.

    Attributes:
        url: The address that tensorflow-datasets downloads from.
        class_names: As in tensorflow-datasets.
        pixel_digest: `pixel_digest` of the right images; None if it is not known. Shapes alone
            would accept other images.
    """

    url: str
    class_names: tuple[str, ...]
    pixel_digest: str | None = None


# The version of all three data sets in tensorflow-datasets.
VERSION = "3.0.1"
# Every set here can be loaded by its name.
PUBLISHED = {
    "mnist": PublishedSet(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        tuple("0123456789"),
        "d2fad4294ac33316",
    ),
    "fashion_mnist": PublishedSet(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
        + ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": PublishedSet(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}


def read(name: str, data_dir: str | os.PathLike | None = None) -> Contents:
    """Read a set from the cache; on the first call, decode it, and download it if it is missing.

    Args:
        name: A key of `PUBLISHED`.
        data_dir: The folder of tensorflow-datasets. Default: `$TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    Raises:
        DataError: the set is not prepared and cannot be downloaded, or it is damaged.
    """
    cached = cache_dir() / f"{name}-{VERSION}.npz"
    try:
        with np.load(cached, allow_pickle=False) as archive:
            contents = Contents(class_names=PUBLISHED[name].class_names, **archive)
        _check(name, contents)
    except Exception:  # missing or damaged: the cache is written again
        contents = _decode(name, _data_dir(data_dir))
        arrays: dict[str, Any] = {
            key: array for key, array in contents._asdict().items() if isinstance(array, np.ndarray)
        }
        with contextlib.suppress(OSError):  # without a cache, loading is only slower
            atomic_write(cached, lambda temporary: np.savez(temporary, **arrays), shared=True)
    return contents


def pixel_digest(contents: Contents) -> str:
    """A digest of the sum of each class's images, 16 hex digits; the order does not matter."""
    sums = [
        images[labels == index].sum(axis=0, dtype="<i8").tobytes()
        for images, labels in _parts(contents)
        for index in range(len(contents.class_names))
    ]
    return digest(b"".join(sums))


def _decode(name: str, data_dir: Path) -> Contents:
    """Read the set with tensorflow-datasets from `data_dir`; prepare it there if needed."""
    folder = data_dir / name / VERSION
    is_prepared = (folder / "dataset_info.json").is_file()
    url = f"{PUBLISHED[name].url}train-labels-idx1-ubyte.gz"
    if not is_prepared and (problem := network.network_problem(url)):
        raise DataError(
            f"{name} is not prepared in {data_dir} and cannot be downloaded ({problem}): set "
            'TFDS_DATA_DIR to where it is, load "digits" instead, or give the path of a data set.'
        )
    try:
        import tensorflow_datasets as tfds

        builder: Any = tfds.builder(f"{name}:{VERSION}", data_dir=data_dir)
        if not is_prepared:
            print(f"Downloading {name} to {data_dir} ...", file=sys.stderr, flush=True)
            # From the address that was checked, not from a mirror of prepared sets.
            config = tfds.download.DownloadConfig(try_download_gcs=False)
            with _quiet():
                builder.download_and_prepare(download_config=config)
        # One file at a time, so that the order of the images is that of the files.
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)

        def part(which: str) -> tuple[np.ndarray, np.ndarray]:
            dataset = builder.as_dataset(
                split=which, batch_size=10_000, shuffle_files=False, read_config=in_order
            )
            batches = list(tfds.as_numpy(dataset))
            images = np.concatenate([batch["image"][..., 0] for batch in batches])
            return images, np.concatenate([batch["label"] for batch in batches]).astype(np.int64)

        contents = Contents(*part("train"), PUBLISHED[name].class_names, *part("test"))
        _check(name, contents)
        return contents
    except Exception as error:  # records, protocol buffers and downloads have errors of their own
        advice = (
            f"delete {folder} to prepare it again"
            if is_prepared
            else 'try again, or load "digits" instead'
        )
        raise DataError(
            f"{name} cannot be {'read from' if is_prepared else 'downloaded to'} {folder} "
            f"({one_line(error)}): {advice}."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide progress bars, banners and retries of a download."""
    retries = logging.getLogger("urllib3.connectionpool")
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        retries.setLevel(level)


def _parts(contents: Contents) -> list[tuple[np.ndarray, np.ndarray]]:
    """The training and the test images with their labels."""
    images, labels = contents.images, contents.labels
    test_images, test_labels = contents.test_images, contents.test_labels
    if labels is None or test_images is None or test_labels is None:
        raise DataError("A published data set must have labels and test images.")
    return [(images, labels), (test_images, test_labels)]


def _check(name: str, contents: Contents) -> None:
    """Raise a DataError unless counts, shapes, types, labels and pixels are the published ones."""
    for number, (images, labels) in zip((60_000, 10_000), _parts(contents), strict=True):
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
    known = PUBLISHED[name].pixel_digest
    if known is not None and (found := pixel_digest(contents)) != known:
        raise DataError(f"{name} must have images with the digest {known}; received {found}.")


def _data_dir(data_dir: str | os.PathLike | None) -> Path:
    """The folder of tensorflow-datasets."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(data_dir or default).expanduser()
