"""Clusterers: k centroids of rows, for their own sake or for the cells of an IVF index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.hooks import ClustererSpec, hookimpl


@dataclass(frozen=True)
class KMeansParams:
    """Options of k-means.

    Attributes
    ----------
    max_iter
        Iterations at most.
    tol
        Stop when the inertia falls by less than this share.
    """

    max_iter: int = 10
    tol: float = 1e-6


@dataclass(frozen=True)
class LloydParams(KMeansParams):
    """Options of Lloyd's algorithm.

    Attributes
    ----------
    tol
        Stop when the inertia falls by less than this share.
    init
        Where to start: k-means++, random (rows), partition or box.
    """

    tol: float = 1e-4
    init: str = "k-means++"


@dataclass(frozen=True)
class KMedoidsParams:
    """Options of k-medoids.

    Attributes
    ----------
    max_iter
        Passes over the rows at most.
    init
        Where to start: k-means++ (by distances), build (PAM's own) or random (rows).
    samples
        Of more than 10,000 rows, on which medoids are looked for.
    """

    max_iter: int = 100
    init: str = "k-means++"
    samples: int = 5


@dataclass(frozen=True)
class FuzzyParams:
    """Options of fuzzy c-means.

    Attributes
    ----------
    m
        Fuzziness, above 1 and up to 30: the larger, the more rows belong to several clusters.
    max_iter
        Iterations at most.
    tol
        Stop when the fuzzy objective falls by less than this share.
    init
        Where to start: k-means++, random (rows), partition or box.
    """

    m: float = 2.0
    max_iter: int = 100
    tol: float = 1e-6
    init: str = "k-means++"


@dataclass(frozen=True)
class BisectingParams(LloydParams):
    """Options of bisecting k-means.

    Attributes
    ----------
    bisecting_strategy
        Split the cluster of largest-cost or of largest-size next.
    n_init
        Starts of each split, of which the best is kept.
    refine
        Whether to end with Lloyd's iterations over all rows.
    """

    max_iter: int = 25
    bisecting_strategy: str = "largest-cost"
    n_init: int = 1
    refine: bool = True


@dataclass(frozen=True)
class MiniBatchParams:
    """Options of mini-batch k-means.

    Attributes
    ----------
    batch_size
        Rows of a batch.
    max_iter
        Passes over the rows at most.
    tol
        Stop when the smoothed inertia of batches falls by less than this share.
    init
        Where to start: k-means++, random (rows), partition or box.
    """

    batch_size: int = 4096
    max_iter: int = 10
    tol: float = 1e-4
    init: str = "k-means++"


@dataclass(frozen=True)
class OnlineParams:
    """Options of online k-means.

    Attributes
    ----------
    max_iter
        Passes over the rows at most.
    rate
        Share of the way that a row draws its centroid; 0 for one over the rows that the centroid has seen.
    tol
        Stop when a pass lowers the inertia by less than this share.
    init
        Where to start: k-means++, random (rows), partition or box.
    """

    max_iter: int = 5
    rate: float = 0.0
    tol: float = 1e-4
    init: str = "k-means++"


@hookimpl
def nearkin_clusterers() -> Iterable[ClustererSpec]:
    return [
        ClustererSpec(
            name="kmeans",
            summary="k-means by faiss: Lloyd's iterations from random rows, multithreaded",
            make="nearkin_plugins.faiss_kmeans:KMeans",
            params=KMeansParams,
            rules=("mean", "direction"),
        ),
        ClustererSpec(
            name="lloyd",
            summary="Lloyd's k-means from a k-means++ start; k-medians under manhattan, spherical under cosine",
            make="nearkin.lloyd:Lloyd",
            params=LloydParams,
            rules=("mean", "direction", "median"),
        ),
        ClustererSpec(
            name="spherical",
            summary="spherical k-means: centroids are directions, rows go where the cosine is largest",
            make="nearkin_plugins.lloyd_variants:Spherical",
            params=LloydParams,
            aliases=("spherical-kmeans", "skmeans"),
            rules=("direction",),
        ),
        ClustererSpec(
            name="kmedians",
            summary="k-medians: Manhattan distance, centroids are the medians of the columns",
            make="nearkin_plugins.lloyd_variants:KMedians",
            params=LloydParams,
            aliases=("k-medians",),
            rules=("median",),
        ),
        ClustererSpec(
            name="kmedoids",
            summary="k-medoids under any metric: centroids are rows; FasterPAM, on samples of more than 10,000 rows",
            make="nearkin_plugins.kmedoids:KMedoids",
            params=KMedoidsParams,
            needs=("kmedoids",),
            extra="medoids",
            aliases=("k-medoids", "pam", "clara"),
            examples=({}, {"init": "build"}, {"init": "random"}),
            rules=("medoid",),
        ),
        ClustererSpec(
            name="fuzzy",
            summary="fuzzy c-means: each row belongs to every cluster, to the nearer ones more",
            make="nearkin_plugins.fuzzy:Fuzzy",
            params=FuzzyParams,
            aliases=("fuzzy-c-means", "fcm"),
            examples=({}, {"m": 1.3}),
            rules=("mean", "direction"),
        ),
        ClustererSpec(
            name="bisecting",
            summary="bisecting k-means: the cluster of the largest cost is split in two until there are k",
            make="nearkin_plugins.bisecting:Bisecting",
            params=BisectingParams,
            aliases=("bisecting-kmeans",),
            examples=({}, {"bisecting_strategy": "largest-size", "refine": False}),
            rules=("mean", "direction", "median"),
        ),
        ClustererSpec(
            name="minibatch",
            summary="mini-batch k-means: few passes over rows, which may lie in a file; spherical under cosine",
            make="nearkin_plugins.minibatch:MiniBatch",
            params=MiniBatchParams,
            rules=("mean", "direction"),
            examples=({"batch_size": 50},),
        ),
        ClustererSpec(
            name="online",
            summary="online k-means: centroids move with every single row; spherical under cosine",
            make="nearkin_plugins.online:Online",
            params=OnlineParams,
            rules=("mean", "direction"),
            examples=({}, {"rate": 0.3}),
            known_failures={"one-is-best": "with a constant rate centroids stay in motion about the means"},
        ),
    ]
