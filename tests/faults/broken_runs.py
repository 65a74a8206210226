"""Run directories with one damaged file: refused in one line, or resumed to the same results.

For each variant a finished run, an exported one and two interrupted ones, one of them within its
first epoch, are trained once. Each trial copies one of them, damages one file, evaluates it,
repeats the command of the training, and evaluates again.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import programs
from harness import Log, ProcessResult, Row, differences, results_of

EPOCHS = 2
FILES = ("config.json", "history.csv", "resume.npz", "model.keras", "test.json", "saved_model")
# In JSON, a value is replaced by one of these of another type.
OTHER_VALUES = (None, True, "text", 7, -1.5, float("nan"), [], [1], {}, {"a": 1})


# ---- the programs, in this process ----


def called(program: Callable, *arguments) -> ProcessResult:
    """Exit code and output of `programs.train` or `programs.evaluate`.

    The code is -1, and the error output ends with the traceback, where an exception escapes.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = program(*arguments)
        except Exception:
            traceback.print_exc()
            code = -1
    return ProcessResult(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def count_epochs(stop_after: int | None = None) -> Iterator[list[int]]:
    """Record the number of finished epochs at each checkpoint of a training in the block.

    Args:
        stop_after: Interrupt the training once it has saved so many epochs.
    """
    from keras_ae.runs.checkpoint import Checkpoint

    save, counted = Checkpoint.save, []

    def save_and_count(checkpoint, model, rows, *more):
        save(checkpoint, model, rows, *more)
        counted.append(len(rows))
        if len(rows) == stop_after:
            raise KeyboardInterrupt

    Checkpoint.save = save_and_count
    try:
        yield counted
    finally:
        Checkpoint.save = save


@contextlib.contextmanager
def stop_within_an_epoch() -> Iterator[None]:
    """Stop a training in the block after its first step, with SIGTERM."""
    from keras_ae.runs.checkpoint import Checkpoint
    from keras_ae.training.trainer import EpochTrainer

    def send_signal(checkpoint, model):
        signal.raise_signal(signal.SIGTERM)
        return 0.0

    resume, steps = Checkpoint.resume_mid_epoch, EpochTrainer._steps_per_call
    Checkpoint.resume_mid_epoch, EpochTrainer._steps_per_call = send_signal, 1
    try:
        yield
    finally:
        Checkpoint.resume_mid_epoch, EpochTrainer._steps_per_call = resume, steps


def free_memory() -> None:
    """Delete the graphs of a trial."""
    import keras

    programs.forget_custom_gradients()
    keras.backend.clear_session()
    gc.collect()


# ---- the runs ----


class State(NamedTuple):
    """A finished or interrupted run before it is damaged.

    Attributes:
        name: In words.
        folder: Has `runs/`, and `results/` where the run is finished.
        command: The options of the training, without the output folder.
        epochs_left: How many epochs a resumed training may train.
        results: `results_of` the run once it is finished.
        metrics: The numbers of its evaluation.
        outputs: What its SavedModel returns, or None where there is none.
    """

    name: str
    folder: Path
    command: list[str]
    epochs_left: int
    results: dict
    metrics: dict
    outputs: bytes | None

    @property
    def run(self) -> Path:
        return next((self.folder / "runs").rglob("resume.npz")).parent

    def run_in(self, folder: Path) -> Path:
        """The run directory in a copy of `folder`."""
        return folder / self.run.relative_to(self.folder)


def train(folder: Path, *arguments, stop_after: int | None = None, code: int = 0) -> list[str]:
    """Train into `folder`, expecting an exit code; returns the options."""
    command = [*map(str, arguments), "--jit", "off", "--quiet"]
    with count_epochs(stop_after):
        result = called(programs.train, *command, "--output-dir", folder / "runs")
    assert result.code == code, result
    free_memory()
    return command


def evaluate(folder: Path) -> ProcessResult:
    words = ["--comparisons", "reconstruction", "--quiet"]
    return called(programs.evaluate, folder / "runs", "--output-dir", folder / "results", *words)


def metrics_of(folder: Path, with_times: bool = True) -> dict:
    """The numbers of a report on one data set."""
    path = next((folder / "results").rglob("metrics.json"))
    metrics = json.loads(path.read_text())
    if not with_times:
        for row in metrics["configurations"]:
            del row["seconds_per_epoch"], row["training_seconds"]
    return {name: metrics[name] for name in ("data", "configurations", "comparisons")}


def outputs_of(run: Path) -> bytes:
    """What the exported model returns for gray images."""
    import tensorflow as tf

    served = tf.saved_model.load(str(run / "saved_model"))
    return served.serve(tf.fill((2, 8, 8), 0.5)).numpy().tobytes()


def make_states(folder: Path, variants) -> tuple[list[State], list[Path]]:
    """The states to damage, and runs of other requests whose files may replace theirs."""
    folder.mkdir()
    images = programs.small_images(folder / "images.npz")
    states, others = [], []
    for variant in variants:
        common = ["--variant", variant, "--dataset", images, "--batch-size", 64, "--epochs"]
        own = folder / f"{variant}-finished"
        command = train(own, *common, EPOCHS)
        assert evaluate(own).code == 0
        finished = State(f"finished {variant}", own, command, 0, {}, metrics_of(own), None)
        finished = finished._replace(results=results_of(finished.run))
        exported = finished._replace(
            name=f"exported {variant}", folder=folder / f"{variant}-exported"
        )
        shutil.copytree(own, exported.folder)
        command = train(exported.folder, *common, EPOCHS, "--export")
        exported = exported._replace(command=command, outputs=outputs_of(exported.run))
        stopped = folder / f"{variant}-interrupted"
        train(stopped, *common, EPOCHS, stop_after=1, code=128 + signal.SIGINT)
        interrupted = finished._replace(
            name=f"interrupted {variant}",
            folder=stopped,
            epochs_left=EPOCHS - 1,
            metrics=metrics_of(own, with_times=False),
        )
        within = folder / f"{variant}-within"
        with stop_within_an_epoch():
            train(within, *common, EPOCHS, code=128 + signal.SIGTERM)
        within = interrupted._replace(
            name=f"{variant} within an epoch", folder=within, epochs_left=EPOCHS
        )
        states += [finished, exported, interrupted, within]
        for number, change in enumerate((["--seed", 43], ["--learning-rate", 0.01])):
            other = folder / f"{variant}-other-{number}"
            train(other, *common, EPOCHS, *change, "--export")
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


def with_wrong_part(content: bytes, random, name: str) -> bytes:
    """A valid file of the same format, with one part of a wrong type or missing."""
    if name.endswith(".json"):
        return json.dumps(replaced(json.loads(content), random)).encode()
    if name.endswith(".csv"):
        return other_table(content, random)
    if name.endswith(".npz"):
        return other_arrays(content, random)
    return other_members(content, random)


def replaced(tree, random):
    """A JSON value in which one value, anywhere, has another type."""
    if not isinstance(tree, dict | list) or not tree or random.random() < 0.1:
        kinds = [value for value in OTHER_VALUES if type(value) is not type(tree)]
        return kinds[random.integers(len(kinds))]
    tree = tree.copy()
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    key = keys[random.integers(len(keys))]
    tree[key] = replaced(tree[key], random)
    return tree


def other_table(content: bytes, random) -> bytes:
    """A CSV file with one cell replaced, removed or doubled."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = rows[random.integers(len(rows))]
    place = random.integers(len(row))
    row[place : place + 1] = [["x"], [], [""], ["1", "2"], ['"']][random.integers(5)]
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def other_arrays(content: bytes, random) -> bytes:
    """A `.npz` file with one array replaced or missing."""
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
    if which < len(others):  # otherwise it is missing
        arrays[name] = others[which]
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def other_members(content: bytes, random) -> bytes:
    """A ZIP file with one member replaced or missing."""
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
    """Damage one file of a run; returns how, in words."""
    content = path.read_bytes()
    ways = ["truncated", "emptied", "deleted", "noise", "flipped", "from another run"]
    if path.suffix in (".json", ".csv", ".npz", ".keras"):
        ways += ["with a wrong part"] * 2  # this kind of damage has more cases than the others
    way = ways[random.integers(len(ways))]
    if way == "deleted":
        path.unlink()
    elif way == "from another run":
        other = others[random.integers(len(others))]
        path.write_bytes((other / path.relative_to(run)).read_bytes())
        way = f"from {other.parents[2].name}"
    elif way == "with a wrong part":
        path.write_bytes(with_wrong_part(content, random, path.name))
    else:
        path.write_bytes(globals()[way](content, random))
    return way


# ---- a trial ----


def run_trial(case: Path, state: State, damaged: str) -> tuple[str, list[str]]:
    """Use a damaged run.

    Args:
        case: A copy of `state.folder`, damaged.
        state: What it was before.
        damaged: The name of the damaged file or folder.

    Returns:
        "resumed" or "refused", and a line for each rule that was broken.
    """
    failures = []
    first = evaluate(case)
    failures += [f"evaluate.py {failure}" for failure in failures_of(first, damaged)]
    if first.code == 0:
        failures += different_metrics(case, state, "evaluate.py")
    before = contents(case)
    with count_epochs() as counted:
        result = called(programs.train, *state.command, "--output-dir", case / "runs")
    failures += [f"train.py {failure}" for failure in failures_of(result, damaged)]
    if len(counted) > state.epochs_left:
        failures.append(f"train.py trained the epochs {counted} over an existing run")
    if result.code:
        if contents(case) != before:
            failures.append("train.py changed files of a run that it refused")
        return "refused", failures
    try:
        different = differences(results_of(state.run_in(case)), state.results)
        failures += [f"train.py: different {name}" for name in different]
    except Exception as error:
        failures.append(f"train.py accepted a run that cannot be read: {error!r}")
    if state.outputs is not None:
        try:
            if outputs_of(state.run_in(case)) != state.outputs:
                failures.append("train.py accepted an export with other outputs")
        except Exception as error:
            failures.append(f"train.py accepted a broken export: {error!r:.100}")
    again = evaluate(case)
    if again.code:
        failures.append(f"evaluate.py refuses what train.py finished: {again.err}")
    else:
        failures += different_metrics(case, state, "evaluate.py, after train.py")
    return "resumed", failures


def remedies() -> set[str]:
    """The remedies that the programs suggest for an error."""
    from keras_ae.cli.remedies import IN_EVALUATE, IN_TRAIN

    return {*IN_TRAIN.values(), *IN_EVALUATE.values(), "retrain"}


def failures_of(result: ProcessResult, damaged: str) -> list[str]:
    """What is wrong with the end of a program that met a damaged file."""
    lines = result.err.splitlines()
    if result.code == 0 and "Traceback" not in result.err:
        return []
    if result.code not in (1, 2) or "Traceback" in result.err:
        return [f"ended with exit code {result.code}: {result.err}"]
    if len(lines) != 1:
        return [f"printed {len(lines)} lines: {result.err}"]
    # A damaged request reads like another request; a run without its last file, like an unfinished
    # one.
    if not any(words in lines[0] for words in (damaged, "holds a run", "; unfinished: ")):
        return [f"did not name the file: {lines[0]}"]
    if not any(words in lines[0] for words in (*remedies(), "; unfinished: ")):
        return [f"named no remedy: {lines[0]}"]
    return []


def different_metrics(case: Path, state: State, who: str) -> list[str]:
    found = metrics_of(case, with_times=not state.epochs_left)
    return [f"{who}: different {name}" for name in differences(found, state.metrics)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "runs").rglob("*") if path.is_file()}


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Damage `trials` run directories; a row for each file."""
    os.environ.setdefault("MPLBACKEND", "agg")
    variants = ("shallow", "vae", "vq_vae") if trials > 50 else ("shallow",)
    states, others = make_states(tmp_path / "trained", variants)
    done = Counter()
    failures = {name: [] for name in FILES}
    ends = {name: Counter() for name in FILES}
    for seed in range(trials):
        random = np.random.default_rng([seed, 20])
        name = FILES[seed % len(FILES)]
        having = [state for state in states if (state.run / name).exists()]
        if name == "resume.npz" and random.random() < 0.8:  # a finished run does not need it
            having = [state for state in having if state.epochs_left]
        state = having[random.integers(len(having))]
        case = tmp_path / "case"
        shutil.copytree(state.folder / "runs", case / "runs")
        if state.epochs_left == 0 and random.random() < 0.5:  # evaluated before
            shutil.copytree(state.folder / "results", case / "results")
        run = state.run_in(case)
        files = sorted(path for path in (run / name).rglob("*") if path.is_file())
        path = files[random.integers(len(files))] if files else run / name
        how = damage(run, path, others, random)
        end, problems = run_trial(case, state, name)
        done[name] += 1
        ends[name][end] += 1
        for problem in problems:
            line = f"seed {seed}, {state.name}, {path.relative_to(run)} {how}: {problem}"
            failures[name].append(" | ".join(line.splitlines()))
            log(failures[name][-1])
        shutil.rmtree(case)
        free_memory()
    return [
        Row(
            f"damaged {name}",
            done[name],
            failures[name],
            ", ".join(
                f"{number} {end}" for end, number in sorted(ends[name].items(), reverse=True)
            ),
        )
        for name in FILES
    ]
