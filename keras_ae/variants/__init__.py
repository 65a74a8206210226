"""Registry of all variants: name, class, summary and the arguments that define it.

Importing the registry does not import Keras or TensorFlow; a class is imported when it is used.
To add a variant, write one file in this folder and one line in `VARIANTS`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A variant: a class and the arguments that define it.

    Calling it builds the model: `VARIANTS["beta_vae_strict"](latent_dim=2)`.

    Args:
        module: Module of the class, in `keras_ae.variants`.
        class_name: Name of the class.
        summary: A short description.
        arguments: Arguments of the class that define the variant.
        latent_dim: Default size of the latent code; None leaves it to the class.
    """

    module: str
    class_name: str
    summary: str
    arguments: dict[str, Any] = field(default_factory=dict)
    latent_dim: int | None = 20

    def load(self) -> type[Any]:
        """Import and return the class."""
        module = importlib.import_module(f"keras_ae.variants.{self.module}")
        return getattr(module, self.class_name)

    def __call__(self, **arguments: Any) -> Any:
        """Build the model; `arguments` replace those of the preset."""
        size = {} if self.latent_dim is None else {"latent_dim": self.latent_dim}
        return self.load()(**{**size, **self.arguments, **arguments})


# The nine variants of the published comparison, the autoencoder bake-off.
BAKE_OFF: dict[str, Preset] = {
    "shallow": Preset("shallow", "Shallow", "one layer each way, ReLU code"),
    "deep": Preset("deep", "Deep", "plain autoencoder, three layers each way"),
    "stacked": Preset("stacked", "Stacked", "deep, trained greedily, one pair of layers at a time"),
    "sparse": Preset("sparse", "Sparse", "sigmoid code, each unit active 25% of the time"),
    "denoising": Preset("denoising", "Denoising", "reconstructs the clean image from a noisy one"),
    "vae": Preset("vae", "VAE", "variational: Gaussian code, KL divergence from N(0, I)"),
    "beta_vae_strict": Preset("vae", "VAE", "VAE with twice the KL divergence", {"beta": 2.0}),
    "beta_vae_loose": Preset("vae", "VAE", "VAE with half the KL divergence", {"beta": 0.5}),
    "vq_vae": Preset("vq_vae", "VQVAE", "vector-quantized: 512 scalars for each code dimension"),
}

VARIANTS: dict[str, Preset] = {
    **BAKE_OFF,
    "tied": Preset(
        "deep", "Deep", "deep, the decoder shares the encoder's kernels", {"tied": True}
    ),
    "linear": Preset("linear", "Linear", "one linear layer each way: PCA"),
    "convolutional": Preset(
        "convolutional", "Convolutional", "convolutions and pooling, a 3x3x64 code", latent_dim=None
    ),
    "recurrent": Preset("recurrent", "Recurrent", "LSTMs over the rows of an image", latent_dim=30),
    "sparse_l1": Preset("sparse_l1", "SparseL1", "sigmoid code, L1 penalty", latent_dim=300),
    "denoising_dropout": Preset(
        "denoising_dropout", "DenoisingDropout", "reconstructs the image from half of its pixels"
    ),
    "conv_vae": Preset("conv_vae", "ConvVAE", "VAE with convolutions", latent_dim=576),
    "conv_vq_vae": Preset(
        "conv_vq_vae", "ConvVQVAE", "VQ-VAE with convolutions and a PixelCNN prior", latent_dim=None
    ),
    "conditional_vae": Preset("conditional_vae", "ConditionalVAE", "VAE that is given the class"),
    "iwae": Preset("iwae", "IWAE", "importance-weighted VAE, a tighter bound from 5 samples"),
    "binary": Preset("binary", "Binary", "16-bit codes for hashing", latent_dim=16),
    "vae_gan": Preset("vae_gan", "VAEGAN", "VAE that also has to fool a discriminator"),
    "conv_denoising": Preset(
        "conv_denoising", "ConvDenoising", "denoising with convolutions", latent_dim=None
    ),
}


def names_with_prior() -> list[str]:
    """Names of the variants whose `sample` works. Imports their classes."""
    return [name for name, preset in VARIANTS.items() if preset.load().can_sample]
