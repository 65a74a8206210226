"""Training speed: compared with PyTorch, plain Keras, the reference pipeline and the hardware.

    python -m benchmarks.training            (or: make bench)

The contenders of a comparison run alternately, each in its own process: in each round, each runs an
untimed epoch and then a timed one, so that other load on the machine slows all of them. Ratios are
computed per round. Of PyTorch's forms of a network (eager, channels-last and `torch.compile`), the
one with the lowest median epoch time counts. Needs the `bench` extra, and for `torch.compile` a C++
compiler. Takes about ten minutes on two cores. Writes its section of `benchmarks/results.md`.

For a short trial that writes nothing:

    python -m benchmarks.training --variants deep convolutional --rounds 1 --images 1024
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import BATCH_SIZE, prepare_images
from benchmarks.report import machine, put_section, table
from benchmarks.worker import Worker


@dataclass(frozen=True)
class Goal:
    """The range that the median of a number should be in."""

    low: float | None = None
    high: float | None = None

    def judge(self, value: float) -> str:
        """The goal in words, and whether `value` misses it."""
        if self.low is None:
            words, met = f"at most {self.high}", value <= self.high
        elif self.high is None:
            words, met = f"at least {self.low}", value >= self.low
        else:
            words, met = f"{self.low} to {self.high}", self.low <= value <= self.high
        return words if met else f"{words} (missed)"


@dataclass(frozen=True)
class Comparison:
    """A variant to compare with PyTorch.

    Args:
        num_images: Images per epoch: an epoch takes about a second on two cores.
        forms: PyTorch's forms of the network.
        ratio: Goal of the epoch time of PyTorch divided by that of the variant.
        share: Goal of the share of the rate of a large product, if there is one.
    """

    num_images: int
    forms: tuple[str, ...]
    ratio: Goal
    share: Goal | None = None


DENSE = ("eager", "compiled")
CONVOLUTIONAL = ("eager", "channels-last", "compiled")
COMPARISONS = {
    "deep": Comparison(27_500, DENSE, Goal(1.8), Goal(0.65)),
    "vae": Comparison(27_500, DENSE, Goal(1.8), Goal(0.65)),
    "iwae": Comparison(12_800, DENSE, Goal(1.8), Goal(0.65)),
    "convolutional": Comparison(4_096, CONVOLUTIONAL, Goal(1.6)),
    "conv_vae": Comparison(4_096, CONVOLUTIONAL, Goal(1.6)),
    "conv_vq_vae": Comparison(4_096, CONVOLUTIONAL, Goal(1.6)),
    "recurrent": Comparison(4_096, DENSE, Goal(1.6)),  # "compiled": PyTorch's own LSTM as it is
}

NUM_IMAGES = 27_500  # of the comparisons below
DEEP = {"contender": "variant", "name": "deep"}
WATCHED = {**DEEP, "validation": True}
SCRIPT = {"contender": "train_script"}
PLAIN = {"contender": "plain_keras"}
REFERENCE = {"contender": "reference_pipeline"}
PRODUCT = {"contender": "matrix_product"}
OPERATIONS_OF_PRODUCT = 2.0 * 2048**3
# Contenders that run alternately; then rows: a label, the two that it compares and the goal.
GROUPS = [
    ([PLAIN, DEEP], [("plain Keras fit / deep", 0, 1, Goal(1.8))]),
    (
        [{**PLAIN, "validation": True}, WATCHED, SCRIPT],
        [
            ("plain Keras fit / deep, both with validation", 0, 1, Goal(1.8)),
            ("fit with validation and a callback / train.py's epoch", 1, 2, Goal(0.95, 1.05)),
        ],
    ),
    (
        [DEEP, *({**DEEP, "name": name} for name in ("sparse", "denoising", "vae", "vq_vae"))],
        [
            ("sparse / deep", 1, 0, Goal(high=1.25)),
            ("denoising / deep", 2, 0, Goal(high=1.25)),
            ("vae / deep", 3, 0, Goal(high=1.25)),
            ("vq_vae / deep", 4, 0, Goal(high=1.5)),
        ],
    ),
    ([REFERENCE, DEEP], [("reference pipeline / deep", 0, 1, Goal(6.0))]),
]
ROUNDS_OF_REFERENCE = 2  # at most: it is slow


def alternately(workers: list[Worker], rounds: int) -> list[list[float]]:
    """Seconds per epoch of workers that run alternately: `rounds` values for each worker."""
    seconds = [[worker.epoch()["seconds"] for worker in workers] for _ in range(rounds)]
    return [list(values) for values in zip(*seconds, strict=True)]


def spread(values: list[float], digits: int = 2) -> str:
    """min / median / max."""
    return " / ".join(
        f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )


def ratios(slower: list[float], faster: list[float]) -> list[float]:
    return [a / b for a, b in zip(slower, faster, strict=True)]


def compare_with_pytorch(
    name: str, facts: dict, product: Worker, rounds: int, num_images: int | None
) -> tuple[list[str], list[str], list[str]]:
    """The rows of a variant in both tables, and what could not be measured."""
    plan = COMPARISONS[name]
    num_images = num_images or plan.num_images
    common = {"name": name, "num_images": num_images}
    problems = []
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Worker({"contender": "variant", **common}))
        theirs = {}
        for form in plan.forms:
            specification = {"contender": "torch_training", "form": form, **common}
            try:
                theirs[form] = stack.enter_context(Worker(specification))
            except RuntimeError as error:
                if form != "compiled":
                    raise
                problems.append(f"`torch.compile` of `{name}` is not available: {error}.")
        large, short, *others = alternately([product, ours, *theirs.values()], rounds)
    long = dict(zip(theirs, others, strict=True))
    fastest = min(long, key=lambda form: statistics.median(long[form]))
    ratio = ratios(long[fastest], short)

    def images_per_second(seconds: list[float] | None) -> str:
        return f"{num_images / statistics.median(seconds):,.0f}" if seconds else "—"

    rates = [facts["operations"] * num_images / each for each in short]
    share = ratios(rates, [OPERATIONS_OF_PRODUCT / each for each in large])
    speed = [
        f"`{name}`", spread(ratio), plan.ratio.judge(statistics.median(ratio)), fastest,
        images_per_second(short), *(images_per_second(long.get(form)) for form in CONVOLUTIONAL),
        f"{facts['num_parameters']:,}", f"{num_images:,}",
    ]  # fmt: skip
    operations = [
        f"`{name}`", f"{facts['operations'] / 1e6:.2f}", spread([r / 1e9 for r in rates], 0),
        spread([OPERATIONS_OF_PRODUCT / each / 1e9 for each in large], 0), spread(share),
        plan.share.judge(statistics.median(share)) if plan.share else "—",
    ]  # fmt: skip
    print("  ".join([*speed, *operations[1:], *problems]), flush=True)
    return speed, operations, problems


def pytorch_tables(names: list[str], rounds: int, num_images: int | None) -> list[str]:
    with Worker({"contender": "networks", "names": names}) as worker:
        facts = worker.facts
    with Worker(dict(PRODUCT)) as product:
        results = [
            compare_with_pytorch(name, facts[name], product, rounds, num_images) for name in names
        ]
    return [
        "Against a bare PyTorch loop: the epoch time of PyTorch's fastest form, divided by that of "
        "the variant. The networks have the same parameters, and with the same weights the same "
        "loss and gradients.",
        table(
            ["variant", "ratio", "goal", "fastest form", "variant: images/s", "PyTorch: eager",
             "channels-last", "compiled", "parameters", "images"],
            [speed for speed, _, _ in results],
        ),
        *(problem for _, _, problems in results for problem in problems),
        "Operations of a training step, from the shapes of the layers, and their rate in an epoch "
        "of the variant; beside it the rate of a product of 2048 x 2048 float32 matrices in the "
        "same rounds.",
        table(
            ["variant", "MFLOP/image", "GFLOP/s", "GFLOP/s of the product", "share", "goal"],
            [operations for _, operations, _ in results],
        ),
    ]  # fmt: skip


def other_table(rounds: int, num_images: int | None) -> list[str]:
    """Plain Keras, the program, the other variants and the reference, compared with `deep`."""
    rows = []
    for specifications, claims in GROUPS:
        most = min(rounds, ROUNDS_OF_REFERENCE) if REFERENCE in specifications else rounds
        with contextlib.ExitStack() as stack:
            seconds = alternately(
                [
                    stack.enter_context(Worker({**each, "num_images": num_images or NUM_IMAGES}))
                    for each in specifications
                ],
                most,
            )
        for label, slower, faster, goal in claims:
            ratio = ratios(seconds[slower], seconds[faster])
            rows.append(
                [label, spread(ratio), spread(seconds[slower]), spread(seconds[faster])]
                + [goal.judge(statistics.median(ratio))]
            )
            print("  ".join(rows[-1]), flush=True)
    return [
        f"Other comparisons, {num_images or NUM_IMAGES:,} images:",
        table(["comparison", "ratio", "s/epoch", "s/epoch", "goal"], rows),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=COMPARISONS,
        metavar="NAME",
        help="compare only these variants with PyTorch; prints the tables and writes them only "
        f"with --output. One or more of: {', '.join(COMPARISONS)}",
    )
    parser.add_argument(
        "--images", type=int, help=f"images per epoch, >= {BATCH_SIZE}; default: by variant"
    )
    parser.add_argument("--output", type=Path, help="default: benchmarks/results.md")
    options = parser.parse_args()
    if options.rounds < 1 or (options.images or BATCH_SIZE) < BATCH_SIZE:
        parser.error(f"--rounds must be >= 1 and --images >= {BATCH_SIZE}")
    with tempfile.TemporaryDirectory() as folder:
        what = prepare_images(f"{folder}/images.npy")
        names = options.variants or list(COMPARISONS)
        parts = pytorch_tables(names, options.rounds, options.images)
        if not options.variants:
            parts += other_table(options.rounds, options.images)
    text = "\n\n".join(
        [
            f"{machine()} Epochs over {what}, 28 x 28, batch {BATCH_SIZE}; {options.rounds} "
            "rounds, running alternately; min / median / max, or the median.",
            *parts,
        ]
    )
    if options.output or not options.variants:
        put_section(options.output or Path("benchmarks/results.md"), "Training", text)
    print(text)


if __name__ == "__main__":
    main()
