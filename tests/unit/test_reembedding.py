"""A collection embedded again."""

from __future__ import annotations

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


def test_what_cannot_be_embedded_again_is_refused_and_stays(folder: Path, tmp_path: Path) -> None:
    nk.build(np.eye(3)).save(tmp_path / "vectors")
    with pytest.raises(errors.NotSupportedError, match="filled with vectors"):
        nk.reembed(tmp_path / "vectors", "hashing")
    with pytest.raises(errors.ParameterError, match=r"something at .*docs already"):
        nk.reembed(folder, "hashing", keep=folder)
    with pytest.raises(errors.NearkinError, match="pca cannot keep 4096 of 512 columns"):
        nk.reembed(folder, "hashing", plan="pca4096,flat")
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
