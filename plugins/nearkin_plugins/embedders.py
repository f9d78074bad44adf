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


@dataclass(frozen=True)
class LsaParams:
    """Options of LSA: columns, lengths of the character n-grams, and how many words, and as many n-grams, are kept."""

    dim: int = 256
    shortest: int = 2
    longest: int = 4
    features: int = 50_000


@hookimpl
def nearkin_embedders() -> Iterable[EmbedderSpec]:
    return [
        EmbedderSpec(
            name="hashing",
            summary="words and character n-grams hashed into columns: no training, no download",
            make="nearkin.hashing_embedder:HashingEmbedder",
            params=HashingParams,
        ),
        EmbedderSpec(
            name="lsa",
            summary="words and character n-grams in the columns of a truncated SVD: learns from the texts themselves, no download",
            make="nearkin_plugins.lsa:LsaEmbedder",
            params=LsaParams,
            needs=("sklearn",),
            examples=({}, {"dim": 4, "shortest": 3, "longest": 3, "features": 100}),
        ),
    ]
