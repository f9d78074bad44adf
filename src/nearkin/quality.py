"""How good an answer is beside the truth: recall in its several senses, distances, order, and the queries that fare worst."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from nearkin.accuracy import Interval, recall, tie_recall
from nearkin.indexes import Found

WORST = 0.05
"""Share of the queries, those with the lowest recall, that are looked at by themselves."""


@dataclass(frozen=True)
class Quality:
    """An answer beside the truth, over all queries.

    Attributes
    ----------
    k
        Neighbours asked for.
    recall
        k@k: of the k true neighbours, the share among the k found; by position.
    tie_recall
        The same with every row that is as near as the k-th true neighbour counted as right.
    one_at_k
        1@k: share of the queries whose nearest row (or one as near) is among the k found.
    one_at_one
        1@1: share of the queries whose first answer is the nearest row (or one as near).
    recalls
        `tie_recall` of each query, in the order asked; `nearkin.compare` takes them.
    worst
        Mean of `recalls` over the worst 5 % of the queries (at least one query).
    distance_error
        Mean over queries of Σ (f_i - t_i) / Σ |t_i|, with f_i the true distance of the i-th nearest row found and t_i the distance
        of the i-th true neighbour, over the places i at which a row was found. Queries whose t_i are all 0 are left out; None if
        all are.
    rank_correlation
        Mean over queries of Spearman's ρ between the distances as answered and the true distances of the same rows, ties with
        their mean rank: 1 where the order is right. Queries with fewer than two different values on either side are left out; None
        if all are.
    """

    k: int
    recall: Interval
    tie_recall: Interval
    one_at_k: Interval
    one_at_one: Interval
    recalls: tuple[float, ...]
    worst: float
    distance_error: float | None
    rank_correlation: float | None

    @property
    def worst_queries(self) -> int:
        """How many queries `worst` stands on."""
        return worst_count(len(self.recalls))

    @classmethod
    def of(cls, found: Found, true_distances: np.ndarray, truth: Found) -> Quality:
        """Compare an answer with the truth.

        Parameters
        ----------
        found
            (nq, k) answer, nearest first, padded with -1 and +inf.
        true_distances
            (nq, k) exact distances of the rows found, +inf for padding.
        truth
            (nq, k) exact neighbours, nearest first.

        Examples
        --------
        >>> truth = Found(np.array([[0, 1]]), np.array([[1.0, 2.0]]))
        >>> quality = Quality.of(Found(np.array([[0, 5]]), np.array([[1.0, 2.4]])), np.array([[1.0, 2.6]]), truth)
        >>> quality.recall.mean, quality.one_at_one.mean, round(quality.distance_error, 3), quality.rank_correlation
        (0.5, 1.0, 0.2, 1.0)
        """
        exact = np.asarray(truth.distances, dtype=np.float64)
        recalls = tie_recall(true_distances, exact)
        nearest = exact[:, :1]
        return cls(
            k=exact.shape[1],
            recall=Interval.of(recall(found.positions, truth.positions)),
            tie_recall=Interval.of(recalls),
            one_at_k=Interval.of(tie_recall(true_distances.min(axis=1, keepdims=True), nearest)),
            one_at_one=Interval.of(tie_recall(true_distances[:, :1], nearest)),
            recalls=tuple(recalls.tolist()),
            worst=float(np.sort(recalls)[: worst_count(len(recalls))].mean()),
            distance_error=distance_error(true_distances, exact),
            rank_correlation=rank_correlation(np.asarray(found.distances, dtype=np.float64), true_distances),
        )


def worst_count(queries: int) -> int:
    """Of so many queries, how many are the worst 5 %.

    >>> worst_count(1000), worst_count(10)
    (50, 1)
    """
    return max(1, ceil(WORST * queries))


def distance_error(true_distances: np.ndarray, truth: np.ndarray) -> float | None:
    """Mean relative excess of the distances found over the true ones; see `Quality`.

    Parameters
    ----------
    true_distances, truth
        (nq, k) exact distances of the rows found, and of the true neighbours; +inf for padding.

    Examples
    --------
    >>> distance_error(np.array([[3.0, 1.0]]), np.array([[1.0, 2.0]]))
    0.3333333333333333
    """
    found = np.sort(true_distances, axis=1)
    both = np.isfinite(found) & np.isfinite(truth)
    excess = (np.where(both, found, 0.0) - np.where(both, truth, 0.0)).sum(axis=1)
    length = np.abs(np.where(both, truth, 0.0)).sum(axis=1)
    counted = length > 0
    if not counted.any():
        return None
    return float(np.maximum(0.0, excess[counted] / length[counted]).mean())


def rank_correlation(answered: np.ndarray, true_distances: np.ndarray) -> float | None:
    """Mean over queries of Spearman's ρ between distances as answered and true ones, mean ranks for ties; see `Quality`.

    Source: C. Spearman, "The proof and measurement of association between two things" (1904).

    >>> rank_correlation(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 1.0, 3.0]]))
    0.5
    """
    values = []
    for given, true in zip(answered, true_distances, strict=True):
        there = np.isfinite(given) & np.isfinite(true)
        one, other = _ranks(given[there]), _ranks(true[there])
        if len(one) > 1 and np.ptp(one) and np.ptp(other):
            one, other = one - one.mean(), other - other.mean()
            values.append(float(one @ other / np.sqrt((one @ one) * (other @ other))))
    return float(np.mean(values)) if values else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 on; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[place])
