"""Reconstruction: the error of the reconstructed test images, in nats/image and squared error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ae.data.baselines import flatten, mean_image, pca_reconstructions
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import EvaluationData, Figure, Measurement, Result
from keras_ae.evaluation.comparisons.common import (
    Inputs,
    clip_to_images,
    in_batches,
    mean,
    model_inputs,
    posterior,
)
from keras_ae.runs.references import Spread

VERSION = 2
NUM_SHOWN = 16
NUM_COMPONENTS = 20


def measure(model: Any, data: EvaluationData, *, seed: int) -> Measurement:
    """Reconstruction losses of the test images.

    Args:
        model: A trained autoencoder.
        data: Needs no labels, unless the model does.
        seed: Seed of the noise on sampled codes.

    Returns:
        Metrics, each a mean over all test images. `mse`: the squared error summed over the pixels,
        and `mse_per_pixel`. `variance`, that of the reconstructions as a share of the images' own.
        `bce`, where the output is a probability: of the deterministic code, in nats/image.
        `pca_mse` and, with `bce`, `pca_bce`: the same of PCA with `pca_components`, as many as the
        code has numbers (fewer, with a `note`, where there are not as many training images or
        pixels). `kl`, where the code is Gaussian, without the weight beta.
        With both, `sampled_bce`, for a code drawn as in training, and `negative_elbo`, the sum of
        that and `kl` (Kingma and Welling, arXiv 1312.6114, eq. 10, with one sample for each
        image). A model that needs labels gets the true ones, as `evaluate` does, and a `note`
        says so: inferred labels minimize the loss, which would be an unfair advantage.
        Arrays: `originals` and `reconstructions` `(16, *image_shape)`, the first test images.
    """
    from keras_ae.losses import gaussian_kl

    images = data.split.test.images
    inputs = model_inputs(model, data.split.test)
    reconstructions = np.asarray(model.reconstruct(inputs))
    metrics: dict[str, Any] = squared_errors(images, reconstructions)
    spread, notes = Spread(), []
    for indices in in_batches(np.arange(len(images))):
        spread.add(images[indices], reconstructions[indices])
    if spread.share is not None:
        metrics["variance"] = spread.share
    pca = data.principal_components(model.code_size)
    of_pca = data.shared(
        ("pca", pca.n_components_),
        lambda: measure_probabilities(images, pca_reconstructions(pca, images)),
    ).metrics
    metrics["pca_components"] = int(pca.n_components_)
    metrics["pca_mse"] = of_pca["mse"]
    if pca.n_components_ < model.code_size:
        notes.append(
            f"PCA beside {type(model).__name__}, whose code has {model.code_size:,} numbers, has "
            f"only {pca.n_components_:,} components, for want of more training images or pixels."
        )
    if model.has_bce:
        metrics["pca_bce"] = of_pca["bce"]
        metrics["bce"] = mean(model.anomaly_score(inputs, score="bce"))
    gaussian = posterior(model, inputs)
    if gaussian is not None:
        metrics["kl"] = mean(gaussian_kl(*gaussian))
    if gaussian is not None and model.has_bce:
        metrics["sampled_bce"] = mean(sampled_bce(model, images, inputs, gaussian, seed))
        metrics["negative_elbo"] = metrics["sampled_bce"] + metrics["kl"]
    if model.needs_labels:
        notes.append(
            f"{type(model).__name__} takes the class label as input: its numbers are those with "
            "the true label."
        )
    if notes:
        metrics["note"] = " ".join(notes)
    return Measurement(metrics, shown_images(images, reconstructions))


def baselines(data: EvaluationData, *, seed: int) -> dict[str, Measurement]:
    """The entropy floor, which no reconstruction can beat, and two models without a network.

    Mean image and PCA are fitted to the training images. The mean image includes half a white and
    half a black image (Krichevsky and Trofimov's estimate), so that no pixel is exactly 0 or 1.
    PCA reconstructions are clipped to half a gray level (1/512) from 0 and 1.
    """
    from keras_ae.losses import entropy_floor

    train, test = data.split.train.images, data.split.test.images
    pca = data.principal_components(NUM_COMPONENTS)
    return {
        "entropy floor": Measurement(
            {"bce": mean(entropy_floor(test)), **squared_errors(test, test)}
        ),
        "mean image": measure_probabilities(test, np.broadcast_to(mean_image(train), test.shape)),
        f"PCA, {pca.n_components_} components": data.shared(
            ("pca", pca.n_components_),
            lambda: measure_probabilities(test, pca_reconstructions(pca, test)),
        ),
    }


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """The first test images above their reconstructions: the first seed of each label."""
    if not results:
        return []
    rows = {"test images": results[0].measurement.arrays["originals"]}
    components = [baseline for baseline in baselines if baseline.label.startswith("PCA")]
    for result in [*results, *components]:
        rows.setdefault(result.label, result.measurement.arrays["reconstructions"])
    path = plots.image_rows(rows, folder / "reconstruction.png")
    return [
        Figure(
            path,
            f"The first {len(rows['test images'])} test images above their reconstructions from "
            "the deterministic code, one row for each configuration (its first seed).",
        )
    ]


# ---- helpers ----


def squared_errors(images: np.ndarray, pixels: np.ndarray) -> dict[str, float]:
    per_pixel = mean(np.square(pixels - images))
    return {"mse": per_pixel * flatten(images).shape[1], "mse_per_pixel": per_pixel}


def sampled_bce(
    model: Any,
    images: np.ndarray,
    inputs: Inputs,
    gaussian: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> np.ndarray:
    """BCE `(N,)` of a code drawn from each posterior; other parts of a code are kept."""
    from keras_ae.losses import per_image_bce

    random = np.random.default_rng(seed)
    z_mean, z_log_var = gaussian
    codes = np.array(model.encode(inputs), dtype=np.float32)
    losses = []
    for indices in in_batches(np.arange(len(images))):
        noise = random.standard_normal(z_mean[indices].shape, dtype=np.float32)
        latents = codes[indices]
        latents[:, : z_mean.shape[1]] = z_mean[indices] + np.exp(z_log_var[indices] / 2) * noise
        losses.append(per_image_bce(images[indices], model.decoder(latents, training=False)))
    return np.concatenate(losses)


def measure_probabilities(images: np.ndarray, probabilities: np.ndarray) -> Measurement:
    """The losses of images reconstructed as `probabilities`, strictly between 0 and 1."""
    from keras_ae.losses import probabilities_bce

    metrics = {
        "bce": mean(probabilities_bce(images, probabilities)),
        **squared_errors(images, probabilities),
    }
    return Measurement(metrics, shown_images(images, probabilities.astype(np.float32)))


def shown_images(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "originals": images[:NUM_SHOWN],
        "reconstructions": clip_to_images(reconstructions[:NUM_SHOWN]),
    }
