"""Opening a trained model: a run directory, a `.keras` file or a SavedModel."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.anomaly.threshold import (
    ThresholdFit,
    check_rate,
    check_scores,
    fit_to_normal,
    warn_of_few,
)
from keras_ae.checks import check_choice, one_line
from keras_ae.data.image_set import DataError
from keras_ae.data.preprocessing import Preprocessing
from keras_ae.runs.errors import RunError
from keras_ae.runs.run_directory import MAX_JSON_BYTES, RUN_FILES, RunDirectory

UNITS = {"bce": "nats", "mse": "squared_error"}
SCORES = ("bce", "mse", "signed_residual")
_ENDPOINTS = {"serve": "images", "encode": "images", "anomaly_score": "images", "decode": "latents"}


class TrainedModel:
    """A model as the programs use it, whatever it was loaded from. Images have pixels in [0, 1].

    Attributes:
        image_shape: Shape of an image.
        code_shape: Shape of a code.
        loss: "bce" or "mse": the reconstruction loss that the model was trained with.
        default_score: The anomaly score where there is no threshold: that of the run (see
            `keras_ae.runs.scores.default_score`) or of the export, else the loss.
        threshold_score: That of a threshold which is fitted where the model has none.
        pixel_range: The range of pixels inside the model.
        preprocessing: How image files become images for it.
        notices: What the user should know about the model, a line each.
        threshold_fit: The threshold of the model, or None.
        map_names: The scores whose maps it has.
        map_scales: The ends of the scale of a map, from maps of normal images, by its score; see
            `keras_ae.anomaly.maps.usual_scale`. None of models that know no such maps.
    """

    image_shape: tuple[int, ...]
    code_shape: tuple[int, ...]
    loss: str
    default_score: str
    threshold_score: str
    pixel_range: tuple[float, float]
    preprocessing: Preprocessing
    notices: tuple[str, ...] = ()
    threshold_fit: ThresholdFit | None = None
    map_names: tuple[str, ...] = ("mse",)
    map_scales: Mapping[str, tuple[float, float]] = {}

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Codes of images, `(N, *code_shape)`."""
        raise NotImplementedError

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Images from codes, `(N, *image_shape)`."""
        raise NotImplementedError

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Reconstructions of images."""
        raise NotImplementedError

    def anomaly_score(self, images: np.ndarray, score: str | None = None) -> np.ndarray:
        """The anomaly score of each image, `(N,)`; None for the model's own loss."""
        raise NotImplementedError

    def anomaly_map(self, images: np.ndarray, score: str) -> np.ndarray:
        """The error of each pixel, `(N, height, width)`, not smoothed; one of `map_names`."""
        raise NotImplementedError

    @property
    def usual_score(self) -> str:
        """The score of the threshold; without one `default_score`."""
        return self.threshold_fit.score if self.threshold_fit else self.default_score

    def check_score(self, score: str | None) -> str:
        """The name of a score; None for `usual_score`.

        Raises:
            ValueError: the model does not have it; names those that it has.
        """
        name = score or self.usual_score
        self.anomaly_score(np.full((1, *self.image_shape), 0.5, np.float32), name)
        return name

    def fit_threshold(self, batches: Iterable[np.ndarray], rate: float, score: str) -> ThresholdFit:
        """A threshold for a false positive rate, from batches of normal images.

        Raises:
            ValueError: fewer than two images, or scores that are not finite.
        """
        rate = check_rate(rate)
        found = [self.anomaly_score(images, score) for images in batches]
        scores = check_scores(np.concatenate(found), score)
        threshold, share = fit_to_normal(scores, rate)
        fit = ThresholdFit(threshold, score, "false_positive_rate", rate, share)
        warn_of_few(fit := fit.with_interval(len(scores)))
        return fit

    def sample(self, num_samples: int, seed: int) -> np.ndarray:
        """New images.

        Raises:
            ValueError: the model has no prior; names the variants that have one.
        """
        raise NotImplementedError

    def _into(self, images: np.ndarray) -> np.ndarray:
        """Pixels in [0, 1] as pixels in `pixel_range`."""
        low, high = self.pixel_range
        return images if (low, high) == (0.0, 1.0) else images * (high - low) + low

    def _out_of(self, images: np.ndarray) -> np.ndarray:
        """Pixels in `pixel_range` as pixels in [0, 1]; a linear output may exceed it."""
        low, high = self.pixel_range
        return np.clip((np.asarray(images) - low) / (high - low), 0.0, 1.0)


class KerasModel(TrainedModel):
    """A model from a `.keras` file.

    Args:
        model: An `Autoencoder`.
        default_score: See `TrainedModel`; None for the loss.
        threshold_score: See `TrainedModel`; None for `default_score`.
    """

    def __init__(
        self, model: Any, default_score: str | None = None, threshold_score: str | None = None
    ):
        from keras_ae.anomaly.tools import MAPS  # imports TensorFlow

        self._model = model
        self.image_shape, self.code_shape = model.image_shape, model.code_shape
        self.loss, self.pixel_range = model.reconstruction_loss, model.pixel_range
        self.default_score = default_score or self.loss
        self.threshold_score = threshold_score or self.default_score
        self.preprocessing = Preprocessing.from_dict(model.preprocessing)
        self.threshold_fit = model.threshold_fit
        self.map_names = tuple(name for name in MAPS if name in model.score_names)
        self.map_scales = model.map_scales

    def encode(self, images: np.ndarray) -> np.ndarray:
        return self._model.encode(self._into(images))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self._out_of(self._model.decode(codes))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        return self._out_of(self._model.reconstruct(self._into(images)))

    def anomaly_score(self, images: np.ndarray, score: str | None = None) -> np.ndarray:
        fit = self.threshold_fit
        num_samples = fit.num_samples if fit and fit.score == score else None
        return self._model.anomaly_score(self._into(images), score, num_samples=num_samples)

    def anomaly_map(self, images: np.ndarray, score: str) -> np.ndarray:
        return self._model.anomaly_map(self._into(images), score=score)

    def fit_threshold(self, batches: Iterable[np.ndarray], rate: float, score: str) -> ThresholdFit:
        images = (self._into(each) for each in batches)
        # Scores that need normal images themselves keep those of the training, if they have some.
        self._model._keep_statistics()
        fit = self._model.fit_threshold(images, rate, score)
        self.threshold_fit, self.map_scales = fit, self._model.map_scales
        return fit

    def sample(self, num_samples: int, seed: int) -> np.ndarray:
        return self._out_of(self._model.sample(num_samples, seed))


class ServedModel(TrainedModel):
    """A model from a SavedModel folder, which is used through its endpoints only.

    Args:
        folder: The folder that `Autoencoder.export` wrote.

    Raises:
        ValueError: it is not such a folder, or damaged.
    """

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._folder, self._tf = folder, tf
        try:
            self._served: Any = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow raises many kinds of errors on damaged files
            raise ValueError(f"{folder} cannot be loaded ({one_line(error)}).") from error
        lacking = [name for name in _ENDPOINTS if self._shape_of(name) is None]
        if lacking:
            raise ValueError(
                f"{folder} is a SavedModel without the endpoint {lacking[0]!r}: give one that the "
                "export of a variant wrote."
            )
        self.image_shape = self._shape_of("serve") or ()
        self.code_shape = self._shape_of("decode") or ()
        self.preprocessing = Preprocessing.from_dict(self._settings())
        self.pixel_range = self._find_pixel_range()
        # Older exports have the loss under the name of the score only.
        has_loss = "reconstruction_loss" in self._served.signatures
        self._loss_endpoint = "reconstruction_loss" if has_loss else "anomaly_score"
        self.loss = self._find_error(self._loss_endpoint)
        self.default_score = self.threshold_score = self._find_error("anomaly_score")
        self.threshold_fit = self._find_threshold()
        self.map_scales = self._find_map_scales()
        # The score of that endpoint stays when another threshold is fitted.
        self._map_score: str | None = None
        if self.threshold_fit and "verdict_map" in self._served.signatures:
            self._map_score = self.threshold_fit.score
            self.map_names = (*self.map_names, self._map_score)

    def encode(self, images: np.ndarray) -> np.ndarray:
        return self._call("encode", images=self._into(images))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self._out_of(self._call("decode", latents=codes))

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        return self._out_of(self._call("serve", images=self._into(images)))

    def anomaly_score(self, images: np.ndarray, score: str | None = None) -> np.ndarray:
        fit, score, images = self.threshold_fit, score or self.loss, self._into(images)
        if score == self.loss:
            return self._call(self._loss_endpoint, images=images)
        if fit and score == fit.score:
            return self._call("verdict", "score", images=images)
        check_choice("score", score, [*SCORES, fit.score] if fit else SCORES)
        if score == "bce":  # needs logits, and the endpoints give probabilities
            raise ValueError(
                f"{self._folder} is a SavedModel of a model that was trained with {self.loss}; "
                "for the score bce give its run directory or .keras file."
            )
        residual = self._call("serve", images=images) - images
        each = residual if score == "signed_residual" else residual**2
        return each.reshape(len(images), -1).sum(1)

    def anomaly_map(self, images: np.ndarray, score: str) -> np.ndarray:
        images = self._into(images)
        if score == self._map_score:
            return self._call("verdict_map", images=images)
        if score == self.default_score and "anomaly_map" in self._served.signatures:
            return self._call("anomaly_map", images=images)
        errors = (self._call("serve", images=images) - images) ** 2
        return errors.sum(-1) if errors.ndim == 4 else errors

    def sample(self, num_samples: int, seed: int) -> np.ndarray:
        if "sample" not in self._served.signatures:
            from keras_ae.variants import names_with_prior

            raise ValueError(
                f"{self._folder} has no prior to sample from; use a variant that has one: "
                f"{', '.join(names_with_prior())}."
            )
        constant = self._tf.constant
        answer = self._served.signatures["sample"](
            num_samples=constant(num_samples), seed=constant(seed % 2**31)
        )
        return self._out_of(answer["output_0"].numpy())

    def _shape_of(self, endpoint: str) -> tuple[int, ...] | None:
        """The shape of one input of an endpoint; None where it has none of this package."""
        signatures = getattr(self._served, "signatures", {})
        if endpoint not in signatures:
            return None
        (_, inputs), name = signatures[endpoint].structured_input_signature, _ENDPOINTS[endpoint]
        answers = signatures[endpoint].structured_outputs
        if list(inputs) != [name] or list(answers) != ["output_0"]:
            return None
        shape = inputs[name].shape
        return None if shape.rank is None or None in shape[1:] else tuple(shape[1:])

    def _call(self, endpoint: str, output: str = "output_0", /, **inputs: np.ndarray) -> np.ndarray:
        tensors = {
            name: self._tf.constant(value, self._tf.float32) for name, value in inputs.items()
        }
        # A signature: a restored function that refuses its input keeps its lock.
        return self._served.signatures[endpoint](**tensors)[output].numpy()

    def _settings(self, name: str = "preprocessing.json") -> Any:
        path = self._folder / name
        if not path.exists():
            return None
        try:
            if path.stat().st_size > MAX_JSON_BYTES:
                raise ValueError(f"{path.stat().st_size:,} bytes are too many")
            return json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} cannot be read ({one_line(error)}).") from error

    def _find_pixel_range(self) -> tuple[float, float]:
        """[-1, 1] where the endpoints accept -0.5 but not -2; else [0, 1].

        Exports of version 0.2.0 and before check no pixels.
        """

        def accepts(value: float) -> bool:
            probe = np.full((1, *self.image_shape), value, np.float32)
            try:
                self._call("anomaly_score", images=probe)
            except self._tf.errors.InvalidArgumentError:
                return False
            return True

        return (-1.0, 1.0) if accepts(-0.5) and not accepts(-2.0) else (0.0, 1.0)

    def _find_threshold(self) -> ThresholdFit | None:
        """`threshold.json` with the threshold that the endpoint `verdict` has."""
        content = self._settings("threshold.json")
        if content is None or "verdict" not in self._served.signatures:
            return None
        try:
            fit = ThresholdFit.from_dict(content)
            probe = np.full((1, *self.image_shape), 0.5, np.float32)
            threshold = float(self._call("verdict", "threshold", images=self._into(probe)))
        except (KeyError, TypeError, ValueError) as error:
            path = self._folder / "threshold.json"
            raise ValueError(f"{path} cannot be used ({one_line(error)}).") from error
        return dataclasses.replace(fit, threshold=threshold)

    def _find_map_scales(self) -> dict[str, tuple[float, float]]:
        """`map_scales.json`; exports of older versions have none."""
        name = "map_scales.json"
        content = self._settings(name)
        try:
            scales = {
                score: (float(lowest), float(highest))
                for score, (lowest, highest) in ({} if content is None else content).items()
            }
            for score, (lowest, highest) in scales.items():
                if not -math.inf < lowest < highest < math.inf:
                    raise ValueError(f"{score}: from {lowest:g} to {highest:g}")
            return scales
        except (AttributeError, TypeError, ValueError) as error:
            path = self._folder / name
            raise ValueError(f"{path} cannot be used ({one_line(error)}).") from error

    def _find_error(self, endpoint: str) -> str:
        """ "mse" where an endpoint gives the squared error of a gray image, else "bce".

        The BCE of a pixel 0.5 is at least log(2) = 0.69, its squared error at most 0.25.
        """
        probe = np.full((1, *self.image_shape), 0.5, np.float32)
        score = float(self._call(endpoint, images=probe)[0])
        squared = float(((self._call("serve", images=probe) - probe) ** 2).sum())
        return "mse" if math.isclose(score, squared, rel_tol=1e-2, abs_tol=1e-4) else "bce"


def open_model(path: Path) -> TrainedModel:
    """Open a trained model.

    Args:
        path: A run directory, a `.keras` file, or a folder that `export` wrote. Run directories and
            `.keras` files are checked and execute no code. A SavedModel is a program: open only
            those that you trust.

    Raises:
        RunError: a run that is not finished or is damaged.
        ValueError: something else.
    """
    if path.is_file():
        from keras_ae.saving.load import load_model

        try:
            return KerasModel(load_model(path))
        except ValueError:
            raise
        except Exception as error:  # Keras raises many kinds of errors on damaged files
            raise ValueError(f"{path} cannot be loaded ({one_line(error)}).") from error
    if not path.exists():
        raise ValueError(f"{path} does not exist.")
    if (path / "saved_model.pb").is_file():
        return ServedModel(path)
    run = RunDirectory(path)
    if not any(run.path(name).exists() for name in ("config.json", "resume.npz", *RUN_FILES)):
        raise ValueError(
            f"{path} is neither a run directory, a .keras file nor an exported SavedModel."
            + _runs_below(path)
        )
    return _open_run(run)


def _open_run(run: RunDirectory) -> TrainedModel:
    from keras_ae.runs.catalog import read_run

    if not run.finished:
        raise RunError(
            f"{run.directory} is not finished: re-run its training command to resume, or give the "
            "folder of another run."
        )
    trained = read_run(run)
    config = trained.config
    scores = (trained.results.get(f"default_{name}") for name in ("score", "threshold_score"))
    opened = KerasModel(run.load_model(), *scores)
    if config.data.binarize:
        opened.notices = (
            f"{run.directory} was trained on images that were made black and white "
            f"({config.data.binarize}); the images here are used as they are",
        )
    return opened


def _runs_below(folder: Path) -> str:
    """A hint for a folder of run directories, such as `runs` or `runs/mnist`."""
    for pattern in ("*/test.json", "*/*/test.json"):
        if found := sorted(folder.glob(pattern)):
            return f" It holds run directories: name one, such as {found[0].parent}."
    return ""


def image_converter(
    model: TrainedModel, size: tuple[int, ...], source: str
) -> Callable[[np.ndarray], np.ndarray]:
    """The function that gives arrays of images the size and the channels of a model.

    Args:
        model: The model.
        size: Shape of one image of the array.
        source: What to call the array in an error.

    Raises:
        DataError: another size, and the model has no image size in its preprocessing.
    """
    settings = settings_for(model)
    wanted = model.image_shape
    if settings.image_size is None and tuple(size[:2]) != wanted[:2]:
        raise WrongSize(source, size, wanted)

    def convert(images: np.ndarray) -> np.ndarray:
        return settings.of_arrays(images).reshape(-1, *wanted)

    return convert


def settings_for(model: TrainedModel) -> Preprocessing:
    """The preprocessing of a model, with the channels that it needs.

    Raises:
        DataError: a model of images that are neither gray nor in color, or with other settings.
    """
    shape, settings = model.image_shape, model.preprocessing
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)):
        raise DataError(
            "Images can be read for a model of gray images or of 3 channels; this one has the "
            f"image_shape {shape}."
        )
    if settings.image_size not in (None, shape[:2]):
        raise DataError(
            f"The preprocessing of the model has the image_size {settings.image_size}, and its "
            f"image_shape is {shape}: they do not belong together."
        )
    color = "rgb" if shape[2:] == (3,) else "gray"
    return Preprocessing(settings.image_size, settings.resize, color, settings.background)


class WrongSize(DataError):
    """Images of another size than that of a model without an image size.

    Attributes:
        problem: The message without advice.
        image_size: Height and width that the model takes.
    """

    def __init__(self, source: str, size: tuple[int, ...], wanted: tuple[int, ...]):
        problem = (
            f"{source} has {size[0]} x {size[1]} pixels, and the model was trained on "
            f"{wanted[0]} x {wanted[1]} without resizing."
        )
        super().__init__(f"{problem} Resize the images, or train a model with an image size.")
        self.problem = " ".join(problem.splitlines())
        self.image_size = wanted[:2]
