"""Transfer learning: a trained autoencoder's encoder as the start of a classifier."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.checks import check_flag, check_size
from keras_ae.layers import Bottleneck
from keras_ae.variants.base import Autoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class PretrainedEncoder(keras.layers.Layer):
    """Pretrained encoder layer: images to an autoencoder's deterministic latent codes.

    It applies the encoder, then the bottleneck. The bottleneck always runs in inference mode: the
    mean of a Gaussian code, the nearest codebook entries of a quantized one, the bits of a binary
    one (gradients pass straight through discrete codes). It is not trained, and its latent loss is
    not added to the classifier's losses. While the layer is trainable, the encoder behaves in
    training as in the autoencoder (batch statistics, corruption). With `trainable = False` it is in
    inference mode throughout.

    Args:
        encoder: A model from images `(batch, *image_shape)` to codes.
        bottleneck: A `Bottleneck`, from codes to latents.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(self, encoder: Any, bottleneck: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bottleneck = bottleneck
        # Files of version 0.1.0 have a Keras layer as the bottleneck of an unconstrained code.
        self._is_discrete = isinstance(bottleneck, Bottleneck) and bottleneck.is_discrete
        encoder.trainable = self.trainable  # Keras passes on later changes only
        bottleneck.trainable = False

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if not self.bottleneck.built:
            self.bottleneck.build(self.encoder.compute_output_shape(input_shape))

    def call(self, images, training=False):
        encoded = self.encoder(images, training=bool(training) and self.trainable)
        encoded = tf.cast(encoded, self.bottleneck.compute_dtype)
        # In this scope the bottleneck's losses are dropped, not added to the classifier's.
        with keras.StatelessScope():
            latents = self.bottleneck(encoded, training=False)
        if self._is_discrete:
            latents = encoded + tf.stop_gradient(latents - encoded)
        return latents

    def compute_output_shape(self, input_shape):
        return self.bottleneck.compute_output_shape(self.encoder.compute_output_shape(input_shape))

    def get_config(self) -> dict[str, Any]:
        parts = {"encoder": self.encoder, "bottleneck": self.bottleneck}
        serialized = {
            name: keras.saving.serialize_keras_object(part) for name, part in parts.items()
        }
        return {**super().get_config(), **serialized}

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "bottleneck")
        }
        return cls(**{**config, **parts})


def pretrained_classifier(model: Autoencoder, num_classes: int, freeze: bool = True) -> keras.Model:
    """A Keras classifier on the latent code of a trained autoencoder.

    It is one softmax layer, named "probabilities", on a copy of the encoder, named "encoder", so
    training the classifier never changes `model`. Compile and fit it like any Keras model.

    Example:
        classifier = pretrained_classifier(model, num_classes=10)
        classifier.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        classifier.fit(images, labels, epochs=50)

    Args:
        model: A trained autoencoder.
        num_classes: Number of classes, >= 2.
        freeze: True trains the softmax layer only; False fine-tunes the encoder too. To unfreeze
            later, set `classifier.get_layer("encoder").trainable = True` and compile again.

    Returns:
        A model from images in [0, 1], `(batch, *image_shape)`, to class probabilities,
        `(batch, num_classes)`.

    Raises:
        ValueError: an argument outside its range, or a model that needs labels.
    """
    if model.needs_labels:
        raise ValueError(
            "model must have an encoder that takes images alone; received a "
            f"{type(model).__name__}, whose encoder takes labels too."
        )
    if check_size("num_classes", num_classes) < 2:
        raise ValueError(f"num_classes must be >= 2; received {num_classes}.")
    check_flag("freeze", freeze)
    images = keras.Input(tuple(model.image_shape), name="images")
    pretrained = PretrainedEncoder(
        untrained_copy(model.encoder),
        untrained_copy(model.bottleneck),
        trainable=not freeze,
        name="encoder",
    )
    latents = pretrained(images)
    pretrained.encoder.set_weights(model.encoder.get_weights())
    pretrained.bottleneck.set_weights(model.bottleneck.get_weights())
    if len(latents.shape) > 2:
        latents = keras.layers.Flatten(name="flatten")(latents)
    probabilities = keras.layers.Dense(
        int(num_classes), activation="softmax", dtype="float32", name="probabilities"
    )
    return keras.Model(images, probabilities(latents), name="classifier")


def untrained_copy(layer: Any) -> Any:
    """A copy of a layer with new, untrained weights."""
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
