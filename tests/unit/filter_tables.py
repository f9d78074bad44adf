"""Tables of metadata that filters select from, in SQLite by itself."""

from __future__ import annotations

import json
import sqlite3

from nearkin.filters import as_filter

SHOP = [
    {"price": 10, "brand": "acme", "tags": ["new", "red"], "size": {"width": 3}, "sold": "2026-01-31T12:00:00Z"},
    {"price": 49.5, "brand": "zeta", "tags": ["new"], "flag": True},
    {"price": 50, "brand": "zeta", "tags": ["old", 1], "flag": 1},
    {"price": "10", "brand": "Acme", "tags": "new", "flag": False},
    {"brand": None, "tags": [], "flag": None},
    None,
]


def table_of(metadata, ids=None):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE rows (position INTEGER PRIMARY KEY, id, metadata TEXT)")
    texts = [None if each is None else json.dumps(each, ensure_ascii=False) for each in metadata]
    ids = range(len(texts)) if ids is None else ids
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", zip(range(len(texts)), ids, texts, strict=True))
    return connection


def selected(connection, where):
    condition = as_filter(where).sql()
    found = connection.execute(f"SELECT position FROM rows WHERE {condition.text}", condition.parameters)
    return [position for (position,) in found]
