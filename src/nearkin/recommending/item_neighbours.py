"""Item-item neighbours: an item is recommended for its likeness to what the user had to do with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from nearkin.recommenders import Recommender, largest
from nearkin.recommending.counts import (
    CountWeights,
    Weighting,
    as_ones,
    by_largest,
    inverse,
    less_mean,
    need_number,
    need_one_of,
    scaled_rows,
)
from nearkin.search_parameters import whole_number
from nearkin.state import State
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Similarity = Literal["cosine", "jaccard", "adjusted-cosine"]

DENSE_SHARE = 1 / 32
"""Share of the items that are neighbours from which scores are summed over dense blocks, which is then quicker."""

MOST_ALIKE = 1e30
"""Beyond it sums would be no float32 numbers: weights that differ by more, under a balance other than 0.5."""

CACHED_BYTES = 1 << 20
"""Of a dense block, so that it stays in the processor's cache."""


class ItemKNN(Recommender):
    """Items alike to those of the history: the score of an item is Σ w · similarity over the history's items that are among the
    item's nearest, with their weights w by the largest |w| of the history.

    Parameters
    ----------
    similarity
        Of items h and j, over the users u and their weights x:

        ``"cosine"``: Σ c x_h x_j / (|h|^2b |j|^2(1-b)), with |h|² = Σ c x_h², c what the user counts and b the balance.
        ``"jaccard"``: Σ c over those who like both / Σ c over those who like either (weights above 0).
        ``"adjusted-cosine"``: as the cosine, of weights less the user's mean: for ratings, which users spread differently.
    n_neighbors
        Nearest items that are kept for each item; only likeness above 0 counts.
    shrinkage
        Likeness is multiplied by n / (n + shrinkage), with n users who had to do with both: what stands on few users counts less.
    weighting
        How weights count in the likeness: ``"none"``, ``"tf-idf"`` or ``"bm25"``, for counts.
    damping
        A user counts c = 1 / length^damping, length the number of their items: who takes everything says little. 0 counts all
        alike, 1 is that of Deshpande and Karypis.
    balance
        0.5 is the plain cosine; more than that takes from items that many have in the history, less from those that are to be
        recommended: recommendations are the more popular, the larger it is. Not for Jaccard.

    Notes
    -----
    Sources: B. Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (2001), for adjusted cosine;
    M. Deshpande and G. Karypis, "Item-based top-N recommendation algorithms" (2004), for the sum that scores and for damping;
    F. Aiolli, "Efficient top-N recommendation for very large scale binary rated datasets" (2013), for the balance.
    The likenesses of a block of items are computed at a time: there is never a square of them in memory.

    Examples
    --------
    >>> from nearkin import Interactions
    >>> liked = Interactions(["ann", "ann", "bob", "bob", "cat"], ["tea", "milk", "tea", "cup", "tea"])
    >>> best = ItemKNN().fit(liked).recommend("cat", k=2)
    >>> best.ids.tolist(), best.because(0, 0)
    ([['cup', 'milk']], (Because(id='tea', share=1.0),))
    """

    name: ClassVar[str] = "item-knn"
    options = ("similarity", "n_neighbors", "shrinkage", "weighting", "damping", "balance")

    def __init__(
        self,
        similarity: Similarity = "cosine",
        n_neighbors: int = 200,
        shrinkage: float = 0.0,
        weighting: Weighting = "none",
        damping: float = 0.5,
        balance: float = 0.6,
    ) -> None:
        need_one_of("similarity", similarity, Similarity)
        need_one_of("weighting", weighting, Weighting)
        self.similarity = similarity
        self.n_neighbors = whole_number("n_neighbors", n_neighbors, 1)
        self.shrinkage = need_number("shrinkage", shrinkage, 0.0)
        self.weighting = weighting
        self.damping = need_number("damping", damping, 0.0)
        self.balance = need_number("balance", balance, 0.0, 1.0)

    def _learn(self, matrix: csr_array) -> None:
        from scipy.sparse import csr_array, vstack

        counted = self._counted(matrix)
        counted.data /= np.abs(counted.data).max(initial=0.0) or 1.0  # so that no square is too large or too small
        together = as_entries(matrix) if self.shrinkage else None
        squares = np.asarray((counted * counted).sum(axis=0)).ravel()
        columns, items = counted.tocsc(), matrix.shape[1]
        step = block_rows(24 * items)
        rows = []
        for start in range(0, items, step):
            block = np.arange(start, min(items, start + step))
            alike = (columns[:, block].T @ counted).toarray()
            alike *= self._scale(alike, squares, block)
            if together is not None:
                both = (together[:, block].T @ together).toarray()
                alike *= both / (both + self.shrinkage)
            rows.append(self._nearest(alike, block))
        self._keep(csr_array(vstack(rows, format="csr")))

    def _keep(self, neighbours: csr_array) -> None:
        """(items, items): the nearest of each in a row; and, where they are few, turned to be multiplied by histories."""
        self._neighbours = neighbours
        self._turned = neighbours.T.tocsr() if neighbours.nnz < DENSE_SHARE * neighbours.shape[0] ** 2 else None

    def _counted(self, matrix: csr_array) -> csr_array:
        """What likeness is computed of, each user by √c."""
        asked = self.similarity
        counted = as_ones(matrix) if asked == "jaccard" else CountWeights(matrix, self.weighting).of(matrix)
        if asked == "adjusted-cosine":
            counted = less_mean(counted)
        lengths = np.maximum(1, np.diff(matrix.indptr)).astype(np.float64)
        return scaled_rows(counted, lengths ** (-self.damping / 2))

    def _scale(self, products: np.ndarray, squares: np.ndarray, block: np.ndarray) -> np.ndarray:
        """(b, items) by which products are multiplied to be likenesses of the items of a block to all."""
        if self.similarity == "jaccard":
            either = squares[block, None] + squares - products
            return np.asarray(np.divide(1.0, either, out=np.zeros_like(either), where=either > 0))
        return np.asarray(
            inverse(squares[block] ** (1 - self.balance))[:, None] * inverse(squares**self.balance)[None, :]
        )

    def _nearest(self, alike: np.ndarray, block: np.ndarray) -> csr_array:
        from scipy.sparse import csr_array

        alike[np.arange(len(block)), block] = 0.0
        found = np.minimum(alike, MOST_ALIKE).astype(np.float32)
        found[found <= 0] = -np.inf
        codes, values = largest(found, min(self.n_neighbors, alike.shape[1]))
        there = codes >= 0
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        near = csr_array((values[there], codes[there], indptr), shape=alike.shape)
        near.sort_indices()
        return near

    def _scores(self, histories: csr_array) -> np.ndarray:
        given, items = by_largest(histories).astype(np.float32), histories.shape[1]
        if self._turned is not None:
            scores = (given @ self._turned).toarray()
        else:
            scores = np.empty(histories.shape, dtype=np.float32)
            step = block_rows(4 * items, CACHED_BYTES)
            for start in range(0, items, step):
                some = slice(start, start + step)
                scores[:, some] = given @ np.ascontiguousarray(self._neighbours[some].toarray().T)
        scores[scores == 0] = -np.inf
        return np.asarray(scores)

    def _parts(self, history: Sequence[int], weights: np.ndarray, item: int) -> np.ndarray:
        largest_weight = np.abs(weights).max(initial=0.0) or 1.0
        near, mine = self._neighbours, np.asarray(history)
        part = slice(near.indptr[item], near.indptr[item + 1])
        codes, likeness = near.indices[part], near.data[part]
        if not len(codes):
            return np.zeros(len(mine))
        at = np.minimum(np.searchsorted(codes, mine), len(codes) - 1)  # codes ascend
        return np.asarray(np.where(codes[at] == mine, likeness[at], 0.0) * (weights / largest_weight))

    def _alike(self, items: np.ndarray) -> np.ndarray:
        alike = self._neighbours[items].toarray()
        alike[alike == 0] = -np.inf
        return np.asarray(alike)

    def _state(self) -> State:
        near = self._neighbours
        return State({"indptr": near.indptr, "codes": near.indices, "likeness": near.data})

    def _restore(self, state: State) -> None:
        from scipy.sparse import csr_array

        arrays, items = state.arrays, len(self.items)
        self._keep(csr_array((arrays["likeness"], arrays["codes"], arrays["indptr"]), shape=(items, items)))


def as_entries(matrix: csr_array) -> csr_array:
    """1 for every entry."""
    ones = matrix.astype(np.float64)
    ones.data = np.ones(len(ones.data))
    return ones
