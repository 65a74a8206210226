"""Mixin: anomaly scores, maps, thresholds and verdicts of a trained autoencoder."""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_ae.anomaly.fitted import FITTED_SCORES, FeatureSample, NotFitted
from keras_ae.anomaly.maps import (
    MapMoments,
    check_sigma,
    error_map,
    smoothed,
    ssim_filter_size,
    ssim_of,
    usual_scale,
)
from keras_ae.anomaly.residuals import local_residual_map
from keras_ae.anomaly.state import AnomalyState, is_of_state
from keras_ae.anomaly.threshold import (
    CRITERIA,
    ThresholdFit,
    check_anomaly_labels,
    check_rate,
    check_scores,
    fit_to_labels,
    fit_to_normal,
    warn_of_few,
)
from keras_ae.checks import check_choice, check_flag, check_number, check_size
from keras_ae.losses import per_image_bce, per_image_mse
from keras_ae.training.trainer import EpochTrainer

if TYPE_CHECKING:
    Base = EpochTrainer
else:
    Base = object

MAPS = ("bce", "mse", "signed_residual", "ssim", "local_residual")  # the scores that have a map
SMALLEST_SIDE = 3  # of an image with SSIM


class ScoredBatch:
    """A batch of inputs and the outputs of the network for it, each computed on first use.

    Args:
        model: An autoencoder.
        inputs: Tensors, as the model takes them.
        num_samples: Samples for each image, for scores that draw them.
    """

    def __init__(self, model: Any, inputs: Any, num_samples: int = 1):
        self.model, self.inputs, self.num_samples = model, inputs, num_samples

    @functools.cached_property
    def images(self) -> tf.Tensor:
        return tf.cast(self.model._images_of(self.inputs), tf.float32)

    @functools.cached_property
    def outputs(self) -> dict:
        return self.model(self.inputs, details=True)

    @functools.cached_property
    def logits(self) -> tf.Tensor:
        return tf.cast(self.outputs["logits"], tf.float32)

    @functools.cached_property
    def pixels(self) -> tf.Tensor:
        """The reconstructions."""
        return tf.cast(self.model._pixels(self.outputs["logits"]), tf.float32)

    @functools.cached_property
    def codes(self) -> tf.Tensor:
        """The codes, flat, `(N, code_size)`."""
        codes = tf.cast(self.outputs["latents"], tf.float32)
        return tf.reshape(codes, (-1, math.prod(codes.shape[1:])))


def bce(batch: ScoredBatch) -> tf.Tensor:
    return per_image_bce(batch.images, batch.logits)


def mse(batch: ScoredBatch) -> tf.Tensor:
    return per_image_mse(batch.images, batch.pixels)


def signed_residual(batch: ScoredBatch) -> tf.Tensor:
    residual = batch.pixels - batch.images
    return tf.reduce_sum(residual, axis=list(range(1, residual.shape.rank)))


def ssim(batch: ScoredBatch) -> tf.Tensor:
    return 1.0 - ssim_of(batch)


Score = Callable[[ScoredBatch], tf.Tensor]


class AnomalyTools(Base):
    """Mixin: anomaly scores, maps, thresholds and verdicts."""

    _anomaly = AnomalyState()
    _default_samples: dict[str, int] = {}  # scores that draw samples, and how many by default

    if TYPE_CHECKING:
        image_shape: tuple[int, ...]
        reconstruction_loss: str
        has_bce: bool
        _in_batches: Any
        _batches: Any

    @property
    def score_names(self) -> tuple[str, ...]:
        """The anomaly scores that this model has."""
        return tuple(self._scores())

    @property
    def threshold(self) -> float | None:
        """The threshold that `is_anomalous` compares with; None until `fit_threshold`."""
        return None if self._anomaly.fit is None else self._anomaly.fit.threshold

    @property
    def threshold_fit(self) -> ThresholdFit | None:
        """What `fit_threshold` returned last: the threshold, its score, its rate, its images."""
        return self._anomaly.fit

    def anomaly_score(
        self, images: Any, score: str | None = None, *, num_samples: int | None = None
    ) -> Any:
        """The anomaly score of each image, `(N,)`, float32: higher is more anomalous.

        Args:
            images: `(N, *image_shape)`.
            score: One of `score_names`; by default the loss that the model was trained with.
                "bce": binary cross-entropy in nats (of a sigmoid output).
                "mse": squared error, summed over the pixels.
                "ssim": 1 - SSIM (Wang et al., 2004), in [0, 2], with a window of 11x11 pixels or
                the largest odd one that fits; images of at least 3x3 pixels.
                "signed_residual": the sum over the pixels of reconstruction - input (the bake-off's
                published figures used it; it is not an error, since lost and added brightness
                cancel).
                "elbo", for a Gaussian code: the negative evidence lower bound in nats, the
                reconstruction loss of sampled codes plus the KL divergence, without `beta`.
                "log_likelihood", for a Gaussian code: the negative of `log_likelihood`, in nats.
                "latent_density": the negative log density of the code among those of normal images,
                in nats. "mahalanobis": the distance of the code to their mean, in standard
                deviations. "local_residual": the same distance of the mean and the spread of the
                residual in small windows, a mean of the twentieth of the windows that is most
                unusual (see `keras_ae.anomaly.residuals`). These three need `fit_scores`.
            num_samples: For "elbo" (default 16) and "log_likelihood" (default 100): how many
                samples of the code are drawn, >= 1. All images get the same random numbers, so the
                score of an image does not depend on the others.

        Raises:
            ValueError: unusable images, a score that the model does not have, or one that has not
                been fitted.
        """
        function, _, _ = self._scorer(score, num_samples)
        return self._in_batches(function, images)

    def anomaly_map(
        self,
        images: Any,
        sigma: float | None = None,
        normalize: bool = False,
        score: str | None = None,
    ) -> Any:
        """Where an image is anomalous: the error of each pixel, `(N, height, width)`, float32.

        Channels are summed. The map of "bce", "mse" and "signed_residual" sums to the score; that
        of "ssim" is 1 - SSIM of the window around each pixel, that of "local_residual" how unusual
        the residual around it is, in standard deviations (see `anomaly_score`).

        Args:
            images: `(N, *image_shape)`.
            sigma: Standard deviation, in pixels, of a Gaussian that smooths the map, >= 0; it keeps
                the sum. None for no smoothing.
            normalize: Whether each pixel is given in standard deviations above the mean of the same
                pixel in the maps of the normal images that `fit_threshold` has seen.
            score: "bce", "mse", "ssim", "signed_residual" or "local_residual". By default the loss
                that the model was trained with.

        Raises:
            ValueError: unusable images, a score without a map, one that has not been fitted, or
                maps to be normalized before `fit_threshold`.
        """
        score = check_choice("score", score or self.reconstruction_loss, self._map_names())
        sigma, moments = check_sigma(sigma), None
        if check_flag("normalize", normalize):
            moments = self._anomaly.maps.get(score)
            if moments is None:
                raise ValueError(
                    f"normalize needs the maps of normal images: call fit_threshold(normal_images, "
                    f"score={score!r}) first."
                )

        def maps(inputs):
            found = self._map(score, ScoredBatch(self, inputs))
            if moments is not None:
                found = (found - moments[0]) / moments[1]
            return smoothed(found, sigma)

        return self._in_batches(maps, images)

    @property
    def map_scales(self) -> dict[str, tuple[float, float]]:
        """The ends of a scale for the maps of each score that `fit_threshold` has seen, by name.

        From the mean of all pixels of the maps of normal images to five of their standard
        deviations above it; at most 3.8% of these pixels lie beyond that end.
        """
        return {name: usual_scale(moments) for name, moments in self._anomaly.maps.items()}

    def is_anomalous(self, images: Any) -> Any:
        """Whether the score of each image is above `threshold`: booleans `(N,)`.

        Args:
            images: `(N, *image_shape)`.

        Raises:
            ValueError: unusable images, or no threshold yet.
        """
        fit = self._anomaly.fit
        if fit is None:
            raise ValueError("there is no threshold: call fit_threshold(normal_images) first.")
        function, _, _ = self._scorer(fit.score, fit.num_samples)
        return self._in_batches(lambda inputs: function(inputs) > np.float32(fit.threshold), images)

    def set_threshold(
        self, threshold: float, score: str | None = None, *, num_samples: int | None = None
    ) -> None:
        """Set the threshold by hand.

        Args:
            threshold: Images with a score above it are anomalous.
            score, num_samples: See `anomaly_score`; by default those of the threshold so far.

        Raises:
            ValueError: no finite number, or a score that the model does not have.
        """
        threshold = float(np.float32(check_number("threshold", threshold, -math.inf)))
        if score is None and (before := self._anomaly.fit) is not None:
            score, num_samples = before.score, num_samples or before.num_samples
        _, name, num_samples = self._scorer(score, num_samples)
        fit = ThresholdFit(threshold, name, "given", num_samples=num_samples)
        self._anomaly = dataclasses.replace(self._anomaly, fit=fit)

    def fit_scores(self, normal_images: Any, scores: str | Sequence[str] | None = None) -> None:
        """Fit "latent_density", "mahalanobis" and "local_residual" to normal images.

        The first two may be fitted to the training images: `fit_threshold` then corrects for them.
        Residuals of training images are smaller than those of others, so fit "local_residual" to
        images that were not used in training, such as the validation images. At most 20,000 images
        are used, drawn at random; fewer where codes or images are large (2**25 numbers in all). A
        threshold of one of these scores is dropped. After more training, call it again.

        Args:
            normal_images: `(N, *image_shape)`, N >= 2, or a source of batches.
            scores: Which of the three are fitted, one name or several; None for all.

        Raises:
            ValueError: unusable images, fewer than two, or other scores.
        """
        names = [scores] if isinstance(scores, str) else list(scores or FITTED_SCORES)
        for name in names:
            check_choice("scores", name, list(FITTED_SCORES))
        samples = {FITTED_SCORES[name].features: FeatureSample() for name in names}
        for inputs in self._batches(normal_images):
            batch = ScoredBatch(self, inputs)
            for features_of, sample in samples.items():
                sample.add(features_of(batch).numpy())
        features = {each: sample.result()[0] for each, sample in samples.items()}
        found = {
            name: FITTED_SCORES[name].fit(features[FITTED_SCORES[name].features]) for name in names
        }
        fit = self._anomaly.fit
        self._anomaly = dataclasses.replace(
            self._anomaly,
            fit=None if fit and fit.score in names else fit,
            maps={name: each for name, each in self._anomaly.maps.items() if name not in names},
            statistics={**self._anomaly.statistics, **found},
            refitted=self._anomaly.refitted.difference(names),
        )

    def fit_threshold(
        self,
        normal_images: Any,
        false_positive_rate: float = 0.01,
        score: str | None = None,
        labels: Any = None,
        criterion: str = "f1",
        *,
        num_samples: int | None = None,
    ) -> ThresholdFit:
        """Choose the threshold above which an image counts as anomalous, and store it.

        Without labels it is the smallest threshold that at most `false_positive_rate * N` of the
        images exceed (raised by 1e-5 of its size, so that rounding does not change verdicts). Give
        normal images that were not used in training, such as the validation images: on training
        images the scores are lower, and the real rate would be higher. With labels it is the
        threshold with the largest F1 or Youden's J on the given images; on others both are lower.

        It also stores the mean and the spread of each pixel's error on the normal images, for
        `anomaly_map(normalize=True)`: of the loss that the model was trained with, and of the score
        if that has a map. Everything is saved with the model and exported. After more training,
        call it again.

        "latent_density", "mahalanobis" and "local_residual" use what `fit_scores` has stored; after
        more training, call it before this. Without it the first two are fitted to a random half of
        the normal images and the threshold to the other half: scores of images that they were
        fitted to are too low. "local_residual", which has few numbers, is fitted to all of them;
        the threshold is chosen from scores by cross-validation, each image with the statistics of
        the other four fifths. Of many images at most 20,000 are then used, drawn at random.

        Args:
            normal_images: `(N, *image_shape)`, N >= 2, or a source of batches, which is read once.
            false_positive_rate: The share of normal images that may be called anomalous, between 0
                and 1, exclusive. Not used with labels.
            score: See `anomaly_score`.
            labels: `(N,)`, 0 for normal and 1 for anomalous images, at least one of each; None if
                all images are normal.
            criterion: What is maximized with labels: "f1", the harmonic mean of precision and
                recall; "youden", recall minus false positive rate.
            num_samples: See `anomaly_score`.

        Returns:
            A `ThresholdFit`, also at `threshold_fit`.

        Warns:
            UserWarning: fewer than 1 / false_positive_rate images, or scores that are not higher
                for the anomalous images.

        Raises:
            ValueError: unusable images, labels or arguments; fewer than two normal images; scores
                that are not finite.
        """
        rate = check_rate(false_positive_rate)
        check_choice("criterion", criterion, CRITERIA)
        anomalous = None if labels is None else check_anomaly_labels(labels)
        state, scores, normal, pending = self._measure(normal_images, score, anomalous, num_samples)
        scores = check_scores(scores, pending.score)
        if anomalous is None:
            threshold, found = fit_to_normal(scores, rate)
            fit = dataclasses.replace(
                pending, threshold=threshold, false_positive_rate=rate, rate=found
            )
        else:
            threshold, value = fit_to_labels(scores, ~normal, criterion)
            above = scores > threshold
            fit = dataclasses.replace(
                pending,
                threshold=threshold,
                criterion=criterion,
                rate=float(above[normal].mean()),
                num_anomalous=int((~normal).sum()),
                value=value,
                recall=float(above[~normal].mean()),
            )
        fit = fit.with_interval(int(normal.sum()))
        self._anomaly = dataclasses.replace(state, fit=fit)
        warn_of_few(fit, stacklevel=3)
        self._warn_of(fit, scores)
        return fit

    # ---- helpers ----

    def _scores(self) -> dict[str, Score]:
        """The functions that score a `ScoredBatch`, by name."""
        scores: dict[str, Score] = {"bce": bce, "mse": mse, "ssim": ssim}
        if not self.has_bce:
            del scores["bce"]
        if ssim_filter_size(self.image_shape) < SMALLEST_SIDE:
            del scores["ssim"]
        scores["signed_residual"] = signed_residual
        return scores | {
            name: functools.partial(self._fitted_score, name) for name in FITTED_SCORES
        }

    def _map_names(self) -> list[str]:
        return [name for name in self._scores() if name in MAPS]

    def _fitted_score(self, name: str, batch: ScoredBatch) -> tf.Tensor:
        """The score `name` with its statistics; ValueError if it has not been fitted."""
        fitted = FITTED_SCORES[name]
        return fitted.score(self._statistics(name), fitted.features(batch))

    def _statistics(self, name: str) -> Any:
        statistics = self._anomaly.statistics.get(name)
        if statistics is None:
            raise NotFitted(name)
        return statistics

    def _map(self, name: str, batch: ScoredBatch) -> tf.Tensor:
        """The map of the score `name`, `(N, height, width)`, float32."""
        if name not in FITTED_SCORES:
            return error_map(name, batch)
        features = FITTED_SCORES[name].features(batch)
        return local_residual_map(self._statistics(name), features, self.image_shape)

    def _scorer(self, score: Any, num_samples: int | None) -> tuple[Callable, str, int | None]:
        """The function of inputs that gives a score, float32 `(N,)`; its name; its samples."""
        scores, default = self._scores(), self._default_samples
        name = check_choice("score", score or self.reconstruction_loss, list(scores))
        if num_samples is not None and name not in default:
            raise ValueError(
                f"num_samples belongs to the scores that draw samples; received it with the score "
                f"{name}. Leave it out."
            )
        num = default.get(name) if num_samples is None else check_size("num_samples", num_samples)

        def function(inputs):
            return tf.cast(scores[name](ScoredBatch(self, inputs, num or 1)), tf.float32)

        return function, name, num

    def _measure(
        self, images: Any, score: str | None, anomalous: np.ndarray | None, num_samples: int | None
    ) -> tuple[AnomalyState, np.ndarray, np.ndarray, ThresholdFit]:
        """Score the images in one pass over them.

        Returns:
            The state with the moments of the maps of normal images, the scores that the threshold
            is chosen from, which of them are normal, and a fit with the name and the samples of the
            score.
        """
        _, name, num_samples = self._scorer(score, num_samples)
        function = self._scores()[name]
        known = self._anomaly.statistics.keys() - self._anomaly.refitted
        lacking = FITTED_SCORES.get(name) if name not in known else None
        sample = FeatureSample()
        kinds = {self.reconstruction_loss}
        if name in MAPS and not lacking:
            kinds.add(name)
        moments = {kind: MapMoments() for kind in kinds}
        found, normal = [], []
        for inputs, are_normal in self._labeled_batches(images, anomalous):
            batch = ScoredBatch(self, inputs, num_samples or 1)
            if lacking:
                sample.add(lacking.features(batch).numpy(), are_normal)
            else:
                found.append(tf.cast(function(batch), tf.float32).numpy())
                normal.append(are_normal)
            for kind in kinds:
                moments[kind].add(self._map(kind, batch).numpy()[are_normal])
        state = self._anomaly
        if lacking:
            features, normal = sample.result()
            state, scores, normal = fit_to_part(state, name, features, normal)
            if name in MAPS:
                moments[name] = MapMoments()
                for part in np.array_split(features[normal], max(1, normal.sum() // PER_CALL)):
                    found_maps = local_residual_map(
                        state.statistics[name], tf.constant(part), self.image_shape
                    )
                    moments[name].add(found_maps.numpy())
        else:
            scores, normal = np.concatenate(found), np.concatenate(normal)
        state = dataclasses.replace(
            state, maps={kind: each.result() for kind, each in moments.items()}
        )
        return state, scores, normal, ThresholdFit(math.nan, name, RATE, num_samples=num_samples)

    def _labeled_batches(
        self, images: Any, anomalous: np.ndarray | None
    ) -> Iterator[tuple[Any, np.ndarray]]:
        """Batches of inputs, and which of their images are normal."""
        num = 0
        for inputs in self._batches(images):
            start, num = num, num + len(tf.nest.flatten(inputs)[0])
            if anomalous is None:
                yield inputs, np.ones(num - start, bool)
            elif num <= len(anomalous):
                yield inputs, ~anomalous[start:num]
        if anomalous is not None and num != len(anomalous):
            raise ValueError(
                f"labels must be one for each image; received {len(anomalous)} for {num} images."
            )

    def _warn_of(self, fit: ThresholdFit, scores: np.ndarray) -> None:
        """Warn of a score that does not tell the images apart."""
        if fit.criterion in CRITERIA and not scores.min() <= fit.threshold < scores.max():
            warnings.warn(
                f"the score {fit.score} does not tell the anomalous images from the normal ones: "
                "no threshold is better than the same verdict for all. Use another score.",
                stacklevel=3,
            )

    def _keep_statistics(self) -> None:
        """Use the statistics of scores that are there, instead of fitting them with a threshold."""
        self._anomaly = dataclasses.replace(self._anomaly, refitted=frozenset())

    # ---- saving ----

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for name, array in self._anomaly.to_arrays().items():
            store[name] = array

    def load_own_variables(self, store: Any) -> None:
        arrays = {name: store[name] for name in store.keys()}  # noqa: SIM118  # Keras's own class
        state = {name: array for name, array in arrays.items() if is_of_state(name)}
        super().load_own_variables(
            {name: array for name, array in arrays.items() if name not in state}
        )
        self._anomaly = AnomalyState.from_arrays(state)


RATE = "false_positive_rate"
PER_CALL = 500  # images whose features are scored at once
FOLDS = 5  # of cross-validation


def fit_to_part(
    state: AnomalyState, name: str, features: np.ndarray, normal: np.ndarray
) -> tuple[AnomalyState, np.ndarray, np.ndarray]:
    """Fit a score to a random half of the normal images and score all others.

    A score with few statistics is fitted to all normal images. All images are then scored, the
    normal ones with statistics of other images: five parts, each with those of the other four.

    Returns:
        The state with the statistics, the scores, and which of the scored images are normal.
    """
    _, fit, score_of, is_narrow = FITTED_SCORES[name]
    places = np.random.default_rng(0).permutation(np.flatnonzero(normal))
    if len(places) < (2 if is_narrow else 4):
        raise ValueError(
            f"a threshold of the score {name} needs at least two normal images; received "
            f"{len(places)}."
            if is_narrow
            else f"a threshold of the score {name} needs at least four normal images, half of them "
            f"to fit the score; received {len(places)}."
        )

    def scored(statistics, chosen):
        parts = np.array_split(chosen, max(1, len(chosen) // PER_CALL))
        found = [score_of(statistics, tf.constant(features[part])) for part in parts]
        return tf.cast(tf.concat(found, axis=0), tf.float32).numpy()

    if is_narrow:
        statistics = fit(features[places])
        scores = np.zeros(len(features), np.float32)
        if not normal.all():
            scores[~normal] = scored(statistics, np.flatnonzero(~normal))
        for part in np.array_split(places, min(FOLDS, len(places))):
            scores[part] = scored(fit(features[np.setdiff1d(places, part)]), part)
    else:
        statistics = fit(features[places[: len(places) // 2]])
        rest = np.setdiff1d(np.arange(len(features)), places[: len(places) // 2])
        scores, normal = scored(statistics, rest), normal[rest]
    state = dataclasses.replace(
        state,
        statistics={**state.statistics, name: statistics},
        refitted=state.refitted | {name},
    )
    return state, scores, normal
