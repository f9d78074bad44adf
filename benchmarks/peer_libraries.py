"""Other libraries behind one face: built with parameters of a small grid of their own, searched at settings of their own.

Rows and queries come as float32, and of unit length where the metric is cosine, so that no library spends time on scaling.
"""

from __future__ import annotations

import importlib.util
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import sqrt
from typing import Any, ClassVar

import numpy as np

from equal_recall import Setting, hnswlib_bytes

EFFORTS = (10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 320, 400, 512, 800)
"""Candidates that a search of a graph keeps."""

PROBES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 128, 192, 256)
"""Lists that a search of an inverted file reads."""

GRAPHS = ({"M": 16, "ef_construction": 200}, {"M": 32, "ef_construction": 200})


class Peer(ABC):
    """An index of another library, made with one set of build parameters."""

    name: ClassVar[str]
    pip: ClassVar[str]
    module: ClassVar[str]

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.build_seconds = 0.0
        self.dim = 0
        self.n = 0

    @classmethod
    def installed(cls) -> bool:
        """Whether the library is there."""
        return importlib.util.find_spec(cls.module) is not None

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        """Build parameters to try."""
        return ({},)

    @property
    def label(self) -> str:
        """Its name and parameters."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.parameters.items())])

    def build(self, vectors: np.ndarray, metric: str, threads: int) -> None:
        """Build, and keep the seconds that it took."""
        self.n, self.dim = vectors.shape
        self.warm_up(vectors, metric, threads)
        start = time.perf_counter()
        self._build(vectors, metric == "cosine", threads)
        self.build_seconds = time.perf_counter() - start

    def warm_up(self, vectors: np.ndarray, metric: str, threads: int) -> None:
        """Whatever is compiled on first use, before building is timed."""

    @abstractmethod
    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None: ...

    @abstractmethod
    def ladders(self) -> list[list[Setting]]:
        """Settings to try, in each list from the least effort to the most."""

    @abstractmethod
    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        """(nq, k) positions."""

    def allocated(self, setting: Setting) -> int | None:
        """Bytes of the index, if the library says or its formula is known."""
        return None


class Hnswlib(Peer):
    """hnswlib."""

    name, pip, module = "hnswlib", "hnswlib", "hnswlib"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return GRAPHS

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        import hnswlib

        self.threads = threads
        self.index = hnswlib.Index("ip" if cosine else "l2", self.dim)
        self.index.init_index(self.n, random_seed=0, **self.parameters)
        self.index.add_items(vectors, num_threads=threads)

    def ladders(self) -> list[list[Setting]]:
        return [[{"ef": ef} for ef in EFFORTS]]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        self.index.set_ef(setting["ef"])
        return self.index.knn_query(queries, k, num_threads=self.threads)[0]

    def allocated(self, setting: Setting) -> int:
        return hnswlib_bytes(self.n, self.dim, self.parameters["M"])


class Usearch(Peer):
    """usearch, over float32 and float16."""

    name, pip, module = "usearch", "usearch", "usearch"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return tuple({"connectivity": M, "dtype": dtype} for M in (16, 32) for dtype in ("f32", "f16"))

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        from usearch.index import Index

        self.threads = threads
        self.index = Index(ndim=self.dim, metric="ip" if cosine else "l2sq", expansion_add=200, **self.parameters)
        self.index.add(np.arange(self.n), vectors, threads=threads)

    def ladders(self) -> list[list[Setting]]:
        return [[{"expansion": ef} for ef in EFFORTS]]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        self.index.expansion_search = setting["expansion"]
        return np.asarray(self.index.search(queries, k, threads=self.threads).keys)

    def allocated(self, setting: Setting) -> int:
        return int(self.index.serialized_length)  # what its `memory_usage` says holds reserves of a hundred times that


class Voyager(Peer):
    """voyager, over float32 and 8-bit floats."""

    name, pip, module = "voyager", "voyager", "voyager"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return (
            {**GRAPHS[0], "storage": "Float32"},
            {**GRAPHS[1], "storage": "Float32"},
            {**GRAPHS[0], "storage": "E4M3"},
        )

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        import voyager

        self.threads = threads
        parameters = dict(self.parameters)
        self.index = voyager.Index(
            voyager.Space.Cosine if cosine else voyager.Space.Euclidean,
            num_dimensions=self.dim,
            max_elements=self.n,
            random_seed=0,
            storage_data_type=getattr(voyager.StorageDataType, parameters.pop("storage")),
            **parameters,
        )
        self.index.add_items(vectors, num_threads=threads)

    def ladders(self) -> list[list[Setting]]:
        return [[{"query_ef": ef} for ef in EFFORTS]]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        return self.index.query(queries, k, num_threads=self.threads, query_ef=setting["query_ef"])[0]

    def allocated(self, setting: Setting) -> int:
        of_links = hnswlib_bytes(self.n, 0, self.parameters["M"])  # voyager is made of hnswlib
        return of_links + self.n * self.dim * (4 if self.parameters["storage"] == "Float32" else 1)


class Scann(Peer):
    """ScaNN: a tree, 4-bit codes of two columns each, and re-ranking on float32."""

    name, pip, module = "ScaNN", "scann", "scann"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            {"leaves": round(factor * sqrt(n)), "threshold": threshold}
            for factor in (1, 2)
            for threshold in ("nan", "0.2")
        )

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        from scann import scann_ops_pybind

        builder = scann_ops_pybind.builder(vectors, 10, "dot_product" if cosine else "squared_l2")
        leaves = self.parameters["leaves"]
        builder = builder.tree(
            num_leaves=leaves, num_leaves_to_search=min(leaves, 32), training_sample_size=min(self.n, 250_000)
        )
        builder = builder.score_ah(2, anisotropic_quantization_threshold=float(self.parameters["threshold"]))
        self.index = builder.reorder(100).set_n_training_threads(threads).build()
        self.index.set_num_threads(threads)

    def ladders(self) -> list[list[Setting]]:
        leaves = [each for each in PROBES if each <= self.parameters["leaves"]]
        return [
            [{"searched": n, "reorder": depth} for n in leaves] for depth in (15, 20, 30, 40, 60, 80, 120, 200, 300)
        ]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        return self.index.search_batched_parallel(queries, k, setting["reorder"], setting["searched"])[0]


class Svs(Peer):
    """Intel's SVS: a Vamana graph over float32 and float16 (its LVQ and LeanVec end the process on other processors)."""

    name, pip, module = "SVS", "scalable-vs", "svs"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return tuple({"degree": degree, "dtype": dtype} for degree in (32, 64) for dtype in ("float32", "float16"))

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        import svs

        parameters = svs.VamanaBuildParameters(
            alpha=0.95 if cosine else 1.2, graph_max_degree=self.parameters["degree"], window_size=128
        )
        self.index = svs.Vamana.build(
            parameters,
            vectors.astype(self.parameters["dtype"]),
            svs.DistanceType.MIP if cosine else svs.DistanceType.L2,
            num_threads=threads,
        )
        self.index.num_threads = threads

    def ladders(self) -> list[list[Setting]]:
        return [[{"window": ef} for ef in EFFORTS]]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        self.index.search_window_size = setting["window"]
        return self.index.search(queries, k)[0]

    def allocated(self, setting: Setting) -> int:
        row = self.dim * np.dtype(self.parameters["dtype"]).itemsize
        return self.n * (row + 4 * (self.parameters["degree"] + 1))


class Pynndescent(Peer):
    """pynndescent."""

    name, pip, module = "pynndescent", "pynndescent", "pynndescent"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return ({"n_neighbors": 30}, {"n_neighbors": 60})

    def warm_up(self, vectors: np.ndarray, metric: str, threads: int) -> None:
        few = Pynndescent(n_neighbors=10)
        few._build(vectors[:1000], metric == "cosine", threads)
        few.search(vectors[:100], 10, {"epsilon": 0.1})

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        import numba
        import pynndescent

        self.threads = threads
        numba.set_num_threads(threads)
        self.index = pynndescent.NNDescent(
            vectors,
            metric="dot" if cosine else "euclidean",
            n_jobs=threads,
            random_state=0,
            parallel_batch_queries=True,
            **self.parameters,
        )
        self.index.prepare()

    def ladders(self) -> list[list[Setting]]:
        steps = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.35, 0.4)
        return [[{"epsilon": step} for step in steps]]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        return self.index.query(queries, k, epsilon=setting["epsilon"])[0]


class FaissHNSW(Peer):
    """faiss's HNSW over float32."""

    name, pip, module = "faiss HNSW", "faiss-cpu", "faiss"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        return GRAPHS

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(
            self.dim, self.parameters["M"], faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
        )
        self.threads = threads
        self.index.hnsw.efConstruction = self.parameters["ef_construction"]
        self.index.add(vectors)

    def ladders(self) -> list[list[Setting]]:
        return [[{"efSearch": ef} for ef in EFFORTS]]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        self.index.hnsw.efSearch = setting["efSearch"]
        return self.index.search(queries, k)[1]

    def allocated(self, setting: Setting) -> int:
        import faiss

        sizes = [faiss.vector_to_array(each).nbytes for each in (self.index.hnsw.neighbors, self.index.hnsw.offsets)]
        return sum(sizes) + 4 * self.n * (self.dim + 1)


REFINEMENTS = {"SQfp16": 2, "SQ8": 1, "Flat": 4}
"""Copies to re-rank on, with their bytes a column."""


class FaissGrid(Peer):
    """faiss's IVF of 4-bit fast-scan codes, re-ranked on float16, 8-bit or float32 copies: the plan that led by hand."""

    name, pip, module = "faiss IVF,PQx4fs,Refine", "faiss-cpu", "faiss"

    @classmethod
    def variants(cls, n: int, dim: int) -> tuple[Mapping[str, Any], ...]:
        sizes = [dim // part for part in (2, 4, 8) if dim % (dim // part) == 0]
        return tuple({"nlist": round(f * sqrt(n)), "M": M} for f in (1, 0.5, 2) for M in sizes)

    def _build(self, vectors: np.ndarray, cosine: bool, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.threads = threads
        metric = faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2
        factory = f"IVF{self.parameters['nlist']},PQ{self.parameters['M']}x4fs"
        self.scan = faiss.index_factory(self.dim, factory, metric)
        self.scan.train(vectors)
        self.scan.add(vectors)
        self.refined = {"Flat": faiss.IndexRefineFlat(self.scan, faiss.swig_ptr(vectors))}
        for name in ("SQfp16", "SQ8"):
            copy = faiss.index_factory(self.dim, name, metric)
            copy.train(vectors)
            copy.add(vectors)
            self.refined[name] = faiss.IndexRefine(self.scan, copy)

    def ladders(self) -> list[list[Setting]]:
        probes = [each for each in PROBES if each <= self.parameters["nlist"]]
        return [
            [{"refine": name, "k_factor": factor, "nprobe": nprobe} for nprobe in probes]
            for name in REFINEMENTS
            for factor in (1.5, 2, 3, 4, 6, 8, 12, 16, 24)
        ]

    def search(self, queries: np.ndarray, k: int, setting: Setting) -> np.ndarray:
        import faiss

        faiss.omp_set_num_threads(self.threads)
        index = self.refined[setting["refine"]]
        index.k_factor = setting["k_factor"]
        self.scan.nprobe = setting["nprobe"]
        return index.search(queries, k)[1]

    def allocated(self, setting: Setting) -> int:
        lists = self.scan.invlists
        in_lists = sum(
            -(-lists.list_size(each) // 32) * 32 * self.scan.code_size + 8 * lists.list_size(each)
            for each in range(self.scan.nlist)
        )
        tables = 4 * self.dim * (self.scan.nlist + 16)
        return in_lists + tables + self.n * self.dim * REFINEMENTS[setting["refine"]]


LIBRARIES: tuple[type[Peer], ...] = (Hnswlib, Usearch, Voyager, Scann, Svs, Pynndescent, FaissHNSW)
"""What others use."""

PEERS: tuple[type[Peer], ...] = (*LIBRARIES, FaissGrid)


def unit(rows: np.ndarray, metric: str) -> np.ndarray:
    """Rows as the peers take them: of unit length for cosine. A copy, since some refuse what is read-only."""
    rows = np.array(rows, dtype=np.float32, order="C")
    if metric == "cosine":
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-30))
    return rows
