"""Thresholds of anomaly scores: from normal images alone, or from labeled ones."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from keras_ae.checks import check_choice

CRITERIA = ("f1", "youden")
CONFIDENCE = 0.95
# A threshold is raised by this share of its size. It is the score of one of the images, and the
# score of that image differs in its last digits with the batch, the device and the export.
ROUNDING = 1e-5


@dataclass(frozen=True)
class ThresholdFit:
    """A threshold and what it was fitted to.

    Attributes:
        threshold: Images with a score above it are anomalous.
        score: Name of the score.
        criterion: "false_positive_rate", "f1", "youden", or "given" where it was set by hand.
        false_positive_rate: The rate that was asked for; None for other criteria.
        rate: The share of the normal images above the threshold.
        interval: 95% confidence interval of the false positive rate on new normal images
            (Clopper and Pearson, from `rate` and `num_images`).
        num_images: Number of normal images.
        num_anomalous: Number of anomalous images; 0 without labels.
        value: The F1 or Youden's J that is reached on the images; None without labels.
        recall: The share of the anomalous images above the threshold; None without labels.
        num_samples: Samples for each image of a score that draws them, or None.
    """

    threshold: float
    score: str
    criterion: str
    false_positive_rate: float | None = None
    rate: float | None = None
    interval: tuple[float, float] | None = None
    num_images: int = 0
    num_anomalous: int = 0
    value: float | None = None
    recall: float | None = None
    num_samples: int | None = None

    def with_interval(self, num_images: int) -> ThresholdFit:
        """The same with the number of normal images, and the interval that follows from it."""
        interval = binomial_interval(round((self.rate or 0.0) * num_images), num_images)
        return replace(self, num_images=num_images, interval=interval)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> ThresholdFit:
        """The reverse of `to_dict`.

        Raises:
            ValueError: data that `to_dict` does not write.
        """
        try:
            known = {each.name: data[each.name] for each in fields(cls)}
            if known["interval"] is not None:
                known["interval"] = tuple(map(float, known["interval"]))
            known["threshold"] = float(known["threshold"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"a stored threshold cannot be read: {data!r:.100}") from None
        return cls(**known)


def check_rate(rate: Any) -> float:
    """`rate` as a float; ValueError unless it is a number between 0 and 1, exclusive."""
    try:
        number = float(rate)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(rate, bool) or not 0.0 < number < 1.0:
        raise ValueError(
            f"false_positive_rate must be between 0 and 1, exclusive; received {rate!r}."
        )
    return number


def check_anomaly_labels(labels: Any) -> np.ndarray:
    """Labels of normal (0) and anomalous (1) images as booleans `(N,)`.

    Raises:
        ValueError: something else, or only one of the two.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            "labels must be one 0 (normal) or 1 (anomalous) for each image; received an array of "
            f"{labels.dtype} of the shape {labels.shape}."
        )
    anomalous = labels.astype(bool)
    if not anomalous.any() or anomalous.all():
        which = "anomalous" if anomalous.any() else "normal"
        raise ValueError(
            f"labels must name normal and anomalous images; all {len(labels)} images are {which}. "
            "A threshold without labels needs normal images only."
        )
    return anomalous


def check_scores(scores: np.ndarray, score: str) -> np.ndarray:
    """Scores as float64 `(N,)`; ValueError if one is NaN or infinite."""
    scores = np.asarray(scores, np.float64)
    if num := int((~np.isfinite(scores)).sum()):
        raise ValueError(
            f"the score {score} is not finite for {num} of {len(scores)} images: the model may "
            "have diverged in training. Train it again, or use another score."
        )
    return scores


def fit_to_normal(scores: np.ndarray, rate: float) -> tuple[float, float]:
    """The smallest threshold that at most `rate * N` of the scores of normal images exceed.

    That is the score with exactly `floor(rate * N)` scores after it in ascending order. It is
    raised by 1e-5 of its size (see `ROUNDING`).

    Args:
        scores: `(N,)`, N >= 2.
        rate: Between 0 and 1, exclusive.

    Returns:
        The threshold, a float32 number, and the share of the scores above it.

    Raises:
        ValueError: fewer than two scores.
    """
    if len(scores) < 2:
        raise ValueError(
            f"a threshold needs at least two normal images; received {len(scores)}. Give at least "
            f"{math.ceil(1 / rate):,} for a false positive rate of {rate:g}."
        )
    num_above = math.floor(rate * len(scores) + 1e-9)  # 0.29 * 100 is 28.999...
    threshold = np.sort(scores)[len(scores) - 1 - num_above]
    threshold = float(np.float32(threshold + ROUNDING * abs(threshold)))
    return threshold, float(np.mean(scores > threshold))


def fit_to_labels(scores: np.ndarray, anomalous: np.ndarray, criterion: str) -> tuple[float, float]:
    """The threshold with the largest F1 or Youden's J on labeled images.

    Every cut between two different scores is tried, and those above and below all of them. Of equal
    ones the highest is taken, which has the fewest false alarms.

    Args:
        scores: `(N,)`, float32 numbers.
        anomalous: Booleans `(N,)`, at least one of each.
        criterion: "f1", the harmonic mean of precision and recall; "youden", recall minus false
            positive rate.

    Returns:
        The threshold, midway between two scores, a float32 number; and the value of the criterion.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    alarms = np.arange(len(scores) + 1)  # how many images lie above the cut
    hits = np.append(0, np.cumsum(anomalous[order]))
    num_anomalous, num_normal = int(anomalous.sum()), int((~anomalous).sum())
    if check_choice("criterion", criterion, CRITERIA) == "f1":
        values = 2.0 * hits / (alarms + num_anomalous)
    else:
        values = hits / num_anomalous - (alarms - hits) / num_normal
    possible = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])  # not within equal scores
    best = int(np.argmax(np.where(possible, values, -np.inf)))
    margins = ROUNDING * np.maximum(np.abs(ranked[[0, -1]]), 1.0)
    above = ranked[best - 1] if best else ranked[0] + 2 * margins[0]
    below = ranked[best] if best < len(ranked) else ranked[-1] - 2 * margins[1]
    threshold = np.float32((above + below) / 2)
    if threshold >= above:  # of neighboring float32 numbers
        threshold = np.float32(below)
    return float(threshold), float(values[best])


def warn_of_few(fit: ThresholdFit, stacklevel: int = 2) -> None:
    """Warn where a threshold was fitted to fewer normal images than its rate needs."""
    rate = fit.false_positive_rate
    if rate is None or fit.num_images >= 1 / rate * (1 - 1e-9):
        return
    assert fit.interval is not None
    warnings.warn(
        f"{fit.num_images} normal images are too few for a false positive rate of "
        f"{rate:g}, which needs at least {math.ceil(1 / rate * (1 - 1e-9)):,}: the "
        "threshold is their highest score, and the real rate may be up to "
        f"{fit.interval[1]:.2g}.",
        stacklevel=stacklevel + 1,
    )


def binomial_interval(num: int, total: int) -> tuple[float, float]:
    """The 95% confidence interval of a share (Clopper and Pearson, 1934)."""
    from scipy.stats import binomtest

    found = binomtest(num, total).proportion_ci(CONFIDENCE, method="exact")
    return float(found.low), float(found.high)
