"""The anomaly score of the programs where the user names none.

Nothing here imports Keras or TensorFlow.
"""

from __future__ import annotations

from typing import Any

from keras_ae.data.baselines import random_images
from keras_ae.data.drawings import are_drawings
from keras_ae.stored_images import as_float

NUM_FOR_SCORE = 1000  # training images that decide whether they are drawings


def default_score(loss: str, images: Any) -> str:
    """The anomaly score of the programs where no threshold says which: "bce" or "mse".

    It is the training loss, except for models that were trained with "bce" on images that are no
    drawings: there it is "mse". The BCE of a gray pixel is large even if its reconstruction is
    right, so it measures how gray an image is. On photographs with defects it was worse than chance
    (see docs/anomaly.md).

    Args:
        loss: "bce" or "mse", `reconstruction_loss` of the model.
        images: The training images, `(N, ...)` with pixels in [0, 1]. At most 1,000 are looked at.

    Example:
        >>> default_score("bce", np.full((2, 8, 8), 0.5))
        'mse'
    """
    return loss if loss != "bce" or look_like_drawings(images) else "mse"


def threshold_score(loss: str, images: Any, holds_out_class: bool) -> str:
    """The anomaly score of a threshold where the user names none.

    It is "local_residual" for images that are no drawings: on photographs with defects it was the
    best score (see docs/anomaly.md). With a class held out, the anomalies are whole images of
    another kind, and the score is `default_score`.

    Args:
        loss, images: See `default_score`.
        holds_out_class: Whether the training leaves out a class.

    Example:
        >>> threshold_score("bce", np.full((2, 8, 8), 0.5), holds_out_class=False)
        'local_residual'
    """
    if holds_out_class or look_like_drawings(images):
        return default_score(loss, images)
    return "local_residual"


def look_like_drawings(images: Any) -> bool:
    return are_drawings(as_float(random_images(images, NUM_FOR_SCORE)))


def score_line(score: str, loss: str, is_default: bool = False) -> str:
    """Which anomaly score is used, in one line.

    Args:
        score: Its name.
        loss: The loss that the model was trained with.
        is_default: Whether the images have decided it; the line then says why.
    """
    if score == loss:
        return f"anomaly score: {score}, the training loss"
    why = ", as the images are not light drawings on black" if is_default else ""
    return f"anomaly score: {score}, not the training loss {loss}{why}"
