"""Helpers for the tests of `keras_ae.data`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_ae import data
from keras_ae.data import network

REAL_NETWORK_PROBLEM = network.network_problem
TFDS_DIR = Path(os.environ.get("TFDS_DATA_DIR") or "no-such-folder")
DRAWINGS_DIR = Path(os.environ.get("QUICKDRAW_DIR") or TFDS_DIR.absolute().parent / "quickdraw")

needs_mnist = pytest.mark.skipif(
    not (TFDS_DIR / "mnist" / "3.0.1" / "dataset_info.json").is_file(),
    reason="TFDS_DATA_DIR does not name a folder with MNIST prepared",
)
needs_quickdraw = pytest.mark.skipif(
    not (DRAWINGS_DIR / "cat.npy").is_file(),
    reason="neither QUICKDRAW_DIR nor the folder next to TFDS_DATA_DIR has cat.npy",
)


@pytest.fixture(autouse=True, name="cache")
def own_cache(tmp_path, monkeypatch):
    """An empty cache and no network, for every test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KERAS_AE_CACHE", str(folder))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no-tfds"))
    monkeypatch.delenv("QUICKDRAW_DIR", raising=False)
    monkeypatch.setattr(network, "network_problem", lambda url, **_: "no network in tests")
    return folder


def random_images(num, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), dtype=np.uint8)


def image_set(num=600, num_classes=10, **changes):
    """A set in which the top left pixels of an image hold its position."""
    images = random_images(num, 6, 6)
    images[:, 0, 0], images[:, 0, 1] = np.arange(num) // 256, np.arange(num) % 256
    labels = np.arange(num, dtype=np.int64) * 7 % num_classes
    fields = {
        "name": "made",
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:20],
        "test_labels": labels[:20],
        "class_names": tuple(f"kind {k}" for k in range(num_classes)),
    }
    return data.ImageSet(**{**fields, **changes})


def positions(subset):
    """The positions in `image_set` of the images of a subset."""
    top_left = np.rint(subset.images[:, 0, :2] * 255).astype(int)
    return top_left[:, 0] * 256 + top_left[:, 1]


def message_of(call, *words):
    """The message of the one-line DataError that `call` must raise, with `words` in it."""
    with pytest.raises(data.DataError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message
    return message


def in_stored_order(loaded):
    """All images and labels of a set, sorted by content, to compare with what was written."""
    images = np.concatenate([loaded.train_images, loaded.test_images])
    order = np.lexsort(images.reshape(len(images), -1).T)
    if loaded.train_labels is None:
        return images[order], None
    return images[order], np.concatenate([loaded.train_labels, loaded.test_labels])[order]


def assert_holds(loaded, images, labels=None):
    """`loaded` has exactly these images, each with its label, in training and test together."""
    order = np.lexsort(images.reshape(len(images), -1).T)
    found_images, found_labels = in_stored_order(loaded)
    np.testing.assert_array_equal(found_images, images[order])
    if labels is None:
        assert found_labels is None
    else:
        np.testing.assert_array_equal(found_labels, np.asarray(labels)[order])


def drawings(folder, **numbers):
    """Write `<class>.npy` files as quickdraw publishes them."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, (name, number) in enumerate(numbers.items()):
        written[name] = random_images(number, 784, seed=seed)
        np.save(folder / f"{name}.npy", written[name])
    return written


def write_image(path, image, **options):
    """Write `(H, W)`, `(H, W, 2)`, `(H, W, 3)` or `(H, W, 4)`: gray or color, with alpha or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
