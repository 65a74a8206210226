"""The losses of a trained model beside two references without a network, and a verdict.

The references are the mean image and PCA with as many components as the code has numbers (without
the label, of a conditional model), both fitted to at most 10,000 training images and 1 GiB of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_ae import data
from keras_ae.data.baselines import (
    MAX_IMAGES,
    fit_pca,
    mean_image,
    pca_reconstructions,
    random_images,
)
from keras_ae.progress import counted
from keras_ae.stored_images import StoredImages

MAX_BYTES = 2**30  # of images in memory at a time, as float32
OVERFITTING = 1.2  # validation above training by this factor
COLLAPSED = 0.01  # share of the images' variance that the reconstructions have
FEW_CODES = 0.05  # share of a codebook
UNITS = {"bce": "nats/image (BCE)", "mse": "squared error/image"}


class References:
    """`reference_losses`, computed once for the same images and number of components.

    The runs of a grid mostly share their images, and fitting PCA may take longer than a training.
    """

    def __init__(self):
        self._known: dict[tuple, dict[str, float]] = {}

    def __call__(
        self, train_images: np.ndarray, test_images: np.ndarray, num_components: int
    ) -> dict[str, float]:
        key = (*map(_digest, (train_images, test_images)), num_components)
        if key not in self._known:
            self._known[key] = reference_losses(train_images, test_images, num_components)
        return dict(self._known[key])


def _digest(images: np.ndarray) -> str:
    digest = hashlib.sha256(f"{images.shape} {images.dtype.str}".encode())
    if isinstance(images, StoredImages):
        digest.update(images.key)
        return digest.hexdigest()
    digest.update(np.ascontiguousarray(images).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def measure(
    model: Any,
    train: data.Subset,
    test: data.Subset,
    references: Callable[..., dict[str, float]] | None = None,
) -> dict[str, float]:
    """Losses of the deterministic reconstructions of the test images, and of both references.

    Args:
        model: A trained autoencoder.
        train, test: Training and test images, with labels where the model needs them.
        references: A `References` that several runs share; None to compute them again.

    Returns:
        `mse` and, where the output is a probability, `bce`, each summed over the pixels and
        averaged over the images; `variance`, that of the reconstructions as a share of the images'
        own; `codes_used`, the share of the codebook, where there is one; and what
        `reference_losses` returns.
    """
    inputs = model.pack_inputs(test.images, test.labels)
    found: dict[str, float] = {}
    if model.has_bce:
        found["bce"] = float(np.mean(model.anomaly_score(inputs, score="bce"), dtype=np.float64))
    squared, spread = 0.0, Spread()
    for part in _parts(len(test)):
        few = test.where(part)
        images = np.asarray(few.images)
        rebuilt = np.asarray(model.reconstruct(model.pack_inputs(images, few.labels)))
        squared += float(np.square(images - rebuilt).sum(dtype=np.float64))
        spread.add(images, rebuilt)
    found["mse"] = squared / len(test)
    if spread.share is not None:
        found["variance"] = spread.share
    if "codes_used" in (statistics := model.code_statistics(inputs)):
        found["codes_used"] = float(statistics["codes_used"])
    # The label that a conditional model is given is no part of what it has learned of an image.
    num_components = model.latent_dim if model.needs_labels else model.code_size
    references = references or reference_losses
    return found | references(train.images, test.images, num_components)


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
    most = min(MAX_IMAGES, max(1, MAX_BYTES // (4 * math.prod(train_images.shape[1:]))))
    train_images = np.asarray(random_images(train_images, most))
    average = mean_image(train_images)
    _, pca = fit_pca(train_images, code_size)
    found: dict[str, float] = {"pca_components": int(pca.n_components_)}
    for part in _parts(len(test_images)):
        images = test_images[part]
        for name, pixels in (("mean_image", average), ("pca", pca_reconstructions(pca, images))):
            for loss, value in _sums(images, pixels).items():
                key = f"{name}_{loss}"
                found[key] = found.get(key, 0.0) + value / len(test_images)
    return found


def _sums(images: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """BCE in nats and squared error, summed over images of probabilities between 0 and 1."""
    from keras_ae.losses import probabilities_bce  # loads TensorFlow, an evaluation may not

    bce = probabilities_bce(images, probabilities).sum()
    return {"bce": float(bce), "mse": float(np.square(images - probabilities).sum())}


def _parts(num_images: int) -> list[np.ndarray]:
    """Indices in parts of at most 500, since the losses need several float64 copies."""
    return np.array_split(np.arange(num_images), -(-num_images // 500))


class Spread:
    """The variance of reconstructions as a share of that of the images, which are added in parts.

    Variances are over images, summed over the pixels.
    """

    def __init__(self):
        self._num, self._sums, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, images: np.ndarray, reconstructions: np.ndarray) -> None:
        """Add images and their reconstructions, `(N, ...)` each."""
        both = np.stack([images, reconstructions]).astype(np.float64)
        self._num += len(images)
        self._sums = self._sums + both.sum(axis=1)
        self._squares = self._squares + np.square(both).sum(axis=1)

    @property
    def share(self) -> float | None:
        """At least 0; None where the images do not vary, as with a single one."""
        variances = self._squares / self._num - np.square(self._sums / self._num)
        theirs, ours = np.maximum(variances, 0.0).reshape(2, -1).sum(axis=1)
        return float(ours / theirs) if theirs > 0 else None


def has_collapsed(results: Mapping[str, Any]) -> bool:
    """Whether a model ignores its input: its reconstructions vary almost not.

    Args:
        results: With the key `variance`, see `measure`; False without it.
    """
    return results.get("variance", 1.0) < COLLAPSED


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
        f"{counted(results['pca_components'], 'component')} {pca:,.2f}: {verdict}"
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
    components = f"PCA with {counted(results['pca_components'], 'component')}"
    # Defects are found by another score, which a better reconstruction need not improve.
    errors = (loss, "bce", "mse")
    by_score = (
        results.get("test_auroc", 0.0) > 0.6 and results.get("threshold_score", loss) not in errors
    )
    if by_score and min(mean, pca) <= model:
        better = "The mean image" if mean <= model else components
        lines.append(
            f"{better} reconstructs better than this model. To find anomalous images, the AUROC "
            f"above counts ({results['test_auroc']:.3f}), not this."
        )
    elif model >= mean:
        lines.append(f"The model is not better than the mean image. {_advice(history)}")
    elif pca < model:
        lines.append(
            f"{components} is better than this model. Train longer or on more images, or use "
            "another variant."
        )
    if has_collapsed(results):
        advice = "Train longer or lower the learning rate."
        if results.get("latent_loss"):
            advice = "Lower the weight of the latent loss or the learning rate."
        lines.append(
            "The code has collapsed: the reconstructions are nearly the same for all images. "
            + advice
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


def _advice(history: Sequence[Mapping[str, float]]) -> str:
    """What to do about a model that is too weak: train longer, unless it has overfitted."""
    losses = [row.get("val_reconstruction_loss", np.inf) for row in history]
    best = int(np.argmin(losses)) + 1 if losses else 0
    if best < len(losses) / 2:
        return (
            f"The validation loss was lowest in epoch {best} of {len(losses)}, so more training "
            "does not help. Use more images, less noise (noise_stddev) or another variant."
        )
    return "Train longer, or with a lower learning rate."


def _compared(loss: str, results: Mapping[str, float]) -> tuple[float, float, float]:
    """The loss of the model, of the mean image and of PCA."""
    return results[loss], results[f"mean_image_{loss}"], results[f"pca_{loss}"]
