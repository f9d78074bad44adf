"""What the filter language refuses and how it says so, and its limits."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.filter_tables import SHOP, selected, table_of

from nearkin.errors import FilterError
from nearkin.filters import as_filter, field_sql
from nearkin.filters.grammar import DEEPEST, MOST_COMPARISONS, MOST_VALUES
from nearkin.filters.lexer import LONGEST_TEXT
from nearkin.filters.names import LONGEST_NAME
from nearkin.filters.patterns import LONGEST_PATTERN, MOST_WILDCARDS
from nearkin.filters.values import LONGEST_STRING


@pytest.fixture(scope="module")
def shop():
    return table_of(SHOP)


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price <", "column 8, its end: a string, a number, true, false or a date is expected"),
        ("price < 5 brand", "column 11, near 'brand': and, or, or the end is expected after a comparison"),
        (
            "brand = acme",
            "column 9, near 'acme': a string, a number, true, false or a date is expected; strings stand in quotes",
        ),
        ("brand = null", "column 9, near 'null': null is compared with nothing; write is null or is not null"),
        (
            "brand = 'acme",
            'column 9, near "\'acme": this is not part of the language; the string that begins here has no end',
        ),
        ("(a = 1", "column 7, its end: and, or, or the bracket that closes the one of column 1 is expected"),
        ("a = 1)", "column 6, near ')': no bracket is open here"),
        ("a = 1 && b = 2", "column 7, near '&& b = 2': this is not part of the language; write and"),
        (
            "a = 5eur",
            (
                "column 5, near '5eur': this is not part of the language; "
                "a number such as 50, -0.5 or 1e6 is expected, or a date such as 2026-01-31"
            ),
        ),
        (
            "a = 1e400",
            (
                "column 5, near '1e400': a number is NaN or infinite, or too large for a floating point number; "
                "write is null for what is missing"
            ),
        ),
        ("a < true", "column 5, near 'true': true is neither less nor more than something; use = or !="),
        (
            "a between 1 and 'b'",
            "column 11, near '1': a between 1 and \"b\" has values of two kinds; use two of one kind",
        ),
        (
            "a = 2026-02-30",
            (
                "column 5, near '2026-02-30': there is no point in time '2026-02-30'; "
                "months, days, hours or offset are out of range"
            ),
        ),
        (
            "a = date 'soon'",
            "column 5, near 'date': 'soon' is no ISO date or time; 2026-01-31 or 2026-01-31T12:00:00Z is expected",
        ),
        ("a not = 1", "column 7, near '=': in, has, between or like is expected"),
        ("a is 5", "column 6, near '5': null or not null is expected after is"),
        ("a in 5", "column 6, near '5': a list of values in brackets is expected after in"),
        ("a in (1 2)", "column 9, near '2': a comma or a closing bracket is expected in a list"),
        ("a between 1, 2", "column 12, near ',': and with the second value is expected after between and a first one"),
        ("a like b", "column 8, near 'b': a pattern in quotes is expected after like"),
        (r"a = 'C:\dir'", "column 8, near '\\\\d': there is no such escape; write \\\\ for one backslash"),
        (r"a = '50\%'", "column 8, near '\\\\%': there is no such escape; write \\\\ for one backslash"),
        ("$key = 1", "column 1, near '$key': $key is no field; $id is the row's id; write other names in backticks"),
        ("$id has 1", "column 5, near 'has': an id is no array; use = or in"),
        (
            "in = 1",
            (
                "column 1, near 'in': the name of a field is expected; "
                "a field whose name is a word of the language stands in backticks"
            ),
        ),
        (
            "5 < a",
            (
                "column 1, near '5': the name of a field is expected; "
                "fields stand on the left, without quotes or in backticks"
            ),
        ),
        ("a. = 5", "column 4, near '=': a name is expected after the dot; other names stand in backticks"),
        (
            '`a"b` = 5',
            (
                "column 1, near 'a\"b': the field name 'a\"b' has the character '\"'; "
                "names with double quotes, backslashes, control characters or half characters cannot be filtered on"
            ),
        ),
        ("`` = 5", "column 1, near '``': a field's name has an empty part"),
        (
            r"a = '\u0000'",
            "column 5, near '\\\\u0000': a string has a NUL character; such strings cannot be filtered on",
        ),
        (r"a = '\ud800'", "column 5, near '\\\\ud800': a string has half of a surrogate pair, which is no character"),
    ],
)
def test_errors_of_text(text, message):
    with pytest.raises(FilterError) as caught:
        as_filter(text)
    assert str(caught.value) == f"the filter cannot be read at {message}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "its top: the dict is empty; leave where out to have all rows"),
        ({"price": {"$lest": 5}}, "price: there is no operator '$lest'; did you mean $lt?"),
        ({"price": {"$gtt": 5}}, "price: there is no operator '$gtt'; did you mean $gt?"),
        ({"$orr": []}, "$orr: there is no '$orr' here; did you mean $or?"),
        ({"$lt": 5}, "$lt: there is no '$lt' here; write the field first, then its operator"),
        ({"$or": {"a": 1}}, "$or: a dict follows $or; a list of dicts is expected"),
        ({"$or": []}, "$or: the list is empty; a list of dicts is expected"),
        ({"$or": [{"a": 1}, 5]}, "$or[1]: a int is no filter; a dict is expected"),
        ({"$or": [{"a": {"$in": 5}}]}, "$or[0].a.$in: a int is not a list of values; a list is expected"),
        ({"a": {"$in": "abc"}}, "a.$in: a str is not a list of values; a list is expected"),
        ({"a": {"$in": np.array(5)}}, "a.$in: a ndarray is not a list of values; a list is expected"),
        (
            {"a": {"$in": [1, None]}},
            "a.$in: None is not a value to compare with; is null and $null ask for what is missing",
        ),
        ({"a": [1]}, "a: a list is not a value to compare with; $in takes several values"),
        ({"a": np.arange(2)}, "a: an array is not a value to compare with; $in takes several values"),
        (
            {"a": b"x"},
            "a: a bytes is not a value to compare with; a string, a number, true, false or a date is expected",
        ),
        (
            {"a": np.timedelta64(1, "s")},
            (
                "a: a numpy.timedelta64 is not a value to compare with; "
                "a string, a number, true, false or a date is expected"
            ),
        ),
        (
            {"a": np.datetime64("NaT")},
            "a: 'NaT' is no ISO date or time; 2026-01-31 or 2026-01-31T12:00:00Z is expected",
        ),
        (
            {"a": {"$lt": float("nan")}},
            (
                "a.$lt: a number is NaN or infinite, or too large for a floating point number; "
                "write is null for what is missing"
            ),
        ),
        ({"a": {"$lt": True}}, "a.$lt: true is neither less nor more than something; use = or !="),
        ({"a": {"$between": [1]}}, "a.$between: 1 values follow $between; two are expected"),
        ({"a": {"$like": 5}}, "a.$like: a int is no pattern; a string such as 'pat%' is expected"),
        ({"a": {"$null": 1}}, "a.$null: a int follows $null; True or False is expected"),
        ({"a": {}}, "a: the dict is empty; an operator such as {'$lt': 50} is expected"),
        ({"a": {"b": 1}}, "a: there is no operator 'b'; values inside of values are written 'a.b'"),
        ({5: 1}, "its top: a field's name is a int; a string such as 'price' is expected"),
        ({"": 1}, "its top: a field's name has an empty part"),
        ({"a..b": 1}, "its top: a field's name has an empty part"),
        ({"`a": 1}, "its top: '`a' is no name of a field; a part in backticks ends with one, and a dot follows"),
        ({"$id": {"$has": 1}}, "$id.$has: an id is no array; use $eq or $in"),
        (
            {"a": {"$eq": 10**400}},
            (
                "a.$eq: a number is NaN or infinite, or too large for a floating point number; "
                "write is null for what is missing"
            ),
        ),
    ],
)
def test_errors_of_dicts(given, message):
    with pytest.raises(FilterError) as caught:
        as_filter(given)
    assert str(caught.value) == f"the filter cannot be read at {message}"


@pytest.mark.parametrize(
    "name", ["", "a..b", 'a"b', "a\\b", "a\nb", "a\0b", "a\ud800", "$key", "`a", "`a`b", "x" * 251, 5]
)
def test_names_that_are_refused(name):
    with pytest.raises(FilterError):
        field_sql(name)


PIECES = (
    "a b.c ` ' \" \\ ( ) , . = != < <= - -5 5.5 1e9 2026-01-31 2026-01-31T12:00 and or not in has between like is "
    "null true false date $id $x 'x' \"y\" `z` ; -- ٣ é \0 \ud800"
)
OPERATORS = "$lt $eq $in $nin $between $like $has $null $x $not"


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=30) | st.lists(st.sampled_from(PIECES.split(" ")), max_size=12).map(" ".join))
def test_any_text_is_a_filter_or_a_filter_error(text):
    try:
        found = as_filter(text)
    except FilterError:
        return
    assert as_filter(str(found)) == found
    table_of(SHOP).execute(f"SELECT * FROM rows WHERE {found.sql().text}", found.sql().parameters)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b.c", "`", "$id", "$or", *OPERATORS.split()]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(["a", "b.c", "$id", "$and", "$or", "$not"]), json_like, max_size=3))
def test_any_dict_is_a_filter_or_a_filter_error(given):
    try:
        found = as_filter(given)
    except FilterError:
        return
    assert as_filter(str(found)) == found


# ---- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "(" * 10_000 + "a = 1" + ")" * 10_000,
            f"column {DEEPEST + 1}, near '(': more than {DEEPEST} brackets are open",
        ),
        ("not (" * 10_000, f"more than {DEEPEST} brackets are open"),
        (
            " or ".join(["a = 1"] * (MOST_COMPARISONS + 1)),
            "a filter has more than 200 comparisons; ask whether a field is in",
        ),
        ("a = '" + "x" * (LONGEST_STRING + 1) + "'", "a string has 10,001 characters, at most 10,000 are allowed"),
        ("a = '" + "x" * LONGEST_TEXT + "'", "the filter has 1,000,006 characters, at most 1,000,000 are allowed"),
        ("x" * (LONGEST_NAME + 1) + " = 1", "a field's name has more than 250 bytes"),
        ("a like '" + "%x" * (MOST_WILDCARDS + 1) + "'", "a pattern has 21 times %, at most 20 are allowed"),
        ("a like '" + "x" * (LONGEST_PATTERN + 1) + "'", "a pattern has 1,001 characters, at most 1,000 are allowed"),
        ("a = " + "9" * 5_000, "a number has 5,000 characters, at most 400 are allowed"),
        ("a in (" + "1," * MOST_VALUES + "1)", "a filter has more than 100,000 values in lists"),
    ],
)
def test_limits(text, message):
    with pytest.raises(FilterError) as caught:
        as_filter(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250


def test_limits_of_dicts():
    endless: dict = {}
    endless["$not"] = endless
    sideways: dict = {}
    sideways["$not"] = sideways
    for each in (endless, {"a": sideways}):
        with pytest.raises(FilterError, match="more than 20 dicts are inside each other"):
            as_filter(each)
    with pytest.raises(FilterError, match="more than 100,000 values"):
        as_filter({"a": {"$in": range(10**12)}})
    with pytest.raises(FilterError, match="more than 200 comparisons"):
        as_filter({"$or": [{"a": number} for number in range(201)]})


def test_not_may_be_said_often(shop):
    assert as_filter("not " * 10_000 + "a = 1") == as_filter("a = 1")
    assert as_filter("not " * 10_001 + "a = 1") == as_filter("a != 1")


def test_long_lists(shop):
    many = as_filter({"price": {"$in": range(MOST_VALUES)}})
    assert selected(shop, many) == [0, 2]
    assert len(many.sql().parameters) == 1
    some = as_filter({"price": {"$nin": ["x", *range(5_000)]}})
    assert as_filter(str(some)) == some


def deep(leaf, depth, leaves):
    """Groups inside each other with not at every level, some of them two at a time."""
    word = ("and", "or")[depth % 2]
    if depth == 0:
        return leaf
    if leaves < 2:
        return f"not ({leaf} {word} {deep(leaf, depth - 1, 1)})"
    return f"not ({deep(leaf, depth - 1, leaves // 2)} {word} {deep(leaf, depth - 1, leaves // 2)})"


@pytest.mark.parametrize("leaves", [1, 2, 4, 8])
def test_the_deepest_filters_fit_into_sqlite(shop, leaves):
    condition = as_filter(deep("a in (1, 'x', true, 2026-01-31)", DEEPEST, leaves)).sql()
    shop.execute(f"SELECT * FROM rows WHERE position > 0 AND (id > 0 AND {condition.text})", condition.parameters)


def test_the_longest_filters_fit_into_sqlite(shop):
    name = "é" * (LONGEST_NAME // 2 - 1)
    for leaf in (f"`{name}` between 2026-01-01 and 2026-02-01", f"`{name}` in (1, 'x', true, false, 2026-01-31)"):
        condition = as_filter(" or ".join([leaf] * MOST_COMPARISONS)).sql()
        assert len(condition.text.encode()) < 1_000_000
        assert len(condition.parameters) <= 999
    shop.execute(f"SELECT * FROM rows WHERE {condition.text}", condition.parameters)


def test_no_pattern_hangs():
    connection = table_of([{"x": "a" * 20_000}])
    start = time.process_time()
    assert selected(connection, "x like '" + "%a" * (MOST_WILDCARDS - 1) + "%b'") == []
    assert selected(connection, "x like '" + "%a_" * (MOST_WILDCARDS - 1) + "%b'") == []
    assert time.process_time() - start < 2
