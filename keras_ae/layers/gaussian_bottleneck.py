"""The bottleneck of variational autoencoders."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import FixedArgument, SettableNumber, current_value
from keras_ae.checks import check_number
from keras_ae.layers.bottleneck import Bottleneck
from keras_ae.layers.sampling import Sampling
from keras_ae.losses import gaussian_kl


@keras.saving.register_keras_serializable(package="keras_ae")
class GaussianBottleneck(Bottleneck):
    """Gaussian code of a variational autoencoder: a sample in training, else the mean.

    Input: `(batch, 2 * latent_dim)`, the means, then the log-variances. Output:
    `(batch, latent_dim)`. The layer adds the loss
    `beta * mean over the batch of KL(q(z|x) || N(0, I))`, in nats/image (Kingma and Welling, arXiv
    1312.6114, eq. 10; beta is from Higgins et al. 2017, eq. 4).

    Example:

    ```python
    GaussianBottleneck(beta=0.5)(tf.zeros((8, 40)), training=True)   # (8, 20)
    ```

    Args:
        beta: Weight of the KL divergence, >= 0. Can be set later.
        seed: Seed of the noise, an integer or None.
        warmup_epochs: Epochs of KL warm-up: in training, after `begin(epoch)`, the divergence is
            weighted by `beta * min(1, epoch / warmup_epochs)`. 0, the default, for no warm-up.

    Raises:
        ValueError: `beta` or `warmup_epochs` is negative, or the input has another shape.
    """

    beta = SettableNumber()
    seed = FixedArgument()
    warmup_epochs = FixedArgument()

    def __init__(
        self, beta: float = 1.0, seed: int | None = None, warmup_epochs: float = 0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.beta = beta
        self.seed = seed
        self.warmup_epochs = check_number("warmup_epochs", warmup_epochs)
        self.sampling = Sampling(seed, dtype=self.dtype_policy, name="sampling")

    def build(self, input_shape: Any) -> None:
        self._check_shape(input_shape, num_others=0)
        self.input_spec = keras.layers.InputSpec(shape=(None, input_shape[-1]))
        half = (*input_shape[:-1], input_shape[-1] // 2)
        self.sampling.build((half, half))
        if self.warmup_epochs:
            self.kl_weight = self.add_weight(
                name="kl_weight", initializer="ones", trainable=False, autocast=False
            )

    def _check_shape(self, shape: Any, num_others: int) -> None:
        """ValueError unless a row holds as many means as log-variances, then `num_others`."""
        width = shape[-1] if len(shape) == 2 else None
        if width is None or width <= num_others or (width - num_others) % 2:
            others = f" + {num_others}" if num_others else ""
            label = ", then the one-hot label" if num_others else ""
            raise ValueError(
                f"The input of {type(self).__name__} must have the shape (batch, 2 * latent_dim"
                f"{others}): the means, then the log-variances{label}; received {tuple(shape)}. "
                "Flatten maps, and end the encoder with a layer of that width."
            )

    def begin(self, epoch: int) -> None:
        """Set the weight of the divergence for epoch number `epoch`, counted from 0."""
        if self.warmup_epochs:
            self.kl_weight.assign(min(1.0, epoch / self.warmup_epochs))

    def divergence_factor(self, training: bool) -> tf.Tensor:
        """The weight of the divergence, a scalar: beta, in training times the KL warm-up."""
        beta = current_value(self, "beta")
        if training and self.warmup_epochs:
            return beta * tf.convert_to_tensor(self.kl_weight)
        return beta

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        z_mean, z_log_var = tf.split(inputs, 2, axis=-1)
        divergence = tf.reduce_mean(gaussian_kl(z_mean, z_log_var))
        self.add_loss(self.divergence_factor(training) * divergence)
        return self.sampling((z_mean, z_log_var)) if training else z_mean

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], input_shape[-1] // 2)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": self.beta,
            "seed": self.seed,
            "warmup_epochs": self.warmup_epochs,
        }
