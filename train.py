"""Trains autoencoder variants, one run directory each.

    python train.py --variant sparse
    python train.py --variant deep vae --latent-dim 2 --held-out-class 1
    python train.py --bake-off

The same command again goes on where it was interrupted, or says that there is nothing to do.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import functools
import importlib.util
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import threading
import warnings
from pathlib import Path

PROGRAM = "train.py"


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    options.cleared = False  # whether --overwrite has done its part
    try:
        STOP.heed()
        with native_logs_hidden():
            import tensorflow  # noqa: F401
        if options.list:
            return list_variants()
        return train(options)
    except BaseException as error:
        if isinstance(error, ArithmeticError) and not STOP.ended_by(error):
            return refuse(error, code=1)
        way = "without --overwrite " if options.cleared else ""
        return ending(error, PROGRAM, f"the same command {way}goes on from there")


# ---- signals ----


class Stop:
    """What Ctrl-C and SIGTERM do: end the program at once or, in a training, between two steps.

    TensorFlow may turn an exception that comes in the middle of a call into another one.
    """

    def __init__(self):
        self.number = None  # of the signal that came last
        self.waits = False  # whether the first one is left to who asks for `interruption`
        self.raised = False  # whether an exception was made of one

    def heed(self) -> None:
        """From here on both signals end the program in order."""
        self.number, self.waits, self.raised = None, False, False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.receive)
            # A shell has what it starts in the background ignore Ctrl-C.
            if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
                signal.signal(signal.SIGINT, self.receive)

    def receive(self, number: int, _) -> None:
        """What the system calls, between two steps of the interpreter."""
        again, self.number = self.number is not None, number
        if again or not self.waits:
            self.raised = True
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def between_steps(self):
        """A block in which the first signal raises nothing before the end."""
        self.waits = True
        try:
            yield
        finally:
            self.waits = False
        if stop := self.interruption():
            raise stop

    def interruption(self) -> KeyboardInterrupt | None:
        """What to end with where a signal came."""
        return None if self.number is None else KeyboardInterrupt()

    def ended_by(self, error: BaseException) -> bool:
        """Whether `error` is an interruption, or what has become of one."""
        return isinstance(error, KeyboardInterrupt) or (
            self.raised and isinstance(error, Exception)
        )

    def say(self, program: str, error: BaseException, words: str) -> int:
        """Says how to go on; returns what a shell has: 128 and the number of the signal."""
        became = f" ({type(error).__name__}: {' '.join(str(error).splitlines())})"
        became = "" if isinstance(error, KeyboardInterrupt) else became
        print(f"\n{program}: interrupted{became}; {words}", file=sys.stderr)
        return 128 + (self.number or signal.SIGINT)


STOP = Stop()


def ending(error: BaseException, program: str, words: str) -> int:
    """The exit code of a program that `error` ends, after a line; what nobody foresaw is raised."""
    if STOP.ended_by(error):
        return STOP.say(program, error, words)
    if isinstance(error, ModuleNotFoundError):
        return refuse_python(error, program)
    if isinstance(error, ValueError | OSError):
        return refuse(error, program)
    raise error


# ---- the command line ----


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; --help has the rest."""

    def error(self, message: str):
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {line} (--help shows the options)\n")

    def refuse_unknown(self, kind: str, names, known) -> None:
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                self.error(f"unknown {kind} {name!r}: {hint}there are {', '.join(known)}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=PROGRAM,
        description="Trains autoencoder variants, one run directory each.",
        epilog="The defaults are the bake-off's. --list shows the variants.",
    )
    add = parser.add_argument
    add("--variant", nargs="+", action="extend", metavar="NAME", help="variants to train, or 'all'")
    add(
        "--bake-off",
        action="store_true",
        help="the nine of the bake-off twice: in 20 dimensions, and in 2 without class 1",
    )
    add("--list", action="store_true", help="show the variants and their sizes")
    add("--dataset", help="mnist, fashion_mnist, kmnist, quickdraw, digits, or a path to your own")
    add("--classes", nargs="+", action="extend", metavar="CLASS", help="classes of quickdraw")
    add(
        "--binarize",
        choices=("threshold", "bernoulli"),
        help="black and white images: by half of full intensity, or drawn once with the intensity "
        "as the probability",
    )
    add("--data-dir", help="where data sets are prepared or to be found")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="further arguments of the variants, such as beta=4 hidden_units=256,64",
    )
    add("--latent-dim", type=at_least(1), help="default: the variant's own, mostly 20")
    add("--held-out-class", metavar="CLASS", help="train without this class")
    add("--epochs", type=at_least(1), default=60)
    add("--batch-size", type=at_least(1), help="default: 256, or all images if fewer")
    add("--learning-rate", type=above_zero, default=1e-3)
    add(
        "--patience",
        type=at_least(1),
        metavar="EPOCHS",
        help="end when the validation loss has not fallen for so long, with the best weights",
    )
    add(
        "--lr-patience",
        type=at_least(1),
        metavar="EPOCHS",
        help="divide the learning rate by 10 when the validation loss has not fallen for so long",
    )
    add("--seed", type=at_least(0), default=42)
    add("--output-dir", default="runs", help="run directories go below it (default: runs)")
    add("--export", action="store_true", help="also write a SavedModel")
    add("--jit", choices=("auto", "on", "off"), default="auto", help="XLA compilation")
    add("--overwrite", action="store_true", help="train anew over a run that is there")
    add("--quiet", action="store_true", help="say only what went wrong")
    add("--tensorboard", action="store_true", help="write logs for TensorBoard (an extra)")
    options = parser.parse_args(argv)
    if not (options.list or options.bake_off or options.variant):
        parser.error("say what to train: --variant NAME, --variant all or --bake-off")
    if options.bake_off and options.variant:
        parser.error("--bake-off says which variants to train; leave --variant out")
    table = table_of("variants")
    known = list(table.VARIANTS)
    names = list(table.BAKE_OFF) if options.bake_off else options.variant or []
    names = known if "all" in names else names
    parser.refuse_unknown("variant", names, known)
    options.variant = list(dict.fromkeys(names))
    try:
        given = [assignment(text) for text in options.set]
    except ValueError as error:
        parser.error(str(error))
    options.set = dict(sorted(given, key=lambda pair: pair[0]))
    if len(options.set) < len(given):
        parser.error(f"--set names an argument twice: {' '.join(name for name, _ in given)}")
    if options.classes and options.dataset is None:
        parser.error("--classes chooses from a data set: say which with --dataset")
    if options.data_dir and not os.path.isdir(options.data_dir):
        parser.error(f"--data-dir {options.data_dir}: there is no such folder")
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        parser.error("--tensorboard needs an extra: pip install 'keras_ae[tensorboard]'")
    problem = unwritable(Path(options.output_dir))
    if problem and not options.list:
        parser.error(f"--output-dir {options.output_dir}: {problem}")
    return options


def at_least(minimum: int, maximum: int = 2**31 - 1):
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(
                f"needs a whole number from {minimum} to {maximum}; received {text}"
            )
        return value

    return number


def above_zero(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"needs a number above 0; received {text}")
    return value


def assignment(text: str) -> tuple:
    """`name=value` as a name and a Python value; what is no literal is a string."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals and value):
        raise ValueError(f"--set needs NAME=VALUE; received {text!r}")
    if name in ("latent_dim", "seed", "image_shape"):
        raise ValueError(f"--set {text}: {name} has a flag of its own or follows from the data")
    try:
        literal = ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
        # As config.json will have it: lists alone, and finite numbers.
        return name, json.loads(json.dumps(literal, allow_nan=False))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return name, value


def table_of(room: str):
    """A table of contents, read from its file: importing the package would load TensorFlow."""
    package = Path(importlib.util.find_spec("keras_ae").origin).parent
    spec = importlib.util.spec_from_file_location(f"_{room}", package / room / "__init__.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unwritable(directory: Path) -> str | None:
    """Why nothing can be written below `directory`, or None. Creates nothing."""
    for place in (directory, *directory.absolute().parents):
        try:
            if place.exists():
                if not place.is_dir():
                    return f"{place} is not a folder"
                return None if os.access(place, os.W_OK) else f"{place} cannot be written to"
        except OSError as error:  # such as a name that is too long
            return f"{place} cannot be used: {error.strerror}"
    return None


def refuse(error: Exception, program: str = PROGRAM, code: int = 2) -> int:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    print(f"{program}: error: {' '.join(lines)}", file=sys.stderr)
    return code


def refuse_python(error: ModuleNotFoundError, program: str = PROGRAM) -> int:
    words = f"{error}: this Python lacks what the program needs; use the environment's, such as"
    return refuse(ValueError(f"{words} .venv/bin/python {program}"), program)


def list_variants() -> int:
    from keras_ae.variants import VARIANTS

    print(f"{'variant':<17}{'parameters':>11}  what it is")
    for name, preset in VARIANTS.items():
        print(f"{name:<17}{preset().count_params():>11,}  {preset.summary}")
    return 0


@contextlib.contextmanager
def native_logs_hidden():
    """Keeps TensorFlow's start-up lines off the terminal, unless the import fails.

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


# ---- the runs ----


def train(options: argparse.Namespace) -> int:
    say = (lambda *_: None) if options.quiet else lambda text: print(text, flush=True)

    import tensorflow as tf

    import keras_ae
    from keras_ae import data
    from keras_ae.runs import Run

    tf.get_logger().setLevel("ERROR")
    say(f"keras_ae {keras_ae.__version__} on {device_words(tf)}, jit {options.jit}")
    image_set, notice = chosen_data(data, options)
    if notice:
        print(f"\n*** {notice} ***\n", file=sys.stderr, flush=True)
    plan = planned_runs(options, image_set)
    # Every request is checked, built and compared with what is there before anything is written.
    jobs, splits = [], {}
    for variant, latent_dim, held_out in plan:
        if held_out not in splits:
            splits[held_out] = data.split(image_set, seed=options.seed, held_out_class=held_out)
        split = splits[held_out]
        if len(split.train) < (options.batch_size or 1):
            raise ValueError(
                f"--batch-size {options.batch_size} is more than the {len(split.train)} training "
                f"images of {image_set.name}: give at most {len(split.train)}, or leave it out."
            )
        make = functools.partial(build, options, image_set, variant, latent_dim)
        model = make()
        run = Run(run_directory(options, image_set, variant, model.latent_dim, held_out))
        config = resolved(options, image_set, split, variant, model.latent_dim, held_out)
        config["model"] = model.get_config()
        if not options.overwrite:
            check_what_is_there(run, config)
        jobs.append((run, config, split, make))
    say(describe(image_set, jobs[0][2]))
    with contextlib.ExitStack() as locks:
        to_do = []
        for run, *_ in jobs:
            if options.overwrite or not run.finished or (options.export and not run.exported):
                locks.enter_context(run.held())
                to_do.append(run)
        train_jobs(jobs, to_do, options, say)
    load = f"keras.models.load_model('{jobs[-1][0].directory}/model.keras')"
    say(f'next: {sys.executable} -c "import keras_ae, keras; {load}.summary()"')
    return 0


def check_what_is_there(run, config: dict) -> None:
    """Refuses a run that cannot be gone on with; says where it was made by other versions."""
    from keras_ae.trained import read_run

    run.check(config)
    if run.finished:
        read_run(run)
        run.check_model()
    elif run.started and (versions := run.other_versions(config["versions"])):
        warnings.warn(
            f"{run.directory} was begun with {versions}: what follows may differ from a run "
            "without an interruption.",
            stacklevel=2,
        )


def train_jobs(jobs: list[tuple], to_do: list, options, say) -> None:
    """Trains and exports what is to do, one run after the other; those are held."""
    import keras

    from keras_ae.progress import GridProgress

    if options.overwrite:  # all at once: after an interruption there is one way to go on
        options.cleared = True
        for run, *_ in jobs:
            run.clear()
    open_jobs = [run for run, *_ in jobs if not run.finished]
    progress = GridProgress(len(open_jobs) * options.epochs, enabled=not options.quiet)
    for number, (run, config, split, make) in enumerate(jobs, start=1):
        title = f"[{number}/{len(jobs)}] {run.directory}"
        if run not in to_do or run.finished:
            say(f"{title}: finished before, {summary(run)}")
            model = run.load_model() if options.export and not run.exported else None
        else:
            keras.utils.set_random_seed(options.seed)
            model = make()
            say(f"{title}: {model.count_params():,} parameters")
            train_run(run, config, model, split, options, progress, say)
            say(f"test: {summary(run)}")
        if run in to_do and options.export and not run.exported:
            say(f"exported to {run.export(model)}")
        keras.backend.clear_session()


def train_run(run, config: dict, model, split, options, progress, say) -> None:
    """Fits one model, from wherever its run directory stands, to its results."""
    import keras

    from keras_ae.plateaus import plateau_callbacks
    from keras_ae.runs import KeepRun

    run.start(config)
    first_epoch = run.restore(model, options.epochs)
    plateaus = plateau_callbacks(options.patience, options.lr_patience)
    run.bring_back(plateaus, model)
    stopped = any(getattr(callback, "stopped_epoch", 0) for callback in plateaus)
    keep = KeepRun(run, plateaus, STOP.interruption)
    if run.kept:
        ended = stopped or first_epoch == options.epochs
        say("going on after the last epoch" if ended else f"going on in epoch {first_epoch + 1}")
    callbacks = [*plateaus, keep, progress.of_run(first_epoch)]
    if options.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run.log_folder()))
    with STOP.between_steps():
        model.fit(
            *inputs_of(model, split.train),
            batch_size=config["request"]["batch_size"],
            epochs=first_epoch if stopped else options.epochs,
            initial_epoch=first_epoch,
            validation_data=inputs_of(model, split.validation),
            callbacks=callbacks,
            verbose=0,
        )
    for callback in plateaus:
        if last := getattr(callback, "stopped_epoch", 0):
            say(
                f"ended after epoch {last + 1}, with the weights of epoch {callback.best_epoch + 1}"
            )
    if hasattr(model, "fit_prior"):
        say("fitting the prior of the codes")
        model.fit_prior(split.train.images)
    seen = split.test
    if config["request"]["held_out_class"] is not None:
        seen = seen.where(seen.labels != config["data"]["held_out_index"])
    losses = model.evaluate(*inputs_of(model, seen), verbose=0, return_dict=True)
    # The first epoch compiles.
    seconds = [row["seconds"] for row in keep.rows[1:] or keep.rows]
    results = {name: float(value) for name, value in losses.items()}
    results["num_images"] = len(seen)
    results["num_parameters"] = model.count_params()
    results["seconds_per_epoch"] = statistics.median(seconds)
    run.finish(model, results)


def inputs_of(model, subset) -> tuple:
    """What `fit` and `evaluate` are given: images, and labels where the variant takes them."""
    return (subset.images, subset.labels) if model.needs_labels else (subset.images,)


def build(options, image_set, variant: str, latent_dim: int | None):
    """The variant, compiled; a latent_dim of None leaves its size to the variant."""
    import keras

    from keras_ae.variants import VARIANTS

    arguments = {} if latent_dim is None else {"latent_dim": latent_dim}
    if VARIANTS[variant].load().needs_labels:
        if len(image_set.class_names) < 2:
            raise ValueError(f"{variant} needs class labels, and {image_set.name} has none.")
        arguments["num_classes"] = len(image_set.class_names)
    try:
        model = VARIANTS[variant](
            image_shape=image_set.image_shape, seed=options.seed, **arguments, **options.set
        )
    except (TypeError, ValueError) as error:
        asked = {**options.set, **({} if latent_dim is None else {"latent_dim": latent_dim})}
        raise ValueError(unbuildable(variant, asked, error)) from error
    if model.pixel_range != (0.0, 1.0):
        raise ValueError(
            f"output_activation {model.output_activation} is for images in [-1, 1], and those of "
            "the data sets are in [0, 1]: use it from your own code."
        )
    if model.fixed_epochs and (options.patience or options.lr_patience):
        raise ValueError(
            f"--patience and --lr-patience do not go with {variant}, which trains its layers one "
            "after another for a share of the epochs each."
        )
    model.compile(
        keras.optimizers.Adam(options.learning_rate),
        jit_compile={"auto": "auto", "on": True, "off": False}[options.jit],
    )
    return model


def unbuildable(variant: str, arguments: dict, error: Exception) -> str:
    """Why a variant does not take the arguments of --set."""
    from keras_ae.variants import VARIANTS

    known = set(VARIANTS[variant]().get_config())
    known -= {"name", "trainable", "dtype", "image_shape", "latent_dim", "seed", "num_classes"}
    for name in arguments:
        if name not in known | {"latent_dim"}:
            return f"{variant} has no argument {name!r}; it has {', '.join(sorted(known))}"
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{variant} cannot be built with {given}: {str(error).splitlines()[0]}"


def planned_runs(options, image_set) -> list[tuple]:
    """The grid: (variant, latent_dim or None, held-out class as its name or None)."""
    from keras_ae import data
    from keras_ae.variants import VARIANTS

    def size(variant):
        return options.latent_dim or VARIANTS[variant].latent_dim

    def name_of(held_out):
        if held_out is None:
            return None
        return image_set.class_names[data.held_out_index(image_set, held_out)]

    if not options.bake_off:
        held_out = name_of(options.held_out_class)
        return [(variant, size(variant), held_out) for variant in options.variant]
    held_out = name_of("1" if options.held_out_class is None else options.held_out_class)
    full = [(variant, size(variant), None) for variant in options.variant]
    return full + [(variant, 2, held_out) for variant in options.variant]


def chosen_data(data, options):
    """The data set asked for, or the default with a notice where it is not MNIST."""
    if options.dataset is None:
        image_set, notice = data.load_default(data_dir=options.data_dir)
        options.dataset = image_set.name
    else:
        image_set = data.load(options.dataset, classes=options.classes, data_dir=options.data_dir)
        notice = None
    if options.binarize:
        image_set = data.binarized(image_set, options.binarize)
    return image_set, notice


def data_source(dataset: str) -> str:
    """What `keras_ae.data.load` takes to find the data again: a name or an absolute path."""
    from keras_ae import data

    if dataset in data.DATASETS:
        return dataset
    return os.path.abspath(dataset) if os.path.exists(dataset) else dataset


def run_directory(options, image_set, variant, latent_dim, held_out) -> Path:
    from keras_ae.runs import run_name

    name = run_name(variant, latent_dim, held_out, options.seed, options.set)
    folder = "-".join([Path(image_set.name).name, *(options.classes or [])])
    return Path(options.output_dir) / folder.replace(" ", "_") / name


def resolved(options, image_set, split, variant, latent_dim, held_out) -> dict:
    """Everything that makes a run: `request` decides its numbers, the rest is for the record."""
    import keras
    import numpy
    import tensorflow

    import keras_ae
    from keras_ae import data
    from keras_ae.training.trainer import checked_batch_size

    return {
        "request": {
            "variant": variant,
            "latent_dim": latent_dim,
            "arguments": options.set,
            "dataset": image_set.name,
            "fingerprint": image_set.fingerprint,
            "held_out_class": held_out,
            "epochs": options.epochs,
            "batch_size": checked_batch_size(options.batch_size, len(split.train)),
            "learning_rate": options.learning_rate,
            "patience": options.patience,
            "lr_patience": options.lr_patience,
            "seed": options.seed,
            "jit": options.jit,
        },
        "data": {
            "source": data_source(options.dataset),
            "classes": options.classes,
            "binarize": options.binarize,
            "data_dir": options.data_dir and os.path.abspath(options.data_dir),
            "image_shape": list(image_set.image_shape),
            "class_names": list(image_set.class_names),
            "held_out_index": None
            if held_out is None
            else data.held_out_index(image_set, held_out),
            "num_train": len(split.train),
            "num_validation": len(split.validation),
            "num_test": len(split.test),
        },
        "versions": {
            "keras_ae": keras_ae.__version__,
            "keras": keras.__version__,
            "tensorflow": tensorflow.__version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "device": device_words(tensorflow),
    }


# ---- words ----


def device_words(tf) -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return ", ".join(
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in gpus
        )
    return f"CPU ({os.cpu_count()} cores)"


def describe(image_set, split) -> str:
    shape = " x ".join(map(str, image_set.image_shape))
    return (
        f"{image_set.name}: {len(split.train):,} training, {len(split.validation):,} validation "
        f"and {len(split.test):,} test images of {shape}"
    )


def summary(run) -> str:
    results, model = run.results, run.config.get("model", {})
    # Runs from before there was a choice have no such entry.
    measure = {"bce": "nats an image (BCE)", "mse": "squared error an image"}
    return (
        f"{results['reconstruction_loss']:.2f} "
        f"{measure[model.get('reconstruction_loss', 'bce')]}, latent loss "
        f"{results['latent_loss']:.2f}; {results['seconds_per_epoch']:.2f} s an epoch"
    )


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_: f"{PROGRAM}: warning: {message}\n"
    sys.exit(main())
