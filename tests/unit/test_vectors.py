"""The gate: whatever comes in, out comes a right array or a NearkinError."""

from __future__ import annotations

import datetime
import decimal
import fractions
import re
import warnings
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nearkin.errors import NearkinError, ParameterError, VectorError
from nearkin.vectors import Gate, as_matrix, as_vectors, block_rows, name_rows, nonfinite_rows

NO_DEADLINE = settings(deadline=None)
FLOAT32_MAX = float(np.finfo(np.float32).max)
NUMBERS = hnp.boolean_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes()
MATRICES = hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(width=64)
    | st.complex_numbers()
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.decimals()
    | st.fractions()
    | st.dates()
    | st.just(object())
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(st.text(max_size=1), inner)
)
ANY_ARRAY = hnp.arrays(
    hnp.scalar_dtypes() | hnp.array_dtypes(max_size=3), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
)


def as_float32(array: np.ndarray) -> np.ndarray:
    """The reference: each value on its own, in Python."""
    with np.errstate(all="ignore"):
        return np.array([[np.float32(value) for value in row] for row in array.tolist()], np.float32)


def assert_gate_shape(out: np.ndarray) -> None:
    assert type(out) is np.ndarray
    assert out.dtype == np.float32
    assert out.dtype.isnative
    assert out.ndim == 2
    assert out.flags.c_contiguous
    assert out.flags.aligned
    assert np.isfinite(out).all()


def right_or_refused(thing: object) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            out = as_vectors(thing)
        except NearkinError:
            return None
    assert_gate_shape(out)
    return out


@given(MATRICES)
@NO_DEADLINE
def test_every_matrix_of_numbers_is_right_or_names_its_bad_rows(array):
    before = array.copy()
    expected = as_float32(array)
    bad = np.flatnonzero(~np.isfinite(expected).all(axis=1))
    if bad.size:
        with pytest.raises(VectorError, match=r"NaN or infinite|beyond the range") as caught:
            as_vectors(array)
        assert f"{bad.size} of {len(array)} rows" in str(caught.value)
        named = re.search(r"\(rows? ([\d, ]+)", str(caught.value))
        assert named is not None
        assert [int(row) for row in named[1].strip(", ").split(", ")] == bad[:5].tolist()
    else:
        assert_gate_shape(as_vectors(array))
        np.testing.assert_array_equal(as_vectors(array), expected)
    np.testing.assert_array_equal(array, before)
    assert array.dtype == before.dtype


@given(MATRICES, st.data())
@NO_DEADLINE
def test_layout_in_memory_makes_no_difference(array, data):
    with np.errstate(all="ignore"):
        array = np.nan_to_num(array.astype(np.float64), posinf=1, neginf=2).clip(-1e30, 1e30).astype(np.float32)
    expected = array.copy()
    wide = np.zeros((2 * array.shape[0], 3 * array.shape[1]), np.float32)
    wide[::2, ::3] = array
    odd = bytearray(array.nbytes + 1)
    odd[1:] = array.tobytes()
    readonly = array.copy()
    readonly.flags.writeable = False
    layouts = {
        "Fortran": np.asfortranarray(array),
        "strided": wide[::2, ::3],
        "reversed": array[::-1, ::-1].copy()[::-1, ::-1],
        "negative": np.ascontiguousarray(array[::-1])[::-1],
        "big-endian": array.astype(">f4"),
        "readonly": readonly,
        "unaligned": np.frombuffer(odd, np.float32, offset=1).reshape(array.shape),
        "list": array.tolist(),
        "rows": list(array),
        "tuple": tuple(map(tuple, array.tolist())),
        "matrix": array.view(np.matrix) if array.size else array,
        "unmasked": np.ma.masked_array(array),
        "frame": pandas.DataFrame(array),
        "broadcast": np.broadcast_to(array[:1], array.shape) if (array == array[:1]).all() else array,
        "longdouble": array.astype(np.longdouble),
        "memoryview": memoryview(array) if array.size else array,
    }
    name = data.draw(st.sampled_from(sorted(layouts)))
    out = as_vectors(layouts[name])
    assert_gate_shape(out)
    np.testing.assert_array_equal(out, expected)


@given(ANYTHING | ANY_ARRAY)
@settings(max_examples=300)
def test_anything_at_all_is_right_or_refused(thing):
    out = right_or_refused(thing)
    if out is not None:
        np.testing.assert_array_equal(out, np.asarray(thing, dtype=np.float64).astype(np.float32))


@given(ANYTHING | ANY_ARRAY)
@NO_DEADLINE
def test_anything_at_all_as_packed_bits_is_right_or_refused(thing):
    try:
        out = as_vectors(thing, dtype="bits")
    except NearkinError:
        return
    assert out.dtype == np.uint8
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, np.asarray(thing))


class _Hostile:
    def __array__(self, *_args, **_kwargs):
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ([1.0, 2.0], r"must be 2-D .*got 1-D of shape \(2,\); for a single vector pass vector\[None, :\]"),
        (3.0, r"must be 2-D .*got 0-D"),
        (None, r"must be 2-D .*got 0-D"),
        (np.zeros((2, 3, 4)), r"must be 2-D .*got 3-D of shape \(2, 3, 4\)"),
        (np.zeros((3, 0)), "have 0 columns, at least 1 is needed"),
        ([[]], "have 0 columns"),
        ([], r"must be 2-D .*got 1-D of shape \(0,\)"),
        ([[1, 2], [3]], "cannot be read as a rectangular array"),
        (_Hostile(), "cannot be read as a rectangular array of numbers: 'mine'"),
        ([["a", "b"]], "are of type <U1, numbers expected"),
        ([[1, None]], "are of type object"),
        ([[1j]], "are of type complex128"),
        ([[b"a"]], "are of type |S1"),
        ([[decimal.Decimal(1)]], "are of type object"),
        ([[fractions.Fraction(1, 3)]], "are of type object"),
        ([[10**400]], "are of type object"),
        ([[datetime.date(2020, 1, 1)]], "are of type object"),
        (np.zeros((2, 2), "M8[s]"), "are of type datetime64"),
        (np.zeros((2, 2), "m8[s]"), "are of type timedelta64"),
        (np.zeros((2, 2), [("a", "f4")]), "are of type .*'a'"),
        (pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "are of type"),
        (np.ma.masked_array(np.zeros((2, 2), "U3"), mask=True), "are of type <U3"),
        (iter([[1.0]]), r"must be 2-D .*got 0-D"),
        ({1.0, 2.0}, r"must be 2-D .*got 0-D"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused_in_one_sentence(thing, said):
    with pytest.raises(VectorError, match=said) as caught:
        as_vectors(thing, what="queries")
    assert str(caught.value).startswith("queries ")
    assert "\n" not in str(caught.value)


def test_wrong_width_says_both_numbers():
    with pytest.raises(VectorError, match="queries have 3 columns, 4 expected"):
        as_vectors(np.zeros((1, 3)), dim=4, what="queries")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
@pytest.mark.parametrize("rows", [[0], [3, 9], [0, 1, 2, 3, 4, 5, 6]])
def test_bad_values_are_counted_and_named(value, rows):
    array = np.zeros((10, 3))
    array[rows, 1] = value
    shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    plural = "s" if len(rows) > 1 else ""
    with pytest.raises(VectorError, match=re.escape(f"{len(rows)} of 10 rows (row{plural} {shown})")):
        as_vectors(array)


def test_values_at_the_edge_of_float32_pass():
    edge = np.array([[FLOAT32_MAX, -FLOAT32_MAX, 1e-45, 0.0]])
    np.testing.assert_array_equal(as_vectors(edge), edge.astype(np.float32))
    tiny = np.array([[1e-320, -0.0]])
    assert (as_vectors(tiny) == 0).all()


def test_masked_values_count_as_missing():
    array = np.ma.masked_array(np.arange(6, dtype=np.float32).reshape(3, 2), mask=[[0, 0], [0, 1], [0, 0]])
    with pytest.raises(VectorError, match=r"1 of 3 rows \(row 1\)"):
        as_vectors(array)
    screened = screen(array, on_bad="skip")
    assert screened.vectors.tolist() == [[0, 1], [4, 5]]
    assert screened.skipped.tolist() == [1]
    integers = np.ma.masked_array(np.ones((2, 2), int), mask=[[1, 0], [0, 0]])
    assert screen(integers, on_bad="skip").kept.tolist() == [1]


def test_float32_passes_without_a_copy_and_a_map_stays_a_map(tmp_path: Path):
    array = np.ones((4, 3), np.float32)
    assert as_vectors(array) is array
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    out = as_vectors(mapped)
    assert_gate_shape(out)
    assert np.shares_memory(out, mapped)
    np.save(tmp_path / "b.npy", array * np.nan)
    with pytest.raises(VectorError, match="rows"):
        as_vectors(np.load(tmp_path / "b.npy", mmap_mode="r"))


def test_a_row_that_overflows_a_sum_is_finite_all_the_same():
    assert as_vectors(np.full((2, 8), 3e38, np.float32)).max() > 1e38


def test_large_arrays_are_checked_to_the_last_row():
    array = np.zeros((300_001, 4), np.float32)
    assert as_vectors(array) is array
    array[-1, -1] = np.nan
    with pytest.raises(VectorError, match=r"1 of 300,001 rows \(row 300000\)"):
        as_vectors(array)
    assert nonfinite_rows(array).tolist() == [300_000]


def test_packed_bits():
    bits = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert as_vectors(bits, dtype="bits") is bits
    assert as_vectors(np.asfortranarray(bits), dtype="bits").flags.c_contiguous
    with pytest.raises(VectorError, match=r"are float64, packed bits \(uint8\) expected; np.packbits"):
        as_vectors(np.zeros((1, 2)), dtype="bits")
    with pytest.raises(VectorError, match="are bool, packed bits"):
        as_vectors(np.zeros((1, 8), bool), dtype="bits")
    with pytest.raises(VectorError, match="packed bits"):
        as_vectors(np.ma.masked_array(bits, mask=bits > 3), dtype="bits")


def test_no_rows_are_rows():
    assert as_vectors(np.empty((0, 5))).shape == (0, 5)
    assert screen(np.empty((0, 5)), on_bad="skip").skipped.size == 0


@given(MATRICES)
@NO_DEADLINE
def test_skipping_leaves_out_exactly_the_bad_rows(array):
    before = array.copy()
    expected = as_float32(array)
    good = np.isfinite(expected).all(axis=1)
    screened = screen(array, on_bad="skip")
    np.testing.assert_array_equal(screened.vectors, expected[good])
    assert screened.skipped.tolist() == np.flatnonzero(~good).tolist()
    assert (screened.kept is None) == good.all()
    if screened.kept is not None:
        assert screened.kept.tolist() == np.flatnonzero(good).tolist()
        assert_gate_shape(screened.vectors)
    np.testing.assert_array_equal(array, before)


def screen(array, source=None, **given):
    """One block through the gate."""
    gate = Gate(**given)
    screened = gate.take(array, source=source)
    gate.need_good()
    return screened


def zero_rows(vectors: np.ndarray) -> np.ndarray:
    return ~vectors.any(axis=1)


def test_a_metric_refuses_rows_of_its_own():
    array = [[1.0, 0], [0, 0], [np.nan, 0], [2, 1], [0, 0]]
    screened = screen(array, on_bad="skip", refuse=zero_rows, reason="no direction")
    assert (screened.kept.tolist(), screened.skipped.tolist()) == ([0, 3], [1, 2, 4])
    with pytest.raises(VectorError, match=r"NaN or infinite values in 1 of 5 rows \(row 2\).*on_bad"):
        screen(array, refuse=zero_rows, reason="no direction")
    with pytest.raises(VectorError, match=r"no direction: 2 of 4 rows \(rows 1, 3\).*on_bad"):
        screen([array[0], array[1], array[3], array[4]], refuse=zero_rows, reason="no direction")


@pytest.mark.parametrize("on_bad", ["ignore", None, True, 1])
def test_on_bad_is_fail_or_skip(on_bad):
    with pytest.raises(ParameterError, match="'fail' or 'skip' expected"):
        screen([[1.0]], on_bad=on_bad)


def test_the_gate_of_shapes_alone_keeps_bad_values():
    assert np.isnan(as_matrix([[np.nan]])).all()


@given(st.integers(0, 10**12), st.integers(1, 10**10))
@NO_DEADLINE
def test_blocks_have_rows_and_keep_to_their_budget(row_bytes, budget):
    rows = block_rows(row_bytes, budget)
    assert rows >= 1
    assert rows == 1 or rows * row_bytes <= budget


def test_names_of_rows():
    assert name_rows([7], 1000) == "1 of 1,000 rows (row 7)"
    assert name_rows(np.arange(6), 6) == "6 of 6 rows (rows 0, 1, 2, 3, 4, ...)"
