"""Hostile data files, configs and command lines: accepted, or refused in one line.

Accepted images must equal what an independent reader finds. No trial may use more memory than twice
the content of its files plus 10 MB, or more than ten seconds.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import re
import shutil
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import Log, Row
from hostile_files import READERS, Files, total
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from programs import small_images

MAX_SECONDS = 10
EXTRA_BYTES = 10 * 2**20
# Trials of each kind, in percent.
SHARES = {
    "npz": 17,
    "npy": 15,
    "IDX files": 10,
    "image files": 15,
    "QuickDraw": 8,
    "config.json": 20,
    "train.py": 10,
    "evaluate.py": 5,
}


# ---- the rules of a trial ----


class Trials:
    """Trials with one kind of input, and the failures among them.

    Args:
        kind: The kind of input, for the table.
        refusals: The exceptions by which input may be refused, in one line.
        log: Called with each failure.
        accepted: What the table calls input that is not refused.
    """

    def __init__(
        self,
        kind: str,
        refusals: tuple[type[Exception], ...],
        log: Log,
        accepted: str = "accepted",
    ):
        self.kind, self.refusals, self.log, self.accepted = kind, refusals, log, accepted
        self.ends, self.failures = Counter(), []
        self.peak = self.slowest = 0.0

    def run(
        self,
        attempt: Callable,
        case: str,
        declared: int = 0,
        check: Callable | None = None,
    ) -> None:
        """Run one trial.

        Args:
            attempt: Uses the input; returns a result, or raises one of `refusals`.
            case: The input, in words.
            declared: The bytes that its files hold.
            check: Returns what is wrong with the result, or None.
        """
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        began = time.perf_counter()
        end, failure, result = self.accepted, None, None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = attempt()
        except self.refusals as error:
            end = "refused"
            if len(str(error).splitlines()) != 1:
                failure = f"the message {str(error)!r} is not one line"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            end, failure = "failed", f"{error!r:.200} escaped from {place.filename}:{place.lineno}"
        seconds = time.perf_counter() - began
        peak = tracemalloc.get_traced_memory()[1] - before
        if end == self.accepted and check:
            failure = check(result)
        self.ends[end] += 1
        self.peak, self.slowest = max(self.peak, peak), max(self.slowest, seconds)
        if peak > 2 * declared + EXTRA_BYTES:
            failure = f"used {peak:,} bytes for {declared:,}"
        if seconds > MAX_SECONDS:
            failure = f"took {seconds:.0f} seconds"
        if failure:
            self.failures.append(f"{self.kind}, {case}: {failure}")
            self.log(self.failures[-1])

    def row(self) -> Row:
        order = ("refused", self.accepted, "failed")
        ends = ", ".join(f"{self.ends[end]:,} {end}" for end in order if self.ends[end])
        result = f"{ends}; at most {self.peak / 2**20:.1f} MB and {self.slowest:.2f} s"
        return Row(f"hostile {self.kind}", self.ends.total(), self.failures, result)


def broken_promise(image_set) -> str | None:
    """Which promise of `ImageSet` a set breaks, or None."""
    parts = (
        (image_set.train_images, image_set.train_labels),
        (image_set.test_images, image_set.test_labels),
    )
    for images, labels in parts:
        if (
            images.dtype not in (np.uint8, np.float32)
            or images.ndim not in (3, 4)
            or not images.size
        ):
            return f"images of {images.dtype} {images.shape}"
        if images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):
            return f"pixels from {images.min()} to {images.max()}"
        if images.shape[1:] != image_set.image_shape:
            return f"images of {images.shape[1:]} and {image_set.image_shape}"
        if (labels is None) != (not image_set.class_names):
            return f"labels {labels} of the classes {image_set.class_names}"
        if labels is not None and not (
            labels.dtype == np.int64
            and labels.shape == (len(images),)
            and labels.min() >= 0
            and labels.max() < len(image_set.class_names)
        ):
            return f"labels {labels} of the classes {image_set.class_names}"
    names = image_set.class_names
    if len(set(names)) < len(names) or not all(map(is_text, names)):
        return f"the class names {[name.encode('unicode_escape') for name in names]}"
    return None


def wrong_pixels(image_set, files: Files) -> str | None:
    """How the sum of the pixels differs from that in the files, where it is known; or None."""
    if files.truth is None:
        return None
    try:
        expected = files.truth()
    except Exception as error:
        return f"accepted what cannot be read: {error!r:.100}"
    found = total(image_set.train_images) + total(image_set.test_images)
    if np.isclose(found, expected, rtol=1e-3):
        return None
    return f"the sum of the pixels is {found} instead of {expected}"


def is_text(name: str) -> bool:
    """Whether a report can contain it: NumPy makes strings of invalid code points."""
    try:
        return name.encode().decode() == name
    except (UnicodeError, SystemError):
        return False


@contextlib.contextmanager
def native_messages_hidden():
    """Keep libjpeg's message about each damaged file off the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def run_files(kind: str, num_trials: int, folder: Path, log: Log) -> Row:
    from keras_ae import data

    name = f".{kind}" if kind in ("npz", "npy") else kind
    trials = Trials(name, (data.DataError,), log, accepted="loaded")
    for number in range(num_trials):
        random = np.random.default_rng([number, list(READERS).index(kind)])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files = READERS[kind](folder, random)

        def attempt(files=files):
            with native_messages_hidden():
                image_set = data.load(files.dataset, **files.options)
            data.split(image_set)
            return image_set

        def check(image_set, files=files):
            return broken_promise(image_set) or wrong_pixels(image_set, files)

        trials.run(attempt, f"case {number}", files.declared, check)
    return trials.row()


# ---- generated input ----


def for_each_example(strategy, num: int, use: Callable) -> None:
    """Call `use` with `num` examples of a Hypothesis strategy, the same ones every time."""

    @seed(20)
    @settings(
        max_examples=num,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def once(value):
        use(value)

    once()


# ---- config.json ----

CONFIG = {
    "request": {
        "variant": "vae",
        "latent_dim": 20,
        "arguments": {"beta": 4},
        "dataset": "images.npz",
        "fingerprint": "",
        "held_out_class": None,
        "epochs": 2,
        "batch_size": 64,
        "learning_rate": 0.001,
        "seed": 42,
        "jit": "off",
    },
    "data": {
        "source": "",
        "classes": None,
        "binarize": None,
        "data_dir": None,
        "image_shape": [8, 8],
        "class_names": ["0", "1", "2", "3"],
        "held_out_index": None,
        "num_train": 220,
        "num_validation": 20,
        "num_test": 40,
    },
    "versions": {"keras_ae": "0.1.0", "keras": "3.15.1"},
    "device": "CPU (2 cores)",
    "model": {"name": "vae", "latent_dim": 20, "seed": 42, "hidden_units": [113]},
}
GONE = "<gone>"
PATHS = [
    *((part,) for part in CONFIG),
    *((part, key) for part in CONFIG if isinstance(CONFIG[part], dict) for key in CONFIG[part]),
    ("request", "arguments", "beta"),
    ("data", "class_names", 0),
    ("data", "image_shape", 0),
]
ODD_VALUES = (
    None, True, False, 0, -1, 7, 2**63, -(10**400), 10**4000, 0.5, 1e308, float("nan"),
    float("inf"), "", ".", "..", "/", "\0", "\n", "a\nb", "\x1b[2J", "~", "1", "vq_vae",
    "threshold", "\ud800", [], [1], ["a"], [[]], {}, {"a": 1}, GONE,
)  # fmt: skip
VALUES = st.recursive(
    st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(ODD_VALUES[:26]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
CHANGES = st.lists(st.tuples(st.sampled_from(PATHS), VALUES), min_size=1, max_size=3)
WHOLE_FILES = (
    b"", b"{}", b"[]", b"null", b"[" * 99_999, b'{"request":' * 9999, b"\xef\xbb\xbf{}",
    b"9" * 5000,
)  # fmt: skip
DEPTHS = (99, 300, 900, 990)  # of nested lists or dicts; JSON is read to a depth of about 990
CONTENTS = st.binary(max_size=60) | st.sampled_from(WHOLE_FILES)


def changed(config: dict, changes) -> dict:
    """A copy of `config` with other values at some paths."""
    config = copy.deepcopy(config)
    for path, value in changes:
        *parents, key = path
        inside = config
        try:
            for parent in parents:
                inside = inside[parent]
            if value == GONE:
                del inside[key]
            else:
                inside[key] = value
        except (TypeError, KeyError, IndexError):  # an earlier change removed that path
            pass
    return config


def nested_json(match: re.Match) -> str:
    """An empty list or dict within many others, for `"<list 900>"` in JSON."""
    depth = int(match[2])
    return "[" * depth + "]" * depth if match[1] == "list" else '{"a":' * depth + "{}" + "}" * depth


def run_configs(num_trials: int, folder: Path, log: Log) -> Row:
    """Read hostile `config.json` files, compare them with a request, and evaluate their runs."""
    from keras_ae import data
    from keras_ae.evaluation.evaluation import load_data
    from keras_ae.evaluation.summary import configurations
    from keras_ae.runs.catalog import (
        find_runs,
        labels,
        missing_runs,
        other_versions,
        sorted_runs,
    )
    from keras_ae.runs.errors import RunError
    from keras_ae.runs.request import ConfigError, RunConfig
    from keras_ae.runs.run_directory import RunDirectory

    shutil.rmtree(folder, ignore_errors=True)
    run = RunDirectory(folder / "runs" / "run")
    run.directory.mkdir(parents=True)
    source = small_images(folder / "images.npz", num=42)
    image_set = data.load(source)
    places = [
        (("data", "source"), str(source)),
        (("request", "fingerprint"), image_set.fingerprint),
    ]
    config = changed(CONFIG, places)
    planned = RunConfig.from_dict(config)
    run.path("history.csv").write_text("epoch,seconds,loss\n1,0.5,3.0\n2,0.25,2.0\n")
    run.path("model.keras").write_bytes(b"none")
    results = json.dumps({"reconstruction_loss": 64.5, "seconds_per_epoch": 0.25})
    trials = Trials("config.json", (RunError, ConfigError, ValueError), log)

    def resume():
        run.path("test.json").unlink(missing_ok=True)
        run.check(planned)

    def read():
        """As `resume` and `evaluate` read it; only these errors are allowed here."""
        try:
            content = json.loads(run.path("config.json").read_bytes())
        except (ValueError, RecursionError) as error:
            raise RunError("not JSON") from error
        try:
            return RunConfig.from_dict(content)
        except ConfigError:
            raise
        except ValueError as error:
            raise AssertionError(f"another error than ConfigError: {error!r}") from error

    def unusable(config: RunConfig) -> str | None:
        """What cannot be done with a config that was accepted."""
        try:
            if RunConfig.from_dict(config.to_dict()) != config:
                return "its to_dict() does not give an equal config"
            words = [config.folder, *config.command(), config.other_versions(CONFIG["versions"])]
            if not all(isinstance(word, str) for word in words):
                return f"its command is not text: {words}"
            config.difference(planned)
            config.request.difference(planned.request)
        except Exception as error:
            return f"cannot be used: {error!r:.200}"
        return None

    def evaluate():
        run.path("test.json").write_text(results)
        found = find_runs(folder / "runs")
        for error in found.broken:
            assert isinstance(error, RunError)
            raise error
        runs = sorted_runs(found.runs)
        return runs, load_data(runs[0])

    def unreportable(evaluated) -> str | None:
        """The problems of a report on a run that was accepted."""
        runs, loaded = evaluated
        try:
            rows, missing = configurations(runs, labels(runs)), missing_runs(runs, image_set)
            made_by = other_versions(runs, CONFIG["versions"])
            json.dumps([rows, missing, made_by, runs[0].config.to_dict()], allow_nan=False)
        except Exception as error:
            return f"cannot be reported: {error!r}"
        return broken_promise(loaded)

    def run_three(drawn):
        content = drawn
        if not isinstance(drawn, bytes):
            text = json.dumps(changed(config, drawn))
            content = re.sub(r'"<(list|dict) (\d+)>"', nested_json, text).encode()
        run.path("config.json").write_bytes(content)
        trials.run(read, f"to read {drawn!r:.300}", check=unusable)
        trials.run(resume, f"to resume {drawn!r:.300}")
        trials.run(evaluate, f"to evaluate {drawn!r:.300}", check=unreportable)

    num_files = -(-num_trials // 2)
    single = [(path, value) for path in PATHS for value in ODD_VALUES]
    nested = [f"<{kind} {depth}>" for kind in ("list", "dict") for depth in DEPTHS]
    single += [(path, value) for path in PATHS for value in nested]
    order = np.random.default_rng(20).permutation(len(single))
    for place in order[: num_files * 8 // 10]:
        run_three([single[place]])
    for_each_example(CONTENTS, num_files // 10, run_three)
    for_each_example(CHANGES, num_files - trials.ends.total() // 3, run_three)
    return trials.row()


# ---- command lines ----

TRAIN_FLAGS = (
    "--variant", "--bake-off", "--list", "--dataset", "--classes", "--binarize", "--data-dir",
    "--set", "--latent-dim", "--held-out-class", "--epochs", "--batch-size", "--learning-rate",
    "--seed", "--output-dir", "--export", "--jit", "--overwrite", "--quiet", "--tensorboard",
    "--patience", "--lr-patience", "--help", "--version",
)  # fmt: skip
STOPPING = ("-h", "--h", "--ve")  # options that print something and stop, also abbreviated
EVALUATE_FLAGS = (
    "--output-dir", "--comparisons", "--interpolate", "--projection", "--seed", "--data-dir",
    "--force", "--quiet", "--help", "--version",
)  # fmt: skip
WORDS = (
    "vae", "deep", "all", "reconstruction", "anomaly", "umap", "threshold", "on", "-1", "0", "1",
    "1e-3", "nan", "inf", "-inf", "1e999", "9" * 5000, "\u0663", "1_0", "0x1", "--", "-", "=",
    "--no", "x" * 300, "/dev/null", "/dev/null/x", "a\nb", "\0", "~", "..", "\udcff", "\x1b[2J",
    "%s", "%(prog)s", "--set=beta=1", "--output-dir=" + "x" * 300, "--seed=a\nb", "--epochs=1",
    "-h", "\xe4" * 200,
)  # fmt: skip
SETTINGS = (
    "beta=4", "beta", "=4", "beta=", "hidden_units=256,64", "beta={[]: 1}", "beta={1, 2}",
    "beta=1j", f"beta={'(' * 500}", f"beta={'-' * 9999}1", f"beta={'[' * 150}{']' * 150}",
    "beta=b'x'", "beta=...", "beta='\\d'", "beta=1if", "beta=\0", f"beta={'9' * 5000}",
    "beta=1e999", "beta=(1, {2})", "beta=(1, (2, 3))", "beta={1: 2}", "beta=-0.0", "beta=true",
    "beta=None", "seed=1", "name=x", "beta=a=b", "\xe4=1",
)  # fmt: skip
LITERALS = st.text("()[]{}'\"0123456789.,-+*ejb\\:xn_ ", max_size=20).map("beta=".__add__)


WELL_FORMED = (
    "--variant vae", "--bake-off", "--list", "--epochs 3", "--seed 1", "--binarize threshold",
    "--set beta=4", "--latent-dim 2", "--dataset digits --classes a b", "--output-dir out --quiet",
    "--comparisons anomaly", "--projection tsne", "--interpolate 3 8", "--data-dir .",
)  # fmt: skip


def random_line(random, flags, beginning: list[str]) -> list[str]:
    """Words of a command line: mostly a valid start, then words that fit together or do not."""
    line = beginning.copy() if random.random() < 0.8 else []
    for _ in range(random.integers(1, 4)):
        which = int(random.integers(5))
        if which == 0:
            known = [words.split() for words in WELL_FORMED if words.split()[0] in flags]
            line += known[random.integers(len(known))]
        elif which == 1:
            line += ["--set", SETTINGS[random.integers(len(SETTINGS))]]
        else:
            line += [flags[random.integers(len(flags))]] * (which > 2)
            line += [WORDS[random.integers(len(WORDS))]] * (which < 4)
    return line


def drawn_lines(flags, beginning: list[str]):
    """Command lines with words that no list would contain."""
    words = st.lists(st.sampled_from(flags) | st.text(max_size=9) | LITERALS, max_size=5)
    values = st.lists(LITERALS, min_size=1, max_size=2).map(["--set"].__add__)
    return (words | values).map(beginning.__add__)


class Refused(Exception):
    """A program that ended as it should."""


def changed_by_json(options: dict) -> str | None:
    """How options differ from those that config.json would store, or None."""
    try:
        stored = json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        return f"accepted what config.json cannot store: {error}"
    return None if repr(stored) == repr(options) else f"{options} became {stored}"


def run_command_lines(program: str, num_trials: int, folder: Path, log: Log) -> Row:
    """Parse hostile command lines of a program."""
    from keras_ae.cli import evaluate, train

    folder.mkdir(parents=True, exist_ok=True)
    trials = Trials(f"arguments of {program}", (Refused,), log)
    parse, flags, beginning = {
        "train.py": (train.parse, TRAIN_FLAGS, ["--variant", "vae"]),
        "evaluate.py": (evaluate.parse, EVALUATE_FLAGS, ["."]),
    }[program]

    def run(argv):
        def attempt():
            err = io.StringIO()
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
                    options = parse(argv, program)
            except SystemExit as stop:
                if stop.code == 0 and any(word.startswith(STOPPING) for word in argv):
                    raise Refused("help or version") from None
                said = err.getvalue()
                if stop.code == 2 and said.startswith(f"{program}: error: "):
                    raise Refused(said.removesuffix("\n")) from None
                raise AssertionError(f"ended with exit code {stop.code}: {said!r}") from None
            return vars(options)

        trials.run(attempt, f"{argv!r:.400}", check=changed_by_json)

    here = os.getcwd()
    os.chdir(folder)  # relative paths are among the words
    try:
        for number in range(num_trials - num_trials // 3):
            run(random_line(np.random.default_rng([number, len(flags)]), flags, beginning))
        for_each_example(drawn_lines(flags, beginning), num_trials // 3, run)
    finally:
        os.chdir(here)
    return trials.row()


# ---- all kinds ----


def run_fault(trials: int, tmp_path: Path, log: Log = print) -> list[Row]:
    """Run `trials` trials; a row for each kind of input."""
    # Importing these is not part of the measurement.
    import tensorflow  # noqa: F401

    from keras_ae import data
    from keras_ae.evaluation import evaluation, summary  # noqa: F401

    reachable = data.network.network_problem
    data.network.network_problem = lambda url, **_: "no network"
    # Hypothesis prepares tables for its first example, which is slow while memory is traced.
    for_each_example(VALUES, 1, lambda value: None)
    tracemalloc.start()
    try:
        rows = []
        for kind, share in SHARES.items():
            number, folder = -(-trials * share // 100), tmp_path / kind
            if kind in READERS:
                rows.append(run_files(kind, number, folder, log))
            elif kind == "config.json":
                rows.append(run_configs(number, folder, log))
            else:
                rows.append(run_command_lines(kind, number, folder, log))
        return rows
    finally:
        tracemalloc.stop()
        data.network.network_problem = reachable
