"""Nearest neighbors of binary hash codes by Hamming distance."""

from __future__ import annotations

import numpy as np

from keras_ae.checks import check_size

DISTANCES_PER_STEP = 2**23


def hamming_neighbors(
    codes: np.ndarray, references: np.ndarray, num_neighbors: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest neighbors by Hamming distance: the references that differ in the fewest bits.

    The search is exhaustive.

    Args:
        codes: Packed bits, `(N, num_bytes)` uint8 (see `numpy.packbits`).
        references: Packed bits, `(M, num_bytes)` uint8.
        num_neighbors: Neighbors to return for each code, from 1 to M.

    Returns:
        Indices into `references` and distances in bits, `(N, num_neighbors)` int64 each, nearest
        first; references at the same distance are in their order.

    Raises:
        ValueError: the arguments are not packed bits of the same length, or there are fewer
            references than neighbors.

    Example:

    ```python
    codes = numpy.packbits([[0, 0, 1], [1, 1, 1]], axis=1)
    hamming_neighbors(codes[:1], codes, num_neighbors=2)   # ([[0, 1]], [[0, 2]])
    ```
    """
    codes, references = _checked("codes", codes), _checked("references", references)
    if codes.shape[1] != references.shape[1]:
        raise ValueError(
            f"codes and references must have equal numbers of bytes; received {codes.shape[1]} and "
            f"{references.shape[1]}."
        )
    num = check_size("num_neighbors", num_neighbors)
    if num > len(references):
        raise ValueError(
            f"num_neighbors must be at most the {len(references)} references; received {num}."
        )
    signs, reference_signs = _as_signs(codes), _as_signs(references).T
    positions = np.arange(len(references))
    nearest = []
    rows = max(1, DISTANCES_PER_STEP // len(references))
    for start in range(0, len(codes), rows):
        # With bits as -1 and 1, the product is the number of bits minus twice the distance.
        agreement = signs[start : start + rows] @ reference_signs
        distances = ((signs.shape[1] - agreement) / 2).astype(np.int64)
        # Sorting one integer sorts by distance, then by index.
        keys = distances * len(references) + positions
        keys = keys if num == len(references) else np.partition(keys, num - 1, axis=1)[:, :num]
        nearest.append(np.sort(keys, axis=1))
    distances, indices = np.divmod(np.concatenate(nearest), len(references))
    return indices, distances


def _as_signs(codes: np.ndarray) -> np.ndarray:
    """Packed bits as -1 and 1, `(N, num_bits)` float32."""
    return 2 * np.unpackbits(codes, axis=1).astype(np.float32) - 1


def _checked(name: str, codes: np.ndarray) -> np.ndarray:
    """Validate packed bits."""
    codes = np.asarray(codes)
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.size == 0:
        raise ValueError(
            f"{name} must be packed bits, uint8 of the shape (N, num_bytes); received "
            f"{codes.dtype} of the shape {codes.shape}."
        )
    return codes
