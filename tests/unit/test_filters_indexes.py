"""Conditions use an index on a field's expression where there is one, and select the same rows."""

from __future__ import annotations

import json
import sqlite3

import pytest

from nearkin.filters import as_filter, field_sql


@pytest.fixture(scope="module")
def rows():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (position INTEGER PRIMARY KEY, id NOT NULL, metadata TEXT)")
    connection.execute("CREATE UNIQUE INDEX rows_by_id ON rows (id)")
    made = [
        {"n": n % 100, "s": f"name{n % 50}", "flag": n % 20 == 0, "at": f"2026-01-{n % 28 + 1:02}T12:00:00+05:00"}
        for n in range(1_000)
    ]
    made += [{"n": "5"}, {"n": [5]}, {"n": True}, {"n": None}, {}, {"size": {"n": 5}}]
    connection.executemany(
        "INSERT INTO rows VALUES (?, ?, ?)", ((n, n, json.dumps(each)) for n, each in enumerate(made))
    )
    connection.commit()
    return connection


@pytest.fixture(scope="module")
def indexed(rows):
    connection = sqlite3.connect(":memory:")
    rows.backup(connection)
    for name in ("n", "s", "flag", "at", "size.n"):
        connection.execute(f'CREATE INDEX "by {name}" ON rows ({field_sql(name)})')
    return connection


def asked(connection, text):
    """Positions, and the first line of how SQLite finds them."""
    condition = as_filter(text).sql()
    query = f"SELECT position FROM rows WHERE {condition.text}"
    plan = [line[3] for line in connection.execute(f"EXPLAIN QUERY PLAN {query}", condition.parameters)]
    return sorted(connection.execute(query, condition.parameters)), " / ".join(plan)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("n = 5", 'USING INDEX by n (<expr>=?)'),
        ("n = 5.5", 'USING INDEX by n (<expr>=?)'),
        ("n < 5", 'USING INDEX by n (<expr><?)'),
        ("n > 98", 'USING INDEX by n (<expr>>?)'),
        ("n between 5 and 7", 'USING INDEX by n (<expr>>? AND <expr><?)'),
        ("n in (5, 7)", 'USING INDEX by n (<expr>=?)'),
        ("n in (5, '5', 2026-01-31)", 'USING INDEX by n'),
        ("n in (5, true)", 'USING INDEX by n (<expr>=?)'),
        ("n = 5 and s = 'name5'", 'USING INDEX by'),
        ("n = 5 and not s = 'name6'", 'USING INDEX by n (<expr>=?)'),
        ("n = 5 or s = 'name7'", 'MULTI-INDEX OR'),
        ("s = 'name5'", 'USING INDEX by s (<expr>=?)'),
        ("s >= 'name5' and s < 'name6'", 'USING INDEX by s (<expr>>? AND <expr><?)'),
        ("s like 'name4%'", 'USING INDEX by s (<expr>>? AND <expr><?)'),
        ("flag = true", 'USING INDEX by flag (<expr>=?)'),
        ("at = 2026-01-05T07:00:00Z", 'USING INDEX by at (<expr>>? AND <expr><?)'),
        ("at >= 2026-01-05 and at < 2026-01-06", 'USING INDEX by at (<expr>>? AND <expr><?)'),
        ("at in (2026-01-05T07:00:00Z, 2026-01-06T07:00:00Z)", 'USING INDEX by at (<expr>>? AND <expr><?)'),
        ("n is null", 'USING INDEX by n (<expr>=?)'),
        ("size.n = 5", 'USING INDEX by size.n (<expr>=?)'),
        ("$id = 5", 'INDEX rows_by_id (id=?)'),
    ],
)  # fmt: skip
def test_an_index_is_used_and_not_needed(rows, indexed, text, way):
    found, plan = asked(indexed, text)
    assert way in plan
    slowly, scan = asked(rows, text)
    assert found == slowly
    assert found or "5.5" in text
    assert "by n" not in scan


def test_both_ends_of_a_span_of_time_are_the_index_s(indexed):
    """Two comparisons give one span: neither brings an end of its own that says nothing."""
    condition = as_filter("at >= 2026-01-05 and at < 2026-01-06").sql()
    assert condition.parameters[0::2] == ("2026-01-04", "2026-01-08")
