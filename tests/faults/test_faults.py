"""A few of each fault; `make faults` tries them in earnest."""

import importlib
import os

import pytest

QUICK = {
    "diverging": 2,
    "full_disk": 1,
    "plausible": 1,
    "serving": 400,
    "two_at_once": 1,
}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, locks and limits of POSIX")


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost(name, tmp_path):
    rows = importlib.import_module(name).examine(QUICK[name], tmp_path, say=lambda *_: None)
    assert rows
    for row in rows:
        assert row.tried and not row.lost, "\n".join([row.fault, *row.lost])
