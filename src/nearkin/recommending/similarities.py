"""Similarities between rows of a collection, computed on the rows themselves, and where they are linear in the rows."""

from __future__ import annotations

import numpy as np

from nearkin.errors import NotSupportedError
from nearkin.metrics import Cosine, InnerProduct, Metric


def is_linear(metric: Metric) -> bool:
    """Whether a similarity is the inner product of prepared rows, so that a sum of similarities is that to one row.

    So it is under inner product, cosine and correlation; under the angle, or 1 / (1 + distance), it is not.

    >>> from nearkin.metrics import Euclidean
    >>> is_linear(Cosine()), is_linear(Euclidean())
    (True, False)
    """
    kind = type(metric)
    product = isinstance(metric, InnerProduct) and kind.similarity is InnerProduct.similarity
    direction = isinstance(metric, Cosine) and kind.similarity is Cosine.similarity and kind.finish is Cosine.finish
    return product or direction


def similarities(metric: Metric, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(nq, n) float64 similarities by the metric's own rule, of (nq, dim) and (n, dim) rows as they are stored.

    Raises
    ------
    NotSupportedError
        The rule is 1 / (1 + distance), and a distance is below 0, where that is no similarity.
    """
    distances = metric.distances(queries, vectors)
    if type(metric).similarity is Metric.similarity and distances.size and float(distances.min()) < 0:
        raise NotSupportedError(
            f"metric {metric.name!r} has distances below 0 (such as {float(distances.min()):.4g}), of which 1 / (1 + distance) "
            "is no similarity",
            hint="give the metric a similarity of its own, or take cosine or inner-product",
        )
    return np.asarray(metric.similarity(distances), dtype=np.float64)


def never_negative(metric: Metric) -> bool:
    """Whether no similarity is below 0, which `similarities` sees to under the usual rule."""
    return type(metric).similarity is Metric.similarity
