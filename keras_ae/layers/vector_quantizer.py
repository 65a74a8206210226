"""Vector quantization with one shared codebook."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import FixedArgument, SettableNumber, current_value
from keras_ae.checks import check_number, check_size
from keras_ae.layers.bottleneck import Bottleneck
from keras_ae.layers.noisy import NoisyLayer
from keras_ae.layers.quantization import codebook_statistics, first_smallest, squared_error

EPSILON = 1e-5  # smooths the counts of the moving averages
FLOOR = 0.01  # a vector with fewer inputs per step (moving average) is not moved


def _check_decay(name: str, value: Any) -> float:
    decay = check_number(name, value, 0.0, 1.0)
    if decay == 1.0:
        raise ValueError(f"{name} must be a number >= 0 and < 1; received {value!r}.")
    return decay


@keras.saving.register_keras_serializable(package="keras_ae")
class VectorQuantizer(NoisyLayer, Bottleneck):
    """Vector quantization: one codebook of vectors, shared by all positions.

    Every vector along the last axis of a tensor is replaced by the nearest of `num_embeddings`
    codebook vectors, as in a VQ-VAE. The gradient is passed straight through (van den Oord et al.,
    arXiv 1711.00937, section 3.2). The layer adds the loss (eq. 3, second and third term)
    `sum |sg[z] - e|^2 + commitment_cost * sum |z - sg[e]|^2`, summed over the whole code and
    averaged over the batch.

    Input and output: `(batch, ..., channels)`, from a dense or a convolutional encoder.

    Example:

    ```python
    quantizer = VectorQuantizer(512)
    quantizer(tf.zeros((8, 7, 7, 64)))           # (8, 7, 7, 64)
    quantizer.indices(tf.zeros((8, 7, 7, 64)))   # (8, 7, 7), int32 in [0, 512)
    ```

    With `ema_decay` the codebook is not trained by gradient: the codebook loss is left out, and
    each training step moves every codebook vector to the moving average of the inputs that chose
    it (appendix A.1: N = decay * N + (1 - decay) * n, m = decay * m + (1 - decay) * sum of z,
    e = m / N). The averages start as if each codebook vector had been chosen once, by itself. N is
    smoothed: (N + 1e-5) / (sum N + num_embeddings * 1e-5) * sum N.

    With `revive_after`, a codebook vector that no input has chosen for that many training steps is
    replaced by a random input of the batch.

    Args:
        num_embeddings: Vectors in the codebook, >= 2.
        embedding_dim: Length of a codebook vector. It must divide `channels`: each group of
            `embedding_dim` consecutive channels is one vector. None, the default, for `channels`:
            one vector at each position.
        commitment_cost: Weight of the commitment loss, >= 0. Can be set later.
        ema_decay: Decay of the moving averages, in [0, 1); None, the default, to train the codebook
            by gradient. A number can be set to another number later.
        revive_after: Training steps, >= 1; None, the default, to leave unused vectors alone.
        seed: Seed of the initial codebook, which is uniform in +-1 / num_embeddings, and of the
            replacements; an integer or None.

    Raises:
        ValueError: an argument outside its range, or an input that cannot be cut into vectors.
    """

    is_discrete = True
    num_embeddings = FixedArgument()
    embedding_dim = FixedArgument()
    commitment_cost = SettableNumber()
    ema_decay = SettableNumber(_check_decay, optional=True)
    revive_after = FixedArgument()

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int | None = None,
        commitment_cost: float = 0.25,
        ema_decay: float | None = None,
        revive_after: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(seed=seed, **kwargs)
        if check_size("num_embeddings", num_embeddings) < 2:
            raise ValueError(f"num_embeddings must be >= 2; received {num_embeddings!r}.")
        if embedding_dim is not None:
            embedding_dim = check_size("embedding_dim", embedding_dim)
        if revive_after is not None:
            revive_after = check_size("revive_after", revive_after)
        self.num_embeddings = int(num_embeddings)
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.ema_decay = ema_decay
        self.revive_after = revive_after

    def build(self, input_shape: Any) -> None:
        if len(input_shape) < 2 or None in input_shape[1:]:
            raise ValueError(
                "The input of VectorQuantizer must have the shape (batch, ..., channels), with "
                f"known sizes except the batch size; received {tuple(input_shape)}."
            )
        width = self.embedding_dim or input_shape[-1]
        self._check_channels(input_shape, width)
        if self.embedding_dim is None:
            self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: width})
        limit = 1.0 / self.num_embeddings
        self.embeddings = self._add_state(
            "embeddings",
            (self.num_embeddings, width),
            keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
            trainable=self.ema_decay is None,
        )
        if self.ema_decay is not None:
            self.ema_counts = self._add_state("ema_counts", (self.num_embeddings,), "ones")
            self.ema_sums = self._add_state("ema_sums", (self.num_embeddings, width), "zeros")
            self.ema_sums.assign(self.embeddings)
        if self.revive_after is not None:
            self.idle_steps = self._add_state("idle_steps", (self.num_embeddings,), "zeros")

    def _add_state(self, name: str, shape, initializer, trainable: bool = False):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            autocast=False,  # distances and averages need float32 in mixed precision too
            aggregation="mean",  # over replicas, which all assign the same
        )

    def _check_channels(self, shape: Any, width: int) -> None:
        """ValueError unless the last axis can be cut into vectors as in the first call."""
        channels = shape[-1] if len(shape) > 1 else 0
        if self.embedding_dim is None and channels != width:
            raise ValueError(
                f"The codebook of this VectorQuantizer was made for inputs of {width} channels, "
                f"(batch, ..., {width}); received the shape {tuple(shape)}. Create another layer "
                "for inputs of another width."
            )
        if channels < 1 or channels % width:
            raise ValueError(
                f"embedding_dim must divide the channels of the input, the last axis; received "
                f"embedding_dim {width} and the shape {tuple(shape)}."
            )

    # ---- the codebook ----

    def indices(self, inputs: Any) -> tf.Tensor:
        """The index of the nearest codebook vector of each vector; ties go to the first index.

        Returns:
            Int32, `(batch, ...)`, an index for each position; with `embedding_dim` given,
            `(batch, ..., channels / embedding_dim)`.
        """
        nearest = self._nearest(self._vectors(inputs))
        if self.embedding_dim is None:
            return tf.reshape(nearest, (-1, *inputs.shape[1:-1]))
        return tf.reshape(nearest, (-1, *inputs.shape[1:-1], inputs.shape[-1] // self._width))

    def lookup(self, indices: Any) -> tf.Tensor:
        """The codebook vectors at `indices`, float32; the inverse of `indices()`."""
        vectors = tf.gather(tf.convert_to_tensor(self.embeddings), indices)
        if self.embedding_dim is None:
            return vectors
        return tf.reshape(vectors, (-1, *indices.shape[1:-1], indices.shape[-1] * self._width))

    @property
    def _width(self) -> int:
        """Length of a codebook vector."""
        return self.embeddings.shape[1]

    def _vectors(self, inputs: Any) -> tf.Tensor:
        self._check_channels(inputs.shape, self._width)
        return tf.reshape(tf.stop_gradient(tf.cast(inputs, tf.float32)), (-1, self._width))

    def _nearest(self, vectors: Any) -> tf.Tensor:
        codebook = tf.stop_gradient(tf.convert_to_tensor(self.embeddings))
        # |z - e|^2 without |z|^2, which is the same for all. Subtracting the codebook's mean keeps
        # the digits of codes far from the origin.
        center = tf.reduce_mean(codebook, axis=0)
        codebook, vectors = codebook - center, vectors - center
        distances = tf.reduce_sum(tf.square(codebook), axis=1) - 2.0 * tf.matmul(
            vectors, codebook, transpose_b=True
        )
        return first_smallest(distances)

    def code_statistics(self, encoded: Any) -> dict[str, float]:
        """`perplexity` and `codes_used`, the share of the codebook chosen at least once."""
        return codebook_statistics(self, encoded, 1)

    def snap(self, latents: Any) -> tf.Tensor:
        """The nearest codebook vectors, float32, in the shape of `latents`."""
        latents = tf.convert_to_tensor(latents)
        vectors = tf.convert_to_tensor(self.embeddings)
        nearest = tf.gather(vectors, self._nearest(self._vectors(latents)))
        return tf.reshape(nearest, tf.shape(latents))

    # ---- the training step ----

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        dtype, inputs = inputs.dtype, tf.cast(inputs, tf.float32)
        vectors = self._vectors(inputs)
        nearest = self._nearest(vectors)
        quantized = tf.gather(tf.convert_to_tensor(self.embeddings), nearest)
        quantized = tf.reshape(quantized, (-1, *inputs.shape[1:]))
        commitment_cost = current_value(self, "commitment_cost")
        loss = commitment_cost * squared_error(inputs, tf.stop_gradient(quantized))
        if self.ema_decay is None:
            loss += squared_error(tf.stop_gradient(inputs), quantized)
        self.add_loss(tf.reduce_mean(loss))
        if training and self.trainable:
            self._update(vectors, nearest)
        if not training:
            return tf.cast(quantized, dtype)
        return tf.cast(inputs + tf.stop_gradient(quantized - inputs), dtype)

    def _update(self, vectors, nearest) -> None:
        if self.ema_decay is None and self.revive_after is None:
            return
        ones = tf.ones_like(nearest, tf.float32)
        counts = _sum_over_replicas(
            tf.math.unsorted_segment_sum(ones, nearest, self.num_embeddings)
        )
        if self.ema_decay is not None:
            sums = tf.math.unsorted_segment_sum(vectors, nearest, self.num_embeddings)
            self._follow(counts, _sum_over_replicas(sums))
        if self.revive_after is not None:
            self._revive(counts, vectors, self.revive_after)

    def _follow(self, counts, sums) -> None:
        """Move the codebook to the moving averages."""
        decay = current_value(self, "ema_decay", tf.float64)
        decay, rest = tf.cast(decay, tf.float32), tf.cast(1.0 - decay, tf.float32)
        ema_counts = decay * self.ema_counts + rest * counts
        ema_sums = decay * self.ema_sums + rest * sums
        total = tf.reduce_sum(ema_counts)
        smoothed = (ema_counts + EPSILON) / (total + self.num_embeddings * EPSILON) * total
        self.ema_counts.assign(ema_counts)
        self.ema_sums.assign(ema_sums)
        used = ema_counts[:, None] > FLOOR
        self.embeddings.assign(tf.where(used, ema_sums / smoothed[:, None], self.embeddings))

    def _revive(self, counts: Any, vectors: Any, revive_after: float) -> None:
        """Replace vectors that were not chosen for too long by random inputs of the batch."""
        idle_steps = tf.where(counts > 0.0, 0.0, self.idle_steps + 1.0)
        dead = idle_steps >= revive_after
        chosen = tf.random.stateless_uniform(
            [self.num_embeddings],
            self.next_seed(),
            maxval=tf.shape(vectors)[0],
            dtype=tf.int32,
            alg="philox",
        )
        new = _of_first_replica(tf.gather(vectors, chosen))
        self.idle_steps.assign(tf.where(dead, 0.0, idle_steps))
        self.embeddings.assign(tf.where(dead[:, None], new, self.embeddings))
        if self.ema_decay is not None:
            self.ema_counts.assign(tf.where(dead, 1.0, self.ema_counts))
            self.ema_sums.assign(tf.where(dead[:, None], new, self.ema_sums))

    # ---- Keras layer ----

    def save_own_variables(self, store) -> None:
        super().save_own_variables(store)
        for weight in self.weights:
            store[weight.name] = weight.numpy()

    def load_own_variables(self, store) -> None:
        super().load_own_variables(store)
        for weight in self.weights:
            weight.assign(store[weight.name])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "ema_decay": self.ema_decay,
            "revive_after": self.revive_after,
        }


def _sum_over_replicas(value) -> tf.Tensor:
    """The sum of `value` over the replicas of a `tf.distribute` strategy."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _of_first_replica(value) -> tf.Tensor:
    """The first replica's `value`, on all replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    is_first = tf.equal(context.replica_id_in_sync_group, 0)
    return _sum_over_replicas(tf.where(is_first, value, tf.zeros_like(value)))
