"""The building blocks, one public layer a file."""

from keras_ae.layers.dense_transpose import DenseTranspose
from keras_ae.layers.gaussian_bottleneck import GaussianBottleneck
from keras_ae.layers.gaussian_corruption import GaussianCorruption
from keras_ae.layers.sampling import Sampling
from keras_ae.layers.vector_quantizer import VectorQuantizer

__all__ = [
    "DenseTranspose",
    "GaussianBottleneck",
    "GaussianCorruption",
    "Sampling",
    "VectorQuantizer",
]
