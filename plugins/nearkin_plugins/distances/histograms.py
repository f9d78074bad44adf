"""Metrics of distributions: Hellinger and Jensen-Shannon. Rows count as shares, whatever they sum to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nearkin.metrics import ALL_AXIOMS, Metric, unit_rows
from nearkin_plugins.distances.blocks import mapped, one_against_many

ALMOST_ONE = 1.0 - 2.0**-53
TINY = 1e-30
HALF_ROOT = 0x3F3504F3
"""√½ as the bits of a float32."""
LOG_2 = math.log(2.0)


class Distributions(Metric):
    """Base of metrics of distributions: negative values, and rows of zeros, which have no shares, are refused."""

    axioms = ALL_AXIOMS
    refuses_rows = True
    bad_row_reason = "a distribution needs values of at least 0 that are not all 0"

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray((vectors.min(axis=1) < 0) | (vectors.max(axis=1) <= 0))


class Hellinger(Distributions):
    """√(½ Σ (√p_i - √q_i)²) between rows scaled to sum 1, from 0 to 1 (nothing in common).

    Source: E. Hellinger (1909); A. Bhattacharyya, "On a measure of divergence" (1943), for the similarity. Axioms: all four.
    Reduces to squared L2 of the roots of the shares, rows of length one. Clustering makes the sum of the squares least; a
    centroid is shares that sum to 1.

    1 - 0.6 is the square of the distance, 0.6 = √(0.36 · 1):

    >>> Hellinger().distances(np.float32([[36, 64]]), np.float32([[1, 0]])).round(4).tolist()
    [[0.6325]]
    """

    name = "hellinger"
    reduces_to = "l2"
    centroid_rule = "direction"
    similarity_rule = "the Bhattacharyya coefficient Σ √(p_i q_i), 1 - distance², from 0 to 1"

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return mapped(vectors, lambda rows: unit_rows(np.sqrt(np.maximum(rows.astype(np.float64), 0.0))))

    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        return mapped(prepared, lambda rows: np.square(rows.astype(np.float64)))

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(values * values.dtype.type(0.5), 0)))

    def unfinish(self, distance: float) -> float:
        return 2.0 * distance * abs(distance)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 - np.square(distances))


def logarithm(x: Any) -> Any:
    """Natural logarithm of a positive float32 in arithmetic that loops can be vectorised over; no call of a library is.

    x is m 2^e with m from √½ to √2; the logarithm of m = 1 + y is y - y²/2 + y³ P(y), for P fitted on Chebyshev nodes.
    """
    bits = np.float32(x).view(np.int32)
    exponent = np.int32((bits - HALF_ROOT) >> 23)
    y = np.int32(bits - (exponent << 23)).view(np.float32) - 1.0
    high = -0.124110507 + y * (0.116615111 + y * (-0.115712007 + y * 0.0714975387))
    fitted = 0.333333312 + y * (-0.24999989 + y * (0.200007075 + y * (-0.166684802 + y * (0.142499365 + y * high))))
    return y - 0.5 * y * y + y * y * y * fitted + np.float32(exponent) * LOG_2


def jensen_shannon(a: np.ndarray, b: np.ndarray) -> Any:
    """Root of the divergence of two rows that sum to 1.

    With s = p + q and t = |p - q| / s, each column adds s ((1 + t) log(1 + t) + (1 - t) log(1 - t)) / 4: nothing cancels between
    columns, and within one a power series stands in where the logarithms would cancel.
    """
    total = 0.0
    for i in range(a.shape[0]):
        size = a[i] + b[i]
        share = abs(a[i] - b[i]) / (size + TINY)
        share = min(share, 1.0)
        square = share * share
        near = square * (
            1.0 + square * (0.16666667 + square * (0.06666667 + square * (0.03571429 + square * 0.02222222)))
        )
        more, less = 1.0 + share, 1.0 - share
        far = more * logarithm(more) + less * logarithm(less + TINY)
        total += size * (near if square < 0.04 else far)
    return math.sqrt(max(0.25 * total, 0.0))


class JensenShannon(Distributions):
    """√(½ Σ p_i log(p_i / m_i) + ½ Σ q_i log(q_i / m_i)), m = (p + q) / 2, between rows scaled to sum 1; from 0 to √(log 2).

    Source: J. Lin, "Divergence measures based on the Shannon entropy" (1991); that the root is a metric: D. Endres and J.
    Schindelin (2003). ``jensenshannon`` in SciPy, which takes the natural logarithm and scales rows in the same way. Axioms:
    all four. Reduces to nothing: a compiled formula on the shares, `pairwise` in numpy where there is no numba.

    Two with nothing in common are √(log 2) apart:

    >>> JensenShannon().distances(np.float32([[1, 0]]), np.float32([[0, 5], [1, 1]])).round(4).tolist()
    [[0.8326, 0.4645]]
    """

    name = "jensen-shannon"
    kernel = staticmethod(jensen_shannon)
    similarity_rule = "1 - distance² / log 2, one minus the divergence in bits, from 0 to 1"

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return mapped(vectors, shares)

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return one_against_many(_divergence_root, queries, vectors, shares)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        bits = np.square(distances) / LOG_2
        # √(log 2) in float32 is a little more; padding, which is infinite, stays so.
        return np.asarray(1.0 - np.where(bits < np.inf, np.minimum(bits, 1.0), bits))


def shares(rows: np.ndarray) -> np.ndarray:
    """(n, dim) rows scaled to sum 1, in float64; values below 0, which decoded rows may have, count as 0.

    >>> shares(np.float32([[1, 3]])).tolist()
    [[0.25, 0.75]]
    """
    amounts = np.maximum(rows.astype(np.float64), 0.0)
    total = amounts.sum(axis=1, keepdims=True)
    return np.asarray(amounts / np.where(total > 0, total, 1.0))


def _divergence_root(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """As `jensen_shannon`."""
    size = rows + row
    share = np.divide(rows - row, size, out=np.zeros_like(size), where=size > 0)
    np.clip(share, -ALMOST_ONE, ALMOST_ONE, out=share)  # 0 log 0 is 0
    size *= (1.0 + share) * np.log1p(share) + (1.0 - share) * np.log1p(-share)
    return np.asarray(np.sqrt(np.maximum(0.25 * size.sum(axis=1), 0.0)))
