"""A text embedder that needs no training and no download: the reference of the embedder contract."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from nearkin.embedders import Embedder, Role
from nearkin.metrics import unit_rows
from nearkin.search_parameters import whole_number

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "our",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


SUFFIXES = ("ings", "ing", "est", "ed", "es", "s")


def word_stem(word: str) -> str:
    """A lower-case English word without its commonest endings, so that "match", "matches" and "matching" meet.

    >>> [word_stem(word) for word in ("matches", "closest", "close", "class")]
    ['match', 'clos', 'clos', 'class']
    """
    if not word.endswith("ss"):
        word = next(
            (word.removesuffix(end) for end in SUFFIXES if word.endswith(end) and len(word) >= len(end) + 3), word
        )
    return word.removesuffix("e") if len(word) > 3 else word


class HashingEmbedder(Embedder):
    """Word stems, pairs of them and character n-grams hashed into a fixed number of columns; no training, no download.

    Each feature adds ±(its weight) to one column, chosen by a hash of the feature; counts are damped by a logarithm and
    rows have length one. Similar spelling and shared words are close; meaning is not known.

    Source: K. Weinberger et al., "Feature hashing for large scale multitask learning" (2009).

    Parameters
    ----------
    dim
        Columns; fewer mean more collisions.
    ngrams
        Length of the character n-grams; 0 leaves them out.

    Examples
    --------
    >>> embedder = HashingEmbedder(dim=256)
    >>> a, b, c = embedder.embed(["compress a file", "file compression", "send mail"])
    >>> bool(a @ b > a @ c)
    True
    """

    name = "hashing"

    def __init__(self, dim: int = 512, ngrams: int = 4) -> None:
        self._dim = whole_number("dim", dim, 8)
        self.ngrams = whole_number("ngrams", ngrams, 0)

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "hashing", "revision": 3, "dim": self.dim, "ngrams": self.ngrams}

    @property
    def text(self) -> str:
        return f"{self.name}:dim={self.dim}:ngrams={self.ngrams}"

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        vectors = np.zeros((len(items), self.dim), dtype=np.float32)
        for row, item in enumerate(items):
            hashed = self._hashed(item)
            codes = np.fromiter(hashed, dtype=np.int64, count=len(hashed))
            weights = np.log1p(np.fromiter(hashed.values(), dtype=np.float32, count=len(hashed)))
            np.add.at(vectors[row], (codes >> 1) % self.dim, np.where(codes & 1, weights, -weights))
        return unit_rows(vectors)

    def _hashed(self, text: str) -> dict[int, float]:
        """Hash of each feature of a text to its weighted count."""
        counts: dict[int, float] = {}
        for feature, weight in self._features(text):
            code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            counts[code] = counts.get(code, 0.0) + weight
        return counts

    def _features(self, text: str) -> Iterator[tuple[str, float]]:
        words = [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text))]
        words = [word for word in words if word not in STOP_WORDS]
        stems = [word_stem(word) for word in words]
        yield from ((f"w {stem}", 1.0) for stem in stems)
        yield from ((f"p {one} {two}", 0.5) for one, two in pairwise(stems))
        if self.ngrams:
            for word in words:
                padded = f"^{word}$"
                grams = [padded[i : i + self.ngrams] for i in range(max(1, len(padded) - self.ngrams + 1))]
                yield from ((f"c {gram}", 1.0 / len(grams)) for gram in grams)
