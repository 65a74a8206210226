"""Progress lines: epochs over a grid of trainings, steps over an evaluation; counts in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

LINES_WITHOUT_A_TERMINAL = 6


class GridProgress:
    """Progress of all epochs of all runs, with the time left.

    On a terminal one line is rewritten; elsewhere each run prints a few lines.

    Args:
        num_epochs: Number of epochs of all runs together.
        enabled: False prints nothing.
    """

    def __init__(self, num_epochs: int, enabled: bool = True):
        self.num_epochs = num_epochs
        self.enabled = enabled
        self._done = 0
        self._first = 0.0  # seconds of the first epoch of a run, which compiles
        self._others: list[float] = []
        self._is_first = True
        self._run_epochs = 0
        self._run_left = 0

    def start_run(self, first_epoch: int, epochs: int) -> None:
        """Begin a run of `epochs` epochs, `first_epoch` of which are already finished."""
        self._done += first_epoch
        self._run_epochs = epochs
        self._run_left = epochs - first_epoch
        self._is_first = True

    def skip_run(self, epochs: int) -> None:
        """Leave out a run of `epochs` epochs that another process trains."""
        self.num_epochs -= epochs

    def start_epoch(self) -> None:
        self._start = time.perf_counter()

    def end_epoch(self, epoch: int, losses: Mapping[str, float]) -> None:
        """Report an epoch, numbered from 1, and its losses."""
        seconds = time.perf_counter() - self._start
        if self._is_first:
            self._first, self._is_first = seconds, False
        else:
            self._others.append(seconds)
        self._done += 1
        self._run_left -= 1
        if not self.enabled:
            return
        epochs = self._run_epochs
        line = self._line(epoch, losses)
        if sys.stdout.isatty():
            end = "\n" if epoch == epochs else ""
            print(f"\r\x1b[K{line}", end=end, flush=True)
        elif epoch == epochs or epoch % -(-epochs // LINES_WITHOUT_A_TERMINAL) == 0:
            print(line, flush=True)

    def end_run(self) -> None:
        """End a run; epochs that early stopping skipped count as done."""
        self._done += self._run_left
        if self._run_left and self.enabled and sys.stdout.isatty():
            print(flush=True)
        self._run_left = 0

    def _line(self, epoch: int, losses: Mapping[str, float]) -> str:
        usual = sum(self._others) / len(self._others) if self._others else self._first
        left = usual * (self.num_epochs - self._done)
        words = f"loss {losses['loss']:.2f} = {losses['reconstruction_loss']:.2f} reconstruction"
        words += f" + {losses['latent_loss']:.2f} latent"
        if "val_loss" in losses:
            words += f", validation {losses['val_loss']:.2f}"
        done = bar(self._done, self.num_epochs)
        return f"{done} epoch {epoch}/{self._run_epochs}  {words}  {clock(left)} left"


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 image", "1,000 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def bar(done: int, number: int) -> str:
    """A bar of 20 characters: `[#####...............]`."""
    return f"[{'#' * round(20 * done / number):.<20}]"


def clock(seconds: float) -> str:
    """A duration: `1:05`, `2:01:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class StepProgress:
    """Progress of steps of several kinds, with the time left.

    On a terminal one line is rewritten; elsewhere a line is printed where the subject changes.

    Args:
        steps: The kind of each step to come.
        enabled: False prints nothing.
    """

    def __init__(self, steps: list[str], enabled: bool = True):
        self.num_steps = len(steps)
        self.enabled = enabled
        self._left = list(steps)
        self._seconds: dict[str, list[float]] = {}
        self._subject = None

    def begin(self, kind: str, subject: str) -> None:
        """Begin a step of a kind; `subject` names it in the progress line."""
        self._start = time.perf_counter()
        if not self.enabled:
            return
        done = self.num_steps - len(self._left)
        line = f"{bar(done, self.num_steps)} {done + 1}/{self.num_steps}  {subject}"
        left = f"  {clock(self.seconds_left())} left" if self._seconds else ""
        if sys.stdout.isatty():
            print(f"\r\x1b[K{line}: {kind}{left}", end="", flush=True)
        elif subject != self._subject:
            print(line + left, flush=True)
        self._subject = subject

    def end(self, kind: str) -> None:
        """End the step begun last."""
        self._seconds.setdefault(kind, []).append(time.perf_counter() - self._start)
        self._left.remove(kind)
        if self.enabled and not self._left and sys.stdout.isatty():
            print("\r\x1b[K", end="", flush=True)

    def seconds_left(self) -> float:
        """The estimate, from the mean time of each kind; an unseen kind takes the mean of all."""
        means = {kind: sum(times) / len(times) for kind, times in self._seconds.items()}
        usual = sum(means.values()) / max(len(means), 1)
        return sum(means.get(kind, usual) for kind in self._left)


class CountProgress:
    """Progress over a number of things that are processed in batches, with the time left.

    On a terminal one line is rewritten; elsewhere a few lines are printed. Nothing is printed
    where all are processed in one batch.

    Args:
        number: Number of things.
        noun: What they are, such as "images".
        enabled: False prints nothing.
        start: When the first of them was begun, by `time.perf_counter`; None for now.
    """

    def __init__(self, number: int, noun: str, enabled: bool = True, start: float | None = None):
        self.number = number
        self.noun = noun
        self.enabled = enabled
        self._start = time.perf_counter() if start is None else start
        self._printed = 0

    def update(self, done: int) -> None:
        """Report that `done` of them are processed."""
        first = self._printed == 0 and done >= self.number
        if not self.enabled or first:
            return
        left = (time.perf_counter() - self._start) / done * (self.number - done)
        line = f"{bar(done, self.number)} {done:,}/{self.number:,} {self.noun}  {clock(left)} left"
        if sys.stdout.isatty():
            end = "\n" if done >= self.number else ""
            print(f"\r\x1b[K{line}", end=end, flush=True)
            self._printed = done
        elif self._printed == 0 or (
            done * LINES_WITHOUT_A_TERMINAL // self.number
            > self._printed * LINES_WITHOUT_A_TERMINAL // self.number
        ):
            print(line, flush=True)
            self._printed = done


SECONDS_BEFORE_PROGRESS = 2.0


def reading_progress(enabled: bool = True) -> Callable[[int, int], None]:
    """A function that prints the progress of reading images, where that takes over two seconds.

    Args:
        enabled: False prints nothing.

    Returns:
        A function of what is done, and of how much there is to do.
    """
    start = last = time.perf_counter()
    lines: list[CountProgress] = []

    def report(done: int, number: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last < SECONDS_BEFORE_PROGRESS and done < number:
            return
        if not lines and done >= number:  # it took no time
            return
        last = now
        if not lines:
            lines.append(CountProgress(number, "steps of reading", enabled, start))
        # A file that cannot be read has no second half.
        lines[0].number = number
        lines[0].update(done)

    return report
