"""Finding a format by a file's name, loading, converting and summarizing, with a registry made for the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearkin.errors import AmbiguousNameError, CorruptFileError, NotSupportedError, StorageError, UnknownNameError
from nearkin.files import convert, find_format, read_vectors, summarize
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.hooks import FormatSpec
from nearkin.npy_format import NpyFormat


class JsonLines(VectorFormat):
    """[id, vector, metadata] on every line; says how many rows there are only if asked to."""

    name = "lines"
    suffixes = (".lines",)
    keeps = frozenset({"ids", "metadata"})

    def __init__(self, claims: int | None = None, mapped: bool = False) -> None:
        self.claims = claims
        self.mapped = mapped

    def _describe(self, path: Path) -> FileSummary:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return FileSummary(self.claims, len(rows[0][1]), "float32", True, tuple(rows[0][2]))

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with path.open() as file:
            for line in file:
                id, vector, metadata = json.loads(line)
                yield Block(np.float32([vector]), [id] if isinstance(id, str) else np.array([id]), [metadata])

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        with path.open("w") as file:
            for block in blocks:
                for at, vector in enumerate(block.vectors.tolist()):
                    id = None if block.ids is None else block.ids[at]
                    metadata = block.metadata[at] if block.metadata else {}
                    print(json.dumps([id if isinstance(id, str | None) else int(id), vector, metadata]), file=file)

    def _memory_map(self, path: Path) -> np.ndarray | None:
        return np.concatenate([block.vectors for block in self._read(path, 1)]) if self.mapped else None


class Registry:
    """Formats by name, made with the options as text."""

    def __init__(self, **formats: Any) -> None:
        self.formats = formats or {"npy": NpyFormat, "lines": JsonLines}
        self.asked: list[str] = []

    def specs(self, kind: str) -> list[FormatSpec]:
        assert kind == "format"
        return [
            FormatSpec(name=name, summary="-", make=make, suffixes=make.suffixes) for name, make in self.formats.items()
        ]

    def make(self, kind: str, text: str) -> VectorFormat:
        assert kind == "format"
        self.asked.append(text)
        name, _, options = text.partition(":")
        form: VectorFormat = self.formats[name](**{key: int(value) for key, value in _pairs(options)})
        return form


def _pairs(options: str) -> Iterator[tuple[str, str]]:
    for option in filter(None, options.split(":")):
        key, _, value = option.partition("=")
        yield key, value


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "x.lines"
    path.write_text('["a", [1, 2], {"n": 1}]\n["é", [3, 4], {"n": 2}]\n')
    return path


def test_npy_is_loaded_as_a_map(tmp_path: Path) -> None:
    np.save(tmp_path / "X.NPY", np.eye(3, dtype=np.uint8))
    (tmp_path / "X.NPY.npy").rename(tmp_path / "X.NPY")
    loaded = read_vectors(tmp_path / "X.NPY", registry=Registry())
    assert isinstance(loaded.vectors, np.memmap)
    assert (loaded.ids, loaded.metadata) == (None, None)
    np.testing.assert_array_equal(loaded.vectors, np.eye(3, dtype=np.uint8))


def test_big_endian_npy_is_loaded_by_blocks(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3, dtype=">f8"))
    loaded = read_vectors(tmp_path / "x.npy", registry=Registry())
    assert loaded.vectors.dtype == np.float64
    np.testing.assert_array_equal(loaded.vectors, np.eye(3))


@pytest.mark.parametrize(
    "format",
    [
        None,
        "lines:claims=2",
        "lines:mapped=1",
    ],
)
def test_ids_and_metadata_are_loaded_beside_the_vectors(lines: Path, format: str | None) -> None:
    registry = Registry()
    loaded = read_vectors(lines, registry=registry, format=format)
    assert loaded.vectors.tolist() == [[1, 2], [3, 4]]
    assert loaded.ids == ["a", "é"]
    assert loaded.metadata == [{"n": 1}, {"n": 2}]
    assert registry.asked == [format or "lines"]


def test_integer_ids_are_loaded_as_an_array(tmp_path: Path) -> None:
    (tmp_path / "x.lines").write_text("[7, [1], {}]\n[8, [2], {}]\n")
    ids = read_vectors(tmp_path / "x.lines", registry=Registry()).ids
    assert isinstance(ids, np.ndarray)
    assert ids.tolist() == [7, 8]


@pytest.mark.parametrize("claims", [1, 3, 10**15])  # memory for the last is never asked for
def test_a_head_that_disagrees_with_the_rows_is_found(lines: Path, claims: int) -> None:
    with pytest.raises(CorruptFileError, match="other rows than its head says"):
        read_vectors(lines, registry=Registry(), format=f"lines:claims={claims}")


def test_convert_streams_and_says_what_is_lost(lines: Path, tmp_path: Path) -> None:
    lost: list[list[str]] = []
    assert convert(lines, tmp_path / "x.npy", registry=Registry(), on_loss=lost.append) == 2
    assert lost == [["ids", "metadata"]]
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), np.float32([[1, 2], [3, 4]]))

    assert convert(lines, tmp_path / "y.lines", registry=Registry(), on_loss=lost.append, rows=1) == 2
    assert len(lost) == 1
    assert [json.loads(line) for line in (tmp_path / "y.lines").read_text().splitlines()] == [
        json.loads(line) for line in lines.read_text().splitlines()
    ]


def test_convert_onto_itself(lines: Path) -> None:
    before = [json.loads(line) for line in lines.read_text().splitlines()]
    assert convert(lines, lines, registry=Registry()) == 2
    assert [json.loads(line) for line in lines.read_text().splitlines()] == before


def test_convert_takes_a_format_for_each_side(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(2, dtype=np.float32))
    (tmp_path / "x.npy").rename(tmp_path / "x.dat")
    registry = Registry()
    rows = convert(
        tmp_path / "x.dat", tmp_path / "y.dat", registry=registry, source_format="npy", target_format="lines:claims=1"
    )
    assert rows == 2
    assert registry.asked == ["npy", "lines:claims=1"]


def test_summarize(lines: Path) -> None:
    assert summarize(lines, registry=Registry()) == FileSummary(None, 2, "float32", True, ("n",))


def test_unknown_endings_name_what_is_known_and_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_format("x.nyp", registry=Registry())
    assert "'.nyp'" in str(caught.value)
    assert "did you mean '.npy'?" in str(caught.value)
    assert ".lines, .npy" in str(caught.value)
    (tmp_path / "vectors").touch()
    with pytest.raises(UnknownNameError, match="has no ending"):
        find_format(tmp_path / "vectors", registry=Registry())
    with pytest.raises(StorageError, match="there is no file vectors"):
        find_format("vectors", registry=Registry())
    with pytest.raises(StorageError, match="is a folder"):
        find_format(tmp_path, registry=Registry())


@pytest.mark.parametrize(
    ("ending", "way_out"),
    [
        (".pt", r"torch\.load\('model\.pt', map_location='cpu', weights_only=True\)"),
        (".pth", r"torch\.load\('model\.pth'"),
        (".ckpt", r"torch\.load"),
        (".bin", r"torch\.load.*--format word2vec-binary"),
        (".pkl", r"pickle\.load\(open\('model\.pkl', 'rb'\)\)"),
        (".PICKLE", r"pickle\.load"),
        (".joblib", r"joblib\.load\('model\.joblib'\)"),
    ],
)
def test_files_that_run_code_are_refused_with_a_way_out(ending: str, way_out: str) -> None:
    with pytest.raises(
        NotSupportedError, match=rf"runs the code in it; save plain numbers.*np\.save\('vectors\.npy'.*{way_out}"
    ):
        read_vectors(f"model{ending}", registry=Registry())


def test_a_plain_format_may_be_named_for_a_file_with_such_an_ending(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(2))
    (tmp_path / "x.npy").rename(tmp_path / "x.bin")
    assert read_vectors(tmp_path / "x.bin", registry=Registry(), format="npy").vectors.shape == (2, 2)


def test_the_longest_ending_wins_and_a_tie_is_refused() -> None:
    class Long(NpyFormat):
        suffixes = (".big.npy",)

    class Same(NpyFormat):
        suffixes = (".npy",)

    assert isinstance(find_format("x.big.npy", registry=Registry(npy=NpyFormat, long=Long)), Long)
    with pytest.raises(AmbiguousNameError, match=r"2 formats read files ending in '\.npy': npy, same"):
        find_format("x.npy", registry=Registry(npy=NpyFormat, same=Same))


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    for call in (read_vectors, summarize):
        with pytest.raises(StorageError, match="there is no file"):
            call(tmp_path / "x.npy", registry=Registry())
    with pytest.raises(StorageError, match="there is no file"):
        convert(tmp_path / "x.npy", tmp_path / "y.npy", registry=Registry())
    assert not list(tmp_path.iterdir())
