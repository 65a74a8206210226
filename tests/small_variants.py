"""The variants as small networks, for the tests that all of them share."""

import keras
import numpy as np

from keras_ae import VARIANTS
from keras_ae.variants.dense import DenseAutoencoder

SHAPE = (6, 5)
NAMES = list(VARIANTS)


def pictures(num=96, shape=SHAPE, seed=0):
    """Images with structure to learn: dimmed and blended random prototypes."""
    random = np.random.default_rng(seed)
    prototypes = random.random((4, *shape)) > 0.5
    weights = random.dirichlet(np.full(4, 0.3), size=num)
    return np.tensordot(weights, prototypes, axes=1).astype("float32").clip(0, 1)


# Arguments of a small network, where it is not that of a dense variant.
SMALL = {
    "convolutional": {"filters": (4, 6), "latent_dim": None},
    "conv_denoising": {"filters": (4, 6), "latent_dim": None},
    "recurrent": {"units": 8},
    "conv_vae": {"filters": (4, 6)},
    "conditional_vae": {"hidden_units": (12, 8), "num_classes": 4},
    "vae_gan": {"hidden_units": (12, 8), "discriminator_filters": (4, 6)},
    "conv_vq_vae": {
        "latent_dim": None,
        "filters": (4, 6),
        "embedding_dim": 2,
        "num_embeddings": 8,
        "revive_after": 5,
        "prior_filters": 4,
        "prior_blocks": 1,
    },
}
# Arguments other than the defaults; a variant without an entry has none of its own.
OTHER = {
    "shallow": {"activation": "tanh"},
    "deep": {"tied": True},
    "stacked": {"objective": "codes"},
    "sparse": {"sparsity": 0.1, "beta": 3.0},
    "denoising": {"noise_stddev": 0.2},
    "vae": {"beta": 4.0, "kl_warmup_epochs": 7.0},
    "beta_vae_strict": {"beta": 5.0},
    "beta_vae_loose": {"beta": 0.1},
    "vq_vae": {"num_embeddings": 7, "commitment_cost": 0.25, "embedding_dim": 3},
    "tied": {"tied": False},
    "linear": {"reconstruction_loss": "bce", "output_activation": "sigmoid"},
    "convolutional": {"filters": (5, 3), "activation": "selu"},
    "conv_denoising": {"filters": (5, 3), "kernel_size": 3, "noise_stddev": 0.2},
    "recurrent": {"units": 7},
    "sparse_l1": {"l1": 0.01},
    "denoising_dropout": {"dropout_rate": 0.2},
    "conv_vq_vae": {
        "latent_dim": None,
        "filters": (5, 3),
        "num_residual_blocks": 2,
        "activation": "tanh",
        "embedding_dim": 3,
        "num_embeddings": 7,
        "commitment_cost": 0.5,
        "ema_decay": None,
        "revive_after": None,
        "prior_filters": 5,
        "prior_blocks": 2,
    },
    "conv_vae": {"filters": (5, 3), "activation": "selu", "beta": 2.0, "kl_warmup_epochs": 3.0},
    "conditional_vae": {
        "num_classes": 3,
        "hidden_units": (9,),
        "activation": "selu",
        "batch_normalization": False,
        "beta": 2.0,
        "kl_warmup_epochs": 3.0,
    },
    "vae_gan": {
        "gamma": 2.0,
        "feature_variance": 0.5,
        "equilibrium_margin": 0.1,
        "discriminator_filters": (3, 5),
        "beta": 0.5,
    },
    "iwae": {"num_importance_samples": 3, "beta": 0.5, "kl_warmup_epochs": 2.0},
    "binary": {"noise_stddev": 2.0},
}
DENSE = {"hidden_units": (9,), "activation": "selu", "batch_normalization": False}


def is_dense(name):
    return issubclass(VARIANTS[name].load(), DenseAutoencoder)


def small(name, shape=SHAPE, **arguments):
    """The variant with a small network, compiled."""
    dense = {"hidden_units": (12, 8)} if is_dense(name) else {}
    default = {"latent_dim": 4, "seed": 3, **SMALL.get(name, dense)}
    keras.utils.set_random_seed(3)
    model = VARIANTS[name](image_shape=shape, **{**default, **arguments})
    model.compile(jit_compile=False)  # XLA has its own tests, and compiling takes most of the time
    return model


def inputs(model, images):
    """The model's inputs: images, with labels if it needs them."""
    if not model.needs_labels:
        return images
    return {"images": images, "labels": np.arange(len(images)) % model.num_classes}
