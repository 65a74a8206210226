"""Processor time of an evaluation, by comparison, beside another version of the package.

    python train.py --variant shallow deep sparse denoising vae vq_vae --epochs 3
    python train.py --variant deep vae --latent-dim 2 --held-out-class 1 --epochs 3
    python -m benchmarks.evaluation runs/mnist --against ../keras_ae-0.1.0

Each version evaluates all runs in a process of its own with an empty cache, by turns. Runs count
as runs of the bake-off, so the published protocol is measured too. With `--against`, a checkout of
another version, there is a ratio for each comparison. Writes its section of
`benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import machine, put_section, table

ROOT = Path(__file__).parent.parent
# Run with another version of the package: only names that all versions have.
PROGRAM = """
import json, resource, sys, time
from keras_ae.cli.evaluate import main
from keras_ae.evaluation import evaluation
from keras_ae.evaluation.comparisons import COMPARISONS

def processor_time():
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])

spent, inside = {}, []

def timed(owner, function, name):
    original = getattr(owner, function)
    def measured(*arguments, **options):
        cpu, wall = processor_time(), time.perf_counter()
        inside.append([0.0, 0.0])
        try:
            return original(*arguments, **options)
        finally:
            used = processor_time() - cpu, time.perf_counter() - wall
            nested = inside.pop()
            for place in range(2):
                spent.setdefault(name, [0.0, 0.0])[place] += used[place] - nested[place]
                if inside:
                    inside[-1][place] += used[place]
    setattr(owner, function, measured)

for name, comparison in COMPARISONS.items():
    for function in ("measure", "baselines", "draw"):
        timed(comparison.load(), function, name)
timed(evaluation.Evaluation, "_train_classifier", "reference classifier")
evaluation.follows_bake_off = lambda run: True
start = time.perf_counter()
code = main([sys.argv[1], "--output-dir", sys.argv[2], "--quiet"])
spent["whole program"] = [processor_time(), time.perf_counter() - start]
print(json.dumps(spent))
sys.exit(code)
"""


def measure(checkout: Path, runs: Path) -> dict[str, list[float]]:
    """Seconds of processor time and of wall time, by comparison, of one evaluation."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(runs.resolve()), f"{folder}/results"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    if answer.returncode:
        raise SystemExit(f"The evaluation with {checkout} failed:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])


def medians(rounds: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """The median of each number over the rounds."""
    return {
        name: [statistics.median(one[name][place] for one in rounds) for place in range(2)]
        for name in rounds[0]
    }


def comparison_table(new: dict[str, list[float]], old: dict[str, list[float]] | None) -> str:
    """A row for each comparison, the whole program last."""
    if old is None:
        rows = [[name, f"{cpu:.1f}", f"{wall:.1f}"] for name, (cpu, wall) in new.items()]
        return table(["comparison", "CPU seconds", "seconds"], rows)
    header = ["comparison", "CPU seconds before", "now", "ratio", "seconds before", "now"]
    rows = []
    for name, (cpu, wall) in new.items():
        before, wall_before = old.get(name, [0.0, 0.0])
        ratio = f"{before / cpu:.2f}" if cpu else ""
        row = [before, cpu, ratio, wall_before, wall]
        rows.append([name, *(one if isinstance(one, str) else f"{one:.1f}" for one in row)])
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder of run directories of one data set")
    parser.add_argument("--against", type=Path, help="checkout of another version")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    new, old = [], []
    for _ in range(options.rounds):
        if options.against:
            old.append(measure(options.against, options.runs))
        new.append(measure(ROOT, options.runs))
    number = len(list(options.runs.glob("**/model.keras")))
    text = (
        f"{machine()} {number} runs of {options.runs.name}; {time.strftime('%B %-d, %Y')}; medians "
        f"of {options.rounds} rounds. CPU seconds are user and system time of all threads.\n\n"
        + comparison_table(medians(new), medians(old) if old else None)
    )
    put_section(options.output, "Evaluation", text)
    print(text)


if __name__ == "__main__":
    main()
