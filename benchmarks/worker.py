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

    try:
        run = CONTENDERS[specification.pop("contender")](**specification)
        run()  # compile, warm up
    except Exception as error:
        problem = str(error).strip() or type(error).__name__
        print(json.dumps({"error": problem.splitlines()[0]}), flush=True)
        raise
    print(json.dumps({"facts": getattr(run, "facts", {})}), flush=True)
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
        specification: The contender and its arguments.
        python: The interpreter; for PyTorch it may be that of another environment.

    Attributes:
        facts: What the contender says about itself.

    Raises:
        RuntimeError: the contender does not run.
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
        answer = self._answer()
        if "error" in answer:
            self.stop()
            raise RuntimeError(answer["error"])
        self.facts = answer["facts"]

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
