"""Recurrent autoencoder (LSTM)."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_ae


def images_of(shape, num=40):
    return np.random.default_rng(0).uniform(size=(num, *shape)).astype("float32")


def test_preset_matches_the_network_of_the_book():
    model = keras_ae.VARIANTS["recurrent"]()
    images = images_of((28, 28), 2)
    codes = model.encode(images)
    assert codes.shape == (2, 30) and np.abs(codes).max() < 1
    assert model.encoder.get_layer("hidden").units == 100
    assert model.decoder.get_layer("hidden").units == 100
    assert model.decoder.get_layer("logits").kernel.shape == (100, 28)
    assert model.reconstruct(images).shape == (2, 28, 28)


def test_units_set_both_hidden_lstms():
    model = keras_ae.Recurrent((6, 5), 3, units=7)
    assert model.encoder.get_layer("hidden").units == 7
    assert model.decoder.get_layer("hidden").units == 7


@pytest.mark.slow
def test_xla_matches_training_without_xla():
    """The loop over the rows runs inside the compiled loop over the steps."""
    weights = []
    for jit_compile in (True, False):
        keras.utils.set_random_seed(0)
        model = keras_ae.Recurrent((5, 4), 3, units=4, seed=0)
        model.compile(jit_compile=jit_compile)
        model.fit(images_of((5, 4)), batch_size=8, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for compiled, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=1e-5)


def trained(num_images, batch_size=8, weights=None, **compiled):
    keras.utils.set_random_seed(0)
    model = keras_ae.Recurrent((5, 4), 3, units=4, seed=0)
    model.compile(keras.optimizers.Adam(1e-2), **compiled)
    history = model.fit(
        images_of((5, 4), num_images), batch_size=batch_size, epochs=2, verbose=0,
        sample_weight=weights,
    )  # fmt: skip
    return model, history.history


@pytest.mark.parametrize("batch_size", [8, 7, 1])
def test_halves_of_a_batch_train_as_the_whole(batch_size):
    """Also an odd batch, a short last one, and weights that differ between the halves."""
    weights = np.linspace(0, 3, 21)
    halves, losses = trained(21, batch_size, weights)
    whole, expected = trained(21, batch_size, weights, jit_compile=False)
    for ours, reference in zip(halves.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, reference, atol=1e-5)
    for name, values in expected.items():
        np.testing.assert_allclose(losses[name], values, rtol=1e-5)
    assert (halves._half_step is not None) == (batch_size > 1)
    assert whole._half_step is None


def test_keras_metrics_see_the_images_of_both_halves():
    keras.utils.set_random_seed(0)
    model = keras_ae.Recurrent((5, 4), 3, units=4, seed=0)
    images = images_of((5, 4), 8)
    model.compile("sgd", metrics=["mse"])
    before = np.mean((model.reconstruct(images) - images) ** 2)
    history = model.fit(images, images, batch_size=8, epochs=1, verbose=0)
    np.testing.assert_allclose(history.history["mse"], before, rtol=1e-5)


def test_weights_of_keras_lstms_load(tmp_path, monkeypatch):
    """The files of earlier versions have `keras.layers.LSTM` in their place."""
    with monkeypatch.context() as patched:
        patched.setattr("keras_ae.networks.recurrent.LSTM", keras.layers.LSTM)
        old, _ = trained(8)
    old.save(tmp_path / "model.keras")
    old.save_weights(tmp_path / "model.weights.h5")
    new = keras_ae.Recurrent((5, 4), 3, units=4)
    new.load_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = images_of((5, 4), 3)
    for model in (new, loaded):
        np.testing.assert_allclose(model.reconstruct(images), old.reconstruct(images), atol=1e-6)
        assert isinstance(model.encoder.get_layer("code"), keras_ae.layers.LSTM)


def test_model_learns_the_order_of_the_rows():
    """Striped images: the two kinds differ only in the order of the rows."""
    up = np.linspace(0.1, 0.9, 6)[:, None].repeat(5, axis=1)
    images = np.stack([up, up[::-1]] * 40).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras_ae.Recurrent((6, 5), 3, units=12, seed=0)
    model.compile(keras.optimizers.Adam(2e-2), jit_compile=False)
    model.fit(images, batch_size=40, epochs=60, verbose=0)
    assert np.abs(model.reconstruct(images[:2]) - images[:2]).max() < 0.15


@pytest.mark.parametrize("units", [0, 2.5, "many"])
def test_bad_units_are_refused(units):
    with pytest.raises(ValueError, match="units must be a whole number >= 1; received") as error:
        keras_ae.Recurrent((6, 5), 3, units=units)
    assert repr(units) in str(error.value)
