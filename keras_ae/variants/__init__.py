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

    Calling it builds the model: `VARIANTS["beta_vae_strict"](latent_dim=2)`.
    """

    module: str
    class_name: str
    summary: str
    arguments: dict = field(default_factory=dict)

    def load(self) -> type:
        """The variant's class."""
        module = importlib.import_module(f"keras_ae.variants.{self.module}")
        return getattr(module, self.class_name)

    def __call__(self, **arguments):
        return self.load()(**{**self.arguments, **arguments})


VARIANTS: dict[str, Preset] = {
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
