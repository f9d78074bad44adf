"""For every check of the metric contract, a metric that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from nearkin.errors import NotTrainedError
from nearkin.hooks import MetricSpec
from nearkin.metrics import ALL_AXIOMS, Axiom, Euclidean, Metric
from nearkin.state import State
from nearkin.testing import checks
from nearkin_plugins import clusterers, indexes


def differences(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(nq, n, dim) in float64."""
    return queries[:, None, :].astype(np.float64) - vectors[None, :, :].astype(np.float64)


class CityBlock(Metric):
    """Right: every promise of a metric that computes pairwise."""

    name = "under-test"
    axioms: ClassVar[frozenset[Axiom]] = ALL_AXIOMS

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(differences(queries, vectors)).sum(axis=2))


class Standardized(Metric):
    """Right: every promise of a metric that reduces, is fitted, keeps state and refuses rows."""

    name = "under-test"
    axioms: ClassVar[frozenset[Axiom]] = ALL_AXIOMS
    reduces_to = "l2"
    needs_fit = True
    refuses_rows = True
    centroid_rule = "mean"

    def __init__(self) -> None:
        self.spread: np.ndarray | None = None

    def fit(self, sample: np.ndarray) -> None:
        self.spread = sample.std(axis=0, dtype=np.float64)

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        if self.spread is None:
            raise NotTrainedError("not fitted")
        return np.ascontiguousarray(vectors / self.spread, dtype=np.float32)

    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(prepared * self.spread, dtype=np.float32)

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(values, 0)))

    def unfinish(self, distance: float) -> float:
        return distance**2

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors[:, 0] > 8)

    def state(self) -> State:
        return State({} if self.spread is None else {"spread": self.spread})

    def restore(self, state: State) -> None:
        self.spread = state.arrays["spread"]


class NotAMetric:
    """Derives from nothing."""

    name = "under-test"


class Transposed(CityBlock):
    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return super().pairwise(queries, vectors).T


class AngleOfZero(Metric):
    """Divides by lengths that may be zero, and refuses nothing."""

    name = "under-test"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            q, x = (
                rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True) for rows in (queries, vectors)
            )
        return np.asarray(1 - q @ x.T)


class BelowZero(CityBlock):
    axioms: ClassVar[frozenset[Axiom]] = frozenset({"non-negative"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return super().pairwise(queries, vectors) - 0.5


class FarFromItself(CityBlock):
    axioms: ClassVar[frozenset[Axiom]] = frozenset({"identity"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return super().pairwise(queries, vectors) + 1


class UphillIsFarther(CityBlock):
    axioms: ClassVar[frozenset[Axiom]] = frozenset({"symmetric"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        apart = differences(queries, vectors)
        return np.asarray((2 * np.maximum(apart, 0) + np.maximum(-apart, 0)).sum(axis=2))


class SquaredWithTriangle(CityBlock):
    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return np.asarray((differences(queries, vectors) ** 2).sum(axis=2))


class LargerIsNearer(CityBlock):
    axioms: ClassVar[frozenset[Axiom]] = frozenset({"identity", "symmetric"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return -super().pairwise(queries, vectors)

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return -distances


class OtherReduction(CityBlock):
    reduces_to = "l2"


class OtherNative(CityBlock):
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_Linf"}


def far(a, b):
    return abs(a[0] - b[0])


class OtherKernel(CityBlock):
    kernel = staticmethod(far)


class PreparesOtherRows(CityBlock):
    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return vectors * np.float32(2)

    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        return prepared * np.float32(0.5)


class PreparesFloat64(CityBlock):
    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        return vectors.astype(np.float64)


class LosesInfinity(Euclidean):
    name = "under-test"

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.nan_to_num(super().finish(values)))


class ForgetsTheSquare(Euclidean):
    name = "under-test"

    def unfinish(self, distance: float) -> float:
        return distance


class KeepsUnits(Standardized):
    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        return prepared


class MeansUnderCityBlock(CityBlock):
    centroid_rule = "mean"


class MediansUnderChebyshev(Metric):
    name = "under-test"
    centroid_rule = "median"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(differences(queries, vectors)).max(axis=2))


class DirectionsOfLongRows(Euclidean):
    name = "under-test"
    centroid_rule = "direction"


class SimilarityIsDistance(CityBlock):
    def similarity(self, distances: np.ndarray) -> np.ndarray:
        return distances


class RestoresOnes(Standardized):
    def restore(self, state: State) -> None:
        self.spread = np.ones_like(state.arrays["spread"])


class FitAddsUp(Standardized):
    def fit(self, sample: np.ndarray) -> None:
        before = np.zeros(sample.shape[1]) if self.spread is None else self.spread
        self.spread = before + sample.std(axis=0, dtype=np.float64)


class ShareOfLargest(CityBlock):
    axioms: ClassVar[frozenset[Axiom]] = frozenset()

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        values = super().pairwise(queries, vectors)
        return np.asarray(values / values.max())


class SaysNeedsFit(CityBlock):
    needs_fit = True


class DoesNotSayNeedsFit(Standardized):
    needs_fit = False


class SaysRefuses(CityBlock):
    refuses_rows = True


class SortsTheSample(CityBlock):
    def fit(self, sample: np.ndarray) -> None:
        if sample.flags.writeable:
            sample.sort(axis=0)


class WantsWritable(CityBlock):
    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        if not vectors.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return vectors


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotAMetric),
    ("distances-shape", Transposed),
    ("finite", AngleOfZero),
    ("axiom-non-negative", BelowZero),
    ("axiom-identity", FarFromItself),
    ("axiom-symmetric", UphillIsFarther),
    ("axiom-triangle", SquaredWithTriangle),
    ("self-nearest", LargerIsNearer),
    ("reduction-agrees", OtherReduction),
    ("native-agrees", OtherNative),
    ("kernel-agrees", OtherKernel),
    ("prepared-alike", PreparesOtherRows),
    ("prepare-gives-rows", PreparesFloat64),
    ("finish-ordered", LosesInfinity),
    ("unfinish-inverts", ForgetsTheSquare),
    ("unprepare-inverts", KeepsUnits),
    ("centroid-best", MeansUnderCityBlock),
    ("centroid-best", MediansUnderChebyshev),
    ("centroid-best", DirectionsOfLongRows),
    ("similarity-falls", SimilarityIsDistance),
    ("state-restores", RestoresOnes),
    ("fit-deterministic", FitAddsUp),
    ("batch-independent", ShareOfLargest),
    ("needs-fit-said", SaysNeedsFit),
    ("needs-fit-said", DoesNotSayNeedsFit),
    ("refuses-mask", SaysRefuses),
    ("input-unchanged", SortsTheSample),
    ("read-only-input", WantsWritable),
]


def spec_of(make: Callable[..., Any], **more: Any) -> MetricSpec:
    return MetricSpec(name="under-test", summary="For a test of the kit.", make=make, **more)


@pytest.mark.parametrize("make", [CityBlock, Standardized])
def test_a_right_metric_passes(failed: Callable[..., dict[str, str]], make: Callable[..., Any]) -> None:
    assert failed(spec_of(make), indexes, clusterers) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_metric_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make), indexes, clusterers)
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    found = failed(spec_of(CityBlock, known_failures={"axiom-triangel": "misspelt"}))
    assert set(found) == {"known-failures-named"}
    assert "axiom-triangel" in found["known-failures-named"]


def test_every_check_has_a_broken_metric() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("metric")}


def test_the_reason_holds_the_counterexample(failed: Callable[..., dict[str, str]]) -> None:
    reason = failed(spec_of(SquaredWithTriangle))["axiom-triangle"]
    assert reason.count("[") == 3
    assert "and over row " in reason
    assert reason.endswith("(ordinary)")


def test_native_is_compared_with_the_indexes_of_the_registry_only(report_of: Callable[..., Any]) -> None:
    results = {result.name: result for result in report_of(spec_of(OtherNative)).results}
    assert results["native-agrees"].outcome == "skipped"
    assert "no index of the registry" in results["native-agrees"].reason
