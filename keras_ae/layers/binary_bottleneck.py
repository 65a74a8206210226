"""The bottleneck of the binary autoencoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import SettableNumber, current_value
from keras_ae.layers.bottleneck import Bottleneck
from keras_ae.layers.noisy import NoisyLayer, standard_normal


@keras.saving.register_keras_serializable(package="keras_ae")
class BinaryBottleneck(NoisyLayer, Bottleneck):
    """Binary code: 1 where the input is positive, else 0; in training a noisy sigmoid.

    In training the output is `sigmoid(x + stddev * N(0, 1))`. Only inputs far from 0 are unaffected
    by the noise, so training drives the sigmoids to 0 and 1, and rounding them costs little
    (Salakhutdinov and Hinton, "Semantic hashing", 2009, section 2.2). The input has any shape; the
    output has the same.

    Example:

    ```python
    BinaryBottleneck()(tf.constant([[-2.0, 3.0]]))   # [[0., 1.]]
    ```

    Args:
        stddev: Standard deviation of the noise, >= 0. Can be set later.
        seed: Seed of the noise, an integer or None. The state of the noise is saved with the model.

    Raises:
        ValueError: `stddev` is negative.
    """

    is_discrete = True
    stddev = SettableNumber()

    def __init__(self, stddev: float = 4.0, seed: int | None = None, **kwargs: Any):
        super().__init__(seed, **kwargs)
        self.stddev = stddev

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        if not training:
            return tf.cast(inputs > 0.0, inputs.dtype)
        stddev = current_value(self, "stddev")
        noise = standard_normal(tf.shape(inputs), self.next_seed(), bits=23, stddev=stddev)
        return tf.sigmoid(inputs + tf.cast(noise, inputs.dtype))

    def snap(self, latents: Any) -> tf.Tensor:
        """The nearest bits of latents in [0, 1]: 1 above 0.5, else 0."""
        latents = tf.convert_to_tensor(latents)
        return tf.cast(latents > 0.5, latents.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}
