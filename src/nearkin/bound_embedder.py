"""The embedder of a collection: who it is, what it has learned, and the proof that the one at hand is the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from nearkin.embedders import Embedder, Role, Takes, Told
from nearkin.errors import (
    CorruptFileError,
    EmbedderMismatchError,
    FormatVersionError,
    InputError,
    NotSupportedError,
    ParameterError,
    PluginContractError,
    StateError,
)
from nearkin.items import is_missing, items_in, metadata_of_items
from nearkin.metrics import Metric
from nearkin.registry import Registry
from nearkin.rows import Metadata
from nearkin.state import State, nested_state, restore_nested
from nearkin.vectors import OnBad, as_matrix

VERSION = 1
"""Of the records that this nearkin writes and knows."""


@dataclasses.dataclass(frozen=True)
class EmbedderRecord:
    """What a collection says of its embedder; JSON-able.

    Attributes
    ----------
    text
        How the registry makes it.
    takes
        What its items are.
    field
        Name under which the metadata keeps the text of an item; records are their own metadata.
    identity, fingerprint
        Of the embedder as it is once it can embed; empty before.
    canaries
        Items whose vectors are kept with what it has learned.
    metric
        That its vectors are made for; empty if that was not noted.
    fields
        Names in the items that are records; the metadata of a row may have others. Empty if they were not noted.
    lost
        Whether what it has learned and the vectors of its canaries are gone: items are refused until they are embedded again.
    """

    text: str
    takes: Takes
    field: str
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""
    canaries: Sequence[Any] = ()
    metric: str = ""
    fields: Sequence[str] = ()
    lost: bool = False
    version: int = VERSION

    @classmethod
    def describing(cls, embedder: Embedder, field: str) -> EmbedderRecord:
        """The record of an embedder at hand."""
        record = cls(embedder.text, embedder.takes, field, metric=embedder.metric)
        if not embedder.fitted:
            return record
        identity, canaries = dict(embedder.identity), list(embedder.canaries)
        return dataclasses.replace(record, identity=identity, fingerprint=embedder.fingerprint, canaries=canaries)

    def with_fields_of(self, items: Sequence[Any]) -> EmbedderRecord:
        """The same with the names in more items.

        >>> EmbedderRecord("table", "record", "text").with_fields_of([{"height": 179}, {"height": 180, "hobby": "chess"}]).fields
        ['height', 'hobby']
        """
        if self.takes != "record":
            return self
        names = list(dict.fromkeys([*self.fields, *(str(name) for item in items for name in item)]))
        return self if len(names) == len(self.fields) else dataclasses.replace(self, fields=names)

    def need_kept(self) -> None:
        """Raise StateError if what would prove the embedder is lost."""
        if self.lost:
            raise StateError(
                f"what this collection kept of its embedder {self.text} is lost, so that texts and records cannot be compared with "
                "its rows",
                hint="pass vectors, or embed the items again: nearkin.reembed (nearkin reembed)",
            )

    @property
    def fitted(self) -> bool:
        """Whether it can embed."""
        return bool(self.fingerprint)

    def to_dict(self) -> dict[str, Any]:
        """As a folder keeps it."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> EmbedderRecord:
        """The record that a folder keeps.

        Raises
        ------
        FormatVersionError
            A newer nearkin wrote it.
        CorruptFileError
            It is none.
        """
        version = stored.get("version")
        if isinstance(version, int) and version > VERSION:
            raise FormatVersionError(
                f"the embedder is recorded in form {version}, this nearkin knows forms up to {VERSION}",
                hint="install a newer nearkin",
            )
        try:
            return cls(**stored)
        except TypeError as error:
            raise CorruptFileError(f"the record of the embedder cannot be read: {error}") from error


class BoundEmbedder:
    """An embedder that belongs to a collection. One that was stored is made, and proven to be the same, on first use.

    >>> from nearkin.hashing_embedder import HashingEmbedder
    >>> bound = BoundEmbedder.of(HashingEmbedder(dim=16), field="text")
    >>> bound.embed(["compress a file"], "query").shape, bound.record.text
    ((1, 16), 'hashing:dim=16:ngrams=4')
    """

    def __init__(self, record: EmbedderRecord, make: Callable[[], Embedder], load: Callable[[], State]) -> None:
        self.record = record
        self._make = make
        self._load = load
        self._lock = RLock()
        self._made: Embedder | None = None
        self.threads = 0
        """Threads that embedding may use; 0 for the setting."""

    @classmethod
    def of(cls, embedder: Embedder, field: str) -> BoundEmbedder:
        """An embedder at hand, as new collections take it."""
        if not field or "." in field:
            raise ParameterError(
                f"field is {field!r}, the name of a field of the metadata expected", hint="such as 'text'"
            )
        record, state = EmbedderRecord.describing(embedder, field), State()
        if record.fitted:
            vectors = embedder.embed(record.canaries)
            state = nested_state(learned=embedder.state(), canaries=State({"vectors": vectors}))
        bound = cls(record, lambda: embedder, lambda: state)
        bound._made = embedder
        return bound

    @classmethod
    def stored(
        cls, record: EmbedderRecord, load: Callable[[], State], registry: Registry, given: str | Embedder | None
    ) -> BoundEmbedder:
        """The embedder of a folder; `given` one is taken instead of the recorded one, if it is the same.

        Raises
        ------
        EmbedderMismatchError
            The given one is another; one that is an object is compared at once.
        """

        def make() -> Embedder:
            return make_embedder(record.text if given is None else given, registry)

        bound = cls(record, make, load)
        if given is not None:
            _ = bound.embedder
        return bound

    @property
    def embedder(self) -> Embedder:
        """The embedder, made, with what it has learned, and compared with what was stored.

        Raises
        ------
        EmbedderMismatchError
            It is not the one that filled the collection: another identity, or canaries that moved.
        StateError
            What would prove that it is the one is lost.
        """
        with self._lock:
            if self._made is None:
                self.record.need_kept()
                self._made = self._proven(self._make())
            return self._made

    @property
    def made(self) -> Embedder | None:
        """The embedder, if something has needed it so far."""
        return self._made

    def _proven(self, embedder: Embedder) -> Embedder:
        other = embedder.text.partition(":")[0] != self.record.text.partition(":")[0]
        if not self.record.fitted:
            if embedder.fitted or embedder.text != self.record.text:
                raise self._mismatch(embedder)
            return embedder
        if other and not embedder.fitted:
            raise self._mismatch(embedder)
        canaries = self._restored(embedder)
        if embedder.fingerprint != self.record.fingerprint:
            raise self._mismatch(embedder)
        embedder.check_canaries(canaries, list(self.record.canaries))
        return embedder

    def _restored(self, embedder: Embedder) -> np.ndarray:
        """Vectors of the canaries; one that has to learn is given back what was learned."""
        kept: dict[str, np.ndarray] = {}
        try:
            restore_nested(
                self._load(),
                learned=(lambda state: None) if embedder.fitted else embedder.restore,
                canaries=lambda state: kept.update(state.arrays),
            )
        except (LookupError, ValueError, TypeError) as error:  # what another one has learned
            raise self._mismatch(embedder) from error
        return kept["vectors"]

    def _mismatch(self, embedder: Embedder) -> EmbedderMismatchError:
        there, here, difference = self.record.text, embedder.text, ""
        if self.record.fitted:
            there += f" (fingerprint {self.record.fingerprint})"
        if embedder.fitted:
            here += f" (fingerprint {embedder.fingerprint})"
        if self.record.fitted and embedder.fitted:
            difference = f": {_difference(self.record.identity, dict(embedder.identity))}"
        return EmbedderMismatchError(
            f"the collection was filled by {there}, and the embedder at hand is {here}{difference}",
            hint="use the embedder that filled it, or embed the items again into a new collection",
        )

    @property
    def metric(self) -> str:
        """The metric that its vectors are made for."""
        return self.embedder.metric

    def using(self, threads: int) -> BoundEmbedder:
        """The same, with that many threads for embedding."""
        self.threads = threads
        return self

    def need_compared(self, metric: Metric) -> None:
        """Raise NotSupportedError if a metric compares packed bits, which no embedder gives."""
        if metric.dtype != "float32":
            raise NotSupportedError(
                f"{metric.name} compares packed bits, and embedder {self.record.text} gives numbers",
                hint=f"choose {self.metric}, or another metric on numbers",
            )

    def items_in(self, given: Any) -> list[Any] | None:
        """The items if something given is those; None if it is vectors."""
        return _items_for(self.record.takes, given)

    def fitted_to(self, items: Sequence[Any]) -> BoundEmbedder:
        """The same embedder once it has learned from items."""
        embedder = self.embedder
        embedder.threads = self.threads
        embedder.fit(items)
        bound = BoundEmbedder.of(embedder, self.record.field)
        bound.threads = self.threads
        return bound

    def embed(self, items: Sequence[Any], role: Role, told: Told | None = None) -> np.ndarray:
        """(n, dim) vectors of items."""
        embedder = self.embedder
        embedder.threads = self.threads
        vectors = embedder.embed(items, role=role, told=told)
        if role == "document":
            with self._lock:
                self.record = self.record.with_fields_of(items)
        return vectors

    def embed_those_there(self, items: Sequence[Any], on_bad: OnBad, told: Told | None = None) -> np.ndarray:
        """(n, dim) vectors of items to store; with ``"skip"``, rows of NaN where there is no item, which the gate leaves out."""
        gaps = np.array([on_bad == "skip" and is_missing(item) for item in items], dtype=bool)
        if not gaps.any():
            return self.embed(items, "document", told)
        there = [item for item, gap in zip(items, gaps.tolist(), strict=True) if not gap]
        vectors = np.full((len(items), self.embedder.dim), np.nan, dtype=np.float32)
        vectors[~gaps] = self.embed(there, "document", told)
        return vectors

    def learned(self) -> State | None:
        """What it has learned, and the vectors of its canaries; None as long as it has to learn."""
        return self._load() if self.record.fitted else None


def _difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two identities, in words.

    >>> _difference({"kind": "hashing", "dim": 16}, {"kind": "hashing", "dim": 32})
    'dim was 16 and is 32'
    """
    names = [name for name in dict.fromkeys([*stored, *now]) if stored.get(name) != now.get(name)]
    told = [f"{name} was {stored.get(name)!r} and is {now.get(name)!r}" for name in names[:3]]
    more = f", and {len(names) - 3} more differ" if len(names) > 3 else ""
    return ", ".join(told) + more


def make_embedder(embedder: str | Embedder, registry: Registry) -> Embedder:
    """The embedder that is meant; one that learns is copied, so that the caller's own stays as it is."""
    if isinstance(embedder, Embedder):
        return deepcopy(embedder) if embedder.needs_fit else embedder
    if not isinstance(embedder, str):
        raise ParameterError(f"embedder is a {type(embedder).__name__}, a name or an Embedder expected")
    made: Embedder = registry.make("embedder", embedder)
    if not isinstance(made, Embedder):
        raise PluginContractError(
            f"embedder {embedder!r} was made as a {type(made).__name__}, a nearkin.Embedder expected"
        )
    return made


def need_items(embedder: Embedder, items: Sequence[Any], on_bad: OnBad) -> None:
    """Raise InputError if there is something that the embedder does not take; with ``"skip"``, items may be missing."""
    if on_bad != "skip" or not any(map(is_missing, items)):
        embedder.check_items(items)
        return
    for row, item in enumerate(items):
        if not is_missing(item):
            embedder.check_items([item], row)


def _items_for(takes: Takes, given: Any) -> list[Any] | None:
    if takes == "text" and hasattr(given, "isna") and hasattr(given, "columns"):
        texts = [name for name in given.columns if given[name].dtype.kind not in "fiub"]
        if texts:
            raise InputError(
                "this is a data frame, a list of texts expected", hint=f"pass one column of it: frame[{texts[0]!r}]"
            )
    return items_in(given, records=takes == "record")


class Embedded(NamedTuple):
    """What is given to a new collection, as vectors."""

    bound: BoundEmbedder | None
    vectors: Any
    metadata: Sequence[Metadata] | None
    queries: Any


def embedded(
    given: Any,
    embedder: str | Embedder | None,
    field: str,
    metadata: Sequence[Metadata] | None,
    queries: Any,
    registry: Registry,
    threads: int = 0,
    on_bad: OnBad = "fail",
) -> Embedded:
    """Items and queries of a new collection as vectors, by an embedder that learns from the items if it has to. Vectors stay as
    they are.

    Raises
    ------
    InputError
        There are items and no embedder.
    NotTrainedError
        There are vectors, and an embedder that has to learn from items.
    VectorError
        The vectors are not as wide as those of the embedder.
    """
    if embedder is None:
        items = items_in(given)
        if items is not None:
            raise InputError(
                f"these are {len(items):,} texts or records, and no embedder is given to turn them into vectors",
                hint='pass embedder="lsa" for texts, embedder="table:..." for records (--embedder)',
            )
        return Embedded(None, given, metadata, queries)
    made = make_embedder(embedder, registry)
    made.threads = threads
    items = _items_for(made.takes, given)
    if items is not None:
        need_items(made, items, on_bad)
        if not made.fitted:
            made.fit([item for item in items if not is_missing(item)])
        metadata = metadata_of_items(items, field, metadata)
    bound = BoundEmbedder.of(made, field)
    bound.threads = threads
    vectors = as_matrix(given, dim=made.dim) if items is None else bound.embed_those_there(items, on_bad)
    asked = bound.items_in(queries)
    return Embedded(bound, vectors, metadata, queries if asked is None else bound.embed(asked, "query"))
