"""Ctrl-C and SIGTERM: end the program at once or, in a training, between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class InterruptHandler:
    """Turns SIGINT and SIGTERM into `KeyboardInterrupt`, deferred within `deferred` blocks.

    TensorFlow may turn an exception that arrives in the middle of a call into another one;
    `caused` recognizes those.

    Attributes:
        signal_number: The signal that came last, or None.
    """

    def __init__(self):
        self.signal_number: int | None = None
        self._deferring = False
        self._raised = False

    @contextlib.contextmanager
    def install(self) -> Iterator[InterruptHandler]:
        """Handle both signals until the block ends; then restore the former handlers."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            # A shell lets background processes ignore Ctrl-C; do not change that.
            ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            numbers = [signal.SIGTERM] if ignored else [signal.SIGTERM, signal.SIGINT]
            before = {number: signal.signal(number, self._receive) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        again, self.signal_number = self.signal_number is not None, number
        if again or not self._deferring:
            self._raised = True
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block in which the first signal raises nothing before the end; the second one does."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if stop := self.interruption():
            raise stop

    def interruption(self) -> KeyboardInterrupt | None:
        """The exception to end with, once a signal has come."""
        return None if self.signal_number is None else KeyboardInterrupt()

    def caused(self, error: BaseException) -> bool:
        """Whether `error` is a KeyboardInterrupt or an error caused by one."""
        return isinstance(error, KeyboardInterrupt) or (
            self._raised and isinstance(error, Exception)
        )

    @property
    def exit_code(self) -> int:
        """The exit code that a shell expects: 128 plus the number of the signal."""
        return 128 + (self.signal_number or signal.SIGINT)
