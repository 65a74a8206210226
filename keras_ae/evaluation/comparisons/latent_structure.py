"""Latent structure: neighbors, 2-D map and value distribution of the codes of the test images."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_ae.data.baselines import fit_pca, flatten
from keras_ae.evaluation import plots, sprites
from keras_ae.evaluation.comparisons.base import (
    EvaluationData,
    Figure,
    Measurement,
    Part,
    Result,
)
from keras_ae.evaluation.comparisons.common import (
    Inputs,
    clip_to_images,
    model_inputs,
    posterior,
)

VERSION = 3
PROJECTIONS = {"umap": "UMAP", "tsne": "t-SNE"}
NUM_NEIGHBORS = 10
MIN_IMAGES = 20  # of a map; with fewer, nearly all images are among the neighbors of each
NUM_QUADRATIC = 2500  # points, where memory grows with their square
NUM_TSNE = 2500
NUM_UMAP_NEIGHBORS = 15  # UMAP's default; a point counts as its own neighbor
NUM_UMAP_EPOCHS = 200  # UMAP's default for large sets; 500 gave no better maps
NUM_COMPONENTS = 20
NUM_BINS = 100
MIN_BIN_WIDTH = 0.05  # one or two pixels of the figure for N(0, 1); narrower bars may vanish
ACTIVE_VARIANCE = 0.01
MAP_FILE = "latent_structure.png"
NUM_PICTURED, LEAST_PICTURED = 2000, 200  # points of a map in the page, with their images


def measure(
    model: Any, data: EvaluationData, *, seed: int, projection: str = "umap"
) -> Measurement:
    """Structure of the codes of the test images, flattened to `(N, D)`.

    Args:
        model: A trained autoencoder.
        data: Labels are used where there are any.
        seed: Seed of the map and of the subsets.
        projection: How codes of more than two dimensions are mapped to two: "umap" (McInnes et
            al., arXiv 1802.03426) or "tsne" (van der Maaten and Hinton, JMLR 9, 2008).

    Returns:
        Metrics of `measure_structure`, `measure_values` and `bottleneck_metrics`, and a `note`
        where the model takes labels, or where there are too few images for a map.
        Arrays: `map` (N, 2), `map_labels` (N,) where there are labels, `edges`, `density`; of up
        to 2,000 points of the map, drawn at random: `pictured`, their rows in it, `pictures` and
        `picture_reconstructions`, see `sprites.thumbnails`, and `errors`, the squared error.

    Raises:
        ValueError: an unknown projection.
    """
    test = data.split.test
    inputs = model_inputs(model, test)
    gaussian = posterior(model, inputs)
    if model.needs_labels and gaussian is not None:
        codes = gaussian[0]  # without the label, which is a part of the code
    else:
        codes = flatten(model.encode(inputs))
    structure = measure_structure(codes, test.labels, seed=seed, projection=projection)
    values = measure_values(codes)
    metrics = {
        **structure.metrics,
        **values.metrics,
        **bottleneck_metrics(model, inputs, gaussian),
    }
    if model.needs_labels:
        note = (
            f"{type(model).__name__} takes the class label as input: measured is z alone, the mean "
            "given the label, without the label that follows it in the code."
        )
        metrics["note"] = " ".join(filter(None, [structure.metrics.get("note"), note]))
    arrays = {**structure.arrays, **values.arrays}
    if "map" in arrays:
        rows = subset(len(codes), len(arrays["map"]), seed)
        arrays |= picture_points(model, test, rows, seed)
    return Measurement(metrics, arrays)


def baselines(
    data: EvaluationData, *, seed: int, projection: str = "umap"
) -> dict[str, Measurement]:
    """The same for the raw pixels and for principal components fitted to the training images."""
    test = flatten(data.split.test.images)
    label, pca = fit_pca(data.split.train.images, NUM_COMPONENTS)
    return {
        name: measure_structure(codes, data.split.test.labels, seed=seed, projection=projection)
        for name, codes in {"pixels": test, label: pca.transform(test)}.items()
    }


def draw(
    results: list[Result], baselines: list[Result], data: EvaluationData, folder: Path
) -> list[Figure]:
    """The maps, and the densities of the code values, of the first run of each label."""
    first: dict[str, Measurement] = {}
    for result in [*results, *baselines]:
        first.setdefault(result.label, result.measurement)
    mapped = {label: made for label, made in first.items() if "map" in made.arrays}
    labels = next((made.arrays.get("map_labels") for made in mapped.values()), None)
    maps = {}
    for label, made in mapped.items():
        accuracy = made.metrics.get("neighbour_accuracy")
        title = label if accuracy is None else f"{label}: {accuracy:.3f}"
        maps[title] = made.arrays["map"]
    figures = []
    if maps:
        figures.append(
            Figure(
                plots.scatter_grid(maps, labels, data.class_names, folder / MAP_FILE),
                map_caption([made.metrics for made in mapped.values()], labels is not None),
            )
        )
    valued = {label: made for label, made in first.items() if "density" in made.arrays}
    if valued:
        densities = {
            label: (made.arrays["edges"], made.arrays["density"]) for label, made in valued.items()
        }
        notes = {
            label: "min {code_min:z.2f}\nmax {code_max:.2f}\nmean {code_mean:z.2f}\n"
            "std {code_std:.2f}".format(**made.metrics)
            for label, made in valued.items()
        }
        path = plots.density_grid(
            densities,
            notes,
            "code value",
            folder / "code_densities.png",
            reference=standard_normal(),
        )
        figures.append(
            Figure(
                path,
                "Density of all code values of the test images, each on its own axis. The line is "
                "N(0, 1): where the codes are distributed otherwise, samples from N(0, 1) are not "
                "typical codes. A spike at 0 in a Gaussian code comes from its inactive units.",
            )
        )
    return figures


def interactive(
    results: list[Result], baselines: list[Result], class_names: tuple[str, ...], max_bytes: float
) -> list[Part]:
    """The maps of the first run of each label, with as many images as `max_bytes` allow."""
    shown: dict[str, Result] = {}
    for result in results:
        if "pictured" in result.measurement.arrays:
            shown.setdefault(result.label, result)
    if not shown:
        return []
    first = next(iter(shown.values())).measurement.arrays
    same = [
        one
        for one in [*shown.values(), *baselines]
        if len(one.measurement.arrays.get("map", ())) == len(first["map"])
        and np.array_equal(
            one.measurement.arrays.get("pictures", first["pictures"]), first["pictures"]
        )
    ]

    def make(num: int) -> dict[str, Any]:
        labels = first.get("map_labels")
        return {
            "class_names": list(class_names) if labels is not None else [],
            "labels": None
            if labels is None
            else sprites.packed(labels[first["pictured"][:num]].astype(np.uint16)),
            "images": sprites.sheet(first["pictures"][:num]),
            "error_name": "squared error",
            "maps": [map_data(one, first["pictured"][:num]) for one in same],
        }

    most = len(first["pictured"])
    data = sprites.fitting(make, most, min(most, LEAST_PICTURED), max_bytes)
    return [Part("maps", data, (MAP_FILE,))]


def map_data(result: Result, pictured: np.ndarray) -> dict[str, Any]:
    """One map: places in [0, 65535], equal steps along both axes, and what hovering shows."""
    metrics, arrays = result.measurement.metrics, result.measurement.arrays
    points = arrays["map"].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    span = max(float((high - low).max()), 1e-12)
    # The y axis of a page points down.
    places = 0.5 + (points[pictured] - (low + high) / 2) / span * [1.0, -1.0]
    kind = metrics.get("map_kind", "")
    words = ["the codes as they are" if kind == "codes" else PROJECTIONS.get(kind, "")]
    if "neighbour_accuracy" in metrics:
        words.append(f"10-nearest-neighbor accuracy {metrics['neighbour_accuracy']:.3f}")
    data: dict[str, Any] = {
        "label": result.label,
        "caption": ", ".join(filter(None, words)),
        "points": sprites.packed(np.round(65535 * places).astype(np.uint16).ravel()),
    }
    if "errors" in arrays:
        num = len(pictured)
        data["errors"] = sprites.packed(arrays["errors"][:num])
        data["reconstructions"] = sprites.sheet(
            arrays["picture_reconstructions"][:num], lossless=False
        )
    return data


def map_caption(metrics: list[dict[str, Any]], labeled: bool) -> str:
    """The caption of the maps, from the metrics of each."""
    kinds = {made["map_kind"] for made in metrics} - {"codes"}
    how = " and ".join(PROJECTIONS[kind] for kind in PROJECTIONS if kind in kinds)
    how = f"mapped to two dimensions by {how}" if how else "as they are"
    fewest = min(made["map_points"] for made in metrics)
    text = f"The codes of {fewest:,} test images, {how}."
    if labeled:
        text += " Colors are classes; numbers are the 10-nearest-neighbor accuracy of the codes."
    return text


# ---- helpers ----


def picture_points(model: Any, test: Any, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Images, reconstructions and errors of some points of a map, see `measure`.

    Args:
        model: A trained autoencoder.
        test: The test images.
        rows: The test image of each point of the map.
        seed: Seed of the draw.
    """
    pictured = np.random.default_rng(seed).permutation(len(rows))[:NUM_PICTURED]
    chosen = rows[pictured]
    images = test.images[chosen]
    labels = None if test.labels is None else test.labels[chosen]
    reconstructions = np.asarray(model.reconstruct(model.pack_inputs(images, labels)))
    errors = np.square(flatten(reconstructions) - flatten(images)).sum(axis=1)
    return {
        "pictured": pictured.astype(np.uint32),
        "pictures": sprites.thumbnails(images),
        "picture_reconstructions": sprites.thumbnails(clip_to_images(reconstructions)),
        "errors": errors.astype(np.float32),
    }


def measure_structure(
    codes: np.ndarray, labels: np.ndarray | None, *, seed: int, projection: str
) -> Measurement:
    """Metrics of codes `(N, D)` that depend on their distances, and their map.

    With labels, `neighbor_metrics` and `silhouette` (Rousseeuw 1987) in [-1, 1], of at most 2,500
    codes. `trustworthiness` of the map (Venna and Kaski 2001) in [0, 1], of the same subset: 1
    where neighbors on the map are always neighbors among the codes. `map_kind` and `map_points`.
    With fewer than 20 codes, a `note` alone: a map of them shows nothing.
    """
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import silhouette_score

    if projection not in PROJECTIONS:
        raise ValueError(f"projection must be one of {list(PROJECTIONS)}; received {projection!r}.")
    if len(codes) < MIN_IMAGES:
        note = (
            f"Too few test images for a map of the codes or for nearest neighbors: {len(codes)}; "
            f"at least {MIN_IMAGES}."
        )
        return Measurement({"note": note})
    shown = subset(len(codes), NUM_TSNE if projection == "tsne" else len(codes), seed)
    neighbors = nearest_codes(codes)
    points = map_of(codes[shown], seed=seed, projection=projection, neighbors=neighbors)
    kind = "codes" if codes.shape[1] <= 2 else projection
    metrics: dict[str, Any] = {"map_kind": kind, "map_points": len(points)}
    arrays = {"map": points.astype(np.float32)}
    few = subset(len(points), NUM_QUADRATIC, seed)
    num_neighbors = min(NUM_NEIGHBORS, (len(few) - 1) // 2)
    metrics["trustworthiness"] = float(
        trustworthiness(codes[shown][few], points[few], n_neighbors=num_neighbors)
    )
    if labels is not None:
        arrays["map_labels"] = np.asarray(labels)[shown]
        metrics |= neighbor_metrics(neighbors.indices, labels)
        few_labels = arrays["map_labels"][few]
        if 1 < len(np.unique(few_labels)) < len(few):
            metrics["silhouette"] = float(silhouette_score(codes[shown][few], few_labels))
    return Measurement(metrics, arrays)


class Neighbors(NamedTuple):
    """The nearest other codes of each code, the nearest first, `(N, k)`; Euclidean distances."""

    indices: np.ndarray
    distances: np.ndarray


def nearest_codes(codes: np.ndarray) -> Neighbors:
    """As many neighbors of codes `(N, D)` as the metrics and UMAP need, searched exactly."""
    from sklearn.neighbors import NearestNeighbors

    number = min(max(NUM_NEIGHBORS, NUM_UMAP_NEIGHBORS - 1), len(codes) - 1)
    # Called without points, `kneighbors` leaves each point out of its own neighbors.
    distances, indices = NearestNeighbors(n_neighbors=number).fit(codes).kneighbors()
    return Neighbors(indices, distances)


def neighbor_metrics(nearest: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How well the 10 nearest other codes predict the class, in [0, 1].

    `neighbour_accuracy`: accuracy of their majority vote (ties go to the first class, as in
    scikit-learn's classifier). `retrieval_precision`: share of them that have the code's class.
    Euclidean distances order the neighbors of binary codes by Hamming distance.

    Args:
        nearest: Indices of the nearest other codes, `(N, k)`; the first 10 count.
        labels: `(N,)`.
    """
    nearest = nearest[:, :NUM_NEIGHBORS]
    kinds, labels = np.unique(labels, return_inverse=True)
    votes = (labels[nearest][:, :, None] == np.arange(len(kinds))).sum(axis=1)
    return {
        "neighbour_accuracy": float(np.mean(votes.argmax(axis=1) == labels)),
        "retrieval_precision": float(np.mean(labels[nearest] == labels[:, None])),
    }


def map_of(codes: np.ndarray, *, seed: int, projection: str, neighbors: Neighbors) -> np.ndarray:
    """Points `(N, 2)`: codes of one or two dimensions unchanged, others by the projection.

    UMAP uses `neighbors`, those of the codes. Its own search, which is approximate from 4,096
    points, takes as long, and 19 s for compilation in every process.
    """
    from threadpoolctl import threadpool_limits

    if codes.shape[1] <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1])))
    if not np.ptp(codes, axis=0).any():
        return codes[:, :2]  # identical codes: no neighborhoods to preserve
    # One thread: UMAP is repeatable only so, and t-SNE's threads mostly wait for one another.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        if projection == "tsne":
            from sklearn.manifold import TSNE

            perplexity = min(30.0, (len(codes) - 1) / 3)
            return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes)
        from umap import UMAP

        number = min(NUM_UMAP_NEIGHBORS, len(codes) - 1)
        mapper = UMAP(
            n_neighbors=number,
            n_epochs=NUM_UMAP_EPOCHS,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=with_themselves(neighbors, number),
        )
        return mapper.fit_transform(codes)


def with_themselves(neighbors: Neighbors, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances as UMAP takes them: each point is its own first neighbor.

    Args:
        number: Neighbors of a point, itself included.
    """
    indices = np.arange(len(neighbors.indices))[:, None]
    indices = np.concatenate([indices, neighbors.indices[:, : number - 1]], axis=1)
    distances = np.pad(neighbors.distances[:, : number - 1], ((0, 0), (1, 0)))
    return indices.astype(np.int32), distances.astype(np.float32)


def measure_values(codes: np.ndarray) -> Measurement:
    """Histogram of all code values, and `code_min`, `code_max`, `code_mean`, `code_std`.

    The lowest and the highest value are each in the middle of a bin, so that both bars of a binary
    code are drawn.
    """
    low, span = float(codes.min()), float(np.ptp(codes))
    width = max(span / (NUM_BINS - 1), MIN_BIN_WIDTH)
    num_bins = int(span / width + 0.5) + 1
    start = low - width / 2
    density, edges = np.histogram(
        codes, bins=num_bins, range=(start, start + num_bins * width), density=True
    )
    metrics = {
        "code_min": float(codes.min()),
        "code_max": float(codes.max()),
        "code_mean": float(codes.mean()),
        "code_std": float(codes.std()),
    }
    return Measurement(metrics, {"edges": edges, "density": density})


def bottleneck_metrics(
    model: Any, inputs: Inputs, gaussian: tuple[np.ndarray, np.ndarray] | None
) -> dict[str, Any]:
    """Metrics that only a Gaussian or a quantized code has.

    Gaussian: `kl`, the mean of KL(q(z|x) || N(0, I)) in nats/image, without beta;
    `kl_per_dimension`; `active_units`, the number of dimensions whose posterior mean varies over
    the images by more than 0.01 (Burda et al., arXiv 1509.00519, section 5.2). Others: the model's
    `code_statistics`; for a quantized code `perplexity` and `codes_used`, the share of a codebook
    chosen at least once.
    """
    if gaussian is not None:
        return gaussian_metrics(*gaussian)
    return {name: float(value) for name, value in model.code_statistics(inputs).items()}


def gaussian_metrics(z_mean: np.ndarray, z_log_var: np.ndarray) -> dict[str, Any]:
    from keras_ae.losses import gaussian_kl

    each = np.asarray(gaussian_kl(z_mean[..., None], z_log_var[..., None])).astype(np.float64)
    per_dimension = each.mean(axis=0)
    variances = z_mean.astype(np.float64).var(axis=0)
    return {
        "kl": float(per_dimension.sum()),
        "kl_per_dimension": [float(value) for value in per_dimension],
        "active_units": int((variances > ACTIVE_VARIANCE).sum()),
    }


def subset(number: int, at_most: int, seed: int) -> np.ndarray:
    """Sorted indices: all of them, or `at_most` drawn without replacement."""
    if number <= at_most:
        return np.arange(number)
    return np.sort(np.random.default_rng(seed).choice(number, at_most, replace=False))


def standard_normal() -> tuple[np.ndarray, np.ndarray]:
    """Points of the density of N(0, 1) on [-4, 4]."""
    from scipy.stats import norm

    x = np.linspace(-4, 4, 201)
    return x, norm.pdf(x)
