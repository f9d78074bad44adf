"""``nearkin learn``: what it reads, prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Sixty questions of two kinds, one without text and one without label."""
    kinds = {"post": "where is my parcel number {}", "bank": "please close the account {} of mine"}
    lines = ["text,kind", *(f"{text.format(at)},{kind}" for at in range(30) for kind, text in kinds.items())]
    (tmp_path / "questions.csv").write_text("\n".join([*lines, ",post", "who are you,"]))
    return tmp_path / "questions.csv"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A table with numbers, a category, a class and a price."""
    lines = ["id,age,city,tall,price"]
    for at in range(80):
        age, city = RNG.integers(20, 60), "Rome" if at % 3 else "Oslo"
        lines.append(f"p{at},{age},{city},{'yes' if at % 3 else 'no'},{age * 1.5 + 20 * (at % 3 == 0):.1f}")
    (tmp_path / "people.csv").write_text("\n".join(lines))
    return tmp_path / "people.csv"


def answer(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_texts(run, texts):
    result = run("learn", "questions.csv", "--text", "text", "--label", "kind")
    assert result.exit_code == 0, result.output
    assert "1 of 62 rows were left out, which have no text" in result.stderr
    assert "1 of 61 rows were left out, which have no label" in result.stderr
    for word in ("lsa", "learned in each fold", "accuracy", "1.000 (0.", "confidence", "predicted one (across)"):
        assert word in result.stdout
    seen = run("learn", "questions.csv", "--label", "kind", "--json")
    assert "column 'text' holds the texts" in seen.stderr
    assert answer(seen)["scores"]["accuracy"]["value"] == 1.0


def test_all_methods_of_a_table(run, people, tmp_path):
    result = run("learn", "people.csv", "--label", "tall", "--compare", "--report", "out.html")
    assert result.exit_code == 0, result.output
    for word in ("Intervals are of 95 %", "majority", "p best", "McNemar", "written  out.html", "More rows"):
        assert word in result.stdout.replace("Whether more", "More")
    assert "Methods compared on people.csv" in (tmp_path / "out.html").read_text()
    again = run("learn", "people.csv", "--label", "tall", "--report", "out.html")
    assert (again.exit_code, "--overwrite" in again.stderr) == (2, True)
    two = ("learn", "people.csv", "--label", "tall", "--method", "knn", "--method", "knn:n_neighbors=1")
    found = answer(run(*two, "--compare", "--json", "--cv", 4))
    assert {each["method"] for each in found["methods"]} == {"knn", "knn:n_neighbors=1", "majority"}
    assert found["folds"] == 4
    refused = run(*two)
    assert (refused.exit_code, "2 methods are given" in refused.stderr) == (2, True)


def test_numbers_are_seen_and_told(run, people):
    result = run("learn", "people.csv", "--label", "price", "--columns", "age,city")
    assert result.exit_code == 0, result.output
    assert "different numbers, predicted as numbers; --task classes changes that" in result.stderr
    assert "R2" in result.stdout
    few = run("learn", "people.csv", "--label", "price", "--columns", "age", "--task", "numbers", "--json", "--curve")
    found = answer(few)
    assert found["task"] == "numbers"
    assert found["learning_curve"]["measure"] == "MAE"
    assert (
        answer(run("learn", "people.csv", "--label", "tall", "--vectors", "age,price", "--json"))["task"] == "classes"
    )


def test_vectors_with_labels_and_a_collection(run, tmp_path):
    rows = np.concatenate([RNG.normal(0, 1, (40, 3)), RNG.normal(5, 1, (40, 3))]).astype(np.float32)
    names = ["left"] * 40 + ["right"] * 40
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "labels.txt").write_text("\n".join(names))
    found = answer(run("learn", "v.npy", "--labels", "labels.txt", "--json"))
    assert found["scores"]["accuracy"]["value"] == 1.0
    (tmp_path / "short.txt").write_text("left\nright")
    short = run("learn", "v.npy", "--labels", "short.txt")
    assert (short.exit_code, "80 vectors and short.txt 2 labels" in short.stderr) == (2, True)
    assert "--labels FILE" in run("learn", "v.npy", "--label", "x").stderr
    lines = [json.dumps({"vector": row.tolist(), "side": name}) for row, name in zip(rows, names, strict=True)]
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    assert run("build", "v.jsonl", "--plan", "flat", "-o", "mine").exit_code == 0
    assert answer(run("learn", "mine", "--label", "side", "--json"))["scores"]["accuracy"]["value"] == 1.0
    assert answer(run("learn", "v.jsonl", "--label", "side", "--vectors", "vector", "--json"))["rows"] == 80
    assert "did you mean 'side'?" in run("learn", "mine", "--label", "sid").stderr


def test_another_encoding(run, tmp_path):
    lines = ["text,kind", *(f"où est mon colis {at},café\nwhere is it {at},tea" for at in range(10))]
    (tmp_path / "latin.csv").write_bytes("\n".join(lines).encode("latin-1"))
    refused = run("learn", "latin.csv", "--text", "text", "--label", "kind")
    assert refused.exit_code == 5
    assert "csv:encoding=latin-1" in refused.stderr
    read = run("learn", "latin.csv", "--text", "text", "--label", "kind", "--format", "csv:encoding=latin-1", "--json")
    assert answer(read)["labels"] == ["café", "tea"]
    unknown = run("learn", "latin.csv", "--label", "kind", "--format", "csv:encoding=latin-77")
    assert (unknown.exit_code, "encoding 'latin-77' is unknown" in unknown.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no column of labels is named"),
        (["--label", "tall", "--text", "tall"], "cannot be learned from itself"),
        (["--label", "tall", "--text", "city", "--columns", "age"], "say differently what to learn from"),
        (["--label", "tall", "--cv", "200"], "80 rows cannot be divided into 200 folds"),
        (["--label", "tall", "--embedder", "lsa"], "no column of texts is named"),
        (["--label", "tall", "--vectors", "city"], "a number expected"),
        (["--label", "tall", "--task", "numbers"], "some targets are no numbers"),
        (["--label", "tall", "--budget", "3"], "--budget is for --compare"),
        (["--label", "tall", "--report", "x.pdf"], "is no report"),
    ],
)
def test_what_is_wrong_is_said(run, people, arguments, said):
    result = run("learn", "people.csv", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


@pytest.mark.parametrize("options", [["--label", "tal"], ["--label", "tall", "--columns", "pric"]])
def test_a_column_that_is_not_there(run, people, options):
    result = run("learn", "people.csv", *options)
    assert (result.exit_code, "did you mean" in result.stderr) == (3, True)
    none = run("learn", "people.csv", "--label", "tall", "--vectors", "v*")
    assert (none.exit_code, "has no column like 'v*'" in none.stderr) == (3, True)


def test_the_last_of_many_numbered_columns_is_told(run, tmp_path):
    (tmp_path / "wide.csv").write_text("\n".join(",".join(str(at * row) for at in range(21)) for row in range(9)))
    assert "has 'column1' to 'column21'" in run("learn", "wide.csv", "--label", "class").stderr


def test_vectors_of_an_index_of_the_cosine_are_learned_from_by_direction(run, tmp_path):
    length = RNG.uniform(0.01, 100, (60, 1))
    rows = length * np.where(np.arange(60)[:, None] % 2, [1.0, 0.2], [0.2, 1.0]) * RNG.uniform(0.9, 1.1, (60, 2))
    lines = [json.dumps({"vector": row.tolist(), "side": f"s{at % 2}"}) for at, row in enumerate(rows)]
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    assert run("build", "v.jsonl", "--plan", "flat", "--metric", "cosine", "-o", "mine").exit_code == 0
    result = run("learn", "mine", "--label", "side", "--json")
    assert answer(result)["scores"]["accuracy"]["value"] == 1.0
    assert "its metric is the cosine" in result.stderr


def test_a_folder_that_is_no_index(run, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a text")
    result = run("learn", "notes", "--label", "y")
    assert (result.exit_code, "notes is a folder and not an index" in result.stderr) == (2, True)


@pytest.mark.parametrize(("label", "kind"), [({"a": 1}, "dict"), (["a"], "list"), ([], "list")])
def test_labels_that_hold_several_values(run, tmp_path, label, kind):
    lines = [json.dumps({"x": at, "z": label}) for at in range(30)]
    (tmp_path / "l.jsonl").write_text("\n".join(lines))
    result = run("learn", "l.jsonl", "--label", "z")
    assert result.exit_code == 2
    assert f"the field z of row 0 is a {kind}, and a label is text, a number, true or false" in result.stderr


LONG = "knn:n_neighbors=3:weights=distance"


@pytest.mark.parametrize("width", ["80", "120"])
def test_no_method_and_no_word_of_a_label_is_broken(run, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    names = ["balance_not_updated_after_cheque_or_cash_deposit_" + kind for kind in ("first", "second", "third")]
    lines = ["x,y,kind", *(f"{RNG.normal(at % 3):.3f},{at % 5},{names[at % 3]}" for at in range(60))]
    (tmp_path / "long.csv").write_text("\n".join(lines))
    result = run("learn", "long.csv", "--label", "kind", "--compare", "--method", LONG, "--method", "knn")
    assert result.exit_code == 0, result.output
    assert sum(line.startswith(LONG) for line in result.stdout.splitlines()) >= 2
    for word in ("ROC-AUC", "p base", "Embedding took"):
        assert word in result.stdout
    assert all(len(line) <= int(width) for line in result.stdout.split("\n\n")[0].splitlines())
    one = run("learn", "long.csv", "--label", "kind").stdout
    assert "lowest F1 first" in one
    table = one.split("its 95 % interval\n")[1].split("\n\n")[0].splitlines()
    assert all(len(line) <= int(width) for line in table)
    first = [line.split()[0] for line in table[2:]]
    assert all(part in name for part in first for name in [next(each for each in names if part in each)])
    assert [line.split()[0] for line in one.splitlines() if line.startswith("embed ")] == ["embed"]


def test_what_takes_long_is_told_before_also_when_piped(run, tmp_path, monkeypatch):
    from nearkin.cli import learn

    monkeypatch.setattr(learn, "MANY_ROWS", 60)
    lines = ["text,kind", *(f"where is my parcel {at},{'post' if at % 2 else 'bank'}" for at in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    said = run("learn", "t.csv", "--label", "kind", "--text", "text", "--compare", "--method", "knn", "--curve").stderr
    assert "60 rows are embedded with lsa, anew from the training rows in each of 5 folds" in said
    assert "each method may take about 60 s" in said
    assert "learning curve" in said


def test_a_single_label(run, tmp_path):
    (tmp_path / "one.csv").write_text("x,y\n1,a\n2,a\n3,a\n")
    result = run("learn", "one.csv", "--label", "y")
    assert (result.exit_code, "all 3 rows have the label 'a'" in result.stderr) == (2, True)
