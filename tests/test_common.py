"""Shared code of the comparisons."""

import ast
import dataclasses
import random
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context as eager

from keras_ae.data import Split, Subset, baselines
from keras_ae.evaluation.comparisons import common
from keras_ae.evaluation.comparisons.base import EvaluationData, ReferenceClassifier
from keras_ae.variants import VARIANTS

SHAPE = (4, 3)


def pictures(num):
    return np.random.default_rng(0).random((num, *SHAPE)).astype("float32")


def test_batches_cover_all_images_in_order(monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 4)
    images = pictures(10)
    batches = list(common.in_batches(images))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(batches), images)
    both = list(common.in_batches({"images": images, "labels": np.arange(10)}))
    np.testing.assert_array_equal(np.concatenate([batch["images"] for batch in both]), images)
    assert [batch["labels"].tolist() for batch in both] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


# ---- shared results ----


def labeled_data():
    part = Subset(pictures(6), np.array([0, 1, 1, 0, 1, 1]))
    return EvaluationData(Split(part, part, part), ("a", "b"), normal=1)


def test_shared_result_is_computed_once_for_each_key():
    data, computed = labeled_data(), []
    for key in (("mean", 1), ("mean", 1), ("mean", 2)):
        found = data.shared(key, lambda key=key: computed.append(key) or sum(key[1:]))
        assert found == key[1]
    assert computed == [("mean", 1), ("mean", 2)]


def test_shared_results_are_of_the_same_images():
    data = labeled_data()
    whole = data.shared(("number",), lambda: len(data.split.test))
    normal = data.normal_only()
    assert data.normal_only() is normal
    assert whole == 6 and normal.shared(("number",), lambda: len(normal.split.test)) == 4
    changed = dataclasses.replace(data, split=normal.split)
    assert changed.shared(("number",), lambda: len(changed.split.test)) == 4
    classifier = ReferenceClassifier(len, len)
    same = data.with_reference_classifier(classifier)
    assert same.reference_classifier is classifier and same.split is data.split
    assert same.shared(("number",), lambda: 0) == 6


# ---- models ----


@pytest.mark.parametrize("variant", ["vae", "iwae"])
def test_posterior_is_the_encoder_output(variant, monkeypatch):
    monkeypatch.setattr(common, "BATCH_SIZE", 4)
    model = VARIANTS[variant](image_shape=SHAPE, latent_dim=2, hidden_units=(5,))
    z_mean, z_log_var = common.posterior(model, pictures(10))
    encoded = model.encoder(tf.constant(pictures(10))).numpy()
    np.testing.assert_allclose(np.hstack([z_mean, z_log_var]), encoded, atol=1e-6)
    np.testing.assert_allclose(z_mean, model.encode(pictures(10)), atol=1e-6)


def test_posterior_needs_a_gaussian_code_and_bce_a_sigmoid():
    deep = VARIANTS["deep"](image_shape=SHAPE, latent_dim=2, hidden_units=(5,))
    linear = VARIANTS["linear"](image_shape=SHAPE, latent_dim=2)
    assert common.posterior(deep, pictures(3)) is None
    assert deep.has_bce and not linear.has_bce


def test_clipped_images_are_in_range():
    np.testing.assert_array_equal(common.clip_to_images([-0.5, 0.25, 1.5]), [0, 0.25, 1])


def loss_of(pca, images):
    return np.square(baselines.pca_reconstructions(pca, images) - images).sum()


@pytest.mark.parametrize("pixels", ["few", "many"])
def test_one_fit_serves_all_numbers_of_components(monkeypatch, pixels):
    """Truncated fits equal the singular value decomposition, and are not fitted again."""
    if pixels == "many":
        monkeypatch.setattr(baselines, "MAX_EXACT_PIXELS", 5)
    fits, fit = [], baselines.fit_pca
    monkeypatch.setattr(baselines, "fit_pca", lambda *a: fits.append(a[1]) or fit(*a))
    images = np.random.default_rng(0).uniform(0.3, 0.7, (9, 4, 6)).astype("float32")
    components = baselines.PrincipalComponents(images)
    flat = images.reshape(9, -1).astype("float64")
    center = flat.mean(axis=0)
    axes = np.linalg.svd(flat - center, full_matrices=False)[2]
    for number in (3, 1, 8, 20):
        pca = components(number)
        assert pca.n_components_ == min(number, 9) and pca.n_features_in_ == 24
        few = axes[: min(number, 8)]
        expected = center + (flat - center) @ few.T @ few
        found = pca.inverse_transform(pca.transform(flat.astype("float32")))
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert fits == [9]


def test_large_set_of_large_images_is_fitted_anew_for_more_components_only(monkeypatch):
    for name, value in (("PIXELS", 5), ("IMAGES", 10)):
        monkeypatch.setattr(baselines, f"MAX_EXACT_{name}", value)
    monkeypatch.setattr(baselines, "MAX_IMAGES", 30)
    fits, fit = [], baselines.fit_pca
    spied = lambda *a: fits.append((len(a[0]), a[1])) or fit(*a)  # noqa: E731
    monkeypatch.setattr(baselines, "fit_pca", spied)
    images = pictures(50)
    components = baselines.PrincipalComponents(images)
    losses = [loss_of(components(number), images) for number in (4, 2, 4, 6)]
    assert fits == [(30, 4), (30, 6)]
    assert losses[1] > losses[0] == losses[2] > losses[3]


def test_pca_baseline_matches_the_singular_value_decomposition():
    images = pictures(10)
    label, pca = baselines.fit_pca(images, 3)
    assert label == "PCA, 3 components"
    flat = images.reshape(10, -1).astype("float64")
    center = flat.mean(axis=0)
    axes = np.linalg.svd(flat - center, full_matrices=False)[2][:3]
    codes = pca.transform(images.reshape(10, -1))
    np.testing.assert_allclose(np.abs(codes), np.abs((flat - center) @ axes.T), atol=1e-5)
    assert baselines.fit_pca(images[:2], 20)[0] == "PCA, 2 components"
    assert baselines.fit_pca(images, 20)[0] == "PCA, 10 components"


def draw_everywhere():
    """One number from each random generator that a comparison seeds."""
    return (
        random.random(),
        np.random.rand(),
        tf.random.uniform(()).numpy(),
        keras.random.uniform(()).numpy(),
        keras.layers.Dense(1).kernel_initializer((2, 2)).numpy()[0, 0],
    )


@pytest.mark.parametrize("seed", [3, None])
def test_comparison_leaves_the_random_state_unchanged(seed):
    """If TensorFlow had no global seed before, it has none afterwards."""

    def numbers(between):
        keras.utils.set_random_seed(3)
        if seed is None:
            tf.random.set_seed(None)
        first = draw_everywhere()
        between()
        second = draw_everywhere()
        return [a for index, a in enumerate((*first, *second)) if seed or index % 5 != 2]

    def compare():
        with common.preserved_random_state():
            common.set_seeds(7)
            random.random(), np.random.rand(), tf.random.uniform(())
            keras.layers.Dense(1).kernel_initializer((2, 2))

    expected = numbers(lambda: None)
    assert numbers(compare) == expected
    assert eager.global_seed() == seed
    assert numbers(lambda: common.set_seeds(7)) != expected


def test_random_state_is_restored_after_an_error():
    keras.utils.set_random_seed(1)
    expected = draw_everywhere()
    keras.utils.set_random_seed(1)
    with pytest.raises(KeyboardInterrupt), common.preserved_random_state():
        common.set_seeds(7)
        raise KeyboardInterrupt
    assert draw_everywhere() == expected


FORBIDDEN = {"isinstance", "issubclass", "hasattr", "getattr", "type"}
MODELS = {"model", "bottleneck", "layer", "encoder", "decoder", "prior", "classifier"}


def questions_to_objects(source):
    """Calls of `isinstance` and the like on a model or a part of it."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FORBIDDEN
        and MODELS & set(re.findall(r"\w+", ast.unparse(node.args[0])))
        and ast.unparse(node) != "type(model)"  # its name, for a note
    ]


def test_comparisons_do_not_check_model_types():
    for path in Path(common.__file__).parent.glob("*.py"):
        assert questions_to_objects(path.read_text()) == [], path.name


@pytest.mark.parametrize(
    "line",
    [
        "isinstance(model.bottleneck, VectorQuantizer)",
        "hasattr(model, 'fit_prior')",
        "getattr(model, 'needs_labels', False)",
        "isinstance(bottleneck, tuple(KINDS))",
        "[isinstance(layer, Sampling) for layer in model.layers]",
        "hasattr(prior, 'uniform')",
        "type(model.bottleneck) is X",
    ],
)
def test_planted_model_type_check_is_caught(line):
    assert questions_to_objects(f"def measure(model):\n    return {line}\n")
    assert not questions_to_objects("isinstance(inputs, dict)\ntype(model).__name__\n")
