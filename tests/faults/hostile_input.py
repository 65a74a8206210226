"""Files, configs and command lines that are not what they should be: used, or refused in a line.

What is used must be what an independent reader finds. No case may take more memory than twice what
its files hold and 10 MB, nor more than ten seconds.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import shutil
import time
import traceback
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import Row, small_images
from hostile_files import READERS, Files, total
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from in_process import imported

MOST_SECONDS = 10
SLACK = 10 * 2**20
# Of a hundred cases.
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


# ---- how a case is judged ----


class Judge:
    """Tries cases of one kind, and keeps what was wrong with how they ended.

    Args:
        kind: What they are cases of.
        refusals: The exceptions by which one may be refused, in one line.
        say: Told of each case that breaks a rule.
    """

    def __init__(self, kind: str, refusals: tuple[type[Exception], ...], say: Callable):
        self.kind, self.refusals, self.say = kind, refusals, say
        self.ends, self.lost = Counter(), []
        self.peak = self.slowest = 0.0

    def tries(
        self, attempt: Callable, case: str, declared: int = 0, check: Callable | None = None
    ) -> None:
        """Makes one attempt; `check` tells what is wrong with its result, if anything."""
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        began = time.perf_counter()
        end, wrong, result = "used", None, None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = attempt()
        except self.refusals as error:
            end = "refused"
            if len(str(error).splitlines()) != 1:
                wrong = f"said {str(error)!r}"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            end, wrong = "lost", f"{error!r:.200} escaped from {place.filename}:{place.lineno}"
        seconds = time.perf_counter() - began
        peak = tracemalloc.get_traced_memory()[1] - before
        if end == "used" and check:
            wrong = check(result)
        self.ends[end] += 1
        self.peak, self.slowest = max(self.peak, peak), max(self.slowest, seconds)
        if peak > 2 * declared + SLACK:
            wrong = f"took {peak:,} bytes for {declared:,}"
        if seconds > MOST_SECONDS:
            wrong = f"took {seconds:.0f} seconds"
        if wrong:
            self.lost.append(f"{self.kind}, {case}: {wrong}")
            self.say(self.lost[-1])

    def row(self) -> Row:
        ends = ", ".join(f"{number:,} {end}" for end, number in sorted(self.ends.items()))
        kept = f"{ends}; at most {self.peak / 2**20:.1f} MB and {self.slowest:.2f} s"
        return Row(f"hostile {self.kind}", self.ends.total(), self.lost, kept)


def wrong_with(image_set) -> str | None:
    """Which promise of `ImageSet` a set breaks."""
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


def untrue(image_set, files: Files) -> str | None:
    """How the pixels of a set differ from those in the files, where that is known."""
    if files.truth is None:
        return None
    try:
        expected = files.truth()
    except Exception as error:
        return f"used what cannot be read: {error!r:.100}"
    found = total(image_set.train_images) + total(image_set.test_images)
    return None if np.isclose(found, expected, rtol=1e-3) else f"pixels of {found}, not {expected}"


def is_text(name: str) -> bool:
    """Whether a report can hold it; NumPy makes strings of what is no character."""
    try:
        return name.encode().decode() == name
    except (UnicodeError, SystemError):
        return False


@contextlib.contextmanager
def native_words_hidden():
    """Keeps what libjpeg says of each damaged file off the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def examine_files(kind: str, times: int, folder: Path, say) -> Row:
    from keras_ae import data

    judge = Judge(kind, (data.DataError,), say)
    for number in range(times):
        random = np.random.default_rng([number, list(READERS).index(kind)])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files = READERS[kind](folder, random)

        def attempt(files=files):
            with native_words_hidden():
                image_set = data.load(files.dataset, **files.options)
            data.split(image_set)
            return image_set

        def check(image_set, files=files):
            return wrong_with(image_set) or untrue(image_set, files)

        judge.tries(attempt, f"case {number}", files.declared, check)
    return judge.row()


# ---- what hypothesis draws ----


def each_drawn(strategy, times: int, use: Callable) -> None:
    """Calls `use` with values of a strategy: the same ones every time."""

    @seed(20)
    @settings(
        max_examples=times,
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
CONTENTS = st.binary(max_size=60) | st.sampled_from(WHOLE_FILES)


def changed(config: dict, changes) -> dict:
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
        except (TypeError, KeyError, IndexError):  # an earlier change took that place away
            pass
    return config


def examine_configs(times: int, folder: Path, say) -> Row:
    from keras_ae import data
    from keras_ae.evaluation import load_data
    from keras_ae.results import configurations
    from keras_ae.runs.run_directory import RunDirectory
    from keras_ae.runs.catalog import (
        find_runs,
        labels,
        missing_runs,
        other_versions,
        sorted_runs,
    )

    shutil.rmtree(folder, ignore_errors=True)
    source = small_images(folder / "images.npz", num=42)
    image_set = data.load(source)
    places = [
        (("data", "source"), str(source)),
        (("request", "fingerprint"), image_set.fingerprint),
    ]
    config = changed(CONFIG, places)
    run = folder / "runs" / "run"
    run.mkdir(parents=True)
    (run / "history.csv").write_text("epoch,seconds,loss\n1,0.5,3.0\n2,0.25,2.0\n")
    (run / "model.keras").write_bytes(b"none")
    results = json.dumps({"reconstruction_loss": 64.5, "seconds_per_epoch": 0.25})
    judge = Judge("config.json", (ValueError,), say)

    def train_again():
        (run / "test.json").unlink(missing_ok=True)
        RunDirectory(run).check(config)

    def evaluate():
        (run / "test.json").write_text(results)
        found = find_runs(folder / "runs")
        for line in found.broken:
            raise ValueError(line)
        runs = sorted_runs(found.runs)
        return runs, load_data(runs[0])

    def unreportable(evaluated):
        runs, loaded = evaluated
        try:
            rows, lacking = configurations(runs, labels(runs)), missing_runs(runs, image_set)
            made_by = other_versions(runs, CONFIG["versions"])
            json.dumps([rows, lacking, made_by, runs[0].data], allow_nan=False)
        except Exception as error:  # evaluate.py would have no report then
            return f"cannot be reported: {error!r}"
        return wrong_with(loaded)

    def tried(drawn):
        content = drawn
        if not isinstance(drawn, bytes):
            content = json.dumps(changed(config, drawn)).encode()
        (run / "config.json").write_bytes(content)
        judge.tries(train_again, f"to train {drawn!r:.300}")
        judge.tries(evaluate, f"to evaluate {drawn!r:.300}", check=unreportable)

    times = -(-times // 2)  # each is tried twice
    single = [(path, value) for path in PATHS for value in ODD_VALUES]
    order = np.random.default_rng(20).permutation(len(single))
    for place in order[: times * 8 // 10]:
        tried([single[place]])
    each_drawn(CONTENTS, times // 10, tried)
    each_drawn(CHANGES, times - judge.ends.total() // 2, tried)
    return judge.row()


# ---- command lines ----

TRAIN_FLAGS = (
    "--variant", "--bake-off", "--list", "--dataset", "--classes", "--binarize", "--data-dir",
    "--set", "--latent-dim", "--held-out-class", "--epochs", "--batch-size", "--learning-rate",
    "--seed", "--output-dir", "--export", "--jit", "--overwrite", "--quiet", "--tensorboard",
    "--help",
)  # fmt: skip
EVALUATE_FLAGS = (
    "--output-dir", "--comparisons", "--interpolate", "--projection", "--seed", "--data-dir",
    "--force", "--quiet", "--help",
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
    """A command line of words: mostly a sensible beginning, then some that go together, or not."""
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
    """Command lines with what no list of words would hold."""
    words = st.lists(st.sampled_from(flags) | st.text(max_size=9) | LITERALS, max_size=5)
    values = st.lists(LITERALS, min_size=1, max_size=2).map(["--set"].__add__)
    return (words | values).map(beginning.__add__)


class Refused(Exception):
    """A program that ended as it should."""


def unkept(options: dict) -> str | None:
    """What a config.json would make of options, unless it is the same."""
    try:
        kept = json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        return f"took what no config.json can hold: {error}"
    return None if repr(kept) == repr(options) else f"{options} became {kept}"


def examine_lines(program: str, times: int, folder: Path, say) -> Row:
    module = imported(program.removesuffix(".py"))
    folder.mkdir(parents=True, exist_ok=True)
    judge = Judge(program, (Refused,), say)
    flags, beginning = {
        "train.py": (TRAIN_FLAGS, ["--variant", "vae"]),
        "evaluate.py": (EVALUATE_FLAGS, ["."]),
    }[program]

    def tried(argv):
        def attempt():
            err = io.StringIO()
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
                    options = module.parse(argv)
            except SystemExit as stop:
                if stop.code == 0 and any(word.startswith(("-h", "--h")) for word in argv):
                    raise Refused("helped") from None
                said = err.getvalue()
                if stop.code == 2 and said.startswith(f"{program}: error: "):
                    raise Refused(said.removesuffix("\n")) from None
                raise AssertionError(f"ended with {stop.code}: {said!r}") from None
            return vars(options)

        judge.tries(attempt, f"{argv!r:.400}", check=unkept)

    here = os.getcwd()
    os.chdir(folder)  # relative paths are among the words
    try:
        for number in range(times - times // 3):
            tried(random_line(np.random.default_rng([number, len(flags)]), flags, beginning))
        each_drawn(drawn_lines(flags, beginning), times // 3, tried)
    finally:
        os.chdir(here)
    return judge.row()


# ---- all of it ----


def examine(times: int, folder: Path, say=print) -> list[Row]:
    """Tries `times` cases; a row for each kind of input."""
    import tensorflow  # noqa: F401  # not part of what is measured

    from keras_ae import data, results  # noqa: F401

    reachable = data.network.network_problem
    data.network.network_problem = lambda url, **_: "no network here"
    tracemalloc.start()
    try:
        rows = []
        for kind, share in SHARES.items():
            number, place = -(-times * share // 100), folder / kind
            if kind in READERS:
                rows.append(examine_files(kind, number, place, say))
            elif kind == "config.json":
                rows.append(examine_configs(number, place, say))
            else:
                rows.append(examine_lines(kind, number, place, say))
        return rows
    finally:
        tracemalloc.stop()
        data.network.network_problem = reachable
