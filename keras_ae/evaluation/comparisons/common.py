"""Helpers that several comparisons share: batches, distances, random state."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ae.data.baselines import flatten

if TYPE_CHECKING:
    from keras_ae.data import Subset

BATCH_SIZE = 2000  # images in one call of a model

Inputs = np.ndarray | dict[str, np.ndarray]


def model_inputs(model: Any, subset: Subset) -> Inputs:
    """The inputs of `model` for a subset: the images, with labels if it needs them."""
    return model.pack_inputs(subset.images, subset.labels)


def in_batches(inputs: Inputs) -> Iterator[Any]:
    """Images, or a dict of arrays of one length, in batches of at most 2,000."""
    arrays = inputs if isinstance(inputs, dict) else {"images": inputs}
    for start in range(0, len(next(iter(arrays.values()))), BATCH_SIZE):
        batch = {name: array[start : start + BATCH_SIZE] for name, array in arrays.items()}
        yield batch if isinstance(inputs, dict) else batch["images"]


def posterior(model: Any, inputs: Inputs) -> tuple[np.ndarray, np.ndarray] | None:
    """`z_mean` and `z_log_var`, `(N, latent_dim)` each; None where the code is not Gaussian."""
    means, log_vars = [], []
    for batch in in_batches(inputs):
        parameters = model.posterior(batch)
        if parameters is None:
            return None
        means.append(np.asarray(parameters[0]))
        log_vars.append(np.asarray(parameters[1]))
    return np.concatenate(means), np.concatenate(log_vars)


def with_warnings(function: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a function returns, and the texts of its warnings to users, for a note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, [str(one.message) for one in caught if issubclass(one.category, UserWarning)]


def mean(values: Any) -> float:
    """The mean, accumulated in float64."""
    return float(np.mean(values, dtype=np.float64))


def clip_to_images(pixels: Any) -> np.ndarray:
    """Decoded pixels as images in [0, 1]; the pixels of a linear output can leave that range."""
    return np.clip(np.asarray(pixels), 0.0, 1.0)


def nearest_distances(
    images: np.ndarray, references: np.ndarray, batch_size: int = 200
) -> np.ndarray:
    """The L2 distance of each image to the nearest of `references`, `(N,)`; 0 for a copy."""
    nearest = nearest_references(images, references, batch_size)
    images, references = (flatten(np.asarray(each, np.float32)) for each in (images, references))
    return np.concatenate(
        [
            np.linalg.norm(
                images[start : start + batch_size]
                - references[nearest[start : start + batch_size]],
                axis=1,
            )
            for start in range(0, len(images), batch_size)
        ]
    )


def nearest_references(
    images: np.ndarray, references: np.ndarray, batch_size: int = 200
) -> np.ndarray:
    """The index of the nearest of `references` for each image, by the L2 distance, `(N,)`."""
    images = flatten(np.asarray(images, dtype=np.float32))
    references = flatten(np.asarray(references, dtype=np.float32))
    half_norms = 0.5 * np.einsum("nd,nd->n", references, references)
    found = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        found.append(np.argmin(half_norms - batch @ references.T, axis=1))
    return np.concatenate(found)


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the random state of Python, NumPy and TensorFlow when the block ends.

    Not that of Keras's global generator, which only `keras.random` calls without a seed use.
    """
    from tensorflow.python.eager import context as eager  # there is no public way to read it

    context = eager.context()
    tensorflow_state = {name: getattr(context, name, None) for name in ("_seed", "_rng")}
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        vars(context).update(tensorflow_state)


def set_seeds(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow. Use it inside `preserved_random_state` only.

    Initial weights of Keras layers follow from Python's state, the shuffling of `fit` from
    TensorFlow's.
    """
    import tensorflow as tf

    random.seed(seed)
    np.random.seed(seed)
    tf.random.set_seed(seed)
