"""Every pair of clusterer and metric is right or refused: brute force in float64, and hints that work."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

import nearkin as nk
from nearkin.clustering.result import Clustering
from nearkin.components import Part
from nearkin.errors import NotSupportedError
from nearkin.hooks import ClustererSpec
from nearkin.metrics import Metric
from nearkin.registry import default_registry
from nearkin.testing.samples import accepted_rows

REGISTRY = default_registry()
CLUSTERERS = [spec for spec in REGISTRY.specs("clusterer") if isinstance(spec, ClustererSpec)]
APPROXIMATE = {"minibatch", "online"}
"""What ends without coming to rest."""
K = 4


def metrics() -> Iterator[str]:
    for spec in REGISTRY.specs("metric"):
        yield from (str(Part(spec.name, example)) for example in spec.examples)


def rows_for(text: str) -> tuple[Metric, np.ndarray]:
    metric = REGISTRY.make("metric", text)
    if metric.columns:
        rng = np.random.default_rng(5)
        return metric, rng.uniform([-60, -170], [60, 170], (120, 2)).astype(np.float32)
    width = 8 if metric.dtype == "bits" else 5

    def refuses(rows: np.ndarray) -> np.ndarray:
        return metric.refuses(rows) if metric.refuses_rows else np.zeros(len(rows), dtype=bool)

    return metric, accepted_rows(np.random.default_rng(5), 120, width, metric.dtype, refuses)


def clustered(rows: np.ndarray, method: str, metric: str, seed: int = 3) -> Clustering:
    spec = REGISTRY.resolve("clusterer", method)
    known = spec.params.__dataclass_fields__ if spec.params else {}
    more = {name: value for name, value in {"max_iter": 300, "tol": 0.0}.items() if name in known}
    return nk.cluster(rows, K, method=method, metric=metric, seed=seed, n_init=1, threads=2, **more)


@pytest.mark.parametrize("metric", list(metrics()))
@pytest.mark.parametrize("spec", CLUSTERERS, ids=lambda spec: spec.name)
def test_every_pair_is_right_or_refused(spec: ClustererSpec, metric: str) -> None:
    made, rows = rows_for(metric)
    by_rows = "medoid" in spec.rules and {"non-negative", "identity"} <= made.axioms
    if made.centroid_rule not in spec.rules and not by_rows:
        need_refused(rows, spec.name, metric)
        return
    found = clustered(rows, spec.name, metric)
    need_nearest(found, rows)
    if spec.name not in APPROXIMATE:
        assert found.ended == "converged"
        need_best(found, spec.name)
    again = clustered(rows, spec.name, metric)
    np.testing.assert_array_equal(found.labels, again.labels)
    np.testing.assert_array_equal(found.centroids, again.centroids)


def need_refused(rows: np.ndarray, method: str, metric: str) -> None:
    """The refusal names what then works: another method, another metric, or both."""
    with pytest.raises(NotSupportedError) as caught:
        clustered(rows, method, metric)
    methods = re.findall(r"method='([\w-]+)'", str(caught.value.hint))
    others = re.findall(r"metric='([\w-]+)'", str(caught.value.hint))
    assert methods or others
    for each in methods:
        assert clustered(rows, each, metric).sizes.sum() == len(rows)
    for each in others:
        made, numbers = rows_for(each)
        assert made.dtype == "float32"
        assert clustered(numbers, method, each).sizes.sum() == len(numbers)


def need_nearest(found: Clustering, rows: np.ndarray) -> None:
    """Each row's own centroid, in the user's units, is nearest by the metric itself."""
    distances = found.metric.distances(rows, found.centroids)
    own = distances[np.arange(len(rows)), found.labels]
    np.testing.assert_allclose(own, distances.min(axis=1), rtol=1e-4, atol=1e-5 * distances.max())
    np.testing.assert_allclose(own, found.distances(), rtol=1e-3, atol=1e-3 * distances.max())


def need_best(found: Clustering, method: str) -> None:
    """No centroid can be moved a little (or, being a row, be another row of its cluster) so that its costs become less."""
    rng = np.random.default_rng(0)
    prepared, centroids = found.prepared, found.partition.centroids
    for cluster in range(found.k):
        mass = (found.labels == cluster).astype(np.float64)
        if found.memberships is not None:
            mass = found.memberships[:, cluster] ** 2
        if found.medoids is not None:
            tried = prepared[found.labels == cluster]
        else:
            spread = prepared.std(axis=0)
            moves = np.concatenate([size * rng.normal(size=(50, prepared.shape[1])) for size in (1e-3, 1e-2, 1e-1)])
            tried = found.objective.allowed((centroids[cluster] + spread * moves).astype(np.float32))
        now = float(mass @ brute(found, centroids[cluster : cluster + 1])[:, 0])
        least = float((mass @ brute(found, tried)).min())
        assert least >= now - 1e-5 * abs(now), (method, found.metric_name, cluster, now, least)


def brute(found: Clustering, centroids: np.ndarray) -> np.ndarray:
    """Costs by their definition: squared differences of prepared rows, sums of differences, or the metric's distances."""
    apart = found.prepared[:, None].astype(np.float64) - centroids[None].astype(np.float64)
    if found.objective.rule in ("mean", "direction"):
        return np.asarray((apart**2).sum(axis=2))
    if found.objective.rule == "median":
        return np.asarray(np.abs(apart).sum(axis=2))
    if found.metric.reduces_to is None:
        return found.metric.distances(found.prepared, centroids)
    return np.asarray(found.metric.finish((apart**2).sum(axis=2)), dtype=np.float64)


def test_a_formula_of_ones_own_is_clustered_by_rows() -> None:
    @nk.metric("farthest-column", axioms={"non-negative", "identity", "symmetric", "triangle"})
    def farthest(a, b):
        worst = 0.0
        for i in range(a.shape[0]):
            worst = max(worst, abs(a[i] - b[i]))
        return worst

    rows = np.concatenate([np.random.default_rng(0).normal(size=(40, 3)) + shift for shift in (0, 50, 100)]).astype(
        np.float32
    )
    found = nk.cluster(rows, 3, method="kmedoids", metric=farthest, seed=1)
    assert sorted(found.sizes.tolist()) == [40, 40, 40]
    np.testing.assert_array_equal(found.centroids, rows[found.medoids])
    for cluster, medoid in enumerate(found.medoids):
        inside = rows[found.labels == cluster]
        sums = np.abs(inside[:, None] - inside[None]).max(axis=2).sum(axis=0)
        own = np.abs(inside - rows[medoid]).max(axis=1).sum()
        assert own == pytest.approx(sums.min(), rel=1e-6)
    with pytest.raises(NotSupportedError, match="kmedoids"):
        nk.cluster(rows, 3, method="lloyd", metric=farthest)


def test_the_textbook_numbers() -> None:
    rows = [[1], [2], [3], [4], [100]]
    assert nk.cluster(rows, 1).centroids.tolist() == [[22.0]]
    by_rows = nk.cluster(rows, 1, method="kmedoids")
    assert (by_rows.centroids.tolist(), by_rows.medoids.tolist(), by_rows.inertia) == ([[3.0]], [2], 101.0)
    assert nk.cluster(rows, 1, method="kmedians").centroids.tolist() == [[3.0]]
