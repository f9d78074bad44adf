"""Learners: labels and numbers for rows, from similarity, and yardsticks to hold them against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nearkin.hooks import LearnerSpec, hookimpl
from nearkin_plugins.linear_learners import linear_specs, yardstick_specs


@dataclass(frozen=True)
class NeighboursParams:
    """Options of nearest neighbours.

    Attributes
    ----------
    n_neighbors
        Neighbours that vote.
    metric
        Under which they are near.
    weights
        uniform, distance or softmax.
    """

    n_neighbors: int = 5
    metric: str = "euclidean"
    weights: str = "uniform"


def nearest_neighbours(task: str, **params: Any) -> Any:
    """The estimator for a task."""
    from nearkin import KNNClassifier, KNNRegressor

    return KNNClassifier(**params) if task == "classes" else KNNRegressor(**params)


@hookimpl
def nearkin_learners() -> Iterable[LearnerSpec]:
    """Built-in learners."""
    yield LearnerSpec(
        name="knn",
        summary="What most of the nearest rows are.",
        make=nearest_neighbours,
        params=NeighboursParams,
        shorthand=("n_neighbors",),
        tasks=("classes", "numbers"),
        examples=({}, {"n_neighbors": 1}, {"weights": "distance"}, {"metric": "manhattan"}),
    )
    yield from linear_specs()
    yield from yardstick_specs()
