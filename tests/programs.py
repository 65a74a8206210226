"""Running the programs from tests: in this process or in another, on small images."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
NUM_IMAGES = 210
LOSSES = ("loss", "reconstruction_loss", "latent_loss")
FILES = {"config.json", "history.csv", "model.keras", "resume.npz", "test.json"}


def train(*arguments) -> int:
    """The exit code of `train.py`, run in this process."""
    from keras_ae.cli.train import main

    return _exit_code(main, arguments, "train.py")


def evaluate(*arguments) -> int:
    """The exit code of `evaluate.py`, run in this process."""
    from keras_ae.cli.evaluate import main

    return _exit_code(main, arguments, "evaluate.py")


def predict(*arguments) -> int:
    """The exit code of `keras-ae predict`, run in this process."""
    from keras_ae.cli.predict import main

    return _exit_code(main, arguments, "predict.py")


def decode(*arguments) -> int:
    """The exit code of `keras-ae decode`, run in this process."""
    from keras_ae.cli.decode import main

    return _exit_code(main, arguments, "decode.py")


def sample(*arguments) -> int:
    """The exit code of `keras-ae sample`, run in this process."""
    from keras_ae.cli.sample import main

    return _exit_code(main, arguments, "sample.py")


def _exit_code(main: Callable, arguments, prog: str) -> int:
    try:
        return main([str(argument) for argument in arguments], prog)
    except SystemExit as stop:  # argparse ends a program so
        return stop.code


def refused(capsys, program: Callable, *arguments, code: int = 2) -> str:
    """The one line in which a program refuses its arguments."""
    capsys.readouterr()
    received = program(*arguments)
    out, err = capsys.readouterr()
    assert received == code, out + err
    assert "Traceback" not in out + err
    (line,) = err.strip().splitlines()
    assert line.startswith(f"{program.__name__}.py: error: ")
    return line


def small_images(path: Path, num: int = NUM_IMAGES) -> Path:
    """Write a `.npz` of 8x8 images in four easily separable classes."""
    random = np.random.default_rng(0)
    labels = np.arange(num) % 4
    shapes = random.random((4, 8, 8)) < 0.4
    images = np.clip(shapes[labels] * 0.8 + 0.2 * random.random((num, 8, 8)), 0, 1)
    np.savez(path, images=images.astype("float32"), labels=labels)
    return path


def command(dataset, output_dir, *variants, epochs=3, batch_size=60) -> list[str]:
    """The arguments of `train.py` for a run on a small set."""
    line = ["--variant", *variants, "--dataset", dataset, "--output-dir", output_dir]
    line += ["--no-figures", "--epochs", epochs, "--batch-size", batch_size]
    return [str(word) for word in line]


def run_of(output_dir: Path, variant: str, dataset: str = "tiny.npz") -> Path:
    return output_dir / dataset / f"{variant}-20d-seed42"


def history(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as lines:
        return list(csv.DictReader(lines))


def losses(run: Path) -> list[dict[str, str]]:
    """The history without the seconds, which always differ."""
    return [{name: row[name] for name in row if name != "seconds"} for row in history(run)]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def snapshot(folder: Path) -> dict:
    """Every file with its content and the time it was written."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def assert_same_run(run: Path, other: Path) -> None:
    """The same weights, optimizer and losses, bit for bit."""
    from keras_ae.runs.run_directory import RunDirectory

    assert losses(run) == losses(other)
    results, other_results = read_json(run / "test.json"), read_json(other / "test.json")
    for name in (*LOSSES, "num_images"):
        assert results[name] == other_results[name], name
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # an optimizer that does not fit the model
        model, other_model = (RunDirectory(folder).load_model() for folder in (run, other))
    _assert_same_values(model.variables, other_model.variables)
    _assert_same_values(model.optimizer.variables, other_model.optimizer.variables)


def _assert_same_values(variables, other_variables) -> None:
    assert len(variables) == len(other_variables)
    for variable, other in zip(variables, other_variables, strict=True):
        assert variable.numpy().tobytes() == other.numpy().tobytes(), variable.path


def interrupt_at(patch, file_name: str, number: int, after: bool) -> None:
    """Interrupt the program before or after it writes a file for the `number`th time."""
    from keras_ae.runs import checkpoint, run_directory

    atomic_write, written = run_directory.atomic_write, []

    def write_or_stop(path, write):
        written.append(path.name)
        is_it = path.name == file_name and written.count(file_name) == number
        if not is_it or after:
            atomic_write(path, write)
        if is_it:
            raise KeyboardInterrupt

    patch.setattr(checkpoint, "atomic_write", write_or_stop)
    patch.setattr(run_directory, "atomic_write", write_or_stop)


@contextlib.contextmanager
def eagerly():
    """A block in which functions run eagerly: without tracing, small networks train at once."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def compiled():
    """A block in which functions are traced and optimized, in a module that runs them eagerly."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(False)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(True)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def shared(tmp_path_factory, worker_id: str, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one test process fills and all test processes read."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not (root / f"{name}.done").exists():
            folder.mkdir()
            make(folder)
            (root / f"{name}.done").touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for a program with its own cache."""
    own = {"KERAS_AE_CACHE": str(folder / "cache"), "MPLBACKEND": "agg"}
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def forget_custom_gradients() -> None:
    """Clear TensorFlow's registry, which keeps the graph of every traced training step.

    Keras's optimizers sum gradients over replicas by `tf.custom_gradient`, which in a graph
    registers itself permanently: 25 MB per model, and slower and slower garbage collection.
    """
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework.ops import gradient_registry

        for name in list(gradient_registry.list()):
            if name.startswith("CustomGradient-"):
                del gradient_registry._registry[name]
