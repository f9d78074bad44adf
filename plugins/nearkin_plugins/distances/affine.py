"""Euclidean distance after an affine map of the rows: Mahalanobis, standardized and weighted."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from nearkin.errors import ParameterError, VectorError
from nearkin.metrics import ALL_AXIOMS, Metric, need_fitted
from nearkin.state import State
from nearkin.vectors import block_rows
from nearkin_plugins.distances.blocks import mapped
from nearkin_plugins.distances.number_lists import Numbers, as_numbers, is_file

MAHALANOBIS_COLUMNS = 16_384
"""Columns that a covariance is computed of at most: 2 GiB, and as much again for its inverse."""

FLOAT32_ROUNDING = 2.0**-24


class AffineEuclidean(Metric):
    """Base of metrics that are Euclidean distance between rows that `moved` has shifted and mapped.

    Clustering makes the squares of these distances least; the mean of mapped rows is the mapped mean.
    """

    axioms = ALL_AXIOMS
    reduces_to = "l2"
    centroid_rule = "mean"
    refuses_rows = True

    @abstractmethod
    def moved(self, vectors: np.ndarray) -> np.ndarray:
        """(n, dim) rows shifted and mapped, in float64.

        Raises
        ------
        NotTrainedError, VectorError
            The metric is not fitted, or made for rows of another width.
        """

    @abstractmethod
    def unmoved(self, rows: np.ndarray) -> np.ndarray:
        """(k, dim) float64 rows that `moved` maps to these."""

    def known(self) -> bool:
        """Whether rows can be moved yet; before, none is refused."""
        return True

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        rows = mapped(vectors, self.moved)
        if not np.isfinite(rows).all():
            raise VectorError(f"vectors leave the range of float32: {self.bad_row_reason}")
        return rows

    def unprepare(self, prepared: np.ndarray) -> np.ndarray:
        return mapped(prepared, self.unmoved)

    def refuses(self, vectors: np.ndarray) -> np.ndarray:
        """Rows whose squares would overflow once they are moved."""
        if not self.known():
            return super().refuses(vectors)
        moved = self.moved(vectors)
        return np.asarray(np.einsum("ij,ij->i", moved, moved) > self.longest_row**2)

    def finish(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.maximum(values, 0)))

    def unfinish(self, distance: float) -> float:
        return distance * abs(distance)


def need_width(metric: Metric, vectors: np.ndarray, width: int, what: str) -> None:
    """Raise VectorError if the rows have another number of columns than the metric is made for."""
    if vectors.shape[1] != width:
        raise VectorError(f"vectors have {vectors.shape[1]} columns, metric {metric.name!r} {what} {width}")


class Mahalanobis(AffineEuclidean):
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
    needs_fit = True
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
        rounding = (FLOAT32_ROUNDING * largest) ** 2 / 3.0
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

    def known(self) -> bool:
        return self._mean is not None

    def moved(self, vectors: np.ndarray) -> np.ndarray:
        need_fitted(self, self._mean)
        need_width(self, vectors, len(self._whitening), "was fitted on")
        return np.asarray((vectors - self._mean) @ self._whitening)

    def unmoved(self, rows: np.ndarray) -> np.ndarray:
        need_fitted(self, self._mean)
        return np.asarray(np.linalg.solve(self._whitening.T, rows.T.astype(np.float64)).T + np.asarray(self._mean))

    def state(self) -> State:
        if self._mean is None:
            return State(meta={"shrinkage": self.shrinkage})
        return State({"mean": self._mean, "whitening": self._whitening}, {"shrinkage": self.shrinkage})

    def restore(self, state: State) -> None:
        self.shrinkage = float(state.meta["shrinkage"])
        self._mean = state.arrays.get("mean")
        self._whitening = state.arrays.get("whitening", np.empty((0, 0)))


class StandardizedEuclidean(AffineEuclidean):
    """√ Σ (a_i - b_i)² / v_i, for v_i the variance of column i: Euclidean distance in units of each column's own spread.

    The variances, with n - 1 in the denominator, are those of the rows given to `fit`. A column that does not vary is left in
    its own unit, as scikit-learn's StandardScaler leaves it.

    Source: ``seuclidean`` in SciPy, which fits the variances in the same way. Axioms: all four. Reduces to squared L2 of rows
    less the mean, divided by the standard deviations.

    The first column spreads twice as far as the second, so that a step of 2 there is as far as a step of 1 here:

    >>> metric = StandardizedEuclidean()
    >>> metric.fit(np.float32([[2, 0], [-2, 0], [0, 1], [0, -1]]))
    >>> metric.distances(np.float32([[0, 0]]), np.float32([[2, 0], [0, 1]])).round(4).tolist()
    [[1.2247, 1.2247]]
    """

    name = "standardized-euclidean"
    needs_fit = True
    bad_row_reason = f"rows more than {Metric.longest_row:.0e} standard deviations from those fitted on leave float32"

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None
        self._deviations = np.empty(0)

    def fit(self, sample: np.ndarray) -> None:
        """Learn means and variances from (n, dim) rows.

        Raises
        ------
        VectorError
            Fewer than two rows.
        """
        if len(sample) < 2:
            raise VectorError(f"metric {self.name!r} needs at least 2 rows to fit, got {len(sample)}")
        mean, variances = _column_moments(sample)
        largest = np.maximum(sample.max(axis=0), -sample.min(axis=0)).astype(np.float64)
        varies = variances > (FLOAT32_ROUNDING * largest) ** 2 / 3.0
        self._mean, self._deviations = mean, np.sqrt(np.where(varies, variances, 1.0))

    def known(self) -> bool:
        return self._mean is not None

    def moved(self, vectors: np.ndarray) -> np.ndarray:
        need_fitted(self, self._mean)
        need_width(self, vectors, len(self._deviations), "was fitted on")
        return np.asarray((vectors - self._mean) / self._deviations)

    def unmoved(self, rows: np.ndarray) -> np.ndarray:
        need_fitted(self, self._mean)
        return np.asarray(rows * self._deviations + np.asarray(self._mean))

    def state(self) -> State:
        return State({} if self._mean is None else {"mean": self._mean, "deviations": self._deviations})

    def restore(self, state: State) -> None:
        self._mean = state.arrays.get("mean")
        self._deviations = state.arrays.get("deviations", np.empty(0))


class WeightedEuclidean(AffineEuclidean):
    """√ Σ w_i (a_i - b_i)²: Euclidean distance with a weight for each column, 1 for all if none are given.

    Source: ``euclidean`` with ``w`` in SciPy. Axioms: all four; a column of weight 0 is not looked at, and centroids have NaN
    there. Reduces to squared L2 of rows times the roots of the weights.

    Parameters
    ----------
    weights
        One a column, none below 0: any sequence of numbers; or text, numbers as ``1/2/0.5`` or the path of a file that has them
        (``.npy``, or text separated by spaces, commas or lines). A file is read once, and its weights are saved with what is
        built.

    Raises
    ------
    ParameterError
        A weight below 0, no number, or nothing but zeros.

    Examples
    --------
    √(4 · 1² + 0.25 · 2²):

    >>> metric = WeightedEuclidean(weights=[4, 0.25])
    >>> metric.distances(np.float32([[0, 0]]), np.float32([[1, 2]])).round(4).tolist()
    [[2.2361]]
    >>> WeightedEuclidean("4/0.25").distances(np.float32([[0, 0]]), np.float32([[1, 2]])).round(4).tolist()
    [[2.2361]]
    """

    name = "weighted-euclidean"
    bad_row_reason = f"rows longer than {Metric.longest_row:.0e} with their weights leave the range of float32"

    def __init__(self, weights: Numbers | None = None) -> None:
        # A file is read when it is needed: it may be gone when the weights that it gave are restored.
        self._file = weights if is_file(weights) else None
        self._roots = None if weights is None or self._file is not None else _roots(as_numbers(weights, "weights"))

    def _needed(self) -> np.ndarray | None:
        """Roots of the weights; None for all 1."""
        if self._file is not None:
            self._roots = _roots(as_numbers(self._file, "weights"))
            self._file = None
        return self._roots

    def prepared_dim(self, dim: int) -> int:
        roots = self._needed()
        if roots is not None and len(roots) != dim:
            raise VectorError(f"vectors have {dim} columns, metric {self.name!r} was given {len(roots)} weights")
        return dim

    def moved(self, vectors: np.ndarray) -> np.ndarray:
        self.prepared_dim(vectors.shape[1])
        roots = self._needed()
        return np.asarray(vectors * (np.float64(1.0) if roots is None else roots))

    def unmoved(self, rows: np.ndarray) -> np.ndarray:
        """A column of weight 0 is NaN: the metric does not look at it, and prepared rows no longer have it."""
        roots = self._needed()
        if roots is None:
            return rows.astype(np.float64)
        return np.asarray(np.where(roots > 0, rows / np.where(roots > 0, roots, 1.0), np.nan))

    def state(self) -> State:
        roots = self._needed()
        return State({} if roots is None else {"roots": roots})

    def restore(self, state: State) -> None:
        self._roots = state.arrays.get("roots")
        self._file = None


def _roots(weights: np.ndarray) -> np.ndarray:
    if weights.min() < 0:
        column = int(weights.argmin())
        raise ParameterError(f"the weight of column {column} is {weights[column]:g}, at least 0 expected")
    if weights.max() == 0:
        raise ParameterError("all weights are 0, so that all rows would be equal")
    return np.asarray(np.sqrt(weights))


def _mean(sample: np.ndarray) -> np.ndarray:
    """Of each column in float64, block by block."""
    step = block_rows(16 * sample.shape[1])
    starts = range(0, len(sample), step)
    return np.asarray(sum(sample[start : start + step].sum(axis=0, dtype=np.float64) for start in starts) / len(sample))


def _column_moments(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (n - 1 in the denominator) of the columns in float64, block by block."""
    n, dim = sample.shape
    step = block_rows(16 * dim)
    mean = _mean(sample)
    squares = np.zeros(dim)
    for start in range(0, n, step):
        squares += np.square(sample[start : start + step] - mean).sum(axis=0)
    return mean, squares / (n - 1)


def _moments(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (n - 1 in the denominator) of the rows in float64, block by block."""
    n, dim = sample.shape
    step = block_rows(16 * dim)
    mean = _mean(sample)
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
