"""Indexes on fields: used by filters, kept with every change, checked when they are opened, and made again by repair."""

import shutil
import sqlite3
from contextlib import suppress

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors
from nearkin.filters import as_filter
from nearkin.store import Folder
from nearkin.store.field_indexes import index_name

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop"
    with nk.create(path, dim=3) as mine:
        mine.add(ROWS, metadata=[{"price": n % 20, "owner's": {"name": f"n{n}"}, "unit price": n} for n in range(60)])
        for name in ("price", "`owner's`.name", "`unit price`"):
            mine.index_field(name)
    return path


def test_the_id_is_no_field_to_index(shop):
    with nk.open(shop) as mine:
        with pytest.raises(errors.FilterError, match="looked up without an index of its own"):
            mine.index_field("$id")
        assert "$id" not in mine.fields()


def plan_of(path, where):
    connection = sqlite3.connect(path / "collection.sqlite")
    try:
        condition = as_filter(where).sql()
        query = f"EXPLAIN QUERY PLAN SELECT position FROM rows WHERE {condition.text}"
        return " ".join(row[3] for row in connection.execute(query, condition.parameters))
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("where", "field", "count"),
    [
        ("price < 3", "price", 9),
        ("`owner's`.name = 'n7'", "`owner's`.name", 1),
        ("`unit price` >= 50", "`unit price`", 10),
    ],
)
def test_filters_use_them_through_every_change(shop, where, field, count):
    assert index_name(field) in plan_of(shop, where)
    with nk.open(shop) as mine:
        assert mine.count(where) == count
        mine.upsert(ROWS[:1], [59], metadata=[{"price": 0, "owner's": {"name": "n7"}, "unit price": 99}])
        mine.delete([0])
        expected = sum(
            {"price": row.metadata["price"] < 3, "`unit price`": row.metadata["unit price"] >= 50}.get(
                field, row.metadata["owner's"]["name"] == "n7"
            )
            for row in mine.select()
        )
        assert mine.count(where) == expected
        assert mine.verify() == []
    with nk.open(shop, readonly=True) as mine:
        assert mine.count(where) == expected
        assert mine.fields()[field].indexed


def test_they_can_be_dropped_and_are_saved_with_the_rest(shop, tmp_path):
    with nk.open(shop) as mine:
        mine.drop_field_index("price")
        assert mine.count("price < 3") == 9
        mine.index_field("`unit price`")  # there already
        mine.save(tmp_path / "copy")
        with pytest.raises(errors.UnknownNameError, match="no index on the field 'price', there are indexes on"):
            mine.drop_field_index("price")
        with pytest.raises(errors.FilterError):
            mine.index_field('pri"ce')
    assert "USING INDEX" not in plan_of(shop, "price < 3")
    with Folder.open(tmp_path / "copy", readonly=True) as folder:
        assert folder.indexed_fields == ("`owner's`.name", "`unit price`")


def test_in_memory_and_read_only(shop):
    with pytest.raises(errors.NotSupportedError, match="needs a collection on disk"):
        nk.build(ROWS).index_field("price")
    with nk.open(shop, readonly=True) as mine, pytest.raises(errors.ReadOnlyError):
        mine.index_field("more")


@pytest.mark.parametrize("name", ["price'); DROP TABLE rows; --", "$id", "price) ; --", "a`b"])
def test_names_do_nothing_but_name(shop, name):
    with nk.open(shop) as mine:
        with suppress(errors.FilterError):
            mine.index_field(name)
        assert len(mine) == 60
        assert mine.count("price < 3") == 9
        assert mine.verify() == []
    with nk.open(shop) as mine:
        assert len(mine) == 60


def change(path, *statements):
    connection = sqlite3.connect(path / "collection.sqlite")
    for each in statements:
        connection.execute(each)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"DROP INDEX {index_name('price')}", "definition of field_"),
        ("UPDATE fields SET name = 'cost' WHERE name = 'price'", "name of an indexed field"),
        ("CREATE INDEX mine ON rows (id, position)", "index 'mine', which nearkin does not make"),
        ("CREATE TRIGGER mine AFTER INSERT ON rows BEGIN DELETE FROM rows; END", "trigger 'mine'"),
    ],
)
def test_a_schema_that_was_changed_is_refused_and_repaired(shop, statement, message):
    change(shop, statement)
    for readonly in (True, False):
        with pytest.raises(errors.CorruptFileError, match=message):
            nk.open(shop, readonly=readonly)
    done = nk.repair(shop)
    assert done.gone == 0
    with nk.open(shop) as mine:
        assert len(mine) == 60
        assert mine.count("price < 3") == 9
        assert mine.verify() == []


def test_metadata_and_indexes_are_verified_before_the_first_filter_reads_them(shop, tmp_path):
    change(shop, "UPDATE rows SET metadata = replace(metadata, '\"price\": 1,', '\"price\": 2,')")
    with nk.open(shop, readonly=True) as mine:
        with pytest.raises(errors.CorruptFileError, match="does not have the checksum"):
            mine.count("price = 1")
        assert mine.search(ROWS[:1], 1).ids.tolist() == [[0]]


def test_a_flipped_entry_of_an_index_is_noticed(shop):
    file = shop / "collection.sqlite"
    content = bytearray(file.read_bytes())
    connection = sqlite3.connect(file)
    query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    (page,) = connection.execute(query, (index_name("`owner's`.name"),)).fetchone()
    connection.close()
    at = content.index(b"n7", (page - 1) * 4096)
    assert at < page * 4096
    content[at] ^= 1
    file.write_bytes(content)
    with nk.open(shop, readonly=True) as mine, pytest.raises(errors.CorruptFileError):
        mine.count("`owner's`.name = 'n7'")
    assert nk.repair(shop).gone == 0
    with nk.open(shop) as mine:
        assert mine.count("`owner's`.name = 'n7'") == 1


def test_the_id_needs_no_index_of_its_own(shop):
    with nk.open(shop) as mine:
        with pytest.raises(errors.FilterError, match="the id of a row"):
            mine.index_field("$id")
        assert "$id" not in mine.fields()
        assert mine.count("$id < 7") == 7


def test_a_reader_whose_rows_were_deleted_says_so(shop):
    with nk.open(shop, readonly=True) as reader, nk.open(shop) as writer:
        writer.add(ROWS[:1], metadata=[{"price": 1}])
        assert reader.count("price = 1") == 3  # as of its opening
        writer.delete([1])
        with pytest.raises(errors.StateError, match="deleted 1 row after this was opened"):
            reader.count("price = 1")


def test_a_copy_is_a_collection(shop, tmp_path):
    shutil.copytree(shop, tmp_path / "other")
    with nk.open(tmp_path / "other") as mine:
        assert mine.count("price < 3") == 9
