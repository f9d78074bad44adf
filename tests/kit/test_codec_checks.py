"""For every check of the codec contract, a codec that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.codecs import Codec, Float32, PackedBits
from nearkin.hooks import CodecSpec
from nearkin.state import State
from nearkin.testing import checks


class MinMax(Codec):
    """Right: one byte a column between the column's extremes."""

    name = "under-test"

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.low = np.zeros(dim, np.float32)
        self.high = np.ones(dim, np.float32)

    @property
    def code_size(self) -> int:
        return self.dim

    @property
    def train_rows(self) -> int:
        return 2

    @property
    def step(self) -> np.ndarray:
        return np.asarray(np.maximum((self.high - self.low) / 255, np.float32(1e-30)))

    def _train(self, vectors: np.ndarray) -> None:
        self.low, self.high = vectors.min(axis=0), vectors.max(axis=0)

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        inside = np.clip(vectors, self.low, self.high)
        return np.asarray(np.rint((inside - self.low) / self.step), dtype=np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(self.low + codes * self.step, dtype=np.float32)

    def overhead(self) -> int:
        return 8 * self.dim

    def state(self) -> State:
        return State({"low": self.low, "high": self.high})

    def _restore(self, state: State) -> None:
        self.low, self.high = state.arrays["low"], state.arrays["high"]


class NotACodec:
    name = "under-test"

    def __init__(self, dim: int) -> None:
        self.dim = dim


class DecodesFloat64(MinMax):
    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return super()._decode(codes).astype(np.float64)


class ShrinksByTraining(MinMax):
    @property
    def code_size(self) -> int:
        return self.dim if getattr(self, "is_trained", False) else 4 * self.dim


class HalfTheCost(MinMax):
    def cost(self, n: int) -> dict[str, int]:
        return {"codes": n * self.code_size // 2, "codebooks": self.overhead()}


class HidesItsTables(MinMax):
    def state(self) -> State:
        return State({**super().state().arrays, "table": np.zeros(4096)})


class EachTrainingDiffers(MinMax):
    trainings = count()

    def _train(self, vectors: np.ndarray) -> None:
        super()._train(vectors)
        self.low = self.low - np.float32(0.1) * next(self.trainings)


class Drifts(MinMax):
    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(super()._decode(codes) + 5 * self.step, dtype=np.float32)


class DropsLowBits(Float32):
    """Says that it is lossless, and drops 8 bits of the mantissa."""

    name = "under-test"

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return super()._encode((vectors.view(np.uint32) & np.uint32(0xFFFFFF00)).view(np.float32))


class KeepsNothing(MinMax):
    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.high + 3 * (self.high - self.low), (len(codes), self.dim)).astype(np.float32)


class RestoresHalf(MinMax):
    def _restore(self, state: State) -> None:
        self.low = state.arrays["low"]


class TrainsOnAnything(MinMax):
    def train(self, vectors: np.ndarray) -> None:
        self._check_width(vectors)
        self._train(vectors)
        self.is_trained = True


class NeedsNoTraining(MinMax):
    def _need_trained(self) -> None:
        pass


class TakesAnyWidth(MinMax):
    def _check_width(self, vectors: np.ndarray) -> None:
        pass


class Overflows(Codec):
    """Stores float32 times 1e10."""

    name = "under-test"

    @property
    def code_size(self) -> int:
        return 4 * self.dim

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors * np.float32(1e10)).view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(codes.view(np.float32) * np.float32(1e-10))


class FirstRowIsZero(MinMax):
    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        codes = super()._encode(vectors)
        codes[:1] = 0
        return codes


class ClearsTheFirstRow(MinMax):
    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        codes = super()._encode(vectors)
        if vectors.flags.writeable:
            vectors[:1] = 0
        return codes


class WantsWritable(MinMax):
    def _decode(self, codes: np.ndarray) -> np.ndarray:
        if not codes.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return super()._decode(codes)


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotACodec),
    ("encodes-and-decodes", DecodesFloat64),
    ("code-size-known", ShrinksByTraining),
    ("cost-honest", HalfTheCost),
    ("cost-honest", HidesItsTables),
    ("deterministic", EachTrainingDiffers),
    ("stable", Drifts),
    ("lossless-exact", DropsLowBits),
    ("error-bounded", KeepsNothing),
    ("state-restores", RestoresHalf),
    ("too-few-rows", TrainsOnAnything),
    ("not-trained", NeedsNoTraining),
    ("wrong-width", TakesAnyWidth),
    ("extreme-values", Overflows),
    ("batch-independent", FirstRowIsZero),
    ("input-unchanged", ClearsTheFirstRow),
    ("read-only-input", WantsWritable),
]


def spec_of(make: Callable[..., Any], **more: Any) -> CodecSpec:
    name = getattr(make, "name", "under-test")
    return CodecSpec(name=name, summary="For a test of the kit.", make=make, **more)


@pytest.mark.parametrize("make", [MinMax, Float32, PackedBits])
def test_a_right_codec_passes(failed: Callable[..., dict[str, str]], make: Callable[..., Any]) -> None:
    assert failed(spec_of(make)) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_codec_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(MinMax, known_failures={"no-such-check": "why"}))) == {"known-failures-named"}


def test_every_check_has_a_broken_codec() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("codec")}
