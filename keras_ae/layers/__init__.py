"""Layers: bottlenecks, corruptions, sampling, tied weights, LSTM. One public layer per file."""

from keras_ae.layers.binary_bottleneck import BinaryBottleneck
from keras_ae.layers.bottleneck import Bottleneck, IdentityBottleneck
from keras_ae.layers.conditional_bottleneck import ConditionalBottleneck
from keras_ae.layers.dense_transpose import DenseTranspose
from keras_ae.layers.dropout_corruption import DropoutCorruption
from keras_ae.layers.gaussian_bottleneck import GaussianBottleneck
from keras_ae.layers.gaussian_corruption import GaussianCorruption
from keras_ae.layers.lstm import LSTM
from keras_ae.layers.sampling import Sampling
from keras_ae.layers.scalar_quantizer import ScalarQuantizer
from keras_ae.layers.vector_quantizer import VectorQuantizer

__all__ = [
    "LSTM",
    "BinaryBottleneck",
    "Bottleneck",
    "ConditionalBottleneck",
    "DenseTranspose",
    "DropoutCorruption",
    "GaussianBottleneck",
    "GaussianCorruption",
    "IdentityBottleneck",
    "Sampling",
    "ScalarQuantizer",
    "VectorQuantizer",
]
