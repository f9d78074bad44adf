"""Built-in metrics: the kernel's four, Manhattan and Chebyshev, Mahalanobis, and Hamming over packed bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nearkin.errors import NotTrainedError, ParameterError, VectorError
from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import ALL_AXIOMS, Metric, need_fitted
from nearkin.state import State
from nearkin.vectors import block_rows

CACHE_BYTES = 1 << 20
"""Temporaries of a pairwise loop: small enough to stay in a processor's cache between two passes."""


@dataclass(frozen=True)
class MahalanobisParams:
    """Options of `Mahalanobis`."""

    shrinkage: float = 0.0


MAHALANOBIS_COLUMNS = 16_384
"""Columns that a covariance is computed of at most: 2 GiB, and as much again for its inverse."""


class Manhattan(Metric):
    """Σ |a_i - b_i|, the L1 distance: one large difference weighs no more than many small ones.

    Source: "city block" distance; ``cityblock`` in SciPy, ``METRIC_L1`` in faiss. Axioms: all four. Reduces to nothing:
    faiss computes it natively, `pairwise` in numpy.

    >>> Manhattan().distances(np.float32([[0, 0]]), np.float32([[3, -4]])).tolist()
    [[7.0]]
    """

    name = "manhattan"
    axioms = ALL_AXIOMS
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_L1"}

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return _over_absolute_differences(np.add, queries, vectors)


class Chebyshev(Metric):
    """max |a_i - b_i|, the L∞ distance: rows are as far apart as their most different column.

    Source: P. Chebyshev's minimax norm; ``chebyshev`` in SciPy, ``METRIC_Linf`` in faiss. Axioms: all four. Reduces to
    nothing: faiss computes it natively, `pairwise` in numpy.

    >>> Chebyshev().distances(np.float32([[0, 0]]), np.float32([[3, -4]])).tolist()
    [[4.0]]
    """

    name = "chebyshev"
    axioms = ALL_AXIOMS
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_Linf"}

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return _over_absolute_differences(np.maximum, queries, vectors)


def _over_absolute_differences(fold: np.ufunc, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(nq, n) of |q_i - x_i| folded over the columns, in float64, one query against one block of rows at a time."""
    if len(queries) > len(vectors):  # symmetric, so the shorter side is the one looped over in Python
        return _over_absolute_differences(fold, vectors, queries).T
    n, dim = vectors.shape
    values = np.empty((len(queries), n), dtype=np.float64)
    step = block_rows(8 * dim, CACHE_BYTES)
    room = np.empty((min(step, n), dim), dtype=np.float64)
    for start in range(0, n, step):
        block = vectors[start : start + step].astype(np.float64)
        differences = room[: len(block)]
        for row, query in enumerate(queries.astype(np.float64)):
            np.subtract(block, query, out=differences)
            np.abs(differences, out=differences)
            fold.reduce(differences, axis=1, out=values[row, start : start + step])
    return values


class Mahalanobis(Metric):
    """√ (a - b)ᵀ Σ⁻¹ (a - b): Euclidean distance after the columns were scaled and decorrelated by their covariance Σ.

    Σ is the covariance of the rows given to `fit`. With ``shrinkage`` s it is (1 - s) Σ + s (trace Σ / dim) I, which
    can be inverted even if columns are constant, dependent, or as many as the rows.

    Sources: P. C. Mahalanobis, "On the generalised distance in statistics" (1936); shrinkage: O. Ledoit and M. Wolf,
    "A well-conditioned estimator for large-dimensional covariance matrices" (2004); whitening (ZCA-cor): A. Kessy, A.
    Lewin and K. Strimmer, "Optimal whitening and decorrelation" (2018). Axioms: all four. Reduces to squared L2 of
    whitened rows (x - mean) D^(-1/2) R^(-1/2), for D the variances and R the correlations: without shrinkage, the
    columns' units do not matter.

    Parameters
    ----------
    shrinkage
        0 (the sample's own covariance) to 1 (all columns alike: Euclidean distance in units of one spread).

    Raises
    ------
    ParameterError
        shrinkage is not between 0 and 1.

    Examples
    --------
    The first column spreads twice as far as the second, so that a step of 2 there is as far as a step of 1 here:

    >>> metric = Mahalanobis()
    >>> metric.fit(np.float32([[2, 0], [-2, 0], [0, 1], [0, -1]]))
    >>> metric.distances(np.float32([[0, 0]]), np.float32([[2, 0], [0, 1]])).round(4).tolist()
    [[1.2247, 1.2247]]
    """

    name = "mahalanobis"
    axioms = ALL_AXIOMS
    reduces_to = "l2"
    needs_fit = True
    refuses_rows = True
    bad_row_reason = f"rows more than {Metric.longest_row:.0e} standard deviations from those fitted on leave float32"

    def __init__(self, shrinkage: float = 0.0) -> None:
        if not 0.0 <= shrinkage <= 1.0:
            raise ParameterError(f"shrinkage is {shrinkage}, a number from 0 to 1 expected")
        self.shrinkage = float(shrinkage)
        self._mean: np.ndarray | None = None
        self._whitening = np.empty((0, 0))

    def fit(self, sample: np.ndarray) -> None:
        """Learn mean and covariance from (n, dim) rows.

        Raises
        ------
        VectorError
            Fewer than two rows, or a covariance that cannot be inverted.
        """
        if len(sample) < 2:
            raise VectorError(f"metric 'mahalanobis' needs at least 2 rows to fit, got {len(sample)}")
        dim = sample.shape[1]
        if dim > MAHALANOBIS_COLUMNS:
            raise VectorError(
                f"metric 'mahalanobis' needs the covariance of {dim:,} columns, {8 * dim**2 / 1e9:,.0f} GB; "
                f"it takes at most {MAHALANOBIS_COLUMNS:,} columns",
                hint="use euclidean, or fewer columns",
            )
        mean, covariance = _moments(sample)
        largest = np.maximum(sample.max(axis=0), -sample.min(axis=0)).astype(np.float64)
        rounding = (2.0**-24 * largest) ** 2 / 3.0
        if self.shrinkage:
            covariance += self.shrinkage * (np.trace(covariance) / dim * np.eye(dim) - covariance)
            rounding[:] = 0.0  # spread along every direction is now given, not measured
        whitening, rank = _whitening(covariance, rounding)
        if rank < dim:
            raise VectorError(
                f"metric 'mahalanobis' cannot invert the covariance of {len(sample):,} rows: its rank is {rank} "
                f"of {dim} columns",
                hint="pass shrinkage=0.01, or leave out constant and dependent columns" if rank else "no column varies",
            )
        self._mean, self._whitening = mean, whitening

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        need_fitted(self, self._mean)
        if vectors.shape[1] != len(self._whitening):
            raise VectorError(
                f"vectors have {vectors.shape[1]} columns, metric 'mahalanobis' was fitted on {len(self._whitening)}"
            )
        whitened = np.empty(vectors.shape, dtype=np.float32)
        step = block_rows(16 * vectors.shape[1])
        for start in range(0, len(vectors), step):
            with np.errstate(over="ignore"):
                whitened[start : start + step] = (vectors[start : start + step] - self._mean) @ self._whitening
        if not np.isfinite(whitened).all():
            raise VectorError(
                "vectors lie more than 3e38 standard deviations from the rows that metric 'mahalanobis' was fitted on"
            )
        return whitened

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        """Rows whose whitened squares would overflow; none before `fit`, since the spread is not known."""
        if self._mean is None:
            return super().refuses(vectors)
        whitened = (vectors - self._mean) @ self._whitening
        return np.asarray(np.einsum("ij,ij->i", whitened, whitened) > self.longest_row**2)

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(values, 0)))

    def unfinish(self, distance: float) -> float:
        return distance * abs(distance)

    def state(self) -> State:
        if self._mean is None:
            return State(meta={"shrinkage": self.shrinkage})
        return State({"mean": self._mean, "whitening": self._whitening}, {"shrinkage": self.shrinkage})

    def restore(self, state: State) -> None:
        self.shrinkage = float(state.meta["shrinkage"])
        self._mean = state.arrays.get("mean")
        self._whitening = state.arrays.get("whitening", np.empty((0, 0)))


def _moments(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (n - 1 in the denominator) of the rows in float64, block by block."""
    n, dim = sample.shape
    step = block_rows(16 * dim)
    mean = sum(sample[start : start + step].sum(axis=0, dtype=np.float64) for start in range(0, n, step)) / n
    covariance = np.zeros((dim, dim))
    for start in range(0, n, step):
        centred = sample[start : start + step] - mean
        covariance += centred.T @ centred
    return mean, covariance / (n - 1)


def _whitening(covariance: np.ndarray, rounding: np.ndarray) -> tuple[np.ndarray, int]:
    """(dim, dim) matrix D^(-1/2) R^(-1/2) and the rank; the matrix is meaningless where the rank is too low.

    Work goes on with the correlations, so that columns in small units are not taken for missing ones. A direction
    counts if the rows spread more along it than float32 rounds the values (`rounding`, a variance for each column).
    """
    variances = np.diag(covariance)
    varies = variances > rounding
    scale = np.where(varies, 1.0 / np.sqrt(np.where(varies, variances, 1.0)), 0.0)
    values, directions = np.linalg.eigh(covariance * scale[:, None] * scale[None, :])
    noise = directions.T**2 @ (rounding * scale**2)
    real = values > np.maximum(2.0 * noise, len(values) * np.finfo(np.float64).eps * values[-1])
    roots = np.where(real, 1.0 / np.sqrt(np.where(real, values, 1.0)), 0.0)
    return scale[:, None] * ((directions * roots) @ directions.T), int(np.count_nonzero(real))


class Hamming(Metric):
    """Number of bits that differ, Σ a_i xor b_i, over rows of packed bits (uint8, as `numpy.packbits` makes them).

    Source: R. W. Hamming, "Error detecting and error correcting codes" (1950); ``IndexBinary`` in faiss. Axioms: all
    four. Reduces to nothing: faiss computes it natively, `pairwise` by xor and a count of bits. Unlike SciPy's, it is a
    number of bits and not a share; the share is 1 - similarity.

    The similarity needs the number of bits in a row: 8 for each byte, the zeros that pad the last byte included. The
    metric takes it from the rows that it saw last, in `fit`, `prepare` or `pairwise`, and keeps it in its state.

    >>> metric = Hamming()
    >>> found = metric.distances(np.uint8([[0b1010_0000]]), np.uint8([[0b1000_0001], [0b1010_0000]]))
    >>> found.tolist(), metric.similarity(found).tolist()
    ([[2.0, 0.0]], [[0.75, 1.0]])
    """

    name = "hamming"
    axioms = ALL_AXIOMS
    dtype = "bits"
    native: ClassVar[Mapping[str, str]] = {"faiss": "METRIC_Hamming"}
    similarity_rule = "the share of bits that agree, 1 - distance / bits, from 0 to 1"

    def __init__(self) -> None:
        self._bits: int | None = None

    def fit(self, sample: np.ndarray) -> None:
        self._bits = 8 * sample.shape[1]

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        self._bits = 8 * vectors.shape[1]
        return vectors

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        self._bits = 8 * vectors.shape[1]
        return _differing_bits(_as_words(queries), _as_words(vectors))

    def similarity(self, distances: np.ndarray) -> np.ndarray:
        if self._bits is None:
            raise NotTrainedError(
                "metric 'hamming' has seen no rows, so it does not know how many bits they have", hint="call fit(rows)"
            )
        return np.asarray(1.0 - distances / self._bits)

    def state(self) -> State:
        return State(meta={} if self._bits is None else {"bits": self._bits})

    def restore(self, state: State) -> None:
        self._bits = state.meta.get("bits")


def _as_words(rows: np.ndarray) -> np.ndarray:
    """(n, bytes) uint8 as (n, words) uint64, padded with zeros, which never differ."""
    missing = -rows.shape[1] % 8
    if missing:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    return np.ascontiguousarray(rows).view(np.uint64)


def _differing_bits(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(nq, n) bits that differ between rows of words, one query against one block of rows at a time."""
    if len(queries) > len(vectors):  # symmetric, so the shorter side is the one looped over in Python
        return _differing_bits(vectors, queries).T
    values = np.empty((len(queries), len(vectors)), dtype=np.float64)
    step = block_rows(16 * vectors.shape[1], CACHE_BYTES)
    for start in range(0, len(vectors), step):
        block = np.ascontiguousarray(vectors[start : start + step].T)
        for row, query in enumerate(queries):
            counts = _popcount(block ^ query[:, None])
            values[row, start : start + step] = counts.sum(axis=0, dtype=np.uint32)
    return values


_BITS_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def _popcount_by_table(words: np.ndarray) -> np.ndarray:
    """Set bits of each uint64."""
    counts = _BITS_OF_BYTE[np.ascontiguousarray(words).view(np.uint8)]
    return np.asarray(counts.reshape(*words.shape, 8).sum(axis=-1, dtype=np.uint8))


# numpy counts bits itself from version 2 on.
_popcount: Callable[[np.ndarray], np.ndarray] = getattr(np, "bitwise_count", _popcount_by_table)


@hookimpl
def nearkin_metrics() -> list[MetricSpec]:
    """The metrics that come with nearkin."""
    return [
        MetricSpec(
            name="euclidean",
            summary="Length of the straight line between two rows.",
            make="nearkin.metrics:Euclidean",
            aliases=("l2",),
        ),
        MetricSpec(
            name="sqeuclidean",
            summary="Squared Euclidean distance: the same order, no root.",
            make="nearkin.metrics:SquaredEuclidean",
            aliases=("squared-l2", "l2sqr"),
        ),
        MetricSpec(
            name="inner-product",
            summary="Negated inner product: the larger the product, the nearer.",
            make="nearkin.metrics:InnerProduct",
            aliases=("ip", "dot"),
        ),
        MetricSpec(
            name="cosine",
            summary="One minus the cosine of the angle; lengths do not matter.",
            make="nearkin.metrics:Cosine",
            aliases=("cos",),
        ),
        MetricSpec(
            name="manhattan",
            summary="Sum of the absolute differences (L1).",
            make="nearkin_plugins.metrics:Manhattan",
            aliases=("l1", "cityblock"),
        ),
        MetricSpec(
            name="chebyshev",
            summary="Largest absolute difference (L-infinity).",
            make="nearkin_plugins.metrics:Chebyshev",
            aliases=("linf",),
        ),
        MetricSpec(
            name="mahalanobis",
            summary="Euclidean distance after scaling and decorrelating the columns.",
            make="nearkin_plugins.metrics:Mahalanobis",
            params=MahalanobisParams,
            examples=({}, {"shrinkage": 0.01}),
        ),
        MetricSpec(
            name="hamming",
            summary="Number of bits that differ between rows of packed bits.",
            make="nearkin_plugins.metrics:Hamming",
        ),
    ]
