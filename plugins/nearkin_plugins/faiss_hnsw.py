"""The hnsw index: a hierarchy of graphs over the rows.

Source: Y. Malkov and D. Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable
small world graphs" (2018); faiss IndexHNSW.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nearkin.indexes import Found, Layout, Mask, masked_by_growing
from nearkin.search_parameters import SearchParameter
from nearkin_plugins.faiss_exact_l2 import search_l2
from nearkin_plugins.faiss_index import (
    FaissIndex,
    after_transform,
    base_of,
    faiss_metric,
    refine_parameters,
    with_own_training,
)


class HNSWIndex(FaissIndex):
    """Each row knows M near rows; a search walks from row to row towards the query, keeping `ef_search` candidates.

    Built on several threads, two builds of the same rows may differ in a few links.

    Parameters
    ----------
    M
        Links of a row on each upper level, 2 M on the ground level.
    ef_construction
        Candidates looked at when a row is linked in.
    """

    name = "hnsw"
    search_params: ClassVar[Mapping[str, SearchParameter]] = {
        "ef_search": SearchParameter("candidates kept while walking the graph; more find more and take longer")
    }

    def __init__(self, layout: Layout, *, M: int = 32, ef_construction: int = 100) -> None:
        super().__init__(layout)
        self.M = M
        self.ef_construction = ef_construction

    @property
    def label(self) -> str:
        options = "" if self.ef_construction == 100 else f":ef_construction={self.ef_construction}"
        return f"hnsw{self.M}{options}"

    def search_defaults(self, n: int) -> dict[str, int]:
        return {"ef_search": 64}

    def _make(self, sample: np.ndarray) -> Any:
        import faiss

        if self._binary:
            index = faiss.IndexBinaryHNSW(8 * self.layout.dim, self.M)
        else:
            # The graph reads single codes, which fast-scan's blocks do not give: 4-bit codes in plain order serve it.
            text = (self.layout.codec.native.text if self.layout.codec.native else "").replace("x4fs", "x4np")
            metric = faiss_metric(self.layout.space.label)
            index = faiss.index_factory(self.layout.width, f"HNSW{self.M},{text}", metric)
            with_own_training(faiss.downcast_index(index.storage))
        index.hnsw.efConstruction = self.ef_construction
        return index

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        """Walk the graph, or scan the rows where that is no more work and certain to find everything.

        A walk that keeps as many candidates as there are rows looks at all that it can reach, and a graph may leave some rows
        unreachable; and a mask that allows few rows leaves a walk without stepping stones.
        """
        kept = self._kept(k, params)
        if kept < self.n and (mask is None or mask.count > kept * self.M):
            return super()._search(queries, k, mask, {**params, "ef_search": kept})
        return self._scan(queries, k, mask, params)

    def _kept(self, k: int, params: Mapping[str, int]) -> int:
        """Candidates that a walk keeps; with fewer than it must return, it would return too few."""
        return max(params["ef_search"], k, params.get("rerank", 0))

    def _scan(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        import faiss

        native = self.layout.codec.native
        if mask is not None and native is not None and native.family in ("pq", "pqfs"):
            return masked_by_growing(lambda ask: self._scan(queries, ask, None, params), k, mask, self.n)
        graph = base_of(self._faiss) if self.layout.refinement else self._faiss
        parameters = None if mask is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(mask.packed))
        if self.layout.transform is None:
            rows = graph.storage
        else:
            rows = faiss.IndexPreTransform(graph.chain.at(0), after_transform(graph).storage)
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        if self.layout.refinement:
            rows = faiss.IndexRefine(rows, self._faiss.refine_index)
            parameters = refine_parameters(k, min(self.n, max(k, params["rerank"])), parameters)
        elif self.lossless and self.layout.space.label == "l2":
            return self._found(*search_l2(faiss.downcast_index(rows), queries, k, parameters))
        distances, positions = rows.search(queries, k, params=parameters)
        return self._found(distances, positions)

    def _parameters(self, selector: Any, params: Mapping[str, int]) -> Any:
        import faiss

        return faiss.SearchParametersHNSW(efSearch=params["ef_search"], sel=selector)

    def _cost_base(self, n: int) -> dict[str, int]:
        codec = self.layout.codec
        # A row reaches level l with probability M**-l: 2 M links below, M on each of 1 / (M - 1) upper levels on average;
        # besides, an offset of 8 bytes and a level of 4.
        links = 2 * self.M + self.M / (self.M - 1)
        return {
            "codes": n * codec.code_size,
            "codebooks": codec.overhead(),
            "graph": round(n * (4 * links + 12)),
        }

    def _allocated_base(self, index: Any) -> dict[str, int]:
        graph = index.hnsw
        return {
            "codes": self.n * self.layout.codec.code_size,
            "codebooks": self.layout.codec.overhead(),
            "graph": 4 * int(graph.neighbors.size()) + 8 * int(graph.offsets.size()) + 4 * int(graph.levels.size()),
        }
