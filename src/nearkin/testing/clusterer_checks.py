"""Checks of the clusterer contract, under every kind of centroid that a clusterer says it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from nearkin.centroids import Clusterer, Partition
from nearkin.errors import NotSupportedError, ParameterError
from nearkin.hooks import ClustererSpec
from nearkin.metrics import CentroidRule, Euclidean, Metric, unit_rows
from nearkin.objectives import ABSOLUTE, DIRECTIONS, SQUARES, MetricSums, Objective
from nearkin.row_source import ArrayRows, RowsTask, StreamingClusterer
from nearkin.running_centroids import RUNNING_RULES
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect, expect_error, fail, read_only
from nearkin.testing.samples import ROWS, ordinary_rows
from nearkin.vectors import as_vectors

CLUSTERER_CHECKS = Checks("clusterer")

K = 6
_SHARE = 1e-4
"""Share by which float32 rounding may move a sum of costs."""


class _DifferingBits(Metric):
    """Bits that differ, of packed bits: rows that no centre can be computed of."""

    name = "differing-bits"
    dtype = "bits"
    axioms = frozenset({"non-negative", "identity", "symmetric", "triangle"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        q, x = (np.unpackbits(rows, axis=1).astype(np.float64) for rows in (queries, vectors))
        return np.asarray(q.sum(axis=1)[:, None] + x.sum(axis=1) - 2 * (q @ x.T))


@dataclass(frozen=True, eq=False)
class _Ground:
    """Rows, and the objective that they are clustered under."""

    name: str
    objective: Objective
    rows: np.ndarray

    @property
    def rule(self) -> CentroidRule:
        return self.objective.rule

    def costs(self, centroids: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(n, k) float64 costs, straight from the definition."""
        return self.objective.costs(self.rows if rows is None else rows, centroids)

    def inertia(self, centroids: np.ndarray, rows: np.ndarray | None = None) -> float:
        return float(self.costs(centroids, rows).min(axis=1).sum())


def _grounds(subject: Subject) -> list[_Ground]:
    """One for each kind of centroid that the clusterer says it finds; for medoids, packed bits too."""
    return subject.once(
        "grounds", lambda: [each for rule in subject.make().rules for each in _grounds_of(subject, rule)]
    )


def _grounds_of(subject: Subject, rule: CentroidRule) -> Iterator[_Ground]:
    rows = _rows(subject)
    if rule == "mean":
        yield _Ground("means", SQUARES, rows)
    elif rule == "direction":
        yield _Ground("directions", DIRECTIONS, unit_rows(rows))
    elif rule == "median":
        yield _Ground("medians", ABSOLUTE, rows)
    else:
        yield _Ground("medoids", MetricSums(Euclidean()), rows)
        packed = ordinary_rows(subject.rng("bits"), len(rows), 4, "bits")
        yield _Ground("medoids of bits", MetricSums(_DifferingBits()), packed)


def _rows(subject: Subject) -> np.ndarray:
    if subject.rows is not None:
        return as_vectors(subject.rows)[:ROWS].copy()
    return ordinary_rows(subject.rng("rows"), ROWS, 8, "float32")


def _weights(subject: Subject) -> np.ndarray:
    return subject.rng("weights").uniform(0.5, 3.0, len(_rows(subject)))


def _fit(
    subject: Subject,
    ground: _Ground,
    k: int = K,
    *,
    rows: np.ndarray | None = None,
    seed: int = 0,
    weights: np.ndarray | None = None,
    threads: int = 1,
) -> Partition:
    """A fresh clusterer's clustering, of copies, so that one that changes what it is given spoils no other check."""
    clusterer: Clusterer = subject.make()
    given = (ground.rows if rows is None else rows).copy()
    mass = None if weights is None else weights.copy()
    return clusterer.fit(given, k, objective=ground.objective, seed=seed, weights=mass, threads=threads)


def _found(subject: Subject, ground: _Ground) -> Partition:
    return subject.once(f"found {ground.name}", lambda: _fit(subject, ground))


def _both(subject: Subject) -> Iterator[tuple[str, _Ground, Partition, np.ndarray]]:
    """Under each objective the clustering without and with weights, and the weight of each row."""
    weights = _weights(subject)
    for ground in _grounds(subject):
        yield ground.name, ground, _found(subject, ground), np.ones(len(weights))
        weighted = subject.once(
            f"weighted {ground.name}",
            lambda ground=ground: _fit(subject, ground, weights=weights),  # type: ignore[misc]
        )
        yield f"{ground.name}, with weights", ground, weighted, weights


@CLUSTERER_CHECKS.gate
def shapes(subject: Subject) -> None:
    """k centroids are (k, dim) of the rows' dtype, labels int64 (n,), the inertia a finite number and the history numbers."""
    for ground in _grounds(subject):
        rows, found = ground.rows, _found(subject, ground)
        wanted = (K, rows.shape[1])
        expect(
            found.centroids.dtype == rows.dtype and found.centroids.shape == wanted,
            f"centroids are {found.centroids.dtype} {found.centroids.shape}, {rows.dtype} {wanted} expected ({ground.name})",
        )
        expect(
            found.labels.dtype == np.int64 and found.labels.shape == (len(rows),),
            f"labels are {found.labels.dtype} {found.labels.shape}, int64 {(len(rows),)} expected ({ground.name})",
        )
        expect(isinstance(found.inertia, float) and np.isfinite(found.inertia), f"inertia is {found.inertia!r}")
        expect(all(isinstance(each, float) for each in found.history), f"history is {found.history!r}, floats expected")


@CLUSTERER_CHECKS.add
def rules_said(subject: Subject) -> None:
    """Its spec declares the rules that it has itself, so that it can be named without being made."""
    rules = tuple(subject.make().rules)
    said = tuple(subject.spec.rules) if isinstance(subject.spec, ClustererSpec) else ()
    expect(said == rules, f"its spec says rules={said}, and it has {rules}")


@CLUSTERER_CHECKS.add
def rules_honest(subject: Subject) -> None:
    """An objective whose centroids it does not say it finds raises NotSupportedError."""
    others = [rule for rule in get_args(CentroidRule) if rule not in subject.make().rules]
    for rule in others:
        ground = next(_grounds_of(subject, rule))
        expect_error(NotSupportedError, f"an objective of {ground.name}", lambda ground=ground: _fit(subject, ground))  # type: ignore[misc]


@CLUSTERER_CHECKS.add
def labels_nearest(subject: Subject) -> None:
    """Every row is labelled with a nearest centroid."""
    for case, ground, found, _ in _both(subject):
        costs = ground.costs(found.centroids)
        own = costs[np.arange(len(costs)), found.labels]
        wrong = np.flatnonzero(own > costs.min(axis=1) + _SHARE * float(costs.max()))
        if wrong.size:
            i = int(wrong[0])
            fail(
                f"{wrong.size} of {len(costs)} rows have another centroid nearer than their own ({case}): row {i} is "
                f"{own[i]:.6g} from centroid {found.labels[i]} and {costs[i].min():.6g} from {costs[i].argmin()}"
            )


@CLUSTERER_CHECKS.add
def inertia_true(subject: Subject) -> None:
    """The inertia is the sum of weight times cost with the row's centroid."""
    for case, ground, found, weights in _both(subject):
        own = ground.costs(found.centroids)[np.arange(len(weights)), found.labels]
        wanted = float((weights * own).sum())
        expect(
            abs(found.inertia - wanted) <= 1e-3 * wanted,
            f"the inertia is {found.inertia:.6g}, the sum over the rows {wanted:.6g} ({case})",
        )


@CLUSTERER_CHECKS.add
def history_true(subject: Subject) -> None:
    """If there is a history, it ends with the inertia; with memberships, with what they make of it, which is not more."""
    for case, _, found, _ in _both(subject):
        if not found.history:
            continue
        last, most = found.history[-1], (1 + 1e-3) * found.inertia
        least = 0.0 if found.memberships is not None else (1 - 1e-3) * found.inertia
        expect(least <= last <= most, f"the history ends with {last:.6g}, the inertia is {found.inertia:.6g} ({case})")


@CLUSTERER_CHECKS.add
def iterations_counted(subject: Subject) -> None:
    """If iterations are counted, there are no more than `max_iter`, where it takes one, with 1 as well."""
    most = subject.params.get("max_iter")
    for case, _, found, _ in _both(subject):
        _expect_iterations(found.iterations, most, case)
    if most is None:
        return
    for ground in _grounds(subject):
        clusterer: Clusterer = subject.registry.build(subject.spec, params={**subject.params, "max_iter": 1})
        once = clusterer.fit(ground.rows.copy(), K, objective=ground.objective)
        _expect_iterations(once.iterations, 1, f"{ground.name}, max_iter=1")


def _expect_iterations(count: int | None, most: int | None, case: str) -> None:
    if count is None:
        return
    expect(isinstance(count, int) and count >= 0, f"iterations is {count!r}, a number from 0 expected ({case})")
    expect(most is None or count <= most, f"it says {count} iterations, and max_iter is {most} ({case})")


@CLUSTERER_CHECKS.add
def seeded(subject: Subject) -> None:
    """The same seed gives the same centroids and labels."""
    for ground in _grounds(subject):
        for seed in (0, 7):
            first, second = (_fit(subject, ground, seed=seed) for _ in range(2))
            _expect_same(ground, first, second, f"two runs with seed {seed}")


@CLUSTERER_CHECKS.add
def threads_alike(subject: Subject) -> None:
    """The number of threads does not change the result."""
    for ground in _grounds(subject):
        alone = _found(subject, ground)
        if not np.array_equal(alone.labels, _fit(subject, ground).labels):
            raise NotApplicable("two runs with one thread differ already")
        _expect_same(ground, alone, _fit(subject, ground, threads=3), "runs with 1 and 3 threads")


def _expect_same(ground: _Ground, first: Partition, second: Partition, what: str) -> None:
    expect(np.array_equal(first.labels, second.labels), f"{what} give different labels ({ground.name})")
    moved = float(np.abs(first.centroids.astype(np.float64) - second.centroids).max())
    expect(moved <= 1e-5 * float(np.ptp(ground.rows)), f"centroids of {what} are {moved:.6g} apart ({ground.name})")


@CLUSTERER_CHECKS.add
def better_than_random(subject: Subject) -> None:
    """The rows are nearer to the centroids than to k rows drawn at random."""
    rng = subject.rng("random centroids")
    for ground in _grounds(subject):
        rows = ground.rows
        drawn = np.median([ground.inertia(rows[rng.choice(len(rows), K, replace=False)]) for _ in range(9)])
        found = ground.inertia(_found(subject, ground).centroids)
        expect(found <= drawn, f"the inertia is {found:.6g}, of random rows it is {drawn:.6g} ({ground.name})")


_CENTRES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda rows: rows.mean(axis=0),
    "direction": lambda rows: rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0)),
    "median": lambda rows: np.median(rows, axis=0),
}


@CLUSTERER_CHECKS.add
def one_is_best(subject: Subject) -> None:
    """One centroid is the best single one: the mean, its direction, the median, or the medoid."""
    for ground in _grounds(subject):
        found = _fit(subject, ground, 1).centroids
        if ground.rule in ("mean", "direction"):
            wanted = _CENTRES[ground.rule](ground.rows.astype(np.float64))
            moved = float(np.abs(found[0] - wanted).max())
            expect(
                moved <= _SHARE * float(np.ptp(ground.rows)),
                f"the only centroid is {moved:.6g} from the {ground.rule} of the rows",
            )
            continue
        got = float(ground.costs(found).sum())
        if ground.rule == "medoid":
            best = float(ground.costs(ground.rows).sum(axis=0).min())
        else:
            best = float(ground.costs(_CENTRES[ground.rule](ground.rows)[None]).sum())
        expect(
            got <= (1 + _SHARE) * best, f"the only centroid has cost {got:.6g}, the best has {best:.6g} ({ground.name})"
        )


@CLUSTERER_CHECKS.add
def as_many_as_rows(subject: Subject) -> None:
    """As many centroids as rows can be asked for."""
    for ground in _grounds(subject):
        rows = ground.rows[:20]
        got = ground.inertia(_fit(subject, ground, len(rows), rows=rows).centroids, rows)
        alone = float(ground.costs(rows, rows).sum(axis=0).min())
        expect(
            got < 0.5 * alone,
            f"{len(rows)} centroids of {len(rows)} rows have inertia {got:.6g}, one row has {alone:.6g} ({ground.name})",
        )


@CLUSTERER_CHECKS.add
def k_checked(subject: Subject) -> None:
    """No centroids, or more than there are rows, raise ParameterError."""
    ground = _grounds(subject)[0]
    for k in (0, 11):
        expect_error(
            ParameterError,
            f"{k} centroids of 10 rows",
            lambda k=k: _fit(subject, ground, k, rows=ground.rows[:10]),  # type: ignore[misc]
        )


@CLUSTERER_CHECKS.add
def zero_weights_ignored(subject: Subject) -> None:
    """Rows of weight zero do not move the centroid of the others."""
    for ground in _grounds(subject):
        rows = ground.rows[:60]
        others = _other_rows(ground)
        weights = np.concatenate([np.ones(len(rows)), np.zeros(len(others))])
        alone = _fit(subject, ground, 1, rows=rows).centroids
        beside = _fit(subject, ground, 1, rows=np.concatenate([rows, others]), weights=weights).centroids
        before, after = float(ground.costs(alone, rows).sum()), float(ground.costs(beside, rows).sum())
        expect(
            after <= (1 + 1e-3) * before,
            f"{len(others)} rows of weight 0 move the centroid: the cost of the others rises from {before:.6g} to {after:.6g} "
            f"({ground.name})",
        )


def _other_rows(ground: _Ground) -> np.ndarray:
    """Rows unlike the first 60, as many as they are: far off, the opposite directions, or other bits."""
    if ground.rows.dtype == np.uint8:
        return ~ground.rows[:60]
    if ground.rule == "direction":
        return np.asarray(np.tile(-ground.rows[:1], (60, 1)))
    return np.asarray(ground.rows[:60] + np.float32(50 * np.ptp(ground.rows)))


@CLUSTERER_CHECKS.add
def duplicates(subject: Subject) -> None:
    """Fewer distinct rows than centroids are no error, and leave the rows no farther off than one centroid does."""
    for ground in _grounds(subject):
        rows = np.repeat(ground.rows[:2], 15, axis=0)
        alone = float(ground.costs(rows[:1], rows).sum())
        for k in (2, 5):
            got = ground.inertia(_fit(subject, ground, k, rows=rows, seed=1).centroids, rows)
            expect(
                got <= 1.001 * alone,
                f"{k} centroids for 2 distinct rows leave inertia {got:.6g}, one of them leaves {alone:.6g} ({ground.name})",
            )


@CLUSTERER_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Fitting changes neither the rows nor the weights nor the start."""
    for ground in _grounds(subject):
        rows, weights, start = ground.rows.copy(), _weights(subject), ground.rows[:K].copy()
        subject.make().fit(rows, K, objective=ground.objective, weights=weights, start=start)
        expect(np.array_equal(rows, ground.rows), "fit changed the rows it was given")
        expect(np.array_equal(weights, _weights(subject)), "fit changed the weights it was given")
        expect(np.array_equal(start, ground.rows[:K]), "fit changed the start it was given")


@CLUSTERER_CHECKS.add
def start_taken(subject: Subject) -> None:
    """Given centroids that it found before to start from, it ends no worse than they are, by what it makes less."""
    for ground in _grounds(subject):
        found = _found(subject, ground)
        again = subject.make().fit(ground.rows.copy(), K, objective=ground.objective, start=found.centroids.copy())
        before, after = _made_less(ground, found), _made_less(ground, again)
        expect(
            after <= (1 + _SHARE) * before,
            f"from centroids with a sum of costs of {before:.6g} it ends with {after:.6g} ({ground.name})",
        )


def _made_less(ground: _Ground, found: Partition) -> float:
    """What a clusterer makes less: the sum of costs, unless there are memberships."""
    if found.memberships is not None and found.history:
        return found.history[-1]
    return ground.inertia(found.centroids)


@CLUSTERER_CHECKS.add
def streamed_alike(subject: Subject) -> None:
    """One that reads rows in blocks finds in one block of all rows what `fit` does, and in others labels and inertia are true."""
    clusterer = subject.make()
    if not isinstance(clusterer, StreamingClusterer):
        raise NotApplicable("it takes all rows at once")
    for ground in _streamed(subject):
        start = _found(subject, ground).centroids
        for case, weights in (("", None), (", with weights", _weights(subject))):
            what = f"fit and fit_rows of {ground.name}{case}"
            whole = subject.make().fit(ground.rows, K, objective=ground.objective, weights=weights, start=start)
            n = len(ground.rows)
            _expect_same(ground, whole, _fit_rows(subject, ground, n, weights, start), what)
            _expect_true(ground, _fit_rows(subject, ground, n // 3, weights, start), weights, what)


@CLUSTERER_CHECKS.add
def streamed_checked(subject: Subject) -> None:
    """One that reads rows in blocks refuses what `fit` does: a bad start, or rows that the objective does not take."""
    if not isinstance(subject.make(), StreamingClusterer):
        raise NotApplicable("it takes all rows at once")
    for ground in _streamed(subject):
        good = ground.rows[:K]
        cases = [
            ("a start of one centroid too few", ground, good[1:]),
            ("a start of NaN", ground, np.full_like(good, np.nan)),
        ]
        if ground.rule == "direction":
            cases.append(("rows of length 3", replace(ground, rows=3 * ground.rows), good))
        for what, given, start in cases:
            expect_error(
                ParameterError,
                f"{what} ({ground.name})",
                lambda given=given, start=start: _fit_rows(subject, given, ROWS, None, start),  # type: ignore[misc]
            )


def _streamed(subject: Subject) -> list[_Ground]:
    """Grounds whose centroids sums determine: only these are read in blocks."""
    return [ground for ground in _grounds(subject) if ground.rule in RUNNING_RULES]


def _fit_rows(subject: Subject, ground: _Ground, step: int, weights: np.ndarray | None, start: np.ndarray) -> Partition:
    clusterer: StreamingClusterer = subject.make()
    rows = ArrayRows(ground.rows.copy())
    return clusterer.fit_rows(
        RowsTask(rows, K, ground.objective, weights, 0, start.copy(), threads=1, step=step, sample=len(ground.rows))
    )


def _expect_true(ground: _Ground, found: Partition, weights: np.ndarray | None, what: str) -> None:
    """Labels are those of nearest centroids, and the inertia is theirs."""
    costs = ground.costs(found.centroids)
    least = costs.min(axis=1)
    own = costs[np.arange(len(costs)), found.labels]
    wrong = int((own > least + _SHARE * float(costs.max())).sum())
    expect(not wrong, f"{wrong} of {len(costs)} rows have a nearer centroid than their own ({what}, in three blocks)")
    wanted = float(own.sum() if weights is None else weights @ own)
    expect(
        abs(found.inertia - wanted) <= 1e-3 * wanted,
        f"the inertia is {found.inertia:.6g}, the sum over the rows {wanted:.6g} ({what}, in three blocks)",
    )


@CLUSTERER_CHECKS.add
def medoids_are_rows(subject: Subject) -> None:
    """Medoids are numbers of rows, and the centroids are these rows; they are given where centroids have to be rows."""
    seen = False
    for case, ground, found, _ in _both(subject):
        expect(found.medoids is not None or ground.rule != "medoid", f"it says no numbers of rows as medoids ({case})")
        if found.medoids is None:
            continue
        seen = True
        numbers = np.asarray(found.medoids)
        good = (
            numbers.dtype.kind == "i"
            and numbers.shape == (K,)
            and 0 <= numbers.min() <= numbers.max() < len(ground.rows)
        )
        expect(good, f"medoids are {numbers.tolist()}, {K} numbers of rows below {len(ground.rows)} expected ({case})")
        other = np.flatnonzero((ground.rows[numbers] != found.centroids).any(axis=1))
        expect(not other.size, f"{other.size} of {K} centroids are not the rows that medoids names ({case})")
    if not seen:
        raise NotApplicable("its centroids are no rows")


@CLUSTERER_CHECKS.add
def memberships_true(subject: Subject) -> None:
    """Memberships, if there are any, are shares that sum to 1 for each row, the largest in the cluster of its label."""
    seen = False
    for case, ground, found, _ in _both(subject):
        shares = found.memberships
        if shares is None:
            continue
        seen = True
        wanted = (len(ground.rows), K)
        expect(shares.shape == wanted, f"memberships have shape {shares.shape}, {wanted} expected ({case})")
        expect(shares.min() >= 0, f"a membership is {shares.min():.6g} ({case})")
        off = float(np.abs(shares.sum(axis=1) - 1).max())
        expect(off <= 1e-6, f"memberships of a row sum to {1 + off:.6g} or {1 - off:.6g}, 1 expected ({case})")
        own = shares[np.arange(len(shares)), found.labels]
        lost = np.flatnonzero(own < shares.max(axis=1) - 1e-3)
        expect(not lost.size, f"{lost.size} rows have a larger membership than in the cluster of their label ({case})")
    if not seen:
        raise NotApplicable("it gives no memberships")


@CLUSTERER_CHECKS.add
def read_only_input(subject: Subject) -> None:
    """Read-only rows and weights, such as memory-mapped ones, are taken."""
    for ground in _grounds(subject):
        try:
            subject.make().fit(
                read_only(ground.rows), K, objective=ground.objective, weights=read_only(_weights(subject))
            )
        except (ValueError, TypeError) as error:
            fail(f"fit of read-only arrays raised {type(error).__name__}: {error}")
