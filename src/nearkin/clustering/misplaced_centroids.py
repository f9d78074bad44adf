"""Centroids that stand for few of their rows: between groups of them, or pulled away by a row far out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearkin.objectives import MetricSums, members_of
from nearkin.running_centroids import RUNNING_RULES

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

FEWEST = 5
"""Rows of a cluster below which nothing can be said."""

ASKED, AMONG = 100, 5_000
"""Rows of a cluster whose nearest neighbours are sought, and rows that they are sought among."""

EMPTY_AROUND = 2.0
"""A centroid stands in a sparse region if its nearest row is as many times farther as nine in ten rows are from their nearest."""

TRIMMED = 0.1
"""Share of a cluster's rows, those farthest out, without which it is seen where most of them are."""

FAR, MOVED = 5.0, 0.5
"""A row pulls its centroid if it lies so many times their spread from where most rows are, and moves the mean by so much of it."""


@dataclass(frozen=True)
class Sparse:
    """A centroid without rows near it.

    Attributes
    ----------
    nearest
        Distance of the nearest row.
    between
        Distance within which nine in ten rows of the cluster have another one.
    """

    cluster: int
    nearest: float
    between: float


@dataclass(frozen=True)
class Pulled:
    """A mean that a few rows move away from the others.

    Attributes
    ----------
    row
        The farthest of them.
    distance
        From the trimmed mean, in the space that the metric prepares rows for, as all that follows.
    spread
        Distance from there within which three quarters of the rows that were not trimmed are.
    moved
        Distance of the mean from the trimmed mean.
    rows
        In the cluster.
    """

    cluster: int
    row: int
    distance: float
    spread: float
    moved: float
    rows: int


def sparse_centroids(clustering: Clustering) -> list[Sparse]:
    """Centroids with no row near them, beside how near rows are to each other; the emptiest first.

    In many dimensions every mean is far from every row, about as far as rows are from each other; so the distance of the nearest
    row says something only beside the distances between neighbouring rows. Copies of a row are no neighbours of it.
    """
    distances, rng = MetricSums(clustering.metric).costs, np.random.default_rng(clustering.seed)
    found = []
    for cluster, members in members_of(clustering.labels):
        if len(members) < FEWEST - 1:
            continue
        among = members if len(members) <= AMONG else rng.choice(members, AMONG, replace=False)
        asked = among[: min(ASKED, len(among))] if len(members) > AMONG else rng.permutation(among)[:ASKED]
        rows = clustering.prepared[among]
        nearest = float(distances(clustering.partition.centroids[cluster][None], rows).min())
        apart = distances(clustering.prepared[asked], rows)
        floor = 1e-6 * float(apart.max())
        if nearest <= floor:
            continue
        neighbours = np.where(apart > floor, apart, np.inf).min(axis=1)
        between = float(np.quantile(neighbours[np.isfinite(neighbours)], 0.9))
        if nearest > EMPTY_AROUND * between:
            found.append(Sparse(cluster, nearest, between))
    return sorted(found, key=lambda each: each.between / each.nearest)


def pulled_centroids(clustering: Clustering) -> list[Pulled]:
    """Clusters whose mean rows far out move away from the others, the farthest moved first; none where centroids are no means.

    The trimmed mean is that of the nine tenths of the rows that are nearest to the median of each column.
    """
    if clustering.objective.rule not in RUNNING_RULES:
        return []
    found = []
    for cluster, members in members_of(clustering.labels):
        members = members[clustering.mass[members] > 0]
        if len(members) >= FEWEST:
            pulled = _pulled(clustering, cluster, members)
            if pulled is not None:
                found.append(pulled)
    return sorted(found, key=lambda each: -each.moved / max(each.spread, 1e-9 * each.moved))


def _pulled(clustering: Clustering, cluster: int, members: np.ndarray) -> Pulled | None:
    rows, mass = clustering.prepared[members], clustering.mass[members]
    out = _lengths(rows - np.median(rows, axis=0))
    kept = np.argsort(out, kind="stable")[: len(members) - max(1, int(TRIMMED * len(members)))]
    centre = np.average(rows[kept].astype(np.float64), axis=0, weights=mass[kept])
    moved = float(np.linalg.norm(np.average(rows.astype(np.float64), axis=0, weights=mass) - centre))
    away = _lengths(rows - centre)
    spread = float(np.quantile(away[kept], 0.75))
    farthest = int(away.argmax())
    # The spread of few rows is uncertain: of five, the farthest is often far beside the four that are left.
    if moved <= MOVED * spread or away[farthest] <= FAR * (1 + FEWEST / len(kept)) * spread:
        return None
    return Pulled(cluster, int(members[farthest]), float(away[farthest]), spread, moved, len(members))


def _lengths(rows: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)))
