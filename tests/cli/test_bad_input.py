"""Bad input through the command line: one clear sentence with the numbers, the right exit code, nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]


def fails(result: Result, code: int, *words: str) -> None:
    """One line on standard error, with these words; nothing on standard output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_wrong_width(run: Run, built: Path) -> None:
    fails(run("search", built, "-", input="[1, 2, 3]"), 2, "queries have 3 columns, 8 expected")
    fails(run("add", built, "-", input="[1, 2, 3]"), 2, "3 columns, 8 expected")


def test_one_dimension_and_empty(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.zeros(5))
    np.save(tmp_path / "empty.npy", np.zeros((0, 4)))
    fails(run("build", "flat.npy", "-o", "x"), 5, "1-D array", "2-D")
    fails(run("build", "empty.npy", "-o", "x"), 2, "no rows")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_rows_are_named(run: Run, vectors: np.ndarray, tmp_path: Path, value: float) -> None:
    vectors[[3, 7], 2] = value
    np.save(tmp_path / "bad.npy", vectors)
    fails(run("build", "bad.npy", "-o", "x"), 2, "2 of 400 rows (rows 3, 7)", "--on-bad skip")


def test_zero_rows_under_cosine(run: Run, vectors: np.ndarray, tmp_path: Path) -> None:
    vectors[4] = 0
    np.save(tmp_path / "zero.npy", vectors)
    fails(run("build", "zero.npy", "--metric", "cosine", "-o", "x"), 2, "row 4")
    skipped = run("build", "zero.npy", "--metric", "cosine", "--on-bad", "skip", "-o", "x", "--json")
    assert json.loads(skipped.stdout)["skipped"] == [4]


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8"])
def test_other_types_work(run: Run, tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "v.npy", np.asfortranarray(np.arange(24).reshape(6, 4).astype(dtype)))
    assert run("build", "v.npy", "-o", "x").exit_code == 0


@pytest.mark.parametrize("k", ["0", "-1"])
def test_k_must_be_positive(run: Run, built: Path, k: str) -> None:
    fails(run("search", built, "v.npy", "-k", k), 2, "k", k)


def test_more_cells_than_rows(run: Run, vectors: np.ndarray) -> None:
    fails(run("build", "v.npy", "--plan", "ivf500", "-o", "x"), 2, "500", "400")


def test_too_few_rows_to_train(run: Run) -> None:
    fails(run("build", "-", "--plan", "flat,pq1x8", "-o", "x", input="[1, 2]\n[3, 4]"), 2, "at least 256 rows", "got 2")


def test_duplicate_and_unknown_ids(run: Run, shop: Path, built: Path, tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("sku,x,y\na,1,0\na,2,0\n")
    fails(run("build", "twice.csv", "--format", "csv:id=sku", "-o", "x"), 2, "'a' is at rows 0 and 1")
    fails(run("delete", shop, "b", "nope"), 3, "'nope'")
    assert run("get", shop, "b").exit_code == 0
    fails(run("get", built, "nope"), 3, "'nope'", "whole numbers")
    fails(run("get", built, "400"), 3, "400")


def test_unknown_names(run: Run, vectors: np.ndarray) -> None:
    fails(run("build", "v.npy", "--metric", "cosin", "-o", "x"), 3, "'cosine'", "nearkin components metrics")
    fails(run("build", "v.npy", "--plan", "ivf,pqq", "-o", "x"), 3, "position 4", "'pq'")
    fails(run("components", "metrisc"), 3, "'metrics'")
    fails(run("plugins", "check", "metrisc"), 3, "'metrisc'", "metrics")
    fails(run("convert", "v.npy", "v.xyz"), 3, "'.xyz'")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("", ("position 0", "expected")),
        ("ivf,,pq", ("position 4", "empty part")),
        ("ivf,refine-f32,pq", ("position 15", "nothing more expected")),
        ("ivf:nlist=many", ("position 0", "'many'", "whole number")),
        ("cosine", ("position 0", "metric")),
    ],
)
def test_bad_plan_says_where_and_what(run: Run, vectors: np.ndarray, plan: str, words: tuple[str, ...]) -> None:
    fails(run("build", "v.npy", "--plan", plan, "-o", "x"), 2, *words)


def test_illegal_plan_names_the_nearest(run: Run, vectors: np.ndarray, tmp_path: Path) -> None:
    result = run("build", "v.npy", "--metric", "manhattan", "--plan", "ivf,pq", "-o", "x")
    fails(result, 2, "does not serve metric manhattan", "nearest legal plan: surrogate,ivf,pq")
    assert not (tmp_path / "x").exists()


def test_search_parameters(run: Run, built: Path) -> None:
    fails(run("search", built, "v.npy", "--set", "nprobe"), 2, "'nprobe' is not NAME=NUMBER", "nearkin search --help")
    fails(run("search", built, "v.npy", "--set", "nprob=3"), 2, "nprobe")
    fails(run("search", built, "v.npy", "--set", "nprobe=0"), 2, "nprobe", "0")


def test_missing_extra_gives_the_pip_command(run: Run, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pyarrow" else find(name, *rest)
    )
    fails(run("convert", "v.npy", "v.parquet"), 4, "pyarrow", 'pip install "nearkin[files]"')


def test_missing_files_and_folders(run: Run, vectors: np.ndarray) -> None:
    fails(run("build", "nope.npy", "-o", "x"), 5, "there is no file nope.npy")
    fails(run("search", "nope", "v.npy"), 3, "nope")
    fails(run("info", "nope"), 3, "nope")


def test_pickles_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"whatever")
    fails(run("describe", "model.pt"), 2, "pickled", "np.save")
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    fails(run("describe", "objects.npy"), 5, "pickled")


def test_full_disk_leaves_the_old_index(run: Run, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        fails(run("build", "v.npy", "--plan", "hnsw", "-o", built, "--overwrite"), 5, "No space left on device")
    facts = json.loads(run("info", built, "--json").stdout)
    assert (facts["rows"], facts["plan"]) == (400, "ivf8")


def test_damaged_index_is_told_and_mended(run: Run, built: Path) -> None:
    shutil.rmtree(built / "built")
    facts = json.loads(run("info", built, "--json").stdout)
    assert facts["problems"]
    assert run("optimize", built).exit_code == 0
    assert json.loads(run("info", built, "--json").stdout)["problems"] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("empty",)),
        ("[1, 2\n", ("line 1", "not JSON")),
        ("[1, 2, 3, 4, 5, 6, 7, 8]\n[1, 2]\n", ("2 and 8 numbers",)),
        ('["a"]', ("line 1", "no vector")),
        ("[[1, 2]]", ("line 1", "no vector")),
        ("\n\ntrue\n", ("line 3", "no vector")),
        ('{"id": 1}', ("line 1", "no vector")),
        ("[" * 100_000, ("line 1", "not JSON")),
        ("[1, 2, 3, 4, 5, 6, 7, NaN]", ("NaN", "row 0")),
        (f"[1, 2, 3, 4, 5, 6, 7, {'9' * 400}]", ("queries",)),
        ('{"id": 1, "vector": [1]}\n[2]', ("1 of 2 lines",)),
    ],
)
def test_standard_input_that_is_no_vectors(run: Run, built: Path, text: str, words: tuple[str, ...]) -> None:
    fails(run("search", built, "-", input=text), 2, *words)


def test_standard_input_with_a_damaged_npy(run: Run, built: Path) -> None:
    fails(run("search", built, "-", input=b"\x93NUMPY\x01\x00"), 5, ".npy file")


def test_where_no_row_is_left_skipping_is_not_the_way_out(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.float32([[-122, 37], [-118, 34]]))
    for option in ((), ("--on-bad", "skip")):
        result = run("build", "x.npy", "--metric", "haversine", *option, "-o", "mine")
        assert "latitudes from -90 to 90" in result.stderr
        assert "2 of 2 rows" in result.stderr
        assert "skip" not in result.stderr


def test_checking_a_component_names_its_plugin(run: Run) -> None:
    result = run("plugins", "check", "gower")
    assert result.exit_code == 3
    assert "gower is a component of the plugin metrics: check that" in result.stderr


def test_refusals_speak_of_columns_and_formulas_as_users_do(run: Run, vectors: np.ndarray) -> None:
    refused = run("build", "v.npy", "--metric", "gower:categorical=-1", "-o", "mine").stderr
    assert "categorical is -1, numbers of columns from 0 on expected" in refused
    refused = run("build", "v.npy", "--metric", "gower:categorical=sex", "-o", "mine").stderr
    assert "write numbers as categorical=1/2" in refused
    refused = run("build", "v.npy", "--metric", "canberra", "--plan", "rotate,flat", "-o", "mine").stderr
    assert "keeps the order of inner-product, l2, not of a compiled formula" in refused
