"""The convolutional denoising autoencoder: its noise, its target and its code."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_ae import ConvDenoising, Convolutional

SHAPE = (6, 5, 3)


def images_of(num=32):
    return np.random.default_rng(0).uniform(size=(num, *SHAPE)).astype("float32")


def small(noise_stddev, **arguments):
    keras.utils.set_random_seed(1)
    model = ConvDenoising(SHAPE, filters=(4, 6), noise_stddev=noise_stddev, seed=7, **arguments)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    return model


def convolved(model, images, training):
    """What the first convolution reads."""
    pixels = model.encoder.get_layer("pixels").output
    return keras.Model(model.encoder.inputs[0], pixels)(images, training=training).numpy()


def test_noisy_input_matches_the_formula():
    """The noise itself is read off gray images with so little of it that nothing is clipped."""
    gray = np.full((32, *SHAPE), 0.5, "float32")
    noise = (np.float64(convolved(small(0.01), gray, True)) - 0.5) / 0.01
    assert abs(noise.mean()) < 0.05 and noise.std() == pytest.approx(1, abs=0.05)
    images = images_of()
    expected = np.clip(np.float64(images) + 0.5 * noise, 0.0, 1.0)
    assert 0.1 < np.mean((expected == 0) | (expected == 1)) < 0.5
    np.testing.assert_allclose(convolved(small(0.5), images, True), expected, atol=1e-4)


def test_training_loss_compares_noisy_reconstructions_with_clean_images():
    images = images_of()
    twin = small(0.5)
    logits = np.float64(twin.decoder(twin.encoder(images, training=True)))
    loss = np.logaddexp(0, logits) - images * logits
    logs = small(0.5).fit(images, batch_size=32, shuffle=False, verbose=0).history
    assert logs["loss"] == pytest.approx([loss.sum(axis=(1, 2, 3)).mean()], rel=1e-5)


def test_inference_is_that_of_the_convolutional_autoencoder():
    images, model = images_of(), small(0.5)
    np.testing.assert_array_equal(convolved(model, images, False), images)
    plain = Convolutional(SHAPE, filters=(4, 6))
    plain.encoder.set_weights([w for w in model.encoder.get_weights() if w.dtype == "float32"])
    plain.decoder.set_weights(model.decoder.get_weights())
    np.testing.assert_array_equal(model.encode(images), plain.encode(images))
    np.testing.assert_array_equal(model.reconstruct(images), plain.reconstruct(images))


def test_code_is_the_feature_map_or_dense():
    assert ConvDenoising().code_shape == (3, 3, 64)
    assert ConvDenoising().get_config()["latent_dim"] is None
    assert small(0.5, latent_dim=4).code_shape == (4,)


def test_negative_noise_is_refused():
    with pytest.raises(ValueError, match="noise_stddev must .*; received -1"):
        ConvDenoising(SHAPE, noise_stddev=-1)
