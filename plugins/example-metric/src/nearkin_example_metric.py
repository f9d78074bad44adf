"""The metric example-metric, a plugin of nearkin."""

from __future__ import annotations

import numpy as np

from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import Metric


class ExampleMetric(Metric):
    """Σ |a_i - b_i| / (|a_i| + |b_i|), the Canberra distance, to be replaced by your own; columns that are both 0 count 0.

    Source: G. N. Lance and W. T. Williams, "Computer programs for hierarchical polythetic classification" (1966).

    >>> ExampleMetric().distances(np.float32([[1, 0]]), np.float32([[1, 2], [3, 0]])).tolist()
    [[1.0, 0.5]]
    """

    name = "example-metric"
    axioms = frozenset({"non-negative", "identity", "symmetric", "triangle"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """(nq, dim) and (n, dim) rows to (nq, n) distances; smaller is nearer."""
        rows = vectors.astype(np.float64)
        magnitudes = np.abs(rows)
        distances = np.empty((len(queries), len(rows)))
        for number, query in enumerate(queries.astype(np.float64)):
            total = magnitudes + np.abs(query)
            shares = np.divide(np.abs(rows - query), total, out=np.zeros_like(rows), where=total > 0)
            distances[number] = shares.sum(axis=1)
        return distances


@hookimpl
def nearkin_metrics() -> list[MetricSpec]:
    """What this plugin offers."""
    return [
        MetricSpec(
            name="example-metric",
            summary="Sum of the absolute differences, each divided by the columns' magnitudes (Canberra).",
            make=ExampleMetric,
        )
    ]
