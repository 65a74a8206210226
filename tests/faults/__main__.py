"""Runs every examination in full and prints the table: `make faults`.

python tests/faults                    # all of them, about three quarters of an hour
python tests/faults killing serving    # these alone
python tests/faults --quick
python tests/faults --write README.md
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

# How often each is tried, in full and quickly.
TIMES = {
    "killing": (50, 12),
    "stopping": (10, 2),
    "full_disk": (8, 2),
    "two_at_once": (5, 1),
    "diverging": (5, 2),
    "broken_runs": (240, 15),
    "hostile_input": (12_000, 300),
    "plausible": (1, 1),
    "long_load": (2000, 50),
    "serving": (10_000, 200),
}


BEGIN, END = "<!-- faults table -->", "<!-- end of the faults table -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="EXAMINATION", help=", ".join(TIMES))
    parser.add_argument("--quick", action="store_true", help="a few of each")
    parser.add_argument("--write", type=Path, help="a file with the table's two comment lines")
    options = parser.parse_args()
    if unknown := set(options.names) - set(TIMES):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(TIMES)}")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]
    rows, started = [], time.perf_counter()
    for name in options.names or TIMES:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            examine = importlib.import_module(name).examine
            rows += examine(TIMES[name][options.quick], Path(folder), say=tell)
        tell(f"{name}: {time.perf_counter() - began:.0f} s")
    text = f"{table(rows)}\n\n{caption(time.perf_counter() - started)}"
    print(text)
    if options.write:
        from tables import put_between

        put_between(options.write, BEGIN, END, text)
    for row in rows:
        for what in row.lost:
            print(f"LOST, {row.fault}: {what}", file=sys.stderr)
    return 1 if any(row.lost or not row.tried for row in rows) else 0


def caption(seconds: float) -> str:
    """What the figures were made with and how long it took."""
    names = ("keras_ae", "keras", "tensorflow", "numpy")
    made = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return (
        f"{made}, python {platform.python_version()}; {os.cpu_count()} CPU cores, "
        f"{platform.machine()}; {seconds / 60:.0f} minutes."
    )


def tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
