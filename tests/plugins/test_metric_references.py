"""The built-in metrics beyond the first ones, against SciPy and formulas written out in float64, on made and on real rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from nearkin.metrics import Metric
from nearkin.registry import Registry

REGISTRY = Registry(strict=True)
REGISTRY.load_entry_points()
DATA = Path(os.environ.get("NEARKIN_DATA", ""))

Reference = Callable[[np.ndarray, np.ndarray], np.ndarray]


def scipys(name: str, **options: object) -> Reference:
    return lambda q, x: cdist(q, x, name, **options)


def seuclidean(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    variances = x.var(axis=0, ddof=1)
    return cdist(q, x, "seuclidean", V=np.where(variances > 0, variances, 1.0))


def weights(dim: int) -> np.ndarray:
    return np.arange(dim) % 3 * 0.5


def hellinger(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    q, x = (np.sqrt(rows / rows.sum(axis=1, keepdims=True)) for rows in (q, x))
    return cdist(q, x) / np.sqrt(2)


def angle(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """By the arc tangent of half-angles (W. Kahan), which is exact everywhere."""
    q, x = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (q, x))
    return 2 * np.arctan2(np.linalg.norm(q[:, None] - x[None], axis=2), np.linalg.norm(q[:, None] + x[None], axis=2))


def gower(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Columns 1 and 3 are categories."""
    parts = np.empty((len(q), len(x), x.shape[1]))
    for column in range(x.shape[1]):
        apart = np.abs(q[:, None, column] - x[None, :, column])
        spread = np.ptp(x[:, column])
        exact = column in (1, 3) or spread == 0
        parts[:, :, column] = apart != 0 if exact else np.minimum(apart / spread, 1)
    return parts.mean(axis=2)


def braycurtis(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """SciPy's, but for two rows of zeros, of which it makes NaN."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(cdist(q, x, "braycurtis"), nan=0.0)


ANY_SIGN: dict[str, tuple[str, Reference]] = {
    "canberra": ("canberra", scipys("canberra")),
    "correlation": ("correlation", scipys("correlation")),
    "angular": ("angular", angle),
    "standardized-euclidean": ("seuclidean", seuclidean),
    "minkowski 1": ("minkowski:p=1", scipys("cityblock")),
    "minkowski 2": ("minkowski", scipys("euclidean")),
    "minkowski 1.5": ("minkowski:p=1.5", scipys("minkowski", p=1.5)),
    "minkowski 3": ("minkowski:p=3", scipys("minkowski", p=3)),
    "minkowski 4.2": ("lp:p=4.2", scipys("minkowski", p=4.2)),
    "gower": ("gower:categorical=1/3", gower),
}
AMOUNTS: dict[str, tuple[str, Reference]] = {
    "bray-curtis": ("bray-curtis", braycurtis),
    "hellinger": ("hellinger", hellinger),
    "jensen-shannon": ("jensen-shannon", scipys("jensenshannon")),
}
NO_ROUNDING_OF_MAPPED_ROWS = {"canberra", "bray-curtis", "gower", "jensen-shannon"} | {
    name for name in ANY_SIGN if name.startswith("minkowski") and name[-1] != "2"
}


def _normal(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def _small_numbers() -> np.ndarray:
    """Many zeros, ties and equal rows."""
    return np.random.default_rng(1).integers(0, 3, (60, 6)).astype(np.float32)


KINDS = {
    "normal": _normal(60, 16),
    "tiny": _normal(60, 16) * np.float32(1e-12),
    "huge": _normal(60, 16) * np.float32(1e15),
    "whole numbers": _small_numbers(),
    "columns of all scales": _normal(60, 8) * np.logspace(-6, 6, 8).astype(np.float32),
    "few columns": _normal(60, 4),
    "wide": _normal(20, 700),
    "sparse": np.where(np.random.default_rng(2).random((60, 16)) < 0.2, np.abs(_normal(60, 16)), 0).astype(np.float32),
    "shares": np.random.default_rng(3).dirichlet(np.full(16, 0.2), 60).astype(np.float32),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def assert_agrees(text: str, reference: Reference, rows: np.ndarray, *, mapped: bool) -> None:
    """Relative 1e-5 in pairwise and in the kernel; beside that, what float32 rounds of mapped rows of that size."""
    metric: Metric = REGISTRY.make("metric", text)
    metric.fit(rows)
    rows = rows[~metric.refuses(rows)]
    assert len(rows) > 10
    wide = rows.astype(np.float64) if rows.dtype == np.float32 else np.unpackbits(rows, axis=1).astype(bool)
    true = reference(wide[:9], wide)
    slack = 1e-6 * (true.max() + 1e-30) if mapped else 1e-12 * true.max()
    np.testing.assert_allclose(metric.distances(rows[:9], rows), true, rtol=1e-5, atol=slack)
    if metric.space.kernel is not None:
        found = metric.space.kernel.pairwise(metric.prepare(rows[:9]), metric.prepare(rows))
        np.testing.assert_allclose(found, true, rtol=1e-5, atol=1e-6 * true.max())


@each_kind
@pytest.mark.parametrize("name", ANY_SIGN)
def test_it_agrees_on_rows_of_any_sign(name: str, kind: str) -> None:
    assert_agrees(*ANY_SIGN[name], KINDS[kind], mapped=name not in NO_ROUNDING_OF_MAPPED_ROWS)


@each_kind
@pytest.mark.parametrize("name", AMOUNTS)
def test_it_agrees_on_amounts(name: str, kind: str) -> None:
    assert_agrees(*AMOUNTS[name], np.abs(KINDS[kind]), mapped=name not in NO_ROUNDING_OF_MAPPED_ROWS)


@each_kind
def test_weighted_euclidean_agrees(kind: str) -> None:
    rows = KINDS[kind]
    given = weights(rows.shape[1])
    text = "weighted-euclidean:weights=" + "/".join(map(str, given))
    assert_agrees(text, lambda q, x: cdist(q, x, "euclidean", w=given), rows, mapped=True)


def of_bits(q: np.ndarray, x: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(cdist(q, x, name), nan=0.0)


@pytest.mark.parametrize("name", ["jaccard", "dice"])
@pytest.mark.parametrize("width", [1, 8, 13, 64])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_sets_agree(name: str, width: int, share: float) -> None:
    rows = np.packbits(np.random.default_rng(width).random((60, 8 * width)) < share, axis=1)
    rows[:2] = 0
    rows[2] = 255
    assert_agrees(name, lambda q, x: of_bits(q, x, name), rows, mapped=False)


def test_jensen_shannon_keeps_its_digits_where_rows_are_almost_alike() -> None:
    base = np.random.default_rng(0).dirichlet(np.full(12, 0.5))
    rows = (base * (1 + 1e-3 * np.random.default_rng(1).standard_normal((30, 12)))).astype(np.float32)
    p = rows.astype(np.float64) / rows.astype(np.float64).sum(axis=1, keepdims=True)
    middle = (p[:, None] + p[None]) / 2
    exact = np.longdouble(rel_entr(p[:, None], middle)).sum(axis=2) + np.longdouble(rel_entr(p[None], middle)).sum(
        axis=2
    )
    true = np.sqrt(np.maximum(exact / 2, 0)).astype(np.float64)
    metric = REGISTRY.make("metric", "jensen-shannon")
    compiled = metric.space.kernel.pairwise(metric.prepare(rows), metric.prepare(rows))
    np.testing.assert_allclose(compiled, true, rtol=1e-3, atol=1e-7)
    assert true[true > 0].min() < 1e-3


# ---- real rows -------------------------------------------------------------------------------------------------------


def real(name: str) -> Path:
    path = DATA / name
    if not os.environ.get("NEARKIN_DATA") or not path.exists():
        pytest.skip(f"NEARKIN_DATA names no folder with {name}")
    return path


def _images() -> np.ndarray:
    with np.load(real("fashion-784-euclidean.npz"), allow_pickle=False) as file:
        return file["train"][:150].astype(np.float32)


@pytest.mark.parametrize("name", AMOUNTS)
def test_it_agrees_on_topics_of_texts(name: str) -> None:
    rows = np.loadtxt(real("topic-histograms-8d.txt"), max_rows=600, dtype=np.float32)
    assert_agrees(*AMOUNTS[name], rows, mapped=name == "hellinger")


@pytest.mark.parametrize("name", [*ANY_SIGN, *AMOUNTS])
def test_it_agrees_on_images(name: str) -> None:
    text, reference = {**ANY_SIGN, **AMOUNTS}[name]
    assert_agrees(text, reference, _images(), mapped=name not in NO_ROUNDING_OF_MAPPED_ROWS)


@pytest.mark.parametrize("name", ["jaccard", "dice"])
def test_sets_of_real_rows_agree(name: str) -> None:
    bits = np.packbits(_images() > 100, axis=1)
    assert_agrees(name, lambda q, x: of_bits(q, x, name), bits, mapped=False)


def great_circle(q: np.ndarray, x: np.ndarray) -> np.ndarray:
    """By the arc tangent of cross and inner product of the points, in float64: no haversine in it."""
    points = []
    for rows in (q, x):
        latitude, longitude = np.radians(rows).T
        around = np.cos(latitude)
        points.append(np.stack([around * np.cos(longitude), around * np.sin(longitude), np.sin(latitude)], axis=1))
    across = np.linalg.norm(np.cross(points[0][:, None], points[1][None]), axis=2)
    return 6371.0088 * np.arctan2(across, points[0] @ points[1].T)


def test_haversine_agrees_all_over_the_globe() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.uniform(-90, 90, 300), rng.uniform(-180, 360, 300)], axis=1).astype(np.float32)
    rows[0], rows[1] = (90, 0), (-90, 17)
    metric = REGISTRY.make("metric", "haversine")
    metric.fit(rows)
    true = great_circle(rows.astype(np.float64), rows.astype(np.float64))
    np.testing.assert_allclose(metric.distances(rows, rows), true, rtol=1e-6, atol=1e-6)
    values = metric.space.pairwise(metric.prepare(rows), metric.prepare(rows))
    np.testing.assert_allclose(metric.finish(values), true, rtol=1e-5, atol=6)  # km, near antipodes
    ordinary = true < 15_000
    np.testing.assert_allclose(metric.finish(values)[ordinary], true[ordinary], rtol=1e-6, atol=0.002)


def test_haversine_keeps_metres_of_places_in_one_region() -> None:
    rng = np.random.default_rng(0)
    rows = (np.array([47.37, 8.54]) + rng.uniform(-0.5, 0.5, (400, 2))).astype(np.float32)
    metric = REGISTRY.make("metric", "haversine")
    metric.fit(rows)
    true = great_circle(rows.astype(np.float64), rows.astype(np.float64))
    values = metric.space.pairwise(metric.prepare(rows), metric.prepare(rows))
    np.testing.assert_allclose(metric.finish(values), true, rtol=1e-6, atol=1e-5)  # a centimetre


def test_haversine_agrees_on_houses() -> None:
    path = real("california-housing.csv")
    with path.open(encoding="utf-8") as file:
        columns = file.readline().strip().split(",")
    places = [columns.index(name) for name in ("latitude", "longitude")]
    rows = np.loadtxt(path, delimiter=",", skiprows=1, max_rows=500, usecols=places, dtype=np.float32)
    metric = REGISTRY.make("metric", "great-circle")
    metric.fit(rows)
    true = great_circle(rows.astype(np.float64), rows.astype(np.float64))
    np.testing.assert_allclose(metric.distances(rows, rows), true, rtol=1e-5, atol=1e-6)
