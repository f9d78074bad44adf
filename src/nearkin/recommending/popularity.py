"""What most users liked, for everybody: the yardstick that every other recommender must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nearkin.recommenders import Recommender
from nearkin.state import State

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Popular(Recommender):
    """The same items for all: those that the largest share of the users liked.

    Examples
    --------
    >>> from nearkin import Interactions
    >>> bought = Interactions(["ann", "bob", "bob"], ["tea", "tea", "milk"])
    >>> Popular().fit(bought).recommend("ann").ids.tolist()[0][0]
    'milk'
    """

    name: ClassVar[str] = "popular"

    def _learn(self, matrix: csr_array) -> None:
        """Nothing beside `popularity`."""

    def _scores(self, histories: csr_array) -> np.ndarray:
        return np.tile(self.popularity.astype(np.float32), (histories.shape[0], 1))

    def _state(self) -> State:
        return State()

    def _restore(self, state: State) -> None:
        """`popularity` is all, and the base restores it."""
