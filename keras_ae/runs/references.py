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
from keras_ae.data.baselines import fit_pca, mean_image, pca_reconstructions
from keras_ae.losses import probabilities_bce
from keras_ae.progress import counted
from keras_ae.stored_images import StoredImages

MAX_IMAGES = 10_000
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
        references: A `References` that several runs share; None computes them anew.

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
    squared, ours, theirs = 0.0, _Spread(), _Spread()
    for part in _parts(len(test)):
        few = test.where(part)
        images = np.asarray(few.images)
        rebuilt = np.asarray(model.reconstruct(model.pack_inputs(images, few.labels)))
        squared += float(np.square(images - rebuilt).sum(dtype=np.float64))
        ours.add(rebuilt)
        theirs.add(images)
    found["mse"] = squared / len(test)
    if theirs.total > 0:  # not so with one test image
        found["variance"] = ours.total / theirs.total
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
    if len(train_images) > most:
        chosen = np.random.default_rng(0).choice(len(train_images), most, replace=False)
        train_images = train_images[np.sort(chosen)]
    train_images = np.asarray(train_images)
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
    bce = probabilities_bce(images, probabilities).sum()
    return {"bce": float(bce), "mse": float(np.square(images - probabilities).sum())}


def _parts(num_images: int) -> list[np.ndarray]:
    """Indices in parts of at most 500, since the losses need several float64 copies."""
    return np.array_split(np.arange(num_images), -(-num_images // 500))


class _Spread:
    """The variance over images, summed over the pixels; images are added in parts."""

    def __init__(self):
        self._num, self._sum, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, images: np.ndarray) -> None:
        images = np.asarray(images, np.float64)
        self._num += len(images)
        self._sum = self._sum + images.sum(axis=0)
        self._squares = self._squares + np.square(images).sum(axis=0)

    @property
    def total(self) -> float:
        variance = self._squares / self._num - np.square(self._sum / self._num)
        return float(np.maximum(variance, 0.0).sum())


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
    if model >= mean:
        lines.append(
            "The model is not better than the mean image. Train longer, or with a lower learning "
            "rate."
        )
    elif pca < model:
        lines.append(
            f"PCA with {counted(results['pca_components'], 'component')} is better than this "
            "model. Train longer or on more images, or use another variant."
        )
    if results.get("variance", 1.0) < COLLAPSED:
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
