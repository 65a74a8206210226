"""Types that comparisons receive and return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from keras_ae.data import Split
from keras_ae.data.baselines import PrincipalComponents

Computed = TypeVar("Computed")


@dataclass(frozen=True)
class Measurement:
    """The result of one comparison for one model.

    Attributes:
        metrics: Plain numbers by name, valid JSON; nested dicts and lists are allowed. The key
            `note`, if present, is a sentence for the report.
        arrays: The content of the figures.
        made_by: `versions` of the packages and the `device` that made the numbers. The evaluation
            fills it in.
    """

    metrics: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    made_by: dict[str, Any] = field(default_factory=dict)


class Result(NamedTuple):
    """The measurement of one run or baseline, with its label in figures and tables.

    Attributes:
        label: Name of its configuration; runs that differ only in the seed share it.
        variant: Name in VARIANTS, which decides its color; empty for a baseline.
        seed: Seed of the run; 0 for a baseline.
        latent_dim: Size of the code; 0 for a baseline.
        held_out: Name of the held-out class, or None.
        measurement: The numbers and arrays.
        collapsed: Whether runs of this label ignore their input; such a label is not ranked.
        follows_bake_off: Whether the run follows the protocol of the published figures.
    """

    label: str
    variant: str
    seed: int
    latent_dim: int
    held_out: str | None
    measurement: Measurement
    collapsed: bool = False
    follows_bake_off: bool = False


class Figure(NamedTuple):
    """A picture on disk, with a caption of a sentence or two, and lines for a list below it."""

    path: Path
    caption: str
    lines: tuple[str, ...] = ()


class Part(NamedTuple):
    """An interactive part of the report.

    Attributes:
        kind: Its name in the script of the report, see `report.blocks.Interactive`.
        data: What the script receives; valid JSON.
        replaces: File names of the figures that it stands for.
    """

    kind: str
    data: dict[str, Any]
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ReferenceClassifier:
    """A classifier of real images that shows how realistic generated images are.

    Attributes:
        features: Maps images `(N, ...)` to features `(N, num_features)`.
        probabilities: Maps images to class probabilities `(N, num_classes)`.
        description: Its architecture and accuracy, in a sentence.
    """

    features: Callable[[np.ndarray], np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray]
    description: str = ""


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """The images that a comparison measures on.

    Attributes:
        split: Training, validation and test images, float32 in [0, 1], with labels if there are
            any.
        class_names: One name for each class; empty without labels.
        held_out: Index of the held-out class, or None. The test images contain the class.
        normal: Index of the only class in training where the test images have others, else None.
        reference_classifier: For comparisons that request it in the registry, if the images have
            labels; else None.
        published: Whether published figures are compared with: then what is needed for that alone,
            such as the published protocol, is measured too.
        principal_components: PCA of the training images; copies of this object share it.
        results: What `shared` computed, by its key.
    """

    split: Split
    class_names: tuple[str, ...] = ()
    held_out: int | None = None
    normal: int | None = None
    reference_classifier: ReferenceClassifier | None = None
    published: bool = False
    principal_components: PrincipalComponents = None  # pyright: ignore
    results: dict[tuple, Any] = field(default_factory=dict, init=False)

    def __post_init__(self):
        if self.principal_components is None:
            fitted = PrincipalComponents(self.split.train.images)
            object.__setattr__(self, "principal_components", fitted)

    def shared(self, key: tuple, compute: Callable[[], Computed]) -> Computed:
        """A result that several models or comparisons need, computed once for these images.

        Args:
            key: Names the result, with all that decides it besides the images.
            compute: Computes it.
        """
        if key not in self.results:
            self.results[key] = compute()
        return self.results[key]

    def with_reference_classifier(self, classifier: ReferenceClassifier) -> EvaluationData:
        """The same data and shared results, with a reference classifier."""
        changed = replace(self, reference_classifier=classifier)
        changed.results.update(self.results)
        return changed

    def is_anomalous(self, labels: np.ndarray | None) -> np.ndarray | None:
        """Which labels are of a class that is not in training, `(N,)`; None without such a class.

        The counterpart of `RunData.is_anomalous`, which knows the classes by name.
        """
        if labels is None:
            return None
        if self.held_out is not None:
            return labels == self.held_out
        return None if self.normal is None else labels != self.normal

    def normal_only(self) -> EvaluationData:
        """The same data with the normal test images alone, without labels and masks."""
        return self.shared(("normal_only",), self._normal_only)

    def _normal_only(self) -> EvaluationData:
        anomalous = self.is_anomalous(self.split.test.labels)
        assert anomalous is not None
        test = self.split.test.where(~anomalous)
        train, validation, test = (
            replace(part, labels=None) for part in (self.split.train, self.split.validation, test)
        )
        split = Split(train, validation, test)
        return replace(self, split=split, class_names=(), held_out=None, normal=None)
