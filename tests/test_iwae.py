"""IWAE: the importance-weighted bound against a slow version and an exact likelihood."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import exact_log_likelihood, images_of, linear_model, pictures
from scipy import special, stats

import keras_ae
from keras_ae.losses import gaussian_kl


def small_iwae(**arguments):
    keras.utils.set_random_seed(3)
    return keras_ae.IWAE(
        (6, 5), 4, hidden_units=(8,), batch_normalization=False, seed=3, **arguments
    )


def draws_of(model, images):
    """The latents `(k, N, latent_dim)` that the next step will draw, and their parameters."""
    num = model.num_importance_samples
    state = model.bottleneck.sampling.seed_generator.state
    before = state.numpy()
    encoded = tf.tile(model.encoder(images), [num, 1])
    draws = model.bottleneck.sampling(tf.split(encoded, 2, axis=-1))
    state.assign(before)
    mean, log_var = np.split(model.encoder(images).numpy().astype("float64"), 2, axis=-1)
    return draws.numpy().reshape(num, len(images), -1), mean, log_var


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_loss_matches_the_bound_of_the_paper(beta):
    model, images = small_iwae(num_importance_samples=7, beta=beta), pictures(20)
    draws, mean, log_var = draws_of(model, images)
    per_image, latent_loss, outputs = model._batch_losses(
        tf.constant(images), images, training=True
    )
    probability = np.stack([model.decode(draw) for draw in draws]).astype("float64")
    pixels = np.log(probability) * images + np.log1p(-probability) * (1 - images)
    log_given = pixels.sum(axis=(2, 3))
    log_prior = stats.norm.logpdf(draws.astype("float64")).sum(axis=2)
    log_posterior = stats.norm(mean, np.exp(log_var / 2)).logpdf(draws).sum(axis=2)
    log_weights = log_given + beta * (log_prior - log_posterior)
    bound = special.logsumexp(log_weights, axis=0) - math.log(7)
    shares = special.softmax(log_weights, axis=0)
    np.testing.assert_allclose(per_image, -(shares * log_given).sum(axis=0), rtol=1e-4)
    entropy = stats.entropy(shares, axis=0)
    parts = beta * (shares * (log_posterior - log_prior)).sum(axis=0) + math.log(7) - entropy
    assert float(latent_loss) == pytest.approx(parts.mean(), abs=1e-3)
    assert float(tf.reduce_mean(per_image) + latent_loss) == pytest.approx(-bound.mean(), rel=1e-5)
    np.testing.assert_allclose(outputs["latents"], draws[0])


def test_gradient_matches_equation_14_of_the_paper():
    """The gradient is the mean of the log weights' gradients, weighted; draw by draw."""
    model, images = linear_model(0.7, keras_ae.IWAE, num_importance_samples=3), images_of(4)
    draws, mean, log_var = draws_of(model, images)
    noise = ((draws - mean) / np.exp(log_var / 2)).astype("float32")
    with tf.GradientTape() as tape:
        per_image, latent_loss, _ = model._batch_losses(tf.constant(images), images, training=True)
        loss = tf.reduce_mean(per_image) + latent_loss
    gradients = tape.gradient(loss, model.trainable_variables)
    with tf.GradientTape(persistent=True) as tape:
        z_mean, z_log_var = tf.split(model.encoder(images), 2, axis=-1)
        log_weights = []
        for each in noise:
            z = z_mean + tf.exp(z_log_var / 2) * each
            squared = tf.reduce_sum(tf.square(model.decoder(z) - images), axis=[1, 2])
            code = 0.5 * tf.reduce_sum(each**2 + z_log_var - z**2, axis=1)
            log_weights.append(code - squared)
        shares = special.softmax(np.stack([row.numpy() for row in log_weights]), axis=0)
        terms = [
            tf.reduce_mean(-share * row) for share, row in zip(shares, log_weights, strict=True)
        ]
    for number, variable in enumerate(model.trainable_variables):
        expected = sum(tape.gradient(term, variable) for term in terms)
        np.testing.assert_allclose(gradients[number], expected, rtol=1e-3, atol=1e-5)


def training_losses(model, images, num=4000):
    """Reconstruction and latent loss, averaged over many draws per image."""
    many = tf.constant(np.tile(images, (num, 1, 1)))
    per_image, latent_loss, _ = model._batch_losses(many, many, training=True)
    return float(tf.reduce_mean(per_image)), float(latent_loss)


def test_single_sample_bound_equals_that_of_the_vae():
    images = images_of(5)
    vae, iwae = linear_model(0.7), linear_model(0.7, keras_ae.IWAE, num_importance_samples=1)
    reconstruction, latent_loss = training_losses(iwae, images)
    expected_reconstruction, expected_latent_loss = training_losses(vae, images)
    assert expected_latent_loss == pytest.approx(
        np.mean(gaussian_kl(*vae.posterior(images))), rel=1e-5
    )
    assert reconstruction == pytest.approx(expected_reconstruction, abs=0.03)
    assert latent_loss == pytest.approx(expected_latent_loss, abs=0.03)


def test_more_samples_tighten_the_bound():
    images = images_of(5)
    constant = 3 * math.log(math.pi)  # of a Gaussian with variance 1/2, six pixels
    exact = -exact_log_likelihood(images).mean()
    losses = []
    for num in (1, 4, 30):
        model = linear_model(0.7, keras_ae.IWAE, num_importance_samples=num)
        reconstruction, latent_loss = training_losses(model, images)
        assert latent_loss > 0
        losses.append(reconstruction + latent_loss + constant)
        assert losses[-1] == pytest.approx(
            -model.log_likelihood(np.tile(images, (400, 1, 1)), num, seed=0).mean(), abs=0.05
        )
    assert losses[0] - 0.05 > losses[1] > losses[2] + 0.02
    assert losses[2] > exact - 0.005
    assert losses[2] == pytest.approx(exact, abs=0.03)


def test_evaluate_matches_the_vae():
    images = pictures()
    iwae = small_iwae()
    vae = keras_ae.VAE((6, 5), 4, hidden_units=(8,), batch_normalization=False)
    vae.set_weights(iwae.get_weights())
    for model in (vae, iwae):
        model.compile(jit_compile=False)
    expected = vae.evaluate(images, verbose=0, return_dict=True)
    assert iwae.evaluate(images, verbose=0, return_dict=True) == expected
    assert iwae.evaluate(images, verbose=0, return_dict=True) == expected


def test_user_metric_gets_one_reconstruction_per_image():
    images, model = pictures(), small_iwae()
    model.compile(metrics=["mae"], jit_compile=False)
    history = model.fit(images, batch_size=32, epochs=1, verbose=0).history
    assert 0 < history["mae"][0] < 1


@pytest.mark.parametrize("num", [0, 1.5, "five"])
def test_impossible_number_of_samples_is_refused(num):
    with pytest.raises(ValueError, match="num_importance_samples must be .*; received") as error:
        keras_ae.IWAE(num_importance_samples=num)
    assert repr(num) in str(error.value)
