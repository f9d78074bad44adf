"""Silhouettes in bounded memory: of every row, or of a sample that is stratified by cluster.

The silhouette of a row is (b - a) / max(a, b), with a its mean distance from the other rows of its cluster and b the least, over
the other clusters, of its mean distance from their rows; 0 for a row alone in its cluster. Distances are those of the metric.

A row of weight w is w rows that are equal: besides itself, its cluster has w - 1 more of it, at distance 0. Of weights that are no
whole numbers, a row of weight below 1 leaves nothing of itself in its cluster, and one below 2 by itself is alone.

Source: P. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis" (1987).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np

from nearkin.accuracy import CONFIDENCE_Z
from nearkin.kernels import pool
from nearkin.metrics import Metric, squared_l2
from nearkin.objectives import MetricSums
from nearkin.vectors import block_rows

EXACT_ROWS = 10_000
"""Up to so many rows every silhouette is computed, unless something else is asked for."""

SAMPLED_ROWS = 2_000
"""Rows whose silhouettes are computed of more rows than that; each cluster gives `STRATUM_ROWS` of them at least."""
STRATUM_ROWS = 10
WORK = 2e11
"""Products of coordinates that a sample may cost where distances are reduced to matrix products; others may cost `OTHER_WORK`."""
OTHER_WORK = 4e9
COLUMN_ROWS = 200
"""Rows of each cluster that a sampled row is compared with at least, where it cannot be compared with all of them."""

PROBED = 1_000
"""Squares at which a metric's distance is compared with a multiple of them."""

BLOCK_PAIRS = 1 << 18
"""Distances in a block: few enough for a processor's cache."""


@dataclass(frozen=True)
class Silhouette:
    """How much nearer rows are to their own cluster than to the next one: 1 is well apart, 0 is between two, below 0 is misplaced.

    Attributes
    ----------
    mean
        Over all rows, by weight.
    low, high
        Ends of a 95 % interval for the mean over all rows; both are the mean where every row was looked at. The interval covers
        what sampling the rows that are looked at leaves open.
    rows
        Rows whose silhouettes were computed.
    exact
        Whether those are all rows, each compared with all others.
    clusters
        The mean of each cluster; None for one without rows.
    """

    mean: float
    low: float
    high: float
    rows: int
    exact: bool
    clusters: tuple[float | None, ...]

    def __str__(self) -> str:
        if self.exact:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}, {self.rows:,} rows)"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows of clusters, ready for silhouettes.

    Attributes
    ----------
    rows
        (n, dim) rows, prepared by the metric.
    labels, mass
        (n,) cluster and weight of each row.
    k
        Clusters, those without rows included.
    metric
        Fitted.
    threads
        That may be used.
    """

    rows: np.ndarray
    labels: np.ndarray
    mass: np.ndarray
    k: int
    metric: Metric
    threads: int = 1

    @property
    def weight(self) -> np.ndarray:
        """(k,) weight of each cluster."""
        return np.bincount(self.labels, weights=self.mass, minlength=self.k)

    @cached_property
    def squares_factor(self) -> float | None:
        """c where the metric's distance is c times the squared Euclidean distance of prepared rows, as of cosine; else None.

        Sums of such distances over a cluster follow from its mean and its sum of squares, without pairs. `finish` never falls, so
        that where it is a multiple at every one of these squares, it is one nearly everywhere between them.
        """
        if self.metric.reduces_to != "l2":
            return None
        farthest = 4 * float(np.einsum("ij,ij->i", self.rows, self.rows, dtype=np.float64).max(initial=0))
        if farthest == 0:
            return None
        shares = np.concatenate([np.geomspace(1e-12, 1e-3, PROBED // 10), np.linspace(1e-3, 1 - 1e-5, PROBED)])
        tried = farthest * shares  # cosine cuts off what rounding puts beyond 4
        values = np.asarray(self.metric.finish(tried.copy()), dtype=np.float64) / tried
        return float(values[-1]) if np.ptp(values) <= 1e-9 * abs(values[-1]) else None


def silhouette_is_defined(data: Labelled) -> bool:
    """Whether there are two clusters with rows at least."""
    return int(np.count_nonzero(data.weight)) > 1


def cheap_to_compute(data: Labelled, rows: int | None = None) -> bool:
    """Whether every silhouette can be computed in some seconds: few rows (10,000 if None), or sums that need no pairs."""
    in_closed_form = data.squares_factor is not None and data.rows.size * data.k <= WORK / 10
    return len(data.rows) <= (rows or EXACT_ROWS) or in_closed_form


def exact_silhouette(data: Labelled) -> Silhouette:
    """The mean silhouette over all rows, each compared with all others; a float64 block of distances at a time.

    >>> from nearkin.metrics import Euclidean
    >>> rows = np.float32([[0], [1], [10], [11]])
    >>> found = exact_silhouette(Labelled(rows, np.array([0, 0, 1, 1]), np.ones(4), 2, Euclidean()))
    >>> round(found.mean, 6), found.exact
    (0.899749, True)
    """
    everyone = np.arange(len(data.rows))
    values = silhouettes(data, everyone, everyone)
    mean = float(data.mass @ values / data.mass.sum())
    weight = data.weight
    sums = np.bincount(data.labels, weights=data.mass * values, minlength=data.k)
    means = tuple(float(total / mass) if mass > 0 else None for total, mass in zip(sums, weight, strict=True))
    return Silhouette(mean, mean, mean, len(values), True, means)


def sampled_silhouette(data: Labelled, seed: int, rows: int | None = None, work: float | None = None) -> Silhouette:
    """The mean silhouette from a sample of rows that is stratified by cluster, so that no cluster is missed.

    Each sampled row is compared with all rows, or where that would cost too much with a sample of those, also stratified. Means of
    the strata are put together by the weights of their clusters; the interval is that of stratified sampling without replacement
    (W. Cochran, "Sampling techniques", 1977, chapter 5), with Student's quantile at Satterthwaite's degrees of freedom.

    Parameters
    ----------
    rows
        To sample, 2,000 where it is None; clusters with few rows are sampled whole.
    work
        Products of coordinates that may be computed; None for what takes some seconds.
    """
    rng = np.random.default_rng(seed)
    strata = _strata(data)
    asked = [
        rng.choice(each, count, replace=False)
        for each, count in zip(strata, _shares(strata, rows or SAMPLED_ROWS), strict=True)
    ]
    total = sum(map(len, asked))
    columns = _columns(data, strata, total, work, rng)
    values = silhouettes(data, np.concatenate(asked), columns)
    exact = total == sum(map(len, strata)) == len(columns)
    means, variances, freedoms = [], [], []
    ends = np.cumsum([len(each) for each in asked])
    for members, chosen, some in zip(strata, asked, np.split(values, ends[:-1]), strict=True):
        mean, variance = _of_stratum(some, data.mass[chosen], len(members))
        means.append(mean)
        variances.append(variance)
        freedoms.append(max(1, len(chosen) - 1))
    present = data.weight > 0
    share = data.weight[present] / data.weight.sum()
    mean = float(share @ np.array(means))
    parts = share**2 * np.array(variances)
    spread = float(parts.sum())
    half = 0.0
    if spread > 0:
        half = student_quantile(spread**2 / float((parts**2 / np.array(freedoms)).sum())) * sqrt(spread)
    by_cluster: list[float | None] = [None] * data.k
    for cluster, value in zip(np.flatnonzero(present), means, strict=True):
        by_cluster[int(cluster)] = value
    return Silhouette(mean, max(-1.0, mean - half), min(1.0, mean + half), total, exact, tuple(by_cluster))


def silhouettes(data: Labelled, asked: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(m,) silhouettes of some rows among others.

    Parameters
    ----------
    asked
        (m,) numbers of the rows whose silhouettes are wanted.
    columns
        Numbers of the rows that they are compared with, each once; some of every cluster.
    """
    factor = data.squares_factor
    by_cluster = columns[np.argsort(data.labels[columns], kind="stable")]
    weight, whole = np.bincount(data.labels[columns], weights=data.mass[columns], minlength=data.k), data.weight
    among = np.zeros(len(data.rows), dtype=bool)
    among[columns] = True
    closed = None if factor is None else _SquareSums.of(data, by_cluster, weight, factor)

    def block(some: np.ndarray) -> np.ndarray:
        sums = _distance_sums(data, some, by_cluster) if closed is None else closed.sums(data.rows[some])
        labels, mass = data.labels[some], data.mass[some]
        others = weight[labels] - np.where(among[some], mass, 0.0)
        return _from_sums(sums, labels, weight, others, _share_of_others(whole[labels], mass))

    step = min(1 << 10, block_rows(8 * data.k))
    blocks = [asked[start : start + step] for start in range(0, len(asked), step)]
    return np.concatenate(list(_mapped(block, blocks, data)))


def _mapped(
    block: Callable[[np.ndarray], np.ndarray], blocks: list[np.ndarray], data: Labelled
) -> Iterable[np.ndarray]:
    """Side by side where the metric is numpy's; a stranger's need not allow it."""
    if data.threads > 1 and data.metric.reduces_to is not None:
        return pool(data.threads).map(block, blocks)
    return map(block, blocks)


def as_counts(mass: np.ndarray) -> np.ndarray:
    """Weights as numbers of rows: as they are, or scaled to a mean of 1 where that is less, since less than a row is none.

    >>> as_counts(np.array([0.25, 0.75])).tolist(), as_counts(np.array([1.0, 3.0])).tolist()
    ([0.5, 1.5], [1.0, 3.0])
    """
    mean = float(mass[mass > 0].mean())
    return mass / mean if mean < 1 else mass


def _share_of_others(whole: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(m,) share that other rows have in clusters of such weights without one copy of rows of such weights; NaN for rows alone."""
    others = np.where(whole - mass > 1e-12 * whole, whole - mass, 0.0)
    alone = (others == 0) & (mass < 2)
    return np.where(alone, np.nan, others / np.where(alone, 1.0, others + np.maximum(mass - 1, 0)))


def _from_sums(
    sums: np.ndarray, own: np.ndarray, weight: np.ndarray, others: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Silhouettes from (m, k) weighted sums of distances.

    Parameters
    ----------
    weight
        (k,) weight of the rows that were summed over.
    others
        (m,) weight of the rows of its cluster but itself that were summed over.
    share
        (m,) see `_share_of_others`.
    """
    at = np.arange(len(sums)), own
    alone, apart = np.isnan(share), share > 0
    a = np.where(apart, sums[at] / np.where(apart, others, 1.0) * share, 0.0)
    means = np.where(weight > 0, sums / np.where(weight > 0, weight, 1.0), np.inf)
    means[at] = np.inf
    b = means.min(axis=1)
    larger = np.maximum(a, b)
    defined = ~alone & (larger > 0) & np.isfinite(larger)
    return np.where(defined, (b - a) / np.where(defined, larger, 1.0), 0.0)


def _distance_sums(data: Labelled, asked: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(m, k) weighted sums of the distances of rows from the rows of each cluster, a block of pairs at a time."""
    distances = MetricSums(data.metric).costs
    rows, sums = data.rows[asked], np.zeros((len(asked), data.k))
    step = max(1, BLOCK_PAIRS // len(asked))
    for start in range(0, len(columns), step):
        some = columns[start : start + step]
        block = distances(rows, data.rows[some]) * data.mass[some]
        present, starts = np.unique(data.labels[some], return_index=True)
        sums[:, present] += np.add.reduceat(block, starts, axis=1)
    return sums


@dataclass(frozen=True, eq=False)
class _SquareSums:
    """What gives Σ w ||x - y||² over the rows y of each cluster: W ||x - mean||² + Σ w ||y - mean||², where nothing cancels.

    Attributes
    ----------
    origin
        (dim,) what is subtracted from all rows.
    means, weight, within
        Mean of each cluster, its weight, and its Σ w ||y - mean||².
    factor
        See `Labelled.squares_factor`.
    """

    origin: np.ndarray
    means: np.ndarray
    weight: np.ndarray
    within: np.ndarray
    factor: float

    @classmethod
    def of(cls, data: Labelled, columns: np.ndarray, weight: np.ndarray, factor: float) -> _SquareSums:
        rows, labels, mass = data.rows, data.labels, data.mass
        # Of each column the value nearest to 0: rows far out all on one side come near, and no digit is lost, as it would be by a
        # mean that one cluster draws away.
        low, high = (ends(rows, axis=0).astype(np.float64) for ends in (np.min, np.max))
        origin = np.clip(0.0, low, high)
        # About a row of the cluster, so that the mean of equal rows is that row whatever their weights are.
        clusters, first = np.unique(labels[columns], return_index=True)
        means, within = np.zeros((data.k, len(origin))), np.zeros(data.k)
        means[clusters] = rows[columns[first]] - origin
        step = block_rows(32 * len(origin))
        blocks = [columns[start : start + step] for start in range(0, len(columns), step)]
        sums = np.zeros_like(means)
        for some in blocks:
            present, starts = np.unique(labels[some], return_index=True)
            moved = (rows[some] - origin - means[labels[some]]) * mass[some, None]
            sums[present] += np.add.reduceat(moved, starts, axis=0)
        means += sums / np.where(weight > 0, weight, 1.0)[:, None]
        for some in blocks:
            moved = rows[some] - origin - means[labels[some]]
            within += np.bincount(
                labels[some], weights=mass[some] * np.einsum("ij,ij->i", moved, moved), minlength=data.k
            )
        return cls(origin, means, weight, within, factor)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.factor * (squared_l2(rows - self.origin, self.means) * self.weight + self.within))


def _strata(data: Labelled) -> list[np.ndarray]:
    """Numbers of the rows with weight of each cluster that has any."""
    counted = np.flatnonzero(data.mass > 0)
    order = counted[np.argsort(data.labels[counted], kind="stable")]
    _, starts = np.unique(data.labels[order], return_index=True)
    return np.split(order, starts[1:])


def _shares(strata: list[np.ndarray], rows: int) -> list[int]:
    """Rows to take of each stratum: in proportion to its size, and some of each."""
    sizes = np.array([len(each) for each in strata])
    wanted = np.ceil(rows * sizes / sizes.sum()).astype(int)
    return list(np.minimum(sizes, np.maximum(STRATUM_ROWS, wanted)))


def _columns(
    data: Labelled, strata: list[np.ndarray], asked: int, work: float | None, rng: np.random.Generator
) -> np.ndarray:
    """The rows that sampled rows are compared with: all, or where that is too much some of each cluster."""
    everyone = np.concatenate(strata)
    if data.squares_factor is not None:
        return everyone
    allowed = work or (OTHER_WORK if data.metric.reduces_to is None else WORK)
    affordable = allowed / (asked * data.rows.shape[1])
    if len(everyone) <= affordable:
        return everyone
    share = affordable / len(everyone)
    counts = [min(len(each), max(COLUMN_ROWS, int(share * len(each)))) for each in strata]
    return np.concatenate([rng.choice(each, count, replace=False) for each, count in zip(strata, counts, strict=True)])


def _of_stratum(values: np.ndarray, mass: np.ndarray, size: int) -> tuple[float, float]:
    """Weighted mean of a sample from a stratum of so many rows, and the variance that sampling leaves it."""
    n = len(values)
    mean = float(mass @ values / mass.sum())
    if n == size or n < 2:
        return mean, 0.0
    residuals = mass * (values - mean) / mass.mean()
    return mean, float(residuals @ residuals) / (n - 1) / n * (1 - n / size)


def student_quantile(freedom: float) -> float:
    """Two-sided 95 % quantile of Student's t, by its expansion about the normal (Abramowitz and Stegun, 26.7.5).

    >>> round(student_quantile(10), 2), round(student_quantile(1e9), 2)
    (2.23, 1.96)
    """
    z, v = CONFIDENCE_Z, max(2.0, freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3
