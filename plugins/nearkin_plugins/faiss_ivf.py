"""The ivf index: an inverted file of cells around centroids.

Source: J. Sivic and A. Zisserman, "Video Google" (2003); H. Jégou et al., "Product quantization" (2011); faiss IndexIVF.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nearkin.centroids import Lloyd
from nearkin.indexes import Layout, Mask, RangeFound
from nearkin.search_parameters import SearchParameter
from nearkin_plugins.cells import NPROBE, need_rows_for_cells, usual_nlist, usual_nprobe
from nearkin_plugins.faiss_index import FaissIndex, cell_centroids, faiss_metric, quiet
from nearkin_plugins.indexes import FAST_SCANS

ROWS_PER_CENTROID = 100
"""Training on more rows a cell hardly places the centroids better: on 300,000 SIFT rows in 1,024 cells, 256 a cell and twenty
iterations took six times as long as 100 and ten, and recall@10 at nprobe 32 was 0.963 instead of 0.961."""


def rows_for_centroids(nlist: int) -> int:
    """Rows that so many centroids are found in."""
    return ROWS_PER_CENTROID * nlist


class IVFIndex(FaissIndex):
    """Rows in `nlist` cells, each around a centroid; a search scans the `nprobe` cells whose centroids are nearest.

    Parameters
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    """

    name = "ivf"
    search_params: ClassVar[Mapping[str, SearchParameter]] = NPROBE

    def __init__(self, layout: Layout, *, nlist: int | None = None, clusterer: str = "kmeans") -> None:
        super().__init__(layout)
        self.nlist = nlist or usual_nlist(layout.rows)
        self._options = "" if clusterer == "kmeans" else f":clusterer={clusterer}"
        self.masks = layout.space.dtype != "bits"

    @property
    def label(self) -> str:
        return f"ivf{self.nlist}{self._options}"

    def train_rows(self) -> int:
        return max(self.nlist, super().train_rows())

    def sample_rows(self, n: int) -> int:
        return min(n, max(super().sample_rows(n), rows_for_centroids(self.nlist)))

    def search_defaults(self, n: int) -> dict[str, int]:
        return {"nprobe": usual_nprobe(self.nlist)}

    def check_rows_suffice(self, n: int) -> None:
        need_rows_for_cells(self.nlist, n)
        super().check_rows_suffice(n)

    def _make(self, sample: np.ndarray) -> Any:
        """Lists around centroids that a clusterer found, so that faiss trains the codec only."""
        import faiss

        centroids = cell_centroids(self.layout.clusterer or Lloyd(), self._some(sample), self.nlist, self.layout)
        if self._binary:
            quantizer = faiss.IndexBinaryFlat(8 * self.layout.dim)
            index = faiss.IndexBinaryIVF(quantizer, 8 * self.layout.dim, self.nlist)
            index.own_fields = True
            quantizer.this.disown()
        else:
            text = self.layout.codec.native.text if self.layout.codec.native else ""
            metric = faiss_metric(self.layout.space.label)
            index = faiss.index_factory(self.layout.width, f"IVF{self.nlist},{text}", metric)
            quiet(index)
        index.quantizer.add(centroids)
        return index

    def _some(self, vectors: np.ndarray) -> np.ndarray:
        """At random and not the first ones: rows often come sorted, and cells are wanted wherever there are rows."""
        most = rows_for_centroids(self.nlist)
        if len(vectors) <= most:
            return vectors
        chosen = np.random.default_rng(self.layout.seed).choice(len(vectors), most, replace=False)
        return vectors[np.sort(chosen)]

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
        rows = n
        if codec.native and codec.native.family in FAST_SCANS:  # half a block is empty in each cell
            rows = n + 16 * min(self.nlist, n)
        return {
            "codes": rows * codec.code_size,
            "codebooks": codec.overhead(),
            "ids": 8 * n,
            "centroids": self._centroid_bytes(),
        }

    def _allocated_base(self, index: Any) -> dict[str, int]:
        lists = index.invlists
        sizes = np.array([lists.list_size(cell) for cell in range(self.nlist)], dtype=np.int64)
        codec = self.layout.codec
        rows = sizes
        if codec.native and codec.native.family in FAST_SCANS:
            rows = -(-sizes // 32) * 32
        return {
            "codes": int(rows.sum()) * codec.code_size,
            "codebooks": codec.overhead(),
            "ids": 8 * int(sizes.sum()),
            "centroids": self._centroid_bytes(),
        }

    def _centroid_bytes(self) -> int:
        return self.nlist * self.layout.width * (1 if self._binary else 4)
