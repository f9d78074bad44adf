"""The row of each cluster that is nearest to all the others: what the mean is not where one row lies far out."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from nearkin.objectives import MetricSums, members_of

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

EXACT_MEMBERS = 2_000
"""Up to so many rows of a cluster every one is compared with every other."""
NEAR, RANDOM = 200, 100
"""Rows nearest to the centroid and random ones that may be the medoid of a larger cluster, measured against `EXACT_MEMBERS`."""


def medoid_rows_of(clustering: Clustering, only: Collection[int] | None = None) -> np.ndarray:
    """See `nearkin.Clustering.medoid_rows`; of some clusters only, with -1 for the others, where some are named."""
    if clustering.medoids is not None:
        return np.array(clustering.medoids)
    if clustering.source is not None:
        places = medoid_rows_of(clustering.at_hand, only)
        return np.array([place if place < 0 else clustering.row_number(int(place)) for place in places])
    found = np.full(clustering.k, -1, dtype=np.int64)
    if only is not None and not only:
        return found
    own = clustering.distances()
    for cluster, members in members_of(clustering.labels):
        if only is None or cluster in only:
            found[cluster] = members[_least_sum(clustering, members, own[members])]
    return found


def _least_sum(clustering: Clustering, members: np.ndarray, own: np.ndarray) -> int:
    """Place among the members of the one with the least weighted sum of distances, rows of no weight only where all are."""
    mass = clustering.mass[members] if clustering.mass[members].any() else np.ones(len(members))
    counted = np.flatnonzero(mass > 0)
    candidates = against = counted
    if len(counted) > EXACT_MEMBERS:
        rng = np.random.default_rng(clustering.seed)
        nearest = counted[np.argpartition(own[counted], NEAR)[:NEAR]]
        candidates = np.union1d(nearest, rng.choice(counted, RANDOM, replace=False))
        against = rng.choice(counted, EXACT_MEMBERS, replace=False)
    rows = clustering.prepared
    costs = MetricSums(clustering.metric).sums(rows[members[candidates]], rows[members[against]], mass[against])
    return int(candidates[int(costs.argmin())])
