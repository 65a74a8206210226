"""Functions that build encoders and decoders. A decoder returns logits, without a sigmoid."""

from keras_ae.networks.conditional import conditional_encoder
from keras_ae.networks.convolutional import (
    check_kernel_size,
    convolutional_decoder,
    convolutional_encoder,
    default_filters,
    feature_map_shape,
)
from keras_ae.networks.dense import (
    bake_off_hidden_units,
    dense_decoder,
    dense_encoder,
    hidden_block,
    hidden_blocks,
    kernel_initializer,
)
from keras_ae.networks.discriminator import discriminator
from keras_ae.networks.recurrent import recurrent_decoder, recurrent_encoder
from keras_ae.networks.strided import (
    default_strided_filters,
    halved_sizes,
    strided_decoder,
    strided_encoder,
)

__all__ = [
    "bake_off_hidden_units",
    "check_kernel_size",
    "conditional_encoder",
    "convolutional_decoder",
    "convolutional_encoder",
    "default_filters",
    "default_strided_filters",
    "dense_decoder",
    "dense_encoder",
    "discriminator",
    "feature_map_shape",
    "halved_sizes",
    "hidden_block",
    "hidden_blocks",
    "kernel_initializer",
    "recurrent_decoder",
    "recurrent_encoder",
    "strided_decoder",
    "strided_encoder",
]
