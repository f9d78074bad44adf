"""Budgets in the shell: what is printed, what is saved, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import nearkin as nk
from nearkin.cli.plan import duration

Run = Callable[..., Result]
QUICK = ("--recall", "0.9", "--seconds", "0.4")


@pytest.fixture
def rows(tmp_path: Path) -> np.ndarray:
    """1,500 x 8 rows in groups, in rows.npy, and 300 queries like them in asked.npy."""
    rng = np.random.default_rng(0)
    made = (rng.normal(size=(30, 8))[rng.integers(0, 30, 1800)] + 0.4 * rng.normal(size=(1800, 8))).astype(np.float32)
    np.save(tmp_path / "rows.npy", made[:1500])
    np.save(tmp_path / "asked.npy", made[1500:])
    return made


def test_plan_explains_and_saves_nothing(run: Run, rows: np.ndarray, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    result = run("plan", "rows.npy", *QUICK)
    assert result.exit_code == 0, result.output
    for words in ("recall@10", "0.9 wanted", "rows held out on a sample of", "expected", "predicted"):
        assert words in result.stdout
    assert "not tried for lack of time" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_plan_as_json_has_everything(run: Run, rows: np.ndarray) -> None:
    found = json.loads(run("plan", "rows.npy", *QUICK, "--queries", "asked.npy", "--json").stdout)
    assert found["held_out"] is False
    assert found["queries"] == 300
    assert found["trials"][0]["plan"] == found["plan"]
    assert found["recall"]["mean"] >= 0.9
    assert found["budget"] == {"recall": 0.9, "memory": None, "latency": None, "optimize": "batch", "fixed": False}


def test_plan_before_there_are_vectors(run: Run) -> None:
    result = run("plan", "--rows", "1e7", "--dim", "768", "--memory", "8GB")
    assert result.exit_code == 0, result.output
    assert "ivf3162,pq192x4" in result.stdout
    assert "to be measured" in result.stdout
    found = json.loads(run("plan", "--rows", "10_000", "--dim", "16", "--json").stdout)
    assert {each["plan"] for each in found} >= {"flat", "ivf100,pq8x4,refine-f16"}
    assert all(sum(each["bytes"].values()) > 0 for each in found)


def test_build_within_a_budget_is_saved_with_its_plan(run: Run, rows: np.ndarray) -> None:
    result = run("build", "rows.npy", *QUICK, "--memory", "100kB", "-o", "indexes/mine", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["choice"]["certified"] is True
    assert report["choice"]["recall"]["low"] >= 0.9
    assert sum(report["bytes"]["allocated"].values()) <= 100_000
    with nk.open("indexes/mine", readonly=True) as saved:
        assert saved.plan == report["plan"]
        assert saved.search_defaults == report["search"]
        assert saved.search(rows[:5], 1).ids.ravel().tolist() == [0, 1, 2, 3, 4]


def test_build_says_how_the_recall_was_shown(run: Run, rows: np.ndarray) -> None:
    result = run("build", "rows.npy", "--plan", "ivf", "--recall", "0.9", "-o", "indexes/mine")
    assert result.exit_code == 0, result.output
    assert "0.9 wanted" in result.stdout
    assert "rows held out on all rows, half of them without a say" in result.stdout
    assert "budget" in result.stdout


def test_a_budget_that_cannot_be_met_ends_with_code_6(run: Run, rows: np.ndarray, tmp_path: Path) -> None:
    result = run("build", "rows.npy", "--recall", "0.9", "--memory", "1kB", "-o", "indexes/mine")
    assert result.exit_code == 6
    assert "no plan keeps 1,500 rows of 8 columns in 1,000 bytes: the smallest" in result.stderr
    assert not (tmp_path / "indexes" / "mine").exists()
    assert run("plan", "rows.npy", "--plan", "flat,pq4x4", "--recall", "0.99").exit_code == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan",), "pass --rows and --dim"),
        (("plan", "rows.npy"), "no budget was given"),
        (("plan", "rows.npy", "--rows", "5"), "leave them out"),
        (("plan", "rows.npy", "--recall", "1.5"), "above 0 and below 1"),
        (("plan", "rows.npy", "--recall", "0.9", "--memory", "much"), "200MB"),
        (("plan", "rows.npy", "--recall", "0.9", "--latency", "2"), "2ms"),
        (("plan", "rows.npy", "--recall", "0.9", "--seconds", "0"), "above 0"),
        (("plan", "--rows", "many", "--dim", "3"), "whole number"),
        (("plan", "--rows", "0.5", "--dim", "3"), "whole number"),
    ],
)
def test_wrong_budgets_are_usage_errors(run: Run, rows: np.ndarray, arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(("seconds", "words"), [(4e-6, "4 us"), (0.00123, "1 ms"), (2.5, "2.5 s")])
def test_durations_are_read_easily(seconds: float, words: str) -> None:
    assert duration(seconds) == words
