"""The variational autoencoder and, by its beta, the beta-VAE."""

from __future__ import annotations

import keras

from keras_ae.checks import check_size
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.variational import Variational, gaussian_bottleneck


@keras.saving.register_keras_serializable(package="keras_ae")
class VAE(Variational, DenseAutoencoder):
    """A Gaussian code, pulled towards N(0, I); new images come from N(0, I).

    Kingma and Welling (arXiv 1312.6114); `beta` after Higgins et al. (ICLR 2017). Training
    samples the code; `evaluate`, `predict` and `encode` use its mean, so they are deterministic.

    Args:
        beta: Factor on the KL divergence, >= 0: 1 is the evidence lower bound.
        kl_warmup_epochs: In training the divergence counts `epoch / kl_warmup_epochs` of that, up
            to the whole (Sonderby et al., arXiv 1602.02282, section 2.3); 0 for the whole at once.
        **network: See `DenseAutoencoder`.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        seed: int | None = None,
        **network,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            bottleneck=gaussian_bottleneck(beta, kl_warmup_epochs, seed),
            code_units=2 * check_size("latent_dim", latent_dim),
            seed=seed,
            **network,
        )
