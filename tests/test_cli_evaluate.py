"""`evaluate.py` from end to end: the report, the cache, and refused input."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from programs import eagerly, evaluate, refused, small_images, train

import keras_ae
from keras_ae.evaluation.comparisons import COMPARISONS, classification
from keras_ae.runs.lock import lock_directory

# ReLU, Gaussian, quantized, feature-map and conditional codes; a linear output.
FEW = ("shallow", "vae", "vq_vae")
VARIANTS = ("shallow", "vae", "vq_vae", "linear", "convolutional", "conditional_vae")


@pytest.fixture(autouse=True, scope="module")
def few_steps(offline):
    """Few training steps; other tests check how well the classifiers learn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "NUM_STEPS", 50)
        patch.setattr(classification, "NUM_FITTED_DRAWS", 1)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """280 images of 8x8 in four classes that are easy to tell apart."""
    return small_images(tmp_path_factory.mktemp("tiny") / "tiny.npz", num=280)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    common = ["--dataset", str(tiny), "--output-dir", str(folder), "--epochs", "2"]
    common += ["--jit", "off", "--quiet", "--variant"]
    assert train(*common, *VARIANTS) == 0
    assert train(*common, "vae", "--seed", 43) == 0
    held_out = ["--latent-dim", "2", "--held-out-class", "1"]
    assert train(*common, "shallow", "vae", *held_out) == 0
    return folder


@pytest.fixture(scope="module")
def few(tiny, tmp_path_factory) -> Path:
    """Three runs for the tests of errors, trained in a moment."""
    folder = tmp_path_factory.mktemp("few")
    common = ["--dataset", str(tiny), "--output-dir", str(folder), "--epochs", "1", "--quiet"]
    with eagerly():
        assert train(*common, "--variant", *FEW) == 0
    return folder


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert evaluate(trained, "--output-dir", folder, "--quiet") == 0
    return folder / "tiny.npz"


@pytest.fixture
def metrics(evaluated) -> dict:
    return json.loads((evaluated / "metrics.json").read_text())


def label(row) -> str:
    """The label without the mark of a model that ignores its input, as after two epochs."""
    return row["label"].partition(" (")[0]


# ---- a whole evaluation ----


@pytest.mark.slow
def test_folder_has_the_report_and_every_figure(evaluated, metrics):
    assert set(metrics["comparisons"]) == set(COMPARISONS) - {"threshold"}
    report = (evaluated / "report.md").read_text()
    page = (evaluated / "report.html").read_text()
    for comparison in metrics["comparisons"].values():
        assert comparison["title"] in report and comparison["title"] in page
        assert comparison["figures"], comparison["title"]
        for figure in comparison["figures"]:
            assert (evaluated / figure["file"]).stat().st_size > 100
            assert figure["file"] in report
    assert page.count("<figure><img ") == sum(
        len(comparison["figures"]) for comparison in metrics["comparisons"].values()
    )


@pytest.mark.slow
def test_metrics_are_json_and_complete(metrics):
    for name, part in metrics["comparisons"].items():
        comparison = COMPARISONS[name]
        wanted = {"shallow", "vae"} if comparison.held_out else set(VARIANTS)
        rows = {label(row): row for row in part["rows"] if row["kind"] == "variant"}
        assert set(rows) == wanted
        assert not {"published", "auc_signed"} & {column["key"] for column in part["columns"]}
        if name == "classification":  # it takes labels as input
            assert rows.pop("conditional_vae")["values"] == {}
        for row in rows.values():
            no_bce = name == "reconstruction" and label(row) == "linear"
            main = row["values"]["mse" if no_bce else comparison.columns[0].key]
            assert np.isfinite(main["mean"]), (name, row)
            assert not (no_bce and "bce" in row["values"])
    seeds = metrics["comparisons"]["reconstruction"]["rows"]
    vae = next(row for row in seeds if label(row) == "vae")
    assert vae["values"]["bce"]["num"] == 2 and vae["values"]["bce"]["std"] > 0


@pytest.mark.slow
def test_reconstruction_loss_matches_that_of_training(trained, metrics):
    rows = metrics["comparisons"]["reconstruction"]["rows"]
    for row in rows:
        if label(row) in ("shallow", "vq_vae", "linear"):
            results = trained / "tiny.npz" / f"{label(row)}-20d-seed42" / "test.json"
            expected = json.loads(results.read_text())["reconstruction_loss"]
            found = row["values"]["mse" if label(row) == "linear" else "bce"]["mean"]
            assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_metrics_list_configurations_and_no_missing_runs(metrics):
    rows = {(label(row), row["held_out"] is None): row for row in metrics["configurations"]}
    assert rows["vae", True]["seeds"] == [42, 43]
    assert rows["shallow", False]["held_out"] == ["1"]
    model = keras_ae.VAE(image_shape=(8, 8), latent_dim=20)
    assert rows["vae", True]["num_parameters"] == model.count_params()
    assert rows["vae", True]["training_seconds"]["mean"] > 0
    assert metrics["missing"] == []  # own images, and no run of the bake-off


@pytest.mark.slow
def test_second_call_uses_the_cache(trained, evaluated, monkeypatch, capsys):
    for comparison in COMPARISONS.values():
        room = comparison.load()
        for function in ("measure", "baselines", "draw"):
            monkeypatch.setattr(room, function, None)
    before = json.loads((evaluated / "metrics.json").read_text())
    assert evaluate(trained, "--output-dir", evaluated.parent) == 0
    after = json.loads((evaluated / "metrics.json").read_text())
    assert {**before, "made_by": None} == {**after, "made_by": None}
    assert "report.html" in capsys.readouterr().out


@pytest.mark.slow
def test_one_comparison_with_another_pair_of_classes(trained, tmp_path):
    arguments = [trained, "--output-dir", tmp_path, "--quiet", "--comparisons"]
    assert evaluate(*arguments, "interpolation", "--interpolate", "0", "3") == 0
    metrics = json.loads((tmp_path / "tiny.npz" / "metrics.json").read_text())
    assert list(metrics["comparisons"]) == ["interpolation"]


# ---- what goes wrong ----


def test_broken_run_is_reported_and_the_others_are_compared(few, tmp_path, capsys):
    runs = tmp_path / "runs"
    shutil.copytree(few, runs)
    broken = runs / "tiny.npz" / "vae-20d-seed42"
    (broken / "model.keras").write_bytes(b"PK")
    arguments = [runs, "--output-dir", tmp_path / "out", "--quiet"]
    line = refused(capsys, evaluate, *arguments, "--comparisons", "reconstruction", code=1)
    assert str(broken / "model.keras") in line
    metrics = json.loads((tmp_path / "out" / "tiny.npz" / "metrics.json").read_text())
    rows = metrics["comparisons"]["reconstruction"]["rows"]
    assert {label(row) for row in rows if row["kind"] == "variant"} == {"shallow", "vq_vae"}
    assert "model.keras" in metrics["broken"][0]


def test_unfinished_run_is_skipped_and_reported(few, tmp_path, capsys):
    runs = tmp_path / "runs"
    shutil.copytree(few, runs)
    (runs / "tiny.npz" / "shallow-20d-seed42" / "test.json").unlink()
    arguments = [runs, "--output-dir", tmp_path / "out", "--comparisons", "reconstruction"]
    assert evaluate(*arguments) == 0
    out = capsys.readouterr().out
    assert "unfinished" in out and "shallow-20d-seed42" in out
    metrics = json.loads((tmp_path / "out" / "tiny.npz" / "metrics.json").read_text())
    labels = {label(row) for row in metrics["comparisons"]["reconstruction"]["rows"]}
    assert "shallow" not in labels and "vae" in labels


def test_changed_images_are_refused(few, tiny, tmp_path, capsys):
    content = tiny.read_bytes()
    try:
        with np.load(tiny) as stored:
            np.savez(tiny, images=stored["images"] * 0.5, labels=stored["labels"])
        line = refused(capsys, evaluate, few, "--output-dir", tmp_path, "--quiet")
        assert "have changed" in line
    finally:
        tiny.write_bytes(content)
    assert list(tmp_path.iterdir()) == []


def test_unknown_class_is_refused_before_measuring(few, tmp_path, capsys):
    arguments = [few, "--output-dir", tmp_path, "--quiet"]
    line = refused(capsys, evaluate, *arguments, "--interpolate", "0", "nine")
    assert "nine" in line


def test_unusable_runs_are_refused_with_a_command(few, tmp_path, capsys):
    only = few / "tiny.npz" / "vq_vae-20d-seed42"
    line = refused(capsys, evaluate, only, "--output-dir", tmp_path, "--comparisons", "anomaly")
    assert "--held-out-class" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-folder"], "keras-ae train"),
        (["{empty}"], "keras-ae train"),
        (["{empty}", "--comparisons", "anomly"], "did you mean anomaly"),
        (["{empty}", "--interpolate", "2"], "--interpolate"),
        (["{empty}", "--projection", "pca"], "umap"),
        (["{empty}", "--data-dir", "no-such-folder"], "no-such-folder"),
        (["{empty}", "--output-dir", "{file}/below"], "not a folder"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(tmp_path, capsys, arguments, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"empty": tmp_path / "empty", "file": tmp_path / "file"}
    assert words in refused(capsys, evaluate, *(text.format(**places) for text in arguments))


def test_output_folder_in_use_is_refused_and_its_owner_named(few, tmp_path, capsys):
    output_dir = tmp_path / "results"
    held = output_dir / "tiny.npz"
    with lock_directory(held):
        line = refused(capsys, evaluate, few, "--output-dir", output_dir, "--quiet")
        assert not (held / "metrics.json").exists()
    assert f"{held} is in use by process {os.getpid()}" in line
    assert "use another --output-dir" in line
    words = ["--comparisons", "reconstruction", "--quiet"]
    assert evaluate(few, "--output-dir", output_dir, *words) == 0
    assert (held / "metrics.json").exists()
    assert not list(held.glob(".lock*"))
