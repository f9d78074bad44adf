"""The flat index: faiss's own scan where it is right, nearkin's numpy scan everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from nearkin.indexes import FlatIndex, Found, Index, Layout, Mask, RangeFound
from nearkin_plugins.faiss_index import FaissIndex, faiss_metric, quiet
from nearkin_plugins.indexes import FAISS_BITS, FAISS_FLOAT, L2_AND_IP

SCANS: Mapping[str, frozenset[str]] = {
    "faiss:flat": FAISS_FLOAT,
    "faiss:sq": L2_AND_IP,
    "faiss:pq": L2_AND_IP,
    "faiss:pqfs": L2_AND_IP,
    "faiss:bits": FAISS_BITS,
}

# faiss answers batches from this size on through BLAS, whose rounding depends on the size of the batch.
BLAS_BATCH = 20

# Ratio of the mean squared norm to the total variance above which that rounding can change who is a neighbour.
FAR = 30.0


def make_flat(layout: Layout) -> Index:
    """A flat index: faiss's where faiss is right for the pair, else nearkin's own, which takes any."""
    native = layout.codec.native
    if native is not None and layout.space.label in SCANS.get(native.label, frozenset()):
        return FaissFlatIndex(layout)
    return FlatIndex(layout)


class FaissFlatIndex(FaissIndex):
    """Exhaustive scan by faiss over float32 rows, scalar or product quantized codes, or packed bits."""

    name = "flat"

    def __init__(self, layout: Layout, **params: Any) -> None:
        super().__init__(layout, **params)
        native = layout.codec.native
        self._family = native.family if native else ""
        self.masks = self._family not in ("pq", "pqfs")
        self._recompute = self._family == "flat" and layout.space.label == "l2"

    def _make(self) -> Any:
        import faiss

        if self._binary:
            return faiss.IndexBinaryFlat(8 * self.layout.dim)
        text = self.layout.codec.native.text if self.layout.codec.native else ""
        index = faiss.index_factory(self.layout.dim, text, faiss_metric(self.layout.space.label))
        quiet(index)
        return index

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if not self._recompute or len(queries) < BLAS_BATCH:
            return super()._search(queries, k, mask, params)
        if self._far_from_origin:
            step = BLAS_BATCH - 1
            parts = [
                super(FaissFlatIndex, self)._search(queries[start : start + step], k, mask, params)
                for start in range(0, len(queries), step)
            ]
            return Found(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        found = super()._search(queries, k, mask, params)
        return self._tidied(found.positions, self._direct_distances(queries, found.positions), len(queries), k)

    def _direct_distances(self, queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Distances by direct subtraction, so that they are the same in every batch and zero for a row and itself."""
        import faiss

        distances = np.full(positions.shape, np.inf, dtype=np.float32)
        self._faiss.compute_distance_subset(
            len(queries),
            faiss.swig_ptr(queries),
            positions.shape[1],
            faiss.swig_ptr(distances),
            faiss.swig_ptr(positions),
        )
        return distances

    @cached_property
    def _far_from_origin(self) -> bool:
        """Whether the rows lie so far from the origin that BLAS would lose their differences in rounding.

        BLAS computes ||q||² - 2 q·x + ||x||² in float32; where the squared norms are much larger than the spread of the
        rows, neighbours would be picked by rounding. Such rows are compared by subtraction, in batches too small for BLAS.
        """
        sample = np.random.default_rng(0).integers(0, self.n, size=min(self.n, 1000))
        rows = self._faiss.reconstruct_batch(sample).astype(np.float64)
        return bool((rows**2).sum(axis=1).mean() > FAR * rows.var(axis=0).sum())

    def _range(
        self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]
    ) -> RangeFound | None:
        if self._family not in ("flat", "bits") or self.layout.refinement is not None or mask is not None:
            return None
        return self._range_of(queries, radius, None)

    def _cost(self, n: int) -> dict[str, int]:
        codec = self.layout.codec
        rows = -(-n // 32) * 32 if self._family == "pqfs" else n  # fast-scan keeps blocks of 32 rows
        return {"codes": rows * codec.code_size, "codebooks": codec.overhead(), **self._refinement_cost(n)}

    def _allocated_base(self, index: Any) -> dict[str, int]:
        if self._family == "pqfs":
            return {"codes": int(index.codes.size()), "codebooks": self.layout.codec.overhead()}
        return {"codes": int(index.ntotal) * int(index.code_size), "codebooks": self.layout.codec.overhead()}
