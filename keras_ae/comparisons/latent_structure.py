"""Latent structure: how the codes of the test images lie, by class and by value."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from keras_ae.comparisons.base import Entry, Figure, Measurement, Problem
from keras_ae.comparisons.common import flat, portions, posterior, told
from keras_ae.layers import ScalarQuantizer, VectorQuantizer
from keras_ae.losses import gaussian_kl
from keras_ae.metrics import CodebookUsage

PROJECTIONS = {"umap": "UMAP", "tsne": "t-SNE"}
NUM_NEIGHBOURS = 10
NUM_QUADRATIC = 2500  # points where the cost is their square in memory
NUM_TSNE = 2500
NUM_UMAP_EPOCHS = 200  # UMAP's own number for large sets; its 500 for these map no better
NUM_COMPONENTS = 20
NUM_BINS = 100
NARROWEST_BIN = 0.05  # about a pixel or two beside N(0, 1): a narrower bar may not be drawn at all
ACTIVE_VARIANCE = 0.01


def measure(model, problem: Problem, *, seed: int, projection: str = "umap") -> Measurement:
    """The codes of the test images, `codes_of`, each flattened.

    Args:
        model: A trained autoencoder.
        problem: Labels are used where there are any.
        seed: Of the map and of the subsets.
        projection: "umap" (McInnes et al., arXiv 1802.03426) or "tsne" (van der Maaten and
            Hinton, JMLR 9, 2008): how codes of more than two dimensions are mapped to two.

    Returns:
        numbers: those of `structure_of`, of `values_of` and of `bottleneck_numbers`; a `note`
            where the model is told the labels.
        arrays: `map` (N, 2), `map_labels` (N,) where there are labels, `edges`, `density`.

    Raises:
        ValueError: an unknown projection.
    """
    test = problem.split.test
    inputs = told(model, test)
    codes = codes_of(model, inputs)
    structure = structure_of(codes, test.labels, seed=seed, projection=projection)
    values = values_of(codes)
    numbers = {**structure.numbers, **values.numbers, **bottleneck_numbers(model, inputs)}
    if isinstance(inputs, dict):
        numbers["note"] = (
            f"{type(model).__name__} is told the class: what is measured is its z alone, the mean "
            "given the label, without the label behind it."
        )
    return Measurement(numbers, {**structure.arrays, **values.arrays})


def baselines(problem: Problem, *, seed: int, projection: str = "umap") -> dict[str, Measurement]:
    """The same of the raw pixels and of principal components fitted to the training images."""
    from sklearn.decomposition import PCA

    train, test = flat(problem.split.train.images), flat(problem.split.test.images)
    number = min(NUM_COMPONENTS, *train.shape)
    components = PCA(number, svd_solver="randomized", random_state=seed).fit(train)
    named = {"pixels": test, f"PCA, {number} components": components.transform(test)}
    return {
        name: structure_of(codes, problem.split.test.labels, seed=seed, projection=projection)
        for name, codes in named.items()
    }


def draw(
    entries: list[Entry], baselines: list[Entry], problem: Problem, folder: Path
) -> list[Figure]:
    """The maps, and the densities of the code values, of the first run of each label."""
    from keras_ae import plots

    first: dict[str, Measurement] = {}
    for entry in [*entries, *baselines]:
        first.setdefault(entry.label, entry.measurement)
    labels = next((made.arrays.get("map_labels") for made in first.values()), None)
    maps = {}
    for label, made in first.items():
        accuracy = made.numbers.get("neighbour_accuracy")
        title = label if accuracy is None else f"{label}: {accuracy:.3f}"
        maps[title] = made.arrays["map"]
    figures = [
        Figure(
            plots.scatter_grid(maps, labels, problem.class_names, folder / "latent_structure.png"),
            map_caption([made.numbers for made in first.values()], labels is not None),
        )
    ]
    valued = {label: made for label, made in first.items() if "density" in made.arrays}
    if valued:
        densities = {
            label: (made.arrays["edges"], made.arrays["density"]) for label, made in valued.items()
        }
        notes = {
            label: "min {code_min:z.2f}\nmax {code_max:.2f}\nmean {code_mean:z.2f}\n"
            "std {code_std:.2f}".format(**made.numbers)
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
                "N(0, 1): where the codes lie elsewhere, samples from it are no codes. A spike at "
                "0 in a Gaussian code is its inactive units.",
            )
        )
    return figures


def map_caption(numbers: list[dict], labelled: bool) -> str:
    kinds = {made["map_kind"] for made in numbers} - {"codes"}
    how = " and ".join(PROJECTIONS[kind] for kind in PROJECTIONS if kind in kinds)
    how = f"mapped to two dimensions by {how}" if how else "as they are"
    fewest = min(made["map_points"] for made in numbers)
    text = f"The codes of {fewest:,} test images, {how}."
    if labelled:
        text += " Colour is the class, the number the 10-nearest-neighbour accuracy of the codes."
    return text


# ---- the numbers ----


def codes_of(model, inputs) -> np.ndarray:
    """Codes `(N, D)`; where labels are among the inputs, without the label that a code holds."""
    return posterior(model, inputs)[0] if isinstance(inputs, dict) else flat(model.encode(inputs))


def structure_of(codes: np.ndarray, labels, *, seed: int, projection: str) -> Measurement:
    """What is known of codes `(N, D)` by their distances, and their map.

    Numbers: those of `neighbour_numbers` and `silhouette` (Rousseeuw 1987) in [-1, 1], of at most
    2,500 codes, only with labels; `trustworthiness` of the map (Venna and Kaski 2001) in [0, 1], of
    the same subset: 1 where every neighbour on the map is one among the codes; `map_kind` and
    `map_points`.
    """
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import silhouette_score

    if projection not in PROJECTIONS:
        raise ValueError(f"projection must be one of {list(PROJECTIONS)}; received {projection!r}.")
    shown = subset(len(codes), NUM_TSNE if projection == "tsne" else len(codes), seed)
    points = map_of(codes[shown], seed=seed, projection=projection)
    kind = "codes" if codes.shape[1] <= 2 else projection
    numbers = {"map_kind": kind, "map_points": len(points)}
    arrays = {"map": points.astype(np.float32)}
    few = subset(len(points), NUM_QUADRATIC, seed)
    num_neighbours = min(NUM_NEIGHBOURS, (len(few) - 1) // 2)
    if num_neighbours:
        numbers["trustworthiness"] = float(
            trustworthiness(codes[shown][few], points[few], n_neighbors=num_neighbours)
        )
    if labels is not None:
        arrays["map_labels"] = np.asarray(labels)[shown]
        if len(codes) > 1:
            numbers |= neighbour_numbers(codes, labels)
        few_labels = arrays["map_labels"][few]
        if 1 < len(np.unique(few_labels)) < len(few):
            numbers["silhouette"] = float(silhouette_score(codes[shown][few], few_labels))
    return Measurement(numbers, arrays)


def neighbour_numbers(codes: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What the 10 nearest other codes say of the class, in [0, 1].

    `neighbour_accuracy`, the share of codes whose class is that of most of them (among equally
    frequent classes the first counts, as in scikit-learn's classifier); `retrieval_precision`, the
    share of them that are of the code's class. Of binary codes the nearest are those of the
    smallest Hamming distance.
    """
    from sklearn.neighbors import NearestNeighbors

    number = min(NUM_NEIGHBOURS, len(codes) - 1)
    # Asked without points, it leaves each point out of its own neighbours.
    nearest = NearestNeighbors(n_neighbors=number).fit(codes).kneighbors(return_distance=False)
    kinds, labels = np.unique(labels, return_inverse=True)
    votes = (labels[nearest][:, :, None] == np.arange(len(kinds))).sum(axis=1)
    return {
        "neighbour_accuracy": float(np.mean(votes.argmax(axis=1) == labels)),
        "retrieval_precision": float(np.mean(labels[nearest] == labels[:, None])),
    }


def map_of(codes: np.ndarray, *, seed: int, projection: str) -> np.ndarray:
    """Points `(N, 2)`: codes of one or two dimensions as they are, others by the projection."""
    from threadpoolctl import threadpool_limits

    if codes.shape[1] <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1])))
    if len(codes) < 20 or not np.ptp(codes, axis=0).any():
        return codes[:, :2]  # too few, or all alike: there are no neighbourhoods to keep
    # One thread: UMAP repeats itself only so, and t-SNE's threads mostly wait for one another.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        if projection == "tsne":
            from sklearn.manifold import TSNE

            perplexity = min(30.0, (len(codes) - 1) / 3)
            return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes)
        from umap import UMAP

        mapper = UMAP(
            n_neighbors=min(15, len(codes) - 1),
            n_epochs=NUM_UMAP_EPOCHS,
            random_state=seed,
            n_jobs=1,
        )
        return mapper.fit_transform(codes)


def values_of(codes: np.ndarray) -> Measurement:
    """The histogram of all code values, and `code_min`, `code_max`, `code_mean`, `code_std`.

    The lowest and the highest value are each in the middle of a bin, so that both are drawn of a
    code that has no others.
    """
    low, span = float(codes.min()), float(np.ptp(codes))
    width = max(span / (NUM_BINS - 1), NARROWEST_BIN)
    num_bins = int(span / width + 0.5) + 1
    start = low - width / 2
    density, edges = np.histogram(
        codes, bins=num_bins, range=(start, start + num_bins * width), density=True
    )
    numbers = {
        f"code_{name}": float(getattr(codes, name)()) for name in ("min", "max", "mean", "std")
    }
    return Measurement(numbers, {"edges": edges, "density": density})


def bottleneck_numbers(model, inputs) -> dict:
    """What only a Gaussian or a quantised code has.

    Gaussian: `kl`, the mean of KL(q(z|x) || N(0, I)) in nats an image, without beta;
    `kl_per_dimension`; `active_units`, the dimensions whose posterior mean varies over the images
    by more than 0.01 (Burda et al., arXiv 1509.00519, section 5.2). Quantised: `perplexity` and
    `codes_used`, the share of a codebook chosen at least once, as `keras_ae.metrics.CodebookUsage`
    has them, over all images.
    """
    gaussian = posterior(model, inputs)
    if gaussian is not None:
        return gaussian_numbers(*gaussian)
    bottleneck = getattr(model, "bottleneck", None)
    if isinstance(bottleneck, ScalarQuantizer | VectorQuantizer):
        return codebook_numbers(model, inputs)
    return {}


def gaussian_numbers(z_mean: np.ndarray, z_log_var: np.ndarray) -> dict:
    each = gaussian_kl(z_mean[..., None], z_log_var[..., None]).numpy().astype(np.float64)
    per_dimension = each.mean(axis=0)
    variances = z_mean.astype(np.float64).var(axis=0)
    return {
        "kl": float(per_dimension.sum()),
        "kl_per_dimension": [float(value) for value in per_dimension],
        "active_units": int((variances > ACTIVE_VARIANCE).sum()),
    }


def codebook_numbers(model, images: np.ndarray) -> dict:
    """One codebook that all share, or one of scalars for each dimension."""
    bottleneck = model.bottleneck
    shared = isinstance(bottleneck, VectorQuantizer)
    usage = CodebookUsage(1 if shared else model.latent_dim, bottleneck.num_embeddings)
    for portion in portions(images):
        usage.update_state(bottleneck.indices(model.encoder(portion, training=False)))
    result = {name: float(value) for name, value in usage.result().items()}
    return {"perplexity": result["perplexity"], "codes_used": result["codebook_usage"]}


def subset(number: int, at_most: int, seed: int) -> np.ndarray:
    """Sorted indices: all, or `at_most` of them drawn without replacement."""
    if number <= at_most:
        return np.arange(number)
    return np.sort(np.random.default_rng(seed).choice(number, at_most, replace=False))


def standard_normal() -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import norm

    x = np.linspace(-4, 4, 201)
    return x, norm.pdf(x)
