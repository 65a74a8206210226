"""The example scripts."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest

import keras_ae

pytestmark = pytest.mark.xla

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_geron_style_model_learns_a_sparse_code():
    module = example("geron_style")
    short, longer = module.main(epochs=1), module.main(epochs=12)
    assert longer["loss"] < 0.8 * short["loss"]
    assert abs(longer["activity"] - 0.1) < 0.1 < short["activity"]


@pytest.mark.slow
def test_own_images_are_trained_and_served(tmp_path):
    answers = example("your_own_images").main(str(tmp_path / "vae"), epochs=3)
    assert answers["codes"].shape == (5, 6)
    assert answers["samples"].shape == (5, 16, 16, 3)
    assert np.isfinite(answers["scores"]).all() and (answers["scores"] > 0).all()


def test_typed_user_script_runs(tmp_path, monkeypatch, capsys):
    """The script that CI also type-checks."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES.parent / "tests" / "typing" / "user_script.py"))
    assert capsys.readouterr().out.rstrip().endswith(keras_ae.__version__)
    assert (tmp_path / "model.keras").exists()
