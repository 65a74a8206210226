"""The code of the binary autoencoder."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_number
from keras_ae.layers.noisy import NoisyLayer, standard_normal


@keras.saving.register_keras_serializable(package="keras_ae")
class BinaryBottleneck(NoisyLayer):
    """Bits: 0 or 1, by the sign of the input; in training a sigmoid of the input with noise on it.

    `sigmoid(x + stddev * N(0, 1))`. Only inputs far from 0 come through the noise unharmed, so
    training drives the sigmoids to 0 and 1, and rounding them costs little (Salakhutdinov and
    Hinton, "Semantic hashing", 2009, section 2.2). Any input shape; the output has the same.

    Args:
        stddev: Standard deviation of the noise, >= 0.
        seed: Integer or None. The noise's state is a variable and is saved with the model.

    Raises:
        ValueError: `stddev` is negative.
    """

    def __init__(self, stddev: float = 4.0, seed: int | None = None, **kwargs):
        super().__init__(seed, **kwargs)
        self.stddev = check_number("stddev", stddev)

    def call(self, inputs, training=False):
        if not training:
            return tf.cast(inputs > 0.0, inputs.dtype)
        if self.stddev:
            noise = standard_normal(tf.shape(inputs), self.next_seed(), bits=23)
            inputs += self.stddev * tf.cast(noise, inputs.dtype)
        return tf.sigmoid(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "stddev": self.stddev}
