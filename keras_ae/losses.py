"""Loss functions: reconstruction errors and KL divergences, in nats/image.

Every function sums over the pixels or code units of an image, so reconstruction and latent losses
have the same scale and can be added without further factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def per_image_bce(targets: Any, logits: Any) -> tf.Tensor:
    """Binary cross-entropy of each image, summed over its pixels, in nats.

    It is computed from logits in float32: from probabilities it would saturate at the clipping
    value.

    Args:
        targets: Images in [0, 1], shape `(batch, ...)`.
        logits: Decoder outputs before the sigmoid, same shape.

    Returns:
        Shape `(batch,)`, in nats.

    Example:
        `per_image_bce(tf.zeros((2, 28, 28)), tf.zeros((2, 28, 28)))` is 784 * log(2) = 543.4 twice.

    Raises:
        ValueError: the two shapes differ.
    """
    errors = pixel_bce(targets, logits)
    return tf.reduce_sum(errors, axis=list(range(1, errors.shape.rank)))


def pixel_bce(targets: Any, logits: Any) -> tf.Tensor:
    """The terms of `per_image_bce`: the same shape as the arguments, in nats."""
    targets, logits = _checked(targets, logits)
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)


def probabilities_bce(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """`per_image_bce` of reconstructions without logits, such as those of PCA.

    Args:
        targets: Images in [0, 1], `(N, ...)`.
        probabilities: The same shape, or one that broadcasts to it, strictly between 0 and 1.

    Returns:
        Shape `(N,)`, float64, in nats.
    """
    targets = np.asarray(targets, np.float64)
    p = np.asarray(probabilities, np.float64)
    pixel_bce = -(targets * np.log(p) + (1.0 - targets) * np.log1p(-p))
    return pixel_bce.reshape(len(targets), -1).sum(axis=1)


def per_image_mse(targets: Any, pixels: Any) -> tf.Tensor:
    """Squared error of each image, summed over its pixels.

    Half of it is the negative log-likelihood of a Gaussian decoder with unit variance, in nats and
    up to a constant.

    Args:
        targets: Images, shape `(batch, ...)`.
        pixels: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`.

    Raises:
        ValueError: the two shapes differ.
    """
    errors = pixel_squared_error(targets, pixels)
    return tf.reduce_sum(errors, axis=list(range(1, errors.shape.rank)))


def pixel_squared_error(targets: Any, pixels: Any) -> tf.Tensor:
    """The terms of `per_image_mse`: the same shape as the arguments."""
    targets, pixels = _checked(targets, pixels)
    return tf.square(pixels - targets)


def _checked(targets: Any, outputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Both arguments in float32; a ValueError unless they have the same shape."""
    targets, outputs = tf.cast(targets, tf.float32), tf.cast(outputs, tf.float32)
    if not targets.shape.is_compatible_with(outputs.shape):
        raise ValueError(
            f"The targets must be images of the shape {tuple(outputs.shape[1:])}; received targets "
            f"of the shape {tuple(targets.shape)}. Call fit(images), without labels as targets."
        )
    return targets, outputs


def entropy_floor(images: np.ndarray) -> np.ndarray:
    """The lowest possible `per_image_bce` of each image: that of a perfect reconstruction.

    It is the entropy of the gray pixels; only black and white images have a floor of 0. The mean on
    the MNIST test set is 45.5 nats/image.

    Args:
        images: Array in [0, 1], shape `(N, ...)`.

    Returns:
        Shape `(N,)`, float64, in nats.
    """
    pixels = np.asarray(images, dtype=np.float64).reshape(len(images), -1)
    inside = np.clip(pixels, 1e-300, 1.0)
    outside = np.clip(1.0 - pixels, 1e-300, 1.0)
    return -(pixels * np.log(inside) + (1.0 - pixels) * np.log(outside)).sum(axis=1)


def gaussian_kl(z_mean: Any, z_log_var: Any) -> tf.Tensor:
    """KL divergence between N(z_mean, exp(z_log_var)) and N(0, I), summed over the code.

    Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv 1312.6114), appendix B.

    Args:
        z_mean: Shape `(batch, latent_dim)`.
        z_log_var: Logarithm of the variance, same shape.

    Returns:
        Shape `(batch,)`, in nats, never negative.
    """
    z_mean = tf.cast(z_mean, tf.float32)
    z_log_var = tf.cast(z_log_var, tf.float32)
    # Near v = 0, expm1(v) - v keeps the digits that exp(v) - 1 - v loses. It is never negative.
    kl = 0.5 * (tf.square(z_mean) + tf.math.expm1(z_log_var) - z_log_var)
    return tf.reduce_sum(kl, axis=-1)


def gaussian_log_ratio(latents: Any, z_mean: Any, z_log_var: Any) -> tf.Tensor:
    """Log ratio log q(z|x) - log p(z) of a Gaussian posterior and N(0, I), summed over the code.

    q is N(z_mean, exp(z_log_var)). The mean over draws from q is `gaussian_kl`; the value of a
    single draw may be negative.

    Args:
        latents: z, shape `(..., latent_dim)`.
        z_mean: Shape `(..., latent_dim)`, the same or to be broadcast.
        z_log_var: Logarithm of the variance, shaped like `z_mean`.

    Returns:
        Shape `(...)`, in nats.
    """
    latents = tf.cast(latents, tf.float32)
    z_log_var = tf.cast(z_log_var, tf.float32)
    noise = (latents - tf.cast(z_mean, tf.float32)) * tf.exp(-0.5 * z_log_var)
    return 0.5 * tf.reduce_sum(tf.square(latents) - tf.square(noise) - z_log_var, axis=-1)


def bernoulli_kl(target: Any, activations: Any) -> tf.Tensor:
    """KL divergence between a Bernoulli of mean `target` and each unit's batch mean, summed.

    A. Ng, "Sparse autoencoder", CS294A lecture notes, section 3.

    Args:
        target: Target mean activation, between 0 and 1, exclusive: a number or a float64 scalar.
        activations: Sigmoid codes in [0, 1], shape `(batch, ...units)`.

    Returns:
        A scalar, in nats, never negative.
    """
    activations = tf.cast(activations, tf.float32)
    # A saturated unit has a mean of exactly 0 or 1 in float32; the bound keeps the loss finite.
    mean = tf.clip_by_value(tf.reduce_mean(activations, axis=0), 1e-7, 1.0 - 1e-7)
    on = target if tf.is_tensor(target) else tf.constant(target, tf.float64)
    off = 1.0 - on
    entropy = tf.cast(-on * tf.math.log(on) - off * tf.math.log(off), tf.float32)
    on, off = tf.cast(on, tf.float32), tf.cast(off, tf.float32)
    cross_entropy = -on * tf.math.log(mean) - off * tf.math.log1p(-mean)
    return tf.reduce_sum(tf.maximum(cross_entropy - entropy, 0.0))
