"""How much each event is to count: weightings of (users, items) matrices as of terms in documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Weighting = Literal["none", "tf-idf", "bm25"]

K1 = 1.2
B = 0.75


def need_one_of(name: str, value: Any, kinds: Any) -> None:
    """Raise ParameterError unless a value is one of a Literal's."""
    allowed = get_args(kinds)
    if value not in allowed:
        raise ParameterError(f"{name} is {value!r}, one of {', '.join(map(repr, allowed))} expected")


def need_number(name: str, value: Any, least: float, most: float = np.inf, *, above: bool = False) -> float:
    """A finite number from `least` (above it, if wanted) to `most`."""
    fine = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
    if not fine or value < least or value > most or (above and value == least):
        wanted = f"a number {'above' if above else 'from'} {least:g}" + (f" to {most:g}" if np.isfinite(most) else "")
        raise ParameterError(f"{name} is {value!r}, {wanted} expected")
    return float(value)


class CountWeights:
    """A weighting with what it learned: how rare each item is, and how long histories are.

    Parameters
    ----------
    matrix
        (users, items) weights w; users are the documents and items the terms.
    weighting
        ``"none"``: w. ``"tf-idf"``: √w · idf. ``"bm25"``: w (k1 + 1) / (w + k1 (1 - b + b · length / mean length)) · idf with
        k1 = 1.2, b = 0.75 and length = Σ |w|. idf = ln(1 + (n - d + ½) / (d + ½)), d of the n users having had to do with the
        item. What is below 0 stays so.

    Sources: G. Salton and C. Buckley, "Term-weighting approaches in automatic text retrieval" (1988); S. Robertson and
    H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond" (2009).

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> counts = csr_array(np.array([[4.0, 1.0], [0.0, 9.0]]))
    >>> CountWeights(counts, "tf-idf").of(counts).toarray().round(2).tolist()
    [[1.39, 0.18], [0.0, 0.55]]
    """

    def __init__(self, matrix: csr_array, weighting: Weighting) -> None:
        need_one_of("weighting", weighting, Weighting)
        self.weighting = weighting
        having = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self.rarity = np.log1p((matrix.shape[0] - having + 0.5) / (having + 0.5))
        self.mean_length = float(np.abs(matrix.data).sum()) / max(1, matrix.shape[0]) or 1.0

    def of(self, histories: csr_array) -> csr_array:
        """Histories, weighted."""
        weighted = histories.astype(np.float64)
        if self.weighting == "none":
            return weighted
        size = np.abs(weighted.data)
        if self.weighting == "tf-idf":
            counted = np.sqrt(size)
        else:
            length = row_sums(weighted, size) / self.mean_length
            counted = size * (K1 + 1) / (size + K1 * np.repeat(1 - B + B * length, np.diff(weighted.indptr)))
        weighted.data = np.sign(weighted.data) * counted * self.rarity[weighted.indices]
        return weighted


def row_sums(matrix: csr_array, data: np.ndarray) -> np.ndarray:
    """(m,) sums over each row of numbers that stand where the entries of a matrix do."""
    whose = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.asarray(np.bincount(whose, weights=data, minlength=matrix.shape[0]))


def less_mean(matrix: csr_array) -> csr_array:
    """Each entry less the mean of its row's entries.

    >>> from scipy.sparse import csr_array
    >>> less_mean(csr_array(np.array([[5.0, 3.0, 0.0]]))).toarray().tolist()
    [[1.0, -1.0, 0.0]]
    """
    counts = np.diff(matrix.indptr)
    centred = matrix.astype(np.float64)
    centred.data = centred.data - np.repeat(row_sums(matrix, matrix.data) / np.maximum(1, counts), counts)
    return centred


def scaled_rows(matrix: csr_array, factors: np.ndarray) -> csr_array:
    """Each row times its factor."""
    scaled = matrix.copy()
    scaled.data = scaled.data * np.repeat(factors, np.diff(matrix.indptr))
    return scaled


def by_largest(matrix: csr_array) -> csr_array:
    """Each row by its largest |entry|: however small or large weights are, sums of them are not.

    >>> from scipy.sparse import csr_array
    >>> by_largest(csr_array(np.array([[1e-60, -2e-60], [0.0, 0.0]]))).toarray().tolist()
    [[0.5, -1.0], [0.0, 0.0]]
    """
    scaled, indptr = matrix.astype(np.float64), matrix.indptr
    some = np.flatnonzero(np.diff(indptr))
    sizes = np.ones(matrix.shape[0])
    if len(some):
        sizes[some] = np.maximum.reduceat(np.abs(scaled.data), indptr[some])
    sizes[sizes == 0] = 1.0
    scaled.data = scaled.data / np.repeat(sizes, np.diff(indptr))
    return scaled


def as_ones(matrix: csr_array) -> csr_array:
    """1 where an entry is above 0, and nothing elsewhere."""
    ones = matrix.copy()
    ones.data = (ones.data > 0).astype(np.float64)
    ones.eliminate_zeros()
    return ones


def inverse(numbers: np.ndarray) -> np.ndarray:
    """1 / x, and 0 for 0."""
    return np.asarray(np.divide(1.0, numbers, out=np.zeros(len(numbers)), where=numbers > 0))
