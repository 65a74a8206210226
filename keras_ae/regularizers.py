"""Penalties on a code, for the `activity_regularizer` argument of any Keras layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import SettableNumber, current_value
from keras_ae.checks import check_number
from keras_ae.losses import bernoulli_kl


def _check_share(name: str, value: Any) -> float:
    try:
        share = check_number(name, value, 0.0, 1.0)
    except ValueError:
        share = 0.0
    if share in (0.0, 1.0):
        raise ValueError(f"{name} must be between 0 and 1, exclusive; received {value!r}.")
    return share


class _SettableRegularizer(tf.Module, keras.regularizers.Regularizer):
    """Base class: as a `tf.Module` its variables belong to the layer that has it, in exports."""


@keras.saving.register_keras_serializable(package="keras_ae")
class KLDivergenceRegularizer(_SettableRegularizer):
    """Sparsity penalty: KL divergence between a target activation and each unit's batch mean.

    The layer adds `weight * sum over units of KL(target || batch mean)` to the losses of the model,
    in nats, for any batch size (A. Ng, "Sparse autoencoder", CS294A lecture notes, section 3):

    ```python
    keras.layers.Dense(300, activation="sigmoid",
                       activity_regularizer=KLDivergenceRegularizer(weight=1.0, target=0.25))
    ```

    Keras divides the value of an activity regularizer by the batch size. This penalty is already
    a statistic of the batch, so calling the regularizer returns it *multiplied* by the batch size;
    `penalty(activations)` is the value of the formula.

    Args:
        weight: Weight of the divergence (the beta of the bake-off), >= 0. Can be set later.
        target: Target mean activation, between 0 and 1, exclusive. Can be set later.

    Raises:
        ValueError: `weight` or `target` outside its range.
    """

    weight = SettableNumber()
    target = SettableNumber(_check_share)

    def __init__(self, weight: float = 1.0, target: float = 0.25):
        super().__init__()
        self.weight = weight
        self.target = target

    def penalty(self, activations: Any) -> tf.Tensor:
        """The weighted divergence, a scalar in nats, of sigmoid codes `(batch, ...units)`."""
        target = current_value(self, "target", tf.float64)
        weight = current_value(self, "weight")
        return weight * bernoulli_kl(target, activations)

    def __call__(self, activations: Any) -> tf.Tensor:
        batch_size = tf.cast(tf.shape(activations)[0], tf.float32)
        return batch_size * self.penalty(activations)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "target": self.target}


@keras.saving.register_keras_serializable(package="keras_ae")
class L1Regularizer(_SettableRegularizer):
    """L1 penalty: `l1 * sum of |activation|`, with a weight that can be set during training.

    `keras.regularizers.L1` computes the same, but its weight is a constant of a compiled training
    step. Keras divides the value by the batch size, so the loss is a mean over the batch:

    ```python
    keras.layers.Dense(300, activation="sigmoid", activity_regularizer=L1Regularizer(0.01))
    ```

    Args:
        l1: Weight of the activations, >= 0. Can be set later.

    Raises:
        ValueError: `l1` is negative.
    """

    l1 = SettableNumber()

    def __init__(self, l1: float = 0.01):
        super().__init__()
        self.l1 = l1

    def __call__(self, activations: Any) -> tf.Tensor:
        activations = tf.convert_to_tensor(activations)
        l1 = current_value(self, "l1", activations.dtype)
        return l1 * tf.reduce_sum(tf.abs(activations))

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}
