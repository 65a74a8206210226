"""`train.py` from end to end: run directories, output, grids of runs."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from programs import (
    FILES,
    LOSSES,
    NUM_IMAGES,
    command,
    history,
    losses,
    read_json,
    refused,
    run_of,
    snapshot,
    train,
)

import keras_ae
from keras_ae import data
from keras_ae.cli.train import best_of, next_command, parse, training_line
from keras_ae.evaluation.evaluation import load_data
from keras_ae.runs import catalog, checkpoint, plan
from keras_ae.runs.request import RunRequest
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.runs.train import Training
from keras_ae.variants import BAKE_OFF

pytestmark = pytest.mark.usefixtures("offline", "eager")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Two trained and exported variants: the command and the output folder."""
    output_dir = tmp_path_factory.mktemp("trained") / "runs"
    line = command(tiny, output_dir, "deep", "vae", epochs=2)
    assert train(*line, "--export") == 0
    return line, output_dir


@pytest.mark.parametrize("variant", ["deep", "vae"])
def test_run_directory_has_the_documented_files(trained, variant):
    _, output_dir = trained
    assert {path.name for path in run_of(output_dir, variant).iterdir()} == FILES | {"saved_model"}


def test_config_records_everything_resolved(trained):
    config = read_json(run_of(trained[1], "vae") / "config.json")
    request = config["request"]
    assert len(request.pop("fingerprint")) == 16
    assert request == {
        "variant": "vae",
        "latent_dim": 20,
        "dataset": "tiny.npz",
        "held_out_class": None,
        "epochs": 2,
        "batch_size": 60,
        "learning_rate": 1e-3,
        "patience": None,
        "lr_patience": None,
        "seed": 42,
        "jit": "auto",
        "schedule": "constant",
        "ema": None,
        "false_positive_rate": None,
        "anomaly_score": None,
        "arguments": {},
    }
    assert config["model"]["beta"] == 1.0
    assert config["model"]["hidden_units"] == [341, 113]
    counts = [config["data"][f"num_{part}"] for part in ("train", "validation", "test")]
    assert counts == [165, 15, 30]
    assert config["data"]["image_shape"] == [8, 8]
    assert config["data"]["class_names"] == ["0", "1", "2", "3"]
    versions = config["versions"]
    assert versions["keras_ae"] == keras_ae.__version__
    assert versions["keras"] == keras.__version__
    assert versions["tensorflow"] == tf.__version__
    assert {"numpy", "python"} <= set(versions)


def test_recorded_model_config_builds_the_model(trained):
    run = RunDirectory(run_of(trained[1], "vae"))
    rebuilt = keras_ae.VAE.from_config(run.config.model)
    assert rebuilt.count_params() == run.load_model().count_params()


def test_history_has_one_line_per_epoch_with_all_losses(trained):
    rows = history(run_of(trained[1], "vae"))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        for prefix in ("", "val_"):
            loss, reconstruction, latent = (float(row[prefix + name]) for name in LOSSES)
            assert loss == pytest.approx(reconstruction + latent, abs=1e-3)
            assert reconstruction > 0 and latent >= 0
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.parametrize("variant", ["deep", "vae"])
def test_saved_model_evaluates_to_the_recorded_results(trained, tiny, variant):
    run = RunDirectory(run_of(trained[1], variant))
    test = data.split(data.load(tiny)).test
    measured = run.load_model().evaluate(test.images, verbose=0, return_dict=True)
    for name in LOSSES:
        assert measured[name] == pytest.approx(run.results[name], rel=1e-6)
    assert run.results["num_images"] == len(test) == 30
    assert run.results["seconds_per_epoch"] > 0


def test_exported_model_matches_the_saved_one(trained, tiny):
    run = run_of(trained[1], "vae")
    images = data.split(data.load(tiny)).test.images[:5]
    served = tf.saved_model.load(str(run / "saved_model"))
    scores = RunDirectory(run).load_model().anomaly_score(images, "mse")
    assert np.allclose(served.anomaly_score(images), scores, rtol=1e-5)


def test_finished_run_is_skipped_without_changes(trained, capsys):
    line, output_dir = trained
    before = snapshot(output_dir)
    capsys.readouterr()
    assert train(*line) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished") == 2
    assert "epoch 1/" not in printed
    assert snapshot(output_dir) == before


def test_finished_export_is_skipped_without_changes(trained):
    line, output_dir = trained
    before = snapshot(output_dir)
    assert train(*line, "--export") == 0
    assert snapshot(output_dir) == before


def test_finished_run_can_be_exported_later(tiny, tmp_path):
    line = command(tiny, tmp_path, "shallow", epochs=1)
    assert train(*line) == 0
    model = (run_of(tmp_path, "shallow") / "model.keras").read_bytes()
    assert train(*line, "--export") == 0
    assert (run_of(tmp_path, "shallow") / "saved_model" / "saved_model.pb").exists()
    assert (run_of(tmp_path, "shallow") / "model.keras").read_bytes() == model


@pytest.mark.parametrize("name", ["digests.json", "saved_model.pb"])
def test_incomplete_export_is_rewritten(trained, tmp_path, name):
    line, output_dir = trained
    shutil.copytree(output_dir, tmp_path / "runs")
    export = run_of(tmp_path / "runs", "vae") / "saved_model"
    (export / name).unlink()
    assert not RunDirectory(export.parent).exported
    assert train(*line, "--export", "--output-dir", tmp_path / "runs") == 0
    assert (export / name).is_file() and RunDirectory(export.parent).exported


@pytest.mark.parametrize(
    "change", [("--epochs", 3), ("--batch-size", 50), ("--learning-rate", 0.1), ("--jit", "off")]
)
def test_another_request_in_the_same_directory_is_refused(trained, capsys, change):
    line, output_dir = trained
    before = snapshot(output_dir)
    refusal = refused(capsys, train, *line, *change)
    assert str(change[1]) in refusal and "--overwrite" in refusal
    assert snapshot(output_dir) == before


def test_other_images_of_the_same_name_are_refused(trained, tmp_path, capsys):
    _, output_dir = trained
    other = tmp_path / "tiny.npz"
    np.savez(other, images=np.zeros((NUM_IMAGES, 8, 8), "float32"))
    assert "other images" in refused(capsys, train, *command(other, output_dir, "deep", epochs=2))


def test_whole_grid_is_checked_before_anything_is_written(trained, capsys):
    line, output_dir = trained
    before = snapshot(output_dir)
    refused(capsys, train, *line[:1], "shallow", *line[1:], "--epochs", 3)
    assert snapshot(output_dir) == before


def test_overwrite_retrains_and_leaves_nothing_of_the_old_run(trained, tiny, tmp_path, capsys):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    capsys.readouterr()
    assert train(*command(tiny, tmp_path, "deep", epochs=1), "--overwrite", "--seed", 42) == 0
    assert "already finished" not in capsys.readouterr().out
    run = run_of(tmp_path, "deep")
    assert len(history(run)) == 1
    assert read_json(run / "config.json")["request"]["epochs"] == 1
    assert {path.name for path in run.iterdir()} == FILES
    assert (run_of(tmp_path, "vae") / "saved_model").exists()


def test_another_seed_is_another_run(trained, tiny, tmp_path):
    assert train(*command(tiny, tmp_path, "deep", epochs=2), "--seed", 43) == 0
    run = tmp_path / "tiny.npz" / "deep-20d-seed43"
    assert losses(run)[0]["loss"] != losses(run_of(trained[1], "deep"))[0]["loss"]


def test_output_names_device_data_run_result_and_next_command(tiny, tmp_path, capsys):
    assert train(*command(tiny, tmp_path, "shallow", epochs=1)) == 0
    printed = capsys.readouterr().out
    run = run_of(tmp_path, "shallow")
    device = "CPU" if not tf.config.list_physical_devices("GPU") else ""
    for words in (device, "tiny.npz", "165 training", "8 x 8", str(run), "test: ", "left"):
        assert words in printed
    result = read_json(run / "test.json")["reconstruction_loss"]
    assert f"test: {result:.2f} nats" in printed
    commands = [
        shlex.split(line.removeprefix("next: "))
        for line in printed.splitlines()
        if line.startswith("next: ")
    ]
    assert commands == [
        ["python", "evaluate.py", str(run.parent)],
        ["python", "-m", "keras_ae", "predict", str(run), "path/to/images"],
    ]


def test_next_commands_are_those_of_the_best_run():
    runs = [
        SimpleNamespace(finished=True, results=results)
        for results in ({"mse": 3.0}, {"mse": 2.0}, {})
    ]
    assert best_of(runs) is runs[1]
    assert best_of(runs[2:]) is runs[2]  # one of an older version, that was finished


MODULE = "python -m keras_ae"


@pytest.mark.parametrize(
    ("prog", "evaluate", "predict"),
    [
        ("keras-ae train", "keras-ae evaluate r", "keras-ae predict r"),
        (
            "python -m keras_ae train",
            "python -m keras_ae evaluate r",
            "python -m keras_ae predict r",
        ),
        ("train.py", "python evaluate.py r", "python -m keras_ae predict r"),
    ],
)
def test_the_next_command_is_started_as_this_one_was(prog, evaluate, predict):
    assert next_command(prog, ["evaluate", "r"]) == evaluate.split()
    assert next_command(prog, ["predict", "r"]) == predict.split()


def test_the_line_of_a_training_has_no_plural_of_one():
    request = SimpleNamespace(epochs=1, batch_size=1, patience=1)
    config = SimpleNamespace(request=request, data=SimpleNamespace(num_train=1))
    assert "1 epoch of 1 step of 1 image;" in training_line(config)
    assert "after 1 epoch without" in training_line(config)


def test_quiet_prints_nothing(tiny, tmp_path, capfd):
    assert train(*command(tiny, tmp_path, "shallow", epochs=1), "--quiet") == 0
    assert capfd.readouterr().out == ""
    assert RunDirectory(run_of(tmp_path, "shallow")).finished


def test_list_shows_every_variant_with_its_parameters(capsys):
    assert train("--list") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert "parameters" in head
    assert [row.split()[0] for row in rows] == list(keras_ae.VARIANTS)
    deep = next(row for row in rows if row.startswith("deep"))
    assert f"{keras_ae.Deep().count_params():,}" in deep


def test_all_trains_every_variant_once(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "build_model", lambda variant, *_: keras_ae.Shallow((2, 2), 1))
    monkeypatch.setattr(Training, "_train", finish_at_once)
    assert train(*command(tiny, tmp_path, "all", epochs=1)) == 0
    names = {path.name for path in (tmp_path / "tiny.npz").iterdir()}
    assert names == {f"{variant}-1d-seed42" for variant in keras_ae.VARIANTS}


def finish_at_once(training, run, planned, model, progress) -> None:
    run.start(planned.config)
    results = dict.fromkeys((*LOSSES, "seconds_per_epoch"), 0.0)
    run.path("test.json").write_text(json.dumps(results))


def test_impossible_latent_dim_is_refused(tiny, tmp_path, capsys):
    line = command(tiny, tmp_path, "conv_vq_vae", epochs=1)
    words = "conv_vq_vae cannot be built with latent_dim=3: "
    assert words in refused(capsys, train, *line, "--latent-dim", "3")


def test_variant_named_twice_is_trained_once(tiny, tmp_path, capsys):
    assert train(*command(tiny, tmp_path, "shallow", "shallow", epochs=1)) == 0
    assert "[1/1]" in capsys.readouterr().out


@pytest.fixture(scope="module")
def bake_off(tiny, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("bake-off")
    line = command(tiny, output_dir, "all", epochs=1, batch_size=100)[2:]
    assert train("--bake-off", *line) == 0
    return output_dir / "tiny.npz"


@pytest.mark.slow
def test_bake_off_has_eighteen_finished_runs(bake_off):
    expected = {f"{variant}-20d-seed42" for variant in BAKE_OFF}
    expected |= {f"{variant}-2d-without-1-seed42" for variant in BAKE_OFF}
    assert len(expected) == 18
    assert {path.name for path in bake_off.iterdir()} == expected
    for run in bake_off.iterdir():
        assert {path.name for path in run.iterdir()} == FILES


@pytest.mark.slow
def test_bake_off_runs_have_their_sizes_and_classes(bake_off, tiny):
    image_set = data.load(tiny)
    for run in bake_off.iterdir():
        config = read_json(run / "config.json")
        in_two_dimensions = "-2d-" in run.name
        held_out = "1" if in_two_dimensions else None
        assert config["request"]["latent_dim"] == (2 if in_two_dimensions else 20)
        assert config["model"]["latent_dim"] == config["request"]["latent_dim"]
        assert config["request"]["held_out_class"] == held_out
        split = data.split(image_set, held_out_class=held_out)
        assert config["data"]["num_train"] == len(split.train)
        assert (1 in split.train.labels) == (held_out is None)
        num_tested = read_json(run / "test.json")["num_images"]
        assert num_tested == np.sum(split.test.labels != (1 if held_out else -1))


@pytest.mark.slow
def test_2d_runs_have_the_narrow_network(bake_off):
    config = read_json(bake_off / "deep-2d-without-1-seed42" / "config.json")
    assert config["model"]["hidden_units"] == [146, 20]


def test_training_never_sees_the_held_out_class(tiny, tmp_path, monkeypatch):
    seen = []

    class Spy(keras_ae.Shallow):
        def fit(self, x, *arguments, validation_data=None, **others):
            seen.extend([x, validation_data])
            return super().fit(x, *arguments, validation_data=validation_data, **others)

    monkeypatch.setattr(keras_ae.variants.Preset, "load", lambda preset: Spy)
    line = command(tiny, tmp_path, "shallow", epochs=1, batch_size=32)
    assert train(*line, "--held-out-class", 2) == 0
    with np.load(tiny) as archive:
        held_out = {image.tobytes() for image in archive["images"][archive["labels"] == 2]}
    fitted, validated = seen
    assert len(fitted) == len(data.split(data.load(tiny), held_out_class=2).train)
    assert not any(image.tobytes() in held_out for part in seen for image in part)
    assert len(validated) > 0


# Options that change no number of a run: which runs, where they are written, what is printed.
NOT_IN_A_RUN = {
    "bake_off",
    "dry_run",
    "export",
    "grid",
    "jobs",
    "list",
    "memory_limit",
    "no_figures",
    "output_dir",
    "overwrite",
    "quiet",
    "share",
    "slice",
    "tensorboard",
    "threads",
}


@pytest.mark.parametrize(
    ("rule", "other"), [("--lr-patience 6", "schedule"), ("--schedule cosine", "lr_patience")]
)
def test_every_option_reaches_the_request_or_the_images(tiny, tmp_path, monkeypatch, rule, other):
    """An option that the command line forgets to pass on keeps its default."""
    planned = []
    monkeypatch.setattr(Training, "run", lambda self: planned.extend(self._planned))
    line = [*command(tiny, tmp_path, "vae"), "--data-dir", str(tmp_path), "--quiet"]
    line += ["--held-out-class", "2", "--binarize", "threshold", "--set", "beta=3"]
    line += ["--latent-dim", "3", "--epochs", "5", "--batch-size", "7", "--learning-rate", "0.5"]
    line += ["--image-size", "6", "--resize", "pad", "--background", "black", "--color", "gray"]
    line += ["--patience", "4", *rule.split(), "--seed", "8", "--jit", "off", "--ema", "0.5"]
    line += ["--false-positive-rate", "0.2", "--anomaly-score", "mse"]
    options, defaults = vars(parse(line)), vars(parse(["--variant", "deep"]))
    fields = {field.name for field in dataclasses.fields(RunRequest)}
    images = {field.name for field in dataclasses.fields(plan.DataOptions)}
    images = images - {"preprocessing"} | {
        field.name for field in dataclasses.fields(data.Preprocessing)
    }
    assert {"arguments" if name == "set" else name for name in options} == (
        fields - {"fingerprint"} | images | NOT_IN_A_RUN
    )
    assert train(*line) == 0
    (config,) = (run.config for run in planned)
    for name in ("held_out_class", "latent_dim", "set", "seed"):
        (options[name],) = options[name]
    for name in fields - {"variant", "dataset", "fingerprint", other}:
        option = "set" if name == "arguments" else name
        assert options[option] != defaults[option], f"{option} needs another value in this test"
        assert getattr(config.request, name) == options[option], name
    assert config.data.binarize == "threshold" and config.data.data_dir == str(tmp_path)
    assert config.data.source == str(tiny)
    assert config.data.preprocessing == {
        "image_size": [6, 6], "resize": "pad", "background": "black", "color": "gray"
    }  # fmt: skip


def test_repeated_options_accumulate(tiny, tmp_path):
    line = command(tiny, tmp_path, "vae", epochs=1)
    assert train(*line, "--set", "hidden_units=9,6", "--variant", "shallow", "--list") == 0
    options = parse([*line, "--set", "b=1", "--variant", "shallow", "--set", "a=no"])
    assert options.variant == ["vae", "shallow"]
    assert options.set == [{"a": "no", "b": 1}]
    assert list(options.set[0]) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "beta=1", "beta=2"], "twice"),
        (["--set", "beta"], "NAME=VALUE"),
        (["--set", "latent_dim=3"], "an option of its own"),
        (["--set", "batch_normalization=no"], "must be True or False; received 'no'"),
        (["--set", "betta=2"], "has no argument 'betta'; it has"),
        (["--set", "beta=abc"], "received 'abc'"),
        (["--data-dir", "nowhere-at-all"], "there is no such folder"),
        (["--seed", "5000000000"], "received 5000000000"),
    ],
)
def test_ambiguous_arguments_are_refused(capsys, tiny, tmp_path, arguments, words):
    output_dir = tmp_path / "runs"
    assert words in refused(capsys, train, *command(tiny, output_dir, "vae"), *arguments)
    assert not output_dir.exists()


def test_classes_without_a_dataset_are_refused(capsys):
    assert "--dataset" in refused(capsys, train, "--variant", "deep", "--classes", "cat", "tree")


def test_set_shapes_the_network_and_names_the_run(tiny, tmp_path):
    line = command(tiny, tmp_path, "vae", epochs=1)
    assert train(*line, "--set", "hidden_units=9,6", "beta=4") == 0
    run = tmp_path / "tiny.npz" / "vae-20d-beta-4-hidden_units-_9_6_-seed42"
    config = read_json(run / "config.json")
    assert config["model"]["beta"] == 4.0 and config["model"]["hidden_units"] == [9, 6]
    assert config["request"]["arguments"] == {"beta": 4, "hidden_units": [9, 6]}


@pytest.mark.parametrize("how", ["threshold", "bernoulli"])
def test_binarized_images_are_recorded_and_found_again(tiny, tmp_path, how):
    line = command(tiny, tmp_path, "shallow", epochs=1)
    assert train(*line, "--binarize", how) == 0
    (run,) = catalog.find_runs(tmp_path).runs
    assert run.directory == run_of(tmp_path, "shallow", f"tiny.npz_{how}")
    assert run.data.binarize == how and run.data.source == str(tiny)
    found = load_data(run)  # fails if the fingerprint differs from that of the training
    assert set(np.unique(found.train_images)) == {0, 255}
    options = run.config.data_options()
    assert options[options.index("--binarize") + 1] == how


def planned_by(monkeypatch, *line) -> dict:
    """The requests that a command line plans, by variant and size of the code."""
    planned = []
    monkeypatch.setattr(Training, "run", lambda self: planned.extend(self._planned))
    assert train(*line) == 0
    requests = (each.config.request for each in planned)
    return {(each.variant, each.latent_dim): each for each in requests}


def test_default_budget_counts_updates_and_is_recorded(tiny, tmp_path, monkeypatch, capsys):
    line = ["--variant", "shallow", "stacked", "--dataset", tiny, "--output-dir", tmp_path]
    found = planned_by(monkeypatch, *line)
    shallow, stacked = found["shallow", 20], found["stacked", 20]
    # 165 images: 11 steps of 16 images.
    assert (shallow.batch_size, shallow.epochs, shallow.patience) == (16, 364, 46)
    assert (stacked.batch_size, stacked.epochs, stacked.patience) == (16, 364, None)
    assert "at most 364 epochs of 11 steps of 16 images" in capsys.readouterr().out


def test_bake_off_keeps_its_protocol_on_any_set(tiny, tmp_path, monkeypatch):
    found = planned_by(monkeypatch, "--bake-off", "--dataset", tiny, "--output-dir", tmp_path)
    budgets = {(each.epochs, each.batch_size, each.patience) for each in found.values()}
    # With class 1 and without.
    assert budgets == {(60, 165, None), (60, 124, None)} and len(found) == 18


def test_diverged_run_stops_and_is_not_finished(tiny, tmp_path, capsys):
    line = [*command(tiny, tmp_path, "deep"), "--learning-rate", "1e30"]
    assert train(*line) == 1
    error = capsys.readouterr().err.strip()
    assert "became" in error and "learning-rate" in error and "\n" not in error
    assert not (run_of(tmp_path, "deep") / "test.json").exists()


def test_overwrite_clears_the_whole_grid_first(trained, tiny, tmp_path, monkeypatch):
    output_dir = tmp_path / "runs"
    shutil.copytree(trained[1], output_dir)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "save", interrupt)
    line = command(tiny, output_dir, "deep", "vae", epochs=2)
    assert train(*line, "--overwrite") == 130
    assert not RunDirectory(run_of(output_dir, "vae")).started


def test_data_set_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert train("--variant", "shallow", "--dataset", "digits", "--epochs", 1, "--seed", 3) == 0
    config = read_json(tmp_path / "runs/digits/shallow-20d-seed3/config.json")
    assert config["data"]["source"] == "digits"
