"""Splits, held-out classes, few labels and binarization against the definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_helpers import (
    image_set,
    message_of,
    own_cache,  # noqa: F401  # a fixture for every test
    positions,
)

from keras_ae import data


def floats(images):
    return (images / 255).astype("float32")


@pytest.mark.parametrize("convert", [np.asarray, floats])
def test_binarize_threshold_is_half_intensity(convert):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
    whole = image_set(16, train_images=convert(levels), test_images=convert(levels[::-1]))
    made = data.binarized(whole, "threshold")
    assert made.name == "made_threshold"
    np.testing.assert_array_equal(made.train_images, np.where(levels > 127.5, 255, 0))
    np.testing.assert_array_equal(made.test_images, made.train_images[::-1])
    np.testing.assert_array_equal(made.train_labels, whole.train_labels)
    assert set(np.unique(data.split(made).train.images)) == {0.0, 1.0}


@pytest.mark.parametrize("convert", [np.asarray, floats])
def test_binarize_bernoulli_probability_is_intensity(convert):
    levels = np.tile(np.array([0, 51, 128, 204, 255], np.uint8), (4000, 2, 1))
    whole = image_set(4000, train_images=convert(levels), test_images=convert(levels))
    made = data.binarized(whole, "bernoulli")
    assert made.name == "made_bernoulli" and set(np.unique(made.train_images)) == {0, 255}
    share = (made.train_images / 255).mean(axis=(0, 1))
    np.testing.assert_allclose(share, levels[0, 0] / 255, atol=0.03)
    assert share[0] == 0.0 and share[-1] == 1.0
    assert np.any(made.train_images != made.test_images)
    # Pixels are drawn independently, and only once.
    assert abs(np.corrcoef(made.train_images[:, :, 2].T)[0, 1]) < 0.06
    assert data.binarized(whole, "bernoulli").fingerprint == made.fingerprint
    assert len({made.fingerprint, whole.fingerprint}) == 2


def test_unknown_binarization_is_refused():
    message_of(lambda: data.binarized(image_set(), "dither"), "threshold, bernoulli", "'dither'")


@pytest.mark.parametrize(
    "num, num_validation", [(3, 1), (13, 1), (600, 50), (60_000, 5_000), (70_000, 5_000)]
)
def test_split_is_disjoint_and_complete(num, num_validation):
    whole = image_set(num, train_images=np.zeros((num, 1, 2), np.uint8)) if num > 600 else None
    parts = data.split(whole or image_set(num))
    assert len(parts.validation) == num_validation
    assert len(parts.train) == num - num_validation
    if whole is None:
        train, validation = positions(parts.train), positions(parts.validation)
        assert sorted([*train, *validation]) == list(range(num))
        assert (np.diff(train) > 0).all()


def test_split_keeps_labels_and_scales_exactly():
    made = image_set()
    parts = data.split(made)
    for subset in (parts.train, parts.validation, parts.test):
        stood = positions(subset)
        np.testing.assert_array_equal(subset.labels, made.train_labels[stood])
        np.testing.assert_array_equal(
            subset.images, made.train_images[stood].astype(np.float32) / np.float32(255)
        )
        assert subset.images.dtype == np.float32
    np.testing.assert_array_equal(positions(parts.test), np.arange(20))


def test_split_does_not_rescale_floats():
    images = np.random.default_rng(0).random((24, 3, 3), np.float32)
    parts = data.split(image_set(24, train_images=images, test_images=images))
    np.testing.assert_array_equal(parts.test.images, images)
    assert parts.train.images.max() > 0.5


def test_split_depends_on_the_seed():
    first, again, other = (positions(data.split(image_set(), seed=s).validation) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("held_out_class", [4, "4", "kind 4", np.int64(4)])
def test_held_out_class_does_not_move_other_images(held_out_class):
    made = image_set()
    whole, without = data.split(made), data.split(made, held_out_class=held_out_class)
    for part in ("train", "validation"):
        stood = positions(getattr(whole, part))
        expected = stood[made.train_labels[stood] != 4]
        assert len(expected) < len(stood)
        np.testing.assert_array_equal(positions(getattr(without, part)), expected)
        assert 4 not in getattr(without, part).labels
    np.testing.assert_array_equal(without.test.images[:20], whole.test.images)
    moved = np.concatenate([positions(whole.train), positions(whole.validation)])
    moved = moved[made.train_labels[moved] == 4]
    np.testing.assert_array_equal(positions(without.test)[20:], moved)
    assert set(without.test.labels[20:]) == {4}
    fixed = replace(made, fixed_test=True)
    protocol = data.split(fixed, held_out_class=held_out_class)
    np.testing.assert_array_equal(protocol.test.images, whole.test.images)
    assert 4 in protocol.test.labels


def test_class_is_looked_up_by_name_before_index():
    swapped = image_set(num_classes=3, class_names=("2", "0", "x"))
    assert [data.held_out_index(swapped, c) for c in ("2", 0, "x", 1)] == [0, 1, 2, 1]


@pytest.mark.parametrize("held_out_class", ["kind 44", 10, -1, 1.5, True])
def test_unknown_class_lists_the_known_ones(held_out_class):
    message_of(
        lambda: data.split(image_set(), held_out_class=held_out_class),
        repr(str(held_out_class)),
        "kind 0, kind 1",
    )


def test_impossible_splits_are_refused():
    bare = image_set(train_labels=None, test_labels=None, class_names=())
    assert data.split(bare).train.labels is None
    message_of(lambda: data.split(bare, held_out_class=1), "no labels", "1")
    alone = image_set(num_classes=1)
    message_of(lambda: data.split(alone, held_out_class=0), "no training images left", "kind 0")
    message_of(lambda: data.split(image_set(2)), "at least 3", "received 2")


@pytest.mark.parametrize(
    "num_images, num_classes, expected",
    [(55_000, 10, 550), (1_000, 10, 100), (1_000, 2, 20), (30_000, 10, 300), (50, 10, 50)],
)
def test_default_number_of_few_labels(num_images, num_classes, expected):
    labels = np.random.default_rng(0).permutation(np.arange(num_images) % num_classes)
    chosen = data.few_labels(labels)
    assert len(chosen) == expected == len(set(chosen.tolist()))
    assert np.bincount(labels[chosen]).min() >= min(10, num_images // num_classes)
    assert (np.diff(chosen) > 0).all()


def test_few_labels_take_all_of_a_rare_class():
    labels = np.array([0] * 5_000 + [1] * 4 + [2] * 500)
    chosen = data.few_labels(labels, num=60)
    counts = np.bincount(labels[chosen])
    assert counts[1] == 4 and counts[2] >= 10 and counts.sum() == 60
    # The other 36 are drawn uniformly; about 500 of the 5,500 candidates are of class 2.
    many = np.bincount(labels[data.few_labels(labels, num=2_024)])
    assert many[2] - 10 == pytest.approx(2_000 * 490 / 5_480, abs=45)


def test_few_labels_depend_on_labels_and_seed():
    labels = np.arange(2_000) % 10
    first = data.few_labels(labels, seed=3)
    np.testing.assert_array_equal(first, data.few_labels(labels.copy(), seed=3))
    assert first.tolist() != data.few_labels(labels, seed=4).tolist()
    assert len(data.few_labels(labels, num=35)) == 35
    assert np.bincount(labels[data.few_labels(labels, num=35)]).min() >= 3
    assert data.few_labels(labels, num=2_000).tolist() == list(range(2_000))


@pytest.mark.parametrize("num", [2_001, 9, 0, -1])
def test_invalid_number_of_few_labels_is_refused(num):
    message_of(lambda: data.few_labels(np.arange(2_000) % 10, num=num), f"received {num}")


@pytest.mark.parametrize("labels", [None, np.zeros((3, 2), int), np.zeros(0, int)])
def test_few_labels_need_labels(labels):
    message_of(lambda: data.few_labels(labels), "labels", "received")
