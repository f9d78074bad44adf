"""Conditions of SQL: what a comparison means for SQLite, with every value as a bound parameter.

Each condition has its comparison with the value's own expression as it stands in an index, and beside it a test of the
value's type: SQLite orders strings after all numbers, and gives true as 1 and an array as its text. A condition is true
where the row matches, and false or NULL where it does not, which is one and the same until ``not`` is said.

Numbers that are not whole are bound as text and read by SQLite's JSON functions, as the stored ones are: its reading of
decimals may differ from Python's by the last bit, and so both sides take the same way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nearkin.filters.instants import first_text, instant_sql, last_text
from nearkin.filters.names import Field
from nearkin.filters.patterns import after, as_glob, plain_start
from nearkin.filters.values import INT64, Value

NEVER = "0"
"""The condition that no row meets."""


@dataclass(frozen=True)
class Condition:
    """A boolean expression of SQL with its parameters, in the order of its question marks.

    Attributes
    ----------
    text
        Stands after WHERE, or in brackets between other conditions; over columns ``id`` and ``metadata``.
    parameters
        Whole numbers and strings.
    """

    text: str
    parameters: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Operand:
    """Expressions of SQL: a value, and whether it is a string, a number, true, false."""

    value: str
    text: str
    number: str
    true: str
    false: str


ELEMENT = Operand(
    "element.value",
    "element.type = 'text'",
    "element.type IN ('integer', 'real')",
    "element.type = 'true'",
    "element.type = 'false'",
)
"""An element of an array, inside of `contains`."""


def operand(field: Field) -> Operand:
    """A field, or the row's id."""
    if not field.keys:
        return Operand("id", "typeof(id) = 'text'", "typeof(id) = 'integer'", NEVER, NEVER)
    kind = f"json_type(metadata, {field.path})"
    return Operand(
        field.sql, f"{kind} = 'text'", f"{kind} IN ('integer', 'real')", f"{kind} = 'true'", f"{kind} = 'false'"
    )


def compare(left: Operand, operator: str, right: Value) -> Condition:
    """One comparison: = < <= > >=; those of true and false know = only."""
    if right.kind == "flag":
        return Condition(f"({left.value} = {int(right.value)} AND {left.true if right.value else left.false})")
    if right.kind == "instant":
        return _compare_instant(left, operator, str(right.value))
    slot, parameter = _bound(right)
    return Condition(f"({left.value} {operator} {slot} AND {_is_of(left, right)})", (parameter,))


def between(left: Operand, low: Value, high: Value) -> Condition:
    """From low to high, both of them included; of one kind."""
    if low.kind == "instant":
        first, last = str(low.value), str(high.value)
        span = (first_text(first), last_text(last))
        return _instants(left, span, "BETWEEN ? AND ?", (first, last))
    (slot, least), (other, most) = _bound(low), _bound(high)
    return Condition(f"({left.value} BETWEEN {slot} AND {other} AND {_is_of(left, low)})", (least, most))


def among(left: Operand, values: Sequence[Value]) -> Condition:
    """One of some values, each kind bound as one JSON array, so that there may be many."""
    plain = [each for each in values if each.kind in ("text", "number")]
    found = [compare(left, "=", each) for each in values if each.kind == "flag"]
    if plain:
        tests = dict.fromkeys(_is_of(left, each) for each in plain)
        kind = " OR ".join(tests) if len(tests) == 1 else f"({' OR '.join(tests)})"
        listed = json.dumps([each.value for each in plain])
        found.append(Condition(f"({left.value} IN (SELECT value FROM json_each(?)) AND {kind})", (listed,)))
    moments = [str(each.value) for each in values if each.kind == "instant"]
    if moments:
        span = (first_text(min(moments)), last_text(max(moments)))
        found.append(_instants(left, span, "IN (SELECT value FROM json_each(?))", (json.dumps(moments),)))
    return joined("OR", found) if found else Condition(NEVER)


def contains(field: Field, value: Value) -> Condition:
    """The field is an array with this value among its elements."""
    inner = compare(ELEMENT, "=", value)
    return Condition(
        f"(json_type(metadata, {field.path}) = 'array' AND "
        f"EXISTS (SELECT 1 FROM json_each(metadata, {field.path}) AS element WHERE {inner.text}))",
        inner.parameters,
    )


def like(left: Operand, pattern: str) -> Condition:
    """A string that matches a pattern; with a plain start an index gives those that begin so."""
    start = plain_start(pattern)
    pieces, parameters = [], []
    if start:
        pieces.append(f"{left.value} >= ?")
        parameters.append(start)
        if (end := after(start)) is not None:
            pieces.append(f"{left.value} < ?")
            parameters.append(end)
    pieces += [f"{left.value} GLOB ?", left.text]
    return Condition(f"({' AND '.join(pieces)})", (*parameters, as_glob(pattern)))


def missing(left: Operand) -> Condition:
    """Not there, or null."""
    return Condition(f"{left.value} IS NULL")


def opposite(condition: Condition) -> Condition:
    """True wherever the other one is not, be it false or NULL."""
    return Condition(f"({condition.text}) IS NOT TRUE", condition.parameters)


def joined(word: str, conditions: Sequence[Condition]) -> Condition:
    """All of them, or one of them, by AND or OR."""
    if len(conditions) == 1:
        return conditions[0]
    parameters = tuple(each for condition in conditions for each in condition.parameters)
    return Condition(f"({f' {word} '.join(each.text for each in conditions)})", parameters)


def _bound(value: Value) -> tuple[str, int | str]:
    """The expression that stands for a string or a number, and its parameter."""
    given: Any = value.value
    if isinstance(given, int | float) and not (isinstance(given, int) and INT64[0] <= given <= INT64[1]):
        return "json_extract(?, '$')", json.dumps(given)
    return "?", given


def _is_of(left: Operand, value: Value) -> str:
    return left.text if value.kind == "text" else left.number


def _compare_instant(left: Operand, operator: str, moment: str) -> Condition:
    first = first_text(moment) if operator in ("=", ">", ">=") else None
    last = last_text(moment) if operator in ("=", "<", "<=") else None
    return _instants(left, (first, last), f"{operator} ?", (moment,))


def _instants(left: Operand, span: tuple[str | None, str | None], rest: str, parameters: tuple[str, ...]) -> Condition:
    """Texts of a span, for which an index can be used, whose point in time is looked at."""
    ends = [(f"{left.value} {sign} ?", end) for sign, end in zip((">=", "<"), span, strict=True) if end is not None]
    pieces = [*(piece for piece, _ in ends), left.text, f"{instant_sql(left.value)} {rest}"]
    return Condition(f"({' AND '.join(pieces)})", (*(end for _, end in ends), *parameters))
