"""`keras-ae train`: the threshold of runs with anomalous test images; a run for each class."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
from data_helpers import random_images, write_image
from programs import (
    command,
    compiled,
    predict,
    read_json,
    refused,
    run_of,
    small_images,
    snapshot,
    train,
)
from scipy.stats import beta

from keras_ae import data
from keras_ae.prediction.trained_model import open_model
from keras_ae.runs.anomalies import measure, rate_warning
from keras_ae.runs.plan import Splits
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.runs.scores import default_score
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
    scores = np.sort(model.anomaly_score(split.validation.images, "mse"))
    num_above = int(0.2 * len(scores))
    lowest = scores[len(scores) - 1 - num_above]
    assert model.threshold == pytest.approx(lowest, rel=2e-5) and model.threshold >= lowest
    assert 2 not in split.validation.labels
    fit = model.threshold_fit
    assert (fit.score, fit.false_positive_rate) == ("mse", 0.2)
    assert fit.num_images == len(split.validation) == run.results["threshold_num_images"]
    assert run.results["threshold"] == model.threshold
    assert run.results["threshold_score"] == "mse" and run.results["threshold_rate"] == 0.2
    served: Any = open_model(held_out[1] / "saved_model")
    verdict = served._served.verdict(split.test.images)
    assert float(verdict["threshold"]) == pytest.approx(model.threshold, rel=1e-6)
    np.testing.assert_array_equal(verdict["is_anomalous"], model.is_anomalous(split.test.images))


def test_results_count_what_the_threshold_finds_in_the_test(held_out):
    run = RunDirectory(held_out[1])
    model, split, results = run.load_model(), parts_of(run), run.results
    scores, anomalous = model.anomaly_score(split.test.images, "mse"), split.test.labels == 2
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
    for words in (f"{results['threshold']:.6g}", "score mse", "rate of 0.01", f"from {num} normal"):
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
            pixels = image if name == "hole" else 96 + image // 4
            write_image(folder / part / name / f"{place}.png", pixels)
    return folder


def test_a_set_of_defects_gets_a_threshold(tmp_path):
    folder = write_defects(tmp_path / "defects")
    assert train(*command(folder, tmp_path / "runs", "shallow", epochs=1, batch_size=8)) == 0
    run = RunDirectory(tmp_path / "runs" / "defects" / "shallow-20d-seed42")
    results = run.results
    assert (results["test_num_anomalous"], results["test_num_normal"]) == (4, 6)
    assert results["threshold"] == run.load_model().threshold
    assert results["test_auroc"] == 1.0  # the defects have four times the contrast


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


# ---- the default score ----


def drawings(path):
    """The set of `small_images` with a black background."""
    with np.load(small_images(path)) as stored:
        images, labels = np.where(stored["images"] < 0.5, 0, stored["images"]), stored["labels"]
    np.savez(path, images=images, labels=labels)
    return path


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_default_score_of_drawings_is_the_loss_and_of_other_images_mse(tmp_path, loss):
    images = [
        np.load(path)["images"]
        for path in (drawings(tmp_path / "drawn.npz"), small_images(tmp_path / "gray.npz"))
    ]
    assert [default_score(loss, each) for each in images] == [loss, "mse"]
    assert default_score(loss, np.uint8(255 * images[0])) == loss
    assert default_score(loss, images[0][..., None].repeat(3, -1)) == "mse"  # color


def score_lines(capsys) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if line.startswith("anomaly score: ")]


def test_drawings_get_a_threshold_of_the_loss(tmp_path, capsys):
    path = drawings(tmp_path / "drawn.npz")
    line = [*command(path, tmp_path / "runs", "shallow", epochs=1), "--held-out-class", "2"]
    assert train(*line) == 0
    assert score_lines(capsys) == ["anomaly score: bce, the training loss"]
    run = RunDirectory(tmp_path / "runs" / "drawn.npz" / "shallow-20d-without-2-seed42")
    results = run.results
    assert results["threshold_score"] == results["default_score"] == "bce"
    assert train(*line, "--anomaly-score", "bce") == 0  # the same request
    assert "already finished, skipping" in capsys.readouterr().out
    assert predict(run.directory, path, "--output", tmp_path / "out") == 0
    assert "score bce)" in capsys.readouterr().out


def test_score_line_names_the_score_and_the_reason(tiny, tmp_path, capsys):
    why = "mse, not the training loss bce, as the images are not light drawings on black"
    line = [*command(tiny, tmp_path, "shallow", epochs=1), "--held-out-class", "2"]
    assert train(*line) == 0
    assert score_lines(capsys) == [f"anomaly score: {why}"]
    assert train(*line, "--anomaly-score", "bce", "--overwrite") == 0
    assert score_lines(capsys) == ["anomaly score: bce, the training loss"]
    results = read_json(tmp_path / WITHOUT_2 / "test.json")
    assert (results["threshold_score"], results["default_score"]) == ("bce", "mse")


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    """An exported run without a threshold."""
    output_dir = tmp_path_factory.mktemp("plain")
    with compiled():
        assert train(*command(tiny, output_dir, "shallow", epochs=1), "--export") == 0
    return RunDirectory(run_of(output_dir, "shallow"))


@pytest.mark.parametrize("name", [".", "saved_model"])
def test_predictions_without_a_threshold_use_the_default_score(plain, tiny, tmp_path, capsys, name):
    out, model = tmp_path / "out", plain.load_model()
    assert predict(plain.directory / name, tiny, "--output", out) == 0
    (line,) = score_lines(capsys)
    assert line == "anomaly score: mse, not the training loss bce"
    images = np.load(tiny)["images"]
    rows = np.genfromtxt(out / "predictions.csv", delimiter=",", names=True)
    assert rows.dtype.names == ("index", "reconstruction_loss_nats", "anomaly_score")
    expected = model.anomaly_score(images, "mse")
    np.testing.assert_allclose(rows["anomaly_score"], expected, rtol=1e-4)
    loss = model.anomaly_score(images)  # the library keeps its default
    np.testing.assert_allclose(rows["reconstruction_loss_nats"], loss, rtol=1e-4)
    assert not np.allclose(loss, expected, rtol=0.01)
    assert (
        predict(plain.directory / name, tiny, "--output", out, "--score", "bce", "--overwrite") == 0
    )
    assert score_lines(capsys) == ["anomaly score: bce, the training loss"]
    rows = np.genfromtxt(out / "predictions.csv", delimiter=",", names=True)
    np.testing.assert_allclose(rows["anomaly_score"], loss, rtol=1e-4)


def test_export_of_a_run_has_the_default_score_and_that_of_a_model_its_loss(plain, tiny, tmp_path):
    model, images = plain.load_model(), np.load(tiny)["images"][:20]
    with compiled():
        model.export(tmp_path / "of_library", verbose=False)
    for folder, score in ((plain.path("saved_model"), "mse"), (tmp_path / "of_library", "bce")):
        served: Any = open_model(folder)
        assert (served.loss, served.default_score) == ("bce", score)
        raw = served._served
        for name, kind in (("anomaly_score", score), ("reconstruction_loss", "bce")):
            expected = model.anomaly_score(images, kind)
            np.testing.assert_allclose(getattr(raw, name)(images), expected, rtol=1e-4)
        maps = model.anomaly_map(images, score=score)
        np.testing.assert_allclose(raw.anomaly_map(images), maps, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(
            served.anomaly_map(images, "mse"),
            model.anomaly_map(images, score="mse"),
            rtol=1e-3,
            atol=1e-5,
        )


def test_export_has_the_score_that_was_asked_for(tiny, tmp_path):
    line = [*command(tiny, tmp_path, "shallow", epochs=1), "--held-out-class", "2", "--export"]
    with compiled():
        assert train(*line, "--anomaly-score", "bce") == 0
    served = open_model(tmp_path / WITHOUT_2 / "saved_model")
    assert served.default_score == "bce"


def test_run_of_an_older_version_keeps_the_loss(plain, tiny, tmp_path, capsys):
    run = tmp_path / "older"
    shutil.copytree(plain.directory, run)
    results = plain.results
    del results["default_score"]
    (run / "test.json").write_text(json.dumps(results))
    assert predict(run, tiny, "--output", tmp_path / "out") == 0
    assert score_lines(capsys) == ["anomaly score: bce, the training loss"]


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
    del kept["default_score"]
    kept = {name: value for name, value in kept.items() if not name.startswith("test_")}
    del kept["digests"]
    (run / "config.json").write_text(json.dumps(config))
    (run / "test.json").write_text(json.dumps(kept))
    return line, run


@pytest.mark.parametrize(
    "same", [[], ["--false-positive-rate", "0.01"], ["--anomaly-score", "mse"]]
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


@pytest.mark.parametrize("other", [["--false-positive-rate", "0.1"], ["--anomaly-score", "bce"]])
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
    splits = Splits(data.load(tiny))
    assert splits(42, "0") is splits(42, "0") and splits(42, "1") is not splits(42, "0")
    assert made == ["0", "1", "0"]


@pytest.mark.parametrize(
    ("share", "num", "is_said"), [(0.4, 30, True), (0.1, 30, False), (0.06, 10_000, True)]
)
def test_a_false_positive_rate_above_the_one_asked_for_is_said(share, num, is_said):
    results = {"test_num_normal": num, "test_false_positive_rate": share}
    found = rate_warning(0.05, results)
    low = beta.ppf(0.025, round(share * num), num - round(share * num) + 1)
    assert bool(found) == is_said == (low > 0.05)
    if found:
        assert f"{share:.1%} of the normal" in found[0] and "the 5.0% asked for" in found[0]
    assert not rate_warning(0.05, {"test_num_normal": 0})
