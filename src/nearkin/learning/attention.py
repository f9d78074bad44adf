"""Attention over stored rows: a softmax of similarity decides how much each row's value counts.

>>> import numpy as np
>>> found = attend(np.float32([[1, 0]]), np.float32([[1, 0], [0, 1]]), [[10.0], [20.0]], temperature=0.5)
>>> found.values.round(2).tolist(), found.weights.round(2).tolist(), found.left_out.tolist()
([[11.19]], [[0.88, 0.12]], [0.0])
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nearkin.accuracy import besides_itself
from nearkin.errors import ParameterError, VectorError
from nearkin.learning.attended_keys import Keys, Likeness, keys_of_rows
from nearkin.learning.attended_values import ValueTable, value_table
from nearkin.learning.held_out_temperature import Shown, fitted_temperature, rows_to_hold_out
from nearkin.learning.softmax_sums import (
    attend_to_all,
    bound_of_rest,
    heaviest,
    log_mass_of_all,
    mass_left_out,
    merged,
    shares_of,
)
from nearkin.learning.weighing import need_temperature
from nearkin.metrics import unit_rows
from nearkin.search_parameters import whole_number
from nearkin.vectors import as_vectors

AttentionMetric = Literal["inner-product", "cosine", "euclidean"]
LeftOut = Literal["exact", "bound"] | None
Temperature = float | Literal["fit", "sqrt"]

LIKENESS: dict[str, Likeness] = {"inner-product": "product", "cosine": "product", "euclidean": "closeness"}
"""What a metric's rows, prepared, are weighed by."""

SHOWN = 100
"""Rows that are named for a query that attends to all of them: those with the most weight."""
MEASURED = 256
"""Held-out rows that show how much of the mass truncation leaves out."""


@dataclass(frozen=True, eq=False)
class Attended:
    """What attention answers.

    Attributes
    ----------
    values
        (nq, outputs) float64 weighed means of the values; for labels, the share of each of the `classes`.
    ids
        (nq, m) rows that were attended to, by id, the one with the most weight first; padded with -1 (None for ids that are
        strings). Of a query that attends to all rows, the 100 with the most weight.
    weights
        (nq, m) float64 softmax weights of these, mean over the heads; 0 where there is none. They sum to 1 unless some of the
        rows that were attended to are not named.
    left_out
        (nq,) share of the whole mass that lies on rows which truncation to k left out, mean over the heads; NaN where it was not
        asked for.
    how
        ``"exact"``: computed from the mass of all rows; ``"bound"``: at most so much, were each row left out as near as the last
        that was kept; None where it was not asked for.
    temperature
        That scores were divided by.
    classes
        (outputs,) sorted labels, where values are labels.
    """

    values: np.ndarray
    ids: np.ndarray
    weights: np.ndarray
    left_out: np.ndarray
    how: LeftOut
    temperature: float
    classes: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """(nq,) label with the largest share.

        Raises
        ------
        ParameterError
            The values are numbers.
        """
        if self.classes is None:
            raise ParameterError("the values are numbers and have no labels", hint="attend to values that are strings")
        return np.asarray(self.classes[self.values.argmax(axis=1)])


class Finder:
    """Where the nearest keys are found; the estimators and the collection have one each."""

    exact = True
    """Whether it finds those that are nearest."""

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """(heads, nq, k) numbers of keys, the nearest first, -1 where there are fewer."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Attention:
    """Keys with values, and how they are attended to, all checked.

    Attributes
    ----------
    keys, values
        As many of the one as of the other.
    finder
        Of the `k` nearest keys; None where k is.
    """

    keys: Keys
    values: ValueTable
    k: int | None = None
    finder: Finder | None = None

    def temperature(self, given: Temperature, seed: int) -> float:
        """A number, or what is meant by a word; without two keys nothing can be held out, and it is the one of the paper."""
        if given != "fit":
            return root_of_columns(self.keys) if given == "sqrt" else float(given)
        if self.keys.count < 2:
            return root_of_columns(self.keys)
        own = rows_to_hold_out(self.keys, seed)
        shown = self._shown(own)
        return fitted_temperature(shown, self.values, own, root_of_columns(self.keys))

    def _shown(self, own: np.ndarray) -> Shown:
        """Scores of the keys that held-out ones attend to, without themselves."""
        rows = self.keys.take(own)
        if self.finder is None or self.k is None:
            scores = np.concatenate([each for _, each in self.keys.scores_in_blocks(rows)], axis=2)
            scores[:, np.arange(len(own)), own] = -np.inf
            return Shown(scores, None)
        found = self._without(rows, own)
        return Shown(self.keys.scores_of(rows, found), found)

    def _without(self, rows: np.ndarray, own: np.ndarray) -> np.ndarray:
        """(heads, m, k) nearest keys of some of them, without themselves."""
        assert self.finder is not None
        assert self.k is not None
        found = self.finder.nearest(rows, min(self.k + 1, self.keys.count))
        return np.asarray(found[besides_itself(found, own)].reshape(*found.shape[:2], found.shape[2] - 1))

    def held_out_shares(self, temperature: float, seed: int) -> np.ndarray:
        """(m,) mass that truncation leaves out for some of the keys, each without itself."""
        own = rows_to_hold_out(self.keys, seed)[:MEASURED] if self.keys.count > 1 else np.empty(0, dtype=np.int64)
        if self.finder is None or not len(own):
            return np.zeros(max(1, len(own)))
        rows = self.keys.take(own)
        kept = self.keys.scores_of(rows, self._without(rows, own))
        return mass_left_out(kept, temperature, log_mass_of_all(self.keys, rows, temperature, own))

    def means(self, queries: np.ndarray, temperature: float) -> np.ndarray:
        """(nq, outputs) float64 weighed means of the values."""
        if self.finder is None or self.k is None:
            return attend_to_all(self.keys, queries, temperature, self.values)[0]
        found = self.finder.nearest(queries, min(self.k, self.keys.count))
        return self.values.mixed(found, shares_of(self.keys.scores_of(queries, found), temperature))

    def answer(self, queries: np.ndarray, temperature: float, left_out: LeftOut, shown: int = SHOWN) -> Attended:
        """All that is told of queries; ids are numbers of keys, of all keys so many as are to be shown."""
        if self.finder is None or self.k is None:
            means, mass = attend_to_all(self.keys, queries, temperature, self.values)
            numbers, weights = heaviest(self.keys, queries, temperature, mass, shown)
            nothing = np.zeros(len(queries))
            return Attended(means, numbers, weights, nothing, "exact", temperature, self.values.classes)
        found = self.finder.nearest(queries, min(self.k, self.keys.count))
        scores = self.keys.scores_of(queries, found)
        shares = shares_of(scores, temperature)
        missed = np.full(len(queries), np.nan)
        if left_out == "bound":
            missed = bound_of_rest(scores, temperature, self.keys.count)
        elif left_out == "exact":
            missed = mass_left_out(scores, temperature, log_mass_of_all(self.keys, queries, temperature))
        means = self.values.mixed(found, shares)
        return Attended(means, *merged(found, shares), missed, left_out, temperature, self.values.classes)


def attend(
    queries: Any,
    keys: Any,
    values: Any,
    *,
    temperature: Temperature = "fit",
    heads: int = 1,
    metric: AttentionMetric = "inner-product",
    seed: int = 0,
) -> Attended:
    """Values of all keys, weighed by softmax(score / T): of the inner product that is softmax(q·k / T) · values.

    Source: A. Vaswani et al., "Attention is all you need" (2017). Under the Euclidean distance the score is -||q - k||² / 2, and
    attention is the kernel regression of E. Nadaraya (1964) and G. Watson (1964) with a Gaussian of variance T.

    Parameters
    ----------
    queries, keys
        (nq, dim) and (n, dim) numbers.
    values
        (n,) or (n, outputs) numbers, or (n,) labels (strings).
    temperature
        T: a number; ``"sqrt"`` for the square root of the columns of a head, as in the paper; or ``"fit"``, the one that gives
        the least squared error (log-loss, for labels) of keys whose own value is held out.
    heads
        The columns are split into so many equal parts, each with a softmax of its own; their weights are averaged.
    metric
        ``"inner-product"``, ``"cosine"`` (of rows scaled to length one) or ``"euclidean"``.
    seed
        Of the keys that are held out.

    Raises
    ------
    VectorError, ParameterError
        Shapes that do not go together, a temperature that is not positive, columns that cannot be split into heads.

    Examples
    --------
    >>> rows = np.float32([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> found = attend([[1, 0.2]], rows, ["tea", "tea", "milk", "milk"], temperature=0.2)
    >>> found.labels.tolist(), found.classes.tolist(), found.values.round(3).tolist()
    (['tea'], ['milk', 'tea'], [[0.027, 0.973]])
    """
    need_attention(temperature, metric)
    rows = as_vectors(keys, what="keys")
    asked = as_vectors(queries, dim=rows.shape[1], what="queries")
    if not len(rows):
        raise VectorError("there are no keys to attend to")
    table = value_table(values, len(rows))
    known = keys_of_rows(prepared_rows(rows, metric, "keys"), LIKENESS[metric], heads)
    attention = Attention(known, table)
    scale = attention.temperature(temperature, seed)
    return attention.answer(prepared_rows(asked, metric, "queries"), scale, None)


def named(answer: Attended, ids: np.ndarray, missing: Any) -> Attended:
    """The same answer, with ids instead of numbers of keys.

    Parameters
    ----------
    ids
        (n,) of all keys.
    missing
        Stands for no key.
    """
    found = ids[answer.ids]
    found[answer.ids < 0] = missing
    return replace(answer, ids=found)


def prepared_rows(rows: np.ndarray, metric: str, what: str) -> np.ndarray:
    """Rows as they are scored: of length one for the cosine.

    Raises
    ------
    VectorError
        A row has no direction.
    """
    if metric != "cosine":
        return rows
    if not rows.any(axis=1).all():
        row = int((~rows.any(axis=1)).argmax())
        raise VectorError(f"cosine needs a direction, and row {row} of the {what} has length zero", hint="leave it out")
    return unit_rows(rows)


def root_of_columns(keys: Keys) -> float:
    """√d of the columns of a head, the temperature of the paper."""
    return float(np.sqrt(keys.dim // keys.heads))


def need_bound_to_hold(attention: Attention, left_out: LeftOut) -> None:
    """Raise ParameterError where a bound is asked for, and rows may be missed that are nearer than those found."""
    if left_out == "bound" and attention.finder is not None and not attention.finder.exact:
        raise ParameterError(
            "left_out='bound' holds where the nearest rows are found for sure, and the plan may miss some",
            hint="use left_out='exact', which compares all rows, None, or the plan flat",
        )


def need_attention(temperature: Any, metric: Any = "inner-product", k: Any = None, left_out: Any = None) -> None:
    """Refuse what attention cannot be asked for.

    Raises
    ------
    ParameterError
        With what can.
    """
    if metric not in LIKENESS:
        raise ParameterError(f"metric is {metric!r}, one of {', '.join(LIKENESS)} expected")
    if left_out not in ("exact", "bound", None):
        raise ParameterError(f"left_out is {left_out!r}, 'exact', 'bound' or None expected")
    if k is not None:
        whole_number("k", k, 1)
    if not (isinstance(temperature, str) and temperature in ("fit", "sqrt")):
        need_temperature(temperature, "'fit', 'sqrt' or a number")
