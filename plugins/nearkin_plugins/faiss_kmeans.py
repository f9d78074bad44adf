"""k-means by faiss."""

from __future__ import annotations

import numpy as np

from nearkin.centroids import Clusterer, Partition, Task
from nearkin.errors import ParameterError

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
    rules = ("mean", "direction")

    def __init__(self, max_iter: int = 10) -> None:
        if max_iter < 1:
            raise ParameterError(f"max_iter is {max_iter}, at least 1 expected")
        self.max_iter = max_iter

    def _fit(self, task: Task) -> Partition:
        import faiss

        vectors = task.vectors
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            task.k,
            niter=self.max_iter,
            spherical=task.objective.rule == "direction",
            early_stop_threshold=0.0 if task.start is None else SETTLED,
            seed=task.seed % LARGEST_SEED + 1,  # faiss takes a seed of 0 for "none"
            min_points_per_centroid=1,
            max_points_per_centroid=len(vectors) // task.k + 1,
        )
        weights = None if (task.mass == 1).all() else task.mass.astype(np.float32)
        kmeans.train(vectors, weights=weights, init_centroids=task.start)
        centroids = np.ascontiguousarray(kmeans.centroids)
        distances, labels = kmeans.index.search(vectors, 1)
        inertia = float((distances[:, 0].astype(np.float64) * task.mass).sum())
        history = tuple(float(each) for each in kmeans.obj)
        return Partition(centroids, labels[:, 0], inertia, history, ended="max_iter")
