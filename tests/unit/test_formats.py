"""The contract of file formats, and npy, its reference."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin.errors import (
    CorruptFileError,
    MissingDependencyError,
    NearkinError,
    NotSupportedError,
    ParameterError,
    PluginContractError,
    StorageError,
    VectorError,
)
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.npy_format import NpyFormat, read_npy_header

TWO = np.float32([[1, 2], [3, 4]])


class Scripted(VectorFormat):
    """Yields what it is given, or raises it."""

    name = "scripted"
    suffixes = (".scripted",)
    keeps = frozenset({"ids", "metadata"})

    def __init__(self, *script: Block | Exception) -> None:
        self.script = script
        self.written: list[Block] = []

    def _describe(self, path: Path) -> FileSummary:
        return FileSummary(None, 2, "float32")

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        for each in self.script:
            if isinstance(each, Exception):
                raise each
            yield each

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        path.write_text("new")
        self.written = list(blocks)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.scripted"
    path.write_text("old")
    return path


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_blocks_come_out_plain(file: Path) -> None:
    odd = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    (block,) = Scripted(Block(odd)).read(file)
    assert block.vectors.dtype.isnative
    assert block.vectors.flags.c_contiguous
    np.testing.assert_array_equal(block.vectors, odd)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([Block(np.float32([1, 2]))], PluginContractError),
        ([Block(np.array([["a", "b"]]))], PluginContractError),
        ([Block(np.zeros((4, 2), np.float32))], PluginContractError),
        ([Block(TWO, ids=[1])], PluginContractError),
        ([Block(TWO, metadata=[{}])], PluginContractError),
        ([Block(TWO), Block(TWO.astype(np.float64))], PluginContractError),
        ([Block(TWO), Block(TWO[:, :1])], CorruptFileError),
        ([Block(TWO[:, :0])], CorruptFileError),
        ([Block(TWO), ValueError("bad bytes\nsecond line")], CorruptFileError),
        ([OSError("a library's own complaint")], CorruptFileError),
        ([OSError(errno.EIO, "Input/output error")], StorageError),
        ([MemoryError()], StorageError),
        ([ImportError("no arrow", name="pyarrow")], MissingDependencyError),
    ],
)
def test_broken_readers_and_files_are_told_apart(file: Path, script: list[Block], error: type[NearkinError]) -> None:
    with pytest.raises(NearkinError) as caught:
        list(Scripted(*script).read(file, rows=3))
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", ["describe", "memory_map", "read"])
def test_what_is_no_regular_file_is_named(tmp_path: Path, call: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = Scripted(Block(TWO))

    def use(path: Path) -> object:
        result = getattr(reader, call)(path)
        return list(result) if call == "read" else result

    with pytest.raises(StorageError, match=r"there is no file .*missing"):
        use(tmp_path / "missing")
    with pytest.raises(StorageError, match="is a folder, a scripted file expected"):
        use(tmp_path)
    with pytest.raises(StorageError, match="pipe is not a regular file"):
        use(tmp_path / "pipe")


def test_a_block_needs_a_row(file: Path) -> None:
    with pytest.raises(ParameterError, match="0 rows"):
        Scripted().read(file, rows=0)


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_blocks_go_out_plain(file: Path) -> None:
    form = Scripted()
    odd = Block(np.asfortranarray(TWO.astype(">f8")), ids=np.array(["a", "b"]), metadata=({}, {"x": 1}))
    assert form.write(file, [odd, odd._replace(vectors=odd.vectors[:0], ids=[], metadata=[])]) == 2
    (block,) = form.written
    assert block.vectors.dtype == np.float32
    assert block.vectors.dtype.isnative
    assert block.vectors.flags.c_contiguous
    assert (block.ids, block.metadata) == (["a", "b"], [{}, {"x": 1}])
    assert file.read_text() == "new"


@pytest.mark.parametrize("ids", [[1, 2], np.array([1, 2], np.uint8), [np.int32(1), 2]])
def test_integer_ids_become_int64(file: Path, ids: list[int]) -> None:
    form = Scripted()
    form.write(file, [Block(TWO, ids)])
    out = form.written[0].ids
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.int64
    assert out.tolist() == [1, 2]


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [Block(TWO[:0])],
        [Block(TWO[0])],
        [Block(TWO[:, :0])],
        [Block(np.array([["a"]]))],
        [Block(TWO), Block(TWO[:, :1])],
        [Block(TWO), Block(TWO.astype(np.int8))],
        [Block(TWO, ids=[1])],
        [Block(TWO, ids=[1, "a"])],
        [Block(TWO, ids=[True, False])],
        [Block(TWO, ids=[0.5, 1.0])],
        [Block(TWO, ids=[1, 1 << 63])],
        [Block(TWO, ids=[1, 2]), Block(TWO, ids=["a", "b"])],
        [Block(TWO, ids=[1, 2]), Block(TWO)],
        [Block(TWO), Block(TWO, metadata=[{}, {}])],
        [Block(np.array([[1e300, 0.0]]))],
    ],
)
def test_what_does_not_go_together_is_refused_and_the_old_file_stays(file: Path, blocks: list[Block]) -> None:
    with pytest.raises((ParameterError, VectorError)):
        Scripted().write(file, blocks)
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == [file.name]


def test_errors_of_the_callers_own_blocks_pass_unchanged(file: Path) -> None:
    def blocks() -> Iterator[Block]:
        yield Block(TWO)
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        Scripted().write(file, blocks())
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == [file.name]


def test_a_disk_error_at_the_last_step_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"x\.scripted was not written: No space left on device"):
        Scripted().write(file, [Block(TWO)])
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == [file.name]


def test_writing_goes_through_a_symbolic_link_and_keeps_the_mode(file: Path) -> None:
    file.chmod(0o640)
    link = file.with_name("link.scripted")
    link.symlink_to(file)
    Scripted().write(link, [Block(TWO)])
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_device_or_folder_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a regular file"):
        Scripted().write("/dev/null", [Block(TWO)])
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(StorageError, match="is a folder"):
        Scripted().write(tmp_path, [Block(TWO)])
    with pytest.raises(StorageError, match="there is no folder"):
        Scripted().write(tmp_path / "missing" / "x.scripted", [Block(TWO)])


def test_a_read_only_format_says_so(file: Path) -> None:
    form = Scripted()
    form.writable = False  # type: ignore[misc]
    with pytest.raises(NotSupportedError, match="can be read, not written"):
        form.write(file, [Block(TWO)])


# ---- npy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">i2", "u1", "?"])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_npy_reads_what_numpy_saves(tmp_path: Path, order: str, kind: str, rows: int) -> None:
    array = np.array(np.arange(35).reshape(7, 5) % 7, dtype=kind, order=order)  # type: ignore[call-overload]
    path = tmp_path / "x.npy"
    np.save(path, array)
    assert NpyFormat().describe(path) == FileSummary(7, 5, array.dtype.name)
    blocks = list(NpyFormat().read(path, rows=rows))
    assert max(len(block.vectors) for block in blocks) == min(rows, 7)
    back = np.concatenate([block.vectors for block in blocks])
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("kind", sorted(NpyFormat.dtypes))
def test_numpy_loads_what_npy_writes(tmp_path: Path, kind: str) -> None:
    array = (np.arange(12).reshape(4, 3) % 2).astype(kind)
    path = tmp_path / "x.npy"
    assert NpyFormat().write(path, [Block(array[:3]), Block(array[3:])]) == 4
    back = np.load(path)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_npy_is_mapped_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, TWO)
    mapped = NpyFormat().memory_map(path)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    np.save(path, TWO.astype(">f4"))
    assert NpyFormat().memory_map(path) is None


def test_npy_without_rows_keeps_its_width(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.empty((0, 3), np.float32))
    (block,) = NpyFormat().read(tmp_path / "x.npy")
    assert block.vectors.shape == (0, 3)


def test_object_arrays_are_refused_without_running_them(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "x.npy"
    np.save(path, np.array([[Trap()]], dtype=object), allow_pickle=True)
    for call in (NpyFormat().describe, NpyFormat().memory_map, lambda path: list(NpyFormat().read(path))):
        with pytest.raises(CorruptFileError, match="pickled objects, which run code"):
            call(path)  # type: ignore[operator]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "1-D array"),
        (np.zeros((2, 2, 2)), "3-D array"),
        (np.array([["a"]]), "<U1"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros((2, 2), [("a", "f4")]), "numbers expected"),
        (np.zeros((5, 0)), "0 columns"),
    ],
)
def test_npy_of_something_else(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(CorruptFileError, match=message):
        NpyFormat().describe(tmp_path / "x.npy")


def test_npz_named_npy(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", TWO)
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(CorruptFileError, match=r"rename it to \.npz"):
        NpyFormat().describe(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "shape", ["(1000000000000, 4)", "(3, -1)", "(9223372036854775807, 9223372036854775807)", "(True, 4)"]
)
def test_false_claims_of_a_header_are_found_before_memory_is_asked_for(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 64)
    with pytest.raises(CorruptFileError):
        list(NpyFormat().read(tmp_path / "x.npy"))


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_a_header_or_a_refusal(noise: bytes, magic: bool) -> None:
    try:
        header = read_npy_header(BytesIO((b"\x93NUMPY\x01\x00" if magic else b"") + noise))
    except (NearkinError, ValueError, SyntaxError, SyntaxWarning):
        return
    assert all(size >= 0 for size in header.shape)
