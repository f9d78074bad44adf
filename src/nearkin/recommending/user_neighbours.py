"""User-user neighbours: an item is recommended because those whose history is alike had to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nearkin.recommenders import Parts, Recommender
from nearkin.recommending.counts import (
    CountWeights,
    Weighting,
    as_ones,
    by_largest,
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
    of the users that it learned from, with their weights x of the item by the largest |x| of all.

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
    options = ("similarity", "n_neighbors", "shrinkage", "weighting")

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
        self._weights = CountWeights(matrix, self.weighting)
        self._known = self._counted(matrix)
        self._sizes = np.diff(self._known.indptr)
        # By items: what a product with histories goes through is then only who had one of their items.
        self._by_item = self._known.T.tocsr()
        self._entries_by_item = as_entries(matrix).T.tocsr() if self.shrinkage else None
        matrix.data /= np.abs(matrix.data).max(initial=0.0) or 1.0
        self._matrix = matrix

    def _counted(self, histories: csr_array) -> csr_array:
        """What likeness is computed of: rows of length 1, or ones for Jaccard."""
        if self.similarity == "jaccard":
            return as_ones(histories)
        counted = self._weights.of(histories)
        if self.similarity == "adjusted-cosine":
            counted = less_mean(counted)
        counted = by_largest(counted)  # so that no square is too small
        return scaled_rows(counted, inverse(np.sqrt(row_sums(counted, counted.data**2))))

    def _nearest(self, histories: csr_array) -> csr_array:
        """(m, users) likeness of the nearest users of a block of histories, divisors of its parts included."""
        counted = self._counted(histories)
        alike = (counted @ self._by_item).tocsr()
        if self.similarity == "jaccard":
            sizes = np.repeat(np.diff(counted.indptr), np.diff(alike.indptr)) + self._sizes[alike.indices]
            alike.data = alike.data / np.maximum(1.0, sizes - alike.data)
        if self._entries_by_item is not None:
            both = (as_entries(histories) @ self._entries_by_item).tocsr()
            both.data = both.data / (both.data + self.shrinkage)
            alike = alike.multiply(both).tocsr()
        return largest_entries(alike.astype(np.float32), self.n_neighbors)

    def _scores(self, histories: csr_array) -> np.ndarray:
        scores = np.empty(histories.shape, dtype=np.float32)
        step = block_rows(32 * max(self._matrix.shape))
        for start in range(0, histories.shape[0], step):
            some = slice(start, start + step)
            scores[some] = (self._nearest(histories[some]) @ self._matrix).toarray()
        scores[scores == 0] = -np.inf
        return scores

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray | None:
        return self._parts_of(history, weights)(item)

    def _parts_of(self, history: Sequence[int], weights: np.ndarray) -> Parts:
        """Likeness is a sum over the items of both histories: each item's share of that, times what the neighbours add."""
        from scipy.sparse import csr_array

        shape = (1, self._matrix.shape[1])
        row = csr_array((np.asarray(weights), np.asarray(history), [0, len(history)]), shape=shape)
        counted, near = self._counted(row), self._nearest(row)
        users = near.indices
        known = self._known[users]
        products = known.multiply(counted).tocsr() if len(users) else known
        sums = row_sums(products, products.data)
        shares = scaled_rows(products, near.data * inverse(sums)).T.tocsr()[np.asarray(history)]
        having = self._matrix[users].tocsc()
        return lambda item: np.asarray(shares @ having[:, [item]].toarray().ravel())

    def _state(self) -> State:
        """Nothing beside the histories that the base keeps."""
        return State()

    def _restore(self, state: State) -> None:
        self._learn(self._histories.copy())


def largest_entries(matrix: csr_array, n: int) -> csr_array:
    """The n largest entries above 0 of each row, those of lower columns among equals.

    >>> from scipy.sparse import csr_array
    >>> largest_entries(csr_array(np.array([[1.0, 3.0, -2.0, 3.0, 1.0]])), 3).toarray().tolist()
    [[1.0, 3.0, 0.0, 3.0, 0.0]]
    """
    from scipy.sparse import csr_array

    matrix.sort_indices()
    indptr, kept = matrix.indptr, []
    for row in range(matrix.shape[0]):
        values = matrix.data[indptr[row] : indptr[row + 1]]
        there = np.flatnonzero(values > 0)
        if len(there) > n:
            edge = np.partition(values, len(values) - n)[len(values) - n]
            there = np.flatnonzero(values >= edge)
            there = np.sort(there[np.argsort(-values[there], kind="stable")[:n]])
        kept.append(indptr[row] + there)
    taken = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum([len(each) for each in kept])]).astype(np.int64)
    return csr_array((matrix.data[taken], matrix.indices[taken], starts), shape=matrix.shape)
