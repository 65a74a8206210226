"""Errors of run directories. Each names its remedy; the command line adds the option for it."""

from __future__ import annotations

import enum


class Remedy(enum.Enum):
    """What the user can do about an error, without naming command-line options."""

    RETRAIN = "Retrain this run, replacing it."
    REPLACE = "Use another output folder, or retrain to replace the run."
    WAIT = "Wait until it ends, stop it, or use another output folder."
    DIVIDE = "Give each process a part of the grid of its own."
    LOWER_LEARNING_RATE = "Retrain with a lower learning rate."


class RunError(ValueError):
    """A run directory that cannot be used, in one line.

    Args:
        problem: What is wrong, with the file's name. Line breaks become spaces.
        remedy: What to do about it, or None.

    Attributes:
        problem: The first argument, on one line.
        remedy: The second argument.
    """

    def __init__(self, problem: str, remedy: Remedy | None = None):
        self.problem = " ".join(problem.splitlines())  # a file name may contain line breaks
        self.remedy = remedy
        super().__init__(f"{self.problem} {remedy.value}" if remedy else self.problem)


class RunLocked(RunError):
    """A run directory that another process is writing to."""


class Diverged(ArithmeticError):
    """A training whose loss became NaN or infinite.

    Attributes:
        remedy: Always `Remedy.LOWER_LEARNING_RATE`.
    """

    remedy = Remedy.LOWER_LEARNING_RATE

    def __init__(self, problem: str):
        self.problem = problem
        super().__init__(f"{problem} {self.remedy.value}")
