"""Attention over the rows of a collection: `nearkin.Collection.attend`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.errors import NotSupportedError, ParameterError, VectorError
from nearkin.filters import Where
from nearkin.filters.names import as_field
from nearkin.learning.attended_keys import Blocks, Keys, Likeness, checked_heads
from nearkin.learning.attended_values import ValueTable, value_table
from nearkin.learning.attention import (
    Attended,
    Attention,
    Finder,
    LeftOut,
    Temperature,
    named,
    need_attention,
    need_bound_to_hold,
)
from nearkin.metrics import Cosine, Euclidean, InnerProduct, Metric, SquaredEuclidean
from nearkin.plans import compares_all
from nearkin.vectors import name_rows

if TYPE_CHECKING:
    from nearkin.collection_reader import CollectionReader

LIKENESS: Mapping[type[Metric], Likeness] = {
    InnerProduct: "product",
    Cosine: "product",
    Euclidean: "closeness",
    SquaredEuclidean: "closeness",
}
"""What the prepared rows of a metric are weighed by."""


class _Plan(Finder):
    """The collection's own search, among the rows that a filter keeps."""

    def __init__(
        self,
        collection: CollectionReader,
        number: np.ndarray,
        where: Where | None,
        threads: int | None,
        params: Mapping[str, Any],
    ) -> None:
        self._collection = collection
        self._number = number
        self._where = where
        self._threads = threads
        self._params = params
        self.exact = compares_all(collection.recipe.plan, collection.recipe.registry)

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        # Queries that are prepared are so once more, which changes none of the metrics that can be attended under.
        found = self._collection.search(queries, k, where=self._where, threads=self._threads, **self._params).positions
        return np.where(found < 0, -1, self._number[found])[None]


def attend_to_rows(
    collection: CollectionReader,
    queries: Any,
    values: Any,
    *,
    k: int | None,
    temperature: Temperature,
    heads: int,
    where: Where | None,
    left_out: LeftOut,
    threads: int | None,
    params: Mapping[str, Any],
) -> Attended:
    """What `nearkin.Collection.attend` says; `params` are those of its search."""
    need_attention(temperature, k=k, left_out=left_out)
    likeness = _likeness(collection.metric)
    checked_heads(heads, collection.dim)
    _need_one_index(k, heads, params)
    prepared = collection.metric.prepare_queries(collection.checked_queries(queries))
    rows = collection.rows
    alive, kept = np.flatnonzero(rows.alive), collection.positions(where)
    if not len(kept):
        raise VectorError(f"there are no rows to attend to, {len(alive):,} before the filter")
    table = _table(collection, values, alive, kept)
    number = np.full(len(rows), -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    keys = _keys(collection, kept, number, likeness, heads)
    finder = None if k is None else _Plan(collection, number, where, threads, params)
    attention = Attention(keys, table, k, finder)
    need_bound_to_hold(attention, left_out)
    scale = attention.temperature(temperature, collection.recipe.seed)
    ids = rows.ids.at(kept)
    return named(attention.answer(prepared, scale, left_out), ids, None if ids.dtype == object else -1)


def _likeness(metric: Metric) -> Likeness:
    for kind, likeness in LIKENESS.items():
        if type(metric) is kind:
            return likeness
    raise NotSupportedError(
        f"attention weighs rows by inner product, cosine or Euclidean distance, and this collection compares by {metric.name!r}",
        hint='build it with one of those metrics, or weigh neighbours under any by nearkin.KNNClassifier(weights="softmax")',
    )


def _need_one_index(k: int | None, heads: int, params: Mapping[str, Any]) -> None:
    given = sorted(params)
    if k is None and given:
        raise ParameterError(
            f"{given[0]} is of a search for k rows, and with k=None all rows are attended to", hint="name a k"
        )
    if k is not None and heads > 1:
        raise ParameterError(
            f"each of {heads} heads has nearest rows of its own, and the collection's index finds those of whole rows",
            hint="use k=None, which compares all rows, or nearkin.AttentionClassifier, which builds an index for each head",
        )


def _keys(collection: CollectionReader, kept: np.ndarray, number: np.ndarray, likeness: Likeness, heads: int) -> Keys:
    metric, rows = collection.metric, collection.rows

    def blocks() -> Blocks:
        for first, block in rows.blocks():
            here = number[first : first + len(block)]
            some = np.flatnonzero(here >= 0)
            if len(some):
                yield here[some], metric.prepare(block[some])

    def take(numbers: np.ndarray) -> np.ndarray:
        return metric.prepare(rows.take(kept[numbers]))

    return Keys(len(kept), collection.dim, likeness, heads, blocks, take)


def _table(collection: CollectionReader, values: Any, alive: np.ndarray, kept: np.ndarray) -> ValueTable:
    """Values of the rows that are attended to, from one a row of the collection, or from a field of their metadata."""
    if isinstance(values, str):
        return value_table(_field_values(collection, values, kept), len(kept))
    count = len(values) if hasattr(values, "__len__") else -1
    if count != len(alive):
        raise VectorError(
            f"there are {max(count, 0):,} values, one for each of the collection's {len(alive):,} rows expected",
            hint="give them in the order of collection.ids, also where a filter keeps some of the rows, or name a field",
        )
    given = np.asarray(values)
    return value_table(given[np.searchsorted(alive, kept)], len(kept))


def _field_values(collection: CollectionReader, field: str, kept: np.ndarray) -> list[Any]:
    keys = as_field(field).keys
    found = [_value(each, keys) for each in collection.rows.metadata(kept)]
    missing = np.array([row for row, each in enumerate(found) if each is None], dtype=np.int64)
    if missing.size:
        ids = collection.rows.ids.at(kept[missing[:1]]).tolist()
        raise VectorError(
            f"{name_rows(missing, len(kept))} that would be attended to have no {field}, such as id {ids[0]!r}",
            hint=f'leave them out with where="{field} is not null"',
        )
    kinds = {"strings" if isinstance(each, str) else "numbers" for each in found}
    if len(kinds) > 1:
        raise VectorError(f"{field} is a string in some rows and a number in others, one of the two expected")
    return found


def _value(metadata: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        metadata = metadata.get(key) if isinstance(metadata, dict) else None
    return metadata
