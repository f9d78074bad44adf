"""Filters: which rows are wanted, by their metadata and ids.

>>> mine = as_filter('price < 50 and brand in ("acme", "zeta") and tags has "new"')
>>> mine == as_filter({"price": {"$lt": 50}, "brand": {"$in": ["acme", "zeta"]}, "tags": {"$has": "new"}})
True

A filter is text or a dict, read by a grammar of its own (`nearkin.filters.grammar`) into a tree, and from there into a
condition of SQL with bound parameters. Nothing of the user's text is in the SQL but the names of fields, checked and
quoted (`nearkin.filters.names`).

Every comparison is true or false, never unknown:

- A field that is missing or null, or of another type than the value, makes it false. Strings are no numbers, and true and
  false are neither: ``flag = 1`` does not match true. A string that is no ISO date never matches a date.
- ``not`` turns it round, so that a filter and its opposite part the rows in two. ``!=`` is ``not =``: it matches where
  the field is missing.
- Whole numbers and decimals are compared by value; whole numbers beyond 64 bits as floating point. Strings are compared
  by code points, and ``like`` by case too. Dates are points in time, to the nanosecond: ``day = 2026-01-31`` matches
  the first moment of that day in UTC only.
- ``has`` asks an array for one element; ``in ()`` matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearkin.errors import FilterError
from nearkin.filters.conditions import Condition
from nearkin.filters.grammar import read_text
from nearkin.filters.mappings import read_mapping
from nearkin.filters.names import field_sql
from nearkin.filters.tree import Filter

__all__ = ["Condition", "Filter", "Where", "as_filter", "field_sql"]

Where = str | Mapping[str, Any] | Filter
"""A filter as users give it: text, the same as a dict, or one that was read before."""


def as_filter(where: Where) -> Filter:
    """Read a filter from text or a dict; a filter is given back as it is.

    Parameters
    ----------
    where
        Text such as ``price < 50 and not brand like "a%"``, or a dict such as ``{"price": {"$lt": 50}}``.

    Raises
    ------
    FilterError
        It cannot be read. The message has the place (the column, or the way through the dict) and what is expected.

    Examples
    --------
    >>> print(as_filter({"size.width": {"$between": [10, 20]}, "brand": None}))
    size.width between 10 and 20 and brand is null
    >>> as_filter("price < 50 and brand")
    Traceback (most recent call last):
        ...
    nearkin.errors.FilterError: the filter cannot be read at column 21, its end: =, !=, <, <=, >, >=, in, has, between, \
like or is null is expected after a field
    """
    if isinstance(where, Filter):
        return where
    if isinstance(where, str):
        return read_text(where)
    if isinstance(where, Mapping):
        return read_mapping(where)
    raise FilterError(f"a filter is a {type(where).__name__}", hint="text such as 'price < 50' or a dict is expected")
