"""Hostile files, configs and command lines: a few hundred; `python tests/faults hostile_input` runs
thousands.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hostile_input import SHARES, run_fault

from keras_ae import data
from keras_ae.evaluation import write_report

SCRIPT = "<script>alert('&')</script>"


def test_hostile_input_is_accepted_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path / "cache"))
    rows = run_fault(300, tmp_path)
    assert [row.failures for row in rows] == [[]] * len(rows)
    assert len(rows) == len(SHARES) and sum(row.trials for row in rows) >= 300


def test_markup_in_names_is_escaped_in_the_report(tmp_path):
    row = {"label": SCRIPT, "kind": "variant", "values": {"error": {"mean": 1.0}}}
    metrics = {
        "data": {"name": SCRIPT, "class_names": [SCRIPT, "b"], "num_train": 3},
        "configurations": [{"label": SCRIPT, "held_out": [SCRIPT]}],
        "comparisons": {
            "reconstruction": {
                "title": SCRIPT,
                "columns": [{"key": "error", "heading": SCRIPT, "digits": 2, "better": "lower"}],
                "rows": [row],
                "notes": [f"Held out was {SCRIPT}."],
                "figures": [{"file": f"{SCRIPT}.png", "caption": SCRIPT}],
            }
        },
        "missing": [{"what": SCRIPT, "command": f"python train.py --dataset {SCRIPT}"}],
        "broken": [SCRIPT],
        "unfinished": [SCRIPT],
    }
    write_report(metrics, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<script") == 1  # that of the page; test_report compares it
    assert page.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") >= 8
    assert "default-src 'none'" in page
    for line in (tmp_path / "report.md").read_text().splitlines():
        assert "<script" not in line or "--dataset" in line  # in a fenced block


class Trap:
    """Creates the folder `mark` when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("name", ["images.npy", "images.npz", "labels.npz", "folder", "quickdraw"])
def test_pickled_objects_are_refused_and_not_loaded(tmp_path, name):
    mark, path = tmp_path / "mark", tmp_path / name
    trap = np.array([Trap(mark)] * 3, dtype=object)
    options = {}
    if name in ("folder", "quickdraw"):
        path.mkdir()
        np.save(path / "cat.npy", trap, allow_pickle=True)
        options = {"data_dir": path} if name == "quickdraw" else {}
    elif name == "images.npy":
        np.save(path, trap, allow_pickle=True)
    elif name == "images.npz":
        np.savez(path, images=trap)
    else:
        np.savez(path, images=np.zeros((3, 8, 8), "u1"), labels=trap)
    with pytest.raises(data.DataError, match="pickled objects, which are never loaded"):
        data.load("quickdraw" if options else path, **options)
    assert not mark.exists()


def test_pickle_file_is_refused_and_not_loaded(tmp_path):
    np.array([Trap(tmp_path / "mark")], dtype=object).dump(tmp_path / "images.npy")
    with pytest.raises(data.DataError):
        data.load(tmp_path / "images.npy")
    assert not (tmp_path / "mark").exists()


def test_trap_works_where_pickles_are_loaded(tmp_path):
    np.save(tmp_path / "images.npy", np.array([Trap(tmp_path / "mark")]), allow_pickle=True)
    np.load(tmp_path / "images.npy", allow_pickle=True)
    assert (tmp_path / "mark").exists()
