"""Published figures of T. Krokotsch's autoencoder bake-off, to compare with.

https://github.com/tilman151/ae_bakeoff: one seed, images padded to 32 x 32. Reconstruction: BCE of
the test set in nats/image, from a sampled code for the VAE family. Anomaly detection: AUC with
digit 1 held out, 2-D codes, signed residual. Classification: test accuracy from 550 labels; the
encoder trained from scratch on those labels reached .4364.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_ae.data import Preprocessing
from keras_ae.runs.budget import BAKE_OFF_BATCH_SIZE, BAKE_OFF_EPOCHS

if TYPE_CHECKING:
    from keras_ae.runs.catalog import TrainedRun

_ORDER = (
    "shallow", "deep", "stacked", "sparse", "denoising",
    "vae", "beta_vae_strict", "beta_vae_loose", "vq_vae",
)  # fmt: skip


def _row(*figures: float) -> dict[str, float]:
    return dict(zip(_ORDER, figures, strict=True))


# By data set, comparison and variant.
PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "mnist": {
        "reconstruction": _row(123.2, 63.92, 87.87, 64.27, 75.15, 76.12, 86.12, 69.51, 64.49),
        "anomaly": _row(0.9126, 0.7972, 0.8659, 0.8284, 0.7811, 0.7823, 0.8098, 0.8202, 0.8180),
        "classification": _row(
            0.4511, 0.7835, 0.6107, 0.2221, 0.8049, 0.6016, 0.4536, 0.6311, 0.7717
        ),
    },
    "fashion_mnist": {
        "reconstruction": _row(240.9, 212.6, 228.2, 212.7, 247.8, 224.5, 231.1, 219.1, 213.0),
    },
    "kmnist": {
        "reconstruction": _row(241.9, 168.1, 210.3, 169.0, 213.0, 176.9, 194.9, 171.2, 169.4),
    },
}
# The column of a comparison that uses the published protocol.
COMPARABLE = {"anomaly": "auc_signed", "classification": "published"}
# Anomaly detection was published for this class only.
PUBLISHED_CLASS = "1"
LATENT_DIM, LATENT_DIM_HELD_OUT, LEARNING_RATE = 20, 2, 1e-3


def follows_bake_off(run: TrainedRun) -> bool:
    """Whether a run follows the protocol of the published figures, and so can be set beside them.

    One of these data sets as it is published, one of the nine variants with its own arguments, a
    code of 20 dimensions (2 where a class is held out), 60 epochs of batches of 256 without early
    stopping, and Adam at a constant 1e-3, without an average of the weights.
    """
    request, made_of = run.request, run.data
    expected = {
        "latent_dim": LATENT_DIM if run.held_out is None else LATENT_DIM_HELD_OUT,
        "arguments": {},
        "epochs": BAKE_OFF_EPOCHS,
        "batch_size": BAKE_OFF_BATCH_SIZE,
        "patience": None,
        "lr_patience": None,
        "schedule": "constant",
        "ema": None,
        "learning_rate": LEARNING_RATE,
    }
    return (
        made_of.source in PUBLISHED
        and not (made_of.classes or made_of.binarize)
        and made_of.settings() == Preprocessing()
        and request.variant in _ORDER
        and all(getattr(request, name) == value for name, value in expected.items())
    )
