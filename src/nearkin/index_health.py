"""How an index fares beside what was true when it was trained, and whether it wants optimizing, retraining or rebuilding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np

from nearkin.accuracy import CONFIDENCE_Z, Interval
from nearkin.baseline import Baseline, Cells, affordable, cells_of, is_copy, learns, residuals, spot_recalls
from nearkin.collection import Collection
from nearkin.description import row_digests
from nearkin.errors import CorruptFileError, ParameterError
from nearkin.indexes import Found
from nearkin.renewal import GONE, GROWTH, deleted_since, growth, trained_before
from nearkin.search_parameters import whole_number

FARTHER = 1.1
"""Times the mean distance from their cells of the rows trained on, at which rows added since count as other rows, and `FITTED` over
the rows a cell more."""

FITTED = 6.0
"""More rows of the same kind lie farther than those that centroids were fitted to, too: with m rows a cell, 1 + 2 / m times as
squares, by theory. On normal, clustered and heavy-tailed rows of 4 to 128 columns 1 + 5 / m was the most, on SIFT 1.02."""

RISEN = 0.03
"""Rise of the mean distance of all rows for which training again is advised; Fashion-MNIST shows it when one row in 75 is of a
class that training had not seen, long before recall falls."""

UNEVEN = 1.5
"""Times the imbalance factor of the training."""

LOST = 0.01
"""Recall that rows added since miss beside the others, as a share of all rows."""

SECONDS = 4.0
"""For the exact answers of the rows that ask, about; fewer ask where they take longer."""

MORE_MISSED = 1.5
"""Times the neighbours that the rows trained on miss: up to 1.4 is what fitting to them, or linking them first, makes of it."""

SURELY = 1.5
"""Half-widths of a 95 % interval at which recall counts as lost: a few of a hundred examinations would raise a false alarm else."""

NEW_ROWS = 100
"""Fewer rows added since say nothing."""

TAIL, TAIL_ROWS = 0.05, 1000
"""Share and number of rows outside the index from which on comparing them one by one is worth avoiding."""

Verdict = Literal["fine", "optimize", "retrain", "rebuild"]


@dataclass(frozen=True)
class Residuals:
    """Mean distances of rows from what stands for their cells, as `Cells.residual`.

    Attributes
    ----------
    trained
        Of the rows that the index was trained on, then.
    since
        Of the rows added since, inside the index or not; None where there are none.
    ratio, low
        `since` by `trained`, and the lower end of its 95 % interval.
    rise
        By what share the mean of all rows is above `trained`.
    """

    trained: float
    since: float | None = None
    ratio: float | None = None
    low: float | None = None
    rise: float = 0.0


@dataclass(frozen=True)
class Recall:
    """Spot recall@10, by rows that ask for their neighbours, each left out of its own answer.

    Attributes
    ----------
    now
        Of all rows.
    then
        When the index was trained; None where it was not measured.
    trained, since
        Now, of the rows that it was trained on (the same that asked then, where they are known) and of those added since.
    lost
        By how much rows added since lower the recall of all: their share times how much less they find than the others, which
        growth alone does not change; and the lower end of its interval at 99.7 %.
    """

    now: Interval
    then: Interval | None = None
    trained: Interval | None = None
    since: Interval | None = None
    lost: float = 0.0
    lost_low: float = 0.0


@dataclass(frozen=True)
class Health:
    """What `health` found.

    Attributes
    ----------
    trained_rows
        Rows when the index was trained.
    added, deleted
        Rows added since, and the share of those it was trained on that were deleted since.
    uncovered
        Rows that the index does not have yet.
    cells, cells_then
        None where there are none, or where nothing is known of them.
    duplicates
        Rows that are equal to an earlier one; None where the rows are not kept.
    verdict
        ``fine``; ``optimize``, the index lacks many rows; ``retrain``, it was trained on rows of another kind; ``rebuild``, that
        and it wants another number of cells, or it is missing.
    reason
        Why, in a sentence.
    notes
        What to bear in mind, in words.
    """

    plan: str
    metric: str
    rows: int
    dim: int
    trained_rows: int
    added: int
    deleted: float
    uncovered: int
    cells: Cells | None
    cells_then: Cells | None
    residuals: Residuals | None
    recall: Recall | None
    duplicates: int | None
    verdict: Verdict
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def alarm(self) -> bool:
        """Whether the verdict is to retrain or to rebuild."""
        return self.verdict in ("retrain", "rebuild")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "notes": list(self.notes)}


def health(collection: Collection, *, rows_asked: int = 200, seed: int = 0) -> Health:
    """Whether an index still suits its rows: its cells, distances from them, duplicates, recall, and what it lacks.

    What it is compared with was measured when it was trained (`nearkin.baseline`) by `optimize` or `build_folder`. Rows that
    arrive from another distribution raise the alarm; more rows of the same do not. An index without cells is judged by the
    recall of rows added since beside that of the others, which shows less and later. Nothing is changed.

    Parameters
    ----------
    rows_asked
        Rows added since that ask for their neighbours, besides those that asked when it was trained, or else so many of those;
        fewer where exact answers take long.
    seed
        Seed of the choice of rows.

    Raises
    ------
    ParameterError
        No collection, or numbers that are not whole and in range.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> rng = np.random.default_rng(0)
    >>> mine = nk.build(rng.normal(size=(1000, 8)), plan="ivf16")
    >>> nk.health(mine).verdict
    'fine'
    >>> added = mine.add(rng.normal(loc=3, size=(500, 8)))
    >>> nk.health(mine).verdict
    'retrain'
    """
    if not isinstance(collection, Collection):
        raise ParameterError(
            f"a {type(collection).__name__} has no health", hint="pass what nearkin.build or nearkin.open gave"
        )
    asked, seed = whole_number("rows_asked", rows_asked, 1), whole_number("seed", seed, 0, 2**63)
    with collection.unchanging():
        return _Examination(collection, asked, seed).report()


class _Examination:
    """What is looked at, and what was known before."""

    def __init__(self, collection: Collection, rows_asked: int, seed: int) -> None:
        self.collection, self.rows_asked, self.seed = collection, rows_asked, seed
        self.rows, self.recipe, self.index = collection.rows, collection.recipe, collection.index
        if self.index is not None:
            self.index.use_threads(collection.threads)
        self.notes: list[str] = []
        self.covered = collection.covered
        self.known = self._known()
        self.trained = trained_before(self.rows, self.covered, collection.facts)
        alive = self.rows.alive
        place = np.arange(len(alive))
        self.before = np.flatnonzero(alive & (place < self.trained.positions))
        self.since = np.flatnonzero(alive & (place >= self.trained.positions))
        self.uncovered = collection.uncovered

    def _known(self) -> Baseline | None:
        if self.index is None:
            return None
        try:
            known = Baseline.among(self.collection.facts)
        except CorruptFileError as error:
            self.notes.append(str(error))
            return None
        if known is None:
            self.notes.append(
                "nothing was measured when the index was trained, so it is compared with the rows that it covers"
            )
        return known

    def report(self) -> Health:
        """Everything, and the verdict."""
        kept = self.collection.keeps_vectors
        if not kept:
            self.notes.append("the rows were not kept, so only cells can be looked at, and nothing trained again")
        cells, residual, recall = self._cells(), self._residuals(), self._recall()
        then = self.known.cells if self.known else None
        verdict, reason = self._verdict(cells, then, residual, recall)
        return Health(
            plan=self.collection.plan,
            metric=self.collection.metric_text,
            rows=len(self.collection),
            dim=self.collection.dim,
            trained_rows=self.trained.rows if self.index is not None else 0,
            added=len(self.since),
            deleted=deleted_since(self.rows, self.trained),
            uncovered=self.uncovered,
            cells=cells,
            cells_then=then,
            residuals=residual,
            recall=recall,
            duplicates=self._duplicates() if kept else None,
            verdict=verdict,
            reason=reason,
            notes=tuple(self.notes),
        )

    # ---- what is looked at -----------------------------------------------------------------------------------------

    def _cells(self) -> Cells | None:
        if self.index is None:
            return None
        return cells_of(self.recipe, self.rows, self.index, self.rows.alive, kept=self.collection.keeps_vectors)

    def _residuals(self) -> Residuals | None:
        sizes = None if self.index is None else self.index.cell_sizes()
        if self.index is None or sizes is None or not self.collection.keeps_vectors:
            return None
        then = self.known.cells if self.known else None
        if then is None or then.residual is None:
            then = cells_of(self.recipe, self.rows, self.index, np.isin(np.arange(len(self.rows)), self.before))
        if then is None or then.residual is None:
            return None
        trained = then.residual
        if trained <= 0 or len(self.since) < 2:
            return Residuals(trained)
        added = residuals(self.recipe, self.rows, self.index, self.since)
        added = np.minimum(added, then.limit) if then.limit else added
        error = CONFIDENCE_Z * float(added.std()) / sqrt(len(added))
        share = len(self.since) / (len(self.since) + len(self.before))
        now = float(added.mean())
        ratio = now / trained
        return Residuals(trained, now, ratio, (now - error) / trained, share * (ratio - 1))

    def _recall(self) -> Recall | None:
        if not self.collection.keeps_vectors or len(self.collection) < 3:
            return None
        asked = np.array(self.known.asked if self.known else (), dtype=np.int64)
        asked = asked[self.rows.alive[asked]]
        if not asked.size:
            asked = self._some(self.before)
        added = self._some(self.since)
        most = len(affordable(self.recipe, self.rows, self.collection.threads, SECONDS))
        if len(asked) + len(added) > most:
            half = max(1, most // 2 if added.size else most)
            asked, added = asked[:half], added[:half]
        recalls = spot_recalls(
            self.recipe, self.rows, np.concatenate([asked, added]), self._ask, self.collection.threads
        )
        then = self.known.recall if self.known else None
        if then is not None and self.index is not None and dict(self.known_search) != self.index.resolve({}):
            self.notes.append(f"recall was measured with other search parameters then: {dict(self.known_search)}")
        share = len(self.since) / (len(self.since) + len(self.before))
        return recall_of(recalls[: len(asked)], recalls[len(asked) :], share, then)

    @property
    def known_search(self) -> dict[str, int]:
        """Search parameters that recall was measured at."""
        return dict(self.known.search) if self.known else {}

    def _some(self, positions: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        return rng.choice(positions, min(self.rows_asked, len(positions)), replace=False)

    def _ask(self, vectors: np.ndarray, k: int) -> Found:
        found = self.collection.search(vectors, k)
        return Found(found.positions, found.distances)

    def _duplicates(self) -> int:
        digests = [np.empty(0, dtype=np.uint64)]
        for first, block in self.rows.blocks():
            digests.append(row_digests(block[self.rows.alive[first : first + len(block)]]))
        found = np.concatenate(digests)
        return len(found) - len(np.unique(found))

    # ---- what to make of it ----------------------------------------------------------------------------------------

    def _verdict(
        self, cells: Cells | None, then: Cells | None, residual: Residuals | None, recall: Recall | None
    ) -> tuple[Verdict, str]:
        rows = self.rows.count
        if self.index is None and self.collection.problems:
            return "rebuild", f"the index cannot be used, and {rows:,} rows are searched one by one"
        if self.index is not None and rows:
            signs = [
                *_of_residuals(residual, len(self.since), self.trained.rows, cells),
                *_of_cells(cells, then, len(self.since), self.trained.rows),
                *_of_recall(recall, len(self.since)),
            ]
            if signs and learns(self.index):
                return self._shifted(signs[0])
            gone = deleted_since(self.rows, self.trained)
            if gone > GONE:
                lost = f"{gone:.0%} of the {self.trained.rows:,} rows that the index was trained on were deleted since"
                return "rebuild", f"{lost}, more than {GONE:.0%}"
        if self.uncovered >= max(TAIL_ROWS, TAIL * rows) and not (self.index is not None and is_copy(self.index)):
            return "optimize", f"{self.uncovered:,} of {rows:,} rows are not in the index and are searched one by one"
        return "fine", self._fine(residual, recall)

    def _shifted(self, sign: str) -> tuple[Verdict, str]:
        times = growth(self.rows, self.trained)
        if times > GROWTH:
            return "rebuild", f"{sign}, and there are {times:.1f} times as many rows"
        return "retrain", sign

    def _fine(self, residual: Residuals | None, recall: Recall | None) -> str:
        if not self.rows.count:
            return "there are no rows"
        if self.index is None:
            return f"{self.rows.count:,} rows are searched one by one, and nothing is lost"
        said = []
        if residual is not None and residual.ratio is not None:
            said.append(f"rows added since lie {residual.ratio:.2f} times as far from their cells as those trained on")
        if recall is not None and recall.then is not None:
            said.append(f"recall@10 is {recall.now.mean:.3f}, {recall.then.mean:.3f} when it was trained")
        elif recall is not None:
            said.append(f"recall@10 is {recall.now.mean:.3f}")
        if not said:
            said.append(f"{len(self.since):,} rows were added since it was trained on {self.trained.rows:,}")
        return ", and ".join(said)


def fitted(rows: int, cells: int) -> float:
    """How much more than `FARTHER` and `UNEVEN` is no sign of other rows: centroids follow the rows that they were fitted to.

    >>> fitted(30_000, 100)
    0.02
    """
    return FITTED * max(1, cells) / max(1, rows)


def recall_of(before: np.ndarray, since: np.ndarray, share: float, then: Interval | None) -> Recall:
    """Recall of all rows from that of some of the rows trained on and some of those added since, and what the latter cost.

    Intervals of sums and differences are put together from those of the parts (G. Zou and A. Donner, "Construction of
    confidence limits about effect measures: a general approach", 2008).

    Parameters
    ----------
    share
        Of the rows added since among all.

    Examples
    --------
    >>> found = recall_of(np.ones(50), np.full(50, 0.8), 0.5, None)
    >>> round(found.now.mean, 2), round(found.lost, 2)
    (0.9, 0.1)
    """
    if not len(since) or not len(before):
        return Recall(Interval.of(np.concatenate([before, since])), then)
    old, new = Interval.of(before), Interval.of(since)
    mean = (1 - share) * old.mean + share * new.mean
    below = sqrt(((1 - share) * (old.mean - old.low)) ** 2 + (share * (new.mean - new.low)) ** 2)
    above = sqrt(((1 - share) * (old.high - old.mean)) ** 2 + (share * (new.high - new.mean)) ** 2)
    now = Interval(mean, mean - below, mean + above, old.queries + new.queries)
    apart = old.mean - new.mean
    surely = apart - SURELY * sqrt((old.mean - old.low) ** 2 + (new.high - new.mean) ** 2)
    return Recall(now, then, old, new, share * apart, share * surely)


def _of_residuals(found: Residuals | None, added: int, rows: int, cells: Cells | None) -> Iterator[str]:
    if found is None or found.ratio is None or found.low is None or added < NEW_ROWS or cells is None:
        return
    if found.low >= FARTHER + fitted(rows, cells.count) and found.rise >= RISEN:
        yield (
            f"the {added:,} rows added since lie {found.ratio:.2f} times as far from their cells as those that the index was "
            f"trained on, which raises the mean of all rows by {found.rise:.0%}"
        )


def _of_cells(found: Cells | None, then: Cells | None, added: int, rows: int) -> Iterator[str]:
    if found is None or then is None or added < NEW_ROWS:
        return
    if found.imbalance > (UNEVEN + fitted(rows, found.count)) * then.imbalance:
        yield (
            f"rows lie less evenly in the {found.count:,} cells, with an imbalance factor of {found.imbalance:.2f} and "
            f"{then.imbalance:.2f} when the index was trained"
        )


def _of_recall(found: Recall | None, added: int) -> Iterator[str]:
    if found is None or found.since is None or found.trained is None or added < NEW_ROWS:
        return
    fallen = found.then is None or found.now.mean <= found.then.mean - LOST
    missed = (1 - found.since.mean) >= MORE_MISSED * (1 - found.trained.mean)
    if fallen and missed and found.lost >= LOST and found.lost_low > 0:
        yield (
            f"the {added:,} rows added since find {found.since.mean:.3f} of their neighbours and those trained on "
            f"{found.trained.mean:.3f}, which costs {100 * found.lost:.1f} points of recall@10"
        )
