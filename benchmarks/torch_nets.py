"""The networks of the variants in PyTorch: same layers, same parameters, same loss.

`benchmarks.same_nets` verifies that: with copied weights, loss and gradients are those of the
variants. Images are `(batch, 784)` for dense nets, `(batch, 28, 28)` for the recurrent one and
`(batch, 1, 28, 28)` for convolutions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN_UNITS = (341, 113)
LATENT_DIM = 20
FILTERS = (16, 32, 64)
SIDE = 28


class Net(nn.Module):
    """An autoencoder: `encoder`, `decoder` and the loss of a batch."""

    image_shape: tuple[int, ...] = (SIDE * SIDE,)
    num_noise: int = 0
    """How many standard normal numbers the loss of an image needs."""

    encoder: nn.Module
    decoder: nn.Module

    def loss(self, batch: Tensor, noise: Tensor) -> Tensor:
        """The loss in nats/image, a scalar.

        Args:
            batch: Images in [0, 1], `(batch, *image_shape)`.
            noise: Standard normal numbers, `(batch, num_noise)`.
        """
        return nats(self.decoder(self.encoder(batch)), batch)


def nats(logits: Tensor, batch: Tensor) -> Tensor:
    """Binary cross-entropy in nats/image."""
    bce = functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
    return bce / len(batch)


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_var)) from N(0, I), in nats/image."""
    return 0.5 * (mean.square() + log_var.expm1() - log_var).sum() / len(mean)


# ---- dense ----


def dense_block(inputs: int, units: int) -> list[nn.Module]:
    """Dense layer, batch normalization with the settings of Keras, ReLU."""
    norm = nn.BatchNorm1d(units, eps=1e-3, momentum=0.01)
    return [nn.Linear(inputs, units, bias=False), norm, nn.ReLU()]


class Deep(Net):
    """Dense autoencoder, 784-341-113-20 and back."""

    def __init__(self, num_pixels: int = SIDE * SIDE, code_units: int = LATENT_DIM):
        super().__init__()
        outer, inner = HIDDEN_UNITS
        self.encoder = nn.Sequential(
            *dense_block(num_pixels, outer),
            *dense_block(outer, inner),
            nn.Linear(inner, code_units),
        )
        self.decoder = nn.Sequential(
            *dense_block(LATENT_DIM, inner),
            *dense_block(inner, outer),
            nn.Linear(outer, num_pixels),
        )


class VAE(Deep):
    """Dense variational autoencoder."""

    num_noise = LATENT_DIM

    def __init__(self):
        super().__init__(code_units=2 * LATENT_DIM)

    def loss(self, batch: Tensor, noise: Tensor) -> Tensor:
        mean, log_var = self.encoder(batch).chunk(2, dim=1)
        latents = mean + torch.exp(0.5 * log_var) * noise
        return nats(self.decoder(latents), batch) + kl_divergence(mean, log_var)


class IWAE(VAE):
    """Importance-weighted autoencoder with 5 samples of each image."""

    num_samples = 5
    num_noise = num_samples * LATENT_DIM

    def loss(self, batch: Tensor, noise: Tensor) -> Tensor:
        mean, log_var = self.encoder(batch).chunk(2, dim=1)
        # Like the variant: the samples of one image are a batch apart.
        noise = noise.view(self.num_samples, len(batch), LATENT_DIM)
        latents = mean + torch.exp(0.5 * log_var) * noise
        logits = self.decoder(latents.view(-1, LATENT_DIM)).view(self.num_samples, *batch.shape)
        bce = functional.binary_cross_entropy_with_logits(
            logits, batch.expand_as(logits), reduction="none"
        )
        log_ratio = 0.5 * (latents.square() - noise.square() - log_var).sum(2)
        log_weights = -bce.sum(2) - log_ratio
        return (math.log(self.num_samples) - log_weights.logsumexp(0)).mean()


# ---- convolutions ----


def pooling_encoder() -> list[nn.Module]:
    """3x3 convolutions with max pooling: 28, 14, 7 and 3 pixels."""
    layers: list[nn.Module] = []
    for inputs, filters in zip((1, *FILTERS[:-1]), FILTERS, strict=True):
        layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return layers


def transposed_decoder() -> list[nn.Module]:
    """Transposed 3x3 convolutions: 3, 7, 14 and 28 pixels.

    The variant crops the last of 15 and of 29 rows and columns. Here the padding crops the first:
    the same network for mirrored images, and 5 to 10% faster.
    """
    outer, inner, last = FILTERS
    crop = {"padding": 1, "output_padding": 1}
    return [
        *(nn.ConvTranspose2d(last, inner, 3, stride=2), nn.ReLU()),
        *(nn.ConvTranspose2d(inner, outer, 3, stride=2, **crop), nn.ReLU()),
        nn.ConvTranspose2d(outer, 1, 3, stride=2, **crop),
    ]


class Convolutional(Net):
    """Convolutional autoencoder with a 3x3x64 code."""

    image_shape = (1, SIDE, SIDE)

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(*pooling_encoder())
        self.decoder = nn.Sequential(*transposed_decoder())


class ConvVAE(Net):
    """Convolutional variational autoencoder with 576 latent units."""

    image_shape = (1, SIDE, SIDE)
    num_noise = 576

    def __init__(self):
        super().__init__()
        size = 3 * 3 * FILTERS[-1]
        self.encoder = nn.Sequential(
            *pooling_encoder(), nn.Flatten(), nn.Linear(size, 2 * self.num_noise)
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.num_noise, size),
            nn.ReLU(),
            nn.Unflatten(1, (FILTERS[-1], 3, 3)),
            *transposed_decoder(),
        )

    def loss(self, batch: Tensor, noise: Tensor) -> Tensor:
        mean, log_var = self.encoder(batch).chunk(2, dim=1)
        latents = mean + torch.exp(0.5 * log_var) * noise
        return nats(self.decoder(latents), batch) + kl_divergence(mean, log_var)


class Residual(nn.Module):
    """Adds a 3x3 convolution to half the channels and a 1x1 convolution back."""

    def __init__(self, channels: int):
        super().__init__()
        self.block = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels // 2, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.block(maps)


class ConvVQVAE(Net):
    """Convolutional VQ-VAE: 7x7 codes of 64 vectors, which follow moving averages."""

    image_shape = (1, SIDE, SIDE)
    num_embeddings = 64
    width = 16
    commitment_cost = 0.25
    decay = 0.99
    revive_after = 100
    smoothing = 1e-5
    floor = 0.01  # a vector with fewer inputs per step is not moved

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.ReLU()),
            *(Residual(64), nn.ReLU(), nn.Conv2d(64, self.width, 1)),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv2d(self.width, 64, 3, padding=1), Residual(64), nn.ReLU()),
            *(nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.ReLU()),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
        )
        limit = 1 / self.num_embeddings
        embeddings = torch.empty(self.num_embeddings, self.width).uniform_(-limit, limit)
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("sums", embeddings.clone())
        self.register_buffer("counts", torch.ones(self.num_embeddings))
        self.register_buffer("idle_steps", torch.zeros(self.num_embeddings))

    def loss(self, batch: Tensor, noise: Tensor) -> Tensor:
        encoded = self.encoder(batch).permute(0, 2, 3, 1)
        vectors = encoded.reshape(-1, self.width)
        fixed = vectors.detach()
        squares = self.embeddings.square().sum(1)
        nearest = torch.addmm(squares, fixed, self.embeddings.T, alpha=-2).argmin(1)
        quantized = self.embeddings[nearest]
        commitment = (vectors - quantized).square().sum() / len(batch)
        latents = (vectors + (quantized - fixed)).view_as(encoded).permute(0, 3, 1, 2)
        loss = nats(self.decoder(latents), batch) + self.commitment_cost * commitment
        with torch.no_grad():
            self._update(fixed, nearest)
        return loss

    def _update(self, vectors: Tensor, nearest: Tensor) -> None:
        chosen = functional.one_hot(nearest, self.num_embeddings).to(vectors.dtype)
        counts = chosen.sum(0)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(chosen.T @ vectors, 1 - self.decay)
        total = self.counts.sum()
        smoothed = self.counts + self.smoothing
        smoothed = smoothed / (total + self.num_embeddings * self.smoothing) * total
        used = (self.counts > self.floor)[:, None]
        moved = torch.where(used, self.sums / smoothed[:, None], self.embeddings)
        idle_steps = torch.where(counts > 0, 0.0, self.idle_steps + 1)
        dead = idle_steps >= self.revive_after
        new = vectors[torch.randint(len(vectors), (self.num_embeddings,))]
        self.idle_steps.copy_(torch.where(dead, 0.0, idle_steps))
        self.embeddings.copy_(torch.where(dead[:, None], new, moved))
        self.counts.copy_(torch.where(dead, 1.0, self.counts))
        self.sums.copy_(torch.where(dead[:, None], new, self.sums))


# ---- recurrent ----


class Recurrent(Net):
    """Recurrent autoencoder: LSTMs over the rows of an image."""

    image_shape = (SIDE, SIDE)
    units = 100
    latent_dim = 30

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([lstm(SIDE, self.units), lstm(self.units, self.latent_dim)])
        self.decoder = nn.ModuleList(
            [lstm(self.latent_dim, self.units), nn.Linear(self.units, SIDE)]
        )

    def loss(self, batch: Tensor, noise: Tensor) -> Tensor:
        hidden, code = self.encoder
        states, output = self.decoder
        latents = code(hidden(batch)[0])[0][:, -1]
        repeated = latents[:, None].expand(-1, SIDE, -1)
        return nats(output(states(repeated)[0]), batch)


def lstm(inputs: int, units: int) -> nn.LSTM:
    """An LSTM with one trainable bias, as in Keras: PyTorch adds two."""
    layer = nn.LSTM(inputs, units, batch_first=True)
    nn.init.zeros_(layer.bias_hh_l0)
    layer.bias_hh_l0.requires_grad_(False)
    return layer


NETS: dict[str, type[Net]] = {
    "deep": Deep,
    "vae": VAE,
    "iwae": IWAE,
    "convolutional": Convolutional,
    "conv_vae": ConvVAE,
    "conv_vq_vae": ConvVQVAE,
    "recurrent": Recurrent,
}


def num_parameters(net: Net) -> int:
    """The number of trained parameters."""
    return sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
