"""Interrupted trainings: their messages, and that they resume bit for bit."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from programs import (
    FILES,
    ROOT,
    assert_same_run,
    command,
    compiled,
    history,
    interrupt_at,
    refused,
    run_of,
    train,
)

import keras_ae
from keras_ae import data
from keras_ae.runs import checkpoint
from keras_ae.runs.run_directory import RunDirectory

SCRIPT = ROOT / "train.py"

# Ctrl-C must reach the script even if the tests run in the background of a shell.
LAUNCH = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


pytestmark = pytest.mark.usefixtures("offline", "eager")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("trained") / "runs"
    assert train(*command(tiny, output_dir, "deep", epochs=2)) == 0
    return output_dir


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """A function that trains a variant once without interruption; returns its run directory."""
    output_dir = tmp_path_factory.mktemp("uninterrupted")

    def train_once(variant: str) -> Path:
        if not run_of(output_dir, variant).exists():
            assert train(*command(tiny, output_dir, variant)) == 0
        return run_of(output_dir, variant)

    return train_once


@pytest.mark.parametrize(
    ("variant", "file_name", "number", "after"),
    [
        ("deep", "config.json", 1, True),
        ("vae", "resume.npz", 2, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("stacked", "model.keras", 1, False),
                ("deep", "resume.npz", 2, False),
                ("stacked", "resume.npz", 1, True),
                ("denoising", "resume.npz", 2, True),
                ("vae", "resume.npz", 2, True),
                ("vae", "test.json", 1, False),
                ("vq_vae", "history.csv", 1, True),
                ("vq_vae", "model.keras", 1, False),
            ]
        ),
    ],
)
def test_interrupted_run_resumes_bit_for_bit(
    uninterrupted, tiny, tmp_path, monkeypatch, capsys, variant, file_name, number, after
):
    reference = uninterrupted(variant)
    line = command(tiny, tmp_path, variant)
    with monkeypatch.context() as patch:
        interrupt_at(patch, file_name, number, after)
        assert train(*line) == 130
    run = run_of(tmp_path, variant)
    assert not (run / "test.json").exists()
    capsys.readouterr()
    assert train(*line) == 0
    assert "already finished" not in capsys.readouterr().out
    assert {path.name for path in run.iterdir()} == FILES
    assert_same_run(run, reference)


@pytest.fixture
def signals():
    """Restore the signal handlers after the test."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_signal_ends_training_after_the_current_steps(
    uninterrupted, tiny, tmp_path, monkeypatch, capsys, signals, number, code
):
    line = command(tiny, tmp_path, "vae")
    on_train_batch_end, looks = checkpoint.CheckpointCallback.on_train_batch_end, []

    def send(callback, batch, logs=None):  # twice an epoch here
        looks.append(batch)
        if len(looks) == 3:
            os.kill(os.getpid(), number)
        on_train_batch_end(callback, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(keras_ae.VAE, "_steps_per_call", 2)
        patch.setattr(checkpoint.CheckpointCallback, "on_train_batch_end", send)
        assert train(*line) == code
    (words,) = capsys.readouterr().err.strip().splitlines()
    assert "resume" in words
    run = run_of(tmp_path, "vae")
    assert len(history(run)) == 1
    with np.load(run / "resume.npz") as kept:
        assert kept["within/step"] == 2
    assert train(*line) == 0
    assert "resuming at epoch 2" in capsys.readouterr().out
    assert_same_run(run, uninterrupted("vae"))


def test_interruption_turned_into_another_error_is_recognized(
    tiny, tmp_path, monkeypatch, capsys, signals
):
    def convert(*_, **__):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt as stop:
            raise TypeError("Could not generate a generic TraceType") from stop

    monkeypatch.setattr(data, "split", convert)
    assert train(*command(tiny, tmp_path, "deep")) == 130
    assert "interrupted" in capsys.readouterr().err


def test_error_after_a_signal_is_reported(tiny, tmp_path, monkeypatch, capsys, signals):
    def full(*_):
        os.kill(os.getpid(), signal.SIGINT)
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.Checkpoint, "save", full)
    assert train(*command(tiny, tmp_path, "deep")) == 2
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "words"), [("lock", ""), ("start", "without --overwrite ")])
def test_resume_hint_says_whether_overwrite_is_still_needed(
    trained, tmp_path, monkeypatch, capsys, tiny, method, words
):
    def interrupt(*_):
        raise KeyboardInterrupt

    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.setattr(RunDirectory, method, interrupt)
    line = command(tiny, tmp_path / "runs", "deep", epochs=2)
    assert train(*line, "--overwrite") == 130
    assert f"the same command {words}to resume" in capsys.readouterr().err


# Compiled: these networks train for dozens of epochs.
PATIENCE = ["--patience", 3, "--lr-patience", 2, "--learning-rate", 0.1, "--jit", "off"]


@pytest.fixture(scope="module")
def patient(tiny, tmp_path_factory):
    """A training that reduced the learning rate and stopped early, and its output."""
    output_dir = tmp_path_factory.mktemp("patient")
    lines = io.StringIO()
    with compiled(), contextlib.redirect_stdout(lines):
        assert train(*command(tiny, output_dir, "vae", epochs=60), *PATIENCE) == 0
    return output_dir, lines.getvalue()


def early_stopping_line(run: Path) -> str:
    values = [float(row["val_loss"]) for row in history(run)]
    best = np.argmin(values) + 1
    return f"early stopping at epoch {len(values)}; restored best weights (epoch {best})\n"


def test_early_stopping_restores_the_best_weights(patient, tiny):
    run = run_of(patient[0], "vae")
    assert early_stopping_line(run) in patient[1]
    rows = history(run)
    losses = [float(row["val_loss"]) for row in rows]
    best = int(np.argmin(losses))
    assert len(rows) == best + 1 + 3 < 60
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == pytest.approx(0.1) and rates[-1] < 0.02
    model = RunDirectory(run).load_model()
    validation = data.split(data.load(tiny)).validation
    found = model.evaluate(validation.images, verbose=0, return_dict=True)
    assert found["reconstruction_loss"] == pytest.approx(
        float(rows[best]["val_reconstruction_loss"]), rel=1e-5
    )


@pytest.mark.slow
def test_early_stopping_state_survives_resume(patient, tiny, tmp_path, monkeypatch):
    line = [*command(tiny, tmp_path, "vae", epochs=60), *PATIENCE]
    with compiled():
        with monkeypatch.context() as patch:
            interrupt_at(patch, "resume.npz", 5, after=True)
            assert train(*line) == 130
        assert train(*line) == 0
    assert_same_run(run_of(tmp_path, "vae"), run_of(patient[0], "vae"))


@pytest.mark.slow
def test_early_stopped_run_is_finalized_after_its_last_checkpoint(patient, tiny, tmp_path, capsys):
    """Interrupted before `model.keras` is written: all other files but the results exist."""
    output_dir, _ = patient
    shutil.copytree(output_dir, tmp_path / "runs")
    run = run_of(tmp_path / "runs", "vae")
    (run / "test.json").unlink()
    (run / "model.keras").unlink()
    capsys.readouterr()
    with compiled():
        assert train(*command(tiny, tmp_path / "runs", "vae", epochs=60), *PATIENCE) == 0
    out = capsys.readouterr().out
    assert "training complete, finalizing" in out and early_stopping_line(run) in out
    assert_same_run(run, run_of(output_dir, "vae"))


def test_patience_is_refused_for_greedy_training(tiny, tmp_path, capsys):
    assert train(*command(tiny, tmp_path, "stacked"), "--patience", 3) == 2
    assert "stacked" in capsys.readouterr().err


def test_run_of_an_interrupted_grid_can_be_resumed_alone(
    uninterrupted, tiny, tmp_path, monkeypatch
):
    reference = uninterrupted("deep")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "history.csv", 4, after=True)
        assert train(*command(tiny, tmp_path, "shallow", "deep")) == 130
    assert train(*command(tiny, tmp_path, "deep")) == 0
    assert_same_run(run_of(tmp_path, "deep"), reference)


def test_damaged_checkpoint_is_refused(tiny, tmp_path, monkeypatch, capsys):
    line = command(tiny, tmp_path, "shallow")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "history.csv", 1, after=True)
        assert train(*line) == 130
    state = run_of(tmp_path, "shallow") / "resume.npz"
    state.write_bytes(state.read_bytes()[:1000])
    assert "resume.npz" in refused(capsys, train, *line)
    assert train(*line, "--overwrite") == 0


KILLED = (("stacked", 1, signal.SIGKILL), ("vae", 2, signal.SIGKILL), ("vq_vae", 3, signal.SIGINT))
GRID = [variant for variant, *_ in KILLED]


def ended(process: subprocess.Popen, run: Path, num_lines: int, number: signal.Signals):
    """Send a signal once the history of `run` has that many epochs; return the output."""
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
        assert train(*line) == 0
        reference = command(tiny, output_dir / "reference", *GRID, **arguments)
        assert train(*reference, "--jit", "off") == 0
    return output_dir, endings


@pytest.mark.slow
def test_signals_came_during_training(killed_grid):
    codes = [code for code, *_ in killed_grid[1]]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 130]
    assert [was_finished for *_, was_finished in killed_grid[1]] == [False] * 3


@pytest.mark.slow
def test_ctrl_c_prints_one_line_and_no_traceback(killed_grid):
    _, out, err, _ = killed_grid[1][-1]
    assert "Traceback" not in err and "KeyboardInterrupt" not in err
    assert "nterrupted" in (out + err)
    assert len([line for line in (out + err).splitlines() if "nterrupted" in line]) == 1


@pytest.mark.slow
def test_killed_grid_resumes(killed_grid):
    *_, (_, out, _, _) = killed_grid[1]
    assert "[1/3]" in out and out.count("already finished") == 1
    assert [row["epoch"] for row in history(run_of(killed_grid[0] / "killed", "vae"))] == [
        str(epoch) for epoch in range(1, 21)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("variant", GRID)
def test_killed_run_resumes_bit_for_bit(killed_grid, variant):
    output_dir, _ = killed_grid
    run, reference = (run_of(output_dir / name, variant) for name in ("killed", "reference"))
    assert_same_run(run, reference)
