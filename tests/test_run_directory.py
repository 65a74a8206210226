"""Run directories and checkpoints, on fakes and on networks of a few units."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from fake_runs import config
from programs import compiled

import keras_ae
from keras_ae.runs import early_stopping, run_directory
from keras_ae.runs.checkpoint import Checkpoint, CheckpointCallback, state_variables
from keras_ae.runs.errors import Diverged, Remedy, RunError
from keras_ae.runs.run_directory import RunDirectory

CONFIG = config()
RESULTS = {"loss": 12.5, "reconstruction_loss": 12.0, "latent_loss": 0.5}
IMAGES = np.random.default_rng(0).random((12, 4, 4)).astype("float32")


pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "deep")


def small(kind=keras_ae.Deep, **arguments) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = kind((4, 4), 2, hidden_units=(5,), seed=3, **arguments)
    model.compile(jit_compile=False)
    return model


def fit(
    run: RunDirectory, model: keras.Model, epochs: int, first_epoch: int = 0, **keep
) -> keras.Model:
    model.fit(
        IMAGES,
        batch_size=4,
        epochs=epochs,
        initial_epoch=first_epoch,
        callbacks=[CheckpointCallback(checkpoint(run), **keep)],
        verbose=0,
    )
    return model


def checkpoint(run: RunDirectory) -> Checkpoint:
    return Checkpoint(run, CONFIG.request)


def state(model: keras.Model) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in state_variables(model).items()}


def files(run: RunDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.directory.iterdir()}


def one_line(raised) -> str:
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- start and clear ----


def test_nothing_is_created_before_start(run):
    assert not run.started and not run.finished
    assert not run.directory.parent.exists()


def test_start_writes_the_config(run):
    run.start(CONFIG)
    assert run.started and not run.finished
    assert run.config == CONFIG
    assert list(files(run)) == ["config.json"]


def test_second_start_with_the_same_request_changes_nothing(run):
    run.start(CONFIG)
    before = files(run)
    run.start(dataclasses.replace(CONFIG, versions={"keras": "another"}))
    assert files(run) == before


def test_second_start_with_another_request_is_refused(run):
    run.start(CONFIG)
    before = files(run)
    with pytest.raises(RunError) as raised:
        run.start(config(epochs=4))
    line = one_line(raised)
    assert "epochs 3" in line and "4" in line and raised.value.remedy is Remedy.REPLACE
    assert files(run) == before


def test_incomplete_config_is_refused(run):
    run.directory.mkdir(parents=True)
    (run.directory / "config.json").write_text('{"request": {"variant": "deep"}}')
    with pytest.raises(RunError, match="config.json is damaged"):
        run.start(CONFIG)


def test_config_that_is_not_json_is_refused(run):
    run.start(CONFIG)
    (run.directory / "config.json").write_text('{"request": ')
    with pytest.raises(RunError) as raised:
        run.start(CONFIG)
    assert "config.json" in one_line(raised)


def test_clear_deletes_only_the_run(run):
    run.start(CONFIG)
    run.finish(fit(run, small(), 1), RESULTS)
    (run.directory / "notes.txt").write_text("mine")
    run.clear()
    assert list(files(run)) == ["notes.txt"]


def test_clear_deletes_the_saved_model(run):
    run.start(CONFIG)
    (run.directory / "saved_model" / "variables").mkdir(parents=True)
    run.clear()
    assert list(run.directory.iterdir()) == []


@pytest.mark.parametrize("num_deleted", range(1, 5))
def test_interrupted_clear_leaves_no_checkpoint_without_config(run, monkeypatch, num_deleted):
    run.start(CONFIG)
    run.finish(fit(run, small(), 1), RESULTS)
    deleted = []
    unlink = Path.unlink

    def unlink_some(path, **arguments):
        if len(deleted) == num_deleted:
            raise KeyboardInterrupt
        deleted.append(path)
        unlink(path, **arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", unlink_some)
        run.clear()
    assert not run.finished
    # Without a config any request may follow, so the old checkpoint must be deleted.
    assert run.started or not (run.directory / "resume.npz").exists()


def test_clear_of_a_missing_run_does_nothing(run):
    run.clear()
    assert not run.directory.exists()


# ---- checkpoints ----


def test_restore_without_checkpoint_changes_nothing(run):
    run.start(CONFIG)
    model = small()
    before = state(model)
    assert checkpoint(run).restore(model, 3) == 0
    assert all(np.array_equal(before[name], value) for name, value in state(model).items())


@pytest.mark.parametrize(
    "kind", [keras_ae.Deep, keras_ae.Stacked, keras_ae.Denoising, keras_ae.VAE, keras_ae.VQVAE]
)
def test_restored_model_has_the_saved_state_bit_for_bit(run, kind):
    run.start(CONFIG)
    model = small(kind)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                kept.update(state(self.model))
                raise KeyboardInterrupt

    kept = {}
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            IMAGES,
            batch_size=4,
            epochs=4,
            callbacks=[CheckpointCallback(checkpoint(run)), Stop()],
            verbose=0,
        )
    other = small(kind)
    assert checkpoint(run).restore(other, 4) == 2
    restored = state(other)
    assert list(restored) == list(kept)
    assert all(np.array_equal(kept[name], value) for name, value in restored.items())


class StopAfter:
    """A callable that raises KeyboardInterrupt at the `number`th call."""

    def __init__(self, number: int):
        self.number = number

    def __call__(self):
        self.number -= 1
        return KeyboardInterrupt() if self.number == 0 else None


def train_in_steps(run, kind, interruption=lambda: None, epochs=3):
    """Train, or resume, one step per call: three steps per epoch, the last one short."""
    model = small(kind)
    run.start(CONFIG)
    first = checkpoint(run).restore(model, epochs)
    watchers = early_stopping.callbacks(patience=9, lr_patience=1)
    keep = CheckpointCallback(checkpoint(run), watchers, interruption)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "_steps_per_call", 1)
        model.fit(
            IMAGES[:11], batch_size=4, epochs=epochs, initial_epoch=first,
            callbacks=[*watchers, keep], validation_data=IMAGES, verbose=0,
        )  # fmt: skip
    rows = [{name: row[name] for name in row if name != "seconds"} for row in run.history]
    return first, rows, [value.tobytes() for value in state(model).values()]


@pytest.fixture(scope="module", params=[keras_ae.Stacked, keras_ae.Denoising, keras_ae.VAE])
def uninterrupted(request, tmp_path_factory):
    """A kind of model, and the history and the state after a training without interruption."""
    whole = RunDirectory(tmp_path_factory.mktemp("whole") / "run")
    return request.param, train_in_steps(whole, request.param)[1:]


def interrupt_and_resume(run, kind, calls):
    with pytest.raises(KeyboardInterrupt):
        train_in_steps(run, kind, StopAfter(calls))
    assert run.has_checkpoint and len(run.history) == calls // 3
    first, *results = train_in_steps(run, kind)
    assert first == calls // 3
    return tuple(results)


# Two calls within an epoch, one at its end.
@pytest.mark.parametrize(
    "calls", [2, 3, 7, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 5, 6, 9))]
)
def test_training_interrupted_mid_epoch_resumes_bit_for_bit(uninterrupted, run, calls):
    kind, expected = uninterrupted
    assert interrupt_and_resume(run, kind, calls) == expected


def test_compiled_training_interrupted_mid_epoch_resumes_bit_for_bit(run, tmp_path):
    with compiled():
        _, *expected = train_in_steps(RunDirectory(tmp_path / "whole"), keras_ae.Denoising)
        assert interrupt_and_resume(run, keras_ae.Denoising, 5) == tuple(expected)


@pytest.mark.parametrize("number", [0, 3, -1, 1.5])
def test_checkpoint_at_an_impossible_step_is_refused(run, monkeypatch, number):
    monkeypatch.setattr(keras_ae.Deep, "_steps_per_call", 1)
    run.start(CONFIG)
    with pytest.raises(KeyboardInterrupt):
        fit(run, small(), 3, interruption=StopAfter(1))
    path = run.directory / "resume.npz"
    with np.load(path) as kept:
        arrays = dict(kept)
    np.savez(path, **{**arrays, "within/step": np.array(number)})
    model = small()
    with pytest.raises(RunError, match="resume.npz cannot be read"):
        fit(run, model, 3, checkpoint(run).restore(model, 3))


def test_second_model_in_one_process_can_be_restored(run):
    run.start(CONFIG)
    fit(run, small(), 1)
    assert checkpoint(run).restore(small(), 3) == 1


def test_restore_rewrites_the_history_from_the_checkpoint(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    table = (run.directory / "history.csv").read_bytes()
    (run.directory / "history.csv").write_bytes(table.splitlines(keepends=True)[0])
    assert checkpoint(run).restore(small(), 3) == 2
    assert (run.directory / "history.csv").read_bytes() == table


def test_history_has_one_line_per_epoch_after_resume(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    before = (run.directory / "history.csv").read_text()
    model = small()
    fit(run, model, 3, first_epoch=checkpoint(run).restore(model, 3))
    table = (run.directory / "history.csv").read_text()
    assert table.startswith(before)
    assert [line.split(",")[0] for line in table.splitlines()] == ["epoch", "1", "2", "3"]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert {"seconds", "loss", "reconstruction_loss", "latent_loss"} <= set(run.history[0])


def test_history_keeps_every_digit_of_the_losses(run):
    run.start(CONFIG)
    rows = [{"epoch": 1, "seconds": 0.1, "loss": 1 / 3, "val_loss": float(np.float32(0.1))}]
    checkpoint(run).save(small(), rows)
    assert run.history == rows


def test_run_without_its_checkpoint_is_refused(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    (run.directory / "resume.npz").unlink()
    with pytest.raises(RunError) as raised:
        checkpoint(run).restore(small(), 3)
    assert "resume.npz is missing" in one_line(raised) and raised.value.remedy is Remedy.RETRAIN
    assert len(run.history) == 2


def test_run_without_its_config_is_refused(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    (run.directory / "config.json").unlink()
    with pytest.raises(RunError) as raised:
        run.start(CONFIG)
    assert "config.json is missing" in one_line(raised) and raised.value.remedy is Remedy.RETRAIN


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [{**rows[0], "epoch": 2}, rows[1]],
        lambda rows: [*rows, {"epoch": 3, "loss": "low"}],
        lambda rows: rows * 9,
        lambda rows: {"epoch": 1},
        lambda rows: [],
        lambda rows: [1, 2],
    ],
)
def test_impossible_history_is_refused(run, change):
    run.start(CONFIG)
    fit(run, small(), 2)
    with np.load(run.directory / "resume.npz") as state:
        arrays = dict(state)
    arrays["history"] = np.array(json.dumps(change(json.loads(str(arrays["history"])))))
    np.savez(run.directory / "resume.npz", **arrays)
    with pytest.raises(RunError, match="resume.npz cannot be read .its history is damaged"):
        checkpoint(run).restore(small(), 3)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [({}, True), ({"ema": 0.5}, False), ({"schedule": "cosine"}, False), ({"seed": 9}, False)],
)
def test_checkpoint_of_a_version_without_some_options_belongs_to_its_run(run, changes, is_same):
    run.start(CONFIG)
    fit(run, small(), 2)
    with np.load(run.directory / "resume.npz") as state:
        arrays = dict(state)
    request = json.loads(str(arrays["request"]))
    for name in ("ema", "schedule"):
        del request[name]
    arrays["request"] = np.array(json.dumps(request | changes))
    np.savez(run.directory / "resume.npz", **arrays)
    if is_same:
        assert checkpoint(run).restore(small(), 3) == 2
    else:
        with pytest.raises(RunError, match="belongs to another run"):
            checkpoint(run).restore(small(), 3)


def test_checkpoint_that_expands_to_gigabytes_is_refused_unread(run):
    run.start(CONFIG)
    with zipfile.ZipFile(run.directory / "resume.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("history.npy", bytes(2**26 + 2**20))
    with pytest.raises(RunError, match="decompresses to"):
        checkpoint(run).restore(small(), 3)


def test_partial_files_are_not_written_through_a_link(run, tmp_path):
    run.start(CONFIG)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (run.directory / ".resume.partial.npz").symlink_to(precious)
    (run.directory / ".saved_model.partial").symlink_to(tmp_path)
    model = fit(run, small(), 1)
    run.export(model)
    run.clear()
    assert precious.read_text() == "mine"
    assert (run.directory / "saved_model").exists() is False


def test_logs_are_not_written_through_a_link(run, tmp_path):
    run.start(CONFIG)
    assert run.log_folder() == run.directory / "tensorboard"
    (run.directory / "tensorboard").symlink_to(tmp_path)
    with pytest.raises(RunError, match="tensorboard is a link"):
        run.log_folder()


def test_model_of_another_run_is_refused(run):
    model = small()
    model._build_optimizers()
    run.start(dataclasses.replace(CONFIG, model={**model.get_config(), "latent_dim": 3}))
    run.finish(model, {})
    with pytest.raises(RunError) as raised:
        run.load_model()
    assert "latent_dim is 3 instead of 2" in one_line(raised)


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ({"latent_loss": np.nan, "loss": np.nan}, "latent_loss became nan"),
        (
            {"loss": 1.0, "val_loss": np.inf, "val_latent_loss": np.inf},
            "val_latent_loss became inf",
        ),
        ({"loss": np.inf}, "loss became inf in epoch 3"),
    ],
)
def test_divergence_names_the_term_before_the_sum(run, logs, words):
    keep = CheckpointCallback(checkpoint(run))
    keep.on_epoch_begin(2)
    with pytest.raises(Diverged, match=f"{words}.*there was no checkpoint before"):
        keep.on_train_batch_end(0, logs)
    run.start(CONFIG)
    (run.directory / "resume.npz").touch()
    with pytest.raises(Diverged, match="has the last checkpoint before that"):
        keep.on_epoch_end(2, logs)


@pytest.mark.parametrize("other", [{"hidden_units": (6,)}, {"batch_normalization": False}])
def test_checkpoint_of_another_network_is_refused(run, other):
    run.start(CONFIG)
    fit(run, small(), 1)
    arguments = {"hidden_units": (5,), **other}
    model = keras_ae.Deep((4, 4), 2, **arguments)
    model.compile()
    before = state(model)
    with pytest.raises(RunError) as raised:
        checkpoint(run).restore(model, 3)
    assert "resume.npz" in one_line(raised) and raised.value.remedy is Remedy.RETRAIN
    after = state(model)
    assert all(np.array_equal(value, after[name]) for name, value in before.items())


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def garbage(path: Path) -> None:
    path.write_bytes(b"not an archive\nat all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    np.savez(path, history=np.array([{"epoch": 1}], dtype=object))


def without_history(path: Path) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "history"}
    np.savez(path, **arrays)


@pytest.mark.parametrize("damage", [truncated, garbage, empty, pickled, without_history])
def test_damaged_checkpoint_is_refused_in_one_line(run, damage):
    run.start(CONFIG)
    fit(run, small(), 1)
    damage(run.directory / "resume.npz")
    with pytest.raises(RunError) as raised:
        checkpoint(run).restore(small(), 3)
    assert "resume.npz" in one_line(raised) and raised.value.remedy is Remedy.RETRAIN


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_checkpoint_is_never_unpickled(run, tmp_path):
    run.start(CONFIG)
    np.savez(run.directory / "resume.npz", history=np.array([Trap(tmp_path / "mark")], object))
    with pytest.raises(RunError):
        checkpoint(run).restore(small(), 3)
    assert not (tmp_path / "mark").exists()


# ---- content of the state ----


def test_state_has_everything_that_training_changes():
    model = small(keras_ae.VAE)
    model.optimizer.build(model.trainable_variables)
    before = state(model)
    model.fit(IMAGES, batch_size=4, epochs=1, verbose=0)
    changed = [
        variable.path
        for name, variable in state_variables(model).items()
        if not np.array_equal(before[name], variable.numpy())
    ]
    parts = ["iteration", "momentum", "velocity", "moving_mean", "moving_variance"]
    for part in [*parts, "kernel", "seed_generator_state"]:
        assert any(path.endswith(part) for path in changed), part


def test_state_has_each_variable_once_and_no_metrics():
    model = small(keras_ae.VQVAE)
    held = [id(variable) for variable in state_variables(model).values()]
    metrics = {id(variable) for variable in model.metrics_variables}
    assert metrics and not metrics & set(held)
    expected = {id(variable) for variable in [*model.variables, *model.optimizer.variables]}
    assert len(held) == len(set(held))
    assert set(held) == expected - metrics


@pytest.mark.parametrize("kind", [keras_ae.Denoising, keras_ae.VAE])
def test_state_has_the_noise_seeds(kind):
    held = state_variables(small(kind)).values()
    assert any(variable.path.endswith("seed_generator_state") for variable in held)


# ---- finish ----


def test_run_is_finished_when_its_results_are_there(run):
    run.start(CONFIG)
    model = fit(run, small(), 1)
    assert not run.finished
    run.finish(model, RESULTS)
    assert run.finished and run.results == RESULTS
    assert set(files(run)) == {
        "config.json",
        "history.csv",
        "resume.npz",
        "model.keras",
        "test.json",
    }
    loaded = run.load_model()
    assert np.array_equal(loaded.encode(IMAGES), model.encode(IMAGES))


def test_results_are_written_last(run, monkeypatch):
    order = []
    monkeypatch.setattr(run_directory, "atomic_write", lambda path, write: order.append(path.name))
    run.finish(small(), RESULTS)
    assert order == ["model.keras", "test.json"]


def test_failed_save_leaves_the_run_unfinished(run, monkeypatch):
    run.start(CONFIG)

    class Unsavable:
        def save(self, path):
            Path(path).write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError):
        run.finish(Unsavable(), RESULTS)
    assert not run.finished
    assert list(files(run)) == ["config.json"]


def test_interrupted_export_leaves_no_partial_saved_model(run):
    run.start(CONFIG)

    class Interrupted:
        def export(self, path, **arguments):
            Path(path).mkdir()
            (Path(path) / "saved_model.pb").write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.export(Interrupted())
    assert not (run.directory / "saved_model").exists()


@pytest.mark.parametrize("content", [None, b"not\na model"])
def test_unloadable_model_is_refused_in_one_line(run, content):
    run.start(CONFIG)
    if content is not None:
        (run.directory / "model.keras").write_bytes(content)
    with pytest.raises(RunError) as raised:
        run.load_model()
    assert "model.keras" in one_line(raised)


def test_results_that_are_not_json_are_refused(run):
    run.start(CONFIG)
    (run.directory / "test.json").write_text("{")
    with pytest.raises(RunError) as raised:
        _ = run.results
    assert "test.json" in one_line(raised)


def test_config_file_is_readable_json(run):
    run.start(CONFIG)
    text = (run.directory / "config.json").read_text()
    assert json.loads(text) == CONFIG.to_dict()
    assert text.endswith("\n") and len(text.splitlines()) > 1
