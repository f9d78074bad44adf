"""Lloyd's algorithm under the names that people look for where centroids are not means: spherical k-means and k-medians."""

from __future__ import annotations

from nearkin.lloyd import Lloyd


class Spherical(Lloyd):
    """Lloyd's algorithm over rows of length one, with centroids of length one: rows go where the cosine is largest.

    Source: I. Dhillon and D. Modha, "Concept decompositions for large sparse text data using clustering" (2001).

    Examples
    --------
    >>> import numpy as np
    >>> from nearkin.objectives import DIRECTIONS
    >>> rows = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    >>> Spherical().fit(rows, 1, objective=DIRECTIONS).centroids.round(3).tolist()
    [[0.6639999747276306, 0.746999979019165]]
    """

    name = "spherical"
    rules = ("direction",)  # type: ignore[assignment]


class KMedians(Lloyd):
    """Lloyd's algorithm with Manhattan distances and the median of each column, which a few far rows do not move.

    Source: P. Bradley, O. Mangasarian and W. Street, "Clustering via concave minimization" (1996).

    Examples
    --------
    >>> import numpy as np
    >>> from nearkin.objectives import ABSOLUTE
    >>> KMedians().fit(np.float32([[1], [2], [3], [4], [100]]), 1, objective=ABSOLUTE).centroids.tolist()
    [[3.0]]
    """

    name = "kmedians"
    rules = ("median",)  # type: ignore[assignment]
