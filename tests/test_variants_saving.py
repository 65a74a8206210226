"""Saving, loading, exporting and configs of all variants."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_variants import DENSE, NAMES, OTHER, SHAPE, inputs, is_dense, pictures, small

import keras_ae
from keras_ae import VARIANTS


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip_keeps_non_default_arguments(name):
    other = {**OTHER.get(name, {}), **(DENSE if is_dense(name) else {})}
    model = VARIANTS[name](**{"image_shape": (4, 4, 3), "latent_dim": 3, "seed": 8, **other})
    config = model.get_config()
    for argument, value in other.items():
        assert config[argument] == value
    twin = type(model).from_config(config)
    assert twin.get_config() == config
    assert [tuple(w.shape) for w in twin.weights] == [tuple(w.shape) for w in model.weights]
    assert keras.models.clone_model(model).get_config() == config


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load_keep_outputs_optimizer_and_config(name, eager, tmp_path):
    model = small(name)
    images = inputs(model, pictures(48))
    model.fit(images, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras_ae.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model) and loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))
    expected = model.evaluate(images, verbose=0, return_dict=True)
    assert loaded.evaluate(images, verbose=0, return_dict=True) == expected
    for before, after in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    # Noise states are saved too, so both continue identically.
    model.fit(images, batch_size=16, epochs=1, verbose=0)
    loaded.fit(images, batch_size=16, epochs=1, verbose=0)
    for before, after in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")  # not trained
@pytest.mark.parametrize("name", NAMES)
def test_preprocessing_is_saved_and_copied(name, tmp_path):
    settings = {"image_size": [4, 4], "resize": "pad", "x": None}
    model = small(name)
    assert model.preprocessing is None and "preprocessing" not in model.get_config()
    model.set_preprocessing(settings)
    model.preprocessing["resize"] = "a copy"
    assert model.preprocessing == settings
    assert model.get_config()["preprocessing"] == settings
    assert keras.models.clone_model(model).preprocessing == settings
    model.save(tmp_path / "model.keras")
    assert keras_ae.load_model(tmp_path / "model.keras").preprocessing == settings
    assert keras.models.load_model(tmp_path / "model.keras").preprocessing == settings
    model.set_preprocessing(None)
    assert model.preprocessing is None and "preprocessing" not in model.get_config()


@pytest.mark.parametrize("settings", [3, "crop", [1], {"x": np.zeros(2)}, {"x": float("nan")}])
def test_preprocessing_that_is_no_json_is_refused(settings):
    model = small("deep")
    with pytest.raises(ValueError, match="preprocessing must be a dict") as error:
        model.set_preprocessing(settings)
    assert "\n" not in str(error.value)
    with pytest.raises(AttributeError, match="set_preprocessing"):
        model.preprocessing = {}


def test_export_has_the_preprocessing(tmp_path):
    model = small("shallow")
    model.export(tmp_path / "plain", verbose=False)
    assert not (tmp_path / "plain" / "preprocessing.json").exists()
    model.set_preprocessing({"image_size": [4, 4]})
    model.export(tmp_path / "exported", verbose=False)
    text = (tmp_path / "exported" / "preprocessing.json").read_text()
    assert json.loads(text) == {"image_size": [4, 4]}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every variant, exported, with the outputs of the Keras model."""
    root = tmp_path_factory.mktemp("exported")
    images = pictures(6)
    for name in NAMES:
        model = small(name)
        model.train_on_batch(inputs(model, pictures()))
        if name == "deep":  # caches functions that must not be exported
            model.fit(pictures(), epochs=1, verbose=0)
            model.predict(images, verbose=0)
            model.fit(pictures(), epochs=1, verbose=0)
        model.export(root / name, verbose=False)
        answers = {
            "serve": model.reconstruct(images),
            "encode": model.encode(images),
            "decode": model.decode(model.encode(images)),
            "anomaly_score": model.anomaly_score(images),
        }
        if model.can_sample:
            answers["sample"] = model.sample(5, seed=9)
        np.savez(root / f"{name}.npz", images=images, **answers)
    return root


@pytest.mark.slow
def test_exported_models_give_the_same_outputs_without_keras_ae(exported):
    program = """
import sys
sys.modules["keras_ae"] = None
sys.modules["keras"] = None
import numpy as np
import tensorflow as tf
for name in sys.argv[2:]:
    model = tf.saved_model.load(f"{sys.argv[1]}/{name}")
    expected = np.load(f"{sys.argv[1]}/{name}.npz")
    images = expected["images"]
    got = {
        "serve": model.serve(images),
        "encode": model.encode(images),
        "decode": model.decode(expected["encode"]),
        "anomaly_score": model.anomaly_score(images),
    }
    if "sample" in expected:
        got["sample"] = model.sample(tf.constant(5), tf.constant(9))
    for endpoint, answer in got.items():
        np.testing.assert_allclose(answer, expected[endpoint], rtol=1e-4, atol=1e-5, err_msg=name)
        again = model.serve(images)
    np.testing.assert_array_equal(again, got["serve"])
    for shape in [(6, *images.shape[1:], 1), (6, images[0].size), (6, 1, *images.shape[1:])]:
        for endpoint in ("serve", "encode", "anomaly_score"):
            try:  # numbers enough, but not in the shape of an image
                answer = model.signatures[endpoint](tf.zeros(shape))
            except tf.errors.InvalidArgumentError:
                continue
            raise SystemExit(f"{name}: {endpoint} took {shape}")
print("equal")
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(exported), *NAMES], capture_output=True, text=True
    )
    assert result.stdout.strip() == "equal", result.stderr[-2000:]


@pytest.mark.parametrize("name", ["shallow", "vae", "denoising"])
def test_loaded_model_keeps_mixed_precision(name, tmp_path):
    images = pictures()
    model = small(name, dtype="mixed_float16")
    model.fit(images, epochs=1, verbose=0)
    assert model.encoder.get_layer("code").compute_dtype == "float16"
    assert model.interpolate(images[0], images[1]).dtype == np.float32
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.encoder.get_layer("code").compute_dtype == "float16"
    np.testing.assert_array_equal(loaded.encode(images), model.encode(images))
    assert keras.config.dtype_policy().name == "float32"


def test_tied_weights_halve_the_dense_kernels_and_are_stored_once(tmp_path):
    plain, tied = keras_ae.Deep(SHAPE, 4), keras_ae.Deep(SHAPE, 4, tied=True)

    def kernel_parameters(model):
        return sum(w.shape[0] * w.shape[1] for w in model.weights if len(w.shape) == 2)

    assert 2 * kernel_parameters(tied) == kernel_parameters(plain)
    tied.compile()
    tied.fit(pictures(), epochs=2, verbose=0)
    tied.save(tmp_path / "tied.keras")
    loaded = keras.models.load_model(tmp_path / "tied.keras")
    loaded.fit(pictures(), epochs=1, verbose=0)
    down = loaded.encoder.get_layer("code").kernel
    assert any(layer.dense.kernel is down for layer in transposes(loaded.decoder))


def transposes(network):
    return [
        layer for layer in network._flatten_layers() if isinstance(layer, keras_ae.DenseTranspose)
    ]


@pytest.mark.parametrize("name", ["vae", "stacked"])
def test_tying_unsupported_networks_is_refused(name):
    with pytest.raises(ValueError, match="cannot be tied"):
        VARIANTS[name](tied=True)


def test_savedmodel_refuses_pixels_outside_the_range(tmp_path):
    model = small("deep")
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved")
    images = pictures(3)
    np.testing.assert_allclose(served.serve(images), model.reconstruct(images), atol=1e-5)
    for endpoint in ("serve", "encode", "anomaly_score"):
        for bad in (images * 255, images - 1, images * np.nan):
            with pytest.raises(tf.errors.InvalidArgumentError):
                served.signatures[endpoint](tf.constant(bad))
    barely = images.copy()
    barely[0, 0, 0] = np.nextafter(np.float32(1), np.float32(2))
    assert np.isfinite(served.serve(barely)).all()
