"""Predictions for files: losses, anomaly scores and verdicts, codes, reconstructions, maps."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_ae.anomaly.threshold import ThresholdFit
from keras_ae.checks import check_number
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
from keras_ae.prediction.overlays import default_sigma, overlays, write_legend
from keras_ae.prediction.trained_model import UNITS, TrainedModel, open_model
from keras_ae.progress import CountProgress
from keras_ae.runs.request import DEFAULT_FALSE_POSITIVE_RATE

RESULTS = (
    "predictions.csv",
    "codes.npy",
    "reconstructions",
    "error_maps",
    "maps",
    "map_scale.png",
)
LOCAL_MAPS = ("ssim", "local_residual")  # scores with maps of their own; others: squared error
DEFAULT_BATCH_SIZE = 256
_WHITE_ERROR = 0.5  # of an error map; errors are small, and linear up to 1 would look black
_BATCH_VALUES = 2**24  # pixels of a batch, where images are large


class Predictions(NamedTuple):
    """What `predict_files` did.

    Attributes:
        num_images: Number of images in the results.
        skipped: The name of each image file that could not be read, and why.
        notices: What the user should know about model and images, a line each.
        threshold_fit: The threshold that the images were compared with, or None.
        num_anomalous: Number of images with a score above it; None without a threshold.
        lowest, highest: The ends of the scale of the maps; None without maps.
        score: The anomaly score.
        loss: The reconstruction loss that the model was trained with.
    """

    num_images: int
    skipped: list[tuple[str, str]]
    notices: list[str]
    threshold_fit: ThresholdFit | None = None
    num_anomalous: int | None = None
    highest: float | None = None
    lowest: float | None = None
    score: str = ""
    loss: str = ""


def predict_files(
    model: str | os.PathLike | TrainedModel,
    images: str | os.PathLike,
    output: str | os.PathLike,
    *,
    score: str | None = None,
    threshold: float | None = None,
    normal_images: str | os.PathLike | None = None,
    false_positive_rate: float | None = None,
    reconstructions: bool = False,
    error_maps: bool = False,
    maps: bool = False,
    sigma: float | None = None,
    strict: bool = False,
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Predictions:
    """Score, encode and reconstruct the images of a folder, a file or an array.

    Writes to the folder `output`, all at once at the end:

    - `predictions.csv`: a row for each image: its file name relative to `images`, or its index in
      an array; its reconstruction loss, with the unit in the name of the column; its anomaly score;
      where there is a threshold, the same `score`, the `threshold`, and `is_anomalous`, 1 for a
      score above it;
    - `codes.npy`: its code, in the same order, float32 `(N, *code_shape)`;
    - `reconstructions/` and `error_maps/`, on request: PNG files with the names of the images. An
      error map shows |reconstruction - image|, averaged over the channels: black is 0, and white
      0.5 or more;
    - `maps/`, on request: where each image is anomalous, over the image in gray; and
      `map_scale.png`, the scale of all of them. The map is the squared error of each pixel, summed
      over the channels and smoothed; with the scores "ssim" and "local_residual" their own map.
      Where the model knows such maps of normal images, the scale follows from those alone (see
      `keras_ae.anomaly.maps.usual_scale`); elsewhere it ends at the largest value. That of
      "local_residual" starts at the usual value for normal images and ends at the largest value,
      or at twice the threshold.

    Maps are computed in a second pass over the images, after their scale is known.
    Only one batch of images is in memory at a time.

    Args:
        model: A run directory, a `.keras` file, the folder of a SavedModel, or what `open_model`
            returned.
        images: A folder of image files, an image file, or a `.npy` or `.npz` array. The
            preprocessing of the model is applied.
        output: The folder to write to.
        score: The anomaly score, see `Autoencoder.anomaly_score`. None for that of the threshold;
            without one for the default of the run (see `keras_ae.runs.scores.default_score`) or
            the reconstruction loss. A SavedModel has that of its threshold, the loss, "mse" and
            "signed_residual".
        threshold: Images with a score above it are anomalous; None for that of the model.
        normal_images: Normal images that the threshold is fitted to, as `images`. The model does
            not change.
        false_positive_rate: The share of normal images that may be called anomalous; None for 0.01.
            Only with `normal_images`.
        reconstructions: Whether to write reconstructions.
        error_maps: Whether to write error maps.
        maps: Whether to write anomaly maps.
        sigma: Standard deviation, in pixels, of the Gaussian that smooths them, >= 0; None for a
            32nd of the shorter side.
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
    smoothing = default_sigma(opened.image_shape)
    smoothing = smoothing if sigma is None else check_number("sigma", sigma)
    score, fit, notices = _threshold_of(
        opened, score, threshold, normal_images, false_positive_rate, batch_size
    )
    kind = score if score in LOCAL_MAPS and score in opened.map_names else "mse"
    num_images, num_anomalous, highest = 0, 0, 0.0
    lowest = usual_distance(opened.image_shape) if kind == "local_residual" else 0.0
    scale = None if kind == "local_residual" else opened.map_scales.get(kind)
    if scale is not None:
        lowest, highest = scale
    report = CountProgress(len(source), "images", progress)
    with output_folder(folder, _is_result, RESULTS[0], overwrite) as temporary:
        loss_column = f"reconstruction_loss_{UNITS[opened.loss]}"
        with contextlib.ExitStack() as stack:
            columns = (source.column, loss_column, "anomaly_score")
            columns += ("score", "threshold", "is_anomalous") if fit else ()
            table = Table(temporary / RESULTS[0], columns)
            stack.callback(table.close)
            codes = CodesFile(temporary / RESULTS[1], opened.code_shape)
            stack.callback(codes.close)
            for batch in source.batches(batch_size):
                losses = opened.anomaly_score(batch.images)
                scores = losses
                if score != opened.loss:
                    scores = opened.anomaly_score(batch.images, score)
                for name, loss, value in zip(batch.names, losses, scores, strict=True):
                    verdict = ()
                    if fit is not None:
                        limit = np.float32(fit.threshold)
                        verdict = (value, limit, int(value > limit))
                        num_anomalous += verdict[-1]
                    table.append((printable(name), loss, value, *verdict))
                codes.append(opened.encode(batch.images))
                if reconstructions or error_maps:
                    pictures = opened.reconstruct(batch.images)
                    names = _picture_names(source, batch)
                    if reconstructions:
                        _write_all(pictures, temporary / RESULTS[2], names)
                    if error_maps:
                        errors = error_maps_of(batch.images, pictures, _WHITE_ERROR)
                        _write_all(errors, temporary / RESULTS[3], names)
                if maps and scale is None:
                    errors = _maps_of(opened, batch, kind, smoothing)
                    highest = max(highest, float(errors.max()))
                num_images += len(batch.names)
                report.update(num_images + len(source.skipped))
        highest = max(highest, lowest)
        if kind == "local_residual" and fit is not None:  # else the maps of normal images shine
            highest = max(highest, 2 * fit.threshold)
        skipped = list(source.skipped)  # the second pass would name them again
        if maps:
            report = CountProgress(num_images, "maps", progress)
            num_maps = 0
            for batch in source.batches(batch_size):
                errors = _maps_of(opened, batch, kind, smoothing)
                pictures = overlays(batch.images, errors, highest, lowest)
                _write_all(pictures, temporary / RESULTS[4], _picture_names(source, batch))
                num_maps += len(batch.names)
                report.update(num_maps)
            what = {"mse": "squared error", "ssim": "1 - SSIM"}.get(
                kind, "distance of the residual"
            )
            words = f"{what}, smoothed with sigma {smoothing:.3g}"
            write_legend(temporary / RESULTS[5], highest, words, lowest)
    return Predictions(
        num_images,
        skipped,
        [*opened.notices, *source.notices, *notices],
        fit,
        None if fit is None else num_anomalous,
        highest if maps else None,
        lowest if maps else None,
        score,
        opened.loss,
    )


def _threshold_of(
    opened: TrainedModel,
    score: str | None,
    threshold: float | None,
    normal_images: str | os.PathLike | None,
    rate: float | None,
    batch_size: int,
) -> tuple[str, ThresholdFit | None, list[str]]:
    """The score, its threshold, and notices; the arguments are those of `predict_files`."""
    if normal_images is not None:
        if threshold is not None:
            raise ValueError("Give a threshold or normal images to fit it to, not both.")
        fit = opened.threshold_fit
        name = score or (fit.score if fit else opened.threshold_score)
        normal = open_images(Path(normal_images), opened)
        batches = (batch.images for batch in normal.batches(batch_size))
        rate = DEFAULT_FALSE_POSITIVE_RATE if rate is None else rate
        fit = opened.fit_threshold(batches, rate, name)
        skipped = [f"skipped in {normal_images}: {problem}" for _, problem in normal.skipped]
        return name, fit, [*normal.notices, *skipped]
    if rate is not None:
        raise ValueError(
            f"A false positive rate ({rate:g}) needs normal images: give them, or a threshold."
        )
    name, fit = opened.check_score(score), opened.threshold_fit
    if threshold is not None:
        limit = check_number("threshold", threshold, -math.inf)
        return name, ThresholdFit(limit, name, "given"), []
    if fit is not None and fit.score != name:
        return name, None, [
            f"no verdicts: the threshold of the model is one of the score {fit.score}, not {name}; "
            "give a threshold, or normal images"
        ]  # fmt: skip
    return name, fit, []


def usual_distance(image_shape: tuple[int, ...]) -> float:
    """The root mean square of the map of "local_residual" for normal images.

    A Mahalanobis distance of as many numbers as there are channels, and one more.
    """
    return math.sqrt(1 + (image_shape[2] if len(image_shape) == 3 else 1))


def _maps_of(opened: TrainedModel, batch: Batch, kind: str, sigma: float) -> np.ndarray:
    """Smoothed maps, `(N, height, width)`."""
    import tensorflow as tf

    from keras_ae.anomaly.maps import smoothed  # imports TensorFlow

    maps = tf.constant(opened.anomaly_map(batch.images, kind))
    return np.asarray(smoothed(maps, sigma or None))


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
