"""A linear VAE with a likelihood in closed form, and small images."""

from __future__ import annotations

import numpy as np
from scipy import stats

import keras_ae

SHAPE = (3, 2)
# Orthogonal rows, so that the posterior of the linear model has independent units.
KERNEL = np.array([[0.9, -0.4, 0.3, 0.0, 0.2, -0.1], [0.4, 0.9, 0.0, 0.7, 0.0, 0.0]])
BIAS = np.array([0.5, 0.4, 0.3, 0.6, 0.5, 0.2])


def linear_model(wider=0.0, cls=keras_ae.VAE, **arguments):
    """x = z K + b + N(0, I/2), with the exact posterior, or one whose log-variance is `wider`."""
    model = cls(
        SHAPE,
        2,
        hidden_units=(),
        reconstruction_loss="mse",
        output_activation="linear",
        seed=1,
        **arguments,
    )
    covariance = np.linalg.inv(np.eye(2) + 2 * KERNEL @ KERNEL.T)
    np.testing.assert_allclose(covariance[0, 1], 0, atol=1e-12)
    to_mean = 2 * KERNEL.T @ covariance
    log_var = np.log(np.diag(covariance)) + wider
    kernel = np.concatenate([to_mean, np.zeros((6, 2))], axis=1)
    model.encoder.get_layer("code").set_weights(
        [kernel, np.concatenate([-BIAS @ to_mean, log_var])]
    )
    model.decoder.get_layer("logits").set_weights([KERNEL, BIAS])
    return model


def exact_log_likelihood(images):
    covariance = KERNEL.T @ KERNEL + np.eye(6) / 2
    return stats.multivariate_normal(BIAS, covariance).logpdf(images.reshape(-1, 6))


def images_of(num, seed=0):
    return np.random.default_rng(seed).random((num, *SHAPE)).astype("float32")


def pictures(num=96, shape=(6, 5), seed=0):
    random = np.random.default_rng(seed)
    prototypes = random.random((4, *shape)) > 0.5
    weights = random.dirichlet(np.full(4, 0.3), size=num)
    return np.tensordot(weights, prototypes, axes=1).astype("float32").clip(0, 1)
