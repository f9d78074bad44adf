"""How two rows of packed bits overlap: what every similarity of sets and fingerprints is made of."""

from __future__ import annotations

import numpy as np

_ONES = np.array([number.bit_count() for number in range(256)], dtype=np.int64)


def bit_counts(a: np.ndarray, b: np.ndarray) -> tuple[int, int, int]:
    """Bits set in both rows, only in the first, and only in the second.

    The numbers that binary similarities are written in (S. Choi, S. Cha and C. Tappert, "A survey of binary similarity and
    distance measures", 2010). In a compiled metric it counts eight bytes at a time.

    Parameters
    ----------
    a, b
        (bytes,) uint8, packed as `numpy.packbits` does.

    Examples
    --------
    >>> bit_counts(np.uint8([0b1110_0000]), np.uint8([0b0110_0001]))
    (2, 1, 1)
    >>> import nearkin as nk
    >>> @nk.metric("tanimoto", dtype="bits")
    ... def tanimoto(a, b):
    ...     both, only_a, only_b = nk.bit_counts(a, b)
    ...     either = both + only_a + only_b
    ...     return 1.0 - both / either if either > 0 else 0.0
    >>> tanimoto(np.uint8([0b1110_0000]), np.uint8([0b0110_0001]))
    0.5
    """
    both, only_a, only_b = (int(_ONES[bits].sum()) for bits in (a & b, a & ~b, b & ~a))
    return both, only_a, only_b
