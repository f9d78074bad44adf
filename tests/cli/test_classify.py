"""nearkin classify: what it prints, for people and for programs, and how it refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]
WORK = ("invoice", "meeting", "report", "budget", "deadline", "client")
MEAL = ("soup", "lunch", "dinner", "bread", "cheese", "salad")


def sentences(words: tuple[str, ...]) -> list[str]:
    return [f"the {one} and the {other}" for one in words for other in words if one != other]


@pytest.fixture
def notes(run: Run, tmp_path: Path) -> str:
    """60 sentences of two kinds, four of no kind."""
    lines = [f"w{at},{text},work" for at, text in enumerate(sentences(WORK))]
    lines += [f"m{at},{text},meal" for at, text in enumerate(sentences(MEAL))] + [
        f"n{at},what is this {at}," for at in range(4)
    ]
    (tmp_path / "notes.csv").write_text("\n".join(["id,text,kind", *lines]) + "\n")
    result = run("build", "notes.csv", "--embedder", "hashing", "--text", "text", "-o", "notes")
    assert result.exit_code == 0, result.output
    return "notes"


def ok(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_for_people(run: Run, notes: str) -> None:
    result = run("classify", notes, "--label", "kind", "-k", 3, "soup and bread")
    text = ok(result)
    assert text.startswith("meal   probability ")
    assert "4 of 64 rows have no kind and were left out" in result.stderr
    head, rule, *rows = text.splitlines()[1:6]
    assert head.split() == ["share", "distance", "kind", "id", "text"]
    assert set(rule) == {"─"}
    assert all(row.split()[0] == "33%" and row.split()[2] == "meal" for row in rows)
    assert "the soup and the bread" in text
    assert "learned from       60 rows with 2 labels, by knn" in text
    assert "share wrong" in text


def test_for_programs(run: Run, notes: str) -> None:
    found = json.loads(
        ok(run("classify", notes, "--label", "kind", "--text", "soup and bread", "--text", "the budget", "--json"))
    )
    assert (found["rows"], found["left_out"], found["labels"], found["error_rate"]) == (60, 4, 2, None)
    assert [(each["query"], each["label"], each["known"]) for each in found["decisions"]] == [
        ("soup and bread", "meal", True),
        ("the budget", "work", True),
    ]
    first = found["decisions"][0]
    assert len(first["reasons"]) == 5
    assert {each["label"] for each in first["reasons"]} == {"meal"}
    assert found["threshold"] == 0
    assert found["distance_limit"] is None  # 60 rows are too few for 0.99


def test_i_do_not_know(run: Run, notes: str) -> None:
    asked = ("classify", notes, "--label", "kind", "-k", 3)
    result = run(*asked, "--error-rate", 0.01, "soup and bread")
    assert ok(result).startswith("I do not know   not sure: ")
    assert "(likeliest is meal)" in result.stdout
    assert "no probability keeps the share of wrong answers to 0.01" in result.stderr
    found = json.loads(ok(run(*asked, "--error-rate", 0.01, "soup and bread", "--json")))
    assert (found["threshold"], found["expected_error"], found["decisions"][0]["label"]) == (None, None, None)
    far = ok(run(*asked, "--scope", 0.9, "quantum chromodynamics"))
    assert "I do not know   out of scope: distance " in far
    assert "0.9 of known rows lie within" in far
    assert "out of scope" not in ok(run(*asked, "--scope", 0, "quantum chromodynamics"))


def test_files_of_queries(run: Run, notes: str, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(
        "id,text\n" + "".join(f"q{at},{text} again\n" for at, text in enumerate(sentences(MEAL)[:12]))
    )
    text = ok(run("classify", notes, "--label", "kind", "new.csv"))
    assert text.splitlines()[0].split() == ["query", "label", "probability", "why"]
    assert [line.split()[:2] for line in text.splitlines()[2:14]] == [[f"q{at}", "meal"] for at in range(12)]
    assert "answered           12 of 12 queries" in text
    rows = list(
        csv.DictReader(io.StringIO(ok(run("classify", notes, "--label", "kind", "--query-file", "new.csv", "--csv"))))
    )
    assert [(row["query"], row["label"], row["known"]) for row in rows][:2] == [
        ("q0", "meal", "true"),
        ("q1", "meal", "true"),
    ]
    lines = ok(run("classify", notes, "--label", "kind", "-", "--csv", input="soup\nbudget\n"))
    assert [line.split(",")[:2] for line in lines.splitlines()[1:]] == [["soup", "meal"], ["budget", "work"]]


def test_vectors_numbers_and_what_is_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(
        "sku,size,colour,x,y\n" + "".join(f"s{at},{at % 2},red,{at % 2}.{at},0\n" for at in range(8))
    )
    ok(run("build", "shop.csv", "--format", "csv:id=sku:vectors=x,y", "-o", "shop"))
    np.save(tmp_path / "q.npy", np.float32([[1.1, 0.0], [0.1, 0.0]]))
    text = ok(run("classify", "shop", "--label", "size", "-k", 2, "q.npy", "--show", "colour"))
    assert text.splitlines()[0] == "query 0"
    assert text.splitlines()[1].startswith("1   probability ")
    assert text.splitlines()[2].split() == ["share", "distance", "size", "id", "colour"]
    assert text.splitlines()[4].endswith("red")
    plain = ok(run("classify", "shop", "--label", "size", "-k", 2, "q.npy", "--most", 0))
    assert "share  distance" not in plain


PLUGIN = """
import nearkin as nk
from sklearn.naive_bayes import GaussianNB

class Bayes(GaussianNB):
    def reasons(self, X, most=5):
        return [[nk.Reason("height", None, None, 0.75), nk.Reason(1, None, None, -0.25)] for _ in X]

@nk.hookimpl
def nearkin_learners():
    yield nk.LearnerSpec(name="bayes", summary="Bayes.", make=lambda task: Bayes())
"""


def test_other_methods_and_their_columns(run: Run, notes: str, tmp_path: Path) -> None:
    (tmp_path / "bayes.py").write_text(PLUGIN)
    text = ok(run("--plugin", "bayes.py", "classify", notes, "--label", "kind", "--method", "bayes", "soup and bread"))
    assert "by bayes" in text
    assert [line.split() for line in text.splitlines()[1:5]][0::2] == [["column", "share"], ["height", "+0.750"]]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--label", "kinds", "soup"], 3, "did you mean 'kind'?"),
        (["--label", "kind"], 2, "QUERY, --query-file or --text, exactly one"),
        (["soup"], 2, "--label"),
        (["--label", "kind", "soup", "--json", "--csv"], 2, "--json and --csv exclude each other"),
        (["--label", "kind", "soup", "--error-rate", "5"], 2, "error_rate is 5.0"),
        (["--label", "kind", "soup", "--scope", "1.5"], 2, "scope is 1.5"),
        (["--label", "kind", "soup", "-k", "0"], 2, "0"),
        (["--label", "kind", "soup", "--method", "nearest"], 3, "nearest"),
        (["--label", "kind", "soup", "--method", "knn:metric=l1"], 2, "knn asks the collection"),
        (["--label", "kind", "soup", "--where", "kind <"], 2, "filter"),
        (["--label", "kind", " "], 2, "empty"),
        (["--label", "kind", "--query-file", "nope.txt"], 5, "nope.txt"),
    ],
)
def test_what_is_wrong_is_said(run: Run, notes: str, words: list[str], code: int, said: str) -> None:
    result = run("classify", notes, *words)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_no_such_index(run: Run) -> None:
    result: Any = run("classify", "nope", "--label", "kind", "soup")
    assert result.exit_code == 3


def test_what_the_embedder_does_not_know_stops_no_other_query(run: Run, notes: str) -> None:
    found = json.loads(
        ok(run("classify", notes, "--label", "kind", "--text", "—", "--text", "soup and bread", "--json"))
    )["decisions"]
    assert [each["label"] for each in found] == [None, "meal"]
    assert found[0]["why"] == "out of scope: it has nothing that the embedder knows"
    assert (found[0]["likeliest"], found[0]["reasons"], found[0]["distance"]) == (None, [], None)
    alone = json.loads(ok(run("classify", notes, "--label", "kind", "--text", "soup and bread", "--json")))["decisions"]
    assert {**found[1]} == alone[0]


@pytest.mark.parametrize("embedder", ["hashing", "lsa:dim=8"])
@pytest.mark.parametrize("method", ["centroid", "attention", "logistic", "tree", "naive-bayes"])
def test_reasons_of_every_kind_of_method(run: Run, notes: str, embedder: str, method: str) -> None:
    built = run("build", "notes.csv", "--embedder", embedder, "--text", "text", "-o", "again", "--overwrite")
    assert built.exit_code == 0, built.output
    asked = ("classify", "again", "--label", "kind", "--method", method, "--text", "soup and bread")
    (found,) = json.loads(ok(run(*asked, "--json")))["decisions"]
    assert found["likeliest"] == "meal"
    ids = [each["what"] for each in found["reasons"]]
    if method == "centroid":
        assert sorted(ids) == ["centroid 0", "centroid 1"]
    else:
        assert all(each.startswith(("m", "w")) for each in ids)  # rows, by their ids; columns of words have no names
    text = ok(run(*asked))
    assert ("which did not decide" in text) == (method not in ("centroid", "attention"))


def test_more_voters_than_rows_are_told(run: Run, notes: str) -> None:
    result = run("classify", notes, "--label", "kind", "-k", 100, "soup and bread")
    assert result.exit_code == 0, result.output
    assert "k is 100, and only 60 rows have a kind: all of them vote" in result.stderr
