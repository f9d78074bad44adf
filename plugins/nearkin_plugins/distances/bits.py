"""Metrics of rows of packed bits: Hamming, Jaccard (Tanimoto) and Dice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

import nearkin as nk
from nearkin.errors import NotTrainedError
from nearkin.metrics import ALL_AXIOMS, Metric
from nearkin.state import State
from nearkin.vectors import block_rows
from nearkin_plugins.distances.blocks import CACHE_BYTES


class Hamming(Metric):
    """Number of bits that differ, Σ a_i xor b_i, over rows of packed bits (uint8, as `numpy.packbits` makes them).

    Source: R. W. Hamming, "Error detecting and error correcting codes" (1950); ``IndexBinary`` in faiss. Axioms: all
    four. Reduces to nothing: faiss computes it natively, `pairwise` by xor and a count of bits. Unlike SciPy's, it is a
    number of bits and not a share; the share is 1 - similarity.

    The similarity needs the number of bits in a row: 8 for each byte, the zeros that pad the last byte included. The
    metric takes it from the rows that it saw last, in `fit`, `prepare` or `pairwise`, and keeps it in its state.

    >>> metric = Hamming()
    >>> found = metric.distances(np.uint8([[0b1010_0000]]), np.uint8([[0b1000_0001], [0b1010_0000]]))
    >>> found.tolist(), metric.similarity(found).tolist()
    ([[2.0, 0.0]], [[0.75, 1.0]])
    """

    name = "hamming"
    axioms = ALL_AXIOMS
    dtype = "bits"
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_Hamming"}
    similarity_rule = "the share of bits that agree, 1 - distance / bits, from 0 to 1"

    def __init__(self) -> None:
        self._bits: int | None = None

    def fit(self, sample: np.ndarray) -> None:
        self._bits = 8 * sample.shape[1]

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        self._bits = 8 * vectors.shape[1]
        return vectors

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        self._bits = 8 * vectors.shape[1]
        return bits_of(np.bitwise_xor, queries, vectors)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        if self._bits is None:
            raise NotTrainedError(
                "metric 'hamming' has seen no rows, so it does not know how many bits they have", hint="call fit(rows)"
            )
        return np.asarray(1.0 - distances / self._bits)

    def state(self) -> State:
        return State(meta={} if self._bits is None else {"bits": self._bits})

    def restore(self, state: State) -> None:
        self._bits = state.meta.get("bits")


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the bits set in either row that are not set in both."""
    both, only_a, only_b = nk.bit_counts(a, b)
    either = both + only_a + only_b
    return 1.0 - both / either if either > 0 else 0.0


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """As `jaccard`, with the bits set in both counted twice."""
    both, only_a, only_b = nk.bit_counts(a, b)
    total = 2 * both + only_a + only_b
    return 1.0 - 2 * both / total if total > 0 else 0.0


class Overlap(Metric):
    """Base of metrics of sets, as rows of packed bits: the similarity is 1 - distance."""

    dtype = "bits"

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 - distances)


class Jaccard(Overlap):
    """1 - |a ∩ b| / |a ∪ b| of sets given as packed bits (uint8, as `numpy.packbits` makes them); Tanimoto of fingerprints.

    Source: P. Jaccard (1901); T. Tanimoto (1958), for chemical fingerprints; ``jaccard`` in SciPy, whose rule that two empty
    sets are 0 apart is kept. Axioms: all four. Reduces to nothing: a compiled formula that counts eight bytes at a time,
    `pairwise` in numpy where there is no numba. Zeros that pad the last byte change nothing.

    Two in common, four in all:

    >>> Jaccard().distances(np.uint8([[0b1110_0000]]), np.uint8([[0b0110_0001]])).tolist()
    [[0.5]]
    """

    name = "jaccard"
    axioms = ALL_AXIOMS
    kernel = staticmethod(jaccard)
    similarity_rule = "the Jaccard (Tanimoto) coefficient, 1 - distance, from 0 to 1"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        both = bits_of(np.bitwise_and, queries, vectors)
        either = bits_set(queries)[:, None] + bits_set(vectors) - both
        return np.asarray(1.0 - np.divide(both, either, out=np.ones_like(both), where=either > 0))


class Dice(Overlap):
    """1 - 2 |a ∩ b| / (|a| + |b|) of sets given as packed bits: as Jaccard, with what is in common counted twice.

    Source: L. Dice (1945); T. Sørensen (1948); ``dice`` in SciPy, but two empty sets are 0 apart (SciPy: NaN). Axioms:
    non-negative, identity, symmetric; the triangle inequality fails. It puts neighbours in the same order as `jaccard`.
    Reduces to nothing: a compiled formula, `pairwise` in numpy where there is no numba.

    Two in common, three and three in all:

    >>> Dice().distances(np.uint8([[0b1110_0000]]), np.uint8([[0b0110_0001]])).round(4).tolist()
    [[0.3333]]
    """

    name = "dice"
    axioms = frozenset({"non-negative", "identity", "symmetric"})
    kernel = staticmethod(dice)
    similarity_rule = "the Dice coefficient, 1 - distance, from 0 to 1"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        both = 2 * bits_of(np.bitwise_and, queries, vectors)
        total = bits_set(queries)[:, None] + bits_set(vectors)
        return np.asarray(1.0 - np.divide(both, total, out=np.ones_like(both), where=total > 0))


def bits_of(operation: np.ufunc, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(nq, n) numbers of bits, in float64, that a symmetric operation on two rows leaves set.

    >>> bits_of(np.bitwise_xor, np.uint8([[0b11]]), np.uint8([[0b01], [0b11]])).tolist()
    [[1.0, 0.0]]
    """
    return _bits_of(operation, _as_words(queries), _as_words(vectors))


def bits_set(rows: np.ndarray) -> np.ndarray:
    """(n,) numbers of bits set, in float64.

    >>> bits_set(np.uint8([[0b11], [0b01]])).tolist()
    [2.0, 1.0]
    """
    return np.asarray(_popcount(_as_words(rows)).sum(axis=1, dtype=np.float64))


def _as_words(rows: np.ndarray) -> np.ndarray:
    """(n, bytes) uint8 as (n, words) uint64, padded with zeros, which no row has set."""
    missing = -rows.shape[1] % 8
    if missing:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    return np.ascontiguousarray(rows).view(np.uint64)


def _bits_of(operation: np.ufunc, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """As `bits_of` over rows of words, one query against one block of rows at a time."""
    if len(queries) > len(vectors):  # symmetric, so the shorter side is the one looped over in Python
        return _bits_of(operation, vectors, queries).T
    values = np.empty((len(queries), len(vectors)), dtype=np.float64)
    step = block_rows(16 * vectors.shape[1], CACHE_BYTES)
    for start in range(0, len(vectors), step):
        block = np.ascontiguousarray(vectors[start : start + step].T)
        for row, query in enumerate(queries):
            counts = _popcount(operation(block, query[:, None]))
            values[row, start : start + step] = counts.sum(axis=0, dtype=np.uint32)
    return values


_BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def _popcount_by_table(words: np.ndarray) -> np.ndarray:
    """Set bits of each uint64."""
    counts = _BITS_OF_BYTE[np.ascontiguousarray(words).view(np.uint8)]
    return np.asarray(counts.reshape(*words.shape, 8).sum(axis=-1, dtype=np.uint8))


# numpy counts bits itself from version 2 on.
_popcount: Callable[[np.ndarray], np.ndarray] = getattr(np, "bitwise_count", _popcount_by_table)
