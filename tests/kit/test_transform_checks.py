"""For every check of the transform contract, a transform that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.codecs import Codec
from nearkin.hooks import TransformSpec
from nearkin.metrics import Space
from nearkin.state import State
from nearkin.testing import checks
from nearkin.transforms import Transform


class Reversed(Transform):
    """Right: the columns in the opposite order."""

    name = "under-test"

    @property
    def width(self) -> int:
        return self.dim

    @property
    def train_rows(self) -> int:
        return 3

    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        return np.eye(self.dim)[::-1]


class NotATransform:
    name = "under-test"

    def __init__(self, dim: int) -> None:
        pass


class OneColumnMore(Reversed):
    def apply(self, vectors: np.ndarray) -> np.ndarray:
        mapped = super().apply(vectors)
        return np.concatenate([mapped, mapped[:, :1]], axis=1)


class LabelAfterTraining(Reversed):
    @property
    def label(self) -> str:
        return self.name if self.matrix is None else "trained"


class MovesRows(Reversed):
    def apply(self, vectors: np.ndarray) -> np.ndarray:
        return super().apply(vectors) + np.float32(1)


class KeepsTheSpace(Reversed):
    def state(self) -> State:
        state = super().state()
        return State(state.arrays, {"space": "l2"})


class AnyOrder(Reversed):
    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(self.dim, self.dim)) @ np.diag(0.01 ** np.arange(self.dim))


class EachTrainingDiffers(Reversed):
    counter = count(1)

    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        return np.eye(self.dim) * next(self.counter)


class RestoresHalf(Reversed):
    def restore(self, state: State) -> None:
        super().restore(State({"matrix": state.arrays["matrix"] / 2}))


class NeedsNoTraining(Reversed):
    def apply(self, vectors: np.ndarray) -> np.ndarray:
        if self.matrix is None:
            return vectors[:, ::-1].copy()
        return super().apply(vectors)


class TrainsOnAnything(Reversed):
    def train(self, vectors: np.ndarray, **more: Any) -> None:
        filled = np.concatenate([vectors, vectors[:1], vectors[:1]]) if len(vectors) == 2 else vectors
        super().train(filled, **more)


class TakesAnyWidth(Reversed):
    def _check_width(self, vectors: np.ndarray) -> None:
        pass

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        return super().apply(vectors[:, : self.dim])


class ClearsTheFirstRow(Reversed):
    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        if vectors.flags.writeable:
            vectors[0] = 0
        return super()._train(vectors, space, codec, seed)


class WantsWritable(Reversed):
    def apply(self, vectors: np.ndarray) -> np.ndarray:
        vectors[:0] = 0
        return super().apply(vectors)


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotATransform),
    ("maps-rows", OneColumnMore),
    ("known-before-training", LabelAfterTraining),
    ("matrix-alone", MovesRows),
    ("matrix-alone", KeepsTheSpace),
    ("order-kept", AnyOrder),
    ("deterministic", EachTrainingDiffers),
    ("state-restores", RestoresHalf),
    ("not-trained", NeedsNoTraining),
    ("too-few-rows", TrainsOnAnything),
    ("wrong-width", TakesAnyWidth),
    ("input-unchanged", ClearsTheFirstRow),
    ("input-unchanged", WantsWritable),
]


def spec_of(make: Callable[..., Any], **more: Any) -> TransformSpec:
    return TransformSpec(name="under-test", summary="For a test of the kit.", make=make, **more)


def test_a_right_transform_passes(failed: Callable[..., dict[str, str]]) -> None:
    assert failed(spec_of(Reversed)) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_transform_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_every_check_has_a_broken_transform() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("transform")}
