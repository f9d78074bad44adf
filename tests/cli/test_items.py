"""Texts and tables through the commands: build, add, search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from nearkin.hashing_embedder import HashingEmbedder

Run = Callable[..., Result]
FAQ = "id,question,topic\nq1,How do I rotate a key?,keys\nq2,Where is my card?,cards\nq3,Who rotates keys?,keys\n"


@pytest.fixture
def faq(run: Run, tmp_path: Path) -> Path:
    """A saved index of the questions of faq.csv, and a note."""
    (tmp_path / "faq.csv").write_text(FAQ)
    (tmp_path / "note.md").write_text("A card that is lost is blocked at once.")
    result = run("build", "faq.csv", "--embedder", "hashing", "--text", "question", "-o", "faq", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["rows"], report["dim"], report["metric"]) == (3, 512, "cosine")
    added = run("add", "faq", "note.md")
    assert (added.exit_code, added.stdout) == (0, "added 1 row to faq, which now has 4\n")
    return tmp_path / "faq"


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_query_is_text_a_file_or_vectors(run: Run, faq: Path, tmp_path: Path) -> None:
    text = "How do I rotate a key?"
    (tmp_path / "asked.txt").write_text(f"{text}\n\nlost cards\n")
    np.save(tmp_path / "asked.npy", HashingEmbedder().embed([text], role="query"))
    for words in ([text], ["--text", text], ["asked.txt"], ["--query-file", "asked.txt"], ["asked.npy"]):
        first = lines(run("search", "faq", *words, "-k", "1", "--nl"))[0]
        assert (first["id"], first["text"], first["similarity"]) == ("q1", text, pytest.approx(1))
    assert lines(run("search", "faq", "-", "-k", "1", "--nl", input=f"{text}\n"))[0]["id"] == "q1"
    assert lines(run("search", "faq", "-", "-k", "1", "--nl", input=json.dumps({"text": text})))[0]["id"] == "q1"
    both = lines(run("search", "faq", "--text", text, "--text", "lost cards", "-k", "1", "--nl"))
    assert [(each["query"], each["id"]) for each in both] == [(0, "q1"), (1, "note.md#0")]
    named = lines(run("search", "faq", "faq.csv", "--query-column", "question", "-k", "1", "--nl"))
    assert [(each["query"], each["id"]) for each in named] == [("q1", "q1"), ("q2", "q2"), ("q3", "q3")]


def test_what_is_shown(run: Run, faq: Path) -> None:
    shown = run("search", "faq", "lost card", "-k", "2", "--show", "document", "--show", "topic", "--csv").stdout
    assert shown.splitlines()[0] == "query,rank,id,distance,similarity,document,topic"
    assert shown.splitlines()[1].endswith(",note.md,")
    table = run("search", "faq", "rotate a key", "-k", "1", "--table").stdout
    assert table.splitlines()[0].split() == ["query", "rank", "id", "distance", "similarity", "text"]
    assert table.splitlines()[2].endswith("How do I rotate a key?")
    missing = run("search", "faq", "card", "-k", "1", "--show", "colour", "--nl")
    assert "none of the rows found has the field colour" in missing.stderr
    groups = lines(
        run("search", "faq", "rotate keys", "-k", "2", "--group-by", "topic", "--where", "topic is not null", "--nl")
    )
    assert sorted(str(each["id"])[:1] for each in groups) == ["q", "q"]
    assert {each["id"] for each in groups} & {"q2"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["faq"], 2, "exactly one of them"),
        (["faq", "a", "--text", "b"], 2, "exactly one of them"),
        (["faq", "--text", " "], 2, "the text to search for is empty"),
        (["faq", "--query-file", "none.csv"], 5, "there is no file none.csv"),
        (["faq", "faq.csv"], 2, "no column 'text'"),
        (["faq", "card", "--embedder", "hashing:dim=64"], 2, "dim was 512 and is 64"),
        (["faq", "card", "--group-by", "document", "--max-distance", "1"], 2, "exclude each other"),
    ],
)
def test_questions_that_cannot_be(run: Run, faq: Path, words: list[str], code: int, said: str) -> None:
    result = run("search", *words)
    assert (result.exit_code, said in result.stderr + result.output) == (code, True), result.output


def test_an_index_without_an_embedder_takes_no_text(run: Run, built: Path) -> None:
    for words in (["how do I"], ["--text", "how"]):
        result = run("search", built, *words)
        assert result.exit_code in (2, 5)
        assert "has no embedder" in result.output
    refused = run("add", built, "v.npy", "--text", "question")
    assert "this collection has no embedder" in refused.output
    assert "are built from one" in run("build", "v.npy", "v.npy", "-o", "x").output
    assert "--embedder" in run("build", "v.npy", "--text", "a", "-o", "x").output


def test_standard_input(run: Run, tmp_path: Path) -> None:
    assert run("create", "notes", "--embedder", "hashing").exit_code == 0
    added = json.loads(run("add", "notes", "-", "--json", input="lost cards\n\nnew keys\n").stdout)
    assert (added["added"], added["rows"], added["learned_from"]) == (2, 2, 0)
    assert json.loads(run("add", "notes", "-", "--json", input='{"text": "old keys", "n": 3}\n').stdout)["added"] == 1
    assert json.loads(run("get", "notes", "2").stdout)["metadata"] == {"text": "old keys", "n": 3}
    copied = run("get", "notes", "2").stdout.replace('"id": 2', '"id": 7')
    assert json.loads(run("add", "notes", "-", "--json", input=copied).stdout)["added"] == 1
    rows = "".join(f"{json.dumps(row.tolist())}\n" for row in HashingEmbedder().embed(["a folder"]))
    assert json.loads(run("add", "notes", "-", "--json", input=rows).stdout)["rows"] == 5


def test_what_was_added_before_is_told(run: Run, tmp_path: Path) -> None:
    assert run("create", "notes", "--embedder", "hashing").exit_code == 0
    (tmp_path / "a.csv").write_text("text\nlost cards\nnew keys\n")
    assert "added 2 rows" in run("add", "notes", "a.csv").output
    again = run("add", "notes", "a.csv")
    assert again.stdout == "added 0 rows to notes, which now has 2\n"
    assert "2 rows without ids were added already from the same files; touch a file to add it again" in again.stderr


def test_queries_of_a_build_need_no_second_model(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[HashingEmbedder] = []
    (tmp_path / "a.csv").write_text("text\n" + "".join(f"lost card {n}\n" for n in range(40)))
    (tmp_path / "q.txt").write_text("".join(f"a card {n}\n" for n in range(20)))
    before = HashingEmbedder.__init__

    def counted(self: HashingEmbedder, *given: object, **more: object) -> None:
        made.append(self)
        before(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(HashingEmbedder, "__init__", counted)
    words = ("build", "a.csv", "--embedder", "hashing", "--recall", "0.5", "--queries", "q.txt", "-o", "made")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert len(made) == 1


def test_an_unfinished_folder_is_gone_on_with_by_the_same_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\nx,some words\ny,the of and\n")
    words = ("build", "a.csv", "--embedder", "hashing", "-o", "made")
    assert run(*words, "--plan", "ivf50").exit_code == 2  # for one row
    assert "is unfinished" in run("search", "made", "words").output
    assert "is unfinished" in run(*words[:3], "hashing:dim=64", "-o", "made").output
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "1 item left out: 'y' of a.csv" in done.output
    assert lines(run("search", "made", "words", "--nl"))[0]["id"] == "x"


def test_rows_wait_for_optimize_only_where_the_plan_does_not_compare_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("A card that is lost is blocked at once.")
    for plan, waits in (("flat", False), ("ivf2", True)):
        assert run("create", plan, "--embedder", "hashing", "--plan", plan).exit_code == 0
        done = run("add", plan, "note.md")
        assert ("searched one by one" in done.stderr) == waits, done.stderr


def test_records_from_build_to_search(run: Run, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name,height,hobby\nA,179,chess\nB,180,chess\nC,NA,news\nD,,news\n")
    columns = ["--embedder", "table", "--numeric", "height", "--categorical", "hobby", "--id", "name"]
    built = run("build", "people.csv", *columns, "-o", "people")
    assert built.exit_code == 0, built.output
    hits = lines(run("search", "people", '{"height": 179.4, "hobby": "chess"}', "-k", "2", "--nl"))
    assert [each["id"] for each in hits] == ["A", "B"]
    tall = lines(run("list", "people", "--where", "height > 179"))
    assert [each["id"] for each in tall] == ["B"]
    wrong = run("search", "people", '{"heigth": 179.4, "hobby": "chess"}')
    assert wrong.exit_code == 2
    assert "did you mean 'height'?" in wrong.stderr


def test_groups_by_a_field_that_no_row_has(run: Run, faq: Path) -> None:
    wrong = run("search", "faq", "card", "--group-by", "topik")
    assert (wrong.exit_code, "no row has the field 'topik' (did you mean 'topic'?)" in wrong.stderr) == (3, True)


def test_a_word_that_is_also_a_folder_is_a_text(run: Run, faq: Path, tmp_path: Path) -> None:
    (tmp_path / "cards").mkdir()
    assert lines(run("search", "faq", "cards", "-k", "1", "--nl"))[0]["query"] == 0


def test_json_as_a_whole_is_refused(run: Run, faq: Path, tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('[{"text": "a"}]')
    wrong = run("add", "faq", "all.json")
    assert wrong.exit_code != 0
    assert "jq -c '.[]' all.json > all.jsonl" in wrong.stderr


def test_the_vectors_of_an_export_are_no_metadata(run: Run, faq: Path, tmp_path: Path) -> None:
    assert run("export", "faq", "all.csv").exit_code == 0
    again = run("build", "all.csv", "--embedder", "hashing", "-o", "again")
    assert again.exit_code == 0, again.output
    assert {"vector_0", "vector_1"}.isdisjoint(run("fields", "again").stdout.split())


def test_texts_are_evaluated_with(run: Run, faq: Path, tmp_path: Path) -> None:
    (tmp_path / "asked.txt").write_text("rotating keys\nlost card\n")
    done = run("evaluate", "faq", "--queries", "asked.txt", "-k", "2", "--json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["quality"]["recalls"]) == 2
