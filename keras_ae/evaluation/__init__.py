"""Evaluation of trained runs: comparisons, their cache, summaries, figures and the report.

Importing this package loads neither Keras nor TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_report(metrics: dict[str, Any], folder: Path) -> list[Path]:
    """Write `report.md` and `report.html`, see `keras_ae.evaluation.report.render_report`.

    Each file is replaced atomically; a symbolic link in its place is replaced, never followed.

    Args:
        metrics: The content of `metrics.json`.
        folder: Folder of the figures and of the reports; created if it is missing.

    Returns:
        The two paths, Markdown first.

    Raises:
        OSError: the folder cannot be written.
    """
    from keras_ae.evaluation.report import render_report
    from keras_ae.files import atomic_write

    return [
        atomic_write(
            Path(folder) / name, lambda path, text=text: path.write_bytes(text.encode("utf-8"))
        )
        for name, text in render_report(metrics, Path(folder)).items()
    ]
