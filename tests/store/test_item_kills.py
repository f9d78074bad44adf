"""Building and adding through an embedder, killed and gone on with: no committed row is embedded twice, and none is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store import item_writer
from tests.store.item_writer import PART, Counting

import nearkin as nk

ROWS = 5 * PART + 3
SOAK = bool(os.environ.get("NEARKIN_SOAK"))
PLACES = ["temporary folder made", "vectors written", "rows inserted", "before commit", "after commit", "index renamed"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
Run = Callable[..., int]


@pytest.fixture(scope="module")
def run_writer() -> Iterator[Run]:
    """Runs a writer; returns its exit code."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, item_writer.__file__]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def run(**asked: Any) -> int:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield run


def make_file(home: Path) -> Path:
    lines = [json.dumps({"id": f"row {n}", "text": f"item {n}"}) for n in range(ROWS)]
    (home / "rows.jsonl").write_text("\n".join(lines))
    return home / "rows.jsonl"


def committed(path: Path) -> list[str]:
    """Texts of the rows that are on the disk."""
    if not path.exists():
        return []
    with nk.open(path, embedder=Counting(), readonly=True, unfinished=True) as collection:
        assert collection.verify() == []
        return [row.metadata["text"] for row in collection.select(vectors=False)]


def embedded(log: Path) -> Counter[str]:
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def check_end(home: Path, embeddings: dict[str, int]) -> None:
    """Everything is there once, and what had been committed at a kill was embedded no more after it."""
    with nk.open(home / "made", embedder=Counting(), readonly=True) as collection:
        assert sorted(collection.ids.tolist()) == sorted(f"row {n}" for n in range(ROWS))
        assert len(collection.rows) == ROWS  # none was written twice and replaced
        assert collection.verify() == []
        vectors = Counting()
        vectors.restore(collection.embedder.state())
        wanted = vectors.embed([row.metadata["text"] for row in collection.select()])
        assert (collection.rows.span(0, ROWS) == wanted).all()
    now = embedded(home / "log")
    assert {text: now[text] for text in embeddings} == embeddings
    assert set(now) == {f"item {n}" for n in range(ROWS)}


def after_kill(home: Path, embeddings: dict[str, int]) -> int:
    """Note how often each committed row has been embedded when it is first seen to be committed: exactly once more than never."""
    there, now = committed(home / "made"), embedded(home / "log")
    for text in there:
        embeddings.setdefault(text, now[text])
        assert now[text] == embeddings[text]
    return len(there)


@pytest.mark.parametrize("how", ["build", "add"])
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_failpoint(run_writer: Run, tmp_path: Path, how: str, place: str) -> None:
    if how == "add" and place == "index renamed":
        pytest.skip("adding builds no index")
    asked = {"how": how, "path": str(tmp_path / "made"), "file": str(make_file(tmp_path)), "log": str(tmp_path / "log")}
    embeddings: dict[str, int] = {}
    for nth in (1, 2, 3, 4) if place in PLACES[1:5] else (1,):
        code = run_writer(**asked, failpoint=f"{place}=kill:{nth}")
        assert code == -signal.SIGKILL or nth > 1
        there = after_kill(tmp_path, embeddings)
        if code == 0 or (how == "add" and there == ROWS):  # done: started once more, it would add all again
            break
    else:
        run_writer(**asked)  # refused, if the kill came after the end of a build
    check_end(tmp_path, embeddings)


@pytest.mark.parametrize(
    "failpoint",
    [
        *(f"{place}={how}" for place in ("swap: old moved", "swap: new in place") for how in ("kill:3", "eio:3")),
        "index renamed=kill",
        "before commit=kill:5",
        "after commit=kill:9",
        "after commit=kill:10",
    ],
)
def test_replacing_killed_at_a_failpoint(run_writer: Run, tmp_path: Path, failpoint: str) -> None:
    """Whatever ends it, what was embedded is gone on with, and the old collection is there until the new one is."""
    nk.build(["old one", "old two"], embedder="hashing:dim=8").save(tmp_path / "made")
    files = {"path": str(tmp_path / "made"), "file": str(make_file(tmp_path)), "log": str(tmp_path / "log")}
    code = run_writer(how="overwrite", **files, failpoint=failpoint)
    assert code == (-signal.SIGKILL if "kill" in failpoint else 1)
    if "swap" in failpoint:
        assert set(embedded(tmp_path / "log").values()) == {1}
    else:
        with nk.open(tmp_path / "made", readonly=True, unfinished=True) as collection:
            assert len(collection) in (2, ROWS)
    assert run_writer(how="overwrite", **files) == 0
    check_end(tmp_path, {})
    again = sum(embedded(tmp_path / "log").values()) - ROWS
    assert again <= (PART if "before" in failpoint else 0)
    assert {each.name for each in tmp_path.iterdir()} == {"made", "rows.jsonl", "log"}


@pytest.mark.parametrize("how", ["build", "add"])
def test_killed_at_random_moments(run_writer: Run, tmp_path: Path, how: str) -> None:
    chance = random.Random(len(how))
    asked = {"how": how, "path": str(tmp_path / "made"), "file": str(make_file(tmp_path)), "log": str(tmp_path / "log")}
    embeddings: dict[str, int] = {}
    seen = []
    for _ in range(60 if SOAK else 8):
        lines = sum(embedded(tmp_path / "log").values()) + chance.randrange(1, ROWS // 2)
        code = run_writer(**asked, lines=lines, seconds=chance.uniform(0, 0.02))
        seen.append(after_kill(tmp_path, embeddings))
        if code == 0 or (seen[-1] == ROWS and how == "add"):
            break
    print("committed at each kill", seen)
    assert any(0 < there < ROWS for there in seen)
    if seen[-1] < ROWS or how == "build":
        run_writer(**asked)
    check_end(tmp_path, embeddings)


def test_one_commit_embeds_each_row_once(run_writer: Run, tmp_path: Path) -> None:
    """Killed right after a commit, the rows of all commits so far were embedded once, and so are all in the end."""
    asked = {
        "how": "build",
        "path": str(tmp_path / "made"),
        "file": str(make_file(tmp_path)),
        "log": str(tmp_path / "log"),
    }
    for nth in (4, 3, 3):
        assert run_writer(**asked, failpoint=f"after commit=kill:{nth}") == -signal.SIGKILL
        there = committed(tmp_path / "made")
        assert embedded(tmp_path / "log") == Counter(there)
        assert len(there) % PART == 0 or len(there) == ROWS
    run_writer(**asked)
    assert set(embedded(tmp_path / "log").values()) == {1}
