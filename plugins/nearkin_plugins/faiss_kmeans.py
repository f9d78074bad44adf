"""k-means by faiss."""

from __future__ import annotations

import numpy as np

from nearkin.centroids import Clusterer, Clustering

LARGEST_SEED = 2**31 - 2
"""faiss keeps seeds in 31 bits."""

SETTLED = 2e-3
"""From given centroids, iterations end when the inertia falls by less than this share: on SIFT after 6, with what random rows
reach in 10."""


class KMeans(Clusterer):
    """Lloyd's iterations in faiss from random rows; an empty cluster splits a large one.

    Source: faiss, Clustering.

    Parameters
    ----------
    max_iter
        Iterations.

    Examples
    --------
    >>> rows = np.float32([[0], [1], [10], [11]])
    >>> sorted(KMeans().fit(rows, 2, seed=1).centroids.ravel().tolist())
    [0.5, 10.5]
    """

    name = "kmeans"

    def __init__(self, max_iter: int = 10) -> None:
        self.max_iter = max_iter

    def _fit(self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None) -> Clustering:
        return self._clustered(vectors, k, seed, weights, None)

    def _fit_from(self, start: np.ndarray, vectors: np.ndarray, seed: int, weights: np.ndarray | None) -> Clustering:
        return self._clustered(vectors, len(start), seed, weights, start)

    def _clustered(
        self, vectors: np.ndarray, k: int, seed: int, weights: np.ndarray | None, start: np.ndarray | None
    ) -> Clustering:
        import faiss

        kmeans = faiss.Kmeans(
            vectors.shape[1],
            k,
            niter=self.max_iter,
            early_stop_threshold=0.0 if start is None else SETTLED,
            seed=seed % LARGEST_SEED + 1,  # faiss takes a seed of 0 for "none"
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors) // k + 1,
        )
        mass32 = None if weights is None else weights.astype(np.float32)
        kmeans.train(vectors, weights=mass32, init_centroids=start)
        centroids = np.ascontiguousarray(kmeans.centroids)
        distances, labels = kmeans.index.search(vectors, 1)
        mass = 1.0 if weights is None else weights
        inertia = float((distances[:, 0].astype(np.float64) * mass).sum())
        return Clustering(centroids, labels[:, 0], inertia, tuple(float(each) for each in kmeans.obj))
