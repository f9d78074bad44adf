"""jsonl: which keys mean what, what `nearkin get` prints, and where an error is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.formats import Block
from nearkin_plugins.file_formats.json_lines import JsonLinesFormat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


def read(path: Path, text: str, form: JsonLinesFormat | None = None) -> Block:
    """All rows of a file with this text; read by ones it says the same."""
    path.write_bytes(text.encode())
    form = form or JsonLinesFormat()
    (block,) = form.read(path)
    by_ones = list(form.read(path, rows=1))
    np.testing.assert_array_equal(np.concatenate([each.vectors for each in by_ones]), block.vectors)
    if block.metadata is not None:
        assert [each for one in by_ones for each in one.metadata or ()] == block.metadata
    return block


@pytest.mark.parametrize(
    ("text", "ids", "vectors", "metadata"),
    [
        ("[1, 2]\n[3, 4.5]\n", None, [[1, 2], [3, 4.5]], None),
        ('\ufeff{"vector": [1]}\r\n\r\n{"vector": [2]}', None, [[1], [2]], None),
        ('{"id": 7, "embedding": [1, -0.0]}\n', [7], [[1, 0]], None),
        ('{"id": "ü", "Embeddings": [1], "other": [2]}\n', ["ü"], [[1]], [{"other": [2]}]),
        ('{"x": [1], "n": 3}\n{"x": [2], "s": "a", "n": null}\n', None, [[1], [2]], [{"n": 3}, {"s": "a"}]),
        ('{"id": 1, "vector": [1], "metadata": {"n": 1}}\n', [1], [[1]], [{"n": 1}]),
        ('{"vector": [1], "metadata": {"n": 1}, "m": 2}\n', None, [[1]], [{"n": 1, "m": 2}]),
        ('{"vector": [1], "metadata": "text"}\n', None, [[1]], [{"metadata": "text"}]),
        ('{"vector": [NaN, Infinity]}\n', None, [[np.nan, np.inf]], None),
    ],
)
def test_lines_that_are_understood(
    path: Path, text: str, ids: list[Any] | None, vectors: list[Any], metadata: list[Any] | None
) -> None:
    block = read(path, text)
    assert block.vectors.dtype == np.float32
    np.testing.assert_array_equal(block.vectors, np.float32(vectors))
    assert (None if block.ids is None else list(block.ids)) == ids
    assert block.metadata == metadata


def test_options(path: Path) -> None:
    block = read(path, '{"sku": "a", "v": [1], "w": [2], "id": 5}\n', JsonLinesFormat(id="sku", vectors="w"))
    assert (block.ids, block.vectors.tolist(), block.metadata) == (["a"], [[2]], [{"v": [1], "id": 5}])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("[1]\n[2\n", "line 2, character [0-9]+ is not JSON: Expecting"),
        ("[1]\n\n[1, 2]\n", "line 3: a vector of 2 numbers, 1 expected"),
        ("[]\n", r"line 1: \[\] is not a list of numbers"),
        ('[1]\n["2"]\n', "line 2: .* is not a list of numbers"),
        ("[true]\n", "line 1: .* is not a list of numbers"),
        ("[1]\n[null]\n", "line 2: .* is not a list of numbers"),
        ("[1]\n[1e60]\n", r"line 2, number 1: 1e\+60 does not fit in float32"),
        (f"[1]\n[1{'0' * 400}]\n", "line 2: a number is too large"),
        ("5\n", "line 1: 5 is not a list of numbers"),
        ('{"n": 1}\n', "line 1: there is no list of numbers; the keys are 'n'"),
        ('{"vector": [1]}\n[2]\n', "line 2: there is no 'vector'"),
        ('{"vector": [1]}\n{"v": [2]}\n', "line 2: there is no 'vector'"),
        ('[1]\n{"vector": [1]}\n', "line 2: .* is not a list of numbers"),
        ('{"id": 1.5, "vector": [1]}\n', "line 1: 'id' is a float, a whole number or text expected"),
        ('{"id": 1, "vector": [1]}\n{"id": "a", "vector": [1]}\n', "line 2: the id is 'a', a whole number expected"),
        ('{"id": "a", "vector": [1]}\n{"vector": [1]}\n', "line 2: the id is 'None', text expected"),
        ('{"vector": [1]}\n{"id": 1, "vector": [1]}\n', "line 2: the id is '1', no id expected"),
        (f'{{"id": {2**63}, "vector": [1]}}\n', "line 1: the id 9223372036854775808 does not fit"),
        ("[" * 100_000 + "\n", "line 1 has lists within lists"),
        ("[" + "9" * 5_000 + "]\n", "line 1 has a number with too many digits"),
    ],
)
def test_errors_say_where(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    for rows in (1, 100):
        with pytest.raises(CorruptFileError, match=message):
            list(JsonLinesFormat().read(path, rows=rows))


def test_the_users_choice(path: Path) -> None:
    path.write_text('{"a": [1], "b": [2]}\n')
    with pytest.raises(ParameterError, match="2 lists of numbers: 'a', 'b'; choose one with --format jsonl:vectors=a"):
        list(JsonLinesFormat().read(path))
    with pytest.raises(ParameterError, match="no key 'c'; it has 'a', 'b'"):
        list(JsonLinesFormat(vectors="c").read(path))


def test_a_first_field_after_the_sample_is_told_not_lost(path: Path) -> None:
    path.write_text('{"vector": [1]}\n' * 1500 + '{"vector": [1], "late": 1}\n')
    with pytest.raises(CorruptFileError, match="line 1501: a field 'late', which none of the first 1,000 lines has"):
        list(JsonLinesFormat().read(path))


def test_what_is_written(path: Path) -> None:
    blocks = [Block(np.float32([[0.1, -0.0]]), ["é"], [{}]), Block(np.float32([[np.inf, 3]]), ["b"], [{}])]
    JsonLinesFormat().write(path, blocks)
    assert path.read_text() == '{"id": "é", "vector": [0.100000001, -0.0]}\n{"id": "b", "vector": [Infinity, 3.0]}\n'
    JsonLinesFormat().write(path, [Block(np.float32([[1], [2]]), [3, 4], [{}, {"n": [1, {"m": "ü"}]}])])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"id": 3, "vector": [1.0], "n": None},
        {"id": 4, "vector": [2.0], "n": [1, {"m": "ü"}]},
    ]


def test_every_float32_comes_back(path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, (500, 8), dtype=np.uint32).view(np.float32)
    rows = np.where(np.isnan(bits), np.float32(0), bits)
    JsonLinesFormat().write(path, [Block(rows)])
    assert next(JsonLinesFormat().read(path)).vectors.tobytes() == rows.tobytes()
