"""The reference classifier: a small CNN that shows how realistic generated images are.

It is trained once for each data set and cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ae.evaluation.comparisons.base import ReferenceClassifier
from keras_ae.files import atomic_write

if TYPE_CHECKING:
    import keras

    from keras_ae.data import Split, Subset

VERSION = 1  # bump it when the trained classifier changes
NUM_FEATURES = 64
EPOCHS = 5
MIN_STEPS = 600  # on small sets
BATCH_SIZE = 1000  # images in one call


def train_reference_classifier(
    split: Split, num_classes: int, path: Path, *, seed: int = 0
) -> ReferenceClassifier:
    """The classifier of a data set, read from `path` or trained and written there.

    Two 3x3 convolutions of 16 and 32 filters, each followed by 2x2 max pooling, a dense layer of
    64 ReLU units, whose outputs are the features, and a softmax. Adam on the cross-entropy, five
    epochs; on small sets more, until 600 steps are done.

    Args:
        split: Images `(N, H, W)` or `(N, H, W, C)` in [0, 1], with labels.
        num_classes: Labels lie in `range(num_classes)`.
        path: A `.keras` file. A damaged file, or one for other images, is replaced.
        seed: Seed of the initial weights and of the order of the images.

    Raises:
        ValueError: the split has no labels.
        OSError: `path` cannot be written.
    """
    if split.train.labels is None or split.test.labels is None:
        raise ValueError("The reference classifier needs labels; the split has none.")
    path = Path(path)
    classifier = load_classifier(path, split.train.images.shape[1:], num_classes)
    if classifier is None:
        classifier = train_classifier(split.train, num_classes, seed)
        atomic_write(path, classifier.save)
    return wrap_classifier(classifier, split)


def wrap_classifier(classifier: keras.Model, split: Split) -> ReferenceClassifier:
    """The features and probabilities of a trained classifier, computed in batches."""
    import keras
    import tensorflow as tf

    from keras_ae.training.batches import default_batch_size

    both = keras.Model(
        classifier.inputs,
        [classifier.get_layer(name).output for name in ("features", "probabilities")],
    )
    run = tf.function(both, reduce_retracing=True)

    def output(index: int, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images, dtype=np.float32)
        batches = np.split(images, range(BATCH_SIZE, len(images), BATCH_SIZE))
        return np.concatenate([run(tf.constant(batch))[index].numpy() for batch in batches])

    def features(images: np.ndarray) -> np.ndarray:
        return output(0, images)

    def probabilities(images: np.ndarray) -> np.ndarray:
        return output(1, images)

    correct = probabilities(split.test.images).argmax(axis=1) == split.test.labels
    num_images = len(split.train)
    epochs = num_steps(num_images) * default_batch_size(num_images) / num_images
    return ReferenceClassifier(
        features,
        probabilities,
        "a convolutional classifier (3x3 convolutions of 16 and 32 filters, a dense layer of "
        f"{NUM_FEATURES} units, the features) after {epochs:.0f} epochs on the training images, "
        f"with a test accuracy of {correct.mean():.2%}",
    )


def load_classifier(path: Path, image_shape: Sequence[int], num_classes: int) -> keras.Model | None:
    """The classifier in `path`; None if there is none, or a damaged one, or one of other shapes."""
    import keras

    try:
        classifier: Any = keras.models.load_model(path, compile=False)
        shapes = classifier.input_shape[1:], classifier.get_layer("features").output.shape[1:]
        fits = shapes == (tuple(image_shape), (NUM_FEATURES,))
        return classifier if fits and classifier.output_shape[1:] == (num_classes,) else None
    except Exception:  # a damaged archive raises many kinds
        return None


def train_classifier(train: Subset, num_classes: int, seed: int) -> keras.Model:
    """A classifier of the training images; the same one for the same seed."""
    import keras

    from keras_ae.training.batches import default_batch_size, shuffled_batches

    assert train.labels is not None
    classifier: Any = build_classifier(train.images.shape[1:], num_classes, seed)
    steps = num_steps(len(train))
    schedule: Any = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    classifier.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
    )
    batch_size = default_batch_size(len(train))
    batches = shuffled_batches(train.images, train.labels, batch_size, steps, seed=seed)
    classifier.fit(batches, shuffle=False, verbose=0)
    return classifier


def build_classifier(image_shape: Sequence[int], num_classes: int, seed: int) -> keras.Model:
    """The untrained network."""
    import keras

    layers = keras.layers
    height, width, *channels = image_shape
    seeds = iter(range(seed, seed + 4))

    def kernel() -> Any:
        return keras.initializers.GlorotUniform(next(seeds))

    def convolution(filters: int):
        return layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer=kernel()
        )

    return keras.Sequential(
        [
            layers.Input(tuple(image_shape)),
            layers.Reshape((height, width, *(channels or [1]))),
            convolution(16),
            layers.MaxPooling2D(padding="same"),
            convolution(32),
            layers.MaxPooling2D(padding="same"),
            layers.Flatten(),
            layers.Dense(
                NUM_FEATURES, activation="relu", kernel_initializer=kernel(), name="features"
            ),
            layers.Dense(
                num_classes, activation="softmax", kernel_initializer=kernel(), name="probabilities"
            ),
        ],
        name="reference_classifier",
    )


def num_steps(num_images: int) -> int:
    """The steps of five epochs, at least 600."""
    from keras_ae.training.batches import default_batch_size

    return max(MIN_STEPS, EPOCHS * (num_images // default_batch_size(num_images)))
