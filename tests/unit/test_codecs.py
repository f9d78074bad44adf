"""The codec contract, and the two codecs that lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from nearkin.codecs import Codec, Float32, NativeCodec, PackedBits
from nearkin.errors import NotTrainedError, ParameterError, PluginContractError, VectorError
from nearkin.state import State

NO_DEADLINE = settings(deadline=None)
FLOATS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements={"allow_nan": False})
BYTES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))


@given(FLOATS)
@NO_DEADLINE
def test_float32_is_lossless_to_the_bit(vectors):
    codec = Float32(vectors.shape[1])
    codes = codec.encode(vectors)
    assert codes.shape == (len(vectors), codec.code_size)
    assert codec.decode(codes).tobytes() == vectors.tobytes()


@given(BYTES)
@NO_DEADLINE
def test_packed_bits_are_lossless(vectors):
    codec = PackedBits(vectors.shape[1])
    assert codec.decode(codec.encode(vectors)).tobytes() == vectors.tobytes()
    assert codec.code_size == vectors.shape[1]


def test_float32_codes_are_little_endian():
    assert Float32(1).encode(np.float32([[1.0]])).tolist() == [[0, 0, 128, 63]]


class Halves(Codec):
    """One byte a row: whether its first column lies above the mean; what it does wrong is set from outside."""

    name = "halves"
    code_size = 1
    train_rows = 3
    wrong = None

    def _train(self, vectors):
        self.mean = float(vectors[:, 0].mean())

    def _encode(self, vectors):
        codes = (vectors[:, :1] > self.mean).astype(np.uint8)
        return {"shape": codes[:-1], "dtype": codes.astype(np.int16), None: codes}[self.wrong]

    def _decode(self, codes):
        return np.repeat(codes.astype(np.float32), self.dim, axis=1)

    def check(self, vectors):
        if (vectors > 9).any():
            raise VectorError("halves holds values up to 9")

    def state(self):
        return State({}, {"mean": self.mean})

    def _restore(self, state):
        self.mean = state.meta["mean"]


def test_training_is_needed_once_and_checked():
    codec = Halves(2)
    rows = np.float32([[0, 0], [1, 1], [5, 5]])
    assert not codec.is_trained
    with pytest.raises(NotTrainedError, match="codec halves has not been trained"):
        codec.encode(rows)
    with pytest.raises(VectorError, match="codec halves needs at least 3 rows to train, got 2; use f32"):
        codec.train(rows[:2])
    with pytest.raises(VectorError, match="up to 9"):
        codec.train(rows + 5)
    assert not codec.is_trained
    codec.train(rows)
    assert codec.encode(rows).tolist() == [[0], [0], [1]]
    other = Halves(2)
    other.restore(codec.state())
    assert other.encode(rows).tolist() == [[0], [0], [1]]
    with pytest.raises(VectorError, match="up to 9"):
        codec.encode(rows + 5)


@pytest.mark.parametrize("wrong", ["shape", "dtype"])
def test_codes_of_another_shape_or_type_break_the_contract(wrong):
    codec = Halves(1)
    codec.train(np.float32([[0], [1], [5]]))
    codec.wrong = wrong
    with pytest.raises(PluginContractError, match=r"codec 'halves' encoded 2 rows to .* expected"):
        codec.encode(np.float32([[0], [1]]))


def test_costs_and_labels():
    assert Float32(7).cost(10) == {"codes": 280, "codebooks": 0}
    assert NativeCodec("faiss", "pq", "PQ4").label == "faiss:pq"
    assert Float32(3).native == NativeCodec("faiss", "flat", "Flat")
    assert PackedBits(3).native == NativeCodec("faiss", "bits", "Flat")
    assert Halves(1).native is None
    with pytest.raises(ParameterError, match="codec 'f32' needs at least 1 column, got 0"):
        Float32(0)
