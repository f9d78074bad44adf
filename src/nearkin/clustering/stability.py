"""Whether other seeds find the same clusters: adjusted Rand indices between runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import ParameterError
from nearkin.search_parameters import whole_number

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

UNSTABLE = 0.8
"""Below this mean index other seeds find other clusters."""


@dataclass(frozen=True)
class Stability:
    """Agreement of clusterings from different seeds: 1 is the same clusters, 0 what chance gives.

    Attributes
    ----------
    mean, least
        Of the adjusted Rand index over all pairs of runs.
    runs
        Clusterings that were compared, each the best of as many starts as the one that was asked about.
    pairs
        The index of each pair of runs.
    inertias
        Of each run.
    rows, of
        Rows that every run clustered, and those of the clustering, which are more where they stay in a file. Each counts once,
        whatever its weight.
    """

    mean: float
    least: float
    runs: int
    pairs: tuple[float, ...]
    inertias: tuple[float, ...]
    rows: int
    of: int

    @property
    def sentence(self) -> str:
        """What it means, in words."""
        some = "" if self.rows == self.of else f" on {self.rows:,} of {self.of:,} rows"
        said = f"over {self.runs} seeds{some} the adjusted Rand index is {self.mean:.3f} in the mean and {self.least:.3f} at least"
        if self.mean >= UNSTABLE:
            return f"{said}: other seeds find much the same clusters"
        return f"{said}: other seeds find other clusters; try more starts (n_init) or another k"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def stability_of(clustering: Clustering, runs: int = 10) -> Stability:
    """Cluster the same rows from other seeds and compare, see `nearkin.Clustering.stability`."""
    runs = whole_number("runs", runs, 2)
    problem = clustering.problem
    found = [problem.solve_anew(clustering.k, run) for run in range(runs)]
    pairs = tuple(adjusted_rand(one.labels, other.labels) for one, other in combinations(found, 2))
    inertias = tuple(each.inertia for each in found)
    return Stability(
        float(np.mean(pairs)), min(pairs), runs, pairs, inertias, len(problem.prepared), len(clustering.labels)
    )


def adjusted_rand(one: np.ndarray, other: np.ndarray) -> float:
    """Adjusted Rand index of two labellings of the same rows: pairs that they agree on, beside what chance gives.

    Source: L. Hubert and P. Arabie, "Comparing partitions" (1985), equation 5.

    Parameters
    ----------
    one, other
        (n,) whole numbers.

    Raises
    ------
    ParameterError
        They differ in length, or are empty.

    Examples
    --------
    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3]))
    1.0
    >>> round(adjusted_rand(np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])), 3)
    0.571
    """
    if len(one) != len(other) or not len(one):
        raise ParameterError(f"labels of {len(one):,} and {len(other):,} rows, as many and at least one expected")
    _, first, rows = np.unique(one, return_inverse=True, return_counts=True)
    _, second, columns = np.unique(other, return_inverse=True, return_counts=True)
    _, cells = np.unique(first.astype(np.int64) * len(columns) + second, return_counts=True)
    both, by_row, by_column, total = (_pairs(counts) for counts in (cells, rows, columns, np.array([len(one)])))
    if by_row == by_column == both:  # the same partition, all rows in one cluster or each alone included
        return 1.0
    expected = by_row * by_column / total
    return (both - expected) / ((by_row + by_column) / 2 - expected)


def _pairs(counts: np.ndarray) -> float:
    sizes = counts.astype(np.float64)
    return float((sizes * (sizes - 1) / 2).sum())
