"""The pretrained classifier against NumPy on the autoencoder's own codes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ae
from keras_ae.layers import IdentityBottleneck
from keras_ae.transfer import PretrainedEncoder, pretrained_classifier
from keras_ae.variants import VARIANTS

IMAGE_SHAPE, LATENT_DIM, NUM_CLASSES = (4, 5), 3, 4
# Each has a bottleneck or a corruption of its own.
NAMES = ("sparse", "denoising", "vae", "vq_vae")
LATENT_LOSS = ("sparse", "vae", "vq_vae")


def small(name, image_shape=IMAGE_SHAPE):
    keras.utils.set_random_seed(0)
    arguments = {} if name == "shallow" else {"hidden_units": (6,)}
    model = VARIANTS[name](image_shape=image_shape, latent_dim=LATENT_DIM, seed=1, **arguments)
    if name == "vq_vae":  # codebooks as wide as the codes, like after training
        model.bottleneck.embeddings.assign(np.linspace(-2, 2, 512)[None].repeat(LATENT_DIM, 0))
    for layer in model.encoder._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.linspace(-0.2, 0.2, 6))
            layer.moving_variance.assign(np.linspace(0.2, 2.0, 6))
    return model


def images_and_labels(number=24, image_shape=IMAGE_SHAPE):
    random = np.random.default_rng(0)
    images = random.uniform(0, 1, (number, *image_shape)).astype("float32")
    return images, random.integers(0, NUM_CLASSES, number)


def compiled(model, freeze):
    classifier = pretrained_classifier(model, NUM_CLASSES, freeze=freeze)
    # Eagerly, because tracing takes longer than these few steps.
    classifier.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", run_eagerly=True
    )
    return classifier


def softmax(codes, classifier):
    kernel, bias = (np.float64(w) for w in classifier.get_layer("probabilities").get_weights())
    scores = np.float64(codes) @ kernel + bias
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def changed(before, after):
    return [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_classifier_is_a_softmax_of_the_deterministic_code(name, freeze):
    model, (images, _) = small(name), images_and_labels()
    classifier = pretrained_classifier(model, NUM_CLASSES, freeze=freeze)
    expected = softmax(model.encode(images), classifier)
    np.testing.assert_allclose(classifier(images), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_classifier_trains_only_the_softmax_layer(name):
    model, (images, labels) = small(name), images_and_labels()
    classifier = compiled(model, freeze=True)
    before = classifier.get_weights()
    classifier.fit(images, labels, batch_size=12, verbose=0)
    assert changed(before, classifier.get_weights()) == [False] * (len(before) - 2) + [True] * 2
    assert len(classifier.trainable_weights) == 2


@pytest.mark.parametrize("name", NAMES)
def test_frozen_encoder_runs_in_inference_mode(name):
    model, (images, _) = small(name), images_and_labels()
    classifier = pretrained_classifier(model, NUM_CLASSES)
    expected = softmax(model.encode(images), classifier)
    np.testing.assert_allclose(classifier(images, training=True), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_fine_tuning_changes_its_own_copy_of_the_encoder(name):
    model, (images, labels) = small(name), images_and_labels()
    weights = model.get_weights()
    codes = model.encode(images)
    classifier = compiled(model, freeze=False)
    pretrained = classifier.get_layer("encoder").encoder
    before = pretrained.get_weights()
    classifier.fit(images, labels, batch_size=12, verbose=0)
    assert all(changed(before, pretrained.get_weights()))
    assert not any(changed(weights, model.get_weights()))
    np.testing.assert_array_equal(model.encode(images), codes)


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("name", LATENT_LOSS)
def test_latent_loss_is_not_added(name, freeze):
    model, (images, labels) = small(name), images_and_labels()
    model(images[:1])
    assert model.losses, "or there is nothing to see"
    classifier = compiled(model, freeze=freeze)
    probabilities = softmax(model.encode(images), classifier)
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert classifier.evaluate(images, labels, batch_size=24, verbose=0) == pytest.approx(
        expected, rel=1e-4
    )
    assert classifier.losses == []


def test_gradients_pass_straight_through_the_quantization():
    model, (images, _) = small("vq_vae"), images_and_labels()
    layer = PretrainedEncoder(model.encoder, model.bottleneck)
    layer(images)
    with tf.GradientTape(persistent=True) as tape:
        latents = tf.reduce_sum(layer(images))
        codes = tf.reduce_sum(model.encoder(images, training=False))
    variables = model.encoder.trainable_variables
    for through, around in zip(
        tape.gradient(latents, variables), tape.gradient(codes, variables), strict=True
    ):
        np.testing.assert_allclose(through, around, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "freeze"), [("denoising", True), ("sparse", False), ("vae", False), ("vq_vae", True)]
)
def test_saved_classifier_can_be_loaded(name, freeze, tmp_path):
    model, (images, labels) = small(name), images_and_labels()
    classifier = compiled(model, freeze=freeze)
    classifier.fit(images, labels, batch_size=24, verbose=0)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    np.testing.assert_allclose(loaded(images), classifier(images), atol=1e-6)
    assert len(loaded.trainable_weights) == len(classifier.trainable_weights)
    weights = loaded.get_layer("encoder").encoder.get_weights()
    loaded.fit(images, labels, batch_size=24, verbose=0)
    assert any(changed(weights, loaded.get_layer("encoder").encoder.get_weights())) != freeze


def test_frozen_encoder_can_be_unfrozen_later():
    model, (images, labels) = small("denoising"), images_and_labels()
    classifier = compiled(model, freeze=True)
    encoder = classifier.get_layer("encoder")
    encoder.trainable = True
    classifier.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    before = encoder.encoder.get_weights()
    classifier.fit(images, labels, batch_size=24, verbose=0)
    assert all(changed(before, encoder.encoder.get_weights()))


def test_images_with_channels_are_classified():
    model = small("vae", (4, 5, 3))
    images, _ = images_and_labels(image_shape=(4, 5, 3))
    classifier = pretrained_classifier(model, NUM_CLASSES)
    assert classifier.input_shape == (None, 4, 5, 3)
    assert classifier(images).shape == (24, NUM_CLASSES)


def test_feature_map_codes_are_flattened():
    class Convolutional:
        image_shape, needs_labels = (4, 4, 1), False
        encoder = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])
        bottleneck = IdentityBottleneck()

    classifier = pretrained_classifier(Convolutional, NUM_CLASSES)
    images = np.random.default_rng(0).uniform(0, 1, (5, 4, 4, 1)).astype("float32")
    codes = Convolutional.encoder(images).numpy().reshape(5, 8)
    np.testing.assert_allclose(classifier(images), softmax(codes, classifier), atol=1e-5)


@pytest.mark.parametrize("num_classes", [1, 0, 2.5, "ten", None])
def test_fewer_than_two_classes_are_refused(num_classes):
    with pytest.raises(ValueError, match="num_classes must be"):
        pretrained_classifier(small("shallow"), num_classes)


def test_freeze_must_be_a_bool():
    with pytest.raises(ValueError, match="freeze must be True or False"):
        pretrained_classifier(small("shallow"), 3, freeze="no")


def test_classifier_is_public():
    assert keras_ae.pretrained_classifier is pretrained_classifier
