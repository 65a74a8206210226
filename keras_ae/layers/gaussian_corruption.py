"""Gaussian noise on the input of the denoising autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import FixedArgument, SettableNumber, current_value
from keras_ae.layers.noisy import NoisyLayer, standard_normal


@keras.saving.register_keras_serializable(package="keras_ae")
class GaussianCorruption(NoisyLayer):
    """Gaussian noise on images, in training only; the result is clipped to the range of the pixels.

    `clip(x + stddev * N(0, 1), *pixel_range)`, the corruption of the denoising autoencoder (Vincent
    et al., JMLR 2010, section 3.3). Outside training, or with a `stddev` of 0, the input is
    unchanged. `keras.layers.GaussianNoise` does not clip. The input has any shape; the output has
    the same.

    Example:

    ```python
    GaussianCorruption(0.5)(tf.zeros((8, 28, 28)), training=True)   # (8, 28, 28), in [0, 1]
    ```

    Args:
        stddev: Standard deviation of the noise, >= 0, in the units of the pixels. Can be set later.
        seed: Seed of the noise, an integer or None. The state of the noise is saved with the model.
        pixel_range: The lowest and the highest value of a pixel.

    Raises:
        ValueError: `stddev` is negative, or `pixel_range` is not ascending.
    """

    stddev = SettableNumber()
    pixel_range = FixedArgument()

    def __init__(
        self,
        stddev: float = 0.5,
        seed: int | None = None,
        pixel_range: Sequence[float] = (0.0, 1.0),
        **kwargs: Any,
    ):
        super().__init__(seed, **kwargs)
        self.stddev = stddev
        low, high = pixel_range
        if not low < high:
            raise ValueError(f"pixel_range must be ascending; received {tuple(pixel_range)}.")
        self.pixel_range = (float(low), float(high))

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        stddev = current_value(self, "stddev")
        noise = standard_normal(tf.shape(inputs), self.next_seed(), bits=16, stddev=stddev)
        low, high = self.pixel_range
        corrupted = tf.clip_by_value(inputs + tf.cast(noise, inputs.dtype), low, high)
        return tf.where(stddev > 0, corrupted, inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "pixel_range": self.pixel_range}
