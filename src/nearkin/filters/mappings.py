"""Filters as dicts: ``{"price": {"$lt": 50}, "brand": {"$in": ["acme", "zeta"]}}``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nearkin.errors import FilterError
from nearkin.filters.grammar import (
    DEEPEST,
    MOST_COMPARISONS,
    MOST_VALUES,
    check_ordered,
    check_pair,
    check_size,
)
from nearkin.filters.names import Field, as_field, shortened
from nearkin.filters.tree import Among, Between, Compare, Filter, Has, Like, Missing, both, either, negated
from nearkin.filters.values import Value, as_value, text

_ORDERS = {"$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}
_GROUPS = ("$and", "$or", "$not")


def read_mapping(given: Mapping[str, Any]) -> Filter:
    """The filter that a dict says.

    Raises
    ------
    FilterError
        An operator that there is not, a value that cannot be compared with, or a limit exceeded; with the place.

    Examples
    --------
    >>> print(read_mapping({"price": {"$gte": 10, "$lt": 50}, "$not": {"brand": "acme"}}))
    price >= 10 and price < 50 and brand != "acme"
    """
    return _Reader().all_of(given, "", 0)


class _Reader:
    def __init__(self) -> None:
        self.comparisons = 0
        self.listed = 0
        self.operators: dict[str, Callable[[Field, Any], Filter]] = {
            "$eq": self.equal,
            "$ne": lambda field, given: negated(self.equal(field, given)),
            **{name: self.order(sign) for name, sign in _ORDERS.items()},
            "$in": self.among,
            "$nin": lambda field, given: negated(self.among(field, given)),
            "$between": self.between,
            "$like": self.like,
            "$has": self.has,
            "$null": self.null,
        }

    # ---- and, or, not ----

    def all_of(self, given: Any, place: str, depth: int) -> Filter:
        """Every entry of a dict."""
        if not isinstance(given, Mapping):
            raise _problem(place, f"a {type(given).__name__} is no filter", "a dict is expected")
        if not given:
            raise _problem(place, "the dict is empty", "leave where out to have all rows")
        return both([self.entry(key, value, place, depth) for key, value in given.items()])

    def entry(self, key: Any, value: Any, place: str, depth: int) -> Filter:
        if not isinstance(key, str):
            raise _problem(place, f"a field's name is a {type(key).__name__}", "a string such as 'price' is expected")
        inner = f"{place}.{key}" if place else key
        if key.startswith("$") and key != "$id":
            return self.group(key, value, inner, depth)
        try:
            field = as_field(key)
        except FilterError as error:
            raise _problem(place or "its top", error.message, error.hint) from None
        return self.about(field, value, inner, depth)

    def group(self, key: str, value: Any, place: str, depth: int) -> Filter:
        if key not in _GROUPS:
            hint = "write the field first, then its operator" if key in self.operators else _meant(key, _GROUPS)
            raise _problem(place, f"there is no {shortened(key)} here", hint)
        deeper = _deeper(place, depth)
        if key == "$not":
            return negated(self.all_of(value, place, deeper))
        if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
            raise _problem(place, f"a {type(value).__name__} follows {key}", "a list of dicts is expected")
        parts = [self.all_of(part, f"{place}[{number}]", deeper) for number, part in enumerate(value)]
        if not parts:
            raise _problem(place, "the list is empty", "a list of dicts is expected")
        return both(parts) if key == "$and" else either(parts)

    def about(self, field: Field, given: Any, place: str, depth: int) -> Filter:
        """What is asked of one field."""
        if not isinstance(given, Mapping):
            return self.compared("$eq", field, given, place)
        if not given:
            raise _problem(place, "the dict is empty", "an operator such as {'$lt': 50} is expected")
        return both([self.asked(key, field, value, place, depth) for key, value in given.items()])

    def asked(self, key: Any, field: Field, given: Any, place: str, depth: int) -> Filter:
        if key == "$not":
            inner = f"{place}.$not"
            return negated(self.about(field, given, inner, _deeper(inner, depth)))
        if key not in self.operators:
            hint = _meant(key, self.operators)
            if isinstance(key, str) and not key.startswith("$"):
                hint = f"values inside of values are written {shortened(f'{field}.{key}')}"
            raise _problem(
                place, f"there is no operator {shortened(key) if isinstance(key, str) else type(key).__name__}", hint
            )
        return self.compared(key, field, given, f"{place}.{key}")

    # ---- comparisons ----

    def compared(self, key: str, field: Field, given: Any, place: str) -> Filter:
        try:
            self.comparisons += 1
            check_size(self.comparisons, MOST_COMPARISONS, "comparisons")
            return self.operators[key](field, given)
        except FilterError as error:
            raise _problem(place, error.message, error.hint) from None

    def equal(self, field: Field, given: Any) -> Filter:
        if isinstance(given, list | tuple | set | frozenset):
            raise FilterError("a list is not a value to compare with", hint="$in takes several values")
        return Missing(field) if given is None else Compare(field, "=", as_value(given))

    def order(self, sign: str) -> Callable[[Field, Any], Filter]:
        def make(field: Field, given: Any) -> Filter:
            value = as_value(given)
            check_ordered(value)
            return Compare(field, sign, value)

        return make

    def among(self, field: Field, given: Any) -> Filter:
        return Among(field, tuple(dict.fromkeys(self.several(given))))

    def several(self, given: Any) -> Iterable[Value]:
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
            raise FilterError(f"a {type(given).__name__} is not a list of values", hint="a list is expected")
        try:
            listed = iter(given)
        except TypeError:  # an array of no dimensions
            raise FilterError(f"a {type(given).__name__} is not a list of values", hint="a list is expected") from None
        for each in listed:
            self.listed += 1
            check_size(self.listed, MOST_VALUES, "values in lists")
            yield as_value(each)

    def between(self, field: Field, given: Any) -> Filter:
        pair = list(self.several(given))
        if len(pair) != 2:
            raise FilterError(f"{len(pair)} values follow $between", hint="two are expected")
        check_pair(field, *pair)
        return Between(field, *pair)

    def like(self, field: Field, given: Any) -> Filter:
        if not isinstance(given, str):
            raise FilterError(f"a {type(given).__name__} is no pattern", hint="a string such as 'pat%' is expected")
        return Like(field, str(text(given).value))

    def has(self, field: Field, given: Any) -> Filter:
        if not field.keys:
            raise FilterError("an id is no array", hint="use $eq or $in")
        return Has(field, as_value(given))

    def null(self, field: Field, given: Any) -> Filter:
        if not isinstance(given, bool):
            raise FilterError(f"a {type(given).__name__} follows $null", hint="True or False is expected")
        return Missing(field) if given else negated(Missing(field))


def _deeper(place: str, depth: int) -> int:
    if depth == DEEPEST:
        raise _problem(place, f"more than {DEEPEST} dicts are inside each other", None)
    return depth + 1


def _meant(key: Any, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key[:20].lower(), names, n=1, cutoff=0.5) if isinstance(key, str) else []
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"


def _problem(place: str, problem: str, hint: str | None) -> FilterError:
    cut = place if len(place) <= 80 else f"...{place[-77:]}"
    return FilterError(f"the filter cannot be read at {cut or 'its top'}: {problem}", hint=hint)
