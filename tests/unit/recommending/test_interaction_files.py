"""Interactions out of files and tables: columns, delimiters, baskets, times, and what is wrong with rows."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nearkin as nk
from nearkin.errors import (
    CorruptFileError,
    InputError,
    NearkinError,
    NotSupportedError,
    ParameterError,
    StorageError,
    UnknownNameError,
    VectorError,
)
from nearkin.recommending.item_names import read_item_names
from nearkin.recommending.popularity import Popular

NAMED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
EVENTS = [("ann", "tea", 2.0, 100), ("bob", "tea", 5.0, 200), ("ann", "milk", -1.0, 300), ("ann", "tea", 0.5, 400)]


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: str | bytes):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def as_events(read: nk.Interactions):
    times = [None] * len(read) if read.times is None else read.times.tolist()
    users, items = read.users[read.user_codes].tolist(), read.items[read.item_codes].tolist()
    return list(zip(users, items, read.weights.tolist(), times, strict=True))


def as_text(rows, delimiter=",", header=("userId", "movieId", "rating", "timestamp")):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([header, *rows] if header else rows)
    return out.getvalue()


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_every_format_gives_the_same_events(write, tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.feather
    import pyarrow.parquet

    names = ("userId", "movieId", "rating", "timestamp")
    table = pa.table(dict(zip(names, map(list, zip(*EVENTS, strict=True)), strict=True)))
    pyarrow.parquet.write_table(table, tmp_path / "e.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "e.arrow", compression="uncompressed")
    paths = [tmp_path / "e.parquet", tmp_path / "e.arrow"]
    paths += [write("e.csv", as_text(EVENTS)), write("e.tsv", as_text(EVENTS, "\t"))]
    paths.append(write("e.jsonl", "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in EVENTS)))
    for path in paths:
        assert as_events(nk.read_interactions(path)) == EVENTS, path
    assert as_events(nk.Interactions.from_table(table)) == EVENTS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.data", "e.txt"])
def test_delimiters_are_seen_whatever_the_name(write, delimiter, name):
    assert as_events(nk.read_interactions(write(name, as_text(EVENTS, delimiter)))) == EVENTS


def test_files_of_movielens(write):
    data = write("u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
    read = nk.read_interactions(data)
    assert as_events(read) == [(196, 242, 3.0, 881250949.0), (186, 302, 3.0, 891717742.0)]
    assert read.notes == (
        "column 'column1' is the user, 'column2' is the item, 'column3' is the weight, 'column4' is the time",
        "times are taken for seconds, from 1997-12-04 to 1998-04-04",
    )
    double = write("ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n")
    assert as_events(nk.read_interactions(double)) == [(1, 1193, 5.0, 978300760.0), (1, 661, 3.0, 978302109.0)]
    named = write("ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
    assert as_events(nk.read_interactions(named)) == [(1, 31, 2.5, 1260759144.0)]


def test_baskets(write):
    path = write("groceries.csv", "citrus fruit,margarine\nwhole milk\n\nmargarine,, margarine ,soup\n")
    read = nk.read_interactions(path)
    assert as_events(read) == [
        (1, "citrus fruit", 1.0, None),
        (1, "margarine", 1.0, None),
        (2, "whole milk", 1.0, None),
        (4, "margarine", 1.0, None),
        (4, "margarine", 1.0, None),
        (4, "soup", 1.0, None),
    ]
    assert read.notes == ("3 baskets, one a line",)
    even = write("even.csv", "tea,milk\nbread,tea\n")
    assert nk.read_interactions(even, baskets=True).users.tolist() == [1, 2]
    with pytest.raises(ParameterError, match="the user; it has 'tea', 'milk'"):
        nk.read_interactions(even)
    with pytest.raises(ParameterError, match="baskets have no columns, and user='x' names one"):
        nk.read_interactions(even, baskets=True, user="x")
    ragged = write("ragged.csv", "user,item,rating\na,b,1,5\n")
    with pytest.raises(CorruptFileError, match="line 2 has 4 cells, 3 expected"):
        nk.read_interactions(ragged)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("u.data", "1\t2\t5\t881\n1\t3\t5\t882\n2\t2\t4\t883\n2\t7\t4\n", "line 4 has 3 cells, 4 expected"),
        ("u.csv", "user,item,rating\n1,2,5\n1,3,5,9\n2,2,4\n", "line 3 has 4 cells, 3 expected"),
        ("u.dat", "1::2::5\n1::3::5\n1::3\n2::2::4\n", "line 3 has 3 cells, 5 expected"),
    ],
)
def test_broken_lines_of_a_table_are_no_baskets(write, name, text, line):
    path = write(name, text)
    with pytest.raises(CorruptFileError, match=f"{line}; correct it, or leave such lines out.*--on-bad skip"):
        nk.read_interactions(path)
    read = nk.read_interactions(path, on_bad="skip")
    lines = text.splitlines(keepends=True)
    del lines[int(line.split()[1]) - 1]
    assert as_events(read) == as_events(nk.read_interactions(write(f"whole-{name}", "".join(lines))))
    assert read.notes[-1] == f"1 line was left out ({line})"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.text("abc ,;\"'|é7", min_size=1, max_size=5).filter(lambda text: text.strip()),
            st.integers(0, 5).map(str),
            st.floats(-1e6, 1e6).map(lambda value: round(value, 3)),
            st.integers(0, 2**31),
        ),
        min_size=1,
        max_size=20,
    ),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    mark=st.booleans(),
)
def test_what_csv_writes_is_read(write, rows, delimiter, mark):
    path = write("e.csv", ("\ufeff" if mark else "") + as_text(rows, delimiter))
    read = as_events(nk.read_interactions(path, format=f"csv:delimiter={NAMED[delimiter]}"))
    users = [row[0].strip() for row in rows]
    numbers = all(text == "0" or (text.isdecimal() and text[0] != "0") for text in users)
    wanted = [
        (int(user) if numbers else user, int(item), weight, float(time))
        for user, (_, item, weight, time) in zip(users, rows, strict=True)
    ]
    assert read == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(content=st.binary(max_size=60) | st.text(',;\n\t|ab1"', max_size=60).map(str.encode))
@pytest.mark.parametrize("name", ["e.csv", "e.data", "e.jsonl"])
def test_any_bytes_are_events_or_one_sentence(write, name, content):
    try:
        read = nk.read_interactions(write(name, content))
    except NearkinError:
        return
    assert len(read)
    assert np.isfinite(read.weights).all()


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_ids_that_look_like_numbers(write):
    assert nk.read_interactions(write("a.csv", "user,item\n1,007\n2,8\n")).items.tolist() == ["007", "8"]
    assert nk.read_interactions(write("a.csv", "user,item\n1,7\n2,x8\n")).items.tolist() == ["7", "x8"]
    large = nk.read_interactions(write("a.csv", f"user,item\n1,{2**63}\n2,-1\n"))
    assert large.items.tolist() == [str(2**63), "-1"]
    assert nk.read_interactions(write("a.csv", "user,item\n 1 ,7\n1,7\n")).users.tolist() == [1]
    typed = nk.read_interactions(write("a.jsonl", '{"user": "1", "item": 7}\n{"user": "2", "item": 8.0}\n'))
    assert (typed.users.tolist(), typed.items.tolist()) == (["1", "2"], [7, 8])


def test_times(write):
    def times(*cells):
        text = "user,item,date\n" + "".join(f"a,b,{cell}\n" for cell in cells)
        return nk.read_interactions(write("t.csv", text))

    assert times("2026-01-31", "2026-02-01T12:00:00.5Z").times.tolist() == [1769817600.0, 1769947200.5]
    for scale, unit in ((1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")):
        read = times(f"{1769817600 * scale:.0f}", f"{1769817601 * scale:.0f}")
        assert read.times.tolist() == [1769817600.0, 1769817601.0]
        assert read.notes[-1] == f"times are taken for {unit}, from 2026-01-31 to 2026-01-31"
    dates = times("20240229", "20260131")
    assert dates.times.tolist() == [1709164800.0, 1769817600.0]
    assert dates.notes[-1] == "times are taken for dates such as 20260131, from 2024-02-29 to 2026-01-31"
    for numbers in (("20260131", "20260230"), ("20260131", "20261301"), ("20260131", "20260131.5"), ("20260100", "7")):
        read = times(*numbers)
        assert read.times.tolist() == [float(each) for each in numbers]
        assert read.notes[-1].startswith("times are taken for seconds, from 1970-0")
    assert times("2026-01-31", "2026-02-01T12:00").notes[-1] == "times are from 2026-01-31 to 2026-02-01"
    unread = times("31/01/2026")
    assert unread.times is None
    assert "column 'date' is left out" in unread.notes[0]
    with pytest.raises(InputError, match=r"row 1 of .*: the time '2026-02-30' is neither"):
        times("2026-01-30", "2026-02-30")


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("good", "'good' is not a number"),
        ("", "is missing"),
        ("NaN", "is missing"),
        ("inf", "'inf' is no number between -1e30 and 1e30"),
        ("1e300", "'1e300' is no number between"),
        ("1_000", "'1_000' is not a number"),
        ('"4,5"', "'4,5' is not a number"),
    ],
)
def test_weights_that_cannot_be(write, cell, problem):
    path = write("w.csv", f"user,item,rating\na,b,4\na,c,{cell}\nb,b,-2.5\n")
    with pytest.raises(InputError, match=f"^row 1 of .*w.csv: the weight {problem}"):
        nk.read_interactions(path)
    kept = nk.read_interactions(path, on_bad="skip")
    assert kept.weights.tolist() == [4.0, -2.5]
    assert kept.items.tolist() == ["b"]
    assert kept.notes[-1].startswith("1 of 3 rows were left out (row 1 of ")


def test_ids_that_cannot_be(write):
    with pytest.raises(InputError, match=r"row 0 of .*: the user is missing in column 'user'"):
        nk.read_interactions(write("a.jsonl", '{"item": 1, "user": null}\n'))
    with pytest.raises(InputError, match="the item True is a bool"):
        nk.read_interactions(write("a.jsonl", '{"item": true, "user": 1}\n'))
    with pytest.raises(InputError, match="both whole numbers such as 1 and texts such as 'x'"):
        nk.read_interactions(write("a.jsonl", '{"item": 1, "user": 1}\n{"item": 1, "user": "x"}\n'))
    with pytest.raises(InputError, match=r"none of its 1 rows can be used .row 0 of"):
        nk.read_interactions(write("a.csv", "user,item,rating\na,b,\n"), on_bad="skip", weight="rating")


def test_columns_that_are_named_and_those_that_there_are_not(write):
    path = write("c.csv", "who,bought,how much\nann,tea,2\n")
    with pytest.raises(ParameterError, match=r"none of the columns of .* tells the item"):
        nk.read_interactions(path)
    read = nk.read_interactions(path, item="bought", weight="how much")
    assert as_events(read) == [("ann", "tea", 2.0, None)]
    assert read.notes == ("column 'who' is the user",)
    with pytest.raises(UnknownNameError, match=r"has no column 'boght' .did you mean 'bought'"):
        nk.read_interactions(path, item="boght")
    with pytest.raises(ParameterError, match="named for two of user, item"):
        nk.read_interactions(path, user="who", item="who")


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("e.csv", "", CorruptFileError, "is empty"),
        ("e.csv", "user,item\n", CorruptFileError, "a header and no rows"),
        ("e.jsonl", "", NearkinError, "e.jsonl"),
        ("e.npy", b"\x93NUMPY\x01", NotSupportedError, "no columns with names"),
        ("e.gz", b"\x1f\x8b\0\0", NearkinError, "no format reads files ending in '.gz'"),
        ("e.csv", "user,item\nJos\u00e9,tea\n".encode("latin-1"), CorruptFileError, "not UTF-8"),
    ],
)
def test_files_that_cannot_be_read(write, name, content, error, words):
    with pytest.raises(error, match=words):
        nk.read_interactions(write(name, content))


def test_encodings(write, tmp_path):
    path = write("e.csv", "user,item\nJosé,tea\n".encode("latin-1"))
    assert nk.read_interactions(path, encoding="latin-1").users.tolist() == ["José"]
    with pytest.raises(ParameterError, match="encoding is 'klingon'"):
        nk.read_interactions(path, encoding="klingon")
    with pytest.raises(CorruptFileError, match="no text in ascii"):
        nk.read_interactions(path, encoding="ascii")
    with pytest.raises(StorageError, match="there is no file"):
        nk.read_interactions(tmp_path / "none.csv")
    with pytest.raises(ParameterError, match="on_bad is 'drop'"):
        nk.read_interactions(write("o.csv", "user,item\na,b\n"), on_bad="drop")


# ---- tables in memory, and what is made of events ----------------------------------------------------------------------


def test_tables_in_memory():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"user": [1, 2, 1], "item": [7.0, 8.0, 7.0], "when": pd.to_datetime(["2026-01-31"] * 3, utc=True)}
    )
    read = nk.Interactions.from_table(frame)
    assert as_events(read) == [(1, 7, 1.0, 1769817600.0), (2, 8, 1.0, 1769817600.0), (1, 7, 1.0, 1769817600.0)]
    gaps = pd.DataFrame({"user": ["a", None], "item": [1, 2]})
    with pytest.raises(InputError, match="row 1 of the table: the user is missing"):
        nk.Interactions.from_table(gaps)
    records = [
        {"user": "a", "item": "x", "day": date(2026, 1, 31)},
        {"user": "b", "item": "y", "day": datetime(2026, 1, 31, tzinfo=UTC)},
    ]
    assert nk.Interactions.from_table(records).times.tolist() == [1769817600.0] * 2
    for stamps in (
        np.array(["1970-01-02", "1970-01-03"], dtype="datetime64[ns]"),
        pd.to_datetime(["1970-01-02", "1970-01-03"]),
    ):
        typed = nk.Interactions.from_table({"user": [1, 2], "item": [7, 8], "when": stamps})
        assert typed.times.tolist() == [86_400.0, 172_800.0]
    gap = {"user": [1], "item": [7], "when": np.array(["NaT"], dtype="datetime64[ns]")}
    with pytest.raises(InputError, match="row 0 of the table: the time is missing"):
        nk.Interactions.from_table(gap, time="when")
    with pytest.raises(InputError, match="the table is a int"):
        nk.Interactions.from_table(3)
    with pytest.raises(InputError, match=r"have \[1, 2\] values"):
        nk.Interactions.from_table({"user": [1, 2], "item": [1]})
    with pytest.raises(InputError, match="it has no rows"):
        nk.Interactions.from_table({"user": [], "item": []})


def test_half_lives():
    events = nk.Interactions(["a", "a"], [1, 2], times=[0, 30 * 86_400])
    for text in ("30d", " 30 D", "720h", "43200min", "2592000s", 2592000):
        assert events.decayed(text).weights.tolist() == [0.5, 1.0], text
    assert events.decayed("1w").weights[0] == pytest.approx(0.5 ** (30 / 7))
    assert events.decayed("1y").weights[0] == pytest.approx(0.5 ** (30 / 365.25))
    for wrong in ("", "30 moons", "-3d", "0d", 0, True, None, float("nan"), "1e3"):
        with pytest.raises(ParameterError, match="half_life is"):
            events.decayed(wrong)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "4", None, True])
def test_bounds_that_are_no_numbers_are_refused(wrong):
    events = nk.Interactions(["a", "a"], [1, 2], times=[0, 1])
    with pytest.raises(ParameterError, match=r"weight is .*, a finite number expected"):
        events.at_least(wrong)
    if wrong is not None:
        with pytest.raises(ParameterError, match=r"now is .*, a finite number expected"):
            events.decayed("1d", now=wrong)


def test_a_bound_above_all_weights_is_told_and_weights_have_one():
    events = nk.Interactions(["a", "a"], [1, 2], weights=[5, 1])
    with pytest.raises(ParameterError, match="no event has a weight of at least 9, the largest is 5"):
        events.at_least(9)
    assert events.at_least(5).weights.tolist() == [5, 0]
    with pytest.raises(VectorError, match="weights: event 1 has -1e\\+31, numbers between"):
        nk.Interactions(["a", "a"], [1, 2], weights=[1, -1e31])


def test_what_was_seen_and_not_liked_is_hidden_and_not_counted():
    events = nk.Interactions([1, 1, 2, 2, 3], list("abbcc"), weights=[5, 1, 5, 5, 5]).at_least(4)
    assert events.weights.tolist() == [5, 0, 5, 5, 5]
    made = Popular().fit(events)
    assert made.popularity.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert made.recommend(1).ids.tolist()[0][:2] == ["c", None]
    assert (made.seen(1), made.seen(9)) == (2, 0)


def test_names_of_items(write):
    item = "1|Toy Story (1995)|01-Jan-1995||http\n2|Amélie (2001)|x||y\n".encode("latin-1")
    assert read_item_names(write("u.item", item)) == {"1": "Toy Story (1995)", "2": "Amélie (2001)"}
    named = write("movies.csv", 'movieId,title,genres\n1,"Heat, the (1995)",x\n')
    assert read_item_names(named) == {"1": "Heat, the (1995)"}
    assert read_item_names(write("n.jsonl", '{"id": 1.0, "name": "tea"}\n{"id": 2}\n')) == {"1": "tea"}
    with pytest.raises(ParameterError, match="tells the title of an item; it has 'movieId', 'genres'"):
        read_item_names(write("x.csv", "movieId,genres\n1,x\n"))
    with pytest.raises(UnknownNameError, match=r"no column 'titel' .did you mean 'title'"):
        read_item_names(named, title="titel")
    with pytest.raises(InputError, match="no names of items"):
        read_item_names(write("e.jsonl", '{"id": 1, "name": null}\n'))
