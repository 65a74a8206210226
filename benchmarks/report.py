"""Writing benchmark results to a Markdown page."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

TITLE = (
    "# Benchmarks\n\nWritten by `make bench`. Every section says on which machine and with which "
    "versions it was measured.\n"
)


def machine() -> str:
    """The machine and the versions, in one sentence."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("tensorflow", "keras", "torch") if version(name)
    )
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}."


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(header: list[str], rows: list[list]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def put_section(path: Path, title: str, text: str) -> None:
    """Replace the section `title` of a page, or add it."""
    page = path.read_text() if path.exists() else TITLE
    head, *sections = page.split("\n## ")
    kept = [section for section in sections if not section.startswith(f"{title}\n")]
    kept.append(f"{title}\n\n{text}\n")
    order = ["Training", "Start-up", "Scaling", "Attempts"]
    kept.sort(key=lambda section: order.index(section.split("\n")[0]))
    path.write_text("\n## ".join([head.rstrip("\n") + "\n", *(s.strip("\n") + "\n" for s in kept)]))
