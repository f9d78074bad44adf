"""Values of attention: labels, numbers or vectors, one a key, and their weighed means.

>>> table = value_table(["tea", "milk", "tea"], 3)
>>> table.classes.tolist(), table.mixed(np.array([[[0, 1]]]), np.array([[[0.25, 0.75]]])).tolist()
(['milk', 'tea'], [[0.75, 0.25]])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nearkin.errors import VectorError


@dataclass(frozen=True, eq=False)
class ValueTable:
    """One value a key.

    Attributes
    ----------
    numbers
        (n, outputs) float64; for labels a scipy sparse matrix with 1 where a key has the label.
    classes
        (outputs,) sorted labels; None where values are numbers.
    codes
        (n,) which label each key has; None where values are numbers.
    """

    numbers: Any
    classes: np.ndarray | None = None
    codes: np.ndarray | None = None

    @property
    def outputs(self) -> int:
        """Numbers of a mean."""
        return int(self.numbers.shape[1])

    def summed(self, keys: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(nq, outputs) sums of the values of some keys times (nq, m) weights."""
        return np.asarray((self.numbers[keys].T @ weights.T).T)

    def mixed(self, found: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(nq, outputs) means of the values of (heads, nq, k) keys by their shares, averaged over heads; -1 is no key."""
        weights = sparse_weights(found, shares, self.numbers.shape[0])
        mixed = weights @ self.numbers
        return mixed.toarray() if hasattr(mixed, "toarray") else np.asarray(mixed)


def sparse_weights(found: np.ndarray, shares: np.ndarray, keys: int) -> Any:
    """(nq, keys) scipy sparse matrix of the mean over heads of (heads, nq, k) shares; a key found by two heads is there once."""
    from scipy.sparse import csr_array

    heads, queries = found.shape[:2]
    there = found >= 0
    query = np.broadcast_to(np.arange(queries)[None, :, None], found.shape)
    return csr_array((shares[there] / heads, (query[there], found[there])), shape=(queries, keys))


def value_table(values: Any, keys: int) -> ValueTable:
    """What was given as values: strings are labels, everything else numbers.

    Raises
    ------
    VectorError
        Not one a key, or numbers that are not finite.
    """
    try:
        given = np.asarray(values)
        if given.dtype.kind == "O" and given.ndim == 1 and all(isinstance(each, str) for each in given):
            given = given.astype(str)
        given = given if given.dtype.kind in "US" else given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise VectorError(f"values are neither numbers nor strings: {error}") from error
    if given.ndim not in (1, 2) or len(given) != keys or not given.size:
        raise VectorError(f"values have shape {given.shape}, one a row of {keys:,} expected")
    if given.dtype.kind in "US":
        return label_table(*_coded(given))
    if not np.isfinite(given).all():
        raise VectorError("values have NaN or infinite numbers", hint="leave those rows out")
    return ValueTable(given.reshape(keys, -1))


def _coded(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if labels.ndim != 1:
        raise VectorError(f"values are strings of shape {labels.shape}, one label a row expected")
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes


def label_table(classes: np.ndarray, codes: np.ndarray) -> ValueTable:
    """Labels by number, one a key."""
    from scipy.sparse import csr_array

    count = len(codes)
    ones = csr_array((np.ones(count), codes, np.arange(count + 1)), shape=(count, len(classes)))
    return ValueTable(ones, classes, codes)
