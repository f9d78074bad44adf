"""csv and tsv: what is a header, an id, a vector and metadata, and where an error is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.formats import Block
from nearkin_plugins.file_formats.cells import read_list, read_number
from nearkin_plugins.file_formats.delimited import CsvFormat, DelimitedFormat, TsvFormat


def read(path: Path, text: str, form: DelimitedFormat | None = None) -> Block:
    """All rows of a file with this text; read by ones it says the same."""
    path.write_bytes(text.encode())
    form = form or CsvFormat()
    (block,) = form.read(path)
    by_ones = list(form.read(path, rows=1))
    np.testing.assert_array_equal(np.concatenate([each.vectors for each in by_ones]), block.vectors)
    if block.ids is not None:
        assert [each.ids[0] for each in by_ones if each.ids is not None] == list(block.ids)
    return block


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


@pytest.mark.parametrize(
    ("text", "ids", "vectors", "metadata"),
    [
        ("1,2\n3,4\n", None, [[1, 2], [3, 4]], None),
        ("x,y\n1,2\n", None, [[1, 2]], None),
        ("\ufeffid,x\n7,2\n", [7], [[2]], None),
        ("x,id,y\r\n1,a,2\r\n", ["a"], [[1, 2]], None),
        ("id,x\n007,1\n008,2", ["007", "008"], [[1], [2]], None),
        ("id,0,1\nab,5,6\n", ["ab"], [[5, 6]], None),
        (",a,b\n0,.5,1e1\n1,-2,+3\n", [0, 1], [[0.5, 10], [-2, 3]], None),
        ("0,1\n0.5,0.25\n", None, [[0.5, 0.25]], None),
        ("0,1\n5,2\n", None, [[0, 1], [5, 2]], None),
        ("apple,1,2\npear,3,4\n", None, [[1, 2], [3, 4]], [{"column1": "apple"}, {"column1": "pear"}]),
        ("id,x,c\n1,2,red\n\n2,3,\n", [1, 2], [[2], [3]], [{"c": "red"}, {}]),
        ('id,vector\na,"[0.5, 1]"\nb,"[2,3]"\n', ["a", "b"], [[0.5, 1], [2, 3]], None),
        ("Embedding,n\n0.5 1,7\n2   3,8\n", None, [[0.5, 1], [2, 3]], [{"n": 7}, {"n": 8}]),
        ('[1 2]\n"[3,\n 4]"\n', None, [[1, 2], [3, 4]], None),
        ('text,what\n"a, b","(1,2)"\n', None, [[1, 2]], [{"text": "a, b"}]),
        ("id,vector_0,vector_1,year\n1,5,6,1999\n", [1], [[5, 6]], [{"year": 1999}]),
    ],
)
def test_layouts_that_are_understood(
    path: Path, text: str, ids: list[Any] | None, vectors: list[Any], metadata: list[dict[str, Any]] | None
) -> None:
    block = read(path, text)
    assert block.vectors.dtype == np.float32
    assert block.vectors.tolist() == vectors
    assert (None if block.ids is None else list(block.ids)) == ids
    assert block.metadata == metadata


@pytest.mark.parametrize(
    ("options", "text", "ids", "vectors"),
    [
        ({"id": "sku"}, "sku,x\nA1,2\n", ["A1"], [[2]]),
        ({"vectors": "y,x"}, "x,y,z\n1,2,3\n", None, [[2, 1]]),
        ({"vectors": "f*"}, "price,f1,f2\n9,1,2\n", None, [[1, 2]]),
        ({"vectors": "b"}, 'a,b\n"[1,2]","[3,4]"\n', None, [[3, 4]]),
        ({"header": False}, "0,1\n0.5,0.25\n", None, [[0, 1], [0.5, 0.25]]),
        ({"header": True}, "1,2\n3,4\n", None, [[3, 4]]),
        ({"header": False, "id": "column1"}, "k,1\nm,2\n", ["k", "m"], [[1], [2]]),
        ({"text_ids": True}, "id,x\n7,1\n", ["7"], [[1]]),
        ({"delimiter": "semicolon"}, "id;x\n7;1\n", [7], [[1]]),
        ({"delimiter": "|"}, "1|2\n", None, [[1, 2]]),
        ({"delimiter": "space"}, "king 1 2\n", None, [[1, 2]]),
    ],
)
def test_options(path: Path, options: dict[str, Any], text: str, ids: list[Any] | None, vectors: list[Any]) -> None:
    block = read(path, text, CsvFormat(**options))
    assert block.vectors.tolist() == vectors
    assert (None if block.ids is None else list(block.ids)) == ids


def test_tsv_is_split_at_tabs(tmp_path: Path) -> None:
    block = read(tmp_path / "x.tsv", "id\tx\ttext\n1\t2\ta, b\n", TsvFormat())
    assert (block.vectors.tolist(), block.metadata) == ([[2]], [{"text": "a, b"}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n3,n/a\n4,5\n", r"line 3, column 'y' \(2\): 'n/a' is not a number"),
        ("x,y\n1,2\n3,\n4,5\n", r"line 3, column 'y' \(2\): the cell is empty and holds no number"),
        ("x,y\n1,2\n3,1_0\n", r"line 3, column 'y' \(2\): '1_0' is not a number"),
        ("1,2\n3,4\n5\n", r"line 3 has 1 cells, 2 expected"),
        ("x,y\n1,2\n3,1e60\n", r"line 3, column 'y': 1e\+60 does not fit in float32"),
        ('vector\n"[1,2]"\n"[1,2,3]"\n', r"line 3, column 'vector': a list of 3 numbers, 2 expected"),
        ('vector\n"[1,2]"\n"[1,2"\n"[1,2]"\n', r"line 3, column 'vector' \(1\): '\[1,2' is not a list"),
        ('vector\n"[1,2]"\n"[1,,2]"\n"[1,2]"\n', r"line 3.*is not a list of numbers"),
        ('x,c\n1,a\n2,"b\n3,c\n', r"line 4 cannot be read: unexpected end"),
        ('x,c\n1,a\n2,"b"c\n', r"line 3 cannot be read"),
        ("x,y\n", "has a header and no rows"),
        ("\n\n", "is empty"),
        ("a,b\nc,d\n", "no column of numbers"),
        ("x,x\n1,2\n", "2 columns called 'x'"),
    ],
)
def test_errors_say_where(path: Path, text: str, message: str) -> None:
    path.write_bytes(text.encode())
    for rows in (1, 100):
        with pytest.raises(CorruptFileError, match=message):
            list(CsvFormat().read(path, rows=rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "idd"}, r"no column 'idd' \(did you mean 'id'\?\); it has 'id', 'x', 'c'"),
        ({"vectors": "y*"}, r"no column 'y\*'"),
        ({"vectors": "x,c"}, "column 'c' of .* holds text"),
        ({"delimiter": "ab"}, "delimiter 'ab'"),
        ({"delimiter": "."}, "nor one character that no number has"),
    ],
)
def test_options_that_do_not_fit(path: Path, options: dict[str, Any], message: str) -> None:
    path.write_text("id,x,c\n1,2,red\n")
    with pytest.raises(ParameterError, match=message):
        list(CsvFormat(**options).read(path))


def test_two_columns_of_lists_are_the_users_choice(path: Path) -> None:
    path.write_text('a,b\n"[1,2]","[3,4]"\n')
    with pytest.raises(ParameterError, match="2 columns of lists: 'a', 'b'; choose one with --format csv:vectors=a"):
        list(CsvFormat().read(path))


def test_columns_are_judged_by_the_first_rows_and_later_ones_must_agree(path: Path) -> None:
    path.write_text("id,x\n" + "1,2\n" * 1500 + "a,2\n")
    for rows in (1, 100_000):
        with pytest.raises(CorruptFileError, match=r"line 1502, column 'id' \(1\): 'a' is not a whole .*text_ids=true"):
            list(CsvFormat().read(path, rows=rows))
    assert next(iter(CsvFormat(text_ids=True).read(path))).ids[-1] == "a"  # type: ignore[index]


def test_not_utf8(path: Path) -> None:
    path.write_bytes("id,x\nä,1\n".encode("latin-1"))
    with pytest.raises(CorruptFileError, match=r"not UTF-8 .*iconv"):
        list(CsvFormat().read(path))


def test_a_line_without_end_is_not_read_to_the_end(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(CorruptFileError, match="line 1 has more than 16,777,216 characters"):
        list(CsvFormat().read(path))


def test_nan_and_infinity_are_left_to_the_gate(path: Path) -> None:
    block = read(path, "1,nan\ninf,2\n")
    np.testing.assert_array_equal(block.vectors, np.float32([[1, np.nan], [np.inf, 2]]))


@pytest.mark.parametrize("text", ["", "x", "1_0", "1,2", "--1"])
def test_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        read_number(text)


@pytest.mark.parametrize("text", ["", "[]", "[1", "[1)", "1,,2", "[a]"])
def test_no_list(text: str) -> None:
    with pytest.raises(ValueError):
        read_list(text)


@pytest.mark.parametrize(("text", "said"), [("a;b\n1;x\n2;y\n", "semicolon"), ("a\tb\tc\n1\tx\ty\n", "tab")])
def test_records_of_a_file_with_another_delimiter_are_refused(tmp_path, text, said):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(CorruptFileError, match=f"as if separated by {said}; say so with --format csv:delimiter={said}"):
        list(CsvFormat().records(path))
    assert next(CsvFormat(delimiter=said).records(path))[0]["a"] == "1"
    assert len(next(CsvFormat(header=True).records(path))[0]) == 1


def test_one_column_may_hold_commas_and_very_long_cells(tmp_path):
    path = tmp_path / "x.csv"
    long = "word " * 40_000
    path.write_text(f'name\n"Smith, John"\n"Doe, Jane"\n"{long}, x"\n')
    names = [each["name"] for each in next(CsvFormat().records(path))]
    assert names == ["Smith, John", "Doe, Jane", f"{long}, x"]


def test_text_in_utf_16_is_told_apart(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,x\n", encoding="utf-16")
    with pytest.raises(CorruptFileError, match="iconv -f UTF-16"):
        list(CsvFormat().records(path))
