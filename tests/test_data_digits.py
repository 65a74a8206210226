"""The digits of scikit-learn against scikit-learn and Pillow's resizing."""

from __future__ import annotations

import numpy as np
from data_helpers import own_cache  # noqa: F401  # a fixture for every test
from PIL import Image

from keras_ae import data
from keras_ae.data import digits


def test_resizing_interpolates_between_pixel_centers():
    matrix = digits.interpolation_matrix(8, 28)
    signal = np.random.default_rng(0).random(8)
    expected = np.interp((np.arange(28) + 0.5) / 28, (np.arange(8) + 0.5) / 8, signal)
    np.testing.assert_allclose(matrix @ signal, expected, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_digits_equal_resized_sklearn_digits():
    from sklearn.datasets import load_digits

    loaded = data.load("digits")
    assert loaded.image_shape == (28, 28)
    assert loaded.class_names == tuple("0123456789")
    assert loaded.train_images.dtype == np.float32
    assert loaded.train_labels.dtype == np.int64
    bundled = load_digits()
    small = (bundled.images / 16).astype(np.float32)
    resized = [Image.fromarray(i).resize((28, 28), Image.Resampling.BILINEAR) for i in small]
    enlarged = np.stack([np.asarray(image) for image in resized])
    found = np.concatenate([loaded.train_images, loaded.test_images]).sum(axis=(1, 2))
    np.testing.assert_allclose(np.sort(found), np.sort(enlarged.sum(axis=(1, 2))), rtol=1e-4)
    # Compare the loaded image nearest to the first bundled one pixel by pixel.
    distance = np.abs(loaded.train_images - enlarged[0]).max(axis=(1, 2))
    distance = min(distance.min(), np.abs(loaded.test_images - enlarged[0]).max(axis=(1, 2)).min())
    assert distance < 1e-5
    assert loaded.train_images.min() >= 0 and loaded.train_images.max() <= 1


def test_digits_use_a_seventh_of_each_class_for_testing():
    loaded = data.load("digits")
    test_counts = np.bincount(loaded.test_labels)
    counts = test_counts + np.bincount(loaded.train_labels)
    np.testing.assert_array_equal(test_counts, np.rint(counts / 7))
    assert counts.sum() == 1797
    assert data.load("digits").fingerprint == loaded.fingerprint
