"""VAE/GAN: its three losses, two optimizers and checks of the balance."""

import fake_runs
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ae
from keras_ae.runs.checkpoint import Checkpoint, CheckpointCallback, state_variables
from keras_ae.runs.errors import Diverged
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.variants.base import scale_loss
from keras_ae.variants.vae_gan import saturation

SHAPE = (6, 5)


def pictures(num=96, seed=0):
    random = np.random.default_rng(seed)
    prototypes = random.random((4, *SHAPE)) > 0.5
    weights = random.dirichlet(np.full(4, 0.3), size=num)
    return np.tensordot(weights, 0.9 * prototypes, axes=1).astype("float32")


def built(compiled=None, **arguments):
    keras.utils.set_random_seed(3)
    small = {"hidden_units": (12, 8), "discriminator_filters": (5, 4), "seed": 3}
    model = keras_ae.VAEGAN(SHAPE, 4, **{**small, **arguments})
    model.compile(**{"jit_compile": False, **(compiled or {})})
    return model


def numbers(variables):
    return [variable.numpy() for variable in variables]


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


# ---- losses ----


def leaky(values):
    return np.where(values > 0, values, 0.2 * values)


def slow_convolution(maps, kernel, bias):
    """3x3 convolution, stride 2, "same" padding: an odd pixel of padding goes last."""
    sizes = [-(-side // 2) for side in maps.shape[1:3]]
    pads = [2 * (size - 1) + 3 - side for size, side in zip(sizes, maps.shape[1:3], strict=True)]
    padded = np.pad(maps, [(0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)])
    result = np.empty((len(maps), *sizes, kernel.shape[-1]))
    for row in range(sizes[0]):
        for column in range(sizes[1]):
            patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            result[:, row, column] = np.tensordot(patch, kernel, axes=3) + bias
    return result


def slow_discriminator(model, images):
    """Features and logits in NumPy, float64."""
    *convolutions, dense, dense_bias, last, last_bias = (
        weight.numpy().astype("float64") for weight in model.discriminator.weights
    )
    hidden = images[..., None].astype("float64")
    for kernel, bias in zip(convolutions[::2], convolutions[1::2], strict=True):
        hidden = leaky(slow_convolution(hidden, kernel, bias))
    features = hidden.reshape(len(images), -1)
    return features, leaky(features @ dense + dense_bias) @ last + last_bias


def cross_entropy(logits, target):
    probability = 1 / (1 + np.exp(-logits))
    return -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).mean()


def test_losses_of_the_three_networks_match_a_slow_version():
    images = pictures(24)
    model = built(feature_variance=0.5)
    model.fit(images, epochs=2, verbose=0)
    for training in (False, True):
        _, _, outputs = model._batch_losses(tf.constant(images), tf.constant(images), training)
        features, real = slow_discriminator(model, images)
        rebuilt_features, made = slow_discriminator(model, tf.sigmoid(outputs["logits"]).numpy())
        if training:
            sampled = tf.sigmoid(outputs["sampled_logits"]).numpy()
            made = np.concatenate([made, slow_discriminator(model, sampled)[1]])
        expected = {
            "feature_loss": np.square(rebuilt_features - features).sum(axis=1),  # 1 / (2 * 0.5)
            "discriminator_loss": (cross_entropy(real, 1) + cross_entropy(made, 0)) / 2,
            "adversarial_loss": cross_entropy(made, 1),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(outputs[name], value, rtol=1e-4, err_msg=name)
    logged = model.evaluate(images, verbose=0, return_dict=True)
    _, _, outputs = model._batch_losses(tf.constant(images), tf.constant(images), False)
    for name in expected:
        assert logged[name] == pytest.approx(float(np.mean(outputs[name])), rel=1e-5), name


class Recorder(keras.optimizers.SGD):
    """Gradient descent that records the gradients."""

    def apply(self, grads, trainable_variables=None):
        self.given = [np.asarray(grad) for grad in grads]
        return super().apply(grads, trainable_variables)


def test_each_network_follows_the_gradient_of_its_loss():
    images = tf.constant(pictures(24))
    optimizers = {
        "optimizer": Recorder(0.0),
        "discriminator_optimizer": Recorder(0.0),
        "run_eagerly": True,
    }
    model = built(optimizers, gamma=0.3, equilibrium_margin=1.0)
    noise = model.bottleneck.sampling.seed_generator.state, model.prior_noise.seed_generator.state
    start = [state.numpy() for state in noise]
    model.train_step((images,))
    for state, value in zip(noise, start, strict=True):
        state.assign(value)
    nets = model.encoder, model.decoder, model.discriminator
    with tf.GradientTape(persistent=True) as tape:
        _, latent_loss, outputs = model._batch_losses(images, images, training=True)
        feature_loss = tf.reduce_mean(outputs["feature_loss"])
        losses = (
            latent_loss + feature_loss,
            0.3 * feature_loss + outputs["adversarial_loss"],
            outputs["discriminator_loss"],
        )
    expected = [
        tape.gradient(loss, net.trainable_variables) for loss, net in zip(losses, nets, strict=True)
    ]
    given = [*model.optimizer.given, *model.discriminator_optimizer.given]
    for ours, theirs in zip(given, [each for part in expected for each in part], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert np.any(ours != 0)


def test_training_step_changes_every_network():
    model = built()
    before = numbers(model.trainable_variables)
    model.fit(pictures(), batch_size=32, epochs=1, verbose=0)
    for was, variable in zip(before, model.trainable_variables, strict=True):
        assert np.any(was != variable.numpy()), variable.path


def test_posterior_and_prior_samples_use_independent_noise():
    model = built()
    origin = tf.zeros((1000, 4))
    drawn = model.bottleneck.sampling((origin, origin)), model.prior_noise((origin, origin))
    assert abs(np.corrcoef(np.ravel(drawn[0]), np.ravel(drawn[1]))[0, 1]) < 0.1


# ---- two optimizers ----


def test_discriminator_optimizer_defaults_to_a_copy():
    optimizer = keras.optimizers.RMSprop(0.007)
    model = built({"optimizer": optimizer})
    assert isinstance(model.discriminator_optimizer, keras.optimizers.RMSprop)
    assert model.discriminator_optimizer is not optimizer
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(0.007)
    model = built({"discriminator_optimizer": "sgd"})
    assert isinstance(model.discriminator_optimizer, keras.optimizers.SGD)
    assert model._get_optimizers() == [model.optimizer, model.discriminator_optimizer]


@pytest.mark.slow
def test_saved_and_loaded_training_continues_bit_for_bit(tmp_path):
    # In mixed precision both optimizers are wrapped; test_variants.py tests float32.
    images = pictures()
    settings = {"batch_size": 32, "verbose": 0}

    def fresh():
        other = keras.optimizers.Adam(3e-4, beta_1=0.5)
        return built({"discriminator_optimizer": other}, dtype="mixed_float16")

    whole, first = fresh(), fresh()
    whole.fit(images, epochs=4, **settings)
    first.fit(images, epochs=2, **settings)
    first.save(tmp_path / "half.keras")
    second = keras.models.load_model(tmp_path / "half.keras")
    assert second.discriminator_optimizer.get_config() == first.discriminator_optimizer.get_config()
    second.fit(images, epochs=4, initial_epoch=2, **settings)
    assert_same(second.weights, whole.weights)
    for ours, theirs in zip(second._get_optimizers(), whole._get_optimizers(), strict=True):
        assert len(ours.variables) > 2
        assert_same(ours.variables, theirs.variables)


def started(folder):
    """The checkpoint of a new run."""
    run, config = RunDirectory(folder), fake_runs.config()
    run.start(config)
    return Checkpoint(run, config.request)


@pytest.mark.slow
def test_interrupted_run_resumes_bit_for_bit(tmp_path):
    images = pictures()
    settings = {"batch_size": 32, "verbose": 0}
    whole = built()
    whole.fit(images, epochs=4, **settings)
    checkpoint = started(tmp_path / "run")
    built().fit(images, epochs=2, callbacks=[CheckpointCallback(checkpoint)], **settings)
    resumed = built()
    assert checkpoint.restore(resumed, 4) == 2
    callbacks = [CheckpointCallback(checkpoint)]
    resumed.fit(images, epochs=4, initial_epoch=2, callbacks=callbacks, **settings)
    assert_same(state_variables(resumed).values(), state_variables(whole).values())


@pytest.mark.slow
def test_xla_epochs_match_single_eager_steps():
    images = pictures(32)
    compiled = built({"jit_compile": True})
    history = compiled.fit(images, batch_size=16, epochs=1, shuffle=False, verbose=0).history
    eager = built({"run_eagerly": True})
    expected = eager.fit(images, batch_size=16, epochs=1, shuffle=False, verbose=0).history
    for name in ("loss", "feature_loss", "discriminator_loss", "adversarial_loss"):
        np.testing.assert_allclose(history[name], expected[name], rtol=2e-3, err_msg=name)


def test_mixed_precision_scales_the_loss_of_each_optimizer():
    model = built(dtype="mixed_float16")
    for optimizer in model._get_optimizers():
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert model.discriminator.get_layer("convolution_1").compute_dtype == "float16"
    history = model.fit(pictures(), batch_size=16, epochs=4, verbose=0).history
    for values in history.values():
        assert np.isfinite(values).all()
    assert history["loss"][-1] < history["loss"][0]


def test_losses_are_divided_among_replicas(monkeypatch):
    optimizer = keras.optimizers.SGD()
    assert float(scale_loss(optimizer, tf.constant(6.0))) == 6.0

    class Three:
        num_replicas_in_sync = 3

    monkeypatch.setattr(tf.distribute, "get_strategy", Three)
    assert float(scale_loss(optimizer, tf.constant(6.0))) == 2.0


# ---- balance and divergence ----


def with_verdicts(model, real, made):
    """Set the discriminator to fixed logits for real images (white) and generated ones (gray)."""
    for weight in model.decoder.get_layer("logits").weights:
        weight.assign(tf.zeros_like(weight))
    both = tf.stack([tf.ones(SHAPE), tf.fill(SHAPE, 0.5)])
    for weight in model.discriminator.weights[:-2]:
        weight.assign(tf.abs(weight))
    model.discriminator.layers[-1].set_weights([np.full((64, 1), 1.0), np.zeros(1)])
    white, gray = model.discriminator(both)[1].numpy().ravel()
    slope = (real - made) / (white - gray)
    model.discriminator.layers[-1].set_weights(
        [np.full((64, 1), slope), np.array([made - slope * gray])]
    )


@pytest.mark.parametrize(
    ("real", "made", "winner"),
    [
        (0.0, 0.0, None),
        (3.0, -3.0, "discriminator"),
        (3.0, 0.0, None),  # 0.37: both cross-entropies must be outside the margin
        (4.0, -0.2, "discriminator"),
        (-2.0, 2.0, "decoder"),
        (-0.5, 0.5, None),
        (0.0, 3.0, "decoder"),
    ],
)
def test_winner_of_a_batch_depends_on_the_cross_entropies(real, made, winner):
    images = tf.ones((8, *SHAPE))
    model = built()
    with_verdicts(model, real, made)
    _, _, outputs = model._batch_losses(images, images, training=False)
    for name in ("discriminator", "decoder"):
        assert float(outputs[f"{name}_wins"]) == float(name == winner)
    never = built(equilibrium_margin=100.0)
    with_verdicts(never, real, made)
    _, _, outputs = never._batch_losses(images, images, training=False)
    assert float(outputs["discriminator_wins"]) == float(outputs["decoder_wins"]) == 0.0


@pytest.mark.parametrize("winner", ["discriminator", "decoder"])
def test_winner_of_a_batch_is_not_updated(winner):
    model = built({"optimizer": Recorder(0.1), "run_eagerly": True}, gamma=0.0)
    original = model._batch_losses

    def won(*arguments, **options):
        per_image, latent_loss, outputs = original(*arguments, **options)
        for name in ("discriminator", "decoder"):
            outputs[f"{name}_wins"] = tf.constant(float(name == winner))
        return per_image, latent_loss, outputs

    model._batch_losses = won
    model.train_step((tf.constant(pictures(16)),))
    num_encoder = len(model.encoder.trainable_variables)
    given = {
        "decoder": model.optimizer.given[num_encoder:],
        "discriminator": model.discriminator_optimizer.given,
    }
    for name, gradients in given.items():
        assert all(np.all(gradient == 0) == (name == winner) for gradient in gradients), name
    assert all(np.any(gradient != 0) for gradient in model.optimizer.given[:num_encoder])


def diverging(**compiled):
    """A model whose discriminator breaks in the first step."""
    broken = keras.optimizers.SGD(1e38)
    return built({"discriminator_optimizer": broken, **compiled}, equilibrium_margin=100.0)


def test_divergence_names_the_first_nonfinite_losses():
    model = diverging()
    with pytest.warns(UserWarning, match="stopped in epoch 1: .*feature_loss became") as caught:
        history = model.fit(pictures(), batch_size=16, epochs=3, verbose=0).history
    assert len(history["loss"]) == 1
    assert np.isfinite(history["loss"]).all()  # the pixel loss stays finite
    assert "reconstruction_loss" not in str(caught[0].message)
    for weight in (*model.encoder.weights, *model.decoder.weights):
        assert np.isfinite(weight.numpy()).all()


def test_diverged_run_error_names_the_loss(tmp_path):
    checkpoint = started(tmp_path / "run")
    # Raised before the end of the epoch, so before the model's own warning.
    with pytest.raises(Diverged, match="^(feature|adversarial|discriminator)_loss became"):
        diverging().fit(
            pictures(), batch_size=16, verbose=0, callbacks=[CheckpointCallback(checkpoint)]
        )


def test_dominant_discriminator_is_warned_about_once():
    model = built({"optimizer": keras.optimizers.SGD(0.0)})
    with_verdicts(model, real=3.0, made=-3.0)
    with pytest.warns(UserWarning, match="discriminator won 100% of the batches of epoch") as found:
        model.fit(np.ones((48, *SHAPE)), batch_size=16, epochs=3, verbose=0)
    found = [warning for warning in found if "discriminator won" in str(warning.message)]
    assert len(found) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gamma": -1}, "gamma must be a number >= 0; received -1"),
        ({"equilibrium_margin": "x"}, "equilibrium_margin must be .* received 'x'"),
        ({"feature_variance": 0}, "feature_variance must be .* received 0"),
        ({"discriminator_filters": 0}, "discriminator_filters must be .* received 0"),
        ({"discriminator_filters": ()}, "discriminator_filters must hold at least one number"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words) as error:
        built(**arguments)
    assert "\n" not in str(error.value)


def test_logits_beyond_the_limit_are_penalized():
    rebuilt, sampled = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
    rebuilt[0, 0, 0], rebuilt[1, 1, 1], sampled[0, 1, 2] = 11.0, 8.9, -12.0
    outputs = {"logits": tf.constant(rebuilt), "sampled_logits": tf.constant(sampled)}
    assert float(saturation(outputs)) == pytest.approx((2**2 + 3**2) / 4)
    model = built({"jit_compile": False})
    model.decoder.get_layer("logits").bias.assign(tf.fill(30, 20.0))
    model.fit(np.zeros((64, *SHAPE)), batch_size=16, epochs=20, verbose=0)
    assert model.decoder.get_layer("logits").bias.numpy().max() < 20
