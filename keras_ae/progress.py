"""The progress line of a training, over a whole grid of runs."""

from __future__ import annotations

import sys
import time

import keras

LINES_WITHOUT_A_TERMINAL = 6


class GridProgress:
    """Counts epochs over all runs and says what is left.

    On a terminal one line is rewritten; elsewhere a run prints a few lines.

    Args:
        num_epochs: Of all runs together.
        enabled: False keeps silent.
    """

    def __init__(self, num_epochs: int, enabled: bool = True):
        self.num_epochs = num_epochs
        self.enabled = enabled
        self.done = 0
        self.trained = 0
        self.seconds = 0.0

    def of_run(self, first_epoch: int) -> keras.callbacks.Callback:
        """The callback of one run, which begins after `first_epoch` epochs done before."""
        self.done += first_epoch
        return RunProgress(self, first_epoch)

    def line(self, epoch: int, epochs: int, logs: dict) -> str:
        left = self.seconds / max(self.trained, 1) * (self.num_epochs - self.done)
        losses = f"loss {logs['loss']:.2f} = {logs['reconstruction_loss']:.2f} reconstruction"
        losses += f" + {logs['latent_loss']:.2f} latent"
        if "val_loss" in logs:
            losses += f", validation {logs['val_loss']:.2f}"
        done = bar(self.done, self.num_epochs)
        return f"{done} epoch {epoch}/{epochs}  {losses}  {clock(left)} left"


class RunProgress(keras.callbacks.Callback):
    """Feeds one run's epochs to the grid's progress."""

    def __init__(self, grid: GridProgress, first_epoch: int):
        super().__init__()
        self.grid = grid
        self.first_epoch = first_epoch

    def on_train_begin(self, logs=None):
        self.left = self.params["epochs"] - self.first_epoch

    def on_train_end(self, logs=None):
        self.grid.done += self.left  # what was not needed
        if self.left and self.grid.enabled and sys.stdout.isatty():
            print(flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        grid, epochs = self.grid, self.params["epochs"]
        grid.seconds += time.perf_counter() - self.began
        grid.done += 1
        self.left -= 1
        grid.trained += 1
        if not grid.enabled:
            return
        line = grid.line(epoch + 1, epochs, {name: float(value) for name, value in logs.items()})
        if sys.stdout.isatty():
            end = "\n" if epoch + 1 == epochs else ""
            print(f"\r\x1b[K{line}", end=end, flush=True)
        elif epoch + 1 == epochs or (epoch + 1) % -(-epochs // LINES_WITHOUT_A_TERMINAL) == 0:
            print(line, flush=True)


def bar(done: int, number: int) -> str:
    return f"[{'#' * round(20 * done / number):.<20}]"


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class StepProgress:
    """Counts steps of several kinds and says how long the rest will take.

    On a terminal one line is rewritten; elsewhere a line is printed where the subject changes.

    Args:
        steps: The kinds of all steps to come, one item a step.
        enabled: False keeps silent.
    """

    def __init__(self, steps: list[str], enabled: bool = True):
        self.num_steps = len(steps)
        self.left = list(steps)
        self.seconds: dict[str, list[float]] = {}
        self.enabled = enabled
        self.subject = None

    def begin(self, kind: str, subject: str) -> None:
        self.began = time.perf_counter()
        if not self.enabled:
            return
        done = self.num_steps - len(self.left)
        line = f"{bar(done, self.num_steps)} {done + 1}/{self.num_steps}  {subject}"
        left = f"  {clock(self.seconds_left())} left" if self.seconds else ""
        if sys.stdout.isatty():
            print(f"\r\x1b[K{line}: {kind}{left}", end="", flush=True)
        elif subject != self.subject:
            print(line + left, flush=True)
        self.subject = subject

    def end(self, kind: str) -> None:
        self.seconds.setdefault(kind, []).append(time.perf_counter() - self.began)
        self.left.remove(kind)
        if self.enabled and not self.left and sys.stdout.isatty():
            print("\r\x1b[K", end="", flush=True)

    def seconds_left(self) -> float:
        """By the mean of each kind so far; a kind not seen yet counts as the mean of all."""
        means = {kind: sum(times) / len(times) for kind, times in self.seconds.items()}
        usual = sum(means.values()) / max(len(means), 1)
        return sum(means.get(kind, usual) for kind in self.left)
