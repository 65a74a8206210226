"""Run the fault tests in full and print the table of docs/reliability.md: `make faults`.

python tests/faults                    # all of them, about 45 minutes
python tests/faults killing serving    # only these
python tests/faults --quick            # a few trials of each
python tests/faults --write docs/reliability.md
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from harness import ROOT, table

# Number of trials of each fault: in full, and with --quick.
TRIALS = {
    "killing": (50, 12),
    "stopping": (10, 2),
    "full_disk": (8, 2),
    "concurrent_runs": (5, 1),
    "diverging": (5, 2),
    "broken_runs": (240, 15),
    "hostile_input": (12_000, 300),
    "mismatched_files": (1, 1),
    "long_load": (2000, 50),
    "serving": (10_000, 200),
}

BEGIN, END = "<!-- faults table -->", "<!-- end of the faults table -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="FAULT", help=", ".join(TRIALS))
    parser.add_argument("--quick", action="store_true", help="a few trials of each fault")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the table between its comments in FILE"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(TRIALS):
        parser.error(f"unknown fault {', '.join(unknown)}: there are {', '.join(TRIALS)}")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]
    rows, started = [], time.perf_counter()
    for name in options.names or TRIALS:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run_fault = importlib.import_module(name).run_fault
            rows += run_fault(TRIALS[name][options.quick], Path(folder), log=log)
        log(f"{name}: {time.perf_counter() - began:.0f} s")
    text = f"{table(rows)}\n\n{caption(time.perf_counter() - started)}"
    print(text)
    if options.write:
        from tables import replace_section

        replace_section(options.write, BEGIN, END, text)
    for row in rows:
        for failure in row.failures:
            print(f"FAILED, {row.fault}: {failure}", file=sys.stderr)
    return 1 if any(row.failures or not row.trials for row in rows) else 0


def caption(seconds: float) -> str:
    """Versions, machine and duration."""
    names = ("keras_ae", "keras", "tensorflow", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (
        f"{versions}, python {platform.python_version()}; {os.cpu_count()} CPU cores, "
        f"{platform.machine()}; {seconds / 60:.0f} minutes."
    )


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
