"""How good ranked lists are: recall, precision, NDCG, MAP, hit rate of each user; coverage, novelty and personalization of all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MEASURES = ("ndcg", "recall", "precision", "map", "hit_rate")
"""Those that each user has a value in [0, 1] of."""


def ranking_measures(hits: np.ndarray, wanted: np.ndarray) -> Mapping[str, np.ndarray]:
    """Values of each user, by name.

    Parameters
    ----------
    hits
        (nu, k) bool: whether the item at each rank is wanted; False where a list is shorter.
    wanted
        (nu,) how many items are wanted, at least one each.

    Returns
    -------
    measures
        With h hits among k, of w wanted, each (nu,):

        ``recall``: h / w. ``precision``: h / k, also for lists shorter than k. ``hit_rate``: 1 if h > 0.
        ``ndcg``: Σ 1 / log2(rank + 1) over the hits, by that of the best list, whose first min(k, w) are hits (binary relevance).
        ``map``: Σ precision@rank over the ranks with a hit, / min(k, w): 1 for the best list.

    Notes
    -----
    Sources: K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002), with the discount of
    C. Burges et al. (2005); E. Voorhees and D. Harman, TREC (average precision), cut at k as in Kaggle's MAP@k.

    Examples
    --------
    >>> found = ranking_measures(np.array([[True, False, True]]), np.array([2]))
    >>> {name: round(float(values[0]), 3) for name, values in found.items()}
    {'ndcg': 0.92, 'recall': 1.0, 'precision': 0.667, 'map': 0.833, 'hit_rate': 1.0}
    """
    k = hits.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    best, counted = np.minimum(k, wanted), hits.sum(axis=1)
    precisions = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    return {
        "ndcg": (hits * discounts).sum(axis=1) / np.cumsum(discounts)[best - 1],
        "recall": counted / wanted,
        "precision": counted / k,
        "map": (precisions * hits).sum(axis=1) / best,
        "hit_rate": (counted > 0).astype(np.float64),
    }


def coverage(codes: np.ndarray, items: int) -> float:
    """Share of the catalogue that is recommended to anybody.

    >>> coverage(np.array([[0, 1], [1, -1]]), 4)
    0.5
    """
    return len(np.unique(codes[codes >= 0])) / max(1, items)


def novelty(codes: np.ndarray, popularity: np.ndarray, users: int) -> float:
    """Mean self-information of what is recommended, in bits: -log2 of the share of users who had to do with the item; of items that
    nobody had, as if one user had.

    Source: T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (2010).

    >>> novelty(np.array([[0, 1]]), np.array([0.5, 0.25]), 8)
    1.5
    """
    shares = np.maximum(popularity, 1.0 / max(1, users))[codes[codes >= 0]]
    return max(0.0, float(-np.log2(shares).mean())) if len(shares) else 0.0


def personalization(codes: np.ndarray) -> float:
    """1 less the mean overlap of two users' lists, a share of the longer one: 0 where all get the same; 0 for one user alone.

    Users who are recommended nothing are left out.

    Source: T. Zhou et al. (2010), inter-user diversity.

    >>> personalization(np.array([[0, 1], [1, 2]])), personalization(np.array([[0, -1], [0, -1]]))
    (0.5, 0.0)
    """
    there = codes >= 0
    lengths = there.sum(axis=1)
    users = int((lengths > 0).sum())
    if users < 2:
        return 0.0
    overlap, shorter = 0.0, np.zeros(int(codes.max()) + 1)
    for length in np.unique(lengths[lengths > 0]).tolist():
        some = lengths == length
        counts = np.bincount(codes[some][there[some]], minlength=len(shorter)).astype(np.float64)
        overlap += float((counts * ((counts - 1) / 2 + shorter)).sum()) / length
        shorter += counts
    return 1.0 - overlap / (users * (users - 1) / 2)
