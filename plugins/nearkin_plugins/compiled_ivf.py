"""IVF under a compiled metric: cells around centroids that the metric itself assigns rows to and probes.

Source of the idea: Lloyd's iteration with the metric's own assignment; a medoid, a row of the cell, stands for it where a mean
means nothing (L. Kaufman and P. Rousseeuw, "Clustering by means of medoids", 1987). Pruning by stored distances to a centroid:
W. Burkhard and R. Keller, "Some approaches to best-match file searching" (1973).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import ClassVar

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, PluginContractError
from nearkin.indexes import Found, Index, Layout, Mask
from nearkin.kernels import Kernel, need_numba
from nearkin.metrics import unit_rows
from nearkin.search_parameters import SearchParameter
from nearkin.state import State
from nearkin_plugins.cells import NPROBE, need_rows_for_cells, usual_nlist, usual_nprobe
from nearkin_plugins.compiled_flat import kernel_of
from nearkin_plugins.decoded_scan import DecodedIVFIndex
from nearkin_plugins.faiss_ivf import IVFIndex

ROWS_PER_CENTROID = 64
ITERATIONS = 4
ROWS_TRIED_PER_CENTROID = 16
TRIED = 2048
"""Rows whose distances to the centroids of others decide between rules."""

MEMBERS = 64
"""Rows of a cell that medoids are compared on, and rows and cells that rounding is measured on."""
ROUNDING = 1e-5
ROUNDING_OF_A_SUM = 1e-7
"""Share of a distance that float32 may round away, and what each of its columns may add to that."""

Lists = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Offsets of the cells, rows in order of cell, their positions, and, where kept, their distances to the cell's centroid."""


def make_ivf(
    layout: Layout,
    *,
    nlist: int | None = None,
    clusterer: str = "kmeans",
    centroids: str = "auto",
    prune: bool = False,
) -> Index:
    """An ivf index: compiled where the metric is a kernel, over faiss where faiss knows metric and codec, else by decoding.

    Where faiss and a kernel both serve, only what needs the kernel is compiled: a folder opens alike with numba and without.
    """
    kernel = layout.space.kernel
    if kernel is not None and (layout.space.label == "kernel" or centroids != "auto" or prune):
        if clusterer != "kmeans":
            raise NotSupportedError(
                f"ivf:clusterer={clusterer} finds cells by squared distances, and those of the compiled metric "
                f"{kernel.source.name!r} are found by the metric itself",
                hint="leave clusterer out; centroids=mean, spherical, median or medoid says what stands for a cell",
            )
        need_numba(kernel.source.name)
        return CompiledIVFIndex(layout, nlist=nlist, centroids=centroids, prune=prune)
    if centroids != "auto":
        raise NotSupportedError(
            f"ivf:centroids={centroids} needs a compiled metric, and {layout.space.label} is searched by faiss",
            hint="leave centroids out, or choose a clusterer",
        )
    if prune:
        raise NotSupportedError(
            f"ivf:prune=true needs a compiled metric, and {layout.space.label} is searched by faiss",
            hint="use ivf without prune",
        )
    native = layout.codec.native
    if native is not None and native.library == "faiss":
        return IVFIndex(layout, nlist=nlist, clusterer=clusterer)
    return DecodedIVFIndex(layout, nlist=nlist, clusterer=clusterer)


class CompiledIVFIndex(Index):
    """Rows in cells by a compiled metric; a search scans the `nprobe` cells whose centroids are nearest.

    Parameters
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    centroids
        What stands for a cell; ``"auto"`` takes what serves a sample best.
    prune
        Within the probed cells, leave out rows that the triangle inequality rules out: |d(query, centroid) - d(row, centroid)|
        is at most d(query, row). Answers stay the same but for ties; for that, what rounding does is measured on a sample.
    """

    name = "ivf"
    search_params: ClassVar[Mapping[str, SearchParameter]] = NPROBE

    def __init__(
        self, layout: Layout, *, nlist: int | None = None, centroids: str = "auto", prune: bool = False
    ) -> None:
        super().__init__(layout)
        self.nlist = nlist or usual_nlist(layout.rows)
        self.centroids = centroids
        rules = _rules(layout)
        if centroids != "auto" and centroids not in rules:
            raise ParameterError(f"ivf:centroids={centroids} is not defined for packed bits, use {' or '.join(rules)}")
        self.prune = prune
        if prune:
            _need_axioms(layout)
        self._slack = 0.0
        self._threads = 1
        nothing = np.empty((0, layout.dim), dtype=np.float32 if layout.space.dtype == "float32" else np.uint8)
        self._cells = nothing
        empty = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        self._lists = np.zeros(self.nlist + 1, dtype=np.int64), nothing, *empty
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._ordering = Lock()

    @property
    def label(self) -> str:
        centroids = "" if self.centroids == "auto" else f":centroids={self.centroids}"
        return f"ivf{self.nlist}{centroids}{':prune=true' if self.prune else ''}"

    def use_threads(self, threads: int) -> None:
        self._threads = threads

    def train_rows(self) -> int:
        return self.nlist

    def sample_rows(self, n: int) -> int:
        return min(n, ROWS_PER_CENTROID * self.nlist)

    def check_rows_suffice(self, n: int) -> None:
        need_rows_for_cells(self.nlist, n)

    def search_defaults(self, n: int) -> dict[str, int]:
        return {"nprobe": usual_nprobe(self.nlist)}

    def cell_sizes(self) -> np.ndarray | None:
        return np.asarray(np.diff(self._ordered()[0]))

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        cells, distances = self._assign(kernel_of(self.layout), vectors, self._cells)
        return cells, distances.astype(np.float64)

    def start_from(self, present: Index) -> None:
        if isinstance(present, CompiledIVFIndex) and present.nlist == self.nlist:
            self._cells = present._cells.copy()

    def _train(self, vectors: np.ndarray) -> None:
        rng = np.random.default_rng(self.layout.seed)
        kernel = kernel_of(self.layout)
        mixed = vectors[rng.permutation(len(vectors))]
        first = self._cells if len(self._cells) else mixed[: self.nlist]
        rules = _rules(self.layout)
        self.rule = self.centroids if self.centroids != "auto" else self._best_rule(kernel, rules, mixed, rng)
        try:
            self._cells = self._found_cells(kernel, rules[self.rule], vectors, first, rng)
        except PluginContractError:
            if self.centroids != "auto" or self.rule == "medoid":
                raise
            self.rule = (
                "medoid"  # a mean or median may be a row, such as one of zeros, that the metric is not defined on
            )
            self._cells = self._found_cells(kernel, rules[self.rule], vectors, first, rng)
        if self.prune:
            self._slack = _slack(kernel, vectors, self._cells, rng)

    def _found_cells(
        self, kernel: Kernel, rule: Rule, vectors: np.ndarray, cells: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        for _ in range(ITERATIONS):
            labels, distances = self._assign(kernel, vectors, cells)
            cells = _reseeded(rule(kernel, vectors, labels, cells, rng), labels, distances, vectors)
        self._assign(kernel, vectors[:MEMBERS], cells)  # refuses NaN of the last ones
        return np.ascontiguousarray(cells)

    def _best_rule(self, kernel: Kernel, rules: Mapping[str, Rule], mixed: np.ndarray, rng: np.random.Generator) -> str:
        """The rule whose centroids of some rows are nearest to other rows."""
        start, others = mixed[: self.nlist], mixed[-TRIED:]
        some = mixed[: ROWS_TRIED_PER_CENTROID * self.nlist]
        labels, _ = self._assign(kernel, some, start)
        apart = {}
        for name, rule in rules.items():
            try:
                apart[name] = float(self._assign(kernel, others, rule(kernel, some, labels, start, rng))[1].mean())
            except PluginContractError:
                if name == "medoid":  # rows themselves: nothing is left
                    raise
        return min(apart, key=lambda name: apart[name])

    def _assign(self, kernel: Kernel, vectors: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nearest cell of each row, and the distance to it; a row that no cell is comparable with goes to cell 0."""
        positions, distances = kernel.scan(vectors, cells, 1, threads=self._threads)
        return np.maximum(positions[:, 0], 0), distances[:, 0]

    def _add(self, vectors: np.ndarray) -> None:
        labels, radii = self._assign(kernel_of(self.layout), vectors, self._cells)
        self._waiting.append((labels, vectors.copy(), radii if self.prune else radii[:0]))

    def _ordered(self) -> Lists:
        """The lists; rows added since are put in order first: by cell, and within it by radius where that is kept."""
        with self._ordering:  # the first searches may come from several threads at once
            self._put_in_order()
            return self._lists

    def _put_in_order(self) -> None:
        if self._waiting:
            offsets, rows, positions, radii = self._lists
            old = np.repeat(np.arange(self.nlist), np.diff(offsets))
            labels = np.concatenate([old, *(labels for labels, _, _ in self._waiting)])
            rows = np.concatenate([rows, *(block for _, block, _ in self._waiting)])
            radii = np.concatenate([radii, *(block for _, _, block in self._waiting)])
            positions = np.concatenate([positions, np.arange(len(positions), len(rows))])
            order = np.lexsort((radii, labels)) if self.prune else np.argsort(labels, kind="stable")
            offsets = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=self.nlist))]).astype(np.int64)
            radii = radii[order] if self.prune else radii
            self._lists, self._waiting = (offsets, rows[order], positions[order], radii), []

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        kernel = kernel_of(self.layout)
        nprobe = min(params["nprobe"], self.nlist)
        probes, reaches = kernel.scan(queries, self._cells, nprobe, threads=self._threads)
        allowed = None if mask is None else mask.allowed
        if not self.prune:
            return Found(*kernel.scan_lists(queries, probes, self._ordered()[:3], k, allowed, self._threads))
        nearest = np.argsort(reaches, axis=1, kind="stable")  # the sooner near rows are found, the more is ruled out
        probed = np.take_along_axis(probes, nearest, axis=1), np.take_along_axis(reaches, nearest, axis=1)
        share = ROUNDING + ROUNDING_OF_A_SUM * self.layout.dim
        lists = self._ordered()
        return Found(
            *kernel.scan_lists_pruned(queries, probed, lists, k, allowed, self._threads, share=share, slack=self._slack)
        )

    def _cost(self, n: int) -> dict[str, int]:
        size = self.layout.codec.code_size
        return {"codes": n * size, "ids": 8 * n, "centroids": self.nlist * size, "radii": 4 * n * self.prune}

    def _allocated(self) -> dict[str, int]:
        offsets, rows, positions, radii = self._ordered()
        ids = positions.nbytes + offsets.nbytes
        return {"codes": rows.nbytes, "ids": ids, "centroids": self._cells.nbytes, "radii": radii.nbytes}

    def _state(self) -> State:
        offsets, rows, positions, radii = self._ordered()
        arrays = {"offsets": offsets, "rows": rows, "positions": positions, "cells": self._cells}
        if self.prune:
            return State({**arrays, "radii": radii}, {"rule": self.rule, "slack": self._slack})
        return State(arrays, {"rule": self.rule})

    def _restore(self, state: State) -> None:
        arrays = state.arrays
        radii = arrays["radii"] if self.prune else self._lists[3]
        self._cells = arrays["cells"]
        self._lists = arrays["offsets"], arrays["rows"], arrays["positions"], radii
        self._slack = state.meta["slack"] if self.prune else 0.0
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


def _need_axioms(layout: Layout) -> None:
    """Refuse to prune by a triangle inequality that the metric does not declare."""
    lacking = [axiom for axiom in ("symmetric", "triangle") if axiom not in layout.space.axioms]
    if lacking:
        raise NotSupportedError(
            f"ivf:prune=true needs the axioms symmetric and triangle, and {kernel_of(layout).source.name!r} does not "
            f"declare {' and '.join(lacking)}",
            hint="use ivf without prune, or declare what the metric holds",
        )


def _slack(kernel: Kernel, vectors: np.ndarray, cells: np.ndarray, rng: np.random.Generator) -> float:
    """Twice the most by which computed distances break what pruning relies on, among some rows and cells.

    A formula that subtracts nearly equal values, such as the arc cosine of a cosine, is wrong by much more than a share of a
    small distance, and the distance of a row to itself shows it.
    """
    rows = vectors[rng.choice(len(vectors), min(len(vectors), MEMBERS), replace=False)]
    posts = cells[rng.choice(len(cells), min(len(cells), MEMBERS), replace=False)]
    apart, radii = (kernel.pairwise(rows, others).astype(np.float64) for others in (rows, posts))
    with np.errstate(invalid="ignore"):
        excess = np.abs(radii[:, None] - radii[None]) - apart[:, :, None]
    wrong = np.concatenate([excess.ravel(), np.abs(apart.diagonal())])
    return 2 * float(wrong[np.isfinite(wrong)].max(initial=0.0))
