"""Spaces close to a metric, in which squared L2 gives candidates for it.

Every space maps rows of any kind to float32 rows: the rows themselves, their directions, their roots, a linear map fitted to the
metric, or distances to landmark rows, which needs nothing of the rows but the metric.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from nearkin.errors import VectorError
from nearkin.metrics import unit_rows
from nearkin.state import State
from nearkin.vectors import DType

Distances = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(nq, dim) and (n, dim) rows to (nq, n) values of the metric that the space stands for."""

COMPARED = 1024
"""Rows whose distances to one another a linear map is fitted to."""

LANDMARKS = 256
WIDEST = 128
"""Most columns of a fitted space."""

RIDGE = 1e-3


class SurrogateSpace(ABC):
    """A map of rows into a space where squared L2 is searched.

    Parameters
    ----------
    dim, dtype
        Columns of the rows, and ``"float32"`` or ``"bits"``.
    """

    name: ClassVar[str]

    def __init__(self, dim: int, dtype: DType) -> None:
        self.dim = dim
        self.dtype = dtype
        self.numbers = dim if dtype == "float32" else 8 * dim

    @property
    def width(self) -> int:
        """Columns of mapped rows."""
        return self.numbers

    def fit(self, sample: np.ndarray, distances: Distances, rng: np.random.Generator) -> None:
        """Learn from (n, dim) rows and the metric."""

    @abstractmethod
    def map(self, rows: np.ndarray, distances: Distances) -> np.ndarray:
        """(n, dim) rows to (n, width) float32 ones."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """What was fitted."""
        return {}

    def cost(self, rows: int) -> int:
        """Bytes of `arrays` once fitted to so many rows."""
        return 0

    def restore(self, state: State) -> None:
        """Take back what `arrays` gave."""

    def numbers_of(self, rows: np.ndarray) -> np.ndarray:
        """(n, numbers) float32: the rows as they are, or packed bits as 0 and 1."""
        return rows if self.dtype == "float32" else np.unpackbits(rows, axis=1).astype(np.float32)


class RowsAsTheyAre(SurrogateSpace):
    """Squared L2 of the rows; of packed bits, the number of bits that differ."""

    name = "l2"

    def map(self, rows: np.ndarray, distances: Distances) -> np.ndarray:
        return self.numbers_of(rows)


class Directions(SurrogateSpace):
    """Rows scaled to length one."""

    name = "cosine"

    def map(self, rows: np.ndarray, distances: Distances) -> np.ndarray:
        return unit_rows(self.numbers_of(rows))


class Roots(SurrogateSpace):
    """Roots of the values with their signs, which is close to metrics that weigh small values more.

    Source: R. Arandjelović and A. Zisserman, "Three things everyone should know to improve object retrieval" (2012).

    >>> Roots(2, "float32").map(np.float32([[4, -9]]), lambda q, x: q).tolist()
    [[2.0, -3.0]]
    """

    name = "root"

    def map(self, rows: np.ndarray, distances: Distances) -> np.ndarray:
        return np.asarray(np.copysign(np.sqrt(np.abs(rows)), rows))


class LinearMap(SurrogateSpace):
    """A linear map whose squared L2 is close to the metric: classical scaling of a sample, predicted from the rows by ridge
    regression.

    Source: W. Torgerson, "Multidimensional scaling: I. Theory and method" (1952), for the coordinates.
    """

    name = "linear"

    def __init__(self, dim: int, dtype: DType) -> None:
        super().__init__(dim, dtype)
        self._map = np.empty((self.numbers, 0), dtype=np.float32)

    @property
    def width(self) -> int:
        return min(WIDEST, _whole_eights(self.numbers))

    def fit(self, sample: np.ndarray, distances: Distances, rng: np.random.Generator) -> None:
        rows = _some(sample, COMPARED, rng)
        axes, spreads, _ = scaled(distances(rows, rows), min(self.width, len(rows)))
        wanted = axes * np.sqrt(spreads)
        numbers = self.numbers_of(rows).astype(np.float64)
        numbers -= numbers.mean(axis=0)
        gram = numbers.T @ numbers
        gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram) + 1e-30
        self._map = padded(np.linalg.solve(gram, numbers.T @ wanted), self.width).astype(np.float32)

    def map(self, rows: np.ndarray, distances: Distances) -> np.ndarray:
        return np.asarray(self.numbers_of(rows) @ self._map)

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {"map": self._map}

    def cost(self, rows: int) -> int:
        return 4 * self.numbers * self.width

    def restore(self, state: State) -> None:
        self._map = state.arrays["map"]


class Landmarks(SurrogateSpace):
    """Coordinates from the distances to landmark rows, for any dissimilarity.

    Source: V. de Silva and J. Tenenbaum, "Sparse multidimensional scaling using landmark points" (2004).
    """

    name = "landmarks"

    def __init__(self, dim: int, dtype: DType) -> None:
        super().__init__(dim, dtype)
        self._landmarks = np.empty((0, dim), dtype=np.float32 if dtype == "float32" else np.uint8)
        self._map = np.empty((0, 0), dtype=np.float32)
        self._power = 1

    @property
    def width(self) -> int:
        return min(WIDEST, _whole_eights(self.numbers))

    def fit(self, sample: np.ndarray, distances: Distances, rng: np.random.Generator) -> None:
        self._landmarks = np.ascontiguousarray(_some(sample, LANDMARKS, rng))
        values = distances(self._landmarks, self._landmarks)
        axes, spreads, self._power = scaled(values, min(self.width, len(values)))
        self._map = padded(-0.5 * axes / np.sqrt(spreads), self.width).astype(np.float32)

    def map(self, rows: np.ndarray, distances: Distances) -> np.ndarray:
        # Landmarks ask and rows answer, for rows and queries alike, so that a metric need not be symmetric.
        values = distances(self._landmarks, rows).T
        return np.asarray(values**self._power, dtype=np.float32) @ self._map

    def cost(self, rows: int) -> int:
        return min(LANDMARKS, rows) * (self._landmarks.itemsize * self.dim + 4 * self.width)

    def arrays(self) -> Mapping[str, np.ndarray]:
        return {"landmarks": self._landmarks, "map": self._map, "power": np.int64([self._power])}

    def restore(self, state: State) -> None:
        self._landmarks, self._map = state.arrays["landmarks"], state.arrays["map"]
        self._power = int(state.arrays["power"][0])


SPACES: Mapping[str, type[SurrogateSpace]] = {
    each.name: each for each in (RowsAsTheyAre, Directions, Roots, LinearMap, Landmarks)
}
FOR_BITS = ("l2", "cosine", "linear", "landmarks")


def spaces_for(dtype: DType) -> tuple[str, ...]:
    """Names of the spaces for rows of this type, the cheapest first."""
    return tuple(SPACES) if dtype == "float32" else FOR_BITS


def scaled(values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Classical scaling of (n, n) dissimilarities: axes, the spread along each, and the power whose result was squared L2.

    Some metrics are squared distances already, others (L1, Jaccard) are so after a root; whichever of the values and their squares
    leaves less that no Euclidean space can hold is taken.

    Raises
    ------
    VectorError
        All rows are equally far from each other, or a value is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    values = (values + values.T) / 2
    if not np.isfinite(values).all():
        raise VectorError("some rows are infinitely far apart, so they have no coordinates")
    values = values - min(0.0, float(values.min()))
    best: tuple[float, np.ndarray, np.ndarray, int] | None = None
    for power in (1, 2):
        squares = values**power
        centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
        spreads, axes = np.linalg.eigh(-0.5 * centred)
        lost = float(-spreads[spreads < 0].sum() / max(np.abs(spreads).sum(), 1e-300))
        if best is None or lost < best[0]:
            best = lost, spreads[::-1], axes[:, ::-1], power
    assert best is not None
    _, spreads, axes, power = best
    real = spreads > 1e-9 * max(spreads[0], 1e-300)
    if not real.any():
        raise VectorError("all rows are equally far from each other, so they have no coordinates")
    count = min(most, int(real.sum()))
    return axes[:, :count], spreads[:count], power


def padded(columns: np.ndarray, width: int) -> np.ndarray:
    """With columns of zeros up to a width.

    >>> padded(np.ones((2, 3)), 8).shape
    (2, 8)
    """
    return np.pad(columns, ((0, 0), (0, width - columns.shape[1])))


def _whole_eights(number: int) -> int:
    """So that product quantizers find sub-vectors."""
    return -(-number // 8) * 8


def _some(sample: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many rows, without repeats, in random order."""
    rows = np.unique(sample, axis=0) if len(sample) <= 4 * most else sample
    return rows[rng.permutation(len(rows))[:most]]
