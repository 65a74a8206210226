"""Random numbers of a run that depend on its request alone."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

from keras.src.random import seed_generator

_own = threading.local()


@contextlib.contextmanager
def own_seeds(seed: int) -> Iterator[None]:
    """A block in which Keras's default seeds are a sequence of their own in this thread.

    Keras draws the seed of an initializer, a layer or a generator that has none from Python's
    global `random`. A thread that draws from it, such as one of a cluster's worker or a notebook,
    changes the weights. The seeds in the block are those that
    `keras.utils.set_random_seed(seed)` gives where nothing else draws.

    Args:
        seed: Of the sequence.
    """
    before = getattr(_own, "random", None)
    _own.random = random.Random(seed)
    try:
        yield
    finally:
        _own.random = before


class _Random:
    """Python's `random` as Keras sees it; in a block of `own_seeds`, the sequence of the block."""

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_own, "random", None) or random, name)


# All default seeds are drawn by `make_default_seed`, which looks this name up in its module.
seed_generator.python_random = _Random()  # pyright: ignore
