"""A few of each fault; `make faults` tries them in earnest."""

import importlib
import os

import pytest

QUICK = {
    "diverging": 2,
    "full_disk": 1,
    "plausible": 1,
    "serving": 400,
    "stopping": 1,
    "two_at_once": 1,
}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, locks and limits of POSIX")


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost(name, tmp_path):
    rows = importlib.import_module(name).examine(QUICK[name], tmp_path, say=lambda *_: None)
    assert rows
    for row in rows:
        assert row.tried and not row.lost, "\n".join([row.fault, *row.lost])


def test_killed_trainings_end_as_ones_that_never_were(tmp_path):
    killing = importlib.import_module("killing")
    rows = killing.examine(3, tmp_path, say=lambda *_: None, variants=("vae_gan",))
    assert rows[0].tried == 3
    for row in rows:
        assert not row.lost, "\n".join([row.fault, *row.lost])


def test_epochs_on_end_take_no_more_memory(tmp_path):
    row = importlib.import_module("long_load").many_epochs(300, tmp_path, lambda *_: None)
    assert row.tried == 300 and not row.lost, row.lost
