"""Divergence: a NaN or infinite loss stops the training and is named."""

from __future__ import annotations

import re
from pathlib import Path

from harness import Log, Row, run, unreadable_files
from programs import small_images

# Learning rates at which these networks diverge, some of them after good epochs.
RATES = {"vae": "1e6", "linear": "1e6", "vq_vae": "1e25", "deep": "1e30", "conv_vae": "1e6"}


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Train the first `trials` variants of `RATES`."""
    images = small_images(tmp_path / "tiny.npz")
    failures, done = [], 0
    for variant, rate in list(RATES.items())[:trials]:
        line = ["--variant", variant, "--dataset", images, "--learning-rate", rate, "--quiet"]
        result = run("train.py", *line, "--output-dir", "runs", "--epochs", 30, folder=tmp_path)
        done += 1
        named = re.search(r"(\w+) became (nan|-?inf) in epoch \d+", result.err)
        if (
            result.code != 1
            or not result.is_clean_exit
            or not named
            or named[1] in ("loss", "val_loss")
        ):
            failures.append(f"{variant} at {rate}: exit code {result.code}, {result.err[-300:]}")
        failures += unreadable_files(tmp_path / "runs")
        if list((tmp_path / "runs").rglob(f"{variant}-*/test.json")):
            failures.append(f"{variant} at {rate}: marked as finished")
        log(f"diverging: {variant}")
    return [
        Row(
            "divergence (NaN or infinite loss)",
            done,
            failures,
            "exit code 1 and the name of the loss; not marked as finished",
        )
    ]
