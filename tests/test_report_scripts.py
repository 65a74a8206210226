"""The report's scripts: their own tests with Node, and the linter (`scripts/check_scripts.sh`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command):
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr


def test_pure_functions_of_the_scripts():
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    tests = sorted((ROOT / "tests" / "javascript").glob("*.test.js"))
    assert tests
    run(node, "--test", *map(str, tests))


def test_linter_finds_no_fault_in_the_scripts():
    biome = ROOT / "node_modules" / ".bin" / "biome"
    if not biome.exists():
        pytest.skip("biome is not installed (npm install)")
    run(str(biome), "ci", "--error-on-warnings", ".")
