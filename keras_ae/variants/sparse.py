"""The sparse autoencoder."""

from __future__ import annotations

import keras

from keras_ae.checks import check_number
from keras_ae.regularizers import KLDivergenceRegularizer
from keras_ae.variants.dense import DenseAutoencoder


@keras.saving.register_keras_serializable(package="keras_ae")
class Sparse(DenseAutoencoder):
    """A sigmoid code whose units are each active a given share of the time.

    The latent loss is `beta * sum over units of KL(sparsity || batch mean of the unit)`
    (A. Ng, "Sparse autoencoder", CS294A lecture notes, section 3).

    Args:
        sparsity: The wanted mean activation of a unit, inside (0, 1).
        beta: Factor on the divergence, >= 0.
        **network: See `DenseAutoencoder`.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        sparsity: float = 0.25,
        beta: float = 1.0,
        **network,
    ):
        if not 0.0 < check_number("sparsity", sparsity, 0.0, 1.0) < 1.0:
            raise ValueError(
                f"sparsity must lie between 0 and 1, exclusive; received {sparsity!r}."
            )
        check_number("beta", beta)
        bottleneck = keras.layers.Activation(
            "sigmoid",
            activity_regularizer=KLDivergenceRegularizer(beta, sparsity),
            dtype="float32",
            name="bottleneck",
        )
        super().__init__(image_shape, latent_dim, bottleneck=bottleneck, **network)
        self.sparsity = sparsity
        self.beta = beta

    def get_config(self) -> dict:
        return {**super().get_config(), "sparsity": self.sparsity, "beta": self.beta}
