"""Schedules of the learning rate."""

from __future__ import annotations

from typing import Any

CONSTANT, COSINE = SCHEDULES = ("constant", "cosine")
WARM_UP_EPOCHS = 2
WARM_UP_SHARE = 0.1  # of the training, at most


def learning_rate_of(schedule: str, rate: float, epochs: int, num_steps: int) -> Any:
    """The learning rate of an optimizer: a number, or a schedule of Keras.

    Args:
        schedule: "constant": `rate` from the first step to the last. "cosine": it rises linearly
            from 0 to `rate` in the first two epochs, or the first tenth of a short training, and
            falls to 0 along half a cosine until the last step (Loshchilov and Hutter, 2017, eq. 5,
            without restarts).
        rate: The learning rate, > 0; the highest one of a schedule.
        epochs: Number of epochs, >= 1.
        num_steps: Steps of an epoch, >= 1.

    Example:
        >>> learning_rate_of("constant", 1e-3, 60, 215)
        0.001
    """
    from keras_ae.checks import check_choice  # numpy, which --help does without

    if check_choice("schedule", schedule, SCHEDULES) == CONSTANT:
        return rate
    import keras

    total = epochs * num_steps
    warm_up = min(WARM_UP_EPOCHS * num_steps, int(WARM_UP_SHARE * total))
    if warm_up == 0:  # Keras needs at least one step
        return keras.optimizers.schedules.CosineDecay(rate, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total - warm_up, warmup_target=rate, warmup_steps=warm_up
    )


def check_schedule(schedule: str, lr_patience: int | None) -> None:
    """Raise a ValueError for an unknown schedule, or one beside another rule for the rate."""
    from keras_ae.checks import check_choice

    if check_choice("schedule", schedule, SCHEDULES) != CONSTANT and lr_patience is not None:
        raise ValueError(
            f"The schedule {schedule} sets the learning rate, so it cannot also be reduced when "
            "the validation loss stays: use one of the two."
        )
