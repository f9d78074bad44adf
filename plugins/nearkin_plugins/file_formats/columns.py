"""Which columns of a table are the ids, the vectors and the metadata."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any

from nearkin.errors import CorruptFileError, ParameterError

ID_COLUMN = "id"
PANDAS_INDEX = ("", "__index_level_0__")
"""What pandas calls the column of an index without a name, in csv and in parquet."""
VECTOR_COLUMNS = ("vector", "vectors", "embedding", "embeddings")


@dataclass(frozen=True)
class Layout:
    """What each column is."""

    id: str | None
    vectors: tuple[str, ...]
    as_list: bool
    """Whether `vectors` is one column of lists, not one column for each component."""
    metadata: tuple[str, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the columns of the vectors, where each is one."""
        return () if self.as_list else self.vectors


def numbered(component: int) -> str:
    """Name that nearkin gives to the column of a component.

    >>> numbered(0)
    'vector_0'
    """
    return f"vector_{component}"


@dataclass(frozen=True)
class Table:
    """The columns of a file, in order.

    Attributes
    ----------
    what
        The file, for error messages.
    format
        Name of the format, for the hint on how to choose.
    numbers, lists
        Those that hold numbers, and those that hold lists of numbers.
    """

    what: str
    format: str
    columns: Sequence[str]
    numbers: Collection[str]
    lists: Collection[str]

    def lay_out(self, id: str | None, vectors: str | None) -> Layout:
        """Decide what each column is.

        The vectors are, in this order: what `vectors` names; ``vector_0``, ``vector_1``, …; a list column called
        vector, vectors, embedding or embeddings; the only list column; all columns of numbers but the id.

        Raises
        ------
        ParameterError
            A column that was asked for does not exist or holds something else, or the choice is the user's.
        CorruptFileError
            There is no column of numbers or lists, or two columns have one name.

        Examples
        --------
        >>> table = Table("x.csv", "csv", ["id", "x", "y", "color"], numbers={"id", "x", "y"}, lists=set())
        >>> table.lay_out(None, None)
        Layout(id='id', vectors=('x', 'y'), as_list=False, metadata=('color',))
        """
        need_different(self.what, self.columns)
        key = self._id(id)
        chosen = tuple(self._named(vectors) if vectors is not None else self._guessed(key))
        as_list = chosen[0] in self.lists
        rest = tuple(name for name in self.columns if name not in {key, *chosen})
        return Layout(key, chosen, as_list, rest)

    def _id(self, id: str | None) -> str | None:
        if id is not None:
            self._need(id)
            return id
        if self.columns[0] in PANDAS_INDEX:
            return self.columns[0]
        return next((name for name in (ID_COLUMN, PANDAS_INDEX[1]) if name in self.columns), None)

    def _need(self, name: str) -> None:
        if name not in self.columns:
            close = difflib.get_close_matches(name, self.columns, n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise ParameterError(f"{self.what} has no column {name!r}{meant}; it has {_listed(self.columns)}")

    def _named(self, vectors: str) -> list[str]:
        chosen: dict[str, None] = {}
        for pattern in [vectors] if vectors in self.columns else vectors.split(","):
            exact = pattern in self.columns
            found = [pattern] if exact else [name for name in self.columns if fnmatchcase(name, pattern)]
            if not found:
                self._need(pattern)
            chosen.update(dict.fromkeys(found))
        if len(chosen) == 1 and set(chosen) <= set(self.lists):
            return list(chosen)
        for name in chosen:
            if name not in self.numbers:
                kind = "lists, and only one column of lists can be the vectors" if name in self.lists else "text"
                raise ParameterError(f"column {name!r} of {self.what} holds {kind}; columns of numbers expected")
        return list(chosen)

    def _guessed(self, id: str | None) -> list[str]:
        if numbered(0) in self.numbers:
            run = map(numbered, range(len(self.columns)))
            return list(takewhile(lambda name: name in self.columns, run))
        lists = [name for name in self.columns if name in self.lists]
        called = [name for name in lists if name.lower() in VECTOR_COLUMNS]
        for found in (called, lists):
            if len(found) == 1:
                return found
        if lists:
            raise ParameterError(
                f"{self.what} has {len(lists)} columns of lists: {_listed(lists)}",
                hint=f"choose one with --format {self.format}:vectors={lists[0]}",
            )
        numbers = [name for name in self.columns if name in self.numbers and name != id]
        if not numbers:
            raise CorruptFileError(
                f"{self.what} has no column of numbers or of lists of numbers; it has {_listed(self.columns)}"
            )
        return numbers


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > 12 else ""
    return ", ".join(repr(name) for name in names[:12]) + more


def need_different(what: str, names: Sequence[str]) -> None:
    """Raise CorruptFileError if two columns of a file have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorruptFileError(f"{what} has {names.count(twice[0])} columns called {twice[0]!r}")


def metadata_columns(rows: Iterable[Mapping[str, Any]], reserved: Collection[str], format: str) -> list[str]:
    """Keys of the first rows to be written, in order of appearance; they become the columns of the file.

    Raises
    ------
    ParameterError
        A key is the name of a column that nearkin reads as something else.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        if not isinstance(name, str) or name in reserved or name in PANDAS_INDEX:
            raise ParameterError(
                f"metadata has a field {name!r}, which {format} files keep for something else", hint="rename the field"
            )
    return names


def need_known_fields(rows: Iterable[Mapping[str, Any]], names: Collection[str], start: int) -> None:
    """Raise ParameterError if a later row has a field that the columns of the file do not know."""
    known = set(names)
    for number, row in enumerate(rows, start):
        if not known.issuperset(row):
            field = next(name for name in row if name not in known)
            raise ParameterError(
                f"row {number:,} has a metadata field {field!r} that no row of the first block has",
                hint="the columns of a file are fixed by the first block: give that field there, or use larger blocks",
            )
