"""Time to quality: epochs and seconds until the presets reach their published test loss on MNIST.

    python -m benchmarks.time_to_quality

Constant learning rate: one training of 60 epochs; the test loss after each epoch says when the
published one is reached. Cosine: the rate reaches 0 in the last epoch, so every number of epochs is
a training of its own, from the shortest on. Seconds count from the start of `fit`, compilation
included, without the tests. Run it on an idle machine. Writes its section of
`benchmarks/results.md`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import keras

from benchmarks.report import machine, put_section, table
from keras_ae import data
from keras_ae.evaluation.comparisons.reconstruction import sampled_bce
from keras_ae.evaluation.published import LEARNING_RATE, PUBLISHED
from keras_ae.runs.budget import BAKE_OFF_BATCH_SIZE as BATCH_SIZE
from keras_ae.runs.budget import BAKE_OFF_EPOCHS as EPOCHS
from keras_ae.runs.schedules import CONSTANT, COSINE, learning_rate_of
from keras_ae.variants import BAKE_OFF, VARIANTS

LADDER = (5, 10, 15, 20, 25, 30, 40, EPOCHS)
COSINE_RATE = 1e-2
OTHER_RATES = {"vq_vae": 3e-2}  # with 1e-2 it is slower
GOAL = "Goals: the published loss of the dense nets in at most 25 epochs; `deep` after 60: 62.5."


class TestLoss(keras.callbacks.Callback):
    """The test loss after each epoch, and the seconds of the training until then."""

    def __init__(self, images: Any):
        super().__init__()
        self.images = images
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._start)
        self.losses.append(published_loss(self.model, self.images))
        self._start += time.perf_counter() - now

    def reached(self, loss: float) -> tuple[int, float] | None:
        """The first epoch with a test loss of at most `loss`, counted from 1, and its seconds."""
        for epoch, value in enumerate(self.losses):
            if value <= loss:
                return epoch + 1, self.seconds[epoch]
        return None


def published_loss(model: Any, images: Any) -> float:
    """BCE in nats/image as it was published: of sampled codes where they are Gaussian."""
    posterior = model.posterior(images)
    if posterior is not None:
        return float(sampled_bce(model, images, images, posterior, seed=0).mean())
    return model.evaluate(images, verbose=0, return_dict=True)["reconstruction_loss"]


def train(name: str, parts: Any, schedule: str, epochs: int, rate: float, seed: int) -> TestLoss:
    """Train a preset as the bake-off does, but for the learning rate."""
    keras.utils.set_random_seed(seed)
    model = VARIANTS[name](seed=seed)
    num_steps = -(-len(parts.train.images) // BATCH_SIZE)
    model.compile(keras.optimizers.Adam(learning_rate_of(schedule, rate, epochs, num_steps)))
    watch = TestLoss(parts.test.images)
    model.fit(
        parts.train.images, batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[watch]
    )
    return watch


def measure(name: str, parts: Any, rate: float, seed: int) -> list:
    """A row of the table."""
    published = PUBLISHED["mnist"]["reconstruction"][name]
    constant = train(name, parts, CONSTANT, EPOCHS, LEARNING_RATE, seed)
    row = [f"`{name}`", published, *cells(constant.reached(published)), last(constant)]
    if VARIANTS[name].load().fixed_epochs:  # trained in stages, each with its own optimizer
        return [*row, "–", "–", "–"]
    reached = None
    for epochs in LADDER:
        run = train(name, parts, COSINE, epochs, rate, seed)
        print(name, epochs, last(run), flush=True)
        if run.losses[-1] <= published:
            reached = epochs, run.seconds[-1]
            break
    if epochs != EPOCHS:
        run = train(name, parts, COSINE, EPOCHS, rate, seed)
    return [*row, *cells(reached), last(run)]


def rates(options: argparse.Namespace) -> str:
    """The rates of the cosine in words."""
    if options.learning_rate:
        return f"{options.learning_rate:g}"
    others = [f"{name}: {rate:g}" for name, rate in OTHER_RATES.items()]
    return f"{COSINE_RATE:g} ({', '.join(others)})"


def cells(reached: tuple[int, float] | None) -> list[str]:
    return ["not reached", "–"] if reached is None else [str(reached[0]), f"{reached[1]:.0f}"]


def last(watch: TestLoss) -> str:
    return f"{watch.losses[-1]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", nargs="+", choices=BAKE_OFF, default=BAKE_OFF)
    parser.add_argument(
        "--learning-rate", type=float, help="of the cosine; default: 1e-2, of vq_vae 3e-2"
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    options = parser.parse_args()
    parts = data.split(data.load("mnist"))
    rows = []
    for name in options.variants:
        rate = options.learning_rate or OTHER_RATES.get(name, COSINE_RATE)
        rows.append(measure(name, parts, rate, options.seed))
        print("  ".join(map(str, rows[-1])), flush=True)
    header = ["preset", "published"]
    for words in ("constant", "cosine"):
        header += [f"{words}: epochs", "seconds", f"loss after {EPOCHS}"]
    text = (
        f"{machine()} MNIST, test loss (BCE in nats/image; of sampled codes where they are "
        f"Gaussian), batch {BATCH_SIZE}, seed {options.seed}. "
        f"Constant: Adam with {LEARNING_RATE:g}. Cosine: "
        f"warm-up of two epochs or a tenth to {rates(options)}, then half a cosine to 0; "
        f"the shortest training of {', '.join(map(str, LADDER))} epochs that reaches the published "
        f"loss. {GOAL}\n\n" + table(header, rows)
    )
    put_section(options.output, "Time to quality", text)
    print(text)


if __name__ == "__main__":
    main()
