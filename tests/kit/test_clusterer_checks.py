"""For every check of the clusterer contract, a clusterer that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.centroids import Clustering, Lloyd, assign
from nearkin.hooks import ClustererSpec
from nearkin.metrics import squared_l2
from nearkin.testing import checks


class Right(Lloyd):
    name = "under-test"


class NotAClusterer:
    name = "under-test"


class Labels32(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        found = super()._fit(vectors, k, seed, weights)
        return replace(found, labels=found.labels.astype(np.int32))


class LabelsTheNext(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        found = super()._fit(vectors, k, seed, weights)
        labels = (found.labels + 1) % k
        own = squared_l2(vectors, found.centroids)[np.arange(len(vectors)), labels]
        mass = np.ones(len(vectors)) if weights is None else weights
        return replace(found, labels=labels, inertia=float((mass * own).sum()))


class IgnoresWeightsInInertia(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        found = super()._fit(vectors, k, seed, weights)
        return replace(found, inertia=float(assign(vectors, found.centroids)[1].sum()))


class EachRunDiffers(Right):
    runs = count()

    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        return super()._fit(vectors, k, next(self.runs), weights)


def clustering(vectors: np.ndarray, centroids: np.ndarray, weights: np.ndarray | None) -> Clustering:
    """What centroids make of the rows."""
    labels, distances = assign(vectors, centroids)
    mass = np.ones(len(vectors)) if weights is None else weights
    return Clustering(centroids, labels, float((mass * distances).sum()))


class AllInTheMiddle(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        if k == len(vectors):
            return super()._fit(vectors, k, seed, weights)
        mean = np.average(vectors, axis=0, weights=weights).astype(np.float32)
        return clustering(vectors, np.tile(mean, (k, 1)), weights)


class OneIsMedian(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        if k > 1:
            return super()._fit(vectors, k, seed, weights)
        counted = vectors if weights is None else vectors[weights > 0]
        return clustering(vectors, np.median(counted, axis=0, keepdims=True).astype(np.float32), weights)


class WantsMoreRows(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        if k == len(vectors):
            raise RuntimeError(f"{len(vectors)} rows cannot train {k} centroids")
        return super()._fit(vectors, k, seed, weights)


class TakesAnyK(Right):
    def fit(self, vectors: np.ndarray, k: int, **options: Any) -> Clustering:
        return super().fit(vectors, min(max(k, 1), len(vectors)), **options)


class LosesItsStart(Right):
    def _fit_from(self, start: np.ndarray, vectors: np.ndarray, seed: int, weights: np.ndarray | None) -> Clustering:
        return clustering(vectors, vectors[: len(start)].copy(), weights)


class CountsEveryRow(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        return clustering(vectors, super()._fit(vectors, k, seed, None).centroids, weights)


class WantsDistinctRows(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        if len(np.unique(vectors, axis=0)) < k:
            raise ZeroDivisionError("division by zero")
        return super()._fit(vectors, k, seed, weights)


class CentresInPlace(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        found = super()._fit(vectors, k, seed, weights)
        if vectors.flags.writeable:
            vectors -= vectors.mean(axis=0)
        return found


class ScalesWeightsInPlace(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        found = super()._fit(vectors, k, seed, weights)
        if weights is not None and weights.flags.writeable:
            weights /= weights.sum()
        return found


class WantsWritable(Right):
    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        if not vectors.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super()._fit(vectors, k, seed, weights)


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
