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

    Raises:
        ValueError: `beta` is negative, or the input's last axis is odd.
    """

    def __init__(self, beta: float = 1.0, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.beta = check_number("beta", beta)
        self.seed = seed
        self.sampling = Sampling(seed, dtype=self.dtype_policy, name="sampling")

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(
                "The input holds means and log-variances, so its last axis must be even; "
                f"received the shape {tuple(input_shape)}."
            )
        self.sampling.build(input_shape)

    def call(self, inputs, training=False):
        z_mean, z_log_var = tf.split(inputs, 2, axis=-1)
        self.add_loss(self.beta * tf.reduce_mean(gaussian_kl(z_mean, z_log_var)))
        return self.sampling((z_mean, z_log_var)) if training else z_mean

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def get_config(self) -> dict:
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}
