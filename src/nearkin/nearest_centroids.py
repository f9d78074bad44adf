"""The nearest of many centroids for many rows by squared Euclidean distance: float32, and float64 where that cannot decide.

||x - c||² = ||x||² - 2 (x·c - ||c||²/2), so the nearest centroid has the largest score x·c - ||c||²/2: one product of matrices,
with -||c||²/2 as one more column, and the largest of each row. Scores of rows far from the origin would cancel, so the mean of the
centroids is taken as the origin. Rows whose two best scores lie closer together than rounding may have moved them are compared
again in float64.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nearkin.kernels import pool
from nearkin.metrics import squared_l2
from nearkin.vectors import block_rows

WORTH = 1 << 22
"""Products of values from which float32 is worth its preparations."""

CHUNK = 512
"""Rows at once: with 1,024 centroids their scores stay in the cache."""

UNIT = float(np.finfo(np.float32).eps) / 2

TINY = float(np.finfo(np.float32).tiny)
"""Most that a float32 result loses, beside half a unit of itself, where it is too small for all of its digits, or for any."""


class Scores:
    """Centroids in the form in which rows are scored against them.

    Parameters
    ----------
    centroids
        (k, dim) float32.
    origin
        (dim,) float32 point that is subtracted from rows and centroids; their mean if not given.

    Attributes
    ----------
    table
        (dim + 1, k) float32; a row with a 1 behind it times this is its scores.
    """

    def __init__(self, centroids: np.ndarray, origin: np.ndarray | None = None) -> None:
        exact = centroids.astype(np.float64)
        self.origin = exact.mean(axis=0).astype(np.float32) if origin is None else origin
        moved = (exact - self.origin).astype(np.float32)
        squares = np.einsum("ij,ij->i", moved, moved, dtype=np.float64)
        self.by_centroid = np.column_stack([moved, (-squares / 2).astype(np.float32)])
        self.table = np.ascontiguousarray(self.by_centroid.T)
        self.longest = float(np.sqrt(squares.max()))

    def rows(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim + 1) rows that scores are taken of."""
        made = np.ones((len(vectors), len(self.origin) + 1), dtype=np.float32)
        np.subtract(vectors, self.origin, out=made[:, :-1])
        return made

    def error(self, squares: np.ndarray) -> np.ndarray:
        """Most that rounding moves the scores of rows of these squared lengths: of each product and sum, half a unit."""
        steps = 2 * (len(self.table) + 4)
        lengths = np.sqrt(squares + steps * TINY)
        return np.asarray(steps * (UNIT / 2 * (lengths * self.longest + self.longest**2 / 2) + TINY))


def squares_of(rows: np.ndarray) -> np.ndarray:
    """Squared lengths of the rows of `Scores.rows`."""
    return np.asarray(np.einsum("ij,ij->i", rows[:, :-1], rows[:, :-1]))


def nearest_centroids(vectors: np.ndarray, centroids: np.ndarray, threads: int = 1) -> np.ndarray:
    """(n,) int64 nearest centroid of each row, of equally near ones the first.

    Parameters
    ----------
    vectors, centroids
        (n, dim) and (k, dim) float32.
    threads
        To use, as far as the library behind numpy's products lets itself be held to it, see `blas_threads`.

    Examples
    --------
    >>> nearest_centroids(np.float32([[10001], [10009]]), np.float32([[10000], [10010]])).tolist()
    [0, 1]
    """
    if vectors.size * len(centroids) < WORTH:
        return exactly_nearest(vectors, centroids)
    labels = np.empty(len(vectors), dtype=np.int64)
    scores = Scores(centroids)

    def span(some: slice) -> None:
        for start in range(some.start, some.stop, CHUNK):
            chunk = slice(start, min(start + CHUNK, some.stop))
            _label(vectors[chunk], scores, centroids, labels[chunk])

    in_spans(span, len(vectors), threads, max(CHUNK, block_rows(4 * vectors.shape[1])))
    return labels


def _label(vectors: np.ndarray, scores: Scores, centroids: np.ndarray, labels: np.ndarray) -> None:
    rows = scores.rows(vectors)
    found = rows @ scores.table
    every = np.arange(len(rows))
    np.argmax(found, axis=1, out=labels)
    best = found[every, labels]
    found[every, labels] = -np.inf
    unsure = np.flatnonzero(best - found.max(axis=1) <= 2 * scores.error(squares_of(rows)))
    if unsure.size:
        labels[unsure] = exactly_nearest(vectors[unsure], centroids)


def exactly_nearest(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """`nearest_centroids` in float64 throughout."""
    labels = np.empty(len(vectors), dtype=np.int64)
    step = block_rows(8 * max(centroids.shape))
    for start in range(0, len(vectors), step):
        labels[start : start + step] = squared_l2(vectors[start : start + step], centroids).argmin(axis=1)
    return labels


def own_costs(vectors: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) float64 squared distances of rows from the centroids that they are labelled with, from the differences.

    >>> own_costs(np.float32([[1], [5]]), np.float32([[0], [2]]), np.array([0, 1])).tolist()
    [1.0, 9.0]
    """
    costs = np.empty(len(vectors), dtype=np.float64)
    wide = centroids.astype(np.float64)
    step = block_rows(8 * centroids.shape[1], 1 << 20)
    for start in range(0, len(vectors), step):
        some = slice(start, start + step)
        difference = wide[labels[some]]
        difference -= vectors[some]
        np.einsum("ij,ij->i", difference, difference, out=costs[some])
    return costs


class SquaresFrom:
    """Squared distances of the same rows from others, few at a time: float32, by the difference where that would cancel.

    Attributes
    ----------
    in_range
        False if rows lie so close together that float32 has too few digits for their squared distances.

    >>> SquaresFrom(np.float32([[10001], [10009]]))(np.float32([[10001]])).tolist()
    [[0.0], [64.0]]
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._origin = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._rows = vectors - self._origin
        self._squares = np.einsum("ij,ij->i", self._rows, self._rows)
        self.in_range = bool(self._squares.max() > TINY / UNIT**2)

    def __call__(self, others: np.ndarray) -> np.ndarray:
        """(n, m) float32 squared distances from (m, dim) others, right to about 1e-3 of themselves, and 0 for equal rows."""
        moved = others - self._origin
        squares = np.einsum("ij,ij->i", moved, moved)
        values = self._rows @ moved.T
        values *= -2
        values += self._squares[:, None]
        values += squares
        for column in range(len(others)):
            close = np.flatnonzero(values[:, column] < CANCELLING * squares[column])
            difference = self._rows[close] - moved[column]
            values[close, column] = np.einsum("ij,ij->i", difference, difference)
        return np.asarray(values)


CANCELLING = 1e-2
"""Squared distances below this share of a squared length are computed again: float32 would have lost too many of their digits."""


def in_spans(work: Callable[[slice], None], n: int, threads: int, step: int) -> None:
    """Run over n rows, so many at a time, on so many threads."""
    spans = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    alone = threads > 1 and _threadpoolctl()
    with blas_threads(1 if alone else threads):
        if alone:
            list(pool(threads).map(work, spans))
        else:
            for some in spans:
                work(some)


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Hold numpy's products to so many threads where threadpoolctl is there to do it; it comes with scikit-learn.

    The number of threads is the process's: while several callers hold it at once, the least that one of them asks for is in force,
    and what was before the first of them comes back with the last.
    """
    if not _threadpoolctl():
        yield
        return
    import threadpoolctl

    held, found = _Held.now, threadpoolctl.ThreadpoolController()
    held.enter(found, threads)
    try:
        with found.select(user_api="openmp").limit(
            limits=threads
        ):  # every calling thread has a number of its own there
            yield
    finally:
        held.leave()


class _Held:
    """What holds the products of this process to few threads."""

    now: _Held

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callers = 0
        self._least = sys.maxsize
        self._limits: list[Any] = []

    def enter(self, found: Any, threads: int) -> None:
        with self._lock:
            if threads < self._least:
                libraries = (each for each in found.info() if each["user_api"] == "blas")
                paths = [each["filepath"] for each in libraries if each.get("threading_layer") != "openmp"]
                self._limits.append(found.select(filepath=paths).limit(limits=threads))
                self._least = threads
            self._callers += 1

    def leave(self) -> None:
        with self._lock:
            self._callers -= 1
            if not self._callers:
                self.release()

    def release(self) -> None:
        """Give the process back the threads that it had."""
        while self._limits:  # the last first, since each keeps what it found
            self._limits.pop().restore_original_limits()
        self._least = sys.maxsize


_Held.now = _Held()


def _released_in_child() -> None:
    """Callers in other threads of the parent are not in a forked child, so that nothing there would ever end what they hold."""
    held, _Held.now = _Held.now, _Held()
    held.release()


if hasattr(os, "register_at_fork"):  # systems without it do not fork
    os.register_at_fork(after_in_child=_released_in_child)


def _threadpoolctl() -> bool:
    return importlib.util.find_spec("threadpoolctl") is not None
