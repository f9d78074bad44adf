"""The surrogate index: candidates from a fast index in a space close to the metric, ranked again by the metric itself.

The recall it can reach depends on how close the space is; which one serves best is measured on the rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from nearkin.errors import NotSupportedError, VectorError
from nearkin.indexes import FEW_ROWS, Found, Index, Layout, Mask
from nearkin.kernels import pool
from nearkin.metrics import squared_l2
from nearkin.reranking import OwnRows, nearest_candidates
from nearkin.search_parameters import RERANK, SearchParameter
from nearkin.state import State
from nearkin.vectors import block_rows
from nearkin_plugins.surrogate_spaces import SPACES, SurrogateSpace, spaces_for

SAMPLE = 16_384
"""Rows that spaces are compared on, unless that takes the metric more than `SECONDS`; but no fewer than `FEWEST`."""

SECONDS = 5.0
FEWEST = 2048

TRAINING_BYTES = 1 << 28
"""Mapped rows that the inner index is trained on: packed bits become 32 times as large."""


QUERIES = 200
QUERIES_A_THREAD = 16
"""Queries for each thread from which on a batch is split among threads."""

NEIGHBOURS = 10


class SurrogateIndex(Index):
    """An index in a surrogate space, whose `rerank` nearest rows are compared with the query by the metric itself.

    Distances are those of the metric. Where a collection keeps the rows, they are read there and not copied.

    Parameters
    ----------
    space
        Name of the space; ``"auto"`` takes the one that needs the fewest candidates on a sample.
    recall
        Recall@10 that the search parameters are set for once all rows are in.
    """

    name = "surrogate"

    def __init__(self, layout: Layout, *, space: str = "auto", recall: float = 0.95) -> None:
        super().__init__(layout)
        self._names = spaces_for(layout.space.dtype) if space == "auto" else (space,)
        if self._names[0] not in spaces_for(layout.space.dtype):
            raise NotSupportedError(
                f"surrogate:space={space} is not for packed bits",
                hint=f"use {', '.join(spaces_for(layout.space.dtype))}, or leave space out",
            )
        self.promised_recall = recall
        self.fallback = "ivf" if space == "auto" else ""
        self._threads = 1
        self._own = None if layout.stored is not None else OwnRows(layout.dim, self._row_type())
        self._space, self.wrapped = self._provisional()
        self.rows_apart = self._wrapped.rows_apart

    def _provisional(self) -> tuple[SurrogateSpace, Index]:
        """The first space that the inner plan can be made in: what it is called and what it takes is known before training."""
        refusal: NotSupportedError | None = None
        for name in self._names:
            space = SPACES[name](self.layout.dim, self.layout.space.dtype)
            try:
                return space, self._inner(space.width)
            except NotSupportedError as error:
                refusal = refusal or error
        assert refusal is not None
        raise refusal

    def _inner(self, width: int) -> Index:
        if self.layout.inner is None:
            raise NotSupportedError("surrogate wraps an index, and was given none", hint="for example surrogate,ivf,pq")
        return self.layout.inner(width)

    def _row_type(self) -> np.dtype:
        return np.dtype(np.float32 if self.layout.space.dtype == "float32" else np.uint8)

    @property
    def label(self) -> str:
        promise = "" if self.promised_recall == 0.95 else f":recall={self.promised_recall!r}"
        return f"surrogate:space={self._space.name}{promise}"

    @property
    def knobs(self) -> dict[str, SearchParameter]:
        return {**self._wrapped.knobs, "rerank": RERANK}

    @property
    def _wrapped(self) -> Index:
        assert self.wrapped is not None
        return self.wrapped

    def train_rows(self) -> int:
        return max(2, self._wrapped.train_rows())

    def sample_rows(self, n: int) -> int:
        fit_in_memory = TRAINING_BYTES // (4 * max(self._space.numbers, self._space.width))
        wanted = max(SAMPLE, self._wrapped.sample_rows(n))
        return min(n, max(self.train_rows(), min(wanted, fit_in_memory)))

    def check_rows_suffice(self, n: int) -> None:
        if self.fallback and n < FEW_ROWS:
            return  # every row is compared instead
        self._wrapped.check_rows_suffice(n)
        super().check_rows_suffice(n)

    def search_defaults(self, n: int) -> dict[str, int]:
        return {**self._wrapped.search_defaults(n), "rerank": 200}

    def use_threads(self, threads: int) -> None:
        self._threads = threads
        self._wrapped.use_threads(threads)

    def cell_sizes(self) -> np.ndarray | None:
        return self._wrapped.cell_sizes()

    def assigned(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return None if self._wrapped.cell_sizes() is None else self._wrapped.assigned(self._mapped(vectors))

    # ---- training --------------------------------------------------------------------------------------------------

    def _train(self, vectors: np.ndarray) -> None:
        self._space = self._fitted(vectors) if len(self._names) == 1 else self._closest(vectors)
        self.wrapped = self._inner(self._space.width)
        self.wrapped.use_threads(self._threads)
        self.wrapped.train(self._mapped(vectors))

    def _fitted(self, vectors: np.ndarray, name: str = "") -> SurrogateSpace:
        space = SPACES[name or self._names[0]](self.layout.dim, self.layout.space.dtype)
        space.fit(vectors, self._distances, np.random.default_rng(self.layout.seed))
        return space

    def _closest(self, vectors: np.ndarray) -> SurrogateSpace:
        """The space in which the true neighbours of sampled rows are among the fewest nearest ones."""
        rng = np.random.default_rng(self.layout.seed)
        rows = vectors[np.sort(rng.permutation(len(vectors))[: self._affordable(vectors)])]
        asked = rng.permutation(len(rows))[:QUERIES]
        truth = self._neighbours(rows, asked)
        best: tuple[float, SurrogateSpace] | None = None
        for name in self._names:
            try:
                space = self._fitted(rows, name)
                self._inner(space.width)
            except (NotSupportedError, VectorError, np.linalg.LinAlgError):
                continue  # the inner plan or the rows do not go with this space
            needed = candidates_needed(space.map(rows, self._distances), asked, truth, self.promised_recall)
            # Scanning a code costs in proportion to its columns, a candidate about as much as a whole row.
            score = needed + space.width / 4
            if best is None or score < best[0]:
                best = score, space
        return best[1] if best is not None else self._fitted(vectors)

    def _affordable(self, vectors: np.ndarray) -> int:
        """Rows to compare spaces on: fewer where the metric takes long."""
        few = vectors[:: max(1, len(vectors) // 64)][:64]
        self._distances(few, few)  # compiled on first use
        start = time.perf_counter()
        self._distances(few, few)
        seconds = (time.perf_counter() - start) / len(few) ** 2
        return int(np.clip(SECONDS / max(seconds * QUERIES, 1e-12), FEWEST, SAMPLE))

    def _neighbours(self, rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """(nq, k) true neighbours of some of the rows among the others."""
        values = self._distances(rows[asked], rows)
        values[np.arange(len(asked)), asked] = np.inf
        return np.argsort(values, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(rows) - 1)]

    def _distances(self, queries: np.ndarray, vectors: np.ndarray, threads: int | None = None) -> np.ndarray:
        space = self.layout.space
        kernel = space.compiled
        if kernel is not None:
            return kernel.pairwise(queries, vectors, self._threads if threads is None else threads)
        return space.pairwise(queries, vectors)

    def _mapped(self, rows: np.ndarray, threads: int | None = None) -> np.ndarray:
        distances = partial(self._distances, threads=threads)
        return np.ascontiguousarray(self._space.map(rows, distances), dtype=np.float32)

    # ---- the rest of the contract ----------------------------------------------------------------------------------

    def _add(self, vectors: np.ndarray) -> None:
        step = block_rows(4 * max(self._space.width, self._space.numbers))
        for start in range(0, len(vectors), step):
            self._wrapped.add(self._mapped(vectors[start : start + step]))
        if self._own is not None:
            self._own.add(vectors)

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        threads = self._threads
        if threads == 1 or len(queries) < QUERIES_A_THREAD * threads or self.layout.space.compiled is None:
            return self._answer(queries, k, mask, params, threads)
        # Each thread goes all the way with its own queries: the libraries' own threads, once done, keep on spinning for
        # a while, and would take the cores from the ranking.
        edges = np.linspace(0, len(queries), threads + 1).astype(int).tolist()

        def part(start: int, stop: int) -> Found:
            self._wrapped.use_threads(1)
            return self._answer(queries[start:stop], k, mask, params, 1)

        parts = list(pool(threads).map(part, edges[:-1], edges[1:]))
        return Found(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _answer(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int], threads: int) -> Found:
        inner = {name: value for name, value in params.items() if name in self._wrapped.knobs}
        # There must be more candidates than answers for the order of the metric to count, and for one answer no fewer than
        # for the ten that the search parameters are found with.
        wanted = min(self.n, max(params["rerank"], 2 * max(k, NEIGHBOURS)))
        candidates = self._wrapped.search(self._mapped(queries, threads), wanted, mask=mask, params=inner).positions
        stored = self._own or self.layout.stored
        assert stored is not None
        return nearest_candidates(self.layout.space, stored, queries, candidates, k, threads)

    def _cost(self, n: int) -> dict[str, int]:
        own = {} if self._own is None else {"rows": n * self.layout.codec.code_size}
        return {**self._wrapped.cost(n), "surrogate": self._space.cost(n), **own}

    def _allocated(self) -> dict[str, int]:
        own = {} if self._own is None else {"rows": self._own.all().nbytes}
        fitted = sum(array.nbytes for array in self._space.arrays().values())
        return {**self._wrapped.allocated(), "surrogate": fitted, **own}

    def _state(self) -> State:
        inner = self._wrapped.state()
        arrays = {f"inner.{name}": array for name, array in inner.arrays.items()}
        arrays |= {f"space.{name}": array for name, array in self._space.arrays().items()}
        if self._own is not None:
            arrays["rows"] = self._own.all()
        return State(arrays, {"space": self._space.name, "inner": dict(inner.meta)})

    def _restore(self, state: State) -> None:
        self._space = SPACES[state.meta["space"]](self.layout.dim, self.layout.space.dtype)
        self._space.restore(State(_below("space.", state.arrays)))
        self.wrapped = self._inner(self._space.width)
        self.wrapped.restore(State(_below("inner.", state.arrays), state.meta["inner"]))
        if self._own is not None:
            self._own = OwnRows(self.layout.dim, self._row_type())
            self._own.add(state.arrays["rows"])


def candidates_needed(mapped: np.ndarray, asked: np.ndarray, truth: np.ndarray, share: float) -> float:
    """How many nearest rows under squared L2 hold this share of the true neighbours.

    Parameters
    ----------
    mapped
        (n, width) rows.
    asked
        (nq,) positions of the rows that ask; they do not count as their own neighbours.
    truth
        (nq, k) positions of their true neighbours.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [2], [4]])
    >>> candidates_needed(rows, np.array([0]), np.array([[2]]), 1.0)
    2.0
    """
    step = block_rows(16 * mapped.shape[1])
    parts = [squared_l2(mapped[asked], mapped[start : start + step]) for start in range(0, len(mapped), step)]
    values = np.concatenate(parts, axis=1)
    values[np.arange(len(asked)), asked] = np.inf
    ranks = [np.searchsorted(np.sort(row), row[true], side="right") for row, true in zip(values, truth, strict=True)]
    return float(np.quantile(np.concatenate(ranks), share))


def _below(prefix: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
