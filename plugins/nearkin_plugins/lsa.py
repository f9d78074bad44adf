"""Latent semantic analysis: texts as vectors, learned from the texts themselves, without a download and without torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nearkin.embedders import Embedder, ModelSize, Role, digest_of
from nearkin.errors import InputError, ParameterError
from nearkin.metrics import unit_rows
from nearkin.state import State

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SAMPLE_ITEMS = 100_000
"""Texts that it learns from at most, drawn at random (always the same ones)."""

SAMPLE_CHARACTERS = 10_000_000
"""Characters in them at most: what counting and the decomposition take grows with these."""

FEW_ITEMS = 1000
"""Up to so many texts, what occurs in a single one of them is learned too."""

_OVERSAMPLES = 10
_ITERATIONS = 2


class LsaEmbedder(Embedder):
    """Words and character n-grams, weighted by how rare they are, in the columns that a truncated SVD of all texts finds.

    Counts are damped (1 + log) and multiplied by log((1 + n) / (1 + df)) + 1, where df of n texts have the word; the words of
    a text have length `words` together, its n-grams length 1; and the text is what the leading right singular vectors make of
    it. Words that occur in the same texts come to lie close, and so do spellings that share n-grams. Words of any script
    count: Chinese and Japanese by characters and pairs of them. Text without any word that was learned is a row of zeros,
    which the cosine metric refuses.

    Sources: S. Deerwester et al., "Indexing by latent semantic analysis" (1990); N. Halko et al., "Finding structure with
    randomness" (2011), for the decomposition, which is scikit-learn's; weights as scikit-learn's TfidfTransformer has them.

    Parameters
    ----------
    dim
        Columns at most; there are no more than texts to learn from.
    shortest, longest
        Lengths of the character n-grams, which are taken of each word and its two borders.
    features
        Words, and as many n-grams, that are kept at most: those in most texts.
    words
        How much the words of a text count beside its n-grams. With 1, short queries find words that are merely spelled alike.

    Examples
    --------
    >>> embedder = LsaEmbedder(dim=8)
    >>> texts = ["compress a file", "send a mail", "files are compressed by gzip", "mail with a subject"]
    >>> embedder.fit(texts)
    >>> nearest = embedder.embed(["compression of files"]) @ embedder.embed(texts).T
    >>> texts[int(nearest.argmax())]
    'files are compressed by gzip'
    """

    name = "lsa"
    needs_fit = True
    at_once = 8192

    def __init__(
        self, dim: int = 384, shortest: int = 3, longest: int = 5, features: int = 50_000, words: float = 1.5
    ) -> None:
        if not 1 <= dim <= 4096:
            raise ParameterError(f"dim is {dim}, 1 to 4096 expected")
        if not 1 <= shortest <= longest <= 10:
            raise ParameterError(
                f"shortest is {shortest} and longest {longest}, character n-grams of 1 to 10 characters expected"
            )
        if features < 1:
            raise ParameterError(f"features is {features}, 1 or more expected")
        if not 0 <= words <= 100:
            raise ParameterError(f"words is {words}, 0 to 100 expected")
        self.columns = dim
        self.words = float(words)
        self.shortest = shortest
        self.longest = longest
        self.features = features
        self._words: dict[str, int] = {}
        self._grams: dict[str, int] = {}
        self._weights = np.empty(0, dtype=np.float32)
        self._components = np.empty((0, 0), dtype=np.float32)
        self._learned = ""

    @property
    def text(self) -> str:
        lengths = f"shortest={self.shortest}:longest={self.longest}"
        return f"{self.name}:dim={self.columns}:{lengths}:features={self.features}:words={self.words!r}"

    @property
    def fitted(self) -> bool:
        return bool(self._learned)

    @property
    def dim(self) -> int:
        self.need_fitted()
        return int(self._components.shape[1])

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "lsa",
            "revision": 1,
            "dim": self.columns,
            "shortest": self.shortest,
            "longest": self.longest,
            "features": self.features,
            "words": self.words,
            "learned": self._learned,
        }

    @property
    def canaries(self) -> Sequence[Any]:
        """Its own commonest words, since fixed texts may have none of them."""
        if not self.fitted:
            return super().canaries
        common = list(self._words)[:24]
        return tuple(" ".join(common[first::3]) for first in range(min(3, len(common))))

    # ---- learning --------------------------------------------------------------------------------------------------

    def _fit(self, items: Sequence[Any]) -> None:
        texts = _sample(items)
        words: dict[str, int] = {}
        grams: dict[str, int] = {}
        counts = _counted(map(_words, texts), words, grow=True)
        if not words:
            raise InputError(
                f"embedder {self.name!r} found no word in {len(texts):,} texts to learn from",
                hint="add texts with letters or digits first",
            )
        spelled = counts @ _counted(map(self._spelling, words), grams, grow=True)
        least = 1 if len(texts) <= FEW_ITEMS else 2
        self._words, word_weights, counts = _commonest(words, counts, self.features, least)
        self._grams, gram_weights, spelled = _commonest(grams, spelled, self.features, least)
        self._weights = np.concatenate([word_weights, gram_weights])
        self._components = _components(self._weighted(counts, spelled), self.columns)
        self._learned = digest_of(self.state().arrays)

    def _spelling(self, word: str) -> list[str]:
        """Character n-grams of a word and its borders."""
        bordered = f" {word} "
        lengths = range(self.shortest, self.longest + 1)
        return [bordered[i : i + n] for n in lengths for i in range(len(bordered) - n + 1)]

    def _weighted(self, counts: csr_array, spelled: csr_array) -> csr_array:
        """Counts of words and of n-grams, damped, weighted and scaled, side by side."""
        from scipy.sparse import hstack

        split = len(self._words)
        words = _damped(counts, self._weights[:split]) * np.float32(self.words)
        return hstack([words, _damped(spelled, self._weights[split:])], format="csr")

    # ---- embedding -------------------------------------------------------------------------------------------------

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        words: dict[str, int] = {}
        counts = _counted(map(_words, items), words, grow=True)
        spelled = counts @ _counted(map(self._spelling, words), self._grams)
        known = _counted(([word] for word in words), self._words)
        return unit_rows(self._weighted(counts @ known, spelled) @ self._components)

    # ---- what was learned ------------------------------------------------------------------------------------------

    def state(self) -> State:
        if not len(self._weights):
            return State()
        features = [each.encode("utf-8", "surrogatepass") for each in (*self._words, *self._grams)]
        arrays: dict[str, np.ndarray] = {
            "features": np.frombuffer(b"".join(features), dtype=np.uint8),
            "ends": np.cumsum([len(each) for each in features], dtype=np.int64),
            "weights": self._weights,
            "components": self._components.astype(np.float16),
        }
        return State(arrays, {"words": len(self._words)})

    def restore(self, state: State) -> None:
        together, ends = state.arrays["features"].tobytes(), state.arrays["ends"].tolist()
        features = [
            together[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends], ends, strict=False)
        ]
        split = state.meta["words"]
        self._words = {feature: column for column, feature in enumerate(features[:split])}
        self._grams = {feature: column for column, feature in enumerate(features[split:])}
        self._weights = state.arrays["weights"]
        self._components = state.arrays["components"].astype(np.float32)
        self._learned = digest_of(self.state().arrays)

    def size(self) -> ModelSize:
        named = sum(map(len, self._words)) + sum(map(len, self._grams))
        return ModelSize(
            self._weights.size + self._components.size, self._weights.nbytes + self._components.nbytes + named
        )


# ---- words ---------------------------------------------------------------------------------------------------------

_UNSPACED = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
"""Han characters and kana: written without spaces, so that a run of them is no word."""

_RUNS = re.compile(rf"[{_UNSPACED}]+|[^ {_UNSPACED}]+")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]")


class _Characters(dict[int, "str | int | None"]):
    """Character to what stands for it: itself in a word, a space between words, nothing."""

    def __missing__(self, code: int) -> str | int | None:
        character = chr(code)
        category = unicodedata.category(character)
        found: str | int | None = " "
        if category[0] in "LMN":
            found = code
        if category == "So":  # pictures are words of their own
            found = f" {character} "
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:  # joiners, soft hyphens, colours of pictures
            found = None
        self[code] = found
        return found


_CHARACTERS = _Characters()


def _words(text: str) -> list[str]:
    """Words of a text in lower case; of scripts without spaces, characters and pairs of them."""
    if text.isascii():
        return text.lower().translate(_CHARACTERS).split()
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_CHARACTERS)
    found: list[str] = []
    for run in _RUNS.findall(plain):
        if _UNSPACED_RUN.match(run):
            found.extend(run)
            found.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            found.append(run)
    return found


# ---- numbers -------------------------------------------------------------------------------------------------------


def _sample(texts: Sequence[str]) -> list[str]:
    """Texts to learn from: all, or the first of them in a random order, in their own."""
    order = np.random.default_rng(0).permutation(len(texts))
    lengths = np.array([len(text) for text in texts])
    within = int(np.searchsorted(np.cumsum(lengths[order]), SAMPLE_CHARACTERS, side="right"))
    return [texts[i] for i in np.sort(order[: min(SAMPLE_ITEMS, max(1, within))])]


def _counted(rows: Iterable[Sequence[str]], columns: dict[str, int], *, grow: bool = False) -> csr_array:
    """How often each row has each feature; those without a column are given one, or left out."""
    from scipy.sparse import csr_array

    found: list[int] = []
    ends = [0]
    for row in rows:
        if grow:
            found += [columns.setdefault(each, len(columns)) for each in row]
        else:
            found += [columns[each] for each in row if each in columns]
        ends.append(len(found))
    shape = (len(ends) - 1, len(columns))
    counts = csr_array(
        (np.ones(len(found), dtype=np.float32), np.array(found, dtype=np.int32), np.array(ends)), shape=shape
    )
    counts.sum_duplicates()
    return counts


def _commonest(
    features: dict[str, int], counts: csr_array, most: int, least: int
) -> tuple[dict[str, int], np.ndarray, csr_array]:
    """Features that are in the most rows, most first, their weights and their counts."""
    names = list(features)
    rows_with = np.bincount(counts.indices, minlength=len(names))
    order = np.array(sorted(range(len(names)), key=lambda column: (-rows_with[column], names[column])), dtype=np.int64)
    order = order[: max(1, min(most, int((rows_with >= least).sum())))]
    weights = np.log((1 + counts.shape[0]) / (1 + rows_with[order])) + 1
    return {names[column]: new for new, column in enumerate(order)}, weights.astype(np.float32), counts[:, order]


def _damped(counts: csr_array, weights: np.ndarray) -> csr_array:
    """(1 + log count) times weight, rows of length one."""
    values = (1 + np.log(counts.data)) * weights[counts.indices]
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    lengths = np.sqrt(np.bincount(rows, values.astype(np.float64) ** 2, minlength=counts.shape[0]))
    counts.data = (values / lengths[rows]).astype(np.float32)
    return counts


def _components(matrix: csr_array, dim: int) -> np.ndarray:
    """(features, columns) right singular vectors of the largest singular values; without those that are rounding.

    Values are those of float16, in which they are kept.
    """
    from sklearn.utils.extmath import randomized_svd

    columns = min(dim, *matrix.shape)
    _, values, vectors = randomized_svd(matrix, columns, n_oversamples=_OVERSAMPLES, n_iter=_ITERATIONS, random_state=0)
    found = vectors[: int((values > 1e-5 * values[0]).sum())].T
    return np.ascontiguousarray(found.astype(np.float16), dtype=np.float32)
