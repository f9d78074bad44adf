"""Codecs over faiss: what they hold, what they refuse with the numbers, what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin.errors import NotTrainedError, ParameterError, VectorError
from nearkin.plans import make_codec, parse_plan
from nearkin.registry import default_registry
from nearkin_plugins.faiss_codecs import (
    Float16,
    Int8,
    ProductQuantizer,
    divisors,
    nearest_divisor,
    neighbouring_divisors,
)

NO_DEADLINE = settings(deadline=None)


def rows(n: int = 400, dim: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def trained(codec: nk.Codec, vectors: np.ndarray) -> nk.Codec:
    codec.train(vectors)
    return codec


# ---- f16 ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-65504, 65504, width=32), min_size=1, max_size=12))
@NO_DEADLINE
def test_f16_is_ieee_half_precision(values):
    vectors = np.float32([values])
    codec = Float16(len(values))
    decoded = codec.decode(codec.encode(vectors))
    assert decoded.tolist() == vectors.astype(np.float16).astype(np.float32).tolist()
    assert (np.abs(decoded - vectors) <= 2.0**-11 * np.abs(vectors) + 2.0**-25).all()


@pytest.mark.parametrize("value", [65505.0, -70000.0, 1e30])
def test_f16_refuses_what_it_cannot_hold_with_the_numbers(value):
    vectors = rows(20)
    vectors[[3, 17], 2] = value
    codec = Float16(8)
    for call in (codec.check, codec.encode, codec.train):
        with pytest.raises(VectorError, match=r"f16 holds values up to 65,504, 2 of 20 rows \(rows 3, 17\).*; scale"):
            call(vectors)
    assert codec.encode(np.full((1, 8), -65504, np.float32)).shape == (1, 16)


@pytest.mark.parametrize("plan", ["flat,f16", "ivf2,f16", "hnsw8,f16", "flat,pq4x4,refine-f16"])
def test_f16_in_a_plan_refuses_before_anything_is_answered(plan):
    vectors = rows(50)
    vectors[7, 0] = 1e5
    with pytest.raises(VectorError, match=r"f16 holds values up to 65,504"):
        nk.build(vectors, plan=plan)
    assert len(nk.build(vectors, plan=plan, metric="cosine")) == 50  # the rows prepared for cosine have length one


def test_rows_that_the_codec_cannot_hold_are_kept_and_found_until_the_index_is_built_anew():
    mine = nk.build(rows(50), plan="flat,f16")
    far = np.full((1, 8), 1e6, np.float32)
    mine.add(far, [99])
    assert mine.search(far, 1).ids.tolist() == [[99]]
    with pytest.raises(VectorError, match="65,504"):
        mine.optimize()
    assert mine.search(far, 1).ids.tolist() == [[99]]
    assert len(mine) == 51


# ---- int8 --------------------------------------------------------------------------------------------------------------


def test_int8_is_within_half_a_step_of_each_columns_range():
    vectors = rows() * np.float32([1, 10, 100, 1000, 0.1, 0.01, 1, 1]) + np.float32(5)
    codec = trained(Int8(8), vectors)
    error = np.abs(codec.decode(codec.encode(vectors)) - vectors).max(axis=0)
    step = (vectors.max(axis=0) - vectors.min(axis=0)) / 255
    assert (error <= 0.51 * step + 1e-5).all()


@pytest.mark.parametrize("value", [0.0, 3.25, -1e6, 1e17])
def test_int8_keeps_constant_columns(value):
    vectors = rows()
    vectors[:, 2] = value
    codec = trained(Int8(8), vectors)
    np.testing.assert_allclose(codec.decode(codec.encode(vectors))[:, 2], value, rtol=1e-6)
    same = np.full((30, 3), value, np.float32)
    codec = trained(Int8(3), same)
    np.testing.assert_allclose(codec.decode(codec.encode(same)), same, rtol=1e-6)


def test_int8_in_plans_over_equal_rows():
    for plan in ("flat,int8", "ivf1,int8", "hnsw8,int8", "flat,pq1x4,refine-int8"):
        mine = nk.build(np.ones((40, 3)), plan=plan)
        found = mine.search(np.ones((1, 3)), 5)
        assert found.distances.tolist() == [[0.0] * 5]
        assert len(set(found.ids[0].tolist())) == 5


def test_int8_moves_values_outside_the_range_of_training_to_its_end():
    codec = trained(Int8(1), np.float32([[0], [1]]))
    assert codec.decode(codec.encode(np.float32([[-5], [9]])))[:, 0].tolist() == pytest.approx([0, 1], abs=0.01)


# ---- product quantization ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "M", "hint"),
    [
        (384, 100, "use M=96 or M=128"),
        (8, 3, "use M=2 or M=4"),
        (7, 2, "use M=1 or M=7"),
        (13, 5, "use M=1 or M=13"),
        (8, 9, "use M=8$"),
        (1, 2, "use M=1$"),
    ],
)
def test_an_m_that_does_not_divide_names_the_divisors_beside_it(dim, M, hint):
    with pytest.raises(ParameterError, match=f"M={M} does not divide {dim} columns; {hint}"):
        ProductQuantizer(dim, M)
    with pytest.raises(ParameterError, match=f"M={M} does not divide {dim} columns"):
        nk.build(rows(100, dim), plan=f"flat,pq{M}x4")


@given(st.integers(1, 5000), st.integers(1, 5000))
@NO_DEADLINE
def test_divisors(number, near):
    known = divisors(number)
    assert known == [each for each in range(1, number + 1) if number % each == 0]
    assert nearest_divisor(number, near) in known
    if number % near:
        lower, upper = neighbouring_divisors(number, near)
        assert {lower, upper} <= set(known)
        assert not [each for each in known if min(lower, upper) < each < max(lower, upper)]


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 13, 97])
@pytest.mark.parametrize("codec", ["pq", "pq:bits=8"])
@pytest.mark.parametrize("index", ["flat", "ivf2", "hnsw8"])
def test_prime_and_single_columns(dim, codec, index):
    vectors = rows(300, dim)
    mine = nk.build(vectors, plan=f"{index},{codec},refine-f32")
    effort = {"flat": {}, "ivf2": {"nprobe": 2}, "hnsw8": {"ef_search": 300}}[index]
    found = mine.search(vectors[:20], 3, rerank=300, **effort)
    true = np.linalg.norm(vectors[:20, None].astype(float) - vectors[None], axis=2)
    np.testing.assert_allclose(found.distances, np.sort(true, axis=1)[:, :3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("plan", "needed"), [("flat,pq4x8", 256), ("flat,pq4x4", 16), ("ivf4,pq4x8", 256), ("hnsw8,pq4x4", 16)]
)
def test_too_few_rows_to_train_says_how_many_are_needed(plan, needed):
    with pytest.raises(VectorError, match=f"needs at least {needed} rows to train, got {needed - 1}"):
        nk.build(rows(needed - 1), plan=plan)
    assert len(nk.build(rows(needed), plan=plan)) == needed
    with pytest.raises(VectorError, match=f"codec pq4x{plan[-1]} needs at least {needed} rows to train, got 3"):
        ProductQuantizer(8, 4, int(plan[-1])).train(rows(3))


def test_rows_left_out_may_leave_too_few():
    vectors = rows(20)
    vectors[:10] = np.nan
    with pytest.raises(VectorError, match="needs at least 16 rows to train, got 10"):
        nk.build(vectors, plan="flat,pq4x4", on_bad="skip")


@pytest.mark.parametrize("bits", [4, 8])
def test_pq_error_is_near_that_of_the_best_centroids(bits):
    """Each group of columns is replaced by the nearest of its 2**bits centroids: no other centroid would be nearer."""
    vectors = rows(2000, 4)
    codec = trained(ProductQuantizer(4, 2, bits), vectors)
    decoded = codec.decode(codec.encode(vectors))
    for group in (slice(0, 2), slice(2, 4)):
        centroids = np.unique(decoded[:, group], axis=0)
        assert len(centroids) <= 2**bits
        best = ((vectors[:, None, group] - centroids[None]) ** 2).sum(axis=2).min(axis=1)
        np.testing.assert_allclose(
            ((vectors[:, group] - decoded[:, group]) ** 2).sum(axis=1), best, rtol=1e-4, atol=1e-6
        )


# ---- every codec -------------------------------------------------------------------------------------------------------

ALL = ("f32", "f16", "int8", "pq4x4", "pq8x8", "pq1x4")


def made(text: str, dim: int = 8) -> nk.Codec:
    part = parse_plan(f"flat,{text}", default_registry()).codec
    assert part is not None
    return make_codec(part, dim, default_registry())


@pytest.mark.parametrize("text", ALL)
def test_codes_have_the_size_that_was_said_and_come_back_the_same(text):
    vectors = rows()
    codec = trained(made(text), vectors)
    codes = codec.encode(vectors)
    assert (codes.dtype, codes.shape) == (np.uint8, (400, codec.code_size))
    assert codec.cost(400)["codes"] == codes.nbytes
    assert codec.label == text
    decoded = codec.decode(codes)
    assert (decoded.dtype, decoded.shape) == (np.float32, vectors.shape)
    again = made(text)
    again.restore(codec.state())
    assert again.decode(codes).tolist() == decoded.tolist()
    assert again.encode(vectors).tolist() == codes.tolist()
    assert codec.encode(vectors[:0]).shape == (0, codec.code_size)
    assert codec.decode(codes[:0]).shape == (0, 8)
    assert (codec.lossless, text == "f32") == (text == "f32", codec.lossless)


@pytest.mark.parametrize("text", ["int8", "pq4x4"])
def test_an_untrained_codec_says_so(text):
    codec = made(text)
    for call in (
        lambda: codec.encode(rows()),
        lambda: codec.decode(np.zeros((1, codec.code_size), np.uint8)),
        codec.state,
    ):
        with pytest.raises(NotTrainedError, match=f"codec {text} has not been trained; call train"):
            call()


@pytest.mark.parametrize("text", ALL)
def test_other_widths_and_codes_are_refused(text):
    codec = trained(made(text), rows())
    with pytest.raises(VectorError, match=r"was made for 8 columns, got an array of shape \(2, 9\)"):
        codec.encode(rows(2, 9))
    with pytest.raises(VectorError, match=r"was made for 8 columns, got an array of shape \(8,\)"):
        codec.encode(rows(2)[0])
    for codes in (
        np.zeros((1, 99), np.uint8),
        np.zeros((1, codec.code_size), np.int8),
        np.zeros(codec.code_size, np.uint8),
    ):
        with pytest.raises(VectorError, match="decodes uint8 codes of"):
            codec.decode(codes)


@pytest.mark.parametrize("text", ALL[1:])
def test_what_goes_in_is_not_changed(text):
    vectors = rows()
    before = vectors.copy()
    codec = trained(made(text), vectors)
    codes = codec.encode(vectors)
    kept = codes.copy()
    decoded = codec.decode(codes)
    decoded[:] = 7
    np.testing.assert_array_equal(vectors, before)
    np.testing.assert_array_equal(codes, kept)
    readonly = vectors.copy()
    readonly.flags.writeable = False
    assert trained(made(text), readonly).encode(readonly).shape == codes.shape


def test_no_columns():
    with pytest.raises(ParameterError, match="needs at least 1 column, got 0"):
        Float16(0)
