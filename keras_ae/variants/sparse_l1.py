"""The sparse autoencoder with an L1 penalty."""

from __future__ import annotations

import math
from typing import Any

from keras_ae.checks import check_number, check_sizes
from keras_ae.layers import IdentityBottleneck
from keras_ae.regularizers import L1Regularizer
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant


@variant
class SparseL1(DenseAutoencoder):
    """Sparse autoencoder with an L1 penalty: a wide sigmoid code, each activation has a cost.

    The latent loss is `l1 * num_pixels * sum over units of |activation|`, averaged over the batch.
    After A. Geron, "Hands-On Machine Learning", chapter 17, "Sparse Autoencoders": 100 units, then
    a code of 300. There the weight is 1e-3, with a cross-entropy *averaged* over the pixels; with
    their sum, as here, the same strength needs `num_pixels` times that.

    Args:
        l1: Weight of the activations, >= 0, in nats per unit and pixel (and channel) of the image.
            Can be set later.
        batch_normalization: Whether the hidden layers use batch normalization. Off by default: a
            normalizing decoder undoes any scale, so a code of tiny activations would avoid the
            penalty without being sparse.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 300,
        *,
        l1: float = 1e-3,
        hidden_units=(100,),
        activation="relu",
        batch_normalization: bool = False,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        num_pixels = math.prod(check_sizes("image_shape", image_shape, lengths=(2, 3)))
        bottleneck = IdentityBottleneck(
            "sigmoid",
            # Keras (3.14 on) divides what this returns by the batch size: a mean over the batch.
            activity_regularizer=L1Regularizer(check_number("l1", l1) * num_pixels),
            dtype="float32",
            name="bottleneck",
        )
        super().__init__(
            image_shape,
            latent_dim,
            hidden_units=hidden_units,
            activation=activation,
            batch_normalization=batch_normalization,
            tied=tied,
            reconstruction_loss=reconstruction_loss,
            output_activation=output_activation,
            seed=seed,
            **kwargs,
        )
        self._l1 = float(l1)
        self._build(bottleneck=bottleneck)

    @property
    def l1(self) -> float:
        """Weight of the activations, >= 0, in nats per unit and pixel."""
        # Multiplying and dividing by the number of pixels could change the last digit.
        weight, num_pixels = self.bottleneck.activity_regularizer.l1, math.prod(self.image_shape)
        return self._l1 if weight == self._l1 * num_pixels else weight / num_pixels

    @l1.setter
    def l1(self, value: float) -> None:
        self._l1 = check_number("l1", value)
        self.bottleneck.activity_regularizer.l1 = self._l1 * math.prod(self.image_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l1": self.l1}
