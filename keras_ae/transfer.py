"""A trained autoencoder's encoder as the start of a classifier."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_ae.checks import check_flag, check_size
from keras_ae.layers import BinaryBottleneck, ScalarQuantizer, VectorQuantizer

DISCRETE = (BinaryBottleneck, VectorQuantizer, ScalarQuantizer)


@keras.saving.register_keras_serializable(package="keras_ae")
class PretrainedEncoder(keras.layers.Layer):
    """Images to an autoencoder's deterministic latents: encoder, then bottleneck, as one layer.

    The bottleneck always infers: the mean of a Gaussian code, the nearest codes of a quantised one
    or the bits of a binary one (gradients pass straight through those). It does not learn, and its
    latent loss is no loss of this layer's model.
    While the layer is trainable the encoder does in training what it did in its own (batch
    statistics, corruption); frozen, with `trainable = False`, it is in inference mode throughout.

    Args:
        encoder: Images `(batch, *image_shape)` to codes.
        bottleneck: Codes to latents.
    """

    def __init__(self, encoder: keras.Model, bottleneck: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bottleneck = bottleneck
        encoder.trainable = self.trainable  # Keras passes on only what changes later
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
        if isinstance(self.bottleneck, DISCRETE):
            latents = encoded + tf.stop_gradient(latents - encoded)
        return latents

    def compute_output_shape(self, input_shape):
        return self.bottleneck.compute_output_shape(self.encoder.compute_output_shape(input_shape))

    def get_config(self) -> dict:
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


def pretrained_classifier(model, num_classes: int, freeze: bool = True) -> keras.Model:
    """An ordinary Keras classifier on the deterministic code of a trained autoencoder.

    One softmax layer, called "probabilities", on a copy of the encoder, called "encoder": fitting
    the classifier never changes `model`. Compile it as any other:

        classifier = pretrained_classifier(model, num_classes=10)
        classifier.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        classifier.fit(images, labels, epochs=50)

    Args:
        model: A trained autoencoder: its `encoder`, `bottleneck` and `image_shape` are used.
        num_classes: >= 2.
        freeze: True trains the softmax layer alone, the encoder in inference mode; False
            fine-tunes the encoder too. To unfreeze later, set
            `classifier.get_layer("encoder").trainable = True` and compile again.

    Returns:
        A model of images in [0, 1], `(batch, *image_shape)`, to class probabilities
        `(batch, num_classes)`.

    Raises:
        ValueError: an argument outside its range, or a model that needs labels.
    """
    if getattr(model, "needs_labels", False):
        raise ValueError(
            "model must have an encoder of images alone; received a "
            f"{type(model).__name__}, whose encoder takes their labels too."
        )
    if check_size("num_classes", num_classes) < 2:
        raise ValueError(f"num_classes must be >= 2; received {num_classes}.")
    check_flag("freeze", freeze)
    images = keras.Input(tuple(model.image_shape), name="images")
    pretrained = PretrainedEncoder(
        fresh_copy(model.encoder),
        fresh_copy(model.bottleneck),
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


def fresh_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The same layer with weights of its own, as they are before any training."""
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
