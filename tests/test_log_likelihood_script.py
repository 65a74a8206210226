"""`scripts/log_likelihood.py` on a small run."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from programs import eagerly

ROOT = Path(__file__).resolve().parents[1]


def script(path: str):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Runs on 84 small binarized images; `deep` has no Gaussian code."""
    folder = tmp_path_factory.mktemp("runs")
    images = np.random.default_rng(0).random((84, 4, 4)).astype("float32")
    np.savez(folder / "small.npz", images=images, labels=np.arange(84) % 2)
    line = ["--variant", "vae", "conditional_vae", "deep", "--dataset", str(folder / "small.npz")]
    line += ["--binarize", "bernoulli", "--epochs", "1", "--latent-dim", "2", "--jit", "off"]
    line += ["--output-dir", str(folder), "--quiet"]
    with eagerly():
        assert script("train.py").main(line) == 0
    return folder / "small.npz_bernoulli"


@pytest.mark.parametrize("variant", ["vae", "conditional_vae"])
def test_script_prints_the_mean_log_likelihood(runs, variant, capsys, monkeypatch):
    run = runs / f"{variant}-2d-seed42"
    kind, seen = type(keras.models.load_model(run / "model.keras")), []
    likelihood = kind.log_likelihood

    def watched(model, inputs, *others, **named):
        seen.append((inputs, likelihood(model, inputs, *others, **named)))
        return seen[-1][1]

    monkeypatch.setattr(kind, "log_likelihood", watched)
    line = [str(run), "--num-samples", "30", "--num-images", "7"]
    monkeypatch.setattr(sys, "argv", ["log_likelihood.py", *line])
    script("scripts/log_likelihood.py").main()
    shown = json.loads(capsys.readouterr().out)
    ((inputs, values),) = seen
    assert shown["num_images"] == len(values) == 7 and shown["num_samples"] == 30
    assert shown["negative_log_likelihood"] == pytest.approx(-values.mean())
    assert shown["standard_error"] == pytest.approx(values.std() / 7**0.5)
    images = inputs if variant == "vae" else inputs["images"]
    assert set(np.unique(images)) == {0.0, 1.0}


def test_held_out_class_is_left_out(runs, capsys, monkeypatch):
    line = ["--variant", "vae", "--dataset", str(runs.parent / "small.npz"), "--epochs", "1"]
    line += ["--binarize", "bernoulli", "--latent-dim", "2", "--jit", "off", "--quiet"]
    line += ["--output-dir", str(runs.parent), "--held-out-class", "1"]
    assert script("train.py").main(line) == 0
    directory = runs / "vae-2d-without-1-seed42"
    num_seen = json.loads((directory / "test.json").read_text())["num_images"]
    monkeypatch.setattr(sys, "argv", ["log_likelihood.py", str(directory), "--num-samples", "2"])
    script("scripts/log_likelihood.py").main()
    assert json.loads(capsys.readouterr().out)["num_images"] == num_seen


def test_run_without_a_gaussian_code_is_refused(runs, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["log_likelihood.py", str(runs / "deep-2d-seed42")])
    with pytest.raises(SystemExit):
        script("scripts/log_likelihood.py").main()
    assert "deep has no likelihood" in capsys.readouterr().err
