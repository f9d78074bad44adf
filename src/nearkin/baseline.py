"""What was true of an index when it was trained, kept with it: what its health is compared with later."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from nearkin.accuracy import Interval, tie_recall, without_itself
from nearkin.errors import CorruptFileError
from nearkin.indexes import Found, Index, Mask
from nearkin.indexing import Built, Recipe, exact_over
from nearkin.rows import Rows
from nearkin.true_distances import true_distances

FACT = "baseline"
"""Name among the facts that are kept with an index."""

K = 10
ROWS_ASKED = 400
"""Rows that ask for their neighbours, unless exact answers for so many take more than `SECONDS`; with fewer than `FEWEST` no
recall is kept."""

SECONDS = 1.0
FEWEST = 20
ROWS_TIMED, ROWS_TIMED_ASKING = 8192, 100
"""Rows that the exact answer is timed on, and rows that ask then."""

ROWS_PLACED = 10_000
"""Rows whose distances from their cells are averaged."""

FAR = 4.0
"""Times the median."""

Ask = Callable[[np.ndarray, int], Found]


@dataclass(frozen=True)
class Cells:
    """How rows lie in the cells of an index.

    Attributes
    ----------
    imbalance
        Σ s² nlist / n², with s the rows of a cell and n their sum: 1 where all are equal, 2 where a search looks at twice as many
        rows as it would then. Source: H. Jégou et al., "Searching with quantization" (2011), the imbalance factor.
    residual
        Mean distance of rows from what stands for their cells, in the terms of the index (squared under Euclidean and cosine),
        counting none as more than `limit`; None where the rows are not kept.
    limit
        `FAR` times the median of these distances, so that a few rows far out do not decide about the mean.
    """

    count: int
    empty: int
    largest: int
    imbalance: float
    residual: float | None = None
    limit: float | None = None

    @classmethod
    def of(cls, sizes: np.ndarray) -> Cells:
        """Facts of (nlist,) rows in each cell.

        >>> Cells.of(np.array([4, 0, 2, 2]))
        Cells(count=4, empty=1, largest=4, imbalance=1.5, residual=None, limit=None)
        """
        total = float(sizes.sum())
        imbalance = len(sizes) * float((sizes.astype(np.float64) ** 2).sum()) / total**2 if total else 1.0
        return cls(len(sizes), int((sizes == 0).sum()), int(sizes.max(initial=0)), imbalance)


@dataclass(frozen=True)
class Baseline:
    """An index when it was trained.

    Attributes
    ----------
    positions
        Positions that there were; the rows since come after them.
    rows
        Rows among them that were not deleted.
    cells
        None where the index has none.
    search
        Search parameters that the recall was measured at.
    asked
        Positions of the rows that asked, each left out of its own answer; none where recall was not measured.
    recalls
        Recall@10 of each, ties of the last neighbour counted as right.
    """

    positions: int
    rows: int
    cells: Cells | None = None
    search: Mapping[str, int] = field(default_factory=dict)
    asked: tuple[int, ...] = ()
    recalls: tuple[float, ...] = ()

    @property
    def recall(self) -> Interval | None:
        """Recall@10 with its interval; None where it was not measured."""
        return Interval.of(np.array(self.recalls)) if self.recalls else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "search": dict(self.search)}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Baseline:
        """What `to_dict` gave.

        Raises
        ------
        CorruptFileError
            It is something else.
        """
        try:
            cells = None if facts["cells"] is None else Cells(**facts["cells"])
            asked, recalls = tuple(map(int, facts["asked"])), tuple(map(float, facts["recalls"]))
            found = cls(int(facts["positions"]), int(facts["rows"]), cells, dict(facts["search"]), asked, recalls)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptFileError(
                f"what was true of the index when it was trained cannot be read: {error!r}", hint="run nearkin optimize"
            ) from error
        if len(asked) != len(recalls) or not all(0 <= each <= 1 for each in recalls) or found.rows > found.positions:
            raise CorruptFileError(
                f"what was true of the index when it was trained has {len(asked)} rows that asked and {len(recalls)} recalls "
                f"between 0 and 1, and {found.rows:,} rows at {found.positions:,} positions",
                hint="run nearkin optimize",
            )
        return found

    @classmethod
    def among(cls, facts: Mapping[str, Any]) -> Baseline | None:
        """The one among the facts that are kept with an index; None if there is none.

        Raises
        ------
        CorruptFileError
            As `from_dict`.
        """
        return cls.from_dict(facts[FACT]) if FACT in facts else None


def measured(recipe: Recipe, rows: Rows, built: Built, threads: int) -> Built:
    """The same index with what is true of it now among its facts; facts that it was trained with before are kept.

    Takes about a second: as many rows ask as can be answered exactly in that time.
    """
    if built.index is None or FACT in built.facts:
        return built
    built.index.use_threads(threads)
    baseline = Baseline(len(rows), rows.count, cells_of(recipe, rows, built.index, rows.alive))
    if rows.count > 1 and not is_copy(built.index):
        baseline = _with_recall(baseline, recipe, rows, built.index, threads)
    return replace(built, facts={**built.facts, FACT: baseline.to_dict()})


def _with_recall(baseline: Baseline, recipe: Recipe, rows: Rows, index: Index, threads: int) -> Baseline:
    asked = affordable(recipe, rows, threads)
    if len(asked) < min(FEWEST, rows.count):
        return baseline
    mask = None if rows.alive.all() else Mask(rows.alive)

    def ask(vectors: np.ndarray, k: int) -> Found:
        return index.search(recipe.metric.prepare_queries(vectors), k, mask=mask, threads=threads)

    recalls = spot_recalls(recipe, rows, asked, ask, threads)
    return replace(baseline, search=index.resolve({}), asked=tuple(asked.tolist()), recalls=tuple(recalls.tolist()))


def affordable(recipe: Recipe, rows: Rows, threads: int, seconds: float = SECONDS) -> np.ndarray:
    """Positions of rows that ask, in random order, as many as can be answered exactly in so many seconds."""
    alive = np.flatnonzero(rows.alive)
    asked = np.random.default_rng(recipe.seed).permutation(alive)[:ROWS_ASKED]
    some = recipe.metric.prepare_queries(rows.take(asked[:ROWS_TIMED_ASKING]))
    part = rows.alive[:ROWS_TIMED]
    exact_over(rows, part[:1], some[:1], 1, threads, recipe)  # what is loaded on first use is not its own time
    start = time.perf_counter()
    exact_over(rows, part, some, K + 1, threads, recipe)
    a_query = (time.perf_counter() - start) / len(some) * len(rows) / len(part)
    return np.asarray(asked[: int(seconds / max(1e-9, a_query))])


def spot_recalls(recipe: Recipe, rows: Rows, asked: np.ndarray, ask: Ask, threads: int) -> np.ndarray:
    """(nq,) recall@10 of rows that ask for their neighbours among all rows, each left out of its own answer.

    Parameters
    ----------
    asked
        (nq,) their positions.
    ask
        (nq, dim) queries, not prepared, and k to the answer.
    """
    k = min(K, rows.count - 1)
    vectors = np.ascontiguousarray(rows.take(asked))
    prepared = recipe.metric.prepare_queries(vectors)
    truth = without_itself(exact_over(rows, rows.alive, prepared, k + 1, threads, recipe), asked, k)
    found = without_itself(ask(vectors, k + 1), asked, k)
    distances = (true_distances(recipe.metric, rows, vectors, each.positions) for each in (found, truth))
    return tie_recall(*distances)


def cells_of(recipe: Recipe, rows: Rows, index: Index, among: np.ndarray, *, kept: bool = True) -> Cells | None:
    """Facts of the cells of an index; distances of rows from them are averaged over a sample of those `among`.

    Parameters
    ----------
    among
        (n,) boolean, which positions count.
    kept
        Whether the rows can be read.
    """
    sizes = index.cell_sizes()
    if sizes is None:
        return None
    cells = Cells.of(sizes)
    apart = residuals(recipe, rows, index, np.flatnonzero(among)) if kept else np.empty(0)
    if not apart.size:
        return cells
    limit = FAR * float(np.median(apart)) or float(apart.max())
    return replace(cells, residual=float(np.minimum(apart, limit).mean()), limit=limit)


def residuals(recipe: Recipe, rows: Rows, index: Index, positions: np.ndarray) -> np.ndarray:
    """Distances of a sample of the rows at positions from what stands for their cells; none where that is not defined."""
    if len(positions) > ROWS_PLACED:
        positions = np.sort(np.random.default_rng(recipe.seed).choice(positions, ROWS_PLACED, replace=False))
    parts = [np.empty(0)]
    for first, block in rows.blocks():  # taken one by one, rows of a mapped file would bring all of it into memory
        here = positions[(positions >= first) & (positions < first + len(block))] - first
        if not here.size:
            continue
        prepared = np.ascontiguousarray(recipe.metric.prepare(block[here]))
        placed = index.assigned(prepared)
        if placed is not None:
            parts.append(placed[1])
    return np.concatenate(parts)


def learns(index: Index) -> bool:
    """Whether training an index on other rows would give another one."""
    layout = index.layout
    codecs = [each for each in (layout.codec, layout.refinement) if each is not None]
    hidden = layout.codec.lossless and not index.lossless  # a raw factory string, which nobody here reads
    inside = layout.transform is not None or index.wrapped is not None or index.cell_sizes() is not None
    return inside or hidden or any(each.train_rows for each in codecs)


def is_copy(index: Index) -> bool:
    """Whether an index is no more than a copy of the rows, so that every row is compared with every query."""
    return index.rows_apart and not learns(index)
