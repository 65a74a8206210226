"""The reconstruction comparison, against NumPy and closed forms, on fake models."""

import json

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image

from keras_ae.data import Split, Subset, load, split
from keras_ae.evaluation.comparisons import COMPARISONS, common, reconstruction
from keras_ae.evaluation.comparisons.base import EvaluationData, Result
from keras_ae.losses import entropy_floor, per_image_bce
from keras_ae.runs.references import has_collapsed
from keras_ae.variants import VARIANTS


def gray(num=40, shape=(6, 5), seed=0):
    return np.random.default_rng(seed).uniform(0.05, 0.95, (num, *shape)).astype("float32")


def problem(train, test):
    return EvaluationData(Split(Subset(train), Subset(train[:1]), Subset(test)))


class Fake(FakeAutoencoder):
    """A model whose reconstruction has the logits `logits_of(images)`."""

    def __init__(self, logits_of):
        self.logits_of = logits_of

    def reconstruct(self, images):
        return 1 / (1 + np.exp(-np.asarray(self.logits_of(images), "float64")))

    def anomaly_score(self, images, score):
        assert score == "bce"
        return per_image_bce(images, self.logits_of(images)).numpy()


class Gaussian(Fake):
    """The code is one unit N(mean, exp(log_var)) for every image, then a one-hot label of two
    classes that shifts it: every logit is the sum."""

    def __init__(self, mean=0.7, log_var=-0.4, label=(0.0, 0.0), shape=(6, 5)):
        shift = np.float32(label) @ [1, 2]
        super().__init__(lambda images: np.full(images.shape, mean + shift, "float32"))
        self.parameters, self.label, self.shape = np.float32([mean, log_var]), label, shape

    def posterior(self, images):
        return tuple(np.tile(part, (len(images), 1)) for part in self.parameters)

    def encode(self, images):
        return np.tile(np.float32([self.parameters[0], *self.label]), (len(images), 1))

    def decoder(self, latents, training):
        assert not training and latents.shape[1:] == (3,)
        logits = latents @ np.float32([1, 1, 2])
        return np.broadcast_to(logits[:, None, None], (len(latents), *self.shape))


ALWAYS = {"mse", "mse_per_pixel", "variance", "pca_mse", "pca_components"}


def perfect(images):
    return np.log(images) - np.log1p(-images)


@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2)])
def test_perfect_reconstruction_reaches_the_entropy_floor(shape):
    data = problem(gray(shape=shape), gray(shape=shape, seed=1))
    numbers = reconstruction.measure(Fake(perfect), data, seed=0).metrics
    assert numbers["bce"] == pytest.approx(entropy_floor(data.split.test.images).mean(), rel=1e-5)
    assert numbers["mse_per_pixel"] == pytest.approx(0, abs=1e-10)
    floor = reconstruction.baselines(data, seed=0)["entropy floor"].metrics["bce"]
    assert numbers["bce"] == pytest.approx(floor, rel=1e-5)
    assert set(numbers) == {"bce", "pca_bce", *ALWAYS}  # the code is deterministic
    assert numbers["variance"] == pytest.approx(1, rel=1e-5)


def test_constant_output_costs_log_2_per_pixel():
    data = problem(gray(), gray(seed=1))
    numbers = reconstruction.measure(Fake(np.zeros_like), data, seed=0).metrics
    assert numbers["bce"] == pytest.approx(30 * np.log(2), rel=1e-6)
    expected = np.mean((data.split.test.images.astype("float64") - 0.5) ** 2)
    assert numbers["mse_per_pixel"] == pytest.approx(expected, rel=1e-6)
    assert numbers["mse"] == pytest.approx(30 * expected, rel=1e-6)


class LinearOutput(Fake):
    """A model with a linear output: no probabilities, pixels outside [0, 1]."""

    has_bce = False

    def reconstruct(self, images):
        return 2 * images - 0.5

    def anomaly_score(self, images, score):
        raise AssertionError("there is no cross-entropy to ask for")


def test_linear_output_has_only_mse_and_clipped_pictures():
    data = problem(gray(), gray(seed=1))
    made = reconstruction.measure(LinearOutput(None), data, seed=0)
    assert set(made.metrics) == ALWAYS
    expected = np.mean((data.split.test.images.astype("float64") - 0.5) ** 2)
    assert made.metrics["mse_per_pixel"] == pytest.approx(expected, rel=1e-5)
    shown = made.arrays["reconstructions"]
    assert (shown.min(), shown.max()) == (0, 1)


def test_linear_output_with_gaussian_code_has_kl_but_no_elbo():
    model = Gaussian()
    model.has_bce = False
    numbers = reconstruction.measure(model, problem(gray(), gray(seed=1)), seed=0).metrics
    assert set(numbers) == {"kl", *ALWAYS}


@pytest.mark.parametrize("label", [(0.0, 0.0), (0.0, 1.0)])
def test_sampled_bce_and_negative_elbo_match_the_closed_form(label):
    """Every logit is z + c, z ~ N(m, s^2): the BCE is E[softplus(z + c)] - x (m + c).

    Computed by quadrature; c is the label's part of the code, which is not sampled.
    """
    images = gray(6000)
    mean, log_var, shift = 0.7, -0.4, 2 * label[1]
    model = Gaussian(mean, log_var, label)
    numbers = reconstruction.measure(model, problem(images, images), seed=3).metrics
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = mean + shift + np.exp(log_var / 2) * nodes
    softplus = (weights * np.logaddexp(0, z)).sum() / weights.sum()
    ink = images.astype("float64").sum(axis=(1, 2)).mean()
    expected = 30 * softplus - ink * (mean + shift)
    # One draw per image: the standard error over 6,000 images is about 0.05 nats.
    assert numbers["sampled_bce"] == pytest.approx(expected, abs=0.25)
    assert numbers["bce"] < expected - 0.5  # softplus is convex, so sampling increases the BCE
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)
    assert numbers["kl"] == pytest.approx(kl, rel=1e-5)
    assert numbers["negative_elbo"] == pytest.approx(numbers["sampled_bce"] + kl, rel=1e-6)


def test_sampled_bce_without_noise_is_that_of_the_mean():
    data = problem(gray(), gray(seed=1))
    numbers = reconstruction.measure(Gaussian(log_var=-60.0), data, seed=0).metrics
    assert numbers["sampled_bce"] == pytest.approx(numbers["bce"], rel=1e-6)


def test_noise_depends_on_the_seed_not_on_the_batches(monkeypatch):
    data = problem(gray(), gray(seed=1))
    first, again, other = (
        reconstruction.measure(Gaussian(), data, seed=seed).metrics for seed in (5, 5, 6)
    )
    assert first == again
    assert first["sampled_bce"] != other["sampled_bce"]
    assert first["bce"] == other["bce"]
    monkeypatch.setattr(common, "BATCH_SIZE", 7)
    batches = reconstruction.measure(Gaussian(), data, seed=5).metrics
    assert batches == pytest.approx(first, rel=1e-6)


@pytest.fixture(scope="module")
def conditional():
    """A conditional VAE with large weights, so that codes and images depend on the label."""
    model = VARIANTS["conditional_vae"](
        image_shape=(6, 5), latent_dim=2, num_classes=3, hidden_units=(8,), seed=0,
        batch_normalization=False,
    )  # fmt: skip
    random = np.random.default_rng(4)
    model.set_weights([random.normal(0, 0.4, weight.shape) for weight in model.get_weights()])
    return model


def test_conditional_model_gets_the_true_labels(conditional, monkeypatch):
    """Like `evaluate`. The inferred label would give the lowest loss."""
    monkeypatch.setattr(common, "BATCH_SIZE", 7)
    images, labels = gray(9, seed=1), np.arange(9) % 3
    data = EvaluationData(Split(Subset(gray()), Subset(gray(1)), Subset(images, labels)))
    made = reconstruction.measure(conditional, data, seed=5)
    conditional.compile(jit_compile=False)
    expected = conditional.evaluate(
        {"images": images, "labels": labels}, verbose=0, return_dict=True
    )
    numbers = made.metrics
    assert numbers["bce"] == pytest.approx(expected["reconstruction_loss"], rel=1e-5)
    assert numbers["kl"] == pytest.approx(expected["latent_loss"], rel=1e-5)
    alone = conditional.anomaly_score(images, score="bce").mean()
    assert abs(numbers["bce"] - alone) > 0.1, "or the inferred labels would do as well"

    z_mean, z_log_var = (np.asarray(part) for part in conditional.posterior(images, labels))
    random = np.random.default_rng(5)
    noise = np.concatenate([random.standard_normal((n, 2), dtype=np.float32) for n in (7, 2)])
    codes = np.hstack([z_mean + np.exp(z_log_var / 2) * noise, np.eye(3)[labels]])
    x, p = images.astype("float64"), conditional.decode(codes).astype("float64")
    sampled = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2)).mean()
    assert numbers["sampled_bce"] == pytest.approx(sampled, rel=1e-4)
    assert numbers["negative_elbo"] == pytest.approx(sampled + numbers["kl"], rel=1e-4)

    shown = conditional.decode(np.hstack([z_mean, np.eye(3)[labels]]))
    np.testing.assert_allclose(made.arrays["reconstructions"], shown, rtol=1e-4)
    assert numbers["mse"] == pytest.approx(9**-1 * ((shown - x) ** 2).sum(), rel=1e-4)
    assert "takes the class label as input" in numbers["note"]


def test_baselines_are_fitted_on_the_training_images():
    train, test = gray(), gray(9, seed=1)
    rows = reconstruction.baselines(problem(train, test), seed=0)
    assert list(rows) == ["entropy floor", "mean image", "PCA, 20 components"]
    x, p = test.astype("float64"), (train.astype("float64").sum(axis=0) + 0.5) / 41
    bce = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(1, 2)).mean()
    assert rows["mean image"].metrics["bce"] == pytest.approx(bce, rel=1e-5)
    assert rows["mean image"].metrics["mse_per_pixel"] == pytest.approx(((x - p) ** 2).mean())

    p = train.astype("float64").mean(axis=0)
    flat, center = train.reshape(40, -1).astype("float64"), p.reshape(-1)
    axes = np.linalg.svd(flat - center, full_matrices=False)[2][:20]
    projected = center + (x.reshape(9, -1) - center) @ axes.T @ axes
    projected = np.clip(projected, 1 / 512, 1 - 1 / 512).reshape(x.shape)
    bce = -(x * np.log(projected) + (1 - x) * np.log(1 - projected)).sum(axis=(1, 2)).mean()
    assert rows["PCA, 20 components"].metrics["bce"] == pytest.approx(bce, rel=1e-4)


@pytest.mark.parametrize(("code_size", "components"), [(3, 3), (20, 20), (60, 30)])
def test_pca_beside_a_model_has_as_many_components_as_its_code(code_size, components):
    data = problem(gray(), gray(9, seed=1))
    model = Fake(np.zeros_like)
    model.code_size = code_size
    numbers = reconstruction.measure(model, data, seed=0).metrics
    flat = data.split.train.images.reshape(40, -1).astype("float64")
    center = flat.mean(axis=0)
    axes = np.linalg.svd(flat - center, full_matrices=False)[2][:components]
    x = data.split.test.images.reshape(9, -1).astype("float64")
    projected = np.clip(center + (x - center) @ axes.T @ axes, 1 / 512, 1 - 1 / 512)
    bce = -(x * np.log(projected) + (1 - x) * np.log(1 - projected)).sum(axis=1).mean()
    assert numbers["pca_components"] == components
    assert numbers["pca_bce"] == pytest.approx(bce, rel=1e-4)
    assert numbers["pca_mse"] == pytest.approx(((projected - x) ** 2).sum(axis=1).mean(), rel=1e-4)
    assert ("only 30 components" in numbers.get("note", "")) == (code_size == 60)


def test_pca_of_20_components_is_that_of_the_baseline():
    data = problem(gray(), gray(9, seed=1))
    model = Fake(np.zeros_like)
    model.code_size = 20
    row = reconstruction.baselines(data, seed=0)["PCA, 20 components"].metrics
    found = reconstruction.measure(model, data, seed=0).metrics
    assert found["pca_bce"] == pytest.approx(row["bce"], rel=1e-6)
    assert found["pca_mse"] == pytest.approx(row["mse"], rel=1e-6)


def test_constant_reconstructions_have_no_variance():
    data = problem(gray(), gray(9, seed=1))
    constant = reconstruction.measure(Fake(np.zeros_like), data, seed=0).metrics
    assert constant["variance"] == pytest.approx(0, abs=1e-12) and has_collapsed(constant)
    half = Fake(lambda images: perfect(0.5 * images + 0.25))
    kept = reconstruction.measure(half, data, seed=0).metrics
    assert kept["variance"] == pytest.approx(0.25, rel=1e-4) and not has_collapsed(kept)


def test_baselines_are_finite_for_pixels_unseen_in_training(monkeypatch):
    monkeypatch.setattr(reconstruction, "NUM_COMPONENTS", 1)
    train = np.zeros((4, 2, 2))
    train[:2, 0, 0] = 1  # in half of the images
    rows = reconstruction.baselines(problem(train, np.ones((3, 2, 2))), seed=0)
    assert rows["entropy floor"].metrics == {"bce": 0, "mse": 0, "mse_per_pixel": 0}
    assert rows["mean image"].metrics["bce"] == pytest.approx(np.log(2) + 3 * np.log(10))
    projected = 3 * np.log(512) - np.log(511 / 512)
    assert rows["PCA, 1 components"].metrics["bce"] == pytest.approx(projected, rel=1e-5)


def test_pca_baseline_with_fewer_images_than_components():
    data = problem(gray(7), gray(3, seed=1))
    assert list(reconstruction.baselines(data, seed=0))[2] == "PCA, 7 components"
    arrays = reconstruction.measure(Fake(perfect), data, seed=0).arrays
    assert arrays["originals"].shape == arrays["reconstructions"].shape == (3, 6, 5)


def test_baselines_of_real_digits_have_known_values(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_AE_CACHE", str(tmp_path))
    data = EvaluationData(split(load("digits")))
    values = [row.metrics["bce"] for row in reconstruction.baselines(data, seed=0).values()]
    assert values[0] < values[2] < values[1]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_figure_has_one_row_per_label(tmp_path, monkeypatch, shape):
    data = problem(gray(shape=shape), gray(20, shape=shape, seed=1))
    perfect_one = reconstruction.measure(Fake(perfect), data, seed=0)
    constant = reconstruction.measure(Fake(np.zeros_like), data, seed=0)
    entries = [
        Result("deep", "deep", 1, 4, None, perfect_one),
        Result("deep", "deep", 2, 4, None, constant),
        Result("vae", "vae", 1, 4, None, constant),
    ]
    rows = [
        Result(name, name, 0, 4, None, row)
        for name, row in reconstruction.baselines(data, seed=0).items()
    ]
    seen = {}
    image_rows = reconstruction.plots.image_rows

    def spy(rows, path, *arguments):
        seen.update(rows)
        return image_rows(rows, path, *arguments)

    monkeypatch.setattr(reconstruction.plots, "image_rows", spy)
    figures = reconstruction.draw(entries, rows, data, tmp_path)
    assert [figure.path.name for figure in figures] == ["reconstruction.png"]
    assert Image.open(figures[0].path).width > 500
    assert list(seen) == ["test images", "deep", "vae", "PCA, 20 components"]
    np.testing.assert_array_equal(seen["test images"], data.split.test.images[:16])
    np.testing.assert_allclose(seen["deep"], data.split.test.images[:16], rtol=1e-5)  # seed 1
    assert reconstruction.draw([], rows, data, tmp_path) == []


def test_metrics_are_python_floats_and_include_all_columns():
    data = problem(gray(), gray(seed=1))
    numbers = reconstruction.measure(Gaussian(), data, seed=0).metrics
    assert json.loads(json.dumps(numbers)) == numbers
    assert {column.key for column in COMPARISONS["reconstruction"].columns} <= set(numbers)
