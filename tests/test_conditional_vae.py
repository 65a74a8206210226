"""Conditional VAE: the effect of labels, and accepted and refused labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from programs import command, train

import keras_ae
from keras_ae.runs.run_directory import RunDirectory

SHAPE = (6, 5)
NUM_CLASSES = 3


def prototypes():
    return np.random.default_rng(0).random((NUM_CLASSES, *SHAPE)) > 0.5


def labeled_images(num=240, seed=1):
    """Images of three classes: dimmed prototypes with noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, NUM_CLASSES, num)
    strength = random.uniform(0.5, 0.9, (num, 1, 1))
    images = strength * prototypes()[labels] + 0.1 * random.random((num, *SHAPE))
    return images.astype("float32"), labels


def built(**arguments):
    keras.utils.set_random_seed(4)
    arguments = {"num_classes": NUM_CLASSES, "hidden_units": (12, 8), "seed": 4, **arguments}
    model = keras_ae.ConditionalVAE(SHAPE, 2, **arguments)
    model.compile(jit_compile=False)
    return model


@pytest.fixture(scope="module")
def trained():
    images, labels = labeled_images()
    model = built()
    model.fit(images, labels, batch_size=16, epochs=30, verbose=0)
    return model


# ---- network ----


class SlowNetwork:
    """The same network in NumPy, float64, without normalization."""

    def __init__(self, model):
        self.layers = {
            f"{part}/{'/'.join(weight.path.split('/')[-3:])}": weight.numpy().astype("float64")
            for part in ("encoder", "decoder")
            for weight in getattr(model, part).weights
        }

    def dense(self, part, name, inputs):
        kernel, bias = (self.layers[self.path(part, name, kind)] for kind in ("kernel", "bias"))
        return inputs @ kernel + bias

    def path(self, part, name, kind):
        (path,) = [
            path
            for path in self.layers
            if path.startswith(part) and f"/{name}/" in path and path.endswith(kind)
        ]
        return path

    def encode(self, images, one_hot):
        hidden = np.concatenate([images.reshape(len(images), -1), one_hot], axis=1)
        for name in ("hidden_1", "hidden_2"):
            hidden = np.tanh(self.dense("encoder", name, hidden))
        return np.split(self.dense("encoder", "code", hidden), 2, axis=1)

    def decode(self, codes, one_hot):
        hidden = np.concatenate([codes, one_hot], axis=1)
        for name in ("hidden_2", "hidden_1"):
            hidden = np.tanh(self.dense("decoder", name, hidden))
        logits = self.dense("decoder", "logits", hidden)
        return (1 / (1 + np.exp(-logits))).reshape(-1, *SHAPE)

    def loss(self, images, labels):
        one_hot = np.eye(NUM_CLASSES)[labels]
        z_mean, z_log_var = self.encode(images, one_hot)
        rebuilt = self.decode(z_mean, one_hot)
        bce = -(images * np.log(rebuilt) + (1 - images) * np.log(1 - rebuilt)).sum(axis=(1, 2))
        return bce, 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(axis=1)


def test_inferred_label_and_losses_match_a_slow_version():
    model = built(activation="tanh", batch_normalization=False, beta=2.0)
    images, labels = labeled_images(30)
    model.fit(images, labels, epochs=3, batch_size=10, verbose=0)
    slow = SlowNetwork(model)
    one_hot = np.eye(NUM_CLASSES)[labels]
    z_mean, z_log_var = slow.encode(images, one_hot)
    codes = np.concatenate([z_mean, one_hot], axis=1)
    np.testing.assert_allclose(model.encode(images, labels), codes, atol=1e-5)
    for ours, expected in zip(model.posterior(images, labels), (z_mean, z_log_var), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(
        model.reconstruct(images, labels), slow.decode(z_mean, one_hot), atol=1e-5
    )
    bce, divergence = slow.loss(images, labels)
    reported = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert reported["reconstruction_loss"] == pytest.approx(bce.mean(), rel=1e-5)
    assert reported["latent_loss"] == pytest.approx(2 * divergence.mean(), rel=1e-5)
    np.testing.assert_allclose(model.anomaly_score(images, labels=labels), bce, rtol=1e-4)
    losses = [
        bce + 2 * divergence
        for bce, divergence in (
            slow.loss(images, np.full(len(images), label)) for label in range(NUM_CLASSES)
        )
    ]
    np.testing.assert_array_equal(model.infer_labels(images), np.argmin(losses, axis=0))


def test_missing_labels_are_inferred(trained):
    images, labels = labeled_images(20, seed=2)
    inferred = trained.infer_labels(images)
    assert inferred.dtype == np.int32
    np.testing.assert_array_equal(inferred, labels)
    for answer in (trained.encode, trained.reconstruct):
        np.testing.assert_allclose(answer(images), answer(images, labels), atol=1e-6)
        others = (labels + 1) % NUM_CLASSES
        assert np.any(np.abs(answer(images) - answer(images, others)) > 0.1)
    score = trained.anomaly_score(images, score="mse")
    np.testing.assert_allclose(score, trained.anomaly_score(images, "mse", labels), rtol=1e-5)
    for inputs in (images, {"images": images, "labels": labels}):
        np.testing.assert_allclose(
            trained.predict(inputs, verbose=0), trained.reconstruct(images), atol=1e-6
        )


def test_interpolation_ends_match_labeled_reconstructions(trained):
    images, labels = labeled_images(12, seed=3)
    for spherical in (False, True):
        path = trained.interpolate(images[0], images[1], 5, spherical=spherical, labels=labels[:2])
        ends = trained.reconstruct(images[:2], labels[:2])
        np.testing.assert_allclose(path[[0, -1]], ends, atol=1e-5)


# ---- sampling ----


def test_samples_are_of_the_requested_class(trained):
    labels = np.repeat(np.arange(NUM_CLASSES), 100)
    samples = trained.sample(300, seed=5, labels=labels)
    distances = np.square(samples[:, None] - 0.7 * prototypes()).sum(axis=(2, 3))
    assert np.mean(distances.argmin(axis=1) == labels) > 0.98


def test_single_label_applies_to_every_sample(trained):
    ones = trained.sample(4, seed=6, labels=1)
    np.testing.assert_array_equal(ones, trained.sample(4, seed=6, labels=[1, 1, 1, 1]))
    assert np.any(ones != trained.sample(4, seed=7, labels=1))


def test_unrequested_labels_are_uniform_and_independent_of_noise(trained):
    codes = trained._sample_latents(30_000, [3, 0]).numpy()
    assert codes.shape == (30_000, *trained.code_shape)
    one_hot = codes[:, 2:]
    np.testing.assert_array_equal(np.sort(one_hot, axis=1), np.tile([0, 0, 1], (30_000, 1)))
    np.testing.assert_allclose(one_hot.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(codes[:, :2].mean(axis=0), 0, atol=0.03)
    assert np.abs(np.corrcoef(codes.T)[:2, 2:]).max() < 0.02


# ---- label formats ----


def weights_after(fit):
    model = built()
    fit(model)
    return [weight.numpy() for weight in model.weights]


def test_every_input_format_of_fit_gives_the_same_weights():
    images, labels = labeled_images(64)
    both = {"images": images, "labels": labels}
    settings = {"batch_size": 16, "epochs": 1, "verbose": 0}
    expected = weights_after(lambda model: model.fit(images, labels, **settings))
    for fit in (
        lambda model: model.fit(both, **settings),
        lambda model: model.fit(both, images, **settings),
        lambda model: model.fit(images, labels, sample_weight=np.ones(64), **settings),
    ):
        for ours, theirs in zip(weights_after(fit), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_datasets_train_like_unshuffled_arrays():
    images, labels = labeled_images(64)
    both = {"images": images, "labels": labels.astype("uint8")}

    def slices(data):
        return tf.data.Dataset.from_tensor_slices(data).batch(16)

    expected = weights_after(
        lambda model: model.fit(images, labels, batch_size=16, shuffle=False, verbose=0)
    )
    weight = np.ones(64, "float32")
    for data in (both, (images, labels, weight), (both, images, weight)):
        got = weights_after(lambda model, data=data: model.fit(slices(data), verbose=0))
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_validation_and_evaluation_accept_every_label_format():
    images, labels = labeled_images(64)
    both = {"images": images, "labels": labels}
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    model = built()
    expected = model.evaluate(images, labels, batch_size=16, verbose=0, return_dict=True)["loss"]
    for data in ((both,), (dataset,)):
        got = model.evaluate(*data, batch_size=16 if data[0] is both else None, verbose=0)
        assert got[model.metrics_names.index("loss")] == pytest.approx(expected, rel=1e-5)
    for validation in ((images, labels), (both,), dataset):
        history = model.fit(images, labels, validation_data=validation, verbose=0).history
        expected = model.evaluate(images, labels, verbose=0, return_dict=True)["loss"]
        assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)
    history = model.fit(images, labels, validation_split=0.25, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()


def test_sample_weights_scale_the_reconstruction_loss():
    images, labels = labeled_images(32)
    model = built()
    weight = np.random.default_rng(0).random(32)
    reported = model.evaluate(images, labels, sample_weight=weight, verbose=0, return_dict=True)[
        "reconstruction_loss"
    ]
    expected = (weight * model.anomaly_score(images, labels=labels)).mean()
    assert reported == pytest.approx(expected, rel=1e-5)


# ---- refused labels ----


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 2, 3], "from 0 to 2; received 3"),
        ([0, -1, 2, 1], "from 0 to 2; received -1"),
        ([0, 1.5, 2, 1], "whole numbers from 0 to 2; received 1.5"),
        ([0, np.nan, 2, 1], "from 0 to 2; received nan"),
        ([0, 1, 2], r"shape \(4,\), one per image; received \(3,\)"),
        (np.eye(4)[:, :3], r"shape \(4,\), one per image; received \(4, 3\)"),
        (list("abca"), "must be numbers; received dtype"),
        (None, "must be given.*received None"),
    ],
)
def test_unknown_label_is_refused_in_one_line(labels, words):
    images, _ = labeled_images(4)
    known = np.zeros(4, int)
    model = built()
    both = {"images": images, "labels": labels}
    refused = [
        lambda: model.fit(images, labels, verbose=0),
        lambda: model.fit(both, verbose=0),
        lambda: model.evaluate(images, labels, verbose=0),
        lambda: model.fit(images, known, validation_data=(images, labels), verbose=0),
    ]
    if labels is not None:
        refused += [
            lambda: model.encode(images, labels),
            lambda: model.reconstruct(images, labels),
            lambda: model.anomaly_score(images, labels=labels),
            lambda: model.sample(4, labels=labels),
            lambda: model.posterior(images, labels),
        ]
    for ask in refused:
        with pytest.raises(ValueError, match=words) as error:
            ask()
        assert "\n" not in str(error.value)


def test_inputs_without_labels_are_refused():
    images, _ = labeled_images(4)
    model = built()
    with pytest.raises(ValueError, match="keys 'images' and 'labels'; received 'images'"):
        model.fit({"images": images}, verbose=0)
    with pytest.raises(ValueError, match="must be given.*received None"):
        model.fit(tf.data.Dataset.from_tensor_slices(images).batch(2), verbose=0)


@pytest.mark.parametrize("unknown", [-1, 3, 99])
def test_predict_and_call_refuse_an_unknown_label(unknown):
    images, labels = labeled_images(4)
    model = built()
    both = {"images": images, "labels": np.append(labels[:3], unknown)}
    for ask in (model, model.predict):
        with pytest.raises(
            (ValueError, tf.errors.InvalidArgumentError), match="numbers from 0 to 2"
        ):
            ask(both)


def test_unknown_label_in_a_later_batch_is_refused():
    images, labels = labeled_images(12)
    labels[-1] = 7
    model = built()
    for data in ((images, labels), {"images": images, "labels": labels}):
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(4)
        for ask in (model.fit, model.evaluate):
            with pytest.raises(ValueError, match="^labels .* numbers from 0 to 2.$"):
                ask(dataset, verbose=0)


def test_pretrained_classifier_refuses_a_conditional_model():
    with pytest.raises(ValueError, match="received a ConditionalVAE, whose encoder") as error:
        keras_ae.pretrained_classifier(built(), NUM_CLASSES)
    assert "\n" not in str(error.value)


# ---- other methods ----


def test_exported_model_samples_the_requested_class(trained, tmp_path):
    images, _ = labeled_images(5)
    trained.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    five, seed = tf.constant(5), tf.constant(9)
    np.testing.assert_allclose(
        exported.sample_class(five, seed, tf.constant(2)),
        trained.sample(5, seed=9, labels=2),
        atol=1e-5,
    )
    np.testing.assert_allclose(exported.encode(images), trained.encode(images), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 2"):
        exported.sample_class(five, seed, tf.constant(3))


def test_log_likelihood_works_with_and_without_labels(trained):
    images, labels = labeled_images(6, seed=4)
    images = (images > 0.5).astype("float32")
    given = trained.log_likelihood(images, 20_000, seed=1, labels=labels)
    both = {"images": images, "labels": labels}
    np.testing.assert_array_equal(given, trained.log_likelihood(both, 20_000, seed=1))
    of_classes = [
        trained.log_likelihood(images, 200, seed=1, labels=np.full(6, label))
        for label in range(NUM_CLASSES)
    ]
    expected = np.log(np.exp(of_classes).mean(axis=0))
    np.testing.assert_allclose(trained.log_likelihood(images, 200, seed=1), expected, rtol=1e-6)
    # Simple Monte Carlo: the mean of p(x|z, y) over many draws from the prior.
    noise = np.random.default_rng(0).standard_normal((100_000, 2)).astype("float32")
    for image, label, estimate in zip(images, labels, given, strict=True):
        codes = np.concatenate([noise, np.eye(NUM_CLASSES, dtype="float32")[[label] * 100_000]], 1)
        p = trained.decode(codes).astype("float64")
        log_p = (image * np.log(p) + (1 - image) * np.log(1 - p)).sum(axis=(1, 2))
        assert estimate == pytest.approx(np.log(np.exp(log_p).mean()), abs=0.1)


def test_kl_warmup_is_supported():
    images, labels = labeled_images(64)
    model = built(kl_warmup_epochs=2)
    history = model.fit(images, labels, epochs=3, verbose=0).history["latent_loss"]
    assert history[0] == 0 and history[1] > 0


def test_held_out_class_keeps_the_label_indices(tiny, offline, eager, tmp_path):
    held_out = ["--held-out-class", "2", "--latent-dim", "2", "--quiet"]
    assert train(*command(tiny, tmp_path, "conditional_vae", epochs=1), *held_out) == 0
    model = RunDirectory(next(tmp_path.glob("tiny.npz/*"))).load_model()
    assert model.num_classes == 4 and model.code_shape == (6,)
    assert model.sample(4, seed=0, labels=np.arange(4)).shape == (4, 8, 8)
