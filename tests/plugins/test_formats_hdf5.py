"""hdf5: files of ann-benchmarks and of h5py, and files that the HDF5 library does not survive."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nearkin.errors import CorruptFileError, MissingDependencyError, NearkinError, NotSupportedError, ParameterError
from nearkin.files import read_vectors
from nearkin.formats import Block, FileSummary
from nearkin_plugins.file_formats import hdf5, hdf5_child
from nearkin_plugins.file_formats.hdf5 import Hdf5Format

ROWS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.hdf5"


def save(path: Path, *, libver: Any = None, **datasets: Any) -> Path:
    with h5py.File(path, "w", libver=libver) as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def joined(form: Hdf5Format, path: Path, rows: int = 7) -> Block:
    blocks = list(form.read(path, rows=rows))
    assert max(len(block.vectors) for block in blocks) <= rows
    ids = [each for block in blocks if block.ids is not None for each in block.ids]
    return Block(np.concatenate([block.vectors for block in blocks]), ids or None)


@pytest.mark.parametrize("libver", [None, "latest"])
def test_files_of_ann_benchmarks(path: Path, libver: Any) -> None:
    save(
        path, libver=libver, train=ROWS, test=ROWS[:5] + 1, neighbors=np.ones((5, 3), np.int32), distances=ROWS[:5, :3]
    )
    np.testing.assert_array_equal(joined(Hdf5Format(), path).vectors, ROWS)
    np.testing.assert_array_equal(joined(Hdf5Format(dataset="test"), path).vectors, ROWS[:5] + 1)
    mapped = Hdf5Format().memory_map(path)
    assert mapped is not None
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, ROWS)
    neighbours = Hdf5Format(dataset="/neighbors")
    assert neighbours.describe(path) == FileSummary(5, 3, "int32")
    with pytest.raises(ParameterError, match=r"no dataset 'tset'; it has .*train \(50, 6\)"):
        Hdf5Format(dataset="tset").describe(path)


@pytest.mark.parametrize("how", [{"chunks": (8, 4)}, {"chunks": (8, 6), "compression": "gzip", "shuffle": True}])
def test_chunks_come_through_the_pipe(path: Path, how: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/in/there", data=ROWS.astype(">f8"), **how)
        file["ids"] = [f"größe {row}" for row in range(50)]
    back = joined(Hdf5Format(), path)
    assert back.vectors.dtype == np.float64
    np.testing.assert_array_equal(back.vectors, ROWS)
    assert back.ids == [f"größe {row}" for row in range(50)]
    assert Hdf5Format().memory_map(path) is None
    loaded = read_vectors(path)
    np.testing.assert_array_equal(loaded.vectors, ROWS)


def test_ids_beside_a_map(path: Path) -> None:
    save(path, vectors=ROWS, ids=np.arange(50, dtype=np.uint16) * 3, labels=np.arange(50))
    loaded = read_vectors(path)
    assert isinstance(loaded.vectors, np.memmap)
    assert isinstance(loaded.ids, np.ndarray)
    assert loaded.ids.tolist() == list(range(0, 150, 3))


@pytest.mark.parametrize("dtype", ["bool", "float16", "uint8", "int64"])
def test_h5py_reads_what_is_written(path: Path, dtype: str) -> None:
    rows = (ROWS * 10).astype(dtype)
    form = Hdf5Format(dataset="mine", ids="keys")
    form.write(path, [Block(rows[:20], ["a"] * 20), Block(rows[20:], ["é", ""] * 15)])
    with h5py.File(path) as file:
        assert file["mine"].chunks is None
        np.testing.assert_array_equal(file["mine"][()], rows)
        assert file["keys"].asstr()[()].tolist() == ["a"] * 20 + ["é", ""] * 15
    back = joined(form, path)
    assert back.vectors.dtype == rows.dtype
    np.testing.assert_array_equal(back.vectors, rows)
    assert back.ids == ["a"] * 20 + ["é", ""] * 15


def test_ids_that_hdf5_would_cut_are_refused(path: Path) -> None:
    with pytest.raises(ParameterError, match="NUL character"):
        Hdf5Format().write(path, [Block(ROWS[:1], ["a\0b"])])
    assert not path.exists()


@pytest.mark.parametrize(
    ("datasets", "error", "message"),
    [
        (
            {"one": ROWS, "two": ROWS},
            ParameterError,
            "2 2-D datasets: one, two; choose one with --format hdf5:dataset=one",
        ),
        ({"one": ROWS[0]}, CorruptFileError, r"no 2-D dataset of numbers; it has one \(6,\)"),
        ({"one": [["a", "b"]]}, CorruptFileError, "no 2-D dataset of numbers"),
        ({"train": ROWS, "ids": np.arange(3)}, CorruptFileError, r"'ids' of .* has shape \[3\]"),
        ({"train": ROWS, "ids": np.ones(50)}, CorruptFileError, "'ids' of .* type <f8"),
    ],
)
def test_files_without_vectors(path: Path, datasets: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Hdf5Format().describe(save(path, **datasets))


def test_no_rows_keep_their_width(path: Path) -> None:
    assert joined(Hdf5Format(), save(path, train=ROWS[:0])).vectors.shape == (0, 6)


def test_values_in_other_files_are_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(ROWS.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "train", shape=ROWS.shape, dtype="f4", external=[(str(tmp_path / "secret"), 0, ROWS.nbytes)]
        )
        file["soft"] = h5py.SoftLink("/train")
        file["elsewhere"] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "/train")
    with pytest.raises(NotSupportedError, match="in other files"):
        joined(Hdf5Format(), path)
    with pytest.raises(ParameterError, match="no dataset 'elsewhere'"):
        joined(Hdf5Format(dataset="elsewhere"), path)


def test_rows_that_were_never_written_are_not_made_up(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("train", shape=(1 << 40, 8), dtype="f4", chunks=(1024, 8))
    with pytest.raises(CorruptFileError, match="claims 1,099,511,627,776 rows"):
        joined(Hdf5Format(), path)


@pytest.mark.parametrize(
    ("place", "value", "message"), [(0, 0, "no HDF5 file"), (8, 9, "version 9"), (13, 4, "offsets of 4 bytes")]
)
def test_superblocks_that_are_refused_here(path: Path, place: int, value: int, message: str) -> None:
    content = bytearray(save(path, train=ROWS).read_bytes())
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=message):
        joined(Hdf5Format(), path)


def test_a_file_that_changes_is_looked_at_again(path: Path) -> None:
    assert joined(Hdf5Format(), save(path, train=ROWS)).vectors.shape == (50, 6)
    assert joined(Hdf5Format(), save(path, train=ROWS[:9, :2])).vectors.shape == (9, 2)


def test_changed_bytes_are_an_answer_or_a_refusal(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=ROWS[:9], chunks=(4, 6), compression="gzip")
        file["ids"] = list("abcdefghi")
    whole = path.read_bytes()
    rng = np.random.default_rng(int(os.environ.get("NEARKIN_SOAK", "0")))
    for _ in range(500 if os.environ.get("NEARKIN_SOAK") else 4):
        bad = bytearray(whole)
        for place in rng.integers(8, len(bad), 2):
            bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        with suppress(NearkinError):
            for block in islice(Hdf5Format().read(path, rows=4), 100):
                assert len(block.vectors) <= 4


@pytest.mark.parametrize("asked", ["look", "rows"])
def test_a_crash_of_the_library_is_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=ROWS, chunks=(8, 6))
    hdf5._looked.cache_clear()
    if asked == "rows":
        Hdf5Format().describe(path)
    crash = path.with_name("crash.py")
    crash.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(hdf5_child, "__file__", str(crash))
    with pytest.raises(CorruptFileError, match="is damaged: the HDF5 library crashes on it"):
        list(Hdf5Format().read(path))


def test_a_reader_that_stops_leaves_no_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=ROWS, chunks=(8, 6))
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def noted(*given: Any, **more: Any) -> Any:
        started.append(real(*given, **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    reading = Hdf5Format().read(path, rows=1)
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert started
    assert all(process.returncode is not None for process in started)


def test_without_h5py_the_way_to_it_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, train=ROWS)
    monkeypatch.setitem(sys.modules, "h5py", None)
    hdf5._looked.cache_clear()
    for call in (lambda: Hdf5Format().describe(path), lambda: Hdf5Format().write(path, [Block(ROWS)])):
        with pytest.raises(MissingDependencyError, match=r'h5py.*pip install "nearkin\[files\]"'):
            call()
