"""Imports that a program does without, so that it starts sooner."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

# Keras imports these for `keras.wrappers` and `keras.visualization`, which no program uses.
# With SciPy, which scikit-learn imports, they take a third of the time of `import keras`.
NOT_NEEDED = ("sklearn", "matplotlib")


@contextlib.contextmanager
def left_out(packages: tuple[str, ...] = NOT_NEEDED) -> Iterator[None]:
    """Within the block these packages are not imported, as if they were not installed.

    What they are imported for within the block must do without them, as Keras does. Later they are
    imported as always. A package that is already imported stays.
    """
    missing = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # pyright: ignore[reportCallIssue, reportArgumentType]
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
