"""Ids: whole numbers or strings, checked on the way in, found again through any order of changes."""

from __future__ import annotations

import enum
import sys
import threading

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearkin.errors import NearkinError, ParameterError, UnknownIdError
from nearkin.ids import IdTable, read_ids

NO_DEADLINE = settings(deadline=None)
INTS = st.integers(-(2**63), 2**63 - 1).filter(lambda each: each != -1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)


class Colour(enum.StrEnum):
    RED = "red"


class Old(str, enum.Enum):  # noqa: UP042 - its str() is not its text
    BLUE = "blue"


class Level(enum.IntEnum):
    HIGH = 7


@pytest.mark.parametrize(
    ("given_ids", "expected"),
    [
        ([], []),
        ([1, 2], [1, 2]),
        (range(3), [0, 1, 2]),
        ((each for each in "ab"), ["a", "b"]),
        (np.array([3, 1], np.uint8), [3, 1]),
        (np.array(["x", "yy"]), ["x", "yy"]),
        ([np.int16(4), 5], [4, 5]),
        ([np.str_("n"), "m"], ["n", "m"]),
        ([Colour.RED, Old.BLUE, "x"], ["red", "blue", "x"]),
        ([Level.HIGH], [7]),
        (pandas.Index(["p", "q"]), ["p", "q"]),
        (pandas.Series([8, 9]), [8, 9]),
        ([-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        ({"k": 1}, ["k"]),
        (["", "\x01", " "], ["", "\x01", " "]),
    ],
)
def test_ids_become_plain_ints_or_plain_strings(given_ids, expected):
    found = read_ids(given_ids)
    assert found == expected
    assert {type(each) for each in found} <= {int, str}


@pytest.mark.parametrize(
    ("given_ids", "said"),
    [
        ("abc", "single string 'abc', a list of ids expected"),
        (b"abc", "single string b'abc'"),
        (7, r"ids is 7, a list of ids expected; pass \[7\]"),
        (None, "ids is None, a list of ids expected"),
        (np.array(7), r"a list of ids expected"),
        ([1.0], "id 1.0 of row 0 is of type float, int or str expected"),
        ([2, True], "id True of row 1 is of type bool"),
        ([np.True_], "of type bool"),
        ([None], "id None of row 0 is of type NoneType"),
        ([[1], [2]], r"id \[1\] of row 0 is of type list"),
        (np.zeros((2, 2), int), "of type list"),
        ([b"x"], "of type bytes"),
        (np.array([1.5]), "of type float"),
        ([0, -1], "id -1 of row 1 cannot be used"),
        ([2**63], "id 9223372036854775808 of row 0 cannot be used"),
        ([-(2**63) - 1], "cannot be used, 64-bit whole numbers"),
        ([1, "1"], "mix whole numbers and strings"),
        (["a", "\ud800"], r"id '\\ud800' of row 1 is not valid Unicode"),
    ],
)
def test_anything_else_is_refused_with_its_row(given_ids, said):
    with pytest.raises(ParameterError, match=said):
        read_ids(given_ids)


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(), max_size=4))
@NO_DEADLINE
def test_read_or_refused(given_ids):
    try:
        found = read_ids(given_ids)
    except NearkinError:
        return
    assert found == given_ids
    assert len({type(each) for each in found}) <= 1


def test_positions_are_the_ids_until_others_come():
    table = IdTable(None, 0)
    table.extend([0, 1, 2])
    assert table.table is None
    assert table.kind == "int"
    table.extend([7])
    assert table.table.tolist() == [0, 1, 2, 7]
    assert table.positions([7, 0]).tolist() == [3, 0]
    assert table.at(np.array([3, 1])).tolist() == [7, 1]


@pytest.mark.parametrize(
    ("ids", "asked", "said"),
    [
        ([1, 2], [3], "there is no row with id 3$"),
        ([1, 2], ["1"], r"there is no row with id '1' \(there is 1, a int\)"),
        (["1", "2"], [1], r"there is no row with id 1 \(there is '1', a str\)"),
        (["1"], ["²"], "no row with id '²'$"),
        ([5], ["--5"], "no row with id '--5'$"),
        ([5], ["5" * 5000], "no row with id"),
        ([1], [3, 4], r"no rows with 2 of the ids \(3, 4\)"),
    ],
)
def test_an_unknown_id_is_named_with_the_likely_mistake(ids, asked, said):
    with pytest.raises(UnknownIdError, match=said):
        IdTable(ids, len(ids)).positions(asked)


@pytest.mark.parametrize(
    ("new", "count", "said"),
    [
        ([3], 2, "1 ids were given for 2 rows"),
        ([3, 4, 3], 3, "ids must differ, and 1 of 3 repeat: 3 is at rows 0 and 2"),
        (["x"], 1, "the new ids are of type str, this collection's are of type int"),
        ([1], 1, "id 1 is there already; use upsert"),
        ([0, 1, 9], 3, r"2 of the ids \(0, 1\) are there already"),
    ],
)
def test_ids_that_cannot_be_new(new, count, said):
    table = IdTable(None, 2)
    with pytest.raises(ParameterError, match=said):
        table.next_ids(new, count)
    assert table.n == 2
    assert table.positions([0, 1]).tolist() == [0, 1]


def test_chosen_ids_continue_the_highest_and_end_with_64_bits():
    table = IdTable(None, 0)
    table.extend([10, 5])
    assert table.next_ids(None, 2) == [11, 12]
    table.extend([2**63 - 2])
    assert table.next_ids(None, 1) == [2**63 - 1]
    with pytest.raises(ParameterError, match="no 2 whole numbers of 64 bits after id 9223372036854775806"):
        table.next_ids(None, 2)
    assert IdTable([-9], 1).next_ids(None, 1) == [0]
    with pytest.raises(ParameterError, match="ids are strings, and new rows came without ids"):
        IdTable(["a"], 1).next_ids(None, 1)


@given(st.sampled_from([INTS, TEXTS]).flatmap(lambda ids: st.lists(st.tuples(st.booleans(), ids), max_size=25)))
@NO_DEADLINE
def test_against_a_dict(steps):
    """Add where the id is free, else delete it; look up everything after each step, and again in a table read back."""
    table, model = IdTable(None, 0), {}
    for eager, key in steps:
        if key in model:
            table.forget(np.array([model.pop(key)]))
        else:
            assert table.next_ids([key], 1) == [key]
            model[key] = table.n
            table.extend([key])
        if eager:  # the lookup is made on first use, and must be right whenever that is
            assert table.positions(list(model)).tolist() == list(model.values())
    alive = np.zeros(table.n, bool)
    alive[list(model.values())] = True
    again = IdTable(table.table, table.n, alive)
    for each in (table, again):
        assert each.positions(list(model)).tolist() == list(model.values())
        assert sorted(each.existing([key for _, key in steps]).tolist()) == sorted(
            model[key] for _, key in steps if key in model
        )
        assert each.at(np.array(list(model.values()), dtype=int)).tolist() == list(model)
        gone = {key for _, key in steps} - set(model)
        for key in gone:
            with pytest.raises(UnknownIdError):
                each.positions([key])


@pytest.fixture
def restless():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_a_table_that_was_read_stays_as_it_is_and_is_seldom_copied():
    table = IdTable([f"first {n}" for n in range(1000)], 1000)
    read, copies = [table.table], 0
    for n in range(300):
        before = table.table
        table.extend([f"then {n}"])
        copies += not np.shares_memory(before, table.table)
        read.append(table.table)
    expected = [f"first {n}" for n in range(1000)] + [f"then {n}" for n in range(300)]
    assert [each.tolist() for each in read] == [expected[: 1000 + n] for n in range(301)]
    assert copies == 3  # at 1,000, 1,125 and 1,265 rows


def test_an_id_that_is_forgotten_at_that_moment_is_there_or_not():
    class Forgetting(dict):
        def __contains__(self, key):
            return self.pop(key, None) is not None

    table = IdTable(["a", "b"], 2)
    table._where = Forgetting(a=0, b=1)
    assert table.existing(["a", "c"]).tolist() in ([], [0])


def test_readers_beside_a_writer_lose_no_id():
    table = IdTable(None, 0)
    table.extend([10])
    stop = threading.Event()
    failures = []

    def read():
        while not stop.is_set():
            known = table.n
            table._where = None  # as if nobody had looked yet
            try:
                table.positions([10 * each for each in range(1, known + 1)])
            except UnknownIdError as error:
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for each in range(2, 300):
        table.extend([10 * each])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert table.positions([10 * each for each in range(1, 300)]).tolist() == list(range(299))
