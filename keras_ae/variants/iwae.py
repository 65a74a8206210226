"""The importance-weighted autoencoder."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.losses import gaussian_log_ratio
from keras_ae.variants.vae import VAE


@keras.saving.register_keras_serializable(package="keras_ae")
class IWAE(VAE):
    """A VAE trained on a tighter bound, that of k samples of the code instead of one.

    Burda et al. (arXiv 1509.00519, eq. 8): the loss of an image is `-log 1/k sum_i w_i` with
    `w_i = p(x|z_i) p(z_i) / q(z_i|x)`, its gradient theirs (eq. 14). With the normalised weights
    v_i it is the sum of the two that are reported in training,

        reconstruction_loss = sum_i v_i (-log p(x|z_i))
        latent_loss = sum_i v_i log q(z_i|x)/p(z_i) + KL(v || 1/k)

    The latent loss is in expectation the divergence between two distributions of all k samples and
    of which of them is chosen by weight, so it is >= 0 in the mean over many images, though not
    for every draw; with one sample it is an estimate of the VAE's. `evaluate`, `encode` and
    `reconstruct` are deterministic and the VAE's: the loss of the mean code and the divergence in
    closed form, to be compared among the family; the bound is `log_likelihood(images, k)`.

    Args:
        num_importance_samples: k, >= 1.
        beta: Factor on log q(z|x)/p(z) in the weights; other than 1 it is no bound.
        kl_warmup_epochs: See `VAE`.
        **network: See `DenseAutoencoder`.
    """

    steps_per_call = 32

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        num_importance_samples: int = 5,
        **arguments,
    ):
        super().__init__(image_shape, latent_dim, **arguments)
        self.num_importance_samples = check_size("num_importance_samples", num_importance_samples)

    def get_config(self) -> dict:
        return {**super().get_config(), "num_importance_samples": self.num_importance_samples}

    def batch_losses(self, inputs, targets, training: bool):
        if not training:
            return super().batch_losses(inputs, targets, training)
        num = self.num_importance_samples
        encoded = tf.cast(self.encoder(inputs, training=True), tf.float32)
        # Draws of an image lie a batch apart: (k * batch, latent_dim).
        z_mean, z_log_var = tf.split(tf.tile(encoded, [num, 1]), 2, axis=-1)
        latents = self.bottleneck.sampling((z_mean, z_log_var))
        logits = self.decoder(latents, training=True)
        targets = tf.tile(targets, [num, *[1] * len(self.image_shape)])
        reconstruction = tf.reshape(self.per_image_loss(targets, logits), (num, -1))
        divergence = tf.reshape(gaussian_log_ratio(latents, z_mean, z_log_var), (num, -1))
        divergence *= self.bottleneck.divergence_factor(training)
        log_weights = -reconstruction - divergence
        bound = tf.reduce_logsumexp(log_weights, axis=0) - math.log(num)
        weights = tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))
        # Their sum is the negative bound, in value and gradient.
        of_pixels = tf.reduce_sum(weights * reconstruction, axis=0)
        of_code = tf.reduce_mean(-bound - of_pixels)
        num_images = tf.shape(encoded)[0]
        outputs = {
            "encoded": encoded,
            "latents": latents[:num_images],
            "logits": logits[:num_images],
        }
        return of_pixels, of_code, outputs
