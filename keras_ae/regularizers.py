"""Penalties on a code, for any Keras layer's `activity_regularizer`."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_number
from keras_ae.losses import bernoulli_kl


@keras.saving.register_keras_serializable(package="keras_ae")
class KLDivergenceRegularizer(keras.regularizers.Regularizer):
    """Pulls the mean activation of every unit towards `target`.

    The layer that carries it adds `weight * sum over units of KL(target || batch mean)` to the
    model's losses, in nats, whatever the batch size:

    ```python
    keras.layers.Dense(300, activation="sigmoid",
                       activity_regularizer=KLDivergenceRegularizer(weight=1.0, target=0.25))
    ```

    Keras divides what an activity regularizer returns by the batch size. This penalty is already
    a batch statistic, so calling the regularizer returns it *multiplied* by the batch size;
    `penalty(activations)` is the formula's own value.

    Args:
        weight: Factor on the divergence (the bake-off's beta), >= 0.
        target: Wanted mean activation, inside (0, 1).

    Raises:
        ValueError: `weight` or `target` outside its range.
    """

    def __init__(self, weight: float = 1.0, target: float = 0.25):
        weight = check_number("weight", weight)
        if not 0.0 < target < 1.0:
            raise ValueError(f"target must lie between 0 and 1, exclusive; received {target!r}.")
        self.weight = float(weight)
        self.target = float(target)

    def penalty(self, activations) -> tf.Tensor:
        """The weighted divergence, a scalar in nats, of sigmoid codes `(batch, ...units)`."""
        return self.weight * bernoulli_kl(self.target, activations)

    def __call__(self, activations) -> tf.Tensor:
        batch_size = tf.cast(tf.shape(activations)[0], tf.float32)
        return batch_size * self.penalty(activations)

    def get_config(self) -> dict:
        return {"weight": self.weight, "target": self.target}
