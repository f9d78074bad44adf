"""An index over transformed rows, for indexes that do not apply a transform in their own library (`IndexSpec.transforms`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nearkin.errors import ParameterError
from nearkin.indexes import Found, Index, Layout, Mask, RangeFound
from nearkin.search_parameters import SearchParameter
from nearkin.state import State, nested_state, restore_nested


class TransformedIndex(Index):
    """Rows and queries go through `layout.transform` on their way into another index.

    Parameters
    ----------
    inner
        The index over the transformed rows; its layout has no transform.
    """

    name = "transformed"

    def __init__(self, layout: Layout, inner: Index) -> None:
        if layout.transform is None:
            raise ParameterError("a transformed index needs a transform in its layout")
        super().__init__(layout)
        self._transform = layout.transform
        self.inner = inner
        self.rows_apart = inner.rows_apart

    @property
    def label(self) -> str:
        return self.inner.label

    @property
    def knobs(self) -> dict[str, SearchParameter]:
        return self.inner.knobs

    def train_rows(self) -> int:
        return max(self.inner.train_rows(), self._transform.train_rows)

    def sample_rows(self, n: int) -> int:
        return self.inner.sample_rows(n)

    def check_rows_suffice(self, n: int) -> None:
        self.inner.check_rows_suffice(n)
        super().check_rows_suffice(n)

    def search_defaults(self, n: int) -> dict[str, int]:
        return self.inner.search_defaults(n)

    def cell_sizes(self) -> np.ndarray | None:
        return self.inner.cell_sizes()

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return None if self.inner.cell_sizes() is None else self.inner.assigned(self._transform.apply(vectors))

    def use_threads(self, threads: int) -> None:
        self.inner.use_threads(threads)

    def _train(self, vectors: np.ndarray) -> None:
        self._transform.train(vectors, space=self.layout.space, codec=self.layout.codec, seed=self.layout.seed)
        self.inner.train(self._transform.apply(vectors))

    def _add(self, vectors: np.ndarray) -> None:
        self.inner.add(self._transform.apply(vectors))

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        return self.inner.search(self._transform.apply(queries), k, mask=mask, params=params)

    def _range(
        self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]
    ) -> RangeFound | None:
        return self.inner.range_search(self._transform.apply(queries), radius, mask=mask, params=params)

    def _cost(self, n: int) -> dict[str, int]:
        return {**self.inner.cost(n), "transform": self._transform.cost()}

    def _allocated(self) -> dict[str, int]:
        return {**self.inner.allocated(), "transform": self._transform.cost()}

    def _state(self) -> State:
        return nested_state(transform=self._transform.state(), inner=self.inner.state())

    def _restore(self, state: State) -> None:
        restore_nested(state, transform=self._transform.restore, inner=self.inner.restore)
