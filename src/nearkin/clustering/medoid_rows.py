"""The row of each cluster that is nearest to all the others: what the mean is not where one row lies far out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nearkin.objectives import MetricSums, members_of
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

EXACT_MEMBERS = 2_000
"""Up to so many rows of a cluster every one is compared with every other."""
NEAR, RANDOM = 200, 100
"""Rows nearest to the centroid and random ones that may be the medoid of a larger cluster, measured against `EXACT_MEMBERS`."""


def medoid_rows_of(clustering: Clustering) -> np.ndarray:
    """See `nearkin.Clustering.medoid_rows`."""
    if clustering.medoids is not None:
        return np.array(clustering.medoids)
    found = np.full(clustering.k, -1, dtype=np.int64)
    distances = MetricSums(clustering.metric).costs
    own = clustering.distances()
    rng = np.random.default_rng(clustering.seed)
    for cluster, members in members_of(clustering.labels):
        mass = clustering.mass[members]
        if mass.sum() > 0:
            members, mass = members[mass > 0], mass[mass > 0]
        candidates = against = np.arange(len(members))
        if len(members) > EXACT_MEMBERS:
            nearest = np.argpartition(own[members], NEAR)[:NEAR]
            candidates = np.union1d(nearest, rng.choice(len(members), RANDOM, replace=False))
            against = rng.choice(len(members), EXACT_MEMBERS, replace=False)
        rows = clustering.prepared[members[against]]
        weights = mass[against] if mass.sum() > 0 else np.ones(len(against))
        step = block_rows(8 * len(against))
        sums = [
            weights @ distances(rows, clustering.prepared[members[candidates[start : start + step]]])
            for start in range(0, len(candidates), step)
        ]
        found[cluster] = members[candidates[int(np.concatenate(sums).argmin())]]
    return found
