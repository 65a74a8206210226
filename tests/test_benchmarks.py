"""The benchmarks: counted operations, PyTorch's networks and the name of the processor."""

import math
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from programs import ROOT

from keras_ae.variants import VARIANTS

sys.path.append(str(ROOT))  # `benchmarks` is not installed

from benchmarks.evaluation import comparison_table, medians
from benchmarks.operations import flatten, multiply_adds, operations_per_image
from benchmarks.products import BATCH, operations, products
from benchmarks.report import processor
from benchmarks.training import COMPARISONS, Goal


@pytest.fixture(scope="module")
def models():
    return {name: VARIANTS[name](seed=0) for name in COMPARISONS}


# ---- operations ----


def test_operations_of_deep_by_hand(models):
    forward = 784 * 341 + 341 * 113 + 113 * 20 + 20 * 113 + 113 * 341 + 341 * 784
    assert operations_per_image(models["deep"]) == 2 * (3 * forward - 784 * 341)


def test_measured_products_are_those_of_a_step_of_deep(models):
    assert sum(map(operations, products())) == BATCH * operations_per_image(models["deep"])
    for first, second, first_transposed, second_transposed in products():
        inner = first[0] if first_transposed else first[1]
        assert inner == (second[1] if second_transposed else second[0])


def test_operations_of_recurrent_by_hand(models):
    encoder = 28 * (28 * 400 + 100 * 400) + 28 * (100 * 120 + 30 * 120)
    decoder = 28 * (30 * 400 + 100 * 400) + 28 * 100 * 28
    expected = 2 * (3 * (encoder + decoder) - 28 * 28 * 400)
    assert operations_per_image(models["recurrent"]) == expected


def test_operations_of_conv_vq_vae_include_one_search(models):
    # Each side without the padding: of 14 times 4 products, the first and the last row lose one.
    strides = 54**2 * 32 + 26**2 * 32 * 64
    residual = 19**2 * 64 * 32 + 7**2 * 32 * 64
    encoder = strides + residual + 7**2 * 64 * 16
    decoder = 19**2 * 16 * 64 + residual + strides
    expected = 2 * (3 * (encoder + decoder) - 54**2 * 32 + 49 * 64 * 16)
    assert operations_per_image(models["conv_vq_vae"]) == expected


@pytest.mark.parametrize("name", ["deep", "convolutional", "conv_vae", "conv_vq_vae"])
def test_multiply_adds_of_a_layer_are_what_it_sums_of_ones(name, models):
    """With all inputs and weights 1, the sum of a layer's outputs counts its products."""
    model = models[name]
    layers = [layer for net in (model.encoder, model.decoder) for layer in flatten(net)]
    layers = [layer for layer in layers if hasattr(layer, "kernel")]
    assert len(layers) >= 6
    for layer in layers:
        clone = type(layer).from_config(layer.get_config() | {"use_bias": False})
        shape = (1, *layer.get_build_config()["input_shape"][1:])
        clone.build(shape)
        clone.set_weights([np.ones(clone.kernel.shape)])
        assert multiply_adds(layer) == np.sum(clone(np.ones(shape, np.float32)), dtype=np.float64)


def products_of_graph(model) -> tuple[int, int]:
    """Multiply-adds of the matrix products, and the number of convolutions, in a traced step."""

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            per_image, latent_loss, _ = model._batch_losses(images, images, training=True)
            loss = tf.reduce_mean(per_image) + latent_loss
        return tape.gradient(loss, model.trainable_variables)

    graph = step.get_concrete_function(tf.TensorSpec((1, 28, 28))).graph
    matrix_products = num_convolutions = 0
    for operation in graph.get_operations():
        if operation.type == "MatMul":
            rows, columns = operation.inputs[0].shape
            inner = rows if operation.get_attr("transpose_a") else columns
            matrix_products += inner * math.prod(operation.outputs[0].shape)
        # The gradient of the images is traced too; nothing uses it, so TensorFlow removes it.
        is_used = any(output.consumers() for output in operation.outputs)
        num_convolutions += operation.type.startswith("Conv2D") and is_used
    return matrix_products, num_convolutions


@pytest.mark.parametrize("name", ["deep", "vae", "iwae"])
def test_operations_are_the_products_of_a_traced_step(name, models):
    assert products_of_graph(models[name]) == (operations_per_image(models[name]) / 2, 0)


def test_a_convolution_is_needed_three_times_and_the_first_one_twice(models):
    assert products_of_graph(models["convolutional"]) == (0, 3 * 6 - 1)


def test_unknown_layers_are_refused():
    layer = keras.layers.SeparableConv2D(4, 3)
    layer.build((None, 8, 8, 2))
    with pytest.raises(TypeError, match="SeparableConv2D"):
        multiply_adds(layer)


# ---- PyTorch's networks ----


@pytest.mark.parametrize("name", COMPARISONS)
def test_pytorch_has_the_same_loss_and_gradients(name):
    pytest.importorskip("torch")
    from benchmarks.same_nets import assert_same_network

    assert_same_network(name)


def test_another_loss_is_told_apart(monkeypatch):
    pytest.importorskip("torch")
    from benchmarks import same_nets, torch_nets

    class WithoutDivergence(torch_nets.VAE):
        def loss(self, batch, noise):
            mean, log_var = self.encoder(batch).chunk(2, dim=1)
            return torch_nets.nats(self.decoder(mean + (0.5 * log_var).exp() * noise), batch)

    monkeypatch.setitem(same_nets.NETS, "vae", WithoutDivergence)
    with pytest.raises(AssertionError, match="vae: a loss of"):
        same_nets.assert_same_network("vae")


def test_other_gradients_are_told_apart(monkeypatch):
    pytest.importorskip("torch")
    from benchmarks import same_nets, torch_nets

    class WithoutGradientOfVariance(torch_nets.VAE):
        def loss(self, batch, noise):
            mean, log_var = self.encoder(batch).chunk(2, dim=1)
            latents = mean + (0.5 * log_var.detach()).exp() * noise
            bce = torch_nets.nats(self.decoder(latents), batch)
            return bce + torch_nets.kl_divergence(mean, log_var)

    monkeypatch.setitem(same_nets.NETS, "vae", WithoutGradientOfVariance)
    with pytest.raises(AssertionError, match="vae: the gradients differ"):
        same_nets.assert_same_network("vae")


# ---- the page ----

XEON = """\
processor\t: 0
model name\t: Some(R) Processor 8480 CPU @ 2.00GHz
flags\t\t: fpu sse2 fma avx2 avx512f amx_tile

processor\t: 1
model name\t: Some(R) Processor 8480 CPU @ 2.00GHz
flags\t\t: fpu sse2 fma avx2 avx512f amx_tile
"""


def test_processor_has_its_model_and_vector_extensions():
    assert processor(XEON) == "Some(R) Processor 8480 CPU @ 2.00GHz with AVX2, AVX-512, AMX"
    assert processor(XEON.replace("avx512f amx_tile", "")).endswith("GHz with AVX2")
    assert processor("Features\t: fp asimd sve\n").endswith(" with NEON, SVE")
    assert processor("") != ""


def test_goals_say_where_they_are_missed():
    assert Goal(1.8).judge(1.8) == "at least 1.8"
    assert Goal(1.8).judge(1.79) == "at least 1.8 (missed)"
    assert Goal(high=1.25).judge(1.3) == "at most 1.25 (missed)"
    assert Goal(0.95, 1.05).judge(1.0) == "0.95 to 1.05"
    assert Goal(0.95, 1.05).judge(1.06) == "0.95 to 1.05 (missed)"


# ---- evaluation ----


def test_evaluation_table_has_medians_and_ratios():
    new = medians([{"sampling": [cpu, 2 * cpu]} for cpu in (9.0, 2.0, 4.0)])
    assert new == {"sampling": [4.0, 8.0]}
    assert "| sampling | 4.0 | 8.0 |" in comparison_table(new, None)
    row = comparison_table(new, {"sampling": [10.0, 12.0]}).splitlines()[-1]
    assert row == "| sampling | 10.0 | 4.0 | 2.50 | 12.0 | 8.0 |"
