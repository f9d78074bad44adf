"""k-means by faiss."""

from __future__ import annotations

import numpy as np

from nearkin.centroids import Clusterer, Clustering

LARGEST_SEED = 2**31 - 2
"""faiss keeps seeds in 31 bits."""


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
        import faiss

        kmeans = faiss.Kmeans(
            vectors.shape[1],
            k,
            niter=self.max_iter,
            seed=seed % LARGEST_SEED + 1,  # faiss takes a seed of 0 for "none"
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors) // k + 1,
        )
        kmeans.train(vectors, weights=None if weights is None else weights.astype(np.float32))
        centroids = np.ascontiguousarray(kmeans.centroids)
        distances, labels = kmeans.index.search(vectors, 1)
        mass = 1.0 if weights is None else weights
        inertia = float((distances[:, 0].astype(np.float64) * mass).sum())
        return Clustering(centroids, labels[:, 0], inertia, tuple(float(each) for each in kmeans.obj))
