"""Distributions fitted to the codes of trained models, so that every variant can be sampled."""

from __future__ import annotations

import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_ae.evaluation.comparisons.common import flat
from keras_ae.evaluation.comparisons.reference_classifier import batch_size, shuffled_batches
from keras_ae.layers import CodebookQuantizer, VectorQuantizer

MOST_CODES = 20_000  # of a mixture; more cost time and change nothing to see
NUM_GAUSSIANS = 10
MOST_DIMS = 64  # of a mixture with full covariances; of more, the first principal components
NUM_BERNOULLIS = 50
BINARY_STEPS = 100
REGULARIZATION = 1e-4  # added to the variances of standardised codes
EPOCHS = 12  # more gain 0.4 nats of 93 on MNIST, and cost 6 on 1,400 codes
HIDDEN_UNITS = (256, 256)
NUM_LOGISTICS = 8
FAR = 1e3  # the outer edge of the outermost cells, in standard deviations


def fit_prior(model, images: np.ndarray, *, seed: int) -> SnappedPrior | CodePrior | BinaryPrior:
    """A distribution of the model's codes, fitted to those of `images`.

    Of codes that are 0 or 1 a mixture of Bernoullis, and where the bottleneck is a
    `VectorQuantizer` an autoregressive one over the codes' indices. Else a mixture of Gaussians
    whose samples are snapped to what the decoder knows: vectors of a shared codebook, a one-hot
    label behind the code. A mixture is fitted to at most 20,000 codes.

    Args:
        model: An autoencoder: `encode`, and `bottleneck` where it has one.
        images: Training images, at least 2.
        seed: Of the choice of codes and of the fit.

    Returns:
        What has `sample(num, seed)`: latents `(num, *code_shape)`, float32.
    """
    bottleneck = getattr(model, "bottleneck", None)
    if isinstance(bottleneck, VectorQuantizer):
        embeddings = keras.ops.convert_to_numpy(bottleneck.embeddings)
        return CodePrior(embeddings, model.encode(images), seed=seed)
    if len(images) > MOST_CODES:
        chosen = np.random.default_rng(seed).choice(len(images), MOST_CODES, replace=False)
        images = images[np.sort(chosen)]
    codes = np.asarray(model.encode(images))
    if np.isin(codes, (0.0, 1.0)).all():
        return BinaryPrior(codes, seed=seed)
    return SnappedPrior(model, MixturePrior(codes, seed=seed))


class SnappedPrior:
    """Samples of a continuous distribution, each moved to the nearest code that the model has."""

    def __init__(self, model, prior: MixturePrior):
        self.model = model
        self.prior = prior

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, *code_shape)`, float32."""
        latents = self.prior.sample(num, seed)
        if isinstance(getattr(self.model, "bottleneck", None), CodebookQuantizer):
            return np.asarray(self.model.bottleneck(latents, training=False))
        if getattr(self.model, "needs_labels", False):
            labels = latents[:, self.model.latent_dim :]
            labels[:] = np.eye(labels.shape[1])[labels.argmax(axis=1)]
        return latents


class MixturePrior:
    """A mixture of Gaussians with full covariances, fitted by EM to standardised codes.

    Samples are clipped to the range of the fitted codes in each dimension, since sigmoid and ReLU
    codes have bounds that a Gaussian does not know. A dimension that never changes stays as it is.
    Of codes of more than 64 dimensions the mixture is one of their first 64 principal components,
    for covariances of all would cost minutes and ask for more codes than there are. The other
    components stay at their mean.

    Args:
        latents: `(N, *code_shape)`, N >= 2; a code of higher rank is flattened and reshaped.
        seed: Of the start of EM.
        num_components: At most this many: ten codes for each component and dimension are asked for.
    """

    def __init__(self, latents: np.ndarray, *, seed: int, num_components: int = NUM_GAUSSIANS):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        self.code_shape = latents.shape[1:]
        codes = flat(np.asarray(latents, dtype=np.float64))
        self.low, self.high = codes.min(axis=0), codes.max(axis=0)
        self.mean, self.scale = codes.mean(axis=0), codes.std(axis=0)
        codes = (codes - self.mean) / np.where(self.scale > 0, self.scale, 1.0)
        self.axes = principal_axes(codes, seed)
        codes = codes if self.axes is None else codes @ self.axes.T
        carried = len(np.unique(codes, axis=0)) // (10 * codes.shape[1])
        self.mixture = GaussianMixture(
            max(1, min(num_components, carried)),
            reg_covar=REGULARIZATION,
            max_iter=200,
            random_state=seed % 2**32,
        )
        # On matrices this small, threads wait for one another: one is up to 15 times as fast.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.mixture.fit(codes)

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, *code_shape)`, float32, in random order."""
        self.mixture.random_state = seed % 2**32
        codes, _ = self.mixture.sample(num)  # component by component
        codes = codes if self.axes is None else codes @ self.axes
        codes = np.random.default_rng(seed).permutation(codes) * self.scale + self.mean
        codes = np.clip(codes, self.low, self.high)
        return codes.reshape(num, *self.code_shape).astype(np.float32)


def principal_axes(codes: np.ndarray, seed: int) -> np.ndarray | None:
    """The first 64 of centred codes `(N, D)`, `(64, D)`; None where there are no more than that."""
    from sklearn.decomposition import PCA

    if codes.shape[1] <= MOST_DIMS:
        return None
    number = min(MOST_DIMS, len(codes))
    return PCA(number, svd_solver="randomized", random_state=seed % 2**32).fit(codes).components_


class BinaryPrior:
    """A mixture of independent Bernoullis, fitted by EM (Bishop, "Pattern Recognition", 9.3.3).

    Args:
        latents: Codes of zeros and ones, `(N, *code_shape)`.
        seed: Of the start of EM.
        num_components: At most this many: ten codes for each component and dimension are asked for.
    """

    def __init__(self, latents: np.ndarray, *, seed: int, num_components: int = NUM_BERNOULLIS):
        self.code_shape = latents.shape[1:]
        codes = flat(np.asarray(latents, dtype=np.float64))
        self.uniform = float(codes.shape[1] * math.log(2.0))
        number = max(1, min(num_components, len(codes) // (10 * codes.shape[1])))
        chosen = np.random.default_rng(seed).choice(len(codes), number, replace=False)
        self.weights = np.full(number, 1.0 / number)
        self.means = 0.25 + 0.5 * codes[chosen]
        for _ in range(BINARY_STEPS):
            self._step(codes)

    def _step(self, codes: np.ndarray) -> None:
        """A step of EM; half a code of each kind more, so that no bit is certain."""
        joint = self._joint(codes)
        shares = np.exp(joint - log_sum_exp(joint))
        counts = shares.sum(axis=0)
        self.weights = (counts + 1.0) / (counts + 1.0).sum()
        self.means = (shares.T @ codes + 0.5) / (counts[:, None] + 1.0)

    def _joint(self, codes: np.ndarray) -> np.ndarray:
        """log p(code, component), `(N, num_components)`."""
        ones, zeros = np.log(self.means), np.log1p(-self.means)
        return codes @ ones.T + (1.0 - codes) @ zeros.T + np.log(self.weights)

    def negative_log_likelihood(self, latents: np.ndarray) -> np.ndarray:
        """-log p of each code in nats, `(N,)`; `uniform` is that of chance."""
        return -log_sum_exp(self._joint(flat(latents)))[:, 0]

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, *code_shape)`, float32, of zeros and ones."""
        random = np.random.default_rng(seed)
        means = self.means[random.choice(len(self.weights), num, p=self.weights)]
        codes = random.random(means.shape) < means
        return codes.reshape(num, *self.code_shape).astype(np.float32)


def log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Over the second axis, `(N, 1)`."""
    from scipy.special import logsumexp

    return logsumexp(values, axis=1, keepdims=True)


class CodePrior:
    """An autoregressive distribution over the indices of scalar codebooks, one a dimension.

    p(indices) is the product over dimensions of p(index | the scalars of the dimensions before).
    Each factor is a mixture of logistics, integrated over the cell of numbers that snap to a
    scalar (Salimans et al., PixelCNN++, arXiv 1701.05517, eq. 2, with the codebook's cells in
    place of pixel values): neighbouring scalars share what is learned, and every cell's
    probability is exact. One masked network gives the parameters of all factors (Germain et al.,
    MADE, arXiv 1502.03509, section 4).

    Args:
        embeddings: The codebooks, `(latent_dim, num_embeddings)`.
        latents: Codes to fit, `(N, latent_dim)`, each a scalar of its codebook.
        seed: Of the initial weights and the order of the codes.
    """

    def __init__(self, embeddings: np.ndarray, latents: np.ndarray, *, seed: int):
        latents = np.asarray(latents, dtype=np.float64)
        self.mean, scale = latents.mean(axis=0), latents.std(axis=0)
        self.scale = np.where(scale > 0, scale, 1.0)
        self.codebooks = [np.unique(np.asarray(scalars, np.float64)) for scalars in embeddings]
        self.borders = [(scalars[1:] + scalars[:-1]) / 2 for scalars in self.codebooks]
        self.uniform = float(embeddings.shape[0] * math.log(embeddings.shape[1]))
        self.network = masked_network(latents.shape[1], seed)
        self._fit(latents, seed)

    def _fit(self, latents: np.ndarray, seed: int) -> None:
        size = batch_size(len(latents))
        steps = EPOCHS * (len(latents) // size)
        self.network.compile(
            optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
            loss=lambda cells, parameters: -tf.reduce_sum(log_mass(cells, parameters), axis=-1),
        )
        inputs, cells = self._standardized(latents), self._cells(latents)
        self.network.fit(
            shuffled_batches(inputs, cells, size, steps, seed=seed), shuffle=False, verbose=0
        )

    def negative_log_likelihood(self, latents: np.ndarray) -> np.ndarray:
        """-log p of each code `(N, latent_dim)` in nats, `(N,)`; `uniform` is that of chance."""
        latents = np.asarray(latents, dtype=np.float64)
        parameters = self.network(self._standardized(latents))
        return -tf.reduce_sum(log_mass(self._cells(latents), parameters), axis=-1).numpy()

    def sample(self, num: int, seed: int) -> np.ndarray:
        """Latents `(num, latent_dim)`, float32, every one of them a scalar of its codebook."""
        random = np.random.default_rng(seed)
        latents = np.tile(self.mean, (num, 1))
        for place, codebook in enumerate(self.codebooks):
            parameters = self.network(self._standardized(latents)).numpy()[:, place]
            number = draw_logistics(parameters.astype(np.float64), random)
            number = number * self.scale[place] + self.mean[place]
            latents[:, place] = codebook[np.searchsorted(self.borders[place], number)]
        return latents.astype(np.float32)

    def _standardized(self, latents: np.ndarray) -> np.ndarray:
        return ((latents - self.mean) / self.scale).astype(np.float32)

    def _cells(self, latents: np.ndarray) -> np.ndarray:
        """Lower edge, upper edge and width of each coordinate's cell: `(N, latent_dim, 1, 3)`."""
        cells = np.empty((*latents.shape, 1, 3), dtype=np.float32)
        for place, borders in enumerate(self.borders):
            edges = (borders - self.mean[place]) / self.scale[place]
            edges = np.concatenate([[-FAR], edges, [FAR]])
            index = np.searchsorted(borders, latents[:, place])
            lower, upper = edges[index], edges[index + 1]
            # The width apart: in float32 the difference of near edges would have no digits left.
            cells[:, place, 0] = np.stack([lower, upper, upper - lower], axis=-1)
        return cells


def log_mass(cells, parameters) -> tf.Tensor:
    """The logarithm of what a mixture of logistics puts between two edges.

    Args:
        cells: Lower edge, upper edge and width, `(..., 1, 3)`.
        parameters: Logit of the weight, mean and logarithm of the scale of each component,
            `(..., num_components, 3)`.

    Returns:
        Shape `(...)`, in nats, never positive.
    """
    lower, upper, width = tf.unstack(tf.convert_to_tensor(cells), axis=-1)
    logits, means, inverse_scales = split_parameters(parameters)
    # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), with no cancellation.
    masses = (
        tf.math.log_sigmoid((upper - means) * inverse_scales)
        + tf.math.log_sigmoid((means - lower) * inverse_scales)
        + tf.math.log(-tf.math.expm1(-width * inverse_scales))
    )
    return tf.reduce_logsumexp(tf.nn.log_softmax(logits) + masses, axis=-1)


def draw_logistics(parameters: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A number from each mixture `(num, num_components, 3)`: `(num,)`."""
    logits, means, inverse_scales = (part.numpy() for part in split_parameters(parameters))
    component = np.argmax(logits + random.gumbel(size=logits.shape), axis=-1)
    chosen = np.arange(len(component)), component
    return means[chosen] + random.logistic(size=len(component)) / inverse_scales[chosen]


def split_parameters(parameters) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Logits, means and inverse scales, from what a network gives."""
    logits, means, log_scales = tf.unstack(tf.convert_to_tensor(parameters), axis=-1)
    return logits, means, tf.exp(-tf.clip_by_value(log_scales, -7.0, 3.0))


def masked_network(num_dims: int, seed: int) -> keras.Model:
    """Standardised scalars `(batch, num_dims)` to `(batch, num_dims, NUM_LOGISTICS, 3)`.

    What comes out for a dimension depends on the dimensions before it alone (MADE, eq. 8 and 9).
    """
    degrees = np.arange(1, num_dims + 1)
    layers = [keras.layers.Input((num_dims,))]
    before = degrees
    for number, units in enumerate(HIDDEN_UNITS):
        after = 1 + np.arange(units) % max(1, num_dims - 1)
        mask = after >= before[:, None]
        layers.append(MaskedDense(mask, seed=seed + number, activation="relu"))
        before = after
    outputs = np.repeat(degrees, 3 * NUM_LOGISTICS)
    last = MaskedDense(outputs > before[:, None], seed=seed + len(HIDDEN_UNITS))
    layers += [last, keras.layers.Reshape((num_dims, NUM_LOGISTICS, 3))]
    network = keras.Sequential(layers, name="code_prior")
    # Components that start as one would stay one.
    start = np.zeros((num_dims, NUM_LOGISTICS, 3))
    start[:, :, 1] = np.linspace(-1.5, 1.5, NUM_LOGISTICS)
    start[:, :, 2] = -1.0
    last.bias.assign(start.reshape(-1))
    return network


class MaskedDense(keras.layers.Dense):
    """A dense layer with only the connections that `connected`, `(inputs, units)`, allows."""

    def __init__(self, connected: np.ndarray, *, seed: int, **kwargs):
        initializer = keras.initializers.GlorotUniform(seed)
        super().__init__(connected.shape[1], kernel_initializer=initializer, **kwargs)
        self.connected = connected.astype(np.float32)

    def call(self, inputs, training=None):
        return self.activation(tf.matmul(inputs, self.kernel * self.connected) + self.bias)
