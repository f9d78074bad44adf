"""Values that fields are compared with: strings, numbers, true and false, points in time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from nearkin.errors import FilterError
from nearkin.filters.instants import instant_of, read_instant, written_instant

Kind = Literal["text", "number", "flag", "instant"]

LONGEST_STRING = 10_000
"""Characters of one string, at most."""

INT64 = (-(2**63), 2**63 - 1)
_EXPECTED = "a string, a number, true, false or a date is expected"


@dataclass(frozen=True)
class Value:
    """A value and what kind it is of: ``1``, ``"1"`` and ``true`` are three.

    >>> str(Value("text", 'say "hi"')), str(Value("number", 0.5)), str(Value("flag", True))
    ('"say \\\\"hi\\\\""', '0.5', 'true')
    """

    kind: Kind
    value: str | int | float | bool
    """A point in time as UTC text, see `nearkin.filters.instants`."""

    def __str__(self) -> str:
        if self.kind == "text":
            return quoted(str(self.value))
        if self.kind == "instant":
            return written_instant(str(self.value))
        return json.dumps(self.value)

    @property
    def ordered(self) -> bool:
        """Whether one such value can be less than another."""
        return self.kind != "flag"


def text(value: str) -> Value:
    """A string.

    Raises
    ------
    FilterError
        Too long; or with a NUL, which SQLite's JSON functions stop at, or with half of a surrogate pair.
    """
    if len(value) > LONGEST_STRING:
        raise FilterError(f"a string has {len(value):,} characters, at most {LONGEST_STRING:,} are allowed")
    if "\0" in value:
        raise FilterError("a string has a NUL character", hint="such strings cannot be filtered on")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FilterError("a string has half of a surrogate pair, which is no character") from None
    return Value("text", "".join(value))  # a plain str of what may be a subclass


def number(value: float) -> Value:
    """A number; one that is whole is an int, so that 50.0 and 50 are the same.

    >>> number(50.0) == number(50)
    True
    """
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise FilterError(
            "a number is NaN or infinite, or too large for a floating point number",
            hint="write is null for what is missing",
        )
    if isinstance(value, int) or (value.is_integer() and INT64[0] <= value <= INT64[1]):
        return Value("number", int(value))
    return Value("number", float(value))


def instant(value: str) -> Value:
    """A point in time, from its ISO text."""
    return Value("instant", read_instant(value))


def as_value(given: Any) -> Value:
    """The value of a Python object: str, int, float, bool, date, datetime, or a scalar of numpy.

    >>> as_value(date(2026, 1, 31)).kind, as_value(True).kind
    ('instant', 'flag')

    Raises
    ------
    FilterError
        Anything else.
    """
    if type(given).__module__ == "numpy":
        return _of_numpy(given)
    if isinstance(given, str):
        return text(given)
    if isinstance(given, bool):
        return Value("flag", given)
    if isinstance(given, int | float):
        return number(given)
    if isinstance(given, date):
        return Value("instant", instant_of(given))
    if given is None:
        raise FilterError("None is not a value to compare with", hint="is null and $null ask for what is missing")
    raise FilterError(f"a {type(given).__name__} is not a value to compare with", hint=_EXPECTED)


def _of_numpy(given: Any) -> Value:
    """A scalar of numpy; told by its module, since the language needs no numpy."""
    if getattr(given, "ndim", 0):
        raise FilterError("an array is not a value to compare with", hint="$in takes several values")
    plain = given.item() if hasattr(given, "item") else None
    name = type(given).__name__
    if name == "datetime64" and not isinstance(plain, date):
        return instant(str(given))  # nanoseconds come as an int
    if (type(plain).__module__ != "builtins" and not isinstance(plain, date)) or name == "timedelta64":
        raise FilterError(f"a numpy.{name} is not a value to compare with", hint=_EXPECTED)
    return as_value(plain)


def quoted(value: str) -> str:
    r"""A string as the language writes it.

    >>> print(quoted('a "b" \\ c'))
    "a \"b\" \\ c"
    """
    inner = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped(inner)}"'


def escaped(value: str) -> str:
    """Control characters as ``\\uXXXX``."""
    return "".join(letter if letter >= " " and letter != "\x7f" else f"\\u{ord(letter):04x}" for letter in value)
