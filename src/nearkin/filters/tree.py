"""What a filter is after it was read: a tree of comparisons, and how it is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nearkin.filters import conditions
from nearkin.filters.conditions import Condition, operand
from nearkin.filters.names import Field
from nearkin.filters.patterns import tidy_pattern
from nearkin.filters.values import Value, escaped


class Filter(ABC):
    """Which rows are wanted, by their metadata and ids. Made by `as_filter`; it never changes.

    Filters are equal, and have the same hash, where they say the same in the same order, however they were written.
    ``str`` of one is text that reads back as the same filter.

    Examples
    --------
    >>> from nearkin.filters import as_filter
    >>> mine = as_filter("price<50 AND 'zeta' = 'zeta'")
    Traceback (most recent call last):
        ...
    nearkin.errors.FilterError: the filter cannot be read at column 14, near 'zeta': the name of a field is expected; \
fields stand on the left, without quotes or in backticks
    >>> mine = as_filter("price<50 AND brand in ('acme','zeta')")
    >>> print(mine)
    price < 50 and brand in ("acme", "zeta")
    >>> mine.fields
    ('price', 'brand')
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the metadata's fields that it looks at, each once, as `field_sql` takes them; ``$id`` is none."""
        return tuple(dict.fromkeys(str(each) for each in self._named() if each.keys))

    def sql(self) -> Condition:
        """The condition for SQLite, over a table with columns ``id`` and ``metadata`` (JSON text or NULL).

        It may be NULL where a row does not match, which WHERE takes as false.

        Examples
        --------
        >>> from nearkin.filters import as_filter
        >>> as_filter("brand = 'acme'").sql().parameters
        ('acme',)
        """
        return self._sql()

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def _named(self) -> Iterator[Field]: ...

    @abstractmethod
    def _sql(self) -> Condition: ...

    @property
    def _depth(self) -> int:
        """Groups inside each other: `conditions` with the deepest first need little of the stack of SQLite's parser."""
        return 0


@dataclass(frozen=True)
class _Comparison(Filter):
    field: Field

    def _named(self) -> Iterator[Field]:
        yield self.field


@dataclass(frozen=True)
class Compare(_Comparison):
    """``price < 50``: an operator of = < <= > >=, and a value."""

    operator: str
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {self.value}"

    def _sql(self) -> Condition:
        return conditions.compare(operand(self.field), self.operator, self.value)


@dataclass(frozen=True)
class Between(_Comparison):
    """``price between 10 and 50``, both included."""

    low: Value
    high: Value

    def __str__(self) -> str:
        return _between(self, "")

    def _sql(self) -> Condition:
        return conditions.between(operand(self.field), self.low, self.high)


@dataclass(frozen=True)
class Among(_Comparison):
    """``brand in ("acme", "zeta")``."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return _among(self, "")

    def _sql(self) -> Condition:
        return conditions.among(operand(self.field), self.values)


@dataclass(frozen=True)
class Has(_Comparison):
    """``tags has "new"``: an array with this element."""

    value: Value

    def __str__(self) -> str:
        return _has(self, "")

    def _sql(self) -> Condition:
        return conditions.contains(self.field, self.value)


@dataclass(frozen=True)
class Like(_Comparison):
    """``name like "pat%"``; the pattern is tidy, see `nearkin.filters.patterns`."""

    pattern: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", tidy_pattern(self.pattern))

    def __str__(self) -> str:
        return _like(self, "")

    def _sql(self) -> Condition:
        return conditions.like(operand(self.field), self.pattern)


@dataclass(frozen=True)
class Missing(_Comparison):
    """``price is null``: not there, or null."""

    def __str__(self) -> str:
        return f"{self.field} is null"

    def _sql(self) -> Condition:
        return conditions.missing(operand(self.field))


@dataclass(frozen=True)
class Not(Filter):
    """Every row that the inner filter does not match."""

    inner: Filter

    def __str__(self) -> str:
        inner = self.inner
        if isinstance(inner, Compare) and inner.operator == "=":
            return f"{inner.field} != {inner.value}"
        for kind, written in _NEGATED.items():
            if isinstance(inner, kind):
                return written(inner, "not ")
        return f"not ({inner})" if isinstance(inner, Both | Either) else f"not {inner}"

    def _named(self) -> Iterator[Field]:
        return self.inner._named()

    def _sql(self) -> Condition:
        if isinstance(self.inner, Missing):
            return Condition(f"{operand(self.inner.field).value} IS NOT NULL")
        return conditions.opposite(self.inner._sql())

    @property
    def _depth(self) -> int:
        return self.inner._depth


@dataclass(frozen=True)
class _Group(Filter):
    parts: tuple[Filter, ...]

    def _named(self) -> Iterator[Field]:
        for part in self.parts:
            yield from part._named()

    def _joined(self, word: str) -> Condition:
        ordered = sorted(self.parts, key=lambda part: -part._depth)
        return conditions.joined(word, [part._sql() for part in ordered])

    @property
    def _depth(self) -> int:
        return 1 + max(part._depth for part in self.parts)


@dataclass(frozen=True)
class Both(_Group):
    """All of its parts, two or more, none of them such a filter itself."""

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)

    def _sql(self) -> Condition:
        return self._joined("AND")


@dataclass(frozen=True)
class Either(_Group):
    """One of its parts at least, two or more, none of them such a filter itself."""

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))

    def _sql(self) -> Condition:
        return self._joined("OR")


def both(parts: Sequence[Filter]) -> Filter:
    """All of some filters."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Both) else (part,))]
    return flat[0] if len(flat) == 1 else Both(tuple(flat))


def either(parts: Sequence[Filter]) -> Filter:
    """One at least of some filters."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Either) else (part,))]
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def negated(part: Filter) -> Filter:
    """The opposite of a filter; the opposite of an opposite is the filter itself."""
    return part.inner if isinstance(part, Not) else Not(part)


def _between(part: Between, word: str) -> str:
    return f"{part.field} {word}between {part.low} and {part.high}"


def _among(part: Among, word: str) -> str:
    return f"{part.field} {word}in ({', '.join(map(str, part.values))})"


def _has(part: Has, word: str) -> str:
    return f"{part.field} {word}has {part.value}"


def _like(part: Like, word: str) -> str:
    doubled = part.pattern.replace('"', '""')
    return f'{part.field} {word}like "{escaped(doubled)}"'


def _missing(part: Missing, word: str) -> str:
    return f"{part.field} is {word}null"


_NEGATED = {Between: _between, Among: _among, Has: _has, Like: _like, Missing: _missing}
