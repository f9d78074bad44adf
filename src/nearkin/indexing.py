"""From rows to an index: sample, prepare, train, fill."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np

from nearkin.calibration import calibrate, sampled
from nearkin.components import Part
from nearkin.errors import NearkinError, VectorError
from nearkin.indexes import FEW_ROWS, Found, Index, Mask, empty_found, merge_found
from nearkin.metrics import INNER_PRODUCT, L2, Metric
from nearkin.plans import Plan, as_plan, exact_plan, label_of, make_index, parse_plan
from nearkin.registry import Registry
from nearkin.reranking import PreparedRows
from nearkin.rows import Rows

SHORTEST = 1e-15
"""Squares of values, and of differences a ten-thousandth as large, are normal numbers of float32 down to here."""


@dataclass(frozen=True)
class Timings:
    """Seconds that building took; `read` and `save` only where a folder was built from a file."""

    train: float = 0.0
    add: float = 0.0
    calibrate: float = 0.0
    read: float = 0.0
    save: float = 0.0

    @property
    def total(self) -> float:
        """Building the index, without reading and saving."""
        return self.train + self.add + self.calibrate

    def __add__(self, other: Timings) -> Timings:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Timings(*(one + another for one, another in pairs))


@dataclass(frozen=True)
class Built:
    """An index with all rows; None where there are none.

    Attributes
    ----------
    notes
        What was measured and decided on the way, in words.
    facts
        What is true of it now and is kept with it, JSON-able; `nearkin.baseline` writes and reads it.
    """

    index: Index | None = None
    timings: Timings = Timings()
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what index is built over rows."""

    plan: Plan
    metric: Metric
    registry: Registry
    seed: int = 0

    def make(self, dim: int, rows: int, stored: Rows | None = None) -> Index:
        """The untrained index for rows of `dim` columns, refused if the plan would be wrong.

        `stored` are the rows, where they stay and the index may read them again.
        """
        width = self.metric.prepared_dim(dim)
        kept = None if stored is None else PreparedRows(stored, self.metric)
        return make_index(self.plan, self.metric, width, self.registry, rows=rows, seed=self.seed, stored=kept)

    def build(self, rows: Rows, threads: int, *, rows_stay: bool = True) -> Built:
        """The index over every position; deleted rows take up positions and no part in training.

        An index that promises a recall gets its search parameters by measuring; where no parameters keep the promise, the plan
        that it names for this case is built instead, and where that does not either, an exact one.
        """
        if 0 < rows.count < FEW_ROWS and self.make(rows.dim, rows.count, rows).fallback:
            few = f"{rows.count:,} rows are too few to choose an index by measuring, so every row is compared"
            return replace(self._exactly().filled(rows, threads, rows_stay), notes=(few,))
        return self.keep_promise(self.filled(rows, threads, rows_stay), rows, threads, rows_stay=rows_stay)

    def keep_promise(self, built: Built, rows: Rows, threads: int, *, rows_stay: bool = True) -> Built:
        """An index over every position with search parameters for the recall that it promises, or another in its place."""
        if built.index is None or not built.index.promised_recall or rows.count < 3:
            return built
        wanted = built.index.promised_recall
        fallback = built.index.fallback
        built, shortfall = self._calibrated(built, rows, threads, wanted)
        if not fallback or self.plan.search:
            return built
        for recipe in self._instead(fallback, rows.dim) if shortfall else ():
            other = recipe.filled(rows, threads, rows_stay)
            notes = (*built.notes, f"{shortfall}, so {recipe.plan.index.name.rpartition('/')[2]} is tried instead")
            shortfall = ""
            if other.index is not None and recipe.plan != self._exactly().plan:
                other, shortfall = recipe._calibrated(other, rows, threads, wanted)
            built = replace(other, timings=built.timings + other.timings, notes=notes + other.notes)
            if not shortfall:
                break
        return built

    def _instead(self, fallback: str, dim: int) -> Iterator[Recipe]:
        """The plan that an index falls back to, if it serves the metric, and an exact one."""
        try:
            recipe = replace(self, plan=parse_plan(fallback, self.registry))
            recipe.make(dim, 1)
        except NearkinError:
            pass
        else:
            yield recipe
        yield self._exactly()

    def _exactly(self) -> Recipe:
        """An exact plan, by its plain name if that means the same: it becomes the plan of the collection."""
        exact = self.exact()
        plain = Part(exact.plan.index.name.rpartition("/")[2])
        try:
            same = self.registry.resolve("index", plain.name) is self.registry.resolve("index", exact.plan.index.name)
        except NearkinError:
            return exact
        return replace(exact, plan=Plan(plain)) if same else exact

    def filled(
        self,
        rows: Rows,
        threads: int,
        rows_stay: bool = True,
        *,
        left_out: np.ndarray | None = None,
        present: Index | None = None,
    ) -> Built:
        """The index over every position with its usual search parameters.

        Rows at the positions `left_out` take no part in training, which starts from the `present` index where it can.
        """
        alive = np.flatnonzero(rows.alive)
        if left_out is not None:
            alive = np.setdiff1d(alive, left_out, assume_unique=True)
        if not alive.size:
            return Built()
        index = self.make(rows.dim, rows.count, rows if rows_stay else None)
        index.use_threads(threads)
        if present is not None:
            index.start_from(present)
        start = time.perf_counter()
        index.train(self._training_sample(index, rows, alive))
        trained = time.perf_counter()
        for _, block in rows.blocks():
            index.add(self.metric.prepare(block))
        facts = {"trained": {"positions": len(rows), "rows": rows.count}}
        return Built(index, Timings(trained - start, time.perf_counter() - trained), facts=facts)

    def _calibrated(self, built: Built, rows: Rows, threads: int, wanted: float) -> tuple[Built, str]:
        """The same with search parameters for a recall, what was measured, and what speaks against it."""
        assert built.index is not None
        start = time.perf_counter()
        asked = sampled(np.flatnonzero(rows.alive), self.seed, wanted)
        prepared = self.metric.prepare_queries(rows.take(asked))
        found = calibrate(
            built.index,
            prepared,
            asked,
            lambda queries, k: exact_over(rows, rows.alive, queries, k, threads, self),
            wanted,
            fixed=self.plan.search,
            mask=None if rows.alive.all() else Mask(rows.alive),
            threads=threads,
        )
        timings = built.timings + Timings(calibrate=time.perf_counter() - start)
        notes = (*built.notes, f"{self.label_of(built.index)}: {found}")
        return replace(built, timings=timings, notes=notes), found.shortfall

    def exact(self) -> Recipe:
        """The same with an exact plan."""
        return replace(self, plan=exact_plan(self.metric.space, self.registry))

    def filled_in(self, label: str) -> Recipe:
        """The same with the plan that an index was made from, every number filled in."""
        return replace(self, plan=as_plan(label, self.plan.search, self.registry))

    def label_of(self, index: Index) -> str:
        """The plan of an index made from this, with every number filled in."""
        return label_of(index, self.plan)

    def predicted(self, dim: int, rows: int, stored: Rows | None = None) -> Mapping[str, int]:
        """Bytes by component of the index, before building it."""
        return self.make(dim, rows, stored).cost(rows)

    def _training_sample(self, index: Index, rows: Rows, alive: np.ndarray) -> np.ndarray:
        wanted = index.sample_rows(len(alive))
        if wanted < len(alive):
            rng = np.random.default_rng(self.seed)
            alive = np.sort(rng.choice(alive, wanted, replace=False))
        sample = np.ascontiguousarray(self.metric.prepare(rows.take(alive)))
        if self.metric.space.label in (L2.label, INNER_PRODUCT.label):
            _refuse_short(sample)
        return sample


def _refuse_short(prepared: np.ndarray) -> None:
    """Raise VectorError if all rows are so short that their squares vanish in float32, and every row is as near as any."""
    largest = max(float(prepared.max(initial=0.0)), -float(prepared.min(initial=0.0)))
    if 0.0 < largest < SHORTEST:
        raise VectorError(
            f"the largest value of the rows is {largest:.0e}, and squares of values below {SHORTEST:.0e} leave the range "
            "of float32",
            hint="scale the rows up",
        )


def flat_over(rows: Rows, start: int, recipe: Recipe) -> Index:
    """An exact index over the positions from `start` on, which become its positions from 0 on."""
    index = recipe.exact().make(rows.dim, len(rows) - start)
    for first, block in rows.blocks(start):
        prepared = recipe.metric.prepare(block)
        if first == start:
            index.train(prepared)
        index.add(prepared)
    return index


def exact_over(rows: Rows, alive: np.ndarray, prepared: np.ndarray, k: int, threads: int, recipe: Recipe) -> Found:
    """The k nearest of the rows that are alive, block by block, so that memory for one block is enough."""
    best = empty_found(len(prepared), k)
    exact = recipe.exact()
    for first, block in rows.blocks(0, len(alive)):
        here = np.flatnonzero(alive[first : first + len(block)])
        if not here.size:
            continue
        # Rows that are left out are not given to the index, since libraries scan much slower under a mask.
        ready = recipe.metric.prepare(block if len(here) == len(block) else block[here])
        index = exact.make(rows.dim, len(ready))
        index.train(ready)
        index.add(ready)
        found = index.search(prepared, k, threads=threads)
        best = merge_found(
            best, Found(np.where(found.positions < 0, -1, first + here[found.positions]), found.distances), k
        )
    return best
