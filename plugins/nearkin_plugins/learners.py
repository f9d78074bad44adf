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
    temperature
        That distances are divided by, with softmax only; left out, 1.
    """

    n_neighbors: int = 5
    metric: str = "euclidean"
    weights: str = "uniform"
    temperature: float | None = None


@dataclass(frozen=True)
class CentroidParams:
    """Options of nearest centroids.

    Attributes
    ----------
    per_class
        Centroids of each label: a number, or auto.
    metric
        Under which they are near.
    clusterer
        That finds them; left out, the metric's own.
    """

    per_class: int | str = 1
    metric: str = "euclidean"
    clusterer: str | None = None


@dataclass(frozen=True)
class AttentionParams:
    """Options of attention.

    Attributes
    ----------
    k
        Rows that are attended to; 0 for all.
    temperature
        That scores are divided by: a number, fit (by held-out rows) or sqrt (of the columns).
    heads
        Parts that the columns are split into.
    metric
        What is weighed: inner-product, cosine or euclidean.
    """

    k: int = 64
    temperature: float | str = "fit"
    heads: int = 1
    metric: str = "inner-product"


def nearest_centroids(task: str, **params: Any) -> Any:
    """The estimator, whose only task is labels."""
    from nearkin import CentroidClassifier

    return CentroidClassifier(**params)


def attention(task: str, **params: Any) -> Any:
    """The estimator for a task."""
    from nearkin import AttentionClassifier, AttentionRegressor

    given = {**params, "k": params["k"] or None} if "k" in params else params
    return AttentionClassifier(**given) if task == "classes" else AttentionRegressor(**given)


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
        examples=(
            {},
            {"n_neighbors": 1},
            {"weights": "distance"},
            {"weights": "softmax", "temperature": 0.5},
            {"metric": "manhattan"},
        ),
    )
    yield LearnerSpec(
        name="centroid",
        summary="The label of the nearest centroid.",
        make=nearest_centroids,
        params=CentroidParams,
        shorthand=("per_class",),
        tasks=("classes",),
        examples=({}, {"per_class": 2}, {"per_class": "auto"}, {"metric": "manhattan"}),
    )
    yield LearnerSpec(
        name="attention",
        summary="The nearest rows, weighed by a softmax of their scores.",
        make=attention,
        params=AttentionParams,
        shorthand=("k",),
        tasks=("classes", "numbers"),
        examples=({}, {"k": 0}, {"temperature": "sqrt"}, {"metric": "euclidean"}),
    )
    yield from linear_specs()
    yield from yardstick_specs()
