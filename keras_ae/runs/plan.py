"""Planning runs: check and resolve a request, and build the models."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_ae import data
from keras_ae.runs.anomalies import ThresholdOptions
from keras_ae.runs.averaging import check_average, optimizer_arguments
from keras_ae.runs.budget import Budget, bake_off_budget, default_budget
from keras_ae.runs.environment import device_name, num_threads, versions
from keras_ae.runs.randomness import own_seeds
from keras_ae.runs.request import (
    DEFAULT_LEARNING_RATE,
    DEFAULT_SEED,
    RunConfig,
    RunData,
    RunRequest,
)
from keras_ae.runs.schedules import CONSTANT, check_schedule, learning_rate_of
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
    """The split of a data set for each seed and held-out class.

    Only the last one stays in memory: one run for each class would need as many copies of the
    images.

    Args:
        image_set: The images.
    """

    def __init__(self, image_set: data.ImageSet):
        self._image_set = image_set
        self._last: tuple[tuple[int, str | None], data.Split] | None = None

    def __call__(self, seed: int, held_out_class: str | None) -> data.Split:
        """The split of a run with this seed, without this class in training."""
        if self._last is None or self._last[0] != (seed, held_out_class):
            self._last = None  # before the next one is made
            split = data.split(self._image_set, seed=seed, held_out_class=held_out_class)
            self._last = (seed, held_out_class), split
        return self._last[1]

    def outline(self, seed: int, held_out_class: str | None) -> data.Split:
        """The same split with images of one pixel: its labels and its numbers of images."""
        return data.split(self._one_pixel, seed=seed, held_out_class=held_out_class)

    @functools.cached_property
    def _one_pixel(self) -> data.ImageSet:
        names = ("train_images", "validation_images", "test_images")
        images = {name: getattr(self._image_set, name) for name in names}
        arrays = {
            name: each[:, :1, :1] for name, each in images.items() if isinstance(each, np.ndarray)
        }
        return dataclasses.replace(self._image_set, **arrays)  # images on disk are not read


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run that can be trained: its config and its images, and how to build its model.

    Attributes:
        config: Everything that is recorded of the run.
        splits: The images by seed and held-out class.
        recipe: Builds the model.
    """

    config: RunConfig
    splits: Splits
    recipe: Recipe

    @property
    def split(self) -> data.Split:
        request = self.config.request
        return self.splits(request.seed, request.held_out_class)

    def build(self) -> Any:
        """The model with its initial weights, compiled."""
        request, data_ = self.config.request, self.config.data
        model = self.recipe.build(request.seed)
        model.set_preprocessing(data_.preprocessing)
        num_steps = -(-data_.num_train // request.batch_size)
        rate = learning_rate_of(request.schedule, request.learning_rate, request.epochs, num_steps)
        optimizer = keras.optimizers.Adam(rate, **optimizer_arguments(request.ema))
        model.compile(optimizer, jit_compile=JIT[request.jit])
        return model


@dataclass(eq=False)
class Recipe:
    """How to build a variant for a data set, with any seed.

    A grid has many runs that differ in the seed or the held-out class only. One model checks and
    describes all of them, and the first of them that is trained takes it.

    Attributes:
        variant: Name in `keras_ae.VARIANTS`.
        latent_dim: Size of the code; None for the variant's own.
        arguments: Further arguments of the constructor.
        image_set: The images.
    """

    variant: str
    latent_dim: int | None
    arguments: Mapping[str, Any]
    image_set: data.ImageSet
    _seed: int | None = None
    _first: Any = None
    _kept: list[Any] = field(default_factory=list)

    def check(self, seed: int) -> Any:
        """A model for questions about the variant; that of the first seed asked for.

        Raises:
            ValueError: as `build_model`.
        """
        if self._first is None:
            self._seed, self._first = seed, self._new(seed)
            self._kept = [self._first]
        return self._first

    def build(self, seed: int) -> Any:
        """A new model with its initial weights, not compiled."""
        if self._kept and seed == self._seed:
            self._first = None
            return self._kept.pop()
        return self._new(seed)

    def _new(self, seed: int) -> Any:
        with own_seeds(seed):  # of the initial weights
            return build_model(self.variant, self.latent_dim, self.image_set, seed, self.arguments)


@dataclass(frozen=True)
class Grid:
    """The runs of a grid: one for each combination.

    Attributes:
        variants: Names in `keras_ae.VARIANTS`.
        latent_dims: Sizes of the code; None for each variant's own.
        arguments: Further arguments of the variants' constructors, one dict for each run.
        held_out_class: Name or index of the held-out class; several of them; "all" for each class
            of the set; or None.
        seeds: Of the split, the initial weights, the order and the noise.
    """

    variants: Sequence[str]
    latent_dims: Sequence[int | None] = (None,)
    arguments: Sequence[Mapping[str, Any]] = ({},)
    held_out_class: HeldOut = None
    seeds: Sequence[int] = (DEFAULT_SEED,)


def plan_runs(
    image_set: data.ImageSet,
    images: DataOptions,
    grid: Grid,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = DEFAULT_LEARNING_RATE,
    patience: int | None = None,
    lr_patience: int | None = None,
    schedule: str = CONSTANT,
    ema: float | None = None,
    jit: str = "auto",
    false_positive_rate: float | None = None,
    anomaly_score: str | None = None,
    bake_off: bool = False,
) -> list[PlannedRun]:
    """Plan the runs of a grid: all variants of one seed, then those of the next. Writes nothing.

    Args:
        image_set: What `images.load()` returned.
        images: Where they come from.
        grid: Which runs.
        epochs: Number of epochs; None for the protocol's or the default (see `budget`).
        batch_size: Images per step; None for the protocol's or the default.
        learning_rate: Of Adam.
        patience: Epochs without improvement before early stopping; None for the default.
        lr_patience: Epochs without improvement before the learning rate is reduced, or None.
        schedule: Of the learning rate: "constant" or "cosine" (see `schedules`).
        ema: Momentum of the moving average of the weights, or None (see `averaging`).
        jit: "auto", "on" or "off".
        false_positive_rate, anomaly_score: See `anomalies.ThresholdOptions`.
        bake_off: Whether the bake-off's protocol is the default, as it is for the published sets.

    Returns:
        The runs, each once.

    Raises:
        ValueError: a variant cannot be built so, or does not suit the images.
    """
    check_schedule(schedule, lr_patience)
    splits = Splits(image_set)
    recipes = [
        Recipe(variant, latent_dim, dict(arguments), image_set)
        for latent_dim in grid.latent_dims
        for arguments in grid.arguments
        for variant in grid.variants
    ]
    installed, device = versions(), device_name()
    planned: dict[str, PlannedRun] = {}
    for seed in grid.seeds:
        for index in held_out_indices(image_set, grid.held_out_class):
            outline = _outline(image_set, images, splits, seed, index)
            if batch_size is not None and batch_size > (most := outline.data.num_train):
                raise ValueError(
                    f"The batch size {batch_size} is larger than the {most} training images of "
                    f"{image_set.name}. Use at most {most}, or leave it out."
                )
            budget = _budget(outline.data, epochs, batch_size, patience, bake_off)
            for recipe in recipes:
                model = recipe.check(seed)
                _check_training(recipe.variant, model, patience, lr_patience, schedule)
                threshold = _threshold(
                    ThresholdOptions(false_positive_rate, anomaly_score), recipe, outline, splits
                )
                num_steps = -(-outline.data.num_train // budget.batch_size)
                check_average(ema, recipe.variant, model, budget.epochs * num_steps)
                request = RunRequest(
                    variant=recipe.variant,
                    latent_dim=model.latent_dim,
                    arguments=dict(recipe.arguments),
                    dataset=image_set.name,
                    fingerprint=image_set.fingerprint,
                    held_out_class=outline.held_out_class,
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
                model.set_preprocessing(images.settings)
                described = {**model.get_config(), "seed": seed}
                config = RunConfig(
                    request, outline.data, described, installed, device, num_threads()
                )
                config = RunConfig.from_dict(config.to_dict())
                _add(planned, PlannedRun(config, splits, recipe))
    return list(planned.values())


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


@dataclass(frozen=True)
class _Outline:
    """The images of a seed and held-out class, without their pixels."""

    data: RunData
    held_out_class: str | None
    seed: int
    has_anomalous: bool


def _outline(
    image_set: data.ImageSet,
    images: DataOptions,
    splits: Splits,
    seed: int,
    held_out_index: int | None,
) -> _Outline:
    held_out = None if held_out_index is None else image_set.class_names[held_out_index]
    split = splits.outline(seed, held_out)
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
        num_train=len(split.train),
        num_validation=len(split.validation),
        num_test=len(split.test),
    )
    has_anomalous = run_data.is_anomalous(split.test.labels) is not None
    return _Outline(run_data, held_out, seed, has_anomalous)


def _budget(
    run_data: RunData,
    epochs: int | None,
    batch_size: int | None,
    patience: int | None,
    bake_off: bool,
) -> Budget:
    num_train = run_data.num_train
    if bake_off or run_data.source in data.PUBLISHED:
        protocol = bake_off_budget(num_train)
        return Budget(epochs or protocol.epochs, batch_size or protocol.batch_size, patience)
    return default_budget(num_train, epochs=epochs, batch_size=batch_size)


def _check_training(
    variant: str, model: Any, patience: int | None, lr_patience: int | None, schedule: str
) -> None:
    if model.fixed_epochs and (patience or lr_patience):
        raise ValueError(
            f"Early stopping and learning-rate reduction do not work with {variant}, which "
            "trains its layers one after another for a share of the epochs each."
        )
    if model.fixed_epochs and schedule != CONSTANT:
        raise ValueError(
            f"The schedule {schedule} does not work with {variant}, which trains its layers "
            "one after another, each with an optimizer of its own."
        )


def _threshold(
    asked: ThresholdOptions, recipe: Recipe, outline: _Outline, splits: Splits
) -> ThresholdOptions:
    if asked == ThresholdOptions():
        return asked
    return asked.resolved(
        recipe.check(outline.seed),
        recipe.variant,
        splits(outline.seed, outline.held_out_class),
        has_anomalous=outline.has_anomalous,
        holds_out_class=outline.held_out_class is not None,
    )


def _add(planned: dict[str, PlannedRun], run: PlannedRun) -> None:
    """Add a run by its folder, unless it is there already.

    Raises:
        ValueError: another run of the grid has the same folder.
    """
    before = planned.setdefault(run.config.folder, run).config.request
    if different := before.difference(run.config.request):
        name, first, second = different
        raise ValueError(
            f"Two runs of the grid would have the same folder {run.config.folder}: {name} is "
            f"{json.dumps(first)} in one and {json.dumps(second)} in the other."
        )


def plan_bake_off(
    image_set: data.ImageSet,
    images: DataOptions,
    grid: Grid,
    *,
    false_positive_rate: float | None = None,
    anomaly_score: str | None = None,
    **options: Any,
) -> list[PlannedRun]:
    """Plan the bake-off: its nine variants with 20-D codes, and with 2-D codes without a class.

    Args:
        image_set, images, options: As in `plan_runs`.
        grid: Its variants are replaced. `held_out_class` is left out of the 2-D runs (None: "1");
            `latent_dims` are the sizes of the larger code (None: 20).
        false_positive_rate, anomaly_score: Of the 2-D runs; the others have no threshold.
    """
    large, small = BAKE_OFF_LATENT_DIMS
    held_out = BAKE_OFF_HELD_OUT_CLASS if grid.held_out_class is None else grid.held_out_class
    names = list(BAKE_OFF)
    sizes = [large if size is None else size for size in grid.latent_dims]
    of_all = dataclasses.replace(grid, variants=names, latent_dims=sizes, held_out_class=None)
    in_2d = dataclasses.replace(grid, variants=names, latent_dims=[small], held_out_class=held_out)
    threshold = {"false_positive_rate": false_positive_rate, "anomaly_score": anomaly_score}
    return [
        *plan_runs(image_set, images, of_all, bake_off=True, **options),
        *plan_runs(image_set, images, in_2d, bake_off=True, **threshold, **options),
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
