"""A collection embedded again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import nearkin as nk
from nearkin import errors, reembedding
from nearkin.cli.program import nearkin
from nearkin.embedders import Role
from nearkin.hashing_embedder import HashingEmbedder

TEXTS = [f"{verb} {thing}" for verb in ("copy", "send", "wrap", "close") for thing in ("a file", "mail", "lines", "it")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with nk.create(
        tmp_path / "docs", embedder="hashing:dim=64", field="title", plan="ivf4", search={"nprobe": 4}
    ) as docs:
        docs.add(TEXTS, ids=[f"t{n}" for n in range(16)], metadata=[{"n": n} for n in range(16)])
        docs.delete(["t3"])
        docs.index_field("n")
        docs.optimize()
    return tmp_path / "docs"


def test_by_another_embedder(folder: Path, tmp_path: Path) -> None:
    done = nk.reembed(folder, "hashing:dim=128:ngrams=3", keep=tmp_path / "before")
    assert (done.rows, done.old_dim, done.new_dim, done.resumed, done.skipped) == (15, 64, 128, 0, ())
    assert done.overlap is not None
    assert 0.3 < done.overlap.mean <= 1
    with nk.open(folder) as docs:
        assert docs.search(["copying a file"], 1).ids.tolist() == [["t0"]]
        assert (docs.dim, docs.metric_text, docs.plan, docs.search_defaults) == (128, "cosine", "ivf4", {"nprobe": 4})
        assert docs.rows.indexed_fields == ("n",)
        assert docs.get(["t15"])[0].metadata == {"n": 15, "title": "close it"}
        own = HashingEmbedder(dim=128, ngrams=3).embed(["close it"])
        np.testing.assert_allclose(docs.get(["t15"])[0].vector, own[0], rtol=1e-6)
        assert docs.verify() == []
    with nk.open(tmp_path / "before") as before:
        assert (before.dim, len(before), before.verify()) == (64, 15, [])
    assert sorted(each.name for each in folder.parent.iterdir()) == ["before", "docs"]


class Counting(HashingEmbedder):
    """Counts what it embeds, and stops in the middle."""

    def __init__(self, seen: list[str], most: int) -> None:
        super().__init__(dim=128)
        self.seen = seen
        self.most = most

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        if len(self.seen) + len(items) > self.most:
            raise KeyboardInterrupt
        new = [item for item in items if item not in self.canaries]
        self.seen.extend(new)
        return super()._embed(items, role)


def test_an_interrupted_run_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "ITEMS_A_COMMIT", 4)
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        nk.reembed(folder, Counting(seen, 10))
    assert len(seen) == 8
    with nk.open(folder) as docs:
        assert (docs.dim, docs.search(["copy a file"], 1).ids.tolist()) == (64, [["t0"]])
    done = nk.reembed(folder, Counting(seen, 99))
    assert done.resumed == 8
    assert sorted(seen) == sorted(text for text in TEXTS if text != "copy it")
    with nk.open(folder) as docs:
        assert (docs.dim, len(docs)) == (128, 15)


def test_an_interrupted_run_is_not_gone_on_with_after_a_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "ITEMS_A_COMMIT", 4)
    with pytest.raises(KeyboardInterrupt):
        nk.reembed(folder, Counting([], 10))
    with nk.open(folder) as docs:
        docs.upsert(["copy it all"], ["t0"])
    assert nk.reembed(folder, Counting([], 99)).resumed == 0
    with nk.open(folder) as docs:
        assert docs.get(["t0"])[0].metadata["title"] == "copy it all"


def stopped(folder: Path, **given: Any) -> None:
    """A run that ends after 8 rows."""
    with pytest.raises(KeyboardInterrupt):
        nk.reembed(folder, Counting([], 10), **given)


def test_an_interrupted_run_is_not_gone_on_with_in_another_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "ITEMS_A_COMMIT", 4)
    nk.build([f"apple {n}" for n in range(12)], embedder="hashing:dim=64").save(tmp_path / "docs")
    stopped(tmp_path / "docs")
    nk.build([f"zebra {n}" for n in range(12)], embedder="hashing:dim=64").save(tmp_path / "docs", overwrite=True)
    assert nk.reembed(tmp_path / "docs", Counting([], 99)).resumed == 0
    with nk.open(tmp_path / "docs") as docs:
        assert [row.metadata["text"] for row in docs.select()] == [f"zebra {n}" for n in range(12)]


def test_another_metric_begins_anew_and_another_plan_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembedding, "ITEMS_A_COMMIT", 4)
    stopped(folder, metric="l1")
    stopped(folder, metric="euclidean")
    done = nk.reembed(folder, Counting([], 99), metric="euclidean", plan="ivf2")
    assert done.resumed == 8
    with nk.open(folder) as docs:
        assert (docs.metric_text, docs.plan) == ("euclidean", "ivf2")
    stopped(folder, plan="ivf3")
    assert nk.reembed(folder, Counting([], 99), metric="l1").resumed == 0
    with nk.open(folder) as docs:
        assert (docs.metric_text, docs.plan) == ("l1", "ivf2")


def test_a_plan_that_fails_costs_no_embedding(folder: Path) -> None:
    seen: list[str] = []
    with pytest.raises(errors.VectorError, match="ivf"):
        nk.reembed(folder, Counting(seen, 99), plan="ivf400")
    assert len(seen) == 15
    assert nk.reembed(folder, Counting(seen, 99), plan="flat").resumed == 15
    assert len(seen) == 15
    with nk.open(folder) as docs:
        assert (docs.plan, len(docs)) == ("flat", 15)


def test_the_budget_stays_and_a_fixed_plan_does(tmp_path: Path) -> None:
    with nk.create(tmp_path / "docs", embedder="hashing:dim=32", plan="ivf4", memory="1GB", recall=0.5) as docs:
        docs.add([f"{one} {two}" for one in TEXTS for two in TEXTS])
        docs.optimize()
        budget = docs.budget
    nk.reembed(tmp_path / "docs", "hashing:dim=64")
    with nk.open(tmp_path / "docs") as docs:
        assert docs.budget == budget
        assert docs.plan.startswith("ivf4")
    nk.reembed(tmp_path / "docs", "hashing:dim=64", plan="flat")
    with nk.open(tmp_path / "docs") as docs:
        assert (docs.budget, docs.plan) == (None, "flat")


class Gone(HashingEmbedder):
    """One that no plugin offers."""

    name = "gone"
    metric = "euclidean"

    @property
    def text(self) -> str:
        return "gone"


def test_the_old_embedder_is_not_needed(tmp_path: Path) -> None:
    for name, metric in (("own", None), ("chosen", "l1")):
        nk.build(TEXTS, embedder=Gone(dim=64), metric=metric).save(tmp_path / name)
        assert nk.reembed(tmp_path / name, "hashing:dim=128").old == "gone"
        with nk.open(tmp_path / name) as docs:
            assert docs.metric_text == (metric or "cosine")
    nk.build(TEXTS, embedder=Gone(dim=64)).save(tmp_path / "same")
    with pytest.raises(errors.UnknownNameError, match="gone"):
        nk.reembed(tmp_path / "same")


def test_without_kept_vectors(tmp_path: Path) -> None:
    nk.build(TEXTS, embedder="hashing:dim=64", keep_vectors=False).save(tmp_path / "docs")
    done = nk.reembed(tmp_path / "docs", "hashing:dim=128")
    assert (done.rows, done.overlap) == (16, None)
    with nk.open(tmp_path / "docs") as docs:
        assert (docs.keeps_vectors, docs.search(["copy a file"], 1).ids.tolist(), docs.verify()) == (True, [[0]], [])


def columns(path: Path) -> tuple[str, ...]:
    with nk.open(path) as table:
        embedder: Any = table.embedder
        return tuple(embedder.columns)


def test_what_was_given_beside_records_is_no_feature(tmp_path: Path) -> None:
    records = [{"c": "ab"[n % 2]} for n in range(8)]
    prices = [{"price": n} for n in range(8)]
    nk.build(records, embedder="table", metadata=prices).save(tmp_path / "table")
    nk.reembed(tmp_path / "table", "table:rare=0.01")
    assert columns(tmp_path / "table") == ("c",)
    with nk.open(tmp_path / "table") as table:
        table.upsert([{"c": "a", "size": n % 3} for n in range(8)], range(8), metadata=[{"price": n} for n in range(8)])
        assert table.get([5])[0].metadata == {"c": "a", "size": 2, "price": 5}
    nk.reembed(tmp_path / "table", "table")
    assert columns(tmp_path / "table") == ("size", "c")
    with nk.create(tmp_path / "made", embedder="table") as table:
        table.add(records, metadata=prices)
    nk.reembed(tmp_path / "made")
    assert columns(tmp_path / "made") == ("c",)


def content(path: Path) -> tuple[int, list[Any], list[str]]:
    with nk.open(path) as docs:
        return docs.dim, [(row.id, row.metadata, row.vector.tolist()) for row in docs.select()], docs.verify()


@pytest.mark.parametrize("changed", ["docs", "before"])
def test_the_kept_collection_and_the_new_one_share_nothing(folder: Path, tmp_path: Path, changed: str) -> None:
    nk.reembed(folder, "hashing:dim=128", keep=tmp_path / "before")
    other = tmp_path / ("before" if changed == "docs" else "docs")
    wanted = content(other)
    with nk.open(tmp_path / changed) as docs:
        docs.add(["wrap it up"], ids=["new"])
        docs.delete(["t0"])
        docs.optimize()
    assert content(other) == wanted
    assert wanted[2] == content(tmp_path / changed)[2] == []
    assert len(content(tmp_path / changed)[1]) == 15


def test_another_copy_is_not_taken_for_the_kept_one(folder: Path, tmp_path: Path) -> None:
    nk.reembed(folder, "hashing:dim=128", keep=tmp_path / "before")
    with pytest.raises(errors.ParameterError, match=r"something at .*before already"):
        nk.reembed(folder, "hashing:dim=64", keep=tmp_path / "before")
    assert content(tmp_path / "before")[0] == 64


def test_what_cannot_be_embedded_again_is_refused_and_stays(folder: Path, tmp_path: Path) -> None:
    nk.build(np.eye(3)).save(tmp_path / "vectors")
    with pytest.raises(errors.NotSupportedError, match="filled with vectors"):
        nk.reembed(tmp_path / "vectors", "hashing")
    with pytest.raises(errors.ParameterError, match=r"something at .*docs already"):
        nk.reembed(folder, "hashing", keep=folder)
    with pytest.raises(errors.NearkinError, match="pca cannot keep 4096 of 512 columns"):
        nk.reembed(folder, "hashing", plan="pca4096,flat")
    assert sorted(each.name for each in folder.parent.iterdir()) == ["docs", "vectors"]
    with nk.open(folder) as docs:
        docs.add(np.ones((1, 64)), ids=["bare"])
    with pytest.raises(errors.NotSupportedError, match=r"1 of 16 rows have no text under 'title' \(id 'bare'\)"):
        nk.reembed(folder, "hashing")
    with nk.open(folder) as docs:
        docs.delete(["bare"])
        docs.add(np.ones((1, 64)), ids=["empty"], metadata=[{"title": ""}])
    with pytest.raises(errors.VectorError):
        nk.reembed(folder, "hashing")
    assert nk.reembed(folder, "hashing", on_bad="skip").skipped == ("empty",)


def test_the_command(folder: Path) -> None:
    done = CliRunner().invoke(nearkin, ["reembed", str(folder), "--embedder", "hashing:dim=256"])
    assert done.exit_code == 0, done.output
    assert "15 rows of 256 columns by hashing:dim=256:ngrams=4, it had 64" in done.output
    assert "stayed the same (15 rows asked)" in done.output


def test_the_commands_where_the_embedder_was_lost(folder: Path) -> None:
    with sqlite3.connect(folder / "collection.sqlite") as connection:
        connection.execute("UPDATE facts SET value = zeroblob(length(value)) WHERE name GLOB 'embedder_state/*'")

    def said(*command: str) -> str:
        done = CliRunner().invoke(nearkin, list(command))
        assert done.exit_code == 0, done.output
        return done.output

    assert "gone: what the embedder hashing:dim=64:ngrams=4 has learned" in said("repair", str(folder))
    assert "hashing:dim=64:ngrams=4 (what was kept of it is lost: run nearkin reembed)" in said("info", str(folder))
    assert "15 rows of 64 columns" in said("reembed", str(folder))
    assert "t0" in said("search", str(folder), "copy a file", "-k", "1")
