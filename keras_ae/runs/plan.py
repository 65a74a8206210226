"""Planning runs: check and resolve a request, and build the models."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_ae import data
from keras_ae.runs.anomalies import ThresholdOptions
from keras_ae.runs.averaging import check_average, optimizer_arguments
from keras_ae.runs.budget import Budget, bake_off_budget, default_budget
from keras_ae.runs.environment import device_name, versions
from keras_ae.runs.request import (
    DEFAULT_LEARNING_RATE,
    DEFAULT_SEED,
    RunConfig,
    RunData,
    RunRequest,
)
from keras_ae.runs.schedules import check_schedule, learning_rate_of
from keras_ae.variants import BAKE_OFF, VARIANTS

BAKE_OFF_LATENT_DIMS = (20, 2)
BAKE_OFF_HELD_OUT_CLASS = "1"
ALL_CLASSES = "all"
HeldOut = str | int | Sequence[str | int] | None
JIT = {"auto": "auto", "on": True, "off": False}


@dataclass(frozen=True, eq=False)
class DataOptions:
    """Which images to load, and how to find them again.

    Attributes:
        dataset: Name or path, as `keras_ae.data.load` takes it; None for MNIST or, where it
            cannot be loaded, `digits`.
        classes: As in `keras_ae.data.load`.
        binarize: As in `keras_ae.data.binarized`, or None.
        data_dir: As in `keras_ae.data.load`.
        preprocessing: Size and colors of the images.
        strict: Whether files that cannot be read as images are an error.
    """

    dataset: str | None = None
    classes: Sequence[str] | None = None
    binarize: str | None = None
    data_dir: str | None = None
    preprocessing: data.Preprocessing = data.Preprocessing()
    strict: bool = False

    def load(self, storage: data.Storage | None = None) -> tuple[data.ImageSet, str | None]:
        """The images, and a notice where no data set was named and it is not MNIST.

        Args:
            storage: Where the images are kept; None for memory, where they fit.

        Raises:
            DataError: they cannot be loaded.
        """
        notice = None
        options = {
            "data_dir": self.data_dir,
            "strict": self.strict,
            "storage": storage,
            **self.preprocessing.to_dict(),
        }
        if self.dataset is None:
            image_set, notice = data.load_default(**options)
        else:
            image_set = data.load(self.dataset, classes=self.classes, **options)
        if self.binarize:
            image_set = data.binarized(image_set, self.binarize)
        return image_set, notice

    @property
    def settings(self) -> dict[str, Any] | None:
        """The preprocessing as plain JSON data; None for the defaults."""
        defaults = self.preprocessing == data.Preprocessing()
        return None if defaults else self.preprocessing.to_dict()

    def source(self, image_set: data.ImageSet) -> str:
        """What `keras_ae.data.load` takes to find the images again: a name or absolute path."""
        dataset = self.dataset
        if dataset is None:  # the name without the suffix of `binarized`
            return image_set.name.removesuffix(f"_{self.binarize}")
        if dataset in data.DATASETS:
            return dataset
        return os.path.abspath(dataset) if os.path.exists(dataset) else dataset


class Splits:
    """The split of a data set for each held-out class.

    Only the last one stays in memory: one run for each class would need as many copies of the
    images.

    Args:
        image_set: The images.
        seed: Of the split.
    """

    def __init__(self, image_set: data.ImageSet, seed: int):
        self._image_set, self._seed = image_set, seed
        self._last: tuple[str | None, data.Split] | None = None

    def __call__(self, held_out_class: str | None) -> data.Split:
        if self._last is None or self._last[0] != held_out_class:
            self._last = None  # before the next one is made
            split = data.split(self._image_set, seed=self._seed, held_out_class=held_out_class)
            self._last = held_out_class, split
        return self._last[1]


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run that can be trained: its config, its images, and its model, built and compiled."""

    config: RunConfig
    splits: Splits
    model: Any

    @property
    def split(self) -> data.Split:
        return self.splits(self.config.request.held_out_class)


def plan_runs(
    image_set: data.ImageSet,
    images: DataOptions,
    variants: Sequence[str],
    *,
    latent_dim: int | None = None,
    held_out_class: HeldOut = None,
    arguments: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = DEFAULT_LEARNING_RATE,
    patience: int | None = None,
    lr_patience: int | None = None,
    schedule: str = "constant",
    ema: float | None = None,
    seed: int = DEFAULT_SEED,
    jit: str = "auto",
    false_positive_rate: float | None = None,
    anomaly_score: str | None = None,
    bake_off: bool = False,
) -> list[PlannedRun]:
    """Plan a run for each held-out class and variant. Nothing is written.

    Args:
        image_set: What `images.load()` returned.
        images: Where they come from.
        variants: Names in `keras_ae.VARIANTS`.
        latent_dim: Size of the code; None for each variant's own.
        held_out_class: Name or index of the held-out class; several of them; "all" for each class
            of the set; or None.
        arguments: Further arguments of the variants' constructors.
        epochs: Number of epochs; None for the protocol's or the default (see `budget`).
        batch_size: Images per step; None for the protocol's or the default.
        learning_rate: Of Adam.
        patience: Epochs without improvement before early stopping; None for the default.
        lr_patience: Epochs without improvement before the learning rate is reduced, or None.
        schedule: Of the learning rate: "constant" or "cosine" (see `schedules`).
        ema: Momentum of the moving average of the weights, or None (see `averaging`).
        seed: Of the split, the initial weights, the order and the noise.
        jit: "auto", "on" or "off".
        false_positive_rate, anomaly_score: See `anomalies.ThresholdOptions`.
        bake_off: Whether the bake-off's protocol is the default, as it is for the published sets.

    Raises:
        ValueError: a variant cannot be built so, or does not suit the images.
    """
    splits = Splits(image_set, seed)
    plan = functools.partial(
        _plan_class,
        splits=splits,
        arguments=dict(arguments or {}),
        latent_dim=latent_dim,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        lr_patience=lr_patience,
        schedule=schedule,
        ema=ema,
        seed=seed,
        jit=jit,
        asked=ThresholdOptions(false_positive_rate, anomaly_score),
        bake_off=bake_off,
    )
    return [
        run
        for index in held_out_indices(image_set, held_out_class)
        for run in plan(image_set, images, variants, index)
    ]


def held_out_indices(image_set: data.ImageSet, held_out_class: HeldOut) -> list[int | None]:
    """The index of each class that is held out, each once; `[None]` for none.

    Raises:
        DataError: the data set has no labels, or no such class.
    """
    if held_out_class is None:
        return [None]
    several = [held_out_class] if isinstance(held_out_class, str | int) else held_out_class
    indices: list[int | None] = []
    for each in several:
        if each == ALL_CLASSES and image_set.class_names and each not in image_set.class_names:
            indices += range(image_set.num_classes)
        else:
            indices.append(data.held_out_index(image_set, each))
    return list(dict.fromkeys(indices))


def _plan_class(
    image_set: data.ImageSet,
    images: DataOptions,
    variants: Sequence[str],
    held_out_index: int | None,
    *,
    splits: Splits,
    latent_dim: int | None,
    arguments: dict[str, Any],
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float,
    patience: int | None,
    lr_patience: int | None,
    schedule: str,
    ema: float | None,
    seed: int,
    jit: str,
    asked: ThresholdOptions,
    bake_off: bool,
) -> list[PlannedRun]:
    """The runs of `plan_runs` for one held-out class, by its index."""
    check_schedule(schedule, lr_patience)
    held_out = None if held_out_index is None else image_set.class_names[held_out_index]
    split = splits(held_out)
    num_train = len(split.train)
    if batch_size is not None and batch_size > num_train:
        raise ValueError(
            f"The batch size {batch_size} is larger than the {num_train} training images of "
            f"{image_set.name}. Use at most {num_train}, or leave it out."
        )
    run_data = RunData(
        source=images.source(image_set),
        classes=None if images.classes is None else list(images.classes),
        binarize=images.binarize,
        data_dir=images.data_dir and os.path.abspath(images.data_dir),
        image_shape=list(image_set.image_shape),
        preprocessing=images.settings,
        class_names=list(image_set.class_names),
        held_out_index=held_out_index,
        normal_class=image_set.normal_class,
        num_train=num_train,
        num_validation=len(split.validation),
        num_test=len(split.test),
    )
    if bake_off or images.source(image_set) in data.PUBLISHED:
        protocol = bake_off_budget(num_train)
        budget = Budget(epochs or protocol.epochs, batch_size or protocol.batch_size, patience)
    else:
        budget = default_budget(num_train, epochs=epochs, batch_size=batch_size)
    has_anomalous = run_data.is_anomalous(split.test.labels) is not None
    planned = []
    for variant in variants:
        keras.utils.set_random_seed(seed)  # of the initial weights
        model = build_model(variant, latent_dim, image_set, seed, arguments)
        model.set_preprocessing(images.settings)
        if model.fixed_epochs and (patience or lr_patience):
            raise ValueError(
                f"Early stopping and learning-rate reduction do not work with {variant}, which "
                "trains its layers one after another for a share of the epochs each."
            )
        if model.fixed_epochs and schedule != "constant":
            raise ValueError(
                f"The schedule {schedule} does not work with {variant}, which trains its layers "
                "one after another, each with an optimizer of its own."
            )
        threshold = asked.resolved(
            model,
            variant,
            split,
            has_anomalous=has_anomalous,
            holds_out_class=held_out is not None,
        )
        num_steps = -(-num_train // budget.batch_size)
        check_average(ema, variant, model, budget.epochs * num_steps)
        rate = learning_rate_of(schedule, learning_rate, budget.epochs, num_steps)
        optimizer = keras.optimizers.Adam(rate, **optimizer_arguments(ema))
        model.compile(optimizer, jit_compile=JIT[jit])
        request = RunRequest(
            variant=variant,
            latent_dim=model.latent_dim,
            arguments=arguments,
            dataset=image_set.name,
            fingerprint=image_set.fingerprint,
            held_out_class=held_out,
            epochs=budget.epochs,
            batch_size=budget.batch_size,
            learning_rate=learning_rate,
            patience=patience or (None if model.fixed_epochs else budget.patience),
            lr_patience=lr_patience,
            schedule=schedule,
            ema=ema,
            seed=seed,
            jit=jit,
            false_positive_rate=threshold.false_positive_rate,
            anomaly_score=threshold.score,
        )
        config = RunConfig(request, run_data, model.get_config(), versions(), device_name())
        planned.append(PlannedRun(RunConfig.from_dict(config.to_dict()), splits, model))
    return planned


def plan_bake_off(
    image_set: data.ImageSet,
    images: DataOptions,
    *,
    held_out_class: HeldOut = None,
    latent_dim: int | None = None,
    **options: Any,
) -> list[PlannedRun]:
    """Plan the bake-off: its nine variants with 20-D codes, and with 2-D codes without a class.

    Args:
        image_set, images, options: As in `plan_runs`.
        held_out_class: The class or classes to leave out of the 2-D runs; default: "1". Only those
            runs have a threshold.
        latent_dim: Size of the larger code; default: 20.
    """
    large, small = BAKE_OFF_LATENT_DIMS
    held_out = BAKE_OFF_HELD_OUT_CLASS if held_out_class is None else held_out_class
    names = list(BAKE_OFF)
    options["bake_off"] = True
    of_all: dict[str, Any] = {**options, "false_positive_rate": None, "anomaly_score": None}
    return [
        *plan_runs(image_set, images, names, latent_dim=latent_dim or large, **of_all),
        *plan_runs(image_set, images, names, latent_dim=small, held_out_class=held_out, **options),
    ]


def build_model(
    variant: str,
    latent_dim: int | None,
    image_set: data.ImageSet,
    seed: int,
    arguments: Mapping[str, Any],
) -> Any:
    """A variant for a data set, not compiled.

    Args:
        variant: Name in `keras_ae.VARIANTS`.
        latent_dim: Size of the code; None for the variant's own.
        image_set: The images.
        seed: Of the noise and the order.
        arguments: Further arguments of the constructor.

    Raises:
        ValueError: the variant does not have an argument, refuses a value, or needs other images.
    """
    preset = VARIANTS[variant]
    size = {} if latent_dim is None else {"latent_dim": latent_dim}
    labels = {}
    if preset.load().needs_labels:
        if len(image_set.class_names) < 2:
            raise ValueError(f"{variant} needs class labels, and {image_set.name} has none.")
        if image_set.normal_class is not None:
            raise ValueError(
                f"{variant} needs training images of several classes, and those of "
                f"{image_set.name} are all {image_set.normal_class}."
            )
        labels["num_classes"] = len(image_set.class_names)
    try:
        model = preset(image_shape=image_set.image_shape, seed=seed, **size, **labels, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(_cannot_build(variant, {**arguments, **size}, error)) from error
    if model.pixel_range != (0.0, 1.0):
        raise ValueError(
            f"output_activation {model.output_activation} is for images in [-1, 1], and those of "
            "the data sets are in [0, 1]: use it from your own code."
        )
    return model


def _cannot_build(variant: str, arguments: Mapping[str, Any], error: Exception) -> str:
    """Why a variant does not take some arguments, in one line."""
    known = set(VARIANTS[variant]().get_config())
    known -= {"name", "trainable", "dtype", "image_shape", "latent_dim", "seed", "num_classes"}
    for name in arguments:
        if name not in known | {"latent_dim"}:
            return f"{variant} has no argument {name!r}; it has {', '.join(sorted(known))}"
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{variant} cannot be built with {given}: {str(error).splitlines()[0]}"
