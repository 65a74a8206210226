"""The linear autoencoder against scikit-learn's PCA."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import keras_ae
from keras_ae.variants.linear import principal_components


def digits(num=1797):
    return (load_digits().images[:num] / 16.0).astype("float32")


def flat(images):
    return np.float64(images).reshape(len(images), -1)


def spectrum(num=2000, pixels=36, num_strong=3):
    """Images in [0, 1] with `num_strong` directions far stronger than the others."""
    random = np.random.default_rng(0)
    directions, _ = np.linalg.qr(random.normal(size=(pixels, pixels)))
    strength = np.where(np.arange(pixels) < num_strong, 0.8, 0.2)
    images = 0.5 + (random.normal(size=(num, pixels)) * strength) @ directions.T
    return images.clip(0, 1).reshape(num, 6, 6).astype("float32")


def decoder_span(model):
    return np.float64(model.decoder.get_layer("logits").kernel).T


@pytest.mark.parametrize("num", [1797, 50])  # more images than pixels, and fewer
def test_closed_form_matches_scikit_learn_pca(num):
    images, unseen = digits(num), digits()[::3]
    model = keras_ae.Linear((8, 8), 10)
    model.fit_closed_form(images)
    pca = PCA(10, svd_solver="full").fit(flat(images))
    codes = pca.transform(flat(unseen))
    expected = pca.inverse_transform(codes).reshape(unseen.shape)
    np.testing.assert_allclose(model.reconstruct(unseen), expected, atol=1e-5)
    signs = np.sign(np.sum(model.encode(unseen) * codes, axis=0))  # arbitrary signs
    np.testing.assert_allclose(model.encode(unseen) * signs, codes, atol=1e-5)
    model.compile(jit_compile=False)
    squared_error = np.square(flat(unseen) - flat(expected)).sum(axis=1).mean()
    reported = model.evaluate(unseen, verbose=0, return_dict=True)
    assert reported["loss"] == pytest.approx(squared_error, rel=1e-5)
    assert reported["reconstruction_loss"] == pytest.approx(squared_error, rel=1e-5)


def test_closed_form_of_color_images():
    images = np.random.default_rng(0).uniform(size=(80, 3, 4, 3)).astype("float32")
    model = keras_ae.Linear((3, 4, 3), 5)
    model.fit_closed_form(images)
    pca = PCA(5, svd_solver="full").fit(flat(images))
    expected = pca.inverse_transform(pca.transform(flat(images))).reshape(images.shape)
    np.testing.assert_allclose(model.reconstruct(images), expected, atol=1e-5)


def test_gradient_is_zero_at_the_closed_form():
    images = spectrum()
    model = keras_ae.Linear((6, 6), 3)

    def steepest():
        with tf.GradientTape() as tape:
            per_image, _, _ = model._batch_losses(tf.constant(images), images, training=True)
            loss = tf.reduce_mean(per_image)
        return max(np.abs(g).max() for g in tape.gradient(loss, model.trainable_variables))

    assert steepest() > 0.1
    model.fit_closed_form(images)
    assert steepest() < 1e-5


def test_training_converges_to_the_principal_subspace():
    images = spectrum()
    train, test = images[:1600], images[1600:]
    keras.utils.set_random_seed(0)
    model = keras_ae.Linear((6, 6), 3, seed=0)
    pca = PCA(3).fit(flat(train))
    rebuilt = pca.inverse_transform(pca.transform(flat(test)))
    pca_error = np.square(rebuilt - flat(test)).sum(axis=1).mean()

    def measured():
        (largest, *_) = np.degrees(subspace_angles(pca.components_.T, decoder_span(model)))
        return model.evaluate(test, verbose=0, return_dict=True)["loss"] / pca_error, largest

    epochs, batch_size = 60, 100
    num_steps = epochs * len(train) // batch_size
    schedule = keras.optimizers.schedules.CosineDecay(3e-2, num_steps)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=False)
    error, angle = measured()
    assert error > 1.5 and angle > 45
    model.fit(train, batch_size=batch_size, epochs=epochs, verbose=0)
    error, angle = measured()
    assert error == pytest.approx(1, abs=0.01)
    assert angle < 1


def test_components_match_the_full_covariance_matrix():
    images = digits(100)
    for some in (images, images[:40]):  # 64 pixels
        mean, components = principal_components(some, 6)
        variances, directions = np.linalg.eigh(np.cov(flat(some).T))
        np.testing.assert_allclose(mean, flat(some).mean(axis=0), atol=1e-12)
        overlap = np.abs(components @ directions[:, ::-1][:, :6])
        np.testing.assert_allclose(overlap, np.eye(6), atol=1e-6)
        projected = ((flat(some) - mean) @ components.T).var(axis=0, ddof=1)
        np.testing.assert_allclose(projected, variances[::-1][:6], rtol=1e-9)


def test_closed_form_does_not_modify_the_images():
    images = digits(80).astype("float64").reshape(80, -1)
    before = images.copy()
    principal_components(images, 3)
    np.testing.assert_array_equal(images, before)


def test_saved_closed_form_gives_the_same_outputs(tmp_path):
    model = keras_ae.Linear((8, 8), 4)
    model.fit_closed_form(digits(100))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(digits(20)), model.reconstruct(digits(20)))


def test_impossible_closed_form_is_refused():
    with pytest.raises(ValueError, match="5 principal components .* received 4 images of 64"):
        keras_ae.Linear((8, 8), 5).fit_closed_form(digits(4))
    with pytest.raises(ValueError, match="5 principal components .* 20 images of 4 pixels"):
        keras_ae.Linear((2, 2), 5).fit_closed_form(digits(20)[:, 3:5, 3:5])
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        keras_ae.Linear((8, 8), 5).fit_closed_form(digits() * 16)
    with pytest.raises(ValueError, match="output_activation='linear'; received .* 'sigmoid'"):
        model = keras_ae.Linear((8, 8), 5, output_activation="sigmoid")
        model.fit_closed_form(digits())
