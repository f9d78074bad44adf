"""Texts as the mean of the vectors of their words, read from a file of GloVe or word2vec."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.components import Part, as_written
from nearkin.embedders import Embedder, ModelSize, Role, digest_of
from nearkin.errors import CorruptFileError, ParameterError, UnknownNameError
from nearkin.formats import VectorFormat
from nearkin.state import State
from nearkin_plugins.file_formats.word_vectors import GloveFormat, Word2vecBinaryFormat, Word2vecFormat

FORMATS: Mapping[str, type[VectorFormat]] = {
    "glove": GloveFormat,
    "word2vec": Word2vecFormat,
    "word2vec-binary": Word2vecBinaryFormat,
}
WEIGHTINGS = ("mean", "idf")
_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*", re.UNICODE)
_PIECE = re.compile(r"[^\W_]+", re.UNICODE)
_BLOCK_ROWS = 65_536
_CANARIES = 4


class WordTable:
    """Words and their vectors in four arrays: a dict of 400,000 words would take as much as 100 columns of their numbers.

    Words are found by their hashes, sorted, and compared with the bytes of all words one after the other.

    >>> table = WordTable([(["king", "queen"], np.eye(2, dtype=np.float32))])
    >>> table.find("queen"), table.find("duke"), table.word(0)
    (1, -1, 'king')
    """

    def __init__(self, blocks: Any) -> None:
        words: list[str] = []
        parts: list[np.ndarray] = []
        for names, vectors in blocks:
            words += names
            parts.append(np.asarray(vectors, dtype=np.float32))
        self.vectors = parts[0] if len(parts) == 1 else np.concatenate(parts)
        texts = [word.encode("utf-8", "surrogatepass") for word in words]
        self.ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        self.letters = np.frombuffer(b"".join(texts), np.uint8)
        hashes = np.fromiter(map(hash, words), np.int64, len(words))
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def __len__(self) -> int:
        return len(self.ends)

    def word(self, row: int) -> str:
        """The word of a row."""
        return self._letters(row).decode("utf-8", "surrogatepass")

    def _letters(self, row: int) -> bytes:
        return self.letters[int(self.ends[row - 1]) if row else 0 : int(self.ends[row])].tobytes()

    def find(self, word: str) -> int:
        """First row of a word; -1 where there is none."""
        code, wanted = hash(word), word.encode("utf-8", "surrogatepass")
        place = int(np.searchsorted(self._hashes, code))
        while place < len(self._hashes) and self._hashes[place] == code:
            row = int(self._order[place])
            if self._letters(row) == wanted:
                return row
            place += 1
        return -1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(each.nbytes for each in (self.vectors, self.ends, self.letters, self._order, self._hashes))


class WordVectorEmbedder(Embedder):
    """Mean of the vectors of a text's words.

    A word is looked up as it is written, then in lower case, then, with a hyphen or an apostrophe inside, by its pieces; unknown
    ones are left out. A text without a known word becomes zeros, which a collection under cosine refuses.

    ``weighting="idf"`` weights each word by ln((1 + n) / (1 + df)) + 1, with df the number of the n texts learned from that have it
    (as scikit-learn's ``smooth_idf``; K. Spärck Jones, 1972).

    Parameters
    ----------
    path
        A file of GloVe or word2vec.
    weighting
        ``"mean"``, or ``"idf"``, which is learned from the first items.
    format
        ``"glove"``, ``"word2vec"`` or ``"word2vec-binary"``; left out, by the ending (.vec is word2vec's, .bin and .w2v are binary,
        all others GloVe's).

    Raises
    ------
    UnknownNameError
        There is no such file.
    CorruptFileError
        It is not of this format.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/x.glove").write_text("king 1 0\\nqueen 0 1\\nmay 1 1\\n")
    ...     embedder = WordVectorEmbedder(f"{folder}/x.glove")
    >>> embedder.embed(["King and queen", "nobody"]).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """

    name = "word-vectors"
    labels = frozenset({"name"})

    def __init__(self, path: str, weighting: str = "mean", format: str | None = None) -> None:
        if weighting not in WEIGHTINGS:
            raise ParameterError(f"weighting is {weighting!r}, one of {', '.join(WEIGHTINGS)} expected")
        self.path = Path(path).expanduser().resolve()
        self.weighting = weighting
        self.needs_fit = weighting == "idf"
        self._format = format
        self._table = _read(self.path, format or _format_of(self.path))
        self._checksum = digest_of(
            {"vectors": self._table.vectors, "letters": self._table.letters, "ends": self._table.ends}
        )
        self._idf: np.ndarray | None = None

    def __deepcopy__(self, memo: Any) -> WordVectorEmbedder:
        """With the same words, which nothing changes."""
        return copy(self)

    @property
    def dim(self) -> int:
        return int(self._table.vectors.shape[1])

    @property
    def words(self) -> int:
        """Words of the file."""
        return len(self._table)

    @property
    def identity(self) -> Mapping[str, Any]:
        learned = {} if self._idf is None else {"idf": digest_of({"idf": self._idf})}
        return {
            "kind": "word-vectors",
            "revision": 1,
            "name": self.path.name,
            "weights": self._checksum,
            "dim": self.dim,
            "weighting": self.weighting,
            **learned,
        }

    @property
    def text(self) -> str:
        options: dict[str, Any] = {} if self.weighting == "mean" else {"weighting": self.weighting}
        if self._format is not None:
            options["format"] = self._format
        return str(Part(f"{self.name}:{as_written(str(self.path))}", options))

    @property
    def fitted(self) -> bool:
        return not self.needs_fit or self._idf is not None

    @property
    def canaries(self) -> Sequence[Any]:
        """Words of the file, far apart in it: others might all be unknown."""
        found: list[str] = []
        for part in range(_CANARIES):
            for row in range(part * len(self._table) // _CANARIES, len(self._table)):
                word = self._table.word(row)
                if word not in found and self._rows(word) == [row] and self._table.vectors[row].any():
                    found.append(word)
                    break
        return [*found, " ".join(found)]

    def state(self) -> State:
        return State() if self._idf is None else State({"idf": self._idf})

    def restore(self, state: State) -> None:
        idf = state.arrays.get("idf")
        if idf is not None and len(idf) != len(self._table):
            raise CorruptFileError(
                f"{self.path} has {len(self._table):,} words, and it had {len(idf):,} when their weights were learned"
            )
        self._idf = idf

    def size(self) -> ModelSize:
        return ModelSize(self._table.vectors.size, self._table.nbytes)

    def _fit(self, items: Sequence[Any]) -> None:
        if not self.needs_fit:
            super()._fit(items)
        texts_with = np.zeros(len(self._table), dtype=np.int64)
        for text in items:
            texts_with[list(set(self._rows(text)))] += 1
        self._idf = (np.log((1 + len(items)) / (1 + texts_with)) + 1).astype(np.float32)

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        vectors = np.zeros((len(items), self.dim), dtype=np.float32)
        for number, text in enumerate(items):
            rows = self._rows(text)
            if rows:
                weights = np.ones(len(rows)) if self._idf is None else self._idf[rows].astype(np.float64)
                vectors[number] = weights @ self._table.vectors[rows] / math.fsum(weights)
        return vectors

    def _rows(self, text: str) -> list[int]:
        """Rows of the known words of a text."""
        return [row for found in _WORD.finditer(text) for row in self._rows_of(found[0])]

    def _rows_of(self, word: str) -> Iterator[int]:
        row = self._row(word)
        if row >= 0:
            yield row
            return
        pieces = _PIECE.findall(word)
        yield from (row for row in map(self._row, pieces if len(pieces) > 1 else ()) if row >= 0)

    def _row(self, word: str) -> int:
        row = self._table.find(word)
        return row if row >= 0 else self._table.find(word.lower())


def _format_of(path: Path) -> str:
    endings = {".vec": "word2vec", ".bin": "word2vec-binary", ".w2v": "word2vec-binary"}
    return endings.get(path.suffix.lower(), "glove")


def _read(path: Path, format: str) -> WordTable:
    if format not in FORMATS:
        raise ParameterError(f"format is {format!r}, one of {', '.join(FORMATS)} expected")
    if not path.is_file():
        raise UnknownNameError(f"there is no file of word vectors {path}")
    blocks = FORMATS[format]().read(path, rows=_BLOCK_ROWS)
    table = WordTable([([str(word) for word in block.ids], block.vectors) for block in blocks if block.ids is not None])
    if not len(table):
        raise CorruptFileError(f"{path} has no words")
    return table
