"""How well the test images are reconstructed, in nats an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_ae import plots
from keras_ae.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.layers.gaussian_bottleneck import GaussianBottleneck
from keras_ae.losses import entropy_floor, gaussian_kl, per_image_bce

NUM_SHOWN = 16
NUM_COMPONENTS = 20
IMAGES_PER_CALL = 2000
# Half a grey level of 8 bits: a pixel of exactly 0 where there is ink would cost infinitely much.
SMALLEST = 1 / 512


def measure(model, problem: Problem, *, seed: int) -> Measurement:
    """The losses of the test images' reconstructions.

    Args:
        seed: Of the noise on the sampled codes.

    Returns:
        Numbers, each a mean over all test images: `bce` of the deterministic code, in nats an
        image; `mse_per_pixel`, the squared error; and where the bottleneck is Gaussian
        `sampled_bce`, with the code drawn as in training, `kl`, unweighted whatever the model's
        beta, and `negative_elbo`, their sum (Kingma and Welling, arXiv 1312.6114, eq. 10, with
        one sample an image).
        Arrays: `originals` and `reconstructions` `(16, *image_shape)`, the first test images.
    """
    images = problem.split.test.images
    reconstructions = np.asarray(model.reconstruct(images))
    numbers = {
        "bce": mean(model.anomaly_score(images)),
        "mse_per_pixel": mean(np.square(reconstructions - images)),
    }
    if isinstance(getattr(model, "bottleneck", None), GaussianBottleneck):
        sampled_bce, kl = sampled_losses(model, images, seed)
        numbers |= {
            "sampled_bce": mean(sampled_bce),
            "kl": mean(kl),
            "negative_elbo": mean(sampled_bce) + mean(kl),
        }
    return Measurement(numbers, shown(images, reconstructions))


def baselines(problem: Problem, *, seed: int) -> dict[str, Measurement]:
    """What no reconstruction can beat, and what takes no network.

    Both are of the training images. The mean image counts half an image of ink and half of none
    more (Krichevsky and Trofimov's estimate), so that no pixel is certain; the projection on the
    principal components is held half a grey level (1/512) away from 0 and 1.
    """
    train, test = problem.split.train.images, problem.split.test.images
    average = (train.sum(axis=0, dtype=np.float64) + 0.5) / (len(train) + 1)
    components, projected = project(train, test, NUM_COMPONENTS, seed)
    projected = np.clip(projected, SMALLEST, 1 - SMALLEST)
    return {
        "entropy floor": Measurement({"bce": mean(entropy_floor(test)), "mse_per_pixel": 0.0}),
        "mean image": of_probabilities(test, np.broadcast_to(average, test.shape)),
        f"PCA, {components} components": of_probabilities(test, projected),
    }


def draw(
    entries: list[Entry], baselines: list[Entry], problem: Problem, folder: Path
) -> list[Figure]:
    """The first test images over their reconstructions: the first seed of each label."""
    if not entries:
        return []
    rows = {"test images": entries[0].measurement.arrays["originals"]}
    components = [entry for entry in baselines if entry.label.startswith("PCA")]
    for entry in [*entries, *components]:
        rows.setdefault(entry.label, entry.measurement.arrays["reconstructions"])
    path = plots.image_rows(rows, folder / "reconstruction.png")
    return [
        Figure(
            path,
            f"The first {len(rows['test images'])} test images over their reconstructions from "
            "the deterministic code, one row a configuration (its first seed).",
        )
    ]


def sampled_losses(model, images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """BCE from a sampled code and the KL divergence, `(N,)` each, of a Gaussian bottleneck."""
    random = np.random.default_rng(seed)
    losses = []
    for start in range(0, len(images), IMAGES_PER_CALL):
        portion = images[start : start + IMAGES_PER_CALL]
        encoded = np.asarray(model.encoder(portion, training=False), dtype=np.float32)
        z_mean, z_log_var = np.split(encoded, 2, axis=-1)
        noise = random.standard_normal(z_mean.shape, dtype=np.float32)
        logits = model.decoder(z_mean + np.exp(z_log_var / 2) * noise, training=False)
        losses.append((per_image_bce(portion, logits), gaussian_kl(z_mean, z_log_var)))
    sampled_bce, kl = zip(*losses, strict=True)
    return np.concatenate(sampled_bce), np.concatenate(kl)


def project(
    train: np.ndarray, images: np.ndarray, num_components: int, seed: int
) -> tuple[int, np.ndarray]:
    """`images` projected on the first principal components of `train`, and how many there are."""
    from sklearn.decomposition import PCA

    pixels = train.reshape(len(train), -1)
    num_components = min(num_components, *pixels.shape)
    pca = PCA(num_components, random_state=seed).fit(pixels)
    projected = pca.inverse_transform(pca.transform(images.reshape(len(images), -1)))
    return num_components, projected.reshape(images.shape)


def of_probabilities(images: np.ndarray, probabilities: np.ndarray) -> Measurement:
    from scipy.special import logit

    numbers = {
        "bce": mean(per_image_bce(images, logit(probabilities))),
        "mse_per_pixel": mean(np.square(probabilities - images)),
    }
    return Measurement(numbers, shown(images, probabilities.astype(np.float32)))


def shown(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    return {"originals": images[:NUM_SHOWN], "reconstructions": reconstructions[:NUM_SHOWN]}


def mean(values) -> float:
    return float(np.mean(values, dtype=np.float64))
