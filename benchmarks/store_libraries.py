"""Stores of vectors with metadata on disk, each set up as its documentation recommends; ids and metadata are those of `Stock`."""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import nearkin as nk
from equal_recall import K
from stored_rows import Condition, Stock, quoted

Setting = Mapping[str, int]
Found = Sequence[Sequence[Any]]
"""Ids of each query's neighbours."""

EFFORTS = (10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000)
PROBES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 245)


class Store(ABC):
    """A store in a folder, made for some rows."""

    name: ClassVar[str]
    pip: ClassVar[str]
    module: ClassVar[str]
    exact: ClassVar[bool] = False

    def __init__(self, path: Path, rows: Stock, threads: int, recall: float) -> None:
        self.path = path
        self.rows = rows
        self.dim = rows.vectors.shape[1]
        self.threads = threads
        self.recall = recall

    @classmethod
    def installed(cls) -> bool:
        """Whether the library is there."""
        return importlib.util.find_spec(cls.module) is not None

    @abstractmethod
    def create(self) -> None:
        """Make it, empty and open."""

    def largest_batch(self) -> int:
        """Rows that are best added at once."""
        return 10_000

    @abstractmethod
    def add(self, vectors: np.ndarray, ids: list[str], metadata: list[dict[str, Any]]) -> None:
        """Add rows."""

    def finish(self) -> None:
        """Build the indexes that are not kept while rows are added."""

    @abstractmethod
    def open(self) -> None:
        """Open it again."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def ladder(self) -> list[Setting]:
        """Settings of a search, from the least effort to the most."""
        return [{}]

    @abstractmethod
    def search(self, queries: np.ndarray, where: Condition | None, setting: Setting) -> Found:
        """The 10 nearest ids of each query."""

    def position(self, given: Any) -> int:
        """Position of an id."""
        return int(str(given).removeprefix("row-"))


class Nearkin(Store):
    """nearkin: durable adds, an index on the field of the filters, and the plan that it chooses itself for the recall."""

    name, pip, module = "nearkin", "nearkin", "nearkin"

    def create(self) -> None:
        self.mine = nk.create(self.path / "rows", dim=self.dim, metric=self.rows.metric, threads=self.threads)
        self.mine.index_field("bucket")

    def add(self, vectors: np.ndarray, ids: list[str], metadata: list[dict[str, Any]]) -> None:
        self.mine.add(vectors, ids, metadata=metadata)

    def finish(self) -> None:
        self.mine.close()
        self._build(recall=self.recall)

    def _build(self, **given: Any) -> None:
        with nk.build_folder(
            self.rows.blocks,
            self.path / "rows",
            metric=self.rows.metric,
            seed=0,
            threads=self.threads,
            overwrite=True,
            **given,
        ) as mine:
            mine.index_field("bucket")

    def open(self) -> None:
        self.mine = nk.open(self.path / "rows", readonly=True, threads=self.threads)

    def close(self) -> None:
        self.mine.close()

    def search(self, queries: np.ndarray, where: Condition | None, setting: Setting) -> Found:
        found: Found = self.mine.search(queries, K, where=None if where is None else str(where)).ids
        return found


class NearkinFlat(Nearkin):
    """nearkin without an index of the vectors: durable adds, an index on the field of the filters, exact answers."""

    name, exact = "nearkin flat", True

    def finish(self) -> None:
        """Rows are compared as they are."""


class Chroma(Store):
    """Chroma: PersistentClient, its HNSW (M 16, ef_construction 100) kept up while rows are added, ef_search as needed."""

    name, pip, module = "Chroma", "chromadb", "chromadb"

    def create(self) -> None:
        self._connect()
        self.table = self.client.create_collection(
            "rows",
            configuration={"hnsw": {"space": self.rows.metric, "num_threads": self.threads}},
            embedding_function=None,
        )

    def _connect(self) -> None:
        import chromadb
        from chromadb.config import Settings

        self.effort: int | None = None
        self.client = chromadb.PersistentClient(str(self.path), settings=Settings(anonymized_telemetry=False))

    def largest_batch(self) -> int:
        return int(self.client.get_max_batch_size())

    def add(self, vectors: np.ndarray, ids: list[str], metadata: list[dict[str, Any]]) -> None:
        self.table.add(ids=ids, embeddings=vectors, metadatas=metadata)

    def open(self) -> None:
        self._connect()
        self.table = self.client.get_collection("rows", embedding_function=None)

    def close(self) -> None:
        self.client.close()

    def ladder(self) -> list[Setting]:
        return [{"ef_search": each} for each in EFFORTS]

    def search(self, queries: np.ndarray, where: Condition | None, setting: Setting) -> Found:
        if self.effort != setting["ef_search"]:  # which counts from the next opening on
            self.table.modify(configuration={"hnsw": setting})
            self.close()
            self.open()
            self.effort = setting["ef_search"]
        condition = None
        if where is not None:
            condition = {where.field: {{"=": "$eq", "<": "$lt"}[where.operator]: where.value}}
        answer = self.table.query(query_embeddings=queries, n_results=K, where=condition, include=[])
        found: Found = answer["ids"]
        return found


class Lance(Store):
    """LanceDB: IVF_PQ with its own number of lists and dim / 4 codes, refined on the rows, and a scalar index for the filters."""

    name, pip, module = "LanceDB IVF_PQ", "lancedb", "lancedb"
    index: ClassVar[Mapping[str, Any]] = {"index_type": "IVF_PQ"}

    def _connect(self) -> Any:
        sys.modules.pop("datasets", None)  # lancedb takes the benchmarks' module for the package of that name
        import lancedb

        return lancedb.connect(self.path)

    def create(self) -> None:
        import pyarrow

        fields = {
            "id": pyarrow.string(),
            "vector": pyarrow.list_(pyarrow.float32(), self.dim),
            "bucket": pyarrow.int64(),
            "price": pyarrow.float64(),
            "class": pyarrow.string(),
        }
        self.schema = pyarrow.schema(list(fields.items()))
        self.table = self._connect().create_table("rows", schema=self.schema)

    def largest_batch(self) -> int:
        return len(self.rows)

    def add(self, vectors: np.ndarray, ids: list[str], metadata: list[dict[str, Any]]) -> None:
        import pyarrow

        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), self.dim)
        columns = {name: [each[name] for each in metadata] for name in ("bucket", "price", "class")}
        self.table.add(pyarrow.table({"id": ids, "vector": rows, **columns}, schema=self.schema))

    def finish(self) -> None:
        metric = "l2" if self.rows.metric == "euclidean" else self.rows.metric
        extra = {"num_sub_vectors": self.dim // 4} if self.index["index_type"] == "IVF_PQ" else {}
        self.table.create_index(metric=metric, **self.index, **extra)
        self.table.create_scalar_index("bucket")
        self.table.optimize()

    def open(self) -> None:
        self.table = self._connect().open_table("rows")

    def close(self) -> None:
        del self.table

    def ladder(self) -> list[Setting]:
        return [{"nprobes": each, "refine_factor": 5} for each in PROBES]

    def search(self, queries: np.ndarray, where: Condition | None, setting: Setting) -> Found:
        asked = self.table.search(queries).distance_type("l2" if self.rows.metric == "euclidean" else self.rows.metric)
        for name, value in setting.items():
            asked = getattr(asked, name)(value)
        if where is not None:
            asked = asked.where(f"{where.field} {where.operator} {quoted(where.value)}", prefilter=True)
        answer = asked.limit(K).select(["id", "_distance"]).to_arrow()
        query = answer["query_index"].to_numpy() if len(queries) > 1 else np.zeros(len(answer), dtype=int)
        ids = np.asarray(answer["id"].to_pylist(), dtype=object)
        order = np.argsort(query, kind="stable")
        parts = np.split(ids[order], np.searchsorted(query[order], np.arange(1, len(queries))))
        return [part.tolist() for part in parts]


class LanceGraph(Lance):
    """LanceDB: IVF_HNSW_SQ of one list as its documentation has it for small tables, refined on the rows, and a scalar index."""

    name = "LanceDB IVF_HNSW_SQ"
    index: ClassVar[Mapping[str, Any]] = {"index_type": "IVF_HNSW_SQ", "num_partitions": 1}

    def ladder(self) -> list[Setting]:
        return [{"nprobes": 1, "ef": each, "refine_factor": 2} for each in EFFORTS if each >= 2 * K]


class Qdrant(Store):
    """Qdrant local mode: QdrantClient(path=...), which compares every row; payloads have the metadata, ids are numbers."""

    name, pip, module, exact = "Qdrant local", "qdrant-client", "qdrant_client", True

    def _connect(self) -> None:
        from qdrant_client import QdrantClient

        warnings.simplefilter("ignore")  # it recommends a server from 20,000 rows on
        self.client = QdrantClient(path=str(self.path))

    def create(self) -> None:
        from qdrant_client import models

        self._connect()
        distance = models.Distance.COSINE if self.rows.metric == "cosine" else models.Distance.EUCLID
        self.client.create_collection("rows", vectors_config=models.VectorParams(size=self.dim, distance=distance))

    def add(self, vectors: np.ndarray, ids: list[str], metadata: list[dict[str, Any]]) -> None:
        from qdrant_client import models

        numbers = [self.position(each) for each in ids]
        batch = models.Batch(ids=numbers, vectors=vectors.tolist(), payloads=metadata)
        self.client.upsert("rows", points=batch)

    def open(self) -> None:
        self._connect()

    def close(self) -> None:
        self.client.close()

    def search(self, queries: np.ndarray, where: Condition | None, setting: Setting) -> Found:
        from qdrant_client import models

        condition = None
        if where is not None:
            test: dict[str, Any] = {"match": models.MatchValue(value=where.value)}
            if where.operator == "<":
                test = {"range": models.Range(lt=where.value)}
            condition = models.Filter(must=[models.FieldCondition(key=where.field, **test)])
        asked = [models.QueryRequest(query=each.tolist(), limit=K, filter=condition) for each in queries]
        return [[point.id for point in each.points] for each in self.client.query_batch_points("rows", asked)]


class SqliteVec(Store):
    """sqlite-vec: a vec0 table with metadata columns, one transaction for each add, which compares every row."""

    name, pip, module, exact = "sqlite-vec", "sqlite-vec pysqlite3-binary", "sqlite_vec", True

    @classmethod
    def installed(cls) -> bool:
        return super().installed() and cls._sqlite() is not None

    @classmethod
    def _sqlite(cls) -> Any:
        """A sqlite3 module that can load extensions; that of some Pythons cannot."""
        if hasattr(sqlite3.Connection, "enable_load_extension"):
            return sqlite3
        return importlib.import_module("pysqlite3") if importlib.util.find_spec("pysqlite3") is not None else None

    def create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.open()
        metric = "cosine" if self.rows.metric == "cosine" else "L2"
        self.connection.execute(
            f"CREATE VIRTUAL TABLE rows USING vec0(id TEXT PRIMARY KEY, "
            f"vector float[{self.dim}] distance_metric={metric}, bucket INTEGER, price FLOAT, class TEXT)"
        )

    def add(self, vectors: np.ndarray, ids: list[str], metadata: list[dict[str, Any]]) -> None:
        rows = zip(ids, vectors, metadata, strict=True)
        values = ((each, row.tobytes(), has["bucket"], has["price"], has["class"]) for each, row, has in rows)
        with self.connection:
            self.connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", values)

    def open(self) -> None:
        import sqlite_vec

        self.connection = self._sqlite().connect(self.path / "rows.sqlite")
        self.connection.enable_load_extension(True)
        sqlite_vec.load(self.connection)
        self.connection.enable_load_extension(False)

    def close(self) -> None:
        self.connection.close()

    def search(self, queries: np.ndarray, where: Condition | None, setting: Setting) -> Found:
        extra = "" if where is None else f" AND {where.field} {where.operator} {quoted(where.value)}"
        text = f"SELECT id FROM rows WHERE vector MATCH ? AND k = {K}{extra} ORDER BY distance"
        return [[row[0] for row in self.connection.execute(text, (each.tobytes(),))] for each in queries]


STORES: tuple[type[Store], ...] = (Nearkin, NearkinFlat, Chroma, Lance, LanceGraph, Qdrant, SqliteVec)
"""nearkin first, in whose terms the others are put."""
