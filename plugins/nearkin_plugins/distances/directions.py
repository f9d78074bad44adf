"""Metrics of direction beside cosine: correlation, and the angle itself."""

from __future__ import annotations

from math import copysign, pi, sin

import numpy as np

from nearkin.metrics import ALL_AXIOMS, Cosine, Metric, squared_l2, unit_rows
from nearkin_plugins.distances.blocks import mapped


class Correlation(Cosine):
    """1 - r, for r Pearson's correlation of two rows: neither their level nor their scale matters. From 0 to 2.

    Source: K. Pearson (1895); ``correlation`` in SciPy. Axioms: non-negative, identity (a row is 0 from itself, and from
    itself shifted and scaled), symmetric; the triangle inequality fails. Reduces to squared L2 of rows less their own mean,
    scaled to length one. Constant rows correlate with nothing: refused.

    >>> rows = np.float32([[10, 20, 30], [3, 2, 1], [1, 3, 2]])
    >>> Correlation().distances(np.float32([[1, 2, 3]]), rows).round(4).tolist()
    [[0.0, 2.0, 0.5]]
    """

    name = "correlation"
    similarity_rule = "the correlation itself, 1 - distance, from -1 to 1"
    bad_row_reason = "correlation compares how rows vary, and rows of one value do not"

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return mapped(vectors, lambda rows: unit_rows(rows - rows.mean(axis=1, dtype=np.float64, keepdims=True)))

    def prepare_queries(self, queries: np.ndarray) -> np.ndarray:
        return Metric.prepare_queries(self, queries)

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors.max(axis=1) == vectors.min(axis=1))


class Angular(Cosine):
    """arccos(a·b / (||a|| ||b||)), the angle between two rows in radians, from 0 to π. Unlike cosine it is a distance.

    Axioms: all four (identity: a row is 0 from itself, and from its multiples). Reduces to squared L2 of rows scaled to length
    one, the chord c of the angle 2 arcsin(c / 2), which is exact for small angles where the arc cosine is not. It puts
    neighbours in the same order as `cosine`. The chord hardly grows near π: an index, which has it in float32, rounds angles
    there to 0.0005. Rows of length zero have no direction: refused. Clustering makes the squared chords least, as under `cosine`,
    not the angles.

    >>> Angular().distances(np.float32([[1, 0]]), np.float32([[5, 0], [0, 2], [-1, 0]])).round(4).tolist()
    [[0.0, 1.5708, 3.1416]]
    """

    name = "angular"
    axioms = ALL_AXIOMS
    similarity_rule = "1 - distance / π, from 0 to 1"
    bad_row_reason = "an angle needs two directions, and rows of length zero have none"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        self.need_accepted(queries)
        return arcs(squared_l2(_directions(queries), _directions(vectors)))

    def finish(self, values: np.ndarray) -> np.ndarray:
        return arcs(values)

    def unfinish(self, distance: float) -> float:
        return squared_chord(distance)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 - distances / pi)


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length one, in float64."""
    numbers = rows.astype(np.float64)
    lengths = np.linalg.norm(numbers, axis=1, keepdims=True)
    return np.asarray(numbers / np.where(lengths > 0, lengths, 1.0))


def arcs(values: np.ndarray) -> np.ndarray:
    """Squared chords of the unit sphere as angles in radians; +inf, which pads, stays.

    >>> arcs(np.array([0.0, 4.0, np.inf])).round(4).tolist()
    [0.0, 3.1416, inf]
    """
    half = np.sqrt(np.clip(values, 0, 4)) * values.dtype.type(0.5)
    return np.asarray(np.where(np.isposinf(values), values, 2 * np.arcsin(np.minimum(half, 1))))


def squared_chord(angle: float) -> float:
    """The inverse of `arcs`; beyond π everything is inside.

    >>> round(squared_chord(pi / 2), 9)
    2.0
    """
    if abs(angle) >= pi:
        return copysign(8.0, angle)
    return copysign(4.0 * sin(angle / 2) ** 2, angle)
