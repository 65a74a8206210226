"""Nearest neighbours among hash codes."""

from __future__ import annotations

import numpy as np

from keras_ae.checks import check_size

DISTANCES_PER_STEP = 2**23


def hamming_neighbours(
    codes: np.ndarray, references: np.ndarray, num_neighbours: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """The references that differ from each code in the fewest bits, by exhaustive search.

    Args:
        codes: Packed bits, `(N, num_bytes)` uint8 (see `numpy.packbits`).
        references: Packed bits, `(M, num_bytes)` uint8.
        num_neighbours: From 1 to M.

    Returns:
        Indices into `references` and the distances in bits, `(N, num_neighbours)` int64 each,
        nearest first; of equally near ones those that stand first.

    Raises:
        ValueError: the codes are no packed bits of one length, or there are too few references.
    """
    codes, references = checked("codes", codes), checked("references", references)
    if codes.shape[1] != references.shape[1]:
        raise ValueError(
            f"codes and references must have as many bytes; received {codes.shape[1]} and "
            f"{references.shape[1]}."
        )
    num = check_size("num_neighbours", num_neighbours)
    if num > len(references):
        raise ValueError(
            f"num_neighbours must be at most the {len(references)} references; received {num}."
        )
    signs, reference_signs = as_signs(codes), as_signs(references).T
    places = np.arange(len(references))
    nearest = []
    rows = max(1, DISTANCES_PER_STEP // len(references))
    for start in range(0, len(codes), rows):
        # Of bits as -1 and 1, the product is their number less twice the distance.
        agreement = signs[start : start + rows] @ reference_signs
        distances = ((signs.shape[1] - agreement) / 2).astype(np.int64)
        # One whole number orders by distance and then by place.
        keys = distances * len(references) + places
        keys = keys if num == len(references) else np.partition(keys, num - 1, axis=1)[:, :num]
        nearest.append(np.sort(keys, axis=1))
    distances, indices = np.divmod(np.concatenate(nearest), len(references))
    return indices, distances


def as_signs(codes: np.ndarray) -> np.ndarray:
    """Packed bits as -1 and 1, `(N, num_bits)` float32."""
    return 2 * np.unpackbits(codes, axis=1).astype(np.float32) - 1


def checked(name: str, codes) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.size == 0:
        raise ValueError(
            f"{name} must be packed bits, uint8 of the shape (N, num_bytes); received "
            f"{codes.dtype} of the shape {codes.shape}."
        )
    return codes
