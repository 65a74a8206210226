"""What comparisons are given and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_ae.data import Split


@dataclass(frozen=True)
class Measurement:
    """Of one model in one comparison.

    Attributes:
        numbers: Plain numbers by name, JSON as it is; nested dicts and lists where need be. A
            `note`, if there is one, is a sentence for the report.
        arrays: What its figures show.
    """

    numbers: dict
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Entry(NamedTuple):
    """A measured run in a figure or a table.

    Attributes:
        label: What to call its configuration; runs that differ in the seed alone share it.
        variant: Name in VARIANTS, which decides its colour.
    """

    label: str
    variant: str
    seed: int
    latent_dim: int
    held_out: str | None
    measurement: Measurement


class Figure(NamedTuple):
    """A picture on disk and what it shows, in a sentence."""

    path: Path
    caption: str


@dataclass(frozen=True, eq=False)
class Judge:
    """A classifier that says how far generated images look like real ones.

    Attributes:
        features: Images `(N, ...)` to their features `(N, num_features)`.
        probabilities: Images to class probabilities `(N, num_classes)`.
        description: What it is and how good, in a sentence.
    """

    features: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray]
    description: str = ""


@dataclass(frozen=True, eq=False)
class Problem:
    """The data of a comparison: a split, float32 images in [0, 1], and what is known of it.

    Attributes:
        class_names: One name a class; empty without labels.
        held_out: Index of the class that training never saw, or None. The test images hold it.
        make_judge: Makes the judge when it is first asked for; None where there can be none.
    """

    split: Split
    class_names: tuple[str, ...] = ()
    held_out: int | None = None
    make_judge: Callable[[], Judge] | None = None

    @cached_property
    def judge(self) -> Judge | None:
        return None if self.make_judge is None else self.make_judge()
