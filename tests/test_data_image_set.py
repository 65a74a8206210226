"""The fingerprint of a data set."""

from __future__ import annotations

import numpy as np
from data_helpers import (
    image_set,
    own_cache,  # noqa: F401  # a fixture for every test
)


def test_fingerprint_changes_with_any_content():
    base = image_set()
    assert len(base.fingerprint) == 16 and int(base.fingerprint, 16) >= 0
    assert image_set().fingerprint == base.fingerprint
    images, labels = base.train_images.copy(), base.train_labels.copy()
    images[3, 2, 1] ^= 1
    labels[-1] ^= 1
    changed = [
        image_set(train_images=images),
        image_set(train_labels=labels),
        image_set(train_labels=None),
        image_set(test_images=images[:20]),
        image_set(train_images=base.train_images.reshape(-1, 4, 9)),
        image_set(train_images=base.train_images.view(np.int8)),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in changed)}) == 7
