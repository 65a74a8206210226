"""Exponential moving average (EMA) of the weights: results use the average, training does not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_ae.progress import counted
from keras_ae.training.statistics import BatchStatistics

MAX_START_SHARE = 0.05  # of the first weights in the last average, without a warning


def optimizer_arguments(ema: float | None) -> dict[str, Any]:
    """The arguments of a Keras optimizer that averages weights; none for `ema` None.

    Keras sets the average to the weights after the first update, and after each further one to
    `ema * average + (1 - ema) * weights`. There is no correction of that start.
    """
    return {} if ema is None else {"use_ema": True, "ema_momentum": ema}


def check_average(ema: float | None, variant: str, model: Any, num_updates: int) -> None:
    """Check that a training can have a moving average of its weights.

    Args:
        ema: Momentum, or None for no average.
        variant: Name of the model.
        model: The model.
        num_updates: Steps of the training.

    Raises:
        ValueError: `ema` is not between 0 and 1, exclusive, or does not work with the variant.
    """
    if ema is None:
        return
    if isinstance(ema, bool) or not isinstance(ema, int | float) or not 0.0 < ema < 1.0:
        raise ValueError(f"ema must be a number between 0 and 1, exclusive; received {ema!r}.")
    if model.fixed_epochs:
        raise ValueError(
            f"A moving average of the weights does not work with {variant}, which trains its "
            "layers one after another, each with an optimizer of its own."
        )
    if getattr(model.bottleneck, "ema_decay", None) is not None:
        raise ValueError(
            f"A moving average of the weights does not work with {variant}, whose codebook "
            "follows the encoder in training by an average of its own; with ema_decay None the "
            "codebook is trained like the other weights."
        )
    share = ema ** (num_updates - 1)
    if share > MAX_START_SHARE:
        # (1 - 3 / n) ** n is 0.05.
        most = math.floor(1e4 * (1.0 - 3.0 / num_updates)) / 1e4
        advice = (
            f"use a momentum of at most {most:g}, or train longer" if most > 0 else "train longer"
        )
        warnings.warn(
            f"The average of the weights of {variant} is {share:.0%} those of the first update, as "
            f"there are only {counted(num_updates, 'update')}: {advice}.",
            stacklevel=2,
        )


def with_averages(
    callbacks: Sequence[keras.callbacks.Callback], inputs: Any, batch_size: int
) -> list[keras.callbacks.Callback]:
    """Callbacks of `fit` in whose `on_epoch_end` and `on_train_end` the model has its averages.

    It also has them in validation. All training steps, and all callbacks after these, see the
    weights in training. After `fit` the model keeps the averages.

    Args:
        callbacks: Such as early stopping, which keeps the best weights.
        inputs: Training images, or what `pack_inputs` returns, for `update_batch_normalization`.
        batch_size: Images per step.
    """
    before = AveragedWeights(inputs, batch_size)
    return [before, *callbacks, _TrainingWeights(before)]


class AveragedWeights(keras.callbacks.Callback):
    """Callback: gives the model its averaged weights, from the validation of an epoch on.

    Unlike `keras.callbacks.SwapEMAWeights` it brings the weights in training back bit for bit, also
    after early stopping, and estimates the batch normalization statistics of the averages.
    """

    def __init__(self, inputs: Any, batch_size: int):
        super().__init__()
        self._inputs = inputs
        self._batch_size = batch_size
        self._statistics: BatchStatistics | None = None
        self._raw: list | None = None

    def on_train_begin(self, logs=None):
        self._statistics = BatchStatistics(self._trained, self._inputs, self._batch_size)
        self._raw = None

    def on_test_begin(self, logs=None):
        self._enter()

    def on_epoch_end(self, epoch, logs=None):
        self._enter()

    def on_train_end(self, logs=None):
        self._average()

    @property
    def _trained(self) -> Any:
        return self.model

    def _enter(self) -> None:
        if self._raw is None:
            self._raw = [variable.numpy() for variable in self._trained.variables]
            self._average()

    def _average(self) -> None:
        assert self._statistics
        model = self._trained
        model.optimizer.finalize_variable_values(model.trainable_variables)
        self._statistics.update()

    def leave(self) -> None:
        """Give the model its weights in training again."""
        if self._raw is not None:
            for variable, value in zip(self._trained.variables, self._raw, strict=True):
                variable.assign(value)
            self._raw = None


class _TrainingWeights(keras.callbacks.Callback):
    """Callback: ends what `AveragedWeights` began."""

    def __init__(self, averaged: AveragedWeights):
        super().__init__()
        self._averaged = averaged

    def on_epoch_end(self, epoch, logs=None):
        self._averaged.leave()
