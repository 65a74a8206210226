"""The table of contents: every comparison by name.

A comparison is one file beside this one and one line in `COMPARISONS`. Reading the table imports
nothing; a file is imported when its comparison is made. It offers three functions:

    measure(model, problem, *, seed, **options) -> Measurement    of one trained model
    baselines(problem, *, seed, **options) -> {name: Measurement}   what needs no model
    draw(entries, baselines, problem, folder) -> [Figure, ...]      all models in one picture
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Column:
    """A number of the report: where it stands in `Measurement.numbers`, and how to show it.

    Attributes:
        key: Key in the numbers; a model that lacks it has no such number.
        heading: What stands above it, with its unit.
        digits: After the point.
        better: "lower" or "higher" where models are ranked by it, else None.
    """

    key: str
    heading: str
    digits: int = 2
    better: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Where a comparison stands, what it needs and what it reports.

    Attributes:
        title: Heading in the report.
        summary: One sentence: what the numbers mean.
        columns: Of its table, the main number first.
        held_out: Whether it is made of runs trained without a class, or of those with all.
        labels: Whether it needs class labels.
        options: Arguments of `evaluate.py` that it takes.
    """

    module: str
    title: str
    summary: str
    columns: tuple[Column, ...]
    held_out: bool = False
    labels: bool = False
    options: tuple[str, ...] = ()

    def load(self) -> ModuleType:
        return importlib.import_module(f"keras_ae.evaluation.comparisons.{self.module}")


COMPARISONS: dict[str, Comparison] = {
    "reconstruction": Comparison(
        "reconstruction",
        "Reconstruction",
        "Binary cross-entropy of the test images, in nats an image: from the mean code and, where "
        "the code is random, from a sampled one (as the published figures were made). The squared "
        "error is summed over the pixels of an image, from the mean code; a model with a linear "
        "output has no other.",
        (
            Column("bce", "BCE, mean code", better="lower"),
            Column("sampled_bce", "BCE, sampled code", better="lower"),
            Column("negative_elbo", "-ELBO", better="lower"),
            Column("mse", "squared error", better="lower"),
        ),
    ),
    "sampling": Comparison(
        "sampling",
        "Sampling",
        "Images decoded from the model's own prior, and from a prior fitted to the codes of the "
        "training images. The distance is a Frechet distance in the features of a small "
        "classifier trained on the same data set; it is not an FID. Entropies are in nats. The "
        "numbers of real images stand under the fitted prior.",
        (
            Column("fitted_frechet", "Frechet distance, fitted prior", 1, "lower"),
            Column("prior_frechet", "Frechet distance, own prior", 1, "lower"),
            Column("fitted_confidence", "confidence, fitted", 3),
            Column("prior_confidence", "confidence, own", 3),
            Column("fitted_class_entropy", "class entropy, fitted"),
            Column("prior_class_entropy", "class entropy, own"),
            Column("fitted_nearest", "nearest training image, fitted"),
            Column("prior_nearest", "nearest training image, own"),
        ),
    ),
    "interpolation": Comparison(
        "interpolation",
        "Interpolation",
        "From one test image to another, along the line between what the encoder gives before the "
        "bottleneck operation; means over 21 pairs. Confidence is that of a small classifier along "
        "the path; a step is the L2 distance between neighbouring frames over that between the "
        "ends (1/11 = 0.091 at least).",
        (
            Column("confidence", "mean confidence", 3),
            Column("lowest_confidence", "lowest confidence", 3),
            Column("largest_step", "largest step", 3),
            Column("path_nearest", "nearest training image, L2"),
        ),
        options=("interpolate",),
    ),
    "latent_structure": Comparison(
        "latent_structure",
        "Latent structure",
        "Numbers on the codes of the test images themselves, and the trustworthiness of their "
        "map in two dimensions. Neighbours of binary codes are those at the smallest Hamming "
        "distance.",
        (
            Column("neighbour_accuracy", "10-nearest-neighbour accuracy", 3, "higher"),
            Column("retrieval_precision", "precision of the 10 nearest", 3),
            Column("silhouette", "silhouette", 3, "higher"),
            Column("trustworthiness", "trustworthiness of the map", 3),
            Column("active_units", "active units", 0),
            Column("kl", "KL, nats"),
            Column("perplexity", "perplexity", 1),
            Column("codes_used", "codes used", 3),
        ),
        options=("projection",),
    ),
    "anomaly": Comparison(
        "anomaly",
        "Anomaly detection",
        "Area under the ROC curve when the images of a class that training never saw are the "
        "anomalies: by the reconstruction loss (the BCE; the squared error where the model was "
        "trained with it), as the text of the published comparison describes, and by the signed "
        "residual, with which its figures were made.",
        (
            Column("auc", "AUC, reconstruction loss", 4, "higher"),
            Column("auc_signed", "AUC, signed residual", 4),
        ),
        held_out=True,
        labels=True,
    ),
    "classification": Comparison(
        "classification",
        "Classification from few labels",
        "Test accuracy with few labels: a converged logistic regression on standardised codes "
        "(mean and spread over draws of the labels), the published protocol (which also stops "
        "early on the labelled validation images), and the encoder fine-tuned or trained from "
        "scratch on the same labels.",
        (
            Column("converged", "converged", 4, "higher"),
            Column("converged_spread", "spread over draws", 4),
            Column("published", "published protocol", 4),
            Column("fine_tuned", "fine-tuned", 4, "higher"),
            Column("from_scratch", "from scratch", 4),
        ),
        labels=True,
    ),
}
