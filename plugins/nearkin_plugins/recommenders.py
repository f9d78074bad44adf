"""Recommenders: items for users, from who had to do with what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.hooks import RecommenderSpec, hookimpl


@dataclass(frozen=True)
class ContentParams:
    """Options of content: the folder of the collection whose ids are the items."""

    collection: str


@dataclass(frozen=True)
class ItemKNNParams:
    """See `nearkin.ItemKNN`."""

    similarity: str = "cosine"
    n_neighbors: int = 200
    shrinkage: float = 0.0
    weighting: str = "none"
    damping: float = 0.5
    balance: float = 0.6


@dataclass(frozen=True)
class UserKNNParams:
    """See `nearkin.UserKNN`."""

    similarity: str = "cosine"
    n_neighbors: int = 50
    shrinkage: float = 0.0
    weighting: str = "tf-idf"


@dataclass(frozen=True)
class ALSParams:
    """See `nearkin.ALS`."""

    factors: int = 64
    regularization: float = 0.3
    alpha: float = 1.0
    iterations: int = 15
    scaling: str = "mean"
    seed: int = 0
    plan: str = "flat"


@hookimpl
def nearkin_recommenders() -> Iterable[RecommenderSpec]:
    """Built-in recommenders."""
    return [
        RecommenderSpec(
            name="popular",
            summary="What most users liked, for everybody.",
            make="nearkin.recommending.popularity:Popular",
            known_failures={"better-than-popular": "it is what is popular"},
        ),
        RecommenderSpec(
            name="item-knn",
            summary="Items alike to those that the user had to do with.",
            make="nearkin.recommending.item_neighbours:ItemKNN",
            params=ItemKNNParams,
            leading="similarity",
            examples=(
                {},
                {"similarity": "jaccard", "shrinkage": 5.0},
                {"similarity": "adjusted-cosine", "n_neighbors": 20},
                {"weighting": "bm25"},
            ),
        ),
        RecommenderSpec(
            name="user-knn",
            summary="What users with a similar history had to do with.",
            make="nearkin.recommending.user_neighbours:UserKNN",
            params=UserKNNParams,
            leading="similarity",
            examples=({}, {"similarity": "jaccard", "shrinkage": 5.0}, {"similarity": "adjusted-cosine"}),
        ),
        RecommenderSpec(
            name="als",
            summary="Factors by alternating least squares, for implicit feedback: users and items as vectors.",
            make="nearkin.recommending.als:ALS",
            params=ALSParams,
            examples=({"factors": 8}, {"factors": 8, "regularization": 0.05, "scaling": "count", "alpha": 4.0}),
        ),
        RecommenderSpec(
            name="content",
            summary="Items whose vectors, in a saved collection, are like those of the history.",
            make="nearkin.recommending.content:ContentRecommender",
            params=ContentParams,
            leading="collection",
            examples=(),  # there is no collection that every machine has
        ),
    ]
