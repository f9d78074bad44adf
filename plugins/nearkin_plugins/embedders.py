"""Embedders: items to vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearkin.hooks import EmbedderSpec, hookimpl


@dataclass(frozen=True)
class HashingParams:
    """Options of the hashing embedder: columns, and the length of the character n-grams (0 for none)."""

    dim: int = 512
    ngrams: int = 4


@hookimpl
def nearkin_embedders() -> Iterable[EmbedderSpec]:
    return [
        EmbedderSpec(
            name="hashing",
            summary="words and character n-grams hashed into columns: no training, no download",
            make="nearkin.hashing_embedder:HashingEmbedder",
            params=HashingParams,
        )
    ]
