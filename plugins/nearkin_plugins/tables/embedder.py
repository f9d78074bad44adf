"""Tables as vectors: numbers in their own spread, categories, dates and what is missing, under one Euclidean distance."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nearkin.components import as_written
from nearkin.embedders import Embedder, Role, digest_of
from nearkin.errors import InputError, ParameterError
from nearkin.items import plain_value
from nearkin.state import State
from nearkin.vectors import as_vectors
from nearkin_plugins.tables.cells import Reading, absent_in, column_of
from nearkin_plugins.tables.columns import CategoricalColumn, DateColumn, NumericColumn, TableColumn
from nearkin_plugins.tables.dates import PARTS
from nearkin_plugins.tables.kinds import Kinds, found_kinds
from nearkin_plugins.tables.names import joined_names, joined_weights, read_weights, split_names
from nearkin_plugins.tables.relations import categorical_notes, numeric_notes
from nearkin_plugins.tables.scales import SCALINGS, Scale

_CANARIES = 3
_LOOKED_AT = 200
"""Of the first records, for those that differ."""


class TableEmbedder(Embedder):
    """Records of a table as vectors whose squared Euclidean distance is a sum over the columns, each with its weight.

    A number counts in steps of its column's standard deviation (see `scaling`), another category counts 1, and so does a
    value that is missing in one of two records. A date counts as the mean of its parts: days on a line, like a number, and the
    times of year, week and day on circles one unit wide.

    A missing number or date lies at the column's centre, and where values were missing in learning an indicator tells it from
    those that are there. A missing category is a category of its own if there were such in learning; otherwise it is half a unit
    from each. A category that was not learned is as far from every other one as they are from each other. A column
    that a query does not name lies in the middle: half a unit from every category, at the centre of the numbers.

    Source: the squared form of J. C. Gower, "A general coefficient of similarity and some of its properties" (1971), which
    ``scaling="minmax"`` has exactly where nothing is missing.

    Parameters
    ----------
    numeric, categorical, dates
        Names of columns, in a sequence or with commas between them. With none at all, every column of the first items is taken
        whose kind can be found by looking; `notes` tell which are left out.
    weights
        Number by the name of a column: how often it counts in the squared distance; 1 where none is given.
    scaling
        What a step is: ``standard`` deviation, ``robust`` (range of the middle half, from the median), ``minmax`` (whole range),
        ``none`` (the column's own unit; a day).
    date_parts
        Of ``time,year,week,day``; ``day`` takes part only if there are times of day.
    rare
        Categories of a smaller share than this count as one.
    missing
        Further texts that mean a missing value, besides None, NaN, and the texts "", NA, NaN, nan, NULL, null.
    unreadable
        ``refuse`` what is no number or date, or take it as ``missing``.

    Examples
    --------
    >>> people = [{"height": 179, "hobby": "chess"}, {"height": 180, "hobby": "chess"}, {"height": 185, "hobby": "news"}]
    >>> embedder = TableEmbedder(numeric="height", categorical="hobby")
    >>> embedder.fit(people)
    >>> vectors = embedder.embed(people)
    >>> embedder.records(vectors[:2].mean(axis=0, keepdims=True))
    [{'height': 179.5, 'hobby': 'chess'}]
    >>> {name: round(value, 2) for name, value in embedder.contributions(people[0], people[2]).items()}
    {'height': 5.23, 'hobby': 1.0}
    """

    name = "table"
    takes = "record"
    metric = "euclidean"
    needs_fit = True
    # All, since a message names an item by its number among those that `_embed` gets. Parts would save no memory: there is only
    # one column of values beside the answer, which parts would be joined to, and be there twice.
    at_once = 1 << 30

    def __init__(
        self,
        numeric: str | Sequence[str] = "",
        categorical: str | Sequence[str] = "",
        dates: str | Sequence[str] = "",
        weights: str | Mapping[str, float] = "",
        scaling: str = "standard",
        date_parts: str | Sequence[str] = tuple(PARTS),
        rare: float = 0.0,
        missing: str | Sequence[str] = "",
        unreadable: str = "refuse",
    ) -> None:
        self.kinds = Kinds(
            split_names(numeric, "numeric"), split_names(categorical, "categorical"), split_names(dates, "dates")
        )
        self.weights = read_weights(weights)
        self.scaling = _one_of("scaling", scaling, SCALINGS)
        asked = [_one_of("date_parts", part, tuple(PARTS)) for part in split_names(date_parts, "date_parts")]
        self.date_parts = tuple(part for part in PARTS if part in asked)
        if not self.date_parts:
            raise ParameterError("date_parts is empty", hint=f"some of {', '.join(PARTS)}")
        if not 0 <= rare < 1:
            raise ParameterError(f"rare is {rare!r}, a share from 0 to below 1 expected")
        self.rare = float(rare)
        texts = split_names(missing, "missing")
        self.reading = Reading(frozenset(texts), _one_of("unreadable", unreadable, ("refuse", "missing")) == "refuse")
        self._check_names(self._named())
        self._columns: list[TableColumn] = []
        self._canaries: list[dict[str, Any]] = []
        self._notes: list[str] = []

    def _named(self) -> list[str]:
        return [*self.kinds.numeric, *self.kinds.categorical, *self.kinds.dates]

    def _check_names(self, named: Sequence[str]) -> None:
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise ParameterError(f"column {twice!r} is named for two kinds", hint="choose one of them")
        unknown = next((name for name in self.weights if named and name not in named), None)
        if unknown is not None:
            raise ParameterError(
                f"there is a weight for {unknown!r}, which is none of the columns {', '.join(named)}"
                + _near(unknown, named)
            )
        if named and not any(self.weights.get(name, 1.0) for name in named):
            raise ParameterError("all columns have the weight 0, so that nothing would be compared")

    @property
    def text(self) -> str:
        parts = {
            **{kind: joined_names(getattr(self.kinds, kind)) for kind in ("numeric", "categorical", "dates")},
            "weights": joined_weights(self.weights),
            "scaling": self.scaling if self.scaling != "standard" else "",
            "date_parts": ",".join(self.date_parts) if self.date_parts != tuple(PARTS) else "",
            "rare": repr(self.rare) if self.rare else "",
            "missing": joined_names(sorted(self.reading.missing)),
            "unreadable": "" if self.reading.refuse else "missing",
        }
        return ":".join([self.name, *(f"{key}={as_written(value)}" for key, value in parts.items() if value)])

    # ---- learning --------------------------------------------------------------------------------------------------

    @property
    def fitted(self) -> bool:
        return bool(self._columns)

    def _fit(self, items: Sequence[Any]) -> None:
        kinds, notes = self.kinds, []
        if not self._named():
            kinds = found_kinds(items, self.reading)
            notes = list(kinds.notes)
            self._check_names([*kinds.numeric, *kinds.categorical, *kinds.dates])
        columns = self._made(kinds)
        learned = {column.name: column.learn(self._cells(items, column), self.reading) for column in columns}
        for column in columns:
            notes += column.notes
        notes += numeric_notes({name: learned[name] for name in (*kinds.numeric, *kinds.dates)}, self.weights)
        notes += categorical_notes({name: learned[name] for name in kinds.categorical}, self.weights)
        self._columns, self._notes = columns, notes
        self._canaries = self._differing(items)

    def _made(self, kinds: Kinds) -> list[TableColumn]:
        numeric = [NumericColumn(name, self.scaling) for name in kinds.numeric]
        categorical = [CategoricalColumn(name, self.rare) for name in kinds.categorical]
        return [*numeric, *categorical, *(DateColumn(name, self.scaling, self.date_parts) for name in kinds.dates)]

    def _cells(self, items: Sequence[Any], column: TableColumn) -> list[Any]:
        """Values of a column, which at least one of the items has to name."""
        cells = column_of(items, column.name)
        if absent_in(cells).all():
            names = list(dict.fromkeys(str(name) for item in items[:_LOOKED_AT] for name in item))
            raise InputError(
                f"none of {len(items):,} items has a column {column.name!r}; the first ones have "
                f"{', '.join(names[:20]) or 'no columns'}" + _near(column.name, names)
            )
        return cells

    def _differing(self, items: Sequence[Any]) -> list[dict[str, Any]]:
        """A few of the first records whose vectors differ, with the columns that count."""
        names = [column.name for column in self._columns]
        plain = [
            {name: _jsonable(item[name]) for name in names if name in item}
            for item in items[:_LOOKED_AT]
            if any(name in item for name in names)
        ]
        _, first = np.unique(self.embed(plain), axis=0, return_index=True)
        return [plain[row] for row in sorted(first.tolist())[:_CANARIES]]

    @property
    def canaries(self) -> Sequence[Any]:
        """Some of the records that it has learned from."""
        return self._canaries

    @property
    def notes(self) -> Sequence[str]:
        """Columns that are left out, constant, of too many categories, or that say what others say, a sentence each."""
        return tuple(self._notes)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that count, in the order of the vectors: numbers, categories, dates."""
        self.need_fitted()
        return tuple(column.name for column in self._columns)

    @property
    def dim(self) -> int:
        self.need_fitted()
        return sum(column.width for column in self._columns)

    @property
    def identity(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {"kind": "table", "revision": 1, "options": self.text}
        if self.fitted:
            state = self.state()
            meta = json.dumps(state.meta["columns"], sort_keys=True).encode()
            learned = digest_of({**state.arrays, "columns": np.frombuffer(meta, dtype=np.uint8)})
            facts |= {"columns": list(self.columns), "learned": learned}
        return facts

    def state(self) -> State:
        scales = np.array([column.scale for column in self._columns], dtype=np.float64).reshape(-1, 2)
        columns = [{"name": column.name, "kind": column.kind, **column.meta()} for column in self._columns]
        return State(
            {"centres": scales[:, 0].copy(), "steps": scales[:, 1].copy()},
            {"columns": columns, "canaries": self._canaries, "notes": self._notes},
        )

    def restore(self, state: State) -> None:
        stored = state.meta["columns"]
        kinds = Kinds(*(tuple(each["name"] for each in stored if each["kind"] == kind) for kind in Kinds._fields[:3]))
        columns = self._made(kinds)
        scales = zip(state.arrays["centres"].tolist(), state.arrays["steps"].tolist(), strict=True)
        for column, meta, scale in zip(columns, stored, scales, strict=True):
            column.restore(meta, Scale(*scale))
        self._columns, self._notes = columns, list(state.meta["notes"])
        self._canaries = [dict(each) for each in state.meta["canaries"]]

    # ---- there and back --------------------------------------------------------------------------------------------

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        _need_columns(items, self.columns)
        for row, item in enumerate(items if role == "query" else ()):
            self._need_no_misspelling(row, item)
        out = np.zeros((len(items), self.dim), dtype=np.float32)
        for column, places, factor in self._places():
            cells = column_of(items, column.name)
            column.write(out[:, places], cells, self.reading, absent_in(cells) if role == "query" else None)
            out[:, places] *= np.float32(factor)
        return out

    def _places(self) -> list[tuple[TableColumn, slice, float]]:
        """Each column with its place in the vectors, and the factor that its weight means there."""
        ends = np.cumsum([column.width for column in self._columns]).tolist()
        return [
            (column, slice(end - column.width, end), float(np.sqrt(self.weights.get(column.name, 1.0))))
            for column, end in zip(self._columns, ends, strict=True)
        ]

    def _check(self, items: Sequence[Any], first: int) -> None:
        columns = self._columns or self._made(self.kinds)
        if columns:
            _need_columns(items, [column.name for column in columns], first)
        for column in columns:
            column.check(column_of(items, column.name), replace(self.reading, first=first))

    def _need_no_misspelling(self, row: int, item: Mapping[str, Any]) -> None:
        """A query may leave columns out, and a misspelt one would be left out in silence."""
        absent = [name for name in self.columns if name not in item]
        for name in item if absent else ():
            close = difflib.get_close_matches(str(name), absent, n=1, cutoff=0.8)
            if close and name not in self.columns:
                raise InputError(
                    f"query {row} has {name!r}, which is none of the columns {', '.join(self.columns)} (did you mean {close[0]!r}?)"
                )

    def records(self, vectors: Any, *, shares: bool = False) -> list[dict[str, Any]]:
        """What vectors say in the table's own terms: rows, and means of rows such as the centroids of clusters.

        Numbers are in their units, of means the mean of those that are not missing; a category is the commonest one; a date is its
        text. None stands for what is missing, and for columns of weight 0, which the vectors do not have.

        Parameters
        ----------
        vectors
            (n, dim) numbers.
        shares
            Give all categories with their shares, the largest first, instead of the commonest one.

        Raises
        ------
        VectorError
            They are not as wide as the embedder's.

        Examples
        --------
        >>> embedder = TableEmbedder(categorical="hobby")
        >>> embedder.fit([{"hobby": "chess"}, {"hobby": "news"}])
        >>> embedder.records([[0.53, 0.18, 0.0]], shares=True)
        [{'hobby': {'chess': 0.749533, 'news': 0.254558}}]
        """
        given = as_vectors(vectors, dim=self.dim).astype(np.float64)
        found: list[dict[str, Any]] = [{} for _ in given]
        for column, places, factor in self._places():
            values = column.read(given[:, places] / factor, shares=shares) if factor else [None] * len(given)
            for record, value in zip(found, values, strict=True):
                record[column.name] = value
        return found

    def contributions(self, record: Any, other: Any, *, role: Role = "query") -> dict[str, float]:
        """How much each column adds to the squared distance of two records, the largest first.

        Parameters
        ----------
        record, other
            Two dicts.
        role
            Of the first one: ``"query"``, where columns that it does not name lie in the middle, as in a search; or ``"document"``.
        """
        both = np.concatenate([self.embed([record], role=role), self.embed([other])]).astype(np.float64)
        squares = (both[0] - both[1]) ** 2
        found = {column.name: float(squares[places].sum()) for column, places, _ in self._places()}
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _need_columns(items: Sequence[Any], columns: Sequence[str], first: int = 0) -> None:
    names = frozenset(columns)
    for row, item in enumerate(items, first):
        if names.isdisjoint(item):
            raise InputError(f"item {row} has none of the columns {', '.join(columns)}", hint=f"it has {_listed(item)}")


def _one_of(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ParameterError(f"{option} is {value!r}, one of {', '.join(known)} expected")
    return value


def _near(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(item: Mapping[str, Any]) -> str:
    names = [str(name) for name in item]
    return (
        ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "") if names else "no columns"
    )


def _jsonable(value: Any) -> Any:
    plain = plain_value(value)
    return plain if isinstance(plain, str | int | float | bool) or plain is None else str(plain)
