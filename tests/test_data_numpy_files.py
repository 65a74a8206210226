""".npy and .npz files against the arrays they were written from."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from data_helpers import (
    assert_holds,
    drawings,
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    random_images,
)

from keras_ae import data


def test_npz_with_keras_mnist_keys(tmp_path):
    train, test = random_images(40, 5, 7), random_images(10, 5, 7, seed=1)
    labels = np.arange(50) % 4
    np.savez(
        tmp_path / "a.npz", x_train=train, y_train=labels[:40], x_test=test, y_test=labels[40:]
    )
    loaded = data.load(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(loaded.train_images, train)
    np.testing.assert_array_equal(loaded.test_images, test)
    np.testing.assert_array_equal(loaded.train_labels, labels[:40])
    np.testing.assert_array_equal(loaded.test_labels, labels[40:])
    assert (loaded.name, loaded.image_shape) == ("a.npz", (5, 7))


@pytest.mark.parametrize(
    "keys", [("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("images",)]
)
def test_npz_without_test_images_splits_off_a_seventh(keys, tmp_path):
    images, labels = random_images(70, 5, 7), np.arange(70) % 2
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (images, labels), strict=False)))
    loaded = data.load(tmp_path / "a.npz")
    assert (len(loaded.train_images), len(loaded.test_images)) == (60, 10)
    assert_holds(loaded, images, labels if len(keys) == 2 else None)
    if len(keys) == 2:
        assert np.bincount(loaded.test_labels).tolist() == [5, 5]


@pytest.mark.parametrize(
    "names",
    [
        ("X_train", "Y_train", "X_val", "Y_val", "X_test", "Y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("images", "labels", "validation_images", "validation_labels", "x_test", "y_test"),
        ("data", "targets", "x_valid", "y_valid", "test_x", "test_y"),
    ],
)
def test_npz_with_other_usual_names(names, tmp_path):
    images, labels = random_images(60, 5, 7), np.arange(60) % 4
    starts = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}
    pairs = zip(names[::2], names[1::2], starts.values(), strict=True)
    arrays = {}
    for image_name, label_name, part in pairs:
        arrays[image_name], arrays[label_name] = images[part], labels[part, None]
    np.savez(tmp_path / "a.npz", **arrays)
    loaded = data.load(tmp_path / "a.npz")
    assert loaded.notices == ()
    for name, part in starts.items():
        np.testing.assert_array_equal(getattr(loaded, f"{name}_images"), images[part])
        np.testing.assert_array_equal(getattr(loaded, f"{name}_labels"), labels[part])
    parts = data.split(loaded)
    np.testing.assert_array_equal(np.rint(parts.validation.images * 255), images[40:50])
    assert len(parts.train) == 40


def test_npz_without_names_has_images_and_labels(tmp_path):
    images, labels = random_images(20, 5, 7), np.arange(20) % 3
    np.savez(tmp_path / "a.npz", images, labels)
    assert_holds(data.load(tmp_path / "a.npz"), images, labels)
    np.savez(tmp_path / "b.npz", images, random_images(20, 5, 7))
    loaded = data.load(tmp_path / "b.npz")
    assert_holds(loaded, images)
    assert "arr_1" in loaded.notices[0]


def test_arrays_of_an_archive_that_are_not_used_are_said(tmp_path):
    images = random_images(20, 5, 7)
    np.savez(tmp_path / "a.npz", images=images, x=images, masks=images, x_val=images)
    (notice,) = data.load(tmp_path / "a.npz").notices
    assert "read images, x_val; not used: x, masks" in notice


@pytest.mark.parametrize(
    ("scale", "words"), [(lambda x: x * 255, "0..255"), (lambda x: 2 * x - 1, "[-1, 1]")]
)
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_floats_of_another_range_are_scaled_and_said(scale, words, kind, tmp_path):
    images = np.random.default_rng(0).random((20, 4, 4))
    images[0, 0] = 0, 1, 0, 1
    np.save(tmp_path / "a.npy", scale(images).astype(kind))
    loaded = data.load(tmp_path / "a.npy")
    found = np.concatenate([loaded.train_images, loaded.test_images])
    assert found.dtype == np.float32
    expected = np.sort(images.sum((1, 2)))
    np.testing.assert_allclose(np.sort(found.sum((1, 2))), expected, rtol=5e-3)
    assert words in loaded.notices[0] and "a.npy" in loaded.notices[0]


def test_all_arrays_of_a_data_set_are_scaled_alike(tmp_path):
    """The dark test images alone would pass for [0, 1]."""
    images = np.linspace(0, 255, 320, dtype=np.float32).reshape(20, 4, 4)
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images[:1] / 20)
    loaded = data.load(tmp_path / "a.npz")
    np.testing.assert_allclose(loaded.test_images, images[:1] / 20 / 255, rtol=1e-6)
    np.savez(tmp_path / "b.npz", x_train=images / 127.5 - 1, x_test=images[:1] / 255)
    loaded = data.load(tmp_path / "b.npz")
    np.testing.assert_allclose(loaded.test_images, (images[:1] / 255 + 1) / 2, rtol=1e-6)


def test_rounding_beyond_the_range_is_clipped(tmp_path):
    images = np.random.default_rng(0).random((20, 4, 4), np.float32)
    images[0, 0, :2] = 1 + 1e-6, -1e-6
    np.save(tmp_path / "a.npy", images)
    loaded = data.load(tmp_path / "a.npy")
    assert loaded.notices == ()
    assert_holds(loaded, images.clip(0, 1))


@pytest.mark.parametrize(
    "labels, class_names, indices",
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([10, 9, -2], ("-2", "9", "10"), [2, 1, 0]),
        ([1.0, 3.0, 1.0], ("1", "3"), [0, 1, 0]),
        ([True, False, True], ("0", "1"), [1, 0, 1]),
        ([b"b", b"a", b"b"], ("a", "b"), [1, 0, 1]),
        ([[5], [4], [5]], ("4", "5"), [1, 0, 1]),
    ],
)
def test_labels_become_indices_of_sorted_names(labels, class_names, indices, tmp_path):
    images = random_images(21, 4, 4)
    np.savez(tmp_path / "a.npz", x=images, y=np.array(labels * 7))
    loaded = data.load(tmp_path / "a.npz")
    assert loaded.class_names == class_names
    assert_holds(loaded, images, indices * 7)
    assert loaded.train_labels.dtype == np.int64


@pytest.mark.parametrize(
    "written, shape",
    [
        (random_images(20, 6, 6), (6, 6)),
        (random_images(20, 36), (6, 6)),
        (random_images(20, 6, 6, 1), (6, 6)),
        (random_images(20, 6, 6, 3), (6, 6, 3)),
        (random_images(20, 6, 6).astype(np.int32), (6, 6)),
    ],
)
def test_npy_shapes(written, shape, tmp_path):
    np.save(tmp_path / "a.npy", written)
    loaded = data.load(tmp_path / "a.npy")
    assert loaded.image_shape == shape
    assert loaded.train_images.dtype == np.uint8
    assert_holds(loaded, written.reshape(-1, *shape).astype(np.uint8))
    assert (loaded.train_labels, loaded.test_labels, loaded.num_classes) == (None, None, 0)


def test_floats_are_kept_and_bools_become_0_and_255(tmp_path):
    floats = np.random.default_rng(0).random((20, 4, 4))
    np.save(tmp_path / "floats.npy", floats)
    loaded = data.load(tmp_path / "floats.npy")
    assert loaded.train_images.dtype == np.float32
    assert_holds(loaded, floats.astype(np.float32))
    np.save(tmp_path / "bools.npy", floats > 0.5)
    assert_holds(data.load(tmp_path / "bools.npy"), (floats > 0.5).astype(np.uint8) * 255)


def test_integers_of_only_0_and_1_warn(tmp_path):
    np.save(tmp_path / "a.npy", random_images(20, 4, 4) % 2)
    with pytest.warns(UserWarning, match="nearly black"):
        data.load(tmp_path / "a.npy")


UNUSABLE = {
    "float 0..256": (np.full((9, 4, 4), 256.0), "256"),
    "float 0..1.03": (np.full((9, 4, 4), 1.03), "Clip"),
    "two channels": (random_images(9, 6, 8, 2), "received 2"),
    "five channels": (random_images(9, 6, 8, 5), "received 5"),
    "NaN": (np.full((9, 4, 4), np.nan), "NaN"),
    "out of 0..255": (np.full((9, 4, 4), 256), "256"),
    "negative": (np.full((9, 4, 4), -1), "-1"),
    "empty": (np.zeros((0, 4, 4), np.uint8), "(0, 4, 4)"),
    "no square": (random_images(9, 15), "(9, 15)"),
    "one axis": (random_images(9), "(9,)"),
    "five axes": (random_images(9, 2, 2, 2, 2), "(9, 2, 2, 2, 2)"),
    "channels first": (random_images(9, 3, 8, 8), "last"),
    "text": (np.array(["a", "b"]), "<U1"),
    "complex": (np.zeros((9, 4, 4), complex), "complex128"),
    "one image": (random_images(1, 4, 4), "received 1"),
}


@pytest.mark.parametrize("images, word", UNUSABLE.values(), ids=UNUSABLE)
def test_invalid_image_arrays_are_refused(images, word, tmp_path):
    np.save(tmp_path / "a.npy", images)
    message_of(lambda: data.load(tmp_path / "a.npy"), "a.npy", word)
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images)
    if len(images) != 1:
        message_of(lambda: data.load(tmp_path / "a.npz"), "a.npz", word)


def test_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    objects = np.array([Trap(), Trap()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=objects)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "b.npz", "c.npy"):
        message_of(lambda name=name: data.load(tmp_path / name), name, "pickle")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 5, 60, 700])
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_truncated_numpy_files_are_refused(name, kept, tmp_path):
    save = {"a.npy": np.save, "a.npz": lambda file, array: np.savez(file, x=array)}[name]
    save(tmp_path / name, random_images(50, 4, 4))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:kept])
    message_of(lambda: data.load(tmp_path / name), name, "cannot be read")


@pytest.mark.parametrize(
    "labels, word",
    [
        (np.zeros(8, int), "(8,)"),
        (np.zeros((9, 3), int), "(9, 3)"),
        (np.full(9, 0.5), "fractions"),
        (np.full(9, np.nan), "NaN"),
        (np.zeros(9, complex), "complex128"),
        (np.array([b"\xff"] * 9), "UTF-8"),
    ],
)
def test_invalid_labels_are_refused(labels, word, tmp_path):
    np.savez(tmp_path / "a.npz", x=random_images(9, 4, 4), y=labels)
    message_of(lambda: data.load(tmp_path / "a.npz"), "a.npz", word)


def test_inconsistent_npz_arrays_are_refused(tmp_path):
    file = tmp_path / "a.npz"
    images, labels = random_images(9, 4, 4), np.arange(9)
    np.savez(file, pictures=images)
    message_of(lambda: data.load(file), "pictures", "x_train")
    np.savez(file, x_train=images, y_train=labels, x_test=images)
    message_of(lambda: data.load(file), "test labels are missing")
    np.savez(file, x_train=images, x_test=random_images(9, 5, 4))
    message_of(lambda: data.load(file), "(4, 4)", "(5, 4)")
    np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels.astype(str))
    message_of(lambda: data.load(file), "of one kind")


def test_folder_of_one_npy_file_per_class(tmp_path):
    written = drawings(tmp_path, tree=20, cat=30, fish=10)
    loaded = data.load(tmp_path, classes=["tree", "cat"])
    assert loaded.class_names == ("tree", "cat")
    images = np.concatenate([written["tree"], written["cat"]]).reshape(-1, 28, 28)
    assert_holds(loaded, images, [0] * 20 + [1] * 30)
    message_of(lambda: data.load(tmp_path, classes=["dog"]), "'dog'", "cat, fish, tree")
    np.save(tmp_path / "dog.npy", np.zeros((9, 28, 28), np.float32))
    message_of(lambda: data.load(tmp_path), "cat.npy", "dog.npy", "float32")
