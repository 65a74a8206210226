"""The importance-weighted autoencoder."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ae.checks import check_size
from keras_ae.losses import gaussian_log_ratio
from keras_ae.variants.documentation import variant
from keras_ae.variants.vae import VAE


@variant
class IWAE(VAE):
    """Importance-weighted autoencoder (IWAE): a VAE trained on a tighter bound of k samples.

    Burda et al. (arXiv 1509.00519, eq. 8): the loss of an image is `-log 1/k sum_i w_i` with
    `w_i = p(x|z_i) p(z_i) / q(z_i|x)`; its gradient is eq. 14. With the normalized weights v_i it
    is the sum of two terms, which training reports:

        reconstruction_loss = sum_i v_i (-log p(x|z_i))
        latent_loss = sum_i v_i log q(z_i|x)/p(z_i) + KL(v || 1/k)

    The latent loss is >= 0 in the mean over many images, but not for every draw: in expectation it
    is the divergence between two distributions of all k samples and of the choice among them. With
    one sample it is an estimate of the VAE's. `evaluate`, `encode` and `reconstruct` are
    deterministic and the same as the VAE's: the loss of the mean code and the divergence in closed
    form, which compare within the family. The bound itself is `log_likelihood(images, k)`.

    Args:
        num_importance_samples: k, >= 1.
        beta: Weight of log q(z|x)/p(z) in the importance weights, >= 0; values other than 1 give no
            bound. Can be set later.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    _steps_per_call = 32

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        num_importance_samples: int = 5,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            beta=beta,
            kl_warmup_epochs=kl_warmup_epochs,
            hidden_units=hidden_units,
            activation=activation,
            batch_normalization=batch_normalization,
            tied=tied,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self.num_importance_samples = check_size("num_importance_samples", num_importance_samples)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_importance_samples": self.num_importance_samples}

    def _batch_losses(self, inputs, targets, training: bool):
        if not training:
            return super()._batch_losses(inputs, targets, training)
        num = self.num_importance_samples
        encoded = tf.cast(self.encoder(inputs, training=True), tf.float32)
        # The draws of one image are a batch apart: (k * batch, latent_dim).
        z_mean, z_log_var = tf.split(tf.tile(encoded, [num, 1]), 2, axis=-1)
        latents = self.bottleneck.sampling((z_mean, z_log_var))
        logits = self.decoder(latents, training=True)
        targets = tf.tile(targets, [num, *[1] * len(self.image_shape)])
        reconstruction = tf.reshape(self._per_image_loss(targets, logits), (num, -1))
        divergence = tf.reshape(gaussian_log_ratio(latents, z_mean, z_log_var), (num, -1))
        divergence *= self.bottleneck.divergence_factor(training)
        log_weights = -reconstruction - divergence
        bound = tf.reduce_logsumexp(log_weights, axis=0) - math.log(num)
        weights = tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))
        # The sum of both terms is the negative bound, in value and in gradient.
        pixel_term = tf.reduce_sum(weights * reconstruction, axis=0)
        code_term = tf.reduce_mean(-bound - pixel_term)
        num_images = tf.shape(encoded)[0]
        outputs = {
            "encoded": encoded,
            "latents": latents[:num_images],
            "logits": logits[:num_images],
        }
        return pixel_term, code_term, outputs
