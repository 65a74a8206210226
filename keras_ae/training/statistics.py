"""Batch normalization statistics of weights that no training step has seen, such as averages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.training.arguments import check_batch_size, num_items
from keras_ae.training.feed import epoch_order
from keras_ae.training.trainer import EpochTrainer

MAX_BATCHES = 100  # as many as Keras's momentum of 0.99 averages over


def update_batch_normalization(
    model: EpochTrainer, inputs: Any, batch_size: int | None = None
) -> None:
    """Re-estimate the moving statistics of batch normalization for the present weights.

    Call it after the weights were set to averages: the statistics are then still those of the
    weights in training (Izmailov et al., arXiv 1803.05407, section 3.2).

    Args:
        model: A variant. Its other weights and its random states do not change.
        inputs: Training images, `(N, *image_shape)`, or what `pack_inputs` returns.
        batch_size: Images per batch, as in training; default 256.

    Example:
        model.compile(keras.optimizers.Adam(use_ema=True, ema_momentum=0.995))
        model.fit(images, epochs=60)  # ends with the averaged weights
        update_batch_normalization(model, images)
    """
    BatchStatistics(model, inputs, batch_size).update()


class BatchStatistics:
    """`update_batch_normalization`, compiled once for several calls.

    Args:
        model, inputs, batch_size: As in `update_batch_normalization`.
    """

    def __init__(self, model: EpochTrainer, inputs: Any, batch_size: int | None = None):
        self._model = model
        self._layers: list[Any] = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        self._inputs = tf.nest.map_structure(
            lambda part: part.numpy() if tf.is_tensor(part) else part, inputs
        )
        self._batch_size = check_batch_size(batch_size, num_items(inputs))
        self._forward = tf.function(self._training_pass, autograph=False)

    def update(self) -> None:
        """Set the statistics to their mean over at most 100 batches, always the same ones.

        The result depends on the weights, the inputs and the seeds of the model only.
        """
        if not self._layers:
            return
        model: Any = self._model
        statistics = [
            variable
            for layer in self._layers
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        sums, count = [np.zeros(variable.shape) for variable in statistics], 0
        with _unchanged(model, but=statistics), self._without_memory():
            for variable in _random_states(model):
                seed, _ = variable.numpy()
                variable.assign([seed, 0])
            for batch in self._batches():
                self._forward(batch)
                sums = [
                    total + variable.numpy()
                    for total, variable in zip(sums, statistics, strict=True)
                ]
                count += 1
        for variable, total in zip(statistics, sums, strict=True):
            variable.assign(total / count)

    def _training_pass(self, batch: Any) -> None:
        model: Any = self._model
        inputs, targets, _ = model._unpack((batch,))
        model._batch_losses(inputs, targets, training=True)

    def _batches(self) -> Iterator[Any]:
        num_images, size = num_items(self._inputs), self._batch_size
        order = epoch_order(num_images, 0, 0).numpy()
        for start in range(0, min(num_images, MAX_BATCHES * size) - size + 1, size):
            rows = order[start : start + size]
            batch = tf.nest.map_structure(lambda part, rows=rows: part[rows], self._inputs)
            yield tf.nest.map_structure(tf.convert_to_tensor, self._model._check_inputs(batch))

    @contextlib.contextmanager
    def _without_memory(self) -> Iterator[None]:
        """A block in which the moving statistics are those of the last batch."""
        before = [layer.momentum for layer in self._layers]
        for layer in self._layers:
            layer.momentum = 0.0
        try:
            yield
        finally:
            for layer, momentum in zip(self._layers, before, strict=True):
                layer.momentum = momentum


@contextlib.contextmanager
def _unchanged(model: Any, but: list) -> Iterator[None]:
    """A block after which the variables of a model are as before, but for some."""
    changing = {id(variable) for variable in but}
    kept = [variable for variable in model.variables if id(variable) not in changing]
    values = [variable.numpy() for variable in kept]
    try:
        yield
    finally:
        for variable, value in zip(kept, values, strict=True):
            variable.assign(value)


def _random_states(model: Any) -> list:
    """The states of the model's random layers: a seed and a counter each."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
