"""The embedder of a collection: items in and items asked, what is kept of it, and the refusal of every other one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors
from nearkin.embedders import Embedder, Role, digest_of
from nearkin.hashing_embedder import HashingEmbedder
from nearkin.hooks import EmbedderSpec, hookimpl
from nearkin.registry import Registry
from nearkin.state import State
from nearkin.store.header import read_header, write_header

TEXTS = ["compress a file", "send a mail", "wrap lines of text", "copy a folder"]


class Letters(Embedder):
    """Shares of the letters that it has learned."""

    name = "letters"
    needs_fit = True

    def __init__(self, upper: bool = False) -> None:
        self.upper = upper
        self.letters = ""

    @property
    def text(self) -> str:
        return f"letters:upper={str(self.upper).lower()}"

    @property
    def fitted(self) -> bool:
        return bool(self.letters)

    @property
    def dim(self) -> int:
        self.need_fitted()
        return len(self.letters)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"kind": "letters", "upper": self.upper, "letters": digest_of(self.state().arrays)}

    def _fit(self, items: Sequence[Any]) -> None:
        self.letters = "".join(sorted(set("".join(items)) - {" "}))

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        return np.float32([[each.count(letter) for letter in self.letters] for each in items])

    def state(self) -> State:
        return State({"letters": np.array([ord(each) for each in self.letters], dtype=np.int32)})

    def restore(self, state: State) -> None:
        self.letters = "".join(map(chr, state.arrays["letters"].tolist()))


@dataclass(frozen=True)
class LettersParams:
    """Options of letters."""

    upper: bool = False


class LettersPlugin:
    """The hashing embedder's rival."""

    @hookimpl
    def nearkin_embedders(self) -> list[EmbedderSpec]:
        return [EmbedderSpec(name="letters", summary="Letters.", make=Letters, params=LettersParams)]


@pytest.fixture(scope="module")
def registry() -> Registry:
    made = Registry(strict=True)
    made.load_entry_points()
    made.register(LettersPlugin(), "letters")
    return made


def change_record(folder: Path, **changes: Any) -> None:
    """What another nearkin, or somebody else, might have written in the record of the embedder."""
    with sqlite3.connect(folder / "collection.sqlite") as connection:
        header = read_header(connection, folder)
        assert header.embedder is not None
        record = {**header.embedder, **changes}
        write_header(connection, replace(header, embedder=record))


def test_texts_are_added_asked_and_kept(tmp_path: Path) -> None:
    with nk.create(tmp_path / "docs", embedder="hashing:dim=256") as docs:
        assert (docs.dim, docs.metric_text) == (256, "cosine")
        docs.add(TEXTS, ids=["a", "b", "c", "d"], metadata=[{"page": n} for n in range(4)])
    with nk.open(tmp_path / "docs") as docs:
        hits = docs.search(["file compression"], k=1)[0]
        assert hits[0].id == "a"
        assert docs.get(["a"])[0].metadata == {"text": "compress a file", "page": 0}
        assert docs.range_search(["compress a file"], 0.01)[0][0].id == "a"
        docs.upsert(["compress a folder"], ["a"])
        assert docs.get(["a"])[0].metadata["text"] == "compress a folder"
        assert docs.exact_search(["compress a folder"], 1).ids.tolist() == [["a"]]
        own = HashingEmbedder(dim=256).embed(["copy a folder"], role="query")
        assert docs.search(own, 4).ids.tolist() == docs.search(["copy a folder"], 4).ids.tolist()


def test_in_memory_saved_and_compacted(tmp_path: Path) -> None:
    mine = nk.build(TEXTS, embedder="hashing", field="title")
    mine.delete([1])
    wanted = mine.search(["copying folders"], 3).ids.tolist()
    mine.save(tmp_path / "docs")
    nk.compact(tmp_path / "docs")
    with nk.open(tmp_path / "docs") as docs:
        assert docs.search(["copying folders"], 3).ids.tolist() == wanted
        assert docs.select("title = 'copy a folder'")[0].id == 3


def test_one_that_learns_does_so_from_the_first_items(tmp_path: Path, registry: Registry) -> None:
    with nk.create(tmp_path / "docs", embedder="letters", registry=registry) as docs:
        assert docs.dim == 0
        for call in (lambda: docs.search(["a"]), lambda: docs.add(np.eye(3)), lambda: docs.search(np.eye(3))):
            with pytest.raises(errors.NotTrainedError, match="letters:upper=false learns from the first items"):
                call()
    with nk.open(tmp_path / "docs", registry=registry) as docs:
        docs.add(TEXTS)
        assert docs.dim == len(set("".join(TEXTS)) - {" "})
        with pytest.raises(errors.StateError, match="has learned"):
            docs.fit_embedder(["more"])
    with nk.open(tmp_path / "docs", registry=registry) as docs:
        docs.add(["copying"])
        docs.optimize()
        assert docs.search(["copy a folder"], 1).ids.tolist() == [[3]]
        assert docs.verify() == []
    with nk.open(tmp_path / "docs", registry=registry, readonly=True) as docs:
        assert docs.search(["copying"], 1).ids.tolist() == [[4]]


def test_it_may_learn_from_more_than_is_added(tmp_path: Path, registry: Registry) -> None:
    with nk.create(tmp_path / "docs", embedder=Letters(), registry=registry) as docs:
        docs.fit_embedder(["abc", "xyz"])
        docs.add(["axe"])
        assert docs.dim == 6


def test_the_callers_own_embedder_is_not_changed(registry: Registry) -> None:
    mine = Letters()
    assert nk.build(TEXTS, embedder=mine, registry=registry).dim > 0
    assert not mine.fitted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hashing:dim=128", "dim was 256 and is 128"),
        ("hashing:dim=256:ngrams=3", "ngrams was 4 and is 3"),
        (HashingEmbedder(dim=64), "hashing:dim=64:ngrams=4"),
        ("letters", "the embedder at hand is letters:upper=false"),
    ],
)
def test_another_embedder_is_refused_with_both_named(tmp_path: Path, registry: Registry, given: Any, said: str) -> None:
    nk.build(TEXTS, embedder="hashing:dim=256").save(tmp_path / "docs")
    with pytest.raises(errors.StateError, match=said):
        nk.open(tmp_path / "docs", embedder=given, registry=registry)
    if isinstance(given, str) and given.startswith("hashing"):
        with pytest.raises(errors.EmbedderMismatchError, match=r"filled by hashing:dim=256:ngrams=4 \(fingerprint"):
            nk.open(tmp_path / "docs", embedder=given)


def test_other_behaviour_behind_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nk.build(TEXTS, embedder="hashing").save(tmp_path / "docs")
    plain = HashingEmbedder._embed
    monkeypatch.setattr(HashingEmbedder, "_embed", lambda self, items, role: plain(self, items, role)[:, ::-1])
    with nk.open(tmp_path / "docs") as docs, pytest.raises(errors.EmbedderMismatchError, match=r"canary .* moved"):
        docs.search(["copy"])
    with nk.open(tmp_path / "docs") as docs, pytest.raises(errors.EmbedderMismatchError, match=r"canary .* moved"):
        docs.add(["copy"])


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    nk.build(TEXTS, embedder="hashing").save(tmp_path / "docs")
    change_record(tmp_path / "docs", version=2)
    with pytest.raises(errors.FormatVersionError, match="form 2, this nearkin knows forms up to 1; install a newer"):
        nk.open(tmp_path / "docs")


def test_a_fingerprint_of_a_newer_revision_is_refused(tmp_path: Path) -> None:
    """The next nearkin may hash in another way: the identity says so, and the fingerprint is another."""
    nk.build(TEXTS, embedder="hashing").save(tmp_path / "docs")
    identity = {**HashingEmbedder().identity, "revision": 99}
    change_record(tmp_path / "docs", identity=identity, fingerprint="0123456789abcdef")
    with (
        nk.open(tmp_path / "docs") as docs,
        pytest.raises(errors.EmbedderMismatchError, match="revision was 99 and is 3"),
    ):
        docs.search(["copy"])


def test_items_without_an_embedder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="4 texts or records, and no embedder"):
        nk.build(TEXTS)
    mine = nk.build(np.eye(3))
    for call in (lambda: mine.search(["a"]), lambda: mine.add(["a"]), lambda: mine.search([{"a": 1}])):
        with pytest.raises(errors.InputError, match="no embedder to turn them into vectors"):
            call()
    mine.save(tmp_path / "vectors")
    with pytest.raises(errors.NotSupportedError, match="keeps no embedder"):
        nk.open(tmp_path / "vectors", embedder="hashing")


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"embedder": "hashin"}, errors.UnknownNameError, "hashing"),
        ({"embedder": 3}, errors.ParameterError, "embedder is a int, a name or an Embedder expected"),
        ({"embedder": "hashing", "dim": 3}, errors.ParameterError, "gives 512 columns; leave dim out"),
        ({"embedder": "hashing", "field": "a.b"}, errors.ParameterError, "field is 'a.b'"),
        ({}, errors.ParameterError, "dim is not given"),
        ({"embedder": "hashing", "metric": "hamming"}, errors.NotSupportedError, "hamming compares packed bits"),
    ],
)
def test_wrong_arguments_of_create(tmp_path: Path, given: Any, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        nk.create(tmp_path / "docs", **given)
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("text", r"single text: 'text', a list of texts expected; pass \[text\]"),
        ({"a": 1}, "single dict"),
        (["a", 3], "item 1 is of type int, text expected"),
        ([{"a": 1}], "item 0 is of type dict, text expected"),
    ],
)
def test_wrong_items(items: Any, said: str) -> None:
    mine = nk.build(TEXTS, embedder="hashing")
    for call in (mine.add, mine.search):
        with pytest.raises(errors.InputError, match=said):
            call(items)
    assert len(mine) == 4


def test_vectors_of_the_embedder_may_be_given_themselves() -> None:
    own = HashingEmbedder(dim=64)
    mine = nk.build(own.embed(TEXTS), embedder=own)
    assert mine.search(["copy a folder"], 1).ids.tolist() == [[3]]
    with pytest.raises(errors.VectorError, match="3 columns, 64 expected"):
        nk.build(np.eye(3), embedder=own)


def test_what_it_has_learned_is_verified_and_may_be_lost(tmp_path: Path, registry: Registry) -> None:
    nk.build(TEXTS, embedder="letters", registry=registry).save(tmp_path / "docs")
    with sqlite3.connect(tmp_path / "docs" / "collection.sqlite") as connection:
        connection.execute("UPDATE facts SET value = zeroblob(length(value)) WHERE name GLOB 'embedder_state/*'")
    with nk.open(tmp_path / "docs", registry=registry) as docs:
        assert "embedder_state" in " ".join(docs.verify())
        with pytest.raises(errors.CorruptFileError, match="embedder_state"):
            docs.search(["copy"])
    done = nk.repair(tmp_path / "docs", registry=registry)
    assert "has learned is gone" in " ".join(done.notes)
    assert (done.embedder_lost, done.gone) == ("letters:upper=false", 0)
    assert "gone: what the embedder letters:upper=false has learned" in str(done)
    with nk.open(tmp_path / "docs", registry=registry) as docs:
        assert (len(docs), docs.verify()) == (4, [])
        assert docs.search(docs.get([3])[0].vector[None], 1).ids.tolist() == [[3]]
        for call in (lambda: docs.search(["copy"]), lambda: docs.add(["copy"]), lambda: docs.embedder):
            with pytest.raises(errors.StateError, match="kept of its embedder letters:upper=false is lost"):
                call()
        docs.save(tmp_path / "saved")
    nk.compact(tmp_path / "docs", registry=registry)
    assert not nk.repair(tmp_path / "docs", registry=registry).changed
    for name in ("docs", "saved"):
        assert nk.reembed(tmp_path / name, registry=registry).rows == 4
        with nk.open(tmp_path / name, registry=registry) as docs:
            assert docs.search(["copy a folder"], 1).ids.tolist() == [[3]]


def test_repair_keeps_a_sound_embedder(tmp_path: Path, registry: Registry) -> None:
    nk.build(TEXTS, embedder="letters", registry=registry).save(tmp_path / "docs")
    vectors = tmp_path / "docs" / "vectors" / "000001.f32"
    content = bytearray(vectors.read_bytes())
    content[1] ^= 1
    vectors.write_bytes(content)
    assert nk.repair(tmp_path / "docs", registry=registry).gone
    with nk.open(tmp_path / "docs", registry=registry) as docs:
        assert docs.embedder is not None
        assert docs.embedder.text == "letters:upper=false"


def test_the_record_is_json(tmp_path: Path) -> None:
    mine = nk.build(TEXTS, embedder="hashing")
    assert mine.embedder_record is not None
    again = json.loads(json.dumps(mine.embedder_record.to_dict()))
    assert (again["text"], again["takes"], again["field"], again["version"]) == (
        "hashing:dim=512:ngrams=4",
        "text",
        "text",
        1,
    )


def test_metadata_do_not_take_the_place_of_the_item() -> None:
    mine = nk.build(TEXTS, embedder="hashing")
    with pytest.raises(errors.ParameterError, match="metadata 0 has text='other', and that field keeps the item"):
        mine.add(["one"], metadata=[{"text": "other"}])
    mine.add(["one"], metadata=[{"text": "one", "page": 1}])
    assert mine.get([4])[0].metadata == {"text": "one", "page": 1}
    with pytest.raises(errors.ParameterError, match="metadata 0 is a str, a dict expected"):
        mine.add(["two"], metadata=["page 1"])
    with pytest.raises(errors.ParameterError, match="2 metadata dicts were given for 1 items"):
        mine.add(["two"], metadata=[{}, {}])


def test_evaluated_with_texts() -> None:
    mine = nk.build([f"{one} {two}" for one in TEXTS for two in TEXTS], embedder="hashing:dim=64", plan="ivf4")
    wanted = nk.evaluate(mine, queries=HashingEmbedder(dim=64).embed(TEXTS, role="query"), k=3)
    assert nk.evaluate(mine, queries=TEXTS, k=3).quality == wanted.quality


def test_one_that_has_to_learn_is_not_replaced_by_one_that_has(tmp_path: Path, registry: Registry) -> None:
    nk.create(tmp_path / "docs", embedder="letters", registry=registry).close()
    learned = Letters()
    learned.fit(TEXTS)
    for given in (HashingEmbedder(), learned, Letters(upper=True)):
        with pytest.raises(
            errors.EmbedderMismatchError, match="filled by letters:upper=false, and the embedder at hand"
        ):
            nk.open(tmp_path / "docs", embedder=given, registry=registry)


def test_what_was_learned_is_of_no_use_to_another_kind(tmp_path: Path, registry: Registry) -> None:
    nk.build(TEXTS, embedder="lsa").save(tmp_path / "docs")
    for given in (Letters(), "table", "word-vectors:nowhere.txt:weighting=idf"):
        with pytest.raises(errors.NearkinError) as raised:
            nk.open(tmp_path / "docs", embedder=given, registry=registry)
        assert isinstance(raised.value, errors.EmbedderMismatchError | errors.StorageError | errors.UnknownNameError)


@pytest.mark.parametrize("plan", ["flat,pq4", "pca4,flat", "ivf2,pq4x4,refine-f16"])
def test_plans_with_numbers_for_columns_that_are_still_to_be_learned(
    tmp_path: Path, registry: Registry, plan: str
) -> None:
    with nk.create(tmp_path / "docs", embedder="letters", plan=plan, registry=registry) as docs:
        docs.fit_embedder(["abcd efgh ijkl"])
        assert docs.dim == 12
    with nk.create(tmp_path / "more", embedder="letters", plan=plan, registry=registry) as docs:
        with pytest.raises(errors.NearkinError, match=r"3 columns|3 of|at most"):
            docs.add(["abc"])
        assert docs.dim == 0
    with pytest.raises(errors.NotSupportedError, match="manhattan"):
        nk.create(tmp_path / "none", embedder="letters", plan="hnsw8,pq2x4", metric="manhattan", registry=registry)


def test_a_refused_add_teaches_nothing(tmp_path: Path, registry: Registry) -> None:
    with nk.create(tmp_path / "docs", embedder="letters", registry=registry) as docs:
        for given in ({"ids": [1, 2]}, {"metadata": [{"a": {1, 2}}]}, {"metadata": [{}, {}]}, {"ids": [None]}):
            with pytest.raises(errors.InputError):
                docs.add(["one text"], **given)
            assert docs.dim == 0
        docs.add(TEXTS)
        assert len(docs) == 4


def test_a_failure_while_settling_leaves_all_as_it_was(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nearkin.store.folder import Folder

    with nk.create(tmp_path / "docs", embedder="letters", registry=registry) as docs:
        with monkeypatch.context() as patched:
            patched.setattr(Folder, "settle", lambda self, header, state: fail_to_write())
            with pytest.raises(errors.StorageError, match="no room"):
                docs.add(TEXTS)
        with pytest.raises(errors.NotTrainedError):
            docs.search(["copy"])
        docs.add(TEXTS)
        assert docs.search(["copy a folder"], 1).ids.tolist() == [[3]]


def fail_to_write() -> None:
    raise errors.StorageError("no room")


def test_searches_beside_the_first_add(tmp_path: Path, registry: Registry) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for attempt in range(5):
        with nk.create(tmp_path / f"docs{attempt}", embedder="letters", registry=registry) as docs:

            def ask(docs: nk.Collection = docs) -> int:
                for _ in range(200):
                    try:
                        docs.search(["copy a folder"], 1)
                    except errors.NotTrainedError:
                        continue
                    return 1
                return 0

            with ThreadPoolExecutor(3) as pool:
                asked = [pool.submit(ask) for _ in range(3)]
                docs.add(TEXTS)
                assert all(each.result() in (0, 1) for each in asked)


def test_a_reader_from_before_the_embedder_learned(tmp_path: Path, registry: Registry) -> None:
    with (
        nk.create(tmp_path / "docs", embedder="letters", registry=registry) as docs,
        nk.open(tmp_path / "docs", registry=registry, readonly=True) as reader,
    ):
        docs.add(TEXTS)
        with pytest.raises(errors.StateError, match="learned after this was opened; open it again"):
            reader.verify()
        with pytest.raises(errors.NotTrainedError, match="open it again if another process did"):
            reader.search(["copy"])


def test_what_the_embedder_knows_nothing_of(tmp_path: Path) -> None:
    mine = nk.build(TEXTS, embedder="hashing")
    with pytest.raises(errors.InputError, match="query 1 has nothing that the embedder knows: '!!!'; use other words"):
        mine.search(["copy", "!!!"])
    with pytest.raises(errors.InputError, match="item 0 has nothing that the embedder knows: ''"):
        mine.add([""])
    assert mine.add(["", "more"], on_bad="skip").skipped.tolist() == [0]


def test_what_can_be_read_once_is_refused() -> None:
    mine = nk.build(TEXTS, embedder="hashing")
    with pytest.raises(
        errors.InputError, match=r"a generator, which can be read once; a list expected; pass list\(...\)"
    ):
        mine.add(text for text in TEXTS)
    with pytest.raises(errors.ParameterError, match="that field keeps the item itself"):
        mine.add(["one"], metadata=[{"text": np.array([1, 2])}])


def test_items_that_are_missing_are_left_out_when_asked() -> None:
    pandas = pytest.importorskip("pandas")
    given = [None, *TEXTS, float("nan"), "", pandas.NA]
    mine = nk.build(given, embedder="lsa", on_bad="skip")
    assert (len(mine), mine.skipped.tolist()) == (4, [0, 5, 6, 7])
    assert mine.search(["copy a folder"], 1)[0][0].id == 3
    assert mine.add(pandas.Series(["a file", None]), on_bad="skip").skipped.tolist() == [1]
    with pytest.raises(errors.InputError, match="item 0 is of type NoneType, text expected"):
        nk.build(given, embedder="lsa")
    with pytest.raises(errors.InputError, match="item 2 is of type int, text expected"):
        nk.build([None, "a", 3], embedder="hashing", on_bad="skip")
    frame = pandas.DataFrame({"n": [1, 2], "title": ["a", "b"]})
    with pytest.raises(
        errors.InputError, match=r"data frame, a list of texts expected; pass one column of it: frame\['title'\]"
    ):
        nk.build(frame, embedder="hashing")
