"""Arguments of the variants: signatures, documentation, attributes and saving."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_variants import NAMES, SHAPE, inputs, pictures, small

import keras_ae
from keras_ae.layers import BinaryBottleneck
from keras_ae.variants import VARIANTS
from keras_ae.variants.base import Autoencoder, check_activation
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import complete_docstring
from keras_ae.variants.settings import is_settable

# One preset name per class.
CLASSES = {preset.class_name: name for name, preset in reversed(VARIANTS.items())}
PUBLIC = [preset.load() for preset in VARIANTS.values()]
# Arguments that can be set later, with a value other than the default.
SETTABLE = {
    "Sparse": {"sparsity": 0.6, "beta": 3.0},
    "SparseL1": {"l1": 0.02},
    "Denoising": {"noise_stddev": 0.1},
    "DenoisingDropout": {"dropout_rate": 0.9},
    "ConvDenoising": {"noise_stddev": 0.1},
    "Binary": {"noise_stddev": 0.5},
    "VAE": {"beta": 5.0},
    "ConvVAE": {"beta": 5.0},
    "ConditionalVAE": {"beta": 5.0},
    "IWAE": {"beta": 5.0},
    "VAEGAN": {"beta": 5.0, "gamma": 4.0, "feature_variance": 0.5, "equilibrium_margin": 0.0},
    "VQVAE": {"commitment_cost": 9.0},
    "ConvVQVAE": {"commitment_cost": 9.0, "ema_decay": 0.2},
}
# These change the weights after a step, not its losses.
CHANGE_WEIGHTS = {"gamma", "ema_decay"}


def arguments_of(cls):
    return [name for name in inspect.signature(cls).parameters if name != "kwargs"]


@pytest.fixture(scope="module")
def models():
    return {name: small(preset_name) for name, preset_name in CLASSES.items()}


# ---- signatures and documentation ----


@pytest.mark.parametrize("cls", [Autoencoder, DenseAutoencoder, *dict.fromkeys(PUBLIC)])
def test_signature_hides_no_argument_and_docstring_describes_all(cls):
    parameters = inspect.signature(cls).parameters
    assert [name for name, each in parameters.items() if each.kind == each.VAR_KEYWORD] == [
        "kwargs"
    ]
    args = cls.__doc__[cls.__doc__.index("\nArgs:\n") :]
    described = [args.find(f"\n    {name}: ") for name in arguments_of(cls)]
    assert min(described) >= 0 and described == sorted(described)
    assert "\n    **kwargs: " in args
    assert {"seed", "reconstruction_loss", "output_activation"} <= set(parameters)
    if issubclass(cls, DenseAutoencoder):
        assert {"hidden_units", "activation", "batch_normalization", "tied"} <= set(parameters)
    assert max(map(len, cls.__doc__.splitlines())) <= 96


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("VAE", "Variational autoencoder"),
        ("ConvVAE", "Variational autoencoder"),
        ("ConditionalVAE", "Conditional variational autoencoder"),
        ("Sparse", "Sparse autoencoder"),
        ("SparseL1", "Sparse autoencoder"),
        ("Denoising", "Denoising autoencoder"),
        ("ConvDenoising", "Denoising autoencoder"),
        ("VQVAE", "Vector-quantized autoencoder"),
        ("IWAE", "Importance-weighted autoencoder"),
        ("Stacked", "Stacked autoencoder"),
        ("Linear", "Linear autoencoder"),
    ],
)
def test_help_starts_with_the_model_name(name, words):
    assert getattr(keras_ae, name).__doc__.startswith(words)


def test_completed_docstring_follows_the_signature_order():
    def function(self, seed=None, own=1, *, beta=2.0, **kwargs):
        pass

    text = "First.\n\nArgs:\n    beta: Mine,\n        in two lines.\n    own: Own.\n\n"
    text += "Raises:\n    No.\n"
    lines = complete_docstring(text, function).splitlines()
    starts = [line.split(":")[0] for line in lines if line.startswith("    ") and line[4] != " "]
    assert starts == ["    seed", "    own", "    beta", "    **kwargs", "    No."]
    assert lines[0] == "First." and "        in two lines." in lines


def test_registry_imports_neither_keras_nor_tensorflow():
    program = (
        "import sys; from keras_ae.variants import VARIANTS; VARIANTS['vae'].summary; "
        "sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# ---- attributes ----


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_are_readable_and_settable_or_read_only(models, name):
    model = models[name]
    settable = set()
    for argument in arguments_of(type(model)):
        before = getattr(model, argument)
        if is_settable(getattr(type(model), argument, None)):
            settable.add(argument)
            continue
        with pytest.raises(AttributeError) as caught:
            setattr(model, argument, before)
        assert argument in str(caught.value) and "\n" not in str(caught.value)
        assert getattr(model, argument) == before
    assert settable == set(SETTABLE.get(name, {}))


@pytest.mark.parametrize(
    "attribute",
    ["encoder", "decoder", "bottleneck", "can_sample", "needs_labels", "learns_prior",
     "fixed_epochs", "is_discrete", "has_bce", "pixel_range", "code_shape", "code_size",
     "preprocessing"],
)  # fmt: skip
def test_networks_and_derived_attributes_cannot_be_set(models, attribute):
    before = getattr(models["VAE"], attribute)
    with pytest.raises(AttributeError) as caught:
        setattr(models["VAE"], attribute, before)
    assert attribute in str(caught.value) and "\n" not in str(caught.value)


CASES = [(name, *pair) for name, arguments in SETTABLE.items() for pair in arguments.items()]


@pytest.mark.parametrize(("name", "argument", "value"), CASES)
def test_setting_an_argument_takes_effect_in_a_compiled_epoch(name, argument, value):
    """Setting it before epoch 2 gives the same epoch as a model that has it from the start."""
    images = pictures(32)
    rate = 0.1 if argument in CHANGE_WEIGHTS else 0.0

    def trained(arguments, later):
        class Setter(keras.callbacks.Callback):
            every_batch = False

            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    for each, value in later.items():
                        setattr(self.model, each, value)

        model = small(CLASSES[name], **arguments)
        model.compile(keras.optimizers.SGD(rate), jit_compile=False)
        seen = inputs(model, images)
        history = model.fit(seen, batch_size=16, epochs=2, callbacks=[Setter()], verbose=0)
        return model, history.history

    changed, logs = trained({}, {argument: value})
    assert changed.get_config()[argument] == value
    if argument in CHANGE_WEIGHTS:
        never, _ = trained({}, {})
        pairs = zip(changed.get_weights(), never.get_weights(), strict=True)
        assert any(np.any(ours != theirs) for ours, theirs in pairs)
    else:
        _, expected = trained({argument: value}, {})
        assert any(expected[each][0] != logs[each][0] for each in logs)
        for each in logs:
            assert logs[each][1] == pytest.approx(expected[each][1], rel=1e-6), each


def test_setting_beta_takes_effect_under_xla_and_in_evaluate():
    model = keras_ae.VAE(SHAPE, 3, hidden_units=8, seed=0)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=True)
    model.evaluate(pictures(32), verbose=0)  # traces
    first = model.fit(pictures(32), verbose=0).history["latent_loss"]
    model.beta = 2.0
    second = model.fit(pictures(32), verbose=0).history["latent_loss"]
    assert second[0] == pytest.approx(2 * first[0], rel=1e-5)
    at_2 = model.evaluate(pictures(32), verbose=0, return_dict=True)["latent_loss"]
    model.beta = 1.0
    at_1 = model.evaluate(pictures(32), verbose=0, return_dict=True)["latent_loss"]
    assert at_2 == pytest.approx(2 * at_1, rel=1e-5) and at_1 > 0


@pytest.mark.parametrize(("name", "argument", "value"), CASES)
def test_setting_a_bad_value_is_refused_without_changes(models, name, argument, value):
    before = getattr(models[name], argument)
    for bad in (-1.0, "much", float("nan")):
        with pytest.raises(ValueError):
            setattr(models[name], argument, bad)
    assert getattr(models[name], argument) == before


def test_changed_argument_survives_saving(tmp_path):
    model = small("sparse_l1")
    model.l1 = 1 / 3
    model.save(tmp_path / "model.keras")
    loaded = keras_ae.load_model(tmp_path / "model.keras")
    assert loaded.l1 == 1 / 3
    np.testing.assert_array_equal(loaded.encode(pictures(4)), model.encode(pictures(4)))


# ---- arguments that cannot be saved ----


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "arguments",
    [
        {"bottleneck": BinaryBottleneck()},
        {"corruption": None},
        {"code_units": 4},
        {"hiden_units": 4},
        {"activity_regularizer": "l2"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_unknown_arguments_and_unsavable_objects_are_refused(name, arguments):
    with pytest.raises(TypeError) as caught:
        getattr(keras_ae, name)(**arguments)
    message = str(caught.value)
    assert next(iter(arguments)) in message and name in message and "\n" not in message


def test_keras_arguments_survive_saving(tmp_path):
    model = keras_ae.Deep(SHAPE, 3, hidden_units=4, name="mine", dtype="mixed_float16")
    model.trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras_ae.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert (loaded.name, loaded.dtype_policy.name, loaded.trainable) == (
        "mine", "mixed_float16", False,
    )  # fmt: skip


@keras.saving.register_keras_serializable(package="tests")
def doubled(x):
    return 2.0 * x


def test_activations_survive_saving(tmp_path):
    assert check_activation(keras.activations.selu) == "selu"
    assert check_activation("swish") == "swish"
    model = keras_ae.Deep(SHAPE, 3, hidden_units=4, activation=doubled)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.encode(pictures(4)), model.encode(pictures(4)))
    assert loaded.get_config() == model.get_config()
    json.dumps(model.get_config()["activation"])


@pytest.mark.parametrize("activation", ["softrelu", lambda x: x, keras.layers.LeakyReLU(), 3])
def test_activations_that_cannot_be_saved_are_refused(activation):
    with pytest.raises(ValueError, match="activation must be the name") as caught:
        keras_ae.Shallow(SHAPE, 3, activation=activation)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_unusable_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        keras_ae.Deep(SHAPE, 3, seed=seed)


@keras.saving.register_keras_serializable(package="tests")
class Noisy(DenseAutoencoder):
    """The example of the base class."""

    def __init__(self, image_shape=(28, 28), latent_dim=20, *, stddev=1.0, **kwargs):
        super().__init__(image_shape, latent_dim, **kwargs)
        self.stddev = stddev
        self._build(corruption=keras_ae.GaussianCorruption(stddev, name="noise"))

    def get_config(self):
        return {**super().get_config(), "stddev": self.stddev}


def test_subclass_with_its_own_layers_survives_saving(tmp_path):
    model = Noisy(SHAPE, 3, stddev=0.3, hidden_units=(5,))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.encoder.get_layer("noise").stddev == 0.3
    np.testing.assert_array_equal(loaded.encode(pictures(4)), model.encode(pictures(4)))
    model.stddev = 2  # the user's class handles its own arguments


def test_bottleneck_without_the_interface_is_refused():
    class Plain(DenseAutoencoder):
        def __init__(self, **kwargs):
            super().__init__(SHAPE, 3, **kwargs)
            self._build(bottleneck=keras.layers.Activation("sigmoid"))

    with pytest.raises(TypeError, match="Bottleneck; received a Activation"):
        Plain()


def test_single_number_is_one_layer():
    assert keras_ae.VAE(SHAPE, 3, hidden_units=16).hidden_units == (16,)
    assert keras_ae.Convolutional(SHAPE, filters=4).filters == (4,)
    assert keras_ae.ConditionalVAE(SHAPE, 3, hidden_units=np.int64(4)).hidden_units == (4,)


# ---- interface ----

INTERFACE = {
    "anomaly_map", "anomaly_score", "bottleneck", "can_sample", "code_shape", "code_size",
    "code_statistics", "decode", "decoder", "encode", "encoder", "fit_prior", "fit_scores",
    "fit_threshold", "fixed_epochs", "has_bce", "interpolate", "is_anomalous", "is_discrete",
    "latent_arithmetic", "learns_prior", "manifold", "map_scales", "needs_labels", "pack_inputs",
    "pixel_range", "posterior", "preprocessing", "reconstruct", "sample", "scalar_codebooks",
    "score_names", "set_preprocessing", "set_threshold", "snap_latents", "threshold",
    "threshold_fit", "traverse", "inputs", "outputs", "input_shape", "output_shape",
}  # fmt: skip
FURTHER = {
    "Binary": {"hash_codes", "neighbors"},
    "ConditionalVAE": {"infer_labels"},
    "ConvVQVAE": {"indices", "prior"},
    "Linear": {"fit_closed_form"},
    "Stacked": {"num_stages"},
    "VAEGAN": {"discriminator", "discriminator_optimizer", "prior_noise"},
}


@pytest.mark.parametrize("name", CLASSES)
def test_dir_shows_the_interface_and_the_arguments_only(models, name):
    model = models[name]
    plain = keras.Model()
    plain.compile()
    shown = {each for each in dir(model) if each[0] != "_"} - set(dir(plain))
    expected = (INTERFACE | set(arguments_of(type(model))) | FURTHER.get(name, set())) - set(
        dir(plain)
    )
    if hasattr(model, "log_likelihood"):
        expected.add("log_likelihood")
    assert shown == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_the_interface_of_the_comparisons(models, name):
    model = models[VARIANTS[name].class_name]
    images = pictures(20)
    labels = np.arange(20) % 4
    packed = model.pack_inputs(images, labels)
    assert isinstance(packed, dict) == model.needs_labels
    codes = model.encode(packed)
    np.testing.assert_allclose(model.snap_latents(codes), codes, atol=1e-6)
    statistics = model.code_statistics(packed)
    assert (
        bool(statistics) == (model.is_discrete and "bottleneck" in dir(model)) or name == "binary"
    )
    assert all(isinstance(value, float) for value in statistics.values())
    assert model.has_bce == (model.output_activation == "sigmoid")
    posterior = model.posterior(packed)
    if posterior is not None:
        z_mean, z_log_var = posterior
        assert z_mean.shape == z_log_var.shape == (20, model.latent_dim)
        assert isinstance(z_mean, np.ndarray)
        np.testing.assert_array_equal(codes[:, : model.latent_dim], z_mean)
        tensors = tf.nest.map_structure(tf.constant, packed)
        assert all(tf.is_tensor(part) for part in model.posterior(tensors))
    if not model.learns_prior:
        with pytest.raises(ValueError, match="learns_prior is False"):
            model.fit_prior(images)


def test_snapped_latents_are_possible_codes(models):
    random = np.random.default_rng(0)
    vq = models["VQVAE"]
    snapped = vq.snap_latents(random.normal(0, 1e-3, (9, 4)))
    for dimension, book in enumerate(vq.scalar_codebooks):
        assert np.isin(snapped[:, dimension], book).all()
    conditional = models["ConditionalVAE"]
    latents = random.random((9, 8)).astype("float32")
    snapped = conditional.snap_latents(latents)
    np.testing.assert_array_equal(snapped[:, :4], latents[:, :4])
    np.testing.assert_array_equal(snapped[:, 4:], np.eye(4)[latents[:, 4:].argmax(axis=1)])
