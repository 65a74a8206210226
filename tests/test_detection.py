"""Numbers of anomaly detection, against slow obvious versions and closed forms."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from keras_ae.anomaly import detection


def slow_recall(scores, anomalous, rate):
    """The best recall of all thresholds that at most `rate` of the normal images exceed."""
    thresholds = [*scores, scores.min() - 1]
    allowed = [t for t in thresholds if (scores[~anomalous] > t).mean() <= rate + 1e-12]
    return max((scores[anomalous] > t).mean() for t in allowed)


def slow_precision(scores, anomalous):
    """Average precision: the precision at each threshold, weighted by the gain in recall."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        recall = (chosen & anomalous).sum() / anomalous.sum()
        total += (recall - before) * (chosen & anomalous).sum() / chosen.sum()
        before = recall
    return total


@pytest.mark.parametrize("ties", [False, True])
def test_scores_match_slow_versions(ties):
    random = np.random.default_rng(0)
    anomalous = random.random(300) < 0.2
    scores = random.normal(size=300) + 1.5 * anomalous
    scores = np.round(scores) if ties else scores
    found = detection.score_metrics(scores, anomalous)
    assert found["recall_1"] == pytest.approx(slow_recall(scores, anomalous, 0.01))
    assert found["recall_5"] == pytest.approx(slow_recall(scores, anomalous, 0.05))
    assert found["aupr"] == pytest.approx(slow_precision(scores, anomalous))
    assert found["recall_5"] > found["recall_1"] or ties


def test_rate_of_one_in_a_hundred_allows_one_false_positive():
    scores = np.r_[np.arange(100.0), 98.5, 99.5, 50.5]  # 100 normal images, three others
    found = detection.score_metrics(scores, np.arange(103) >= 100)
    assert found["recall_1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("num", [80, 100, 1500])
def test_rates_match_slow_versions(num, ties):
    random = np.random.default_rng(num)
    anomalous = np.arange(num + 70) >= num
    scores = random.normal(size=num + 70) + 1.5 * anomalous
    scores = np.round(scores) if ties else scores
    found = detection.rate_metrics(scores, anomalous)
    rates = [rate for rate in (0.001, 0.01, 0.05, 0.1, 0.2) if rate >= 1 / num]
    assert [each["rate"] for each in found] == rates and len(rates) >= 3
    for each in found:
        assert each["recall"] == slow_recall(scores, anomalous, each["rate"])
        alarms = (scores[~anomalous] > each["threshold"]).sum()
        assert each["num_false_alarms"] == alarms <= each["rate"] * num
        # It is one of the scores, raised by less than the rounding of what is printed.
        distances = np.abs(scores - float(f"{each['threshold']:.6g}"))
        assert distances.min() <= 2e-5 * abs(each["threshold"])


def test_verdicts_match_counts():
    anomalous = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    found = detection.verdict_metrics(np.array([1, 1, 0, 1, 0, 0, 0], bool), anomalous)
    precision, recall = 2 / 3, 2 / 3
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert found["recall"] == pytest.approx(2 / 3) and found["false_positive_rate"] == 0.25
    assert detection.verdict_metrics(np.zeros(7, bool), anomalous) == {
        "f1": 0.0, "recall": 0.0, "false_positive_rate": 0.0,
    }  # fmt: skip


def test_numbers_without_images_are_left_out():
    verdicts = np.array([1, 0, 0, 0], bool)
    none, every = np.zeros(4, bool), np.ones(4, bool)
    assert detection.verdict_metrics(verdicts, none) == {"false_positive_rate": 0.25}
    assert detection.verdict_metrics(verdicts, every) == {"f1": 0.4, "recall": 0.25}


# ---- pixels ----


def slow_regions(mask):
    """Sets of anomalous pixels that touch, by flood fill."""
    left, regions = set(zip(*np.nonzero(mask), strict=True)), []
    while left:
        edge = [left.pop()]
        region = set(edge)
        while edge:
            row, column = edge.pop()
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            region |= near
            edge += near
        regions.append(sorted(region))
    return regions


def slow_aupro(maps, masks, end=0.3):
    """The overlap of each region at each threshold, as a curve that is cut off at `end`."""
    regions = [
        np.array([maps[number][place] for place in region])
        for number, mask in enumerate(masks)
        for region in slow_regions(mask)
    ]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append((float((maps[~masks] >= threshold).mean()), float(overlap)))
    area = 0.0
    for (x, y), (next_x, next_y) in zip(points, points[1:], strict=False):
        if x < end and next_x > x:
            stop = min(next_x, end)
            height = y + (stop - x) / (next_x - x) * (next_y - y)
            area += (stop - x) * (y + height) / 2
    return area / end


@pytest.mark.parametrize("ties", [False, True])
def test_region_overlap_matches_a_slow_version(ties):
    random = np.random.default_rng(1)
    masks = np.zeros((4, 12, 12), bool)
    masks[0, 1:4, 2:9] = masks[0, 8, 8] = masks[1, 5:11, 5:7] = masks[1, 4, 4] = True
    masks[2, 0, ::2] = True
    maps = random.normal(size=masks.shape) + 1.0 * masks
    maps = np.round(maps, 0 if ties else 9)
    found = detection.pixel_metrics(maps, masks)
    assert found["aupro"] == pytest.approx(slow_aupro(maps, masks))
    assert found["pixel_auc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))
    assert sum(len(slow_regions(mask)) for mask in masks) == 9
    assert detection.region_weights(masks).sum() == pytest.approx(9)


def test_region_overlap_of_perfect_inverted_and_constant_maps():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :2, :5] = True
    perfect = masks.astype(float)
    assert detection.pixel_metrics(perfect, masks) == {"pixel_auc": 1.0, "aupro": 1.0}
    assert detection.pixel_metrics(-perfect, masks)["aupro"] == 0.0
    # One step from (0, 0) to (1, 1): the mean height up to 0.3 is 0.15.
    constant = detection.pixel_metrics(np.ones((2, 10, 10)), masks)
    assert constant == {"pixel_auc": pytest.approx(0.5), "aupro": pytest.approx(0.15)}


def test_small_region_counts_as_much_as_a_large_one():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, :10, :10] = masks[0, 15, 15] = True
    maps = np.where(masks, 1.0, 0.5)
    maps[0, 15, 15] = 0.0  # the small one is found last
    found = detection.pixel_metrics(maps, masks)
    assert found["aupro"] == pytest.approx(0.5)
    assert found["pixel_auc"] == pytest.approx(100 / 101)


def test_pixels_at_a_corner_are_one_region():
    assert detection.region_weights(np.eye(3, dtype=bool)[None])[0, 0, 0] == pytest.approx(1 / 3)


def test_masks_without_anomalous_or_normal_pixels_have_no_numbers():
    for masks in (np.zeros((1, 3, 3), bool), np.ones((1, 3, 3), bool)):
        assert detection.pixel_metrics(np.ones((1, 3, 3)), masks) == {}
