"""Factors by alternating least squares, for implicit feedback: users and items as vectors whose inner product says who likes what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nearkin.recommenders import Recommender, largest
from nearkin.recommending.counts import need_number
from nearkin.recommending.least_squares import Weighted, loss_of, solved, stepped
from nearkin.search_parameters import whole_number
from nearkin.state import State
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nearkin.collection import Collection

SEARCHED_SHARE = 1 / 64
"""Share of the items up to which more of them are asked for, so that some are left when what was seen is taken out; beyond it
all are scored."""


class ALS(Recommender):
    """Implicit-feedback factorization: Σ c (p - x·y)² + λ (Σ s |x|² + Σ s |y|²) is made small over vectors x of users and y of items,
    where p is 1 for what a user had to do with and 0 for all else, and c = 1 + alpha · |weight| how sure that is.

    What has a weight below 0 was turned down: p = 0 and c as sure as the weight says. A history becomes a vector by solving for it,
    exactly, whether its user is known or not; the items' vectors are in an index for inner products, so that recommending is a search.

    Parameters
    ----------
    factors
        Numbers in each vector.
    regularization
        λ, for each vector alike or by its count, see `scaling`.
    alpha
        What a weight of 1 adds to the confidence.
    iterations
        Times that the users' vectors and then the items' are solved for.
    scaling
        s = count^scaling, count the events of the vector's user or item: 0 for the same regularization for all (Hu et al.), 1 for one
        in proportion (Zhou et al.).
    seed
        Of the vectors that it starts with.
    plan
        How the items' vectors are indexed: `flat` is exact.

    Attributes
    ----------
    user_factors, item_factors : ndarray
        (users, factors) and (items, factors) float32, once fitted.
    losses : tuple of float
        What is made small, after each iteration.

    Notes
    -----
    Sources: Y. Hu, Y. Koren and C. Volinsky, "Collaborative filtering for implicit feedback datasets" (2008), also for what each item of
    a history adds to a score (section 5); G. Takács, I. Pilászy and D. Tikk, "Applications of the conjugate gradient method for
    implicit feedback collaborative filtering" (2011), for the steps while learning; Y. Zhou et al., "Large-scale parallel
    collaborative filtering for the Netflix prize" (2008), for regularization by counts.

    Examples
    --------
    >>> from nearkin import Interactions
    >>> users = ["ann", "ann", "bob", "bob", "cat", "dan", "dan", "eve", "eve"]
    >>> items = ["tea", "milk", "tea", "milk", "tea", "beer", "nuts", "beer", "nuts"]
    >>> ALS(factors=2, regularization=0.1).fit(Interactions(users, items)).recommend("cat", k=1).ids.tolist()
    [['milk']]
    """

    name: ClassVar[str] = "als"

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 30.0,
        alpha: float = 1.0,
        iterations: int = 15,
        scaling: float = 0.0,
        seed: int = 0,
        plan: str = "flat",
    ) -> None:
        self.factors = whole_number("factors", factors, 1)
        self.regularization = need_number("regularization", regularization, 0.0, above=True)
        self.alpha = need_number("alpha", alpha, 0.0, above=True)
        self.iterations = whole_number("iterations", iterations, 1)
        self.scaling = need_number("scaling", scaling, 0.0)
        self.seed = whole_number("seed", seed, 0, 2**63)
        self.plan = plan

    def _learn(self, matrix: csr_array) -> None:
        rows, columns = self._weighted(matrix), self._weighted(matrix.T.tocsr())
        rng = np.random.default_rng(self.seed)
        users, items = (
            rng.normal(scale=0.1 / np.sqrt(self.factors), size=(count, self.factors)).astype(np.float32)
            for count in matrix.shape
        )
        losses = []
        for _ in range(self.iterations):
            users = stepped(rows, items, users)
            items = stepped(columns, users, items)
            losses.append(loss_of(rows, columns, users, items))
        self.item_factors, self.losses = items, tuple(losses)
        self.user_factors = solved(rows, items)
        self._index: Collection | None = None
        self._searched()

    def _weighted(self, matrix: csr_array) -> Weighted:
        counts = np.maximum(1, np.diff(matrix.indptr)).astype(np.float64)
        return Weighted.of(matrix, self.alpha, self.regularization * counts**self.scaling)

    def _vectors(self, histories: csr_array) -> np.ndarray:
        """(m, factors) of histories."""
        return solved(self._weighted(histories), self.item_factors)

    def _scores(self, histories: csr_array) -> np.ndarray:
        return self._vectors(histories) @ self.item_factors.T

    def _best(
        self, histories: csr_array, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._best_of(self._vectors(histories), k, hidden, among)

    def _best_known(
        self, codes: np.ndarray, histories: csr_array, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        vectors = self.user_factors[np.maximum(codes, 0)]
        vectors[codes < 0] = 0.0
        return self._best_of(vectors, k, hidden, among)

    def _best_of(
        self, vectors: np.ndarray, k: int, hidden: csr_array, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `_best`, for the vectors of users: by search where few items are hidden, by scores for the others."""
        shape = len(vectors), k
        codes, scores = np.full(shape, -1), np.full(shape, -np.inf, dtype=np.float32)
        wanted = k + np.diff(hidden.indptr)
        there = vectors.any(axis=1)  # of others nothing is known that they like
        few = there & (wanted <= SEARCHED_SHARE * len(self.items)) & (among is None)
        for rows in _alike_sized(np.flatnonzero(few), wanted):
            most = int(wanted[rows].max())
            found = self._searched().search(vectors[rows], k=most)
            codes[rows], scores[rows] = _without(found.ids, found.similarities, hidden[rows], k)
        rest = np.flatnonzero(there & ~few)
        step = block_rows(16 * len(self.items))
        for start in range(0, len(rest), step):
            rows = rest[start : start + step]
            given = vectors[rows] @ self.item_factors.T
            if among is not None:
                given[:, ~among] = -np.inf
            given[hidden[rows].nonzero()] = -np.inf
            codes[rows], scores[rows] = largest(given, k)
        return codes, scores

    def _searched(self) -> Collection:
        """The index of the items' vectors; built again where it was restored."""
        if self._index is None:
            from nearkin.building import build

            self._index = build(self.item_factors, metric="inner-product", plan=self.plan)
        return self._index

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray:
        """y·W c y_h for what has p = 1, with W the inverse of what a user's vector is solved by: exactly the score in sum."""
        counted = np.asarray(weights, dtype=np.float64)
        vectors, confident = self.item_factors.astype(np.float64), 1.0 + self.alpha * np.abs(counted)
        mine = vectors[np.asarray(history)]
        own = self.regularization * max(1, len(counted)) ** self.scaling
        left = vectors.T @ vectors + own * np.eye(self.factors) + (mine.T * (confident - 1.0)) @ mine
        return np.asarray((mine @ np.linalg.solve(left, vectors[item])) * confident * (counted > 0))

    def _alike(self, items: np.ndarray) -> np.ndarray:
        """Cosines of the items' vectors."""
        lengths = np.linalg.norm(self.item_factors, axis=1, keepdims=True)
        unit = np.divide(self.item_factors, lengths, out=np.zeros_like(self.item_factors), where=lengths > 0)
        alike = unit[items] @ unit.T
        alike[:, ~(lengths[:, 0] > 0)] = -np.inf
        return np.asarray(alike)

    def _state(self) -> State:
        return State(
            {"users": self.user_factors, "items": self.item_factors}, {"losses": list(self.losses), "plan": self.plan}
        )

    def _restore(self, state: State) -> None:
        self.user_factors, self.item_factors = (np.array(state.arrays[name]) for name in ("users", "items"))
        self.losses, self._index = tuple(state.meta["losses"]), None


def _alike_sized(rows: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """Rows in parts that want less than twice as many of each other."""
    sizes = np.ceil(np.log2(wanted[rows])).astype(np.int64)
    return [rows[sizes == size] for size in np.unique(sizes)]


def _without(ids: Any, scores: np.ndarray, hidden: csr_array, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k of each row that are not hidden."""
    items = hidden.shape[1]
    where = np.repeat(np.arange(hidden.shape[0]), np.diff(hidden.indptr)) * items + hidden.indices
    gone = np.isin(np.arange(len(ids))[:, None] * items + ids, where) | (ids < 0)
    first = np.argsort(gone, axis=1, kind="stable")[:, :k]
    left = ~np.take_along_axis(gone, first, axis=1)
    codes = np.where(left, np.take_along_axis(ids, first, axis=1), -1)
    return codes, np.where(left, np.take_along_axis(scores, first, axis=1), -np.inf).astype(np.float32)
