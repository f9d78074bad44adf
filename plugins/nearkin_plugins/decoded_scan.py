"""Flat and ivf over codes that no library scans: blocks are decoded and compared with all queries that need them at once.

Under squared L2 and inner product that comparison is one matrix product of float32, which costs less than decoding again for
each query; only queries with rows so close that little would be left of the difference are compared in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock

import numpy as np

from nearkin.flat_index import FlatIndex
from nearkin.indexes import Found, Layout, Mask, empty_found, merge_found
from nearkin.metrics import unit_rows
from nearkin.state import State, nested_state, restore_nested
from nearkin.vectors import block_rows
from nearkin_plugins.cells import CellIndex

SCANNED = 4096
"""Rows that are decoded at a time: few enough for the values of a batch of queries to stay small."""

CLOSE = 1e-3
"""Share of a query's squared distance to the centre below which float32 would round more than 1e-4 of a value away."""

CANDIDATE_BYTES = 1 << 26
"""Values and positions of all rows of the probed cells that are held at a time."""


class DecodedFlatIndex(FlatIndex):
    """Every row is decoded and compared with every query, under squared L2 or inner product, in float32.

    Squared L2 is computed around the mean of the rows, so that it does not cancel where rows lie far from the origin.
    """

    def _train(self, vectors: np.ndarray) -> None:
        super()._train(vectors)
        self._centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        codes = self._codes.joined(self.layout.codec.code_size)
        best = empty_found(len(queries), k)
        for start in range(0, self.n, SCANNED):
            rows = self.layout.codec.decode(codes[start : start + SCANNED])
            values = compared(self.layout, queries, rows, self._centre)
            if mask is not None:
                values[:, ~mask.allowed[start : start + SCANNED]] = np.inf
            nearest, found = smallest(values, k)
            best = merge_found(best, Found(np.where(found < np.inf, nearest + start, -1), found), k)
        return best

    def _state(self) -> State:
        return nested_state(rows=super()._state(), scan=State({"centre": self._centre}))

    def _restore(self, state: State) -> None:
        restore_nested(state, rows=super()._restore, scan=self._restore_centre)

    def _restore_centre(self, state: State) -> None:
        self._centre = np.ascontiguousarray(state.arrays["centre"])


class DecodedIVFIndex(CellIndex):
    """Codes in `nlist` cells, each around a centroid; the rows of the probed cells are decoded and compared.

    Parameters
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    """

    def __init__(self, layout: Layout, *, nlist: int | None = None, clusterer: str = "kmeans") -> None:
        super().__init__(layout, nlist=nlist, clusterer=clusterer)
        self._centroids = np.empty((0, layout.dim), dtype=np.float32)
        self._lists = np.zeros(self.nlist + 1, np.int64), np.empty((0, layout.codec.code_size), np.uint8), _nowhere()
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._ordering = Lock()

    def _train(self, vectors: np.ndarray) -> None:
        self.layout.codec.train(vectors)
        self._centroids = self._clustered(vectors)

    def cell_sizes(self) -> np.ndarray | None:
        return np.asarray(np.diff(self._ordered()[0]))

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Under inner product the squared distance is that between directions, since cells are found by these."""
        by_direction = self.layout.space.label == "inner-product"
        values = self._to_cells(unit_rows(vectors) if by_direction else vectors)
        apart = values.min(axis=1).astype(np.float64)
        return values.argmin(axis=1), np.maximum(0.0, 2.0 + 2.0 * apart) if by_direction else apart

    def centroids(self) -> np.ndarray:
        return self._centroids.copy()

    def _add(self, vectors: np.ndarray) -> None:
        cells = np.empty(len(vectors), dtype=np.int64)
        step = block_rows(4 * self.nlist)
        for start in range(0, len(vectors), step):
            cells[start : start + step] = self._to_cells(vectors[start : start + step]).argmin(axis=1)
        self._waiting.append((cells, self.layout.codec.encode(vectors)))

    def _to_cells(self, vectors: np.ndarray) -> np.ndarray:
        """(n, nlist) values between rows and the centroids of the cells."""
        return compared(self.layout, vectors, self._centroids, self._centroids.mean(axis=0))

    def _ordered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offsets of the cells, codes in order of cell, and their positions; rows added since are sorted in."""
        with self._ordering:
            if self._waiting:
                offsets, codes, positions = self._lists
                first = len(positions)
                cells = [np.repeat(np.arange(self.nlist), np.diff(offsets)), *(cells for cells, _ in self._waiting)]
                owner = np.concatenate(cells)
                order = np.argsort(owner, kind="stable")
                codes = np.concatenate([codes, *(codes for _, codes in self._waiting)])[order]
                positions = np.concatenate([positions, np.arange(first, len(owner))])[order]
                counts = np.bincount(owner, minlength=self.nlist)
                self._lists = np.concatenate([[0], np.cumsum(counts)]), codes, positions
                self._waiting = []
            return self._lists

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        lists = self._ordered()
        nprobe = min(params["nprobe"], self.nlist)
        probed, _ = smallest(self._to_cells(queries), nprobe)
        widest = int(np.sort(np.diff(lists[0]))[-nprobe:].sum())
        step = block_rows(12 * max(1, widest), CANDIDATE_BYTES)
        parts = [
            self._answer(queries[start : start + step], probed[start : start + step], k, mask, lists)
            for start in range(0, len(queries), step)
        ]
        return Found(*(np.concatenate(each) for each in zip(*parts, strict=True))) if parts else empty_found(0, k)

    def _answer(
        self,
        queries: np.ndarray,
        probed: np.ndarray,
        k: int,
        mask: Mask | None,
        lists: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> Found:
        offsets, codes, positions = lists
        sizes = np.diff(offsets)[probed]
        starts = np.cumsum(sizes, axis=1) - sizes
        width = max(k, int(sizes.sum(axis=1).max(initial=0)))
        candidates = empty_found(len(queries), width)
        for cell, rows, places in _askers(probed, starts):
            span = slice(int(offsets[cell]), int(offsets[cell + 1]))
            decoded = self.layout.codec.decode(codes[span])
            values = compared(self.layout, queries[rows], decoded, self._centroids[cell])
            if mask is not None:
                values[:, ~mask.allowed[positions[span]]] = np.inf
            columns = places[:, None] + np.arange(len(decoded))
            candidates.distances[rows[:, None], columns] = values
            candidates.positions[rows[:, None], columns] = positions[span]
        columns, values = smallest(candidates.distances, k)
        found = np.take_along_axis(candidates.positions, columns, axis=1)
        return Found(np.where(values < np.inf, found, -1), values)

    def _cost(self, n: int) -> dict[str, int]:
        codec = self.layout.codec
        return {**codec.cost(n), "ids": 8 * n, "centroids": 4 * self.nlist * self.layout.dim}

    def _allocated(self) -> dict[str, int]:
        _, codes, positions = self._ordered()
        return {
            "codes": codes.nbytes,
            "codebooks": self.layout.codec.overhead(),
            "ids": positions.nbytes,
            "centroids": self._centroids.nbytes,
        }

    def _state(self) -> State:
        offsets, codes, positions = self._ordered()
        cells = {"centroids": self._centroids, "offsets": offsets, "codes": codes, "positions": positions}
        return nested_state(codec=self.layout.codec.state(), cells=State(cells))

    def _restore(self, state: State) -> None:
        restore_nested(state, codec=self.layout.codec.restore, cells=self._restore_cells)

    def _restore_cells(self, state: State) -> None:
        centroids, offsets, codes, positions = (
            np.ascontiguousarray(state.arrays[name]) for name in ("centroids", "offsets", "codes", "positions")
        )
        self._centroids, self._lists = centroids, (offsets, codes, positions)
        self._waiting = []


def _nowhere() -> np.ndarray:
    return np.empty(0, dtype=np.int64)


def _askers(probed: np.ndarray, starts: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each cell that some query probes, with the queries, and where in their candidates its rows begin."""
    order = np.argsort(probed, axis=None, kind="stable")
    cells, firsts = np.unique(probed.ravel()[order], return_index=True)
    for cell, some in zip(cells.tolist(), np.split(order, firsts[1:]), strict=True):
        yield cell, some // probed.shape[1], starts.ravel()[some]


def compared(layout: Layout, queries: np.ndarray, rows: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(nq, n) float32 values of the layout's space between float32 queries and rows.

    Squared L2 is computed around `centre`: ||q - x||² = ||q||² - 2 q·x + ||x||², which cancels the less the nearer the centre.
    Queries with rows that are much closer than it are compared again in float64.
    """
    if layout.space.label == "inner-product":
        return np.asarray(-(queries @ rows.T))
    near, around = queries - centre, rows - centre
    squares = np.einsum("ij,ij->i", near, near)
    values = near @ around.T
    values *= -2.0
    values += squares[:, None]
    values += np.einsum("ij,ij->i", around, around)[None, :]
    close = np.flatnonzero((values < CLOSE * squares[:, None]).any(axis=1))
    if close.size:
        values[close] = layout.space.pairwise(queries[close], rows)
    return np.asarray(np.maximum(values, 0.0, out=values))


def smallest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k smallest of each row, in ascending order, equal ones from the left; as many as there are
    columns if those are fewer.

    >>> columns, values = smallest(np.float32([[3, 1, 2]]), 2)
    >>> columns.tolist(), values.tolist()
    ([[1, 2]], [[1.0, 2.0]])
    """
    columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    if k < values.shape[1]:
        columns = np.sort(np.argpartition(values, k - 1, axis=1)[:, :k], axis=1)
    taken = np.take_along_axis(values, columns, axis=1)
    order = np.argsort(taken, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(taken, order, axis=1)
