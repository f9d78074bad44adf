"""The filter language: what it reads, what it means, and that nothing gets into SQL."""

from __future__ import annotations

import contextlib
import json
import pickle
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.filter_tables import SHOP, selected, table_of

import nearkin as nk
from nearkin.errors import FilterError
from nearkin.filters import Condition, Filter, as_filter, field_sql


@pytest.fixture(scope="module")
def shop():
    return table_of(SHOP)


# ---- what it means ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('price < 50 and brand in ("acme", "zeta") and tags has "new"', [0, 1]),
        ("price = 10", [0]),
        ("price == 10.0", [0]),
        ("price = '10'", [3]),
        ("price != 10", [1, 2, 3, 4, 5]),
        ("price <> 10", [1, 2, 3, 4, 5]),
        ("not price < 50", [2, 3, 4, 5]),
        ("price >= 50", [2]),
        ("price > -1e3", [0, 1, 2]),
        ("price between 10 and 49.5", [0, 1]),
        ("price not between 10 and 49.5", [2, 3, 4, 5]),
        ("flag = true", [1]),
        ("flag = 1", [2]),
        ("flag = false", [3]),
        ("flag in (true, 1)", [1, 2]),
        ("flag is null", [0, 4, 5]),
        ("flag is not null", [1, 2, 3]),
        ("tags has 'new'", [0, 1]),
        ("tags has 1", [2]),
        ("tags has true", []),
        ("tags not has 'new'", [2, 3, 4, 5]),
        ("tags = 'new'", [3]),
        ("tags = '[\"new\"]'", []),
        ("brand like 'a%'", [0]),
        ("brand like '_cme'", [0, 3]),
        ("brand not like '%e%'", [4, 5]),
        ("size.width = 3", [0]),
        ("`size`.`width` < 4", [0]),
        ("`size.width` = 3", []),
        ("size is not null", [0]),
        ("sold = 2026-01-31T13:00:00+01:00", [0]),
        ("sold > 2026-01-31 and sold < DATE '2026-01-31 12:00:00.000000001'", [0]),
        ("brand > 2020-01-01", []),
        ("brand > '2020-01-01'", [0, 1, 2, 3]),
        ("brand in ()", []),
        ("brand not in ()", [0, 1, 2, 3, 4, 5]),
        ("brand in ('acme', 'acme')", [0]),
        ("$id = 3", [3]),
        ("$id in (1, '2', 5) or $id > 4", [1, 5]),
        ("$id = '3' or $id = true or $id is null", []),
        ("NOT NOT (price = 10 OR price = 50) AND Brand is null", [0, 2]),
        ("price = 10 or price = 50 and brand = 'x'", [0]),
        ("(price = 10 or price = 50) and brand = 'x'", []),
    ],
)
def test_by_hand(shop, text, rows):
    assert selected(shop, text) == rows
    assert selected(shop, f"not ({text})") == [row for row in range(len(SHOP)) if row not in rows]


def test_ids_that_are_strings():
    connection = table_of([None] * 4, ["a", "b", "it's", "2026-01-31"])
    assert selected(connection, "$id in ('a', 'it''s')") == [0, 2]
    assert selected(connection, "$id like 'i%'") == [2]
    assert selected(connection, "$id >= 2026-01-31") == [3]
    assert selected(connection, "$id = 1 or $id > 1") == []
    assert selected(connection, {"$id": {"$nin": ["a", "b"]}}) == [2, 3]


@pytest.mark.parametrize(
    "number", ["0.1234567890123456", "1e-7", "0.1", "1.7976931348623157e308", "5e-324", str(2**64 + 1)]
)
def test_a_number_matches_itself(number):
    connection = table_of([{"x": json.loads(number)}])
    for where in [f"x = {number}", f"x in ({number})", f"x between {number} and {number}", {"x": json.loads(number)}]:
        assert selected(connection, where) == [0]
    assert selected(connection, f"x < {number} or x > {number}") == []


def test_decimals_go_through_sqlite_s_own_reading_on_both_sides():
    condition = as_filter("x = 0.1234567890123456").sql()
    assert "= json_extract(?, '$')" in condition.text
    assert condition.parameters == ("0.1234567890123456",)


def test_whole_numbers_are_exact_up_to_64_bits():
    connection = table_of([{"x": 2**53}, {"x": 2**53 + 1}, {"x": 2**63 - 1}, {"x": -(2**63)}])
    assert selected(connection, f"x = {2**53 + 1}") == [1]
    assert selected(connection, f"x > {2**53}") == [1, 2]
    assert selected(connection, f"x in ({2**63 - 1}, {-(2**63)})") == [2, 3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b"', 'a"b'),
        ('"a""b"', 'a"b'),
        ("'it''s'", "it's"),
        (r"'it\'s'", "it's"),
        ("'say \"\"'", 'say ""'),
        (r'"a\\b\n\t\u00e9\ud83d\ude00\/"', "a\\b\n\té😀/"),
        ('"two\nlines"', "two\nlines"),
        ("'-- ; /* */ ?'", "-- ; /* */ ?"),
    ],
)
def test_strings(text, value):
    assert as_filter(f"x = {text}").sql().parameters == (value,)
    assert as_filter(f"x = {text}") == as_filter({"x": value})


def test_patterns_know_backslashes():
    connection = table_of([{"x": each} for each in ["100%", "100 ", "a_b", "a\\b", 'a"b', "a*b", "a[b]"]])
    assert selected(connection, r"x like '100\%'") == [0]
    assert selected(connection, r"x like 'a\_b'") == [2]
    assert selected(connection, r"x like 'a\\b'") == selected(connection, {"x": {"$like": "a\\\\b"}}) == [3]
    assert selected(connection, "x like 'a_b'") == [2, 3, 4, 5]
    assert selected(connection, """x like "a""b" or x like 'a*_' or x like '%[b]'""") == [4, 5, 6]
    assert as_filter("x like 'a%%%b'") == as_filter("x like 'a%b'")


# ---- dicts -----------------------------------------------------------------------------------------------------------

MOMENT = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"price": {"$lt": 50}, "brand": {"$in": ["a", "b"]}}, 'price < 50 and brand in ("a", "b")'),
        ({"$or": [{"a": 1}, {"b": {"$ne": "x"}}]}, 'a = 1 or b != "x"'),
        ({"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": None}]}]}, "a = 1 and (b = 2 or c is null)"),
        ({"$not": {"a": 1, "b": 2}}, "not (a = 1 and b = 2)"),
        ({"a": {"$not": {"$gt": 1, "$lte": 5}}}, "not (a > 1 and a <= 5)"),
        ({"a": {"$ne": None}}, "a is not null"),
        ({"a": {"$null": True}, "b": {"$null": False}}, "a is null and b is not null"),
        ({"a": {"$between": (1, 2)}, "b": {"$like": "x%"}}, 'a between 1 and 2 and b like "x%"'),
        ({"a": {"$nin": {3}}, "b": {"$has": True}}, "a not in (3) and b has true"),
        ({"a.b": 1, "c d": 2, "`e.f`.g": 3, "$id": 4}, "a.b = 1 and `c d` = 2 and `e.f`.g = 3 and $id = 4"),
        ({"a": date(2026, 1, 31), "b": MOMENT}, "a = 2026-01-31 and b = 2026-01-31T10:00:00Z"),
        ({"a": datetime(2026, 1, 31, 1, 2, 3, 40)}, "a = 2026-01-31T01:02:03.00004Z"),
        ({"a": np.float32(0.5), "b": np.int8(3)}, "a = 0.5 and b = 3"),
        ({"c": np.str_("x"), "d": np.bool_(True)}, 'c = "x" and d = true'),
        ({"a": {"$in": np.arange(3)}}, "a in (0, 1, 2)"),
        ({"a": np.datetime64("2026-01-31")}, "a = 2026-01-31"),
        ({"a": np.datetime64("2026-01-31T00:00:00.000000001")}, "a = 2026-01-31T00:00:00.000000001Z"),
        ({"not": 1, "a`b": 2, "ü-1": 3}, "`not` = 1 and `a``b` = 2 and ü-1 = 3"),
    ],
)
def test_dicts(given, text):
    if "a`b" in given:
        given = {("`a``b`" if key == "a`b" else key): value for key, value in given.items()}
    assert str(as_filter(given)) == text
    assert as_filter(given) == as_filter(text)


# ---- the tree --------------------------------------------------------------------------------------------------------


def test_filters_are_values():
    mine = as_filter("a<1   AND b in('x')")
    assert mine == as_filter('(a < 1.0) and (b in ("x"))') != as_filter("a < 1 and b in ('y')")
    assert len({mine, as_filter("a < 1 and b in ('x')")}) == 1
    assert pickle.loads(pickle.dumps(mine)) == mine
    assert as_filter(mine) is mine
    assert isinstance(mine, nk.Filter)
    assert nk.as_filter is as_filter
    assert nk.Filter is Filter
    with pytest.raises(AttributeError):
        mine.parts = ()


def test_one_and_true_and_text_are_three_values():
    assert len({as_filter(f"a = {each}") for each in ["1", "true", "'1'", "'true'"]}) == 4
    assert as_filter("a in (1, true)") == as_filter({"a": {"$in": [1, True, 1.0]}})


def test_fields_are_those_of_the_metadata():
    found = as_filter("b = 1 and ($id = 2 or a.c is null) and not b has 3 and `x y` < 1").fields
    assert found == ("b", "a.c", "`x y`")
    assert [field_sql(each) for each in found][2] == """json_extract(metadata, '$."x y"')"""


def test_conditions_hold_expression_and_parameters():
    assert as_filter("a = 1").sql() == Condition(
        """(json_extract(metadata, '$."a"') = ? AND json_type(metadata, '$."a"') IN ('integer', 'real'))""", (1,)
    )
    assert as_filter("$id = 1 and a is null").sql().text == (
        """((id = ? AND typeof(id) = 'integer') AND json_extract(metadata, '$."a"') IS NULL)"""
    )


# ---- injection -------------------------------------------------------------------------------------------------------

ATTACKS = [
    "'; DROP TABLE rows; --", "' OR '1'='1", "') OR 1=1 --", '" OR ""="', "x\"') OR 1=1 --", "a') IS NULL OR (1=1", "?", "?1",
    ":x", "$.a", "$", "%' OR 1 --", "\\' OR 1=1 --", "*/ OR 1 /*", "x'4142'", "a\u02bc OR 1=1", "char(39)", "'||(SELECT 1)||'",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_injection_does_nothing(attack):
    connection = table_of(SHOP)
    written = "`{}`".format(attack.replace("`", "``"))
    texts = [f"{attack} = 1", f"a = {attack}", f"a = '{attack}", f"{written} = 1"]
    values = [
        {"a": attack},
        {"$id": attack},
        {"a": {"$in": [attack]}},
        {"a": {"$has": attack}},
        {"$id": {"$like": attack}},
    ]
    for where in [*texts, *values, {attack: 1}, {"$not": {attack: None}}, {"$id": {"$between": [attack, attack]}}]:
        with contextlib.suppress(FilterError):
            assert selected(connection, where) == []
    assert [selected(connection, {"a": attack}), selected(connection, {"$id": {"$ne": attack}})] == [
        [],
        [0, 1, 2, 3, 4, 5],
    ]
    assert connection.execute("SELECT count(*) FROM rows").fetchone() == (len(SHOP),)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.text(min_size=1, max_size=12), st.text(max_size=12))
def test_any_name_and_value_find_their_row_or_are_refused(key, value):
    name = "`{}`".format(key.replace("`", "``"))
    try:
        mine = as_filter({name: value})
    except FilterError:
        assert any(letter in '"\\' or not letter.isprintable() for letter in key) or "\0" in value
        return
    connection = table_of([{key: value}, {key: value + "x"}, {key + "x": value}, None], ["a", "b", "c", "d"])
    assert selected(connection, mine) == [0]
    assert selected(connection, {"$id": key}) == [each for each, ident in enumerate("abcd") if ident == key]
    connection.execute(f"CREATE INDEX mine ON rows ({field_sql(name)})")
    assert selected(connection, mine) == [0]


def test_texts_of_users_are_in_no_sql():
    spelt = as_filter(
        {"a": "needle", "b": {"$in": ["needle"]}, "c": {"$has": "needle"}, "d": {"$like": "needle%"}}
    ).sql()
    assert "needle" not in spelt.text
    assert spelt.text.count("?") == len(spelt.parameters)


def test_dates_are_utc_where_nothing_else_is_said():
    assert as_filter({"a": datetime(2026, 1, 31)}) == as_filter({"a": datetime(2026, 1, 31, tzinfo=UTC)})
