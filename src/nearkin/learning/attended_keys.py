"""Keys of attention: rows with numbers from 0 on, read in blocks or picked, and how queries score against them.

>>> import numpy as np
>>> keys = keys_of_rows(np.float32([[1, 0], [0, 2]]), "product")
>>> [scores.tolist() for _, scores in keys.scores_in_blocks(np.float32([[3, 4]]))]
[[[[3.0, 8.0]]]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nearkin.errors import ParameterError
from nearkin.metrics import squared_l2
from nearkin.vectors import block_rows

Likeness = Literal["product", "closeness"]
"""What a score is: q·k, or -||q - k||² / 2. Between rows of length one the two differ by 1, which a softmax divides out."""

Blocks = Iterator[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Keys:
    """n rows, and how queries are compared with them.

    Attributes
    ----------
    count, dim
        n, and the columns of a row.
    likeness
        What a score is.
    heads
        Parts that the columns are split into.
    blocks
        All rows, some at a time, as (their numbers, the rows).
    take
        Numbers, of any shape, to rows.
    """

    count: int
    dim: int
    likeness: Likeness
    heads: int
    blocks: Callable[[], Blocks]
    take: Callable[[np.ndarray], np.ndarray]

    def columns(self) -> list[slice]:
        """Those of each head."""
        size = self.dim // self.heads
        return [slice(head * size, (head + 1) * size) for head in range(self.heads)]

    def scores_in_blocks(self, queries: np.ndarray) -> Blocks:
        """Numbers of keys, and the (heads, nq, m) float64 scores of queries with them; few queries, or much memory, are wanted."""
        for numbers, rows in self.blocks():
            yield numbers, self.scores(queries, rows)

    def pieces(self, queries: int) -> Iterator[tuple[np.ndarray, np.ndarray, slice]]:
        """Numbers of keys, the keys, and which queries are compared with them at once, so that memory stays bounded."""
        for numbers, rows in self.blocks():
            step = block_rows(24 * self.heads * max(1, len(rows)))
            for start in range(0, queries, step):
                yield numbers, rows, slice(start, start + step)

    def scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(nq, dim) queries and (m, dim) keys to (heads, nq, m) float64."""
        return np.stack([_compared(self.likeness, queries[:, part], rows[:, part]) for part in self.columns()])

    def scores_of(self, queries: np.ndarray, found: np.ndarray) -> np.ndarray:
        """(heads, nq, k) float64 scores of queries with keys of their own, -inf where the number is -1."""
        scores = np.empty(found.shape)
        step = block_rows(16 * self.dim * max(1, found.shape[2]))
        for head, part in enumerate(self.columns()):
            for start in range(0, len(queries), step):
                some = slice(start, start + step)
                numbers = found[head, some]
                rows = self.take(np.maximum(numbers, 0).ravel())[:, part].reshape(*numbers.shape, -1)
                scores[head, some] = _paired(self.likeness, queries[some, part], rows)
        scores[found < 0] = -np.inf
        return scores


def keys_of_rows(rows: np.ndarray, likeness: Likeness, heads: int = 1) -> Keys:
    """Keys that are rows of an array, all of them.

    Raises
    ------
    ParameterError
        The heads do not divide the columns.
    """

    def blocks() -> Blocks:
        step = block_rows(8 * rows.shape[1])
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            yield np.arange(start, start + len(block)), block

    return Keys(len(rows), rows.shape[1], likeness, checked_heads(heads, rows.shape[1]), blocks, rows.__getitem__)


def checked_heads(heads: int, dim: int) -> int:
    """Parts that the columns are split into.

    Raises
    ------
    ParameterError
        They cannot be split so.
    """
    if type(heads) is not int or heads < 1 or dim % heads:
        raise ParameterError(f"heads is {heads!r}, a whole number that divides the {dim} columns expected")
    return heads


def _compared(likeness: Likeness, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if likeness == "closeness":
        return squared_l2(queries, rows) * -0.5
    return np.asarray(queries.astype(np.float64) @ rows.astype(np.float64).T)


def _paired(likeness: Likeness, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(nq, dim) and (nq, k, dim) to (nq, k)."""
    asked, given = queries.astype(np.float64), rows.astype(np.float64)
    if likeness == "product":
        return np.asarray(np.matmul(given, asked[:, :, None])[..., 0])
    given -= asked[:, None]
    return np.asarray(np.einsum("qkd,qkd->qk", given, given) * -0.5)
