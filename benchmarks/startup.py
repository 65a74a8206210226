"""Start-up time: from the command to the first finished step, by part.

    python -m benchmarks.startup             (or: make bench)

MNIST must be prepared. The first, untimed run decodes it into the cache. Writes its section of
`benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import machine, put_section, table
from benchmarks.training import spread

PARTS = """
import json, sys, time
start = time.perf_counter()
import tensorflow, keras, keras_ae
from keras_ae import data
from keras_ae.variants import VARIANTS
imported = time.perf_counter()
images = data.split(data.load("mnist")).train.images
loaded = time.perf_counter()
model = VARIANTS["deep"](seed=0)
model.compile()
built = time.perf_counter()
class First(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = True
model.fit(images, batch_size=256, callbacks=[First()], verbose=0)
done = time.perf_counter()
print(json.dumps([imported - start, loaded - imported, built - loaded, done - built]))
"""


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], capture_output=True, check=False)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    parts, helps, mistyped = [], [], []
    for number in range(options.rounds + 1):
        answer = subprocess.run(
            [sys.executable, "-c", PARTS], capture_output=True, text=True, check=True
        )
        help_seconds = seconds("train.py", "--help")
        mistyped_seconds = seconds("train.py", "--variant", "denosing")
        if number:  # the first one fills the caches
            parts.append(json.loads(answer.stdout))
            helps.append(help_seconds)
            mistyped.append(mistyped_seconds)
    names = ["imports", "data (cached)", "model", "compilation and first step"]
    rows = [[name, spread([run[i] for run in parts])] for i, name in enumerate(names)]
    rows.append(["total", spread([sum(run) for run in parts])])
    rows.append(["`train.py --help`", spread(helps)])
    rows.append(["mistyped variant", spread(mistyped)])
    text = (
        f"{machine()} `deep`, cached MNIST; {options.rounds} rounds; min / median / max.\n\n"
        + table(["part", "seconds"], rows)
    )
    put_section(options.output, "Start-up", text)
    print(text)


if __name__ == "__main__":
    main()
