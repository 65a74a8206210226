"""The budget of a training where none is given: batch size, epochs and patience.

What counts is the number of updates: 60 epochs of a batch of 256 are 12,900 updates on MNIST, and
360 on 1,400 images, with which a network stays behind PCA.
"""

from __future__ import annotations

from dataclasses import dataclass

BAKE_OFF_EPOCHS = 60
BAKE_OFF_BATCH_SIZE = 256
MIN_UPDATES = 4000
MIN_EPOCHS = 20  # so that early stopping can work on a large set
PATIENCE_UPDATES = 500


@dataclass(frozen=True)
class Budget:
    """How long to train.

    Attributes:
        epochs: Number of epochs, or the most with early stopping.
        batch_size: Images per step.
        patience: Epochs without improvement before early stopping, or None.
    """

    epochs: int
    batch_size: int
    patience: int | None


def bake_off_budget(num_train: int) -> Budget:
    """That of the bake-off: 60 epochs, 256 images per step, no early stopping."""
    return Budget(BAKE_OFF_EPOCHS, min(BAKE_OFF_BATCH_SIZE, num_train), None)


def default_budget(
    num_train: int, *, epochs: int | None = None, batch_size: int | None = None
) -> Budget:
    """The budget for `num_train` images: at least 4,000 updates and 20 epochs, and early stopping.

    Args:
        num_train: Number of training images, >= 1.
        epochs: Number of epochs that was asked for, which is then exact: no early stopping.
        batch_size: Images per step that were asked for. Default: the power of two at or below
            `num_train` / 100, from 16 to 256.

    Returns:
        The patience is 500 updates, and at least 10 epochs.

    Example:
        >>> default_budget(1412)
        Budget(epochs=45, batch_size=16, patience=10)
    """
    power = 2 ** max(0, (num_train // 100).bit_length() - 1)
    size = min(batch_size or min(max(power, 16), 256), num_train)
    steps = -(-num_train // size)
    if epochs is not None:
        return Budget(epochs, size, None)
    return Budget(
        max(MIN_EPOCHS, -(-MIN_UPDATES // steps)), size, max(10, -(-PATIENCE_UPDATES // steps))
    )
