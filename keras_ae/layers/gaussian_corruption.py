"""The noise of the denoising autoencoder."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_number
from keras_ae.layers.noisy import NoisyLayer, standard_normal


@keras.saving.register_keras_serializable(package="keras_ae")
class GaussianCorruption(NoisyLayer):
    """Adds Gaussian noise to images in training and clips the result to [0, 1].

    `clip(x + stddev * N(0, 1), 0, 1)`, the corruption of the denoising autoencoder (Vincent et
    al. 2010, section 3.3); outside training it passes its input through. Keras's own
    `GaussianNoise` does not clip. Any input shape; the output has the same.

    Args:
        stddev: Standard deviation of the noise, >= 0, in units of the pixel range [0, 1].
        seed: Integer or None. The noise's state is a variable and is saved with the model.

    Raises:
        ValueError: `stddev` is negative.
    """

    def __init__(self, stddev: float = 0.5, seed: int | None = None, **kwargs):
        super().__init__(seed, **kwargs)
        self.stddev = check_number("stddev", stddev)

    def call(self, inputs, training=False):
        if not training or self.stddev == 0.0:
            return inputs
        noise = standard_normal(tf.shape(inputs), self.next_seed(), bits=16)
        return tf.clip_by_value(inputs + self.stddev * tf.cast(noise, inputs.dtype), 0.0, 1.0)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "stddev": self.stddev}
