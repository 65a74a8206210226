"""`keras-ae train`: the threshold of runs with anomalous test images; a run for each class."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from data_helpers import random_images, write_image
from programs import command, compiled, read_json, refused, run_of, small_images, snapshot, train

from keras_ae import data
from keras_ae.prediction.trained_model import open_model
from keras_ae.runs.anomalies import measure
from keras_ae.runs.plan import Splits
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.runs.train import Training

pytestmark = pytest.mark.usefixtures("offline", "eager")

WITHOUT_2 = "tiny.npz/shallow-20d-without-2-seed42"


@pytest.fixture(scope="module")
def held_out(tiny, tmp_path_factory):
    """A run without class 2, exported: its command, its directory, its output."""
    output_dir = tmp_path_factory.mktemp("held-out") / "runs"
    line = [*command(tiny, output_dir, "shallow", epochs=2), "--held-out-class", "2"]
    with compiled():
        assert train(*line, "--export", "--false-positive-rate", "0.2") == 0
    return line, output_dir / WITHOUT_2


def parts_of(run) -> Any:
    config = run.config
    return data.split(data.load(config.data.source), held_out_class=config.request.held_out_class)


def test_threshold_is_fitted_to_the_validation_images_and_stored(held_out):
    run = RunDirectory(held_out[1])
    model, split = run.load_model(), parts_of(run)
    scores = np.sort(model.anomaly_score(split.validation.images))
    num_above = int(0.2 * len(scores))
    lowest = scores[len(scores) - 1 - num_above]
    assert model.threshold == pytest.approx(lowest, rel=2e-5) and model.threshold >= lowest
    assert 2 not in split.validation.labels
    fit = model.threshold_fit
    assert (fit.score, fit.false_positive_rate) == ("bce", 0.2)
    assert fit.num_images == len(split.validation) == run.results["threshold_num_images"]
    assert run.results["threshold"] == model.threshold
    assert run.results["threshold_score"] == "bce" and run.results["threshold_rate"] == 0.2
    served: Any = open_model(held_out[1] / "saved_model")
    verdict = served._served.verdict(split.test.images)
    assert float(verdict["threshold"]) == pytest.approx(model.threshold, rel=1e-6)
    np.testing.assert_array_equal(verdict["is_anomalous"], model.is_anomalous(split.test.images))


def test_results_count_what_the_threshold_finds_in_the_test(held_out):
    run = RunDirectory(held_out[1])
    model, split, results = run.load_model(), parts_of(run), run.results
    scores, anomalous = model.anomaly_score(split.test.images), split.test.labels == 2
    found = scores > model.threshold
    assert results["test_recall"] == pytest.approx(np.mean(found[anomalous]))
    assert results["test_false_positive_rate"] == pytest.approx(np.mean(found[~anomalous]))
    pairs = scores[anomalous][:, None] - scores[~anomalous]  # by definition
    auroc = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    assert results["test_auroc"] == pytest.approx(auroc, abs=1e-6)
    assert (results["test_num_anomalous"], results["test_num_normal"]) == (
        anomalous.sum(), (~anomalous).sum()
    )  # fmt: skip


def test_shares_of_known_scores():
    scores = np.array([1, 2, 3, 4, 5], np.float32)
    anomalous = np.array([False, False, True, False, True])
    assert measure(scores, anomalous, 3.5) == {
        "test_num_anomalous": 2,
        "test_num_normal": 3,
        "test_recall": 0.5,
        "test_false_positive_rate": pytest.approx(1 / 3),
        "test_auroc": pytest.approx(5 / 6),
    }
    assert measure(scores, np.zeros(5, bool), 3.5) == {
        "test_num_anomalous": 0, "test_num_normal": 5, "test_false_positive_rate": 0.4
    }  # fmt: skip


def test_output_has_a_line_for_the_threshold_one_for_the_test_and_a_warning(tiny, tmp_path, capsys):
    line = [*command(tiny, tmp_path, "shallow", epochs=1), "--held-out-class", "2"]
    assert train(*line) == 0
    printed = capsys.readouterr().out.splitlines()
    results = read_json(tmp_path / WITHOUT_2 / "test.json")
    (threshold,) = [line for line in printed if line.startswith("threshold: ")]
    num = results["threshold_num_images"]
    for words in (f"{results['threshold']:.6g}", "score bce", "rate of 0.01", f"from {num} normal"):
        assert words in threshold
    # 0 of n images: the upper end is 1 - 0.025^(1/n).
    assert f"real rate 0 to {1 - 0.025 ** (1 / num):.2g} (95%" in threshold
    (found,) = [line for line in printed if line.startswith("called anomalous: ")]
    assert f"of {results['test_num_anomalous']} anomalous test images" in found
    assert f"AUROC {results['test_auroc']:.3f}" in found
    (few,) = [line for line in printed if "too few" in line]
    assert few.startswith(f"warning: {num} normal images are too few")


def test_a_score_of_codes_is_fitted_to_the_training_images(tiny, tmp_path):
    line = [*command(tiny, tmp_path, "shallow", epochs=1), "--held-out-class", "2"]
    assert train(*line, "--anomaly-score", "mahalanobis") == 0
    run = RunDirectory(tmp_path / WITHOUT_2)
    model, split = run.load_model(), parts_of(run)
    codes = model.encode(split.train.images)
    np.testing.assert_allclose(
        model._anomaly.statistics["mahalanobis"]["mean"], codes.mean(0), rtol=1e-3, atol=1e-4
    )
    assert model.threshold_fit.num_images == len(split.validation)  # none of them for the score
    assert run.config.request.anomaly_score == run.results["threshold_score"] == "mahalanobis"


def test_a_run_without_anomalous_test_images_has_no_threshold_unless_asked(tiny, tmp_path, capsys):
    line = command(tiny, tmp_path, "shallow", epochs=1)
    assert train(*line) == 0
    run = RunDirectory(run_of(tmp_path, "shallow"))
    assert run.load_model().threshold is None and "threshold" not in run.results
    assert "threshold" not in capsys.readouterr().out
    assert train(*line, "--false-positive-rate", 0.1, "--overwrite") == 0
    assert run.load_model().threshold_fit.false_positive_rate == 0.1
    assert run.config.request.false_positive_rate == 0.1
    results = run.results
    assert "test_recall" not in results and "test_auroc" not in results
    assert 0 <= results["test_false_positive_rate"] <= 1 and results["test_num_normal"] == 30


def write_defects(folder):
    """A set with one normal class: 24 images for training, 6 + 4 for the test."""
    for part, name, number in (("train", "good", 24), ("test", "good", 6), ("test", "hole", 4)):
        for place, image in enumerate(random_images(number, 8, 8, seed=number)):
            write_image(folder / part / name / f"{place}.png", image // (2 - (name == "hole")))
    return folder


def test_a_set_of_defects_gets_a_threshold(tmp_path):
    folder = write_defects(tmp_path / "defects")
    assert train(*command(folder, tmp_path / "runs", "shallow", epochs=1, batch_size=8)) == 0
    run = RunDirectory(tmp_path / "runs" / "defects" / "shallow-20d-seed42")
    results = run.results
    assert (results["test_num_anomalous"], results["test_num_normal"]) == (4, 6)
    assert results["threshold"] == run.load_model().threshold
    assert results["test_auroc"] == 1.0  # the defects have twice the brightness


def test_one_validation_image_gives_a_warning_and_no_threshold(tmp_path, capsys):
    path = small_images(tmp_path / "few.npz", 20)  # 17 training images: 1 for validation
    line = command(path, tmp_path / "runs", "shallow", epochs=1, batch_size=4)
    line += ["--held-out-class", "0"]
    assert train(*line) == 0
    printed = capsys.readouterr().out
    assert "warning: The model has no threshold: that needs at least two validation" in printed
    run = RunDirectory(tmp_path / "runs" / "few.npz" / "shallow-20d-without-0-seed42")
    assert run.load_model().threshold is None and "threshold" not in run.results
    refusal = refused(capsys, train, *line, "--false-positive-rate", "0.1", "--overwrite")
    assert "at least two validation images; there is 1" in refusal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--false-positive-rate", "0"], "between 0 and 1, exclusive, such as 0.01; received 0"),
        (["--false-positive-rate", "1"], "received 1"),
        (["--false-positive-rate", "nan"], "received nan"),
        (["--false-positive-rate", "much"], "received much"),
        (["--anomaly-score", "elbo"], "of shallow must be one of bce, mse, ssim, signed_residual"),
        (["--anomaly-score", "sim"], "received 'sim'"),
        (["--held-out-class", "9"], "no class '9'"),
    ],
)
def test_unusable_options_are_refused_before_training(capsys, tiny, tmp_path, arguments, words):
    line = command(tiny, tmp_path / "runs", "shallow")
    if arguments[0] != "--held-out-class":
        line += ["--held-out-class", "2"]
    assert words in refused(capsys, train, *line, *arguments)
    assert not (tmp_path / "runs").exists()


# ---- existing runs ----


@pytest.fixture
def older(tiny, tmp_path):
    """The command and the directory of a run that was finished before there were thresholds."""
    line = [*command(tiny, tmp_path, "shallow", epochs=2), "--held-out-class", "2"]
    assert train(*line) == 0
    run = tmp_path / WITHOUT_2
    config, results = read_json(run / "config.json"), read_json(run / "test.json")
    del config["request"]["false_positive_rate"], config["request"]["anomaly_score"]
    kept = {name: value for name, value in results.items() if "thresh" not in name}
    kept = {name: value for name, value in kept.items() if not name.startswith("test_")}
    del kept["digests"]
    (run / "config.json").write_text(json.dumps(config))
    (run / "test.json").write_text(json.dumps(kept))
    return line, run


@pytest.mark.parametrize(
    "same", [[], ["--false-positive-rate", "0.01"], ["--anomaly-score", "bce"]]
)
def test_an_older_finished_run_is_skipped(older, capsys, same):
    line, run = older
    before = snapshot(run)
    capsys.readouterr()
    assert train(*line, *same) == 0
    assert "already finished, skipping" in capsys.readouterr().out
    assert snapshot(run) == before


def test_an_older_interrupted_run_is_resumed_and_gets_a_threshold(older, capsys):
    line, run = older
    (run / "test.json").unlink()
    (run / "model.keras").unlink()
    assert train(*line) == 0
    assert "training complete, finalizing" in capsys.readouterr().out
    assert RunDirectory(run).load_model().threshold == RunDirectory(run).results["threshold"]


@pytest.mark.parametrize("other", [["--false-positive-rate", "0.1"], ["--anomaly-score", "mse"]])
def test_another_threshold_is_another_request(older, capsys, other):
    line, run = older
    before = snapshot(run)
    name = other[0].removeprefix("--").replace("-", "_")
    assert f"{name} None; this one asks for" in refused(capsys, train, *line, *other)
    assert snapshot(run) == before


# ---- a run for each class ----


def names_of(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_is_a_run_without_each_class(tiny, tmp_path, monkeypatch):
    planned = []
    monkeypatch.setattr(Training, "run", lambda self: planned.extend(self._planned))
    line = command(tiny, tmp_path, "shallow", "deep", epochs=1)
    assert train(*line, "--held-out-class", "all") == 0
    found = [(run.config.request.held_out_class, run.config.request.variant) for run in planned]
    assert found == [(str(k), variant) for k in range(4) for variant in ("shallow", "deep")]
    for run in planned:
        label = int(run.config.request.held_out_class)
        expected = data.split(data.load(tiny), held_out_class=label)
        assert run.config.data.num_train == len(expected.train) == len(run.split.train)
        assert label not in run.split.train.labels
        np.testing.assert_array_equal(run.split.train.images, expected.train.images)
        np.testing.assert_array_equal(run.split.test.labels, expected.test.labels)


def test_a_run_of_a_grid_equals_the_same_run_alone(tiny, tmp_path):
    line = command(tiny, tmp_path / "grid", "shallow", epochs=1)
    assert train(*line, "--held-out-class", "0", "2") == 0
    assert names_of(tmp_path / "grid" / "tiny.npz") == {
        "shallow-20d-without-0-seed42", "shallow-20d-without-2-seed42"
    }  # fmt: skip
    line = command(tiny, tmp_path / "alone", "shallow", epochs=1)
    assert train(*line, "--held-out-class", "2") == 0
    models = [RunDirectory(tmp_path / each / WITHOUT_2).load_model() for each in ("grid", "alone")]
    for weight, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(weight, other)
    assert models[0].threshold == models[1].threshold


def test_a_class_that_is_called_all_is_that_class(tmp_path):
    images = random_images(48, 8, 8)
    for place, image in enumerate(images):
        write_image(tmp_path / "set" / ("all", "some")[place % 2] / f"{place}.png", image)
    line = command(tmp_path / "set", tmp_path / "runs", "shallow", epochs=1, batch_size=8)
    assert train(*line, "--held-out-class", "all") == 0
    assert names_of(tmp_path / "runs" / "set") == {"shallow-20d-without-all-seed42"}


def test_all_needs_labels(tmp_path, capsys):
    np.save(tmp_path / "images.npy", random_images(40, 8, 8))
    line = command(tmp_path / "images.npy", tmp_path / "runs", "shallow")
    refusal = refused(capsys, train, *line, "--held-out-class", "all")
    assert "no labels, so no class of it can be held out" in refusal


def test_one_split_is_in_memory_at_a_time(tiny, monkeypatch):
    made = []
    split = data.split

    def counting(*arguments, **options):
        made.append(options["held_out_class"])
        return split(*arguments, **options)

    monkeypatch.setattr(data, "split", counting)
    splits = Splits(data.load(tiny), 42)
    assert splits("0") is splits("0") and splits("1") is not splits("0")
    assert made == ["0", "1", "0"]
