"""Scalar quantization with a codebook for each latent dimension."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ae.attributes import FixedArgument, SettableNumber, current_value
from keras_ae.checks import check_size
from keras_ae.layers.bottleneck import Bottleneck
from keras_ae.layers.quantization import codebook_statistics, first_smallest


@keras.saving.register_keras_serializable(package="keras_ae")
class ScalarQuantizer(Bottleneck):
    """Scalar quantization: each latent dimension has a codebook of `num_embeddings` scalars.

    Every coordinate of a code is replaced by the nearest scalar of its own codebook. An image thus
    takes `latent_dim * log2(num_embeddings)` bits; one codebook vector for the whole code would
    take `log2(num_embeddings)`. The gradient is passed straight through (van den Oord et al., arXiv
    1711.00937, section 3.2). The layer adds the loss (eq. 3, second and third term)
    `sum (sg[z] - e)^2 + commitment_cost * sum (z - sg[e])^2`, summed over the code and averaged
    over the batch.

    Input and output: `(batch, latent_dim)`.

    Example:

    ```python
    quantizer = ScalarQuantizer(512)
    quantizer(tf.zeros((8, 20)))           # (8, 20): 20 * 9 bits per image
    quantizer.indices(tf.zeros((8, 20)))   # (8, 20), int32 in [0, 512)
    ```

    Args:
        num_embeddings: Scalars in each codebook, >= 2.
        commitment_cost: Weight of the commitment loss, >= 0. Can be set later.
        seed: Seed of the initial codebooks, which are uniform in +-1 / num_embeddings; an integer
            or None.

    Raises:
        ValueError: an argument outside its range, or an input that is not `(batch, latent_dim)`.
    """

    is_discrete = True
    num_embeddings = FixedArgument()
    commitment_cost = SettableNumber()
    seed = FixedArgument()

    def __init__(
        self,
        num_embeddings: int = 512,
        commitment_cost: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if check_size("num_embeddings", num_embeddings) < 2:
            raise ValueError(f"num_embeddings must be >= 2; received {num_embeddings!r}.")
        self.num_embeddings = int(num_embeddings)
        self.commitment_cost = commitment_cost
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(
                "The input of ScalarQuantizer must have the shape (batch, latent_dim); received "
                f"{tuple(input_shape)}. Flatten it, or use VectorQuantizer, which takes maps."
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, input_shape[-1]))
        limit = 1.0 / self.num_embeddings
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(input_shape[-1], self.num_embeddings),
            initializer=keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
            autocast=False,  # distances need float32 in mixed precision too
        )

    def indices(self, inputs: Any) -> tf.Tensor:
        """The index of the nearest scalar of each coordinate: int32, `(batch, latent_dim)`.

        Ties go to the first scalar. All differences are computed: in a
        compiled step that takes half the time of a binary search, which has to sort the codebooks.
        """
        embeddings = tf.convert_to_tensor(self.embeddings)
        if len(inputs.shape) != 2 or inputs.shape[1] != embeddings.shape[0]:
            raise ValueError(
                f"The codes must have the shape (batch, {embeddings.shape[0]}); received "
                f"{tuple(inputs.shape)}."
            )
        inputs = tf.stop_gradient(tf.cast(inputs, embeddings.dtype))
        distances = tf.abs(inputs[:, :, None] - embeddings)
        return first_smallest(distances)

    def lookup(self, indices: Any) -> tf.Tensor:
        """The scalars at `indices`, `(batch, latent_dim)` float32."""
        num_dims, num_embeddings = self.embeddings.shape
        flat = tf.reshape(tf.convert_to_tensor(self.embeddings), [-1])
        return tf.gather(flat, indices + tf.range(num_dims) * num_embeddings)

    def code_statistics(self, encoded: Any) -> dict[str, float]:
        """`perplexity` and `codes_used`, the share of the scalars chosen at least once."""
        return codebook_statistics(self, encoded, self.embeddings.shape[0])

    def snap(self, latents: Any) -> tf.Tensor:
        """The nearest scalar of each coordinate: `(batch, latent_dim)` float32."""
        return self.lookup(self.indices(latents))

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        dtype, inputs = inputs.dtype, tf.cast(inputs, tf.float32)
        quantized = self.lookup(self.indices(inputs))
        codebook_loss = tf.reduce_sum(tf.square(tf.stop_gradient(inputs) - quantized), axis=-1)
        commitment = tf.reduce_sum(tf.square(inputs - tf.stop_gradient(quantized)), axis=-1)
        commitment_cost = current_value(self, "commitment_cost")
        self.add_loss(tf.reduce_mean(codebook_loss + commitment_cost * commitment))
        if not training:
            return tf.cast(quantized, dtype)
        return tf.cast(inputs + tf.stop_gradient(quantized - inputs), dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "commitment_cost": self.commitment_cost,
            "seed": self.seed,
        }
