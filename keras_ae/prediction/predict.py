"""Predictions for files: reconstruction losses, anomaly scores, codes and reconstructions."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_ae.data.contents import printable
from keras_ae.prediction.inputs import Batch, Images, open_images
from keras_ae.prediction.outputs import (
    CodesFile,
    Table,
    check_output,
    numbered,
    output_folder,
    write_png,
)
from keras_ae.prediction.outputs import error_maps as error_maps_of
from keras_ae.prediction.trained_model import UNITS, TrainedModel, open_model
from keras_ae.progress import CountProgress

RESULTS = ("predictions.csv", "codes.npy", "reconstructions", "error_maps")
DEFAULT_BATCH_SIZE = 256
_WHITE_ERROR = 0.5  # of an error map; errors are small, and linear up to 1 would look black
_BATCH_VALUES = 2**24  # pixels of a batch, where images are large


class Predictions(NamedTuple):
    """What `predict_files` did.

    Attributes:
        num_images: Number of images in the results.
        skipped: The name of each image file that could not be read, and why.
        notices: What the user should know about model and images, a line each.
    """

    num_images: int
    skipped: list[tuple[str, str]]
    notices: list[str]


def predict_files(
    model: str | os.PathLike | TrainedModel,
    images: str | os.PathLike,
    output: str | os.PathLike,
    *,
    score: str | None = None,
    reconstructions: bool = False,
    error_maps: bool = False,
    strict: bool = False,
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Predictions:
    """Score, encode and reconstruct the images of a folder, a file or an array.

    Writes to the folder `output`, all at once at the end:

    - `predictions.csv`: a row for each image: its file name relative to `images`, or its index in
      an array; its reconstruction loss, with the unit in the name of the column; its anomaly score;
    - `codes.npy`: its code, in the same order, float32 `(N, *code_shape)`;
    - `reconstructions/` and `error_maps/`, on request: PNG files with the names of the images. An
      error map shows |reconstruction - image|, averaged over the channels: black is 0, and white
      0.5 or more.

    Only one batch of images is in memory at a time.

    Args:
        model: A run directory, a `.keras` file, the folder of a SavedModel, or what `open_model`
            returned.
        images: A folder of image files, an image file, or a `.npy` or `.npz` array. The
            preprocessing of the model is applied.
        output: The folder to write to.
        score: The anomaly score: "bce", "mse" or "signed_residual", see
            `Autoencoder.anomaly_score`. None for the reconstruction loss of the model.
        reconstructions: Whether to write reconstructions.
        error_maps: Whether to write error maps.
        strict: Whether a file that cannot be read is an error; it is skipped by default.
        batch_size: Images per batch. None for 256, or fewer where images are large.
        overwrite: Whether to replace existing results.
        progress: Whether to print progress lines.

    Raises:
        OutputExists: there are results already.
        RunError: a run that is not finished or damaged.
        ValueError: input that cannot be used, in one line.

    Example:
        >>> predict_files("runs/mnist/vae-20d-seed42", "new_photographs", "predictions")
    """
    folder = Path(output)
    check_output(folder, _is_result, overwrite)
    opened = model if isinstance(model, TrainedModel) else open_model(Path(model))
    source = open_images(Path(images), opened, strict)
    batch_size = batch_size or default_batch_size(opened)
    num_images = 0
    report = CountProgress(len(source), "images", progress)
    with output_folder(folder, _is_result, RESULTS[0], overwrite) as temporary:
        loss_column = f"reconstruction_loss_{UNITS[opened.loss]}"
        with contextlib.ExitStack() as stack:
            table = Table(temporary / RESULTS[0], (source.column, loss_column, "anomaly_score"))
            stack.callback(table.close)
            codes = CodesFile(temporary / RESULTS[1], opened.code_shape)
            stack.callback(codes.close)
            for batch in source.batches(batch_size):
                losses = opened.anomaly_score(batch.images)
                scores = losses
                if score not in (None, opened.loss):
                    scores = opened.anomaly_score(batch.images, score)
                for row in zip(map(printable, batch.names), losses, scores, strict=True):
                    table.append(row)
                codes.append(opened.encode(batch.images))
                if reconstructions or error_maps:
                    pictures = opened.reconstruct(batch.images)
                    names = _picture_names(source, batch)
                    if reconstructions:
                        _write_all(pictures, temporary / RESULTS[2], names)
                    if error_maps:
                        errors = error_maps_of(batch.images, pictures, _WHITE_ERROR)
                        _write_all(errors, temporary / RESULTS[3], names)
                num_images += len(batch.names)
                report.update(num_images + len(source.skipped))
    return Predictions(num_images, source.skipped, [*opened.notices, *source.notices])


def default_batch_size(model: TrainedModel) -> int:
    """256 images, or fewer where they are large."""
    return min(DEFAULT_BATCH_SIZE, max(1, _BATCH_VALUES // math.prod(model.image_shape)))


def _is_result(name: str) -> bool:
    return name in RESULTS


def _picture_names(source: Images, batch: Batch) -> list[str]:
    if source.column == "file":
        return batch.names
    return [numbered(int(name), len(source)) for name in batch.names]


def _write_all(images: np.ndarray, folder: Path, names: Sequence[str]) -> None:
    for image, name in zip(images, names, strict=True):
        write_png(image, folder, name)
