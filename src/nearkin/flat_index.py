"""The exact index in numpy: any space, any codec, every row compared. What everything else is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nearkin.indexes import FLOAT32_MAX, Found, Index, Layout, Mask, RangeFound, empty_found, merge_found
from nearkin.metrics import as_values
from nearkin.state import State
from nearkin.vectors import block_rows


@dataclass
class _Codes:
    """Encoded rows in the blocks that they were added in."""

    blocks: list[np.ndarray] = field(default_factory=list)

    def joined(self, code_size: int) -> np.ndarray:
        if len(self.blocks) != 1:
            joined = np.concatenate(self.blocks) if self.blocks else np.empty((0, code_size), np.uint8)
            self.blocks = [joined]
        return self.blocks[0]


class FlatIndex(Index):
    """Every row is compared with every query, by the space's own `pairwise` in numpy.

    With a lossless codec the answer is exact; with another it is exact for the decoded rows. It takes every space and every
    codec, so it is both the oracle of the tests and the home of pairs that no faster index takes. Ties go to the
    smaller position.

    Examples
    --------
    >>> from nearkin.codecs import Float32
    >>> from nearkin.metrics import L2
    >>> index = FlatIndex(Layout(L2, 1, Float32(1)))
    >>> rows = np.float32([[0], [4], [1]])
    >>> index.train(rows); index.add(rows)
    >>> index.search(np.float32([[0.9]]), 2).positions.tolist()
    [[2, 0]]
    """

    name = "flat"
    rows_apart = True

    def __init__(self, layout: Layout, **params: Any) -> None:
        super().__init__(layout, **params)
        self._codes = _Codes()

    def _train(self, vectors: np.ndarray) -> None:
        if not self.layout.codec.is_trained:
            self.layout.codec.train(vectors)

    def _add(self, vectors: np.ndarray) -> None:
        self._codes.blocks.append(self.layout.codec.encode(vectors))

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        best = empty_found(len(queries), k)
        for start, values in self._scan(queries, mask):
            block = _nearest_of_block(values, start, k)
            best = merge_found(best, block, k)
        return best

    def _range(self, queries: np.ndarray, radius: float, mask: Mask | None, params: Mapping[str, int]) -> RangeFound:
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for start, values in self._scan(queries, mask):
            query, column = np.nonzero(values <= radius)
            found.append((query, column + start, values[query, column]))
        query, positions, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(query, kind="stable")
        limits = np.concatenate([[0], np.cumsum(np.bincount(query, minlength=len(queries)))]).astype(np.int64)
        return RangeFound(limits, positions[order].astype(np.int64), distances[order].astype(np.float32))

    def _scan(self, queries: np.ndarray, mask: Mask | None) -> Any:
        """Blocks of (first position, (nq, rows) values), +inf where the mask forbids."""
        codes = self._codes.joined(self.layout.codec.code_size)
        step = block_rows(8 * max(len(queries), self.layout.dim))
        for start in range(0, self.n, step):
            rows = self.layout.codec.decode(codes[start : start + step])
            values = as_values(self._values(queries, rows), (len(queries), len(rows)))
            if mask is not None:
                values = np.where(mask.allowed[start : start + step], values, np.inf)
            yield start, values

    def _values(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(nq, n) values between prepared queries and decoded rows."""
        return self.layout.space.pairwise(queries, rows)

    def all_rows(self) -> np.ndarray:
        """Every decoded row, in order of position; without a copy where the codec keeps rows as they are."""
        return self.layout.codec.decode(self._codes.joined(self.layout.codec.code_size))

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Decoded rows at these positions."""
        return self.layout.codec.decode(self._codes.joined(self.layout.codec.code_size)[positions])

    def _cost(self, n: int) -> dict[str, int]:
        return self.layout.codec.cost(n)

    def _allocated(self) -> dict[str, int]:
        return {"codes": sum(block.nbytes for block in self._codes.blocks), "codebooks": self.layout.codec.overhead()}

    def _state(self) -> State:
        codec = self.layout.codec.state()
        codes = self._codes.joined(self.layout.codec.code_size)
        arrays = {f"codec.{name}": array for name, array in codec.arrays.items()}
        return State({"codes": codes, **arrays}, {"codec": dict(codec.meta)})

    def _restore(self, state: State) -> None:
        arrays = {name.removeprefix("codec."): array for name, array in state.arrays.items() if name != "codes"}
        self.layout.codec.restore(State(arrays, state.meta["codec"]))
        self._codes.blocks = [np.ascontiguousarray(state.arrays["codes"])]


def _nearest_of_block(values: np.ndarray, start: int, k: int) -> Found:
    """The k smallest of each row of a block, ties to the left, padded if the block is narrower than k."""
    take = min(k, values.shape[1])
    found = empty_found(len(values), k)
    order = np.argsort(values, axis=1, kind="stable")[:, :take]
    nearest = np.take_along_axis(values, order, axis=1)
    found.positions[:, :take] = np.where(nearest < np.inf, order + start, -1)  # not where it is NaN either
    found.distances[:, :take] = np.where(nearest < np.inf, np.minimum(nearest, FLOAT32_MAX), np.inf)
    return found
