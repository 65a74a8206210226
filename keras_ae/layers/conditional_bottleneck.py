"""The bottleneck of the conditional variational autoencoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import FixedArgument
from keras_ae.checks import check_size
from keras_ae.layers.gaussian_bottleneck import GaussianBottleneck


@keras.saving.register_keras_serializable(package="keras_ae")
class ConditionalBottleneck(GaussianBottleneck):
    """Gaussian code of a conditional variational autoencoder: the code, then the label.

    Input: `(batch, 2 * latent_dim + num_classes)`, the means, the log-variances and the one-hot
    label. Output: `(batch, latent_dim + num_classes)`, the code and the unchanged label. The loss
    is that of `GaussianBottleneck`; the label adds nothing to it.

    Example:

    ```python
    ConditionalBottleneck(10)(tf.zeros((8, 2 * 20 + 10)))   # (8, 30)
    ```

    Args:
        num_classes: Width of the label, >= 1.
        beta: Weight of the KL divergence, >= 0. Can be set later.
        seed: Seed of the noise, an integer or None.
        warmup_epochs: Epochs of KL warm-up, see `GaussianBottleneck`.

    Raises:
        ValueError: an argument outside its range, or an input of another shape.
    """

    num_classes = FixedArgument()

    def __init__(
        self,
        num_classes: int,
        beta: float = 1.0,
        seed: int | None = None,
        warmup_epochs: float = 0,
        **kwargs: Any,
    ):
        super().__init__(beta, seed, warmup_epochs, **kwargs)
        self.num_classes = check_size("num_classes", num_classes)

    def build(self, input_shape: Any) -> None:
        self._check_shape(input_shape, self.num_classes)
        super().build((*input_shape[:-1], input_shape[-1] - self.num_classes))
        self.input_spec = keras.layers.InputSpec(shape=(None, input_shape[-1]))

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        parameters, labels = inputs[:, : -self.num_classes], inputs[:, -self.num_classes :]
        return tf.concat([super().call(parameters, training), labels], axis=-1)

    def snap(self, latents: Any) -> tf.Tensor:
        """The code unchanged, and the one-hot label of the largest entry of the label."""
        latents = tf.convert_to_tensor(latents)
        codes, labels = latents[:, : -self.num_classes], latents[:, -self.num_classes :]
        one_hot = tf.one_hot(tf.argmax(labels, axis=-1), self.num_classes, dtype=latents.dtype)
        return tf.concat([codes, one_hot], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        *batch, width = input_shape
        return (*batch, (width - self.num_classes) // 2 + self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}
