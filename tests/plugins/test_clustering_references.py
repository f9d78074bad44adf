"""Each method's objective beside that of the library it is known from, from the same start: no worse, on real data.

Iris and digits come with scikit-learn. Customers, penguins, Fashion-MNIST and SIFT are read from the folder in NEARKIN_DATA.
"""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path

import faiss
import kmedoids
import numpy as np
import pytest
import skfuzzy
from sklearn.cluster import BisectingKMeans
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.datasets import load_digits, load_iris

import nearkin as nk
from nearkin.metrics import unit_rows
from nearkin_plugins import kmedoids as own_kmedoids

DATA = Path(os.environ.get("NEARKIN_DATA", ""))
NO_WORSE = 1 + 1e-4
NAMES = ("iris", "digits", "mall-customers", "penguins", "fashion-mnist", "sift")
ARCHIVES = {"fashion-mnist": "fashion-784-euclidean.npz", "sift": "sift-128-euclidean.npz"}
K = 8


@cache
def rows_of(name: str) -> np.ndarray:
    if name in ("iris", "digits"):
        return (load_iris() if name == "iris" else load_digits()).data.astype(np.float32)
    path = DATA / ARCHIVES.get(name, f"{name}.csv")
    if not os.environ.get("NEARKIN_DATA") or not path.is_file():
        pytest.skip(f"NEARKIN_DATA names no folder with {path.name}")
    if name in ARCHIVES:
        with np.load(path) as archive:
            return archive["train"][: 1000 if name == "fashion-mnist" else 2000].astype(np.float32)
    return numbers_of(path)


def numbers_of(path: Path) -> np.ndarray:
    """The columns of a table that are numbers, without running numbers and rows that lack a value."""
    with path.open(newline="", encoding="utf-8") as file:
        table = [row for row in csv.reader(file)][1:]
    kept = list[list[float]]()
    for row in table:
        values = row[2:] if path.stem == "mall-customers" else row[2:6]
        if all(value.replace(".", "", 1).isdigit() for value in values):
            kept.append([float(value) for value in values])
    return np.array(kept, dtype=np.float32)


def start_of(rows: np.ndarray, seed: int) -> np.ndarray:
    distinct = np.unique(rows, axis=0)
    return distinct[np.random.default_rng(seed).choice(len(distinct), K, replace=False)]


def squares(rows: np.ndarray, centroids: np.ndarray) -> float:
    rows, centroids = rows.astype(np.float64), centroids.astype(np.float64)
    return float(
        sum(
            ((rows[i : i + 500, None] - centroids) ** 2).sum(axis=2).min(axis=1).sum() for i in range(0, len(rows), 500)
        )
    )


def apart(rows: np.ndarray, power: int) -> np.ndarray:
    """(n, n) Manhattan (1) or Euclidean (2) distances in float64."""
    wide = rows.astype(np.float64)
    if power == 2:
        return np.sqrt(np.stack([((wide - row) ** 2).sum(axis=1) for row in wide]))
    return np.stack([np.abs(wide - row).sum(axis=1) for row in wide])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_lloyd_is_no_worse_than_scikit_learn(name: str, seed: int) -> None:
    rows = rows_of(name)
    start = start_of(rows, seed)
    mine = nk.cluster(rows, K, method="lloyd", init=start, tol=0)
    theirs = SklearnKMeans(K, init=start, n_init=1, max_iter=300, tol=0).fit(rows.astype(np.float64))
    assert mine.inertia == pytest.approx(squares(rows, mine.centroids), rel=1e-6)
    assert mine.inertia <= NO_WORSE * squares(rows, theirs.cluster_centers_)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_lloyd_with_weights_is_no_worse_than_scikit_learn(name: str, seed: int) -> None:
    rows = rows_of(name)
    start, weights = start_of(rows, seed), np.random.default_rng(seed).exponential(size=len(rows))
    mine = nk.cluster(rows, K, method="lloyd", init=start, tol=0, weights=weights)
    theirs = SklearnKMeans(K, init=start, n_init=1, max_iter=300, tol=0).fit(
        rows.astype(np.float64), sample_weight=weights
    )
    assert mine.inertia <= NO_WORSE * theirs.inertia_


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_lloyd_and_kmeans_are_no_worse_than_faiss(name: str, seed: int) -> None:
    rows = rows_of(name)
    start = start_of(rows, seed)
    theirs = faiss.Kmeans(rows.shape[1], K, niter=300, min_points_per_centroid=1, max_points_per_centroid=len(rows))
    theirs.train(rows, init_centroids=start)
    reference = squares(rows, theirs.centroids)
    for method in ("lloyd", "kmeans"):
        assert nk.cluster(rows, K, method=method, init=start, tol=0).inertia <= NO_WORSE * reference, method


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_spherical_is_no_worse_than_faiss(name: str, seed: int) -> None:
    rows = rows_of(name)
    start = unit_rows(start_of(rows, seed))
    theirs = faiss.Kmeans(
        rows.shape[1], K, niter=300, spherical=True, min_points_per_centroid=1, max_points_per_centroid=len(rows)
    )
    theirs.train(unit_rows(rows), init_centroids=start)
    reference = squares(unit_rows(rows), unit_rows(theirs.centroids))
    for method in ("spherical", "kmeans"):
        mine = nk.cluster(rows, K, method=method, init=start, metric="cosine", tol=0)
        assert mine.inertia == pytest.approx(squares(unit_rows(rows), mine.centroids), rel=1e-3)
        assert mine.inertia <= NO_WORSE * reference, method


@pytest.mark.parametrize("name", NAMES)
def test_bisecting_is_no_worse_than_scikit_learn(name: str) -> None:
    """Its splits start from draws of its own, so that the middle of several seeds is compared."""
    rows = rows_of(name)
    seeds = range(7)
    mine = [nk.cluster(rows, K, method="bisecting", seed=seed, n_init=1).inertia for seed in seeds]
    theirs = [
        squares(rows, BisectingKMeans(K, init="k-means++", random_state=seed).fit(rows).cluster_centers_)
        for seed in seeds
    ]
    assert np.median(mine) <= NO_WORSE * np.median(theirs)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
@pytest.mark.parametrize("name", NAMES)
def test_kmedoids_is_no_worse_than_fasterpam(name: str, metric: str) -> None:
    rows = np.unique(rows_of(name), axis=0)
    between = apart(rows, 2 if metric == "euclidean" else 1)
    for seed in range(2):
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), K, replace=False))
        theirs = kmedoids.fasterpam(between, chosen.astype(np.uint64), n_cpu=1)
        mine = nk.cluster(rows, K, method="kmedoids", metric=metric, init=rows[chosen])
        assert mine.medoids is not None
        assert mine.inertia == pytest.approx(between[:, mine.medoids].min(axis=1).sum(), rel=1e-5)
        assert mine.inertia <= NO_WORSE * theirs.loss


@pytest.mark.parametrize("name", NAMES)
def test_kmedoids_with_weights_are_those_of_rows_given_again(name: str) -> None:
    rows = np.unique(rows_of(name), axis=0)[:400]
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 5, len(rows))
    again = np.repeat(np.arange(len(rows)), counts)
    between = apart(rows, 2)[np.ix_(again, again)]
    chosen = np.sort(rng.choice(len(rows), K, replace=False))
    first = np.searchsorted(again, chosen)
    theirs = kmedoids.fasterpam(between, first.astype(np.uint64), n_cpu=1)
    mine = nk.cluster(rows, K, method="kmedoids", init=rows[chosen], weights=counts)
    assert mine.inertia <= NO_WORSE * theirs.loss


@pytest.mark.parametrize("name", NAMES)
def test_kmedoids_of_samples_come_close_to_those_of_all_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(name)
    whole = nk.cluster(rows, K, method="kmedoids", n_init=1)
    monkeypatch.setattr(own_kmedoids, "FULL_ROWS", len(rows) // 2)
    monkeypatch.setattr(own_kmedoids, "SAMPLE", len(rows) // 4)
    some = nk.cluster(rows, K, method="kmedoids", n_init=1)
    assert some.inertia <= 1.05 * whole.inertia
    assert list(some.history) == sorted(some.history, reverse=True)


@pytest.mark.parametrize("m", [1.3, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_fuzzy_is_no_worse_than_scikit_fuzzy(name: str, m: float) -> None:
    rows = rows_of(name)
    start = start_of(rows, 0) + np.float32(1e-3)  # beside rows: scikit-fuzzy divides by the distance
    between = np.sqrt(((rows[:, None].astype(np.float64) - start) ** 2).sum(axis=2))
    first = between ** (-2 / (m - 1))
    first /= first.sum(axis=1, keepdims=True)
    centroids, *_, costs, _, _ = skfuzzy.cmeans(rows.T.astype(np.float64), K, m, error=1e-8, maxiter=300, init=first.T)
    mine = nk.cluster(rows, K, method=f"fuzzy:m={m}", init=start, tol=0)
    assert mine.memberships is not None
    squared = ((rows[:, None].astype(np.float64) - mine.centroids) ** 2).sum(axis=2)
    assert mine.history[-1] == pytest.approx((mine.memberships**m * squared).sum(), rel=1e-5)
    assert centroids.shape == mine.centroids.shape
    assert mine.history[-1] <= NO_WORSE * costs[-1]
