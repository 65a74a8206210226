"""Damaged run directories: a few of each kind; `python tests/faults broken_runs` runs hundreds."""

from __future__ import annotations

import json
import shutil

import programs
import pytest
from broken_runs import called, run_fault


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_AE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MPLBACKEND", "agg")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The `runs` folder of one finished run."""
    folder = tmp_path_factory.mktemp("finished")
    images = programs.small_images(folder / "images.npz")
    line = ["--variant", "shallow", "--dataset", images, "--output-dir", folder / "runs"]
    result = called(programs.train, *line, "--epochs", 1, "--jit", "off", "--quiet")
    assert result.code == 0, result
    return folder / "runs"


@pytest.mark.slow
def test_damaged_file_is_refused_or_the_run_resumes(tmp_path):
    rows = run_fault(15, tmp_path)
    assert [row.failures for row in rows] == [[]] * len(rows)
    assert sum(row.trials for row in rows) >= 15 and all(row.trials for row in rows)


@pytest.mark.parametrize(
    "name", ["..", "../../x", "{top}/absolute", "a/..", ".", "", "../.parts", "x\0y", "x" * 300]
)
def test_data_set_name_cannot_leave_the_output_folder(finished, tmp_path, name):
    top = tmp_path / "top"
    shutil.copytree(finished, top / "runs")
    config = next((top / "runs").rglob("config.json"))
    content = json.loads(config.read_text())
    content["request"]["dataset"] = name.format(top=top)
    config.write_text(json.dumps(content))
    results = json.loads((config.parent / "test.json").read_text())
    del results["digests"]  # as an attacker would
    (config.parent / "test.json").write_text(json.dumps(results))
    before = set(tmp_path.rglob("*"))
    output = top / "a" / "b" / "results"
    line = [top / "runs", "--output-dir", output, "--comparisons", "reconstruction", "--quiet"]
    result = called(programs.evaluate, *line)
    usable = "\0" not in name and len(name) < 256
    assert result.code == (0 if usable else 2) and "Traceback" not in result.err, result
    written = set(tmp_path.rglob("*")) - before - {top / "a", top / "a" / "b"}
    assert all(path.is_relative_to(output) for path in written)
    if usable:
        assert len(list(output.glob("*/report.html"))) == 1
