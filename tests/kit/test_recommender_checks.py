"""For every check of the recommender contract, a recommender that is broken in just that way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from nearkin.hooks import RecommenderSpec
from nearkin.recommenders import Recommender
from nearkin.state import State
from nearkin.testing import checks


class Right(Recommender):
    """What was had together with the history's items, by the share of its users."""

    name = "under-test"

    def _learn(self, matrix: Any) -> None:
        ones = (matrix.toarray() > 0).astype(float)
        together = ones.T @ ones
        self.near = together / np.maximum(1, together.diagonal())
        np.fill_diagonal(self.near, 0)

    def _scores(self, histories: Any) -> np.ndarray:
        scores = histories.toarray() @ self.near
        scores[scores == 0] = -np.inf
        return scores

    def _parts(self, history: Any, weights: np.ndarray, item: int) -> np.ndarray | None:
        return np.asarray(weights * self.near[history, item])

    def _alike(self, items: np.ndarray) -> np.ndarray:
        return self.near[items]

    def _state(self) -> State:
        return State({"near": self.near})

    def _restore(self, state: State) -> None:
        self.near = np.array(state.arrays["near"])


class RightAndSilent(Right):
    """It compares no items, says no reasons, and cannot be kept."""

    def _parts(self, history: Any, weights: np.ndarray, item: int) -> np.ndarray | None:
        return None

    def _alike(self, items: np.ndarray) -> np.ndarray:
        return Recommender._alike(self, items)

    def _state(self) -> State:
        return Recommender._state(self)


class NotARecommender:
    name = "under-test"


class TheFirstTwice(Right):
    def _best(self, histories: Any, k: int, hidden: Any, among: Any) -> Any:
        codes, scores = super()._best(histories, k, hidden, among)
        codes[:, 1:2] = codes[:, :1]
        return codes, scores


class BestLast(Right):
    def _best(self, histories: Any, k: int, hidden: Any, among: Any) -> Any:
        codes, scores = super()._best(histories, k, hidden, among)
        there = (codes >= 0).all(axis=1)
        codes[there], scores[there] = codes[there][:, ::-1], scores[there][:, ::-1]
        return codes, scores


class ShowsOneSeen(Right):
    """Of many items seen the last is forgotten."""

    def _best(self, histories: Any, k: int, hidden: Any, among: Any) -> Any:
        if k < len(self.items):
            hidden = hidden[:, list(range(len(self.items)))].copy()
            hidden.resize((hidden.shape[0], len(self.items) - 5))
            hidden.resize((hidden.shape[0], len(self.items)))
        return super()._best(histories, k, hidden, among)


class HidesAlways(Right):
    def _answer(self, users: Any, histories: Any, k: int, exclude_seen: bool, among: Any, *, known: Any) -> Any:
        return super()._answer(users, histories, k, True, among, known=known)


class AnyAmong(Right):
    def _best(self, histories: Any, k: int, hidden: Any, among: Any) -> Any:
        return super()._best(histories, k, hidden, None)


class AtMostTen(Right):
    def _best(self, histories: Any, k: int, hidden: Any, among: Any) -> Any:
        codes, scores = super()._best(histories, k, hidden, among)
        codes[:, 10:], scores[:, 10:] = -1, -np.inf
        return codes, scores

    def _fill(self, codes: Any, scores: Any, histories: Any, hidden: Any, allowed: Any) -> Any:
        if codes.shape[1] > 10 and hidden.nnz:
            return np.zeros(len(codes), dtype=int)
        return super()._fill(codes, scores, histories, hidden, allowed)


class NoReason(Right):
    def _reason(self, warm: bool, *rest: Any) -> str:
        return super()._reason(warm, *rest) if warm else ""


class DividesByLikes(Right):
    def _scores(self, histories: Any) -> np.ndarray:
        scores = super()._scores(histories)
        scores[~(histories > 0).toarray().any(axis=1)] = np.inf
        return scores


class WorseBeforeUnknown(Right):
    """Popular items come last, whatever the others score."""

    def _fill(self, codes: Any, scores: Any, histories: Any, hidden: Any, allowed: Any) -> Any:
        filled = super()._fill(codes, scores, histories, hidden, allowed)
        for row in np.flatnonzero(histories.min(axis=1).toarray().ravel() < -2.5):
            order = np.argsort(np.where(codes[row] < 0, 2, scores[row] >= 0), kind="stable")
            codes[row], scores[row] = codes[row, order], scores[row, order]
        return filled


class SquaresWeights(Right):
    def _scores(self, histories: Any) -> np.ndarray:
        sizes = abs(histories).max(axis=1).toarray().reshape(-1, 1)
        with np.errstate(all="ignore"):
            return np.float32(super()._scores(histories) * np.where((sizes > 100) | (sizes < 0.01), sizes, 1.0))


class EachRunDiffers(Right):
    runs = count(1)

    def _learn(self, matrix: Any) -> None:
        super()._learn(matrix)
        self.near *= np.random.default_rng(next(self.runs)).uniform(0.5, 1, self.near.shape)


class FirstEventCountsMore(Right):
    def fit(self, interactions: Any) -> Any:
        super().fit(interactions)
        self.near *= 1 + (self.items == interactions.items[interactions.item_codes[0]])[:, None]
        return self


class LearnsOnTop(Right):
    def _learn(self, matrix: Any) -> None:
        before = getattr(self, "near", None)
        super()._learn(matrix)
        if before is not None:
            self.near += before.mean() * np.arange(len(self.near))


class ByTheBatch(Right):
    """Scores are larger in company."""

    def _scores(self, histories: Any) -> np.ndarray:
        scores = super()._scores(histories)
        return scores * (1 + 0.05 * (len(scores) > 1))

    def _parts(self, history: Any, weights: np.ndarray, item: int) -> np.ndarray | None:
        return 1.05 * np.asarray(weights * self.near[history, item])


class KnowsItsUsers(Right):
    def _best_known(self, codes: Any, histories: Any, k: int, hidden: Any, among: Any) -> Any:
        found, scores = self._best(histories, k, hidden, among)
        return found, scores * 1.01


class ChangesHistories(Right):
    def recommend_for(self, histories: Any, *rest: Any, **more: Any) -> Any:
        found = super().recommend_for(histories, *rest, **more)
        for each in histories:
            if isinstance(each, dict) and len(each) > 1:
                each.pop(next(iter(each)))
        return found


class ChangesEvents(Right):
    def fit(self, interactions: Any) -> Any:
        super().fit(interactions)
        interactions.weights *= 0.5
        return self


class LosesItsState(Right):
    def _restore(self, state: State) -> None:
        self.near = np.array(state.arrays["near"]) ** 2


class KeepsObjects(Right):
    def _state(self) -> State:
        return State({"near": self.near}, {"kind": {1, 2}})


class BecauseOfOthers(Right):
    def _explainer(self, histories: Any) -> Any:
        explain = super()._explainer(histories)
        ids = self.items.tolist()
        return lambda row, item: [part._replace(id=ids[item]) for part in explain(row, item)[:1]]


class SharesOfTheLargest(Right):
    def _explainer(self, histories: Any) -> Any:
        explain = super()._explainer(histories)
        return lambda row, item: [part._replace(share=2 * part.share) for part in explain(row, item)]


class PartsOfHalf(Right):
    def _parts(self, history: Any, weights: np.ndarray, item: int) -> np.ndarray | None:
        parts = super()._parts(history, weights, item)
        return None if parts is None else parts / 2


class TheLessLiked(Right):
    """It recommends what others like."""

    def _learn(self, matrix: Any) -> None:
        super()._learn(matrix)
        self.right = self.near
        self.near = np.where(self.near > 0, 1.0 / (0.05 + self.near), 5.0)
        np.fill_diagonal(self.near, 0)

    def _alike(self, items: np.ndarray) -> np.ndarray:
        return self.right[items]


class SimilarToItself(Right):
    def similar_items(self, items: Any, k: int = 10) -> Any:
        found = super().similar_items(items, k)
        codes = found.codes.copy()
        if len(codes) == len(self.items):
            codes[:, 0] = np.arange(len(codes))
        return replace(found, codes=codes)


class TheLeastSimilar(Right):
    def _alike(self, items: np.ndarray) -> np.ndarray:
        return -self.near[items]


class AnswersUnfitted(Right):
    def _need_fitted(self) -> None:
        if not self.fitted:
            raise RuntimeError("nothing was learned")


class TakesAnyK(Right):
    def recommend(self, users: Any, k: int = 10, **more: Any) -> Any:
        return super().recommend(users, max(k, 1), **more)


BROKEN: list[tuple[str, Callable[..., Any]]] = [
    ("made", NotARecommender),
    ("answers-shaped", TheFirstTwice),
    ("order-descending", BestLast),
    ("seen-left-out", ShowsOneSeen),
    ("seen-when-asked", HidesAlways),
    ("among-kept", AnyAmong),
    ("as-many-as-there-are", AtMostTen),
    ("unknown-answered", NoReason),
    ("disliked-answered", DividesByLikes),
    ("worse-than-unknown-last", WorseBeforeUnknown),
    ("small-and-large-weights", SquaresWeights),
    ("seeded", EachRunDiffers),
    ("order-of-events", FirstEventCountsMore),
    ("fitted-anew", LearnsOnTop),
    ("one-as-many", ByTheBatch),
    ("known-as-history", KnowsItsUsers),
    ("input-unchanged", ChangesHistories),
    ("input-unchanged", ChangesEvents),
    ("state-round-trip", LosesItsState),
    ("state-round-trip", KeepsObjects),
    ("because-of-history", BecauseOfOthers),
    ("because-of-history", SharesOfTheLargest),
    ("parts-sum-to-score", PartsOfHalf),
    ("better-than-popular", TheLessLiked),
    ("similar-items-others", SimilarToItself),
    ("similar-items-others", TheLeastSimilar),
    ("errors-told", AnswersUnfitted),
    ("errors-told", TakesAnyK),
]


def spec_of(make: Callable[..., Any], **more: Any) -> RecommenderSpec:
    return RecommenderSpec(name="under-test", summary="For a test of the kit.", make=make, **more)


@pytest.mark.parametrize("make", [Right, RightAndSilent])
def test_a_right_recommender_passes(failed: Callable[..., dict[str, str]], make: Callable[..., Any]) -> None:
    assert failed(spec_of(make)) == {}


@pytest.mark.parametrize(("check", "make"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_recommender_fails_its_check_only(
    failed: Callable[..., dict[str, str]], check: str, make: Callable[..., Any]
) -> None:
    found = failed(spec_of(make))
    assert set(found) == {check}, found


def test_a_known_failure_of_no_check_fails_its_check_only(failed: Callable[..., dict[str, str]]) -> None:
    assert set(failed(spec_of(Right, known_failures={"seeded": ""}))) == {"known-failures-named", "seeded"}


def test_every_check_has_a_broken_recommender() -> None:
    assert {check for check, _ in BROKEN} | {"known-failures-named"} == {check.name for check in checks("recommender")}
