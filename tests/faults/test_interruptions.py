"""Killed, stopped and long trainings: a few trials of each; `make faults` runs more."""

import os

import killing
import long_load
import pytest
import stopping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals"),
]


def log(line: str) -> None:
    """Print nothing."""


def test_killed_training_resumes_bit_for_bit(tmp_path):
    rows = killing.run_fault(3, tmp_path, log, variants=("vae_gan",))
    assert rows[0].trials == 3
    for row in rows:
        assert not row.failures, "\n".join([row.fault, *row.failures])


def test_stopped_training_resumes_bit_for_bit(tmp_path):
    for row in stopping.run_fault(1, tmp_path, log):
        assert row.trials and not row.failures, "\n".join([row.fault, *row.failures])


def test_long_training_does_not_grow(tmp_path):
    row = long_load.many_epochs(300, tmp_path, log)
    assert row.trials == 300 and not row.failures, row.failures
