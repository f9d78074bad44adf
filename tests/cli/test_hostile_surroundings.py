"""Closed streams, broken plugins, odd places and settings: one sentence, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]

BROKEN = """
from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import Metric

print("hello from the plugin")

class Raising(Metric):
    name = "raising"
    def pairwise(self, queries, vectors):
        raise ZeroDivisionError("oops")

class Talking(Metric):
    name = "talking"
    def pairwise(self, queries, vectors):
        return "far"

@hookimpl
def nearkin_metrics():
    return [MetricSpec(name=each.name, summary="Broken.", make=each) for each in (Raising, Talking)]
"""

ENDLESS = """
from itertools import count
from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import Euclidean

@hookimpl
def nearkin_metrics():
    for number in count():
        yield MetricSpec(name=f"m{number}", summary="One of many.", make=Euclidean)
"""


def fails(result: Result, code: int, *words: str) -> None:
    """An error on the last line of standard error, with these words."""
    assert result.exit_code == code, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last


def in_a_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program, called `nearkin` in the command, by a shell that may close its streams."""
    line = command.replace("nearkin", f"'{sys.executable}' -m nearkin", 1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_no_command_prints_the_help(run: Run) -> None:
    for arguments, word in (((), "describe"), (("plugins",), "check")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("Usage: ")
        assert f"\n  {word} " in result.stderr


@pytest.mark.parametrize("metric", ["raising", "talking"])
def test_a_plugin_that_fails_at_work(run: Run, vectors: np.ndarray, tmp_path: Path, metric: str) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    words = ("broken.py", "ZeroDivisionError: oops") if metric == "raising" else ("'far'", "numbers of shape")
    asked = run("--plugin", "broken.py", "measure", "v.npy", "--plan", "flat", "--held-out", "9", "--metric", metric)
    fails(asked, 4, *words)


def test_what_a_plugin_prints_stays_out_of_results(run: Run, built: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    result = run("--plugin", "broken.py", "info", built, "--json")
    assert json.loads(result.stdout)["rows"] == 400
    assert "hello from the plugin" in result.stderr


def test_a_hook_without_end_is_left_out(run: Run, built: Path, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    result = run("--plugin", "endless.py", "info", built)
    assert result.exit_code == 0
    assert "endless" in result.stderr
    assert "more than 1,000 components" in result.stderr


def test_threads_out_of_range(run: Run, vectors: np.ndarray) -> None:
    fails(run("--threads", "100000", "build", "v.npy", "-o", "x"), 2, "100000", "1,024")


@pytest.mark.parametrize("text", ["threads = 2.7", "indexes = [1]", "plugins = [1]", "seed = true", "threads = -1"])
def test_settings_of_a_wrong_type(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "nearkin.toml").write_text(text)
    fails(run("settings"), 2, "nearkin.toml", text.partition(" ")[0])


def test_empty_parts_of_a_list_of_plugins_are_no_plugins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARKIN_PLUGINS", os.pathsep * 2)
    assert run("plugins", "list", "--json").stderr == ""


def test_too_many_columns_for_a_covariance(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((3, 20_000), dtype=np.float32))
    fails(run("build", "wide.npy", "--metric", "mahalanobis", "-o", "x"), 2, "20,000 columns", "16,384")


def test_finite_float64_beyond_float32(run: Run, built: Path, vectors: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", vectors.astype(np.float64) * 1e300)
    for arguments in (("build", "big.npy", "-o", "x"), ("add", built, "big.npy"), ("search", built, "big.npy")):
        fails(run(*arguments), 2, "beyond the range of float32", "400 of 400 rows")


def test_standard_input_in_any_format(run: Run, tmp_path: Path) -> None:
    result = run("build", "-", "--format", "csv:id=sku", "-o", "x", "--json", input="sku,x,y\na,1,0\nb,2,0\n")
    assert json.loads(result.stdout)["rows"] == 2
    fails(run("build", "-", "-o", "y", input="sku,x,y\na,1,0\n"), 2, "line 1", "--format csv")


def test_a_collection_inside_a_collection(run: Run, built: Path, vectors: np.ndarray) -> None:
    fails(run("build", "v.npy", "-o", built / "sub"), 2, "inside the collection")
    assert not (built / "sub").exists()


def test_files_of_others_are_not_replaced(run: Run, built: Path, vectors: np.ndarray) -> None:
    (built / "notes.txt").write_text("mine")
    fails(run("build", "v.npy", "-o", built, "--overwrite"), 2, "notes.txt", "1 entry")
    assert (built / "notes.txt").read_text() == "mine"


def test_names_that_no_folder_can_have(run: Run, vectors: np.ndarray) -> None:
    fails(run("build", "v.npy", "-o", ""), 2, "empty")
    fails(run("build", "v.npy", "-o", "x" * 300), 5, "too long")
    fails(run("build", "y" * 300 + ".npy", "-o", "x"), 5, "too long")


def test_many_reasons_for_short_answers_are_few_lines(run: Run, built: Path) -> None:
    result = run("search", built, "v.npy", "-k", "400", "--set", "nprobe=1", "--allow-fewer", "--nl")
    assert result.exit_code == 0
    assert 2 <= len(result.stderr.splitlines()) <= 4
    assert "of 400" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_closed_streams(built: Path, tmp_path: Path) -> None:
    closed_in = in_a_shell(f"nearkin search '{built}' - <&-", tmp_path)
    assert (closed_in.returncode, closed_in.stderr.count("\n")) == (2, 1)
    assert "standard input is empty" in closed_in.stderr
    assert in_a_shell(f"nearkin search '{built}' v.npy >&-", tmp_path).returncode == 0
    assert in_a_shell(f"nearkin search '{built}' nothing.npy 2>&-", tmp_path).returncode == 5
    assert in_a_shell("nearkin build v.npy -o closed <&- >&- 2>&-", tmp_path).returncode == 0
    assert json.loads(in_a_shell("nearkin info closed --json", tmp_path).stdout)["problems"] == []


def test_a_damaged_index_is_told_by_every_command(run: Run, built: Path) -> None:
    next(built.glob("built/*/spec.json")).unlink()
    searched = run("search", built, "v.npy", "-k", "1")
    assert searched.exit_code == 0
    assert "nearkin optimize" in searched.stderr
    assert len(json.loads(searched.stdout)) == 400


def test_a_folder_in_the_place_of_the_index(run: Run, built: Path) -> None:
    spec = next(built.glob("built/*/spec.json"))
    spec.unlink()
    spec.mkdir()
    assert run("search", built, "v.npy", "-k", "1").exit_code == 0
    assert run("optimize", built).exit_code == 0
    assert json.loads(run("verify", built, "--json").stdout)["problems"] == []


def test_verify_reads_every_row(run: Run, built: Path) -> None:
    assert run("verify", built).exit_code == 0
    rows = built / "vectors" / "000001.f32"
    content = bytearray(rows.read_bytes())
    content[77] ^= 1
    rows.write_bytes(content)
    result = run("verify", built, "--json")
    fails(result, 5, "1 problem")
    assert "000001.f32" in json.loads(result.stdout)["problems"][0]
