"""The bottleneck of the VAE family."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_number
from keras_ae.layers.sampling import Sampling
from keras_ae.losses import gaussian_kl


@keras.saving.register_keras_serializable(package="keras_ae")
class GaussianBottleneck(keras.layers.Layer):
    """Reads its input as Gaussian parameters: a sample in training, the mean otherwise.

    Input `(batch, 2 * latent_dim)`: the means, then the log-variances; output
    `(batch, latent_dim)`. Adds the loss `beta * mean over the batch of KL(q(z|x) || N(0, I))`,
    in nats per image (arXiv 1312.6114, eq. 10; the factor is Higgins et al. 2017, eq. 4).

    Args:
        beta: Factor on the divergence, >= 0.
        seed: Seed of the noise, an integer or None.
        warmup_epochs: In training, from the first `begin(epoch)` on, the divergence counts
            `epoch / warmup_epochs` of that, up to the whole; 0 for the whole at once.

    Raises:
        ValueError: `beta` or `warmup_epochs` is negative, or the input's last axis is odd.
    """

    def __init__(
        self, beta: float = 1.0, seed: int | None = None, warmup_epochs: float = 0, **kwargs
    ):
        super().__init__(**kwargs)
        self.beta = check_number("beta", beta)
        self.seed = seed
        self.warmup_epochs = check_number("warmup_epochs", warmup_epochs)
        self.sampling = Sampling(seed, dtype=self.dtype_policy, name="sampling")

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(
                "The input holds means and log-variances, so its last axis must be even; "
                f"received the shape {tuple(input_shape)}."
            )
        self.sampling.build(input_shape)
        if self.warmup_epochs:
            self.kl_weight = self.add_weight(
                name="kl_weight", initializer="ones", trainable=False, autocast=False
            )

    def begin(self, epoch: int) -> None:
        """Sets the weight of the divergence for epoch number `epoch`, from 0."""
        if self.warmup_epochs:
            self.kl_weight.assign(min(1.0, epoch / self.warmup_epochs))

    def divergence_factor(self, training: bool):
        """What the divergence counts: beta, in the first epochs of training a part of it."""
        if training and self.warmup_epochs:
            return self.beta * tf.convert_to_tensor(self.kl_weight)
        return self.beta

    def call(self, inputs, training=False):
        z_mean, z_log_var = tf.split(inputs, 2, axis=-1)
        divergence = tf.reduce_mean(gaussian_kl(z_mean, z_log_var))
        self.add_loss(self.divergence_factor(training) * divergence)
        return self.sampling((z_mean, z_log_var)) if training else z_mean

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta": self.beta,
            "seed": self.seed,
            "warmup_epochs": self.warmup_epochs,
        }
