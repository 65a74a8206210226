"""Dropout on the input."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_number
from keras_ae.layers.noisy import NoisyLayer, random_words


@keras.saving.register_keras_serializable(package="keras_ae")
class DropoutCorruption(NoisyLayer):
    """Sets each pixel to zero with probability `rate`, in training only.

    The masking noise of Vincent et al. (JMLR 2010, section 3.3). What is kept is divided by
    `1 - rate`, as in Keras's own `Dropout`, so it may exceed 1: the layers above then see the same
    mean in training and outside it. Keras's layer leaves the noise's state out of a saved model.
    Any input shape; the output has the same.

    Args:
        rate: Share of the pixels that is dropped, >= 0 and < 1.
        seed: Integer or None. The noise's state is a variable and is saved with the model.

    Raises:
        ValueError: `rate` outside its range.
    """

    def __init__(self, rate: float = 0.5, seed: int | None = None, **kwargs):
        super().__init__(seed, **kwargs)
        if check_number("rate", rate, 0.0, 1.0) == 1.0:
            raise ValueError(f"rate must be < 1, or nothing is left; received {rate!r}.")
        self.rate = float(rate)

    def call(self, inputs, training=False):
        if not training or self.rate == 0.0:
            return inputs
        kept = random_words(tf.shape(inputs), self.next_seed()) >= tf.constant(
            round(self.rate * 2**32), tf.uint32
        )
        return tf.where(kept, inputs / (1.0 - self.rate), tf.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate}
