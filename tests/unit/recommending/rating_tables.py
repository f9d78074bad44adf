"""Small tables of ratings, and what to compare with: dense float64, straight from the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from nearkin import Interactions


def ratings(seed: int = 0, users: int = 25, items: int = 14, share: float = 0.3, disliked: float = 0.1) -> np.ndarray:
    """(users, items) weights, 0 for nothing, below 0 for disliked; every user and item has something."""
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 6, (users, items)) * (rng.random((users, items)) < share)
    table[np.arange(users), rng.integers(0, items, users)] = 3
    table[rng.integers(0, users, items), np.arange(items)] = 4
    return np.asarray(np.where(rng.random(table.shape) < disliked, -1.0, 1.0) * table)


def events(table: np.ndarray) -> Interactions:
    users, items = np.nonzero(table)
    return Interactions(users, items, weights=table[users, items])


def history(row: np.ndarray) -> dict[int, float]:
    return {int(item): float(row[item]) for item in np.flatnonzero(row)}


def all_scores(recommender: Any, table: np.ndarray) -> np.ndarray:
    """(users, items) scores, what was seen too; -inf where there is nothing to say."""
    count = table.shape[1]
    found = recommender.recommend_for([history(row) for row in table], count, exclude_seen=False)
    scores = np.full(table.shape, -np.inf)
    for row in range(len(table)):
        own = ~found.by_popularity[row]
        scores[row, found.codes[row, own]] = found.scores[row, own]
    return scores


def weighted(table: np.ndarray, weighting: str) -> np.ndarray:
    """From the definitions, entry by entry."""
    users, (n, items) = table != 0, table.shape
    out = np.zeros(table.shape)
    mean_length = np.abs(table).sum() / n
    for u in range(n):
        for i in range(items):
            w, had = abs(table[u, i]), int(users[:, i].sum())
            idf = np.log(1 + (n - had + 0.5) / (had + 0.5))
            if weighting == "none":
                out[u, i] = table[u, i]
            elif weighting == "tf-idf":
                out[u, i] = np.sign(table[u, i]) * np.sqrt(w) * idf
            elif w:
                length = np.abs(table[u]).sum() / mean_length
                out[u, i] = np.sign(table[u, i]) * w * 2.2 / (w + 1.2 * (0.25 + 0.75 * length)) * idf
    return out
