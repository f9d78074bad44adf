"""IVF under a compiled metric: cells around centroids that the metric itself assigns rows to and probes.

Source of the idea: Lloyd's iteration with the metric's own assignment; a medoid, a row of the cell, stands for it where a mean
means nothing (L. Kaufman and P. Rousseeuw, "Clustering by means of medoids", 1987).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import ClassVar

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.indexes import Found, Index, Layout, Mask, SearchParameter
from nearkin.kernels import Kernel
from nearkin.metrics import unit_rows
from nearkin.state import State
from nearkin_plugins.compiled_flat import kernel_of
from nearkin_plugins.faiss_ivf import IVFIndex

ROWS_PER_CENTROID = 64
ITERATIONS = 6
TRIED = 2048
"""Rows whose distances to the cells decide between rules for centroids."""

MEMBERS = 64
"""Rows of a cell that medoids are compared on."""


def make_ivf(layout: Layout, *, nlist: int | None = None, clusterer: str = "kmeans", centroids: str = "auto") -> Index:
    """An ivf index: over faiss where it knows the metric, compiled where the metric is a kernel."""
    if layout.space.kernel is not None:
        return CompiledIVFIndex(layout, nlist=nlist, centroids=centroids)
    if centroids != "auto":
        raise NotSupportedError(
            f"ivf:centroids={centroids} needs a compiled metric, and {layout.space.label} is searched by faiss",
            hint="leave centroids out, or choose a clusterer",
        )
    return IVFIndex(layout, nlist=nlist, clusterer=clusterer)


class CompiledIVFIndex(Index):
    """Rows in cells by a compiled metric; a search scans the `nprobe` cells whose centroids are nearest.

    Parameters
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    centroids
        What stands for a cell; ``"auto"`` takes what serves a sample best.
    """

    name = "ivf"
    search_params: ClassVar[Mapping[str, SearchParameter]] = IVFIndex.search_params

    def __init__(self, layout: Layout, *, nlist: int | None = None, centroids: str = "auto") -> None:
        super().__init__(layout)
        self.nlist = nlist or max(1, round(sqrt(layout.rows)))
        self.centroids = centroids
        rules = _rules(layout)
        if centroids != "auto" and centroids not in rules:
            raise ParameterError(f"ivf:centroids={centroids} is not defined for packed bits, use {' or '.join(rules)}")
        self._threads = 1
        nothing = np.empty((0, layout.dim), dtype=np.float32 if layout.space.dtype == "float32" else np.uint8)
        self._cells = nothing
        self._lists = np.zeros(self.nlist + 1, dtype=np.int64), nothing, np.empty(0, dtype=np.int64)
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def label(self) -> str:
        return f"ivf{self.nlist}" + ("" if self.centroids == "auto" else f":centroids={self.centroids}")

    def use_threads(self, threads: int) -> None:
        self._threads = threads

    def train_rows(self) -> int:
        return self.nlist

    def sample_rows(self, n: int) -> int:
        return min(n, ROWS_PER_CENTROID * self.nlist)

    def check_rows_suffice(self, n: int) -> None:
        if n < self.nlist:
            raise VectorError(
                f"ivf was asked for {self.nlist:,} cells, and there are only {n:,} rows to find them in",
                hint=f"use nlist of at most {max(1, round(sqrt(n)))}, or leave the number out",
            )

    def search_defaults(self, n: int) -> dict[str, int]:
        return {"nprobe": min(self.nlist, max(32, -(-self.nlist // 8)))}

    def _train(self, vectors: np.ndarray) -> None:
        rng = np.random.default_rng(self.layout.seed)
        start = vectors[np.sort(rng.choice(len(vectors), self.nlist, replace=False))]
        kernel = kernel_of(self.layout)
        rules = _rules(self.layout)
        if self.centroids != "auto":
            rules = {self.centroids: rules[self.centroids]}
        labels, _ = self._assign(kernel, vectors, start)
        some = vectors[rng.permutation(len(vectors))[:TRIED]]
        trials = {}
        for name, rule in rules.items():
            cells = rule(kernel, vectors, labels, start, rng)
            near = float(self._assign(kernel, some, cells)[1].mean()) if len(rules) > 1 else 0.0
            trials[name] = (near, cells)
        self.rule = min(trials, key=lambda name: trials[name][0])
        cells = trials[self.rule][1]
        for _ in range(ITERATIONS):
            labels, distances = self._assign(kernel, vectors, cells)
            cells = _reseeded(rules[self.rule](kernel, vectors, labels, cells, rng), labels, distances, vectors)
        self._cells = np.ascontiguousarray(cells)

    def _assign(self, kernel: Kernel, vectors: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nearest cell of each row, and the distance to it; a row that no cell is comparable with goes to cell 0."""
        positions, distances = kernel.scan(vectors, cells, 1, threads=self._threads)
        return np.maximum(positions[:, 0], 0), distances[:, 0]

    def _add(self, vectors: np.ndarray) -> None:
        self._waiting.append((self._assign(kernel_of(self.layout), vectors, self._cells)[0], vectors.copy()))

    def _ordered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offsets of the cells, rows in order of cell, and their positions; rows added since are put in order first."""
        if self._waiting:
            offsets, rows, positions = self._lists
            old = np.repeat(np.arange(self.nlist), np.diff(offsets))
            labels = np.concatenate([old, *(labels for labels, _ in self._waiting)])
            rows = np.concatenate([rows, *(block for _, block in self._waiting)])
            positions = np.concatenate([positions, np.arange(len(positions), len(rows))])
            order = np.argsort(labels, kind="stable")
            offsets = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=self.nlist))]).astype(np.int64)
            self._lists, self._waiting = (offsets, rows[order], positions[order]), []
        return self._lists

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        kernel = kernel_of(self.layout)
        nprobe = min(params["nprobe"], self.nlist)
        probes, _ = kernel.scan(queries, self._cells, nprobe, threads=self._threads)
        allowed = None if mask is None else mask.allowed
        return Found(*kernel.scan_lists(queries, probes, self._ordered(), k, allowed, self._threads))

    def _cost(self, n: int) -> dict[str, int]:
        size = self.layout.codec.code_size
        return {"codes": n * size, "ids": 8 * n, "centroids": self.nlist * size}

    def _allocated(self) -> dict[str, int]:
        offsets, rows, positions = self._ordered()
        return {"codes": rows.nbytes, "ids": positions.nbytes + offsets.nbytes, "centroids": self._cells.nbytes}

    def _state(self) -> State:
        offsets, rows, positions = self._ordered()
        arrays = {"offsets": offsets, "rows": rows, "positions": positions, "cells": self._cells}
        return State(arrays, {"rule": self.rule})

    def _restore(self, state: State) -> None:
        self._cells = state.arrays["cells"]
        self._lists = state.arrays["offsets"], state.arrays["rows"], state.arrays["positions"]
        self.rule = state.meta["rule"]


Rule = Callable[[Kernel, np.ndarray, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _rules(layout: Layout) -> dict[str, Rule]:
    """Ways to find what stands for a cell, by name."""
    if layout.space.dtype == "bits":
        return {"median": _by_cell(_majority), "medoid": _medoids}
    return {
        "mean": _by_cell(lambda members: members.mean(axis=0)),
        "spherical": lambda *given: unit_rows(_by_cell(lambda members: members.mean(axis=0))(*given)),
        "median": _by_cell(lambda members: np.median(members, axis=0)),
        "medoid": _medoids,
    }


def _by_cell(centre: Callable[[np.ndarray], np.ndarray]) -> Rule:
    """A rule that computes the centre of each cell's rows; a cell without rows stays where it is."""

    def rule(
        kernel: Kernel, vectors: np.ndarray, labels: np.ndarray, cells: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        moved = cells.copy()
        for cell, members in _members(labels):
            moved[cell] = centre(vectors[members])
        return moved

    return rule


def _majority(members: np.ndarray) -> np.ndarray:
    """The majority of each bit."""
    return np.packbits(np.unpackbits(members, axis=1).mean(axis=0) > 0.5)


def _medoids(
    kernel: Kernel, vectors: np.ndarray, labels: np.ndarray, cells: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The row of each cell with the smallest sum of distances to the others, on a sample of large cells."""
    moved = cells.copy()
    for cell, members in _members(labels):
        some = members if len(members) <= MEMBERS else rng.choice(members, MEMBERS, replace=False)
        rows = vectors[some]
        moved[cell] = rows[int(kernel.pairwise(rows, rows).sum(axis=0).argmin())]
    return moved


def _members(labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    order = np.argsort(labels, kind="stable")
    cells, starts = np.unique(labels[order], return_index=True)
    return [(int(cell), members) for cell, members in zip(cells, np.split(order, starts[1:]), strict=True)]


def _reseeded(cells: np.ndarray, labels: np.ndarray, distances: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cells without rows move to the rows farthest from their own cells."""
    empty = np.setdiff1d(np.arange(len(cells)), labels)
    if empty.size:
        cells[empty] = vectors[np.argsort(-distances, kind="stable")[: empty.size]]
    return cells
