"""The metric contract and the kernel's four metrics, against float64 references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from nearkin.errors import NotTrainedError, PluginContractError, VectorError
from nearkin.metrics import (
    INNER_PRODUCT,
    L2,
    Cosine,
    Euclidean,
    InnerProduct,
    Metric,
    SquaredEuclidean,
    need_fitted,
    negated_inner_product,
    squared_l2,
    unit_rows,
)

FLOAT32_MAX = float(np.finfo(np.float32).max)


def _normal(n: int, dim: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((n, dim)).astype(np.float32)


def _with_duplicates() -> np.ndarray:
    rows = _normal(20, 8)
    rows[10:] = rows[:10]
    rows[15:, 0] = np.nextafter(rows[15:, 0], np.float32(9))
    return rows


def _with_constant_columns() -> np.ndarray:
    rows = _normal(20, 8)
    rows[:, 2:5] = 1e4
    return rows


ROWS = {
    "normal": _normal(40, 16),
    "one column": _normal(40, 1),
    "tiny": _normal(40, 16) * np.float32(1e-30),
    "subnormal": _normal(40, 16) * np.float32(1e-42),
    "huge": _normal(40, 16) * np.float32(1e36),
    "at the limit": (np.sign(_normal(40, 16)) * np.float32(FLOAT32_MAX)).astype(np.float32),
    "far from the origin": _normal(40, 16) * np.float32(0.01) + np.float32(1e4),
    "columns of all scales": _normal(40, 16) * np.logspace(-20, 20, 16).astype(np.float32),
    "rows of all scales": _normal(40, 16) * np.logspace(-30, 30, 40).astype(np.float32)[:, None],
    "duplicates": _with_duplicates(),
    "constant columns": _with_constant_columns(),
}
each_kind_of_rows = pytest.mark.parametrize("rows", list(ROWS.values()), ids=list(ROWS))
finite = st.floats(-1e6, 1e6, width=32)
any_rows = st.integers(1, 6).flatmap(
    lambda dim: arrays(np.float32, st.tuples(st.integers(2, 6), st.just(dim)), elements=finite)
)


def _exact_cosine(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """1 - cos as half the squared chord between the unit rows in float64: no cancellation for small angles."""
    q, x = queries.astype(np.float64), vectors.astype(np.float64)
    q /= np.abs(q).max(axis=1, keepdims=True)
    x /= np.abs(x).max(axis=1, keepdims=True)
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return cdist(q, x, "sqeuclidean") / 2


@each_kind_of_rows
def test_squared_l2_is_scipys(rows: np.ndarray) -> None:
    expected = cdist(rows.astype(np.float64), rows.astype(np.float64), "sqeuclidean")
    np.testing.assert_allclose(squared_l2(rows, rows), expected, rtol=1e-6)


@each_kind_of_rows
def test_equal_rows_are_exactly_zero_apart(rows: np.ndarray) -> None:
    assert not squared_l2(rows, rows.copy()).diagonal().any()


def test_squared_l2_of_near_duplicates_far_from_the_origin_keeps_their_order() -> None:
    rows = np.full((50, 32), 1000.0, dtype=np.float32)
    for step in range(1, 50):  # each row one float32 further away than the last
        rows[step] = rows[step - 1]
        rows[step, 0] = np.nextafter(rows[step, 0], np.float32(2000))
    values = squared_l2(rows[:1], rows)[0]
    assert (np.diff(values) > 0).all()


@each_kind_of_rows
def test_euclidean_is_scipys(rows: np.ndarray) -> None:
    expected = cdist(rows.astype(np.float64), rows.astype(np.float64), "euclidean")
    np.testing.assert_allclose(Euclidean().distances(rows, rows), expected, rtol=1e-6)
    np.testing.assert_allclose(SquaredEuclidean().distances(rows, rows), expected**2, rtol=1e-6)


@each_kind_of_rows
def test_inner_product_is_the_sum_in_long_double(rows: np.ndarray) -> None:
    wide = rows.astype(np.longdouble)
    products = wide[:, None, :] * wide[None, :, :]
    scale = np.abs(products).sum(axis=2)  # rounding is relative to the terms, which may cancel in the sum
    error = np.abs(negated_inner_product(rows, rows) + products.sum(axis=2))
    assert (error <= 1e-12 * scale).all()
    np.testing.assert_array_equal(InnerProduct().distances(rows, rows), negated_inner_product(rows, rows))


@each_kind_of_rows
def test_cosine_is_the_angle_in_float64(rows: np.ndarray) -> None:
    found = Cosine().distances(rows, rows)
    np.testing.assert_allclose(found, _exact_cosine(rows, rows), rtol=1e-5, atol=1e-7)
    assert found.min() >= 0
    assert found.max() <= 2


@each_kind_of_rows
@pytest.mark.parametrize("metric", [Euclidean(), SquaredEuclidean(), InnerProduct(), Cosine()], ids=lambda m: m.name)
def test_the_space_gives_the_order_of_the_metric(metric: Metric, rows: np.ndarray) -> None:
    queries, vectors = rows[:5], rows
    reduced = metric.space.pairwise(metric.prepare_queries(queries), metric.prepare(vectors))
    order = np.argsort(reduced, axis=1, kind="stable")
    exact = {
        "euclidean": lambda q, x: cdist(q, x, "euclidean"),
        "sqeuclidean": lambda q, x: cdist(q, x, "sqeuclidean"),
        "inner-product": lambda q, x: -(q @ x.T),
        "cosine": _exact_cosine,
    }[metric.name](queries.astype(np.float64), vectors.astype(np.float64))
    in_order = np.take_along_axis(exact, order, axis=1)
    slack = 1e-6 * np.abs(exact).max() if metric.name == "inner-product" else 1e-6 * np.abs(in_order[:, 1:]) + 2e-7
    if metric.name in ("euclidean", "sqeuclidean"):
        slack = 1e-6 * in_order[:, 1:]
    assert (np.diff(in_order, axis=1) >= -slack).all()


@each_kind_of_rows
def test_unit_rows_have_length_one(rows: np.ndarray) -> None:
    before = rows.copy()
    scaled = unit_rows(rows)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(scaled.astype(np.float64), axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(rows, before)


@each_kind_of_rows
def test_one_query_is_prepared_like_many(rows: np.ndarray) -> None:
    metric = Cosine()
    together = metric.prepare(rows)
    alone = np.concatenate([metric.prepare(rows[i : i + 1]) for i in range(len(rows))])
    np.testing.assert_allclose(alone, together, rtol=3e-7, atol=1e-37)


def test_unit_rows_leaves_zero_rows_alone() -> None:
    assert unit_rows(np.float32([[0, 0], [0, 2]])).tolist() == [[0, 0], [0, 1]]
    assert unit_rows(np.empty((0, 3), np.float32)).shape == (0, 3)


def test_cosine_refuses_rows_of_zeros_only() -> None:
    rows = np.float32([[0, 0], [1e-45, 0], [-0.0, 0.0], [0, -3]])
    assert Cosine().refuses(rows).tolist() == [True, False, True, False]
    assert not Euclidean().refuses(rows).any()


@given(any_rows, st.floats(2.0**-100, 2.0**100))
def test_cosine_of_equal_and_scaled_rows_is_zero(rows: np.ndarray, factor: float) -> None:
    metric = Cosine()
    rows = rows[~metric.refuses(rows) & (np.abs(rows).max(axis=1) > 1e-3)]
    found = metric.distances(rows, (rows.astype(np.float64) * factor).astype(np.float32))
    np.testing.assert_allclose(found.diagonal(), 0, atol=1e-6)
    assert ((found >= 0) & (found <= 2)).all()


def test_cosine_stays_in_range_for_approximate_values() -> None:
    values = np.float32([-0.5, 0.0, 4.5, np.inf])
    assert Cosine().finish(values).tolist() == [0.0, 0.0, 2.0, np.inf]
    assert values[0] == -0.5
    assert Euclidean().finish(np.float32([-1e-7, 4.0, np.inf])).tolist() == [0.0, 2.0, np.inf]
    assert SquaredEuclidean().finish(np.float32([-1e-7, np.inf])).tolist() == [0.0, np.inf]


@pytest.mark.parametrize(
    ("metric", "largest"),
    [(Euclidean(), 1e18), (SquaredEuclidean(), 1e36), (InnerProduct(), 1e36), (Cosine(), 2.0)],
    ids=lambda value: getattr(value, "name", ""),
)
@given(share=st.floats(0, 1))
def test_unfinish_is_the_inverse_of_finish(metric: Metric, largest: float, share: float) -> None:
    distance = share * largest
    back = metric.finish(np.array([metric.unfinish(distance)]))[0]
    assert back == pytest.approx(distance, rel=1e-12, abs=1e-150)


def test_a_negative_radius_lies_below_every_value() -> None:
    assert Euclidean().unfinish(-1.0) < 0
    assert SquaredEuclidean().unfinish(-1.0) < 0
    assert Cosine().unfinish(-1.0) < 0


@pytest.mark.parametrize("metric", [Euclidean(), SquaredEuclidean(), InnerProduct(), Cosine()], ids=lambda m: m.name)
def test_finish_keeps_the_order_and_the_type_of_values(metric: Metric) -> None:
    values = np.append(np.linspace(0, 4, 100, dtype=np.float32), np.float32(np.inf))
    finished = metric.finish(values)
    assert finished.dtype == np.float32
    assert (np.diff(finished[:-1]) >= 0).all()
    assert finished[-1] == np.inf


@pytest.mark.parametrize("metric", [Euclidean(), SquaredEuclidean(), InnerProduct(), Cosine()], ids=lambda m: m.name)
@given(distances=st.lists(st.floats(0, 2), min_size=2, max_size=9))
def test_similarity_falls_as_distance_grows(metric: Metric, distances: list[float]) -> None:
    similarities = metric.similarity(np.sort(np.array(distances)))
    assert (np.diff(similarities) <= 0).all()
    assert metric.similarity(np.array([0.0]))[0] > metric.similarity(np.array([2.0]))[0]


@given(any_rows)
def test_declared_axioms_hold(rows: np.ndarray) -> None:
    for metric in (Euclidean(), SquaredEuclidean(), InnerProduct(), Cosine()):
        kept = rows[~metric.refuses(rows)]
        found = metric.distances(kept, kept)
        slack = 1e-6 * (1 + np.abs(found).max(initial=0))
        if "non-negative" in metric.axioms:
            assert found.min(initial=0) >= 0
        if "identity" in metric.axioms:
            assert np.abs(found.diagonal()).max(initial=0) <= slack
        if "symmetric" in metric.axioms:
            np.testing.assert_allclose(found, found.T, atol=slack)
        if "triangle" in metric.axioms:
            detour = found[:, :, None] + found[None, :, :]
            assert (found[:, None, :] <= detour + slack).all()


def test_axioms_that_are_not_declared_do_fail() -> None:
    line = np.float32([[0, 0], [1, 0], [2, 0]])
    squared = SquaredEuclidean().distances(line, line)
    assert squared[0, 2] > squared[0, 1] + squared[1, 2]
    fan = np.float32([[1, 0], [1, 1], [0, 1]])
    cosine = Cosine().distances(fan, fan)
    assert cosine[0, 2] > cosine[0, 1] + cosine[1, 2]
    assert InnerProduct().distances(line[1:], line[1:]).min() < 0


def test_spaces() -> None:
    class Native(Metric):
        name = "native"
        native = {"faiss": "METRIC_Canberra"}  # noqa: RUF012

    class Plain(Metric):
        name = "plain"

    assert Euclidean().space is L2
    assert InnerProduct().space is INNER_PRODUCT
    assert Native().space.label == "faiss:METRIC_Canberra"
    assert Plain().space.label == "pairwise"
    with pytest.raises(PluginContractError, match="'plain' gives no way to compute it"):
        Plain().distances(np.ones((1, 1)), np.ones((1, 1)))


def test_distances_checks_shapes() -> None:
    class Narrow(Metric):
        name = "narrow"

        def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
            return np.zeros((len(queries), 1))

    with pytest.raises(PluginContractError, match=r"shape \(2, 1\), numbers of shape \(2, 3\) expected"):
        Narrow().distances(np.ones((2, 4)), np.ones((3, 4)))
    with pytest.raises(VectorError, match="queries have 1 columns, vectors have 4"):
        Narrow().distances(np.ones((2, 1)), np.ones((3, 4)))


def test_need_fitted() -> None:
    need_fitted(Euclidean(), 0)
    with pytest.raises(NotTrainedError, match="'euclidean' has not been fitted"):
        need_fitted(Euclidean(), None)
