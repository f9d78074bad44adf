"""Votes of neighbours for labels, in a column for every label or for those alone that got one.

>>> shares = shares_of_votes(np.array([[2.0, 1.0, 1.0]]))
>>> by_label(np.array([[7, 2, 7]]), shares, 9)[0].tolist()
[0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0]
>>> few = voted(np.array([[7, 2, 7]]), shares)
>>> few.codes.tolist(), few.shares.tolist(), few.likeliest.tolist()
([[2, 7, 7]], [[0.25, 0.75, 0.0]], [7])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Voted(NamedTuple):
    """Labels that k neighbours vote for.

    Attributes
    ----------
    codes
        (m, k) numbers of the labels, ascending.
    shares
        (m, k) votes; those of a label that is there several times stand at its first place, and the others are 0.
    """

    codes: np.ndarray
    shares: np.ndarray

    @property
    def likeliest(self) -> np.ndarray:
        """(m,) the label with most votes, of several the first."""
        return np.asarray(self.codes[np.arange(len(self.codes)), self.shares.argmax(axis=1)])


def shares_of_votes(weights: np.ndarray) -> np.ndarray:
    """(m, k) weights as shares of their sum in a row; 0 where that is 0."""
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1))


def voted(codes: np.ndarray, shares: np.ndarray) -> Voted:
    """Votes by the labels that got one, of (m, k) labels and shares of neighbours."""
    order = np.argsort(codes, axis=1, kind="stable")
    ordered, given = np.take_along_axis(codes, order, axis=1), np.take_along_axis(shares, order, axis=1)
    first = np.ones(codes.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    sums = np.zeros(codes.shape)
    if sums.size:
        sums[first] = np.add.reduceat(given.ravel(), np.flatnonzero(first))
    return Voted(ordered, sums)


def by_label(codes: np.ndarray, shares: np.ndarray, classes: int) -> np.ndarray:
    """(m, classes) float64 votes of every label, of (m, k) labels and shares of neighbours."""
    found = voted(codes, shares)
    votes = np.zeros((len(codes), classes))
    row, place = np.nonzero(found.shares)
    votes[row, found.codes[row, place]] = found.shares[row, place]
    return votes
