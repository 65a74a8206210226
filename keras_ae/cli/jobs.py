"""Several processes on this machine that share a grid: `keras-ae train --jobs N`."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras_ae
from keras_ae.progress import bar, clock, counted
from keras_ae.runs.run_directory import RunDirectory

SECONDS_BETWEEN_LOOKS = 0.5
WORKER_PROG = "python -m keras_ae train"  # the name of a worker in its messages


def worker_command(words: Sequence[str], threads: int) -> list[str]:
    """The command of one process, from the words of the command that starts all of them."""
    # The last value of an option counts.
    own = ["--jobs", "1", "--threads", str(threads), "--share", "wait", "--quiet"]
    return [sys.executable, "-m", "keras_ae", "train", *words, *own]


def worker_environment() -> dict[str, str]:
    """The environment of a process that runs this very package, whatever started this one."""
    package = str(Path(keras_ae.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    # Several processes have to fit into the memory of one GPU.
    own = {"PYTHONPATH": os.pathsep.join(paths), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **own}


class Workers:
    """Processes with the same command, whose messages are printed once.

    Use as a context manager: at its end, processes that are still running are asked to end, for
    which a training saves its checkpoint.

    Args:
        command: The command of each.
        number: How many.
        show: Called with each line of their standard error, each different line once.
    """

    def __init__(self, command: Sequence[str], number: int, show: Callable[[str], None]):
        self._show = show
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._shown: set[str] = set()
        self._ended: set[int] = set()
        self.processes = [
            subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=worker_environment(),
            )
            for _ in range(number)
        ]
        self._readers = [
            threading.Thread(target=self._read, args=(each,), daemon=True)
            for each in self.processes
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for each in self.processes:
                if each.poll() is None:
                    each.terminate()
            for each in self.processes:
                each.wait()
        finally:
            for each in self.processes:
                each.kill()  # after a second signal
        for reader in self._readers:
            reader.join(timeout=5)
        self.show_messages()

    @property
    def num_running(self) -> int:
        return sum(each.poll() is None for each in self.processes)

    @property
    def exit_code(self) -> int:
        """The highest exit code; 1 for a process that a signal ended."""
        codes = [each.returncode or 0 for each in self.processes]
        return max(1 if code < 0 else code for code in codes)

    def killed(self) -> Iterator[tuple[int, int]]:
        """The process and the signal of each that a signal has ended since the last call."""
        for each in self.processes:
            if each.poll() is not None and each.pid not in self._ended:
                self._ended.add(each.pid)
                if each.returncode < 0:
                    yield each.pid, -each.returncode

    def show_messages(self) -> None:
        """Show the lines that have come since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                line = self._lines.get_nowait()
                if line.strip() and line not in self._shown:
                    self._shown.add(line)
                    self._show(line)

    def _read(self, process: subprocess.Popen) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._lines.put(line.rstrip())


class FolderProgress:
    """Progress of runs that other processes train, read from their directories.

    On a terminal one line is rewritten; elsewhere there is a line for each finished run.

    Args:
        runs: The run directories.
        epochs: The number of epochs of each.
        report: Returns the lines to print for a run that was finished.
        log: Called with each line.
        enabled: False prints nothing.
    """

    def __init__(
        self,
        runs: Sequence[RunDirectory],
        epochs: Sequence[int],
        report: Callable[[RunDirectory], Sequence[str]],
        log: Callable[[str], None],
        enabled: bool = True,
    ):
        self._report = report
        self._log = log
        self._on_terminal = enabled and sys.stdout.isatty()
        self._left = {place: run for place, run in enumerate(runs) if not run.finished}
        self._epochs = list(epochs)
        self._number = len(runs)
        self._num_epochs = sum(self._epochs[place] for place in self._left)
        self._done = 0  # epochs of the runs that were finished meanwhile
        self._before = sum(map(num_epochs, self._left.values()))  # epochs of interrupted runs
        self._start = time.perf_counter()

    def update(self, num_running: int) -> None:
        """Look at the directories, and print what has changed."""
        for place, run in list(self._left.items()):
            if run.finished:
                del self._left[place]
                self._done += self._epochs[place]
                finished = self._number - len(self._left)
                self._clear()
                for line in self._report(run):
                    self._log(f"[{finished}/{self._number}] {line}")
        if self._on_terminal and self._left:
            print(f"\r\x1b[K{self.line(num_running)}", end="", flush=True)

    def end(self) -> None:
        """Remove the line that is rewritten."""
        self._clear()

    def line(self, num_running: int) -> str:
        """The progress in one line."""
        done = self._done + sum(map(num_epochs, self._left.values()))
        finished = self._number - len(self._left)
        words = f"{bar(done, max(self._num_epochs, 1))} {finished}/{self._number} runs, "
        words += f"{done}/{self._num_epochs} epochs, {counted(num_running, 'worker')}"
        if done > self._before:
            seconds = (time.perf_counter() - self._start) / (done - self._before)
            words += f"  {clock(seconds * (self._num_epochs - done))} left"
        return words

    def _clear(self) -> None:
        if self._on_terminal:
            print("\r\x1b[K", end="", flush=True)


def num_epochs(run: RunDirectory) -> int:
    """The number of finished epochs of a run that another process may be training."""
    try:
        with open(run.path("history.csv"), "rb") as lines:
            return max(sum(1 for _ in lines) - 1, 0)
    except OSError:
        return 0


def run_workers(
    command: Sequence[str],
    number: int,
    progress: FolderProgress,
    show: Callable[[str], None],
) -> int:
    """Run the processes until all of them have ended; returns the highest exit code.

    Args:
        command: The command of each.
        number: How many.
        progress: Where to show what they do.
        show: Called with each line of their messages, and with what became of those killed.
    """
    with Workers(command, number, show) as workers:
        while True:
            running = workers.num_running
            workers.show_messages()
            progress.update(running)
            for process, signal_number in workers.killed():
                progress.end()
                what = "the others take over its run" if running else "no process is left"
                show(f"process {process} was ended by signal {signal_number}; {what}")
            if not running:
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
        progress.end()
    return workers.exit_code
