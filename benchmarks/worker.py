"""A contender in a process of its own: runs an epoch for every line on standard input.

python -m benchmarks.worker '{"contender": "variant", "name": "deep"}'
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time


def serve(specification: dict) -> None:
    """Prints a JSON line with the seconds of an epoch for every line on standard input."""
    from benchmarks.contenders import CONTENDERS

    run = CONTENDERS[specification.pop("contender")](**specification)
    run()  # compiles, warms up
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        run()  # a process that has waited finds its caches cold and some of its pages gone
        start = time.perf_counter()
        run()
        seconds = (time.perf_counter() - start) / getattr(run, "num_epochs", 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


class Worker:
    """The other end: starts the process and asks it for epochs.

    Args:
        python: The interpreter, which for PyTorch may be another environment's.
        specification: The contender and its arguments.
    """

    def __init__(self, specification: dict, python: str = sys.executable):
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", json.dumps(specification)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        if not self._answer().get("ready"):
            raise RuntimeError(f"The worker of {specification} did not start.")

    def epoch(self) -> dict:
        """Runs one epoch; returns its `seconds` and the process's `peak_mb` so far."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("A worker ended early; run it by hand to see why.")
        return json.loads(line)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
