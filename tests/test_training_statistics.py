"""Re-estimated batch normalization statistics, against NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_variants import inputs, pictures, small

import keras_ae
from keras_ae.training import statistics
from keras_ae.training.feed import epoch_order
from keras_ae.training.statistics import update_batch_normalization

pytestmark = pytest.mark.usefixtures("eager")

IMAGES = pictures(90)


def moving(model):
    return [weight.numpy() for weight in model.weights if "moving" in weight.path]


def others(model):
    return [variable.numpy() for variable in model.variables if "moving" not in variable.path]


def shaken(model):
    """The model with other weights than its moving statistics were made with."""
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(weight + 0.1 * random.standard_normal(weight.shape))
    return model


def batch_statistics(model, images):
    """Mean and variance before each batch normalization of a dense autoencoder."""
    found, outputs = [], images.reshape(len(images), -1).astype(np.float64)
    for part, last in ((model.encoder, "code"), (model.decoder, "logits")):
        for block in [layer for layer in part.layers if layer.name.startswith("hidden")]:
            norm = block.get_layer("batch_normalization")
            outputs = outputs @ block.get_layer("dense").kernel.numpy()
            mean, variance = outputs.mean(axis=0), outputs.var(axis=0)
            found += [mean, variance]
            outputs = (outputs - mean) / np.sqrt(variance + norm.epsilon)
            outputs = np.maximum(outputs * norm.gamma.numpy() + norm.beta.numpy(), 0.0)
        layer = part.get_layer(last)
        outputs = outputs @ layer.kernel.numpy() + layer.bias.numpy()
    return found


@pytest.mark.parametrize(("most", "num_batches"), [(100, 4), (2, 2)])
def test_statistics_are_the_mean_over_full_batches(monkeypatch, most, num_batches):
    monkeypatch.setattr(statistics, "MAX_BATCHES", most)
    model = shaken(small("deep"))
    update_batch_normalization(model, IMAGES, 20)
    order = epoch_order(90, 0, 0).numpy()
    batches = [IMAGES[order[20 * number : 20 * number + 20]] for number in range(num_batches)]
    expected = zip(*(batch_statistics(model, batch) for batch in batches), strict=True)
    for ours, theirs in zip(moving(model), expected, strict=True):
        np.testing.assert_allclose(ours, np.mean(theirs, axis=0), rtol=1e-4, atol=1e-5)


def test_tensors_and_images_on_disk_give_the_statistics_of_arrays(tmp_path):
    np.save(tmp_path / "images.npy", np.round(255 * IMAGES).astype("uint8"))
    stored = keras_ae.StoredImages([np.load(tmp_path / "images.npy", mmap_mode="r")])
    images = np.asarray(stored, np.float32)
    model, found = shaken(small("deep")), []
    for inputs_ in (images, tf.constant(images), stored):
        update_batch_normalization(model, inputs_, 20)
        found.append(moving(model))
    for other in found[1:]:
        for ours, theirs in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="batch_size"):
        update_batch_normalization(model, images, 0)


@pytest.mark.parametrize("name", ["denoising", "vae", "iwae", "vae_gan", "conditional_vae"])
def test_statistics_depend_on_the_weights_only_and_nothing_else_changes(name):
    model = shaken(small(name))
    data = inputs(model, IMAGES)
    before, trained = others(model), [each.numpy() for each in model.trainable_variables]
    update_batch_normalization(model, data, 32)
    first = moving(model)
    for ours, theirs in zip(others(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.fit(data, epochs=1, verbose=0)  # other noise, other statistics
    assert not np.array_equal(moving(model)[0], first[0])
    for variable, value in zip(model.trainable_variables, trained, strict=True):
        variable.assign(value)
    update_batch_normalization(model, data, 32)
    for ours, theirs in zip(moving(model), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert {layer.momentum for layer in normalizations(model)} == {0.99}


def normalizations(model):
    kind = keras.layers.BatchNormalization
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def test_more_images_per_batch_than_there_are_takes_all():
    model = shaken(small("deep"))
    update_batch_normalization(model, IMAGES)
    for ours, theirs in zip(moving(model), batch_statistics(model, IMAGES), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_without_batch_normalization_nothing_happens():
    model = small("linear")
    before = others(model)
    update_batch_normalization(model, IMAGES)
    for ours, theirs in zip(others(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
