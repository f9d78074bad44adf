"""Kernels compiled by numba: a formula over two rows as scans over many, run on nearkin's own threads.

The rendered module lies in the user's cache folder under the hash of its text, and numba keeps the machine code beside it: the
next process loads it. Scans release the GIL; queries (or, for few queries, rows) are split over a pool of threads, since
numba's own threading layer forbids concurrent calls.

Fast-math is used without ``nnan`` and ``ninf``: results are padded with infinity.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, cast

import numpy as np

from nearkin.errors import MissingDependencyError, NotTrainedError, PluginContractError
from nearkin.kernel_source import TEMPLATE, WAY_OUT, KernelSource
from nearkin.user_cache import cache_folder

SPLIT_WORK = 1 << 20
"""Pairs of values compared above which the rows of a few queries are worth splitting over threads."""

FEW_QUERIES = 64
"""Queries below which every thread had better read its own rows than its own queries."""

SLICES = 8
"""Slices of the queries for each thread, where some take longer than others."""

_COMPILING = RLock()
_LOADED: dict[tuple[KernelSource, bool], ModuleType] = {}

_PLAIN_WORDS = {
    "Function(float32)": "it does not return a number on every path",
    "Function(<built-in function setitem>)": "rows are read-only",
}
"""What numba says of common mistakes, as sentences."""

Best = tuple[np.ndarray, np.ndarray]
"""(nq, k) positions padded with -1, and distances padded with +inf, in no particular order."""

Stop = tuple[int, int]
"""Query and row whose value is NaN, where a scan stopped; (-1, -1) if there are none."""


def _frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous read-only view: numba compiles for read-only arrays anew, so it is shown no others."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


NO_PARAMS = np.zeros(1, dtype=np.float32)
EVERYTHING = np.zeros(0, dtype=np.bool_)


class Kernel:
    """A kernel with the parameters it was fitted to.

    Parameters
    ----------
    source
        What `read_kernel` gave.
    params
        Array handed to every call, where the kernel takes one.
    """

    def __init__(self, source: KernelSource, params: np.ndarray | None = None) -> None:
        self.source = source
        self._given = (
            None if params is None and source.takes_params else _frozen(NO_PARAMS if params is None else params)
        )

    @property
    def _params(self) -> np.ndarray:
        if self._given is None:
            raise NotTrainedError(
                f"kernel {self.source.name!r} takes parameters, and its metric has not been fitted",
                hint="call fit(sample) or build a collection",
            )
        return self._given

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray, threads: int = 1) -> np.ndarray:
        """(nq, dim) and (n, dim) rows to (nq, n) float32 values."""
        values = np.empty((len(queries), len(vectors)), dtype=np.float32)
        queries, vectors = _frozen(queries), _frozen(vectors)

        def part(some: slice) -> Stop:
            self._module(vectors).pairwise(queries[some], vectors, values[some], self._params)
            return -1, -1

        self._over_queries(part, len(queries), threads, SLICES * threads)
        return values

    def scan(
        self, queries: np.ndarray, rows: np.ndarray, k: int, allowed: np.ndarray | None = None, threads: int = 1
    ) -> Best:
        """The k nearest of all rows for each query.

        Parameters
        ----------
        allowed
            (n,) boolean, which rows may be returned; None for all.
        """
        queries, rows = _frozen(queries), _frozen(rows)
        mask = _frozen(EVERYTHING if allowed is None else allowed)

        def part(best: Best, some: slice, start: int, stop: int) -> Stop:
            positions, distances = best[0][some], best[1][some]
            given = queries[some], rows[start:stop], start, mask, distances, positions, self._params
            return cast(Stop, self._module(rows).scan(*given))

        if threads > 1 and len(queries) < FEW_QUERIES and len(queries) * rows.size > SPLIT_WORK:
            return self._scan_split_rows(part, len(queries), len(rows), k, threads)
        best = _nothing(len(queries), k)
        most = max(threads, min(SLICES * threads, len(queries) // FEW_QUERIES))
        self._over_queries(lambda some: part(best, some, 0, len(rows)), len(queries), threads, most)
        return best

    def _scan_split_rows(
        self, part: Callable[[Best, slice, int, int], Stop], nq: int, n: int, k: int, threads: int
    ) -> Best:
        """Each thread compares all queries with its own span of the rows, which is then read from memory once."""
        parts = [_nothing(nq, k) for _ in range(threads)]
        edges = np.linspace(0, n, threads + 1).astype(int).tolist()
        spans = list(zip(parts, itertools.pairwise(edges), strict=True))
        for stop in self._guarded(
            lambda: list(pool(threads).map(lambda each: part(each[0], slice(None), *each[1]), spans))
        ):
            self._refuse_nan(stop, 0)
        positions, distances = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(positions, nearest, axis=1), np.take_along_axis(distances, nearest, axis=1)

    def scan_lists(
        self,
        queries: np.ndarray,
        probes: np.ndarray,
        lists: tuple[np.ndarray, np.ndarray, np.ndarray],
        k: int,
        allowed: np.ndarray | None = None,
        threads: int = 1,
    ) -> Best:
        """The k nearest rows among the lists that each query probes.

        Parameters
        ----------
        probes
            (nq, nprobe) list numbers, -1 for none.
        lists
            Where each list starts (one more than lists), rows in order of list, and their positions.
        """
        queries, probes, mask = (
            _frozen(each) for each in (queries, probes, EVERYTHING if allowed is None else allowed)
        )
        arrays = [_frozen(each) for each in lists]
        best = _nothing(len(queries), k)

        def part(some: slice) -> Stop:
            positions, distances = best[0][some], best[1][some]
            given = queries[some], probes[some], *arrays, mask, distances, positions, self._params
            return cast(Stop, self._module(queries).scan_lists(*given))

        self._over_queries(part, len(queries), threads, SLICES * threads)
        return best

    def scan_lists_pruned(
        self,
        queries: np.ndarray,
        probed: tuple[np.ndarray, np.ndarray],
        lists: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        k: int,
        allowed: np.ndarray | None = None,
        threads: int = 1,
        *,
        share: float,
        slack: float,
    ) -> Best:
        """As `scan_lists`, without comparing rows that the triangle inequality rules out.

        Parameters
        ----------
        probed
            (nq, nprobe) list numbers, -1 for none, nearest first, and the query's float32 distances to their centroids.
        lists
            As for `scan_lists`, and float32 distances of the rows to their list's centroid; the rows of a list ascend by them.
        share, slack
            What rounding may do: a row stays if only so large a share of the values compared, or so much, rules it out.
        """
        queries, mask = _frozen(queries), _frozen(EVERYTHING if allowed is None else allowed)
        probes, reaches = (_frozen(each) for each in probed)
        arrays = [_frozen(each) for each in lists]
        best = _nothing(len(queries), k)

        def part(some: slice) -> Stop:
            compared = queries[some], probes[some], reaches[some], *arrays, share, slack, mask
            return cast(
                Stop, self._module(queries).scan_lists_pruned(*compared, best[1][some], best[0][some], self._params)
            )

        self._over_queries(part, len(queries), threads, SLICES * threads)
        return best

    def rerank(
        self,
        queries: np.ndarray,
        candidates: np.ndarray,
        pieces: Sequence[tuple[int, np.ndarray]],
        k: int,
        threads: int = 1,
    ) -> Best:
        """The k nearest of each query's own candidates, read where the rows lie.

        Parameters
        ----------
        candidates
            (nq, m) positions, -1 for none.
        pieces
            Contiguous rows, which may be memory-mapped, and the position of the first of each.
        """
        queries, candidates = _frozen(queries), _frozen(candidates)
        spans = [(start, _frozen(rows)) for start, rows in pieces]
        best = _nothing(len(queries), k)

        def part(some: slice) -> Stop:
            positions, distances = best[0][some], best[1][some]
            for start, rows in spans:
                given = queries[some], candidates[some], rows, start, distances, positions, self._params
                stop = cast(Stop, self._module(queries).rerank(*given))
                if stop[0] >= 0:
                    return stop
            return -1, -1

        self._over_queries(part, len(queries), threads, SLICES * threads)
        return best

    def _over_queries(self, part: Callable[[slice], Stop], nq: int, threads: int, most: int) -> None:
        """Run over at most so many slices of the queries; more of them than threads where some queries take longer."""
        if threads == 1 or nq == 1:
            self._refuse_nan(self._guarded(lambda: part(slice(0, nq))), 0)
            return
        edges = np.linspace(0, nq, min(nq, most) + 1).astype(int).tolist()
        slices = [slice(start, stop) for start, stop in itertools.pairwise(edges)]
        for some, stop in zip(slices, self._guarded(lambda: list(pool(threads).map(part, slices))), strict=True):
            self._refuse_nan(stop, some.start)

    def _refuse_nan(self, stop: Stop, first_query: int) -> None:
        query, row = stop
        if query >= 0:
            raise PluginContractError(
                f"kernel {self.source.name!r} gave NaN for query {first_query + query} and the row at position {row}",
                hint="return a number for every pair of rows, for example where a sum that it divides by is 0",
            )

    def _module(self, rows: np.ndarray) -> ModuleType:
        """The module for rows of this width: counting bits is twice as fast where no bytes are left beyond whole words."""
        return load_module(
            self.source, not self.source.counts_bits or (rows.shape[1] % 8 == 0 and not self.source.slices)
        )

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """What a call gives; say in plain words what numba cannot compile."""
        need_numba(self.source.name)
        import numba

        try:
            return call()
        except numba.core.errors.NumbaError as error:
            raise PluginContractError(self._explained(error), hint=f"change that line, {WAY_OUT}") from error
        except (ArithmeticError, AssertionError, IndexError, TypeError, ValueError) as error:
            raise PluginContractError(f"kernel {self.source.name!r} failed: {error}", hint=WAY_OUT) from error

    def _explained(self, error: Exception) -> str:
        """Numba's first reason, at the line of the kernel that it names first."""
        text = str(error)
        lines = _rendered(self.source, whole_words=True).read_text(encoding="utf-8").splitlines()
        end = next(number for number, line in enumerate(lines) if line.startswith("_user = "))
        named = [int(number) for number in re.findall(r'kernel_\w+\.py", line (\d+)', text)]
        own = [number for number in named if number <= end]
        place = f" at `{lines[own[0] - 1].strip()}`" if own else ""
        noise = ("Failed in", "During", "File", "-", ">>>", "There are")
        reasons = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(noise)]
        reason = (reasons or [text])[0].rstrip(":")
        plain = next((words for sign, words in _PLAIN_WORDS.items() if sign in reason), reason)
        return f"numba cannot compile kernel {self.source.name!r}{place}: {plain}"


def _nothing(nq: int, k: int) -> Best:
    return np.full((nq, k), -1, dtype=np.int64), np.full((nq, k), np.inf, dtype=np.float32)


@lru_cache(maxsize=8)
def pool(threads: int) -> ThreadPoolExecutor:
    """The threads that scans run on."""
    return ThreadPoolExecutor(threads, thread_name_prefix="nearkin-kernel")


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=pool.cache_clear)


def numba_is_installed() -> bool:
    """Whether kernels can be compiled here."""
    return importlib.util.find_spec("numba") is not None


def need_numba(name: str) -> None:
    """Raise MissingDependencyError, with the pip command, if the kernel of this name cannot be compiled here."""
    if not numba_is_installed():
        raise MissingDependencyError(f"kernel {name!r} needs the package numba", hint='pip install "nearkin[kernels]"')


def load_module(source: KernelSource, whole_words: bool = True) -> ModuleType:
    """The rendered module of a kernel; its functions compile on first call, or load what an earlier process compiled.

    Parameters
    ----------
    whole_words
        Whether rows of packed bits are whole words of eight bytes.

    Raises
    ------
    MissingDependencyError
        numba is not installed.
    """
    loaded = _LOADED.get((source, whole_words))
    if loaded is not None:
        return loaded
    need_numba(source.name)
    with _COMPILING:
        if (source, whole_words) not in _LOADED:
            _LOADED[source, whole_words] = _import(_rendered(source, whole_words=whole_words), source.name)
    return _LOADED[source, whole_words]


def _import(path: Path, name: str) -> ModuleType:
    if not list(path.parent.glob(f"__pycache__/{path.stem}.*.nbi")):
        print(f"compiling metric {name} (once; kept in {path.parent})", file=sys.stderr)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise PluginContractError(f"kernel {name!r} could not be written to {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # numba looks it up there when it loads machine code
    spec.loader.exec_module(module)
    return module


def _rendered(source: KernelSource, *, whole_words: bool) -> Path:
    """Write the module unless it is there already: numba forgets machine code whose source file is newer."""
    call = "_user(a, b, params)" if source.takes_params else "_user(a, b)"
    text = TEMPLATE.read_text(encoding="utf-8")
    for place, filling in (("{whole_words}", str(whole_words)), ("{kernel}", source.text), ("{call}", call)):
        text = text.replace(place, filling)
    name = re.sub(r"\W", "_", source.name)
    digest = KernelSource(source.name, text, source.takes_params).digest
    path = cache_folder("kernels") / f"kernel_{name}_{digest}.py"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return path
