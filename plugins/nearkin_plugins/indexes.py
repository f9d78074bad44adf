"""Indexes over faiss: flat, ivf, hnsw, and the escape to a raw faiss factory string.

The tables of what each is right with come from running every combination against brute force (tests/plugins): faiss itself
accepts pairs that answer another metric, or abort the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nearkin.errors import ParameterError
from nearkin.hooks import IndexSpec, hookimpl

L2_AND_IP = frozenset({"l2", "inner-product"})
FAISS_FLOAT = L2_AND_IP | {"faiss:METRIC_L1", "faiss:METRIC_Linf"}
FAISS_BITS = frozenset({"faiss:METRIC_Hamming"})
COMPILED = frozenset({"kernel"})
CENTROIDS = ("auto", "mean", "spherical", "median", "medoid")
SURROGATE_SPACES = ("auto", "l2", "cosine", "root", "linear", "landmarks")
FLAT_SCANS: Mapping[str, frozenset[str]] = {
    "faiss:flat": FAISS_FLOAT,
    "faiss:sq": L2_AND_IP,
    "faiss:pq": L2_AND_IP,
    "faiss:pqfs": L2_AND_IP,
    "faiss:rabitq": L2_AND_IP,
    "faiss:bits": FAISS_BITS,
}
FAST_SCANS = frozenset({"pqfs", "rabitq"})
"""Families of codecs that faiss keeps in blocks of 32 rows."""

REFINES: Mapping[str, frozenset[str]] = {"faiss:flat": L2_AND_IP, "faiss:sq": L2_AND_IP}


@dataclass(frozen=True)
class IVFParams:
    """Options of ivf.

    Attributes
    ----------
    nlist
        Cells; left out, the square root of the number of rows.
    clusterer
        What finds the centroids of the cells.
    centroids
        Under a compiled metric, what stands for a cell: ``mean``, ``spherical``, ``median``, ``medoid`` (one of its rows), or
        ``auto`` for the one whose rows come out nearest on a sample. Packed bits know ``median`` (the majority) and ``medoid``.
    prune
        Under a compiled metric that declares ``symmetric`` and ``triangle``, skip rows of the probed cells that the triangle
        inequality rules out. The answers are the same, ties apart. Faster where rows vary in few directions; where they vary in
        many, distances are too alike to rule anything out, and it costs time and 4 bytes a row.
    """

    nlist: int | None = None
    clusterer: str = "kmeans"
    centroids: str = "auto"
    prune: bool = False

    def __post_init__(self) -> None:
        if self.nlist is not None and self.nlist < 1:
            raise ParameterError(f"ivf has nlist={self.nlist}, at least 1 expected")
        if self.centroids not in CENTROIDS:
            raise ParameterError(f"ivf has centroids={self.centroids!r}, one of {', '.join(CENTROIDS)} expected")


@dataclass(frozen=True)
class HNSWParams:
    """Options of hnsw.

    Attributes
    ----------
    M
        Neighbours of each row in the graph; twice as many on its ground level.
    ef_construction
        Candidates looked at when a row is linked in.
    """

    M: int = 32
    ef_construction: int = 100

    def __post_init__(self) -> None:
        if not 2 <= self.M <= 512:
            raise ParameterError(f"hnsw has M={self.M}, 2 to 512 expected")
        if self.ef_construction < 1:
            raise ParameterError(f"hnsw has ef_construction={self.ef_construction}, at least 1 expected")


@dataclass(frozen=True)
class SurrogateParams:
    """Options of surrogate.

    Attributes
    ----------
    space
        Where candidates are looked for: ``l2`` and ``cosine`` of the rows, ``root`` (of the values), ``linear`` (a map fitted to
        the metric), ``landmarks`` (distances to some rows, for any dissimilarity), or ``auto`` for the one that needs the
        fewest candidates on a sample. Packed bits know all but ``root``.
    recall
        Recall@10 that ``nprobe`` (or ``ef_search``) and ``rerank`` are set for, with rows as queries.
    """

    space: str = "auto"
    recall: float = 0.95

    def __post_init__(self) -> None:
        if self.space not in SURROGATE_SPACES:
            raise ParameterError(f"surrogate has space={self.space!r}, one of {', '.join(SURROGATE_SPACES)} expected")
        if not 0 < self.recall < 1:
            raise ParameterError(f"surrogate has recall={self.recall:g}, a number between 0 and 1 expected")


@dataclass(frozen=True)
class FactoryParams:
    """A faiss factory string, as faiss reads it."""

    factory: str


@hookimpl
def nearkin_indexes() -> Iterable[IndexSpec]:
    return [
        IndexSpec(
            name="flat",
            summary="every row is compared: exact, no training, any metric and codec",
            make="nearkin_plugins.faiss_flat:make_flat",
            accepts={**FLAT_SCANS, "decoded": frozenset({"pairwise"})},
            refines=REFINES,
            transforms=True,
            exact=True,
            suggests=("flat", "flat,pq,refine-f16", "flat,int8"),
        ),
        IndexSpec(
            name="ivf",
            summary="rows in cells around centroids: a search looks into the nprobe nearest cells",
            make="nearkin_plugins.compiled_ivf:make_ivf",
            params=IVFParams,
            shorthand=("nlist",),
            accepts={
                "faiss:flat": FAISS_FLOAT | COMPILED,
                "faiss:sq": L2_AND_IP,
                "faiss:pq": L2_AND_IP,
                "faiss:pqfs": L2_AND_IP,
                "faiss:rabitq": L2_AND_IP,
                "faiss:bits": FAISS_BITS | COMPILED,
                "decoded": L2_AND_IP,
            },
            refines=REFINES,
            transforms=True,
            examples=({}, {"nlist": 4}),
            suggests=("ivf,pq,refine-f16", "ivf,pq,refine-int8", "ivf,int8", "ivf"),
            scales={"nlist": (0.5, 2.0)},
        ),
        IndexSpec(
            name="hnsw",
            summary="a graph of near rows, searched greedily with ef_search candidates",
            make="nearkin_plugins.faiss_hnsw:HNSWIndex",
            params=HNSWParams,
            shorthand=("M",),
            accepts={
                "faiss:flat": FAISS_FLOAT,
                "faiss:sq": L2_AND_IP,
                "faiss:pq": frozenset({"l2"}),  # faiss walks the graph by L2 whatever metric is asked
                "faiss:pqfs": frozenset({"l2"}),
                "faiss:bits": FAISS_BITS,
            },
            refines=REFINES,
            transforms=True,
            examples=({}, {"M": 8}),
            suggests=("hnsw16,int8", "hnsw16", "hnsw,int8"),
            scales={"M": (0.5, 2.0)},
        ),
        IndexSpec(
            name="surrogate",
            summary="candidates from another index in a space close to the metric, ranked again by the metric itself",
            make="nearkin_plugins.surrogate:SurrogateIndex",
            params=SurrogateParams,
            accepts={"decoded": frozenset({"pairwise"})},
            inner="ivf,pq",
            suggests=("surrogate",),
            examples=({"space": "l2"}, {"space": "linear"}, {"space": "landmarks"}),
        ),
        IndexSpec(
            name="faiss",
            summary="a raw faiss factory string, tried in a process of its own first",
            make="nearkin_plugins.faiss_factory:FactoryIndex",
            params=FactoryParams,
            accepts={"faiss:flat": L2_AND_IP},
            examples=({"factory": "IVF4,Flat"},),
        ),
    ]
