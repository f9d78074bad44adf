"""word2vec's two formats and GloVe's: words with spaces, headers that lie, lines cut short."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from nearkin.errors import CorruptFileError, NotSupportedError, ParameterError
from nearkin.files import find_format, read_vectors
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin_plugins.file_formats.options import GloveOptions
from nearkin_plugins.file_formats.word_vectors import GloveFormat, Word2vecBinaryFormat, Word2vecFormat


def read(form: VectorFormat, path: Path, content: bytes | str) -> Block:
    """All rows; read by ones they are the same."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (block,) = form.read(path)
    by_ones = list(form.read(path, rows=1))
    assert [each for one in by_ones for each in one.ids or ()] == list(block.ids if block.ids is not None else ())
    np.testing.assert_array_equal(np.concatenate([one.vectors for one in by_ones]), block.vectors)
    return block


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x"


@pytest.mark.parametrize(
    "text",
    [
        "2 3\nking 1 2 3\nnew york 4 5 6.5\n",
        "2 3\nking 1 2 3 \nnew york 4 5 6.5 \n",  # as word2vec.c writes it
        "2 3\r\nking 1 2 3\r\nnew york 4 5 6.5",
    ],
)
def test_text_of_word2vec(path: Path, text: str) -> None:
    block = read(Word2vecFormat(), path, text)
    assert block.ids == ["king", "new york"]
    assert block.vectors.tolist() == [[1, 2, 3], [4, 5, 6.5]]
    assert Word2vecFormat().describe(path) == FileSummary(2, 3, "float32", ids=True)


def test_the_text_that_is_written(path: Path) -> None:
    rows = [Block(np.float32([[0.1, -2]]), ["é"]), Block(np.float32([[1e-30, 3]]), ["x y"])]
    assert Word2vecFormat().write(path, rows) == 2
    head, *body = path.read_text().splitlines()
    assert head.split() == ["2", "2"]
    assert body == ["é 0.100000001 -2", "x y 1.00000000e-30 3".replace("1.00000000e-30", f"{np.float32(1e-30):.9g}")]


def test_whole_numbers_are_integer_ids_unless_wanted_as_text(path: Path) -> None:
    ids = next(Word2vecFormat().read(_written(path, "2 1\n7 1\n8 2\n"))).ids
    assert isinstance(ids, np.ndarray)
    assert ids.tolist() == [7, 8]
    assert next(Word2vecFormat(text_ids=True).read(path)).ids == ["7", "8"]
    mixed = "1200 1\n" + "".join(f"{row} 1\n" for row in range(1199)) + "word 2\n"
    with pytest.raises(CorruptFileError, match=r"line 1201: 'word' is not a whole number.*text_ids=true"):
        list(Word2vecFormat().read(_written(path, mixed)))


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("king 1 2 3\n", r"begins with 'king 1 2 3'.*--format glove"),
        ("3 2\na 1 2\nb 3 4\n", "claims 3 words in its first line and has 2"),
        ("1 2\na 1 2\nb 3 4\n", "claims 1 words in its first line and has 2"),
        ("2 2\na 1 2\nb 3\n", "line 3 has 1 numbers after its word, 2 numbers expected"),
        ("2 2\na 1 2\nb x 4\n", "line 3 has 'x' for a number"),
        ("2 2\na 1 2\nb 1_0 4\n", "line 3 has '1_0' for a number"),
        ("2 2\na 1 2\nb 1e60 4\n", r"line 3, number 1: 1e\+60 does not fit in float32"),
        ("2 0\na\nb\n", "claims 2 words of 0 columns"),
        ("1000000000 1000000\na 1\n", "claims 1,000,000,000 words of 1,000,000 columns in 23 bytes"),
    ],
)
def test_damaged_text(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(CorruptFileError, match=message):
        list(Word2vecFormat().read(path))


def test_line_breaks_in_words_are_refused(path: Path) -> None:
    with pytest.raises(ParameterError, match="line break"):
        Word2vecFormat().write(path, [Block(np.ones((1, 1), np.float32), ["a\rb"])])


def test_text_of_glove(path: Path) -> None:
    block = read(GloveFormat(), path, "the 1 2\n. . . 3 4\nname@x.com\u00a0a 5 6\nat 5 7 8\n")
    assert block.ids == ["the", ". . .", "name@x.com\u00a0a", "at 5"]
    assert block.vectors.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert GloveFormat().describe(path) == FileSummary(None, 2, "float32", ids=True)
    assert read(GloveFormat(dim=1), path, "a b 1\nc d 2\n").ids == ["a b", "c d"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 3\nking 1 2 3\nqueen 4 5 6\n", "header of word2vec's; name it: --format word2vec"),
        ("0.5 1 2\n0.25 3 4\n", "numbers in place of words; .*--format csv:delimiter=space"),
        ("  0.5   1 2\n0.25 3  4\n", "numbers in place of words; .*--format csv:delimiter=space"),
        ("0.5,1\n2,3\n", "numbers in place of words; .*--format csv:delimiter=comma"),
        ("0.5\t1\n2\t3\n", "numbers in place of words; .*--format csv:delimiter=tab"),
        ("some\ntext\n", "no numbers after its words"),
        ("some more\ntext here\n", "no numbers after its words"),
        ("a 1 2\nb 3 4\nc 5\nd 6 7\n", "line 3 has 1 numbers after its word"),
        ("", "is empty"),
    ],
)
def test_text_that_is_no_glove(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(CorruptFileError, match=message):
        list(GloveFormat().read(path))


def test_options_of_glove() -> None:
    with pytest.raises(ParameterError, match="dim is 0"):
        GloveOptions(dim=0)


def binary(*words: bytes, end: bytes = b"\n", rows: int | None = None, dim: int = 3) -> bytes:
    records = [word + b" " + struct.pack("<3f", number, 32.0, -1.5) + end for number, word in enumerate(words)]
    return b"%d %d\n" % (len(words) if rows is None else rows, dim) + b"".join(records)


@pytest.mark.parametrize("end", [b"\n", b""])  # word2vec.c writes one, gensim does not
def test_binary_of_word2vec(path: Path, end: bytes) -> None:
    block = read(Word2vecBinaryFormat(), path, binary(b"</s>", "größe".encode(), b"cut \xe9"[:3] + b"\xe9", end=end))
    assert block.ids == ["</s>", "größe", "cut\\xe9"]
    assert block.vectors.tolist() == [[row, 32, -1.5] for row in range(3)]
    assert Word2vecBinaryFormat().describe(path) == FileSummary(3, 3, "float32", ids=True)


def test_a_bin_is_read_only_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(binary(b"a", b"b"))
    with pytest.raises(NotSupportedError, match="--format word2vec-binary"):
        find_format(tmp_path / "x.bin")
    assert read_vectors(tmp_path / "x.bin", format="word2vec-binary").ids == ["a", "b"]


def test_more_than_a_read_of_the_binary(path: Path) -> None:
    words = [b"w%d" % number for number in range(2500)]
    rows = np.random.default_rng(0).normal(size=(2500, 200)).astype("<f4")  # 2 MB
    records = b"".join(word + b" " + row.tobytes() for word, row in zip(words, rows, strict=True))
    path.write_bytes(b"2500 200\n" + records)
    blocks = list(Word2vecBinaryFormat().read(path, rows=999))
    np.testing.assert_array_equal(np.concatenate([block.vectors for block in blocks]), rows)
    assert [word for block in blocks for word in block.ids or ()] == [word.decode() for word in words]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary(b"a", b"b")[:-3], "cut short within word 1"),
        (binary(b"a" * 20, b"b")[:-14], "cut short within word 1"),
        (binary(b"a" * 20, b"b")[:-15], "claims 2 words and has 1"),
        (binary(b"a", b"b", rows=1), "more than the 1 words"),
        (binary(b"a", rows=10**9), "claims 1,000,000,000 words"),
        (b"1 4\n" + b"a" * 200, "cut short within word 0"),
        (b"model\n" + bytes(100), r"begins with 'model'"),
        (b"\x80\x02}q\x00", "begins with"),
    ],
)
def test_damaged_binary(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=message):
        list(Word2vecBinaryFormat().read(path))
