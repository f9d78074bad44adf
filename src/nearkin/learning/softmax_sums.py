"""Softmax over all keys without a table of all scores: block after block, the largest score so far is taken out of every sum.

Source: M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax" (2018).
"""

from __future__ import annotations

import numpy as np

from nearkin.learning.attended_keys import Keys
from nearkin.learning.attended_values import ValueTable, sparse_weights


class RunningSoftmax:
    """Sums of exp(score - the largest so far), for (heads, nq) softmaxes.

    Attributes
    ----------
    top
        (heads, nq) largest score so far, -inf before any.
    mass
        (heads, nq) sum of exp(score - top).
    sums
        (heads, nq, outputs) sum of exp(score - top) times values.
    """

    def __init__(self, heads: int, queries: int, outputs: int) -> None:
        self.top = np.full((heads, queries), -np.inf)
        self.mass = np.zeros((heads, queries))
        self.sums = np.zeros((heads, queries, outputs))

    def take(self, some: slice, scores: np.ndarray, numbers: np.ndarray, values: ValueTable | None) -> None:
        """Go on with (heads, m, block) scores of some of the queries, which are overwritten."""
        before = self.top[:, some]
        top = np.maximum(before, scores.max(axis=2))
        shift = np.where(np.isfinite(top), top, 0)
        scores -= shift[:, :, None]
        np.exp(scores, out=scores)
        shrunk = np.exp(before - shift)
        self.mass[:, some] = self.mass[:, some] * shrunk + scores.sum(axis=2)
        self.top[:, some] = top
        if values is None:
            return
        self.sums[:, some] *= shrunk[:, :, None]
        for head, weights in enumerate(scores):
            self.sums[head, some] += values.summed(numbers, weights)

    @property
    def log_mass(self) -> np.ndarray:
        """(heads, nq) logarithm of the sum of exp(score)."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.top + np.log(self.mass))


def attend_to_all(
    keys: Keys, queries: np.ndarray, temperature: float, values: ValueTable
) -> tuple[np.ndarray, np.ndarray]:
    """(nq, outputs) means of the values over all keys, averaged over heads, and the (heads, nq) logarithms of the mass."""
    sums = _running(keys, queries, temperature, values)
    return np.asarray((sums.sums / sums.mass[:, :, None]).mean(axis=0)), sums.log_mass


def log_mass_of_all(keys: Keys, queries: np.ndarray, temperature: float, own: np.ndarray | None = None) -> np.ndarray:
    """(heads, nq) log Σ exp(score / T) over all keys, but for those (nq,) that are the queries themselves."""
    return _running(keys, queries, temperature, None, own).log_mass


def _running(
    keys: Keys, queries: np.ndarray, temperature: float, values: ValueTable | None, own: np.ndarray | None = None
) -> RunningSoftmax:
    sums = RunningSoftmax(keys.heads, len(queries), 0 if values is None else values.outputs)
    for numbers, rows, some in keys.pieces(len(queries)):
        scores = keys.scores(queries[some], rows) / temperature
        if own is not None:
            scores[:, own[some, None] == numbers] = -np.inf
        sums.take(some, scores, numbers, values)
    return sums


def heaviest(
    keys: Keys, queries: np.ndarray, temperature: float, log_mass: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """(nq, m) numbers of the keys with the most weight, mean over heads, and their weights, the largest first."""
    most = min(most, keys.count)
    best = np.full((len(queries), most), -1, dtype=np.int64)
    weights = np.zeros((len(queries), most))
    for numbers, rows, some in keys.pieces(len(queries)):
        here = np.exp(keys.scores(queries[some], rows) / temperature - log_mass[:, some, None]).mean(axis=0)
        if here.shape[1] > most:
            top = np.argpartition(-here, most - 1, axis=1)[:, :most]
            here, found = np.take_along_axis(here, top, axis=1), numbers[top]
        else:
            found = np.broadcast_to(numbers, here.shape)
        best[some], weights[some] = _largest(
            np.concatenate([best[some], found], axis=1), np.concatenate([weights[some], here], axis=1), most
        )
    return best, weights


def _largest(numbers: np.ndarray, weights: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Of entries by row, those with the most weight, the largest first; -1 is after everything, also after a weight of 0."""
    order = np.lexsort((numbers, numbers < 0, -weights), axis=1)[:, :most]
    return np.take_along_axis(numbers, order, axis=1), np.take_along_axis(weights, order, axis=1)


def shares_of(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax of (..., k) scores over T along the last axis, where -inf is no key.

    >>> shares_of(np.array([[0.0, 0.0, -np.inf]]), 1.0).tolist()
    [[0.5, 0.5, 0.0]]
    """
    if not scores.shape[-1]:
        return np.zeros(scores.shape)
    top = scores.max(axis=-1, keepdims=True)
    shares = np.exp((scores - np.where(np.isfinite(top), top, 0)) / temperature)
    total = shares.sum(axis=-1, keepdims=True)
    return np.asarray(shares / np.where(total > 0, total, 1))


def merged(found: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(nq, m) numbers and weights of the keys that (heads, nq, k) heads attend to, the largest first, -1 and 0 where fewer."""
    if len(found) == 1:
        return _largest(found[0], shares[0], found.shape[2])
    weights = sparse_weights(found, shares, int(found.max(initial=0)) + 1)
    weights.sum_duplicates()
    counts = np.diff(weights.indptr)
    width = int(counts.max(initial=0))
    numbers, given = np.full((len(counts), width), -1, dtype=np.int64), np.zeros((len(counts), width))
    there = np.arange(width) < counts[:, None]
    numbers[there], given[there] = weights.indices, weights.data
    return _largest(numbers, given, width)


def mass_left_out(scores: np.ndarray, temperature: float, log_mass: np.ndarray) -> np.ndarray:
    """(nq,) share of the whole mass, given by its logarithm, that is not on keys with (heads, nq, k) scores; mean over heads."""
    top = scores.max(axis=2, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0)
    kept = np.exp((scores - shift[:, :, None]) / temperature).sum(axis=2)
    whole = np.exp(log_mass - shift / temperature)
    shares = 1 - kept / np.where(whole > 0, whole, 1)
    return np.asarray(np.clip(shares, 0, 1).mean(axis=0))


def bound_of_rest(scores: np.ndarray, temperature: float, count: int) -> np.ndarray:
    """(nq,) largest share of the mass of `count` keys that can be on others than the nearest, whose (heads, nq, k) scores these
    are: each of the others is at most as near as the last of them.
    """
    there = np.isfinite(scores)
    last = np.where(there, scores, np.inf).min(axis=2)
    shift = np.where(np.isfinite(last), last, 0)
    rest = count - there.sum(axis=2)
    with np.errstate(over="ignore"):  # of a mass too large to be written, nothing is left out
        kept = np.exp((scores - shift[:, :, None]) / temperature).sum(axis=2)
    return np.asarray((rest / np.maximum(rest + kept, 1)).mean(axis=0))
