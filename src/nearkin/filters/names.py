"""Names of fields: how they are written, and the only way in which they come into SQL.

A name is the way to a value inside the metadata, ``size.width`` for ``{"size": {"width": 3}}``. Parts that are no
identifiers, or words of the language, stand in backticks, a backtick inside of them twice. ``$id`` is the row's id.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from nearkin.errors import FilterError

WORDS = frozenset({"and", "or", "not", "in", "has", "between", "like", "is", "null", "true", "false"})
"""Words of the language, in any case; a field of such a name stands in backticks."""

LONGEST_NAME = 250
"""Bytes of a whole name in UTF-8, at most."""

_PLAIN = re.compile(r"[^\W\d][\w-]*")
_QUOTED = re.compile(r"`((?:[^`]|``)*+)`")


def keyword(word: str) -> str | None:
    """The word of the language that this is, in lower case, or None.

    >>> keyword("AND"), keyword("price")
    ('and', None)
    """
    lower = word.lower()
    return lower if word.isascii() and lower in WORDS else None


@dataclass(frozen=True)
class Field:
    """A field by the keys that lead to it; no keys at all stand for the row's id.

    Raises
    ------
    FilterError
        A key that no JSON path of SQLite can hold: empty, with a double quote, a backslash or a control character.

    Examples
    --------
    >>> str(Field(("size", "width"))), str(Field(("unit price",))), str(Field(()))
    ('size.width', '`unit price`', '$id')
    """

    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        for key in self.keys:
            _check(key)
        if sum(len(key.encode()) + 1 for key in self.keys) > LONGEST_NAME:
            raise FilterError(f"a field's name has more than {LONGEST_NAME} bytes")

    def __str__(self) -> str:
        return ".".join(map(_written, self.keys)) if self.keys else "$id"

    @property
    def path(self) -> str:
        """The JSON path as a literal of SQL, quotes included.

        >>> print(Field(("size", "owner's")).path)
        '$."size"."owner''s"'
        """
        inner = "".join(f'."{key}"' for key in self.keys).replace("'", "''")
        return f"'${inner}'"

    @property
    def sql(self) -> str:
        """The SQL expression of the value."""
        return f"json_extract(metadata, {self.path})" if self.keys else "id"


def as_field(name: str) -> Field:
    """The field of a name; without backticks a dot parts keys and every other character is part of one.

    >>> as_field("size.width") == as_field("`size`.width") == Field(("size", "width"))
    True
    >>> as_field("`a.b`").keys
    ('a.b',)
    """
    if not isinstance(name, str):
        raise FilterError(f"a field's name is a {type(name).__name__}", hint="a string such as 'price' is expected")
    if name == "$id":
        return Field(())
    if name.startswith("$"):
        raise FilterError(
            f"{shortened(name)} is no name of a field", hint="$id is the row's id; write other names in backticks"
        )
    if "`" not in name:
        return Field(tuple(name.split(".")))
    keys, at = [], 0
    while True:
        found = _QUOTED.match(name, at) or re.compile(r"([^`.]+)").match(name, at)
        if found is None:
            break
        keys.append(found[1].replace("``", "`"))
        at = found.end()
        if at == len(name):
            return Field(tuple(keys))
        if name[at] != ".":
            break
        at += 1
    raise FilterError(
        f"{shortened(name)} is no name of a field", hint="a part in backticks ends with one, and a dot follows"
    )


def field_sql(name: str) -> str:
    """The SQL expression of a field's value, over a table with a column ``metadata`` of JSON text.

    An index on exactly this expression is used by the conditions of filters.

    Raises
    ------
    FilterError
        No name of a field.

    Examples
    --------
    >>> print(field_sql("price"))
    json_extract(metadata, '$."price"')
    """
    return as_field(name).sql


def shortened(text: str) -> str:
    """A text as it stands in a message: in quotes, cut after 40 characters.

    >>> shortened("a" * 50)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"
    """
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _check(key: str) -> None:
    if not key:
        raise FilterError("a field's name has an empty part")
    bad = next((letter for letter in key if letter in '"\\' or unicodedata.category(letter) in ("Cc", "Cs")), None)
    if bad is not None:
        raise FilterError(
            f"the field name {shortened(key)} has the character {bad!r}",
            hint="names with double quotes, backslashes, control characters or half characters cannot be filtered on",
        )


def _written(key: str) -> str:
    if _PLAIN.fullmatch(key) and keyword(key) is None:
        return key
    doubled = key.replace("`", "``")
    return f"`{doubled}`"
