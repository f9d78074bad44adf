"""The exact scan of a compiled metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nearkin.flat_index import FlatIndex
from nearkin.indexes import Found, Layout, Mask
from nearkin.kernels import Kernel


def kernel_of(layout: Layout) -> Kernel:
    """The compiled metric of a layout that was given to a compiled index."""
    kernel = layout.space.kernel
    assert kernel is not None
    return kernel


class CompiledFlatIndex(FlatIndex):
    """Every row, decoded where the codec is lossy, is compared with every query by a compiled kernel, on nearkin's own threads."""

    def __init__(self, layout: Layout, **params: Any) -> None:
        super().__init__(layout, **params)
        self._threads = 1

    def use_threads(self, threads: int) -> None:
        self._threads = threads

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if not self.layout.codec.lossless:  # block by block, since all rows decoded may not fit into memory
            return super()._search(queries, k, mask, params)
        allowed = None if mask is None else mask.allowed
        return Found(*kernel_of(self.layout).scan(queries, self.all_rows(), k, allowed, self._threads))

    def _values(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return kernel_of(self.layout).pairwise(queries, rows, self._threads)
