"""Names of test images: files of a folder, indices of an array."""

from __future__ import annotations

import numpy as np
import pytest
from data_helpers import (
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
    write_image,
)
from PIL import Image

from keras_ae import data


def write_images(folder, **numbers):
    """Random 6x5 images `<name>/<place>.png`, so that every file has other pixels."""
    for seed, (name, number) in enumerate(numbers.items()):
        for place, image in enumerate(random_images(number, 6, 5, seed=seed)):
            write_image(folder / name.replace("__", "/") / f"{place:02d}.png", image)


def assert_named(folder, split):
    """The file with the name of each test image has its pixels."""
    assert len(split.test_names) == len(split.test)
    for name, image in zip(split.test_names, np.asarray(split.test.images), strict=True):
        expected = np.asarray(Image.open(folder / name), np.float32) / 255
        np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize("limit", [None, 100], ids=["memory", "disk"])
@pytest.mark.parametrize("held_out", [None, "b"])
@pytest.mark.parametrize(
    "parts",
    [
        {"a": 15, "b": 14},
        {"train__a": 9, "train__b": 8, "test__a": 3, "test__b": 4},
        {"train__a": 9, "train__b": 8, "test__a": 3, "test__b": 4, "val__a": 3, "val__b": 2},
    ],
    ids=["one part", "two parts", "three parts"],
)
def test_names_are_paths_of_the_files_with_these_pixels(tmp_path, parts, held_out, limit):
    folder = tmp_path / "set"
    write_images(folder, **parts)
    damaged = folder / next(iter(parts)).replace("__", "/") / "03.png"
    damaged.write_bytes(damaged.read_bytes()[:45])  # the header is whole, the pixels are not
    for _ in range(2):  # on disk: decoded, then from the cache
        loaded = data.load(folder, storage=data.Storage(limit))
        split = data.split(loaded, held_out_class=held_out)
        assert_named(folder, split)
        if held_out:
            assert {"b/00.png", "train/b/00.png"} & set(split.test_names)


def test_names_follow_the_images_that_fit_into_memory(tmp_path, monkeypatch):
    write_images(tmp_path / "set", train=4, test=9)
    loaded = data.load(tmp_path / "set", storage=data.Storage(100))
    monkeypatch.setitem(data.splits._MOST_IN_MEMORY, "test", 3)
    few = data.in_memory(data.split(loaded))
    assert len(few.test) == 3 and list(few.test_names) != ["test/00.png", "test/01.png"]
    assert_named(tmp_path / "set", few)


@pytest.mark.parametrize("held_out", [None, "1"])
def test_images_of_one_array_are_named_by_their_index(tmp_path, held_out):
    images, labels = random_images(40, 6, 5), np.arange(40) % 2
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    split = data.split(data.load(tmp_path / "set.npz"), held_out_class=held_out)
    expected = images[np.array(split.test_names, int)] / np.float32(255)
    np.testing.assert_allclose(split.test.images, expected, atol=1e-6)


def test_held_out_images_of_another_array_are_named_with_its_part(tmp_path):
    train, test = random_images(80, 6, 5), random_images(6, 6, 5, seed=1)
    np.savez(
        tmp_path / "set.npz",
        x_train=train, y_train=np.arange(80) % 2, x_test=test, y_test=np.arange(6) % 2,
    )  # fmt: skip
    loaded = data.load(tmp_path / "set.npz")
    assert list(data.split(loaded).test_names) == list(range(6))
    split = data.split(loaded, held_out_class="1")
    assert list(split.test_names[:6]) == list(range(6)) and len(split.test_names) == 46
    for name, image in zip(split.test_names[6:], split.test.images[6:], strict=True):
        part, _, index = name.partition(" ")
        assert part == "training"
        np.testing.assert_allclose(image, train[int(index)] / np.float32(255), atol=1e-6)


def test_renamed_files_are_the_same_images_with_other_names(tmp_path):
    write_images(tmp_path / "set", train=4, test=2)
    before = data.load(tmp_path / "set", storage=data.Storage(100))
    (tmp_path / "set" / "test" / "01.png").rename(tmp_path / "set" / "test" / "new.png")
    after = data.load(tmp_path / "set", storage=data.Storage(100))
    assert before.fingerprint == after.fingerprint
    assert list(after.test_names) == ["test/00.png", "test/new.png"]
