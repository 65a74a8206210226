"""Moving average of the weights: against a NumPy average of a training without one."""

import warnings
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from programs import (
    assert_same_run,
    command,
    compiled,
    history,
    interrupt_at,
    losses,
    read_json,
    refused,
    run_of,
    train,
)
from small_variants import small

import keras_ae
from keras_ae import data
from keras_ae.cli.interrupts import InterruptHandler
from keras_ae.cli.train import parse
from keras_ae.runs import averaging
from keras_ae.runs.request import DEFAULT_EMA
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.training.statistics import update_batch_normalization

pytestmark = pytest.mark.usefixtures("offline", "eager")

EMA = 0.6
OPTION = ("--ema", EMA)
SMALL_GAN = {"vae_gan": ["--set", "hidden_units=12,8", "discriminator_filters=4,6"]}
STEPS = 3  # of an epoch: 165 images in batches of 60


def raw_weights(patch, *line) -> list[list[np.ndarray]]:
    """The trainable weights after each update of a training."""
    seen = []
    apply = keras.optimizers.Adam.apply

    def record(self, gradients, variables):
        apply(self, gradients, variables)
        seen.append([variable.numpy() for variable in variables])

    patch.setattr(keras.optimizers.Adam, "apply", record)
    assert train(*line) == 0
    return seen


def numpy_average(weights, momentum=EMA):
    average = [each.astype(np.float64) for each in weights[0]]
    for step in weights[1:]:
        pairs = zip(average, step, strict=True)
        average = [momentum * old + (1 - momentum) * new for old, new in pairs]
    return average


def assert_close(variables, expected):
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, atol=2e-6, err_msg=variable.path)


@pytest.fixture(scope="module")
def averaged(tiny, tmp_path_factory):
    """A training with an average, and the output folder."""
    output_dir = tmp_path_factory.mktemp("averaged")
    assert train(*command(tiny, output_dir, "deep"), *OPTION) == 0
    return output_dir


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    """The same training without an average: the output folder and the weights of each update."""
    output_dir = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        return output_dir, raw_weights(patch, *command(tiny, output_dir, "deep"))


def test_the_model_has_the_average_of_the_weights_of_a_training_without_it(averaged, plain):
    _, weights = plain
    assert len(weights) == 3 * STEPS
    model = RunDirectory(run_of(averaged, "deep")).load_model()
    assert_close(model.trainable_variables, numpy_average(weights))
    assert abs(model.trainable_variables[0].numpy() - weights[-1][0]).max() > 1e-3


def test_training_goes_on_with_its_own_weights(averaged, plain):
    run, other = run_of(averaged, "deep"), run_of(plain[0], "deep")
    for name in ("loss", "reconstruction_loss", "latent_loss"):
        assert [row[name] for row in losses(run)] == [row[name] for row in losses(other)]
    assert losses(run)[0]["val_loss"] != losses(other)[0]["val_loss"]


def test_validation_losses_are_those_of_the_averages(averaged, plain, tiny):
    split = data.split(data.load(tiny))
    for epoch, row in enumerate(history(run_of(averaged, "deep")), start=1):
        model = RunDirectory(run_of(averaged, "deep")).load_model()
        expected = numpy_average(plain[1][: epoch * STEPS])
        for variable, value in zip(model.trainable_variables, expected, strict=True):
            variable.assign(value)
        update_batch_normalization(model, split.train.images, 60)
        loss = model.evaluate(split.validation.images, verbose=0, return_dict=True)["loss"]
        assert float(row["val_loss"]) == pytest.approx(loss, rel=1e-5)


def test_batch_normalization_and_test_loss_are_those_of_the_averages(averaged, tiny):
    run = RunDirectory(run_of(averaged, "deep"))
    model, split = run.load_model(), data.split(data.load(tiny))
    loss = model.evaluate(split.test.images, verbose=0, return_dict=True)["loss"]
    assert run.results["loss"] == pytest.approx(loss, rel=1e-6)
    before = [variable.numpy() for variable in model.weights]
    update_batch_normalization(model, split.train.images, 60)
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6, err_msg=variable.path)


def test_early_stopping_ends_with_the_best_averages(tiny, tmp_path, monkeypatch):
    options = ["--learning-rate", 0.1, "--patience", 2, "--ema", 0.5]
    weights = raw_weights(monkeypatch, *command(tiny, tmp_path, "vae", epochs=40), *options)
    run = run_of(tmp_path, "vae")
    values = [float(row["val_loss"]) for row in history(run)]
    best = int(np.argmin(values)) + 1
    assert best + 2 == len(values) < 40 and len(weights) == len(values) * STEPS
    model = RunDirectory(run).load_model()
    assert_close(model.trainable_variables, numpy_average(weights[: best * STEPS], 0.5))
    validation = data.split(data.load(tiny)).validation
    loss = model.evaluate(validation.images, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(min(values), rel=1e-6)


def pair_of_lines(tiny, tmp_path, variant):
    """The commands of a training that is not interrupted and of one that is."""
    return (
        [*command(tiny, tmp_path / name, variant), *OPTION, *SMALL_GAN.get(variant, ())]
        for name in ("whole", "stopped")
    )


def the_run(folder):
    (path,) = (folder / "tiny.npz").iterdir()
    return path


@pytest.mark.parametrize(
    ("variant", "number"),
    [
        ("denoising", 3),  # all epochs are done
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("vae_gan", 2), ("vae_gan", 3), ("conditional_vae", 2), ("iwae", 3)]
        ),
    ],
)
def test_interrupted_training_resumes_bit_for_bit(tiny, tmp_path, monkeypatch, variant, number):
    whole, stopped = pair_of_lines(tiny, tmp_path, variant)
    assert train(*whole) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, "resume.npz", number, after=True)
        assert train(*stopped) == 130
    assert train(*stopped) == 0
    assert_same_run(the_run(tmp_path / "stopped"), the_run(tmp_path / "whole"))


@pytest.mark.parametrize("mode", [nullcontext, pytest.param(compiled, marks=pytest.mark.slow)])
def test_training_interrupted_within_an_epoch_resumes_bit_for_bit(
    tiny, tmp_path, monkeypatch, mode
):
    whole, stopped = pair_of_lines(tiny, tmp_path, "vae")
    monkeypatch.setattr(keras_ae.VAE, "_steps_per_call", 1)
    calls = []

    def interruption(handler):  # asked after the first two steps of an epoch and at its end
        calls.append(1)
        return KeyboardInterrupt() if len(calls) == 5 else None

    with mode():
        assert train(*whole) == 0
        with monkeypatch.context() as patch:
            patch.setattr(InterruptHandler, "interruption", interruption)
            assert train(*stopped) == 130
        with np.load(run_of(tmp_path / "stopped", "vae") / "resume.npz") as kept:
            assert kept["within/step"] == 2
        assert train(*stopped) == 0
    assert_same_run(run_of(tmp_path / "stopped", "vae"), run_of(tmp_path / "whole", "vae"))


@pytest.mark.parametrize(
    ("variant", "options", "words"),
    [
        ("stacked", [0.9], "does not work with stacked, which trains its layers one after"),
        ("conv_vq_vae", [0.9, "--set", "filters=4,6"], "does not work with conv_vq_vae, whose"),
        ("deep", [1], "a number between 0 and 1, exclusive"),
        ("deep", [0], "a number between 0 and 1, exclusive"),
        ("deep", ["nan"], "a number between 0 and 1, exclusive"),
    ],
)
def test_what_cannot_be_averaged_is_refused(tiny, tmp_path, capsys, variant, options, words):
    line = [*command(tiny, tmp_path / "runs", variant), "--ema", *options]
    assert words in refused(capsys, train, *line)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("ema", [0.0, 1.0, -1, True, float("nan"), "0.9"])
def test_impossible_momentum_is_refused_in_python(ema):
    with pytest.raises(ValueError, match="between 0 and 1, exclusive"):
        averaging.check_average(ema, "deep", small("deep"), 100)


def test_codebook_trained_by_gradient_can_be_averaged(tiny, tmp_path):
    line = command(tiny, tmp_path, "conv_vq_vae", epochs=1)
    line += ["--set", "ema_decay=None", "filters=4,6", "prior_filters=4", "prior_blocks=1"]
    assert train(*line, *OPTION) == 0


@pytest.mark.parametrize(("num_updates", "warns"), [(100, True), (200, False), (2, True)])
def test_start_that_stays_in_the_average_causes_a_warning(num_updates, warns):
    """0.98 ** 99 is 14%, 0.98 ** 199 is 2%."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        averaging.check_average(0.98, "deep", small("deep"), num_updates)
    assert len(caught) == warns
    if num_updates == 100:
        message = str(caught[0].message)
        assert "14%" in message and "at most 0.97," in message
    if num_updates == 2:
        message = str(caught[0].message)
        assert message.endswith("only 2 updates: train longer.")


def test_option_without_a_number_has_the_default(tiny, tmp_path):
    assert parse([*command(tiny, tmp_path, "deep"), "--ema"]).ema == DEFAULT_EMA
    assert parse(command(tiny, tmp_path, "deep")).ema is None


def test_another_momentum_in_the_same_directory_is_refused(averaged, tiny, capsys):
    line = command(tiny, averaged, "deep")
    assert "with ema 0.6; this one asks for None" in refused(capsys, train, *line)
    assert "0.5" in refused(capsys, train, *line, "--ema", 0.5)


def test_interrupted_training_is_named_by_its_config(averaged):
    request = read_json(run_of(averaged, "deep") / "config.json")["request"]
    assert request["ema"] == EMA
    options = RunDirectory(run_of(averaged, "deep")).config.command()
    assert options[options.index("--ema") + 1] == "0.6"
