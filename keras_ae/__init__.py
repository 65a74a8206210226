"""Autoencoders on Keras 3 and TensorFlow, trained and compared under one protocol."""

from keras_ae.layers import (
    DenseTranspose,
    GaussianBottleneck,
    GaussianCorruption,
    Sampling,
    VectorQuantizer,
)
from keras_ae.losses import bernoulli_kl, entropy_floor, gaussian_kl, per_image_bce
from keras_ae.regularizers import KLDivergenceRegularizer
from keras_ae.transfer import pretrained_classifier
from keras_ae.variants import VARIANTS
from keras_ae.variants.base import Autoencoder
from keras_ae.variants.deep import Deep
from keras_ae.variants.denoising import Denoising
from keras_ae.variants.shallow import Shallow
from keras_ae.variants.sparse import Sparse
from keras_ae.variants.stacked import Stacked
from keras_ae.variants.vae import VAE
from keras_ae.variants.vq_vae import VQVAE

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "VARIANTS",
    "VQVAE",
    "Autoencoder",
    "Deep",
    "Denoising",
    "DenseTranspose",
    "GaussianBottleneck",
    "GaussianCorruption",
    "KLDivergenceRegularizer",
    "Sampling",
    "Shallow",
    "Sparse",
    "Stacked",
    "VectorQuantizer",
    "bernoulli_kl",
    "entropy_floor",
    "gaussian_kl",
    "per_image_bce",
    "pretrained_classifier",
]
