"""Masking noise on the input of the denoising autoencoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import SettableNumber, current_value
from keras_ae.checks import check_number
from keras_ae.layers.noisy import NoisyLayer, random_words


def _check_rate(name: str, value: Any) -> float:
    rate = check_number(name, value, 0.0, 1.0)
    if rate == 1.0:
        raise ValueError(f"{name} must be < 1, so that some pixels are kept; received {value!r}.")
    return rate


@keras.saving.register_keras_serializable(package="keras_ae")
class DropoutCorruption(NoisyLayer):
    """Masking noise (dropout) on images, in training only: each pixel is 0 with probability `rate`.

    The corruption of Vincent et al. (JMLR 2010, section 3.3). The other pixels are divided by
    `1 - rate`, as in `keras.layers.Dropout`, so they may exceed 1: the next layer sees the same
    mean in training and outside it. Unlike Keras's layer, this one saves the state of the noise.
    The input has any shape; the output has the same.

    Example:

    ```python
    DropoutCorruption(0.5)(tf.ones((8, 28, 28)), training=True)   # (8, 28, 28), each 0 or 2
    ```

    Args:
        rate: Share of the pixels that is dropped, >= 0 and < 1. Can be set later.
        seed: Seed of the noise, an integer or None. The state of the noise is saved with the model.

    Raises:
        ValueError: `rate` outside its range.
    """

    rate = SettableNumber(_check_rate)

    def __init__(self, rate: float = 0.5, seed: int | None = None, **kwargs: Any):
        super().__init__(seed, **kwargs)
        self.rate = rate

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        rate = current_value(self, "rate", tf.float64)
        # Via int64, since a conversion from float to uint32 is not defined everywhere.
        threshold = tf.cast(tf.minimum(tf.round(rate * 2.0**32), 2.0**32 - 1.0), tf.int64)
        kept = random_words(tf.shape(inputs), self.next_seed()) >= tf.cast(threshold, tf.uint32)
        return tf.where(kept, inputs / tf.cast(1.0 - rate, inputs.dtype), tf.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
