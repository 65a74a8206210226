"""Verify that a network of `torch_nets` is that of a variant.

With the weights of the variant, the same images and the same noise, loss and gradients are the
same. The gradients are compared by their norms, which do not depend on the layout of a weight.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
import torch
from torch import nn

from benchmarks.operations import flatten
from benchmarks.torch_nets import FILTERS, NETS, num_parameters
from keras_ae.variants import VARIANTS

MAX_ERROR_LOSS = 1e-5  # relative
MAX_ERROR_GRADIENT = 1e-3  # relative to the largest; sums in another order gave 2e-4


class Mirror(nn.Module):
    """Images upside down and left to right."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.flip(2, 3)


def assert_same_network(name: str, num_images: int = 32) -> None:
    """Compare the variant `name` with the network of PyTorch, on random images.

    Raises:
        AssertionError: the parameters, the loss or the gradients differ.
    """
    random = np.random.default_rng(0)
    net = NETS[name]()
    model = VARIANTS[name](seed=0)
    batch = random.random((num_images, 28, 28), dtype=np.float32)
    noise = random.standard_normal((num_images, net.num_noise), dtype=np.float32)
    for variable in model.trainable_variables:  # so that no bias is 0
        variable.assign_add(0.05 * random.standard_normal(variable.shape))
    copy_weights(model, net)
    ours = loss_and_gradients(model, batch, noise)
    theirs = torch_loss_and_gradients(net, batch, noise)
    num_ours = sum(variable.numpy().size for variable in model.trainable_variables)
    if num_parameters(net) != num_ours:
        raise AssertionError(f"{name}: {num_parameters(net)} parameters instead of {num_ours}")
    if not np.isclose(theirs[0], ours[0], rtol=MAX_ERROR_LOSS, atol=0):
        raise AssertionError(f"{name}: a loss of {theirs[0]:.6f} instead of {ours[0]:.6f}")
    error = np.abs(np.subtract(theirs[1], ours[1])).max() / max(ours[1])
    if not error < MAX_ERROR_GRADIENT:
        raise AssertionError(f"{name}: the gradients differ by {error:.1e}")


def loss_and_gradients(model, batch: np.ndarray, noise: np.ndarray) -> tuple[float, list[float]]:
    """The loss of a training step with given noise, and the norms of the gradients."""

    def draw(shape, seed, bits):
        return tf.reshape(tf.constant(noise), shape)

    with (
        mock.patch("keras_ae.layers.sampling.standard_normal", draw),
        tf.GradientTape() as tape,
    ):
        per_image, latent_loss, _ = model._batch_losses(batch, batch, training=True)
        loss = tf.reduce_mean(per_image) + latent_loss
    gradients = tape.gradient(loss, model.trainable_variables)
    return float(loss), [float(tf.norm(gradient)) for gradient in gradients]


def torch_loss_and_gradients(
    net: nn.Module, batch: np.ndarray, noise: np.ndarray
) -> tuple[float, list[float]]:
    images = torch.from_numpy(batch.reshape(-1, *net.image_shape))
    first = [isinstance(layer, nn.ConvTranspose2d) for layer in net.decoder]
    if any(first):
        # Kernels of transposed convolutions are copied mirrored; their feature maps follow.
        images = images.flip(2, 3)
        net.encoder.insert(0, Mirror())
        net.decoder.insert(first.index(True), Mirror())
    loss = net.loss(images, torch.from_numpy(noise))
    loss.backward()
    norms = [weight.grad.norm().item() for weight in net.parameters() if weight.requires_grad]
    return loss.item(), norms


def copy_weights(model, net: nn.Module) -> None:
    """Copy the weights of a variant to the network of PyTorch, layer by layer."""
    layers = [*flatten(model.encoder), *flatten(model.decoder)]
    sources = iter([layer for layer in layers if layer.weights])
    linear, from_map = None, False
    with torch.no_grad():
        for target in net.modules():
            if isinstance(target, nn.Flatten):
                from_map = True
            elif isinstance(target, nn.Unflatten):
                linear.weight.copy_(channels_first(linear.weight))
                linear.bias.copy_(channels_first(linear.bias))
            elif isinstance(target, nn.Linear):
                copy_dense(next(sources), target, from_map)
                linear, from_map = target, False
            elif isinstance(target, (nn.Conv2d, nn.ConvTranspose2d)):
                kernel, bias = tensors(next(sources))
                if isinstance(target, nn.ConvTranspose2d):
                    kernel = kernel.flip(0, 1)
                target.weight.copy_(kernel.permute(3, 2, 0, 1))
                target.bias.copy_(bias)
            elif isinstance(target, nn.BatchNorm1d):
                target.weight.copy_(tensors(source := next(sources))[0])
                target.bias.copy_(tensors(source)[1])
            elif isinstance(target, nn.LSTM):
                kernel, recurrent_kernel, bias = tensors(next(sources))
                target.weight_ih_l0.copy_(kernel.T)
                target.weight_hh_l0.copy_(recurrent_kernel.T)
                target.bias_ih_l0.copy_(bias)
        if hasattr(net, "embeddings"):
            net.embeddings.copy_(torch.from_numpy(np.array(model.bottleneck.embeddings)))
    if (left := next(sources, None)) is not None:
        raise AssertionError(f"PyTorch's network has no layer for {left.name}")


def copy_dense(source: Any, target: nn.Linear, from_map: bool) -> None:
    kernel, *bias = tensors(source)
    target.weight.copy_((channels_first(kernel) if from_map else kernel).T)
    if bias:
        target.bias.copy_(bias[0])


def channels_first(rows: torch.Tensor) -> torch.Tensor:
    """Rows for the units of a flattened feature map, from (height, width, channels)."""
    return rows.reshape(-1, FILTERS[-1], *rows.shape[1:]).transpose(0, 1).flatten(0, 1)


def tensors(layer: Any) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(weight)) for weight in layer.weights]
