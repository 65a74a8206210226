"""Resuming a training: the state of a model that a checkpoint needs besides its weights.

These functions are for programs that write checkpoints, such as `keras_ae.runs`.
"""

from __future__ import annotations

import keras
import numpy as np

from keras_ae.training.trainer import EpochTrainer


def optimizers(model: EpochTrainer) -> list[keras.optimizers.Optimizer]:
    """All optimizers of a compiled model: one, or two for a VAE/GAN."""
    return model._get_optimizers()


def build_optimizers(model: EpochTrainer) -> None:
    """Create the optimizers' variables, so that a saved state can be assigned to them."""
    model._build_optimizers()


def prepare_resume(
    model: EpochTrainer, completed_epochs: int, epochs: int, mid_epoch: bool = False
) -> None:
    """Prepare a new, compiled model for a state saved after `completed_epochs` of `epochs`.

    Args:
        mid_epoch: Whether the state was saved during the next epoch rather than before it.
    """
    model._prepare_resume(completed_epochs, epochs, mid_epoch)


def steps_done(model: EpochTrainer) -> int | None:
    """Steps of the current epoch already run.

    None between epochs, and where `fit` runs without multi-step execution.
    """
    return model._steps_done


def skip_steps(model: EpochTrainer, num_steps: int, metrics: list[np.ndarray]) -> None:
    """Skip the first `num_steps` steps of the epoch that has just begun.

    Args:
        num_steps: What `steps_done` returned when the state was saved.
        metrics: The values of `model.metrics_variables` at that time.

    Raises:
        ValueError: the epoch has no such step, or the metrics are those of another model.
    """
    model._skip_steps(num_steps, metrics)
