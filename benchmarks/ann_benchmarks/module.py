"""nearkin for ann-benchmarks: copy this folder to ``ann_benchmarks/algorithms/nearkin`` of that repository.

Source of the interface: https://github.com/erikbern/ann-benchmarks, ``ann_benchmarks/algorithms/base/module.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import nearkin as nk

from ..base.module import BaseANN

METRICS = {"angular": "cosine", "euclidean": "euclidean", "hamming": "hamming"}


class Nearkin(BaseANN):
    """One plan; its search parameters are set between the runs.

    Parameters
    ----------
    metric
        As ann-benchmarks calls it.
    options
        ``plan``, and ``search``: the names of the search parameters that `set_query_arguments` gives values of, in order.
    """

    def __init__(self, metric: str, options: dict[str, Any]) -> None:
        self._metric = METRICS[metric]
        self._plan = options["plan"]
        self._names = list(options.get("search", ()))
        self._params: dict[str, int] = {}
        self._found: nk.SearchResult | None = None

    def fit(self, X: np.ndarray) -> None:
        """Build over (n, dim) rows."""
        self._collection = nk.build(self._rows(X), metric=self._metric, plan=self._plan)

    def set_query_arguments(self, *values: int) -> None:
        """Values of the search parameters for the queries that follow."""
        self._params = dict(zip(self._names, values, strict=True))

    def query(self, v: np.ndarray, n: int) -> np.ndarray:
        """Positions of the n nearest rows of one query; fewer where the plan finds fewer."""
        found = self._collection.search(self._rows(v[None]), n, threads=1, allow_fewer=True, **self._params)
        return found.positions[0, : found.counts[0]]

    def batch_query(self, X: np.ndarray, n: int) -> None:
        """The same of (nq, dim) queries at once, on all threads."""
        self._found = self._collection.search(self._rows(X), n, allow_fewer=True, **self._params)

    def get_batch_results(self) -> list[np.ndarray]:
        """What the last `batch_query` found."""
        if self._found is None:
            return []
        return [row[:count] for row, count in zip(self._found.positions, self._found.counts, strict=True)]

    def get_additional(self) -> dict[str, Any]:
        """Stored with each result."""
        return {
            "nearkin_plan": self._collection.plan,
            "nearkin_bytes": sum(self._collection.allocated_bytes().values()),
        }

    def done(self) -> None:
        """Let go of the collection."""
        self._collection.close()

    def _rows(self, given: np.ndarray) -> np.ndarray:
        return np.packbits(given.astype(bool), axis=1) if self._metric == "hamming" else given

    def __str__(self) -> str:
        settings = "".join(f", {name}={value}" for name, value in self._params.items())
        return f"nearkin({self._plan}{settings})"
