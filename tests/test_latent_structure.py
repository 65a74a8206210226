"""Latent structure on fake models with known results, and against slow versions."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image
from scipy import stats

from keras_ae.data import Split, Subset
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons import common, latent_structure
from keras_ae.evaluation.comparisons.base import EvaluationData, Measurement, Result
from keras_ae.layers import ScalarQuantizer, VectorQuantizer

NUM_CLASSES = 4
NAMES = tuple("abcd")


def images_with_labels(number, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, NUM_CLASSES, number)
    images = random.uniform(0, 0.2, (number, 4, 4)).astype("float32")
    images[np.arange(number), 0, labels] = 1.0  # the first row is the class, one-hot
    return Subset(images, labels)


def problem_of(number=120, labeled=True):
    parts = [images_with_labels(number, seed) for seed in range(3)]
    if not labeled:
        parts = [Subset(part.images) for part in parts]
    return EvaluationData(Split(*parts), NAMES if labeled else ())


class Fake(FakeAutoencoder):
    """A model whose code is a function of the image."""

    def __init__(self, encode):
        self.encode = encode


@pytest.fixture(autouse=True)
def quick_map(request, monkeypatch):
    """Replace the projection by the first two dimensions, except in tests with `real_map`."""
    if "real_map" not in request.fixturenames:
        cheap = lambda codes, **_: np.pad(codes, ((0, 0), (0, 1)))[:, :2]  # noqa: E731
        monkeypatch.setattr(latent_structure, "map_of", cheap)


@pytest.fixture
def real_map():
    """Use the real projection."""


def class_codes(images):
    return images[:, 0] * 5 + images[:, 1] * 0.1


def random_codes(images):
    return np.random.default_rng(5).normal(size=(len(images), 3))


def measured(encode, problem=None, **options):
    options = {"seed": 0, "projection": "tsne", **options}
    return latent_structure.measure(Fake(encode), problem or problem_of(), **options)


def slow_neighbor_accuracy(codes, labels):
    correct = 0
    for index, code in enumerate(np.float64(codes)):
        distances = np.square(np.float64(codes) - code).sum(axis=1)
        others = [other for other in np.argsort(distances) if other != index][:10]
        counts = np.bincount(labels[others], minlength=NUM_CLASSES)
        correct += counts.argmax() == labels[index]
    return correct / len(codes)


def neighbor_accuracy(codes, labels):
    nearest = latent_structure.nearest_codes(codes).indices
    return latent_structure.neighbor_metrics(nearest, labels)["neighbour_accuracy"]


# ---- distances ----


def test_class_codes_have_perfect_metrics():
    numbers = measured(class_codes).metrics
    assert numbers["neighbour_accuracy"] == 1.0
    assert numbers["silhouette"] > 0.85


def test_random_codes_have_chance_metrics():
    numbers = measured(random_codes, problem_of(600)).metrics
    assert numbers["neighbour_accuracy"] == pytest.approx(1 / NUM_CLASSES, abs=0.08)
    assert abs(numbers["silhouette"]) < 0.05


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_neighbor_accuracy_matches_a_slow_version(spread):
    random = np.random.default_rng(1)
    labels = random.integers(0, NUM_CLASSES, 150)
    codes = random.normal(size=(150, 5)) * spread
    codes[:, 0] += labels
    expected = slow_neighbor_accuracy(codes, labels)
    assert neighbor_accuracy(codes, labels) == expected


def test_hamming_retrieval_precision_matches_a_slow_version():
    """With many bits few distances are equal, so ties decide few of the neighbors."""
    random = np.random.default_rng(2)
    labels = random.integers(0, NUM_CLASSES, 60)
    centers = random.integers(0, 2, (NUM_CLASSES, 200))
    flips = random.random((60, 200)) < 0.44
    bits = np.where(flips, 1 - centers[labels], centers[labels]).astype("float32")
    shares = []
    for index, code in enumerate(bits):
        distances = [((bits[other] != code).sum(), other) for other in range(60) if other != index]
        nearest = [other for _, other in sorted(distances)[:10]]
        shares.append(np.mean(labels[nearest] == labels[index]))
    nearest = latent_structure.nearest_codes(bits).indices
    found = latent_structure.neighbor_metrics(nearest, labels)["retrieval_precision"]
    assert found == pytest.approx(np.mean(shares), abs=0.01)
    assert 0.3 < found < 0.45 and neighbor_accuracy(bits, labels) > found + 0.05


def test_code_is_not_its_own_neighbor():
    codes = np.arange(8.0)[:, None] * 10 + np.array([0, 1])[None]
    labels = np.tile([0, 1], 8)  # each code's only near neighbor is of the other class
    accuracy = neighbor_accuracy(codes.reshape(-1, 1), labels)
    assert accuracy == slow_neighbor_accuracy(codes.reshape(-1, 1), labels)
    assert neighbor_accuracy(np.array([[0.0], [1.0]]), np.array([0, 1])) == 0.0


def test_equal_codes_are_neighbors_of_each_other():
    labels = np.repeat([0, 1], 20)
    codes = labels[:, None].astype(float)
    assert neighbor_accuracy(codes, labels) == 1.0


# ---- projection ----


def test_two_dimensional_codes_are_not_projected(real_map):
    made = measured(lambda images: images[:, 0, :2])
    np.testing.assert_array_equal(made.arrays["map"], problem_of().split.test.images[:, 0, :2])
    assert made.metrics["trustworthiness"] == 1.0
    assert made.metrics["map_kind"] == "codes"


def test_one_dimensional_codes_are_drawn_on_a_line(real_map):
    points = measured(lambda images: images[:, 1, :1]).arrays["map"]
    assert points.shape == (120, 2) and not points[:, 1].any()


def test_shuffled_projection_is_not_trustworthy(monkeypatch):
    def shuffled(codes, **_):
        return np.random.default_rng(0).permutation(codes[:, :2])

    good = measured(lambda images: images[:, 1]).metrics["trustworthiness"]
    monkeypatch.setattr(latent_structure, "map_of", shuffled)
    bad = measured(lambda images: images[:, 1]).metrics["trustworthiness"]
    assert bad == pytest.approx(0.5, abs=0.1) and good > 0.7


def test_same_seed_gives_the_same_results(real_map):
    one, two = measured(random_codes), measured(random_codes)
    assert one.metrics == two.metrics
    np.testing.assert_array_equal(one.arrays["map"], two.arrays["map"])


def test_umap_gets_a_fixed_seed(real_map, monkeypatch):
    asked = {}

    class UMAP:
        def __init__(self, **options):
            asked.update(options)

        def fit_transform(self, codes):
            return codes[:, 1:3]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    made = measured(random_codes, seed=7, projection="umap")
    assert asked["random_state"] == 7 and asked["n_jobs"] == 1
    np.testing.assert_allclose(made.arrays["map"], random_codes(np.zeros(120))[:, 1:3], rtol=1e-6)


def test_umap_on_given_neighbors_matches_its_own_search(real_map):
    """On few points UMAP searches exactly too; its random numbers are used in another order."""
    from umap import UMAP

    random, number = np.random.default_rng(0), 300
    codes = random.normal(size=(number, 6)).astype("float32")
    codes[:, 0] += 8 * random.integers(0, 3, number)
    found = latent_structure.map_of(
        codes, seed=3, projection="umap", neighbors=latent_structure.nearest_codes(codes)
    )
    own = UMAP(n_neighbors=15, n_epochs=200, random_state=3, n_jobs=1)
    own = own.fit_transform(codes)

    def shares(points):
        """How many of the 5 nearest neighbors among the codes are among those on the map."""
        near = latent_structure.nearest_codes(points).indices[:, :5]
        true = latent_structure.nearest_codes(codes).indices[:, :5]
        return np.mean([len({*one} & {*two}) / 5 for one, two in zip(near, true, strict=True)])

    assert shares(found) == pytest.approx(shares(own), abs=0.05)
    assert shares(found) > 0.3


def test_neighbors_for_umap_match_brute_force():
    codes = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    codes[7] = codes[30]  # each of two equal codes is its own first neighbor all the same
    indices, distances = latent_structure.with_themselves(latent_structure.nearest_codes(codes), 12)
    apart = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    assert indices.shape == distances.shape == (40, 12)
    np.testing.assert_array_equal(indices[:, 0], np.arange(40))
    np.testing.assert_allclose(distances, np.sort(apart, axis=1)[:, :12], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(apart, indices, 1), distances, atol=1e-5)


def test_points_of_a_subset_keep_their_classes(monkeypatch):
    monkeypatch.setattr(latent_structure, "NUM_TSNE", 50)
    monkeypatch.setattr(latent_structure, "NUM_QUADRATIC", 30)
    monkeypatch.setattr(latent_structure, "map_of", lambda codes, **_: codes[:, :2])
    made = measured(class_codes)
    assert made.arrays["map"].shape == (50, 2) and made.metrics["map_points"] == 50
    labels, points = made.arrays["map_labels"], made.arrays["map"]
    np.testing.assert_array_equal(points[:, 0] > 2.5, labels == 0)
    np.testing.assert_array_equal(points[:, 1] > 2.5, labels == 1)
    assert made.metrics["neighbour_accuracy"] == 1.0  # of all codes, not of the subset


@pytest.mark.parametrize("number", [2, 9, 19])
def test_too_few_images_have_no_map_but_a_note(real_map, number, tmp_path):
    data = problem_of(number)
    made = measured(class_codes, data)
    assert "map" not in made.arrays and "density" in made.arrays
    assert f"{number}; at least 20" in made.metrics["note"]
    assert not {"neighbour_accuracy", "trustworthiness", "silhouette"} & set(made.metrics)
    rows = latent_structure.baselines(data, seed=0, projection="umap")
    entries = [Result("deep", "deep", 1, 4, None, made)]
    named = [Result(name, "", 0, 0, None, row) for name, row in rows.items()]
    (figure,) = latent_structure.draw(entries, named, data, tmp_path)
    assert figure.path.name == "code_densities.png"


@pytest.mark.slow
@pytest.mark.parametrize("projection", ["umap", "tsne"])
def test_twenty_images_have_a_map(real_map, projection):
    """UMAP has 15 neighbors, t-SNE a perplexity of 30, where there are enough images."""
    made = measured(class_codes, problem_of(20), projection=projection)
    assert made.arrays["map"].shape == (20, 2) and np.isfinite(made.arrays["map"]).all()
    assert 0 <= made.metrics["trustworthiness"] <= 1 and "note" not in made.metrics


def test_identical_codes_are_measured(real_map):
    made = measured(lambda images: np.ones((len(images), 3)))
    assert np.isfinite(made.arrays["map"]).all()
    assert made.metrics["code_std"] == 0.0


def test_unlabeled_images_have_no_label_metrics():
    made = measured(class_codes, problem_of(labeled=False))
    assert not {"neighbour_accuracy", "silhouette"} & set(made.metrics)
    assert "map_labels" not in made.arrays and "trustworthiness" in made.metrics


def test_unknown_projection_is_refused():
    with pytest.raises(ValueError, match="projection must be one of .*received 'pca'"):
        measured(class_codes, projection="pca")


# ---- values ----


def test_value_histograms_match_numpy():
    made = measured(class_codes)
    codes = np.float64(class_codes(problem_of().split.test.images))
    for name in ("min", "max", "mean", "std"):
        assert made.metrics[f"code_{name}"] == pytest.approx(getattr(np, name)(codes), rel=1e-5)
    edges, density = made.arrays["edges"], made.arrays["density"]
    assert density @ np.diff(edges) == pytest.approx(1.0)
    inside = (codes >= edges[3]) & (codes < edges[4])
    assert density[3] * (edges[4] - edges[3]) == pytest.approx(inside.mean())


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_binary_code_has_a_bin_around_each_value(low):
    codes = np.where(np.arange(400).reshape(20, 20) % 4 == 0, 1.0, low)
    made = latent_structure.measure_values(codes)
    edges, density = made.arrays["edges"], made.arrays["density"]
    (first, last), widths = np.flatnonzero(density), np.diff(edges)
    assert widths.min() >= 0.999 * latent_structure.MIN_BIN_WIDTH
    centers = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose(centers[[first, last]], [low, 1.0], atol=1e-9)
    np.testing.assert_allclose((density * widths)[[first, last]], [0.75, 0.25])


@pytest.mark.parametrize("num_panels", [1, 3, 20])
def test_binary_code_is_drawn_as_two_bars(num_panels, tmp_path):
    """In every row of panels there are twice as many blue bars as panels."""
    made = latent_structure.measure_values(np.arange(400).reshape(20, 20) % 2.0)
    made.arrays["map"] = np.zeros((3, 2))
    made.metrics.update(map_kind="codes", map_points=3)
    entries = [entry(f"run {number}", 1, made) for number in range(num_panels)]
    figures = latent_structure.draw(entries, [], problem_of(labeled=False), tmp_path)
    pixels = np.asarray(Image.open(figures[1].path).convert("RGB")).astype(int)
    blue = pixels[..., 2] - pixels[..., 0] > 60
    bars = (np.diff(blue.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
    per_row = min(num_panels, plots.panels_per_row(num_panels))
    for row in np.array_split(bars, num_panels // per_row):
        assert row.max() == 2 * per_row


def test_reference_line_is_the_standard_normal_density():
    x, y = latent_structure.standard_normal()
    np.testing.assert_allclose(y, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))


# ---- bottlenecks ----


class WithBottleneck(Fake):
    latent_dim = 4

    def __init__(self, encoder, bottleneck):
        self.encoder = lambda images, training: encoder(np.asarray(images))
        self.bottleneck = bottleneck
        self.encode = lambda images: np.asarray(bottleneck(encoder(images), training=False))
        self.code_statistics = lambda images: bottleneck.code_statistics(encoder(images))


class Gaussian(Fake):
    """A model whose code has the mean and two other values."""

    def __init__(self):
        super().__init__(lambda images: np.pad(parameters(images)[:, :3], ((0, 0), (0, 2))))

    def posterior(self, images):
        assert len(images) <= 50
        return np.split(parameters(images), 2, axis=1)


def parameters(images):
    """Means with standard deviations of 1, 0.2 and 0.05, and log-variances."""
    pixels = (images[:, 1, :3] - 0.1) / 0.0577
    return np.concatenate([pixels * [1.0, 0.2, 0.05], images[:, 2, :3] * 5 - 1], axis=1)


def test_gaussian_codes_have_active_units_and_kl(monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 50)
    problem = problem_of(310)
    numbers = latent_structure.measure(Gaussian(), problem, seed=0, projection="tsne").metrics
    mean, log_var = np.split(parameters(np.float64(problem.split.test.images)), 2, axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).mean(axis=0)
    np.testing.assert_allclose(numbers["kl_per_dimension"], kl, rtol=1e-4)
    assert numbers["kl"] == pytest.approx(kl.sum(), rel=1e-4)
    assert [round(float(v), 3) > 0.01 for v in mean.var(axis=0)] == [True, True, False]
    assert numbers["active_units"] == 2


class Conditional(Fake):
    """A conditional model: the mean is the image's second row, shifted by the label."""

    needs_labels = True

    def __init__(self):
        super().__init__(None)  # the code itself is not used

    def posterior(self, inputs):
        assert len(inputs["images"]) == len(inputs["labels"]) <= 50
        z_mean = inputs["images"][:, 1, :3] + 0.01 * inputs["labels"][:, None]
        return z_mean, np.zeros_like(z_mean)


def test_label_part_of_a_code_is_not_measured(monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 50)
    problem = problem_of()
    made = latent_structure.measure(Conditional(), problem, seed=0, projection="tsne")
    test = problem.split.test
    z_mean = test.images[:, 1, :3] + 0.01 * test.labels[:, None]
    assert made.metrics["neighbour_accuracy"] == slow_neighbor_accuracy(z_mean, test.labels)
    assert made.metrics["neighbour_accuracy"] < 0.8
    assert made.metrics["code_max"] == pytest.approx(z_mean.max(), rel=1e-5)
    assert made.metrics["kl"] == pytest.approx(0.5 * np.square(z_mean).sum(axis=1).mean(), rel=1e-4)
    assert "Conditional takes the class label" in made.metrics["note"]


def test_quantized_codes_have_perplexity_and_usage(monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 7)
    bottleneck = ScalarQuantizer(8)
    bottleneck.build((None, 4))
    bottleneck.embeddings.assign(np.linspace(0, 0.3, 8)[None].repeat(4, 0))
    model = WithBottleneck(lambda images: images[:, 1], bottleneck)
    problem = problem_of()
    numbers = latent_structure.measure(model, problem, seed=0, projection="tsne").metrics
    nearest = np.abs(problem.split.test.images[:, 1][..., None] - np.linspace(0, 0.3, 8)).argmin(-1)
    counts = [np.bincount(column, minlength=8) for column in nearest.T]
    expected = np.mean([np.exp(stats.entropy(count)) for count in counts])
    assert numbers["perplexity"] == pytest.approx(expected, rel=1e-4)
    assert numbers["codes_used"] == pytest.approx(np.mean(np.array(counts) > 0))
    assert numbers["codes_used"] < 0.8, "or a share of all would not show"


def test_perplexity_and_usage_of_a_shared_codebook(monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 7)
    bottleneck = VectorQuantizer(8)
    bottleneck.build((None, 2, 2, 2))
    book = np.random.default_rng(0).uniform(0, 0.25, (8, 2)).astype("float32")
    bottleneck.embeddings.assign(book)
    model = WithBottleneck(lambda images: images[:, 2:].reshape(-1, 2, 2, 2), bottleneck)
    problem = problem_of()
    numbers = latent_structure.measure(model, problem, seed=0, projection="tsne").metrics
    vectors = problem.split.test.images[:, 2:].reshape(-1, 1, 2)
    nearest = np.square(vectors - book).sum(axis=-1).argmin(axis=-1)
    counts = np.bincount(nearest, minlength=8)
    assert numbers["perplexity"] == pytest.approx(np.exp(stats.entropy(counts)), rel=1e-4)
    assert numbers["codes_used"] == pytest.approx(np.mean(counts > 0))


def test_deterministic_codes_have_no_bottleneck_metrics():
    assert not {"kl", "active_units", "perplexity"} & set(measured(class_codes).metrics)


# ---- baselines and figures ----


def test_baselines_are_pixels_and_pca():
    made = latent_structure.baselines(problem_of(), seed=0, projection="tsne")
    assert list(made) == ["pixels", "PCA, 16 components"]
    test = problem_of().split.test
    expected = slow_neighbor_accuracy(test.images.reshape(120, -1), test.labels)
    assert made["pixels"].metrics["neighbour_accuracy"] == expected
    assert made["PCA, 16 components"].metrics["neighbour_accuracy"] == expected  # a rotation


def entry(label, seed, measurement, variant="deep"):
    return Result(label, variant, seed, 3, None, measurement)


def captured(monkeypatch, name):
    calls = []
    genuine = getattr(plots, name)

    def drawn(*arguments, **options):
        calls.append((arguments, options))
        return genuine(*arguments, **options)

    monkeypatch.setattr(plots, name, drawn)
    return calls


@pytest.mark.parametrize("labeled", [True, False])
def test_figures_show_the_first_seed_of_each_label(labeled, monkeypatch, tmp_path):
    maps, densities = captured(monkeypatch, "scatter_grid"), captured(monkeypatch, "density_grid")
    problem = problem_of(labeled=labeled)
    one, two = measured(class_codes, problem), measured(random_codes, problem)
    baseline = Measurement(one.metrics, {k: one.arrays[k] for k in one.arrays if "map" in k})
    entries = [entry("deep", 1, one), entry("deep", 2, two), entry("vae", 1, two, "vae")]
    figures = latent_structure.draw(entries, [entry("pixels", 0, baseline)], problem, tmp_path)
    assert [figure.path.name for figure in figures] == [
        "latent_structure.png",
        "code_densities.png",
    ]
    assert all(figure.path.exists() for figure in figures)
    shown = maps[0][0][0]
    titles = ["deep: 1.000", f"vae: {two.metrics.get('neighbour_accuracy', 0):.3f}"]
    titles = [*titles, "pixels: 1.000"] if labeled else ["deep", "vae", "pixels"]
    assert list(shown) == titles
    np.testing.assert_array_equal(next(iter(shown.values())), one.arrays["map"])
    assert list(densities[0][0][0]) == ["deep", "vae"]
    assert "120 test images" in figures[0].caption and "t-SNE" in figures[0].caption
