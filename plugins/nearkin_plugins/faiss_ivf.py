"""The ivf index: an inverted file of cells around centroids.

Source: J. Sivic and A. Zisserman, "Video Google" (2003); H. Jégou et al., "Product quantization" (2011); faiss IndexIVF.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nearkin.indexes import Layout, Mask, RangeFound
from nearkin.metrics import unit_rows
from nearkin_plugins.cells import CellIndex
from nearkin_plugins.faiss_codecs import ProductQuantizer
from nearkin_plugins.faiss_index import FaissIndex, faiss_metric, with_own_training
from nearkin_plugins.fast_scan import expected_bytes, reserved, table_bytes
from nearkin_plugins.indexes import FAST_SCANS

MOST_TABLE_BYTES = 1 << 31
"""faiss's own limit, `IndexIVFPQ.precomputed_table_max_bytes`."""


class IVFIndex(CellIndex, FaissIndex):
    """Rows in `nlist` cells, each around a centroid; a search scans the `nprobe` cells whose centroids are nearest.

    Parameters
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    """

    def __init__(self, layout: Layout, *, nlist: int | None = None, clusterer: str = "kmeans") -> None:
        super().__init__(layout, nlist=nlist, clusterer=clusterer)
        self.masks = layout.space.dtype != "bits"

    def _make(self, sample: np.ndarray) -> Any:
        """Lists around centroids that a clusterer found, so that faiss trains the codec only."""
        import faiss

        centroids = self._clustered(sample)
        if self._binary:
            quantizer = faiss.IndexBinaryFlat(8 * self.layout.dim)
            index = faiss.IndexBinaryIVF(quantizer, 8 * self.layout.dim, self.nlist)
            index.own_fields = True
            quantizer.this.disown()
        else:
            text = self.layout.codec.native.text if self.layout.codec.native else ""
            metric = faiss_metric(self.layout.space.label)
            index = faiss.index_factory(self.layout.width, f"IVF{self.nlist},{text}", metric)
            with_own_training(index)
        index.quantizer.add(centroids)
        return index

    def cell_sizes(self) -> np.ndarray | None:
        lists = self._inside().invlists
        return np.array([lists.list_size(cell) for cell in range(self.nlist)], dtype=np.int64)

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Under inner product the squared distance is that between directions, since cells are found by these."""
        rows = vectors if self.layout.transform is None else self.layout.transform.apply(vectors)
        rows = unit_rows(rows) if self._negate else rows
        values, cells = self._inside().quantizer.search(np.ascontiguousarray(rows), 1)
        apart = values[:, 0].astype(np.float64)
        return cells[:, 0], np.maximum(0.0, 2.0 - 2.0 * apart) if self._negate else apart

    def centroids(self) -> np.ndarray:
        import faiss

        quantizer = self._inside().quantizer
        if self._binary:
            codes = faiss.vector_to_array(faiss.downcast_IndexBinary(quantizer).xb)
            return np.asarray(codes.reshape(self.nlist, -1))
        return np.asarray(quantizer.reconstruct_n(0, self.nlist))

    def _parameters(self, selector: Any, params: Mapping[str, int]) -> Any:
        import faiss

        return faiss.SearchParametersIVF(nprobe=min(params["nprobe"], self.nlist), sel=selector)

    def _range(
        self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]
    ) -> RangeFound | None:
        if not self.lossless or self._binary:
            return None
        return self._range_of(queries, radius, self._search_parameters(1, mask, params))

    def _cost_base(self, n: int) -> dict[str, int]:
        codec = self.layout.codec
        in_blocks = self._family in FAST_SCANS
        return {
            "codes": expected_bytes(n, self.nlist, codec.code_size) if in_blocks else n * codec.code_size,
            "codebooks": codec.overhead(),
            "tables": self._table_bytes(),
            "ids": 8 * n,
            "centroids": self._centroid_bytes(),
        }

    def _allocated_base(self, index: Any) -> dict[str, int]:
        sizes = self.cell_sizes()
        assert sizes is not None
        codec = self.layout.codec
        in_blocks = self._family in FAST_SCANS
        codes = table_bytes(sizes, codec.code_size) if in_blocks else sizes * codec.code_size
        return {
            "codes": int(codes.sum()),
            "codebooks": codec.overhead(),
            "tables": 4 * _room(index.precomputed_table.size()) if hasattr(index, "precomputed_table") else 0,
            "ids": 8 * int(sizes.sum()),
            "centroids": self._centroid_bytes(),
        }

    @property
    def _family(self) -> str:
        return self.layout.codec.native.family if self.layout.codec.native else ""

    def _table_bytes(self) -> int:
        """What faiss computes ahead for product-quantized residuals under L2: for each cell, the inner products of its centroid
        with every codeword, unless that is too much."""
        codec = self.layout.codec
        if self._family != "pq" or self.layout.space.label != "l2" or not isinstance(codec, ProductQuantizer):
            return 0
        numbers = self.nlist * codec.M * 2**codec.bits
        return 4 * _room(numbers) if 4 * numbers <= MOST_TABLE_BYTES else 0

    def _centroid_bytes(self) -> int:
        return self.nlist * self.layout.width * (1 if self._binary else 4)


def _room(numbers: int) -> int:
    """Numbers that a table for so many has room for."""
    return int(reserved(np.array([numbers]))[0])
