"""Clusterers: what finds the centroids of an IVF index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.errors import ParameterError
from nearkin.hooks import ClustererSpec, hookimpl


@dataclass(frozen=True)
class KMeansParams:
    """Options of k-means.

    Attributes
    ----------
    max_iter
        Iterations at most.
    """

    max_iter: int = 10

    def __post_init__(self) -> None:
        if self.max_iter < 1:
            raise ParameterError(f"max_iter is {self.max_iter}, at least 1 expected")


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
        ),
        ClustererSpec(
            name="lloyd",
            summary="Lloyd's k-means from a k-means++ start; k-medians under manhattan, spherical under cosine",
            make="nearkin.lloyd:Lloyd",
            params=LloydParams,
        ),
        ClustererSpec(
            name="minibatch",
            summary="mini-batch k-means: few passes over rows, which may lie in a file; spherical under cosine",
            make="nearkin_plugins.minibatch:MiniBatch",
            params=MiniBatchParams,
            examples=({"batch_size": 50},),
        ),
        ClustererSpec(
            name="online",
            summary="online k-means: centroids move with every single row; spherical under cosine",
            make="nearkin_plugins.online:Online",
            params=OnlineParams,
        ),
    ]
