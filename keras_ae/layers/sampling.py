"""Sampling from a Gaussian posterior: the reparameterization trick."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.layers.noisy import NoisyLayer, standard_normal


@keras.saving.register_keras_serializable(package="keras_ae")
class Sampling(NoisyLayer):
    """Reparameterization trick: draws z ~ N(z_mean, exp(z_log_var)) with gradients to both.

    Kingma and Welling (arXiv 1312.6114), section 2.4. The input is `(z_mean, z_log_var)`, each of
    shape `(batch, latent_dim)`; the output has that shape. The layer samples at every call, in
    training or not; `GaussianBottleneck` returns the mean outside training.

    Example:

    ```python
    Sampling(seed=1)((tf.zeros((8, 20)), tf.zeros((8, 20))))   # (8, 20), drawn from N(0, 1)
    ```

    Args:
        seed: Seed of the noise, an integer or None. The state of the noise is saved with the model,
            so that a resumed training draws the numbers that an uninterrupted one draws.

    Raises:
        ValueError: the input is not two tensors of one shape.
    """

    def build(self, input_shape: Any) -> None:
        shapes = [tuple(each) for each in input_shape if isinstance(each, (tuple, list))]
        if len(shapes) != 2 or len(input_shape) != 2 or shapes[0] != shapes[1]:
            raise ValueError(
                "Sampling must be called with two tensors of one shape, (z_mean, z_log_var); "
                f"received the shape {tuple(input_shape)}."
            )

    def call(self, inputs: Any) -> tf.Tensor:
        z_mean, z_log_var = inputs
        dtype = z_mean.dtype
        # The exponential of a large log-variance overflows in float16.
        z_mean, z_log_var = tf.cast(z_mean, tf.float32), tf.cast(z_log_var, tf.float32)
        noise = standard_normal(tf.shape(z_mean), self.next_seed(), bits=23)
        return tf.cast(z_mean + tf.exp(0.5 * z_log_var) * noise, dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]
