"""The knobs of a search: what may be set, and what was given."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nearkin.errors import ParameterError


class SearchParameter(NamedTuple):
    """One knob of a search: a whole number, at least `least`."""

    summary: str
    least: int = 1


RERANK = SearchParameter("candidates re-ranked on the refinement copy for each query, at least k")


def whole_number(name: str, value: Any, least: int, most: int = 2**31 - 1) -> int:
    """A whole number from `least` to `most`, or a ParameterError that says what was given."""
    try:
        number = int(value)
        exact = isinstance(value, int | np.integer) or number == float(value)
        exact = exact and not isinstance(value, bool | np.bool_ | str | bytes | np.ndarray)
    except (TypeError, ValueError, OverflowError):
        exact, number = False, 0
    if not exact or number < least:
        raise ParameterError(f"{name} is {value!r}, a whole number of at least {least} expected")
    if number > most:
        raise ParameterError(f"{name} is {value!r}, at most {most:,} can be used")
    return number


def unknown_knob(index: str, name: str, knobs: Mapping[str, SearchParameter]) -> str:
    """What to say of a search parameter that an index does not take."""
    close = difflib.get_close_matches(name, knobs, n=1)
    takes = f"it takes {', '.join(sorted(knobs))}" if knobs else "it takes none"
    return f"{name!r} is not a search parameter of {index}: {takes}" + (f" (did you mean {close[0]}?)" if close else "")
