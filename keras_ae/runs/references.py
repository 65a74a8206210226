"""The losses of a trained model beside two references without a network, and a verdict.

The references are the mean image and PCA with as many components as the code has numbers, both
fitted to at most 10,000 training images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_ae import data
from keras_ae.data.baselines import fit_pca, mean_image, pca_reconstructions

MAX_IMAGES = 10_000
OVERFITTING = 1.2  # validation above training by this factor
COLLAPSED = 0.01  # share of the images' variance that the reconstructions have
FEW_CODES = 0.05  # share of a codebook
UNITS = {"bce": "nats/image (BCE)", "mse": "squared error/image"}


def measure(model: Any, train: data.Subset, test: data.Subset) -> dict[str, float]:
    """Losses of the deterministic reconstructions of the test images, and of both references.

    Args:
        model: A trained autoencoder.
        train, test: Training and test images, with labels where the model needs them.

    Returns:
        `mse` and, where the output is a probability, `bce`, each summed over the pixels and
        averaged over the images; `variance`, that of the reconstructions as a share of the images'
        own; `codes_used`, the share of the codebook, where there is one; and what
        `reference_losses` returns.
    """
    inputs = model.pack_inputs(test.images, test.labels)
    reconstructions = np.asarray(model.reconstruct(inputs))
    found: dict[str, float] = losses(test.images, reconstructions)
    if model.has_bce:
        found["bce"] = float(np.mean(model.anomaly_score(inputs, score="bce"), dtype=np.float64))
    else:
        del found["bce"]
    spread = np.var(test.images, axis=0).sum(dtype=np.float64)
    found["variance"] = float(np.var(reconstructions, axis=0).sum(dtype=np.float64) / spread)
    if "codes_used" in (statistics := model.code_statistics(inputs)):
        found["codes_used"] = float(statistics["codes_used"])
    return found | reference_losses(train.images, test.images, model.code_size)


def reference_losses(
    train_images: np.ndarray, test_images: np.ndarray, code_size: int
) -> dict[str, float]:
    """Losses of the test images reconstructed as the mean image, and from `code_size` components.

    Args:
        train_images, test_images: `(N, ...)`, pixels in [0, 1].
        code_size: Number of components; fewer where there are not as many pixels or images.

    Returns:
        `mean_image_bce`, `mean_image_mse`, `pca_bce`, `pca_mse` and `pca_components`.
    """
    if len(train_images) > MAX_IMAGES:
        chosen = np.random.default_rng(0).choice(len(train_images), MAX_IMAGES, replace=False)
        train_images = train_images[np.sort(chosen)]
    average = np.broadcast_to(mean_image(train_images), test_images.shape)
    _, pca = fit_pca(train_images, code_size)
    pixels = {"mean_image": average, "pca": pca_reconstructions(pca, test_images)}
    found = {
        f"{name}_{loss}": value
        for name, each in pixels.items()
        for loss, value in losses(test_images, each).items()
    }
    return {**found, "pca_components": int(pca.n_components_)}


def losses(images: np.ndarray, pixels: np.ndarray) -> dict[str, float]:
    """BCE in nats and squared error, summed over the pixels and averaged over the images."""
    images, pixels = np.asarray(images, np.float64), np.asarray(pixels, np.float64)
    p = np.clip(pixels, 1e-7, 1 - 1e-7)
    bce = -(images * np.log(p) + (1 - images) * np.log1p(-p)).sum() / len(images)
    return {"bce": float(bce), "mse": float(np.square(images - pixels).sum() / len(images))}


def summary(loss: str, results: Mapping[str, Any]) -> str:
    """The test loss beside those of the references, in one line.

    Args:
        loss: "bce" or "mse".
        results: What `measure` returned.
    """
    model, mean, pca = _compared(loss, results)
    verdict = "worse than the mean image"
    if model < mean:
        verdict = "worse than PCA" if pca < model else "better than PCA"
    return (
        f"{model:,.2f} {UNITS[loss]}; mean image {mean:,.2f}, PCA with "
        f"{results['pca_components']} components {pca:,.2f}: {verdict}"
    )


def warnings(
    loss: str, results: Mapping[str, Any], history: Sequence[Mapping[str, float]]
) -> list[str]:
    """What is wrong with a trained model, with advice, a line each.

    Args:
        loss, results: As in `summary`.
        history: The rows of `history.csv`.
    """
    lines = []
    model, mean, pca = _compared(loss, results)
    if model >= mean:
        lines.append(
            "The model is not better than the mean image. Train longer, or with a lower learning "
            "rate."
        )
    elif pca < model:
        lines.append(
            "PCA with the same code size is better than this model. Train longer or on more "
            "images, or use another variant; for photographs one with convolutions."
        )
    if results["variance"] < COLLAPSED:
        lines.append(
            "The code has collapsed: the reconstructions are nearly the same for all images. "
            "Lower the weight of the latent loss or the learning rate."
        )
    if results.get("codes_used", 1.0) < FEW_CODES:
        lines.append(
            f"Only {results['codes_used']:.1%} of the codebook is in use. Use a smaller codebook "
            "or a lower learning rate."
        )
    best = min(history, key=lambda row: row.get("val_loss", np.inf), default={})
    train, validation = (best.get(f"{part}reconstruction_loss") for part in ("", "val_"))
    if train and validation and validation > OVERFITTING * train:
        lines.append(
            f"The validation loss ({validation:,.2f}) is far above the training loss "
            f"({train:,.2f}): the model overfits. Use more images, a smaller network, or a variant "
            "with noise on its input."
        )
    return lines


def _compared(loss: str, results: Mapping[str, float]) -> tuple[float, float, float]:
    """The loss of the model, of the mean image and of PCA."""
    return results[loss], results[f"mean_image_{loss}"], results[f"pca_{loss}"]
