"""The pages that benchmarks write."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

TITLE = "# Benchmarks\n\nMade by `make bench`; every section says what it ran on.\n"


def machine() -> str:
    """One sentence on what a benchmark ran on."""
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
    """Replaces the section `title` of a page, or adds it."""
    page = path.read_text() if path.exists() else TITLE
    head, *sections = page.split("\n## ")
    kept = [section for section in sections if not section.startswith(f"{title}\n")]
    kept.append(f"{title}\n\n{text}\n")
    order = ["Training", "Start-up", "Scaling", "What was tried"]
    kept.sort(key=lambda section: order.index(section.split("\n")[0]))
    path.write_text("\n## ".join([head.rstrip("\n") + "\n", *(s.strip("\n") + "\n" for s in kept)]))
