"""The four protocols on fake models with known results, and against NumPy and SciPy."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from fakes import FakeAutoencoder
from scipy.optimize import minimize
from scipy.special import logsumexp

from keras_ae.data import Split, Subset, few_labels
from keras_ae.evaluation import plots
from keras_ae.evaluation.comparisons import classification
from keras_ae.evaluation.comparisons.base import EvaluationData, Measurement, Result
from keras_ae.transfer import pretrained_classifier
from keras_ae.variants import VARIANTS

NUM_CLASSES = 3
SHAPE = (3, 4)


def images_with_labels(number, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, NUM_CLASSES, number)
    images = random.uniform(0, 0.3, (number, *SHAPE)).astype("float32")
    images[np.arange(number), 0, labels] += 0.7  # the first row is the class
    return Subset(images, labels)


@pytest.fixture(scope="module")
def problem():
    numbers = {"train": 300, "validation": 60, "test": 200}
    parts = {
        name: images_with_labels(number, seed)
        for seed, (name, number) in enumerate(numbers.items())
    }
    return EvaluationData(Split(**parts), tuple("abc"), published=True)


def fresh(problem):
    """The same images, without results of other tests."""
    return dataclasses.replace(problem)


class Fake(FakeAutoencoder):
    """A model whose code is a function of the image."""

    def __init__(self, encode):
        self.encode = encode


class WithEncoder(Fake):
    image_shape = SHAPE

    def __init__(self, encoder, bottleneck=None):
        self.encoder = encoder
        self.bottleneck = bottleneck or keras.layers.Identity()
        self.encode = lambda images: np.asarray(self.bottleneck(self.encoder(images)))


def class_codes(images):
    return images[:, 0, :NUM_CLASSES] > 0.5


def random_codes(images):
    return np.random.default_rng(len(images)).normal(size=(len(images), 2))


def blurred_codes(images):
    """Codes of two informative pixels, one uninformative pixel and one constant."""
    first, second = images[:, 0, 0] + 4 * images[:, 1, 0], images[:, 0, 1] + 4 * images[:, 1, 1]
    return np.stack([first, second * 9, images[:, 2, 2], 0 * first], axis=1)


def converged(encode, problem):
    return classification.code_metrics(Fake(encode), problem.split, seed=3)


# ---- converged ----


def test_class_codes_have_perfect_accuracy(problem):
    numbers = converged(class_codes, problem)
    assert (numbers["converged"], numbers["converged_spread"]) == (1.0, 0.0)
    assert numbers["curve"] == {
        "num_labels": [50, 100, 250],  # as many as there are images for
        "mean": [1.0] * 3,
        "std": [0.0] * 3,
    }
    assert numbers["num_labels"] == 30
    assert "published" not in numbers and "fine_tuned" not in numbers


def test_random_codes_have_chance_accuracy(problem):
    assert converged(random_codes, problem)["converged"] == pytest.approx(1 / 3, abs=0.1)


def slow_accuracy(codes, split, labeled):
    """Maximum a posteriori logistic regression on standardized codes, penalty |W|^2 / 2."""
    train, test = np.float64(codes(split.train.images)), np.float64(codes(split.test.images))
    scale = np.where(train.std(axis=0) > 0, train.std(axis=0), 1)
    train, test = ((part - train.mean(axis=0)) / scale for part in (train, test))
    x, y = train[labeled], split.train.labels[labeled]

    def objective(flat):
        kernel, bias = flat[:-NUM_CLASSES].reshape(-1, NUM_CLASSES), flat[-NUM_CLASSES:]
        scores = x @ kernel + bias
        return (logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]).sum() + (
            0.5 * np.square(kernel).sum()
        )

    best = minimize(objective, np.zeros((x.shape[1] + 1) * NUM_CLASSES)).x
    scores = test @ best[:-NUM_CLASSES].reshape(-1, NUM_CLASSES) + best[-NUM_CLASSES:]
    return np.mean(scores.argmax(axis=1) == split.test.labels)


def test_converged_matches_its_definition(problem):
    numbers, labels = converged(blurred_codes, problem), problem.split.train.labels
    draws = [
        slow_accuracy(blurred_codes, problem.split, few_labels(labels, seed=3 + draw))
        for draw in range(5)
    ]
    assert numbers["converged"] == pytest.approx(np.mean(draws), abs=0.002)
    assert numbers["converged_spread"] == pytest.approx(np.std(draws), abs=0.002)
    assert 0.5 < numbers["converged"] < 0.95 and numbers["converged_spread"] > 0.005
    draws = [
        slow_accuracy(blurred_codes, problem.split, few_labels(labels, seed=3 + draw, num=50))
        for draw in range(3)
    ]
    assert numbers["curve"]["mean"][0] == pytest.approx(np.mean(draws), abs=0.002)
    assert numbers["curve"]["std"][0] == pytest.approx(np.std(draws), abs=0.002)


def test_accuracy_does_not_depend_on_the_scale_of_the_code(problem):
    scaled = converged(lambda x: blurred_codes(x) * [1e-3, 1e3, 1, 1] + 7, problem)
    assert scaled["converged"] == pytest.approx(
        converged(blurred_codes, problem)["converged"], abs=0.002
    )


def test_feature_map_codes_are_flattened(problem):
    numbers = converged(lambda images: images[..., None], problem)
    assert numbers["converged"] > 0.95


@pytest.mark.slow
def test_only_the_few_labels_are_used(problem, monkeypatch):
    split = problem.split
    chosen = few_labels(split.train.labels, seed=0)
    monkeypatch.setattr(classification, "few_labels", lambda labels, **_: chosen)
    monkeypatch.setattr(classification, "NUM_FITTED_DRAWS", 1)
    monkeypatch.setattr(classification, "NUM_STEPS", 20)
    wrong = np.roll(split.train.labels, 1)
    wrong[chosen] = split.train.labels[chosen]
    spoiled = Split(
        Subset(split.train.images, wrong),
        Subset(split.validation.images, 2 - split.validation.labels),
        split.test,
    )
    keras.utils.set_random_seed(0)
    model = VARIANTS["deep"](image_shape=SHAPE, latent_dim=2, hidden_units=(6,), seed=0)
    for function in (
        lambda split: classification.converged_metrics(
            classification.Codes(*map(blurred_codes, (split.train.images, split.test.images))),
            split,
            seed=0,
        ),
        lambda split: classification.fine_tuning_metrics(model, EvaluationData(split), seed=0),
    ):
        assert function(spoiled) == function(split)


@pytest.mark.parametrize("num_dimensions", [30, 200])
def test_regression_within_the_span_is_the_same(problem, monkeypatch, num_dimensions):
    """Codes of more dimensions than labels: the same weights and scores as without projection."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    labels = problem.split.train.labels[:40]
    mixing = random.normal(size=(NUM_CLASSES, num_dimensions))
    train = np.eye(NUM_CLASSES)[labels] @ mixing + 2 * random.normal(size=(40, num_dimensions))
    test = random.normal(size=(25, num_dimensions)) * 3
    monkeypatch.setattr(classification, "MAX_DIRECT", 20)
    projected = classification.within_span(train, test)
    assert projected[0].shape[1] == min(num_dimensions, 40)
    scores = [
        LogisticRegression(max_iter=5000, tol=1e-10).fit(few, labels).decision_function(many)
        for few, many in ((train, test), projected)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=2e-4)
    assert np.ptp(scores[0]) > 1


def test_codes_of_few_dimensions_are_fitted_as_they_are():
    train, test = np.ones((5, 1000)), np.ones((3, 1000))
    for given, found in zip((train, test), classification.within_span(train, test), strict=True):
        assert found is given


def test_accuracy_of_many_dimensions_does_not_depend_on_the_projection(problem, monkeypatch):
    random = np.random.default_rng(1)
    codes = [
        part.images.reshape(-1, 12) @ random.normal(size=(12, 60))
        + 2 * random.normal(size=(len(part), 60))
        for part in (problem.split.train, problem.split.test)
    ]
    labeled = np.arange(25)
    found = []
    for limit in (10, 1000):
        monkeypatch.setattr(classification, "MAX_DIRECT", limit)
        accuracy = classification.converged_accuracy(
            classification.Codes(*codes), problem.split, labeled
        )
        found.append(accuracy)
    assert found[0] == found[1] and 0.25 < found[0] < 0.95


@pytest.mark.parametrize(
    ("sizes", "regressions", "trainings"),
    [
        ((30, 784), 8, "6 trainings"),
        ((567, 64 * 64 * 3), 17, "2 trainings"),
        ((55_000, 784), 26, "6"),
    ],
)
def test_work_names_the_number_of_fits(sizes, regressions, trainings):
    words = classification.work(*sizes)
    assert f" {regressions} logistic regressions" in words and f"and {trainings}" in words


# ---- published ----


def slow_published(codes, split, labeled, kernel, bias, num_epochs=20, batch_size=32):
    """Full-batch Adam on at most 32 images in NumPy; returns the weights of the best epoch."""
    assert len(labeled) <= batch_size
    x, y = np.float64(codes(split.train.images[labeled])), split.train.labels[labeled]
    weights = [np.float64(kernel), np.float64(bias)]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    best, waited = (-1.0, None), 0
    for step in range(1, num_epochs + 1):
        scores = x @ weights[0] + weights[1]
        error = np.exp(scores - logsumexp(scores, axis=1, keepdims=True)) - np.eye(NUM_CLASSES)[y]
        for place, gradient in enumerate([x.T @ error / len(x), error.mean(axis=0)]):
            first[place] = 0.9 * first[place] + 0.1 * gradient
            second[place] = 0.999 * second[place] + 0.001 * gradient**2
            moved = (first[place] / (1 - 0.9**step)) / (
                np.sqrt(second[place] / (1 - 0.999**step)) + 1e-8
            )
            weights[place] = weights[place] - 1e-3 * moved
        guesses = (codes(split.validation.images) @ weights[0] + weights[1]).argmax(axis=1)
        accuracy = np.mean(guesses == split.validation.labels)
        waited += 1
        if accuracy > best[0]:
            best, waited = (accuracy, [w.copy() for w in weights]), 0
        if waited >= 3:
            break
    return best[1]


@pytest.mark.parametrize(
    ("scale", "shuffled"),
    [
        (1.0, True),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in [(10.0, True), (3.0, False)]),
    ],
)
def test_published_protocol_matches_numpy(problem, monkeypatch, scale, shuffled):
    # With random labels the accuracy falls and rises again, so early stopping takes effect;
    # with true labels it rises until the last epoch.
    validation = images_with_labels(3000, seed=9)
    if shuffled:
        labels = np.random.default_rng(0).permutation(validation.labels)
        validation = Subset(validation.images, labels)
    split = Split(problem.split.train, validation, problem.split.test)

    def codes(images):
        return images[:, 0] * scale

    fits = []
    genuine = classification.fit_with_early_stopping

    def recorded(classifier, *arguments, **options):
        start = [weight.copy() for weight in classifier.weights]
        genuine(classifier, *arguments, **options)
        fits.append((start, classifier.weights))

    monkeypatch.setattr(classification, "fit_with_early_stopping", recorded)
    model = WithEncoder(lambda images, training=False: codes(np.asarray(images)))
    accuracies = list(classification.published_accuracies(model, split, seed=0))
    assert len(accuracies) == len(fits) == 3
    for draw, (start, weights) in enumerate(fits):
        assert all(np.abs(part).max() <= 0.5 for part in start)  # 1 / sqrt(4 units)
        labeled = few_labels(split.train.labels, seed=draw)
        expected = slow_published(codes, split, labeled, *start)
        for one, other in zip(weights, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)
        scores = codes(split.test.images) @ expected[0] + expected[1]
        assert accuracies[draw] == np.mean(scores.argmax(axis=1) == split.test.labels)
    assert not np.array_equal(fits[0][0][0], fits[1][0][0])


def test_linear_classifier_takes_the_steps_of_keras():
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(70, 5)), random.integers(0, NUM_CLASSES, 70)
    layer = keras.Sequential([keras.Input((5,)), keras.layers.Dense(NUM_CLASSES)])
    classifier = classification.LinearClassifier(*layer.get_weights())
    layer.compile(
        keras.optimizers.Adam(1e-3, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    layer.fit(inputs, labels, batch_size=32, epochs=5, shuffle=False, verbose=0)
    for _ in range(5):
        for start in range(0, 70, 32):
            classifier.train_on_batch(inputs[start : start + 32], labels[start : start + 32])
    for one, other in zip(classifier.weights, layer.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_gaussian_codes_are_sampled_at_every_call(problem):
    means, log_vars = random_codes(problem.split.test.images), np.array([[-1.0, 0.5]])
    model = Fake(lambda images: means)
    model.posterior = lambda images: (means, np.broadcast_to(log_vars, means.shape))
    sampler = classification.CodeSampler(model, problem.split.test.images)
    random = np.random.default_rng(0)
    drawn = np.stack([sampler(random) for _ in range(500)])
    np.testing.assert_allclose(drawn.mean(axis=0), means, atol=0.3)
    np.testing.assert_allclose(drawn.var(axis=0).mean(axis=0), np.exp(log_vars[0]), rtol=0.03)
    chosen = np.array([7, 2])
    some = np.stack([sampler(random, chosen) for _ in range(500)])
    np.testing.assert_allclose(some.mean(axis=0), means[chosen], atol=0.3)


def test_published_protocol_samples_a_gaussian_code(problem, monkeypatch):
    """Codes that tell the classes apart are of no use where the noise hides them."""
    monkeypatch.setattr(
        classification, "few_labels", lambda labels, **_: np.arange(len(labels)).repeat(4)
    )
    accuracies = []
    for log_var in (-20.0, 8.0):
        model = Fake(lambda images: 9.0 * images[:, 0])
        model.posterior = lambda images, log_var=log_var: (
            9.0 * images[:, 0],
            np.full_like(images[:, 0], log_var),
        )
        accuracies.append(
            np.mean(list(classification.published_accuracies(model, problem.split, seed=0)))
        )
    assert accuracies[0] > 0.8
    assert accuracies[1] < 0.55


def test_published_protocol_is_left_out_where_nothing_is_published(problem, monkeypatch):
    monkeypatch.setattr(classification, "fine_tuning_metrics", lambda *_, **__: {})
    asked = []
    monkeypatch.setattr(classification, "published_metrics", lambda *_, **__: asked.append(1) or {})
    for published in (False, True):
        data = EvaluationData(problem.split, tuple("abc"), published=published)
        classification.measure(Fake(class_codes), data, seed=0)
        assert bool(asked) == published


def test_model_with_label_input_has_no_accuracy_but_a_note(problem):
    model = Fake(class_codes)
    model.needs_labels = True
    numbers = classification.measure(model, problem, seed=0).metrics
    assert list(numbers) == ["note"]
    assert "Fake takes the class label" in numbers["note"]


# ---- fine-tuned and from scratch ----


@pytest.fixture(scope="module")
def measured(problem):
    """A small VQ-VAE with all four protocols, twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "NUM_STEPS", 100)
        patch.setattr(classification, "NUM_FITTED_DRAWS", 2)
        keras.utils.set_random_seed(0)
        model = VARIANTS["vq_vae"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0)
        model.bottleneck.embeddings.assign(np.linspace(-2, 2, 512)[None].repeat(4, 0))
        before = model.get_weights()
        made = [classification.measure(model, fresh(problem), seed=1).metrics for _ in range(2)]
        assert all(map(np.array_equal, before, model.get_weights()))
        return made


def test_same_seed_gives_the_same_results(measured):
    assert measured[0] == measured[1]


def test_large_images_are_fine_tuned_for_a_shorter_time_and_a_note_says_so(problem, monkeypatch):
    fits = []
    monkeypatch.setattr(
        classification.FineTuner, "fit", lambda self, *data: fits.append(len(data[2]))
    )
    model = VARIANTS["deep"](image_shape=SHAPE, latent_dim=2, hidden_units=(6,), seed=0)
    metrics = classification.fine_tuning_metrics(model, fresh(problem), seed=0)
    assert fits == [550] * 6 and "note" not in metrics
    fits.clear()
    monkeypatch.setattr(classification, "MAX_VALUES", 11)
    metrics = classification.fine_tuning_metrics(model, fresh(problem), seed=0)
    assert fits == [150] * 2 and "150 steps" in metrics["note"]


def test_fine_tuning_beats_chance(measured):
    for name in ("fine_tuned", "from_scratch"):
        assert measured[0][name] > 0.6
    assert 0 <= measured[0]["published"] <= 1
    assert all(f"{name}_spread" in measured[0] for name in classification.PROTOCOLS)


@pytest.mark.slow
def test_from_scratch_ignores_the_trained_weights(problem, monkeypatch):
    monkeypatch.setattr(classification, "NUM_FITTED_DRAWS", 1)
    monkeypatch.setattr(classification, "NUM_STEPS", 10)
    keras.utils.set_random_seed(0)
    model = VARIANTS["deep"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0)
    one = classification.fine_tuning_metrics(model, fresh(problem), seed=1)
    model.encoder.set_weights([0.3 * weight + 0.1 for weight in model.encoder.get_weights()])
    two = classification.fine_tuning_metrics(model, fresh(problem), seed=1)
    assert one["from_scratch"] == two["from_scratch"]
    assert one != two


def test_from_scratch_has_no_codebook():
    for arguments in ({"embedding_dim": 1}, {"embedding_dim": 2}):
        model = VARIANTS["vq_vae"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), **arguments)
        untrained = classification.Untrained.of(model)
        assert not untrained.bottleneck.weights and not untrained.bottleneck.is_discrete
        codes = np.float32([[0.3, -2.0]])
        np.testing.assert_array_equal(untrained.bottleneck(codes), codes)


@pytest.mark.parametrize(
    ("variant", "arguments"),
    [
        ("vq_vae", {"embedding_dim": 1, "hidden_units": (8,), "latent_dim": 4}),
        ("vq_vae", {"embedding_dim": 2, "hidden_units": (8,), "latent_dim": 4}),
        ("conv_vq_vae", {"filters": (3, 2), "prior_filters": 4, "prior_blocks": 1}),
        ("binary", {"hidden_units": (8,), "latent_dim": 4}),
    ],
)
def test_fine_tuning_reaches_the_encoder_through_a_discrete_code(variant, arguments, problem):
    model = VARIANTS[variant](image_shape=SHAPE, seed=0, **arguments)
    classifier = pretrained_classifier(model, NUM_CLASSES, freeze=False)
    images, labels = problem.split.train.images[:16], problem.split.train.labels[:16]
    classifier.compile("sgd", "sparse_categorical_crossentropy")
    encoder = classifier.get_layer("encoder").encoder
    before = encoder.get_weights()
    classifier.fit(images, labels, verbose=0)
    moved = [
        np.abs(old - new).max() for old, new in zip(before, encoder.get_weights(), strict=True)
    ]
    assert moved[0] > 0


def deep(**arguments):
    return VARIANTS["deep"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), **arguments)


@pytest.mark.parametrize("variant", ["deep", "convolutional"])
def test_fine_tuning_takes_the_steps_of_keras(variant, problem):
    """Adam in a compiled loop against `fit` of Keras on the same batches, with batch statistics."""
    arguments = {"filters": (3,)} if variant == "convolutional" else {"hidden_units": (8,)}
    keras.utils.set_random_seed(0)  # of the initial weights
    model = VARIANTS[variant](image_shape=(4, 4), latent_dim=4, seed=0, **arguments)
    images = np.pad(problem.split.train.images[:60], ((0, 0), (0, 1), (0, 0)))
    labels = problem.split.train.labels[:60]
    batches = classification.batches_of(60, 70, seed=3)
    tuner = classification.FineTuner.of(model, NUM_CLASSES)
    tuner.restart(model.encoder.get_weights(), model.bottleneck.get_weights(), seed=5)
    tuner.fit(images, labels, batches)
    classifier = pretrained_classifier(model, NUM_CLASSES, freeze=False)
    head = classifier.get_layer("probabilities")
    head.kernel.assign(keras.initializers.GlorotUniform(5)(head.kernel.shape))
    classifier.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    order = batches.reshape(-1)
    classifier.fit(
        images[order], labels[order], batch_size=batches.shape[1], shuffle=False, verbose=0
    )
    expected = classifier.predict(images, verbose=0)
    found = tuner.probabilities(images)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.ptp(expected, axis=0).min() > 0.1
    assert tuner.accuracy(images, labels) == np.mean(expected.argmax(axis=1) == labels)


def test_batches_are_one_shuffled_pass_after_another():
    batches = classification.batches_of(60, 12, seed=0)
    assert batches.shape == (12, classification.BATCH_SIZE)
    passes = batches.reshape(10, 60)
    np.testing.assert_array_equal(np.sort(passes), np.tile(np.arange(60), (10, 1)))
    assert not np.array_equal(passes[0], passes[1])


def test_encoder_from_scratch_is_the_same_for_networks_that_differ_in_training_only():
    layers = {
        classification.architecture(
            classification.Untrained.of(
                VARIANTS[name](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0)
            )
        )
        for name in ("deep", "stacked", "vq_vae")
    }
    assert len(layers) == 1


def test_compiled_classifiers_are_shared_among_equal_layers_only():
    of = classification.architecture
    assert of(deep(seed=0)) == of(deep(seed=0))
    others = [
        deep(seed=0, dtype="mixed_bfloat16"),
        VARIANTS["deep"](image_shape=SHAPE, latent_dim=3, hidden_units=(8,), seed=0),
        VARIANTS["sparse"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0),
        VARIANTS["denoising"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0),
        VARIANTS["denoising"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=1),
        VARIANTS["vae"](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0),
    ]
    assert len({of(model) for model in [deep(seed=0), *others]}) == 1 + len(others)


@pytest.mark.parametrize("variant", ["deep", "denoising"])
def test_fine_tuning_does_not_depend_on_what_was_fitted_before(variant, problem, monkeypatch):
    """A compiled classifier is used again with all of its state reset, noise included."""
    monkeypatch.setattr(classification, "NUM_STEPS", 20)
    monkeypatch.setattr(classification, "NUM_FITTED_DRAWS", 2)
    monkeypatch.setattr(classification.FineTuner, "_kept", {})
    made = [
        VARIANTS[variant](image_shape=SHAPE, latent_dim=4, hidden_units=(8,), seed=0)
        for _ in range(2)
    ]
    made[1].encoder.set_weights([0.5 * weight for weight in made[1].encoder.get_weights()])
    scores = []
    monkeypatch.setattr(
        classification.FineTuner,
        "accuracy",
        lambda self, images, labels: scores.append(self.probabilities(images)) or 0.0,
    )
    for model in (made[0], made[1], made[0]):
        list(classification.fine_tuned_accuracies(model, problem.split, seed=0))
    assert len(classification.FineTuner._kept) == 1
    np.testing.assert_array_equal(scores[:2], scores[4:])
    assert not np.array_equal(scores[0], scores[2])


def test_from_scratch_is_computed_once_for_equal_layers(problem, monkeypatch):
    monkeypatch.setattr(classification, "NUM_STEPS", 4)
    monkeypatch.setattr(classification, "NUM_FITTED_DRAWS", 1)
    data, fits = fresh(problem), []
    monkeypatch.setattr(classification.FineTuner, "fit", lambda self, *batches: fits.append(self))
    for _ in range(2):
        classification.fine_tuning_metrics(deep(seed=0), data, seed=0)
    assert len(fits) == 3
    classification.fine_tuning_metrics(deep(seed=0), data, seed=1)
    assert len(fits) == 5


# ---- baselines and figures ----


def test_baselines_are_pixels_and_pca(problem):
    made = classification.baselines(problem, seed=0)
    assert list(made) == ["pixels", "PCA, 12 components"]
    assert made["pixels"].metrics["converged"] > 0.95
    assert set(made["pixels"].metrics) == {"num_labels", "converged", "converged_spread", "curve"}


def test_pooled_std_is_that_of_all_draws():
    draws = np.random.default_rng(0).uniform(size=(4, 3, 2))  # runs, draws, sizes
    curves = [
        {"num_labels": [50, 100], "mean": run.mean(axis=0), "std": run.std(axis=0)} for run in draws
    ]
    x, mean, spread = classification.pooled_curve(curves)
    np.testing.assert_array_equal(x, [50, 100])
    np.testing.assert_allclose(mean, draws.reshape(-1, 2).mean(axis=0))
    np.testing.assert_allclose(spread, draws.reshape(-1, 2).std(axis=0))
    runs = [
        Result("deep", "deep", 0, 2, None, Measurement({"a": run.mean(), "a_spread": run.std()}))
        for run in draws[..., 0]
    ]
    assert classification.pooled_spread(runs, "a") == pytest.approx(draws[..., 0].std())


def test_figures_show_every_protocol(problem, measured, monkeypatch, tmp_path):
    seen = {}
    for name in ("curves", "dots"):
        genuine = getattr(plots, name)

        def drawn(*arguments, name=name, genuine=genuine, **options):
            seen[name] = arguments[0]
            return genuine(*arguments, **options)

        monkeypatch.setattr(plots, name, drawn)
    one, two = measured[0], {**measured[0], "fine_tuned": 0.5}
    entries = [
        Result("vq_vae", "vq_vae", seed, 4, None, Measurement(numbers))
        for seed, numbers in enumerate((one, two))
    ]
    plain = {name: one[name] for name in ("num_labels", "converged", "converged_spread", "curve")}
    baselines = [Result("pixels", "pixels", 0, 0, None, Measurement(plain))]
    note_only = Measurement({"note": "It takes labels."})
    entries.insert(0, Result("conditional_vae", "conditional_vae", 0, 4, None, note_only))
    assert classification.draw(entries[:1], [], problem, tmp_path) == []
    figures = classification.draw(entries, baselines, problem, tmp_path)
    assert all(figure.path.exists() for figure in figures)
    assert list(seen["curves"]) == ["vq_vae", "pixels"]
    fine_tuned = seen["dots"]["fine-tuned encoder"]
    assert fine_tuned == {"vq_vae": pytest.approx((one["fine_tuned"] + 0.5) / 2)}
    assert list(seen["dots"]["converged, standardized codes"]) == ["vq_vae", "pixels"]
