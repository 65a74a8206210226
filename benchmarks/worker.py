"""Run a contender in its own process: one epoch for every line on standard input.

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
    """Print a JSON line with the seconds per epoch for every line on standard input."""
    from benchmarks.contenders import CONTENDERS

    run = CONTENDERS[specification.pop("contender")](**specification)
    run()  # compile, warm up
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        run()  # untimed: after waiting, caches are cold and pages may be swapped out
        start = time.perf_counter()
        run()
        seconds = (time.perf_counter() - start) / getattr(run, "num_epochs", 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


class Worker:
    """Start a worker process and request epochs from it.

    Args:
        python: The interpreter; for PyTorch it may be that of another environment.
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
            raise RuntimeError(f"The worker for {specification} did not start.")

    def epoch(self) -> dict:
        """Run one epoch; return its `seconds` and the peak memory of the process, `peak_mb`."""
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
            raise RuntimeError("A worker exited early; run it by hand to see the error.")
        return json.loads(line)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
