"""What a model knows about normal images: threshold, maps of the error, statistics of codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_ae.anomaly.threshold import ThresholdFit

PREFIX = "anomaly"
SEPARATOR = ":"
REFITTED = "halved"  # the name in files, which is older


@dataclass(frozen=True)
class AnomalyState:
    """What `fit_threshold` and `fit_scores` store in a model.

    It describes the weights, so it is saved with them, and a model that is made from a config
    starts without it.

    Attributes:
        fit: The threshold, or None.
        maps: Mean and spread `(2, height, width)` of the map of each score, by its name.
        statistics: What the scores of codes were fitted to, by their names.
        refitted: Those of them that `fit_threshold` has fitted, and fits again.
    """

    fit: ThresholdFit | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    refitted: frozenset[str] = frozenset()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays by names that start with "anomaly:"; none for an empty state."""
        arrays = {}
        if self.fit is not None:
            text = json.dumps(self.fit.to_dict())
            arrays["fit"] = np.frombuffer(text.encode(), np.uint8)
        for name, moments in self.maps.items():
            arrays[SEPARATOR.join(["map", name])] = moments
        for name, statistics in self.statistics.items():
            for part, array in statistics.items():
                arrays[SEPARATOR.join(["statistics", name, part])] = array
        for name in self.refitted:
            arrays[SEPARATOR.join([REFITTED, name])] = np.zeros(1, np.uint8)
        return {f"{PREFIX}{SEPARATOR}{name}": array for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> AnomalyState:
        """The reverse of `to_arrays`.

        Raises:
            ValueError: arrays that `to_arrays` does not write.
        """
        fit, maps, statistics, refitted = None, {}, {}, set()
        for key, array in arrays.items():
            match key.split(SEPARATOR)[1:]:
                case ["fit"]:
                    fit = ThresholdFit.from_dict(parsed(array))
                case ["map", name]:
                    maps[name] = array
                case ["statistics", name, part]:
                    statistics.setdefault(name, {})[part] = array
                case [kind, name] if kind == REFITTED:
                    refitted.add(name)
                case _:
                    raise ValueError(f"the stored array {key!r} is of no known kind.")
        return cls(fit, maps, statistics, frozenset(refitted))


def is_of_state(name: str) -> bool:
    """Whether a stored array belongs to an `AnomalyState`."""
    return name.startswith(PREFIX + SEPARATOR)


def parsed(array: np.ndarray) -> Any:
    """The JSON value in an array of bytes; None where it is none."""
    try:
        return json.loads(np.asarray(array, np.uint8).tobytes())
    except ValueError:
        return None
