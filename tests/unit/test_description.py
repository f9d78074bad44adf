"""`describe` against numpy over whole arrays, on known manifolds, and on the smallest and worst input."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist, pdist

from nearkin import description as module
from nearkin.description import Description, describe
from nearkin.errors import ParameterError, VectorError
from nearkin.intrinsic_dimension import intrinsic_dimension, levina_bickel, two_nn
from nearkin.metrics import ALL_AXIOMS, Cosine, InnerProduct, Metric, SquaredEuclidean


def _normal(n: int, dim: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


class ByteHamming(Metric):
    name = "byte-hamming"
    axioms = ALL_AXIOMS
    dtype = "bits"

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return np.unpackbits(queries[:, None, :] ^ vectors[None, :, :], axis=2).sum(axis=2)


class Centred(Metric):
    """Remembers a mean: shows whether the caller's metric was fitted."""

    name = "centred"
    needs_fit = True
    reduces_to = "l2"
    mean: np.ndarray | None = None

    def fit(self, sample: np.ndarray) -> None:
        self.mean = sample.mean(axis=0)

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        assert self.mean is not None
        return vectors - self.mean


# ---- one pass over all rows ----------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_whole_array(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _normal(700, 9) * np.float32(3) + np.arange(9, dtype=np.float32)
    monkeypatch.setattr(module, "block_rows", lambda *_: 64)
    found = describe(rows, sample=700)
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    assert (found.rows, found.dim, found.dtype, found.bytes) == (700, 9, "float32", 700 * 9 * 4)
    assert found.norms is not None
    assert found.values is not None
    np.testing.assert_allclose(
        [found.norms.min, found.norms.mean, found.norms.median, found.norms.max],
        [lengths.min(), lengths.mean(), np.median(lengths), lengths.max()],
    )
    np.testing.assert_allclose(
        [found.values.min, found.values.mean, found.values.max, found.values.std],
        [exact.min(), exact.mean(), exact.max(), exact.std()],
    )


def test_the_median_is_exact_if_all_rows_are_sampled() -> None:
    rows = _normal(333, 5)
    values = describe(rows).values
    assert values is not None
    assert values.median == pytest.approx(float(np.median(rows.astype(np.float64))))


@given(
    arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(width=32)),
    st.integers(1, 5),
)
@settings(max_examples=60)
def test_any_rows_are_counted_right(rows: np.ndarray, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "block_rows", lambda *_: step)
        found = describe(rows, sample=50)
    finite = [row for row in rows if np.isfinite(row).all()]
    assert found.nonfinite_rows == len(rows) - len(finite)
    assert found.duplicate_rows == len(finite) - len({tuple((row + 0.0).tolist()) for row in finite})
    assert found.zero_rows == sum(not row.any() for row in finite)
    constant = [j for j in range(rows.shape[1]) if finite and len({float(row[j]) for row in finite}) == 1]
    assert list(found.columns.constant) == constant
    json.dumps(found.to_dict(), allow_nan=False)


def test_bad_rows_are_counted_and_left_out() -> None:
    rows = _normal(100, 4)
    bad = rows.copy()
    bad[10], bad[20, 3], bad[30, 0] = np.nan, np.inf, -np.inf
    found, clean = describe(bad), describe(np.delete(rows, [10, 20, 30], axis=0))
    assert found.nonfinite_rows == 3
    assert (found.norms, found.values, found.columns) == (clean.norms, clean.values, clean.columns)
    assert found.distances == clean.distances
    assert found.hints[0] == '3 rows have NaN or infinite values: remove them, or pass on_bad="skip"'


def test_duplicates_zeros_and_constants_are_named() -> None:
    rows = _normal(100, 8)
    rows[50:53] = rows[:3]
    rows[7] = rows[9] = 0
    rows[:, [2, 6]] = 0
    found = describe(rows)
    assert (found.duplicate_rows, found.zero_rows, found.columns.constant) == (4, 2, (2, 6))
    assert "4 duplicate rows" in found.hints
    assert "2 zero rows: cosine refuses them" in found.hints
    assert "2 constant columns (2, 6)" in found.hints


def test_zero_and_minus_zero_are_one_value() -> None:
    assert describe(np.float32([[0.0, 1.0], [-0.0, 1.0], [0.0, -1.0]])).duplicate_rows == 1


def test_spread_of_columns() -> None:
    rows = _normal(500, 4) * np.float32([1, 1000, 0, 0.5])
    columns = describe(rows).columns
    assert columns.least_spread is not None
    assert columns.most_spread is not None
    assert (columns.least_spread.column, columns.most_spread.column) == (3, 1)
    assert columns.most_spread.std == pytest.approx(rows[:, 1].astype(np.float64).std())
    assert any(hint.startswith("column 1 spreads ") for hint in describe(rows).hints)


def test_float32s_limits() -> None:
    rows = np.sign(_normal(60, 5)) * np.finfo(np.float32).max
    found = describe(rows)
    assert found.norms is not None
    assert found.values is not None
    assert found.norms.max == pytest.approx(np.sqrt(5) * float(np.finfo(np.float32).max))
    assert found.values.std == pytest.approx(rows.astype(np.float64).std())
    json.dumps(found.to_dict(), allow_nan=False)
    tiny = describe(_normal(60, 5) * np.float32(1e-42))
    assert tiny.norms is not None
    assert tiny.zero_rows == 0
    assert tiny.norms.min > 0


# ---- columns together ----------------------------------------------------------------------------------------------


def test_correlations_are_numpys() -> None:
    rows = _normal(300, 6) @ _normal(6, 6, seed=2)
    rows = np.insert(rows, 3, 7.0, axis=1)
    found = describe(rows).columns.correlated
    with np.errstate(invalid="ignore"):
        exact = np.nan_to_num(np.corrcoef(rows.astype(np.float64), rowvar=False))
    strongest = np.sort(np.abs(exact[np.triu_indices(7, 1)]))[::-1][:5]
    np.testing.assert_allclose([abs(pair.r) for pair in found], strongest)
    np.testing.assert_allclose([pair.r for pair in found], [exact[pair.left, pair.right] for pair in found])
    assert all(pair.left < pair.right and 3 not in (pair.left, pair.right) for pair in found)


def test_nearly_equal_columns_are_hinted_at() -> None:
    rows = _normal(200, 5)
    rows[:, 4] = -2 * rows[:, 1] + np.float32(0.01) * rows[:, 0]
    found = describe(rows)
    best = found.columns.correlated[0]
    assert (best.left, best.right) == (1, 4)
    assert best.r < -0.99
    assert any("columns 1 and 4 say almost the same (r = -1.000)" in hint for hint in found.hints)


def test_many_columns_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CORRELATED_COLUMNS", 10)
    pairs = describe(_normal(50, 200)).columns.correlated
    assert len({column for pair in pairs for column in (pair.left, pair.right)}) <= 10
    assert len(pairs) == 5


# ---- distances -----------------------------------------------------------------------------------------------------


def test_nearest_distances_are_brute_forces() -> None:
    rows = _normal(200, 6)
    distances = describe(rows).distances
    exact = cdist(rows.astype(np.float64), rows.astype(np.float64))
    np.fill_diagonal(exact, np.inf)
    nearest = exact.min(axis=1)
    assert distances is not None
    for share, value in distances.nearest.items():
        assert value == pytest.approx(np.quantile(nearest, float(share)), rel=1e-6)
    assert distances.contrast == pytest.approx(np.median(pdist(rows)) / np.median(nearest), rel=0.02)


def test_histogram_of_random_pairs() -> None:
    rows = _normal(400, 6)
    distances = describe(rows).distances
    assert distances is not None
    assert sum(distances.counts) == distances.pairs == 400 * 100 - 100  # no row is paired with itself
    assert len(distances.edges) == len(distances.counts) + 1
    middles = (np.array(distances.edges[1:]) + np.array(distances.edges[:-1])) / 2
    assert np.average(middles, weights=distances.counts) == pytest.approx(pdist(rows).mean(), rel=0.02)


def test_another_metric() -> None:
    rows = _normal(150, 4)
    rows[3] = 0
    found = describe(rows, metric=Cosine())
    exact = cdist(np.delete(rows, 3, axis=0), np.delete(rows, 3, axis=0), "cosine")
    np.fill_diagonal(exact, np.inf)
    assert found.distances is not None
    assert found.distances.metric == "cosine"
    assert found.distances.nearest["0.5"] == pytest.approx(np.median(exact.min(axis=1)), rel=1e-4)


def test_a_metric_with_negative_values_has_no_contrast_and_no_dimension() -> None:
    found = describe(_normal(150, 4), metric=InnerProduct())
    assert found.distances is not None
    assert found.distances.edges[0] < 0
    assert found.distances.contrast is None
    assert found.intrinsic_dimension is None


def test_a_metric_is_fitted_on_a_copy() -> None:
    metric = Centred()
    assert describe(_normal(50, 3), metric=metric).distances is not None
    assert metric.mean is None


def test_packed_bits() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (80, 21), dtype=np.uint8)
    bits[:, 4] = 1
    packed = np.packbits(bits, axis=1)
    found = describe(packed, metric=ByteHamming())
    exact = cdist(bits, bits, "hamming") * 21
    np.fill_diagonal(exact, np.inf)
    assert (found.dim, found.dtype) == (3, "uint8")
    assert found.columns.constant == (4, 21, 22, 23)
    assert found.norms is not None
    assert found.norms.max == pytest.approx(np.sqrt(bits.sum(axis=1).max()))
    assert found.distances is not None
    assert found.distances.nearest["0.0"] == pytest.approx(exact.min())
    assert found.intrinsic_dimension is None
    assert found.hints == ("4 constant columns (4, 21, 22, 23)",)


def test_duplicates_do_not_count_as_neighbours() -> None:
    rows = _normal(100, 5)
    once, twice = describe(rows).distances, describe(np.concatenate([rows, rows])).distances
    assert once is not None
    assert twice is not None
    assert twice.nearest == pytest.approx(once.nearest)


def test_unit_rows_are_recognized() -> None:
    rows = Cosine().prepare(_normal(50, 6))
    assert describe(rows).unit_length
    assert "rows have length one: cosine and inner product agree" in describe(rows).hints[0]
    assert describe(rows.astype(np.float16)).unit_length
    assert not describe(rows * np.float32(1.01)).unit_length


def test_lengths_that_differ_are_hinted_at() -> None:
    assert describe(np.float32([[1, 0], [0, 30]])).hints == (
        "lengths run from 1 to 30: inner product favours long rows, cosine ignores length",
    )


# ---- intrinsic dimension -------------------------------------------------------------------------------------------


def _embedded(points: np.ndarray, dim: int) -> np.ndarray:
    """Points turned into more columns by a rotation, which leaves all distances as they are."""
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, dim)))[0]
    return (points @ rotation[: points.shape[1]]).astype(np.float32)


def _swiss_roll(n: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    turn = 1.5 * np.pi * (1 + 2 * rng.random(n))
    return np.column_stack([turn * np.cos(turn), 21 * rng.random(n), turn * np.sin(turn)])


def _sphere(n: int, dim: int) -> np.ndarray:
    points = np.random.default_rng(3).standard_normal((n, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("points", "truth"),
    [
        (np.random.default_rng(0).standard_normal((3000, 3)), 3.0),
        (np.random.default_rng(0).random((3000, 2)), 2.0),
        (np.random.default_rng(0).random((2000, 1)), 1.0),
        (_swiss_roll(3000), 2.0),
        (_sphere(3000, 5), 4.0),
    ],
    ids=["gaussian 3", "square", "line", "swiss roll", "sphere 4"],
)
def test_intrinsic_dimension_of_known_manifolds(points: np.ndarray, truth: float) -> None:
    found = describe(_embedded(points, 20)).intrinsic_dimension
    assert found is not None
    assert found.two_nn == pytest.approx(truth, abs=0.5)
    assert found.levina_bickel == pytest.approx(truth, abs=0.5)


def test_intrinsic_dimension_does_not_depend_on_squaring() -> None:
    rows = _embedded(_sphere(2000, 4), 20)
    euclidean, cosine = describe(rows).intrinsic_dimension, describe(rows, metric=Cosine()).intrinsic_dimension
    assert euclidean is not None
    assert cosine is not None
    assert cosine.two_nn == pytest.approx(euclidean.two_nn, rel=1e-3)
    assert any("about 3 of 20 dimensions" in hint for hint in describe(rows).hints)


def test_intrinsic_dimension_ignores_scale_and_duplicates() -> None:
    rows = _normal(1500, 3)
    once = describe(rows).intrinsic_dimension
    again = describe(np.concatenate([rows, rows]) * np.float32(1e-20), sample=3000).intrinsic_dimension
    assert once is not None
    assert again is not None
    assert again.two_nn == pytest.approx(once.two_nn, abs=0.4)


def test_estimators_on_the_law_itself() -> None:
    radii = np.sort(np.random.default_rng(4).random((20_000, 10)), axis=1) ** (
        1 / 7
    )  # points of a ball in 7 dimensions
    assert two_nn(radii) == pytest.approx(7, rel=0.03)
    assert levina_bickel(radii) == pytest.approx(7, rel=0.03)
    ratio = np.random.default_rng(4).pareto(6.0, 20_000) + 1  # F(μ) = 1 - μ^-6
    assert two_nn(np.column_stack([np.ones(20_000), ratio])) == pytest.approx(6, rel=0.03)
    assert levina_bickel(np.array([[1.0, 2.0, 4.0]])) == pytest.approx(1 / np.log([4.0, 2.0]).mean())


def test_no_dimension_without_the_distances_for_it() -> None:
    rng = np.random.default_rng(0)
    good = np.sort(rng.random((100, 5)), axis=1)
    assert intrinsic_dimension(good) is not None
    assert intrinsic_dimension(good[:40]) is None
    assert intrinsic_dimension(good[:, :1]) is None
    assert intrinsic_dimension(np.ones((100, 5))) is None
    assert intrinsic_dimension(np.zeros((100, 5))) is None
    assert describe(_normal(30, 3)).intrinsic_dimension is None


def test_high_dimensions_are_called_hard() -> None:
    assert any("search will be hard" in hint for hint in describe(_normal(500, 400)).hints)
    assert not any("search will be hard" in hint for hint in describe(_normal(500, 2)).hints)


# ---- input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "hints"),
    [
        (np.empty((0, 3), np.float32), ("no rows",)),
        (np.full((2, 3), np.nan), ('2 rows have NaN or infinite values: remove them, or pass on_bad="skip"',)),
        (np.ones((1, 3)), ()),
        (
            np.ones((1, 1)),
            ("rows have length one: cosine and inner product agree, and euclidean puts rows in the same order",),
        ),
        (np.full((9, 2), 5), ("8 duplicate rows", "2 constant columns (0, 1)")),
        (np.arange(9.0)[:, None] + 10, ()),
        ([[1, 2], [1, 3]], ("1 constant column (0)",)),
    ],
    ids=["empty", "all bad", "one row", "one value", "constant", "one column", "lists"],
)
def test_small_input(rows: Any, hints: tuple[str, ...]) -> None:
    found = describe(rows)
    assert found.hints == hints
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_parts_that_need_more_rows_are_empty() -> None:
    found = describe(np.ones((1, 3)))
    assert (found.distances, found.intrinsic_dimension, found.columns.correlated) == (None, None, ())
    empty = describe(np.empty((0, 3)))
    assert (empty.norms, empty.values, empty.distances, empty.columns.constant) == (None, None, None, ())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones(3), r"must be 2-D .* got 1-D of shape \(3,\)"),
        (np.ones((3, 0)), "0 columns"),
        (np.array([["a", "b"]]), "numbers expected"),
        ([[1], [1, 2]], "rectangular"),
    ],
)
def test_what_is_no_matrix_is_refused(rows: Any, words: str) -> None:
    with pytest.raises(VectorError, match=words):
        describe(rows)


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(ParameterError, match="sample is 1, a whole number of at least 2"):
        describe(np.ones((3, 2)), sample=1)
    with pytest.raises(ParameterError, match="metric is of type int, a name or a"):
        describe(np.ones((3, 2)), metric=3)  # type: ignore[arg-type]
    assert (
        describe(np.eye(3), metric="sqeuclidean").to_dict() == describe(np.eye(3), metric=SquaredEuclidean()).to_dict()
    )
    with pytest.raises(VectorError, match="packed bits"):
        describe(np.ones((3, 2)), metric=ByteHamming())


def test_the_same_seed_gives_the_same_description() -> None:
    rows = _normal(500, 5)
    assert describe(rows, sample=100, seed=3) == describe(rows, sample=100, seed=3)
    assert describe(rows, sample=100, seed=3).distances != describe(rows, sample=100, seed=4).distances
    assert describe(rows, sample=100).sampled == 100


def _describe_mapped(path: Path, rows: np.ndarray) -> tuple[Description, int]:
    np.save(path, rows)
    mapped = np.load(path, mmap_mode="r")
    tracemalloc.start()
    found = describe(mapped, sample=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found, peak


def test_a_mapped_file_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_normal((20_000, 100))
    monkeypatch.setattr(module, "block_rows", lambda row_bytes, budget=1 << 20: max(1, (1 << 20) // row_bytes))
    found, peak = _describe_mapped(tmp_path / "rows.npy", rows)
    assert (found.dtype, found.bytes) == ("float64", rows.nbytes)
    assert found.values is not None
    assert found.values.std == pytest.approx(rows.std(), rel=1e-6)
    assert peak < rows.nbytes / 2
