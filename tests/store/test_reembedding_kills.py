"""Embedding a collection again, killed and gone on with: one of the two is whole at any moment, and no committed row is embedded
twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.store.item_writer import PART, Counting
from tests.store.test_item_kills import Run, embedded, run_writer

import nearkin as nk
from nearkin.store.failpoints import NAMES
from nearkin.store.replacement import replaced_name

__all__ = ["run_writer"]

ROWS = 3 * PART + 3
TEXTS = [f"item {n}" for n in range(ROWS)]
EARLY = [name for name in NAMES if not name.startswith(("folder ", "swap"))]
LATE = ["folder filled", "folder synced", "swap: old moved", "swap: new in place"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = nk.build(TEXTS, embedder="hashing:dim=32", plan="ivf2", metadata=[{"n": n} for n in range(ROWS)])
    made.save(tmp_path / "docs")
    return tmp_path


def put_back(docs: Path) -> None:
    """What the error of a place that was left empty says."""
    if not docs.exists():
        replaced_name(docs).rename(docs)


def begun(home: Path) -> list[str]:
    """Texts that were committed to the new collection, as far as it has come."""
    shadow = home / ".docs.reembedding"
    if not (shadow / "collection.sqlite").exists():
        return []
    looked_at = home / "looked at"
    shutil.copytree(shadow, looked_at)  # opening it would end an interrupted commit
    try:
        with nk.open(looked_at, embedder=Counting()) as new:
            return [row.metadata["text"] for row in new.select(vectors=False)]
    finally:
        shutil.rmtree(looked_at)


def rows(path: Path, **given: Any) -> tuple[int, list[Any]]:
    with nk.open(path, readonly=True, **given) as docs:
        assert docs.verify() == []
        assert docs.uncovered == 0
        return docs.dim, [(row.id, row.metadata) for row in docs.select(vectors=False)]


def is_new(home: Path) -> bool:
    with nk.open(home / "docs", readonly=True) as docs:
        assert docs.embedder_record is not None
        return docs.embedder_record.text == "counting"


def check_end(home: Path, kept: Path | None, once: set[str]) -> None:
    wanted = [(n, {"n": n, "text": text}) for n, text in enumerate(TEXTS)]
    dim, found = rows(home / "docs", embedder=Counting())
    assert found == wanted
    assert dim == len(set("".join(TEXTS)) - {" "})
    if kept is not None:
        assert rows(kept) == (32, wanted)
        assert (kept / "collection.sqlite").stat().st_nlink == 1
    assert all(embedded(home / "log")[text] == 1 for text in once)
    assert not (home / ".docs.reembedding").exists()


def killed(run: Run, home: Path, kept: Path | None, place: str, nth: int) -> bool:
    """Whether a run came to be killed."""
    asked = {"how": "reembed", "path": str(home / "docs"), "log": str(home / "log"), "keep": kept and str(kept)}
    code = run(**asked, failpoint=f"{place}=kill:{nth}")
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("place", LATE)
def test_killed_at_the_end_nothing_is_embedded_again(run_writer: Run, home: Path, place: str, keep: bool) -> None:
    kept = home / "before" if keep else None
    whole = 0
    for nth in (1, 2, 1, 2, 9):  # in making the new collection, in keeping the old one, in putting the new one in place
        if not killed(run_writer, home, kept, place, nth):
            break
        put_back(home / "docs")
        if is_new(home):
            whole += 1
            break
        whole += len(begun(home)) == ROWS
    assert whole > keep or place == "swap: new in place"
    assert whole
    check_end(home, kept, set(TEXTS))


@pytest.mark.parametrize("place", EARLY)
def test_killed_on_the_way_no_committed_row_is_embedded_again(run_writer: Run, home: Path, place: str) -> None:
    once: set[str] = set()
    nth, kept = 1, home / "before"
    while killed(run_writer, home, kept, place, nth):
        put_back(home / "docs")
        if is_new(home):  # what was left to do is to say so
            break
        there, now = begun(home), embedded(home / "log")
        assert len(there) % PART == 0 or len(there) == ROWS
        once |= {text for text in there if now[text] == 1}
        assert all(now[text] == 1 for text in once)
        nth += 1
    check_end(home, kept, once)


def test_a_commit_is_what_a_kill_costs(run_writer: Run, home: Path) -> None:
    assert killed(run_writer, home, None, "vectors written", 3)
    there = begun(home)
    assert len(there) == 2 * PART
    assert not killed(run_writer, home, None, "swap: new in place", 9)
    assert embedded(home / "log") == Counter(TEXTS) + Counter(TEXTS[2 * PART : 3 * PART])
    check_end(home, None, set(there))
    assert json.loads((home / "docs" / "LOCK").read_text() or "null") is None
