"""Sparse autoencoder with an l1 penalty, against the formula."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_ae


def images_of(num, tile=1):
    images = np.random.default_rng(0).uniform(size=(num, 6, 5)).astype("float32")
    return np.tile(images, (tile, 1, 1))


def test_preset_matches_the_network_of_the_book():
    model = keras_ae.VARIANTS["sparse_l1"]()
    kernels = [tuple(w.shape) for w in model.weights if w.path.endswith("kernel")]
    assert kernels == [(784, 100), (100, 300), (300, 100), (100, 784)]
    assert model.l1 == 1e-3
    # Biases, no normalization: Geron's 28 * 28 - 100 - 300 - 100 - 28 * 28.
    assert model.count_params() == 785 * 100 + 101 * 300 + 301 * 100 + 101 * 784


@pytest.mark.parametrize(("num", "tile", "batch_size"), [(8, 1, 8), (8, 8, 64), (64, 1, 16)])
def test_latent_loss_matches_the_formula_at_any_batch_size(num, tile, batch_size):
    images = images_of(num, tile)
    model = keras_ae.SparseL1((6, 5), 7, l1=0.25)
    codes = np.float64(model.encode(images))
    assert ((codes > 0) & (codes < 1)).all()
    expected = 0.25 * 30 * np.abs(codes).sum(axis=1).mean()
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    evaluated = model.evaluate(images, batch_size=batch_size, verbose=0, return_dict=True)
    assert evaluated["latent_loss"] == pytest.approx(expected, rel=1e-5)
    fitted = model.fit(images, batch_size=batch_size, verbose=0).history
    assert fitted["latent_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_larger_penalty_makes_the_code_sparser():
    means = []
    for l1 in (0.0, 0.03):
        keras.utils.set_random_seed(0)
        model = keras_ae.SparseL1((6, 5), 7, l1=l1, hidden_units=(12,), seed=0)
        model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
        model.fit(images_of(64), batch_size=16, epochs=10, verbose=0)
        means.append(model.encode(images_of(64)).mean())
    assert means[1] < 0.5 * means[0]


@pytest.mark.parametrize("l1", [-1e-3, float("nan"), "much"])
def test_bad_penalty_is_refused(l1):
    with pytest.raises(ValueError, match="l1 must be a number >= 0; received") as error:
        keras_ae.SparseL1((6, 5), 4, l1=l1)
    assert repr(l1) in str(error.value)
