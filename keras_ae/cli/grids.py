"""The runs of a grid as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keras_ae.progress import clock, counted
from keras_ae.runs.states import RunStatus, State


def status_lines(statuses: Sequence[RunStatus]) -> Iterable[str]:
    """A line for each run with its state and the time that is left, and one for all of them."""
    width = max(len(str(each.run.directory)) for each in statuses)
    for each in statuses:
        words = f"{each.state.value}  {str(each.run.directory):<{width}}"
        if each.state is State.HELD:
            words += f"  by {each.owner}"
        if each.state is State.FREE:
            words += f"  {_time(each.seconds)}"
            words += f", {counted(each.epochs_done, 'epoch')} finished" if each.epochs_done else ""
        yield words.rstrip()
    yield summary_line(statuses)


def summary_line(statuses: Sequence[RunStatus]) -> str:
    """How many runs are done, held and free, and the time that is left for the free ones."""
    numbers = {state: sum(each.state is state for each in statuses) for state in State}
    words = ", ".join(f"{numbers[state]:,} {state.value}" for state in State)
    line = f"{counted(len(statuses), 'run')}: {words}"
    free = [each for each in statuses if each.state is State.FREE]
    known = [each.seconds for each in free if each.seconds is not None]
    if not free:
        return line
    if not known:
        return f"{line}; time unknown: no such run is finished"
    line += f"; at most about {clock(sum(known))} of training"
    unknown = len(free) - len(known)
    return f"{line}, and {counted(unknown, 'run')} of unknown time" if unknown else line


def _time(seconds: float | None) -> str:
    return "time unknown" if seconds is None else f"at most about {clock(seconds)}"
