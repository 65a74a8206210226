"""Fake autoencoders with the interface of `Autoencoder` that comparisons use."""

from __future__ import annotations

import numpy as np


class FakeAutoencoder:
    """An autoencoder with a deterministic, continuous code and without a prior.

    Tests override the methods that matter: `encode`, `decode`, `posterior`, ...
    """

    image_shape = (4, 4)
    latent_dim = 2
    code_size = 2
    needs_labels = False
    can_sample = False
    learns_prior = False
    is_discrete = False
    has_bce = True
    bottleneck = None
    scalar_codebooks = None

    def pack_inputs(self, images, labels=None):
        return {"images": images, "labels": labels} if self.needs_labels else images

    def reconstruct(self, inputs):
        return np.asarray(inputs["images"] if isinstance(inputs, dict) else inputs)

    def posterior(self, inputs):
        return None

    def code_statistics(self, inputs):
        return {}

    def snap_latents(self, latents):
        return np.asarray(latents)

    def fit_prior(self, images):
        raise ValueError("this model has no prior of its own to fit")
