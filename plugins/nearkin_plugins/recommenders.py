"""Recommenders: items for users, from who had to do with what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.hooks import RecommenderSpec, hookimpl


@dataclass(frozen=True)
class ContentParams:
    """Options of content: the folder of the collection whose ids are the items."""

    collection: str


@hookimpl
def nearkin_recommenders() -> Iterable[RecommenderSpec]:
    """Built-in recommenders."""
    yield RecommenderSpec(
        name="popular",
        summary="What most users had to do with, for everybody.",
        make="nearkin.recommending.popularity:Popular",
    )
    yield RecommenderSpec(
        name="content",
        summary="Items whose vectors, in a saved collection, are like those of the history.",
        make="nearkin.recommending.content:ContentRecommender",
        params=ContentParams,
        leading="collection",
        examples=(),  # there is no collection that every machine has
    )
