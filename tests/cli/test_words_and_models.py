"""Analogies on the command line, and what info says of embedders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from nearkin.model_measurement import SAMPLE, load_measured, measure_model
from nearkin.registry import default_registry

GLOVE = "man 1 0 0\nking 1 0 1\nwoman 0 1 0\nqueen 0 1 1\nchild 1 1 0\n"


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def words(run, tmp_path: Path) -> str:
    """An index of five words."""
    (tmp_path / "words.txt").write_text(GLOVE)
    ok(run("build", "words.txt", "--metric", "cosine", "-o", "indexes/words"))
    return "indexes/words"


def test_an_analogy(run, words: str) -> None:
    (best,) = json.loads(ok(run("analogy", words, "man", "king", "woman", "-k", 1, "--json")))
    assert (best["rank"], best["id"]) == (0, "queen")
    assert best["similarity"] == pytest.approx(1 - best["distance"])
    lines = ok(run("analogy", words, "man", "king", "woman", "-k", 2, "--method", "multiply")).splitlines()
    assert lines[0].split() == ["rank", "id", "distance", "similarity"]
    assert [line.split()[1] for line in lines[2:]] == ["queen", "child"]


def test_fewer_answers_and_unknown_words(run, words: str) -> None:
    result = run("analogy", words, "man", "king", "woman")
    assert "note: there are fewer answers than asked: the collection has 2 rows, 10 asked" in result.stderr
    wrong = run("analogy", words, "man", "kin", "woman")
    assert wrong.exit_code == 3
    assert "did you mean 'king'?" in wrong.stderr


def test_nearest_words_of_a_word(run, words: str) -> None:
    row = ok(run("get", words, "king"))
    hits = json.loads(ok(run("search", words, "-", "-k", 2, "--json", input=row)))
    assert [hit["id"] for hit in hits] == ["king", "man"]


def test_info_of_an_embedder(run) -> None:
    model = json.loads(ok(run("info", "--embedder", "hashing:dim=64", "--json")))["model"]
    embedder = default_registry().make("embedder", "hashing:dim=64")
    assert model["fingerprint"] == embedder.fingerprint
    assert (model["dim"], model["takes"], model["items"], model["layers"]) == (64, "text", 4 * len(SAMPLE), None)
    assert model["items_per_second"] > 0
    text = ok(run("info", "--embedder", "hashing:dim=64"))
    assert f"fingerprint  {embedder.fingerprint}" in text
    assert "parameters as float16" in text


def test_info_of_a_table_of_words(run, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(GLOVE)
    model = json.loads(ok(run("info", "--embedder", "word-vectors:words.txt", "--json")))["model"]
    assert model["parameters"] == 15
    assert {name: model["bytes"][name] for name in ("float32", "float16", "int8")} == {
        "float32": 60,
        "float16": 30,
        "int8": 15,
    }
    assert model["bytes"]["loaded"] > 60
    learning = run("info", "--embedder", "word-vectors:words.txt:weighting=idf")
    assert ok(learning).count("has still to learn from the first items") == 3


def test_info_of_an_index_names_its_embedder_without_loading_it(run, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(GLOVE)
    ok(run("create", "indexes/docs", "--embedder", "word-vectors:words.txt"))
    (tmp_path / "words.txt").unlink()
    facts = json.loads(ok(run("info", "indexes/docs", "--json")))
    assert facts["embedder"]["text"] == f"word-vectors:{tmp_path / 'words.txt'}"
    shown = ok(run("info", "indexes/docs"))
    assert f"{facts['embedder']['text']} (fingerprint {facts['embedder']['fingerprint']})" in shown
    (tmp_path / "words.txt").write_text(GLOVE)
    ok(run("create", "indexes/later", "--embedder", "word-vectors:words.txt:weighting=idf"))
    assert "(has still to learn from the first items)" in ok(run("info", "indexes/later"))


def test_info_of_both_compares_them(run) -> None:
    ok(run("create", "indexes/docs", "--embedder", "hashing:dim=64"))
    both = json.loads(ok(run("info", "indexes/docs", "--embedder", "hashing:dim=64", "--json")))
    assert both["embedder"]["fingerprint"] == both["model"]["fingerprint"]
    other = run("info", "indexes/docs", "--embedder", "hashing:dim=32")
    assert other.exit_code == 2
    assert "dim was 64 and is 32" in other.stderr
    neither = run("info")
    assert neither.exit_code == 2
    assert "info takes the folder of an index, or --embedder, or both" in neither.stderr


def test_info_of_both_measures_the_one_that_has_learned(run, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(GLOVE)
    (tmp_path / "texts.txt").write_text("a king\na queen and a king\n")
    named = "word-vectors:words.txt:weighting=idf"
    ok(run("create", "indexes/docs", "--embedder", named))
    both = json.loads(ok(run("info", "indexes/docs", "--embedder", named, "--json")))
    assert both["model"]["fingerprint"] == both["embedder"]["fingerprint"] == ""
    ok(run("add", "indexes/docs", "texts.txt"))
    both = json.loads(ok(run("info", "indexes/docs", "--embedder", named, "--json")))
    assert both["model"]["fingerprint"] == both["embedder"]["fingerprint"] != ""
    assert both["model"]["items_per_second"] > 0
    assert "has still to learn" not in ok(run("info", "indexes/docs", "--embedder", named))


def test_the_sample_is_embedded_with_the_threads_given() -> None:
    loaded = load_measured("hashing", default_registry())
    assert measure_model(loaded, 3).threads == loaded.embedder.threads == 3
