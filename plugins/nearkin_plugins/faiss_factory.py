"""The escape to a raw faiss factory string, guarded: tried in a process of its own before this one touches it.

faiss checks a factory string only in part; some strings abort the process at training or search. So the string is run on a few
random rows in a child process first, and what does not answer like brute force there is refused.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, ClassVar

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.indexes import Found, Layout, Mask
from nearkin.search_parameters import SearchParameter
from nearkin_plugins.faiss_index import FaissIndex, faiss_metric, quiet

PROBE_ROWS = 2048
PROBE_SECONDS = 120

_PROBE = r"""
import re
import sys
import faiss
import numpy as np

dim, factory, metric = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rows = np.random.default_rng(0).normal(size=(int(sys.argv[4]), dim)).astype(np.float32)
try:
    index = faiss.index_factory(dim, factory, metric)
    index.train(rows)
    index.add(rows)
    distances, positions = index.search(rows[:50], 10)
    faiss.deserialize_index(faiss.serialize_index(index))
except Exception as error:
    reason = str(error).split("Error: ")[-1].splitlines()[0]
    print(re.sub(r"Error in .* at \S+\.(cpp|h):\d+: ", "", reason))
    sys.exit(3)
if index.metric_type != metric or index.ntotal != len(rows) or index.d != dim:
    print("the index faiss made is for another metric or width")
    sys.exit(3)
exact = faiss.IndexFlat(dim, metric)
exact.add(rows)
truth = exact.search(rows[:50], 10)[1]
found = sum(len(set(a) & set(b)) for a, b in zip(positions.tolist(), truth.tolist())) / truth.size
if found < 0.05:
    print(f"its answers share {found:.1%} with brute force on random rows")
    sys.exit(3)
"""


class FactoryIndex(FaissIndex):
    """Whatever ``faiss.index_factory`` makes of a string, under Euclidean, cosine or inner product.

    Parameters
    ----------
    factory
        For example ``"OPQ32,IVF1024,PQ32x4fs"``.
    """

    name = "faiss"
    masks = False  # few of faiss's indexes take a selector; asking for more works with all of them
    search_params: ClassVar[Mapping[str, SearchParameter]] = {
        "nprobe": SearchParameter("cells looked into, where the string has an IVF"),
        "ef_search": SearchParameter("candidates of the walk, where the string has an HNSW"),
        "k_factor": SearchParameter("candidates re-ranked for each neighbour, where the string has a refinement"),
    }
    _faiss_names: ClassVar[Mapping[str, str]] = {"nprobe": "nprobe", "ef_search": "efSearch", "k_factor": "k_factor_rf"}

    def __init__(self, layout: Layout, *, factory: str) -> None:
        super().__init__(layout)
        self.factory = factory
        self._lock = Lock()
        probe(factory, layout.dim, faiss_metric(layout.space.label))

    @property
    def label(self) -> str:
        return f"faiss:{self.factory}"

    @property
    def lossless(self) -> bool:
        return False  # the string decides, and nobody here reads it

    @property
    def knobs(self) -> dict[str, SearchParameter]:
        shown = {"nprobe": "IVF" in self.factory, "ef_search": "HNSW" in self.factory}
        shown["k_factor"] = "Refine" in self.factory or "RFlat" in self.factory
        return {name: knob for name, knob in self.search_params.items() if shown[name]}

    def search_defaults(self, n: int) -> dict[str, int]:
        defaults = {"nprobe": max(1, self._nlist() // 16), "ef_search": 64, "k_factor": 10}
        return {name: value for name, value in defaults.items() if name in self.knobs}

    def train_rows(self) -> int:
        return max(1, self._nlist())

    def sample_rows(self, n: int) -> int:
        return min(n, max(65_536, 256 * self._nlist()))

    def _nlist(self) -> int:
        cells = re.search(r"IVF(\d+)", self.factory)
        return int(cells[1]) if cells else 0

    def _make(self, sample: np.ndarray) -> Any:
        import faiss

        index = faiss.index_factory(self.layout.dim, self.factory, faiss_metric(self.layout.space.label))
        quiet(index)
        self._rotations = _quiet_rotations(index)
        return index

    def _train(self, vectors: np.ndarray) -> None:
        try:
            super()._train(vectors)
        except RuntimeError as error:
            raise VectorError(
                f"faiss cannot train {self.factory} on {len(vectors):,} rows: {_reason(error)}"
            ) from error

    def to_faiss(self) -> Any:
        self._set_parameters(self.resolve({}))
        return self._faiss

    def _set_parameters(self, params: Mapping[str, int]) -> None:
        import faiss

        space = faiss.ParameterSpace()
        for name, value in params.items():
            space.set_index_parameter(self._faiss, self._faiss_names[name], value)

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if mask is not None:
            return super()._search(queries, k, mask, params)
        # Parameters are set on the index itself, the one way that every index of faiss has; hence one search at a time.
        with self._lock:
            self._set_parameters(params)
            distances, positions = self._faiss.search(queries, k)
        return self._found(distances, positions)

    def _cost_base(self, n: int) -> dict[str, int]:
        ids = 8 if "IVF" in self.factory or "IMI" in self.factory else 0
        return {"index": n * (self._untrained_code_size() + ids)}

    def _untrained_code_size(self) -> int:
        try:
            return int(self._make(np.empty((0, self.layout.dim), dtype=np.float32)).sa_code_size())
        except RuntimeError:
            return 4 * self.layout.dim

    def _allocated_base(self, index: Any) -> dict[str, int]:
        import faiss

        writer = faiss.VectorIOWriter()
        faiss.write_index(index, writer)
        return {"index": int(writer.data.size())}


@lru_cache(maxsize=64)
def probe(factory: str, dim: int, metric: int) -> None:
    """Run a factory string on random rows in a child process.

    Raises
    ------
    ParameterError
        faiss does not understand it, or cannot train or search it.
    NotSupportedError
        faiss aborts the process on it, or answers something else than the metric asks for.
    """
    if not (factory.isascii() and factory.isprintable()):
        raise ParameterError(f"{factory!r} is no faiss factory string: it has letters that none of them has")
    small = re.sub(r"IVF\d+", "IVF16", factory)
    command = [sys.executable, "-c", _PROBE, str(dim), small, str(metric), str(PROBE_ROWS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotSupportedError(
            f"faiss did not finish {factory!r} on {PROBE_ROWS} rows in {PROBE_SECONDS} s"
        ) from error
    if done.returncode == 3:
        raise ParameterError(f"faiss refuses the factory string {factory!r}: {done.stdout.strip()}")
    if done.returncode != 0:
        raise NotSupportedError(
            f"faiss crashes on the factory string {factory!r} (exit code {done.returncode} on {PROBE_ROWS} rows)",
            hint="use a plan of nearkin's own grammar, which is checked",
        )


def _quiet_rotations(index: Any) -> list[Any]:
    """Stop OPQ from warning, a thousand times, that few rows train many centroids.

    Its codebooks are made in C++ unless it is given some; faiss does not own them, so the caller keeps what is returned.
    """
    import faiss

    kept = []
    for place in range(index.chain.size() if hasattr(index, "chain") else 0):
        rotation = faiss.downcast_VectorTransform(index.chain.at(place))
        if isinstance(rotation, faiss.OPQMatrix):
            codebooks = faiss.ProductQuantizer(rotation.d_out, rotation.M, 8)
            codebooks.cp.min_points_per_centroid = 1
            rotation.pq = codebooks
            kept.append(codebooks)
    return kept


def _reason(error: Exception) -> str:
    reason = str(error).split("Error: ")[-1].splitlines()[0]
    return re.sub(r"Error in .* at \S+\.(cpp|h):\d+: ", "", reason)
