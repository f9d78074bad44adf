"""Metadata as the JSON text that is stored, in memory and on disk: checked and written once, when it comes in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from nearkin.errors import ParameterError

DEEPEST = 100
"""Lists and dicts inside each other; SQLite stops at some number above that, and then no filter works at all."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
"""json.dumps would make one for every row."""


def _quick_encoder() -> Callable[[Any], str]:
    """`_ENCODER.encode`, which makes the same compiled encoder for every row again: that takes longer than encoding."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # PyPy has none
        return _ENCODER.encode
    default, quoted = _ENCODER.default, json.encoder.encode_basestring
    encode = make(None, default, quoted, None, ": ", ", ", False, False, False)
    return lambda given: "".join(encode(given, 0))


_encode = _quick_encoder()

SHORT = 2 * DEEPEST
"""No text of so few characters is nested too deeply or has a number of 300 digits."""

_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
_MANY_DIGITS = re.compile("[0-9]{300}")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class MetadataText(str):
    """Metadata of one row as JSON, made by `metadata_text`."""

    __slots__ = ()


def metadata_text(given: Mapping[str, Any] | MetadataText | None, row: int) -> MetadataText | None:
    """One row's metadata as it is stored, None where there is none; what was made by this before is given back.

    Parameters
    ----------
    row
        Its number, for errors.

    Raises
    ------
    ParameterError
        No dict, or something in it that JSON or SQLite cannot hold.

    Examples
    --------
    >>> metadata_text({"name": "é", "sizes": (1, 2)}, 0)
    '{"name": "é", "sizes": [1, 2]}'
    >>> metadata_text({"half of a pair": "\\ud800"}, 0)
    '{"half of a pair": "\\\\ud800"}'
    >>> metadata_text({"nul": "a\\0b"}, 7)
    Traceback (most recent call last):
        ...
    nearkin.errors.ParameterError: metadata of row 7 has a NUL character in a text, where SQLite would end it; take it out
    """
    if isinstance(given, MetadataText):
        return given
    if not given and (given is None or isinstance(given, Mapping)):
        return None
    if type(given) is not dict and not isinstance(given, Mapping):
        raise ParameterError(f"metadata of row {row} is a {type(given).__name__}, a dict expected")
    try:
        text = _encode(given if type(given) is dict else dict(given))
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"metadata of row {row} cannot be stored as JSON: {error}", hint=_remedy(error)) from error
    if "\\u0000" in text and _NUL.search(text):
        raise ParameterError(
            f"metadata of row {row} has a NUL character in a text, where SQLite would end it", hint="take it out"
        )
    if len(text) > SHORT and (text.count("[") + text.count("{") > DEEPEST or _MANY_DIGITS.search(text)):
        _check_depth_and_numbers(given, row)
    if not text.isascii():  # UTF-8 has no halves of surrogate pairs
        text = _HALF_OF_A_PAIR.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return MetadataText(text)


def _check_depth_and_numbers(given: Any, row: int) -> None:
    """Refuse what JSON can hold and SQLite cannot read."""
    waiting = [(given, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise ParameterError(f"metadata of row {row} is nested deeper than {DEEPEST} levels")
        if isinstance(value, int) and abs(value) >= 1 << 1023:
            raise ParameterError(
                f"metadata of row {row} has a whole number of {len(str(value)):,} digits, at most 308 expected"
            )
        if isinstance(value, Mapping | list | tuple):
            inner = value.values() if isinstance(value, Mapping) else value
            waiting += [(each, depth + 1) for each in inner]


def _remedy(error: Exception) -> str:
    if isinstance(error, TypeError):
        return "give dates as .isoformat(), numpy's values as .item() or .tolist(), and other things as text"
    if isinstance(error, RecursionError):
        return "take out what is inside of itself"
    return "a missing number is None, not NaN"
