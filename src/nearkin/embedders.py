"""Embedder contract: items (texts, or records of a table) to vectors, with an identity.

A collection must never be queried with another embedder than the one that filled it: same width, useless answers, no
error. So an embedder says who it is (`fingerprint`), and fixed canary items show whether it still behaves the same.
The reference is `nearkin.hashing_embedder.HashingEmbedder`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from nearkin.errors import (
    EmbedderMismatchError,
    InputError,
    NotSupportedError,
    NotTrainedError,
    ParameterError,
    PluginContractError,
)
from nearkin.state import State
from nearkin.vectors import as_vectors

Role = Literal["document", "query"]
Takes = Literal["text", "record"]
Told = Callable[[int, int], None]
"""Is told how many items were dealt with, and how many there are."""


@dataclass(frozen=True)
class ModelSize:
    """What the model of an embedder is made of.

    Attributes
    ----------
    parameters
        Numbers in it, learned or given.
    nbytes
        Bytes of them as they are loaded.
    layers
        Layers of a network, one on the other; None where it is none.
    max_length
        Tokens of an item that count, the rest is cut off; None where all do.
    """

    parameters: int = 0
    nbytes: int = 0
    layers: int | None = None
    max_length: int | None = None


class Embedder(ABC):
    """Base of every embedder. An author writes `dim`, `identity` and `_embed`; for one that learns, `_fit`, `state`, `restore`.

    Attributes
    ----------
    name
        How users ask for it.
    takes
        ``"text"``: items are strings. ``"record"``: items are dicts of named values, such as the rows of a table.
    metric
        The metric that its vectors are made for; collections take it where none is given.
    needs_fit
        Whether it learns from items before it can embed.
    canaries
        Items whose vectors are stored with a collection and compared when it is used again.
    tolerance
        Largest cosine distance at which a canary still counts as unchanged: room for another processor's rounding.
    at_once
        Items that `_embed` gets at most in one call.
    labels
        What `identity` says for people only: names of a model whose checksum tells it, under any name.
    threads
        Threads that embedding may use, which a collection sets; 0 for the setting.
    """

    name: ClassVar[str]
    takes: ClassVar[Takes] = "text"
    metric: ClassVar[str] = "cosine"
    needs_fit: bool = False
    tolerance: float = 1e-4
    at_once: int = 4096
    labels: ClassVar[frozenset[str]] = frozenset()
    threads: int = 0

    @property
    def canaries(self) -> Sequence[Any]:
        """The same items for as long as the embedder is the same; JSON-able."""
        return ("Similar things should be close.", "42", "compress a file")

    @property
    def notes(self) -> Sequence[str]:
        """What it found in learning, or in what it embedded, that a user should know, a sentence each; shown when a collection is
        filled."""
        return ()

    @property
    @abstractmethod
    def dim(self) -> int:
        """Columns of the vectors; `need_fitted` first where they depend on what was learned."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """JSON-able facts that decide what the vectors are: kind, name, revision, parameters, prompts, a checksum of what was
        learned."""

    @abstractmethod
    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        """(n, dim) float32 vectors of n items, which are all of the kind that `takes` says."""

    def _fit(self, items: Sequence[Any]) -> None:
        raise NotSupportedError(f"embedder {self.name!r} does not learn from items")

    def _check(self, items: Sequence[Any], first: int) -> None:
        """Raise InputError where an item, numbered from `first` on, is of the right kind and cannot be embedded all the same."""

    @property
    def text(self) -> str:
        """How the registry makes it, with its options: ``"hashing:dim=512"``; a collection keeps this."""
        return self.name

    @property
    def fitted(self) -> bool:
        """Whether it can embed; those that learn say when."""
        return not self.needs_fit

    def state(self) -> State:
        """What was learned, which `restore` gives to a new one of the same `text`."""
        return State()

    def restore(self, state: State) -> None:
        """Take back what `state` gave."""

    def size(self) -> ModelSize:
        """Parameters, bytes, layers and longest item of the model; by default, of what was learned."""
        arrays = self.state().arrays.values()
        return ModelSize(sum(each.size for each in arrays), sum(each.nbytes for each in arrays))

    # ---- what the base class makes of it ---------------------------------------------------------------------------

    def embed(self, items: Sequence[Any], *, role: Role = "document", told: Told | None = None) -> np.ndarray:
        """Vectors of items.

        Parameters
        ----------
        items
            Texts, or dicts, as `takes` says.
        role
            ``"document"`` for what is stored, ``"query"`` for what is asked; some models treat them differently.
        told
            Called while many items are embedded.

        Returns
        -------
        numpy.ndarray
            (n, dim) float32.

        Raises
        ------
        InputError
            `items` is a single item, or one of them is of another kind.
        NotTrainedError
            It is to be fitted first.
        """
        if role not in ("document", "query"):
            raise ParameterError(f"role is {role!r}, 'document' or 'query' expected")
        listed = self._listed(items)
        self.need_fitted()
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        for start in range(0, len(listed), self.at_once):
            some = listed[start : start + self.at_once]
            parts.append(self._checked(self._embed(some, role), len(some)))
            if told is not None:
                told(start + len(some), len(listed))
        return parts[1] if len(parts) == 2 else np.concatenate(parts)

    def _checked(self, vectors: np.ndarray, count: int) -> np.ndarray:
        if vectors.shape != (count, self.dim):
            raise PluginContractError(
                f"embedder {self.name!r} gave an array of shape {vectors.shape} for {count} items of {self.dim} columns"
            )
        return as_vectors(vectors, what=f"vectors of embedder {self.name!r}")

    def fit(self, items: Sequence[Any]) -> None:
        """Learn from items what embedding needs.

        Raises
        ------
        NotSupportedError
            It does not learn.
        InputError
            No items, or one of another kind.
        """
        listed = self._listed(items)
        if not listed:
            raise InputError(f"embedder {self.name!r} was given no items to learn from")
        self._fit(listed)

    def check_items(self, items: Any, first: int = 0) -> list[Any]:
        """The items as a list; `first` is the number of the first one, for the message.

        Raises
        ------
        InputError
            `items` is a single item, or one of them is of another kind than `takes`, or cannot be embedded.
        """
        listed = self._listed(items, first)
        self._check(listed, first)
        return listed

    def _listed(self, items: Any, first: int = 0) -> list[Any]:
        wanted: type[Any] = str if self.takes == "text" else Mapping
        expected = "a list of strings" if self.takes == "text" else "a list of dicts"
        if isinstance(items, str | bytes | Mapping):
            what = "dict" if isinstance(items, Mapping) else "string"
            hint = "pass [text]" if self.takes == "text" else "pass [record]"
            raise InputError(f"items is a single {what}, {expected} expected", hint=hint)
        try:
            listed = list(items)
        except TypeError as error:
            raise InputError(f"items is {items!r}, {expected} expected") from error
        for row, item in enumerate(listed, first):
            if not isinstance(item, wanted):
                kind = "text" if self.takes == "text" else "a dict of named values"
                raise InputError(f"item {row} is of type {type(item).__name__}, {kind} expected")
        return listed

    def need_fitted(self) -> None:
        """Raise NotTrainedError if it has to learn from items first."""
        if not self.fitted:
            raise NotTrainedError(
                f"embedder {self.name!r} learns from items first", hint="call fit(items), or add items"
            )

    @property
    def fingerprint(self) -> str:
        """Hash of `identity` without its `labels`, 16 hexadecimal digits."""
        facts = {name: value for name, value in self.identity.items() if name not in self.labels}
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def check_canaries(self, stored: np.ndarray, items: Sequence[Any] | None = None) -> None:
        """Compare the vectors of the canaries (or of `items`) now with those stored.

        Raises
        ------
        EmbedderMismatchError
            One has moved by more than `tolerance`: other weights behind the same name.
        """
        asked = self.canaries if items is None else items
        plain = self.embed(asked)
        if plain.shape != stored.shape:
            raise EmbedderMismatchError(
                f"embedder {self.name!r} gives canaries of shape {plain.shape}, {stored.shape} were stored"
            )
        moved = _apart(plain, stored)
        worst = int(moved.argmax())
        if moved[worst] > self.tolerance:
            raise EmbedderMismatchError(
                f"embedder {self.name!r} has changed: canary {asked[worst]!r} moved by {moved[worst]:.2g} (a cosine "
                f"distance), at most {self.tolerance:.0e} allowed",
                hint="restore the model that filled the collection, or embed the collection again",
            )


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each row, half the squared difference as a share of the longer one's square: the cosine distance where both are equally
    long, and more where they are not."""
    squares = np.maximum(*(np.einsum("ij,ij->i", each, each, dtype=np.float64) for each in (one, other)))
    apart = one.astype(np.float64) - other
    return np.asarray(np.einsum("ij,ij->i", apart, apart) / (2 * np.where(squares > 0, squares, 1)))


def digest_of(arrays: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]]) -> str:
    """Hash of arrays by name, 16 hexadecimal digits, for an `identity`: the same on every machine.

    Pairs of names and arrays, in the order of the names, may be made one by one; the hash is that of a dict of them.

    >>> digest_of({"weights": np.arange(3, dtype=np.float32)})
    '7dbcb085e0a9322c'
    """
    hashed = hashlib.sha256()
    pairs = ((name, arrays[name]) for name in sorted(arrays)) if isinstance(arrays, Mapping) else arrays
    for name, given in pairs:
        array = np.asarray(given)
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        hashed.update(f"{name} {plain.dtype.str} {plain.shape} ".encode())
        hashed.update(plain.reshape(-1).view(np.uint8).data)
    return hashed.hexdigest()[:16]
