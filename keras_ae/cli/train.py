"""`keras-ae train`: train autoencoder variants, one run directory each."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import itertools
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keras_ae.cli.arguments import (
    MAX_RUNS,
    Parser,
    above_zero,
    assignment,
    assignments,
    at_least,
    image_size,
    momentum,
    num_bytes,
    part,
    rate,
    seeds,
    unwritable,
)
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.remedies import IN_TRAIN, describe
from keras_ae.cli.startup import EXIT_FAILED, limit_threads, refuse, run_program, show_notices
from keras_ae.progress import counted, reading_progress
from keras_ae.runs.environment import num_cores
from keras_ae.runs.request import DEFAULT_EMA, DEFAULT_LEARNING_RATE, DEFAULT_SEED
from keras_ae.runs.schedules import CONSTANT, SCHEDULES
from keras_ae.variants import BAKE_OFF, VARIANTS

EXAMPLES = (
    "--variant sparse",
    "--variant vae --dataset path/to/my_photographs --set beta=4 hidden_units=256,64",
    "--variant deep vae --seed 1..10 --jobs 2",
)


def main(argv: Sequence[str] | None = None, prog: str = "keras-ae train") -> int:
    """Run the program; returns the exit code.

    Args:
        argv: The arguments; None for those of the process.
        prog: The name of the program in messages.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = parse(words, prog)
    if options.threads is None and options.jobs > 1:
        options.threads = max(1, num_cores() // options.jobs)
    limit_threads(options.threads)
    cleared: list[bool] = []

    def resume_hint() -> str:
        without = "without --overwrite " if any(cleared) else ""
        return f"re-run the same command {without}to resume"

    return run_program(
        prog,
        functools.partial(_list if options.list else _train, options, prog, words, cleared),
        resume_hint=resume_hint,
        describe=lambda error: describe(error, IN_TRAIN, ["keras-ae", "train", *words]),
    )


def parse(argv: Sequence[str] | None, prog: str = "keras-ae train") -> argparse.Namespace:
    """The options, checked as far as possible without TensorFlow; exits where they are wrong."""
    parser = Parser(prog, "Train autoencoder variants, one run directory each.", EXAMPLES)
    what = parser.add_argument_group("what to train")
    what.add_argument(
        "--variant", nargs="+", action="extend", metavar="NAME", help="variants, or 'all'"
    )
    what.add_argument(
        "--bake-off",
        action="store_true",
        help="train the nine bake-off variants: with 20-D codes, and with 2-D codes leaving out "
        "class 1 (for anomaly detection)",
    )
    what.add_argument(
        "--dry-run",
        action="store_true",
        help="list the runs and the time that they take, from the finished runs of the same "
        "variant; train nothing (default: train them)",
    )
    several = parser.add_argument_group("several processes")
    several.add_argument(
        "--share",
        nargs="?",
        const="skip",
        choices=("skip", "wait"),
        help="share the grid with other processes that run the same command: skip the runs that "
        "they hold, take over those that a dead process left; with 'wait', end when all runs are "
        "finished (default: train all runs; refuse where another process holds one)",
    )
    several.add_argument(
        "--slice",
        type=part,
        metavar="K/N",
        help="train only each Nth run, starting with the Kth (default: all runs)",
    )
    several.add_argument(
        "--jobs",
        type=at_least(1, 1024),
        metavar="N",
        default=1,
        help="train the grid in N processes on this machine, which share it (default: %(default)s)",
    )
    several.add_argument(
        "--threads",
        type=at_least(1, 1024),
        metavar="N",
        help="threads of a process; another number gives other rounding errors, so other weights "
        "(default: the cores of the machine, divided by --jobs)",
    )
    what.add_argument("--list", action="store_true", help="show the variants and their sizes")
    images = parser.add_argument_group("images")
    images.add_argument(
        "--dataset",
        help="mnist, fashion_mnist, kmnist, quickdraw, digits, or a path to your own images "
        "(default: mnist; without a network, digits)",
    )
    images.add_argument(
        "--classes",
        nargs="+",
        action="extend",
        metavar="CLASS",
        help="classes of quickdraw, or of a folder of .npy files (default: all)",
    )
    images.add_argument(
        "--binarize",
        choices=("threshold", "bernoulli"),
        help="make the images black and white: at half of full intensity, or drawn once with the "
        "intensity as the probability (default: neither)",
    )
    images.add_argument(
        "--data-dir", help="folder of prepared data sets (default: that of tensorflow-datasets)"
    )
    images.add_argument(
        "--image-size",
        type=image_size,
        metavar="SIZE",
        help="resize the images to a square of this side, or to HEIGHTxWIDTH, such as 64 or 64x48 "
        "(default: leave their size; images of several sizes are then refused)",
    )
    images.add_argument(
        "--resize",
        choices=("crop", "pad", "stretch"),
        help="with --image-size: scale the shorter side and cut out the center, scale the longer "
        "side and pad, or stretch (default: crop)",
    )
    images.add_argument(
        "--color",
        choices=("auto", "gray", "rgb"),
        default="auto",
        help="channels of the images (default: %(default)s: gray unless any image has color)",
    )
    images.add_argument(
        "--background",
        metavar="COLOR",
        default="white",
        help="what is behind transparent pixels and around padded images: the name of a color or "
        "'#rrggbb' (default: %(default)s)",
    )
    images.add_argument(
        "--strict",
        action="store_true",
        help="refuse a folder with files that cannot be read as images (default: skip them and "
        "print a notice)",
    )
    images.add_argument(
        "--memory-limit",
        type=num_bytes,
        metavar="SIZE",
        help="memory for the images, such as 4GB: larger sets stay on disk while training "
        "(default: half of the memory that is free)",
    )
    images.add_argument(
        "--held-out-class",
        nargs="+",
        action="extend",
        metavar="CLASS",
        help="train without this class, one run for each that is named; 'all' for one run without "
        "each class (default: all classes are in training; with --bake-off: 1)",
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--latent-dim",
        nargs="+",
        action="extend",
        type=at_least(1),
        metavar="N",
        help="size of the code; one run for each that is named (default: the variant's own, "
        "mostly 20)",
    )
    network.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="further arguments of the variant, such as beta=4 hidden_units=256,64 "
        "(default: the variant's own)",
    )
    network.add_argument(
        "--grid",
        action="store_true",
        help="take each value of --set beta=1,2,4 for a run of its own, in every combination; "
        "lists need brackets: hidden_units=[256,64],[128,32] (default: 256,64 is one value)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=at_least(1),
        metavar="N",
        help="passes over the training images (default: 60 on the published sets and with "
        "--bake-off; else enough for 4,000 updates, at least 20, with early stopping)",
    )
    training.add_argument(
        "--batch-size",
        type=at_least(1),
        metavar="N",
        help="images per step (default: 256 on the published sets and with --bake-off; else "
        "about 1%% of the training images, from 16 to 256)",
    )
    training.add_argument(
        "--learning-rate",
        type=above_zero,
        metavar="RATE",
        default=DEFAULT_LEARNING_RATE,
        help="learning rate of Adam (default: %(default)s)",
    )
    training.add_argument(
        "--patience",
        type=at_least(1),
        metavar="EPOCHS",
        help="early stopping: stop after EPOCHS epochs without improvement of the validation "
        "loss; restore the best weights (default: on the published sets, with --bake-off and "
        "with --epochs no early stopping; else 500 updates, at least 10 epochs)",
    )
    training.add_argument(
        "--lr-patience",
        type=at_least(1),
        metavar="EPOCHS",
        help="divide the learning rate by 10 after EPOCHS epochs without improvement of the "
        "validation loss (default: never)",
    )
    training.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default=CONSTANT,
        help="of the learning rate: constant, or cosine, which rises in the first two epochs and "
        "then falls to 0 (default: %(default)s)",
    )
    training.add_argument(
        "--ema",
        nargs="?",
        type=momentum,
        const=DEFAULT_EMA,
        metavar="MOMENTUM",
        help="validate, stop and end with an exponential moving average of the weights; without "
        f"MOMENTUM {DEFAULT_EMA}, about the last 200 updates (default: no average)",
    )
    training.add_argument(
        "--seed",
        nargs="+",
        action="extend",
        type=seeds,
        metavar="N",
        help="random seed of split, weights, order and noise; one run for each that is named, "
        f"1..10 for ten (default: {DEFAULT_SEED})",
    )
    training.add_argument(
        "--jit",
        choices=("auto", "on", "off"),
        default="auto",
        help="XLA compilation (default: %(default)s: on a CPU only where it is faster)",
    )
    threshold = parser.add_argument_group(
        "anomaly threshold", "from the validation images, where test images are anomalous"
    )
    threshold.add_argument(
        "--false-positive-rate",
        type=rate,
        metavar="RATE",
        help="share of normal images that may be called anomalous (default: 0.01; without a "
        "held-out class or other anomalous test images no threshold, unless this is given)",
    )
    threshold.add_argument(
        "--anomaly-score",
        metavar="NAME",
        help="bce, mse, ssim, signed_residual, elbo, log_likelihood, latent_density, "
        "mahalanobis or local_residual, as far as the variant has it (default: the loss in "
        "training for light drawings on black; else local_residual, or mse with a held-out class)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir",
        default="runs",
        help="run directories are created below it (default: %(default)s)",
    )
    output.add_argument(
        "--export", action="store_true", help="also write a SavedModel (default: do not)"
    )
    output.add_argument(
        "--overwrite",
        action="store_true",
        help="delete the existing run and train again (default: resume or skip it)",
    )
    output.add_argument(
        "--no-figures",
        action="store_true",
        help="draw no reconstructions, losses and samples into the run directories (default: draw "
        "them)",
    )
    output.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write TensorBoard logs; needs keras_ae[tensorboard] (default: do not)",
    )
    output.add_argument(
        "--quiet", action="store_true", help="print only errors (default: print progress)"
    )
    options = parser.parse_args(None if argv is None else list(argv))
    _check(parser, options)
    return options


def _check(parser: Parser, options: argparse.Namespace) -> None:
    """Exit with an error where options are unknown, contradict each other or cannot be used."""
    if not (options.list or options.bake_off or options.variant):
        parser.error("say what to train: --variant NAME, --variant all or --bake-off")
    if options.bake_off and options.variant:
        parser.error("--bake-off says which variants to train; leave --variant out")
    known = list(VARIANTS)
    names = list(BAKE_OFF) if options.bake_off else options.variant or []
    names = known if "all" in names else names
    parser.refuse_unknown("variant", names, known)
    options.variant = list(dict.fromkeys(names))
    options.seed = list(dict.fromkeys(itertools.chain(*(options.seed or [[DEFAULT_SEED]]))))
    options.latent_dim = list(dict.fromkeys(options.latent_dim or [None]))
    options.set = _sets_of_arguments(parser, options)
    sizes = [options.variant, options.latent_dim, options.set, options.held_out_class or [None]]
    if (number := math.prod(map(len, [*sizes, options.seed]))) > MAX_RUNS:
        parser.error(f"a grid has at most {MAX_RUNS:,} runs; received {number:,}")
    together = "--share" if options.share else "--jobs" if options.jobs > 1 else ""
    if together and options.overwrite:
        parser.error(
            f"{together} cannot be used with --overwrite: one process would delete the runs "
            "of another. Delete them first"
        )
    if options.classes and options.dataset is None:
        parser.error("--classes chooses from a data set: name it with --dataset")
    if options.resize and options.image_size is None:
        parser.error(f"--resize {options.resize} needs --image-size")
    options.resize = options.resize or "crop"
    if options.image_size or options.background != "white":
        from keras_ae.data.preprocessing import Preprocessing  # imports NumPy, `--help` does not

        try:
            Preprocessing(options.image_size, options.resize, background=options.background)
        except ValueError as error:
            parser.error(str(error))
    if options.data_dir and not os.path.isdir(options.data_dir):
        parser.error(f"--data-dir {options.data_dir}: there is no such folder")
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        parser.error("--tensorboard needs an extra: pip install 'keras_ae[tensorboard]'")
    problem = unwritable(Path(options.output_dir))
    if problem and not options.list:
        parser.error(f"--output-dir {options.output_dir}: {problem}")


def _sets_of_arguments(parser: Parser, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The arguments of `--set`: one dict, or with `--grid` one for each combination."""
    try:
        if options.grid:
            given = [assignments(text) for text in options.set]
        else:
            given = [(name, [value]) for name, value in map(assignment, options.set)]
    except ValueError as error:
        parser.error(str(error))
    names = [name for name, _ in given]
    if len(set(names)) < len(names):
        parser.error(f"--set names an argument twice: {' '.join(names)}")
    given.sort(key=lambda pair: pair[0])
    values = [values for _, values in given]
    if math.prod(map(len, values)) > MAX_RUNS:
        parser.error(f"a grid has at most {MAX_RUNS:,} runs; use fewer values in --set")
    return [
        dict(zip(sorted(names), combination, strict=True))
        for combination in itertools.product(*values)
    ]


def _list(options: argparse.Namespace, *_: Any) -> int:
    print(f"{'variant':<17}{'parameters':>11}  what it is")
    for name, preset in VARIANTS.items():
        print(f"{name:<17}{preset().count_params():>11,}  {preset.summary}")
    return 0


def _train(
    options: argparse.Namespace,
    prog: str,
    words: Sequence[str],
    cleared: list[bool],
    interrupts: InterruptHandler,
) -> int:
    import keras_ae
    from keras_ae.cli.grids import status_lines
    from keras_ae.data import Preprocessing, Storage
    from keras_ae.evaluation import run_figures
    from keras_ae.runs.environment import device_name
    from keras_ae.runs.plan import DataOptions, Grid, plan_bake_off, plan_runs
    from keras_ae.runs.train import Training

    def log(line: str) -> None:
        if not options.quiet:
            print(line, flush=True)

    log(f"keras_ae {keras_ae.__version__} on {device_name()}, jit {options.jit}")
    images = DataOptions(
        options.dataset,
        options.classes,
        options.binarize,
        options.data_dir,
        Preprocessing(options.image_size, options.resize, options.color, options.background),
        options.strict,
    )
    storage = Storage(options.memory_limit, reading_progress(enabled=not options.quiet))
    image_set, notice = images.load(storage)
    if notice:
        print(f"\n*** {notice} ***\n", file=sys.stderr, flush=True)
    show_notices(prog, image_set.notices)
    grid = Grid(
        options.variant, options.latent_dim, options.set, options.held_out_class, options.seed
    )
    asked = dict(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        patience=options.patience,
        lr_patience=options.lr_patience,
        schedule=options.schedule,
        ema=options.ema,
        jit=options.jit,
        false_positive_rate=options.false_positive_rate,
        anomaly_score=options.anomaly_score,
    )
    if options.bake_off:
        planned = plan_bake_off(image_set, images, grid, **asked)
    else:
        planned = plan_runs(image_set, images, grid, **asked)
    if options.slice:
        number, of = options.slice
        planned = planned[number - 1 :: of]
        if not planned:
            log(f"--slice {number}/{of}: the grid has no run for this part")
            return 0
    use_locks = options.dry_run or check_locks(options)
    training = Training(
        planned,
        Path(options.output_dir),
        overwrite=options.overwrite,
        use_locks=use_locks,
        export=options.export,
        tensorboard=options.tensorboard,
        log=log,
        progress=not options.quiet,
        draw=None if options.no_figures else run_figures.draw,
        interruption=interrupts.interruption,
        deferred=interrupts.deferred,
    )
    if options.dry_run:
        for line in status_lines(training.status()):
            print(line)
        return 0
    data = planned[0].config.data
    log(
        f"{image_set.name}: {data.num_train:,} training, {data.num_validation:,} validation and "
        f"{counted(data.num_test, 'test image')} of {' x '.join(map(str, image_set.image_shape))}"
    )
    log(training_line(planned[0].config))
    if options.jobs > 1:
        if code := _train_in_jobs(options, words, prog, training, log):
            return code
    elif options.share:
        shared = training.share(wait=options.share == "wait")
        if shared.held:
            log(f"{counted(len(shared.held), 'run')} left to other processes")
        for error in shared.failed.values():
            refuse(prog, describe(error, IN_TRAIN))
        if shared.failed or shared.held:
            return EXIT_FAILED if shared.failed else 0
    else:
        try:
            training.run()
        finally:
            cleared.append(training.cleared)
    run = best_of(training.runs).directory
    for command in (["evaluate", str(run.parent)], ["predict", str(run), "path/to/images"]):
        log(f"next: {shlex.join(next_command(prog, command))}")
    return 0


def _train_in_jobs(
    options: argparse.Namespace,
    words: Sequence[str],
    prog: str,
    training: Any,
    log: Callable[[str], None],
) -> int:
    """Train the grid in processes of its own; returns the exit code."""
    from keras_ae.cli.jobs import WORKER_PROG, FolderProgress, run_workers, worker_command
    from keras_ae.runs.train import problems, summary

    def report(run: Any) -> list[str]:
        lines = [f"{run.directory}: {summary(run)}"]
        return lines + [f"warning: {line}" for line in problems(run)]

    number = max(1, min(options.jobs, len(training.left)))
    log(f"{counted(number, 'worker')} of {counted(options.threads, 'thread')} each")
    progress = FolderProgress(training.runs, training.epochs, report, log, not options.quiet)

    def show(line: str) -> None:
        line = line.replace(WORKER_PROG, prog)
        if not line.startswith(("***", f"{prog}: notice:")):  # said by this process
            print(line, file=sys.stderr, flush=True)

    code = run_workers(worker_command(words, options.threads), number, progress, show)
    return code if training.left else 0  # what a killed worker left, another one finished


def check_locks(options: argparse.Namespace) -> bool:
    """Whether run directories can be locked, where several processes may train the grid.

    Raises:
        RunError: they cannot, and the processes share all runs of the grid.
    """
    from keras_ae.runs.errors import Remedy, RunError
    from keras_ae.runs.lock import lock_problem

    shares = options.share or options.jobs > 1
    if not (shares or options.slice):
        return True
    problem = lock_problem(Path(options.output_dir))
    if problem and shares:
        raise RunError(problem, Remedy.DIVIDE)
    return problem is None


def best_of(runs: Sequence[Any]) -> Any:
    """The run with the lowest squared error on the test images, which every variant has."""
    return min(runs, key=lambda run: run.results.get("mse", math.inf) if run.finished else math.inf)


def next_command(prog: str, command: Sequence[str]) -> list[str]:
    """A command of the program, started as this one was.

    Args:
        prog: "keras-ae train", "python -m keras_ae train", or a script such as "train.py".
        command: The words of the command, such as `["evaluate", "runs/mnist"]`.
    """
    if not prog.endswith(".py"):
        return [*prog.split()[:-1], *command]
    if command[0] == "evaluate":  # the other script of a checkout
        return ["python", prog.replace("train", "evaluate"), *command[1:]]
    return ["python", "-m", "keras_ae", *command]


def training_line(config: Any) -> str:
    """How a run is trained, in one line."""
    request = config.request
    steps = -(-config.data.num_train // request.batch_size)
    epochs = (
        f"{counted(request.epochs, 'epoch')} of {counted(steps, 'step')} of "
        f"{counted(request.batch_size, 'image')}"
    )
    if request.patience is None:
        return f"training: {epochs}"
    return (
        f"training: at most {epochs}; early stopping after {counted(request.patience, 'epoch')} "
        "without improvement of the validation loss"
    )
