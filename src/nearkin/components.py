"""How a component is written in text: ``name``, numbers glued to it, and options after colons.

``ivf1024`` · ``pq48x8`` · ``ivf:nlist=1024:clusterer=lloyd`` · ``mahalanobis:shrinkage=0.1`` · ``other-plugin/cosine`` ·
``sentence-transformers:all-MiniLM-L6-v2`` (an option that may stand without its name) · ``name:prompt="query: "`` (a value with a
colon)
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nearkin.errors import NearkinError, ParameterError
from nearkin.hooks import Spec


@dataclass(frozen=True)
class Part:
    """A component's name and the options given for it.

    >>> str(Part("pq", {"M": 48, "bits": 8}))
    'pq:M=48:bits=8'
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{key}={as_written(value)}" for key, value in self.options.items())])


def as_written(value: Any) -> str:
    """The value of an option as text has it; quoted where it would be read as something else.

    >>> as_written(True), as_written(8), as_written("query: ")
    ('true', '8', '"query: "')
    """
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if _NEEDS_QUOTES.search(text) else text


_NEEDS_QUOTES = re.compile(r'[:"]|^\s|\s$|^$')
_OPTION = re.compile(r'(?:[^:"]|"(?:[^"\\]|\\.)*")*')


def split_options(text: str) -> list[str]:
    """Name and options of a component's text: colons within double quotes belong to a value.

    >>> split_options('pq:M=48:bits=8'), split_options('embed:prompt="query: ":dim=8')
    (['pq', 'M=48', 'bits=8'], ['embed', 'prompt="query: "', 'dim=8'])

    Raises
    ------
    ParameterError
        A quote is not closed.
    """
    parts, place = [], 0
    while place <= len(text):
        found = _OPTION.match(text, place)
        assert found is not None  # it matches nothing at all, too
        if found.end() < len(text) and text[found.end()] != ":":
            raise ParameterError(f"{text!r} has a quote that is not closed")
        parts.append(found[0])
        place = found.end() + 1
    return parts


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError as error:
        raise ParameterError(f"{value} is not a quoted text", hint='for example "query: "') from error


_GLUED = re.compile(r"(?P<name>.*?)(?P<first>\d+)?(?:x(?P<second>\d+))?\Z", re.DOTALL)


def parse_part(text: str, known: Callable[[str], bool], resolve: Callable[[str], Spec]) -> Part:
    """Read one component.

    Parameters
    ----------
    known
        Whether a name exists; the longest name that exists wins, so ``f16`` is a codec and ``ivf16`` is ivf with 16.
    resolve
        Name to spec; raises UnknownNameError with the nearest spellings.

    Raises
    ------
    ParameterError
        Malformed options, an option the component does not have, or a value of the wrong type.
    UnknownNameError
        No component has this name.
    """
    head, *options = split_options(text)
    if not head:
        raise ParameterError(f"{text!r} has no name before the colon" if options else "a component has an empty name")
    name = head
    numbers: dict[str, str] = {}
    if not known(head):
        name, numbers = _split_numbers(head, known, resolve)
    spec = resolve(name)
    given: dict[str, Any] = dict(numbers)
    for number, option in enumerate(options):
        key, value = _key_and_value(option, spec, leading=number == 0)
        if key in given:
            raise ParameterError(f"option {key!r} of {name} is given twice")
        given[key] = value
    part = Part(name, given)
    return Part(name, {key: value for key, value in read_params(spec, part).items() if key in given})


def _key_and_value(option: str, spec: Spec, *, leading: bool) -> tuple[str, str]:
    """``key=value``, or where it comes first and the component has such an option, the value alone."""
    key, equals, value = (each.strip() for each in option.partition("="))
    if leading and spec.leading and not (equals and key in {each.name for each in _fields(spec)}):
        key, value = spec.leading, option.strip()
    if not (key and value):
        raise ParameterError(
            f"option {option!r} of {spec.name} is not of the form key=value", hint=_how_to_write(spec.name, spec)
        )
    return key, _unquoted(value)


def _fields(spec: Spec) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(spec.params) if spec.params else ()


def _split_numbers(
    head: str, known: Callable[[str], bool], resolve: Callable[[str], Spec]
) -> tuple[str, dict[str, str]]:
    match = _GLUED.match(head)
    name = match["name"] if match else head
    if not match or not name or not known(name):
        return head, {}
    fields = resolve(name).shorthand
    given = {field: match[group] for field, group in zip(fields, ("first", "second"), strict=False) if match[group]}
    used = sum(match[group] is not None for group in ("first", "second"))
    if used > len(given):
        takes = (
            f"{len(fields)} number{'s' if len(fields) > 1 else ''} glued to it" if fields else "no number glued to it"
        )
        raise ParameterError(f"{head!r}: {name} takes {takes}", hint=_how_to_write(name, resolve(name)))
    return name, given


def _how_to_write(name: str, spec: Spec) -> str:
    options = [each.name for each in _fields(spec)]
    return f"write options as {name}:{options[0]}=..." if options else f"write {name}, which has no options"


def read_params(spec: Spec, part: Part) -> dict[str, Any]:
    """Options of a part as the types that the component's params declare, defaults filled in.

    Raises
    ------
    ParameterError
        An option the component does not have, a value of the wrong type, or one that its params refuse.
    """
    if spec.params is None:
        if part.options:
            raise ParameterError(f"{spec.kind} {spec.name!r} takes no options, got {', '.join(part.options)}")
        return {}
    hints = typing.get_type_hints(spec.params)
    fields = {each.name: each for each in dataclasses.fields(spec.params)}
    given: dict[str, Any] = {}
    for key, value in part.options.items():
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            raise ParameterError(
                f"{spec.kind} {spec.name!r} has no option {key!r}: it takes {', '.join(fields)}"
                + (f" (did you mean {close[0]}?)" if close else "")
            )
        given[key] = _convert(spec, key, value, hints[key])
    left_out = [name for name in options_needed(spec) if name not in given]
    if left_out:
        written = (
            f"{spec.name}:{left_out[0].upper()}" if left_out[0] == spec.leading else f"{spec.name}:{left_out[0]}=..."
        )
        raise ParameterError(f"{spec.kind} {spec.name!r} needs {' and '.join(left_out)}", hint=f"write {written}")
    try:
        made = spec.params(**given)
    except NearkinError:
        raise
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{spec.kind} {spec.name!r}: {error}") from error
    return {key: getattr(made, key) for key in fields}


def options_needed(spec: Spec) -> list[str]:
    """Options without which a component cannot be made."""
    missing = dataclasses.MISSING
    return [each.name for each in _fields(spec) if each.default is missing and each.default_factory is missing]


def _convert(spec: Spec, key: str, value: Any, wanted: Any) -> Any:
    options = typing.get_args(wanted) if typing.get_origin(wanted) in (typing.Union, types.UnionType) else (wanted,)
    types_wanted = [each for each in options if each is not type(None)]
    if value is None and type(None) in options:
        return None
    for each in types_wanted:
        try:
            return _READERS[each](value)
        except (ValueError, TypeError, OverflowError, KeyError):
            continue
    names = " or ".join(
        {int: "a whole number", float: "a number", bool: "true or false"}.get(t, "text") for t in types_wanted
    )
    raise ParameterError(f"option {key} of {spec.kind} {spec.name!r} is {value!r}, {names} expected")


def _read_int(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or number != float(value):
        raise ValueError
    return number


def _read_float(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    return number


def _read_bool(value: Any) -> bool:
    words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    return value if isinstance(value, bool) else words[str(value).lower()]


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


_READERS: Mapping[Any, Callable[[Any], Any]] = {int: _read_int, float: _read_float, bool: _read_bool, str: _read_text}
