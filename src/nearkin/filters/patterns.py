"""Patterns of ``like``: % stands for any characters, _ for one, a backslash before them for themselves.

Case matters, as in ``=``. A pattern becomes one of SQLite's GLOB, which no setting of the connection changes (its own
LIKE ignores the case of English letters, or does not, by a PRAGMA), and where it begins with plain text also a range
that an index can be used for.
"""

from __future__ import annotations

import re

from nearkin.errors import FilterError

LONGEST_PATTERN = 1_000
"""Characters of a pattern, at most."""

MOST_WILDCARDS = 20
"""Times that % may stand in a pattern; each one may look through the string again."""

_PARTS = re.compile(r"\\[\\%_]|[^\\]", re.DOTALL)


def tidy_pattern(pattern: str) -> str:
    r"""The pattern in the one way to write it, which several % in a row are not.

    Raises
    ------
    FilterError
        Too long, too many %, or a backslash before something else.

    Examples
    --------
    >>> tidy_pattern("a%%b")
    'a%b'
    """
    if len(pattern) > LONGEST_PATTERN:
        raise FilterError(f"a pattern has {len(pattern):,} characters, at most {LONGEST_PATTERN:,} are allowed")
    parts = _PARTS.findall(pattern)
    if "".join(parts) != pattern:
        raise FilterError(
            "a pattern has a backslash before something else than %, _ or a backslash", hint="write two for one"
        )
    kept = [part for number, part in enumerate(parts) if part != "%" or not number or parts[number - 1] != "%"]
    wildcards = kept.count("%")
    if wildcards > MOST_WILDCARDS:
        raise FilterError(f"a pattern has {wildcards} times %, at most {MOST_WILDCARDS} are allowed")
    return "".join(kept)


def as_glob(pattern: str) -> str:
    r"""The pattern of SQLite's GLOB that matches the same.

    >>> as_glob(r"50\% *off_%")
    '50% [*]off?*'
    """
    return "".join(_glob(part) for part in _PARTS.findall(pattern))


def plain_start(pattern: str) -> str:
    r"""The text that everything that matches begins with.

    >>> plain_start(r"50\% off%"), plain_start("%x")
    ('50% off', '')
    """
    start = []
    for part in _PARTS.findall(pattern):
        if part in "%_":
            break
        start.append(part[-1])
    return "".join(start)


def after(start: str) -> str | None:
    """The first text after all that begin so, in the order of code points; None if there is none.

    >>> after("pat")
    'pau'
    """
    kept = start.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def _glob(part: str) -> str:
    if part in ("%", "_"):
        return "*" if part == "%" else "?"
    letter = part[-1]
    return f"[{letter}]" if letter in "*?[" else letter
