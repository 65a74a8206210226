"""Intact files that do not belong together: another network, other versions, other images.

Each is reported, by both programs; none is used as if it were right.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from harness import Log, Row, run
from programs import small_images


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Try each case once; `trials` is ignored, because the cases are not random."""
    images = small_images(tmp_path / "tiny.npz")
    line = ["--dataset", images, "--output-dir", "runs", "--epochs", 2, "--jit", "off", "--quiet"]
    result = run("train.py", "--variant", "deep", "vae", *line, folder=tmp_path)
    if result.code:
        raise RuntimeError(result.err)
    failures, done = [], 0
    for case in (other_network, other_seed, other_versions, other_images):
        copy = tmp_path / case.__name__
        shutil.copytree(tmp_path / "runs", copy / "runs")
        shutil.copy(images, copy / "tiny.npz")
        deep, vae = sorted((copy / "runs" / "tiny.npz").iterdir())
        remove_checksums(deep, vae)
        for failure in case(copy, deep, vae):
            done += 1
            failures += [failure] if failure else []
        log(f"mismatched files: {case.__name__}")
    words = "weights of another network, other versions and changed images are reported"
    return [Row("wrong but plausible files", done, failures, words)]


def remove_checksums(*runs: Path) -> None:
    """As in runs of older versions; otherwise the checksums reveal every change."""
    for directory in runs:
        change_json(directory / "test.json", lambda content: content.pop("digests", None))


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def expect(words: list[str], code: int, program: str, *arguments, folder: Path) -> str | None:
    """What differs from the expected exit code and from a message with `words`; or None."""
    result = run(program, *arguments, folder=folder)
    said = result.err + result.out
    if (
        result.code == code
        and all(word in said for word in words)
        and "Traceback" not in result.err
    ):
        return None
    return f"{program}: expected exit code {code} and {words}; received {result.code}: {result.err}"


def train(folder: Path, variant: str, words: list[str], code: int) -> str | None:
    line = ["--variant", variant, "--dataset", folder / "tiny.npz", "--output-dir", "runs"]
    line += ["--epochs", 2, "--jit", "off"]
    return expect(words, code, "train.py", *line, folder=folder)


def evaluate(folder: Path, words: list[str], code: int, *more: str) -> str | None:
    line = ["runs", "--comparisons", "reconstruction", *more]
    return expect(words, code, "evaluate.py", *line, folder=folder)


def other_network(folder: Path, deep: Path, vae: Path) -> Iterator[str | None]:
    shutil.copy(deep / "model.keras", vae / "model.keras")
    yield evaluate(folder, ["is not the model of this run"], 1, "--quiet")
    shutil.copy(deep / "resume.npz", vae / "resume.npz")
    (vae / "test.json").unlink()
    yield train(folder, "vae", ["resume.npz belongs to another"], 2)


def other_seed(folder: Path, deep: Path, vae: Path) -> Iterator[str | None]:
    change_json(deep / "config.json", lambda content: content["request"].update(seed=43))
    yield train(folder, "deep", ["seed 43"], 2)


def other_versions(folder: Path, deep: Path, vae: Path) -> Iterator[str | None]:
    for directory in (deep, vae):
        change_json(
            directory / "config.json", lambda content: content["versions"].update(keras="3.0.0")
        )
    yield evaluate(folder, ["keras 3.0.0"], 0)
    (deep / "test.json").unlink()
    yield train(folder, "deep", ["started with keras 3.0.0"], 0)


def other_images(folder: Path, deep: Path, vae: Path) -> Iterator[str | None]:
    with np.load(folder / "tiny.npz") as stored:
        arrays = dict(stored)
    arrays["images"] = arrays["images"][:, ::-1]
    np.savez(folder / "tiny.npz", **arrays)
    for directory in (deep, vae):
        change_json(
            directory / "config.json",
            lambda content: content["data"].update(source=str(folder / "tiny.npz")),
        )
    fingerprint = json.loads((deep / "config.json").read_text())["request"]["fingerprint"]
    yield evaluate(folder, ["images have changed", fingerprint], 2, "--quiet")
    yield train(folder, "deep", ["other images of the same name"], 2)
