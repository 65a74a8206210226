"""Methods of the variants with a Gaussian code, against closed forms and integrals."""

from __future__ import annotations

import itertools
import warnings

import fake_runs
import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import exact_log_likelihood, images_of, linear_model, pictures
from scipy import stats

import keras_ae
from keras_ae.losses import gaussian_log_ratio
from keras_ae.metrics import ActiveUnits
from keras_ae.runs.checkpoint import Checkpoint, state_variables
from keras_ae.runs.run_directory import RunDirectory


def small_vae(shape=(6, 5), **arguments):
    keras.utils.set_random_seed(3)
    arguments = {"latent_dim": 4, "hidden_units": (8,), "seed": 3, **arguments}
    model = keras_ae.VAE(shape, **arguments)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    return model


# ---- likelihood ----


def test_log_ratio_matches_two_normal_densities():
    random = np.random.default_rng(0)
    z, mean, log_var = random.normal(size=(3, 40, 5))
    expected = stats.norm(mean, np.exp(log_var / 2)).logpdf(z) - stats.norm.logpdf(z)
    np.testing.assert_allclose(
        gaussian_log_ratio(z, mean, log_var), expected.sum(axis=1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("num_samples", [1, 150])
def test_exact_posterior_gives_the_exact_likelihood_per_draw(num_samples):
    images = images_of(45)  # several calls, the last one smaller
    answer = linear_model().log_likelihood(images, num_samples, seed=0)
    assert answer.shape == (45,) and answer.dtype == np.float64
    np.testing.assert_allclose(answer, exact_log_likelihood(images), atol=1e-4)


def test_many_draws_approach_the_likelihood_from_below():
    images, model = images_of(30), linear_model(wider=0.7)
    exact = exact_log_likelihood(images)
    np.testing.assert_allclose(model.log_likelihood(images, 20_000, seed=0), exact, atol=0.03)
    assert model.log_likelihood(np.tile(images, (20, 1, 1)), 1, seed=0).mean() < exact.mean() - 0.1


def test_draws_depend_on_the_seed():
    images, model = images_of(6), linear_model(wider=0.7)
    first = model.log_likelihood(images, 20, seed=4)
    np.testing.assert_array_equal(first, model.log_likelihood(images, 20, seed=4))
    assert np.all(first != model.log_likelihood(images, 20, seed=5))
    assert np.all(first != model.log_likelihood(images, 20))


def all_binary_images():
    return np.array(list(itertools.product([0, 1], repeat=4)), "float32").reshape(-1, 2, 2)


def test_one_dimensional_likelihoods_match_the_integrals():
    model, images = small_vae((2, 2), latent_dim=1), all_binary_images()
    model.fit(images, epochs=30, verbose=0)
    grid = np.linspace(-8, 8, 4001)
    probability = model.decode(grid[:, None]).astype("float64")[:, None]
    given = np.where(images > 0.5, probability, 1 - probability).prod(axis=(2, 3))
    exact = np.log(np.trapezoid(given * stats.norm.pdf(grid)[:, None], grid, axis=0))
    answer = model.log_likelihood(images, 50_000, seed=0)
    np.testing.assert_allclose(answer, exact, atol=0.03)
    assert np.exp(answer).sum() == pytest.approx(1.0, abs=0.02)


def test_conditional_likelihoods_sum_to_one():
    images = all_binary_images()
    model = keras_ae.ConditionalVAE((2, 2), 2, num_classes=3, hidden_units=(8,), seed=3)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    model.fit(images, np.arange(16) % 3, batch_size=4, epochs=20, verbose=0)
    answers = [
        model.log_likelihood({"images": images, "labels": np.full(16, label)}, 5000, seed=0)
        for label in range(3)
    ]
    np.testing.assert_allclose(np.exp(answers).sum(axis=1), 1.0, atol=0.03)
    assert np.abs(answers[0] - answers[1]).max() > 0.5


@pytest.mark.parametrize("num_samples", [0, 2.5, "many"])
def test_impossible_number_of_samples_is_refused(num_samples):
    with pytest.raises(ValueError, match="num_samples must be .*; received") as error:
        linear_model().log_likelihood(images_of(2), num_samples)
    assert repr(num_samples) in str(error.value)


# ---- active units ----


def test_active_units_have_varying_means():
    random = np.random.default_rng(0)
    z_mean = 3.0 + random.normal(size=(1000, 4)) * [1.0, 0.15, 0.08, 0.0]
    metric = ActiveUnits(4)
    assert float(metric.result()) == 0
    for batch in np.split(z_mean, 8):
        metric.update_state(batch)
    assert float(metric.result()) == (z_mean.var(axis=0) > 0.01).sum() == 2
    metric.reset_state()
    metric.update_state(np.full((50, 4), 30.0))
    assert float(metric.result()) == 0


def test_fit_logs_active_units():
    images, model = pictures(), small_vae(beta=4.0, latent_dim=8)
    history = model.fit(images, epochs=25, validation_data=(images,), verbose=0).history
    expected = (model.encode(images).var(axis=0) > 0.01).sum()
    assert 0 < expected < 8
    assert history["val_active_units"][-1] == expected
    assert 0 < history["active_units"][-1] <= 8


def test_posterior_collapse_warns_once():
    images = pictures()
    with pytest.warns(UserWarning, match="[Pp]osterior collapse") as caught:
        small_vae(beta=1000.0).fit(images, batch_size=16, epochs=25, verbose=0)
    messages = [str(one.message) for one in caught if "collapse" in str(one.message)]
    assert len(messages) == 1 and "\n" not in messages[0]
    for words in ("0 of its 4 latent units", "beta (now 1000)", "kl_warmup_epochs (now 0)"):
        assert words in messages[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*collapse.*")
        small_vae().fit(images, batch_size=16, epochs=25, verbose=0)


# ---- KL warm-up ----


class Weights(keras.callbacks.Callback):
    """Records the weight of the KL divergence in each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.seen = [*getattr(self, "seen", []), float(self.model.bottleneck.kl_weight.value)]


def feed(images, kind):
    if kind == "array":
        return images, {"batch_size": 32}
    return tf.data.Dataset.from_tensor_slices(images).batch(32), {}


@pytest.mark.parametrize(("kind", "jit"), [("array", False), ("dataset", False), ("array", True)])
def test_kl_weight_grows_each_epoch_in_training_only(kind, jit):
    images, weights = pictures(), Weights()
    model = small_vae(kl_warmup_epochs=4, beta=2.0, batch_normalization=False)
    model.compile(keras.optimizers.Adam(1e-5), jit_compile=jit)
    data, arguments = feed(images, kind)
    history = model.fit(
        data, epochs=6, validation_data=data, callbacks=[weights], verbose=0, **arguments
    ).history
    assert weights.seen == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    # At this learning rate the weights hardly change, so the KL weight changes the latent loss.
    whole = history["latent_loss"][-1]
    assert history["latent_loss"][0] == 0.0
    np.testing.assert_allclose(history["latent_loss"], whole * np.array(weights.seen), rtol=0.1)
    np.testing.assert_allclose(history["val_latent_loss"], history["val_latent_loss"][-1], rtol=0.1)
    assert history["val_latent_loss"][0] > 0.5 * whole > 0
    assert model.evaluate(images, verbose=0, return_dict=True)["latent_loss"] == (
        pytest.approx(history["val_latent_loss"][-1], rel=1e-4)
    )


def test_fractional_warmup_ends_at_full_weight():
    model = small_vae(kl_warmup_epochs=1.5)
    for epoch, weight in ((0, 0.0), (1, 2 / 3), (2, 1.0), (50, 1.0)):
        model.bottleneck.begin(epoch)
        assert float(model.bottleneck.kl_weight.value) == pytest.approx(weight)


def test_interrupted_warmup_resumes(tmp_path):
    images = pictures()

    def fitted(model, first, last):
        model.fit(images, batch_size=32, initial_epoch=first, epochs=last, verbose=0)
        return model

    whole = fitted(small_vae(kl_warmup_epochs=3), 0, 4)
    half = fitted(small_vae(kl_warmup_epochs=3), 0, 2)
    half.save(tmp_path / "half.keras")
    run, config = RunDirectory(tmp_path), fake_runs.config()
    run.start(config)
    checkpoint = Checkpoint(run, config.request)
    checkpoint.save(half, [{"epoch": 1}, {"epoch": 2}])
    resumed = small_vae(kl_warmup_epochs=3)
    assert checkpoint.restore(resumed, 4) == 2
    loaded = keras.models.load_model(tmp_path / "half.keras")
    for model in (resumed, loaded):
        assert float(model.bottleneck.kl_weight.value) == pytest.approx(1 / 3)
        fitted(model, 2, 4)
        for expected, variable in zip(
            state_variables(whole).values(), state_variables(model).values(), strict=True
        ):
            np.testing.assert_array_equal(expected.numpy(), variable.numpy())


def test_model_without_warmup_has_no_kl_weight():
    assert not [weight for weight in small_vae().weights if "kl_weight" in weight.path]
