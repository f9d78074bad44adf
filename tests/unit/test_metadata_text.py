"""Metadata comes back as it went in, as far as JSON can tell, and filters read what Python wrote."""

import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin import errors
from nearkin.filters import as_filter
from nearkin.metadata_table import MetadataTable
from nearkin.metadata_text import metadata_text

TEXT = st.text(st.characters(exclude_characters="\0"), max_size=6)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@given(st.dictionaries(TEXT, VALUE, min_size=1, max_size=4))
def test_it_comes_back(metadata):
    text = metadata_text(metadata, 0)
    assert json.loads(text) == metadata
    text.encode()  # halves of surrogate pairs included
    assert metadata_text(text, 0) is text


@given(st.dictionaries(TEXT, VALUE, min_size=1, max_size=4))
def test_it_is_what_json_writes(metadata):
    assert json.loads(metadata_text(metadata, 0)) == metadata
    written = json.dumps(metadata, ensure_ascii=False)
    if written.isascii():
        assert metadata_text(metadata, 0) == written


def test_metadata_inside_itself_is_refused_and_the_next_is_not():
    endless = {"a": {}}
    endless["a"]["b"] = endless
    for _ in range(2):
        with pytest.raises(errors.ParameterError, match="row 4 cannot be stored as JSON"):
            metadata_text(endless, 4)
        assert metadata_text({"a": 1}, 4) == '{"a": 1}'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": {"b": ["x\0y"]}}, "row 4 has a NUL"),
        ({"\0": 1}, "row 4 has a NUL"),
        ({"a": "\\\0"}, "row 4 has a NUL"),
        ({"a": float("nan")}, "row 4 cannot be stored as JSON"),
        ({"a": object()}, "row 4 cannot be stored as JSON"),
        ([1], "row 4 is a list"),
        ({"a": 10**400}, "row 4 has a whole number of 401 digits"),
        ({"a": [[10**400]]}, "row 4 has a whole number of 401 digits"),
        ({"a": nested(101)}, "row 4 is nested deeper than 100 levels"),
    ],
)
def test_refused(given, message):
    with pytest.raises(errors.ParameterError, match=message):
        metadata_text(given, 4)


def test_what_only_looks_like_a_nul():
    for harmless in ("\\u0000", "\\\\u0000"):
        assert json.loads(metadata_text({"a": harmless}, 0)) == {"a": harmless}


def test_depth_that_is_allowed_and_brackets_in_texts():
    for harmless in (nested(99), "[" * 500, "7" * 500, [[]] * 200):
        assert json.loads(metadata_text({"a": harmless}, 0)) == {"a": harmless}


def test_nothing_is_none():
    assert metadata_text({}, 0) is metadata_text(None, 0) is None


def test_filters_read_a_row_with_half_of_a_surrogate_pair():
    table = MetadataTable()
    table.change([], [(0, "a", metadata_text({"naïve": "é", "broken": "\ud800"}, 0))])
    assert table.matching(as_filter('naïve = "é"')).tolist() == [0]


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (np.float32(3), "numpy's values as .item"),
        (datetime.date(2024, 1, 1), "dates as .isoformat"),
        (float("nan"), "a missing number is None"),
    ],
)
def test_the_remedy_fits_what_cannot_be_stored(value, remedy):
    with pytest.raises(errors.ParameterError, match=remedy):
        metadata_text({"a": value}, 0)
