"""The grammar of filters, read by descent.

::

    filter      either
    either      both ("or" both)*
    both        denied ("and" denied)*
    denied      "not"* (group | comparison)
    group       "(" either ")"
    comparison  field ( ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
                      | "not"? "in" "(" (value ("," value)*)? ")"
                      | "not"? "has" value
                      | "not"? "between" value "and" value
                      | "not"? "like" string
                      | "is" "not"? "null" )
    field       "$id" | name ("." name)*
    name        letters, digits, _ and - (no digit first) | "`" anything "`"
    value       string | number | "true" | "false" | date | "date" string

What groups tie down is limited, so that neither Python's stack nor SQLite's ends before the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from nearkin.errors import FilterError
from nearkin.filters import values
from nearkin.filters.lexer import Token, read_string, tokens_of
from nearkin.filters.names import Field
from nearkin.filters.tree import Among, Between, Compare, Filter, Has, Like, Missing, both, either, negated
from nearkin.filters.values import Value

DEEPEST = 20
"""Groups inside each other, at most."""

MOST_COMPARISONS = 200
"""Comparisons of one filter, at most; a list of values is one."""

MOST_VALUES = 100_000
"""Values in all lists of one filter together, at most."""

T = TypeVar("T")

_SIGNS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_COMPARISONS = "=, !=, <, <=, >, >=, in, has, between, like or is null is expected after a field"


def read_text(text: str) -> Filter:
    """The filter that a text says.

    Raises
    ------
    FilterError
        The text does not follow the grammar, or is beyond a limit; the message has the place.

    Examples
    --------
    >>> print(read_text("NOT (a == 1 || b == 2)"))
    Traceback (most recent call last):
        ...
    nearkin.errors.FilterError: the filter cannot be read at column 13, near '|| b == 2)': this is not part of the \
language; write or
    >>> print(read_text("NOT (a == 1 or b == 2)"))
    not (a = 1 or b = 2)
    """
    if not text.strip():
        raise FilterError("the filter is empty", hint="leave where out to have all rows")
    return _Reader(tokens_of(text)).whole()


def check_size(count: int, limit: int, what: str) -> None:
    """Refuse more than a limit of something.

    Raises
    ------
    FilterError
        There are more.
    """
    if count > limit:
        hint = "ask whether a field is in (...) a list of values" if limit == MOST_COMPARISONS else None
        raise FilterError(f"a filter has more than {limit:,} {what}", hint=hint)


def check_pair(field: Field, low: Value, high: Value) -> None:
    """Refuse to compare with two values that no value could lie between.

    Raises
    ------
    FilterError
        Values of two kinds, or true and false.
    """
    if low.kind != high.kind:
        raise FilterError(f"{field} between {low} and {high} has values of two kinds", hint="use two of one kind")
    check_ordered(low)


def check_ordered(value: Value) -> None:
    """Refuse true and false where an order is needed.

    Raises
    ------
    FilterError
        It is one of them.
    """
    if not value.ordered:
        raise FilterError(f"{value} is neither less nor more than something", hint="use = or !=")


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.next = 0
        self.comparisons = 0
        self.listed = 0

    # ---- tokens ----

    @property
    def token(self) -> Token:
        return self.tokens[self.next]

    def advance(self) -> Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def accept(self, *texts: str) -> Token | None:
        """The next token if it is one of these words or signs."""
        if self.token.kind in ("keyword", "sign") and self.token.text in texts:
            return self.advance()
        return None

    def expect(self, text: str, problem: str) -> None:
        if not self.accept(text):
            raise self.token.error(problem)

    def checked(self, token: Token, make: Callable[[], T]) -> T:
        """What is made, or the error about it with the place of a token."""
        try:
            return make()
        except FilterError as error:
            raise token.error(error.message, error.hint) from None

    # ---- and, or, not ----

    def whole(self) -> Filter:
        found = self.either(0)
        token = self.token
        if token.text == ")":
            raise token.error("no bracket is open here")
        if token.kind != "end":
            raise token.error("and, or, or the end is expected after a comparison")
        return found

    def either(self, depth: int) -> Filter:
        parts = [self.both(depth)]
        while self.accept("or"):
            parts.append(self.both(depth))
        return either(parts)

    def both(self, depth: int) -> Filter:
        parts = [self.denied(depth)]
        while self.accept("and"):
            parts.append(self.denied(depth))
        return both(parts)

    def denied(self, depth: int) -> Filter:
        opposite = False
        while self.accept("not"):
            opposite = not opposite
        found = self.group(depth) if self.token.text == "(" else self.comparison()
        return negated(found) if opposite else found

    def group(self, depth: int) -> Filter:
        opening = self.advance()
        if depth == DEEPEST:
            raise opening.error(f"more than {DEEPEST} brackets are open")
        found = self.either(depth + 1)
        self.expect(")", f"and, or, or the bracket that closes the one of column {opening.at + 1} is expected")
        return found

    # ---- comparisons ----

    def comparison(self) -> Filter:
        start = self.token
        field = self.field()
        self.comparisons += 1
        self.checked(start, lambda: check_size(self.comparisons, MOST_COMPARISONS, "comparisons"))
        if self.token.kind == "sign" and self.token.text in _SIGNS:
            return self.compared(field)
        if self.accept("is"):
            opposite = bool(self.accept("not"))
            self.expect("null", "null or not null is expected after is")
            return negated(Missing(field)) if opposite else Missing(field)
        opposite = bool(self.accept("not"))
        word = self.accept("in", "has", "between", "like")
        if word is None:
            raise self.token.error("in, has, between or like is expected" if opposite else _COMPARISONS)
        found = {"in": self.among, "has": self.has, "between": self.between, "like": self.like}[word.text](field)
        return negated(found) if opposite else found

    def compared(self, field: Field) -> Filter:
        operator = _SIGNS[self.advance().text]
        token, value = self.token, self.value()
        if operator in ("=", "!="):
            found = Compare(field, "=", value)
            return found if operator == "=" else negated(found)

        def make() -> Filter:
            check_ordered(value)
            return Compare(field, operator, value)

        return self.checked(token, make)

    def among(self, field: Field) -> Filter:
        self.expect("(", "a list of values in brackets is expected after in")
        found: list[Value] = []
        while not self.accept(")"):
            if found:
                self.expect(",", "a comma or a closing bracket is expected in a list")
            self.listed += 1
            self.checked(self.token, lambda: check_size(self.listed, MOST_VALUES, "values in lists"))
            found.append(self.value())
        return Among(field, tuple(dict.fromkeys(found)))

    def has(self, field: Field) -> Filter:
        token = self.tokens[self.next - 1]
        if not field.keys:
            raise token.error("an id is no array", "use = or in")
        return Has(field, self.value())

    def between(self, field: Field) -> Filter:
        start, low = self.token, self.value()
        self.expect("and", "and with the second value is expected after between and a first one")
        high = self.value()

        def make() -> Filter:
            check_pair(field, low, high)
            return Between(field, low, high)

        return self.checked(start, make)

    def like(self, field: Field) -> Filter:
        token = self.token
        if token.kind != "string":
            raise token.error("a pattern in quotes is expected after like")
        self.advance()
        pattern = read_string(token, pattern=True)
        return self.checked(token, lambda: Like(field, str(values.text(pattern).value)))

    # ---- fields and values ----

    def field(self) -> Field:
        start = self.token
        if start.kind == "id":
            if start.text != "$id":
                raise start.error(f"{start.text} is no field", "$id is the row's id; write other names in backticks")
            self.advance()
            return Field(())
        if start.kind not in ("word", "quoted"):
            hint = "fields stand on the left, without quotes or in backticks"
            if start.kind == "keyword":
                hint = "a field whose name is a word of the language stands in backticks"
            raise start.error("the name of a field is expected", hint)
        keys = [self.key()]
        while self.accept("."):
            keys.append(self.key())
        return self.checked(start, lambda: Field(tuple(keys)))

    def key(self) -> str:
        token = self.token
        if token.kind == "quoted":
            self.advance()
            return token.text[1:-1].replace("``", "`")
        if token.kind not in ("word", "keyword"):
            raise token.error("a name is expected after the dot", "other names stand in backticks")
        return self.advance().text

    def value(self) -> Value:
        """The string, number, flag or date that begins here."""
        token = self.token
        self.next += token.kind != "end"
        if token.kind == "string":
            given = read_string(token)
            return self.checked(token, lambda: values.text(given))
        if token.kind == "number":
            return self.checked(token, lambda: _number(token.text))
        if token.kind == "date":
            return self.checked(token, lambda: values.instant(token.text))
        if token.kind == "keyword" and token.text in ("true", "false"):
            return Value("flag", token.text == "true")
        if token.kind == "word" and token.text.lower() == "date" and self.token.kind == "string":
            written = read_string(self.advance())
            return self.checked(token, lambda: values.instant(written))
        raise self.no_value(token)

    def no_value(self, token: Token) -> FilterError:
        if token.text == "null" and token.kind == "keyword":
            return token.error("null is compared with nothing", "write is null or is not null")
        hint = "strings stand in quotes" if token.kind in ("word", "quoted") else None
        return token.error("a string, a number, true, false or a date is expected", hint)


def _number(text: str) -> Value:
    if len(text) > 400:
        raise FilterError(f"a number has {len(text):,} characters, at most 400 are allowed")
    return values.number(int(text) if text.lstrip("+-").isdigit() else float(text))
