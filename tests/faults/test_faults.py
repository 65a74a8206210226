"""A few trials of each fault; `make faults` runs more."""

import importlib
import os

import pytest

# Number of trials.
TRIALS = {
    "concurrent_runs": 1,
    "diverging": 2,
    "full_disk": 1,
    "mismatched_files": 1,
    "serving": 400,
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, locks and limits"),
]


@pytest.mark.parametrize("name", TRIALS)
def test_fault_has_no_failures(name, tmp_path):
    run_fault = importlib.import_module(name).run_fault
    rows = run_fault(TRIALS[name], tmp_path, log=lambda line: None)
    assert rows
    for row in rows:
        assert row.trials and not row.failures, "\n".join([row.fault, *row.failures])
