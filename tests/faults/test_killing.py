"""A few kills, signals and epochs on end; `make faults` tries more."""

import os

import killing
import long_load
import pytest
import stopping

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def say(words: str) -> None:
    """Nothing."""


def test_killed_trainings_end_as_ones_that_never_were(tmp_path):
    rows = killing.examine(3, tmp_path, say, variants=("vae_gan",))
    assert rows[0].tried == 3
    for row in rows:
        assert not row.lost, "\n".join([row.fault, *row.lost])


def test_stopped_trainings_end_as_ones_that_never_were(tmp_path):
    for row in stopping.examine(1, tmp_path, say):
        assert row.tried and not row.lost, "\n".join([row.fault, *row.lost])


def test_epochs_on_end_take_no_more_memory(tmp_path):
    row = long_load.many_epochs(300, tmp_path, say)
    assert row.tried == 300 and not row.lost, row.lost
