"""Texts, tables and documents into collections with an embedder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.store.item_writer import Counting

import nearkin as nk
from nearkin import errors, item_adding
from nearkin.adding import add_files
from nearkin.staging import ItemReservoir


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[nk.Collection]:
    monkeypatch.chdir(tmp_path)
    with nk.create("docs", embedder="hashing:dim=64") as made:
        yield made


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return name


FAQ = "id,question,topic\nq1,How do I rotate a key?,keys\nq2,Where is my card?,\n"


def test_the_text_is_stored_once_and_the_rest_beside_it(docs: nk.Collection) -> None:
    done = add_files(docs, [write("faq.csv", FAQ)], text="question")
    assert (done.added, done.replaced, done.left_out) == (2, 0, ())
    assert [row.metadata for row in docs.select()] == [
        {"text": "How do I rotate a key?", "topic": "keys"},
        {"text": "Where is my card?"},
    ]
    assert docs.search(["rotate keys"], 1).ids.tolist() == [["q1"]]
    again = add_files(docs, [write("faq.csv", FAQ)], text="question")
    assert (again.added, again.replaced, len(docs)) == (0, 2, 2)
    with pytest.raises(errors.ParameterError, match="there already"):
        add_files(docs, ["faq.csv"], text="question", replace=False)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id,text\n1,some words\n2,other words\n", [1, 2]),
        ("text,topic\nsome words,a\nother words,b\n", [0, 1]),
        ("words\nsome words\nother words\n", [0, 1]),
        ("\ufeffid,text\n01,some words\n02,other words\n", ["01", "02"]),
        ('id,text\na,"some\nwords"\nb,other words\n', ["a", "b"]),
    ],
)
def test_columns_that_need_not_be_named(docs: nk.Collection, text: str, ids: list[Any]) -> None:
    add_files(docs, [write("rows.csv", text)])
    assert docs.ids.tolist() == ids
    assert docs.select()[1].metadata["text"] == "other words"


def test_other_tables(docs: nk.Collection) -> None:
    rows = [{"id": "a", "text": "some words", "n": 1, "when": None}, {"id": "b", "text": "other words", "n": 2.5}]
    write("rows.jsonl", "\n".join(map(json.dumps, rows)))
    assert add_files(docs, ["rows.jsonl"]).added == 2
    assert docs.get(["b"])[0].metadata == {"text": "other words", "n": 2.5}
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist([{**each, "id": each["id"] * 2} for each in rows]), "rows.parquet")
    assert add_files(docs, ["rows.parquet"]).added == 2
    assert docs.get(["bb"])[0].metadata == {"text": "other words", "n": 2.5}


@pytest.mark.parametrize(
    ("name", "content", "given", "said"),
    [
        (
            "a.csv",
            FAQ,
            {"text": "qestion"},
            "no column 'qestion' \\(did you mean 'question'\\?\\); it has 'id', 'question'",
        ),
        ("a.csv", FAQ, {}, "no column 'text'; it has 'id', 'question', 'topic'"),
        ("a.csv", FAQ, {"text": "question", "id": "key"}, "no column 'key'"),
        ("a.csv", "id,text\na,b\na,c\n", {}, "'a' is at rows 0 and 1"),
        ("a.csv", "id,text\na,b\n,c\n", {}, "row 1 of a.csv has no id"),
        ("a.csv", "id,text\na,b\nb,\n", {}, r"'b' of a.csv is empty \(1 of 2 items\)"),
        ("a.csv", "id,text,text\na,b,c\n", {}, "2 columns called 'text'"),
        ("a.csv", "text,topic\na,b\nc\n", {}, "line 3 has 1 cells, 2 expected"),
        ("a.csv", "id,text,other\na,b,c\n", {"text": "other"}, "a column 'text', where the metadata"),
        ("a.md", " \n", {}, "'a.md#0' of a.md is empty"),
        ("a.md", "words", {"text": "question"}, "a.md is a text without columns"),
        ("a.md", "words", {"chunk": 5, "overlap": 5}, "overlap is 5 words"),
        ("a.md", "words\0", {}, "a.md is a binary file"),
        ("a.jsonl", '{"text": 3}', {}, "row 0 of a.jsonl: column 'text' holds a int"),
        ("a.jsonl", "[1, 2]", {}, r"line 1: \[1, 2\] is not an object"),
        ("none.csv", None, {}, "there is no file none.csv"),
        ("none.md", None, {}, "there is no file none.md"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_added(
    docs: nk.Collection, name: str, content: str | None, given: dict[str, Any], said: str
) -> None:
    if content is not None:
        write(name, content)
    with pytest.raises(errors.NearkinError, match=said):
        add_files(docs, [name], **given)
    assert len(docs) == 0


def test_text_in_another_encoding(docs: nk.Collection) -> None:
    for name in ("a.csv", "a.md"):
        Path(name).write_bytes("text\nnaïve words here\n".encode("latin-1"))
        with pytest.raises(errors.CorruptFileError, match="iconv -f LATIN1"):
            add_files(docs, [name])


def test_what_no_vector_can_stand_for_is_left_out_when_asked(docs: nk.Collection) -> None:
    write("a.csv", "id,text\na,some words\nb,the of and\nc,\nd,other words\n")
    with pytest.raises(errors.InputError, match=r"'c' of a.csv is empty"):
        add_files(docs, ["a.csv"])
    done = add_files(docs, ["a.csv"], on_bad="skip")
    assert (done.added, done.left_out, docs.ids.tolist()) == (2, ("'b' of a.csv", "'c' of a.csv"), ["a", "d"])
    write("b.csv", "id,text\nx,some words\ny,the of and\n")
    done = add_files(docs, ["b.csv"])
    assert (done.added, done.left_out) == (1, ("'y' of b.csv",))  # known only once it is embedded


def test_documents_and_their_chunks(docs: nk.Collection) -> None:
    text = " ".join(f"word{n}" for n in range(100)) + "."
    write("notes/b.md", text)
    write("notes/a.txt", "short one")
    write("notes/table.csv", "text\nnot a document\n")
    write("notes/.hidden.md", "hidden")
    done = add_files(docs, ["notes"], chunk=30, overlap=5)
    assert docs.ids.tolist() == ["notes/a.txt#0", *(f"notes/b.md#{n}" for n in range(4))]
    assert (done.added, done.removed) == (5, 0)
    for row in docs.select("document = 'notes/b.md'"):
        start, part = row.metadata["start"], row.metadata["text"]
        assert text[start : start + len(part)] == part
        assert row.id == f"notes/b.md#{row.metadata['chunk']}"
    found = docs.search(["word40 word41"], 2, group_by="document")
    assert sorted(found.ids[0].tolist())[0] == "notes/a.txt#0"
    write("notes/b.md", " ".join(f"other{n}" for n in range(40)))
    again = add_files(docs, ["./notes/b.md"], chunk=30, overlap=5)
    assert (again.added, again.replaced, again.removed) == (0, 2, 2)
    assert docs.ids.tolist() == ["notes/a.txt#0", "notes/b.md#0", "notes/b.md#1"]


def test_rows_with_the_id_of_a_chunk_are_no_chunks(docs: nk.Collection) -> None:
    docs.add(["mine"], ["a.md#7"])
    add_files(docs, [write("a.md", "some words")])
    assert docs.ids.tolist() == ["a.md#7", "a.md#0"]


@pytest.mark.parametrize("numbers", [[3], [5, 4, 3, 2, 1, 0]])
def test_rows_that_were_chunks_are_no_whole_document(
    docs: nk.Collection, monkeypatch: pytest.MonkeyPatch, numbers: list[int]
) -> None:
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 2)
    add_files(docs, [write("a.md", " ".join(f"word{n}" for n in range(60)))], chunk=10, overlap=0)
    rows = docs.get([f"a.md#{n}" for n in numbers])
    write("some.jsonl", "\n".join(json.dumps({"id": row.id, **row.metadata}) for row in rows))
    done = add_files(docs, ["some.jsonl"])
    assert (done.replaced, done.removed) == (len(numbers), 0)
    assert sorted(docs.ids.tolist()) == [f"a.md#{n}" for n in range(6)]


def test_chunks_that_are_left_out_and_rows_that_are(docs: nk.Collection) -> None:
    add_files(docs, [write("a.csv", "id,text\nq1,some words\nq2,other words\n")])
    done = add_files(docs, [write("b.csv", "id,text\nq1,\nq2,new words\n")], on_bad="skip")
    assert (done.added, done.replaced, done.removed, done.left_out) == (0, 1, 1, ("'q1' of b.csv",))
    assert docs.ids.tolist() == ["q2"]


def test_all_files_are_checked_before_any_is_added(docs: nk.Collection) -> None:
    np.save("v.npy", np.eye(64, dtype=np.float32))
    write("e.txt", " ")
    with pytest.raises(errors.InputError, match=r"'e.txt#0' of e.txt is empty"):
        add_files(docs, ["v.npy", "e.txt"])
    with pytest.raises(errors.ParameterError, match="ids mix"):
        add_files(docs, ["v.npy", write("a.md", "some words")])
    assert len(docs.rows) == 0
    mine = nk.build(np.eye(2), ids=["a", "b"])
    for name in ("v.jsonl", "w.jsonl"):
        write(name, json.dumps({"id": "q1", "vector": [1, 2]}))
    with pytest.raises(errors.ParameterError, match="'q1' is at rows 0 and 1"):
        add_files(mine, ["v.jsonl", "w.jsonl"], replace=False)
    assert len(mine) == 2
    assert add_files(mine, ["v.jsonl", "w.jsonl"]).replaced == 1


def test_items_that_were_deleted_meanwhile_come_back(docs: nk.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 16)
    write("a.csv", "text\n" + "".join(f"some words {n}\n" for n in range(32)))
    for gone in (16, 3):
        with pytest.raises(Killed):
            add_files(docs, ["a.csv"], told=kill_after(1))
        docs.delete(docs.ids[:gone])
        done = add_files(docs, ["a.csv"])
        assert (done.added, done.replaced, done.removed, done.resumed) == (16 + gone, 16 - gone, 0, 0)
        assert sorted(row.metadata["text"] for row in docs.select()) == sorted(f"some words {n}" for n in range(32))
        docs.delete(docs.ids)


def test_files_without_ids_are_added_once(docs: nk.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 16)
    write("a.csv", "text\n" + "".join(f"some words {n}\n" for n in range(32)))
    with pytest.raises(Killed):
        add_files(docs, ["a.csv"], told=kill_after(2))  # after the last commit
    done = add_files(docs, ["a.csv"])
    assert (done.added, done.already, done.resumed, len(docs)) == (0, 32, 0, 32)
    Path("a.csv").touch()
    assert (add_files(docs, ["a.csv"]).added, len(docs)) == (32, 64)


def test_a_run_that_another_one_overtook_begins_anew(docs: nk.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 2)
    write("a.jsonl", "\n".join(json.dumps({"id": n, "text": f"old words {n}"}) for n in range(6)))
    write("b.jsonl", json.dumps({"id": 0, "text": "new words"}))
    write("c.jsonl", json.dumps({"id": 9, "text": "more words"}))
    for other, resumed in (("c.jsonl", 2), ("b.jsonl", 0)):
        with pytest.raises(Killed):
            add_files(docs, ["a.jsonl"], told=kill_after(1))
        add_files(docs, [other])
        assert add_files(docs, ["a.jsonl"]).resumed == resumed
        assert docs.get([0])[0].metadata["text"] == "old words 0"


def test_texts_of_a_table_in_chunks(docs: nk.Collection) -> None:
    add_files(docs, [write("a.csv", "id,text,n\nx,one two three four,5\ny,six,6\n")], chunk=2, overlap=0)
    assert docs.ids.tolist() == ["x#0", "x#1", "y#0"]
    assert docs.get(["x#1"])[0].metadata == {"text": "three four", "document": "x", "chunk": 1, "start": 8, "n": 5}


class Killed(Exception):
    pass


def kill_after(parts: int) -> Callable[[int, int], None]:
    seen: list[int] = []

    def told(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == parts:
            raise Killed

    return told


def test_a_document_keeps_all_of_its_text_through_an_interruption(
    docs: nk.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 2)
    write("a.md", " ".join(f"old{n}" for n in range(60)))
    add_files(docs, ["a.md"], chunk=10, overlap=0)
    write("a.md", " ".join(f"new{n}" for n in range(30)))
    with pytest.raises(Killed):
        add_files(docs, ["a.md"], chunk=10, overlap=0, told=kill_after(1))
    held = {row.id: row.metadata["text"].split()[0] for row in docs.select()}
    assert held == {f"a.md#{n}": f"{'new' if n < 2 else 'old'}{10 * n}" for n in range(6)}
    done = add_files(docs, ["a.md"], chunk=10, overlap=0)
    assert (done.resumed, done.replaced, done.removed) == (2, 1, 3)
    assert sorted(docs.ids.tolist()) == ["a.md#0", "a.md#1", "a.md#2"]


def test_one_that_learns_does_so_from_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 2)
    write("a.csv", "text\nab\nac\nad\n")
    write("b.csv", "text\nxy\n\n")
    with nk.create("docs", embedder=Counting()) as made, pytest.raises(Killed):
        add_files(made, ["a.csv", "b.csv"], told=kill_after(1))
    with nk.open("docs", embedder=Counting()) as made:
        done = add_files(made, ["a.csv", "b.csv"])
        assert (done.resumed, done.added, done.learned_from) == (2, 2, 0)
        assert made.embedder is not None
        assert made.embedder.identity["letters"] == "abcdxy"


def test_without_an_embedder_and_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", np.eye(3, dtype=np.float32))
    mine = nk.build(np.ones((1, 3)))
    assert add_files(mine, ["v.npy"]).added == 3
    for given in ({"text": "question"}, {"chunk": 3}):
        with pytest.raises(errors.ParameterError, match="no embedder"):
            add_files(mine, [write("faq.csv", FAQ)], **given)
    texts = nk.build(["some words"], embedder="hashing:dim=8")
    np.save("w.npy", np.eye(8, dtype=np.float32))
    assert add_files(texts, ["w.npy", write("a.csv", "text\nother words\n")]).added == 9
    with pytest.raises(errors.ParameterError, match="single path"):
        add_files(mine, "v.npy")


def test_a_reservoir_of_items_is_fair() -> None:
    counts = np.zeros(20)
    for seed in range(600):
        sample = ItemReservoir(5, seed)
        for start in range(0, 20, 3):
            sample.add(list(range(start, min(20, start + 3))))
        assert len(set(sample.items)) == 5
        counts[sample.items] += 1
    assert counts.min() > 100  # 150 expected, of standard deviation 11
    assert counts.max() < 200


def test_building_goes_on_and_refuses_what_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(item_adding, "ITEMS_A_COMMIT", 3)
    write("a.csv", "text\n" + "".join(f"some words {n}\n" for n in range(10)))
    files, given = ["a.csv"], {"embedder": "hashing:dim=64", "plan": "ivf2"}
    with pytest.raises(Killed):
        nk.build_items(files, "made", told=kill_after(2), **given)
    with pytest.raises(errors.StateError, match=r"made is unfinished, 6 items of a.csv are in it"):
        nk.open("made")
    for other in ({"embedder": "hashing:dim=32"}, {"embedder": "hashing:dim=64", "metric": "euclidean"}):
        with pytest.raises(errors.StateError, match=r"being built from a.csv by hashing:dim=64.*something else"):
            nk.build_items(files, "made", **other)
    with nk.build_items(files, "made", **given) as made:
        assert (len(made), made.plan, made.uncovered) == (10, "ivf2", 0)
        assert "went on after the first 6 items" in made.notes[0]
    with pytest.raises(errors.ParameterError, match=r"a collection at .*made already"):
        nk.build_items(files, "made", **given)
    with pytest.raises(errors.NearkinError, match="overlap"):
        nk.build_items(files, "made", overwrite=True, chunk=2, overlap=2, **given)
    with pytest.raises(Killed):
        nk.build_items(files, "made", overwrite=True, told=kill_after(2), **given)
    assert len(nk.open("made", readonly=True)) == 10  # until the new one is whole
    with nk.build_items(files, "made", overwrite=True, **given) as made:
        assert made.notes[0].startswith("went on after the first 6")
    with nk.open("made") as made:
        assert made.search(["some words 7"], 1).ids.tolist() == [[7]]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "made"]


def test_an_option_that_was_wrong_can_be_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UnknownNameError, match="did you mean 'question'"):
        nk.build_items([write("a.csv", FAQ)], "made", embedder="hashing", text="qestion")
    with nk.build_items(["a.csv"], "made", embedder="hashing", text="question") as made:
        assert len(made) == 2


def test_a_plan_that_does_not_fit_can_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.csv", "text\none\ntwo words\nthree\n")
    with pytest.raises(errors.VectorError):
        nk.build_items(["a.csv"], "made", embedder="hashing:dim=64", plan="ivf1000")
    with nk.build_items(["a.csv"], "made", embedder="hashing:dim=64", plan="ivf2") as made:
        assert (made.plan, len(made.rows)) == ("ivf2", 3)
    with nk.open("made") as made:
        assert made.plan == "ivf2"
        made.add(["four"])
        made.optimize()
        assert made.plan == "ivf2"


def test_numbers_of_a_csv_are_numbers_for_filters(tmp_path):
    (tmp_path / "faq.csv").write_text("id,question,stock,zip,price\n1,copy a file,5,01234,0.5\n2,send mail,12,99999,\n")
    with nk.create(tmp_path / "faq", embedder="hashing") as faq:
        nk.add_files(faq, [tmp_path / "faq.csv"], text="question")
        assert faq.count("stock > 5") == 1
        assert faq.get([1])[0].metadata == {"text": "copy a file", "stock": 5, "zip": "01234", "price": 0.5}
        assert faq.get([2])[0].metadata == {"text": "send mail", "stock": 12, "zip": "99999"}


def test_texts_that_are_numbers_stay_texts(tmp_path):
    (tmp_path / "codes.csv").write_text("id,text\na,1e3\nb,2\n")
    with nk.create(tmp_path / "codes", embedder="hashing") as codes:
        nk.add_files(codes, [tmp_path / "codes.csv"])
        assert [row.metadata["text"] for row in codes.get(["a", "b"])] == ["1e3", "2"]


def test_records_of_a_csv(tmp_path):
    (tmp_path / "people.csv").write_text("name,height,hobby\nA,179,chess\nB,180,chess\nC,NA,news\nD,,news\n")
    with nk.create(tmp_path / "people", embedder="table:numeric=height:categorical=hobby") as people:
        done = nk.add_files(people, [tmp_path / "people.csv"], id="name")
        assert (done.added, done.learned_from) == (4, 4)
        assert people.count("height > 179") == 1
        near = people.search([{"height": 179.4, "hobby": "chess"}], 2)
        assert near.ids.tolist() == [["A", "B"]]
        wanted = nk.build(
            [
                {"height": h, "hobby": hobby}
                for h, hobby in ((179, "chess"), (180, "chess"), (None, "news"), (None, "news"))
            ],
            embedder="table:numeric=height:categorical=hobby",
        )
        np.testing.assert_allclose(people.rows.take(np.arange(4)), wanted.rows.take(np.arange(4)), rtol=1e-6)
