"""Autoencoders on Keras 3 and TensorFlow, trained and compared under one protocol."""

from keras_ae.hashing import hamming_neighbours
from keras_ae.layers import (
    BinaryBottleneck,
    CodebookQuantizer,
    ConditionalBottleneck,
    DenseTranspose,
    DropoutCorruption,
    GaussianBottleneck,
    GaussianCorruption,
    Sampling,
    VectorQuantizer,
)
from keras_ae.losses import bernoulli_kl, entropy_floor, gaussian_kl, per_image_bce
from keras_ae.priors.pixel_cnn import PixelCNN
from keras_ae.regularizers import KLDivergenceRegularizer
from keras_ae.transfer import pretrained_classifier
from keras_ae.variants import VARIANTS
from keras_ae.variants.base import Autoencoder
from keras_ae.variants.binary import Binary
from keras_ae.variants.conditional_vae import ConditionalVAE
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

__version__ = "0.1.0"

__all__ = [
    "IWAE",
    "VAE",
    "VAEGAN",
    "VARIANTS",
    "VQVAE",
    "Autoencoder",
    "Binary",
    "BinaryBottleneck",
    "CodebookQuantizer",
    "ConditionalBottleneck",
    "ConditionalVAE",
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
    "KLDivergenceRegularizer",
    "Linear",
    "PixelCNN",
    "Recurrent",
    "Sampling",
    "Shallow",
    "Sparse",
    "SparseL1",
    "Stacked",
    "VectorQuantizer",
    "bernoulli_kl",
    "entropy_floor",
    "gaussian_kl",
    "hamming_neighbours",
    "per_image_bce",
    "pretrained_classifier",
]
