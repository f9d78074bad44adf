"""Nearest centroids of the same rows again and again, while the centroids move less and less: bounds rule most pairs out.

Centroids lie in groups. For each row and group a lower bound is kept of the distance to any centroid of the group but the row's
own; it falls by as much as the farthest mover of the group has moved, and as long as it is above the distance to the row's own
centroid, no centroid of the group can take the row. What is left is compared by `nearkin.nearest_centroids`, group by group, so
that labels are those of comparing everything.

Source: Y. Ding et al., "Yinyang k-means: a drop-in replacement of the classic k-means with consistent speedup" (2015). On SIFT
with 1,024 centroids a third of the pairs are compared in the fifth iteration, and a fifth from the eighth on.
"""

from __future__ import annotations

import numpy as np

from nearkin.nearest_centroids import TINY, UNIT, Scores, exactly_nearest, in_spans, nearest_centroids
from nearkin.vectors import block_rows

GROUP = 64
"""Centroids in a group, on average: fewer let bounds be tighter, and their products be less efficient."""

FEWEST = 2 * GROUP
"""Centroids from which groups are worth their bookkeeping."""

MOST_BYTES = 1 << 28
"""For bounds, at most; there are fewer groups where there are very many rows."""

ROUNDS = 5
"""Iterations that find the groups."""

CHUNK = 8192
"""Rows at once; they lie in the cache while groups are gone through."""


class BoundedAssignment:
    """Labels of rows under centroids that move.

    Parameters
    ----------
    vectors
        (n, dim) float32 rows.
    threads
        To use, as for `nearkin.nearest_centroids.nearest_centroids`.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [10], [12]])
    >>> assignment = BoundedAssignment(rows)
    >>> assignment.labels(np.float32([[0], [10]])).tolist(), assignment.labels(np.float32([[11], [0]])).tolist()
    ([0, 0, 1, 1], [1, 1, 0, 0])
    """

    def __init__(self, vectors: np.ndarray, threads: int = 1) -> None:
        self._vectors = vectors
        self._threads = threads
        self._labels: np.ndarray | None = None
        self._groups: _Groups | None = None
        self._before: np.ndarray | None = None

    def labels(self, centroids: np.ndarray) -> np.ndarray:
        """(n,) int64 nearest centroid of each row; (k, dim) float32 centroids, the k of every call the same."""
        if self._labels is None or len(centroids) < FEWEST:
            # the first steps are the longest, after which bounds would hold for nearly nothing
            self._labels = nearest_centroids(self._vectors, centroids, self._threads)
        else:
            if self._groups is None or self._before is None:
                self._groups = _Groups(self._vectors, centroids)
                self._before = centroids
            self._labels = self._groups.moved(self._labels, centroids, self._before, self._threads)
            self._before = centroids
        return self._labels


class _Groups:
    """Groups of centroids, and the bounds of rows to them."""

    def __init__(self, vectors: np.ndarray, centroids: np.ndarray) -> None:
        self.vectors = vectors
        self.origin = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)
        most = max(1, MOST_BYTES // (4 * len(vectors)))
        group = grouped(centroids, min(most, max(1, len(centroids) // GROUP)))
        self.order = np.argsort(group, kind="stable")
        self.rank = np.argsort(self.order)
        self.starts = np.unique(group[self.order], return_index=True)[1]
        self.edges = [*self.starts.tolist(), len(centroids)]
        self.group_of = np.searchsorted(self.starts, np.arange(len(centroids)), side="right") - 1
        self.lower = np.full((len(self.starts), len(vectors)), -np.inf, dtype=np.float32)
        self.squares = np.empty(len(vectors), dtype=np.float32)
        step = block_rows(4 * vectors.shape[1], 1 << 21)
        for start in range(0, len(vectors), step):
            some = vectors[start : start + step] - self.origin
            self.squares[start : start + step] = np.einsum("ij,ij->i", some, some)
        self.longest = float(np.sqrt(self.squares.max()))

    def moved(self, labels: np.ndarray, centroids: np.ndarray, before: np.ndarray, threads: int) -> np.ndarray:
        """Labels under centroids that have moved from `before`, where the rows had these labels."""
        scores = Scores(centroids[self.order], self.origin)
        way = np.linalg.norm(centroids.astype(np.float64) - before, axis=1)[self.order]
        fall = np.maximum.reduceat(way, self.starts)
        # the subtraction rounds too, by half a unit of a distance, of which none is longer than this
        fall += 4 * UNIT * (self.longest + scores.longest)
        places = self.rank[labels]
        ordered = centroids[self.order]

        def span(some: slice) -> None:
            _Chunk(self, scores, some, places).compare(fall.astype(np.float32), ordered)

        in_spans(span, len(labels), threads, CHUNK)
        return np.asarray(self.order[places])


class _Chunk:
    """Some rows while the groups are gone through; places are positions of centroids in the order of groups."""

    def __init__(self, groups: _Groups, scores: Scores, some: slice, places: np.ndarray) -> None:
        self.groups = groups
        self.scores = scores
        self.vectors = groups.vectors[some]
        self.rows = scores.rows(self.vectors)
        self.squares = groups.squares[some]
        self.lower = groups.lower[:, some]
        self.places = places[some]
        self.slack = (2 * scores.error(self.squares) + 8 * UNIT * self.squares + TINY).astype(np.float32)
        self.own = np.einsum("ij,ij->i", self.rows, scores.by_centroid[self.places])
        self.best = self.own.copy()
        self.winners = self.places.copy()

    def at_least(self, scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """A lower bound of the distances that belong to scores."""
        return np.asarray(np.sqrt(np.maximum(self.squares[rows] - 2 * scores - self.slack[rows], 0)))

    def at_most(self, scores: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(self.squares - 2 * scores, 0) + self.slack))

    def compare(self, fall: np.ndarray, centroids: np.ndarray) -> None:
        """Lower the bounds by how far centroids moved, compare what they do not rule out, and label the rows anew."""
        self.lower -= fall[:, None]
        reach = self.at_most(self.own)
        for group in range(len(self.lower)):
            needed = np.flatnonzero(self.lower[group] < reach)
            if needed.size:
                self._compare_group(group, needed)
        left = np.flatnonzero(self.winners != self.places)
        self._lower_to(self.places[left], left, self.own[left])
        unsure = np.flatnonzero(self.lower.min(axis=0) < self.at_most(self.best))
        if unsure.size:
            found = exactly_nearest(self.vectors[unsure], centroids)
            self._lower_to(self.winners[unsure], unsure, self.best[unsure])
            self.winners[unsure] = found
        self.places[:] = self.winners

    def _compare_group(self, group: int, needed: np.ndarray) -> None:
        first, stop = self.groups.edges[group : group + 2]
        rows = self.rows if len(needed) == len(self.rows) else np.take(self.rows, needed, axis=0)
        found = rows @ self.scores.table[:, first:stop]
        places = self.places[needed]
        inside = np.flatnonzero((places >= first) & (places < stop))
        found[inside, places[inside] - first] = -np.inf
        nearest = found.argmax(axis=1)
        top = found[np.arange(len(needed)), nearest]
        better = np.flatnonzero(top > self.best[needed])
        taken = needed[better]
        lost = self.winners[taken], taken, self.best[taken]
        self.winners[taken] = first + nearest[better]
        self.best[taken] = top[better]
        found[better, nearest[better]] = -np.inf
        top[better] = found[better].max(axis=1)
        self.lower[group, needed] = self.at_least(top, needed)
        self._lower_to(*lost)

    def _lower_to(self, places: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> None:
        """Let the bounds hold for centroids that have ceased to be the rows' own."""
        groups = self.groups.group_of[places]
        self.lower[groups, rows] = np.minimum(self.lower[groups, rows], self.at_least(scores, rows))


def grouped(centroids: np.ndarray, groups: int) -> np.ndarray:
    """(k,) group of each centroid: a few iterations of k-means over the centroids themselves, from some of them.

    >>> grouped(np.float32([[0], [9], [1], [8]]), 2).tolist()
    [0, 1, 0, 1]
    """
    means = centroids[:groups].astype(np.float32)
    for _ in range(ROUNDS):
        labels = exactly_nearest(centroids, means)
        sizes = np.bincount(labels, minlength=groups)
        sums = np.zeros(means.shape)
        np.add.at(sums, labels, centroids)
        means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], means).astype(np.float32)
    return exactly_nearest(centroids, means)
