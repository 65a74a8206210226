"""The reference classifier: a small CNN that shows how realistic generated images are.

It is trained once for each data set and cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ae.evaluation.comparisons.base import ReferenceClassifier
from keras_ae.files import atomic_write

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

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
    epochs = num_steps(num_images) * batch_size(num_images) / num_images
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
        classifier = keras.models.load_model(path, compile=False)
        shapes = classifier.input_shape[1:], classifier.get_layer("features").output.shape[1:]
        fits = shapes == (tuple(image_shape), (NUM_FEATURES,))
        return classifier if fits and classifier.output_shape[1:] == (num_classes,) else None
    except Exception:  # a damaged archive raises many kinds
        return None


def train_classifier(train: Subset, num_classes: int, seed: int) -> keras.Model:
    """A classifier of the training images; the same one for the same seed."""
    import keras

    classifier = build_classifier(train.images.shape[1:], num_classes, seed)
    steps = num_steps(len(train))
    classifier.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
    )
    batches = shuffled_batches(train.images, train.labels, batch_size(len(train)), steps, seed=seed)
    classifier.fit(batches, shuffle=False, verbose=0)
    return classifier


def build_classifier(image_shape: Sequence[int], num_classes: int, seed: int) -> keras.Model:
    """The untrained network."""
    import keras

    layers = keras.layers
    height, width, *channels = image_shape
    seeds = iter(range(seed, seed + 4))

    def kernel():
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


def batch_size(num_images: int) -> int:
    """256 from 10,000 images on; 64, or all images where there are fewer, below that."""
    return 256 if num_images >= 10_000 else min(64, num_images)


def num_steps(num_images: int) -> int:
    """The steps of five epochs, at least 600."""
    return max(MIN_STEPS, EPOCHS * (num_images // batch_size(num_images)))


def shuffled_batches(
    inputs: np.ndarray, targets: np.ndarray, batch_size: int, num_steps: int, *, seed: int
) -> tf.data.Dataset:
    """`num_steps` full batches, taken from one shuffled pass over the data after another.

    Args:
        inputs, targets: Arrays of one length N.
        batch_size: At most N.
        num_steps: Number of batches in total.
        seed: The batches depend on it alone, not on TensorFlow's global seed.
    """
    import tensorflow as tf

    random = np.random.default_rng(seed)
    num_batches = len(inputs) // batch_size
    orders = [
        random.permutation(len(inputs))[: num_batches * batch_size].reshape(num_batches, batch_size)
        for _ in range(-(-num_steps // num_batches))
    ]
    indices = np.concatenate(orders)[:num_steps]
    inputs, targets = tf.constant(inputs), tf.constant(targets)
    return (
        tf.data.Dataset.from_tensor_slices(indices)
        .map(lambda chosen: (tf.gather(inputs, chosen), tf.gather(targets, chosen)))
        .prefetch(2)
    )
