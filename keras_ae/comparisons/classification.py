"""Classification from few labels: what the codes know of the classes, by four protocols."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_ae.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.comparisons.common import IMAGES_PER_CALL, flat, posterior
from keras_ae.data import Split, few_labels

CURVE = (50, 100, 250, 550, 1000, 2500, 5000)
NUM_CURVE_DRAWS = 3
NUM_CONVERGED_DRAWS = 5
NUM_FITTED_DRAWS = 3
NUM_COMPONENTS = 20
# Of fine-tuning. On the validation images of MNIST a rate of 3e-3 was better than 1e-3, for all of
# the shallow, deep and variational autoencoder, and about as good as four times the steps at 1e-3.
NUM_STEPS, STEPS_PER_CALL, BATCH_SIZE, LEARNING_RATE = 550, 50, 50, 3e-3
PROTOCOLS = {
    "converged": "converged, standardised codes",
    "published": "published protocol",
    "fine_tuned": "fine-tuned encoder",
    "from_scratch": "encoder from scratch",
}


def measure(model, problem: Problem, *, seed: int) -> Measurement:
    """Test accuracies, in [0, 1], of classifiers that see few labels of the training images.

    Args:
        model: A trained autoencoder; one without `encoder` and `bottleneck` is measured by its
            codes alone.
        problem: With labels.
        seed: Of the labels drawn, the initial weights, the order and the noise. It sets the seed
            of Keras, so that later random numbers follow from it too.

    Returns:
        numbers: only a `note` where the model was trained with the labels of all images, so that
            the class is in its code. Else `num_labels`; those of `converged_numbers`; where there
            is an encoder, of `published_numbers` and `fine_tuning`. `*_spread` is a standard
            deviation over draws.
    """
    import keras

    if getattr(model, "needs_labels", False):
        return Measurement(
            {
                "note": f"{type(model).__name__} was trained with the labels of all images and "
                "its code holds the class: it has no accuracy from few labels."
            }
        )
    split = problem.split
    keras.utils.set_random_seed(seed)
    codes = Codes(*(flat(model.encode(part.images)) for part in (split.train, split.test)))
    numbers = converged_numbers(standardised(codes), split, seed=seed)
    if getattr(model, "encoder", None) is not None:
        numbers |= published_numbers(model, split, seed=seed)
        numbers |= fine_tuning(model, split, seed=seed)
    return Measurement(numbers)


def baselines(problem: Problem, *, seed: int) -> dict[str, Measurement]:
    """The converged protocol on raw pixels, as they are, and on standardised components of PCA."""
    from sklearn.decomposition import PCA

    split = problem.split
    pixels = Codes(flat(split.train.images), flat(split.test.images))
    number = min(NUM_COMPONENTS, *pixels.train.shape)
    components = PCA(number, svd_solver="randomized", random_state=seed).fit(pixels.train)
    named = {
        "pixels": pixels,
        f"PCA, {number} components": standardised(Codes(*map(components.transform, pixels))),
    }
    return {
        name: Measurement(converged_numbers(codes, split, seed=seed))
        for name, codes in named.items()
    }


def draw(
    entries: list[Entry], baselines: list[Entry], problem: Problem, folder: Path
) -> list[Figure]:
    """Accuracy against the number of labels, and the protocols side by side.

    Without those that have no accuracy.
    """
    from keras_ae import plots

    entries = [entry for entry in entries if "curve" in entry.measurement.numbers]
    runs: dict[str, list[Entry]] = {}
    for entry in [*entries, *baselines]:
        runs.setdefault(entry.label, []).append(entry)
    if not runs:
        return []
    greys = iter([("0.45", "--", "x"), ("0.65", ":", "+"), ("0.25", "-.", ".")] * len(runs))
    plain = {entry.label for entry in baselines}
    series, bands = {}, {}
    styles = plots.label_styles({entry.label: entry.variant for entry in entries})
    for label, made in runs.items():
        x, y, bands[label] = pooled_curve([entry.measurement.numbers["curve"] for entry in made])
        series[label] = (x, y)
        if label in plain:
            styles[label] = dict(zip(("color", "linestyle", "marker"), next(greys), strict=True))
    path = plots.curves(
        series, styles, ("labelled training images", "accuracy on the test images"),
        folder / "classification.png", bands=bands, log_x=True,
    )  # fmt: skip
    figures = [
        Figure(
            path,
            "Logistic regression on standardised codes (pixels as they are), fitted until it "
            "converged, against the number of labels; bands are one standard deviation over draws "
            "of the labels.",
        )
    ]
    points = {
        name: {
            label: float(np.mean([entry.measurement.numbers[key] for entry in made]))
            for label, made in runs.items()
            if key in made[0].measurement.numbers
        }
        for key, name in PROTOCOLS.items()
    }
    spreads = {
        name: {label: pooled_spread(runs[label], key) for label in points[name]}
        for key, name in PROTOCOLS.items()
    }
    number = next(iter(runs.values()))[0].measurement.numbers["num_labels"]
    path = plots.dots(
        {name: made for name, made in points.items() if made},
        f"accuracy on the test images, {number} labels",
        folder / "classification_protocols.png",
        spreads=spreads,
    )
    figures.append(
        Figure(
            path,
            f"{number} labels by four protocols; lines are one standard deviation over draws. The "
            "published protocol ends after at most 20 epochs, converged or not.",
        )
    )
    return figures


def pooled_curve(curves: list[dict]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of labels, and the mean and standard deviation over all draws of all runs."""
    means = np.array([curve["mean"] for curve in curves])
    variances = np.square([curve["std"] for curve in curves])
    spread = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return np.array(curves[0]["num_labels"]), means.mean(axis=0), spread


def pooled_spread(runs: list[Entry], key: str) -> float:
    means = [run.measurement.numbers[key] for run in runs]
    variances = np.square([run.measurement.numbers[f"{key}_spread"] for run in runs])
    return float(np.sqrt(np.mean(variances) + np.var(means)))


# ---- converged ----


class Codes(NamedTuple):
    """Codes of the training and of the test images, `(N, D)` each."""

    train: np.ndarray
    test: np.ndarray


def converged_numbers(codes: Codes, split: Split, *, seed: int) -> dict:
    """Logistic regression fitted until it converges.

    The maximum a posteriori fit, scikit-learn's with its C of 1 for every code, so that no labels
    choose it.

    `num_labels`; `converged`, the mean over 5 draws of the labels, and `converged_spread`;
    `curve`: `mean` and `std` over 3 draws for each of `num_labels`, 50 to 5,000 as the data allow.
    """
    labels = split.train.labels
    usual = len(few_labels(labels, seed=seed))
    mean, std = mean_and_std(
        converged_accuracy(codes, split, few_labels(labels, seed=seed + draw))
        for draw in range(NUM_CONVERGED_DRAWS)
    )
    kinds = len(np.unique(labels))
    sizes = [size for size in CURVE if kinds <= size <= len(labels)] or [usual]
    points = [
        mean_and_std(
            converged_accuracy(codes, split, few_labels(labels, seed=seed + draw, num=size))
            for draw in range(NUM_CURVE_DRAWS)
        )
        for size in sizes
    ]
    curve = dict(zip(("mean", "std"), map(list, zip(*points, strict=True)), strict=True))
    return {
        "num_labels": usual,
        "converged": mean,
        "converged_spread": std,
        "curve": {"num_labels": sizes, **curve},
    }


def converged_accuracy(codes: Codes, split: Split, labelled: np.ndarray) -> float:
    """On all test images, of a fit to the labelled training images alone."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    classifier = LogisticRegression(max_iter=5000)
    with threadpool_limits(1):  # on products this small, threads mostly wait for one another
        classifier.fit(codes.train[labelled], split.train.labels[labelled])
        return classifier.score(codes.test, split.test.labels)


def standardised(codes: Codes) -> Codes:
    """Mean 0 and variance 1 over all training codes, which takes no labels; a constant is 0."""
    from sklearn.preprocessing import StandardScaler

    return Codes(*map(StandardScaler().fit(codes.train).transform, codes))


def mean_and_std(accuracies: Iterator[float]) -> tuple[float, float]:
    accuracies = list(accuracies)
    return float(np.mean(accuracies)), float(np.std(accuracies))


# ---- published ----


def published_numbers(model, split: Split, *, seed: int) -> dict:
    """The published protocol: `published`, the mean over 3 draws, and `published_spread`.

    As in the reference code (tilman151/ae_bakeoff, src/reproduce.py and
    src/downstream/classification.py): a linear layer with PyTorch's initial weights on the codes
    as they are, Adam at 1e-3, batches of 32, at most 20 epochs; it stops when the accuracy on the
    labelled validation images has not risen for 3 epochs, and the best epoch's weights are
    tested. A Gaussian code is sampled anew at every step, in the test too, as it was there.
    """
    mean, std = mean_and_std(published_accuracies(model, split, seed=seed))
    return {"published": mean, "published_spread": std}


def published_accuracies(model, split: Split, *, seed: int) -> Iterator[float]:
    """One for each draw of the labels."""
    import keras

    from keras_ae.layers import Sampling

    validation, test = (features(model, part.images) for part in (split.validation, split.test))
    inputs = keras.Input(test.shape[1:])
    codes = inputs
    if posterior(model, split.test.images[:1]) is not None:
        codes = Sampling(seed)(keras.ops.split(inputs, 2, axis=-1))
    limit = codes.shape[-1] ** -0.5
    logits = keras.layers.Dense(num_classes(split))
    classifier = keras.Model(inputs, logits(codes))
    classifier.compile(
        keras.optimizers.Adam(1e-3, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    restart = Restart(classifier)
    for draw in range(NUM_FITTED_DRAWS):
        labelled = few_labels(split.train.labels, seed=seed + draw)
        random = np.random.default_rng([seed, draw])
        restart([random.uniform(-limit, limit, weight.shape) for weight in logits.weights])
        keras.utils.set_random_seed(seed + draw)
        stop = keras.callbacks.EarlyStopping(
            "val_accuracy", mode="max", patience=3, restore_best_weights=True
        )
        classifier.fit(
            features(model, split.train.images[labelled]),
            split.train.labels[labelled],
            batch_size=32,
            epochs=20,
            validation_data=(validation, split.validation.labels),
            validation_batch_size=len(validation),
            callbacks=[stop],
            verbose=0,
        )
        yield accuracy(classifier, test, split.test.labels)


def features(model, images: np.ndarray) -> np.ndarray:
    """Codes `(N, D)`; of a Gaussian code the means, then the log-variances."""
    gaussian = posterior(model, images)
    return flat(model.encode(images)) if gaussian is None else np.concatenate(gaussian, axis=1)


# ---- fine-tuned and from scratch ----


def fine_tuning(model, split: Split, *, seed: int) -> dict:
    """`pretrained_classifier(freeze=False)` on the few labels, and the same untrained.

    `fine_tuned` and `from_scratch`, means over 3 draws of labels and initial weights, and
    `*_spread`. No labels stop it: 550 steps of 50 images with Adam at 3e-3.
    """
    numbers = {}
    for name, start in (("fine_tuned", model), ("from_scratch", Untrained.of(model))):
        accuracies = fine_tuned_accuracies(start, split, seed=seed)
        numbers[name], numbers[f"{name}_spread"] = mean_and_std(accuracies)
    return numbers


def fine_tuned_accuracies(model, split: Split, *, seed: int) -> Iterator[float]:
    """One for each draw of the labels."""
    import keras
    import tensorflow as tf

    from keras_ae.transfer import fresh_copy, pretrained_classifier

    classifier = pretrained_classifier(model, num_classes(split), freeze=False)
    classifier.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_CALL,
    )
    restart = Restart(classifier)
    for draw in range(NUM_FITTED_DRAWS):
        keras.utils.set_random_seed(seed + draw)
        restart()
        if isinstance(model, Untrained):
            untrained = fresh_copy(model.encoder)
            classifier.get_layer("encoder").encoder.set_weights(untrained.get_weights())
        head = classifier.get_layer("probabilities")
        head.kernel.assign(keras.initializers.GlorotUniform(seed + draw)(head.kernel.shape))
        labelled = few_labels(split.train.labels, seed=seed + draw)
        batches = (
            tf.data.Dataset.from_tensor_slices(
                (split.train.images[labelled], split.train.labels[labelled])
            )
            .shuffle(len(labelled), seed=seed + draw)
            .repeat()
            .batch(BATCH_SIZE)
        )
        classifier.fit(batches, steps_per_epoch=NUM_STEPS, shuffle=False, verbose=0)
        yield accuracy(classifier, split.test.images, split.test.labels)


# ---- what they share ----


class Untrained(NamedTuple):
    """An autoencoder's encoder before any training, as far as classifiers use it."""

    encoder: object
    bottleneck: object
    image_shape: tuple[int, ...]

    @classmethod
    def of(cls, model) -> Untrained:
        """Without its codebooks where it has some: untrained, they would quantise all away."""
        import keras

        from keras_ae.layers import ScalarQuantizer, VectorQuantizer
        from keras_ae.transfer import fresh_copy

        bottleneck = model.bottleneck
        if isinstance(bottleneck, ScalarQuantizer | VectorQuantizer):
            bottleneck = keras.layers.Identity(dtype="float32")
        return cls(fresh_copy(model.encoder), bottleneck, tuple(model.image_shape))


class Restart:
    """Puts a compiled classifier back to where it was, so that it is traced only once."""

    def __init__(self, classifier):
        classifier.optimizer.build(classifier.trainable_variables)
        self.classifier = classifier
        self.weights = classifier.get_weights()
        self.state = [variable.numpy() for variable in classifier.optimizer.variables]

    def __call__(self, weights: list[np.ndarray] | None = None) -> None:
        self.classifier.set_weights(self.weights if weights is None else weights)
        for variable, value in zip(self.classifier.optimizer.variables, self.state, strict=True):
            variable.assign(value)


def accuracy(classifier, images: np.ndarray, labels: np.ndarray) -> float:
    scores = classifier.predict(images, batch_size=IMAGES_PER_CALL, verbose=0)
    return float(np.mean(scores.argmax(axis=-1) == labels))


def num_classes(split: Split) -> int:
    return int(max(split.train.labels.max(), split.test.labels.max(), 1)) + 1
