"""npz, TEXMEX, parquet and arrow: files of other programs, and files that lie about their sizes."""

from __future__ import annotations

import datetime
import decimal
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from nearkin.errors import CorruptFileError, NotSupportedError, ParameterError, VectorError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin_plugins.file_formats.arrow_files import ArrowFormat
from nearkin_plugins.file_formats.numpy_archives import NpzFormat
from nearkin_plugins.file_formats.parquet import ParquetFormat
from nearkin_plugins.file_formats.texmex import BvecsFormat, FvecsFormat, IvecsFormat

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def joined(form: VectorFormat, path: Path, rows: int = 3) -> Block:
    blocks = list(form.read(path, rows=rows))
    ids = [each for block in blocks if block.ids is not None for each in block.ids]
    metadata = [each for block in blocks for each in block.metadata or []]
    return Block(np.concatenate([block.vectors for block in blocks]), ids or None, metadata or None)


# ---- npz -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("odd", [ROWS, np.asfortranarray(ROWS), ROWS.astype(">f8"), ROWS.astype(np.uint8)])
def test_archives_of_numpy(tmp_path: Path, save: Any, odd: np.ndarray) -> None:
    save(tmp_path / "x.npz", odd, ids=np.array(["a", "b", "ü", ""]), labels=np.arange(4))
    back = joined(NpzFormat(), tmp_path / "x.npz")
    np.testing.assert_array_equal(back.vectors, odd)
    assert back.vectors.dtype == odd.dtype.newbyteorder("=")
    assert back.ids == ["a", "b", "ü", ""]
    assert NpzFormat().describe(tmp_path / "x.npz") == FileSummary(4, 3, odd.dtype.name, True)


@pytest.mark.parametrize("compressed", [False, True])
def test_numpy_loads_archives_of_ours(tmp_path: Path, compressed: bool) -> None:
    form = NpzFormat(array="mine", ids="keys", compressed=compressed)
    form.write(tmp_path / "x.npz", [Block(ROWS[:1], ["a"]), Block(ROWS[1:], ["bcd", "e", "f"])])
    with np.load(tmp_path / "x.npz") as archive:
        np.testing.assert_array_equal(archive["mine"], ROWS)
        assert archive["keys"].tolist() == ["a", "bcd", "e", "f"]
    assert joined(form, tmp_path / "x.npz").ids == ["a", "bcd", "e", "f"]


def test_which_array_is_the_vectors(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, test=ROWS + 1, train=ROWS)
    np.testing.assert_array_equal(joined(NpzFormat(), path).vectors, ROWS)
    np.testing.assert_array_equal(joined(NpzFormat(array="test"), path).vectors, ROWS + 1)
    with pytest.raises(ParameterError, match="no array 'tset'; it has test, train"):
        NpzFormat(array="tset").describe(path)
    np.savez(path, one=ROWS, two=ROWS)
    with pytest.raises(ParameterError, match="2 2-D arrays: one, two; choose one with --format npz:array=one"):
        NpzFormat().describe(path)
    np.savez(path, one=ROWS[0])
    with pytest.raises(CorruptFileError, match="no 2-D array of numbers; it has one"):
        NpzFormat().describe(path)


def test_objects_in_an_archive_are_refused_without_running_them(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    np.savez(tmp_path / "x.npz", np.array([[Trap()]], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "y.npz", vectors=ROWS[:1], ids=np.array([Trap()], dtype=object), allow_pickle=True)
    for name in ("x.npz", "y.npz"):
        with pytest.raises(CorruptFileError, match="pickled objects, which run code"):
            joined(NpzFormat(), tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ids", [np.arange(3), np.ones((4, 1), int), np.ones(4), np.full(4, 2**64 - 1, np.uint64)])
def test_ids_that_do_not_fit(tmp_path: Path, ids: np.ndarray) -> None:
    np.savez(tmp_path / "x.npz", vectors=ROWS, ids=ids)
    with pytest.raises(CorruptFileError, match="array 'ids'"):
        joined(NpzFormat(), tmp_path / "x.npz")


def test_an_archive_without_rows_keeps_its_width(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", ROWS[:0])
    assert joined(NpzFormat(), tmp_path / "x.npz").vectors.shape == (0, 3)


@pytest.mark.parametrize("shape", ["(1000000000000, 4)", "(4, 1000000000000)", "(2, 2)"])
def test_an_archive_that_claims_other_sizes(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': True, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 64)
    with pytest.raises(CorruptFileError):
        joined(NpzFormat(array="a"), tmp_path / "x.npz")


def test_text_ids_that_end_with_nul_are_refused_not_cut(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="NUL"):
        NpzFormat().write(tmp_path / "x.npz", [Block(ROWS[:1], ["a\0"])])


@pytest.mark.parametrize("compressed", [False, True])
def test_reading_an_archive_in_blocks_needs_little_memory(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "x.npz"
    wide = np.random.default_rng(0).integers(0, 4, (16_000, 256)).astype(np.float32)  # 16 MB
    NpzFormat(compressed=compressed).write(path, [Block(wide)])
    tracemalloc.start()
    rows = sum(len(block.vectors) for block in NpzFormat().read(path, rows=500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 16_000
    assert peak < wide.nbytes / 2


# ---- TEXMEX ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "kind"), [(FvecsFormat(), "f"), (IvecsFormat(), "i"), (BvecsFormat(), "B")])
def test_the_layout_is_that_of_texmex(tmp_path: Path, form: VectorFormat, kind: str) -> None:
    path = tmp_path / f"x{form.suffixes[0]}"
    expected = b"".join(struct.pack(f"<i3{kind}", 3, *map(int, row)) for row in ROWS)
    form.write(path, [Block(ROWS)])
    assert path.read_bytes() == expected
    np.testing.assert_array_equal(joined(form, path).vectors, ROWS)
    mapped = form.memory_map(path)
    assert mapped is not None
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, ROWS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x01\x00", "2 bytes, too few"),
        (struct.pack("<i2f", 2, 1, 2) + b"\0", "1 more than 1 whole rows of 2 columns"),
        (struct.pack("<if", 2, 1), "8 more than 0 whole rows"),
        (struct.pack("<i2fi2f", 2, 1, 2, 3, 4, 5), "row 1 has 3 columns, row 0 has 2"),
        (struct.pack("<i2f", -2, 1, 2), "first row has -2 columns"),
        (struct.pack("<i2f", 0, 1, 2), "first row has 0 columns"),
        (struct.pack(">i2f", 2, 1, 2), "first row has 33,554,432 columns"),
    ],
)
def test_damaged_fvecs(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.fvecs").write_bytes(content)
    for call in (joined, lambda form, path: form.memory_map(path)):
        with pytest.raises(CorruptFileError, match=message):
            call(FvecsFormat(), tmp_path / "x.fvecs")  # type: ignore[operator]


@pytest.mark.parametrize(("form", "value"), [(BvecsFormat(), 256), (BvecsFormat(), 0.5), (IvecsFormat(), 2.0**31)])
def test_numbers_that_would_change_are_refused(tmp_path: Path, form: VectorFormat, value: float) -> None:
    with pytest.raises(VectorError, match=r"row 1, column 0 of its block\) does not fit in u?int"):
        form.write(tmp_path / "x", [Block(np.array([[1.0], [value]]))])
    assert not list(tmp_path.iterdir())


# ---- parquet ---------------------------------------------------------------------------------------------------------


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


@pytest.mark.parametrize("make", [lambda kind: pa.list_(kind, 3), pa.list_, pa.large_list])
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.uint8()])
def test_columns_of_lists(tmp_path: Path, make: Any, kind: Any) -> None:
    values = [[int(each) for each in row] for row in ROWS]
    path = parquet(
        tmp_path / "x.parquet", id=["a", "b", "c", "d"], what=pa.array(values, make(kind)), n=[1, 2, 3, None]
    )
    back = joined(ParquetFormat(), path)
    np.testing.assert_array_equal(back.vectors, ROWS)
    assert back.vectors.dtype == kind.to_pandas_dtype()
    assert back.ids == ["a", "b", "c", "d"]
    assert back.metadata == [{"n": 1}, {"n": 2}, {"n": 3}, {}]
    assert ParquetFormat().describe(path) == FileSummary(4, 3, back.vectors.dtype.name, True, ("n",))


def test_columns_of_numbers(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "x.parquet", x=pa.array([1, 2], pa.int16()), c=["r", "g"], y=pa.array([0.5, 1], pa.float32())
    )
    back = joined(ParquetFormat(), path)
    assert back.vectors.dtype == np.float32
    assert back.vectors.tolist() == [[1, 0.5], [2, 1]]
    assert back.metadata == [{"c": "r"}, {"c": "g"}]
    chosen = joined(ParquetFormat(id="c", vectors="y"), path)
    assert (chosen.vectors.tolist(), chosen.ids, chosen.metadata) == ([[0.5], [1]], ["r", "g"], [{"x": 1}, {"x": 2}])


def test_a_pandas_index_is_the_ids(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", x=[0.5], __index_level_0__=[7])
    back = joined(ParquetFormat(), path)
    assert (back.vectors.tolist(), back.ids) == ([[0.5]], [7])


def test_values_that_json_does_not_know_become_text(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "x.parquet",
        vector=[[1.0]],
        day=[datetime.date(2024, 2, 29)],
        amount=[decimal.Decimal("1.50")],
        raw=[b"\x00\xff"],
        tags=[["a", "b"]],
        nested=[{"at": datetime.datetime(2024, 1, 2, 3, 4, 5)}],
    )
    (metadata,) = joined(ParquetFormat(vectors="vector"), path).metadata or []
    assert metadata == {
        "day": "2024-02-29",
        "amount": "1.50",
        "raw": "00ff",
        "tags": ["a", "b"],
        "nested": {"at": "2024-01-02T03:04:05"},
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"vector": [[1.0, 2.0], [3.0]]}, "lists of different lengths, 2 expected"),
        ({"vector": [[1.0], [2.0, 3.0], []]}, "lists of different lengths, 1 expected"),
        ({"vector": [[1.0], None]}, "column 'vector' has 1 nulls"),
        ({"vector": [[1.0], [None]]}, "column 'vector' has 1 nulls"),
        ({"vector": pa.array([[], []], pa.list_(pa.float32()))}, "lists of 0 numbers"),
        ({"vector": pa.array([], pa.list_(pa.float32()))}, "holds no rows"),
        ({"x": [1.0, None]}, "column 'x' has 1 nulls"),
        ({"id": [1, None], "x": [1.0, 2.0]}, "column 'id' has 1 nulls"),
        ({"id": [0.5], "x": [1.0]}, "ids in column 'id' are of type double"),
        ({"c": ["a"]}, "no column of numbers or of lists"),
    ],
)
def test_parquet_that_holds_no_vectors(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(CorruptFileError, match=message):
        joined(ParquetFormat(), parquet(tmp_path / "x.parquet", **columns))


def test_parquet_without_rows_keeps_its_width(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", vector=pa.array([], pa.list_(pa.float32(), 3)))
    assert joined(ParquetFormat(), path).vectors.shape == (0, 3)


def test_metadata_of_mixed_types_is_refused(tmp_path: Path) -> None:
    mixed = [Block(ROWS[:1], None, [{"n": 1}]), Block(ROWS[:1], None, [{"n": "one"}])]
    with pytest.raises(ParameterError, match="'n' does not fit in one column of parquet of type int64"):
        ParquetFormat().write(tmp_path / "x.parquet", mixed)
    with pytest.raises(ParameterError, match="'n' does not fit"):
        ParquetFormat().write(tmp_path / "x.parquet", [Block(ROWS[:2], None, [{"n": 1}, {"n": "one"}])])
    assert not list(tmp_path.iterdir())


def test_small_blocks_do_not_make_small_row_groups(tmp_path: Path) -> None:
    ParquetFormat().write(tmp_path / "x.parquet", [Block(ROWS[at : at + 1]) for at in range(4)] * 50)
    assert pq.read_metadata(tmp_path / "x.parquet").num_row_groups == 1


# ---- arrow -----------------------------------------------------------------------------------------------------------


def saved(path: Path, table: pa.Table, how: str) -> Path:
    if how.startswith("feather"):
        pyarrow.feather.write_feather(table, str(path), compression=how.partition(" ")[2], chunksize=3)
        return path
    make = pyarrow.ipc.new_file if how == "file" else pyarrow.ipc.new_stream
    with path.open("wb") as file, make(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return path


@pytest.mark.parametrize("how", ["file", "stream", "feather lz4", "feather zstd", "feather uncompressed"])
def test_arrow_files_and_streams(tmp_path: Path, how: str) -> None:
    values = pa.array([row.tolist() for row in ROWS], pa.list_(pa.float32(), 3))
    words = pa.array(["r", None, "g", "r"]).dictionary_encode()
    path = saved(tmp_path / "x.arrow", pa.table({"id": list("abcd"), "emb": values, "color": words}), how)
    for rows in (1, 3, 100):
        back = joined(ArrowFormat(), path, rows)
        np.testing.assert_array_equal(back.vectors, ROWS)
        assert back.ids == list("abcd")
        assert back.metadata == [{"color": "r"}, {}, {"color": "g"}, {"color": "r"}]
    count = None if how == "stream" else 4
    assert ArrowFormat().describe(path) == FileSummary(count, 3, "float32", True, ("color",))


def test_pyarrow_reads_what_is_written(tmp_path: Path) -> None:
    ArrowFormat().write(
        tmp_path / "x.feather", [Block(ROWS[:1], [5], [{"n": 1}]), Block(ROWS[1:], [6, 7, 8], [{}] * 3)]
    )
    table = pyarrow.feather.read_table(tmp_path / "x.feather")
    assert table.schema.types == [pa.int64(), pa.list_(pa.float32(), 3), pa.int64()]
    assert table.to_pydict() == {"id": [5, 6, 7, 8], "vector": ROWS.tolist(), "n": [1, None, None, None]}


def test_lists_of_free_length_in_a_stream(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.arrow", pa.table({"vector": ROWS.tolist()}), "stream")
    np.testing.assert_array_equal(joined(ArrowFormat(), path).vectors, ROWS)
    path = saved(tmp_path / "x.arrow", pa.table({"vector": [[1.0, 2.0], [3.0]]}), "stream")
    with pytest.raises(CorruptFileError, match="lists of different lengths, 2 expected"):
        joined(ArrowFormat(), path)


def test_feather_of_the_first_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.feather").write_bytes(b"FEA1" + bytes(40) + b"FEA1")
    with pytest.raises(NotSupportedError, match="first version"):
        joined(ArrowFormat(), tmp_path / "x.feather")


def test_offsets_out_of_an_arrow_file_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.arrow", pa.table({"id": ["abc", "def"], "x": [1.0, 2.0]}), "file")
    content = path.read_bytes()
    offsets = np.int32([0, 3, 6]).tobytes()
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, np.int32([0, 3, 1 << 30]).tobytes()))
    with pytest.raises(CorruptFileError, match="arrow file that can be read"):
        joined(ArrowFormat(), path)
