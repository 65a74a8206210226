"""Callbacks that wait for a plateau, and the state of theirs that a run keeps and brings back.

Keras's callbacks begin anew with every `fit`, so a training that was interrupted would wait longer
than one that was not.
"""

from __future__ import annotations

import keras
import numpy as np

NUMBERS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


def plateau_callbacks(patience: int | None, lr_patience: int | None) -> list:
    """What ends a training, or its large steps, when the validation loss no longer falls.

    Args:
        patience: Epochs to wait before the end; the weights of the best epoch are brought back.
        lr_patience: Epochs to wait before the learning rate is divided by ten.
    """
    made = []
    if lr_patience is not None:
        made.append(keras.callbacks.ReduceLROnPlateau(patience=lr_patience))
    if patience is not None:
        made.append(keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True))
    return made


def states(callbacks: list) -> dict[str, np.ndarray]:
    """All that the callbacks remember from one epoch to the next."""
    kept = {}
    for number, callback in enumerate(callbacks):
        for name in NUMBERS:
            if getattr(callback, name, None) is not None:
                kept[f"callback_{number}/{name}"] = np.array(getattr(callback, name))
        for place, weight in enumerate(getattr(callback, "best_weights", None) or ()):
            kept[f"callback_{number}/best_weights/{place:03d}"] = np.asarray(weight)
    return kept


def bring_back(callbacks: list, kept: dict[str, np.ndarray], shapes: list[tuple]) -> None:
    """The inverse of `states`, to be called once training has begun.

    Args:
        shapes: Of the model's weights, which the best ones must have.

    Raises:
        ValueError: it is not what `states` gives.
    """
    for number, callback in enumerate(callbacks):
        start = f"callback_{number}/"
        own = {
            name.removeprefix(start): array
            for name, array in kept.items()
            if name.startswith(start)
        }
        weights = [own.pop(name) for name in sorted(own) if name.startswith("best_weights/")]
        if not own or any(name not in NUMBERS or value.ndim for name, value in own.items()):
            raise ValueError(f"its state of callback {number} is damaged")
        for name, value in own.items():
            setattr(callback, name, value.item())
        if weights:
            if [weight.shape for weight in weights] != shapes:
                raise ValueError("its best weights are those of another network")
            callback.best_weights = weights
