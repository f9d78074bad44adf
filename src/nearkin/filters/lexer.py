"""The text of a filter in pieces, each with the place where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from nearkin.errors import FilterError
from nearkin.filters.names import keyword

LONGEST_TEXT = 1_000_000
"""Characters of a filter's text, at most."""

TokenKind = Literal["string", "quoted", "date", "number", "id", "word", "keyword", "sign", "end"]

_TOKEN = re.compile(
    r"""\s*+(?:
    (?P<string>"(?:[^"\\]++|\\.|"")*+"|'(?:[^'\\]++|\\.|'')*+')
    |(?P<quoted>`(?:[^`]++|``)*+`)
    |(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[\w:.+-]*+)
    |(?P<number>[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?(?![\w.]))
    |(?P<id>\$\w*+)
    |(?P<word>[^\W\d][\w-]*+)
    |(?P<sign><=|>=|<>|!=|==|[=<>(),.])
    |(?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_OTHERS = {
    "&": "write and",
    "|": "write or",
    "!": "write not or !=",
    '"': "the string that begins here has no end",
    "'": "the string that begins here has no end",
    "`": "the name that begins here has no end",
    "[": "write a list in round brackets",
    "{": "a filter as a dict is passed as one, not as text",
    "-": "numbers begin with a digit after their sign",
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)|(\"\"|'')", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """A piece of the text."""

    kind: TokenKind
    text: str
    at: int
    """Characters before it."""

    def error(self, problem: str, hint: str | None = None) -> FilterError:
        """What is wrong here, with the place."""
        return problem_at(self.at, self.text, problem, hint)


def problem_at(at: int, near: str, problem: str, hint: str | None) -> FilterError:
    """An error with its place in the text, the first column being 1."""
    cut = near if len(near) <= 30 else f"{near[:27]}..."
    place = f"column {at + 1}, near {_unquoted(cut)!r}" if near else f"column {at + 1}, its end"
    return FilterError(f"the filter cannot be read at {place}: {problem}", hint=hint)


def tokens_of(text: str) -> list[Token]:
    """All pieces, the last one of kind ``end``.

    Raises
    ------
    FilterError
        Too long, or something that is no piece of the language.

    Examples
    --------
    >>> [token.text for token in tokens_of("price<-5 AND tags has 'new'")]
    ['price', '<', '-5', 'and', 'tags', 'has', "'new'", '']
    """
    if len(text) > LONGEST_TEXT:
        raise FilterError(
            f"the filter has {len(text):,} characters, at most {LONGEST_TEXT:,} are allowed",
            hint="pass long lists of values as a dict with $in",
        )
    found: list[Token] = []
    at = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, at)
        if match is None:
            raise _strange(text, at)
        kind: TokenKind = match.lastgroup  # type: ignore[assignment]  # one of the groups matched
        piece, start = match[kind], match.start(kind)
        if kind == "word" and (word := keyword(piece)) is not None:
            kind, piece = "keyword", word
        found.append(Token(kind, piece, start))
        at = match.end()
    return found


def read_string(token: Token, *, pattern: bool = False) -> str:
    r"""The string that stands in a piece; in a pattern backslashes before %, _ and backslashes stay for it to read.

    >>> read_string(Token("string", r"'it''s \"5\"'", 0))
    'it\'s "5"'
    """
    quote, body = token.text[0], token.text[1:-1]

    def plain(found: re.Match[str]) -> str:
        escape, doubled = found.groups()
        if doubled is not None:
            return quote if doubled[0] == quote else str(doubled)
        if escape[0] == "u" and len(escape) == 5:
            return chr(int(escape[1:], 16))
        if pattern and escape in "%_\\":
            return found[0]
        if escape not in _ESCAPES:
            raise problem_at(
                token.at + 1 + found.start(), found[0], "there is no such escape", "write \\\\ for one backslash"
            )
        return _ESCAPES[escape]

    made = _ESCAPE.sub(plain, body)
    if not made.isascii():  # pairs of \ud83d\ude00 are one character
        made = made.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return made


def _strange(text: str, at: int) -> FilterError:
    at += len(text[at:]) - len(text[at:].lstrip())
    letter = text[at]
    hint = _OTHERS.get(letter)
    if letter.isdigit():
        hint = "a number such as 50, -0.5 or 1e6 is expected, or a date such as 2026-01-31"
    return problem_at(at, text[at : at + 12].split("\n")[0], "this is not part of the language", hint)


def _unquoted(near: str) -> str:
    """A name in backticks, or a string without its quotes, as it stands in a message."""
    return near[1:-1] if len(near) > 2 and near[0] == near[-1] and near[0] in "'\"`" else near
