"""fbin and its kin, safetensors and faiss's flat files: the same bytes as other programs, and heads that lie."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nearkin.errors import CorruptFileError, NotSupportedError, ParameterError, VectorError
from nearkin.files import convert, read_vectors
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin_plugins.file_formats.big_ann import FbinFormat, HbinFormat, I8binFormat, IbinFormat, U8binFormat
from nearkin_plugins.file_formats.faiss_flat_files import FaissFormat
from nearkin_plugins.file_formats.options import FaissOptions
from nearkin_plugins.file_formats.safetensors import SafetensorsFormat

ROWS = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
BITS = np.random.default_rng(1).integers(0, 256, (20, 4), dtype=np.uint8)


def joined(form: VectorFormat, path: Path, rows: int = 7) -> Block:
    blocks = list(form.read(path, rows=rows))
    ids = [each for block in blocks if block.ids is not None for each in block.ids]
    return Block(np.concatenate([block.vectors for block in blocks]), ids or None)


# ---- fbin and its kin ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "dtype"),
    [(FbinFormat(), "<f4"), (HbinFormat(), "<f2"), (U8binFormat(), "u1"), (I8binFormat(), "i1"), (IbinFormat(), "<i4")],
)
def test_the_layout_is_two_counts_and_the_values(tmp_path: Path, form: VectorFormat, dtype: str) -> None:
    path = tmp_path / f"x{form.suffixes[0]}"
    rows = np.arange(12).reshape(4, 3)
    form.write(path, [Block(rows[:1]), Block(rows[1:])])
    assert path.read_bytes() == struct.pack("<II", 4, 3) + rows.astype(dtype).tobytes()
    mapped = form.memory_map(path)
    assert mapped is not None
    np.testing.assert_array_equal(mapped, rows)
    assert form.describe(path) == FileSummary(4, 3, np.dtype(dtype).name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\1\0\0\0\1\0\0", "7 bytes, too few"),
        (
            struct.pack("<II", 2, 2) + bytes(15),
            "cut short: 16 bytes for 2 rows of 2 columns of float32 expected, 15 found",
        ),
        (struct.pack("<II", 2, 2) + bytes(17), "1 bytes after the last row"),
        (struct.pack("<II", 2, 2) + bytes(32), "16 bytes after the last row"),
        (struct.pack("<II", 2**32 - 1, 2**32 - 1) + bytes(16), "claims 4,294,967,295 rows of 4,294,967,295 columns"),
        (struct.pack("<II", 2**32 - 1, 1000) + bytes(16), "17,179,869,180,000 bytes"),
        (struct.pack("<II", 4, 0), "claims 4 rows of 0 columns"),
        (struct.pack(">II", 2, 2) + bytes(16), "claims 33,554,432 rows of 33,554,432 columns"),
    ],
)
def test_heads_that_do_not_fit_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.fbin").write_bytes(content)
    tracemalloc.start()
    for call in (joined, lambda form, path: form.memory_map(path), lambda form, path: form.describe(path)):
        with pytest.raises(CorruptFileError, match=message):
            call(FbinFormat(), tmp_path / "x.fbin")  # type: ignore[operator]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_half_precision_rounds_and_refuses_what_is_too_large(tmp_path: Path) -> None:
    HbinFormat().write(tmp_path / "x.hbin", [Block(ROWS)])
    np.testing.assert_array_equal(joined(HbinFormat(), tmp_path / "x.hbin").vectors, ROWS.astype(np.float16))
    with pytest.raises(VectorError, match="does not fit in float16"):
        HbinFormat().write(tmp_path / "x.hbin", [Block(np.float32([[70_000]]))])


def test_no_rows_keep_their_width(tmp_path: Path) -> None:
    (tmp_path / "x.fbin").write_bytes(struct.pack("<II", 0, 3))
    assert joined(FbinFormat(), tmp_path / "x.fbin").vectors.shape == (0, 3)


# ---- safetensors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", sorted(SafetensorsFormat.dtypes))
def test_the_library_of_safetensors_reads_and_writes_the_same(tmp_path: Path, dtype: str) -> None:
    rows = (np.abs(ROWS) * 50).astype(dtype)
    save_file({"bias": np.ones(3, np.float32), "weight": rows, "more": np.ones((2, 2, 2))}, tmp_path / "x.safetensors")
    form = SafetensorsFormat()
    back = joined(form, tmp_path / "x.safetensors").vectors
    assert back.dtype == rows.dtype
    np.testing.assert_array_equal(back, rows)
    SafetensorsFormat(tensor="größe").write(tmp_path / "y.safetensors", [Block(rows[:3]), Block(rows[3:])])
    np.testing.assert_array_equal(load_file(tmp_path / "y.safetensors")["größe"], rows)
    mapped = form.memory_map(tmp_path / "y.safetensors")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, rows)


def safetensors(path: Path, header: Any, values: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)
    return path


def entry(dtype: str, shape: Any, start: Any, stop: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_brain_floats_become_float32(tmp_path: Path) -> None:
    halves = (ROWS.view(np.uint32) >> 16).astype("<u2")
    path = safetensors(tmp_path / "x.safetensors", {"e": entry("BF16", [20, 6], 0, 240)}, halves.tobytes())
    expected = (ROWS.view(np.uint32) & 0xFFFF0000).view(np.float32)
    np.testing.assert_array_equal(joined(SafetensorsFormat(), path).vectors, expected)
    assert SafetensorsFormat().describe(path) == FileSummary(20, 6, "float32")
    np.testing.assert_array_equal(read_vectors(path).vectors, expected)


def test_which_tensor(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": ROWS, "b": ROWS + 1, "c": ROWS[0]}, path)
    np.testing.assert_array_equal(joined(SafetensorsFormat(tensor="b"), path).vectors, ROWS + 1)
    with pytest.raises(ParameterError, match="2 2-D tensors: a, b; choose one with --format safetensors:tensor=a"):
        SafetensorsFormat().describe(path)
    with pytest.raises(ParameterError, match="no tensor 'd'; it has a, b, c"):
        SafetensorsFormat(tensor="d").describe(path)
    with pytest.raises(CorruptFileError, match=r"shape \[6\], a 2-D tensor"):
        SafetensorsFormat(tensor="c").describe(path)
    save_file({"a": ROWS, "embeddings": ROWS + 1}, path)
    np.testing.assert_array_equal(joined(SafetensorsFormat(), path).vectors, ROWS + 1)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"e": entry("F32", [2, 2], 0, 12)}, "claims bytes 0 to 12, 16 expected"),
        ({"e": entry("F32", [2, 2], 8, 24)}, "cut short"),
        ({"e": entry("F32", [2, 2], -16, 0)}, "claims bytes -16 to 0"),
        ({"e": entry("F32", [2**62, 4], 0, 2**66)}, "cut short"),
        ({"e": entry("F32", [-2, -2], 0, 16)}, "claims -2 rows"),
        ({"e": entry("F32", [4, 0], 0, 0)}, "0 columns"),
        ({"e": entry("F32", [2.0, 2], 0, 16)}, "no 2-D tensor"),
        ({"e": {"dtype": "F32"}}, "no 2-D tensor"),
        ({"e": 5}, "no 2-D tensor"),
        ([1], "no JSON object"),
        (b"\xff", "no safetensors file"),
        (b"[" * 10_000, "no safetensors file"),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: Any, message: str) -> None:
    path = safetensors(tmp_path / "x.safetensors", header, bytes(16))
    for call in (joined, lambda form, path: form.memory_map(path)):
        with pytest.raises(CorruptFileError, match=message):
            call(SafetensorsFormat(), path)  # type: ignore[operator]


def test_a_type_that_numpy_lacks_is_refused(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "x.safetensors", {"e": entry("F8_E4M3", [4, 4], 0, 16)}, bytes(16))
    with pytest.raises(NotSupportedError, match="F8_E4M3, one of F16, F32"):
        joined(SafetensorsFormat(), path)


# ---- faiss -----------------------------------------------------------------------------------------------------------


def flat(metric: int) -> Any:
    index = faiss.IndexFlat(6, metric)
    index.add(ROWS)
    return index


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L1, faiss.METRIC_Lp])
def test_flat_indexes_of_faiss(tmp_path: Path, metric: int) -> None:
    faiss.write_index(flat(metric), str(tmp_path / "x.index"))
    back = joined(FaissFormat(), tmp_path / "x.index")
    np.testing.assert_array_equal(back.vectors, ROWS)
    assert back.ids is None
    assert FaissFormat().describe(tmp_path / "x.index") == FileSummary(20, 6, "float32")


@pytest.mark.parametrize("make", [faiss.IndexIDMap, faiss.IndexIDMap2])
def test_id_maps_of_faiss(tmp_path: Path, make: Any) -> None:
    index = make(faiss.IndexFlatIP(6))
    ids = np.arange(20) * 5 - 7
    index.add_with_ids(ROWS, ids)
    faiss.write_index(index, str(tmp_path / "x.index"))
    loaded = read_vectors(tmp_path / "x.index")
    np.testing.assert_array_equal(loaded.vectors, ROWS)
    np.testing.assert_array_equal(loaded.ids, ids)  # type: ignore[arg-type]


@pytest.mark.parametrize("mapped", [False, True])
def test_binary_flat_indexes_of_faiss(tmp_path: Path, mapped: bool) -> None:
    index = faiss.IndexBinaryFlat(32)
    if mapped:
        index = faiss.IndexBinaryIDMap(index)
        index.add_with_ids(BITS, np.arange(20) + 100)
    else:
        index.add(BITS)
    faiss.write_index_binary(index, str(tmp_path / "x.index"))
    back = joined(FaissFormat(), tmp_path / "x.index")
    np.testing.assert_array_equal(back.vectors, BITS)
    assert back.ids == (list(range(100, 120)) if mapped else None)


@pytest.mark.parametrize(("metric", "number"), [("l2", faiss.METRIC_L2), ("ip", faiss.METRIC_INNER_PRODUCT)])
@pytest.mark.parametrize("ids", [None, [7 * row for row in range(20)]])
def test_faiss_reads_what_is_written(tmp_path: Path, metric: str, number: int, ids: list[int] | None) -> None:
    path = tmp_path / "x.faiss"
    FaissFormat(metric=metric).write(path, [Block(ROWS[:3], ids and ids[:3]), Block(ROWS[3:], ids and ids[3:])])
    index = faiss.read_index(str(path))
    assert (index.ntotal, index.d, index.metric_type) == (20, 6, number)
    inner = faiss.downcast_index(index.index) if ids else index
    assert isinstance(inner, faiss.IndexFlat)
    np.testing.assert_array_equal(inner.reconstruct_n(0, 20), ROWS)
    if ids:
        assert isinstance(index, faiss.IndexIDMap2)
        assert faiss.vector_to_array(index.id_map).tolist() == ids
    copy = tmp_path / "copy.faiss"
    faiss.write_index(index, str(copy))
    assert copy.read_bytes() == path.read_bytes()


def test_other_indexes_are_refused_with_a_way_out(tmp_path: Path) -> None:
    for factory, code in (("HNSW8", "IHNf"), ("SQ8", "IxSQ"), ("IDMap,SQ8", "IxSQ")):
        index = faiss.index_factory(6, factory)
        index.train(ROWS)
        faiss.write_index(index, str(tmp_path / "x.index"))
        with pytest.raises(NotSupportedError, match=rf"kind '{code}'.*reconstruct_n"):
            joined(FaissFormat(), tmp_path / "x.index")


@pytest.mark.parametrize("mapped", [False, True])
def test_every_size_in_the_head_is_checked(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "x.faiss"
    FaissFormat().write(path, [Block(ROWS, list(range(20)) if mapped else None)])
    whole = path.read_bytes()
    heads = [4, 41 - 4] if mapped else [4]
    places = [start + field for start in heads for field in (0, 4)] + [len(whole) - 20 * 8 - 8] * mapped
    places += [heads[-1] + 37 - 4] * (not mapped)
    for place in places:
        for wrong in (b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"):
            path.write_bytes(whole[:place] + wrong + whole[place + 4 :])
            with pytest.raises(CorruptFileError):
                joined(FaissFormat(), path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptFileError, match="1 bytes after the last row"):
        joined(FaissFormat(), path)


def test_options_of_faiss_files() -> None:
    with pytest.raises(ParameterError, match="'cosine' is not one of l2, ip"):
        FaissOptions(metric="cosine")


def test_integer_ids_are_converted_and_text_is_said_to_be_lost(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", vectors=ROWS, ids=np.arange(20) + 5)
    lost: list[list[str]] = []
    convert(tmp_path / "x.npz", tmp_path / "x.faiss", on_loss=lost.append)
    assert not lost
    assert read_vectors(tmp_path / "x.faiss").ids.tolist() == list(range(5, 25))  # type: ignore[union-attr]
    np.savez(tmp_path / "x.npz", vectors=ROWS, ids=np.array(["a"] * 20))
    with pytest.raises(ParameterError, match=r"ids are text, and faiss files hold integers; write \.parquet"):
        convert(tmp_path / "x.npz", tmp_path / "x.faiss")


# ---- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [FbinFormat(), SafetensorsFormat(), FaissFormat()])
def test_reading_in_blocks_needs_little_memory(tmp_path: Path, form: VectorFormat) -> None:
    wide = np.zeros((8_000, 500), np.float32)
    form.write(tmp_path / "x", [Block(wide)])
    tracemalloc.start()
    rows = sum(len(block.vectors) for block in form.read(tmp_path / "x", rows=500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 8_000
    assert peak < wide.nbytes / 4
