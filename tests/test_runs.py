"""Run directories, on fakes and on nets of a few units."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ae
from keras_ae import runs
from keras_ae.plateaus import plateau_callbacks
from keras_ae.runs import Diverged, KeepRun, Run, RunError, run_name, state_variables, write_beside

CONFIG = {"request": {"variant": "deep", "epochs": 3, "held_out_class": None}}
RESULTS = {"loss": 12.5, "reconstruction_loss": 12.0, "latent_loss": 0.5}
IMAGES = np.random.default_rng(0).random((12, 4, 4)).astype("float32")


@pytest.fixture(autouse=True, scope="module")
def eager():
    """Without tracing a net of a few units trains in milliseconds."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path / "runs" / "deep")


def small(kind=keras_ae.Deep, **arguments) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = kind((4, 4), 2, hidden_units=(5,), seed=3, **arguments)
    model.compile(jit_compile=False)
    return model


def fit(run: Run, model: keras.Model, epochs: int, first_epoch: int = 0, **keep) -> keras.Model:
    model.fit(
        IMAGES,
        batch_size=4,
        epochs=epochs,
        initial_epoch=first_epoch,
        callbacks=[KeepRun(run, **keep)],
        verbose=0,
    )
    return model


def state(model: keras.Model) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in state_variables(model).items()}


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.directory.iterdir()}


def one_line(raised) -> str:
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- names and files ----


def test_a_run_is_named_after_what_makes_it():
    assert run_name("vae", 20, None, 42) == "vae-20d-seed42"
    assert run_name("vae", 2, "1", 7) == "vae-2d-without-1-seed7"


def test_a_class_of_any_name_gives_one_folder():
    assert Path(run_name("deep", 2, "T-shirt/top", 1)).name == "deep-2d-without-T-shirt_top-seed1"
    assert " " not in run_name("deep", 2, "Ankle boot", 1)


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "model.keras"

    def write(temporary):
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path
        temporary.write_text("whole")
        assert not path.exists()

    write_beside(path, write)
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    assert path.read_text() == "whole"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "test.json"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("ha")
        raise error

    with pytest.raises(type(error)):
        write_beside(path, write)
    assert [file.name for file in tmp_path.iterdir()] == ["test.json"]
    assert path.read_text() == "old"


# ---- start and clear ----


def test_nothing_is_created_before_the_start(run):
    assert not run.started and not run.finished
    assert not run.directory.parent.exists()


def test_a_start_writes_the_config(run):
    run.start(CONFIG)
    assert run.started and not run.finished
    assert run.config == CONFIG
    assert list(files(run)) == ["config.json"]


def test_a_second_start_with_the_same_request_changes_nothing(run):
    run.start(CONFIG)
    before = files(run)
    run.start({**CONFIG, "versions": {"keras": "another"}})
    assert files(run) == before


def test_a_second_start_with_another_request_is_refused(run):
    run.start(CONFIG)
    before = files(run)
    with pytest.raises(RunError) as raised:
        run.start({"request": {**CONFIG["request"], "epochs": 4}})
    line = one_line(raised)
    assert "epochs 3" in line and "4" in line and "--overwrite" in line
    assert files(run) == before


def test_a_config_of_an_older_program_is_another_request(run):
    run.start({"request": {"variant": "deep"}})
    with pytest.raises(RunError):
        run.start(CONFIG)


def test_a_config_that_is_no_json_is_refused(run):
    run.start(CONFIG)
    (run.directory / "config.json").write_text('{"request": ')
    with pytest.raises(RunError) as raised:
        run.start(CONFIG)
    assert "config.json" in one_line(raised)


def test_clear_deletes_a_run_and_nothing_else(run):
    run.start(CONFIG)
    run.finish(fit(run, small(), 1), RESULTS)
    (run.directory / "notes.txt").write_text("mine")
    run.clear()
    assert list(files(run)) == ["notes.txt"]


def test_clear_takes_the_saved_model_of_the_old_run_along(run):
    run.start(CONFIG)
    (run.directory / "saved_model" / "variables").mkdir(parents=True)
    run.clear()
    assert list(run.directory.iterdir()) == []


@pytest.mark.parametrize("num_deleted", range(1, 5))
def test_a_clear_cut_short_leaves_no_state_for_another_request(run, monkeypatch, num_deleted):
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
    # Without a config any request may follow: then the old state must be gone.
    assert run.started or not (run.directory / "resume.npz").exists()


def test_clear_of_what_never_was_is_no_error(run):
    run.clear()
    assert not run.directory.exists()


# ---- keep and restore ----


def test_without_a_state_there_is_nothing_to_restore(run):
    run.start(CONFIG)
    model = small()
    before = state(model)
    assert run.restore(model, 3) == 0
    assert all(np.array_equal(before[name], value) for name, value in state(model).items())


@pytest.mark.parametrize(
    "kind", [keras_ae.Deep, keras_ae.Stacked, keras_ae.Denoising, keras_ae.VAE, keras_ae.VQVAE]
)
def test_a_restored_model_has_the_state_that_was_kept_bit_for_bit(run, kind):
    run.start(CONFIG)
    model = small(kind)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                kept.update(state(self.model))
                raise KeyboardInterrupt

    kept = {}
    with pytest.raises(KeyboardInterrupt):
        model.fit(IMAGES, batch_size=4, epochs=4, callbacks=[KeepRun(run), Stop()], verbose=0)
    other = small(kind)
    assert run.restore(other, 4) == 2
    restored = state(other)
    assert list(restored) == list(kept)
    assert all(np.array_equal(kept[name], value) for name, value in restored.items())


class StopAfter:
    """An interruption that comes with the `number`th look."""

    def __init__(self, number: int):
        self.number = number

    def __call__(self):
        self.number -= 1
        return KeyboardInterrupt() if self.number == 0 else None


@pytest.mark.parametrize("looks", [1, 2, 3, 5, 6, 7, 9])
@pytest.mark.parametrize("kind", [keras_ae.Stacked, keras_ae.Denoising, keras_ae.VAE])
def test_a_training_stopped_within_an_epoch_ends_as_one_that_was_not(
    tmp_path, monkeypatch, kind, looks
):
    # Three steps an epoch, the last of them short: two looks between them, one at its end.
    monkeypatch.setattr(kind, "steps_per_call", 1)

    def train(run, interruption=lambda: None, epochs=3):
        model = small(kind)
        run.start(CONFIG)
        first = run.restore(model, epochs)
        plateaus = plateau_callbacks(patience=9, lr_patience=1)
        keep = KeepRun(run, plateaus, interruption)
        model.fit(
            IMAGES[:11], batch_size=4, epochs=epochs, initial_epoch=first,
            callbacks=[*plateaus, keep], validation_data=IMAGES, verbose=0,
        )  # fmt: skip
        return first, model

    def results(run, model):
        rows = [{name: row[name] for name in row if name != "seconds"} for row in run.history]
        return rows, [value.tobytes() for value in state(model).values()]

    whole, run = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    _, expected = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(run, StopAfter(looks))
    assert run.kept and len(run.history) == looks // 3
    first, model = train(run)
    assert first == looks // 3
    assert results(run, model) == results(whole, expected)


@pytest.mark.parametrize("number", [0, 3, -1, 1.5])
def test_a_state_within_an_epoch_at_no_step_of_it_is_refused(run, monkeypatch, number):
    monkeypatch.setattr(keras_ae.Deep, "steps_per_call", 1)
    run.start(CONFIG)
    with pytest.raises(KeyboardInterrupt):
        fit(run, small(), 3, interruption=StopAfter(1))
    path = run.directory / "resume.npz"
    with np.load(path) as kept:
        arrays = dict(kept)
    np.savez(path, **{**arrays, "within/step": np.array(number)})
    model = small()
    with pytest.raises(RunError, match="resume.npz cannot be read"):
        fit(run, model, 3, run.restore(model, 3))


def test_a_second_model_in_one_process_can_be_restored_too(run):
    run.start(CONFIG)
    fit(run, small(), 1)
    assert run.restore(small(), 3) == 1


def test_restore_writes_the_table_anew_from_the_state(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    table = (run.directory / "history.csv").read_bytes()
    (run.directory / "history.csv").write_bytes(table.splitlines(keepends=True)[0])
    assert run.restore(small(), 3) == 2
    assert (run.directory / "history.csv").read_bytes() == table


def test_the_table_has_a_line_an_epoch_also_after_going_on(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    before = (run.directory / "history.csv").read_text()
    model = small()
    fit(run, model, 3, first_epoch=run.restore(model, 3))
    table = (run.directory / "history.csv").read_text()
    assert table.startswith(before)
    assert [line.split(",")[0] for line in table.splitlines()] == ["epoch", "1", "2", "3"]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert {"seconds", "loss", "reconstruction_loss", "latent_loss"} <= set(run.history[0])


def test_the_history_keeps_every_digit_of_the_losses(run):
    run.start(CONFIG)
    rows = [{"epoch": 1, "seconds": 0.1, "loss": 1 / 3, "val_loss": float(np.float32(0.1))}]
    run.keep(small(), rows)
    assert run.history == rows


def test_a_run_that_lost_its_state_is_not_begun_again_in_silence(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    (run.directory / "resume.npz").unlink()
    with pytest.raises(RunError) as raised:
        run.restore(small(), 3)
    assert "resume.npz is missing" in one_line(raised) and "--overwrite" in one_line(raised)
    assert len(run.history) == 2


def test_a_run_that_lost_its_config_is_not_begun_again_in_silence(run):
    run.start(CONFIG)
    fit(run, small(), 2)
    (run.directory / "config.json").unlink()
    with pytest.raises(RunError) as raised:
        run.start(CONFIG)
    assert "config.json is missing" in one_line(raised) and "--overwrite" in one_line(raised)


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
def test_a_history_that_cannot_be_is_refused(run, change):
    run.start(CONFIG)
    fit(run, small(), 2)
    with np.load(run.directory / "resume.npz") as state:
        arrays = dict(state)
    arrays["history"] = np.array(json.dumps(change(json.loads(str(arrays["history"])))))
    np.savez(run.directory / "resume.npz", **arrays)
    with pytest.raises(RunError, match="resume.npz cannot be read .its history is damaged"):
        run.restore(small(), 3)


def test_a_state_that_unfolds_to_gigabytes_is_refused_unread(run):
    run.start(CONFIG)
    with zipfile.ZipFile(run.directory / "resume.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("history.npy", bytes(2**26 + 2**20))
    with pytest.raises(RunError, match="unfolds to"):
        run.restore(small(), 3)


def test_a_link_in_place_of_a_partial_file_is_not_written_through(run, tmp_path):
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


def test_versions_other_than_now_are_named(run):
    run.start({**CONFIG, "versions": {"keras": "3.14.0", "numpy": "2.0", "python": "3.12"}})
    now = {"keras": "3.15.1", "numpy": "2.0", "tensorflow": "2.21"}
    assert run.other_versions(now) == "keras 3.14.0"
    assert run.other_versions({"keras": "3.14.0"}) == ""


def test_a_model_of_another_run_is_refused(run):
    model = small()
    model.build_optimizers()
    run.start({**CONFIG, "model": {**model.get_config(), "latent_dim": 3}})
    run.finish(model, {})
    with pytest.raises(RunError) as raised:
        run.load_model()
    assert "latent_dim is 2" in one_line(raised) and "3" in one_line(raised)


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
    keep = KeepRun(run)
    keep.on_epoch_begin(2)
    with pytest.raises(Diverged, match=f"{words}.*nothing was learned before"):
        keep.on_train_batch_end(0, logs)
    run.start(CONFIG)
    (run.directory / "resume.npz").touch()
    with pytest.raises(Diverged, match="keeps the last state before that"):
        keep.on_epoch_end(2, logs)


@pytest.mark.parametrize("other", [{"hidden_units": (6,)}, {"batch_normalization": False}])
def test_the_state_of_another_network_is_refused(run, other):
    run.start(CONFIG)
    fit(run, small(), 1)
    arguments = {"hidden_units": (5,), **other}
    model = keras_ae.Deep((4, 4), 2, **arguments)
    model.compile()
    before = state(model)
    with pytest.raises(RunError) as raised:
        run.restore(model, 3)
    assert "resume.npz" in one_line(raised) and "--overwrite" in one_line(raised)
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
def test_a_damaged_state_is_refused_in_one_line(run, damage):
    run.start(CONFIG)
    fit(run, small(), 1)
    damage(run.directory / "resume.npz")
    with pytest.raises(RunError) as raised:
        run.restore(small(), 3)
    assert "resume.npz" in one_line(raised) and "--overwrite" in one_line(raised)


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_state_is_never_unpickled(run, tmp_path):
    run.start(CONFIG)
    np.savez(run.directory / "resume.npz", history=np.array([Trap(tmp_path / "mark")], object))
    with pytest.raises(RunError):
        run.restore(small(), 3)
    assert not (tmp_path / "mark").exists()


# ---- what the state holds ----


def test_the_state_holds_all_that_training_changes():
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


def test_the_state_holds_each_variable_once_and_no_metrics():
    model = small(keras_ae.VQVAE)
    held = [id(variable) for variable in state_variables(model).values()]
    metrics = {id(variable) for variable in model.metrics_variables}
    assert metrics and not metrics & set(held)
    expected = {id(variable) for variable in [*model.variables, *model.optimizer.variables]}
    assert len(held) == len(set(held))
    assert set(held) == expected - metrics


@pytest.mark.parametrize("kind", [keras_ae.Denoising, keras_ae.VAE])
def test_the_state_of_the_noise_is_held(kind):
    held = state_variables(small(kind)).values()
    assert any(variable.path.endswith("seed_generator_state") for variable in held)


# ---- finish ----


def test_a_run_is_finished_when_its_results_are_there(run):
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


def test_the_results_are_written_last(run, monkeypatch):
    order = []
    monkeypatch.setattr(runs, "write_beside", lambda path, write: order.append(path.name))
    run.finish(small(), RESULTS)
    assert order == ["model.keras", "test.json"]


def test_a_model_that_cannot_be_saved_leaves_the_run_unfinished(run, monkeypatch):
    run.start(CONFIG)

    class Unsavable:
        def save(self, path):
            Path(path).write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError):
        run.finish(Unsavable(), RESULTS)
    assert not run.finished
    assert list(files(run)) == ["config.json"]


def test_an_export_cut_short_leaves_no_half_saved_model(run):
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
def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(run, content):
    run.start(CONFIG)
    if content is not None:
        (run.directory / "model.keras").write_bytes(content)
    with pytest.raises(RunError) as raised:
        run.load_model()
    assert "model.keras" in one_line(raised)


def test_results_that_are_no_json_are_refused(run):
    run.start(CONFIG)
    (run.directory / "test.json").write_text("{")
    with pytest.raises(RunError) as raised:
        _ = run.results
    assert "test.json" in one_line(raised)


def test_the_json_files_are_text_for_people(run):
    run.start(CONFIG)
    text = (run.directory / "config.json").read_text()
    assert json.loads(text) == CONFIG
    assert text.endswith("\n") and len(text.splitlines()) > 1
