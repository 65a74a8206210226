"""What is wrong but would pass: said, not guessed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from harness import Row, run, small_images


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Each case once, whatever `times` is: they are no matter of chance."""
    images = small_images(folder / "tiny.npz")
    line = ["--dataset", images, "--output-dir", "runs", "--epochs", 2, "--jit", "off", "--quiet"]
    ended = run("train.py", "--variant", "deep", "vae", *line, folder=folder)
    if ended.code:
        raise RuntimeError(ended.err)
    lost, tried = [], 0
    for case in (another_architecture, another_seed, other_versions, other_data):
        copy = folder / case.__name__
        shutil.copytree(folder / "runs", copy / "runs")
        shutil.copy(images, copy / "tiny.npz")
        deep, vae = sorted((copy / "runs" / "tiny.npz").iterdir())
        without_digests(deep, vae)
        for said in case(copy, deep, vae):
            tried += 1
            lost += [said] if said else []
        say(f"plausible: {case.__name__}")
    kept = "weights of another net, other versions and changed images are named"
    return [Row("wrong but plausible", tried, lost, kept)]


def without_digests(*runs: Path) -> None:
    """As older runs are: by its digests a run would be refused before what is meant here."""
    for directory in runs:
        results = json.loads((directory / "test.json").read_text())
        results.pop("digests", None)
        (directory / "test.json").write_text(json.dumps(results))


def expect(words: str, code: int, program: str, *arguments, folder: Path) -> str | None:
    ended = run(program, *arguments, folder=folder)
    if ended.code == code and words in ended.err + ended.out and "Traceback" not in ended.err:
        return None
    return f"{program}: expected code {code} and {words!r}; received {ended.code}: {ended.err}"


def train(folder: Path, variant: str, *more) -> list:
    line = ["--variant", variant, "--dataset", folder / "tiny.npz", "--output-dir", "runs"]
    return [*line, "--epochs", 2, "--jit", "off", *more]


def another_architecture(folder: Path, deep: Path, vae: Path):
    shutil.copy(deep / "model.keras", vae / "model.keras")
    line = ["runs", "--comparisons", "reconstruction", "--quiet"]
    yield expect("is not the model of this run", 1, "evaluate.py", *line, folder=folder)
    shutil.copy(deep / "resume.npz", vae / "resume.npz")
    (vae / "test.json").unlink()
    yield expect("belongs to another", 2, "train.py", *train(folder, "vae"), folder=folder)


def another_seed(folder: Path, deep: Path, vae: Path):
    config = json.loads((deep / "config.json").read_text())
    config["request"]["seed"] = 43
    (deep / "config.json").write_text(json.dumps(config))
    yield expect("seed 43", 2, "train.py", *train(folder, "deep"), folder=folder)


def other_versions(folder: Path, deep: Path, vae: Path):
    for directory in (deep, vae):
        config = json.loads((directory / "config.json").read_text())
        config["versions"]["keras"] = "3.0.0"
        (directory / "config.json").write_text(json.dumps(config))
    line = ["runs", "--comparisons", "reconstruction"]
    yield expect("keras 3.0.0", 0, "evaluate.py", *line, folder=folder)
    (deep / "test.json").unlink()
    yield expect("begun with keras 3.0.0", 0, "train.py", *train(folder, "deep"), folder=folder)


def other_data(folder: Path, deep: Path, vae: Path):
    with np.load(folder / "tiny.npz") as stored:
        arrays = dict(stored)
    arrays["images"] = arrays["images"][:, ::-1]
    np.savez(folder / "tiny.npz", **arrays)
    for directory in (deep, vae):
        config = json.loads((directory / "config.json").read_text())
        config["data"]["source"] = str(folder / "tiny.npz")
        (directory / "config.json").write_text(json.dumps(config))
    line = ["runs", "--comparisons", "reconstruction", "--quiet"]
    yield expect("the images have changed", 2, "evaluate.py", *line, folder=folder)
    yield expect(
        "other images of the same name", 2, "train.py", *train(folder, "deep"), folder=folder
    )
