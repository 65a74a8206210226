"""A loss that is no number any more: the run stops, says which term, and keeps what it had."""

from __future__ import annotations

import re
from pathlib import Path

from harness import Row, half_states, run, small_images

# Learning rates at which each of these nets leaves the numbers, some of them after good epochs.
RATES = {"vae": "1e6", "linear": "1e6", "vq_vae": "1e25", "deep": "1e30", "conv_vae": "1e6"}


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Trains the first `times` variants at rates that cannot go well."""
    images = small_images(folder / "tiny.npz")
    lost, tried = [], 0
    for variant, rate in list(RATES.items())[:times]:
        line = ["--variant", variant, "--dataset", images, "--learning-rate", rate, "--quiet"]
        ended = run("train.py", *line, "--output-dir", "runs", "--epochs", 30, folder=folder)
        tried += 1
        named = re.search(r"(\w+) became (nan|-?inf) in epoch \d+", ended.err)
        if ended.code != 1 or not ended.in_order or not named or named[1] in ("loss", "val_loss"):
            lost.append(f"{variant} at {rate}: code {ended.code}, {ended.err[-300:]}")
        lost += half_states(folder / "runs")
        if list((folder / "runs").rglob(f"{variant}-*/test.json")):
            lost.append(f"{variant} at {rate}: marked as finished")
        say(f"diverging: {variant}")
    return [
        Row("divergence", tried, lost, "code 1 and the name of the term; not marked as finished")
    ]
