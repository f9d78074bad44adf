"""A folder of parts, read as if it were one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearkin.errors import AmbiguousNameError, CorruptFileError, StorageError
from nearkin.files import convert, find_format, read_vectors, summarize
from nearkin.formats import FileSummary
from nearkin_plugins.file_formats.json_lines import JsonLinesFormat

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)


def lines(path: Path, *rows: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_parts_come_in_natural_order(tmp_path: Path) -> None:
    for number, run in ((10, ROWS[5:]), (2, ROWS[2:5]), (1, ROWS[:2])):
        np.save(tmp_path / f"part_{number}.npy", run)
    (tmp_path / "README.md").write_text("not a part")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part_0.npy.tmp.npy").write_text("half")
    (tmp_path / "deeper").mkdir()
    loaded = read_vectors(tmp_path)
    np.testing.assert_array_equal(loaded.vectors, ROWS)
    assert (loaded.ids, loaded.metadata) == (None, None)
    assert summarize(tmp_path) == FileSummary(8, 3, "float32")
    sizes = [len(block.vectors) for block in find_format(tmp_path).read(tmp_path, rows=2)]
    assert sizes == [2, 2, 1, 2, 1]
    assert convert(tmp_path, tmp_path.with_suffix(".fvecs")) == 8
    np.testing.assert_array_equal(read_vectors(tmp_path.with_suffix(".fvecs")).vectors, ROWS)


def test_one_part_is_a_map(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    assert isinstance(read_vectors(tmp_path).vectors, np.memmap)


def test_parquet_as_spark_leaves_it(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "x.parquet"
    folder.mkdir()
    for number in range(3):
        table = pa.table(
            {"id": [f"a{number}", f"b{number}"], "vector": ROWS[number : number + 2].tolist(), "n": [1, None]}
        )
        pq.write_table(table, folder / f"part-0000{number}.snappy.parquet")
    (folder / "_SUCCESS").touch()
    loaded = read_vectors(folder)
    assert loaded.vectors.shape == (6, 3)
    assert loaded.ids == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert loaded.metadata == [{"n": 1}, {}] * 3


def test_a_part_without_metadata_keeps_its_place(tmp_path: Path) -> None:
    lines(tmp_path / "1.jsonl", {"id": 1, "vector": [0]})
    lines(tmp_path / "2.jsonl", {"id": 2, "vector": [1], "n": 7})
    loaded = read_vectors(tmp_path)
    assert loaded.metadata == [{}, {"n": 7}]
    assert summarize(tmp_path).metadata == ("n",)
    assert list(loaded.ids or []) == [1, 2] if isinstance(loaded.ids, list) else loaded.ids.tolist() == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ([{"id": 1, "vector": [0, 1]}], "has 2 columns, the first part of its folder 1 columns"),
        ([{"vector": [0]}], "has no ids, the first part of its folder ids"),
        ([{"id": "a", "vector": [0]}], "ids are text in .*2.jsonl and integers in .*1.jsonl"),
        (["x"], 'line 1: "x" is not a list of numbers'),
    ],
)
def test_parts_must_be_alike(tmp_path: Path, odd: list[Any], message: str) -> None:
    lines(tmp_path / "1.jsonl", {"id": 1, "vector": [0]})
    lines(tmp_path / "2.jsonl", *odd)
    with pytest.raises(CorruptFileError, match=message):
        read_vectors(tmp_path)


def test_parts_of_other_types_of_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", ROWS)
    np.save(tmp_path / "2.npy", ROWS.astype(np.float64))
    with pytest.raises(CorruptFileError, match=r"2\.npy has values of type float64, .* values of type float32"):
        read_vectors(tmp_path)


def test_folders_that_are_no_vectors(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder without files of vectors"):
        read_vectors(tmp_path)
    with pytest.raises(StorageError, match="is a folder without npy files"):
        read_vectors(tmp_path, format="npy")
    np.save(tmp_path / "1.npy", ROWS)
    lines(tmp_path / "1.jsonl", [1, 2, 3])
    with pytest.raises(AmbiguousNameError, match="files of 2 formats: jsonl, npy; choose one with format='jsonl'"):
        read_vectors(tmp_path)
    assert read_vectors(tmp_path, format="jsonl").vectors.tolist() == [[1, 2, 3]]
    (tmp_path / "collection.sqlite").touch()
    with pytest.raises(StorageError, match="is a folder with a saved index"):
        read_vectors(tmp_path)


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", ROWS)
    with pytest.raises(StorageError, match="is a folder, it cannot be replaced"):
        convert(tmp_path / "1.npy", tmp_path)
    with pytest.raises(StorageError, match="is a folder"):
        JsonLinesFormat().describe(tmp_path)
