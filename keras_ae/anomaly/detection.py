"""Numbers of anomaly detection: from scores of images, and from maps of pixels with masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ae.anomaly.threshold import fit_to_normal

MAX_FALSE_POSITIVES = 0.3  # of AUPRO
NEIGHBORS = np.ones((3, 3), int)  # pixels that touch at a corner are in one region
RATES = (0.001, 0.01, 0.05, 0.1, 0.2)  # false positive rates of `rate_metrics`


def counts(anomalous: np.ndarray) -> dict[str, int]:
    """`num_anomalous` and `num_normal` of `(N,)` booleans."""
    return {"num_anomalous": int(anomalous.sum()), "num_normal": int((~anomalous).sum())}


def auroc(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """The area under the ROC curve: 1 if all anomalous images have higher scores than all others.

    Args:
        scores: `(N,)`, higher for anomalous images.
        anomalous: `(N,)` booleans, at least one of each.

    Example:
        >>> auroc(np.array([1.0, 2.0, 3.0]), np.array([False, True, False]))
        0.5
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(anomalous, scores))


def score_metrics(scores: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    """`auc`, `aupr`, `recall_1` and `recall_5` of scores.

    AUPR is the average precision. The recalls are the largest ones at thresholds that at most 1%
    and 5% of the normal images exceed.

    Args:
        scores: `(N,)`, higher for anomalous images.
        anomalous: `(N,)` booleans, at least one of each.
    """
    from sklearn.metrics import average_precision_score, roc_curve

    fpr, tpr, _ = roc_curve(anomalous, scores, drop_intermediate=False)
    return {
        "auc": auroc(scores, anomalous),
        "aupr": float(average_precision_score(anomalous, scores)),
        **{
            f"recall_{percent}": float(tpr[fpr <= percent / 100 + 1e-12].max())
            for percent in (1, 5)
        },
    }


def rate_metrics(scores: np.ndarray, anomalous: np.ndarray) -> list[dict[str, Any]]:
    """What thresholds for several false positive rates find, chosen on these same images.

    The threshold is the lowest that at most this share of the normal images exceeds (see
    `fit_to_normal`). Rates below 1 / number of normal images are left out: their threshold is the
    highest score of a normal image, whatever the rate.

    Args:
        scores: `(N,)`, higher for anomalous images.
        anomalous: `(N,)` booleans, at least one of each.

    Returns:
        For each rate in `RATES`: `rate`, `threshold`, `recall`, the share of the anomalous images
        above it, and `num_false_alarms`, the number of normal images above it.

    Example:
        >>> rate_metrics(np.arange(12.0), np.arange(12) >= 10)[-1]["num_false_alarms"]
        2
    """
    scores = np.asarray(scores, np.float64)
    normal = scores[~anomalous]
    found = []
    for rate in RATES:
        if len(normal) < 2 or rate * len(normal) < 1 - 1e-9:
            continue
        threshold, share = fit_to_normal(normal, rate)
        found.append(
            {
                "rate": rate,
                "threshold": threshold,
                "recall": float(np.mean(scores[anomalous] > threshold)),
                "num_false_alarms": round(share * len(normal)),
            }
        )
    return found


def verdict_metrics(verdicts: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    """`f1`, `recall` and `false_positive_rate` of verdicts; F1 is 0 where no verdict is right.

    Args:
        verdicts: `(N,)` booleans, whether an image is called anomalous.
        anomalous: `(N,)` booleans, whether it is. Without any, `f1` and `recall` are left out;
            where all are, `false_positive_rate`.
    """
    found: dict[str, float] = {}
    if anomalous.any():
        hits = int((verdicts & anomalous).sum())
        found["f1"] = 2.0 * hits / int(verdicts.sum() + anomalous.sum())
        found["recall"] = hits / int(anomalous.sum())
    if not anomalous.all():
        found["false_positive_rate"] = float(verdicts[~anomalous].mean())
    return found


def pixel_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """`pixel_auc` and `aupro` of anomaly maps; `{}` where no pixel or every pixel is anomalous.

    The pixel AUC is that of all pixels of all images. AUPRO is the area under the curve of the
    per-region overlap against the false positive rate of the pixels, up to 30% and divided by
    that: the overlap is the mean over all regions of the share of a region above the threshold, so
    small defects count as much as large ones (Bergmann et al., IJCV 129, 2021, sec. 4). A region
    is a set of anomalous pixels that touch, also at a corner.

    Args:
        maps: `(N, H, W)`, higher where an image is anomalous; of normal images too.
        masks: `(N, H, W)` booleans.
    """
    from scipy.integrate import trapezoid  # NumPy below 2 has none

    flat = masks.ravel()
    if not 0 < flat.sum() < flat.size:
        return {}
    order = np.argsort(-maps.ravel(), kind="stable")
    ranked = maps.ravel()[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of pixels with equal scores

    def share(weights: np.ndarray) -> np.ndarray:
        """The summed weights of the pixels above each threshold, from 0 to 1."""
        total = np.cumsum(weights[order], dtype=np.float64)[last]
        return np.append(0.0, total / total[-1])

    false_positives = share(~flat)
    return {
        "pixel_auc": float(trapezoid(share(flat), false_positives)),
        "aupro": area_up_to(false_positives, share(region_weights(masks).ravel())),
    }


def region_weights(masks: np.ndarray) -> np.ndarray:
    """1 / size of its region for each anomalous pixel, 0 for the others, `(N, H, W)` float64."""
    from scipy.ndimage import label

    regions: Any
    weights = np.zeros(masks.shape)
    for weight, mask in zip(weights, masks, strict=True):
        regions, _ = label(mask, NEIGHBORS)  # pyright: ignore[reportGeneralTypeIssues]
        sizes = np.bincount(regions.ravel())
        weight[mask] = 1.0 / sizes[regions[mask]]
    return weights


def area_up_to(x: np.ndarray, y: np.ndarray, end: float = MAX_FALSE_POSITIVES) -> float:
    """The area under a rising curve from (0, 0) to (1, 1) up to `end`, divided by `end`."""
    from scipy.integrate import trapezoid

    inside = x < end
    first = int(inside.sum())  # the first point at or beyond the end
    step = (end - x[first - 1]) / (x[first] - x[first - 1])
    height = y[first - 1] + step * (y[first] - y[first - 1])
    return float(trapezoid(np.append(y[:first], height), np.append(x[:first], end)) / end)
