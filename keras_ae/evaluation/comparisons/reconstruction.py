"""How well the test images are reconstructed: nats, and squared error, an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.evaluation.comparisons.common import (
    as_images,
    flat,
    has_bce,
    mean,
    portions,
    posterior,
    told,
)
from keras_ae.losses import entropy_floor, gaussian_kl, per_image_bce

NUM_SHOWN = 16
NUM_COMPONENTS = 20
# Half a grey level of 8 bits: a pixel of exactly 0 where there is ink would cost infinitely much.
SMALLEST = 1 / 512


def measure(model, problem: Problem, *, seed: int) -> Measurement:
    """The losses of the test images' reconstructions.

    Args:
        seed: Of the noise on the sampled codes.

    Returns:
        Numbers, each a mean over all test images: `mse`, the squared error summed over the pixels,
        and `mse_per_pixel`. Where the output is a probability of ink `bce` of the deterministic
        code, in nats an image. Where the code is Gaussian `kl`, unweighted whatever the model's
        beta, and with both `sampled_bce`, the code drawn as in training, and `negative_elbo`, the
        sum of that and `kl` (Kingma and Welling, arXiv 1312.6114, eq. 10, with one sample an
        image). A model that needs labels is given the true ones, as `evaluate` is, and a `note`
        says so: inferred labels are those of the lowest loss, a minimum that no other model has.
        Arrays: `originals` and `reconstructions` `(16, *image_shape)`, the first test images.
    """
    images = problem.split.test.images
    inputs = told(model, problem.split.test)
    reconstructions = np.asarray(model.reconstruct(inputs))
    numbers = squared_errors(images, reconstructions)
    if has_bce(model):
        numbers["bce"] = mean(model.anomaly_score(inputs, score="bce"))
    gaussian = posterior(model, inputs)
    if gaussian is not None:
        numbers["kl"] = mean(gaussian_kl(*gaussian))
    if gaussian is not None and has_bce(model):
        numbers["sampled_bce"] = mean(sampled_bce(model, images, inputs, gaussian, seed))
        numbers["negative_elbo"] = numbers["sampled_bce"] + numbers["kl"]
    if isinstance(inputs, dict):
        numbers["note"] = (
            f"{type(model).__name__} is told the class: its figures are given the label."
        )
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
        "entropy floor": Measurement(
            {"bce": mean(entropy_floor(test)), **squared_errors(test, test)}
        ),
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


def squared_errors(images: np.ndarray, pixels: np.ndarray) -> dict[str, float]:
    per_pixel = mean(np.square(pixels - images))
    return {"mse": per_pixel * flat(images).shape[1], "mse_per_pixel": per_pixel}


def sampled_bce(model, images: np.ndarray, inputs, gaussian: tuple, seed: int) -> np.ndarray:
    """BCE `(N,)` from a code drawn of each posterior; what else a code holds stays as it is."""
    random = np.random.default_rng(seed)
    z_mean, z_log_var = gaussian
    codes = np.array(model.encode(inputs), dtype=np.float32)
    losses = []
    for portion in portions(np.arange(len(images))):
        noise = random.standard_normal(z_mean[portion].shape, dtype=np.float32)
        latents = codes[portion]
        latents[:, : z_mean.shape[1]] = z_mean[portion] + np.exp(z_log_var[portion] / 2) * noise
        losses.append(per_image_bce(images[portion], model.decoder(latents, training=False)))
    return np.concatenate(losses)


def project(
    train: np.ndarray, images: np.ndarray, num_components: int, seed: int
) -> tuple[int, np.ndarray]:
    """`images` projected on the first principal components of `train`, and how many there are."""
    from sklearn.decomposition import PCA

    pixels = flat(train)
    num_components = min(num_components, *pixels.shape)
    pca = PCA(num_components, random_state=seed).fit(pixels)
    projected = pca.inverse_transform(pca.transform(flat(images)))
    return num_components, projected.reshape(images.shape)


def of_probabilities(images: np.ndarray, probabilities: np.ndarray) -> Measurement:
    from scipy.special import logit

    numbers = {
        "bce": mean(per_image_bce(images, logit(probabilities))),
        **squared_errors(images, probabilities),
    }
    return Measurement(numbers, shown(images, probabilities.astype(np.float32)))


def shown(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "originals": images[:NUM_SHOWN],
        "reconstructions": as_images(reconstructions[:NUM_SHOWN]),
    }
