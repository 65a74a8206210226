"""The measurement cache: one file per measurement, named by a digest of its inputs.

Nothing here imports Keras or TensorFlow.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.evaluation.comparisons.base import Measurement
from keras_ae.files import atomic_write, json_digest, safe_name

MAX_ENTRIES = 4  # files of one run in one comparison: other options, older versions
# Packages whose version can change a measurement, by the name of their distribution.
PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn", "umap-learn")


def package_versions() -> dict[str, str]:
    """The versions that can change a measurement, from the metadata of the installed packages."""
    import keras_ae

    return {
        "keras_ae": keras_ae.__version__,
        **{name: distribution_version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }


def distribution_version(name: str) -> str:
    """The version of a package, also where another distribution (`tensorflow-cpu`) provides it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        providers = importlib.metadata.packages_distributions().get(name, [])
        return ", ".join(importlib.metadata.version(other) for other in providers) or "unknown"


class MeasurementCache:
    """Measurements on disk, one `.npz` file each.

    The name of a file contains a digest of everything that decides the numbers, so a changed
    input gives another file. Only the newest `MAX_ENTRIES` files of a run and comparison are kept.

    Args:
        folder: Folder of the cache; created with the first entry.

    Attributes:
        used: The paths requested so far.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.used: set[Path] = set()

    def path(self, comparison: str, name: str, key: dict[str, Any]) -> Path:
        """The file of a measurement.

        Args:
            comparison: Name of the comparison.
            name: What is measured; a readable part of the file name.
            key: Plain JSON data: everything that decides the numbers.
        """
        return self.folder / comparison / f"{safe_name(name)}-{json_digest(key)}.npz"

    def get(self, path: Path) -> Measurement | None:
        """The measurement in a file; None if there is none, or one that cannot be read."""
        self.used.add(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            metrics = json.loads(str(arrays.pop("metrics")))
            return Measurement(metrics, arrays, json.loads(str(arrays.pop("made_by"))))
        except Exception:  # a damaged file raises many kinds
            return None

    def put(self, path: Path, measurement: Measurement) -> None:
        """Write a measurement.

        Raises:
            TypeError, ValueError: the metrics are no valid JSON.
        """
        arrays: dict[str, Any] = {
            **measurement.arrays,
            "metrics": np.array(json.dumps(measurement.metrics, allow_nan=False)),
            "made_by": np.array(json.dumps(measurement.made_by, allow_nan=False)),
        }
        atomic_write(path, lambda temporary: np.savez_compressed(temporary, **arrays))
        self.evict(path)

    def evict(self, path: Path) -> None:
        """Delete all but the newest few files with the comparison and name of `path`."""
        stem = path.stem.rpartition("-")[0]
        same = [
            other for other in path.parent.glob("*.npz") if other.stem.rpartition("-")[0] == stem
        ]
        for other in sorted(same, key=lambda each: each.stat().st_mtime)[:-MAX_ENTRIES]:
            other.unlink(missing_ok=True)


def combine_made_by(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """The versions and devices that made some measurements.

    Returns:
        `versions`, by package: the version, or all of them, separated by " and ", where the
        measurements differ; `device` likewise; `mixed`, the names of what differs.
    """
    found: dict[str, dict[str, None]] = {}
    devices: dict[str, None] = {}
    for measurement in measurements:
        for name, version in measurement.made_by.get("versions", {}).items():
            found.setdefault(name, {})[version] = None
        if device := measurement.made_by.get("device"):
            devices[device] = None
    mixed = [name for name, versions in found.items() if len(versions) > 1]
    return {
        "versions": {name: " and ".join(versions) for name, versions in found.items()},
        "device": " and ".join(devices),
        "mixed": mixed + ["device"] * (len(devices) > 1),
    }


# ---- baselines: several measurements in one file ----


def join(baselines: dict[str, Measurement]) -> Measurement:
    """Several measurements as one, for one file of the cache."""
    arrays = {
        f"{index}/{key}": array
        for index, measurement in enumerate(baselines.values())
        for key, array in measurement.arrays.items()
    }
    return Measurement({name: one.metrics for name, one in baselines.items()}, arrays)


def separate(joined: Measurement) -> dict[str, Measurement]:
    """The measurements that `join` joined."""
    measurements = {}
    for index, (name, metrics) in enumerate(joined.metrics.items()):
        start = f"{index}/"
        arrays = {
            key.removeprefix(start): array
            for key, array in joined.arrays.items()
            if key.startswith(start)
        }
        measurements[name] = dataclasses.replace(joined, metrics=metrics, arrays=arrays)
    return measurements
