"""The built-in metrics, against SciPy in float64 and against what they declare."""

from __future__ import annotations

import importlib
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from nearkin.errors import NotTrainedError, ParameterError, VectorError
from nearkin.hooks import MetricSpec
from nearkin.metrics import Metric
from nearkin_plugins import metrics as plugin
from nearkin_plugins.distances import bits, blocks
from nearkin_plugins.distances.affine import Mahalanobis
from nearkin_plugins.distances.bits import Hamming
from nearkin_plugins.distances.lp import Chebyshev, Manhattan

SPECS = plugin.nearkin_metrics()
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def _make(spec: MetricSpec) -> Metric:
    module, _, name = str(spec.make).partition(":")
    metric = getattr(importlib.import_module(module), name)()
    assert isinstance(metric, Metric)
    return metric


def _normal(n: int, dim: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def _bits(n: int, width: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, width), dtype=np.uint8)


def _taken(metric: Metric, n: int, dim: int) -> np.ndarray:
    """Rows that a metric takes."""
    if metric.dtype == "bits":
        return _bits(n, dim)
    rows = _normal(n, len(metric.columns) or dim)
    return np.abs(rows) if metric.refuses(rows).any() else rows


def _with_duplicates_and_constants() -> np.ndarray:
    rows = _normal(30, 12)
    rows[15:] = rows[:15]
    rows[20:, 0] = np.nextafter(rows[20:, 0], np.float32(9))
    rows[:, 4] = 1e5
    return rows


ROWS = {
    "normal": _normal(40, 16),
    "one column": _normal(40, 1),
    "one row": _normal(1, 16),
    "tiny": _normal(40, 16) * np.float32(1e-30),
    "subnormal": _normal(40, 16) * np.float32(1e-42),
    "huge": _normal(40, 16) * np.float32(1e36),
    "at the limit": np.sign(_normal(40, 16)) * np.finfo(np.float32).max,
    "far from the origin": _normal(40, 16) * np.float32(0.01) + np.float32(1e4),
    "columns of all scales": _normal(40, 16) * np.logspace(-20, 20, 16).astype(np.float32),
    "duplicates and constants": _with_duplicates_and_constants(),
}
each_kind_of_rows = pytest.mark.parametrize("rows", list(ROWS.values()), ids=list(ROWS))


def test_specs_name_what_they_make() -> None:
    names = [name for spec in SPECS for name in (spec.name, *spec.aliases)]
    assert len(set(names)) == len(names)
    assert {spec.name: _make(spec).name for spec in SPECS} == {spec.name: spec.name for spec in SPECS}
    others = {"braycurtis", "jensenshannon", "lp", "pearson", "seuclidean", "sorensen", "tanimoto", "great-circle"}
    assert {"l2", "ip", "dot", "cos", "l1", "cityblock", "linf"} | others < set(names)


@each_spec
def test_specs_take_their_examples(spec: MetricSpec) -> None:
    kind = type(_make(spec))
    for example in spec.examples:
        options = {} if spec.params is None else vars(spec.params(**example))
        assert isinstance(kind(**options), Metric)


# ---- Manhattan and Chebyshev ---------------------------------------------------------------------------------------


@each_kind_of_rows
@pytest.mark.parametrize(("metric", "scipy_name"), [(Manhattan(), "cityblock"), (Chebyshev(), "chebyshev")])
def test_pairwise_is_scipys(metric: Metric, scipy_name: str, rows: np.ndarray) -> None:
    for queries, vectors in ((rows[:3], rows), (rows, rows[:3]), (rows[:0], rows), (rows, rows[:0])):
        expected = cdist(queries.astype(np.float64), vectors.astype(np.float64), scipy_name)
        np.testing.assert_allclose(metric.distances(queries, vectors), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", [Manhattan(), Chebyshev()], ids=lambda m: m.name)
def test_pairwise_over_several_blocks(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CACHE_BYTES", 8 * 5 * 7)
    queries, vectors = _normal(3, 5), _normal(100, 5, seed=1)
    expected = cdist(
        queries.astype(np.float64), vectors.astype(np.float64), {"manhattan": "cityblock"}.get(metric.name, "chebyshev")
    )
    np.testing.assert_allclose(metric.distances(queries, vectors), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", [Manhattan(), Chebyshev(), Hamming()], ids=lambda m: m.name)
def test_pairwise_needs_little_memory_beside_its_answer(metric: Metric) -> None:
    rows = _bits(4000, 512) if metric.dtype == "bits" else _normal(4000, 512)
    tracemalloc.start()
    values = metric.pairwise(rows[:20], rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes + 4 * blocks.CACHE_BYTES  # all differences at once would be 20 times the rows


# ---- Mahalanobis ---------------------------------------------------------------------------------------------------


def _correlated(n: int, dim: int) -> np.ndarray:
    mix = np.random.default_rng(3).standard_normal((dim, dim)) * np.logspace(-1, 1, dim)
    return (_normal(n, dim) @ mix).astype(np.float32)


SCALES = {
    "as they are": (np.ones(6), np.zeros(6)),
    "columns of all scales": (np.logspace(-18, 18, 6), np.zeros(6)),
    "tiny": (np.full(6, 1e-30), np.zeros(6)),
    "huge": (np.full(6, 1e30), np.zeros(6)),
    "far from the origin": (np.ones(6), np.full(6, 500.0)),
}


@pytest.mark.parametrize(("scale", "offset"), list(SCALES.values()), ids=list(SCALES))
def test_mahalanobis_is_scipys(scale: np.ndarray, offset: np.ndarray) -> None:
    rows = (_correlated(200, 6) * scale + offset).astype(np.float32)
    metric = Mahalanobis()
    metric.fit(rows)
    # The reference works on scaled columns, which leaves the distance as it is and the inverse well-conditioned.
    exact = rows.astype(np.float64) / scale
    inverse = np.linalg.inv(np.cov(exact, rowvar=False))
    expected = cdist(exact[:20], exact, "mahalanobis", VI=inverse)
    np.testing.assert_allclose(metric.distances(rows[:20], rows), expected, rtol=1e-5, atol=1e-6)


def test_mahalanobis_keeps_scipys_order_in_squared_l2() -> None:
    rows = _correlated(300, 8)
    metric = Mahalanobis()
    metric.fit(rows)
    order = np.argsort(metric.space.pairwise(metric.prepare(rows[:10]), metric.prepare(rows)), axis=1)
    exact = rows.astype(np.float64)
    expected = cdist(exact[:10], exact, "mahalanobis", VI=np.linalg.inv(np.cov(exact, rowvar=False)))
    assert (np.diff(np.take_along_axis(expected, order, axis=1), axis=1) >= -1e-6).all()


def test_whitened_rows_have_the_identity_as_covariance() -> None:
    rows = _correlated(500, 6)
    metric = Mahalanobis()
    metric.fit(rows)
    prepared = metric.prepare(rows)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(np.cov(prepared, rowvar=False), np.eye(6), atol=1e-5)


def test_full_shrinkage_is_euclidean_in_units_of_one_spread() -> None:
    rows = _correlated(100, 6)
    metric = Mahalanobis(shrinkage=1.0)
    metric.fit(rows)
    exact = rows.astype(np.float64)
    expected = cdist(exact, exact) / np.sqrt(exact.var(axis=0, ddof=1).mean())
    np.testing.assert_allclose(metric.distances(rows, rows), expected, rtol=1e-5, atol=1e-6)


def test_shrinkage_mixes_in_the_scaled_identity() -> None:
    rows = _correlated(100, 6)
    metric = Mahalanobis(shrinkage=0.2)
    metric.fit(rows)
    exact = rows.astype(np.float64)
    covariance = np.cov(exact, rowvar=False)
    shrunk = 0.8 * covariance + 0.2 * np.trace(covariance) / 6 * np.eye(6)
    expected = cdist(exact, exact, "mahalanobis", VI=np.linalg.inv(shrunk))
    np.testing.assert_allclose(metric.distances(rows, rows), expected, rtol=1e-5, atol=1e-6)


def _constant_column() -> np.ndarray:
    rows = _normal(50, 4)
    rows[:, 2] = 0.1
    return rows


def _dependent_column() -> np.ndarray:
    rows = _normal(50, 4) + np.float32(30)
    rows[:, 3] = rows[:, 0] + rows[:, 1]
    return rows


@pytest.mark.parametrize(
    ("rows", "rank", "dim"),
    [(_constant_column(), 3, 4), (_dependent_column(), 3, 4), (_normal(5, 9), 4, 9), (_normal(2, 3), 1, 3)],
    ids=["constant", "dependent", "few rows", "two rows"],
)
def test_a_singular_covariance_is_refused_with_rank_and_hint(rows: np.ndarray, rank: int, dim: int) -> None:
    with pytest.raises(VectorError, match=f"rank is {rank} of {dim} columns; pass shrinkage=0.01"):
        Mahalanobis().fit(rows)
    shrunk = Mahalanobis(shrinkage=0.01)
    shrunk.fit(rows)
    assert np.isfinite(shrunk.distances(rows, rows)).all()


def test_a_constant_column_in_large_units_does_not_hide_the_others() -> None:
    rows = _normal(50, 4)
    rows[:, 2] = 1e8
    with pytest.raises(VectorError, match="rank is 3 of 4"):
        Mahalanobis().fit(rows)
    Mahalanobis(shrinkage=0.01).fit(rows)


def test_rows_that_cannot_be_fitted() -> None:
    with pytest.raises(VectorError, match="rank is 0 of 3 columns; no column varies"):
        Mahalanobis(shrinkage=0.5).fit(np.ones((9, 3), np.float32))
    with pytest.raises(VectorError, match="at least 2 rows to fit, got 1"):
        Mahalanobis().fit(np.ones((1, 3), np.float32))
    for shrinkage in (-0.1, 1.1, float("nan")):
        with pytest.raises(ParameterError, match="a number from 0 to 1"):
            Mahalanobis(shrinkage)


def test_mahalanobis_says_what_it_cannot_prepare() -> None:
    metric = Mahalanobis()
    with pytest.raises(NotTrainedError, match="'mahalanobis' has not been fitted"):
        metric.prepare(_normal(2, 3))
    metric.fit(_normal(50, 3) * np.float32(1e-20))
    with pytest.raises(VectorError, match="4 columns, metric 'mahalanobis' was fitted on 3"):
        metric.prepare(_normal(2, 4))
    with pytest.raises(VectorError, match="standard deviations"):
        metric.prepare(_normal(2, 3) * np.float32(1e30))


def test_mahalanobis_leaves_rows_alone() -> None:
    rows = _correlated(50, 3)
    rows.flags.writeable = False
    metric = Mahalanobis()
    metric.fit(rows)
    assert not np.shares_memory(metric.prepare(rows), rows)


# ---- Hamming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 3, 8, 16, 37])
def test_hamming_is_scipys(width: int) -> None:
    for n_queries, n in ((5, 60), (60, 5), (0, 5), (5, 0)):
        queries, vectors = _bits(n_queries, width), _bits(n, width, seed=1)
        expected = cdist(np.unpackbits(queries, axis=1), np.unpackbits(vectors, axis=1), "hamming") * 8 * width
        np.testing.assert_array_equal(Hamming().distances(queries, vectors), expected.round())


def test_hamming_of_all_bits_over_many_bytes() -> None:
    ones, zeros = np.full((1, 9000), 255, np.uint8), np.zeros((2, 9000), np.uint8)
    assert Hamming().distances(ones, zeros).tolist() == [[72_000, 72_000]]


@pytest.mark.parametrize("count", [bits._popcount_by_table, bits._popcount], ids=["table", "best"])
def test_both_ways_to_count_bits(count: Callable[[np.ndarray], np.ndarray]) -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (6, 5), dtype=np.uint64)
    words[0, 0], words[0, 1] = 0, 2**64 - 1
    assert count(words[:, ::2]).tolist() == [[int(word).bit_count() for word in row] for row in words[:, ::2]]


def test_hamming_without_numpys_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, vectors = _bits(4, 19), _bits(33, 19, seed=1)
    expected = Hamming().distances(queries, vectors)
    monkeypatch.setattr(bits, "_popcount", bits._popcount_by_table)
    monkeypatch.setattr(bits, "CACHE_BYTES", 1000)
    np.testing.assert_array_equal(Hamming().distances(queries, vectors), expected)


def test_hamming_similarity_needs_the_number_of_bits() -> None:
    rows = _bits(3, 4)
    seen: dict[str, Callable[[Metric], object]] = {
        "fit": lambda metric: metric.fit(rows),
        "prepare": lambda metric: metric.prepare(rows),
        "pairwise": lambda metric: metric.pairwise(rows, rows),
    }
    for see in seen.values():
        metric = Hamming()
        with pytest.raises(NotTrainedError, match="how many bits"):
            metric.similarity(np.array([1.0]))
        see(metric)
        assert metric.similarity(np.array([0.0, 8.0, 32.0])).tolist() == [1.0, 0.75, 0.0]


# ---- what every metric declares ------------------------------------------------------------------------------------


@each_spec
def test_state_restores_a_metric_exactly(spec: MetricSpec) -> None:
    metric, other = _make(spec), _make(spec)
    rows = _taken(metric, 60, 5)
    metric.fit(rows)
    other.restore(metric.state())
    assert other.state().meta == metric.state().meta
    distances = np.array([0.0, 0.5, 1.0])
    np.testing.assert_array_equal(other.similarity(distances), metric.similarity(distances))
    np.testing.assert_array_equal(other.distances(rows[:4], rows), metric.distances(rows[:4], rows))


def test_state_before_fit_restores_too() -> None:
    metric = Mahalanobis()
    metric.restore(Mahalanobis(shrinkage=0.25).state())
    assert metric.shrinkage == 0.25
    with pytest.raises(NotTrainedError):
        metric.prepare(_normal(2, 2))


def test_mahalanobis_state_keeps_its_shrinkage() -> None:
    metric, other = Mahalanobis(shrinkage=0.3), Mahalanobis()
    metric.fit(_normal(9, 3))
    other.restore(metric.state())
    assert other.shrinkage == 0.3


def _rows_for(metric: Metric, draw: st.DataObject) -> np.ndarray:
    shape = (draw.draw(st.integers(2, 6)), len(metric.columns) or 4)
    if metric.dtype == "bits":
        return draw.draw(arrays(np.uint8, shape))
    largest = 90 if metric.columns else 1e6
    rows = draw.draw(arrays(np.float32, shape, elements=st.floats(-largest, largest, width=32)))
    return np.abs(rows) if metric.refuses(np.float32([[-1, 1, -1, 1][: shape[1]]])).any() else rows


@each_spec
@settings(max_examples=60)
@given(draw=st.data())
def test_declared_axioms_hold(spec: MetricSpec, draw: st.DataObject) -> None:
    metric = _make(spec)
    metric.fit(_taken(metric, 50, 4))
    rows = _rows_for(metric, draw)
    rows = rows[~metric.refuses(rows)]
    found = metric.distances(rows, rows)
    slack = 1e-6 * (1 + np.abs(found).max(initial=0))
    if "non-negative" in metric.axioms:
        assert found.min(initial=0) >= 0
    if "identity" in metric.axioms:
        assert np.abs(found.diagonal()).max(initial=0) <= slack
    if "symmetric" in metric.axioms:
        np.testing.assert_allclose(found, found.T, atol=slack)
    if "triangle" in metric.axioms:
        assert (found[:, None, :] <= found[:, :, None] + found[None, :, :] + slack).all()


@each_spec
@given(distances=st.lists(st.floats(0, 2), min_size=2, max_size=9))
def test_similarity_falls_as_distance_grows(spec: MetricSpec, distances: list[float]) -> None:
    metric = _make(spec)
    metric.fit(_taken(metric, 9, 3))
    assert (np.diff(metric.similarity(np.sort(np.array(distances)))) <= 0).all()
    nearer, farther = metric.similarity(np.array([0.0, 2.0]))
    assert nearer > farther


@pytest.mark.parametrize("kind", [Manhattan, Chebyshev, Mahalanobis])
@given(distance=st.floats(0, 1e15))
def test_unfinish_is_the_inverse_of_finish(kind: type[Metric], distance: float) -> None:
    metric = kind()
    back = metric.finish(np.array([metric.unfinish(distance)]))[0]
    assert back == pytest.approx(distance, rel=1e-12, abs=1e-150)
    assert metric.unfinish(-1.0) < 0
