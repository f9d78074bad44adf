"""Analogies against the formulas in float64, row by row."""

from __future__ import annotations

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors

WORDS = [f"word{number}" for number in range(300)]
ROWS = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32) * np.linspace(0.2, 5, 300)[:, None]


def scores(a: int, b: int, c: int, method: str) -> np.ndarray:
    unit = ROWS.astype(np.float64) / np.linalg.norm(ROWS.astype(np.float64), axis=1, keepdims=True)
    if method == "add":
        target = unit[b] - unit[a] + unit[c]
        return unit @ target / np.linalg.norm(target)
    cosines = [(unit @ unit[row] + 1) / 2 for row in (a, b, c)]
    return cosines[1] * cosines[2] / (cosines[0] + 0.001)


@pytest.mark.parametrize("method", ["add", "multiply"])
@pytest.mark.parametrize(("metric", "plan"), [("cosine", "flat"), ("euclidean", "flat"), ("cosine", "ivf4")])
def test_answers_are_the_formulas(method: str, metric: str, plan: str) -> None:
    search = {"nprobe": 4} if plan == "ivf4" else None
    words = nk.build(ROWS, ids=WORDS, metric=metric, plan=plan, search=search)
    for a, b, c in ((3, 40, 7), (250, 11, 299), (0, 1, 2)):
        wanted = scores(a, b, c, method)
        wanted[[a, b, c]] = -np.inf
        order = np.argsort(-wanted)[:6]
        found = nk.analogy(words, WORDS[a], WORDS[b], WORDS[c], 6, method)
        assert found.ids.tolist() == [[WORDS[row] for row in order]]
        np.testing.assert_allclose(found.similarities[0], wanted[order], rtol=2e-4, atol=1e-5)
        np.testing.assert_allclose(found.distances[0], (method == "add") - wanted[order], rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["add", "multiply"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_deleted_rows_and_the_three_are_no_answer(method: str, metric: str) -> None:
    words = nk.build(ROWS[:8], ids=WORDS[:8], metric=metric)
    words.delete(["word7", "word3"])
    found = nk.analogy(words, "word0", "word1", "word2", method=method)
    assert sorted(found.ids[0, :3].tolist()) == ["word4", "word5", "word6"]
    assert (found.counts.tolist(), found.complete.tolist()) == ([3], [False])
    assert found.reason == ["the collection has 3 rows, 10 asked"]


def test_the_same_word_twice_leaves_two_out() -> None:
    words = nk.build(ROWS[:5], ids=WORDS[:5], metric="cosine")
    found = nk.analogy(words, "word0", "word1", "word0", k=4)
    assert sorted(found.ids[0, : found.counts[0]].tolist()) == ["word2", "word3", "word4"]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_wrong_arguments(metric: str) -> None:
    words = nk.build(np.eye(3), ids=["king", "queen", "King's"], metric=metric)
    with pytest.raises(errors.UnknownIdError, match=r"no row with id 'kimg'; did you mean 'king'\?"):
        nk.analogy(words, "queen", "kimg", "king")
    with pytest.raises(errors.UnknownIdError, match=r"'QUEEN'; did you mean 'queen'\?"):
        nk.analogy(words, "king", "king", "QUEEN")
    with pytest.raises(errors.UnknownIdError, match=r"no row with id 'zebra'$"):
        nk.analogy(words, "king", "king", "zebra")
    with pytest.raises(errors.ParameterError, match="k is 0"):
        nk.analogy(words, "king", "king", "queen", k=0)
    with pytest.raises(errors.ParameterError, match="method is 'divide', one of add, multiply expected"):
        nk.analogy(words, "king", "king", "queen", method="divide")  # type: ignore[arg-type]
    numbers = nk.build([[1.0, 1.0], [-1.0, -1.0], [2.0, 2.0]], metric=metric)
    with pytest.raises(errors.UnknownIdError, match="id 9"):
        nk.analogy(numbers, 9, 0, 1)
    opposite = nk.build([[1.0, 0.0], [0.5, 0.75**0.5], [0.5, -(0.75**0.5)]], metric=metric)
    with pytest.raises(errors.ParameterError, match=r"b - a \+ c is zero, which has no direction; choose three other"):
        nk.analogy(opposite, 0, 1, 2)


def test_what_has_no_numbers_is_refused() -> None:
    bits = nk.build(np.eye(4, dtype=np.uint8), metric="hamming")
    with pytest.raises(errors.NotSupportedError, match="packed bits"):
        nk.analogy(bits, 0, 1, 2)
    gone = nk.build(ROWS, metric="cosine", plan="ivf4", keep_vectors=False)
    with pytest.raises(errors.NotSupportedError, match="did not keep them"):
        nk.analogy(gone, 0, 1, 2)
