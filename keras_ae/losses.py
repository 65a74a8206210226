"""The one place where the scale of a loss is defined: nats per image, or squared error per image.

Every function sums over what belongs to one image (pixels, code units), so that reconstruction
and latent terms can be added without further factors.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def per_image_bce(targets, logits) -> tf.Tensor:
    """Binary cross-entropy summed over the pixels of each image.

    Computed from logits in float32: from probabilities it would saturate at the clipping value.

    Args:
        targets: Images in [0, 1], shape `(batch, ...)`.
        logits: Decoder outputs before the sigmoid, same shape.

    Returns:
        Shape `(batch,)`, in nats.

    Raises:
        ValueError: the two shapes differ.
    """
    targets, logits = alike(targets, logits)
    pixel_bce = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.reduce_sum(pixel_bce, axis=list(range(1, logits.shape.rank)))


def per_image_mse(targets, pixels) -> tf.Tensor:
    """Squared error summed over the pixels of each image, in squared units of the pixels.

    Half of it is the negative log-likelihood, in nats and up to a constant, of a Gaussian decoder
    with unit variance.

    Args:
        targets: Images, shape `(batch, ...)`.
        pixels: Reconstructions, same shape.

    Returns:
        Shape `(batch,)`.

    Raises:
        ValueError: the two shapes differ.
    """
    targets, pixels = alike(targets, pixels)
    return tf.reduce_sum(tf.square(pixels - targets), axis=list(range(1, pixels.shape.rank)))


def alike(targets, outputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Both in float32, or a ValueError where the targets are no images of the outputs' shape."""
    targets, outputs = tf.cast(targets, tf.float32), tf.cast(outputs, tf.float32)
    if not targets.shape.is_compatible_with(outputs.shape):
        raise ValueError(
            f"The targets must be images of the shape {tuple(outputs.shape[1:])}; received targets "
            f"of the shape {tuple(targets.shape)}. Labels are not targets: fit(images) is enough."
        )
    return targets, outputs


def entropy_floor(images: np.ndarray) -> np.ndarray:
    """The lowest `per_image_bce` possible: that of a perfect reconstruction.

    Grey pixels cost their own entropy even when reconstructed exactly. On the MNIST test set the
    mean is 45.5 nats.

    Args:
        images: Array in [0, 1], shape `(N, ...)`.

    Returns:
        Shape `(N,)`, float64, in nats.
    """
    pixels = np.asarray(images, dtype=np.float64).reshape(len(images), -1)
    inside = np.clip(pixels, 1e-300, 1.0)
    outside = np.clip(1.0 - pixels, 1e-300, 1.0)
    return -(pixels * np.log(inside) + (1.0 - pixels) * np.log(outside)).sum(axis=1)


def gaussian_kl(z_mean, z_log_var) -> tf.Tensor:
    """KL divergence from N(z_mean, exp(z_log_var)) to N(0, I), summed over the code.

    Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv 1312.6114), appendix B.

    Args:
        z_mean: Shape `(batch, latent_dim)`.
        z_log_var: Logarithm of the variance, same shape.

    Returns:
        Shape `(batch,)`, in nats, never negative.
    """
    z_mean = tf.cast(z_mean, tf.float32)
    z_log_var = tf.cast(z_log_var, tf.float32)
    # expm1(v) - v keeps digits near v = 0 where exp(v) - 1 - v loses them, and is never negative.
    kl = 0.5 * (tf.square(z_mean) + tf.math.expm1(z_log_var) - z_log_var)
    return tf.reduce_sum(kl, axis=-1)


def gaussian_log_ratio(latents, z_mean, z_log_var) -> tf.Tensor:
    """log q(z|x) - log p(z) of q = N(z_mean, exp(z_log_var)) and p = N(0, I), summed over the code.

    Its mean over draws from q is `gaussian_kl`; of a single draw it may be negative.

    Args:
        latents: z, shape `(..., latent_dim)`.
        z_mean: Shape `(..., latent_dim)`, alike or to be broadcast.
        z_log_var: Logarithm of the variance, as `z_mean`.

    Returns:
        Shape `(...)`, in nats.
    """
    latents = tf.cast(latents, tf.float32)
    z_log_var = tf.cast(z_log_var, tf.float32)
    noise = (latents - tf.cast(z_mean, tf.float32)) * tf.exp(-0.5 * z_log_var)
    return 0.5 * tf.reduce_sum(tf.square(latents) - tf.square(noise) - z_log_var, axis=-1)


def bernoulli_kl(target: float, activations) -> tf.Tensor:
    """KL divergence from a Bernoulli of mean `target` to each unit's batch mean, summed.

    Args:
        target: The wanted mean activation, inside (0, 1).
        activations: Sigmoid codes in [0, 1], shape `(batch, ...units)`.

    Returns:
        A scalar, in nats, never negative.
    """
    activations = tf.cast(activations, tf.float32)
    # A saturated unit has a mean of exactly 0 or 1 in float32; the bound keeps the loss finite.
    mean = tf.clip_by_value(tf.reduce_mean(activations, axis=0), 1e-7, 1.0 - 1e-7)
    entropy = -target * math.log(target) - (1.0 - target) * math.log(1.0 - target)
    cross_entropy = -target * tf.math.log(mean) - (1.0 - target) * tf.math.log1p(-mean)
    return tf.reduce_sum(tf.maximum(cross_entropy - entropy, 0.0))
