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


# Vector extensions that change the speed of products, and the flags of /proc/cpuinfo for them.
EXTENSIONS = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "AMX": "amx_tile",
    "NEON": "asimd",
    "SVE": "sve",
}


def processor(cpuinfo: str) -> str:
    """The processor's model and its vector extensions.

    Args:
        cpuinfo: The text of /proc/cpuinfo; empty where there is none.
    """
    fields = dict(
        (key.strip(), value.strip())
        for key, colon, value in (line.partition(":") for line in cpuinfo.splitlines())
        if colon
    )
    model = fields.get("model name") or platform.processor() or platform.machine()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    extensions = [name for name, flag in EXTENSIONS.items() if flag in flags]
    return f"{model} with {', '.join(extensions)}" if extensions else model


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """The machine and the versions, in one sentence."""
    cpuinfo = Path("/proc/cpuinfo")
    model = processor(cpuinfo.read_text() if cpuinfo.exists() else "")
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("tensorflow", "keras", "torch") if version(name)
    )
    return f"{model}; {num_cores()} cores, Python {platform.python_version()}, {versions}."


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
    order = [
        "Training", "Time to quality", "Evaluation", "Start-up", "Scaling", "Matrix products",
        "Convolutions", "Attempts",
    ]  # fmt: skip
    kept.sort(key=lambda section: order.index(section.split("\n")[0]))
    path.write_text("\n## ".join([head.rstrip("\n") + "\n", *(s.strip("\n") + "\n" for s in kept)]))
