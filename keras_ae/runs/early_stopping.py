"""Early stopping and learning-rate reduction whose state survives a resume.

Keras's callbacks reset their state in every `fit`, so a resumed training would stop later than an
uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

SCALARS = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter")


def callbacks(patience: int | None, lr_patience: int | None) -> list[keras.callbacks.Callback]:
    """Callbacks that watch the validation loss.

    Args:
        patience: Epochs without improvement before training stops; the weights of the best epoch
            are restored. None: no early stopping.
        lr_patience: Epochs without improvement before the learning rate is divided by 10. None:
            the learning rate stays.
    """
    import keras

    made: list[keras.callbacks.Callback] = []
    if lr_patience is not None:
        made.append(keras.callbacks.ReduceLROnPlateau(patience=lr_patience))
    if patience is not None:
        made.append(keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True))
    return made


def get_state(callbacks: Sequence[Any], prefix: str) -> dict[str, np.ndarray]:
    """The state of the callbacks between two epochs.

    Args:
        callbacks: Those of `callbacks()`.
        prefix: Start of the names.
    """
    state = {}
    for number, callback in enumerate(callbacks):
        for name in SCALARS:
            if getattr(callback, name, None) is not None:
                state[f"{prefix}{number}/{name}"] = np.array(getattr(callback, name))
        for place, weight in enumerate(getattr(callback, "best_weights", None) or ()):
            state[f"{prefix}{number}/best_weights/{place:03d}"] = np.asarray(weight)
    return state


def set_state(
    callbacks: Sequence[Any],
    state: Mapping[str, np.ndarray],
    prefix: str,
    shapes: Sequence[tuple[int, ...]],
) -> None:
    """Restore what `get_state` returned. Call it when training has begun.

    Args:
        callbacks: As many as `get_state` had.
        state: What `get_state` returned.
        prefix: As in `get_state`.
        shapes: Shapes of the model's weights, which the best weights must have.

    Raises:
        ValueError: `state` is not what `get_state` returns.
    """
    for number, callback in enumerate(callbacks):
        start = f"{prefix}{number}/"
        own = {
            name.removeprefix(start): array
            for name, array in state.items()
            if name.startswith(start)
        }
        weights = [own.pop(name) for name in sorted(own) if name.startswith("best_weights/")]
        if not own or any(name not in SCALARS or value.ndim for name, value in own.items()):
            raise ValueError(f"the state of callback {number} is damaged")
        for name, value in own.items():
            setattr(callback, name, value.item())
        if weights:
            if [weight.shape for weight in weights] != list(shapes):
                raise ValueError("the best weights are those of another network")
            callback.best_weights = weights
