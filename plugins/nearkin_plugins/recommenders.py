"""Recommenders: items for users, from who had to do with what."""

from __future__ import annotations

from collections.abc import Iterable

from nearkin.hooks import RecommenderSpec, hookimpl


@hookimpl
def nearkin_recommenders() -> Iterable[RecommenderSpec]:
    """Built-in recommenders."""
    yield RecommenderSpec(
        name="popular",
        summary="What most users had to do with, for everybody.",
        make="nearkin.recommending.popularity:Popular",
    )
