"""LSA: the formula against scikit-learn and a dense decomposition, texts of any script and number, and real questions."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsClassifier

import nearkin as nk
import nearkin_plugins.lsa as lsa
from nearkin.errors import InputError, ParameterError
from nearkin.hashing_embedder import HashingEmbedder
from nearkin.state import State
from nearkin_plugins.lsa import LsaEmbedder

TEXTS = [
    "compress one file with gzip",
    "decompress files and folders",
    "send mail with an attachment",
    "read the mail of one folder",
    "wrap long lines of text",
    "the text of the mail and the mail folder",
]
DATA = Path(os.environ.get("NEARKIN_DATA", ""))


def fitted(texts: list[str], **given: int) -> LsaEmbedder:
    embedder = LsaEmbedder(**given)
    embedder.fit(texts)
    return embedder


def features_by_scikit_learn(texts: list[str], asked: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Dense float64 features of what is learned from, and of what is asked."""
    parts = [
        TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+"),
        TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5)),
    ]
    learned = np.hstack(
        [count * part.fit_transform(texts).toarray() for count, part in zip((1.5, 1), parts, strict=True)]
    )
    return learned, np.hstack(
        [count * part.transform(asked).toarray() for count, part in zip((1.5, 1), parts, strict=True)]
    )


@pytest.mark.parametrize("dim", [2, 4, 6])
def test_agrees_with_scikit_learn_and_a_dense_decomposition(dim: int) -> None:
    asked = ["compressed folder", "text lines of mail", *TEXTS]
    learned, features = features_by_scikit_learn(TEXTS, asked)
    _, _, vectors = np.linalg.svd(learned, full_matrices=False)
    wanted = features @ vectors[:dim].T
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    got = fitted(TEXTS, dim=dim).embed(asked).astype(np.float64)
    np.testing.assert_allclose(got @ got.T, wanted @ wanted.T, atol=2e-3)


@pytest.mark.parametrize(
    ("texts", "dim"), [(["one"], 1), (["same words"] * 5, 1), (["a b", "c d"], 2), ([*TEXTS, "", "?!"], 6)]
)
def test_few_texts_give_as_many_columns_as_they_differ(texts: list[str], dim: int) -> None:
    embedder = fitted(texts)
    assert embedder.dim == dim
    lengths = np.linalg.norm(embedder.embed(texts), axis=1)
    np.testing.assert_allclose(lengths, [float(any(map(str.isalnum, text))) for text in texts], atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        (["我想要一張新的信用卡", "今天天氣很好", "如何重設密碼"], "信用卡不見了"),
        (["パスワードを忘れました", "新しいカードが届かない", "天気がいい"], "パスワードの変更"),
        (["비밀번호를 잊어버렸어요", "카드가 아직 안 왔어요", "날씨가 좋네요"], "비밀번호 변경"),
        (["मुझे नया कार्ड चाहिए", "आज मौसम अच्छा है", "पासवर्ड कैसे बदलें"], "कार्ड खो गया"),
        (["ฉันต้องการบัตรใหม่", "วันนี้อากาศดี", "ลืมรหัสผ่าน"], "บัตรหาย"),
        (["Где моя карта?", "Хорошая погода", "Забыл пароль"], "КАРТУ не получил"),
        (["well done 🙂", "bad 😡", "nothing"], "🙂️"),
        (["ＦＵＬＬ width letters", "other words", "more of them"], "full"),
        (["Straße und Haus", "Auto und Rad", "Wald und See"], "STRASSE"),
    ],
)
def test_words_of_other_scripts(texts: list[str], asked: str) -> None:
    embedder = fitted(texts)
    nearest = (embedder.embed([asked], role="query") @ embedder.embed(texts).T)[0].argmax()
    assert nearest == 0


def test_text_without_a_known_word_is_told_by_its_row() -> None:
    embedder = fitted(TEXTS)
    assert not embedder.embed(["日本", "", "?!"]).any()
    mine = nk.build(TEXTS, embedder=embedder)
    with pytest.raises(InputError, match="item 1 has nothing that the embedder knows: '日本'"):
        mine.add(["mail", "日本"])
    assert mine.add(["mail", "日本"], on_bad="skip").skipped.tolist() == [1]
    assert len(mine) == len(TEXTS) + 1


def test_nothing_to_learn_from_is_a_sentence() -> None:
    with pytest.raises(InputError, match="found no word in 2 texts"):
        LsaEmbedder().fit(["", "?!"])


def test_a_collection_learns_and_keeps_it(tmp_path: Path) -> None:
    with nk.create(tmp_path / "docs", embedder="lsa:dim=4") as docs:
        docs.add(TEXTS)
        wanted = docs.search(["compressed files", "mails"], 3)
    with nk.open(tmp_path / "docs") as docs:
        found = docs.search(["compressed files", "mails"], 3)
        assert (docs.dim, found.ids.tolist()) == (4, wanted.ids.tolist())
        assert np.array_equal(found.distances, wanted.distances)
        assert docs.verify() == []


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8), st.lists(st.text(max_size=12), max_size=3))
def test_any_text(texts: list[str], asked: list[str]) -> None:
    embedder = LsaEmbedder(dim=3)
    try:
        embedder.fit(texts)
    except InputError:
        assert not any(lsa._words(text) for text in texts)
        return
    vectors = embedder.embed([*texts, *asked])
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.all((abs(lengths - 1) < 1e-5) | (lengths == 0))
    again = LsaEmbedder(dim=3)
    state = embedder.state()
    again.restore(State({name: array.copy() for name, array in state.arrays.items()}, state.meta))
    assert np.array_equal(again.embed([*texts, *asked]), vectors)
    assert (again.fingerprint, again.canaries) == (embedder.fingerprint, embedder.canaries)


def test_rare_features_are_left_out_of_many_texts_and_numbers_kept_low() -> None:
    texts = [f"item number{row} of group {row % 7}" for row in range(lsa.FEW_ITEMS + 1)]
    many, few = fitted(texts, dim=8), fitted(texts[:-1], dim=8)
    assert "number17" not in many._words
    assert "number17" in few._words
    capped = fitted(texts, dim=8, features=5)
    assert (len(capped._words), len(capped._grams)) == (5, 5)
    assert {"item", "of", "group"} <= set(capped._words)


def test_many_characters_are_sampled_the_same_way_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{word} {number}" for word in TEXTS for number in range(20)]
    monkeypatch.setattr(lsa, "SAMPLE_CHARACTERS", 600)
    sample = lsa._sample(texts)
    assert 0 < sum(map(len, sample)) <= 600
    assert sample == [text for text in texts if text in set(sample)]
    assert fitted(texts).fingerprint == fitted(sample).fingerprint == fitted(texts).fingerprint
    monkeypatch.setattr(lsa, "SAMPLE_CHARACTERS", 1)
    assert len(lsa._sample(texts)) == 1


def test_size_is_that_of_what_is_loaded() -> None:
    embedder = fitted(TEXTS, dim=4)
    size, arrays = embedder.size(), embedder.state().arrays
    assert size.parameters == arrays["weights"].size + arrays["components"].size
    assert size.nbytes == 4 * size.parameters + arrays["features"].size


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dim": 0}, "dim is 0, 1 to 4096"),
        ({"shortest": 4, "longest": 3}, "shortest is 4 and longest 3"),
        ({"shortest": 0}, "shortest is 0"),
        ({"features": 0}, "features is 0"),
    ],
)
def test_wrong_options(given: dict[str, int], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        LsaEmbedder(**given)


def banking(part: str) -> tuple[list[str], list[str]]:
    path = DATA / f"banking77-{part}.csv"
    if not path.is_file():
        pytest.skip("banking77 is not in the folder that NEARKIN_DATA names")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def test_banking_questions_are_told_apart_better_than_by_hashing() -> None:
    texts, intents = banking("train")
    asked, wanted = banking("test")
    right = {}
    for embedder in (fitted(texts), HashingEmbedder()):
        neighbours = KNeighborsClassifier(5, metric="cosine").fit(embedder.embed(texts), intents)
        right[embedder.name] = float((neighbours.predict(embedder.embed(asked)) == wanted).mean())
    assert right["lsa"] >= 0.83
    assert right["lsa"] > right["hashing"]
