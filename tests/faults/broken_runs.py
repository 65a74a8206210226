"""Run directories with one file damaged: refused in a line, or gone on with to the same end.

A finished run, an exported one and two interrupted ones, one of them within its first epoch, are
trained once. Each case takes a copy, damages one file, evaluates it, repeats the training's
command, and evaluates again.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import shutil
import signal
import traceback
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from harness import Ended, Row, differences, results_of, small_images
from in_process import forget_custom_gradients, imported

EPOCHS = 2
FILES = ("config.json", "history.csv", "resume.npz", "model.keras", "test.json", "saved_model")
REMEDIES = ("Use --overwrite", "Use train.py --overwrite", "Use another --output-dir", "train anew")
# What is no number, for any number; what is no list, for any list; and so on.
OTHER_VALUES = (None, True, "text", 7, -1.5, float("nan"), [], [1], {}, {"a": 1})


# ---- the programs, in this process ----


def called(main, *arguments) -> Ended:
    """What a program's `main` returns and prints; an exception that escapes it is printed too."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        except Exception:
            traceback.print_exc()
            code = -1
    return Ended(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def epochs_counted(stop_after: int | None = None) -> Iterator[list[int]]:
    """The epochs that are trained in the block, at the end of one of which it may be stopped."""
    from keras_ae.runs.run_directory import RunDirectory

    keep, counted = Run.keep, []

    def counting(run, model, rows, *more):
        keep(run, model, rows, *more)
        counted.append(len(rows))
        if len(rows) == stop_after:
            raise KeyboardInterrupt

    Run.keep = counting
    try:
        yield counted
    finally:
        Run.keep = keep


@contextlib.contextmanager
def stopped_within_an_epoch(train) -> Iterator[None]:
    """A training in the block is stopped after its first step."""
    from keras_ae.runs.run_directory import RunDirectory
    from keras_ae.training.trainer import EpochTrainer

    def entered(run, model):
        train.STOP.number = signal.SIGINT
        return 0.0

    enter_epoch, steps = Run.enter_epoch, EpochTrainer._steps_per_call
    Run.enter_epoch, EpochTrainer._steps_per_call = entered, 1
    try:
        yield
    finally:
        Run.enter_epoch, EpochTrainer._steps_per_call = enter_epoch, steps


def forget() -> None:
    """Lets go of the graphs of a case."""
    import keras

    forget_custom_gradients()
    keras.backend.clear_session()
    gc.collect()


# ---- the runs ----


class State(NamedTuple):
    """A run as a training left it, the command that trains it, and what it must come to."""

    name: str
    folder: Path  # runs/, and results/ of it when it is finished
    command: list[str]
    epochs_left: int
    results: dict
    metrics: dict
    answers: bytes | None  # of its SavedModel

    @property
    def run(self) -> Path:
        return next((self.folder / "runs").rglob("resume.npz")).parent

    def run_in(self, folder: Path) -> Path:
        return folder / self.run.relative_to(self.folder)


def trained(train, folder: Path, *arguments, stop_after: int | None = None) -> list[str]:
    """Trains into `folder`; returns the command."""
    command = [*map(str, arguments), "--jit", "off", "--quiet"]
    with epochs_counted(stop_after):
        ended = called(train.main, *command, "--output-dir", folder / "runs")
    assert ended.code == (0 if stop_after is None else 130), ended
    forget()
    return command


def evaluated(evaluate, folder: Path) -> Ended:
    words = ["--comparisons", "reconstruction", "--quiet"]
    return called(evaluate.main, folder / "runs", "--output-dir", folder / "results", *words)


def metrics_of(folder: Path, with_times: bool = True) -> dict:
    """The numbers of a report on one data set."""
    path = next((folder / "results").rglob("metrics.json"))
    metrics = json.loads(path.read_text())
    if not with_times:
        for row in metrics["configurations"]:
            del row["seconds_per_epoch"], row["training_seconds"]
    return {name: metrics[name] for name in ("data", "configurations", "comparisons")}


def answers_of(run: Path) -> bytes:
    """What the exported model makes of grey images."""
    import tensorflow as tf

    served = tf.saved_model.load(str(run / "saved_model"))
    return served.serve(tf.fill((2, 8, 8), 0.5)).numpy().tobytes()


def prepared(train, evaluate, folder: Path, variants) -> tuple[list[State], list[Path]]:
    """The states to damage, and runs of other requests whose files may be put in their place."""
    images = small_images(folder / "images.npz")
    states, others = [], []
    for variant in variants:
        common = ["--variant", variant, "--dataset", images, "--batch-size", 64, "--epochs"]
        own = folder / f"{variant}-finished"
        command = trained(train, own, *common, EPOCHS)
        assert evaluated(evaluate, own).code == 0
        finished = State(f"finished {variant}", own, command, 0, {}, metrics_of(own), None)
        finished = finished._replace(results=results_of(finished.run))
        exported = finished._replace(
            name=f"exported {variant}", folder=folder / f"{variant}-exported"
        )
        shutil.copytree(own, exported.folder)
        command = trained(train, exported.folder, *common, EPOCHS, "--export")
        exported = exported._replace(command=command, answers=answers_of(exported.run))
        stopped = folder / f"{variant}-interrupted"
        trained(train, stopped, *common, EPOCHS, stop_after=1)
        interrupted = finished._replace(
            name=f"interrupted {variant}",
            folder=stopped,
            epochs_left=EPOCHS - 1,
            metrics=metrics_of(own, with_times=False),
        )
        within = folder / f"{variant}-within"
        with stopped_within_an_epoch(train):
            trained(train, within, *common, EPOCHS, stop_after=0)
        within = interrupted._replace(
            name=f"{variant} within an epoch", folder=within, epochs_left=EPOCHS
        )
        states += [finished, exported, interrupted, within]
        for number, change in enumerate((["--seed", 43], ["--learning-rate", 0.01])):
            other = folder / f"{variant}-other-{number}"
            trained(train, other, *common, EPOCHS, *change, "--export")
            others.append(next((other / "runs").rglob("test.json")).parent)
    return states, others


# ---- damage ----


def truncated(content: bytes, random) -> bytes:
    return content[: random.integers(1, len(content))]


def emptied(content: bytes, random) -> bytes:
    return b""


def noise(content: bytes, random) -> bytes:
    return random.bytes(len(content))


def flipped(content: bytes, random) -> bytes:
    changed = bytearray(content)
    for place in random.integers(len(content), size=random.integers(1, 4)):
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def of_another_type(content: bytes, random, name: str) -> bytes:
    """The same kind of file, whole, in which something is not what it should be."""
    if name.endswith(".json"):
        return json.dumps(replaced(json.loads(content), random)).encode()
    if name.endswith(".csv"):
        return other_table(content, random)
    if name.endswith(".npz"):
        return other_arrays(content, random)
    return other_members(content, random)


def replaced(tree, random):
    """A JSON value in which one value, somewhere, is of another type."""
    if not isinstance(tree, dict | list) or not tree or random.random() < 0.1:
        kinds = [value for value in OTHER_VALUES if type(value) is not type(tree)]
        return kinds[random.integers(len(kinds))]
    tree = tree.copy()
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    key = keys[random.integers(len(keys))]
    tree[key] = replaced(tree[key], random)
    return tree


def other_table(content: bytes, random) -> bytes:
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rows[random.integers(len(rows))]
    place = random.integers(len(row))
    row[place : place + 1] = [["x"], [], [""], ["1", "2"], ['"']][random.integers(5)]
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def other_arrays(content: bytes, random) -> bytes:
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = "history" if random.random() < 0.5 else list(arrays)[random.integers(len(arrays))]
    array = arrays.pop(name)
    if name == "history":
        rows = replaced(json.loads(str(array)), random)
        others = [np.array(json.dumps(rows)), np.arange(3), np.array(None, dtype=object)]
    else:
        others = [array[..., None], array.astype("S8"), array.astype(object), array.astype(">f8")]
    which = random.integers(len(others) + 1)
    if which < len(others):  # else it is missing
        arrays[name] = others[which]
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def other_members(content: bytes, random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[random.integers(len(members))]
    old = members.pop(name)
    if name.endswith(".json") and random.random() < 0.7:
        members[name] = json.dumps(replaced(json.loads(old), random)).encode()
    elif random.random() < 0.7:
        members[name] = [emptied, noise, flipped][random.integers(3)](old, random)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


def damage(run: Path, path: Path, others: list[Path], random) -> str:
    """Damages one file of a run; returns how, in words."""
    content = path.read_bytes()
    ways = ["truncated", "emptied", "deleted", "noise", "flipped", "of another run"]
    if path.suffix in (".json", ".csv", ".npz", ".keras"):
        ways += ["of another type"] * 2  # there are more of these than of the others
    way = ways[random.integers(len(ways))]
    if way == "deleted":
        path.unlink()
    elif way == "of another run":
        other = others[random.integers(len(others))]
        path.write_bytes((other / path.relative_to(run)).read_bytes())
        way = f"of {other.parents[2].name}"
    elif way == "of another type":
        path.write_bytes(of_another_type(content, random, path.name))
    else:
        path.write_bytes(globals()[way](content, random))
    return way


# ---- a case ----


def examined(train, evaluate, case: Path, state: State, broken: str) -> tuple[str, list[str]]:
    """How a damaged run ended, and the rules that were broken on the way."""
    wrong = []
    first = evaluated(evaluate, case)
    wrong += [f"evaluate.py {problem}" for problem in judged(first, broken)]
    if first.code == 0:
        wrong += other_numbers(case, state, "evaluate.py")
    before = contents(case)
    with epochs_counted() as counted:
        ended = called(train.main, *state.command, "--output-dir", case / "runs")
    wrong += [f"train.py {problem}" for problem in judged(ended, broken)]
    if len(counted) > state.epochs_left:
        wrong.append(f"train.py trained the epochs {counted} over a state that was there")
    if ended.code:
        if contents(case) != before:
            wrong.append("train.py changed files of a run that it refused")
        return "refused", wrong
    try:
        different = differences(results_of(state.run_in(case)), state.results)
        wrong += [f"train.py ended in other {name}" for name in different]
    except Exception as error:
        wrong.append(f"train.py was content with a run that cannot be read: {error!r}")
    if state.answers is not None:
        try:
            if answers_of(state.run_in(case)) != state.answers:
                wrong.append("train.py was content with an export that answers otherwise")
        except Exception as error:
            wrong.append(f"train.py was content with an export that is broken: {error!r:.100}")
    again = evaluated(evaluate, case)
    if again.code:
        wrong.append(f"evaluate.py refuses what train.py ended: {again.err}")
    else:
        wrong += other_numbers(case, state, "after train.py, evaluate.py")
    return "gone on with", wrong


def judged(ended: Ended, broken: str) -> list[str]:
    """What is wrong with how a program ended that met a broken file."""
    lines = ended.err.splitlines()
    if ended.code == 0 and "Traceback" not in ended.err:
        return []
    if ended.code not in (1, 2) or "Traceback" in ended.err:
        return [f"ended with {ended.code}: {ended.err}"]
    if len(lines) != 1:
        return [f"said {len(lines)} lines: {ended.err}"]
    # A damaged request reads like another request, and a run that lacks its end like one cut short.
    if not any(words in lines[0] for words in (broken, "holds a run", "; unfinished: ")):
        return [f"did not name the file: {lines[0]}"]
    if not any(words in lines[0] for words in (*REMEDIES, "; unfinished: ")):
        return [f"named no remedy: {lines[0]}"]
    return []


def other_numbers(case: Path, state: State, who: str) -> list[str]:
    found = metrics_of(case, with_times=not state.epochs_left)
    different = [name for name in state.metrics if found[name] != state.metrics[name]]
    return [f"{who} reports other {name}" for name in different]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Damages `times` run directories; a row for each file."""
    os.environ.setdefault("MPLBACKEND", "agg")
    train, evaluate = imported("train"), imported("evaluate")
    variants = ("shallow", "vae", "vq_vae") if times > 50 else ("shallow",)
    states, others = prepared(train, evaluate, folder / "trained", variants)
    tried, lost, ends = Counter(), {name: [] for name in FILES}, {name: Counter() for name in FILES}
    for seed in range(times):
        random = np.random.default_rng([seed, 20])
        name = FILES[seed % len(FILES)]
        having = [state for state in states if (state.run / name).exists()]
        if name == "resume.npz" and random.random() < 0.8:  # a finished run is not read from it
            having = [state for state in having if state.epochs_left]
        state = having[random.integers(len(having))]
        case = folder / "case"
        shutil.copytree(state.folder / "runs", case / "runs")
        if state.epochs_left == 0 and random.random() < 0.5:  # measured before
            shutil.copytree(state.folder / "results", case / "results")
        run = state.run_in(case)
        files = sorted(path for path in (run / name).rglob("*") if path.is_file())
        path = files[random.integers(len(files))] if files else run / name
        way = damage(run, path, others, random)
        end, wrong = examined(train, evaluate, case, state, name)
        tried[name] += 1
        ends[name][end] += 1
        for problem in wrong:
            line = f"seed {seed}, {state.name}, {path.relative_to(run)} {way}: {problem}"
            lost[name].append(" | ".join(line.splitlines()))
            say(lost[name][-1])
        shutil.rmtree(case)
        forget()
    return [
        Row(
            f"{name} of a run damaged",
            tried[name],
            lost[name],
            ", ".join(f"{number} {end}" for end, number in sorted(ends[name].items())),
        )
        for name in FILES
    ]
