"""How good a clustering is: sums of squares, silhouette, Davies-Bouldin, Calinski-Harabasz, imbalance."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nearkin.clustering.silhouettes import (
    Labelled,
    Silhouette,
    as_counts,
    cheap_to_compute,
    exact_silhouette,
    sampled_silhouette,
    silhouette_is_defined,
)
from nearkin.errors import ParameterError
from nearkin.objectives import MetricSums, cluster_sums, members_of
from nearkin.running_centroids import RUNNING_RULES
from nearkin.vectors import block_rows

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

SilhouetteKind = Literal["auto", "exact", "sample"]


@dataclass(frozen=True)
class ClusterQuality:
    """Measures of a clustering; None where one has no meaning, and `notes` say why.

    Sums of squares, and Calinski-Harabasz that is made of them, are about the means of the clusters' rows in the space that the
    metric prepares rows for: the rows themselves under euclidean, directions under cosine, whitened rows under mahalanobis.
    Silhouette and Davies-Bouldin are by the metric's own distance.

    A row of weight w counts as w equal rows in every measure but `sizes`: to cluster each distinct row once, with its count as
    weight, is to cluster them all. Weights of less than 1 in the mean count no rows, but say how much each row is to be trusted:
    Calinski-Harabasz and silhouettes, which need numbers of rows, take them scaled to a mean of 1.

    Attributes
    ----------
    wcss, bcss, tss
        Σ w ||x - mean of its cluster||², Σ w ||mean of its cluster - mean||² and Σ w ||x - mean||²: within clusters, between
        them, and in total.
    residual
        |WCSS + BCSS - TSS| / TSS, each computed by itself: rounding, far below 1e-6.
    silhouette
        See `Silhouette`.
    davies_bouldin
        Mean over clusters of the largest (s_i + s_j) / d_ij, with s the mean distance of a cluster's rows from its centroid and d
        the distance between centroids; smaller is better. Source: D. Davies and D. Bouldin, "A cluster separation measure" (1979).
    calinski_harabasz
        (BCSS / (k - 1)) / (WCSS / (n - k)) with n the sum of the weights; larger is better. Source: T. Caliński and
        J. Harabasz, "A dendrite method for cluster analysis" (1974).
    imbalance
        k Σ (W / ΣW)² of the clusters' weights W: 1 where all have as many rows, k where one has all. Source: the imbalance factor
        of faiss.
    sizes
        Rows in each cluster, each counted once whatever its weight.
    notes
        Sentences for the user.
    """

    wcss: float | None
    bcss: float | None
    tss: float | None
    residual: float | None
    silhouette: Silhouette | None
    davies_bouldin: float | None
    calinski_harabasz: float | None
    imbalance: float
    sizes: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def labelled(clustering: Clustering) -> Labelled:
    """The rows of a clustering, ready for silhouettes."""
    return Labelled(
        clustering.prepared,
        clustering.labels,
        as_counts(clustering.mass),
        clustering.k,
        clustering.metric,
        clustering.threads,
    )


def quality_of(
    clustering: Clustering, silhouette: SilhouetteKind | None = "auto", seed: int | None = None
) -> ClusterQuality:
    """Measure a clustering, see `nearkin.Clustering.quality`."""
    if clustering.source is not None:
        found = quality_of(clustering.at_hand, silhouette, seed)
        said = f"measured on {len(clustering.prepared):,} of {len(clustering.labels):,} rows, which stay in their file"
        sizes = tuple(clustering.sizes.tolist())
        even = imbalance(labelled(clustering).weight)
        return replace(found, imbalance=even, sizes=sizes, notes=(*found.notes, said))
    notes: list[str] = []
    wcss, bcss, tss, residual = sums_of_squares(clustering, notes)
    return ClusterQuality(
        wcss,
        bcss,
        tss,
        residual,
        silhouette_of(labelled(clustering), silhouette, clustering.seed if seed is None else seed, notes),
        davies_bouldin(clustering, notes),
        calinski_harabasz(clustering, wcss, bcss, notes),
        imbalance(labelled(clustering).weight),
        tuple(clustering.sizes.tolist()),
        tuple(notes),
    )


def silhouette_of(data: Labelled, kind: SilhouetteKind | None, seed: int, notes: list[str]) -> Silhouette | None:
    """The silhouette as it is asked for; None, with a note, where there are not two clusters.

    Raises
    ------
    ParameterError
        It is asked for in another way.
    """
    if kind not in ("auto", "exact", "sample", None):
        raise ParameterError(f"silhouette is {kind!r}, one of 'auto', 'exact', 'sample' and None expected")
    if kind is None:
        return None
    if not silhouette_is_defined(data):
        notes.append("silhouette has no meaning: it compares clusters, and only one has rows")
        return None
    if kind == "exact" or (kind == "auto" and cheap_to_compute(data)):
        return exact_silhouette(data)
    return sampled_silhouette(data, seed)


def sums_of_squares(
    clustering: Clustering, notes: list[str]
) -> tuple[float, float, float, float] | tuple[None, None, None, None]:
    """WCSS, BCSS, TSS and the relative residual of WCSS + BCSS = TSS, each summed by itself in float64."""
    rule = clustering.objective.rule
    if rule not in RUNNING_RULES:
        notes.append(
            f"WCSS, BCSS, TSS and Calinski-Harabasz have no meaning: they need means under squared Euclidean distance, and "
            f"centroids are {rule}s under {clustering.metric.name}"
        )
        return None, None, None, None
    rows, labels, mass = clustering.prepared, clustering.labels, clustering.mass
    sums, weight = cluster_sums(rows, labels, mass, clustering.k)
    centre = sums.sum(axis=0) / weight.sum()
    means = np.where(weight[:, None] > 0, sums / np.where(weight > 0, weight, 1)[:, None], centre)
    wcss = tss = 0.0
    step = block_rows(24 * rows.shape[1])
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        within, about = rows[some] - means[labels[some]], rows[some] - centre
        wcss += float(mass[some] @ np.einsum("ij,ij->i", within, within))
        tss += float(mass[some] @ np.einsum("ij,ij->i", about, about))
    between = means - centre
    bcss = float(weight @ np.einsum("ij,ij->i", between, between))
    whole = clustering.sample is None  # the means of a sample are not those of all rows
    if whole and rule == "mean" and clustering.inertia > 1.001 * wcss > 0:
        above = clustering.inertia / wcss - 1
        notes.append(
            f"centroids are not the means of their rows: about them the rows' squares sum to {above:.1%} more than WCSS"
        )
    return wcss, bcss, tss, abs(wcss + bcss - tss) / tss if tss > 0 else 0.0


def calinski_harabasz(clustering: Clustering, wcss: float | None, bcss: float | None, notes: list[str]) -> float | None:
    """See `ClusterQuality`; clusters count where they have weight."""
    if wcss is None or bcss is None:
        return None
    weight, weighted = labelled(clustering).weight, clustering.problem.weights is not None
    n, k = float(weight.sum()), int(np.count_nonzero(weight))
    if k < 2 or n <= k:
        rows = f"weights that sum to {n:,g}" if weighted else f"{n:,.0f} rows"
        notes.append(f"Calinski-Harabasz has no meaning for {rows} in {k:,} clusters")
        return None
    if wcss == 0:
        notes.append("Calinski-Harabasz has no meaning: every row is the same as the mean of its cluster")
        return None
    return (bcss / (k - 1)) / (wcss / (n - k))


def davies_bouldin(clustering: Clustering, notes: list[str]) -> float | None:
    """See `ClusterQuality`; pairs of clusters whose centroids coincide are left out, as scikit-learn does."""
    labels, mass, weight = clustering.labels, clustering.mass, labelled(clustering).weight
    present = np.flatnonzero(weight > 0)
    if len(present) < 2:
        notes.append("Davies-Bouldin has no meaning: it compares clusters, and only one has rows")
        return None
    centres = clustering.partition.centroids
    if (
        clustering.objective.rule != "medoid"
    ):  # where iterations ended early, centroids are not yet the best for their rows
        centres = clustering.objective.centres(clustering.prepared, labels, mass, centres)
    distances, own = MetricSums(clustering.metric).costs, np.empty(len(labels))
    for cluster, members in members_of(labels):
        own[members] = distances(clustering.prepared[members], centres[cluster][None])[:, 0]
    spread = np.bincount(labels, weights=mass * own, minlength=clustering.k)[present] / weight[present]
    worst = np.empty(len(present))
    step = block_rows(24 * len(present))
    for start in range(0, len(present), step):
        some = slice(start, start + step)
        apart = distances(centres[present[some]], centres[present])
        ratios = np.where(apart > 0, (spread[some, None] + spread) / np.where(apart > 0, apart, 1.0), 0.0)
        ratios[np.arange(len(ratios)), np.arange(len(present))[some]] = 0.0
        worst[some] = ratios.max(axis=1)
    return float(worst.mean())


def imbalance(weights: np.ndarray) -> float:
    """k Σ (W / ΣW)² of clusters of such sizes or weights.

    >>> imbalance(np.array([5, 5])), imbalance(np.array([10, 0]))
    (1.0, 2.0)
    """
    shares = weights / weights.sum()
    return float(len(shares) * (shares @ shares))
