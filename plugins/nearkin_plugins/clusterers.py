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
    ]
