"""The table of contents: every variant by name.

A variant is one file beside this one and one line in `VARIANTS`. Reading the table imports
nothing; a class is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Preset:
    """A class, by where it stands, and the arguments that make it this variant.

    `latent_dim` is what train.py gives where nothing is asked for; None leaves it to the class.

    Calling it builds the model: `VARIANTS["beta_vae_strict"](latent_dim=2)`.
    """

    module: str
    class_name: str
    summary: str
    arguments: dict = field(default_factory=dict)
    latent_dim: int | None = 20

    def load(self) -> type:
        """The variant's class."""
        module = importlib.import_module(f"keras_ae.variants.{self.module}")
        return getattr(module, self.class_name)

    def __call__(self, **arguments):
        size = {} if self.latent_dim is None else {"latent_dim": self.latent_dim}
        return self.load()(**{**size, **self.arguments, **arguments})


# What --bake-off trains: the nine of the published comparison.
BAKE_OFF: dict[str, Preset] = {
    "shallow": Preset("shallow", "Shallow", "one layer each way, ReLU code"),
    "deep": Preset("deep", "Deep", "three layers each way, nothing asked of the code"),
    "stacked": Preset("stacked", "Stacked", "deep, trained greedily, a pair of layers at a time"),
    "sparse": Preset("sparse", "Sparse", "sigmoid code, each unit active a quarter of the time"),
    "denoising": Preset("denoising", "Denoising", "rebuilds the clean image from a noisy one"),
    "vae": Preset("vae", "VAE", "variational: a Gaussian code, KL to N(0, I)"),
    "beta_vae_strict": Preset("vae", "VAE", "VAE with twice the KL", {"beta": 2.0}),
    "beta_vae_loose": Preset("vae", "VAE", "VAE with half the KL", {"beta": 0.5}),
    "vq_vae": Preset("vq_vae", "VQVAE", "a codebook of 512 scalars for each code dimension"),
}

VARIANTS: dict[str, Preset] = {
    **BAKE_OFF,
    "tied": Preset("deep", "Deep", "deep, the decoder's kernels the encoder's", {"tied": True}),
    "linear": Preset("linear", "Linear", "one linear layer each way: PCA"),
    "convolutional": Preset(
        "convolutional", "Convolutional", "convolutions and pooling, a 3x3x64 code", latent_dim=None
    ),
    "recurrent": Preset("recurrent", "Recurrent", "LSTMs over the rows of an image", latent_dim=30),
    "sparse_l1": Preset("sparse_l1", "SparseL1", "sigmoid code, l1 penalty", latent_dim=300),
    "denoising_dropout": Preset(
        "denoising_dropout", "DenoisingDropout", "rebuilds the image from half of its pixels"
    ),
    "conv_vae": Preset("conv_vae", "ConvVAE", "variational, with convolutions", latent_dim=576),
    "conv_vq_vae": Preset(
        "conv_vq_vae", "ConvVQVAE", "a map of vectors from one codebook, PixelCNN", latent_dim=None
    ),
    "conditional_vae": Preset("conditional_vae", "ConditionalVAE", "VAE that is told the class"),
    "iwae": Preset("iwae", "IWAE", "VAE on the tighter bound of 5 samples"),
    "binary": Preset("binary", "Binary", "a code of 16 bits, for hashing", latent_dim=16),
    "vae_gan": Preset("vae_gan", "VAEGAN", "VAE that also has to fool a discriminator"),
}
