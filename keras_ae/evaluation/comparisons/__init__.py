"""Registry of all comparisons.

To add a comparison, add one file to this folder and one entry to `COMPARISONS`. Reading the
registry imports no comparison. A comparison is a module with:

    VERSION: int                        bump it when the numbers change; the cache depends on it
    measure(model, data, *, seed, **options) -> Measurement
    baselines(data, *, seed, **options) -> {name: Measurement}
    draw(results, baselines, data, folder) -> [Figure, ...]
    interactive(results, baselines, class_names, max_bytes) -> [Part, ...]
                                        only where `is_interactive`: parts of the HTML report
    work(num_train, num_values) -> str  only where `is_slow`: what it does, for the log

It knows a model only through the methods and attributes that every `Autoencoder` has.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from keras_ae.evaluation.comparisons.meanings import MEANINGS


@dataclass(frozen=True)
class Column:
    """A column of a result table: its key in `Measurement.metrics`, and how to format it.

    Attributes:
        key: Key in the metrics. A model without it has an empty cell.
        heading: Column heading, with the unit.
        digits: Digits after the decimal point.
        better: "lower" or "higher" where models are ranked by it, else None.
        needs: What a model or data set must have for it, such as "class labels". The report names
            it where no model has the number.
        by_class: Whether there is a table of it by held-out class.
        bounds: Labels of baselines that no model can beat: limits, not rivals.
        chance: The number of a guess; a best model that is worse is reported as such.
        meaning: What the number is, in a sentence, with its unit; that of `MEANINGS` by default.
    """

    key: str
    heading: str
    digits: int = 2
    better: str | None = None
    needs: str = ""
    by_class: bool = True
    bounds: tuple[str, ...] = ()
    chance: float | None = None
    meaning: str = ""

    def __post_init__(self):
        if not self.meaning:
            object.__setattr__(self, "meaning", MEANINGS.get(self.heading, ""))


LABELS = "class labels"
PRIOR = "a prior of the model's own"
MASKS = "masks of the test images"
GAUSSIAN = "a Gaussian code"
_ANOMALY_NUMBERS = (
    "AUPR: the average precision; "
    "that of a score without information is the share of anomalous images. Recall at 1% or 5% "
    "false positives: the share of anomalous images above a threshold that at most 1% or 5% of "
    "the normal test images exceed. At the threshold: with the one stored in the model, else "
    "with one fitted to the validation images for 1% false positives. PCA of the same code "
    "size has as many components as the model's code has numbers. Pixel AUC and AUPRO compare "
    "the smoothed maps of the score with the masks; AUPRO is the area under the curve of the "
    "overlap of each region, up to 30% false positives."
)


@dataclass(frozen=True)
class Comparison:
    """An entry of the registry: the module of a comparison, what it needs, what it reports.

    Attributes:
        module: Name of the module in this folder.
        title: Heading in the report.
        summary: Meaning of the numbers, for the report.
        with_labels: What to add to it where the images have labels.
        with_published: What to add to it where published figures are shown.
        columns: Columns of the table, the main number first.
        threshold: True to compare runs with a threshold and without anomalous test images.
        held_out: True to compare runs that are tested on a class which is not in training, False
            for the others; for these, test images of such classes are left out.
        labels: Whether it needs class labels.
        reference_classifier: Whether it uses the reference classifier, where there are labels.
        options: Names of the keyword arguments that it takes.
        is_slow: Whether the module has `work`, to announce what takes long.
        intervals: Whether its columns, which are shares in [0, 1], get 95% intervals over seeds.
        best_in_row: Whether the best number of each row is marked, not that of each column.
        names: Whether it names single images, so that renamed files are measured again.
        is_interactive: Whether the module has `interactive`.
        of_defects: The summary where one class is in training and others are in the test, if it is
            another one.
    """

    module: str
    title: str
    summary: str
    columns: tuple[Column, ...]
    with_labels: str = ""
    with_published: str = ""
    threshold: bool = False
    held_out: bool = False
    labels: bool = False
    reference_classifier: bool = False
    options: tuple[str, ...] = ()
    is_slow: bool = False
    intervals: bool = False
    best_in_row: bool = False
    names: bool = False
    is_interactive: bool = False
    of_defects: str = ""

    def load(self) -> ModuleType:
        """Import the module."""
        return importlib.import_module(f"keras_ae.evaluation.comparisons.{self.module}")

    def work(self, num_train: int, num_values: int) -> str:
        """What takes long in the measurement of a run, in words; empty if nothing does.

        Args:
            num_train: Number of training images.
            num_values: Number of values of an image.
        """
        return self.load().work(num_train, num_values) if self.is_slow else ""


COMPARISONS: dict[str, Comparison] = {
    "reconstruction": Comparison(
        "reconstruction",
        "Reconstruction",
        "Binary cross-entropy (BCE) of the test images, in nats/image: from the mean code and, "
        "where the code is random, from a sampled one. A nat is a unit of information, 1.44 bits. "
        "The squared error is summed over the pixels "
        "of an image, from the mean code; it is the only error of a model with a linear output. "
        "PCA of the same code size has as many components as the model's code has numbers.",
        (
            Column(
                "bce",
                "BCE, mean code",
                better="lower",
                needs="a sigmoid output",
                bounds=("entropy floor",),
            ),
            Column("pca_bce", "BCE, PCA of the same code size"),
            Column("sampled_bce", "BCE, sampled code", better="lower", needs=GAUSSIAN),
            Column("negative_elbo", "-ELBO", better="lower", needs=GAUSSIAN),
            Column("mse", "squared error", better="lower", bounds=("entropy floor",)),
            Column("pca_mse", "squared error, PCA of the same code size"),
        ),
        with_published="The published figures are from a sampled code.",
    ),
    "sampling": Comparison(
        "sampling",
        "Sampling",
        "Images decoded from the model's own prior, and from a prior fitted to the codes of the "
        "training images. Nearest training image: the mean L2 distance of a sample to it. The "
        "numbers of real images are in the columns of the fitted prior.",
        (
            Column(
                "fitted_frechet",
                "Fréchet distance, fitted prior",
                1,
                "lower",
                LABELS,
                bounds=("training images",),
            ),
            Column(
                "prior_frechet", "Fréchet distance, own prior", 1, "lower", f"{LABELS}, {PRIOR}"
            ),
            Column("fitted_confidence", "confidence, fitted", 3, needs=LABELS),
            Column("prior_confidence", "confidence, own", 3, needs=f"{LABELS}, {PRIOR}"),
            Column("fitted_class_entropy", "class entropy, fitted", needs=LABELS),
            Column("prior_class_entropy", "class entropy, own", needs=f"{LABELS}, {PRIOR}"),
            Column("fitted_nearest", "nearest training image, fitted"),
            Column("prior_nearest", "nearest training image, own", needs=PRIOR),
        ),
        with_labels="The Fréchet distance is measured in the features of a small classifier "
        "trained on the same data set; it is not an FID. The confidence is that classifier's "
        "highest class probability. Entropies are in nats.",
        reference_classifier=True,
    ),
    "interpolation": Comparison(
        "interpolation",
        "Interpolation",
        "From one test image to another, along the line between the encoder outputs before the "
        "bottleneck operation; means over the pairs. A step is the L2 distance between neighboring "
        "frames divided by that between the ends (at least 1/11 = 0.091).",
        (
            Column("confidence", "mean confidence", 3, needs=LABELS),
            Column("lowest_confidence", "lowest confidence", 3, needs=LABELS),
            Column("largest_step", "largest step", 3),
            Column("path_nearest", "nearest training image, L2"),
        ),
        with_labels="Confidence is that of a small classifier along the path.",
        reference_classifier=True,
        options=("interpolate",),
    ),
    "latent_structure": Comparison(
        "latent_structure",
        "Latent structure",
        "Structure of the codes of the test images, and the trustworthiness of their map in two "
        "dimensions. The neighbors of a binary code are those at the smallest Hamming distance.",
        (
            Column("neighbour_accuracy", "10-nearest-neighbor accuracy", 3, "higher", LABELS),
            Column("retrieval_precision", "precision of the 10 nearest", 3, needs=LABELS),
            Column("silhouette", "silhouette", 3, "higher", LABELS),
            Column("trustworthiness", "trustworthiness of the map", 3),
            Column("active_units", "active units", 0, needs=GAUSSIAN),
            Column("kl", "KL, nats", needs=GAUSSIAN),
            Column("perplexity", "perplexity", 1, needs="a quantized code"),
            Column("codes_used", "codes used", 3, needs="a quantized code"),
        ),
        options=("projection",),
        is_interactive=True,
    ),
    "anomaly": Comparison(
        "anomaly",
        "Anomaly detection",
        "How well the anomaly score tells test images of classes that training did not see "
        "from the others. AUC: the area under the ROC curve. The score is that of the "
        "threshold: by default the training loss for light drawings on black; for other images "
        "local_residual, or with a held-out class the squared error. " + _ANOMALY_NUMBERS,
        (
            Column("auc", "AUC", 4, "higher", chance=0.5),
            Column("auc_signed", "AUC, signed residual", 4),
            Column("pca_auc", "AUC, PCA of the same code size", 4, by_class=False),
            Column("aupr", "AUPR", 3, by_class=False),
            Column("recall_1", "recall at 1% false positives", 3, by_class=False),
            Column("recall_5", "recall at 5% false positives", 3, by_class=False),
            Column("f1", "F1 at the threshold", 3, by_class=False),
            Column("recall", "recall at the threshold", 3, by_class=False),
            Column(
                "false_positive_rate", "false positive rate at the threshold", 3, by_class=False
            ),
            Column("pixel_auc", "pixel AUC", 4, "higher", MASKS, by_class=False),
            Column("aupro", "AUPRO", 4, "higher", MASKS, by_class=False),
        ),
        with_published="The text of the published comparison describes the reconstruction error "
        "as the score; its figures were made with another one, the signed residual.",
        held_out=True,
        labels=True,
        intervals=True,
        names=True,
        is_interactive=True,
        of_defects="How well the anomaly score tells anomalous test images from normal ones. "
        "AUC: the area under the ROC curve. The score is that of the threshold: by default "
        "local_residual, or the training loss for light drawings on black. " + _ANOMALY_NUMBERS,
    ),
    "threshold": Comparison(
        "threshold",
        "Anomaly threshold",
        "No test image of these runs is known to be anomalous, so there is no AUC and no recall: "
        "there is the threshold of each run, fitted to its validation images, and the share of the "
        "test images above it, which all count as normal. If that share is far above the rate that "
        "was asked for, the test images differ from the validation images.",
        (Column("false_positive_rate", "false positive rate on the test images", 3),),
        threshold=True,
        is_interactive=True,
    ),
    "scores": Comparison(
        "scores",
        "Anomaly scores",
        "AUC of every anomaly score that a model has, with the best of each row in bold. It is the "
        "best on the test images, so on other images it may be another one. mahalanobis and "
        "latent_density are fitted to the codes of training images, local_residual to validation "
        "images.",
        (
            Column("bce", "bce", 3, "higher", "a sigmoid output", by_class=False),
            Column("mse", "mse", 3, "higher", by_class=False),
            Column("ssim", "ssim", 3, "higher", "images of 3x3 pixels", by_class=False),
            Column("signed_residual", "signed_residual", 3, "higher", by_class=False),
            Column("elbo", "elbo", 3, "higher", GAUSSIAN, by_class=False),
            Column("log_likelihood", "log_likelihood", 3, "higher", GAUSSIAN, by_class=False),
            Column("latent_density", "latent_density", 3, "higher", by_class=False),
            Column("mahalanobis", "mahalanobis", 3, "higher", by_class=False),
            Column("local_residual", "local_residual", 3, "higher", by_class=False),
        ),
        held_out=True,
        labels=True,
        is_slow=True,
        best_in_row=True,
    ),
    "classification": Comparison(
        "classification",
        "Classification from few labels",
        "Test accuracy with few labels: a converged logistic regression on standardized codes "
        "(mean and spread over draws of the labels), and the encoder fine-tuned or trained from "
        "scratch on the same labels.",
        (
            Column("converged", "converged", 4, "higher"),
            Column("converged_spread", "spread over draws", 4),
            Column("published", "published protocol", 4),
            Column("fine_tuned", "fine-tuned", 4, "higher"),
            Column("from_scratch", "from scratch", 4),
        ),
        with_published="The published protocol also stops early on the labeled validation images.",
        is_slow=True,
        labels=True,
    ),
}
