"""Metrics of counts and abundances, which weigh differences by how much there is: Canberra and Bray-Curtis."""

from __future__ import annotations

import numpy as np

from nearkin.metrics import ALL_AXIOMS, Metric
from nearkin_plugins.distances.blocks import one_against_many


def canberra(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of relative differences, over two rows."""
    total = 0.0
    for i in range(a.shape[0]):
        size = abs(a[i]) + abs(b[i])
        if size > 0.0:
            total += abs(a[i] - b[i]) / size
    return total


def bray_curtis(a: np.ndarray, b: np.ndarray) -> float:
    """Differences as a share of everything, over two rows."""
    apart, size = 0.0, 0.0
    for i in range(a.shape[0]):
        apart += abs(a[i] - b[i])
        size += abs(a[i] + b[i])
    return apart / size if size > 0.0 else 0.0


class Canberra(Metric):
    """Σ |a_i - b_i| / (|a_i| + |b_i|): differences count relative to the values, so small values count as much as large ones.

    Source: G. Lance and W. Williams, "Mixed-data classificatory programs I" (1967); ``canberra`` in SciPy, whose rule that
    0/0 is 0 is kept. Axioms: all four. Reduces to nothing: a compiled formula, `pairwise` in numpy where there is no numba.
    At most 1 a column.

    1/3 + 2/2 + 0/0:

    >>> Canberra().distances(np.float32([[1, 2, 0]]), np.float32([[2, 0, 0]])).round(4).tolist()
    [[1.3333]]
    """

    name = "canberra"
    axioms = ALL_AXIOMS
    kernel = staticmethod(canberra)

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return one_against_many(_relative, queries, vectors)


def _relative(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    size = np.abs(rows)
    size += np.abs(row)
    apart = rows - row
    np.abs(apart, out=apart)
    np.divide(apart, size, out=apart, where=size > 0)  # where both are 0 it stays 0
    return np.asarray(apart.sum(axis=1))


class BrayCurtis(Metric):
    """Σ |a_i - b_i| / Σ (a_i + b_i): the share of everything in both rows that they do not have in common.

    Source: J. Bray and J. Curtis, "An ordination of the upland forest communities of southern Wisconsin" (1957);
    ``braycurtis`` in SciPy. Axioms: non-negative, identity, symmetric; the triangle inequality fails. Rows with negative
    values, with which it may divide by 0, are refused; two rows of zeros are 0 apart (SciPy: NaN). Reduces to nothing: a
    compiled formula, `pairwise` in numpy where there is no numba.

    6 tadpoles and 4 newts against 10 tadpoles are 8 of 20 apart:

    >>> BrayCurtis().distances(np.float32([[6, 4]]), np.float32([[10, 0]])).tolist()
    [[0.4]]
    """

    name = "bray-curtis"
    axioms = frozenset({"non-negative", "identity", "symmetric"})
    kernel = staticmethod(bray_curtis)
    refuses_rows = True
    bad_row_reason = "bray-curtis compares amounts, and negative values are none"
    similarity_rule = "the share in common, 1 - distance, from 0 to 1"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return one_against_many(_share_apart, queries, vectors)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 - distances)

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors.min(axis=1) < 0)


def _share_apart(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    apart = np.abs(rows - row).sum(axis=1)
    size = np.abs(rows + row).sum(axis=1)
    return np.asarray(np.divide(apart, size, out=np.zeros_like(apart), where=size > 0))
