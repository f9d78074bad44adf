"""For every check of the clusterer contract, a clusterer that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.centroids import Clusterer, Partition, Task
from nearkin.hooks import ClustererSpec
from nearkin.lloyd import Lloyd
from nearkin.objectives import SQUARES, Objective
from nearkin.row_source import RowsTask
from nearkin.testing import checks


class Right(Clusterer):
    """Lloyd's algorithm, of rows that are all in memory."""

    name = "under-test"
    rules = Lloyd.rules

    def __init__(self, max_iter: int = 25) -> None:
        self.lloyd = Lloyd(max_iter)

    def _fit(self, task: Task) -> Partition:
        return self.lloyd.fit_task(task)


class RightStreaming(Lloyd):
    name = "under-test"


class RightMedoids(Right):
    """Lloyd's algorithm with medoids, named by their first equal row."""

    name = "under-test"
    rules = ("medoid",)

    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        equal = (task.vectors[None] == found.centroids[:, None]).all(axis=2)
        return replace(found, medoids=equal.argmax(axis=1))


class RightMemberships(Right):
    """Each row belongs to its own cluster alone."""

    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, memberships=np.eye(task.k)[found.labels])


class CountsOneMore(Right):
    """As the length of the history would have it, which ends with the inertia after the last iteration."""

    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, iterations=len(found.history))


class CountsInFloats(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, iterations=float(len(found.history)))


class ForgetsWeightsInBlocks(RightStreaming):
    def _fit_rows(self, task: RowsTask) -> Partition:
        return super()._fit_rows(replace(task, mass=None))


class LabelsWithinBlocks(RightStreaming):
    """Numbers of rows taken for those within their block."""

    def _fit_rows(self, task: RowsTask) -> Partition:
        found = super()._fit_rows(task)
        return replace(found, labels=np.resize(found.labels[: task.step], len(found.labels)))


class TakesAnyStart(RightStreaming):
    def fit_rows(self, task: RowsTask) -> Partition:
        return self._fit_rows(task)


class NotAClusterer:
    name = "under-test"


class Labels32(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, labels=found.labels.astype(np.int32))


class LabelsTheNext(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        labels = (found.labels + 1) % task.k
        own = task.objective.costs(task.vectors, found.centroids)[np.arange(len(labels)), labels]
        inertia = float((task.mass * own).sum())
        return replace(found, labels=labels, inertia=inertia, history=(inertia,))


class IgnoresWeightsInInertia(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        inertia = float(task.objective.assign(task.vectors, found.centroids)[1].sum())
        return replace(found, inertia=inertia, history=())


class EndsItsHistoryEarly(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, history=found.history[:1])


class HistoryWithoutWeights(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, history=(found.inertia * len(task.mass) / task.mass.sum(),))


class TakesAnyObjective(Right):
    def fit(self, vectors: np.ndarray, k: int, *, objective: Objective = SQUARES, **options: Any) -> Partition:
        return super().fit(vectors, k, objective=objective if objective.rule in self.rules else SQUARES, **options)

    def need_rule(self, objective: Objective) -> None:
        """Anything is taken."""


class ThreadsDrawRows(Right):
    def _fit(self, task: Task) -> Partition:
        return super()._fit(replace(task, seed=task.seed + task.threads))


class MeansForMedians(Right):
    """Moves centroids to means whatever the costs: they need not become less."""

    def _fit(self, task: Task) -> Partition:
        if task.objective.rule != "median" or task.k > 1:
            return super()._fit(task)
        return task.partition(
            SQUARES.centres(task.vectors, np.zeros(len(task.vectors), int), task.mass, task.vectors[:1])
        )


class MedoidOfTheMean(RightMedoids):
    """The row nearest to the first one, where the one with the smallest sum is wanted."""

    def _fit(self, task: Task) -> Partition:
        if task.k > 1:
            return super()._fit(task)
        first = int(np.flatnonzero(task.mass)[0])
        return replace(task.partition(task.vectors[[first]]), medoids=np.array([first]))


class NamesOtherRows(RightMedoids):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, medoids=(found.medoids + 1) % len(task.vectors))


class NamesNoRows(RightMedoids):
    def _fit(self, task: Task) -> Partition:
        return replace(super()._fit(task), medoids=None)


class MembershipsTwice(RightMemberships):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, memberships=2 * found.memberships)


class MembershipsOfTheNext(RightMemberships):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, memberships=np.roll(found.memberships, 1, axis=1))


class MovesTheStart(Right):
    def fit(self, vectors: np.ndarray, k: int, *, start: np.ndarray | None = None, **options: Any) -> Partition:
        found = super().fit(vectors, k, start=start, **options)
        if start is not None:
            start[:] = found.centroids
        return found


class EachRunDiffers(Right):
    runs = count()

    def _fit(self, task: Task) -> Partition:
        return super()._fit(replace(task, seed=next(self.runs)))


class AllInTheMiddle(Right):
    def _fit(self, task: Task) -> Partition:
        if task.k == len(task.vectors):
            return super()._fit(task)
        nothing = np.zeros(len(task.vectors), dtype=np.int64)
        middle = task.objective.centres(task.vectors, nothing, task.mass, task.vectors[:1])
        return task.partition(np.tile(middle, (task.k, 1)))


class OneIsMedian(Right):
    def _fit(self, task: Task) -> Partition:
        if task.k > 1 or task.objective.rule != "mean":
            return super()._fit(task)
        counted = task.vectors[task.mass > 0]
        return task.partition(np.median(counted, axis=0, keepdims=True).astype(np.float32))


class WantsMoreRows(Right):
    def _fit(self, task: Task) -> Partition:
        if task.k == len(task.vectors):
            raise RuntimeError(f"{len(task.vectors)} rows cannot train {task.k} centroids")
        return super()._fit(task)


class TakesAnyK(Right):
    def fit(self, vectors: np.ndarray, k: int, **options: Any) -> Partition:
        return super().fit(vectors, min(max(k, 1), len(vectors)), **options)


class LosesItsStart(Right):
    def _fit(self, task: Task) -> Partition:
        return super()._fit(task) if task.start is None else task.partition(task.vectors[: task.k].copy())


class CountsEveryRow(Right):
    def _fit(self, task: Task) -> Partition:
        counted = replace(task, mass=np.ones(len(task.vectors)))
        return task.partition(super()._fit(counted).centroids)


class WantsDistinctRows(Right):
    def _fit(self, task: Task) -> Partition:
        if len(np.unique(task.vectors, axis=0)) < task.k:
            raise ZeroDivisionError("division by zero")
        return super()._fit(task)


class CentresInPlace(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        if task.vectors.flags.writeable:
            task.vectors[:] -= task.vectors.mean(axis=0)
        return found


class ScalesWeightsInPlace(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        if task.mass.flags.writeable:
            task.mass[:] /= task.mass.sum()
        return found


class WantsWritable(Right):
    def _fit(self, task: Task) -> Partition:
        if not task.vectors.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super()._fit(task)


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotAClusterer),
    ("shapes", Labels32),
    ("rules-honest", TakesAnyObjective),
    ("labels-nearest", LabelsTheNext),
    ("inertia-true", IgnoresWeightsInInertia),
    ("history-true", EndsItsHistoryEarly),
    ("history-true", HistoryWithoutWeights),
    ("iterations-counted", CountsOneMore),
    ("iterations-counted", CountsInFloats),
    ("seeded", EachRunDiffers),
    ("threads-alike", ThreadsDrawRows),
    ("better-than-random", AllInTheMiddle),
    ("one-is-best", OneIsMedian),
    ("one-is-best", MeansForMedians),
    ("one-is-best", MedoidOfTheMean),
    ("as-many-as-rows", WantsMoreRows),
    ("k-checked", TakesAnyK),
    ("start-taken", LosesItsStart),
    ("zero-weights-ignored", CountsEveryRow),
    ("duplicates", WantsDistinctRows),
    ("input-unchanged", CentresInPlace),
    ("input-unchanged", ScalesWeightsInPlace),
    ("input-unchanged", MovesTheStart),
    ("streamed-alike", ForgetsWeightsInBlocks),
    ("streamed-alike", LabelsWithinBlocks),
    ("streamed-checked", TakesAnyStart),
    ("medoids-are-rows", NamesOtherRows),
    ("medoids-are-rows", NamesNoRows),
    ("memberships-true", MembershipsTwice),
    ("memberships-true", MembershipsOfTheNext),
    ("read-only-input", WantsWritable),
]


@dataclass(frozen=True)
class LimitedParams:
    """Options of the clusterers of this module."""

    max_iter: int = 25


def spec_of(make: Callable[..., Any], **more: Any) -> ClustererSpec:
    rules = getattr(make, "rules", ("mean",))
    given = {"name": "under-test", "summary": "For a test of the kit.", "make": make, "rules": rules, **more}
    return ClustererSpec(**{"params": None if make is NotAClusterer else LimitedParams, **given})


@pytest.mark.parametrize("make", [Right, RightStreaming, RightMedoids, RightMemberships])
def test_a_right_clusterer_passes(failed: Callable[..., dict[str, str]], make: Callable[..., Any]) -> None:
    assert failed(spec_of(make)) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_clusterer_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, known_failures={"seeded": ""}))) == {"known-failures-named", "seeded"}


def test_rules_that_the_spec_does_not_say_fail_their_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, rules=("mean",)))) == {"rules-said"}


def test_every_check_has_a_broken_clusterer() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named", "rules-said"} == {
        check.name for check in checks("clusterer")
    }
