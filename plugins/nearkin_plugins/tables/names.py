"""Names of columns as text: ``height,weight`` and, with a quoted name and with weights, ``"a, b"=2,age=0.5``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from nearkin.errors import ParameterError

_QUOTED = r'"(?P<quoted>(?:[^"]|"")*)"'
_NAME = re.compile(rf'\s*(?:{_QUOTED}|(?P<name>[^,"]*?))\s*(?:(?P<more>,)|\Z)')
_WEIGHT = re.compile(rf'\s*(?:{_QUOTED}|(?P<name>[^,"]*))\s*=\s*(?P<weight>[^,="]*?)\s*(?:(?P<more>,)|\Z)')
_PLAIN = re.compile(r'[^\s,"=](?:[^,"=]*[^\s,"=])?')

HEAVIEST = 1e6
"""Weight of a column, at most."""


def split_names(names: str | Iterable[str], option: str) -> tuple[str, ...]:
    """Names in a text between commas, or in a sequence as they are; a name with a comma stands in double quotes.

    >>> split_names('height, "a, b"', "numeric"), split_names(["a, b"], "numeric")
    (('height', 'a, b'), ('a, b',))

    Raises
    ------
    ParameterError
        A name is empty, given twice, or no text.
    """
    found = _split(names, option) if isinstance(names, str) else list(names)
    for each in found:
        if not isinstance(each, str) or not each:
            raise ParameterError(f"{option} has {each!r} for the name of a column, a text that is not empty expected")
        if found.count(each) > 1:
            raise ParameterError(f"{option} names column {each!r} twice")
    return tuple(found)


def _split(text: str, option: str) -> list[str]:
    if not text.strip():
        return []
    parts, place = [], 0
    while True:
        found = _NAME.match(text, place)
        if found is None:
            raise ParameterError(
                f"{option} is {text!r}, which cannot be read from {text[place:]!r} on",
                hint='write names with commas between them, and one that has a comma or a quote as "a, b"',
            )
        parts.append(_plain_name(found))
        place = found.end()
        if not found["more"]:
            return parts


def _plain_name(found: re.Match[str]) -> str:
    return found["name"].strip() if found["quoted"] is None else found["quoted"].replace('""', '"')


def joined_names(names: Sequence[str]) -> str:
    """The text that `split_names` reads.

    >>> joined_names(["height", "a, b"])
    'height,"a, b"'
    """
    return ",".join(_written(each) for each in names)


def _written(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def read_weights(weights: str | Mapping[str, float]) -> dict[str, float]:
    """Weights by the name of their column, from ``age=2,hobby=0.5`` or a mapping.

    >>> read_weights("age=2,hobby=0.5")
    {'age': 2.0, 'hobby': 0.5}

    Raises
    ------
    ParameterError
        A weight is no number from 0 to 1,000,000, or a column has two.
    """
    pairs = _weights_in(weights) if isinstance(weights, str) else list(weights.items())
    read: dict[str, float] = {}
    for name, given in pairs:
        if name in read:
            raise ParameterError(f"weights names column {name!r} twice")
        try:
            weight = float(given)
        except (TypeError, ValueError):
            weight = -1.0
        if not 0 <= weight <= HEAVIEST:
            raise ParameterError(
                f"the weight of column {name!r} is {given!r}, a number from 0 to {HEAVIEST:,.0f} expected"
            )
        read[name] = weight
    return read


def _weights_in(text: str) -> list[tuple[str, str]]:
    if not text.strip():
        return []
    pairs, place = [], 0
    while True:
        found = _WEIGHT.match(text, place)
        if found is None:
            raise ParameterError(
                f"weights is {text!r}, NAME=NUMBER expected at {text[place:]!r}", hint="such as age=2,hobby=0.5"
            )
        pairs.append((_plain_name(found), found["weight"]))
        place = found.end()
        if not found["more"]:
            return pairs


def joined_weights(weights: Mapping[str, float]) -> str:
    """The text that `read_weights` reads.

    >>> joined_weights({"age": 2.0, "a, b": 0.5})
    'age=2,"a, b"=0.5'
    """
    return ",".join(f"{_written(name)}={_shortest(weight)}" for name, weight in weights.items())


def _shortest(number: float) -> str:
    return repr(number).removesuffix(".0")
