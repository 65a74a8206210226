"""Progress lines: the time left, and when a line is printed."""

import pytest

from keras_ae.progress import GridProgress, StepProgress, counted


def steps(progress, kind, seconds, subject="a run"):
    progress.begin(kind, subject)
    progress._start -= seconds
    progress.end(kind)


def test_time_left_is_the_mean_of_each_kind():
    progress = StepProgress(["slow", "slow", "quick", "quick", "unknown"], enabled=False)
    steps(progress, "slow", 100)
    steps(progress, "quick", 2)
    # slow 100, quick 2; an unknown kind takes the mean of the two
    assert progress.seconds_left() == pytest.approx(100 + 2 + 51, rel=1e-3)
    steps(progress, "slow", 200)
    assert progress.seconds_left() == pytest.approx(2 + 76, rel=1e-3)


def test_line_is_printed_where_the_subject_changes(capsys):
    progress = StepProgress(["a", "b", "a"])
    steps(progress, "a", 1, "first run")
    steps(progress, "b", 1, "first run")
    steps(progress, "a", 1, "second run")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "1/3  first run" in lines[0]
    assert "3/3  second run" in lines[1] and "0:01 left" in lines[1]


def test_disabled_progress_prints_nothing(capsys):
    steps(StepProgress(["a"], enabled=False), "a", 1)
    assert capsys.readouterr().out == ""


def test_grid_counts_skipped_epochs_as_done(capsys):
    progress = GridProgress(6)
    losses = {"loss": 3.0, "reconstruction_loss": 2.0, "latent_loss": 1.0}
    progress.start_run(1, 3)  # one of three runs was already finished
    progress.start_epoch()
    progress.end_epoch(2, losses)
    progress.end_run()  # early stopping
    progress.start_run(0, 3)
    progress.start_epoch()
    progress._start -= 10
    progress.end_epoch(1, {**losses, "val_loss": 4.0})
    first, second = capsys.readouterr().out.splitlines()
    assert "epoch 2/3" in first and "loss 3.00 = 2.00 reconstruction + 1.00 latent" in first
    assert "epoch 1/3" in second and "validation 4.00" in second
    assert second.startswith("[" + "#" * 13 + "." * 7 + "]")  # 4 of 6
    assert "0:20 left" in second  # two epochs of 10 seconds
    progress.start_epoch()
    progress._start -= 3
    progress.end_epoch(2, losses)
    # The first epoch of a run compiles: once there is another one, it does not count.
    assert "0:03 left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1000, "1,000 images")]
)
def test_a_count_has_a_plural_unless_it_is_one(number, words):
    assert counted(number, "image") == words
