"""Dropout corruption: statistics, the state of the noise, and the variant that uses it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ae import DenoisingDropout
from keras_ae.layers import DropoutCorruption


def kept_of(shape, rate=0.5, seed=1):
    """Mask of the pixels of white images that the layer does not drop."""
    return DropoutCorruption(rate, seed=seed)(np.ones(shape, "float32"), training=True).numpy() > 0


@pytest.mark.parametrize("arguments", [{}, {"training": False}])
def test_images_pass_through_outside_training(arguments):
    images = np.random.default_rng(0).uniform(size=(4, 5, 5)).astype("float32")
    np.testing.assert_array_equal(DropoutCorruption(0.5)(images, **arguments), images)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_pixels_are_dropped_or_scaled_by_the_keep_probability(rate):
    images = np.random.default_rng(0).uniform(0.1, 1.0, (200, 28, 28)).astype("float32")
    answer = DropoutCorruption(rate, seed=1)(images, training=True).numpy()
    kept = answer != 0
    np.testing.assert_allclose(answer[kept], images[kept] / (1 - rate), rtol=1e-6)
    error = np.sqrt(rate * (1 - rate) / kept.size)
    assert abs(kept.mean() - (1 - rate)) < 4.5 * error
    assert abs(answer.mean() / images.mean() - 1) < 0.02  # the mean is unchanged


@pytest.mark.parametrize("distance", [1, 28, 784])
def test_pixels_are_dropped_independently(distance):
    kept = kept_of((200, 28, 28)).ravel().astype(float)
    correlation = np.corrcoef(kept[:-distance], kept[distance:])[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(kept.size - distance)


def test_noise_depends_on_call_image_and_seed_only():
    white = np.ones((2, 20, 20), "float32")
    layer = DropoutCorruption(0.5, seed=1)
    draws = np.stack([layer(white, training=True) for _ in range(2)])
    for one, other in (
        (draws[0], draws[1]),
        (draws[0, 0], draws[0, 1]),
        (kept_of(white.shape, seed=1), kept_of(white.shape, seed=2)),
    ):
        assert 0.4 < (one != other).mean() < 0.6
    again = DropoutCorruption(0.5, seed=1)
    np.testing.assert_array_equal(draws, [again(white, training=True) for _ in range(2)])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_noise_matches_eager_mode_at_any_batch_size(jit_compile):
    layer, eager = DropoutCorruption(0.3, seed=1), DropoutCorruption(0.3, seed=1)
    function = tf.function(
        lambda images: layer(images, training=True),
        input_signature=[tf.TensorSpec((None, 5, 7), tf.float32)],
        jit_compile=jit_compile,
    )
    for num in (1, 8):
        images = tf.ones((num, 5, 7))
        np.testing.assert_allclose(function(images), eager(images, training=True), rtol=1e-6)


def test_loaded_layer_continues_its_noise(tmp_path):
    inputs = keras.Input((9, 9))
    model = keras.Model(inputs, DropoutCorruption(0.5, seed=1)(inputs))
    white = np.ones((2, 9, 9), "float32")
    first = model(white, training=True).numpy()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    following = model(white, training=True).numpy()
    assert (first != following).any()
    np.testing.assert_array_equal(loaded(white, training=True), following)


def test_half_precision_drops_the_same_pixels():
    white = np.ones((3, 9, 9), "float32")
    layer = DropoutCorruption(0.5, seed=1, dtype="mixed_float16")
    answer = layer(white, training=True)
    assert answer.dtype == tf.float16
    np.testing.assert_array_equal(answer, 2.0 * kept_of(white.shape))


def test_zero_rate_is_the_identity():
    images = np.random.default_rng(0).uniform(size=(3, 4, 4)).astype("float32")
    np.testing.assert_array_equal(DropoutCorruption(0.0)(images, training=True), images)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), "half"])
def test_bad_rate_is_refused(rate):
    with pytest.raises(ValueError, match="rate must be .*; received") as error:
        DropoutCorruption(rate)
    assert repr(rate) in str(error.value) and "\n" not in str(error.value)


def test_config_and_output_shape():
    layer = DropoutCorruption(0.25, seed=3)
    assert layer(keras.Input((8, 9, 3))).shape == (None, 8, 9, 3)
    again = DropoutCorruption.from_config(layer.get_config())
    assert (again.rate, again.seed) == (0.25, 3)


# ---- variant ----


def test_variant_drops_input_pixels_but_not_target_pixels():
    images = np.random.default_rng(0).uniform(0.1, 1.0, (32, 6, 5)).astype("float32")
    model = DenoisingDropout((6, 5), 4, hidden_units=(8,), dropout_rate=0.25, seed=1)
    corruption = model.encoder.get_layer("corruption")
    assert corruption.rate == 0.25
    np.testing.assert_array_equal(model.encode(images), model.encode(images))
    corrupted, outputs = [], []
    corruption.call = lambda inputs, training: (
        corrupted.append(DropoutCorruption.call(corruption, inputs, training)) or corrupted[-1]
    )
    per_image = model._per_image_loss
    model._per_image_loss = lambda targets, logits: (
        outputs.append((targets, logits)) or per_image(targets, logits)
    )
    model.compile(run_eagerly=True)
    model.fit(images, batch_size=32, epochs=1, shuffle=False, verbose=0)
    dropped = corrupted[0].numpy() == 0
    assert 0.15 < dropped.mean() < 0.35
    np.testing.assert_array_equal(outputs[0][0], images)
