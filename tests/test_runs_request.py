"""RunRequest and RunConfig: JSON and command-line round trips, names, invalid content."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path

import pytest
from fake_runs import config
from hypothesis import given
from hypothesis import strategies as st

from keras_ae.cli.train import parse
from keras_ae.data.preprocessing import Preprocessing
from keras_ae.runs.request import ConfigError, RunConfig, RunRequest, model_difference
from keras_ae.variants import VARIANTS

PACKAGE = Path(__file__).resolve().parents[1] / "keras_ae"
NUMBERS = st.integers(1, 10_000)
VALUES = st.recursive(
    st.booleans() | st.integers(-999, 999) | st.floats(-9, 9) | st.sampled_from(["relu", "mse"]),
    lambda each: st.lists(each, min_size=1, max_size=3),
    max_leaves=3,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["beta", "hidden_units", "tied", "filters"]), VALUES)


# Every field of a request, with values that are mostly not its default.
FIELDS = {
    "variant": st.sampled_from(list(VARIANTS)),
    "latent_dim": NUMBERS,
    "arguments": ARGUMENTS.map(lambda arguments: dict(sorted(arguments.items()))),
    "dataset": st.just("digits"),
    "fingerprint": st.just("0" * 16),
    "held_out_class": st.none() | st.sampled_from(["1", "Ankle boot"]),
    "epochs": NUMBERS,
    "batch_size": NUMBERS,
    "learning_rate": st.floats(1e-9, 1e3),
    "patience": st.none() | NUMBERS,
    "lr_patience": st.none() | NUMBERS,
    "seed": NUMBERS,
    "jit": st.sampled_from(["auto", "on", "off"]),
    "schedule": st.sampled_from(["constant", "cosine"]),
    "ema": st.none() | st.floats(0, 1, exclude_min=True, exclude_max=True),
    "false_positive_rate": st.none() | st.floats(0, 1, exclude_min=True, exclude_max=True),
    "anomaly_score": st.none() | st.sampled_from(["mse", "ssim"]),
}


def requests() -> st.SearchStrategy[RunRequest]:
    return st.builds(RunRequest, **FIELDS)


def test_generated_requests_have_every_field():
    """A field that is missing here would be tested with its default only."""
    assert FIELDS.keys() == {field.name for field in dataclasses.fields(RunRequest)}


SETTINGS = st.builds(
    Preprocessing,
    st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
    st.just("crop"),
    st.sampled_from(["auto", "gray", "rgb"]),
    st.sampled_from(["white", "navy", "#00ff7f"]),
)


@given(SETTINGS, st.sampled_from(["crop", "pad", "stretch"]))
def test_preprocessing_survives_json_and_the_command_line(settings, resize):
    if settings.image_size is not None:
        settings = dataclasses.replace(settings, resize=resize)
    data = dataclasses.replace(config().data, preprocessing=settings.to_dict())
    written = dataclasses.replace(config(), data=data)
    read = RunConfig.from_dict(json.loads(json.dumps(written.to_dict())))
    assert read == written and read.data.settings() == settings
    options = parse(read.command())
    assert settings == Preprocessing(
        options.image_size, options.resize, options.color, options.background
    )


def test_other_preprocessing_is_a_difference():
    data = dataclasses.replace(config().data, preprocessing=Preprocessing(8).to_dict())
    assert "preprocessing" in config().difference(dataclasses.replace(config(), data=data))
    assert config().data.settings() == Preprocessing()


@given(requests())
def test_request_survives_json(request):
    content = json.loads(json.dumps(request.to_dict()))
    assert RunRequest.from_dict(content) == request


@given(requests())
def test_request_survives_the_command_line(request):
    options = vars(parse(dataclasses.replace(config(), request=request).command()))
    options["arguments"] = options["set"]
    for name in ("variant", "latent_dim", "seed", "arguments"):  # there is a run for each value
        (options[name],) = options[name]
    options["fingerprint"] = request.fingerprint  # a fact about the images, not an option
    # Several classes can be named, for a run each.
    options["held_out_class"] = (options["held_out_class"] or [None])[0]
    for field in dataclasses.fields(RunRequest):
        assert options[field.name] == getattr(request, field.name), field.name


def test_config_survives_json():
    full = dataclasses.replace(
        config("vae", held_out_class="1"), model={"beta": 1.0}, versions={"keras": "3.15"}
    )
    assert RunConfig.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_data_options_survive_the_command_line():
    data = dataclasses.replace(
        config().data, source="quickdraw", classes=["cat", "tree"], binarize="bernoulli"
    )
    options = parse(dataclasses.replace(config(), data=data).command())
    assert options.dataset == "quickdraw" and options.classes == ["cat", "tree"]
    assert options.binarize == "bernoulli"


def test_requests_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().request.epochs = 4


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (config("vae").request, "vae-20d-seed42"),
        (config("vae", latent_dim=2, held_out_class="1", seed=7).request, "vae-2d-without-1-seed7"),
        (
            config(held_out_class="1", arguments={"beta": 4, "hidden_units": [9, 6]}).request,
            "deep-20d-without-1-beta-4-hidden_units-_9_6_-seed42",
        ),
        (
            dataclasses.replace(config().request, held_out_class="T-shirt/top"),
            "deep-20d-without-T-shirt_top-seed42",
        ),
        (
            dataclasses.replace(config().request, held_out_class="Ankle boot"),
            "deep-20d-without-Ankle_boot-seed42",
        ),
    ],
)
def test_name_lists_what_differs_from_the_defaults(request_, name):
    assert request_.name == name and Path(name).name == name


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("request"),
        lambda content: content.update(data=[]),
        lambda content: content.update(versions=[]),
        lambda content: content.update(model={"beta": float("nan")}),
        lambda content: content["request"].pop("held_out_class"),
        lambda content: content["request"].update(epochs="60"),
        lambda content: content["request"].update(epochs=True),
        lambda content: content["request"].update(epochs=2.5),
        lambda content: content["request"].update(arguments=None),
        lambda content: content["data"].update(class_names="0123"),
        lambda content: content["data"].pop("num_test"),
        lambda content: content["data"].update(preprocessing=[64]),
        lambda content: content["data"].update(preprocessing={"size": 64}),
        lambda content: content["data"].update(preprocessing={"image_size": "64"}),
        lambda content: content["data"].update(preprocessing={"background": {}}),
    ],
)
def test_invalid_config_is_refused_in_one_line(change):
    content = config().to_dict()
    change(content)
    with pytest.raises(ConfigError) as raised:
        RunConfig.from_dict(content)
    assert "\n" not in str(raised.value)


def test_configs_of_older_versions_are_read():
    content = config().to_dict()
    for name in ("patience", "lr_patience", "jit"):
        del content["request"][name]
    for name in ("classes", "binarize", "image_shape", "preprocessing"):
        del content["data"][name]
    del content["versions"], content["device"], content["model"]
    read = RunConfig.from_dict(content)
    assert read.request == config().request


def test_difference_reports_the_first_field():
    assert config().request.difference(config(epochs=4).request) == ("epochs", 3, 4)
    assert config().request.difference(config().request) is None


def test_moved_data_is_not_a_difference():
    moved = dataclasses.replace(config().data, source="/elsewhere", data_dir="/prepared")
    assert config().difference(dataclasses.replace(config(), data=moved)) is None
    fewer = dataclasses.replace(config().data, num_train=9)
    assert "num_train" in config().difference(dataclasses.replace(config(), data=fewer))


def test_run_of_an_older_version_can_be_resumed():
    """It had fewer test images of a held-out class, and did not record the normal class."""
    data = dataclasses.replace(config().data, num_test=9, normal_class="1")
    assert config().difference(dataclasses.replace(config(), data=data)) is None
    other = dataclasses.replace(data, normal_class="2")
    now = dataclasses.replace(config(), data=data)
    assert "normal_class" in now.difference(dataclasses.replace(config(), data=other))


def test_model_difference_ignores_names_and_new_arguments():
    before = {"name": "vae", "beta": 1.0, "hidden_units": [3, 2]}
    now = {"name": "vae_1", "beta": 1.0, "hidden_units": (3, 2), "added_since": 5}
    assert model_difference(before, now) is None
    assert "beta is 1.0 instead of 2.0" in model_difference(before, {**now, "beta": 2.0})


def test_other_versions_lists_what_differs():
    old = {"keras": "3.14.0", "numpy": "2.0", "python": "3.12"}
    found = dataclasses.replace(config(), versions=old)
    now = {"keras": "3.15.1", "numpy": "2.0", "tensorflow": "2.21"}
    assert found.other_versions(now) == "keras 3.14.0"
    assert found.other_versions({"keras": "3.14.0"}) == ""


def test_request_keys_are_literals_in_one_module_only():
    """Only `runs/request.py` reads the format of config.json."""
    keys = {field.name for field in dataclasses.fields(RunRequest)} - {"variant", "seed"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "request.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                names = ("request", "config")
                owner = ast.unparse(node.value)
                if node.slice.value in keys and owner.rpartition(".")[2] in names:
                    found.append(f"{path}:{node.lineno} {ast.unparse(node)}")
    assert found == []
