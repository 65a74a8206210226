"""The sparse autoencoder with a KL penalty."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_number
from keras_ae.layers import IdentityBottleneck
from keras_ae.regularizers import KLDivergenceRegularizer
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.settings import layer_setting


@variant
class Sparse(DenseAutoencoder):
    """Sparse autoencoder: a sigmoid code whose units are each active a given share of the time.

    The latent loss is `beta * sum over units of KL(sparsity || batch mean of the unit)`
    (A. Ng, "Sparse autoencoder", CS294A lecture notes, section 3).

    Args:
        sparsity: Target mean activation of a unit, between 0 and 1, exclusive. Can be set later.
        beta: Weight of the divergence, >= 0. Can be set later.

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    sparsity = layer_setting(
        "bottleneck.activity_regularizer.target", "Target mean activation of a unit, in (0, 1)."
    )
    beta = layer_setting(
        "bottleneck.activity_regularizer.weight", "Weight of the divergence, >= 0."
    )

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        sparsity: float = 0.25,
        beta: float = 1.0,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        if not 0.0 < check_number("sparsity", sparsity, 0.0, 1.0) < 1.0:
            raise ValueError(f"sparsity must be between 0 and 1, exclusive; received {sparsity!r}.")
        bottleneck = IdentityBottleneck(
            "sigmoid",
            activity_regularizer=KLDivergenceRegularizer(check_number("beta", beta), sparsity),
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
        self._build(bottleneck=bottleneck)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sparsity": self.sparsity, "beta": self.beta}
