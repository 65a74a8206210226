"""Fit a prior to the codes of a trained autoencoder, so that every variant can be sampled."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ae.priors.autoregressive import AutoregressivePrior
from keras_ae.priors.mixtures import BernoulliMixturePrior, GaussianMixturePrior, SnappedPrior

MAX_CODES = 20_000  # codes for a mixture; more take longer without visible gain


def fit_prior(
    model: Any, images: np.ndarray, *, seed: int
) -> AutoregressivePrior | BernoulliMixturePrior | SnappedPrior:
    """Fit a prior to the latent codes of images, so that models without a prior can be sampled.

    Codes of zeros and ones get a mixture of Bernoullis, codes with a codebook for each dimension
    (`model.scalar_codebooks`) an autoregressive prior over their indices. All others get a mixture
    of Gaussians whose samples are moved to the nearest latents that the model can produce
    (`model.snap_latents`). Mixtures are fitted to at most 20,000 codes.

    Example:
        prior = fit_prior(model, images, seed=0)
        new_images = model.decode(prior.sample(16, seed=1))

    Args:
        model: A trained autoencoder.
        images: Training images, `(N, *image_shape)`, N >= 2.
        seed: Seed of the choice of codes and of the fit.

    Returns:
        A prior with `sample(num, seed)`, which returns latents `(num, *code_shape)`, float32;
        `negative_log_likelihood(latents)` and `uniform`, both None for a Gaussian mixture.
    """
    codebooks = model.scalar_codebooks
    if codebooks is not None:
        return AutoregressivePrior(codebooks, model.encode(images), seed=seed)
    if len(images) > MAX_CODES:
        chosen = np.random.default_rng(seed).choice(len(images), MAX_CODES, replace=False)
        images = images[np.sort(chosen)]
    codes = np.asarray(model.encode(images))
    if np.isin(codes, (0.0, 1.0)).all():
        return BernoulliMixturePrior(codes, seed=seed)
    return SnappedPrior(model, GaussianMixturePrior(codes, seed=seed))
