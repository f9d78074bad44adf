"""What every built-in file format keeps: exact round trips, bounded blocks, atomic writing, calm before bad bytes."""

from __future__ import annotations

import errno
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nearkin.errors import CorruptFileError, NearkinError, ParameterError, StorageError
from nearkin.files import Loaded, convert, read_vectors, summarize
from nearkin.formats import Block, VectorFormat
from nearkin.registry import Registry
from nearkin_plugins import formats as plugin

REGISTRY = Registry(strict=True)
REGISTRY.register(plugin, "formats")
SPECS = REGISTRY.specs("format")
ALL_SUFFIXES = [spec.suffixes[0] for spec in SPECS]  # type: ignore[attr-defined]
FORMATS: dict[str, VectorFormat] = {
    suffix: REGISTRY.make("format", spec.name) for suffix, spec in zip(ALL_SUFFIXES, SPECS, strict=True)
}
SUFFIXES = [suffix for suffix in ALL_SUFFIXES if FORMATS[suffix].writable]
QUICK = [suffix for suffix in SUFFIXES if suffix != ".hdf5"]  # that one starts a process for every file
EVERY_DTYPE = [(suffix, dtype) for suffix in QUICK for dtype in sorted(FORMATS[suffix].dtypes)]
ALWAYS_IDS = [".vec"]  # rows without ids are given numbers
KEEPS_IDS = [suffix for suffix in QUICK if "ids" in FORMATS[suffix].keeps]
INTEGER_IDS = [suffix for suffix in SUFFIXES if "integer ids" in FORMATS[suffix].keeps]
KEEPS_METADATA = [suffix for suffix in SUFFIXES if "metadata" in FORMATS[suffix].keeps]

QUIET = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def load(path: Path, rows: int | None = None) -> Loaded:
    """The file at once, or through blocks of `rows` rows."""
    if rows is None:
        return read_vectors(path, registry=REGISTRY)
    blocks = list(FORMATS[path.suffix].read(path, rows=rows))
    ids = [block.ids for block in blocks if block.ids is not None]
    metadata = [each for block in blocks for each in block.metadata or []]
    assert all(len(block.vectors) <= rows for block in blocks)
    every_id = [each for part in ids for each in (part.tolist() if isinstance(part, np.ndarray) else part)]
    return Loaded(np.concatenate([block.vectors for block in blocks]), every_id or None, metadata or None)


def some_rows(dtype: str, rows: int = 7, dim: int = 5) -> np.ndarray:
    """Every bit pattern that is a finite number is as likely."""
    rng = np.random.default_rng(rows * dim)
    noise = rng.integers(0, 256, (rows, dim * np.dtype(dtype).itemsize), dtype=np.uint8).view(dtype)
    if np.dtype(dtype).kind == "b":
        return rng.integers(0, 2, (rows, dim)).astype(bool)
    return np.nan_to_num(noise) if np.dtype(dtype).kind == "f" else noise


def in_blocks(array: np.ndarray, size: int, ids: Any = None, metadata: Any = None) -> Iterator[Block]:
    for start in range(0, len(array), size):
        run = slice(start, start + size)
        yield Block(array[run], None if ids is None else ids[run], None if metadata is None else metadata[run])


# ---- round trips -----------------------------------------------------------------------------------------------------


def test_the_plugin_offers_what_it_says() -> None:
    names = (
        "arrow bvecs csv faiss fbin fvecs glove hbin hdf5 i8bin ibin ivecs jsonl npy npz parquet safetensors tsv u8bin"
    )
    assert [spec.name for spec in SPECS] == [*names.split(), "word2vec", "word2vec-binary"]
    for spec in SPECS:
        for example in spec.examples:
            made = REGISTRY.build(spec, params=dict(example))
            assert (made.name, made.suffixes) == (spec.name, spec.suffixes)  # type: ignore[attr-defined]


def test_listing_the_formats_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys; from nearkin_plugins import formats; list(formats.nearkin_formats());"
        "print([name for name in ('pyarrow', 'h5py', 'faiss', 'numpy', 'csv') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("rows", [None, 1, 3, 7])
@pytest.mark.parametrize(("suffix", "dtype"), EVERY_DTYPE)
def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path, suffix: str, dtype: str, rows: int | None) -> None:
    array = some_rows(dtype)
    path = tmp_path / f"x{suffix}"
    assert FORMATS[suffix].write(path, in_blocks(array, rows or 4)) == 7
    back = load(path, rows)
    assert back.vectors.dtype == array.dtype
    assert back.vectors.tobytes() == array.tobytes()
    numbers = list(range(7)) if suffix in ALWAYS_IDS else None
    assert (None if back.ids is None else list(back.ids), back.metadata) == (numbers, None)
    summary = summarize(path, registry=REGISTRY)
    assert (summary.rows in (7, None), summary.dim, summary.dtype, summary.ids) == (True, 5, dtype, bool(numbers))


@pytest.mark.parametrize("suffix", QUICK)
@pytest.mark.parametrize("odd", ["big-endian", "column-major", "strided"])
def test_odd_layouts_are_written_right(tmp_path: Path, suffix: str, odd: str) -> None:
    plain = np.arange(12).reshape(4, 3).astype(sorted(FORMATS[suffix].dtypes)[-1])
    layout = {
        "big-endian": plain.astype(plain.dtype.newbyteorder(">")),
        "column-major": np.asfortranarray(plain),
        "strided": np.repeat(plain, 2, axis=1)[:, ::2],
    }
    FORMATS[suffix].write(tmp_path / f"x{suffix}", [Block(layout[odd])])
    back = load(tmp_path / f"x{suffix}").vectors
    assert back.dtype == plain.dtype
    np.testing.assert_array_equal(back, plain)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_row_of_one_column(tmp_path: Path, suffix: str) -> None:
    FORMATS[suffix].write(tmp_path / f"x{suffix}", [Block(np.array([[1]], np.float32))])
    assert load(tmp_path / f"x{suffix}").vectors.tolist() == [[1]]


@pytest.mark.parametrize("rows", [None, 1, 2])
@pytest.mark.parametrize("suffix", KEEPS_IDS)
@pytest.mark.parametrize(
    "ids",
    [
        [3, -1, 2**63 - 1, -(2**63), 0],
        ["a", "größe", "日本語 🎈", "", " padded "],
        ["a,b", 'say "hi"', "tab\tbed", "two\nlines", "carriage\rreturn"],
        ["1", "2", "x", "007", "1.0"],
    ],
)
def test_ids_come_back(tmp_path: Path, suffix: str, ids: list[Any], rows: int | None) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".vec" and any("\n" in str(each) for each in ids):
        with pytest.raises(ParameterError, match="line break"):
            FORMATS[suffix].write(path, in_blocks(some_rows("float32", 5), 2, ids))
        return
    FORMATS[suffix].write(path, in_blocks(some_rows("float32", 5), 2, ids))
    assert summarize(path, registry=REGISTRY).ids
    back = load(path, rows).ids
    assert back is not None
    assert list(back) == ids
    assert {type(each) for each in back} <= {str, int, np.int64}


@pytest.mark.parametrize("suffix", INTEGER_IDS)
def test_integer_ids_come_back_and_text_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    ids = [3, -1, 2**63 - 1, -(2**63), 0]
    FORMATS[suffix].write(path, in_blocks(some_rows("float32", 5), 2, ids))
    assert summarize(path, registry=REGISTRY).ids
    for rows in (None, 1, 2):
        back = load(path, rows).ids
        assert back is not None
        assert list(back) == ids
    with pytest.raises(ParameterError, match="ids are text"):
        FORMATS[suffix].write(path, in_blocks(some_rows("float32", 5), 2, ["a"] * 5))
    assert load(path).ids.tolist() == ids  # type: ignore[union-attr]


@QUIET
@given(data=st.data())
@pytest.mark.parametrize("suffix", KEEPS_IDS)
def test_any_vectors_and_ids_come_back(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 4)))
    vectors = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(width=32, allow_nan=False)))
    breaks = "\r\n" if suffix == ".vec" else ""
    letters = st.characters(exclude_categories=["Cs"], exclude_characters=breaks)
    texts = st.text(letters, max_size=8).filter(lambda text: not text.endswith("\0"))
    kind = st.integers(-(2**63), 2**63 - 1) if data.draw(st.booleans()) else texts
    ids = data.draw(st.lists(kind, min_size=shape[0], max_size=shape[0]))
    path = tmp_path / f"x{suffix}"
    FORMATS[suffix].write(path, in_blocks(vectors, 2, ids))
    back = load(path, data.draw(st.integers(1, 7)))
    assert back.vectors.tobytes() == vectors.tobytes()
    assert back.ids is not None
    looks_whole = all(str(each).lstrip("-").isdigit() for each in ids)
    if suffix in (".csv", ".tsv", ".vec") and looks_whole:
        assert [str(each) for each in back.ids] == [str(each) for each in ids]
    else:
        assert back.ids == ids


@pytest.mark.parametrize("rows", [None, 1, 2])
@pytest.mark.parametrize("suffix", KEEPS_METADATA)
def test_metadata_comes_back(tmp_path: Path, suffix: str, rows: int | None) -> None:
    metadata = [
        {"color": "red", "year": 1999, "price": 2.5},
        {"color": "gelb, größer", "year": -3},
        {"year": 0, "price": 1e300},
        {},
        {"color": "\n\"'", "price": -0.125},
    ]
    path = tmp_path / f"x{suffix}"
    FORMATS[suffix].write(path, in_blocks(some_rows("float32", 5), 5, ["a", "b", "c", "d", "e"], metadata))
    back = load(path, rows)
    assert back.metadata == metadata
    np.testing.assert_array_equal(back.vectors, some_rows("float32", 5))
    assert summarize(path, registry=REGISTRY).metadata == ("color", "year", "price")


@pytest.mark.parametrize("suffix", KEEPS_METADATA)
@pytest.mark.parametrize(
    ("later", "message"),
    [
        ({"new": 1}, "'new' that no row of the first block has"),
        ({"id": 1}, "'id'"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    tmp_path: Path, suffix: str, later: dict[str, Any], message: str
) -> None:
    path = tmp_path / f"x{suffix}"
    with pytest.raises(ParameterError, match=message):
        FORMATS[suffix].write(path, in_blocks(some_rows("float32", 2), 1, None, [{"a": 1}, later]))
    with pytest.raises(ParameterError, match="'id', which"):
        FORMATS[suffix].write(path, in_blocks(some_rows("float32", 1), 1, None, [{"id": 1}]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", KEEPS_METADATA)
def test_text_that_is_not_unicode_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ParameterError, match="not valid Unicode"):
        FORMATS[suffix].write(tmp_path / f"x{suffix}", [Block(some_rows("float32", 1), ["\ud800"])])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "target"),
    [(suffix, hub) for suffix in QUICK for hub in (".npz", ".jsonl")] + [(".npy", suffix) for suffix in SUFFIXES],
)
def test_small_whole_numbers_survive_conversions(tmp_path: Path, source: str, target: str) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(6, 4)
    FORMATS[source].write(tmp_path / f"x{source}", [Block(array)])
    assert convert(tmp_path / f"x{source}", tmp_path / f"y{target}", registry=REGISTRY, rows=4) == 6
    np.testing.assert_array_equal(load(tmp_path / f"y{target}").vectors, array)


# ---- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_files_that_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"empty{suffix}").touch()
    (tmp_path / f"folder{suffix}").mkdir()
    for name, error, message in [
        ("empty", CorruptFileError, f"empty{suffix}"),
        ("folder", StorageError, "is a folder"),
        ("missing", StorageError, "there is no file"),
    ]:
        for call in (load, lambda path: load(path, 2), FORMATS[suffix].describe):
            with pytest.raises(NearkinError, match=message) as caught:
                call(tmp_path / f"{name}{suffix}")
            assert type(caught.value) is error


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_permission(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    FORMATS[suffix].write(path, [Block(np.ones((2, 2), np.float32))])
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # permissions do not hold back the superuser
    try:
        for call in (load, lambda path: load(path, 2), FORMATS[suffix].describe):
            with pytest.raises(StorageError, match="Permission denied") as caught:
                call(path)
            assert type(caught.value) is StorageError
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    FORMATS[suffix].write(path, [Block(np.ones((2, 2), np.float32))])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # the kernel refuses to let a file grow past this
    try:
        with pytest.raises(StorageError, match="was not written"):
            FORMATS[suffix].write(path, in_blocks(some_rows("uint8", 2_000, 60) // 2, 500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_space_reported_by_the_disk(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMATS[suffix]
    path = tmp_path / f"x{suffix}"
    form.write(path, [Block(np.ones((2, 2), np.float32))])
    before = path.read_bytes()
    real = type(form)._write

    def full(self: VectorFormat, part: Path, blocks: Iterator[Block]) -> None:
        real(self, part, blocks)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(form), "_write", full)
    with pytest.raises(StorageError, match="No space left on device"):
        form.write(path, [Block(np.zeros((3, 3), np.float32))])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


# ---- bad bytes -------------------------------------------------------------------------------------------------------


def answer_or_refusal(path: Path) -> None:
    """Read a file in every way; blocks are well formed and no larger than asked, or there is a NearkinError."""
    form = FORMATS[path.suffix]
    for rows in (1, 1000):
        with suppress(NearkinError):
            for block in islice(form.read(path, rows=rows), 3000):
                assert len(block.vectors) <= rows
                assert block.vectors.nbytes <= 1 << 26
    for call in (form.describe, load):
        with suppress(NearkinError):
            call(path)


@QUIET
@given(noise=st.binary(max_size=400))
@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_random_bytes(tmp_path: Path, suffix: str, noise: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(noise)
    answer_or_refusal(path)


def valid_bytes(folder: Path, suffix: str) -> bytes:
    path = folder / f"valid{suffix}"
    if suffix == ".glove":
        path.write_text("".join(f"{word} {row} 0.5 -1e3\n" for row, word in enumerate("abcdefghi")))
    elif suffix == ".w2v":
        path.write_bytes(b"9 3\n" + b"".join(b"%c " % (97 + row) + b"\0\0\x80\x3f" * 3 + b"\n" for row in range(9)))
    elif not path.exists():
        array = some_rows("float32", 9, 6) if "float32" in FORMATS[suffix].dtypes else some_rows("uint8", 9, 6) // 2
        ids = list(range(9)) if suffix in INTEGER_IDS else list("abcdefghi")
        FORMATS[suffix].write(path, [Block(array, ids, [{"n": n} for n in range(9)])])
    return path.read_bytes()


@QUIET
@given(data=st.data())
@pytest.mark.parametrize("suffix", [each for each in ALL_SUFFIXES if each != ".hdf5"])
def test_flipped_bits(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    bad = bytearray(valid_bytes(tmp_path, suffix))
    head = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(len(bad), 140 if head else len(bad)) - 1))
        bad[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(bad)
    answer_or_refusal(path)


@pytest.mark.parametrize("suffix", ALL_SUFFIXES)
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    whole = valid_bytes(tmp_path, suffix)
    path = tmp_path / f"x{suffix}"
    every = range(len(whole)) if len(whole) < 500 else [*range(64), *range(64, len(whole), 1 + len(whole) // 40)]
    for length in every:
        path.write_bytes(whole[:length])
        answer_or_refusal(path)
        if suffix not in (".csv", ".tsv", ".jsonl", ".glove", ".fvecs", ".bvecs", ".ivecs", ".vec", ".w2v"):
            with pytest.raises(NearkinError):  # these know their own length to the byte
                load(path, 2)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_changed_values_are_found_where_the_format_has_checksums(tmp_path: Path, suffix: str) -> None:
    array = some_rows("float32", 50, 8)
    path = tmp_path / f"x{suffix}"
    FORMATS[suffix].write(path, [Block(array)])
    whole = path.read_bytes()
    place = whole.index(array.tobytes()[:16]) + 1
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(CorruptFileError):
        load(path, 10)
