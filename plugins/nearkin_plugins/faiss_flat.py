"""The flat index: faiss's own scan where it is right, nearkin's own scans everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nearkin.flat_index import FlatIndex
from nearkin.indexes import Found, Index, Layout, Mask, RangeFound
from nearkin_plugins.compiled_flat import CompiledFlatIndex
from nearkin_plugins.decoded_scan import DecodedFlatIndex
from nearkin_plugins.faiss_exact_l2 import search_l2
from nearkin_plugins.faiss_index import FaissIndex, faiss_metric, with_own_training
from nearkin_plugins.fast_scan import expected_bytes, table_bytes
from nearkin_plugins.indexes import FAST_SCANS, FLAT_SCANS, L2_AND_IP


def make_flat(layout: Layout) -> Index:
    """A flat index: faiss's where faiss is right for the pair, a compiled one for kernels, else nearkin's own, which takes any."""
    native = layout.codec.native
    if native is not None and layout.space.label in FLAT_SCANS.get(native.label, frozenset()):
        return FaissFlatIndex(layout)
    if layout.space.label in L2_AND_IP and not layout.codec.lossless:
        return DecodedFlatIndex(layout)
    if layout.space.compiled is not None:
        return CompiledFlatIndex(layout)
    return FlatIndex(layout)


class FaissFlatIndex(FaissIndex):
    """Exhaustive scan by faiss over float32 rows, scalar or product quantized codes, or packed bits."""

    name = "flat"
    rows_apart = True

    def __init__(self, layout: Layout, **params: Any) -> None:
        super().__init__(layout, **params)
        native = layout.codec.native
        self._family = native.family if native else ""
        self.masks = self._family not in ("pq", "pqfs", "rabitq")
        self._plain_l2 = self._family == "flat" and layout.space.label == "l2" and self._bare
        self._kernel = layout.space.compiled if self._family == "flat" else None
        self._threads = 1

    def use_threads(self, threads: int) -> None:
        self._threads = threads
        super().use_threads(threads)

    @property
    def _bare(self) -> bool:
        return self.layout.refinement is None and self.layout.transform is None

    def _make(self, sample: np.ndarray) -> Any:
        import faiss

        if self._binary:
            return faiss.IndexBinaryFlat(8 * self.layout.dim)
        text = self.layout.codec.native.text if self.layout.codec.native else ""
        index = faiss.index_factory(self.layout.width, text, faiss_metric(self.layout.space.label))
        with_own_training(index)
        return index

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if self._plain_l2:
            return self._found(*search_l2(self._faiss, queries, k, self._search_parameters(k, mask, params)))
        if self._kernel is not None:  # over faiss's own rows, so that what is saved does not depend on a compiler
            allowed = None if mask is None else mask.allowed
            found = self._kernel.scan(queries, self._stored_rows(), k, allowed, self._threads)
            return self._tidied(*found, len(queries), k)
        return super()._search(queries, k, mask, params)

    def _stored_rows(self) -> np.ndarray:
        """(n, dim) rows where faiss keeps them."""
        import faiss

        values = faiss.rev_swig_ptr(self._faiss.get_xb(), self.n * self.layout.dim)
        return np.asarray(values).reshape(self.n, self.layout.dim)

    def _range(
        self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]
    ) -> RangeFound | None:
        if self._family not in ("flat", "bits") or not self._bare or mask is not None:
            return None
        return self._range_of(queries, radius, None)

    def _cost_base(self, n: int) -> dict[str, int]:
        codec = self.layout.codec
        in_blocks = self._family in FAST_SCANS
        codes = expected_bytes(n, 1, codec.code_size) if in_blocks else n * codec.code_size
        return {"codes": codes, "codebooks": codec.overhead()}

    def _allocated_base(self, index: Any) -> dict[str, int]:
        if self._family in FAST_SCANS:
            codes = table_bytes(np.array([index.ntotal]), self.layout.codec.code_size)
            return {"codes": int(codes[0]), "codebooks": self.layout.codec.overhead()}
        return {"codes": int(index.ntotal) * int(index.code_size), "codebooks": self.layout.codec.overhead()}
