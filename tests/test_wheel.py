"""The built wheel, outside the checkout, trains and evaluates."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the content of the wheel, built from a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "keras_ae", source / "keras_ae", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", source, source]
    subprocess.run([*pip, *map(str, build)], check=True, cwd=source)
    (wheel,) = source.glob("*.whl")
    install = ["install", "--no-deps", "--target", target, wheel]
    subprocess.run([*pip, *map(str, install)], check=True, cwd=source)
    return target


def run(installed: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, installed / "bin" / "keras-ae", *arguments],
        cwd=folder,
        env={**environment(folder), "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_has_every_file_of_the_package(installed):
    def files(folder: Path) -> set[str]:
        return {
            path.relative_to(folder).as_posix()
            for path in (folder / "keras_ae").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(installed) == files(ROOT)


def test_installed_program_trains_and_evaluates(installed, tmp_path):
    code = "import keras_ae; print(keras_ae.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(installed / "keras_ae" / "__init__.py")
    run(installed, tmp_path, "train", "--variant", "sparse", "--dataset", "digits", "--epochs", "2")
    assert (tmp_path / "runs" / "digits" / "sparse-20d-seed42" / "test.json").exists()
    comparisons = ["--comparisons", "reconstruction"]
    assert "report.html" in run(installed, tmp_path, "evaluate", *comparisons)
    assert (tmp_path / "results" / "digits" / "report.html").exists()
