"""The threshold of a trained model, from validation images, and what it finds in the test."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_ae import data
from keras_ae.anomaly.detection import auroc, counts, verdict_metrics
from keras_ae.anomaly.fitted import CODE_SCORES
from keras_ae.anomaly.threshold import binomial_interval
from keras_ae.checks import check_choice
from keras_ae.progress import counted
from keras_ae.runs.request import DEFAULT_FALSE_POSITIVE_RATE, RunRequest
from keras_ae.runs.scores import default_score, score_line, threshold_score
from keras_ae.saving.export import ERRORS


@dataclass(frozen=True)
class ThresholdOptions:
    """What a user asks of the threshold of a run.

    Attributes:
        false_positive_rate: Between 0 and 1, exclusive; None for 1% where the run has anomalous
            test images, and no threshold elsewhere.
        score: Name of an anomaly score; None for `threshold_score`.
    """

    false_positive_rate: float | None = None
    score: str | None = None

    def resolved(
        self,
        model: Any,
        variant: str,
        split: data.Split,
        *,
        has_anomalous: bool,
        holds_out_class: bool,
    ) -> ThresholdOptions:
        """The options as a request records them: None for what is the default of the run.

        Raises:
            ValueError: a score that the variant does not have, or too few validation images.
        """
        rate, score = self.false_positive_rate, self.score
        if rate is None and score is None:
            return self
        if score is not None:
            check_choice(f"the anomaly score of {variant}", score, model.score_names)
        if len(split.validation) < 2:
            raise ValueError(
                "A threshold needs at least two validation images; there is "
                f"{len(split.validation)}. Use more images, or ask for no threshold."
            )
        if has_anomalous:
            rate = None if rate == DEFAULT_FALSE_POSITIVE_RATE else rate
        elif rate is None:
            rate = DEFAULT_FALSE_POSITIVE_RATE
        default = threshold_score(model.reconstruction_loss, split.train.images, holds_out_class)
        return ThresholdOptions(rate, None if score == default else score)


def exported_score(model: Any, results: Mapping[str, Any]) -> str | None:
    """The score of the endpoint `anomaly_score` of an export: "bce", "mse" or None for the loss.

    Args:
        model: A trained model.
        results: The content of `test.json`; runs of older versions have no `default_score`.
    """
    fit = model.threshold_fit
    if fit is not None and fit.score in ERRORS:
        return fit.score
    return results.get("default_score")


def fit_threshold(
    model: Any, request: RunRequest, split: data.Split, anomalous: np.ndarray | None
) -> tuple[dict[str, Any], list[str]]:
    """Choose the threshold of a trained model, and measure it on the test images.

    The class of an image is not used, as it is not known of new images.

    Args:
        model: The model; its threshold is set.
        request: What the threshold is to be.
        split: Its validation images decide the threshold.
        anomalous: Which test images are anomalous, `(N,)`; None where no test image is known to be.

    Returns:
        Results for `test.json`, and lines of output. Where no threshold is asked for and no test
        image is anomalous, the results are `default_score` alone, and the only line says so where
        that is not the training loss.
    """
    rate, loss = request.false_positive_rate, model.reconstruction_loss
    default = default_score(loss, split.train.images)
    holds_out_class = request.held_out_class is not None
    usual = threshold_score(loss, split.train.images, holds_out_class)
    results: dict[str, Any] = {"default_score": default, "default_threshold_score": usual}
    without = score_line(default, loss, True)
    if rate is None and anomalous is None:
        return results, [without] if default != loss else []
    score = request.anomaly_score or usual
    words = score_line(score, loss, request.anomaly_score is None)
    if len(split.validation) < 2:
        return results, [
            without,
            "warning: The model has no threshold: that needs at least two validation images; "
            f"there is {len(split.validation)}.",
        ]
    if score in CODE_SCORES:
        model.fit_scores(split.train.images, [score])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = model.fit_threshold(
            split.validation.images, rate or DEFAULT_FALSE_POSITIVE_RATE, score
        )
    results |= {
        "threshold": fit.threshold,
        "threshold_score": fit.score,
        "threshold_rate": fit.false_positive_rate,
        "threshold_num_images": fit.num_images,
    }
    if anomalous is None:
        anomalous = np.zeros(len(split.test), bool)
    scores = model.anomaly_score(split.test.images, fit.score, num_samples=fit.num_samples)
    results |= measure(np.asarray(scores), anomalous, fit.threshold)
    lines = [words, threshold_line(fit), found_line(results)]
    lines += [f"warning: {each.message}" for each in caught]
    lines += rate_warning(fit.false_positive_rate, results)
    if results.get("test_auroc", 1.0) < 0.5:
        others = [name for name in model.score_names if name != fit.score]
        lines.append(
            f"warning: The score {fit.score} is lower for anomalous images than for normal ones. "
            f"Use another one: {', '.join(others)}."
        )
    return results, lines


def measure(scores: np.ndarray, anomalous: np.ndarray, threshold: float) -> dict[str, Any]:
    """What a threshold finds among test images.

    Args:
        scores, anomalous: Score of each image, and whether it is anomalous, `(N,)`.
        threshold: Images with a score above it are called anomalous.

    Returns:
        `test_num_anomalous` and `test_num_normal`; `test_recall`, the share of the anomalous images
        that are found; `test_false_positive_rate`, the share of the normal ones that are called
        anomalous; `test_auroc`. A number that has no images is left out.
    """
    found = verdict_metrics(scores > np.float32(threshold), anomalous)
    results: dict[str, Any] = {f"test_{key}": num for key, num in counts(anomalous).items()}
    for name in ("recall", "false_positive_rate"):
        if name in found:
            results[f"test_{name}"] = found[name]
    if anomalous.any() and not anomalous.all():
        results["test_auroc"] = auroc(scores, anomalous)
    return results


def rate_warning(asked: float, results: Mapping[str, Any]) -> list[str]:
    """A warning where the false positive rate of the test is clearly above the one asked for."""
    num, share = results["test_num_normal"], results.get("test_false_positive_rate")
    if share is None or binomial_interval(round(share * num), num)[0] <= asked:
        return []
    return [
        f"warning: {share:.1%} of the normal test images are called anomalous, clearly more than "
        f"the {asked:.1%} asked for: they differ from the validation images. Use validation images "
        "that are like those to be judged, or set a higher threshold."
    ]


def threshold_line(fit: Any) -> str:
    """A fitted threshold in one line."""
    low, high = fit.interval
    return (
        f"threshold: {fit.threshold:.6g} (score {fit.score}) for a false positive rate of "
        f"{fit.false_positive_rate:g}, from {counted(fit.num_images, 'normal validation image')}; "
        f"real rate {low:.2g} to {high:.2g} (95% interval)"
    )


def found_line(results: Mapping[str, Any]) -> str:
    """What a threshold finds among the test images, in one line."""
    parts = []
    for key, words in (("recall", "anomalous"), ("false_positive_rate", "normal")):
        if (share := results.get(f"test_{key}")) is not None:
            num = results[f"test_num_{words}"]
            parts.append(f"{round(share * num):,} of {num:,} {words} test images ({share:.1%})")
    auroc = f"; AUROC {results['test_auroc']:.3f}" if "test_auroc" in results else ""
    return f"called anomalous: {' and '.join(parts)}{auroc}"
