"""Interpolation, arithmetic and traversal in the latent space of a trained autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_ae.checks import check_flag, check_images, check_number, check_size
from keras_ae.training.trainer import EpochTrainer

if TYPE_CHECKING:
    Base = EpochTrainer
else:
    Base = object

PRIOR_RANGE = (-3.0, 3.0)  # default ends of a traversal: nearly all of the mass of N(0, I)


class LatentTools(Base):
    """Mixin: interpolation, arithmetic and traversal in latent space."""

    _is_gaussian = False  # whether the code is Gaussian with the prior N(0, I)

    if TYPE_CHECKING:
        latent_dim: int
        bottleneck: Any
        encode: Any
        decode: Any
        code_shape: tuple[int, ...]
        _in_batches: Any
        _encoded: Any

    def interpolate(
        self, start: np.ndarray, end: np.ndarray, num_steps: int = 10, *, spherical: bool = False
    ) -> np.ndarray:
        """Interpolation: images along the path between the codes of two images.

        The path lies between the outputs of the encoder before the bottleneck (Gaussian parameters,
        codes that are not quantized yet); each point then passes the bottleneck and the decoder.

        Args:
            start, end: One image each, `image_shape`.
            num_steps: Number of images returned, both ends included, >= 2.
            spherical: False for the straight line; True, with a Gaussian code, for the arc between
                the means (see `slerp`): N(0, I) has almost no mass near the origin, which the line
                may cross (White, arXiv 1609.04468, section 2.1).

        Returns:
            `(num_steps, *image_shape)`.

        Raises:
            ValueError: unusable images, fewer than two steps, or an arc between codes that are not
                Gaussian.
        """
        return self._between(self._ends(start, end), num_steps, spherical)

    def latent_arithmetic(self, plus: Sequence, minus: Sequence = ()) -> np.ndarray:
        """Latent arithmetic: the image of a sum and difference of codes (king - man + woman).

        After Radford et al. (arXiv 1511.06434, section 6.3.2), who found means over three images
        more stable than single images. The terms are the outputs of the encoder before the
        bottleneck; their sum then passes the bottleneck and the decoder.

        Args:
            plus, minus: Terms, at least one in plus. Each is an image, `image_shape`, or several,
                `(N, *image_shape)`, whose codes are averaged.

        Returns:
            One image, `image_shape`.

        Raises:
            ValueError: unusable images, or no term in plus.
        """
        if not len(plus):
            raise ValueError("plus must hold at least one image; received none.")
        terms = [self._mean_code(each, f"plus[{place}]") for place, each in enumerate(plus)]
        terms += [-self._mean_code(each, f"minus[{place}]") for place, each in enumerate(minus)]
        return self._decoded(tf.add_n(terms))[0]

    def traverse(
        self,
        image: np.ndarray,
        dimension: int,
        num_steps: int = 10,
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> np.ndarray:
        """Latent traversal: images along one latent dimension, the others fixed.

        Args:
            image: The image whose code has the other dimensions, `image_shape`.
            dimension: Index into the flattened code, >= 0.
            num_steps: Number of images returned, both ends included, >= 2.
            low, high: First and last value of the dimension. Default -3 and 3 with a Gaussian code;
                other codes have no scale of their own and need both.

        Returns:
            `(num_steps, *image_shape)`.

        Raises:
            ValueError: an argument outside its range, or a missing end.
        """
        code = np.asarray(self.encode(self._one(image, "image")), dtype=np.float32)[0]
        if isinstance(dimension, bool) or dimension not in range(code.size):
            raise ValueError(
                f"dimension must be a whole number from 0 to {code.size - 1}; received "
                f"{dimension!r}."
            )
        low, high = (
            self._end(name, given, default)
            for name, given, default in zip(("low", "high"), (low, high), PRIOR_RANGE, strict=True)
        )
        codes = np.tile(code.reshape(-1), (check_num_steps(num_steps), 1))
        codes[:, int(dimension)] = np.linspace(low, high, num_steps)
        return self.decode(codes.reshape(-1, *code.shape))

    def manifold(self, num: int = 20, images: np.ndarray | None = None) -> np.ndarray:
        """Latent manifold: images decoded from a grid over a two-dimensional code.

        With a Gaussian code the grid has equal probabilities under N(0, 1), `(i + 1/2) / num`
        (Kingma and Welling, arXiv 1312.6114, figure 4). Other codes have no prior: there it is
        evenly spaced between the quantiles of the codes of `images` half a step from the ends.

        Args:
            num: Images per row and per column, >= 1.
            images: `(N, *image_shape)`; needed where the code is not Gaussian, otherwise unused.

        Returns:
            `(num, num, *image_shape)`: rows from the highest to the lowest second code value,
            columns from the lowest to the highest first one, as in a plot of the codes.

        Raises:
            ValueError: the code does not have two dimensions, or images are needed and missing.
        """
        if self.code_shape != (2,):
            raise ValueError(
                f"manifold needs a code of 2 dimensions; received one of the shape "
                f"{self.code_shape}."
            )
        check_size("num", num)
        probabilities = (np.arange(num) + 0.5) / num
        if self._is_gaussian:
            columns = rows = np.array([NormalDist().inv_cdf(share) for share in probabilities])
        elif images is None:
            raise ValueError(
                f"images must be given: {type(self).__name__} has no prior that sets the range of "
                "the grid; received None."
            )
        else:
            ends = np.quantile(self.encode(images), probabilities[[0, -1]], axis=0)
            columns, rows = np.linspace(ends[0], ends[1], num).T
        grid = np.stack(np.meshgrid(columns, rows[::-1]), axis=-1)
        decoded = self.decode(grid.reshape(-1, 2))
        return decoded.reshape(num, num, *self.image_shape)

    # ---- helpers ----

    def _end(self, name: str, given: float | None, default: float) -> float:
        if given is None and not self._is_gaussian:
            raise ValueError(
                f"{name} must be given: {type(self).__name__} has no prior that sets the range of "
                "its code; received None."
            )
        return check_number(name, default if given is None else given, -math.inf)

    def _one(self, image, name: str) -> np.ndarray:
        """One image, checked, as an array `(1, *image_shape)`."""
        image = np.asarray(image)
        if image.shape != self.image_shape:
            raise ValueError(
                f"{name} must be one image of the shape {self.image_shape}; received {image.shape}."
            )
        return check_images(image[None], self.image_shape, name=name, pixel_range=self.pixel_range)

    def _ends(self, start, end) -> np.ndarray:
        """Both images, checked, as one array."""
        return np.concatenate([self._one(start, "start"), self._one(end, "end")])

    def _mean_code(self, images, name: str) -> tf.Tensor:
        """The mean output of the encoder, `(1, ...)`, for one image or several."""
        if np.ndim(images) == len(self.image_shape):
            images = self._one(images, name)
        else:
            images = check_images(images, self.image_shape, name=name, pixel_range=self.pixel_range)
        encoded = tf.cast(self._in_batches(self._encoded, images), tf.float32)
        return tf.reduce_mean(encoded, axis=0, keepdims=True)

    def _between(self, inputs, num_steps: int, spherical: bool = False) -> np.ndarray:
        """Images along the path from the first to the second of two model inputs."""
        check_num_steps(num_steps)
        if check_flag("spherical", spherical) and not self._is_gaussian:
            raise ValueError(
                f"spherical must be False for {type(self).__name__}, whose code is not Gaussian; "
                "received True."
            )
        encoded = tf.cast(self._encoded(inputs), tf.float32)
        shape = (-1,) + (1,) * (encoded.shape.rank - 1)
        fraction = tf.reshape(tf.linspace(0.0, 1.0, num_steps), shape)
        path = encoded[:1] + fraction * (encoded[1:] - encoded[:1])
        if spherical:  # the log-variances, and a label behind them, stay on the line
            start, end = encoded[:, : self.latent_dim].numpy()
            arc = slerp(start, end, np.linspace(0.0, 1.0, num_steps))
            path = tf.concat([tf.cast(arc, tf.float32), path[:, self.latent_dim :]], axis=-1)
        return self._decoded(path)

    def _decoded(self, encoded) -> np.ndarray:
        """Images decoded from outputs of the encoder."""
        return self.decode(self.bottleneck(encoded, training=False).numpy())


def slerp(start: np.ndarray, end: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Spherical interpolation (slerp): points on the arc between two vectors.

    The direction turns evenly along the great circle (Shoemake, "Animating rotation with quaternion
    curves", 1985, section 3.3), the length changes evenly. For vectors of equal length that is his
    formula, which would divide by zero for parallel or opposite vectors. Between opposite vectors
    the arc passes some perpendicular direction; in one dimension, and where a vector is zero, it
    is the straight line.

    Args:
        start, end: `(D,)`.
        fractions: Positions on the arc, in [0, 1], `(num,)`.

    Returns:
        `(num, D)`, float64.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    fractions = np.asarray(fractions)[:, None]
    lengths = np.linalg.norm([start, end], axis=1)
    if not lengths.all() or len(start) == 1:
        return start + fractions * (end - start)
    one, other = start / lengths[0], end / lengths[1]
    across = other - (other @ one) * one
    angle = np.arctan2(np.linalg.norm(across), other @ one)
    if np.linalg.norm(across) < 1e-9:  # parallel: the direction would be rounding error
        smallest = np.argmin(np.abs(one))
        across = np.eye(len(one))[smallest] - one[smallest] * one
    across /= np.linalg.norm(across)
    directions = np.cos(fractions * angle) * one + np.sin(fractions * angle) * across
    return (lengths[0] + fractions * (lengths[1] - lengths[0])) * directions


def check_num_steps(num_steps: int) -> int:
    """`num_steps` as an int; ValueError unless it is >= 2."""
    if check_size("num_steps", num_steps) < 2:
        raise ValueError(f"num_steps must be >= 2, both ends included; received {num_steps}.")
    return int(num_steps)
