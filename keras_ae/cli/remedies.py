"""The command-line option for each remedy of a run error."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from keras_ae.runs.errors import Diverged, Remedy, RunError

IN_TRAIN = {
    Remedy.RETRAIN: "Retrain it with --overwrite, with this variant alone.",
    Remedy.REPLACE: "Use another --output-dir, or --overwrite to replace it.",
    Remedy.WAIT: "Wait until it ends, stop it, or use another --output-dir.",
    Remedy.DIVIDE: "Leave --share and --jobs out, and give each of N processes a part of the grid: "
    "--slice 1/N to N/N.",
    Remedy.LOWER_LEARNING_RATE: "Try a lower --learning-rate, with this variant alone and "
    "--overwrite.",
}
IN_EVALUATE = {
    **IN_TRAIN,
    Remedy.RETRAIN: "Retrain it: keras-ae train --overwrite, with this variant alone.",
}
IN_PREDICT = {
    **IN_EVALUATE,
    Remedy.REPLACE: "Use another --output, or --overwrite to replace it.",
}


def describe(
    error: BaseException, remedies: Mapping[Remedy, str], command: Sequence[str] = ()
) -> str:
    """The message of an error, followed by its remedy as a command-line option.

    Args:
        error: The error.
        remedies: The option for each remedy.
        command: The words of the command that failed.
    """
    from keras_ae.anomaly.fitted import NotFitted  # not before there is an error
    from keras_ae.data.image_set import MixedSizes, SkippedFiles
    from keras_ae.prediction.inputs import NotAllImages
    from keras_ae.prediction.outputs import OutputExists
    from keras_ae.prediction.trained_model import WrongSize

    if isinstance(error, OutputExists):
        return f"{error.problem} {remedies[Remedy.REPLACE]}"
    if isinstance(error, WrongSize):
        size = "x".join(map(str, error.image_size))
        return (
            f"{error.problem} Resize the images, or train the model with keras-ae train "
            f"--image-size {size}; predict then resizes too."
        )
    if isinstance(error, NotFitted):
        return (
            f"{error.problem}: give normal images with --normal-images, or train the model with "
            "keras-ae train --anomaly-score."
        )
    if isinstance(error, NotAllImages):
        return f"{error.problem} Remove such files, or leave out --strict to skip them."
    if isinstance(error, SkippedFiles):
        return f"{error.problem} Remove them, or leave out --strict to skip them."
    if isinstance(error, MixedSizes) and command:
        again = shlex.join([*command, "--image-size", str(error.image_size)])
        return f"{error.problem} To resize all of them: {again}"
    if isinstance(error, RunError | Diverged) and error.remedy is not None:
        return f"{error.problem} {remedies[error.remedy]}"
    return str(error)
