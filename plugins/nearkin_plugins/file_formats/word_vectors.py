"""Word vectors: word2vec's text with its header, GloVe's without, and word2vec's binary.

Source: https://code.google.com/archive/p/word2vec (word2vec.c), https://nlp.stanford.edu/projects/glove. The text of fastText
(.vec) is word2vec's. Words are UTF-8; bytes that are not appear as in Python's ``backslashreplace``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from nearkin.errors import CorruptFileError, ParameterError
from nearkin.formats import Block, FileSummary, VectorFormat
from nearkin.vectors import block_rows
from nearkin_plugins.file_formats.cells import read_number, read_whole, reads_as
from nearkin_plugins.file_formats.plain_matrices import LARGEST_DIM
from nearkin_plugins.file_formats.text_lines import (
    NUMBER_BYTES,
    SAMPLE_CHARACTERS,
    SAMPLE_ROWS,
    as_float32,
    text_lines,
)

_HEADER_WIDTH = 40
_LONGEST_WORD = 1 << 16


class _Line(NamedTuple):
    number: int
    text: str
    """Without the white space at its end."""


@dataclass(frozen=True)
class _Layout:
    rows: int | None
    """As the header claims them; None without one."""
    dim: int
    whole: bool
    """Whether words are whole numbers, and are read as integer ids."""


class WordTextFormat(VectorFormat):
    """What both texts share: on every line a word and its numbers, separated by single spaces.

    The numbers are the last ones of a line, so that words may have spaces inside. Vectors are read as float32.
    """

    keeps = frozenset({"ids"})

    def _describe(self, path: Path) -> FileSummary:
        with self._open(path) as (layout, _):
            return FileSummary(layout.rows, layout.dim, "float32", ids=True)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        done = 0
        with self._open(path) as (layout, lines):
            step = min(rows, block_rows(NUMBER_BYTES * layout.dim))
            while run := list(islice(lines, step)):
                yield _text_block(run, layout, path)
                done += len(run)
        if layout.rows not in (None, done):
            raise CorruptFileError(f"{path} claims {layout.rows:,} words in its first line and has {done:,}")
        if not done:
            yield Block(np.empty((0, layout.dim), np.float32), np.empty(0, np.int64))

    @contextmanager
    def _open(self, path: Path) -> Iterator[tuple[_Layout, Iterator[_Line]]]:
        with path.open(encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            lines = _filled(text_lines(file, path))
            head = next(lines, None)
            if head is None:
                raise CorruptFileError(f"{path} is empty, words and their numbers expected")
            yield self._lay_out(head, lines, path)

    def _lay_out(self, head: _Line, lines: Iterator[_Line], path: Path) -> tuple[_Layout, Iterator[_Line]]:
        raise NotImplementedError


class Word2vecFormat(WordTextFormat):
    """Text with a header, ``rows columns``. Written with nine digits, which keeps every bit of a float32.

    Rows without ids are written with their numbers from 0 as words. Words with spaces inside are read back here; many other
    programs cannot.

    Parameters
    ----------
    text_ids
        Keep words as text even if they are all whole numbers.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/x.vec").write_text("2 3\\nking 1 2 3\\nqueen 4 5 6.5\\n")
    ...     block = next(Word2vecFormat().read(f"{folder}/x.vec"))
    >>> block.ids, block.vectors.tolist()
    (['king', 'queen'], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]])
    """

    name = "word2vec"
    suffixes = (".vec",)

    def __init__(self, text_ids: bool = False) -> None:
        self.text_ids = text_ids

    def _lay_out(self, head: _Line, lines: Iterator[_Line], path: Path) -> tuple[_Layout, Iterator[_Line]]:
        rows, dim = _read_header(head.text, path, least=2)
        sample = _sample(lines)
        words = [line.text.rsplit(" ", dim)[0] for line in sample]
        whole = not self.text_ids and all(reads_as(read_whole, word) for word in words)
        return _Layout(rows, dim, whole), chain(sample, lines)

    def _write(self, path: Path, blocks: Iterator[Block]) -> None:
        """The header has a fixed width, so that the number of words is filled in at the end."""
        first = next(blocks)
        dim, done = first.vectors.shape[1], 0
        numbers = dim * " %.9g"
        with path.open("wb") as file:
            file.write(b" " * (_HEADER_WIDTH - 1) + b"\n")
            for block in chain([first], blocks):
                words = _words(block, done)
                for word, row in zip(words, block.vectors.tolist(), strict=True):
                    file.write(f"{word}{numbers % tuple(row)}\n".encode())
                done += len(block.vectors)
            file.seek(0)
            file.write(f"{done} {dim}".encode())


class GloveFormat(WordTextFormat):
    """Text without a header, read only. The first 1,000 lines tell the number of columns.

    Parameters
    ----------
    dim
        Columns, if words with spaces inside make it hard to see.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/x.glove").write_text("the 1 2\\n. . . 3 4\\nof 5 6\\n")
    ...     block = next(GloveFormat().read(f"{folder}/x.glove"))
    >>> block.ids, block.vectors.tolist()
    (['the', '. . .', 'of'], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    """

    name = "glove"
    suffixes = (".glove", ".txt")
    writable = False

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def _lay_out(self, head: _Line, lines: Iterator[_Line], path: Path) -> tuple[_Layout, Iterator[_Line]]:
        sample = [head, *_sample(lines)]
        mark = _separator_of_numbers(sample)
        if mark:
            raise CorruptFileError(
                f"{path} has numbers in place of words",
                hint=f"rows of numbers are read by --format csv:delimiter={mark}",
            )
        counts = Counter(line.text.count(" ") for line in sample)
        dim = self.dim or max(counts, key=lambda count: counts[count])
        if dim and len(sample) > 1 and dim != 1 and _is_header(head.text):
            raise CorruptFileError(
                f"{path} begins with {head.text!r}, which is a header of word2vec's", hint="name it: --format word2vec"
            )
        if not dim or not reads_as(read_number, sample[-1].text.rsplit(" ", 1)[-1]):
            raise CorruptFileError(
                f"{path} has no numbers after its words", hint="a word and its numbers on every line are expected"
            )
        return _Layout(None, dim, whole=False), chain(sample, lines)


class Word2vecBinaryFormat(VectorFormat):
    """word2vec's binary, read only: a header ``rows columns``, then every word, a space and its float32, little-endian.

    Its usual ending .bin is that of pickled files too, so it is only read where it is named.
    """

    name = "word2vec-binary"
    suffixes = (".w2v",)
    writable = False
    keeps = frozenset({"ids"})

    def _describe(self, path: Path) -> FileSummary:
        with path.open("rb") as file:
            rows, dim = _binary_header(file, path)
        return FileSummary(rows, dim, "float32", ids=True)

    def _read(self, path: Path, rows: int) -> Iterator[Block]:
        with path.open("rb") as file:
            total, dim = _binary_header(file, path)
            records = _records(file, 4 * dim, path)
            step = min(rows, block_rows(4 * dim))
            for start in range(0, max(1, total), step):
                run = list(islice(records, min(step, total - start)))
                if len(run) < min(step, total - start):
                    raise CorruptFileError(f"{path} claims {total:,} words and has {start + len(run):,}")
                values = np.frombuffer(b"".join(value for _, value in run), "<f4").reshape(len(run), dim)
                yield Block(values, [word for word, _ in run])
            if next(records, None) is not None:
                raise CorruptFileError(f"{path} has more than the {total:,} words that it claims")


def _separator_of_numbers(sample: list[_Line]) -> str | None:
    """What separates the numbers of lines without words, as csv calls it; None if there are words."""
    for name, mark in (("space", " "), ("comma", ","), ("tab", "\t"), ("semicolon", ";")):
        cells = (cell for line in sample for cell in line.text.split(mark) if cell or mark != " ")
        if all(reads_as(read_number, cell) for cell in cells):
            return name
    return None


def _filled(lines: Iterator[str]) -> Iterator[_Line]:
    """Lines without the white space at their ends; blank ones are left out."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip(" \r\n")
        if text:
            yield _Line(number, text)


def _sample(lines: Iterator[_Line]) -> list[_Line]:
    sample: list[_Line] = []
    characters = 0
    for line in islice(lines, SAMPLE_ROWS):
        sample.append(line)
        characters += len(line.text)
        if characters > SAMPLE_CHARACTERS:
            break
    return sample


def _is_header(text: str) -> bool:
    parts = text.split()
    return len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts)


def _read_header(text: str, path: Path, least: int) -> tuple[int, int]:
    """Words and columns that a first line claims, if the file is long enough for them at `least` bytes a number."""
    if not _is_header(text):
        raise CorruptFileError(
            f"{path} begins with {text[:40]!r}, the numbers of words and columns expected",
            hint="a text without that line is read by --format glove",
        )
    rows, dim = map(int, text.split())
    size = path.stat().st_size
    if not 1 <= dim <= LARGEST_DIM or rows * dim * least > size:
        raise CorruptFileError(f"{path} claims {rows:,} words of {dim:,} columns in {size:,} bytes")
    return rows, dim


def _text_block(lines: list[_Line], layout: _Layout, path: Path) -> Block:
    values = np.empty((len(lines), layout.dim))
    words = []
    for at, (number, text) in enumerate(lines):
        word, *numbers = text.rsplit(" ", layout.dim)
        try:
            if len(numbers) != layout.dim or "_" in text.removeprefix(word):
                raise ValueError
            values[at] = [float(each) for each in numbers]
        except ValueError as error:
            odd = next((each for each in numbers if not reads_as(read_number, each)), None)
            what = f"has {len(numbers)} numbers after its word" if odd is None else f"has {odd[:40]!r} for a number"
            raise CorruptFileError(
                f"{path} line {number} {what}, {layout.dim} numbers expected", hint="it may be cut short"
            ) from error
        words.append(word)
    return Block(as_float32(values, [line.number for line in lines], path), _ids(words, lines, layout, path))


def _ids(words: list[str], lines: list[_Line], layout: _Layout, path: Path) -> Sequence[str] | np.ndarray:
    if not layout.whole:
        return words
    for word, line in zip(words, lines, strict=True):
        if not reads_as(read_whole, word):
            raise CorruptFileError(
                f"{path} line {line.number}: {word[:40]!r} is not a whole number, as the first words are",
                hint="keep words as text with --format word2vec:text_ids=true",
            )
    return np.array([int(word) for word in words], dtype=np.int64)


def _words(block: Block, start: int) -> list[str]:
    if block.ids is None:
        return [str(start + at) for at in range(len(block.vectors))]
    words = [str(id) for id in block.ids]
    for word in words:
        if "\n" in word or "\r" in word:
            raise ParameterError(f"id {word[:40]!r} has a line break, which word2vec files cannot keep")
    return words


def _binary_header(file: IO[bytes], path: Path) -> tuple[int, int]:
    line = file.readline(_HEADER_WIDTH)
    return _read_header(line.decode("ascii", "backslashreplace").strip(), path, least=4)


def _records(file: IO[bytes], width: int, path: Path) -> Iterator[tuple[str, bytes]]:
    """Words and the bytes of their numbers, read a megabyte at a time."""
    held, done = b"", 0
    while True:
        more = file.read(max(1 << 20, width))
        held += more
        start = 0
        while (space := held.find(b" ", start)) >= 0 and space + 1 + width <= len(held):
            word = held[start:space].lstrip(b"\n").decode("utf-8", "backslashreplace")
            yield word, held[space + 1 : space + 1 + width]
            start, done = space + 1 + width, done + 1
        held = held[start:]
        if not more and held.strip(b"\n"):
            raise CorruptFileError(f"{path} is cut short within word {done:,}, or is not a word2vec file")
        if not more:
            return
        if len(held) > _LONGEST_WORD and b" " not in held[:_LONGEST_WORD]:
            raise CorruptFileError(f"{path} has no word in {_LONGEST_WORD:,} bytes after word {done:,}")
