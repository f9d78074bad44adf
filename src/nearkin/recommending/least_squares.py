"""Weighted least squares for one side of a factorization while the other stands: in steps, or exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

STEPS = 3
"""Steps of conjugate gradients for each half iteration, which start from the vectors of the last one."""


class Weighted(NamedTuple):
    """What the vectors of one side are solved by.

    Attributes
    ----------
    surer : csr_array
        (m, n) float32: by how much the confidence of each entry is above 1.
    wanted : csr_array
        (m, n) float32: confidence times preference.
    ridge : ndarray
        (m,) regularization of each vector.
    """

    surer: csr_array
    wanted: csr_array
    ridge: np.ndarray

    @classmethod
    def of(cls, matrix: csr_array, alpha: float, most: float, ridge: np.ndarray) -> Self:
        """From (m, n) weights: confidence 1 + min(most, alpha · |w|), preference 1 where w > 0 and 0 where it is below."""
        surer, wanted = matrix.copy(), matrix.copy()
        surer.data = np.minimum(most, alpha * np.abs(matrix.data)).astype(np.float32)
        wanted.data = np.where(matrix.data > 0, 1.0 + surer.data, 0.0).astype(np.float32)
        return cls(surer, wanted, ridge)

    def blocks(self, factors: int) -> Iterator[slice]:
        """Rows whose entries, a vector each, are a block of memory together."""
        indptr, start, rows = self.surer.indptr, 0, self.surer.shape[0]
        most = block_rows(8 * factors)
        while start < rows:
            end = max(start + 1, int(np.searchsorted(indptr, indptr[start] + most, side="right")) - 1)
            yield slice(start, min(end, rows))
            start = end


def stepped(task: Weighted, other: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """(m, f) float32 vectors y after some steps of conjugate gradients from those that there are, and Σ c (p - x·y)² + ridge |y|²
    over all pairs with the other side's x.

    Parameters
    ----------
    other
        (n, f) float32 vectors of the other side.
    vectors
        (m, f) to start from.
    """
    gram, moved = other.T @ other, np.empty_like(vectors)
    total = float(task.wanted.data.sum(dtype=np.float64))  # c p², as p is 0 or 1
    for some in task.blocks(other.shape[1]):
        part = Weighted(task.surer[some], task.wanted[some], task.ridge[some].astype(np.float32)[:, None])
        moved[some], gained = _descended(part, other, gram, vectors[some])
        total -= gained
    return moved, total


def _descended(part: Weighted, other: np.ndarray, gram: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Vectors y of A y = b with residuals r, and Σ 2 y·b - y·A y, which is y·(b + r)."""
    whose = np.repeat(np.arange(len(start)), np.diff(part.surer.indptr))
    theirs = other[part.surer.indices]

    def applied(vectors: np.ndarray) -> np.ndarray:
        weighed = part.surer.copy()
        weighed.data = weighed.data * np.einsum("ef,ef->e", theirs, vectors[whose])
        return np.asarray(vectors @ gram + part.ridge * vectors + weighed @ other)

    vectors = start.copy()
    right = np.asarray(part.wanted @ other)
    residual = right - applied(vectors)
    direction, length = residual, (residual**2).sum(axis=1, keepdims=True)
    for _ in range(STEPS):
        image = applied(direction)
        curvature = (direction * image).sum(axis=1, keepdims=True)
        step = np.divide(length, curvature, out=np.zeros_like(length), where=curvature > 0)
        vectors += step * direction
        residual = residual - step * image
        after = (residual**2).sum(axis=1, keepdims=True)
        direction = residual + np.divide(after, length, out=np.zeros_like(length), where=length > 0) * direction
        length = after
    return vectors, float(np.einsum("mf,mf->m", vectors, right + residual).sum(dtype=np.float64))


def solved(task: Weighted, other: np.ndarray) -> np.ndarray:
    """(m, f) float32 vectors, exactly: row by row, so that one is the same alone as among many."""
    vectors = other.astype(np.float64)
    gram, factors = gram_of(other), other.shape[1]
    right = np.asarray(task.wanted.astype(np.float64) @ vectors)
    found = np.zeros((len(right), factors), dtype=np.float32)
    indptr, diagonal = task.surer.indptr, np.arange(factors)
    step = block_rows(16 * factors**2)
    for start in range(0, len(right), step):
        rows = range(start, min(len(right), start + step))
        left = np.empty((len(rows), factors, factors))
        for place, row in enumerate(rows):
            part = slice(indptr[row], indptr[row + 1])
            theirs = vectors[task.surer.indices[part]]
            left[place] = gram + (theirs.T * task.surer.data[part]) @ theirs
            left[place, diagonal, diagonal] += task.ridge[row]
        found[start : start + step] = np.linalg.solve(left, right[start : start + step, :, None])[:, :, 0]
    return found


def gram_of(vectors: np.ndarray) -> np.ndarray:
    """(f, f) float64 inner products of the columns of (n, f)."""
    exact = vectors.astype(np.float64)
    return np.asarray(exact.T @ exact)
