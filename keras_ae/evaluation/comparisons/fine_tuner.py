"""Fine-tuning of an encoder with a softmax layer on few labels: many short fits, compiled once."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

import numpy as np

from keras_ae.evaluation.comparisons.common import in_batches

BATCH_SIZE, STEPS_PER_CALL = 50, 50
# On the validation images of MNIST a learning rate of 3e-3 was better than 1e-3, for the shallow,
# deep and variational autoencoder, and about as good as four times the steps at 1e-3.
LEARNING_RATE = 3e-3
MAX_KEPT = 8  # compiled classifiers; with the state of Adam each is three copies of an encoder


class FineTuner:
    """The classifier of `pretrained_classifier(freeze=False)`, compiled once for many fits.

    Up to 50 steps run in one compiled call: with these small batches, most of the time of `fit` of
    Keras is spent between the steps. Use `FineTuner.of`.

    Args:
        model: An autoencoder; its layers count, not its weights.
        num_classes: Number of classes.
    """

    _kept: ClassVar[dict[tuple[str, int], FineTuner]] = {}

    @classmethod
    def of(cls, model: Any, num_classes: int) -> FineTuner:
        """The one of a model with such layers; the few that were used last are kept."""
        key = architecture(model), num_classes
        tuner = cls._kept.pop(key, None) or cls(model, num_classes)
        cls._kept[key] = tuner  # the last one now
        for oldest in list(cls._kept)[:-MAX_KEPT]:
            del cls._kept[oldest]
        return tuner

    def __init__(self, model: Any, num_classes: int):
        import keras
        import tensorflow as tf

        from keras_ae.transfer import pretrained_classifier

        self._classifier: Any = pretrained_classifier(model, num_classes, freeze=False)
        self._classifier.compile(
            keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy"
        )
        self._classifier.optimizer.build(self._classifier.trainable_variables)
        everything = [*self._classifier.variables, *self._classifier.optimizer.variables]
        self._noise = [one for one in everything if one.name == "seed_generator_state"]
        self._start = [(one, one.numpy()) for one in everything]
        # XLA halves the time of dense layers; on a CPU it makes convolutions much slower.
        convolutions = any(len(weight.shape) > 2 for weight in model.encoder.weights)
        self._run_steps = tf.function(
            self._steps, autograph=False, jit_compile=not convolutions, reduce_retracing=True
        )
        self._call = tf.function(
            lambda images: self._classifier(images, training=False), reduce_retracing=True
        )

    def restart(self, encoder: list[np.ndarray], bottleneck: list[np.ndarray], seed: int) -> None:
        """Set the weights of the encoder and of the bottleneck, and all else to its start.

        Args:
            encoder, bottleneck: Weights, as from `get_weights`.
            seed: Seed of the initial weights of the softmax layer, and of noise in the encoder.
        """
        import keras

        for variable, value in self._start:
            variable.assign(value)
        for number, state in enumerate(self._noise):
            state.assign([seed % 2**31, number])
        pretrained = self._classifier.get_layer("encoder")
        pretrained.encoder.set_weights(encoder)
        pretrained.bottleneck.set_weights(bottleneck)
        head = self._classifier.get_layer("probabilities")
        head.kernel.assign(keras.initializers.GlorotUniform(seed)(head.kernel.shape))

    def fit(self, images: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> None:
        """Train on batches of images.

        Args:
            images: `(N, *image_shape)`.
            labels: `(N,)`.
            batches: Indices of the images of each step, `(num_steps, batch_size)`.
        """
        import tensorflow as tf

        data = tf.constant(images), tf.constant(labels)
        for start in range(0, len(batches), STEPS_PER_CALL):
            self._run_steps(*data, tf.constant(batches[start : start + STEPS_PER_CALL]))

    def _steps(self, images: Any, labels: Any, batches: Any) -> None:
        import tensorflow as tf

        def body(step):
            chosen = batches[step]
            self._classifier.train_step((tf.gather(images, chosen), tf.gather(labels, chosen)))
            return (step + 1,)

        number = tf.shape(batches)[0]
        tf.while_loop(lambda step: step < number, body, (0,), parallel_iterations=1)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities, `(N, num_classes)`."""
        import tensorflow as tf

        return np.concatenate(
            [self._call(tf.constant(batch)).numpy() for batch in in_batches(images)]
        )

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The share of the images that are given their label."""
        return float(np.mean(self.probabilities(images).argmax(axis=-1) == labels))


def batches_of(num_images: int, num_steps: int, seed: int) -> np.ndarray:
    """Batches of 50 indices, from one shuffled pass after another, `(num_steps, 50)`."""
    import tensorflow as tf

    indices = tf.data.Dataset.range(num_images, output_type=tf.int32)
    batches = indices.shuffle(num_images, seed=seed).repeat().batch(BATCH_SIZE)
    return np.stack(list(batches.take(num_steps).as_numpy_iterator()))


def architecture(model: Any) -> str:
    """The layers of an encoder and of its bottleneck, with all settings but the numbers in names.

    Two models with the same answer differ in nothing but their weights.
    """
    import keras

    def unnumbered(part: Any) -> Any:
        if isinstance(part, dict):
            return {
                key: re.sub(r"_\d+$", "", value)
                if key == "name" and isinstance(value, str)
                else unnumbered(value)
                for key, value in part.items()
            }
        return [unnumbered(value) for value in part] if isinstance(part, list | tuple) else part

    encoder: Any = keras.saving.serialize_keras_object(model.encoder)
    bottleneck: Any = keras.saving.serialize_keras_object(model.bottleneck)
    bottleneck.pop("build_config", None)  # the shape of what the encoder returns, if it is built
    bottleneck["config"].pop("name")
    return json.dumps(unnumbered([encoder, bottleneck]), sort_keys=True, default=str)
