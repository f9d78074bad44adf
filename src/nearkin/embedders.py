"""Embedder contract: items (text, mostly) to vectors, with an identity. A hashing text embedder that needs no download.

A collection must never be queried with another embedder than the one that filled it: same width, useless answers, no
error. So an embedder says who it is (`fingerprint`), and fixed canary items show whether it still behaves the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np

from nearkin.errors import EmbedderMismatchError, InputError, ParameterError, PluginContractError
from nearkin.metrics import unit_rows
from nearkin.state import State
from nearkin.vectors import as_vectors

Role = Literal["document", "query"]


class Embedder(ABC):
    """Base of every embedder.

    Attributes
    ----------
    name
        How users ask for it.
    canaries
        Items whose vectors are stored with a collection and compared when it is opened.
    tolerance
        Largest cosine distance at which a canary still counts as unchanged.
    """

    name: ClassVar[str]
    canaries: ClassVar[Sequence[Any]] = ("Similar things should be close.", "42", "compress a file")
    tolerance: ClassVar[float] = 1e-4

    @property
    @abstractmethod
    def dim(self) -> int:
        """Columns of the vectors."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """JSON-able facts that decide what the vectors are: kind, name, revision, parameters, prompts."""

    @abstractmethod
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        """(n, dim) float32 vectors of n items."""

    def embed(self, items: Sequence[Any], *, role: Role = "document") -> np.ndarray:
        """Vectors of items.

        Parameters
        ----------
        role
            ``"document"`` for what is stored, ``"query"`` for what is asked; some models treat them differently.

        Raises
        ------
        InputError
            `items` is a single string, or holds something that is not text.
        """
        if isinstance(items, str | bytes):
            raise InputError("items is a single string, a list of strings expected", hint="pass [text]")
        if role not in ("document", "query"):
            raise ParameterError(f"role is {role!r}, 'document' or 'query' expected")
        try:
            listed = list(items)
        except TypeError as error:
            raise InputError(f"items is {items!r}, a list of strings expected") from error
        vectors = self._embed(listed, role)
        if vectors.shape != (len(listed), self.dim):
            raise PluginContractError(
                f"embedder {self.name!r} gave an array of shape {vectors.shape} for {len(listed)} items of {self.dim} columns"
            )
        return as_vectors(vectors, what=f"vectors of embedder {self.name!r}")

    @property
    def fingerprint(self) -> str:
        """Hash of `identity`, 16 hexadecimal digits."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def check_canaries(self, stored: np.ndarray) -> None:
        """Compare the canaries' vectors now with those stored.

        Raises
        ------
        EmbedderMismatchError
            One has moved by more than `tolerance`: other weights behind the same name.
        """
        now = unit_rows(self.embed(self.canaries))
        if now.shape != stored.shape:
            raise EmbedderMismatchError(
                f"embedder {self.name!r} gives canaries of shape {now.shape}, {stored.shape} were stored"
            )
        moved = 1.0 - np.einsum("ij,ij->i", now, unit_rows(stored))
        worst = int(moved.argmax())
        if moved[worst] > self.tolerance:
            raise EmbedderMismatchError(
                f"embedder {self.name!r} has changed: canary {self.canaries[worst]!r} moved by a cosine distance of "
                f"{moved[worst]:.2g}, at most {self.tolerance:.0e} allowed",
                hint="restore the model that filled the collection, or embed the collection again",
            )


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
    rows have length one. Similar spelling and shared words are close; meaning is not known. `fit` is optional: it learns
    from texts which features are common, and common features then weigh less (inverse document frequency).

    Sources: K. Weinberger et al., "Feature hashing for large scale multitask learning" (2009); K. Spärck Jones, "A
    statistical interpretation of term specificity and its application in retrieval" (1972).

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
        if dim < 8:
            raise ParameterError(f"dim is {dim}, at least 8 expected")
        if ngrams < 0:
            raise ParameterError(f"ngrams is {ngrams}, 0 or more expected")
        self._dim = dim
        self.ngrams = ngrams
        self._rarity: np.ndarray | None = None

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def identity(self) -> Mapping[str, Any]:
        fitted = None if self._rarity is None else hashlib.sha256(self._rarity.tobytes()).hexdigest()[:16]
        return {"kind": "hashing", "revision": 2, "dim": self.dim, "ngrams": self.ngrams, "fitted": fitted}

    def fit(self, items: Sequence[str]) -> None:
        """Learn how rare each feature is: log((1 + n) / (1 + texts that have it)), counted in 2^18 hashed buckets.

        >>> embedder = HashingEmbedder(dim=256)
        >>> embedder.fit(["copy a file", "open a file", "close a file"])
        >>> query, common, rare = embedder.embed(["copy a file", "the file", "the copy"])
        >>> bool(query @ rare > query @ common)
        True
        """
        counts = np.zeros(RARITY_BUCKETS, dtype=np.int64)
        for item in items:
            buckets = {(code >> 1) % RARITY_BUCKETS for code in self._hashed(item)}
            counts[list(buckets)] += 1
        self._rarity = np.log((1 + len(items)) / (1 + counts)).astype(np.float32)

    def state(self) -> State:
        """What `fit` learned; empty if it was not called."""
        return State() if self._rarity is None else State({"rarity": self._rarity})

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""
        self._rarity = state.arrays.get("rarity")

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        vectors = np.zeros((len(items), self.dim), dtype=np.float32)
        for row, item in enumerate(items):
            if not isinstance(item, str):
                raise InputError(f"item {row} is of type {type(item).__name__}, text expected")
            hashed = self._hashed(item)
            codes = np.fromiter(hashed, dtype=np.int64, count=len(hashed))
            weights = np.log1p(np.fromiter(hashed.values(), dtype=np.float32, count=len(hashed)))
            if self._rarity is not None:
                weights *= self._rarity[(codes >> 1) % RARITY_BUCKETS]
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


RARITY_BUCKETS = 1 << 18
