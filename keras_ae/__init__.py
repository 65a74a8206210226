"""Autoencoders on Keras 3 and TensorFlow: train, compare and serve them.

Importing the package loads neither Keras nor TensorFlow; the first use of a class or function
does. See `keras_ae.VARIANTS` for the autoencoder variants and `keras_ae.load_model` for reading a
saved one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from keras_ae._registration import register

if TYPE_CHECKING:
    from keras_ae.hashing import hamming_neighbors
    from keras_ae.layers import (
        BinaryBottleneck,
        Bottleneck,
        ConditionalBottleneck,
        DenseTranspose,
        DropoutCorruption,
        GaussianBottleneck,
        GaussianCorruption,
        IdentityBottleneck,
        Sampling,
        ScalarQuantizer,
        VectorQuantizer,
    )
    from keras_ae.losses import bernoulli_kl, entropy_floor, gaussian_kl, per_image_bce
    from keras_ae.priors.pixel_cnn import PixelCNN
    from keras_ae.regularizers import KLDivergenceRegularizer, L1Regularizer
    from keras_ae.saving.load import load_model
    from keras_ae.stored_images import StoredImages
    from keras_ae.transfer import pretrained_classifier
    from keras_ae.variants import VARIANTS
    from keras_ae.variants.base import Autoencoder
    from keras_ae.variants.binary import Binary
    from keras_ae.variants.conditional_vae import ConditionalVAE
    from keras_ae.variants.conv_denoising import ConvDenoising
    from keras_ae.variants.conv_vae import ConvVAE
    from keras_ae.variants.conv_vq_vae import ConvVQVAE
    from keras_ae.variants.convolutional import Convolutional
    from keras_ae.variants.deep import Deep
    from keras_ae.variants.denoising import Denoising
    from keras_ae.variants.denoising_dropout import DenoisingDropout
    from keras_ae.variants.iwae import IWAE
    from keras_ae.variants.linear import Linear
    from keras_ae.variants.recurrent import Recurrent
    from keras_ae.variants.shallow import Shallow
    from keras_ae.variants.sparse import Sparse
    from keras_ae.variants.sparse_l1 import SparseL1
    from keras_ae.variants.stacked import Stacked
    from keras_ae.variants.vae import VAE
    from keras_ae.variants.vae_gan import VAEGAN
    from keras_ae.variants.vq_vae import VQVAE

__version__ = "0.2.0"

# Public name -> module that defines it.
_MODULES = {
    "Autoencoder": "variants.base",
    "Binary": "variants.binary",
    "BinaryBottleneck": "layers",
    "Bottleneck": "layers",
    "ConditionalBottleneck": "layers",
    "ConditionalVAE": "variants.conditional_vae",
    "ConvDenoising": "variants.conv_denoising",
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
    "IWAE": "variants.iwae",
    "IdentityBottleneck": "layers",
    "KLDivergenceRegularizer": "regularizers",
    "L1Regularizer": "regularizers",
    "Linear": "variants.linear",
    "PixelCNN": "priors.pixel_cnn",
    "Recurrent": "variants.recurrent",
    "Sampling": "layers",
    "ScalarQuantizer": "layers",
    "Shallow": "variants.shallow",
    "Sparse": "variants.sparse",
    "SparseL1": "variants.sparse_l1",
    "Stacked": "variants.stacked",
    "StoredImages": "stored_images",
    "VAE": "variants.vae",
    "VAEGAN": "variants.vae_gan",
    "VARIANTS": "variants",
    "VQVAE": "variants.vq_vae",
    "VectorQuantizer": "layers",
    "bernoulli_kl": "losses",
    "entropy_floor": "losses",
    "gaussian_kl": "losses",
    "hamming_neighbors": "hashing",
    "load_model": "saving.load",
    "per_image_bce": "losses",
    "pretrained_classifier": "transfer",
}

__all__ = [
    "Autoencoder",
    "Binary",
    "BinaryBottleneck",
    "Bottleneck",
    "ConditionalBottleneck",
    "ConditionalVAE",
    "ConvDenoising",
    "ConvVAE",
    "ConvVQVAE",
    "Convolutional",
    "Deep",
    "Denoising",
    "DenoisingDropout",
    "DenseTranspose",
    "DropoutCorruption",
    "GaussianBottleneck",
    "GaussianCorruption",
    "IWAE",
    "IdentityBottleneck",
    "KLDivergenceRegularizer",
    "L1Regularizer",
    "Linear",
    "PixelCNN",
    "Recurrent",
    "Sampling",
    "ScalarQuantizer",
    "Shallow",
    "Sparse",
    "SparseL1",
    "Stacked",
    "StoredImages",
    "VAE",
    "VAEGAN",
    "VARIANTS",
    "VQVAE",
    "VectorQuantizer",
    "bernoulli_kl",
    "entropy_floor",
    "gaussian_kl",
    "hamming_neighbors",
    "load_model",
    "per_image_bce",
    "pretrained_classifier",
]

# Classes that saved files name, public or not.
_SAVED = {name: module for name, module in _MODULES.items() if name[0].isupper()}
_SAVED |= {"Dense": "layers.dense_transpose", "LSTM": "layers", "PretrainedEncoder": "transfer"}
del _SAVED["VARIANTS"]
register({name: f"keras_ae.{module}" for name, module in _SAVED.items()})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"keras_ae.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
