"""Starting a program: TensorFlow without its log lines, errors as one line, exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator

from keras_ae.cli.compiled import compiled_code_kept
from keras_ae.cli.imports import left_out
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.remedies import IN_PREDICT, describe
from keras_ae.runs.environment import THREADS_OF_TENSORFLOW

EXIT_FAILED = 1
EXIT_USAGE = 2


def run_program(
    prog: str,
    body: Callable[[InterruptHandler], int],
    *,
    resume_hint: Callable[[], str],
    describe: Callable[[BaseException], str] = str,
) -> int:
    """Load TensorFlow, run a program, and turn its errors into one line and an exit code.

    Args:
        prog: Name of the program in messages.
        body: The program; gets the signal handler, returns the exit code.
        resume_hint: Returns what to do after an interruption.
        describe: The message of an error.

    Returns:
        The exit code: that of `body`; 1 after a failed training; 2 for input that cannot be used;
        128 and the number of the signal after an interruption. Unexpected exceptions propagate.
    """
    handler = InterruptHandler()
    with handler.install(), warnings.catch_warnings():
        warnings.showwarning = _one_line_warnings(prog)
        try:
            first = "tensorflow" not in sys.modules
            with native_logs_hidden(), left_out():
                import tensorflow as tf
            tf.get_logger().setLevel("ERROR")
            with compiled_code_kept() if first else contextlib.nullcontext():
                return body(handler)
        except BaseException as error:
            if handler.caused(error):
                became = "" if isinstance(error, KeyboardInterrupt) else f" ({_words_of(error)})"
                print(f"\n{prog}: interrupted{became}; {resume_hint()}", file=sys.stderr)
                return handler.exit_code
            if isinstance(error, ModuleNotFoundError):
                words = "this Python lacks what the program needs. Use the environment's, such as"
                return refuse(prog, f"{error}: {words} .venv/bin/python")
            if isinstance(error, ArithmeticError):
                return refuse(prog, describe(error), EXIT_FAILED)
            if isinstance(error, ValueError | OSError):
                return refuse(prog, describe(error) or type(error).__name__)
            raise


def limit_threads(number: int | None) -> None:
    """Set the number of threads of this process; call it before TensorFlow is imported.

    Args:
        number: Of threads; None for what the environment says, else one for each core.
    """
    if number is None:
        return
    names = ["TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    for name in (THREADS_OF_TENSORFLOW, *names):
        os.environ[name] = str(number)


def use_model(prog: str, body: Callable[[InterruptHandler], int], results: str) -> int:
    """`run_program` for a program that uses a trained model and writes `results` at the end."""
    return run_program(
        prog,
        body,
        resume_hint=lambda: f"no {results} were written; re-run the same command",
        describe=lambda error: describe(error, IN_PREDICT),
    )


def refuse(prog: str, message: str, code: int = EXIT_USAGE) -> int:
    """Print an error in one line; returns the exit code."""
    print(f"{prog}: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def show_notices(prog: str, notices: Iterable[str]) -> None:
    """Print what the user should know about the images, a line each, also with `--quiet`."""
    for notice in notices:
        print(f"{prog}: notice: {' '.join(notice.split())}", file=sys.stderr, flush=True)


def _words_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).splitlines())}"


def _one_line_warnings(prog: str) -> Callable[..., None]:
    def show(message, category, filename, lineno, file=None, line=None):
        print(f"{prog}: warning: {message}", file=sys.stderr)

    return show


@contextlib.contextmanager
def native_logs_hidden() -> Iterator[None]:
    """Keep TensorFlow's start-up lines off the terminal, unless the import fails.

    It prints them before it reads its own log level. A TF_CPP_MIN_LOG_LEVEL that the user has set
    shows everything.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)
        try:
            yield
        except Exception:
            lines.seek(0)
            os.write(kept, lines.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
