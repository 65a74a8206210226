"""The command-line option for each remedy of a run error."""

from __future__ import annotations

from collections.abc import Mapping

from keras_ae.runs.errors import Diverged, Remedy, RunError

IN_TRAIN = {
    Remedy.RETRAIN: "Retrain it with --overwrite, with this variant alone.",
    Remedy.REPLACE: "Use another --output-dir, or --overwrite to replace it.",
    Remedy.WAIT: "Wait until it ends, stop it, or use another --output-dir.",
    Remedy.LOWER_LEARNING_RATE: "Try a lower --learning-rate, with this variant alone and "
    "--overwrite.",
}
IN_EVALUATE = {
    **IN_TRAIN,
    Remedy.RETRAIN: "Retrain it: keras-ae train --overwrite, with this variant alone.",
}


def describe(error: BaseException, remedies: Mapping[Remedy, str]) -> str:
    """The message of an error, followed by its remedy as a command-line option."""
    if isinstance(error, RunError | Diverged) and error.remedy is not None:
        return f"{error.problem} {remedies[error.remedy]}"
    return str(error)
