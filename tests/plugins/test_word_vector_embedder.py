"""Texts as means of word vectors, against plain dicts and scikit-learn."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearkin as nk
from nearkin import errors
from nearkin.registry import default_registry
from nearkin.testing.runner import check_component
from nearkin_plugins.word_vector_embedder import WordTable, WordVectorEmbedder

WORDS = ["the", "king", "queen", "of", "spain", "e-mail", "well", "known", "NASA", "42", "don't", "zero", "überall"]
VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)
VECTORS[WORDS.index("zero")] = 0
TABLE = dict(zip(WORDS, VECTORS.astype(np.float64), strict=True))
TEXTS = ["The king of Spain", "the queen", "a well-known e-mail", "NASA, 42", "king king queen", "don't the überall"]
TOKENS = [
    ["the", "king", "of", "spain"],
    ["the", "queen"],
    ["well", "known", "e-mail"],
    ["NASA", "42"],
    ["king", "king", "queen"],
    ["don't", "the", "überall"],
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Words and vectors as GloVe writes them, with every bit of them."""
    path = tmp_path / "words.txt"
    lines = (f"{word} {' '.join(f'{x:.9g}' for x in row)}" for word, row in zip(WORDS, VECTORS.tolist(), strict=True))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_mean_of_the_words(file: Path) -> None:
    embedder = WordVectorEmbedder(str(file))
    wanted = [np.mean([TABLE[word] for word in tokens], axis=0) for tokens in TOKENS]
    np.testing.assert_allclose(embedder.embed(TEXTS), wanted, rtol=1e-6, atol=1e-7)
    assert (embedder.dim, embedder.words, embedder.fitted) == (5, len(WORDS), True)
    assert not embedder.embed(["", "unheard-by anyone", "\ud800"]).any()


def test_idf_is_scikit_learns(file: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    embedder = WordVectorEmbedder(str(file), weighting="idf")
    with pytest.raises(errors.NotTrainedError):
        embedder.embed(TEXTS)
    embedder.fit(TEXTS)
    theirs = TfidfVectorizer(analyzer=list, lowercase=False, vocabulary=WORDS, norm=None).fit(TOKENS)
    for text, tokens in zip([*TEXTS, "Überall zero 42"], [*TOKENS, ["überall", "zero", "42"]], strict=True):
        weights = theirs.transform([tokens]).toarray()[0]  # counts times idf
        wanted = weights @ VECTORS.astype(np.float64) / weights.sum()
        np.testing.assert_allclose(embedder.embed([text])[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weighting", ["mean", "idf"])
def test_it_keeps_the_contract(file: Path, weighting: str) -> None:
    registry = default_registry()
    example = {"path": str(file), "weighting": weighting}
    spec = dataclasses.replace(registry.resolve("embedder", "word-vectors"), examples=(example,))
    report = check_component(spec, registry)
    assert report.ok, str(report)


def test_three_formats_are_one_embedder(file: Path) -> None:
    plain = WordVectorEmbedder(str(file))
    text = file.with_name("words.vec")
    text.write_text(f"{len(WORDS)} 5\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    binary = file.with_name("words.bin")
    packed = (w.encode() + b" " + struct.pack("<5f", *row) + b"\n" for w, row in zip(WORDS, VECTORS, strict=True))
    binary.write_bytes(f"{len(WORDS)} 5\n".encode() + b"".join(packed))
    for path in (text, binary):
        again = WordVectorEmbedder(str(path))
        assert {**again.identity, "name": file.name} == plain.identity
        np.testing.assert_array_equal(again.embed(TEXTS), plain.embed(TEXTS))
    named = default_registry().make("embedder", f"word-vectors:{text}:format=word2vec:weighting=idf")
    assert named.text == f"word-vectors:{text}:weighting=idf:format=word2vec"


def test_a_collection_keeps_the_weights_and_refuses_another_file(file: Path, tmp_path: Path) -> None:
    mine = WordVectorEmbedder(str(file), weighting="idf")
    docs = nk.build(TEXTS, embedder=mine)
    assert not mine.fitted  # the collection's own is a copy
    docs.save(tmp_path / "docs")
    asked = ["Where is the queen of Spain"]
    with nk.open(tmp_path / "docs") as again:
        np.testing.assert_array_equal(again.search(asked).distances, docs.search(asked).distances)
    content = file.read_text(encoding="utf-8")
    file.write_text(content.replace("queen ", "queen 1", 1).replace("queen 1-", "queen -1"), encoding="utf-8")
    with nk.open(tmp_path / "docs") as again, pytest.raises(errors.EmbedderMismatchError, match="weights was"):
        again.search(asked)
    file.write_text(content.split("\n", 1)[1], encoding="utf-8")
    with (
        nk.open(tmp_path / "docs") as again,
        pytest.raises(errors.CorruptFileError, match="has 12 words, and it had 13"),
    ):
        again.search(asked)


def test_a_text_without_known_words_is_refused_under_cosine(file: Path) -> None:
    docs = nk.build(TEXTS, embedder=f"word-vectors:{file}")
    assert docs.metric_text == "cosine"
    with pytest.raises(errors.InputError, match="item 0 has nothing that the embedder knows: 'nothing to be found'"):
        docs.add(["nothing to be found"])


@given(
    st.lists(st.text(st.sampled_from("abé\ud800 "), max_size=3), min_size=1, max_size=40), st.text("abé", max_size=3)
)
def test_a_table_finds_what_a_dict_finds(words: list[str], other: str) -> None:
    table = WordTable([(words[:5], np.zeros((len(words[:5]), 1))), (words[5:], np.zeros((len(words[5:]), 1)))])
    first = {word: row for row, word in reversed(list(enumerate(words)))}
    for word in (*words, other):
        assert table.find(word) == first.get(word, -1)
    assert [table.word(row) for row in range(len(table))] == words


def test_hashes_that_meet_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearkin_plugins.word_vector_embedder.hash", lambda word: len(word), raising=False)
    table = WordTable([(["ab", "cd", "ef", "x"], np.zeros((4, 1)))])
    assert [table.find(word) for word in ("cd", "ef", "gh", "x", "y", "abc")] == [1, 2, -1, 3, -1, -1]


def test_it_takes_less_than_a_dict() -> None:
    count = 5000
    table = WordTable([([f"word{n}" for n in range(count)], np.zeros((count, 8), np.float32))])
    assert table.nbytes < count * (8 * 4 + 40)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"path": "none.txt"}, errors.UnknownNameError, "there is no file of word vectors .*none.txt"),
        ({"weighting": "tf"}, errors.ParameterError, "weighting is 'tf', one of mean, idf expected"),
        ({"format": "csv"}, errors.ParameterError, "format is 'csv', one of glove, word2vec, word2vec-binary expected"),
        ({"format": "word2vec"}, errors.CorruptFileError, "the numbers of words and columns expected"),
    ],
)
def test_wrong_options(file: Path, options: dict[str, str], kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        WordVectorEmbedder(**{"path": str(file), **options})


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(errors.CorruptFileError, match="is empty"):
        WordVectorEmbedder(str(tmp_path / "empty.txt"))
