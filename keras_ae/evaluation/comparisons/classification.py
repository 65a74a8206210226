"""Classification from few labels: test accuracy of classifiers on the codes, by four protocols."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_ae.data import Split, Subset, few_labels
from keras_ae.data.baselines import fit_pca, flatten
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import EvaluationData, Figure, Measurement, Result
from keras_ae.evaluation.comparisons.common import (
    posterior,
    preserved_random_state,
    set_seeds,
)
from keras_ae.evaluation.comparisons.fine_tuner import (
    BATCH_SIZE,
    FineTuner,
    architecture,
    batches_of,
)
from keras_ae.evaluation.comparisons.linear_classifier import (
    LinearClassifier,
    fit_with_early_stopping,
)

VERSION = 3
CURVE = (50, 100, 250, 550, 1000, 2500, 5000)
NUM_CURVE_DRAWS = 3
NUM_CONVERGED_DRAWS = 5
NUM_FITTED_DRAWS = 3
NUM_COMPONENTS = 20
MAX_DIRECT = 1000  # dimensions in which a regression is fitted as it is
NUM_STEPS = 550  # of a fine-tuning
# Of 64x64 color images a step took 34 ms (deep) to 170 ms (convolutional) of processor time: six
# fits of 550 steps are two to nine minutes for each run.
MAX_VALUES = 32 * 32 * 3  # of an image
NUM_STEPS_LARGE, NUM_DRAWS_LARGE = 150, 1
PROTOCOLS = {
    "converged": "converged, standardized codes",
    "published": "published protocol",
    "fine_tuned": "fine-tuned encoder",
    "from_scratch": "encoder from scratch",
}


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """Test accuracies, in [0, 1], of classifiers trained on few labels.

    Args:
        model: A trained autoencoder.
        data: With labels.
        seed: Seed of the choice of labels, the initial weights, the order and the noise.

    Returns:
        Metrics of `converged_metrics`, `fine_tuning_metrics` and, where `data.published`,
        `published_metrics`; `*_spread` is a standard deviation over draws. For a model that takes
        labels, a `note` alone: its code contains the class.
    """
    if model.needs_labels:
        return Measurement(
            {
                "note": f"{type(model).__name__} takes the class label as input and its code "
                "contains the class: it has no accuracy from few labels."
            }
        )
    with preserved_random_state():
        set_seeds(seed)
        return Measurement(
            {
                **code_metrics(model, data.split, seed=seed),
                **(published_metrics(model, data.split, seed=seed) if data.published else {}),
                **fine_tuning_metrics(model, data, seed=seed),
            }
        )


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """The converged protocol on raw pixels, and on standardized principal components."""
    split = data.split
    pixels = Codes(flatten(split.train.images), flatten(split.test.images))
    label, pca = fit_pca(split.train.images, NUM_COMPONENTS)
    components = standardize(Codes(pca.transform(pixels.train), pca.transform(pixels.test)))
    return {
        name: Measurement(converged_metrics(codes, split, seed=seed))
        for name, codes in {"pixels": pixels, label: components}.items()
    }


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """Accuracy against the number of labels, and the protocols side by side.

    Models without an accuracy are left out; their note is in the report.
    """
    results = [result for result in results if "curve" in result.measurement.metrics]
    runs: dict[str, list[Result]] = {}
    for result in [*results, *baselines]:
        runs.setdefault(result.label, []).append(result)
    if not runs:
        return []
    grays = iter([("0.45", "--", "x"), ("0.65", ":", "+"), ("0.25", "-.", ".")] * len(runs))
    plain = {baseline.label for baseline in baselines}
    series, bands = {}, {}
    styles = plots.label_styles({result.label: result.variant for result in results})
    for label, made in runs.items():
        x, y, bands[label] = pooled_curve([one.measurement.metrics["curve"] for one in made])
        series[label] = (x, y)
        if label in plain:
            styles[label] = dict(zip(("color", "linestyle", "marker"), next(grays), strict=True))
    path = plots.curves(
        series, styles, ("labeled training images", "accuracy on the test images"),
        folder / "classification.png", bands=bands, log_x=True,
    )  # fmt: skip
    figures = [
        Figure(
            path,
            "Logistic regression on standardized codes (or raw pixels), fitted until it converged, "
            "against the number of labels; bands are one standard deviation over draws of the "
            "labels.",
        )
    ]
    points = {
        name: {
            label: float(np.mean([one.measurement.metrics[key] for one in made]))
            for label, made in runs.items()
            if key in made[0].measurement.metrics
        }
        for key, name in PROTOCOLS.items()
    }
    spreads = {
        name: {label: pooled_spread(runs[label], key) for label in points[name]}
        for key, name in PROTOCOLS.items()
    }
    number = next(iter(runs.values()))[0].measurement.metrics["num_labels"]
    path = plots.dots(
        {name: made for name, made in points.items() if made},
        f"accuracy on the test images, {number} labels",
        folder / "classification_protocols.png",
        spreads=spreads,
    )
    figures.append(
        Figure(
            path,
            f"Accuracy from {number} labels, classified in several ways; lines are one standard "
            "deviation over draws."
            + " The published protocol stops after at most 20 epochs, converged or not."
            * bool(points["published protocol"]),
        )
    )
    return figures


def pooled_curve(curves: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of labels, with the mean and standard deviation over all draws of all runs."""
    means = np.array([curve["mean"] for curve in curves])
    variances = np.square([curve["std"] for curve in curves])
    spread = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return np.array(curves[0]["num_labels"]), means.mean(axis=0), spread


def pooled_spread(results: list[Result], key: str) -> float:
    """The standard deviation over all draws of all runs."""
    means = [result.measurement.metrics[key] for result in results]
    variances = np.square([result.measurement.metrics[f"{key}_spread"] for result in results])
    return float(np.sqrt(np.mean(variances) + np.var(means)))


def work(num_train: int, num_values: int) -> str:
    """The number of fits for each run, for a line in the log.

    Args:
        num_train: Number of training images.
        num_values: Number of values of an image.
    """
    sizes = sum(size <= num_train for size in CURVE) or 1
    regressions = NUM_CONVERGED_DRAWS + NUM_CURVE_DRAWS * sizes
    length = FineTuning.of(num_values)
    return (
        f"for each, {regressions} logistic regressions and {2 * length.num_draws} trainings of the "
        f"encoder, of {length.num_steps} steps of {BATCH_SIZE} images"
    )


# ---- converged ----


class Codes(NamedTuple):
    """Codes of the training images and of the test images, `(N, D)` each."""

    train: np.ndarray
    test: np.ndarray


def code_metrics(model: Any, split: Split, *, seed: int) -> dict[str, Any]:
    """The converged protocol on the standardized codes of a model."""
    codes = Codes(*(flatten(model.encode(part.images)) for part in (split.train, split.test)))
    return converged_metrics(standardize(codes), split, seed=seed)


def converged_metrics(codes: Codes, split: Split, *, seed: int) -> dict[str, Any]:
    """Accuracy of a logistic regression that is fitted until it converges.

    The maximum a posteriori fit with scikit-learn's default C of 1 for every code, so that no
    labels are needed to choose it.

    Returns:
        `num_labels`; `converged`, the mean over 5 draws of the labels, and `converged_spread`;
        `curve`: `mean` and `std` over 3 draws for each of its `num_labels`, 50 to 5,000 as far as
        the data allow.
    """
    labels = labels_of(split.train)
    num_labels = len(few_labels(labels, seed=seed))
    mean, std = mean_and_std(
        converged_accuracy(codes, split, few_labels(labels, seed=seed + draw))
        for draw in range(NUM_CONVERGED_DRAWS)
    )
    kinds = len(np.unique(labels))
    sizes = [size for size in CURVE if kinds <= size <= len(labels)] or [num_labels]
    points = [
        mean_and_std(
            converged_accuracy(codes, split, few_labels(labels, seed=seed + draw, num=size))
            for draw in range(NUM_CURVE_DRAWS)
        )
        for size in sizes
    ]
    curve = dict(zip(("mean", "std"), map(list, zip(*points, strict=True)), strict=True))
    return {
        "num_labels": num_labels,
        "converged": mean,
        "converged_spread": std,
        "curve": {"num_labels": sizes, **curve},
    }


def converged_accuracy(codes: Codes, split: Split, labeled: np.ndarray) -> float:
    """Accuracy on all test images of a fit to the labeled training images alone."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    classifier = LogisticRegression(max_iter=5000)
    with threadpool_limits(1):  # with matrices this small, threads mostly wait for one another
        train, test = within_span(codes.train[labeled], codes.test)
        classifier.fit(train, labels_of(split.train)[labeled])
        return classifier.score(test, labels_of(split.test))


def within_span(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes in fewer dimensions, with which a regression with an L2 penalty is the same one.

    Its weights are a linear combination of the `N` training codes (the representer theorem), so
    what lies outside their span counts neither in the fit nor in a prediction. Codes of many more
    than `N` dimensions are given in an orthonormal basis of the span. The minimum is the same; the
    solver, which stops at a tolerance, comes at least as close to it.

    Args:
        train: `(N, D)`.
        test: `(M, D)`.

    Returns:
        `(N, N)` and `(M, N)`; the arguments where D <= 1,000 or D <= N.
    """
    if train.shape[1] <= max(MAX_DIRECT, len(train)):
        return train, test
    basis, coordinates = np.linalg.qr(np.asarray(train).T)
    return coordinates.T, test @ basis


def standardize(codes: Codes) -> Codes:
    """Scale to mean 0 and variance 1 over all training codes; a constant becomes 0."""
    from sklearn.preprocessing import StandardScaler

    scaler: Any = StandardScaler().fit(codes.train)
    return Codes(scaler.transform(codes.train), scaler.transform(codes.test))


def mean_and_std(accuracies: Iterable[float]) -> tuple[float, float]:
    values = list(accuracies)
    return float(np.mean(values)), float(np.std(values))


# ---- published ----


def published_metrics(model: Any, split: Split, *, seed: int) -> dict[str, float]:
    """The published protocol: `published`, the mean over 3 draws, and `published_spread`.

    As in the reference code (tilman151/ae_bakeoff, src/reproduce.py and
    src/downstream/classification.py): a linear layer with PyTorch's initial weights on the raw
    codes, Adam at 1e-3, batches of 32, at most 20 epochs. It stops when the accuracy on the labeled
    validation images has not risen for 3 epochs; the weights of the best epoch are tested. A
    Gaussian code is sampled at every step, in the test too.
    """
    mean, std = mean_and_std(published_accuracies(model, split, seed=seed))
    return {"published": mean, "published_spread": std}


def published_accuracies(model: Any, split: Split, *, seed: int) -> Iterator[float]:
    """One accuracy for each draw of the labels."""
    validation, test = (CodeSampler(model, part.images) for part in (split.validation, split.test))
    num_inputs = test.means.shape[1]
    limit, shape = num_inputs**-0.5, (num_inputs, num_classes(split))
    for draw in range(NUM_FITTED_DRAWS):
        labeled = few_labels(labels_of(split.train), seed=seed + draw)
        random = np.random.default_rng([seed, draw])
        classifier = LinearClassifier(
            random.uniform(-limit, limit, shape), random.uniform(-limit, limit, shape[1])
        )

        def accuracy(codes: CodeSampler, part: Subset, classifier=classifier, random=random):
            found = classifier.logits(codes(random)).argmax(axis=1)
            return float(np.mean(found == labels_of(part)))

        fit_with_early_stopping(
            classifier,
            functools.partial(CodeSampler(model, split.train.images[labeled]), random),
            labels_of(split.train)[labeled],
            functools.partial(accuracy, validation, split.validation),
            random=random,
            batch_size=32,
            epochs=20,
            patience=3,
        )
        yield accuracy(test, split.test)


class CodeSampler:
    """Codes of images; a Gaussian code is drawn again in each call.

    Attributes:
        means: `(N, D)`.
    """

    def __init__(self, model: Any, images: np.ndarray):
        gaussian = posterior(model, images)
        means = flatten(model.encode(images)) if gaussian is None else gaussian[0]
        self.means = means.astype(np.float64)
        self._deviations = None if gaussian is None else np.exp(gaussian[1].astype(np.float64) / 2)

    def __call__(
        self, random: np.random.Generator, chosen: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """Codes of the chosen images."""
        means = self.means[chosen]
        if self._deviations is None:
            return means
        return means + self._deviations[chosen] * random.standard_normal(means.shape)


# ---- fine-tuned and from scratch ----


def fine_tuning_metrics(model: Any, data: EvaluationData, *, seed: int) -> dict[str, Any]:
    """`pretrained_classifier(freeze=False)` on the few labels, and the same without pretraining.

    `fine_tuned` and `from_scratch`, means over 3 draws of labels and initial weights, and
    `*_spread`. No early stopping, so no further labels: 550 steps of 50 images with Adam at 3e-3.
    Of images of more than 3,072 values 150 steps and one draw, and a `note` says so.
    """
    split, untrained = data.split, Untrained.of(model)
    # Without its weights a model is its layers, and other models can have the same ones.
    from_scratch = data.shared(
        ("from_scratch", architecture(untrained), seed),
        lambda: list(fine_tuned_accuracies(untrained, split, seed=seed, fresh_weights=True)),
    )
    metrics: dict[str, Any] = {}
    for name, accuracies in (
        ("fine_tuned", fine_tuned_accuracies(model, split, seed=seed)),
        ("from_scratch", from_scratch),
    ):
        metrics[name], metrics[f"{name}_spread"] = mean_and_std(accuracies)
    if math.prod(split.train.images.shape[1:]) > MAX_VALUES:
        metrics["note"] = (
            f"To save time on images of more than {MAX_VALUES:,} values, encoders were fine-tuned "
            f"and trained from scratch with {NUM_DRAWS_LARGE} draw of the labels and "
            f"{NUM_STEPS_LARGE} steps, instead of {NUM_FITTED_DRAWS} and {NUM_STEPS}: these "
            "accuracies may rise with more steps, and have no spread."
        )
    return metrics


class FineTuning(NamedTuple):
    """How long encoders are fine-tuned: steps of a fit, draws of the labels."""

    num_steps: int
    num_draws: int

    @classmethod
    def of(cls, num_values: int) -> FineTuning:
        """That of images of so many values; larger ones are fine-tuned for a shorter time."""
        if num_values > MAX_VALUES:
            return cls(NUM_STEPS_LARGE, NUM_DRAWS_LARGE)
        return cls(NUM_STEPS, NUM_FITTED_DRAWS)


def fine_tuned_accuracies(
    model: Any, split: Split, *, seed: int, fresh_weights: bool = False
) -> Iterator[float]:
    """One accuracy for each draw of the labels.

    Args:
        fresh_weights: Whether every draw starts from new initial weights of the encoder.
    """
    from keras_ae.transfer import untrained_copy

    tuner = FineTuner.of(model, num_classes(split))
    length = FineTuning.of(math.prod(split.train.images.shape[1:]))
    for draw in range(length.num_draws):
        set_seeds(seed + draw)
        encoder = untrained_copy(model.encoder) if fresh_weights else model.encoder
        tuner.restart(encoder.get_weights(), model.bottleneck.get_weights(), seed + draw)
        labeled = few_labels(labels_of(split.train), seed=seed + draw)
        tuner.fit(
            split.train.images[labeled],
            labels_of(split.train)[labeled],
            batches_of(len(labeled), length.num_steps, seed + draw),
        )
        yield tuner.accuracy(split.test.images, labels_of(split.test))


# ---- helpers ----


class Untrained(NamedTuple):
    """An autoencoder before any training, as far as `pretrained_classifier` uses it."""

    encoder: Any
    bottleneck: Any
    image_shape: tuple[int, ...]
    needs_labels: bool = False

    @classmethod
    def of(cls, model: Any) -> Untrained:
        """The untrained copy of a model, without its codebook, which is a part of the training."""
        from keras_ae.layers import IdentityBottleneck
        from keras_ae.transfer import untrained_copy

        bottleneck = model.bottleneck
        if bottleneck.weights:  # a codebook
            bottleneck = IdentityBottleneck(dtype="float32")
        return cls(untrained_copy(model.encoder), bottleneck, tuple(model.image_shape))


def labels_of(part: Subset) -> np.ndarray:
    """The labels; this comparison runs only on data that has them."""
    assert part.labels is not None
    return part.labels


def num_classes(split: Split) -> int:
    return int(max(labels_of(split.train).max(), labels_of(split.test).max(), 1)) + 1
