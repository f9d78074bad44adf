"""Labels for queries from the rows of a collection: what similar rows are, how sure that is, and which rows say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier

from nearkin.accuracy import without_itself
from nearkin.components import Part, read_params
from nearkin.errors import InputError, NotSupportedError, ParameterError, StateError, UnknownNameError
from nearkin.filters import Filter, Where, as_filter
from nearkin.filters.names import Field
from nearkin.grouping import keys_of
from nearkin.hooks import LearnerSpec
from nearkin.indexes import Found
from nearkin.items import items_in
from nearkin.learners import Explains, Reason
from nearkin.learning.abstention import need_error_rate
from nearkin.learning.decisions import Decisions
from nearkin.learning.held_out import class_probabilities, held_out_rows, stratified_splits
from nearkin.learning.metadata_labels import MetadataLabels
from nearkin.learning.scope import need_scope
from nearkin.learning.sureness import HeldOut, Sureness
from nearkin.learning.votes import by_label, shares_of_votes, voted
from nearkin.learning.weighing import Weighting, need_weighting, weigh
from nearkin.search_parameters import whole_number

if TYPE_CHECKING:
    from nearkin.collection_reader import CollectionReader

FOLDS = 5
"""Of the rows, for methods other than knn."""

MOST_HELD_OUT = 10_000
"""Rows that ask their neighbours, each without itself."""

SHOWN = 5
"""Nearest rows that are evidence where the method does not say what decided."""


class Neighbours(NamedTuple):
    """How the nearest rows vote."""

    k: int
    weights: Weighting
    temperature: float


@dataclass(frozen=True)
class _Asked:
    """What a classifier was asked for."""

    label: str
    method: str
    k: int | None
    error_rate: float | None
    scope: float | None
    where: Where | None


class CollectionClassifier:
    """Labels by the rows of a collection; what `nearkin.Collection.classifier` gives.

    Attributes
    ----------
    label, method
        Field of the labels, and what decides.
    classes
        Labels that there are.
    rows
        Rows with a label, which it answers from.
    left_out
        Rows without one.
    sureness : nearkin.learning.sureness.Sureness
        What the rows say, asked without themselves: temperature, threshold, error and coverage to expect, limit of the scope.
    notes
        What is to be known besides, in sentences.
    """

    def __init__(self, collection: CollectionReader, asked: _Asked) -> None:
        need_error_rate(asked.error_rate)
        need_scope(asked.scope)
        self.label, self.method, self._asked_k = asked.label, asked.method, asked.k
        self._collection = collection
        self._spec, self._params, self._voting = _learner(collection, asked)
        _need_independent(collection, asked.label)
        with collection.unchanging():
            self._alive = collection.rows.alive
            self._positions, self._labels, self.left_out = _labelled_rows(collection, asked)
            self._where = None if self.rows == len(collection) else _where_labelled(asked)
            self._codes = np.full(len(collection.rows), -1, dtype=np.int64)
            self._codes[self._positions] = self._labels.codes
            self._estimator: Any = None
            held_out = self._neighbours_held_out() if self._voting is not None else self._fitted_held_out()
        self.sureness = Sureness.of(held_out, error_rate=asked.error_rate, scope=asked.scope, seed=self._seed)
        self.notes = (*self._said(), *self.sureness.notes)

    @property
    def classes(self) -> list[Any]:
        """Labels that there are."""
        return self._labels.classes

    @property
    def rows(self) -> int:
        """Rows with a label."""
        return len(self._positions)

    def __repr__(self) -> str:
        return f"<nearkin.CollectionClassifier {self.label} by {self.method}, {len(self.classes):,} labels of {self.rows:,} rows>"

    def decide(self, queries: Any, most: int = 5) -> Decisions:
        """Labels for queries where they are sure enough, why not elsewhere, and which rows decided.

        Parameters
        ----------
        queries
            (m, dim) numbers; or items, where there is an embedder: texts, or dicts.
        most
            Reasons of each query, at most; 0 for none. Rows are named by their ids. Where the method does not say what decided,
            they are the nearest rows, with a share of 0.

        Raises
        ------
        StateError
            The collection was changed since.
        VectorError, InputError
            As for `nearkin.Collection.search`.
        """
        wanted = whole_number("most", most, 0)
        if self._collection.rows.alive is not self._alive:
            raise StateError(
                "the collection was changed since this classifier learned from it",
                hint="make a new one: classifier(...)",
            )
        vectors, unheard = _vectors_of(self._collection, queries)
        if not len(vectors):
            return replace(
                self.sureness.decide(self.classes, np.empty((0, len(self.classes))), np.empty(0)), notes=self.notes
            )
        nearest = SHOWN if self._voting is None else self._voting.k
        found = self._search(vectors, min(max(1, nearest), self.rows))
        columns = None
        if self._voting is not None:
            shares = self._shares(found)
            columns, given = self._votes(found, shares)
            reasons = self._evidence(found, shares, wanted)
        else:
            given = class_probabilities(self._estimator, self._features(vectors), self._labels.names)
            reasons = self._reasons(vectors, found, wanted)
        far = found.distances[:, 0].astype(np.float64)
        decided = self.sureness.decide(self.classes, given, far, reasons if wanted else (), columns)
        return replace(decided, notes=self.notes).without(unheard)

    # ---- what the rows say of themselves ---------------------------------------------------------------------------

    @property
    def _seed(self) -> int:
        return self._collection.recipe.seed

    def _said(self) -> tuple[str, ...]:
        said = []
        if (self._asked_k or 0) > self.rows:
            said.append(f"k is {self._asked_k:,}, and only {self.rows:,} rows have a {self.label}: all of them vote")
        if self.left_out:
            said.append(
                f"{self.left_out:,} of {self.left_out + self.rows:,} rows have no {self.label} and were left out"
            )
        if len(self.classes) == 1:
            said.append(f"all rows have the {self.label} {self.classes[0]!r}, so that every query has")
        return tuple(said)

    def _neighbours_held_out(self) -> HeldOut:
        asked = np.arange(self.rows if self.rows > 1 else 0)
        if len(asked) > MOST_HELD_OUT:
            asked = np.sort(np.random.default_rng(self._seed).choice(asked, MOST_HELD_OUT, replace=False))
        assert self._voting is not None
        found = self._own_neighbours(asked, self._voting.k)
        codes, far = self._labels.codes[asked], found.distances[:, 0].astype(np.float64)
        columns, votes = self._votes(found, self._shares(found), codes)
        if columns is None:
            return HeldOut(votes, codes, far)
        return HeldOut(
            votes, (columns == codes[:, None]).argmax(axis=1), far, unseen=len(self.classes) - votes.shape[1]
        )

    def _own_neighbours(self, asked: np.ndarray, k: int) -> Found:
        """The nearest rows of rows, without themselves."""
        deep = min(k, max(1, self.rows - 1))
        if not len(asked):
            return Found(np.empty((0, deep), np.int64), np.empty((0, deep), np.float32))
        positions = self._positions[asked]
        found = self._search(self._collection.rows.take(positions), deep + 1)
        return without_itself(found, positions, deep)

    def _fitted_held_out(self) -> HeldOut:
        names, codes = self._labels.names, self._labels.codes
        features = self._features(self._collection.rows.take(self._positions))
        splits = list(stratified_splits(codes, FOLDS, self._seed))
        model: Any = DummyClassifier()  # one label needs no learning, and many classifiers refuse it
        if len(self.classes) > 1:
            model = self._collection.recipe.registry.build(self._spec, "classes", params=self._params)
        held_out, _ = held_out_rows(model, features, names[codes], splits, None)
        self._estimator = model.fit(features, names[codes])
        asked = np.concatenate([np.empty(0, np.int64), *(test for _, test in splits)])
        return replace(held_out, distances=self._own_neighbours(asked, 1).distances[:, 0].astype(np.float64))

    # ---- answering -------------------------------------------------------------------------------------------------

    def _search(self, vectors: np.ndarray, k: int) -> Found:
        found = self._collection.search(vectors, k, where=self._where)
        return Found(found.positions, found.distances)

    def _shares(self, found: Found) -> np.ndarray:
        """(m, k) share of the vote of each neighbour."""
        assert self._voting is not None
        return shares_of_votes(weigh(found.distances, self._voting.weights, self._voting.temperature))

    def _votes(
        self, found: Found, shares: np.ndarray, true: np.ndarray | None = None
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Votes of all labels; or, where these are many, of those that got one and the true ones, and which labels they are."""
        codes = np.maximum(self._codes[np.maximum(found.positions, 0)], 0)
        if len(self.classes) <= codes.shape[1] + 1:
            return None, by_label(codes, shares, len(self.classes))
        if true is not None:
            codes, shares = np.column_stack([codes, true]), np.column_stack([shares, np.zeros(len(true))])
        return voted(codes, shares)

    def _features(self, vectors: np.ndarray) -> np.ndarray:
        """Rows as the method takes them: bits one by one, unless it has the collection's metric for them."""
        packed = self._collection.metric.dtype == "bits" and "metric" not in self._params
        return np.unpackbits(vectors, axis=1).astype(np.float32) if packed else vectors

    # ---- evidence --------------------------------------------------------------------------------------------------

    def _evidence(self, found: Found, shares: np.ndarray, most: int) -> list[list[Reason]]:
        """Neighbours with their ids, the largest share first."""
        order = np.argsort(-shares, axis=1, kind="stable")[:, :most]
        positions = np.take_along_axis(found.positions, order, axis=1)
        there = positions >= 0
        kept = positions[there]
        flat = zip(
            self._collection.rows.ids.at(kept).tolist(),
            [self.classes[code] for code in self._codes[kept].tolist()],
            np.take_along_axis(found.distances, order, axis=1)[there].tolist(),
            np.take_along_axis(shares, order, axis=1)[there].tolist(),
            strict=True,
        )
        reasons = [Reason(*each) for each in flat]
        ends = np.cumsum(there.sum(axis=1)).tolist()
        return [reasons[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _reasons(self, vectors: np.ndarray, found: Found, most: int) -> list[list[Reason]]:
        if not most:
            return []
        if not isinstance(self._estimator, Explains):
            return self._evidence(found, np.zeros(found.positions.shape), most)
        labels = dict(zip(self._labels.names.tolist(), self.classes, strict=True))
        columns = _column_names(self._collection)
        given = self._estimator.reasons(self._features(vectors), most)
        unnamed = self._collection.embedder_record is not None and not columns
        if unnamed and any(row and all(map(_is_numbered_column, row)) for row in given):
            return self._evidence(found, np.zeros(found.positions.shape), most)  # columns that mean nothing to anybody
        return [[self._named(each, labels, columns) for each in row] for row in given]

    def _named(self, reason: Reason, labels: dict[str, Any], columns: Sequence[str]) -> Reason:
        """A reason with the ids, labels and column names of the collection."""
        what, label, distance, weight = reason
        if label is None:  # a column
            number = isinstance(what, int | np.integer) and int(what) < len(columns)
            return Reason(columns[int(what)] if number else what, None, distance, float(weight))
        row = isinstance(what, int | np.integer)
        place = (
            self._collection.rows.ids.at(self._positions[[int(what)]]).tolist()[0]
            if row
            else labels.get(str(what), what)
        )
        return Reason(
            place, labels.get(str(label), label), None if distance is None else float(distance), float(weight)
        )


def classifier(
    collection: CollectionReader,
    label: str,
    *,
    method: str = "knn",
    k: int | None = None,
    error_rate: float | None = None,
    scope: float | None = 0.99,
    where: Where | None = None,
) -> CollectionClassifier:
    """What `nearkin.Collection.classifier` does; parameters and errors are described there."""
    return CollectionClassifier(collection, _Asked(label, method, k, error_rate, scope, where))


def _where_labelled(asked: _Asked) -> Filter:
    """Rows with a label, among those that a filter keeps."""
    field = Field(_keys(asked.label))
    labelled = f'{field} is not null and {field} != ""'
    return as_filter(labelled if asked.where is None else f"({as_filter(asked.where)}) and {labelled}")


def _learner(collection: CollectionReader, asked: _Asked) -> tuple[LearnerSpec, dict[str, Any], Neighbours | None]:
    """The method with its options; of neighbours, how they vote."""
    registry = collection.recipe.registry
    part = registry.parse("learner", asked.method)
    spec = registry.resolve("learner", part.name)
    if not isinstance(spec, LearnerSpec) or "classes" not in spec.tasks:
        raise NotSupportedError(f"{spec.name} gives numbers, not labels", hint="see nearkin components learners")
    params = read_params(spec, part)
    if spec.name == "knn":
        return spec, params, _voting(part, params, asked, collection.metric_text)
    if asked.k is not None:
        raise ParameterError(
            f"k is {asked.k!r}, and {asked.method} is not decided by k neighbours", hint="leave it out, or take knn"
        )
    if "metric" in params and "metric" not in part.options:
        params["metric"] = collection.metric_text
    return spec, params, None


def _voting(part: Part, params: dict[str, Any], asked: _Asked, metric: str) -> Neighbours:
    """How neighbours of the collection's own index vote: its metric and its plan are not the method's to choose."""
    strange = [name for name in part.options if name not in ("n_neighbors", "weights", "temperature")]
    if strange:
        raise ParameterError(
            f"knn asks the collection, which compares by {metric}, and {strange[0]} is not to be chosen again",
            hint="it takes n_neighbors, weights and temperature",
        )
    if asked.k is not None and "n_neighbors" in part.options:
        raise ParameterError("k and n_neighbors both say how many neighbours vote", hint="leave one of them out")
    k = whole_number("k", params["n_neighbors"] if asked.k is None else asked.k, 1)
    temperature = params.get("temperature")
    need_weighting(params["weights"], temperature)
    return Neighbours(k, params["weights"], 1.0 if temperature is None else float(temperature))


def _labelled_rows(collection: CollectionReader, asked: _Asked) -> tuple[np.ndarray, MetadataLabels, int]:
    """Positions of the rows with a label, their labels, and how many rows have none."""
    looked_at = collection.positions(asked.where)
    found = MetadataLabels.of(collection.rows.metadata(looked_at), _keys(asked.label), asked.label)
    there = found.codes >= 0
    if not there.any():
        known = list(collection.fields())
        close = get_close_matches(asked.label, known, n=1)
        if asked.label not in known:
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise UnknownNameError(
                f"no row has the field {asked.label!r}{meant}, which labels come from", hint="see nearkin fields"
            )
        raise ParameterError(
            f"none of {len(looked_at):,} rows has a label in the field {asked.label!r}",
            hint="label some, or use another filter",
        )
    return looked_at[there], MetadataLabels(found.classes, found.codes[there]), int((~there).sum())


def _keys(label: Any) -> tuple[str, ...]:
    """What leads to the field of the labels."""
    try:
        return keys_of(label)
    except InputError as error:
        raise ParameterError(
            f"label is {label!r}, the name of a field of the metadata expected", hint="such as 'category'"
        ) from error


def _need_independent(collection: CollectionReader, label: str) -> None:
    """Refuse rows whose vectors were made from the label: they know it, and queries do not."""
    record = collection.embedder_record
    if record is None or record.takes != "record" or not record.fitted:
        return
    embedder: Any = collection.embedder
    counts = getattr(embedder, "weights", {})
    names = getattr(embedder, "columns", ())
    if isinstance(names, tuple | list) and label in names and counts.get(label, 1.0):
        raise ParameterError(
            f"the vectors of this collection were made from the column {label!r}, too, so that its rows tell nothing about "
            "queries without it",
            hint="build it with the other columns named: --numeric, --categorical, --date",
        )


def _is_numbered_column(reason: Reason) -> bool:
    return reason.label is None and isinstance(reason.what, int | np.integer)


def _column_names(collection: CollectionReader) -> Sequence[str]:
    """Of the vectors' columns, where the embedder has one for each."""
    if collection.embedder_record is None:
        return ()
    names = getattr(collection.embedder, "columns", ())
    named = isinstance(names, tuple | list) and len(names) == collection.dim
    return tuple(names) if named else ()


def _vectors_of(collection: CollectionReader, queries: Any) -> tuple[np.ndarray, np.ndarray]:
    """Queries as vectors, and (m,) of which the embedder knows nothing: those have the vector of some row, which means nothing.

    Texts are embedded as those that are stored are: both are examples of the same thing.
    """
    record = collection.embedder_record
    items = None if record is None else items_in(queries, records=record.takes == "record")
    if items is None or record is None or record.takes == "record" or collection.embedder is None:
        vectors = collection.checked_queries(queries)
        return vectors, np.zeros(len(vectors), dtype=bool)
    vectors = collection.embedder.embed(items, role="document")
    unheard = np.zeros(len(vectors), dtype=bool)
    if collection.metric.refuses_rows:
        unheard = np.asarray(~vectors.any(axis=1))
        vectors[unheard] = collection.rows.take(np.flatnonzero(collection.rows.alive)[:1])
    return collection.checked_queries(vectors), unheard
