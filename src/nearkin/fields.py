"""Fields of metadata: what there is to filter on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from nearkin.errors import FilterError
from nearkin.filters.names import Field

MOST_FIELDS = 1000
"""Fields that are listed; metadata whose keys are data has any number of them."""


@dataclass
class FieldFacts:
    """A field as the rows have it.

    Attributes
    ----------
    rows
        Rows that have it, null included.
    types
        Rows by type: text, whole number, number, true or false, list, null.
    example
        One of its values.
    indexed
        Whether filters on it look rows up instead of reading them all.
    """

    rows: int = 0
    types: Counter[str] = field(default_factory=Counter)
    example: Any = None
    indexed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"rows": self.rows, "types": dict(self.types), "example": self.example, "indexed": self.indexed}


def summarize_fields(metadata: Iterable[Mapping[str, Any]], indexed: Sequence[str] = ()) -> dict[str, FieldFacts]:
    """Facts of every field, the most frequent first.

    >>> found = summarize_fields([{"price": 3, "size": {"width": 2.5}}, {"price": None}])
    >>> [(name, each.rows, dict(each.types)) for name, each in found.items()]
    [('price', 2, {'whole number': 1, 'null': 1}), ('size.width', 1, {'number': 1})]
    """
    found: dict[str, FieldFacts] = {}
    named = lru_cache(4 * MOST_FIELDS)(_name)  # most rows have the same fields
    for each in metadata:
        for keys, value in _flat(each):
            name = named(keys)
            if name is None:
                continue
            if name not in found and len(found) >= MOST_FIELDS:
                continue
            facts = found.get(name) or found.setdefault(name, FieldFacts())
            facts.rows += 1
            facts.types[type_of(value)] += 1
            facts.example = value if facts.example is None else facts.example
    for name in indexed:
        found.setdefault(name, FieldFacts()).indexed = True
    return dict(sorted(found.items(), key=lambda item: (-item[1].rows, item[0])))


def _flat(metadata: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys and values, those of nested dicts by the keys of both."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((name,), value) for name, value in reversed(list(metadata.items()))]
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, Mapping) and value:
            waiting += [((*keys, name), each) for name, each in reversed(list(value.items()))]
            continue
        yield keys, value


def _name(keys: tuple[str, ...]) -> str | None:
    """The name that filters have for a field; None for keys that none can name."""
    try:
        return str(Field(keys))
    except FilterError:
        return None


def type_of(value: Any) -> str:
    """The type of a JSON value, in words."""
    if value is None:
        return "null"
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "true or false"),
        (int, "whole number"),
        (float, "number"),
        (str, "text"),
        (Mapping, "nested"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "list")
