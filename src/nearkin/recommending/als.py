"""Factors by alternating least squares: users and items as vectors whose inner product says who likes what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nearkin.plans import parse_plan
from nearkin.recommenders import Parts, Recommender, largest, places
from nearkin.recommending.counts import need_number, need_one_of
from nearkin.recommending.least_squares import Weighted, gram_of, solved, stepped
from nearkin.registry import default_registry
from nearkin.search_parameters import whole_number
from nearkin.state import State
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nearkin.collection import Collection

Scaling = Literal["mean", "count", "none"]

SEARCHED_SHARE = 1 / 64
"""Share of the items up to which more of them are asked for, so that some are left when what was seen is taken out; beyond it
all are scored."""

NOTHING = 1e-6
"""Scores up to which, on either side of 0, are rounding: where all of what was liked is 1, nothing is known there."""
SUREST = 1e6
"""By how much a confidence is above 1 at most: beyond it rounding would decide."""


class ALS(Recommender):
    """Implicit-feedback factorization: vectors x of users and y of items that make Σ c (p - x·y)² + λ (Σ s |x|² + Σ s |y|²) small,
    where p is 1 for what a user had to do with and 0 for all else, and c = 1 + alpha · |weight| / mean |weight| how sure that is.

    What has a weight below 0 was turned down: p = 0 and c as sure as the weight says. A history becomes a vector by solving for
    it, exactly, whether its user is known or not; the items' vectors are in an index for inner products, so that recommending is a
    search. A score within 1e-6 of 0 is rounding, and says nothing; nor is anything learned where nobody likes anything, or λ is so
    large that no vectors are best: everybody gets what is popular then.

    Parameters
    ----------
    factors
        Numbers in each vector.
    regularization
        λ, from 1e-6 to 1e6, see `scaling`.
    alpha
        What a weight of the mean size, over all that is learned from, adds to the confidence, so that one alpha suits counts,
        ratings and ones; Hu et al. do not divide by the mean. Up to 1e6, which no single weight adds more than either.
    iterations
        Times that the users' vectors and then the items' are solved for.
    scaling
        ``"mean"``: s is the mean number of items of a user for all users, and of users of an item for all items, so that one λ
        suits small and large data. ``"count"``: the number of each user's items, of each item's users (Zhou et al.). ``"none"``: 1
        (Hu et al.).
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

    Raises
    ------
    ParameterError
        An option makes no sense; in `fit`, a plan that cannot be read.

    Notes
    -----
    Sources: Y. Hu, Y. Koren and C. Volinsky, "Collaborative filtering for implicit feedback datasets" (2008), also for what
    each item of a history adds to a score (section 5); G. Takács, I. Pilászy and D. Tikk, "Applications of the conjugate gradient
    method for implicit feedback collaborative filtering" (2011), for the steps while learning; Y. Zhou et al., "Large-scale
    parallel
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
    options = ("factors", "regularization", "alpha", "iterations", "scaling", "seed", "plan")

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 0.3,
        alpha: float = 1.0,
        iterations: int = 15,
        scaling: Scaling = "mean",
        seed: int = 0,
        plan: str = "flat",
    ) -> None:
        self.factors = whole_number("factors", factors, 1)
        self.regularization = need_number("regularization", regularization, 1e-6, 1e6)
        self.alpha = need_number("alpha", alpha, 0.0, SUREST, above=True)
        self.iterations = whole_number("iterations", iterations, 1)
        need_one_of("scaling", scaling, Scaling)
        self.scaling = scaling
        self.seed = whole_number("seed", seed, 0, 2**63)
        self.plan = plan

    def _learn(self, matrix: csr_array) -> None:
        parse_plan(self.plan, default_registry())  # told before the work, not after it
        self._user_scale, item_scale = (matrix.nnz / count for count in matrix.shape)
        self._surer = self.alpha / (float(np.abs(matrix.data).mean()) or 1.0)
        rows = self._weighted(matrix, self._user_scale)
        columns = self._weighted(matrix.T.tocsr(), item_scale)
        rng = np.random.default_rng(self.seed)
        users, items = (
            rng.normal(scale=0.1 / np.sqrt(self.factors), size=(count, self.factors)).astype(np.float32)
            for count in matrix.shape
        )
        losses = []
        for _ in range(self.iterations):
            users, _ = stepped(rows, items, users)
            items, loss = stepped(columns, users, items)
            losses.append(loss + float((rows.ridge * np.einsum("uf,uf->u", users, users)).sum()))
        self.item_factors, self.losses = items, tuple(losses)
        self.user_factors = solved(rows, items)
        if _longest(self.user_factors) * _longest(items) <= NOTHING:
            self.user_factors, self.item_factors = np.zeros_like(users), np.zeros_like(items)
        self._index: Collection | None = None
        self._gram: np.ndarray | None = None
        if self.item_factors.any():
            self._searched()

    def _weighted(self, matrix: csr_array, mean: float) -> Weighted:
        return Weighted.of(matrix, self._surer, SUREST, self._ridge(np.diff(matrix.indptr), mean))

    def _ridge(self, counts: np.ndarray, mean: float) -> np.ndarray:
        """(m,) λ s of vectors with certain counts, `mean` over all."""
        if self.scaling == "count":
            return np.asarray(self.regularization * np.maximum(1.0, counts))
        return np.full(len(counts), self.regularization * (mean if self.scaling == "mean" else 1.0))

    def _vectors(self, histories: csr_array) -> np.ndarray:
        """(m, factors) of histories."""
        return solved(self._weighted(histories, self._user_scale), self.item_factors)

    def _scores(self, histories: csr_array) -> np.ndarray:
        return self._scores_of(self._vectors(histories))

    def _scores_of(self, vectors: np.ndarray) -> np.ndarray:
        scores = vectors @ self.item_factors.T
        scores[np.abs(scores) <= NOTHING] = -np.inf
        return np.asarray(scores)

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
        few &= (scores > NOTHING).all(
            axis=1
        )  # where nothing is known, what scores below 0 must be known to come after it
        rest = np.flatnonzero(there & ~few)
        step = block_rows(16 * len(self.items))
        for start in range(0, len(rest), step):
            rows = rest[start : start + step]
            given = self._scores_of(vectors[rows])
            if among is not None:
                given[:, ~among] = -np.inf
            given[places(hidden[rows])] = -np.inf
            codes[rows], scores[rows] = largest(given, k)
        return codes, scores

    def _searched(self) -> Collection:
        """The index of the items' vectors; built again where it was restored."""
        if self._index is None:
            from nearkin.building import build

            self._index = build(self.item_factors, metric="inner-product", plan=self.plan)
        return self._index

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray | None:
        return self._parts_of(history, weights)(item)

    def _parts_of(self, history: Sequence[int], weights: np.ndarray) -> Parts:
        """y·W c y_h for what has p = 1, with W the inverse of what a user's vector is solved by: exactly the score in sum."""
        counted, vectors = np.asarray(weights, dtype=np.float64), self.item_factors
        surer = np.minimum(SUREST, self._surer * np.abs(counted))
        mine = vectors[np.asarray(history)].astype(np.float64)
        if self._gram is None:
            self._gram = gram_of(vectors)
        own = float(self._ridge(np.array([len(counted)]), self._user_scale)[0])
        left = self._gram + own * np.eye(self.factors) + (mine.T * surer) @ mine
        each = np.linalg.solve(left, mine.T) * ((1.0 + surer) * (counted > 0))
        return lambda item: np.asarray(vectors[item].astype(np.float64) @ each)

    def _alike(self, items: np.ndarray) -> np.ndarray:
        """Cosines of the items' vectors."""
        lengths = np.linalg.norm(self.item_factors, axis=1, keepdims=True)
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        alike = (self.item_factors[items] * inverse[items]) @ self.item_factors.T * inverse.T
        alike[:, ~(lengths[:, 0] > 0)] = -np.inf
        return np.asarray(alike)

    def _state(self) -> State:
        return State(
            {"users": self.user_factors, "items": self.item_factors},
            {"losses": list(self.losses), "scale": self._user_scale, "surer": self._surer},
        )

    def _restore(self, state: State) -> None:
        self.user_factors, self.item_factors = (np.array(state.arrays[name]) for name in ("users", "items"))
        self.factors = self.item_factors.shape[1]
        self.losses, self._user_scale = tuple(state.meta["losses"]), float(state.meta["scale"])
        self._surer, self._index, self._gram = float(state.meta["surer"]), None, None


def _longest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())


def _alike_sized(rows: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """Rows in parts that want less than twice as many of each other."""
    sizes = np.ceil(np.log2(wanted[rows])).astype(np.int64)
    return [rows[sizes == size] for size in np.unique(sizes)]


def _without(ids: Any, scores: np.ndarray, hidden: csr_array, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k of each row that are not hidden."""
    items = hidden.shape[1]
    rows, columns = places(hidden)
    where = rows * items + columns
    gone = np.isin(np.arange(len(ids))[:, None] * items + ids, where) | (ids < 0)
    first = np.argsort(gone, axis=1, kind="stable")[:, :k]
    left = ~np.take_along_axis(gone, first, axis=1)
    codes = np.where(left, np.take_along_axis(ids, first, axis=1), -1)
    return codes, np.where(left, np.take_along_axis(scores, first, axis=1), -np.inf).astype(np.float32)
