"""Schedules of the learning rate, against their formula; training with them."""

import keras
import numpy as np
import pytest
from programs import assert_same_run, command, interrupt_at, refused, run_of, train

from keras_ae.runs.run_directory import RunDirectory
from keras_ae.runs.schedules import learning_rate_of

pytestmark = pytest.mark.usefixtures("offline", "eager")


@pytest.mark.parametrize(
    ("epochs", "num_steps", "warm_up"), [(60, 215, 430), (10, 7, 7), (3, 4, 1), (1, 5, 0)]
)
def test_cosine_rises_linearly_and_falls_along_half_a_cosine(epochs, num_steps, warm_up):
    schedule = learning_rate_of("cosine", 6e-3, epochs, num_steps)
    total = epochs * num_steps
    steps = np.arange(total + 1)
    falling = 0.5 * (1 + np.cos(np.pi * (steps - warm_up) / (total - warm_up)))
    expected = 6e-3 * np.where(steps < warm_up, steps / max(warm_up, 1), falling)
    found = [float(schedule(step)) for step in steps[:: max(1, total // 50)]]
    np.testing.assert_allclose(found, expected[:: max(1, total // 50)], atol=1e-8)
    assert float(schedule(total)) == pytest.approx(0.0, abs=1e-9)


def test_constant_is_the_number():
    assert learning_rate_of("constant", 1e-3, 3, 4) == 1e-3


def test_training_with_a_schedule_ends_with_it_and_keeps_it(tiny, tmp_path):
    line = [*command(tiny, tmp_path, "shallow"), "--schedule", "cosine", "--learning-rate", "6e-3"]
    assert train(*line) == 0
    run = RunDirectory(run_of(tmp_path, "shallow"))
    optimizer = run.load_model().optimizer
    assert isinstance(optimizer._learning_rate, keras.optimizers.schedules.CosineDecay)
    steps = int(optimizer.iterations.numpy())
    assert steps == 3 * -(-165 // 60) and float(optimizer.learning_rate) == pytest.approx(0)
    assert train(*line) == 0  # finished


def test_interrupted_training_with_a_schedule_resumes_bit_for_bit(tiny, tmp_path, monkeypatch):
    whole, stopped = (
        [*command(tiny, tmp_path / name, "vae"), "--schedule", "cosine"]
        for name in ("whole", "stopped")
    )
    assert train(*whole) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, "resume.npz", 2, True)
        assert train(*stopped) == 130
    assert train(*stopped) == 0
    assert_same_run(run_of(tmp_path / "stopped", "vae"), run_of(tmp_path / "whole", "vae"))


@pytest.mark.parametrize(
    ("variant", "options", "words"),
    [
        ("shallow", ["--lr-patience", "2"], "use one of the two"),
        ("stacked", [], "does not work with stacked"),
    ],
)
def test_schedule_beside_what_it_does_not_work_with_is_refused(
    tiny, tmp_path, capsys, variant, options, words
):
    line = [*command(tiny, tmp_path / "runs", variant), "--schedule", "cosine", *options]
    assert words in refused(capsys, train, *line)
    assert not (tmp_path / "runs").exists()
