"""Autoencoders on Keras 3 and TensorFlow: train, compare and serve them.

Importing the package loads neither Keras nor TensorFlow; the first use of a class or function
does. See `keras_ae.VARIANTS` for the autoencoder variants and `keras_ae.load_model` for reading a
saved one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# Public name -> module that defines it.
_MODULES = {
    "IWAE": "variants.iwae",
    "VAE": "variants.vae",
    "VAEGAN": "variants.vae_gan",
    "VARIANTS": "variants",
    "VQVAE": "variants.vq_vae",
    "Autoencoder": "variants.base",
    "Binary": "variants.binary",
    "BinaryBottleneck": "layers",
    "ConditionalBottleneck": "layers",
    "ConditionalVAE": "variants.conditional_vae",
    "ConvVAE": "variants.conv_vae",
    "ConvVQVAE": "variants.conv_vq_vae",
    "Convolutional": "variants.convolutional",
    "Deep": "variants.deep",
    "Denoising": "variants.denoising",
    "DenoisingDropout": "variants.denoising_dropout",
    "DenseTranspose": "layers",
    "DropoutCorruption": "layers",
    "GaussianBottleneck": "layers",
    "GaussianCorruption": "layers",
    "KLDivergenceRegularizer": "regularizers",
    "Linear": "variants.linear",
    "PixelCNN": "priors.pixel_cnn",
    "Recurrent": "variants.recurrent",
    "Sampling": "layers",
    "ScalarQuantizer": "layers",
    "Shallow": "variants.shallow",
    "Sparse": "variants.sparse",
    "SparseL1": "variants.sparse_l1",
    "Stacked": "variants.stacked",
    "VectorQuantizer": "layers",
    "bernoulli_kl": "losses",
    "entropy_floor": "losses",
    "gaussian_kl": "losses",
    "hamming_neighbours": "hashing",
    "load_model": "saving.load",
    "per_image_bce": "losses",
    "pretrained_classifier": "transfer",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"keras_ae.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
