"""`config.json`: the request of a run, the location of its images, versions and device.

`RunConfig` carries a request from the command line to `config.json` and to the evaluation. No other
module uses its keys as strings.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from keras_ae.files import json_digest, safe_name

if TYPE_CHECKING:
    import numpy as np

    from keras_ae.data.preprocessing import Preprocessing

DEFAULT_LEARNING_RATE = 1e-3
DEFAULT_SEED = 42
DEFAULT_EMA = 0.995
DEFAULT_FALSE_POSITIVE_RATE = 0.01
MAX_DEPTH = 100  # of nested lists and dicts, well below Python's recursion limit


class ConfigError(ValueError):
    """A config whose content is unusable; `problem` says what and where."""

    def __init__(self, problem: str):
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class RunRequest:
    """Everything that decides the numbers of a run.

    Attributes:
        variant: Name in `keras_ae.VARIANTS`.
        latent_dim: Size of the latent code, >= 1.
        dataset: Name of the data set, as in a report.
        fingerprint: `ImageSet.fingerprint`, 16 hex digits.
        epochs: Number of epochs, >= 1.
        batch_size: Images per step, >= 1.
        learning_rate: Of Adam, > 0.
        seed: Of the split, the initial weights, the order and the noise, >= 0.
        arguments: Further arguments of the variant's constructor; plain JSON values.
        held_out_class: Name of the held-out class, or None.
        patience: Epochs without improvement before early stopping, or None.
        lr_patience: Epochs without improvement before the learning rate is reduced, or None.
        jit: "auto", "on" or "off": XLA compilation.
        schedule: "constant" or "cosine", see `schedules.learning_rate_of`.
        ema: Momentum of the moving average of the weights that the results are those of, in (0, 1);
            None for the weights themselves.
        false_positive_rate: The rate that the threshold is fitted for. None for 1% where the run
            has anomalous test images; elsewhere there is no threshold.
        anomaly_score: The score of the threshold; None for the default (see
            `scores.threshold_score`).
    """

    variant: str
    latent_dim: int
    dataset: str
    fingerprint: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    arguments: dict[str, Any]
    held_out_class: str | None
    patience: int | None = None
    lr_patience: int | None = None
    jit: str = "auto"
    schedule: str = "constant"
    ema: float | None = None
    false_positive_rate: float | None = None
    anomaly_score: str | None = None

    @classmethod
    def from_dict(cls, content: Any) -> RunRequest:
        """Read a request from plain JSON data.

        Unknown keys are ignored; keys that older versions did not write get their default.

        Raises:
            ConfigError: a key is missing, or its value has the wrong type.
        """
        return _read(cls, content, "request")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `from_dict` makes an equal request."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @property
    def name(self) -> str:
        """The name of the run directory: `vae-20d-seed42`, `vae-2d-without-1-beta-4-seed42`."""
        parts = [self.variant, f"{self.latent_dim}d"]
        if self.held_out_class is not None:
            parts.append(f"without-{self.held_out_class}")
        parts += [f"{name}-{value}" for name, value in self.arguments.items()]
        return safe_name("-".join([*parts, f"seed{self.seed}"]))

    def difference(self, other: RunRequest) -> tuple[str, Any, Any] | None:
        """The first field in which `other` differs: its name, our value, the other's value."""
        for each in dataclasses.fields(self):
            ours, theirs = getattr(self, each.name), getattr(other, each.name)
            if ours != theirs:
                return each.name, ours, theirs
        return None


@dataclass(frozen=True)
class RunData:
    """Where the images of a run come from, and how many there are.

    Attributes:
        source: Name of a data set or an absolute path. May be changed when the data moves.
        classes: Names of the classes to take, or None for all.
        binarize: "threshold", "bernoulli" or None.
        data_dir: Folder of prepared data sets, or None. May be changed when the data moves.
        image_shape: `[height, width]` or `[height, width, channels]`.
        class_names: One name for each class; empty without labels.
        held_out_index: Index of the held-out class in `class_names`, or None.
        num_train, num_validation, num_test: Number of images.
        preprocessing: `keras_ae.data.Preprocessing.to_dict()`; None for the defaults.
        normal_class: `ImageSet.normal_class`: the only class in training, or None.
    """

    source: str
    class_names: list[str]
    num_train: int
    num_validation: int
    num_test: int
    data_dir: str | None
    held_out_index: int | None
    classes: list[str] | None = None
    binarize: str | None = None
    image_shape: list[int] = field(default_factory=list)
    preprocessing: dict[str, Any] | None = None
    normal_class: str | None = None

    @classmethod
    def from_dict(cls, content: Any) -> RunData:
        """Read from plain JSON data.

        Raises:
            ConfigError: a key is missing, or its value has the wrong type.
        """
        read = _read(cls, content, "data")
        try:
            read.settings()
        except ValueError as error:
            raise ConfigError(f"its data has no usable preprocessing: {error}"[:200]) from error
        return read

    def is_anomalous(self, labels: np.ndarray | None) -> np.ndarray | None:
        """Which labels are of a class that is not in training, a mask; None where there is none."""
        if labels is None:
            return None
        if self.held_out_index is not None:
            return labels == self.held_out_index
        if self.normal_class is not None:
            return labels != self.class_names.index(self.normal_class)
        return None

    def settings(self) -> Preprocessing:
        """`preprocessing` as an object, with the defaults where it is None."""
        from keras_ae.data.preprocessing import Preprocessing  # imports NumPy, `--help` does not

        return Preprocessing.from_dict(self.preprocessing)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `from_dict` makes an equal object."""
        return dataclasses.asdict(self)

    def without_location(self) -> RunData:
        """The same data without the location of the images."""
        return dataclasses.replace(self, source="", data_dir=None)


@dataclass(frozen=True)
class RunConfig:
    """The content of `config.json`: the request and its resolved settings.

    Attributes:
        request: What decides the numbers.
        data: Where the images come from.
        model: `get_config()` of the model, as plain JSON data.
        versions: Version by package.
        device: The device that the run was trained on.
        threads: Number of threads of an operation on the CPU, on which rounding errors depend;
            None in runs of older versions.
    """

    request: RunRequest
    data: RunData
    model: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    device: str = ""
    threads: int | None = None

    @classmethod
    def from_dict(cls, content: Any) -> RunConfig:
        """Read from plain JSON data, such as the content of `config.json`.

        Raises:
            ConfigError: a part is missing or unusable; names it.
        """
        content = _dict(content, "content")
        _check_depth(content)
        model = _dict(content.get("model", {}), "model")
        versions = _dict(content.get("versions", {}), "versions")
        for name, version in versions.items():
            if not isinstance(version, str):
                raise ConfigError(f"its versions have no usable {name!r}: {version!r}"[:200])
        threads = content.get("threads")
        if not _has_type(threads, int | type(None)):
            raise ConfigError(f"no usable threads: {threads!r}"[:200])
        try:
            json.dumps(content, allow_nan=False)
        except ValueError as error:
            raise ConfigError(f"it has a number that JSON does not know ({error})") from error
        return cls(
            RunRequest.from_dict(content.get("request")),
            RunData.from_dict(content.get("data")),
            model,
            versions,
            str(content.get("device", "")),
            threads,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `from_dict` makes an equal config."""
        return {
            "request": self.request.to_dict(),
            "data": self.data.to_dict(),
            "model": json.loads(json.dumps(self.model)),
            "versions": self.versions,
            "device": self.device,
            "threads": self.threads,
        }

    @property
    def on_cpu(self) -> bool:
        """Whether the run was trained without a GPU."""
        return self.device.startswith("CPU")

    @property
    def folder(self) -> str:
        """The run directory, relative to the output folder: `mnist/vae-20d-seed42`."""
        data_set = "-".join([Path(self.request.dataset).name, *(self.data.classes or [])])
        return f"{data_set.replace(' ', '_')}/{self.request.name}"

    def difference(self, other: RunConfig) -> str | None:
        """How the images and the model of `other` differ, in one line; or None.

        The location of the images is ignored, and so are arguments that older runs do not have,
        the normal class among them. So is the number of test images, which no training depends on.
        """
        ours, theirs = self.data.without_location(), other.data.without_location()
        for each in dataclasses.fields(RunData):
            before, now = getattr(ours, each.name), getattr(theirs, each.name)
            added = each.name == "num_test" or (each.name == "normal_class" and before is None)
            if before != now and not added:
                return f"other data: {each.name} is {before!r} instead of {now!r}"
        return model_difference(self.model, other.model)

    def other_versions(self, now: Mapping[str, str]) -> str:
        """The versions that differ from `now`: `keras 3.14.0, numpy 2.3.1`; empty if none."""
        return ", ".join(
            f"{name} {self.versions[name]}"
            for name in now
            if name in self.versions and self.versions[name] != now[name]
        )

    def data_options(self) -> list[str]:
        """The command-line options that name the images of this run."""
        options = ["--dataset", self.data.source]
        options += ["--classes", *self.data.classes] if self.data.classes else []
        options += ["--binarize", self.data.binarize] if self.data.binarize else []
        options += _preprocessing_options(self.data.settings())
        options += ["--data-dir", self.data.data_dir] if self.data.data_dir else []
        return options

    def command(self) -> list[str]:
        """The options of `keras-ae train` that train this run."""
        request = self.request
        options = ["--variant", request.variant, *self.data_options()]
        options += ["--latent-dim", str(request.latent_dim)]
        if request.held_out_class is not None:
            options += ["--held-out-class", request.held_out_class]
        options += ["--epochs", str(request.epochs), "--batch-size", str(request.batch_size)]
        options += ["--learning-rate", repr(request.learning_rate), "--seed", str(request.seed)]
        if request.patience is not None:
            options += ["--patience", str(request.patience)]
        if request.lr_patience is not None:
            options += ["--lr-patience", str(request.lr_patience)]
        options += ["--jit", request.jit] if request.jit != "auto" else []
        options += ["--schedule", request.schedule] if request.schedule != "constant" else []
        options += ["--ema", repr(request.ema)] if request.ema is not None else []
        if request.false_positive_rate is not None:
            options += ["--false-positive-rate", repr(request.false_positive_rate)]
        if request.anomaly_score is not None:
            options += ["--anomaly-score", request.anomaly_score]
        if request.arguments:
            options += ["--set", *map(_assignment, request.arguments.items())]
        return options


def _preprocessing_options(settings: Preprocessing) -> list[str]:
    """The command-line options for settings that are not the defaults."""
    defaults, options = type(settings)(), []
    names = ["color", "background"]
    if settings.image_size is not None:
        height, width = settings.image_size
        options += ["--image-size", str(height) if height == width else f"{height}x{width}"]
        names.insert(0, "resize")
    for name in names:
        value = getattr(settings, name)
        options += [f"--{name}", value] if value != getattr(defaults, name) else []
    return options


def model_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first argument in which two model configs differ, in words; or None.

    Ignores `name` (Keras numbers models) and arguments that an older run did not have.
    """
    before, now = (json.loads(json.dumps(dict(each))) for each in (before, now))
    for name in now:
        if name != "name" and before.get(name, now[name]) != now[name]:
            return f"another model: {name} is {before[name]!r} instead of {now[name]!r}"
    return None


def config_digest(content: Any) -> str:
    """The digest of the content of `config.json` without the location of the images."""
    data = {
        key: value for key, value in content["data"].items() if key not in ("source", "data_dir")
    }
    return json_digest({**content, "data": data})


def _assignment(item: tuple[str, Any]) -> str:
    name, value = item
    return f"{name}={value if isinstance(value, str) else repr(value).replace(', ', ',')}"


def _dict(content: Any, part: str) -> dict:
    if not isinstance(content, dict):
        raise ConfigError(f"no usable {part}")
    return content


def _read(kind: Any, content: Any, part: str) -> Any:
    """A dataclass from a dict, each value checked against the type of its field."""
    content = _dict(content, part)
    types_of = get_type_hints(kind)
    values = {}
    for each in dataclasses.fields(kind):
        if each.name not in content:
            if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
                raise ConfigError(f"its {part} has no {each.name}")
            continue
        value = content[each.name]
        if not _has_type(value, types_of[each.name]):
            raise ConfigError(f"its {part} has no usable {each.name}: {value!r}"[:200])
        values[each.name] = value
    return kind(**values)


def _has_type(value: Any, hint: Any) -> bool:
    """Whether JSON data has the type of a field: `float` also takes whole numbers."""
    if isinstance(hint, types.UnionType):
        return any(_has_type(value, kind) for kind in get_args(hint))
    kind = get_origin(hint) or hint
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        return False
    return kind is not list or all(_has_type(item, *get_args(hint)) for item in value)


def _check_depth(content: Any) -> None:
    """Check that JSON data can be compared, copied and printed without too much recursion."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ConfigError(f"it is nested more than {MAX_DEPTH} levels")
