"""The variational autoencoder and, with a beta other than 1, the beta-VAE."""

from __future__ import annotations

from typing import Any

from keras_ae.checks import check_size
from keras_ae.variants.dense import DenseAutoencoder
from keras_ae.variants.documentation import variant
from keras_ae.variants.variational import Variational, gaussian_bottleneck


@variant
class VAE(Variational, DenseAutoencoder):
    """Variational autoencoder (VAE, beta-VAE) with dense layers.

    The encoder gives the mean and the log-variance of a Gaussian code; the latent loss is `beta`
    times its KL divergence from the prior N(0, I), summed over the code and averaged over the
    batch. Training samples the code; `evaluate`, `predict` and `encode` use its mean, so they are
    deterministic. `sample` decodes draws from N(0, I). Kingma and Welling (arXiv 1312.6114);
    `beta` after Higgins et al. (ICLR 2017).

    Example:
        model = keras_ae.VAE(image_shape=(28, 28), latent_dim=20)
        model.compile()
        model.fit(images, epochs=20)
        new_images = model.sample(16, seed=0)

    Raises:
        ValueError: an argument outside its range.
        TypeError: an unknown argument.
    """

    def __init__(
        self,
        image_shape=(28, 28),
        latent_dim: int = 20,
        *,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0,
        hidden_units=None,
        activation="relu",
        batch_normalization: bool = True,
        tied: bool = False,
        reconstruction_loss: str = "bce",
        output_activation: str = "sigmoid",
        seed: int | None = None,
        **kwargs: Any,
    ):
        bottleneck = gaussian_bottleneck(beta, kl_warmup_epochs, seed)
        code_units = 2 * check_size("latent_dim", latent_dim)
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
        self._build(bottleneck=bottleneck, code_units=code_units)
