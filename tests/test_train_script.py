"""`train.py` as a user meets it: run directories, interruptions, and what it refuses."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from in_process import imported

import keras_ae
from keras_ae import data, runs
from keras_ae import trained as trained_runs
from keras_ae.evaluation import load_data
from keras_ae.variants import BAKE_OFF

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "train.py"
NUM_IMAGES = 210
LOSSES = ("loss", "reconstruction_loss", "latent_loss")
FILES = {"config.json", "history.csv", "model.keras", "resume.npz", "test.json"}

# Ctrl-C must reach the script even where the tests run in the background of a shell.
LAUNCH = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


train = imported("train")


@pytest.fixture(autouse=True, scope="module")
def surroundings(tmp_path_factory):
    """No network, a cache of its own, and no tracing: these nets train in milliseconds eagerly."""
    folder = tmp_path_factory.mktemp("surroundings")
    tf.config.run_functions_eagerly(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_AE_CACHE", str(folder / "cache"))
        patch.setenv("TFDS_DATA_DIR", str(folder / "no-data"))
        patch.delenv("QUICKDRAW_DIR", raising=False)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setattr(data.network, "network_problem", lambda url, **_: "no network in tests")
        yield
    tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def compiled():
    tf.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """210 images of 8x8 in four classes: 165 for training, 15 for validation, 30 for testing."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.npz"
    random = np.random.default_rng(0)
    labels = np.arange(NUM_IMAGES) % 4
    shapes = random.random((4, 8, 8)) < 0.4
    images = np.clip(shapes[labels] * 0.8 + 0.2 * random.random((NUM_IMAGES, 8, 8)), 0, 1)
    np.savez(path, images=images.astype("float32"), labels=labels)
    return path


def call(*arguments) -> int:
    """The exit code of the script, run in this process."""
    try:
        return train.main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse ends a program so.
        return stop.code


def command(dataset, output_dir, *variants, epochs=3, batch_size=60) -> list[str]:
    """The arguments of a run on a small set."""
    line = ["--variant", *variants, "--dataset", dataset, "--output-dir", output_dir]
    return [str(word) for word in [*line, "--epochs", epochs, "--batch-size", batch_size]]


def run_of(output_dir: Path, variant: str, dataset: str = "tiny.npz") -> Path:
    return output_dir / dataset / f"{variant}-20d-seed42"


def table(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as lines:
        return list(csv.DictReader(lines))


def losses(run: Path) -> list[dict[str, str]]:
    """The table without the seconds, which no two runs share."""
    return [{name: row[name] for name in row if name != "seconds"} for row in table(run)]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def snapshot(folder: Path) -> dict:
    """Every file with its content and the time it was written."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def assert_same_run(run: Path, other: Path) -> None:
    """The same weights, optimizer and losses, bit for bit."""
    assert losses(run) == losses(other)
    results, other_results = read_json(run / "test.json"), read_json(other / "test.json")
    for name in (*LOSSES, "num_images"):
        assert results[name] == other_results[name], name
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # An optimizer that does not fit the model.
        model, other_model = (runs.Run(folder).load_model() for folder in (run, other))
    assert_same_values(model.variables, other_model.variables)
    assert_same_values(model.optimizer.variables, other_model.optimizer.variables)


def assert_same_values(variables, other_variables) -> None:
    assert len(variables) == len(other_variables)
    for variable, other in zip(variables, other_variables, strict=True):
        assert variable.numpy().tobytes() == other.numpy().tobytes(), variable.path


# ---- a run directory ----


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Two variants trained and exported: the command, and where the runs are."""
    output_dir = tmp_path_factory.mktemp("trained") / "runs"
    line = command(tiny, output_dir, "deep", "vae", epochs=2)
    assert call(*line, "--export") == 0
    return line, output_dir


@pytest.mark.parametrize("variant", ["deep", "vae"])
def test_a_run_directory_holds_what_the_design_says(trained, variant):
    _, output_dir = trained
    assert {path.name for path in run_of(output_dir, variant).iterdir()} == FILES | {"saved_model"}


def test_the_config_records_everything_resolved(trained):
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


def test_the_recorded_model_config_builds_the_model(trained):
    run = runs.Run(run_of(trained[1], "vae"))
    rebuilt = keras_ae.VAE.from_config(run.config["model"])
    assert rebuilt.count_params() == run.load_model().count_params()


def test_the_history_has_a_line_an_epoch_with_all_losses(trained):
    rows = table(run_of(trained[1], "vae"))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        for prefix in ("", "val_"):
            loss, reconstruction, latent = (float(row[prefix + name]) for name in LOSSES)
            assert loss == pytest.approx(reconstruction + latent, abs=1e-3)
            assert reconstruction > 0 and latent >= 0
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.parametrize("variant", ["deep", "vae"])
def test_the_saved_model_evaluates_to_the_recorded_results(trained, tiny, variant):
    run = runs.Run(run_of(trained[1], variant))
    test = data.split(data.load(tiny)).test
    measured = run.load_model().evaluate(test.images, verbose=0, return_dict=True)
    for name in LOSSES:
        assert measured[name] == pytest.approx(run.results[name], rel=1e-6)
    assert run.results["num_images"] == len(test) == 30
    assert run.results["seconds_per_epoch"] > 0


def test_the_exported_model_answers_as_the_saved_one(trained, tiny):
    run = run_of(trained[1], "vae")
    images = data.split(data.load(tiny)).test.images[:5]
    served = tf.saved_model.load(str(run / "saved_model"))
    scores = runs.Run(run).load_model().anomaly_score(images)
    assert np.allclose(served.anomaly_score(images), scores, rtol=1e-5)


def test_the_same_command_again_says_finished_and_changes_no_file(trained, capsys):
    line, output_dir = trained
    before = snapshot(output_dir)
    capsys.readouterr()
    assert call(*line) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished") == 2
    assert "epoch 1/" not in printed
    assert snapshot(output_dir) == before


def test_the_same_command_with_an_export_again_changes_no_file(trained):
    line, output_dir = trained
    before = snapshot(output_dir)
    assert call(*line, "--export") == 0
    assert snapshot(output_dir) == before


def test_a_finished_run_can_be_exported_later(tiny, tmp_path):
    line = command(tiny, tmp_path, "shallow", epochs=1)
    assert call(*line) == 0
    model = (run_of(tmp_path, "shallow") / "model.keras").read_bytes()
    assert call(*line, "--export") == 0
    assert (run_of(tmp_path, "shallow") / "saved_model" / "saved_model.pb").exists()
    assert (run_of(tmp_path, "shallow") / "model.keras").read_bytes() == model


@pytest.mark.parametrize("name", ["digests.json", "saved_model.pb"])
def test_an_export_that_lacks_a_file_is_made_anew(trained, tmp_path, name):
    line, output_dir = trained
    shutil.copytree(output_dir, tmp_path / "runs")
    export = run_of(tmp_path / "runs", "vae") / "saved_model"
    (export / name).unlink()
    assert not runs.Run(export.parent).exported
    assert call(*line, "--export", "--output-dir", tmp_path / "runs") == 0
    assert (export / name).is_file() and runs.Run(export.parent).exported


@pytest.mark.parametrize(
    "change", [("--epochs", 3), ("--batch-size", 50), ("--learning-rate", 0.1), ("--jit", "off")]
)
def test_another_request_in_the_same_place_is_refused(trained, capsys, change):
    line, output_dir = trained
    before = snapshot(output_dir)
    refusal = refused(capsys, *line, *change)
    assert str(change[1]) in refusal and "--overwrite" in refusal
    assert snapshot(output_dir) == before


def test_other_images_of_the_same_name_are_refused(trained, tmp_path, capsys):
    _, output_dir = trained
    other = tmp_path / "tiny.npz"
    np.savez(other, images=np.zeros((NUM_IMAGES, 8, 8), "float32"))
    assert "other images" in refused(capsys, *command(other, output_dir, "deep", epochs=2))


def test_the_whole_grid_is_checked_before_anything_is_written(trained, capsys):
    line, output_dir = trained
    before = snapshot(output_dir)
    refused(capsys, *line[:1], "shallow", *line[1:], "--epochs", 3)
    assert snapshot(output_dir) == before


def test_overwrite_trains_anew_and_leaves_nothing_of_the_old_run(trained, tiny, tmp_path, capsys):
    shutil.copytree(trained[1], tmp_path, dirs_exist_ok=True)
    capsys.readouterr()
    assert call(*command(tiny, tmp_path, "deep", epochs=1), "--overwrite", "--seed", 42) == 0
    assert "finished before" not in capsys.readouterr().out
    run = run_of(tmp_path, "deep")
    assert len(table(run)) == 1
    assert read_json(run / "config.json")["request"]["epochs"] == 1
    assert {path.name for path in run.iterdir()} == FILES
    assert (run_of(tmp_path, "vae") / "saved_model").exists()


def test_another_seed_is_another_run(trained, tiny, tmp_path):
    assert call(*command(tiny, tmp_path, "deep", epochs=2), "--seed", 43) == 0
    run = tmp_path / "tiny.npz" / "deep-20d-seed43"
    assert losses(run)[0]["loss"] != losses(run_of(trained[1], "deep"))[0]["loss"]


# ---- what it prints ----


def test_it_says_what_it_runs_on_and_with_what_and_what_to_type_next(tiny, tmp_path, capsys):
    assert call(*command(tiny, tmp_path, "shallow", epochs=1)) == 0
    printed = capsys.readouterr().out
    run = run_of(tmp_path, "shallow")
    device = "CPU" if not tf.config.list_physical_devices("GPU") else ""
    for words in (device, "tiny.npz", "165 training", "8 x 8", str(run), "test: ", "left"):
        assert words in printed
    result = read_json(run / "test.json")["reconstruction_loss"]
    assert f"test: {result:.2f} nats" in printed
    *_, last = printed.strip().splitlines()
    assert last.startswith(f'next: {sys.executable} -c "')
    exec(last.removeprefix(f'next: {sys.executable} -c "').removesuffix('"'), {})  # noqa: S102
    assert "Total params" in capsys.readouterr().out


def test_quiet_prints_nothing(tiny, tmp_path, capfd):
    assert call(*command(tiny, tmp_path, "shallow", epochs=1), "--quiet") == 0
    assert capfd.readouterr().out == ""
    assert runs.Run(run_of(tmp_path, "shallow")).finished


def test_the_list_shows_every_variant_with_its_parameters(capsys):
    assert call("--list") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert "parameters" in head
    assert [row.split()[0] for row in rows] == list(keras_ae.VARIANTS)
    deep = next(row for row in rows if row.startswith("deep"))
    assert f"{keras_ae.Deep().count_params():,}" in deep


# ---- the grid ----


def test_all_means_every_variant_once(tiny, tmp_path, monkeypatch):
    small = keras_ae.Shallow((2, 2), 1)
    monkeypatch.setattr(train, "build", lambda options, image_set, variant, latent_dim: small)
    monkeypatch.setattr(train, "train_run", finish_at_once)
    assert call(*command(tiny, tmp_path, "all", epochs=1)) == 0
    names = {path.name for path in (tmp_path / "tiny.npz").iterdir()}
    assert names == {f"{variant}-1d-seed42" for variant in keras_ae.VARIANTS}


def finish_at_once(run, config, *others) -> None:
    run.start(config)
    results = dict.fromkeys((*LOSSES, "seconds_per_epoch"), 0.0)
    (run.directory / "test.json").write_text(json.dumps(results))


def test_a_size_that_a_variant_cannot_have_is_named(tiny, tmp_path, capsys):
    line = command(tiny, tmp_path, "conv_vq_vae", epochs=1)
    words = "conv_vq_vae cannot be built with latent_dim=3: latent_dim must be left out"
    assert words in refused(capsys, *line, "--latent-dim", "3")


def test_a_variant_named_twice_is_trained_once(tiny, tmp_path, capsys):
    assert call(*command(tiny, tmp_path, "shallow", "shallow", epochs=1)) == 0
    assert "[1/1]" in capsys.readouterr().out


@pytest.fixture(scope="module")
def bake_off(tiny, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("bake-off")
    line = command(tiny, output_dir, "all", epochs=1, batch_size=100)[2:]
    assert call("--bake-off", *line) == 0
    return output_dir / "tiny.npz"


def test_the_bake_off_is_eighteen_finished_runs(bake_off):
    expected = {f"{variant}-20d-seed42" for variant in BAKE_OFF}
    expected |= {f"{variant}-2d-without-1-seed42" for variant in BAKE_OFF}
    assert len(expected) == 18
    assert {path.name for path in bake_off.iterdir()} == expected
    for run in bake_off.iterdir():
        assert {path.name for path in run.iterdir()} == FILES


def test_the_runs_of_the_bake_off_have_their_size_and_their_classes(bake_off, tiny):
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


def test_two_dimensions_have_the_narrow_net_of_the_bake_off(bake_off):
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
    assert call(*line, "--held-out-class", 2) == 0
    with np.load(tiny) as archive:
        held_out = {image.tobytes() for image in archive["images"][archive["labels"] == 2]}
    fitted, validated = seen
    assert len(fitted) == len(data.split(data.load(tiny), held_out_class=2).train)
    assert not any(image.tobytes() in held_out for part in seen for image in part)
    assert len(validated) > 0


# ---- interrupted at any moment ----


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """A function that trains a variant in one go, once, and returns its run directory."""
    output_dir = tmp_path_factory.mktemp("uninterrupted")

    def train_once(variant: str) -> Path:
        if not run_of(output_dir, variant).exists():
            assert call(*command(tiny, output_dir, variant)) == 0
        return run_of(output_dir, variant)

    return train_once


def interrupt_at(patch, file_name: str, number: int, after: bool) -> None:
    """Interrupts the program before or after it writes a file for the `number`th time."""
    write_beside, written = runs.write_beside, []

    def write_or_stop(path, write):
        written.append(path.name)
        is_it = path.name == file_name and written.count(file_name) == number
        if not is_it or after:
            write_beside(path, write)
        if is_it:
            raise KeyboardInterrupt

    patch.setattr(runs, "write_beside", write_or_stop)


@pytest.mark.parametrize(
    ("variant", "file_name", "number", "after"),
    [
        ("deep", "config.json", 1, True),
        ("deep", "resume.npz", 2, False),
        ("stacked", "resume.npz", 1, True),
        ("stacked", "model.keras", 1, False),
        ("denoising", "resume.npz", 2, True),
        ("vae", "resume.npz", 2, True),
        ("vae", "test.json", 1, False),
        ("vq_vae", "history.csv", 1, True),
        ("vq_vae", "model.keras", 1, False),
    ],
)
def test_an_interrupted_run_ends_as_one_that_never_was(
    uninterrupted, tiny, tmp_path, monkeypatch, capsys, variant, file_name, number, after
):
    reference = uninterrupted(variant)
    line = command(tiny, tmp_path, variant)
    with monkeypatch.context() as patch:
        interrupt_at(patch, file_name, number, after)
        assert call(*line) == 130
    run = run_of(tmp_path, variant)
    assert not (run / "test.json").exists()
    capsys.readouterr()
    assert call(*line) == 0
    assert "finished before" not in capsys.readouterr().out
    assert {path.name for path in run.iterdir()} == FILES
    assert_same_run(run, reference)


@pytest.fixture
def signals():
    """The handlers of the test's process come back after it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_training_after_the_steps_under_way(
    uninterrupted, tiny, tmp_path, monkeypatch, capsys, signals, number, code
):
    line = command(tiny, tmp_path, "vae")
    on_train_batch_end, looks = runs.KeepRun.on_train_batch_end, []

    def send(callback, batch, logs=None):  # twice an epoch here
        looks.append(batch)
        if len(looks) == 3:
            os.kill(os.getpid(), number)
        on_train_batch_end(callback, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(keras_ae.VAE, "steps_per_call", 2)
        patch.setattr(runs.KeepRun, "on_train_batch_end", send)
        assert call(*line) == code
    (words,) = capsys.readouterr().err.strip().splitlines()
    assert "goes on" in words
    run = run_of(tmp_path, "vae")
    assert len(table(run)) == 1
    with np.load(run / "resume.npz") as kept:
        assert kept["within/step"] == 2
    assert call(*line) == 0
    assert "going on in epoch 2" in capsys.readouterr().out
    assert_same_run(run, uninterrupted("vae"))


def test_an_interruption_that_a_library_turns_into_another_error_is_one(
    tiny, tmp_path, monkeypatch, capsys, signals
):
    def convert(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt as stop:
            raise TypeError("Could not generate a generic TraceType") from stop

    monkeypatch.setattr(keras_ae.data, "split", convert)
    assert call(*command(tiny, tmp_path, "deep")) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_error_after_a_signal_is_not_hidden_by_it(tiny, tmp_path, monkeypatch, capsys, signals):
    def full(*_):
        os.kill(os.getpid(), signal.SIGINT)
        raise OSError("No space left on device")

    monkeypatch.setattr(runs.Run, "keep", full)
    assert call(*command(tiny, tmp_path, "deep")) == 2
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "words"), [("held", ""), ("start", "without --overwrite ")])
def test_the_way_to_go_on_knows_whether_the_old_run_is_gone(
    trained, tmp_path, monkeypatch, capsys, tiny, method, words
):
    def interrupt(*_):
        raise KeyboardInterrupt

    shutil.copytree(trained[1], tmp_path / "runs")
    monkeypatch.setattr(runs.Run, method, interrupt)
    line = command(tiny, tmp_path / "runs", "deep", epochs=2)
    assert call(*line, "--overwrite") == 130
    assert f"the same command {words}goes on" in capsys.readouterr().err


PATIENCE = ["--patience", 3, "--lr-patience", 2, "--learning-rate", 0.1]


@pytest.fixture(scope="module")
def patient(tiny, tmp_path_factory):
    """A run that ended before its last epoch, after smaller steps, with the weights of its best."""
    output_dir = tmp_path_factory.mktemp("patient")
    assert call(*command(tiny, output_dir, "vae", epochs=60), *PATIENCE) == 0
    return run_of(output_dir, "vae")


def test_patience_says_when_and_with_what_it_ended(tiny, tmp_path, capsys):
    line = [*command(tiny, tmp_path, "vae", epochs=60), *PATIENCE]
    assert call(*line) == 0
    run = run_of(tmp_path, "vae")
    losses = [float(row["val_loss"]) for row in table(run)]
    words = f"ended after epoch {len(losses)}, with the weights of epoch {np.argmin(losses) + 1}\n"
    assert words in capsys.readouterr().out
    (run / "test.json").unlink()
    (run / "model.keras").unlink()
    assert call(*line) == 0
    out = capsys.readouterr().out
    assert "going on after the last epoch" in out and words in out


def test_patience_ends_a_run_with_its_best_weights(patient, tiny):
    rows = table(patient)
    losses = [float(row["val_loss"]) for row in rows]
    best = int(np.argmin(losses))
    assert len(rows) == best + 1 + 3 < 60
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == pytest.approx(0.1) and rates[-1] < 0.02
    model = runs.Run(patient).load_model()
    validation = data.split(data.load(tiny)).validation
    found = model.evaluate(validation.images, verbose=0, return_dict=True)
    assert found["reconstruction_loss"] == pytest.approx(
        float(rows[best]["val_reconstruction_loss"]), rel=1e-5
    )


@pytest.mark.parametrize(
    ("file_name", "written"),
    [("resume.npz", 5), ("resume.npz", "last"), ("model.keras", 1)],
)
def test_an_interruption_does_not_make_it_wait_anew(
    patient, tiny, tmp_path, monkeypatch, file_name, written
):
    number = len(table(patient)) if written == "last" else written
    line = [*command(tiny, tmp_path, "vae", epochs=60), *PATIENCE]
    with monkeypatch.context() as patch:
        interrupt_at(patch, file_name, number, after=file_name == "resume.npz")
        assert call(*line) == 130
    assert call(*line) == 0
    assert_same_run(run_of(tmp_path, "vae"), patient)


def test_patience_is_refused_where_layers_train_one_after_another(tiny, tmp_path, capsys):
    assert call(*command(tiny, tmp_path, "stacked"), "--patience", 3) == 2
    assert "stacked" in capsys.readouterr().err


def test_a_run_of_an_interrupted_grid_can_be_gone_on_with_alone(
    uninterrupted, tiny, tmp_path, monkeypatch
):
    reference = uninterrupted("deep")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "history.csv", 4, after=True)
        assert call(*command(tiny, tmp_path, "shallow", "deep")) == 130
    assert call(*command(tiny, tmp_path, "deep")) == 0
    assert_same_run(run_of(tmp_path, "deep"), reference)


def test_a_damaged_state_is_refused(tiny, tmp_path, monkeypatch, capsys):
    line = command(tiny, tmp_path, "shallow")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "history.csv", 1, after=True)
        assert call(*line) == 130
    state = run_of(tmp_path, "shallow") / "resume.npz"
    state.write_bytes(state.read_bytes()[:1000])
    assert "resume.npz" in refused(capsys, *line)
    assert call(*line, "--overwrite") == 0


KILLED = (("stacked", 1, signal.SIGKILL), ("vae", 2, signal.SIGKILL), ("vq_vae", 3, signal.SIGINT))
GRID = [variant for variant, *_ in KILLED]


def ended(process: subprocess.Popen, run: Path, num_lines: int, number: signal.Signals):
    """Sends a signal once the history of `run` has that many epochs; returns what was printed."""
    deadline = time.monotonic() + 90
    history = run / "history.csv"
    while not (history.exists() and history.read_text().count("\n") > num_lines):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"ended before epoch {num_lines}: {process.communicate()}")
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def killed_grid(tiny, tmp_path_factory):
    """Three variants by one command, which a signal ends three times; then it is left to finish.

    The reference is trained in one go, compiled as the processes were.
    """
    output_dir = tmp_path_factory.mktemp("killed")
    arguments = {"epochs": 20, "batch_size": 15}
    line = [*command(tiny, output_dir / "killed", *GRID, **arguments), "--jit", "off"]
    endings = []
    for variant, num_lines, number in KILLED:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, SCRIPT, *line],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        run = run_of(output_dir / "killed", variant)
        code, out, err = ended(process, run, num_lines, number)
        endings.append((code, out, err, (run / "test.json").exists()))
    with compiled():
        assert call(*line) == 0
        reference = command(tiny, output_dir / "reference", *GRID, **arguments)
        assert call(*reference, "--jit", "off") == 0
    return output_dir, endings


def test_the_signals_came_while_training(killed_grid):
    codes = [code for code, *_ in killed_grid[1]]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 130]
    assert [was_finished for *_, was_finished in killed_grid[1]] == [False] * 3


def test_ctrl_c_ends_with_one_line_and_no_traceback(killed_grid):
    _, out, err, _ = killed_grid[1][-1]
    assert "Traceback" not in err and "KeyboardInterrupt" not in err
    assert "nterrupted" in (out + err)
    assert len([line for line in (out + err).splitlines() if "nterrupted" in line]) == 1


def test_a_killed_grid_goes_on_where_it_was(killed_grid):
    *_, (_, out, _, _) = killed_grid[1]
    assert "[1/3]" in out and out.count("finished before") == 1
    assert [row["epoch"] for row in table(run_of(killed_grid[0] / "killed", "vae"))] == [
        str(epoch) for epoch in range(1, 21)
    ]


@pytest.mark.parametrize("variant", GRID)
def test_a_killed_run_ends_as_one_that_never_was(killed_grid, variant):
    output_dir, _ = killed_grid
    run, reference = (run_of(output_dir / name, variant) for name in ("killed", "reference"))
    assert_same_run(run, reference)


# ---- what is refused ----


def refused(capsys, *arguments) -> str:
    """The one line in which a command is refused."""
    capsys.readouterr()
    code = call(*arguments)
    out, err = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in out + err
    (line,) = err.strip().splitlines()
    assert line.startswith("train.py: error: ")
    return line


def refused_data(capsys, tmp_path, dataset, *arguments) -> str:
    """As `refused`, for a data set: one line, and no run directory."""
    output_dir = tmp_path / "runs"
    line = refused(capsys, *command(dataset, output_dir, "deep", batch_size=1), *arguments)
    assert not output_dir.exists()
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variant", "denosing"], ["'denosing'", "did you mean denoising"]),
        (["--variant", "deep", "xyz"], ["'xyz'", "vq_vae"]),
        ([], ["--variant", "--bake-off"]),
        (["--bake-off", "--variant", "deep"], ["--bake-off"]),
        (["--variant", "deep", "--latent-dim", "0"], ["--latent-dim", "received 0"]),
        (["--variant", "deep", "--latent-dim", "abc"], ["--latent-dim", "received abc"]),
        (["--variant", "deep", "--latent-dim", "2.5"], ["--latent-dim", "received 2.5"]),
        (["--variant", "deep", "--epochs", "0"], ["--epochs", "received 0"]),
        (["--variant", "deep", "--batch-size", "-1"], ["--batch-size", "received -1"]),
        (["--variant", "deep", "--learning-rate", "0"], ["--learning-rate", "received 0"]),
        (["--variant", "deep", "--learning-rate", "nan"], ["--learning-rate", "received nan"]),
        (["--variant", "deep", "--learning-rate", "inf"], ["--learning-rate", "received inf"]),
        (["--variant", "deep", "--seed", "-1"], ["--seed", "received -1"]),
        (["--variant", "deep", "--jit", "maybe"], ["--jit", "maybe"]),
    ],
)
def test_an_unusable_argument_is_refused(capsys, tmp_path, arguments, words):
    output_dir = tmp_path / "runs"
    line = refused(capsys, *arguments, "--output-dir", output_dir)
    assert all(word in line for word in words)
    assert not output_dir.exists()


def test_an_unknown_data_set_is_refused_with_the_nearest(capsys, tmp_path):
    line = refused_data(capsys, tmp_path, "fashion_mnits")
    assert "fashion_mnits" in line and "Did you mean 'fashion_mnist'" in line


def test_a_path_that_does_not_exist_is_refused(capsys, tmp_path):
    assert "nowhere.npz" in refused_data(capsys, tmp_path, tmp_path / "nowhere.npz")


def test_a_truncated_archive_is_refused(capsys, tmp_path, tiny):
    path = tmp_path / "cut.npz"
    path.write_bytes(tiny.read_bytes()[:3000])
    assert "cut.npz" in refused_data(capsys, tmp_path, path)


def test_a_pickled_array_is_refused(capsys, tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}, None], dtype=object))
    assert "pickled.npy" in refused_data(capsys, tmp_path, tmp_path / "pickled.npy")


def test_a_folder_without_images_is_refused(capsys, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "notes.txt").write_text("no images")
    line = refused_data(capsys, tmp_path, tmp_path / "holiday")
    assert "holiday" in line and "no images" in line


def test_a_file_of_another_kind_is_refused(capsys, tmp_path):
    (tmp_path / "images.csv").write_text("1,2,3")
    assert "images.csv" in refused_data(capsys, tmp_path, tmp_path / "images.csv")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.full((50, 8, 8), 255.0, "float32"), ["[0, 1]", "255"]),
        (np.full((50, 8, 8), -0.5, "float32"), ["[0, 1]", "-0.5"]),
        (np.full((50, 8, 8), np.nan, "float32"), ["NaN"]),
        (np.zeros((0, 8, 8), "float32"), ["(0, 8, 8)"]),
        (np.zeros((50,), "float32"), ["(50,)"]),
        (np.zeros((50, 8, 8), "complex64"), ["complex64"]),
    ],
    ids=["to 255", "negative", "NaN", "empty", "rank", "complex"],
)
def test_unusable_images_are_refused(capsys, tmp_path, images, words):
    np.save(tmp_path / "images.npy", images)
    line = refused_data(capsys, tmp_path, tmp_path / "images.npy")
    assert all(word in line for word in words)


def test_fewer_images_than_a_batch_are_refused(capsys, tmp_path, tiny):
    line = refused_data(capsys, tmp_path, tiny, "--batch-size", 166)
    assert "166" in line and "165" in line


def test_fewer_images_than_a_batch_without_the_held_out_class_are_refused(capsys, tmp_path, tiny):
    arguments = ["--dataset", tiny, "--batch-size", 165, "--output-dir", tmp_path / "runs"]
    refused(capsys, "--bake-off", *arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("held_out_class", ["9", "cat", "-1"])
def test_a_class_that_does_not_exist_is_refused(capsys, tmp_path, tiny, held_out_class):
    line = refused_data(capsys, tmp_path, tiny, f"--held-out-class={held_out_class}")
    assert held_out_class in line and "0, 1, 2, 3" in line


def test_a_class_held_out_of_images_without_labels_is_refused(capsys, tmp_path):
    np.save(tmp_path / "bare.npy", np.random.default_rng(0).random((60, 8, 8), "float32"))
    assert "no labels" in refused_data(
        capsys, tmp_path, tmp_path / "bare.npy", "--held-out-class=1"
    )


@pytest.mark.parametrize("below", ["file", "file/deeper/still"])
def test_an_output_folder_below_a_file_is_refused(capsys, tmp_path, tiny, below):
    (tmp_path / "file").write_text("in the way")
    line = refused(capsys, *command(tiny, tmp_path / below, "deep"))
    assert "--output-dir" in line and "file" in line
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_file_where_a_run_should_go_is_refused(capsys, tmp_path, tiny):
    (tmp_path / "tiny.npz").write_text("in the way")
    assert "tiny.npz" in refused(capsys, *command(tiny, tmp_path, "deep"))


def test_mnist_asked_for_without_a_network_is_refused_within_seconds(capsys, tmp_path):
    began = time.monotonic()
    line = refused_data(capsys, tmp_path, "mnist")
    assert time.monotonic() - began < 10
    assert "mnist" in line and "TFDS_DATA_DIR" in line


def test_no_data_set_named_and_no_network_means_digits_with_a_notice(capsys, tmp_path):
    line = command("digits", tmp_path, "shallow", epochs=1, batch_size=256)
    assert call(*[word for word in line if word not in ("--dataset", "digits")]) == 0
    out, err = capsys.readouterr()
    assert "NOTICE" in out + err and "digits" in out + err
    config = read_json(run_of(tmp_path, "shallow", "digits") / "config.json")
    assert config["request"]["dataset"] == "digits"
    assert config["data"]["image_shape"] == [28, 28]


def test_tensorboard_that_is_not_installed_is_refused(capsys, tmp_path, tiny, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *others: None if name == "tensorboard" else find_spec(name, *others),
    )
    line = refused_data(capsys, tmp_path, tiny, "--tensorboard")
    assert "keras_ae[tensorboard]" in line


def test_help_and_refused_arguments_do_not_wait_for_tensorflow():
    program = """
import sys, train
for arguments in (["--help"], ["--variant", "denosing"], ["--variant", "deep", "--seed", "x"], []):
    try:
        train.main(arguments)
    except SystemExit as stop:
        print("code", stop.code)
print("loaded", [name for name in ("tensorflow", "keras", "numpy") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == [
        "code 0",
        "code 2",
        "code 2",
        "code 2",
    ]
    assert "loaded []" in done.stdout
    assert "usage: train.py" in done.stdout


# ---- what a first reader stumbled on ----


def test_repeated_options_add_up(tiny, tmp_path):
    line = command(tiny, tmp_path, "vae", epochs=1)
    assert call(*line, "--set", "hidden_units=9,6", "--variant", "shallow", "--list") == 0
    options = train.parse([*line, "--set", "b=1", "--variant", "shallow", "--set", "a=no"])
    assert options.variant == ["vae", "shallow"]
    assert options.set == {"a": "no", "b": 1}
    assert list(options.set) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "beta=1", "beta=2"], "twice"),
        (["--set", "beta"], "NAME=VALUE"),
        (["--set", "latent_dim=3"], "a flag of its own"),
        (["--set", "batch_normalization=no"], "must be True or False; received 'no'"),
        (["--set", "betta=2"], "has no argument 'betta'; it has"),
        (["--set", "beta=abc"], "received 'abc'"),
        (["--data-dir", "nowhere-at-all"], "there is no such folder"),
        (["--seed", "5000000000"], "received 5000000000"),
    ],
)
def test_arguments_that_would_be_misread_are_refused(capsys, tiny, tmp_path, arguments, words):
    output_dir = tmp_path / "runs"
    assert words in refused(capsys, *command(tiny, output_dir, "vae"), *arguments)
    assert not output_dir.exists()


def test_classes_without_a_dataset_are_refused(capsys):
    assert "--dataset" in refused(capsys, "--variant", "deep", "--classes", "cat", "tree")


def test_set_shapes_the_net_and_names_the_run(tiny, tmp_path):
    line = command(tiny, tmp_path, "vae", epochs=1)
    assert call(*line, "--set", "hidden_units=9,6", "beta=4") == 0
    run = tmp_path / "tiny.npz" / "vae-20d-beta-4-hidden_units-_9_6_-seed42"
    config = read_json(run / "config.json")
    assert config["model"]["beta"] == 4.0 and config["model"]["hidden_units"] == [9, 6]
    assert config["request"]["arguments"] == {"beta": 4, "hidden_units": [9, 6]}


@pytest.mark.parametrize("how", ["threshold", "bernoulli"])
def test_black_and_white_images_are_recorded_and_found_again(tiny, tmp_path, how):
    line = command(tiny, tmp_path, "shallow", epochs=1)
    assert call(*line, "--binarize", how) == 0
    (run,) = trained_runs.find_runs(tmp_path).runs
    assert run.directory == run_of(tmp_path, "shallow", f"tiny.npz_{how}")
    assert run.data["binarize"] == how and run.data["source"] == str(tiny)
    found = load_data(run)  # or an error: its fingerprint must be that of the training
    assert set(np.unique(found.train_images)) == {0, 255}
    flags = trained_runs.data_flags(run)
    assert flags[flags.index("--binarize") + 1] == how


def test_small_data_needs_no_batch_size(tiny, tmp_path):
    line = ["--variant", "shallow", "--dataset", tiny, "--output-dir", tmp_path, "--epochs", 1]
    assert call(*line) == 0
    assert read_json(run_of(tmp_path, "shallow") / "config.json")["request"]["batch_size"] == 165


def test_a_diverged_run_stops_and_keeps_its_last_good_state(tiny, tmp_path, capsys):
    line = [*command(tiny, tmp_path, "deep"), "--learning-rate", "1e30"]
    assert call(*line) == 1
    error = capsys.readouterr().err.strip()
    assert "became" in error and "learning-rate" in error and "\n" not in error
    assert not (run_of(tmp_path, "deep") / "test.json").exists()


def test_overwriting_a_grid_clears_all_of_it_first(trained, tiny, tmp_path, monkeypatch):
    output_dir = tmp_path / "runs"
    shutil.copytree(trained[1], output_dir)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.Run, "keep", interrupt)
    line = command(tiny, output_dir, "deep", "vae", epochs=2)
    assert call(*line, "--overwrite") == 130
    assert not runs.Run(run_of(output_dir, "vae")).started


def test_a_dataset_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("--variant", "shallow", "--dataset", "digits", "--epochs", 1, "--seed", 3) == 0
    config = read_json(tmp_path / "runs/digits/shallow-20d-seed3/config.json")
    assert config["data"]["source"] == "digits"
