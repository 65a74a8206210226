"""Images from codes, and samples, as PNG files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from keras_ae.checks import check_size
from keras_ae.data.contents import refuse_beyond_limit
from keras_ae.data.image_set import DataError
from keras_ae.data.numpy_files import ArrayStream
from keras_ae.prediction.outputs import (
    check_output,
    numbered,
    numbered_in,
    output_folder,
    write_contact_sheet,
    write_png,
)
from keras_ae.prediction.predict import default_batch_size
from keras_ae.prediction.trained_model import TrainedModel, open_model
from keras_ae.progress import CountProgress

CONTACT_SHEET = "samples.png"
MAX_ON_SHEET = 400


def decode_codes(
    model: str | os.PathLike | TrainedModel,
    codes: str | os.PathLike,
    output: str | os.PathLike,
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> int:
    """Write the images of latent codes as PNG files `0000.png`, `0001.png`, ...

    Args:
        model: A run directory, a `.keras` file, the folder of a SavedModel, or what `open_model`
            returned.
        codes: A `.npy` file of `(N, *code_shape)`, such as `codes.npy` of `predict_files`.
        output: The folder to write to, all at once at the end.
        batch_size: Codes per batch. None for 256, or fewer where images are large.
        overwrite: Whether to replace existing images.
        progress: Whether to print progress lines.

    Returns:
        The number of images.

    Raises:
        OutputExists: there are images already.
        ValueError: input that cannot be used, in one line.
    """
    folder, path = Path(output), Path(codes)
    opened = model if isinstance(model, TrainedModel) else open_model(Path(model))
    stream = ArrayStream(path, _only_array)
    owned = numbered_in(folder, len(stream))
    check_output(folder, owned, overwrite)
    if stream.shape[1:] != opened.code_shape or len(stream) == 0:
        wanted = ", ".join(["N", *map(str, opened.code_shape)])
        raise DataError(
            f"{path} must hold the codes of this model, with the shape ({wanted}); received "
            f"{stream.shape}."
        )
    if stream.dtype.kind not in "biuf":
        raise DataError(f"{path} must hold numbers; received dtype {stream.dtype}.")
    done, report = 0, CountProgress(len(stream), "images", progress)
    with output_folder(folder, owned, overwrite=overwrite) as temporary:
        for rows in stream.batches(batch_size or default_batch_size(opened)):
            rows = np.asarray(rows, np.float32)
            if not np.isfinite(rows).all():
                raise DataError(f"{path} must hold finite numbers; received NaN or infinite ones.")
            for image in opened.decode(rows):
                write_png(image, temporary, numbered(done, len(stream)))
                done += 1
            report.update(done)
    return done


def sample_images(
    model: str | os.PathLike | TrainedModel,
    num_samples: int,
    seed: int,
    output: str | os.PathLike,
    *,
    overwrite: bool = False,
) -> int:
    """Write new images as PNG files, and a contact sheet `samples.png`.

    Args:
        model: A run directory, a `.keras` file, the folder of a SavedModel, or what `open_model`
            returned.
        num_samples: Number of images.
        seed: Random seed, as in `Autoencoder.sample`.
        output: The folder to write to, all at once at the end.
        overwrite: Whether to replace existing images.

    Returns:
        The number of images on the contact sheet: the first 400 at most.

    Raises:
        OutputExists: there are images already.
        ValueError: the model has no prior to sample from; names the variants that have one.
    """
    folder = Path(output)
    check_size("num_samples", num_samples)
    images_of_samples = numbered_in(folder, num_samples)

    def owned(name: str) -> bool:
        return name == CONTACT_SHEET or images_of_samples(name)

    check_output(folder, owned, overwrite)
    opened = model if isinstance(model, TrainedModel) else open_model(Path(model))
    refuse_beyond_limit(4 * num_samples * math.prod(opened.image_shape), "this number of images")
    images = opened.sample(num_samples, seed)
    with output_folder(folder, owned, CONTACT_SHEET, overwrite) as temporary:
        for index, image in enumerate(images):
            write_png(image, temporary, numbered(index, num_samples))
        write_contact_sheet(images[:MAX_ON_SHEET], temporary / CONTACT_SHEET)
    return min(num_samples, MAX_ON_SHEET)


def _only_array(names: object) -> str:
    raise DataError("codes are read from a .npy file; a .npz archive was given.")
