"""The comparison of thresholds without anomalous images, against counts and SciPy's beta."""

import json

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image
from programs import command, evaluate, small_images, train
from scipy.stats import beta

from keras_ae.anomaly.threshold import ThresholdFit
from keras_ae.data import Split, Subset
from keras_ae.evaluation.comparisons import COMPARISONS, threshold
from keras_ae.evaluation.comparisons.base import EvaluationData, Result
from keras_ae.evaluation.summary import summarize
from keras_ae.runs.run_directory import RunDirectory


def clopper_pearson(num, total):
    """By quantiles of the beta distribution."""
    low = beta.ppf(0.025, num, total - num + 1) if num else 0.0
    return low, beta.ppf(0.975, num + 1, total - num) if num < total else 1.0


class Fake(FakeAutoencoder):
    """Scores an image by its first pixel; the threshold is 0.75."""

    threshold_fit = ThresholdFit(0.75, "ssim", "false_positive_rate", 0.1, 0.1, (0.0123, 0.317), 30)

    def anomaly_score(self, images, score=None, num_samples=None):
        assert (score, num_samples) == ("ssim", None)
        return images[:, 0, 0]


def images_with(pixels):
    images = np.zeros((len(pixels), 4, 4), np.float32)
    images[:, 0, 0] = pixels
    return EvaluationData(Split(*[Subset(images)] * 3))


def test_rate_and_interval_match_counts_and_quantiles_of_beta():
    data = images_with([0.1] * 36 + [0.75] + [0.8] * 3)  # a score at the threshold is not above
    made = threshold.measure(Fake(), data, seed=0)
    numbers = made.metrics
    assert numbers["false_positive_rate"] == pytest.approx(3 / 40)
    assert numbers["interval"] == pytest.approx(clopper_pearson(3, 40))
    assert (numbers["num_normal"], numbers["threshold"]["threshold"]) == (40, 0.75)
    (facts,) = numbers["facts"].values()
    assert facts == {
        "score": "ssim",
        "threshold": "0.75",
        "rate asked for": "0.1",
        "validation images": "30",
        "real rate, from these": "0.012 to 0.32",
        "test images above": "3 of 40",
        "real rate, on the test images": "0.075 (0.016 to 0.2)",
    }
    assert json.loads(json.dumps(numbers)) == numbers
    assert len(made.arrays["scores"]) == 40


def test_a_threshold_set_by_hand_has_no_rate():
    model = Fake()
    model.threshold_fit = ThresholdFit(0.75, "ssim", "given")
    (facts,) = threshold.measure(model, images_with([0.5]), seed=0).metrics["facts"].values()
    assert facts["rate asked for"] == facts["real rate, from these"] == "–"
    model.threshold_fit = None
    with pytest.raises(ValueError, match="no threshold"):
        threshold.measure(model, images_with([0.5]), seed=0)


def test_table_has_a_row_for_each_run_and_the_figure_a_panel_for_each_label(tmp_path):
    data = images_with(np.linspace(0, 1, 50))
    made = threshold.measure(Fake(), data, seed=0)
    results = [
        Result(label, "deep", seed, 2, None, made) for label, seed in (("a", 1), ("a", 2), ("b", 1))
    ]
    part = summarize("threshold", COMPARISONS["threshold"], results, [], "toy")
    (table,) = part["by_class"]
    assert [row["label"] for row in table["rows"]] == ["a, seed 1", "a, seed 2", "b"]
    assert table["heading"] == threshold.HEADING and table["classes"][0] == "score"
    assert table["rows"][0]["values"][:2] == ["ssim", "0.75"]
    assert part["rankings"] == [] and threshold.baselines(data, seed=0) == {}
    (figure,) = threshold.draw(results, [], data, tmp_path)
    assert Image.open(figure.path).width > 400
    assert threshold.draw([], [], data, tmp_path) == []


def test_report_of_a_set_without_anomalous_images(tmp_path, offline, capsys):
    images = np.load(small_images(tmp_path / "labeled.npz"))["images"]
    np.save(tmp_path / "plain.npy", images)
    for seed, options in ((1, ["--false-positive-rate", 0.2]), (2, [])):
        line = command(tmp_path / "plain.npy", tmp_path / "runs", "shallow", epochs=1)
        assert train(*line, "--seed", seed, *options) == 0
    words = ["--output-dir", tmp_path / "out", "--comparisons", "anomaly", "threshold"]
    assert evaluate(tmp_path / "runs", *words) == 0
    shown = capsys.readouterr().out
    assert "left out: Anomaly detection: the images have no class labels" in shown
    assert "left out: Anomaly threshold" not in shown
    folder = tmp_path / "out" / "plain.npy"
    (part,) = json.loads((folder / "metrics.json").read_text())["comparisons"].values()
    run = RunDirectory(tmp_path / "runs" / "plain.npy" / "shallow-20d-seed1")
    results = run.results
    found = part["rows"][0]["values"]["false_positive_rate"]
    assert found["mean"] == pytest.approx(results["test_false_positive_rate"]) and found["num"] == 1
    report = (folder / "report.md").read_text()
    num = round(results["test_false_positive_rate"] * results["test_num_normal"])
    for words in (
        "No test image of these runs is known to be anomalous",
        f"| local_residual | {results['threshold']:.6g} | 0.2 | ",
        f"| {num} of {results['test_num_normal']} |",
        "threshold_scores.png",
    ):
        assert words in report


def test_runs_without_a_threshold_are_left_out_with_the_reason(tmp_path, offline, capsys):
    images = np.load(small_images(tmp_path / "labeled.npz"))["images"]
    np.save(tmp_path / "plain.npy", images)
    assert train(*command(tmp_path / "plain.npy", tmp_path / "runs", "shallow", epochs=1)) == 0
    words = ["--output-dir", tmp_path / "out", "--comparisons", "reconstruction", "threshold"]
    assert evaluate(tmp_path / "runs", *words) == 0
    assert "left out: Anomaly threshold: no run has a threshold." in capsys.readouterr().out
