"""Figures of one training, in its run directory: reconstructions, losses, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.evaluation import plots
from keras_ae.prediction.outputs import error_maps

NUM_IMAGES = 10
NUM_SAMPLES = 40
NUM_FOR_COLORS = 1000  # images that decide whether they are drawings


def draw(
    folder: Path, model: Any, inputs: Any, images: np.ndarray, history: Sequence[Mapping]
) -> list[Path]:
    """Draw a trained model's reconstructions, losses and, where `can_sample`, samples.

    Args:
        folder: The run directory.
        model: A trained autoencoder.
        inputs: Test images as the model takes them; 10 are shown.
        images: The images among `inputs`.
        history: The rows of `history.csv`.

    Returns:
        The files written.
    """
    written = [draw_reconstructions(folder, model, inputs, images)]
    if history:
        written.append(draw_history(folder, history))
    if model.can_sample:
        samples = np.clip(model.sample(NUM_SAMPLES, seed=0), 0.0, 1.0)
        rows = {
            " " * row or "samples": samples[row * NUM_IMAGES : (row + 1) * NUM_IMAGES]
            for row in range(NUM_SAMPLES // NUM_IMAGES)
        }
        written.append(plots.image_rows(rows, folder / "samples.png", like=images[:NUM_FOR_COLORS]))
    return written


def draw_reconstructions(folder: Path, model: Any, inputs: Any, images: np.ndarray) -> Path:
    """Test images, their reconstructions, and the error of each pixel."""
    originals = images[:NUM_IMAGES]
    few = (
        {name: part[:NUM_IMAGES] for name, part in inputs.items()}
        if isinstance(inputs, dict)
        else originals
    )
    rebuilt = np.clip(np.asarray(model.reconstruct(few)), 0.0, 1.0)
    error = error_maps(originals, rebuilt, white=1.0)
    highest = max(float(error.max()), 1e-6)
    rows = {
        "test images": originals,
        "reconstructions": rebuilt,
        f"absolute error, black = 0, white = {highest:.2g}": error / highest,
    }
    return plots.image_rows(
        rows,
        folder / "reconstructions.png",
        like=images[:NUM_FOR_COLORS],
        dark_zero={list(rows)[2]},
    )


def draw_history(folder: Path, history: Sequence[Mapping]) -> Path:
    """The loss of each epoch, of training and validation images."""
    figure, (axis,) = plots.new_figure(6.0, 3.2)
    epochs = [row["epoch"] for row in history]
    shown = []
    for name, label, color in (("loss", "training", 0), ("val_loss", "validation", 1)):
        if name in history[0]:
            values = [row[name] for row in history]
            axis.plot(epochs, values, label=label, color=plots.SERIES_COLORS[color])
            shown += values
    # The first epochs may be far above the rest.
    low, high = np.min(shown), np.quantile(shown, 0.98)
    if high > low:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss per image")
    axis.legend()
    return plots.save(figure, folder / "history.png")
