"""What a set of vectors looks like before anything is built from it: sizes, faults, spread, distances, hints.

Every row is read once, block by block, so that a memory-mapped file larger than memory can be described; beside a block
only 17 bytes a row are held. What cannot be had from one pass (median of the values, correlations, distances, intrinsic
dimension) comes from a random sample of rows.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from nearkin.errors import ParameterError
from nearkin.intrinsic_dimension import IntrinsicDimension, intrinsic_dimension
from nearkin.metrics import Euclidean, Metric
from nearkin.registry import default_registry
from nearkin.search_parameters import whole_number
from nearkin.vectors import DType, as_matrix, block_rows

SAMPLE_BYTES = 32 << 20
"""Very wide rows: the sample is cut to so many bytes."""
QUERIES = 1_000
"""Sampled rows whose distances to the sample are computed."""
PARTNERS = 100
"""Sampled rows that each of those is paired with at random."""
NEIGHBOURS = 10
"""Nearest neighbours that the intrinsic dimension is estimated from."""
CORRELATED_COLUMNS = 512
"""Columns whose correlations are computed; a random choice if there are more."""
BINS = 20
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Norms:
    """Euclidean lengths of all finite rows."""

    min: float
    mean: float
    median: float
    max: float


@dataclass(frozen=True)
class Values:
    """All values of all finite rows; the median is that of the sampled rows."""

    min: float
    mean: float
    median: float
    max: float
    std: float


@dataclass(frozen=True)
class ColumnSpread:
    """A column and its standard deviation."""

    column: int
    std: float


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of two columns over the sampled rows."""

    left: int
    right: int
    r: float


@dataclass(frozen=True)
class Columns:
    """What single columns show. They count from 0; for packed bits, a column is a bit.

    Attributes
    ----------
    constant
        Columns with one value in all finite rows.
    least_spread, most_spread
        The smallest and the largest standard deviation; constant columns do not count.
    correlated
        The five pairs with the largest |r|, largest first, among 512 random columns if there are more.
    """

    constant: tuple[int, ...] = ()
    least_spread: ColumnSpread | None = None
    most_spread: ColumnSpread | None = None
    correlated: tuple[Correlation, ...] = ()


@dataclass(frozen=True)
class Distances:
    """Distances among distinct sampled rows.

    Attributes
    ----------
    pairs
        Random pairs behind the histogram.
    edges
        Edges of the bins, one more than `counts`.
    nearest
        Quantile ("0.5") to the distance from a sampled row to the nearest other one. The sample is sparser than all
        rows, so true neighbours are nearer.
    contrast
        Median distance of a random pair over median distance of the nearest: how much nearer a neighbour is than any
        row. None if neighbours are at 0 or the metric has negative values.
    """

    metric: str
    pairs: int
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    nearest: dict[str, float]
    contrast: float | None


@dataclass(frozen=True)
class Description:
    """What `describe` found. Parts that the rows are too few for are None or empty.

    Attributes
    ----------
    dim
        Columns of the array; for packed bits, bytes.
    bytes
        Size of the array as given.
    nonfinite_rows
        Rows with NaN or infinite values as float32; they are left out of everything else.
    duplicate_rows
        Finite rows that repeat an earlier one exactly, as float32.
    intrinsic_dimension
        Only for float32 rows and metrics that are Euclidean after a reduction or obey the triangle inequality.
    unit_length
        Whether every finite row has length 1, give or take 0.001.
    sampled
        Rows in the sample.
    """

    rows: int
    dim: int
    dtype: str
    bytes: int
    nonfinite_rows: int
    zero_rows: int
    duplicate_rows: int
    norms: Norms | None
    values: Values | None
    columns: Columns
    distances: Distances | None
    intrinsic_dimension: IntrinsicDimension | None
    unit_length: bool
    sampled: int
    seed: int
    hints: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Dicts, lists, numbers and strings only, as JSON takes them."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def _plain(value: Any) -> Any:
    """Dataclasses as dicts and tuples as lists, all the way down."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def describe(vectors: Any, *, metric: str | Metric | None = None, sample: int = 10_000, seed: int = 0) -> Description:
    """Describe a set of vectors.

    Parameters
    ----------
    vectors
        (n, dim) rows of numbers; a memory-mapped array of any numeric dtype is read in blocks. For a metric over packed
        bits, uint8 rows.
    metric
        Metric of the distances, by name or as an object, Euclidean if None. It is not changed: a metric that needs
        fitting is fitted to the sample on a copy. Rows that it refuses are left out of the distances.
    sample
        Rows that are sampled at most, at least 2.
    seed
        The same seed gives the same description.

    Raises
    ------
    VectorError
        Not two-dimensional, no columns, not numbers; or the metric cannot be fitted to the sample.
    ParameterError
        `metric` is no Metric, or `sample` is too small.

    Examples
    --------
    >>> found = describe(np.float32([[3, 4], [3, 4], [0, 0], [np.nan, 1]]))
    >>> found.rows, found.norms.max, found.duplicate_rows
    (4, 5.0, 1)
    >>> for hint in found.hints:
    ...     print(hint)
    1 row has NaN or infinite values: remove it, or pass on_bad="skip"
    1 duplicate row
    1 zero row: cosine refuses it
    """
    if isinstance(metric, str):
        metric = default_registry().make("metric", metric)
    if metric is not None and not isinstance(metric, Metric):
        raise ParameterError(f"metric is of type {type(metric).__name__}, a name or a nearkin.Metric expected")
    metric = copy.deepcopy(metric) if metric is not None else Euclidean()
    sample = whole_number("sample", sample, 2)
    array = vectors if isinstance(vectors, np.ndarray) and vectors.ndim == 2 else as_matrix(vectors, dtype=metric.dtype)
    as_matrix(array[:0], dtype=metric.dtype)  # the checks of shape and type, without the copy
    rng = np.random.default_rng(seed)
    scan = _Scan(array, metric.dtype)
    picked = scan.sample(min(sample, max(2, block_rows(4 * array.shape[1], SAMPLE_BYTES))), rng)
    rows = as_matrix(array[scan.finite[picked]], dtype=metric.dtype)
    values = _values(rows, metric.dtype)
    distances, dimension = _distances(rows[scan.distinct(picked)], metric, rng)
    found = Description(
        rows=len(array),
        dim=array.shape[1],
        dtype=str(array.dtype),
        bytes=array.nbytes,
        nonfinite_rows=len(array) - len(scan.finite),
        zero_rows=int(np.count_nonzero(scan.norms == 0)),
        duplicate_rows=len(scan.digests) - len(np.unique(scan.digests)),
        norms=_norms(scan.norms),
        values=scan.moments.summary(values) if len(rows) else None,
        columns=replace(scan.moments.columns(), correlated=_correlated(values, rng)),
        distances=distances,
        intrinsic_dimension=dimension,
        unit_length=len(scan.norms) > 0 and bool((np.abs(scan.norms - 1.0) <= 1e-3).all()),
        sampled=len(rows),
        seed=seed,
    )
    return replace(found, hints=tuple(_hints(found, packed=metric.dtype == "bits")))


# ---- one pass over all rows ------------------------------------------------------------------------------------------


def _values(rows: np.ndarray, dtype: DType) -> np.ndarray:
    """Rows as numbers: packed bits become columns of 0 and 1."""
    return rows if dtype == "float32" else np.unpackbits(rows, axis=1)


class _Scan:
    """What one pass finds: which rows are finite, their lengths and digests, and the moments of the columns."""

    def __init__(self, array: np.ndarray, dtype: DType) -> None:
        finite, norms, digests = [], [], []
        self.moments = _Moments(array.shape[1] * (1 if dtype == "float32" else 8))
        step = block_rows(16 * self.moments.dim)
        for start in range(0, len(array), step):
            rows = as_matrix(array[start : start + step], dtype=dtype)
            kept = np.isfinite(rows).all(axis=1)
            finite.append(np.flatnonzero(kept) + start)
            rows = rows[kept]
            values = _values(rows, dtype).astype(np.float64)
            norms.append(np.sqrt(np.einsum("ij,ij->i", values, values)))
            digests.append(row_digests(rows))
            self.moments.add(values)
        self.finite = np.concatenate([np.empty(0, np.int64), *finite])
        self.norms = np.concatenate([np.empty(0), *norms])
        self.digests = np.concatenate([np.empty(0, np.uint64), *digests])

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Places in `finite` of at most `size` rows, ascending, each row at most once."""
        if len(self.finite) <= size:
            return np.arange(len(self.finite))
        return np.sort(rng.choice(len(self.finite), size, replace=False))

    def distinct(self, picked: np.ndarray) -> np.ndarray:
        """Which of the sampled rows to keep so that no two are equal."""
        return np.sort(np.unique(self.digests[picked], return_index=True)[1])


def row_digests(rows: np.ndarray) -> np.ndarray:
    """(n,) 64-bit hashes; two different rows among a million share one with a chance of one in 10^7."""
    if rows.dtype == np.float32:
        rows = rows + np.float32(0)  # -0.0 equals 0.0 but has other bytes
    joined = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in np.ascontiguousarray(rows))
    return np.frombuffer(joined, dtype=np.uint64)


class _Moments:
    """Count, mean, sum of squared deviations, minimum and maximum of each column, merged block by block.

    Source: T. Chan, G. Golub and R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979).
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.n = 0
        self.mean = np.zeros(dim)
        self.squares = np.zeros(dim)
        self.min = np.full(dim, np.inf)
        self.max = np.full(dim, -np.inf)

    def add(self, values: np.ndarray) -> None:
        """Take in (n, dim) float64 rows."""
        n = len(values)
        if not n:
            return
        mean = values.mean(axis=0)
        deviations = values - mean
        step = mean - self.mean
        total = self.n + n
        self.squares += np.einsum("ij,ij->j", deviations, deviations) + step**2 * (self.n * n / total)
        self.mean += step * (n / total)
        self.n = total
        np.minimum(self.min, values.min(axis=0), out=self.min)
        np.maximum(self.max, values.max(axis=0), out=self.max)

    def summary(self, sampled: np.ndarray) -> Values:
        """All columns together, with the median of the sampled values."""
        median = float(np.median(sampled.astype(np.float64)))  # float32 would overflow between two large values
        mean = float(self.mean.mean())
        variance = (self.squares.sum() / self.n + ((self.mean - mean) ** 2).sum()) / self.dim
        return Values(float(self.min.min()), mean, median, float(self.max.max()), float(np.sqrt(variance)))

    def columns(self) -> Columns:
        """Constant columns, and the extremes of the others."""
        if not self.n:
            return Columns()
        constant = self.min == self.max
        varying = np.flatnonzero(~constant)
        if not varying.size:
            return Columns(tuple(range(self.dim)))
        stds = np.sqrt(self.squares[varying] / self.n)
        least, most = int(stds.argmin()), int(stds.argmax())
        return Columns(
            tuple(np.flatnonzero(constant).tolist()),
            ColumnSpread(int(varying[least]), float(stds[least])),
            ColumnSpread(int(varying[most]), float(stds[most])),
        )


def _norms(norms: np.ndarray) -> Norms | None:
    if not len(norms):
        return None
    return Norms(float(norms.min()), float(norms.mean()), float(np.median(norms)), float(norms.max()))


# ---- the sample ------------------------------------------------------------------------------------------------------


def _correlated(values: np.ndarray, rng: np.random.Generator) -> tuple[Correlation, ...]:
    """The five most correlated pairs of columns that vary in the sample; none for fewer than three rows."""
    if len(values) < 3:
        return ()
    columns = np.flatnonzero(values.min(axis=0) != values.max(axis=0))
    if len(columns) > CORRELATED_COLUMNS:
        columns = np.sort(rng.choice(columns, CORRELATED_COLUMNS, replace=False))
    chosen = values[:, columns].astype(np.float64)
    chosen -= chosen.mean(axis=0)
    chosen /= np.sqrt(np.einsum("ij,ij->j", chosen, chosen))
    left, right = np.triu_indices(len(columns), 1)
    r = np.clip(chosen.T @ chosen, -1.0, 1.0)[left, right]
    top = np.argsort(-np.abs(r), kind="stable")[:5]
    return tuple(Correlation(int(columns[left[i]]), int(columns[right[i]]), float(r[i])) for i in top)


def _distances(
    rows: np.ndarray, metric: Metric, rng: np.random.Generator
) -> tuple[Distances | None, IntrinsicDimension | None]:
    """Distances from up to `QUERIES` of these distinct rows to all of them."""
    if metric.refuses_rows:
        rows = rows[~metric.refuses(rows)]
    if len(rows) < 2:
        return None, None
    if metric.needs_fit:
        metric.fit(rows)
    nearest, pairs = _nearest_and_pairs(rows, metric, rng)
    distances = metric.finish(nearest)
    radii = _radii(nearest, distances, metric)
    dimension = None if radii is None else intrinsic_dimension(radii)
    return _summary(distances[:, 0], metric.finish(pairs), metric), dimension


def _summary(nearest: np.ndarray, pairs: np.ndarray, metric: Metric) -> Distances | None:
    """Histogram of the pairs and quantiles of the nearest; distances that are infinite are left out."""
    nearest, pairs = nearest[np.isfinite(nearest)], pairs[np.isfinite(pairs)]
    if not (len(nearest) and len(pairs)):
        return None
    edges, counts = _histogram(pairs)
    quantiles = zip(QUANTILES, np.quantile(nearest, QUANTILES).tolist(), strict=True)
    contrast = None
    if "non-negative" in metric.axioms and np.median(nearest) > 0:
        contrast = float(np.median(pairs) / np.median(nearest))
    return Distances(metric.name, len(pairs), edges, counts, {str(share): at for share, at in quantiles}, contrast)


def _nearest_and_pairs(rows: np.ndarray, metric: Metric, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values of the metric's space: (queries, neighbours) to the nearest other rows, and (pairs,) of random pairs."""
    n = len(rows)
    queries = np.sort(rng.choice(n, min(QUERIES, n), replace=False))
    partners = rng.choice(n, min(PARTNERS, n), replace=False)
    k = min(NEIGHBOURS, n - 1)
    prepared, prepared_queries = metric.prepare(rows), metric.prepare_queries(rows[queries])
    nearest, pairs = np.empty((len(queries), k)), []
    step = block_rows(8 * n)
    for start in range(0, len(queries), step):
        own = queries[start : start + step]
        values = np.array(metric.space.pairwise(prepared_queries[start : start + step], prepared), dtype=np.float64)
        pairs.append(values[:, partners][own[:, None] != partners])
        values[np.arange(len(own)), own] = np.inf
        nearest[start : start + step] = np.sort(np.partition(values, k - 1, axis=1)[:, :k], axis=1)
    return nearest, np.concatenate(pairs)


def _histogram(values: np.ndarray) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges and counts of equal bins; a single bin where the values are too close together for more."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, BINS + 1)
    if not (np.diff(edges) > 0).all():
        return (low, high), (len(values),)
    counts, _ = np.histogram(values, edges)
    return tuple(edges.tolist()), tuple(counts.tolist())


def _radii(nearest: np.ndarray, distances: np.ndarray, metric: Metric) -> np.ndarray | None:
    """Neighbour distances that grow like lengths, which the estimators need; squared or angular ones do not."""
    if metric.reduces_to == "l2":
        return np.asarray(np.sqrt(nearest))
    return distances if "triangle" in metric.axioms and metric.dtype == "float32" else None


# ---- hints -----------------------------------------------------------------------------------------------------------


def _hints(found: Description, packed: bool) -> Iterator[str]:
    """What is worth knowing before anything is built, in plain words."""
    if not found.rows:
        yield "no rows"
    if found.nonfinite_rows:
        has, them = ("has", "it") if found.nonfinite_rows == 1 else ("have", "them")
        yield f'{_rows(found.nonfinite_rows)} {has} NaN or infinite values: remove {them}, or pass on_bad="skip"'
    if found.duplicate_rows:
        yield _rows(found.duplicate_rows, "duplicate ")
    if found.columns.constant and found.rows - found.nonfinite_rows > 1:
        count, shown = len(found.columns.constant), ", ".join(map(str, found.columns.constant[:5]))
        yield f"{count:,} constant column{'' if count == 1 else 's'} ({shown}{', ...' if count > 5 else ''})"
    if not packed:
        yield from _length_hints(found)
        yield from _column_hints(found)
    yield from _distance_hints(found)


def _rows(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}row{'' if count == 1 else 's'}"


def _length_hints(found: Description) -> Iterator[str]:
    if found.zero_rows:
        yield f"{_rows(found.zero_rows, 'zero ')}: cosine refuses {'it' if found.zero_rows == 1 else 'them'}"
    if found.unit_length:
        yield "rows have length one: cosine and inner product agree, and euclidean puts rows in the same order"
    elif found.norms and found.norms.max > 2 * found.norms.min > 0:
        shortest, longest = f"{found.norms.min:.3g}", f"{found.norms.max:.3g}"
        yield f"lengths run from {shortest} to {longest}: inner product favours long rows, cosine ignores length"


def _column_hints(found: Description) -> Iterator[str]:
    least, most = found.columns.least_spread, found.columns.most_spread
    if least and most and most.std > 100 * least.std:
        columns = f"column {most.column} spreads {most.std / least.std:.3g} times as far as column {least.column}"
        yield f"{columns}: scale them, or use mahalanobis"
    if found.columns.correlated and found.sampled >= 30 and abs(found.columns.correlated[0].r) > 0.95:
        pair = found.columns.correlated[0]
        yield f"columns {pair.left} and {pair.right} say almost the same (r = {pair.r:.3f})"


def _distance_hints(found: Description) -> Iterator[str]:
    dimension = found.intrinsic_dimension
    if dimension and dimension.two_nn < found.dim / 3:
        about = f"about {dimension.two_nn:.0f} of {found.dim}"
        yield f"rows fill {about} dimensions: fewer columns or smaller codes are worth measuring"
    distances = found.distances
    if distances and distances.pairs >= 1000 and distances.contrast is not None and distances.contrast < 1.2:
        yield f"random rows are only {distances.contrast:.2f} times as far as the nearest: search will be hard"
