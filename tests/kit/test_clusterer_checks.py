"""For every check of the clusterer contract, a clusterer that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.centroids import Partition, Task
from nearkin.hooks import ClustererSpec
from nearkin.lloyd import Lloyd
from nearkin.metrics import squared_l2
from nearkin.testing import checks


class Right(Lloyd):
    name = "under-test"


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
        own = squared_l2(task.vectors, found.centroids)[np.arange(len(labels)), labels]
        return replace(found, labels=labels, inertia=float((task.mass * own).sum()))


class IgnoresWeightsInInertia(Right):
    def _fit(self, task: Task) -> Partition:
        found = super()._fit(task)
        return replace(found, inertia=float(task.objective.assign(task.vectors, found.centroids)[1].sum()))


class EachRunDiffers(Right):
    runs = count()

    def _fit(self, task: Task) -> Partition:
        return super()._fit(replace(task, seed=next(self.runs)))


class AllInTheMiddle(Right):
    def _fit(self, task: Task) -> Partition:
        if task.k == len(task.vectors):
            return super()._fit(task)
        mean = np.average(task.vectors, axis=0, weights=task.mass).astype(np.float32)
        return task.partition(np.tile(mean, (task.k, 1)))


class OneIsMedian(Right):
    def _fit(self, task: Task) -> Partition:
        if task.k > 1:
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
    ("labels-nearest", LabelsTheNext),
    ("inertia-true", IgnoresWeightsInInertia),
    ("seeded", EachRunDiffers),
    ("better-than-random", AllInTheMiddle),
    ("one-is-mean", OneIsMedian),
    ("as-many-as-rows", WantsMoreRows),
    ("k-checked", TakesAnyK),
    ("start-taken", LosesItsStart),
    ("zero-weights-ignored", CountsEveryRow),
    ("duplicates", WantsDistinctRows),
    ("input-unchanged", CentresInPlace),
    ("input-unchanged", ScalesWeightsInPlace),
    ("read-only-input", WantsWritable),
]


def spec_of(make: Callable[..., Any], **more: Any) -> ClustererSpec:
    return ClustererSpec(name="under-test", summary="For a test of the kit.", make=make, **more)


def test_a_right_clusterer_passes(failed: Callable[..., dict[str, str]]) -> None:
    assert failed(spec_of(Right)) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_clusterer_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, known_failures={"seeded": ""}))) == {"known-failures-named", "seeded"}


def test_every_check_has_a_broken_clusterer() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("clusterer")}
