"""Columns of a table named in the shell, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import Run

import nearkin as nk
from nearkin.cli.table_options import telling_what_is_found
from nearkin.embedders import Role
from nearkin.hashing_embedder import HashingEmbedder


def test_create_names_the_columns(run: Run, tmp_path: Path) -> None:
    given = ["--numeric", "height,weight", "--numeric", '"income, yearly"', "--categorical", "hobby", "--date", "born"]
    result = run(
        "create",
        "people",
        "--embedder",
        "table:scaling=robust",
        *given,
        "--weight",
        "height=2",
        "--weight",
        "hobby=0.5",
    )
    assert result.exit_code == 0, result.output
    assert "which learns from the first items, euclidean" in result.output
    with nk.open(tmp_path / "people") as people:
        people.add(
            [
                {"height": "180", "weight": "80", "income, yearly": "NA", "hobby": "news", "born": "1990-01-01"},
                {"height": "160", "weight": "60", "income, yearly": "10", "hobby": "chess", "born": ""},
            ]
        )
        assert people.embedder_record is not None
        assert people.embedder_record.text == (
            'table:numeric="height,weight,\\"income, yearly\\"":categorical=hobby:dates=born'
            ":weights=height=2,hobby=0.5:scaling=robust"
        )
        assert people.search([{"height": 178}], k=1).ids.tolist() == [[0]]
    result = run("search", "people", "--help")
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--numeric", "a"], "--numeric needs --embedder table, and no embedder is given"),
        (
            ["--embedder", "hashing", "--numeric", "a", "--date", "b"],
            "--numeric, --date need --embedder table, and --embedder is hashing",
        ),
        (["--embedder", "table:numeric=a", "--numeric", "b"], "option 'numeric' of table is given twice"),
        (["--embedder", "table", "--numeric", "a", "--weight", "b=2"], "there is a weight for 'b'"),
        (["--embedder", "table", "--weight", "b"], "NAME=NUMBER expected at 'b'"),
        (["--embedder", "table", "--numeric", "a,"], "numeric has '' for the name of a column"),
        (["--embedder", "table", "--numeric", "a", "--dim", "3"], "dim is 3, and embedder"),
    ],
)
def test_wrong_columns_are_usage_errors(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    result = run("create", "people", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert not (tmp_path / "people").exists()


def test_other_embedders_are_created_as_before(run: Run) -> None:
    assert run("create", "docs", "--embedder", "hashing:dim=64").exit_code == 0
    assert run("create", "vectors", "--dim", "3").exit_code == 0


def test_what_is_learned_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.random.default_rng(0).normal(size=20).tolist()
    records = [{"x": value, "y": -value} for value in values]
    with nk.create(tmp_path / "t", embedder="table") as mine:
        with telling_what_is_found(mine):
            mine.add(records)
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("note: columns 'x' and 'y' are collinear (correlation -1.00)")
        with telling_what_is_found(mine):
            mine.add(records)
        assert capsys.readouterr().err == ""
    plain = nk.build(np.eye(3))
    with telling_what_is_found(plain):
        plain.add(np.eye(3))
    assert capsys.readouterr().err == ""


class Counting(HashingEmbedder):
    """It tells what it embedded, as one does that cuts texts, and learns nothing."""

    def __init__(self) -> None:
        super().__init__(dim=16)
        self.seen = 0

    @property
    def notes(self) -> Sequence[str]:
        return (f"{self.seen} texts seen",) if self.seen else ()

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        self.seen += 0 if tuple(items) == tuple(self.canaries) else len(items)
        return super()._embed(items, role)


def test_what_is_found_in_embedding_is_told_and_nothing_loaded_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with nk.create(tmp_path / "t", embedder=Counting()) as mine:
        for told in ("note: 2 texts seen\n", "note: 4 texts seen\n"):
            with telling_what_is_found(mine):
                mine.upsert(["one", "two"], ids=[0, 1])
            assert capsys.readouterr().err == told
    with nk.open(tmp_path / "t") as again:
        with telling_what_is_found(again):
            again.add(np.ones((1, 16)))
        assert again._bound is not None
        assert again._bound.made is None
