"""User-user neighbours: an item is recommended because those whose history is alike had to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nearkin.recommenders import Recommender, largest
from nearkin.recommending.counts import (
    CountWeights,
    Weighting,
    as_ones,
    inverse,
    less_mean,
    need_number,
    need_one_of,
    row_sums,
    scaled_rows,
)
from nearkin.recommending.item_neighbours import Similarity, as_entries
from nearkin.search_parameters import whole_number
from nearkin.state import State
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class UserKNN(Recommender):
    """What the users with the most similar histories had to do with: the score of an item is Σ similarity · x over the nearest
    of the users that it learned from, with their weights x of the item.

    A history of somebody unknown is compared as those of known users are. A known user is their own nearest, which adds nothing
    to items that they have not seen.

    Parameters
    ----------
    similarity
        Of two histories, over their items: ``"cosine"`` of the weights; ``"jaccard"``, of the items with weights above 0, those in
        both among those in either; ``"adjusted-cosine"``, the cosine of weights less the mean of their history, which is Pearson's
        correlation with what is not rated at the mean.
    n_neighbors
        Nearest users of each history; only those with a likeness above 0 count.
    shrinkage
        Likeness is multiplied by n / (n + shrinkage), with n items in both.
    weighting
        How weights count in the likeness: ``"none"``, ``"tf-idf"`` or ``"bm25"``, by which items that few have say more.

    Notes
    -----
    Sources: J. Herlocker et al., "An algorithmic framework for performing collaborative filtering" (1999), for the neighbours and
    for giving little weight to what few items say; P. Cremonesi et al., "Performance of recommender algorithms on top-N
    recommendation tasks" (2010), for scores that are not divided by the sum of the similarities.

    Examples
    --------
    >>> from nearkin import Interactions
    >>> liked = Interactions(["ann", "ann", "bob", "bob", "cat"], ["tea", "milk", "beer", "nuts", "tea"])
    >>> UserKNN().fit(liked).recommend("cat", k=1).ids.tolist()
    [['milk']]
    """

    name: ClassVar[str] = "user-knn"

    def __init__(
        self,
        similarity: Similarity = "cosine",
        n_neighbors: int = 50,
        shrinkage: float = 0.0,
        weighting: Weighting = "tf-idf",
    ) -> None:
        need_one_of("similarity", similarity, Similarity)
        need_one_of("weighting", weighting, Weighting)
        self.similarity = similarity
        self.n_neighbors = whole_number("n_neighbors", n_neighbors, 1)
        self.shrinkage = need_number("shrinkage", shrinkage, 0.0)
        self.weighting = weighting

    def _learn(self, matrix: csr_array) -> None:
        self._matrix = matrix
        self._weights = CountWeights(matrix, self.weighting)
        self._known = self._counted(matrix)
        self._entries = as_entries(matrix)

    def _counted(self, histories: csr_array) -> csr_array:
        """What likeness is computed of: rows of length 1, or ones for Jaccard."""
        if self.similarity == "jaccard":
            return as_ones(histories)
        counted = self._weights.of(histories)
        if self.similarity == "adjusted-cosine":
            counted = less_mean(counted)
        return scaled_rows(counted, inverse(np.sqrt(row_sums(counted, counted.data**2))))

    def _nearest(self, histories: csr_array) -> csr_array:
        """(m, users) likeness of the nearest users of a block of histories, divisors of its parts included."""
        from scipy.sparse import csr_array

        counted = self._counted(histories)
        alike = (counted @ self._known.T).toarray()
        alike *= self._scale(histories, counted, alike)
        alike = alike.astype(np.float32)
        alike[alike <= 0] = -np.inf
        codes, values = largest(alike, min(self.n_neighbors, alike.shape[1]))
        there = codes >= 0
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        return csr_array((values[there], codes[there], indptr), shape=alike.shape)

    def _scale(self, histories: csr_array, counted: csr_array, products: np.ndarray) -> np.ndarray:
        """(m, users) by which products of histories are multiplied to be likenesses."""
        scale = np.ones(products.shape)
        if self.similarity == "jaccard":
            sizes = np.diff(counted.indptr)[:, None] + np.diff(self._known.indptr)
            scale = 1.0 / np.maximum(1.0, sizes - products)
        if self.shrinkage:
            both = (as_entries(histories) @ self._entries.T).toarray()
            scale *= both / (both + self.shrinkage)
        return scale

    def _scores(self, histories: csr_array) -> np.ndarray:
        scores = np.empty(histories.shape, dtype=np.float32)
        step = block_rows(32 * max(self._matrix.shape))
        for start in range(0, histories.shape[0], step):
            some = slice(start, start + step)
            scores[some] = (self._nearest(histories[some]) @ self._matrix).toarray()
        scores[scores == 0] = -np.inf
        return scores

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray:
        """Likeness is a sum over the items of both histories: each item's share of that, times what the neighbours add."""
        from scipy.sparse import csr_array

        shape = (1, self._matrix.shape[1])
        row = csr_array((np.asarray(weights), np.asarray(history), [0, len(history)]), shape=shape)
        counted, near = self._counted(row), self._nearest(row)
        users = near.indices
        known = self._known[users]
        products = known.multiply(counted).tocsr() if len(users) else known
        sums = row_sums(products, products.data)
        having = self._matrix[users][:, [item]].toarray().ravel()
        return np.asarray((products.T @ (having * near.data * inverse(sums)))[history])

    def _state(self) -> State:
        """Nothing beside the histories that the base keeps."""
        return State()

    def _restore(self, state: State) -> None:
        self._learn(self._histories.copy())
