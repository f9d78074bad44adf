"""Re-ranking: candidates of a coarse index, ordered again by their distance to a finer copy of the rows.

Indexes that re-rank in their own library say so in their spec (`IndexSpec.refines`); every other index is wrapped in
`RefinedIndex`, so that any index, space and codec can be refined.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearkin.errors import ParameterError
from nearkin.flat_index import FlatIndex
from nearkin.indexes import Found, Index, Layout, Mask
from nearkin.reranking import nearest_candidates
from nearkin.search_parameters import RERANK, SearchParameter
from nearkin.state import State, nested_state, restore_nested


class RefinedIndex(Index):
    """An index whose candidates are re-ranked on rows kept by `layout.refinement`.

    Parameters
    ----------
    inner
        Index that gives the candidates; its own layout has no refinement.
    """

    name = "refined"

    def __init__(self, layout: Layout, inner: Index) -> None:
        if layout.refinement is None:
            raise ParameterError("a refined index needs a refinement codec in its layout")
        super().__init__(layout)
        self.inner = inner
        self.rows_apart = inner.rows_apart
        self._threads = 1
        self._copy = FlatIndex(Layout(layout.space, layout.dim, layout.refinement, seed=layout.seed))

    @property
    def label(self) -> str:
        return self.inner.label

    @property
    def knobs(self) -> dict[str, SearchParameter]:
        return {**self.inner.knobs, "rerank": RERANK}

    def train_rows(self) -> int:
        return max(self.inner.train_rows(), self._copy.train_rows())

    def sample_rows(self, n: int) -> int:
        return max(self.inner.sample_rows(n), self._copy.train_rows())

    def search_defaults(self, n: int) -> dict[str, int]:
        return self.inner.search_defaults(n)

    def cell_sizes(self) -> np.ndarray | None:
        return self.inner.cell_sizes()

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return self.inner.assigned(vectors)

    def start_from(self, present: Index) -> None:
        if isinstance(present, RefinedIndex):
            self.inner.start_from(present.inner)

    def use_threads(self, threads: int) -> None:
        self.inner.use_threads(threads)
        self._threads = threads

    def _train(self, vectors: np.ndarray) -> None:
        self.inner.train(vectors)
        self._copy.train(vectors)

    def _add(self, vectors: np.ndarray) -> None:
        self.inner.add(vectors)
        self._copy.add(vectors)

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        inner_params = {name: value for name, value in params.items() if name != "rerank"}
        wanted = min(self.inner.n, max(k, params["rerank"]))
        candidates = self.inner.search(queries, wanted, mask=mask, params=inner_params)
        return nearest_candidates(self.layout.space, self, queries, candidates.positions, k, self._threads)

    def pieces(self, positions: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """The copy where it lies, if its codec keeps rows as they are."""
        return [(0, self._copy.all_rows())] if self._copy.layout.codec.lossless else []

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Decoded rows of the copy."""
        return self._copy.rows(positions)

    def _cost(self, n: int) -> dict[str, int]:
        return {**self.inner.cost(n), "refinement": sum(self._copy.cost(n).values())}

    def _allocated(self) -> dict[str, int]:
        return {**self.inner.allocated(), "refinement": sum(self._copy.allocated().values())}

    def _state(self) -> State:
        return nested_state(inner=self.inner.state(), copy=self._copy.state())

    def _restore(self, state: State) -> None:
        restore_nested(state, inner=self.inner.restore, copy=self._copy.restore)
