"""What is left of an evaluation, by the kinds of its steps."""

import pytest

from keras_ae.progress import StepProgress


def steps(progress, kind, seconds, subject="a run"):
    progress.begin(kind, subject)
    progress.began -= seconds
    progress.end(kind)


def test_the_time_left_is_that_of_the_kinds_left():
    progress = StepProgress(["slow", "slow", "quick", "quick", "unknown"], enabled=False)
    steps(progress, "slow", 100)
    steps(progress, "quick", 2)
    # slow 100, quick 2, and the unknown kind as the mean of the two
    assert progress.seconds_left() == pytest.approx(100 + 2 + 51, rel=1e-3)
    steps(progress, "slow", 200)
    assert progress.seconds_left() == pytest.approx(2 + 76, rel=1e-3)


def test_a_line_is_printed_where_the_subject_changes(capsys):
    progress = StepProgress(["a", "b", "a"])
    steps(progress, "a", 1, "first run")
    steps(progress, "b", 1, "first run")
    steps(progress, "a", 1, "second run")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "1/3  first run" in lines[0]
    assert "3/3  second run" in lines[1] and "0:01 left" in lines[1]


def test_silence(capsys):
    steps(StepProgress(["a"], enabled=False), "a", 1)
    assert capsys.readouterr().out == ""
