"""PixelCNN: an autoregressive prior over maps of codebook indices."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ae.checks import check_number, check_size, check_sizes
from keras_ae.layers.noisy import random_words
from keras_ae.training.arguments import check_batch_size
from keras_ae.training.feed import epoch_order

BATCH_SIZE = 64


@keras.saving.register_keras_serializable(package="keras_ae")
class PixelCNN(keras.layers.Layer):
    """Gated PixelCNN: the probability of each index of a map, given the indices before it.

    The order is row by row, left to right (van den Oord et al., arXiv 1606.05328, section 2). A
    vertical stack sees the rows above; a horizontal stack sees the indices to the left in the same
    row and, in each block, the output of the vertical stack. There is no blind spot. Shifting the
    input once by a row and once by a column keeps the order (Salimans et al., arXiv 1701.05517,
    section 2.3); there are no masks. Each block reaches one row and one column further: a position
    sees `num_blocks + 2` rows up and `num_blocks + 2` columns to the left.

    Input: int32 `(batch, height, width)`; output: float32 logits `(batch, height, width,
    num_embeddings)`. Until it is trained all logits are 0: the distribution is uniform.

    Args:
        map_shape: `(height, width)` of a map, each >= 1.
        num_embeddings: Number of values of an index, >= 2.
        filters: Channels of both stacks, >= 1.
        num_blocks: Gated blocks, >= 1.
        seed: Seed of the initial weights and of the order of the maps in `fit`: a whole number, or
            None.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        map_shape=(7, 7),
        num_embeddings: int = 64,
        filters: int = 48,
        num_blocks: int = 4,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.map_shape = check_sizes("map_shape", map_shape, lengths=(2,))
        if check_size("num_embeddings", num_embeddings) < 2:
            raise ValueError(f"num_embeddings must be >= 2; received {num_embeddings!r}.")
        self.num_embeddings = int(num_embeddings)
        self.filters = check_size("filters", filters)
        self.num_blocks = check_size("num_blocks", num_blocks)
        self.seed = seed
        self._num_kernels = 0
        self._create_layers()

    def _create_layers(self) -> None:
        filters, blocks = self.filters, range(self.num_blocks)
        initializer: Any = keras.initializers.RandomNormal(seed=self._next_seed())
        self.embedding = keras.layers.Embedding(
            self.num_embeddings,
            filters,
            embeddings_initializer=initializer,
            dtype=self.dtype_policy,
            name="embedding",
        )
        self.first_above = self._convolution(filters, (2, 3), "first_above")
        self.first_left = self._convolution(filters, (1, 2), "first_left")
        self.above = [self._convolution(2 * filters, (2, 3), f"above_{n}") for n in blocks]
        self.left = [self._convolution(2 * filters, (1, 2), f"left_{n}") for n in blocks]
        self.down = [self._convolution(2 * filters, (1, 1), f"down_{n}") for n in blocks]
        self.mix = [self._convolution(filters, (1, 1), f"mix_{n}") for n in blocks]
        self.last = self._convolution(filters, (1, 1), "last")
        self.logits = keras.layers.Conv2D(
            self.num_embeddings, 1, kernel_initializer="zeros", dtype="float32", name="logits"
        )

    def _convolution(self, filters: int, size, name: str) -> keras.layers.Conv2D:
        initializer: Any = keras.initializers.GlorotUniform(self._next_seed())
        return keras.layers.Conv2D(
            filters,
            size,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )

    def _next_seed(self) -> int | None:
        """A different seed for each kernel; equal seeds would make them equal."""
        self._num_kernels += 1
        return None if self.seed is None else self.seed % 2**31 + self._num_kernels

    def build(self, input_shape=None):
        self.call(tf.zeros((1, *self.map_shape), tf.int32))  # each layer builds itself

    @property
    def is_fitted(self) -> bool:
        """Whether it has been trained, so that it is not uniform."""
        return bool(np.any(np.asarray(self.logits.kernel) != 0.0))

    # ---- the network ----

    def call(self, indices):
        embedded = self.embedding(indices)
        return self._along_rows(embedded, self._rows_above(embedded))

    def _rows_above(self, embedded) -> list:
        """The vertical stack: the features of the rows above, after each block."""
        above = self.first_above(padded(shifted(embedded, down=1), top=1, left=1, right=1))
        stack = [above]
        for convolution in self.above:
            above = above + gated(convolution(padded(above, top=1, left=1, right=1)))
            stack.append(above)
        return stack

    def _along_rows(self, embedded, stack: list) -> tf.Tensor:
        """The horizontal stack and the logits. Rows are independent, apart from `stack`."""
        here = stack[0] + self.first_left(padded(shifted(embedded, right=1), left=1))
        blocks = zip(stack[1:], self.left, self.down, self.mix, strict=True)
        for above, left, down, mix in blocks:
            here = here + mix(gated(left(padded(here, left=1)) + down(above)))
        return self.logits(tf.nn.relu(self.last(tf.nn.relu(here))))

    # ---- likelihood and sampling ----

    def nats(self, indices) -> tf.Tensor:
        """The negative log-likelihood of each map in nats, `(batch,)`, summed over its indices."""
        terms = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=indices, logits=self(indices))
        return tf.reduce_sum(terms, axis=(1, 2))

    def draw(self, num_samples, seed) -> tf.Tensor:
        """Sample maps, one index after the other: int32 `(num_samples, height, width)`.

        Args:
            num_samples: A whole number, or an int32 scalar.
            seed: Two whole numbers, or an int32 tensor of them.
        """
        height, width = self.map_shape
        chances = uniform((num_samples, height, width), seed)
        columns = tf.range(width)

        def draw_row(row, maps):
            # The vertical stack is the same for the whole row.
            stack = [level[:, row : row + 1] for level in self._rows_above(self.embedding(maps))]

            def draw_position(column, indices):
                logits = self._along_rows(self.embedding(indices), stack)[:, 0, column]
                index = sample_categorical(logits, chances[:, row, column])
                return column + 1, tf.where(columns == column, index[:, None, None], indices)

            start = (tf.constant(0), tf.zeros((num_samples, 1, width), tf.int32))
            _, indices = tf.while_loop(lambda column, _: column < width, draw_position, start)
            return row + 1, tf.where(tf.range(height)[:, None] == row, indices, maps)

        start = (tf.constant(0), tf.zeros((num_samples, height, width), tf.int32))
        return tf.while_loop(lambda row, _: row < height, draw_row, start)[1]

    # ---- training ----

    def fit(
        self,
        indices: Any,
        *,
        epochs: int = 10,
        batch_size: int | None = None,
        learning_rate: float = 2e-3,
        verbose: int | Callable[[str], None] = 0,
    ) -> list[float]:
        """Train on maps of indices with Adam.

        The result depends on the initial weights, the maps and the seed only.

        Args:
            indices: Whole numbers, `(N, height, width)`.
            epochs: >= 1. Each has a new order, which depends on (seed, epoch), and leaves out the
                maps that do not fill a batch.
            batch_size: Maps per step; default 64, or N where that is less.
            learning_rate: >= 0; it falls to 0 along a cosine over the epochs.
            verbose: 0, 1 to print a line per epoch, or a function that is called with each line.

        Returns:
            The mean of `nats` over each epoch, in nats per map.

        Raises:
            ValueError: an argument outside its range, or `trainable` is False.
        """
        if not self.trainable:
            raise ValueError(
                "This PixelCNN is part of an autoencoder and not trainable: call the autoencoder's "
                "fit_prior(images)."
            )
        epochs = check_size("epochs", epochs)
        indices = self._checked(indices)
        if not self.built:
            self.build()
        if batch_size is None:
            batch_size = min(BATCH_SIZE, len(indices))
        batch_size = check_batch_size(batch_size, len(indices))
        seed = random.randrange(2**31) if self.seed is None else self.seed
        num_steps = len(indices) // batch_size
        rate: Any = keras.optimizers.schedules.CosineDecay(
            check_number("learning_rate", learning_rate), epochs * num_steps
        )
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(self.trainable_variables)

        def step(batch):
            with tf.GradientTape() as tape:
                nats = tf.reduce_mean(self.nats(batch))
            variables = self.trainable_variables
            optimizer.apply(tape.gradient(nats, variables), variables)
            return nats

        step = tf.function(step, autograph=False)
        history = []
        for epoch in range(epochs):
            order = epoch_order(len(indices), seed, epoch)[: num_steps * batch_size]
            batches = tf.split(order, num_steps)
            history.append(float(np.mean([step(tf.gather(indices, batch)) for batch in batches])))
            if verbose:
                line = f"prior, epoch {epoch + 1} of {epochs}: {history[-1]:.2f} nats/map"
                verbose(line) if callable(verbose) else print(line, flush=True)
        return history

    def _checked(self, indices) -> tf.Tensor:
        indices = np.asarray(indices)
        if indices.shape[1:] != self.map_shape or not len(indices):
            height, width = self.map_shape
            raise ValueError(
                f"indices must have the shape (N, {height}, {width}); received {indices.shape}."
            )
        lowest, highest = indices.min(), indices.max()
        if indices.dtype.kind not in "iu" or lowest < 0 or highest >= self.num_embeddings:
            raise ValueError(
                f"indices must be whole numbers from 0 to {self.num_embeddings - 1}; received "
                f"{indices.dtype} from {lowest} to {highest}."
            )
        return tf.constant(indices, tf.int32)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "map_shape": self.map_shape,
            "num_embeddings": self.num_embeddings,
            "filters": self.filters,
            "num_blocks": self.num_blocks,
            "seed": self.seed,
        }


def padded(maps, top: int = 0, left: int = 0, right: int = 0) -> tf.Tensor:
    """Zeros around maps `(batch, height, width, channels)`; none below, where later rows are."""
    return tf.pad(maps, [[0, 0], [top, 0], [left, right], [0, 0]])


def shifted(maps, down: int = 0, right: int = 0) -> tf.Tensor:
    """Maps shifted down or to the right, filled with zeros."""
    height, width = tf.shape(maps)[1], tf.shape(maps)[2]
    return padded(maps, top=down, left=right)[:, :height, :width]


def gated(features) -> tf.Tensor:
    """Gated activation (eq. 2): tanh of the first half of the channels, times sigmoid of rest."""
    values, gates = tf.split(features, 2, axis=-1)
    return tf.tanh(values) * tf.sigmoid(gates)


def uniform(shape, seed) -> tf.Tensor:
    """Uniform numbers in [0, 1), the same with and without XLA, unlike those of tf.random."""
    # The 24 bits that a float32 holds exactly.
    bits = tf.bitwise.right_shift(random_words(shape, seed), tf.constant(8, tf.uint32))
    return tf.cast(tf.cast(bits, tf.int32), tf.float32) / 2.0**24


def sample_categorical(logits, chances) -> tf.Tensor:
    """Inverse transform sampling: where the cumulative probabilities exceed `chances`.

    Args:
        logits: `(batch, num)`.
        chances: Uniform numbers in [0, 1), `(batch,)`.

    Returns:
        int32, `(batch,)`.
    """
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    # Rounding may leave the last sum below 1.
    reached = cumulative[:, :-1] <= chances[:, None]
    return tf.reduce_sum(tf.cast(reached, tf.int32), axis=-1)
