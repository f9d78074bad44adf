"""The demo: what is read from source, what is answered, what is measured."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nearkin.cli.program import nearkin
from nearkin.demo import QUESTIONS, Demo, run_demo
from nearkin.errors import ParameterError, StorageError
from nearkin.hashing_embedder import HashingEmbedder
from nearkin.standard_library import Docstring, read_docstrings

ASKED = ("gzip", "bz2", "lzma", "difflib", "argparse", "tempfile", "textwrap", "shlex")


@pytest.fixture(scope="module")
def everything() -> list[Docstring]:
    return read_docstrings()


@pytest.fixture(scope="module")
def some(everything: list[Docstring]) -> list[Docstring]:
    """The modules that the questions are about, and every eighth docstring of the others."""
    return [each for row, each in enumerate(everything) if each.name.startswith(ASKED) or row % 8 == 0]


@pytest.fixture(scope="module")
def demo(some: list[Docstring]) -> Demo:
    return run_demo(docstrings=some)


def test_standard_library(everything: list[Docstring]) -> None:
    names = [each.name for each in everything]
    assert len(names) > 3000
    assert names == sorted(set(names))
    assert not any(part.startswith("_") for name in names for part in name.split("."))
    assert not any(name.split(".")[0] in ("test", "idlelib", "lib2to3", "distutils") for name in names)
    assert all(each.paragraph and "\n" not in each.paragraph for each in everything)
    assert read_docstrings() == everything


def test_reads_what_is_public_and_documented(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text('''"""Shapes.

Not in the first paragraph."""
import sys
raise RuntimeError("imported")

class Square:
    """A square
    in two lines."""
    def area(self):
        """Its area. In metres."""
        def inner():
            """Not reachable from outside."""
    def _hidden(self):
        """Private."""
    def silent(self): ...

if sys.platform:
    def drawn():
        """First."""
else:
    def drawn():
        """Second."""
try:
    pass
except ImportError:
    async def later():
        """In a handler."""
def ruled():
    """----------"""
''')
    (tmp_path / "_private.py").write_text('"""Private."""')
    (tmp_path / "old.py").write_text('"""Of another Python."""\nprint "hello"')
    (tmp_path / "zero.py").write_bytes(b'"""Null."""\0')
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "case.py").write_text('"""A test."""')
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "__init__.py").write_text('"""A box."""')
    found = read_docstrings(tmp_path)
    assert [(each.name, each.paragraph) for each in found] == [
        ("box", "A box."),
        ("shapes", "Shapes."),
        ("shapes.Square", "A square in two lines."),
        ("shapes.Square.area", "Its area. In metres."),
        ("shapes.drawn", "First."),
        ("shapes.later", "In a handler."),
    ]
    assert found[3].first_sentence == "Its area."


def test_no_source_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no Python source"):
        read_docstrings(tmp_path)


def test_answers_make_sense(demo: Demo) -> None:
    modules_wanted = [("lzma", "bz2", "gzip"), "difflib", "argparse", "tempfile", "shlex", "textwrap"]
    wanted = dict(zip(QUESTIONS, modules_wanted, strict=True))
    for question, modules in wanted.items():
        answers = demo.answers[question]
        assert answers[0].name.startswith(modules), (question, answers)
        assert [each.similarity for each in answers] == sorted((each.similarity for each in answers), reverse=True)


def test_measurement_is_held_out_and_whole(demo: Demo, some: list[Docstring]) -> None:
    found = demo.measurement
    assert demo.docstrings == len(some)
    assert found.held_out
    assert found.rows + found.recall.queries == len(some)
    assert found.recall.low <= found.recall.mean <= found.recall.high
    assert found.recall.mean > 0.9
    assert sum(found.allocated.values()) < found.float32_bytes
    assert set(demo.seconds) == {"read", "learn", "build", "ask", "measure"}


def test_own_questions(some: list[Docstring], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearkin.demo.read_docstrings", lambda: some)
    result = CliRunner().invoke(nearkin, ["demo", "--ask", "closest match of a word", "-k", "1"], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    answers = result.stdout.split("What it costs:")[0].splitlines()
    assert answers[2] == "closest match of a word"
    assert answers[3].split()[1] == "difflib.get_close_matches"
    assert max(map(len, result.stdout.splitlines())) <= 100
    for words in ("rows as float32", "recall@10", "queries a second", "nearkin build vectors.npy"):
        assert words in result.stdout


@pytest.mark.parametrize("questions", [(), ("",), ("compress", " ")])
def test_empty_questions_are_refused(questions: tuple[str, ...], some: list[Docstring]) -> None:
    with pytest.raises(ParameterError, match="empty"):
        run_demo(questions, docstrings=some)


def test_next_commands_of_the_demo_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nearkin.cli.demo import NEXT

    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    np.save("vectors.npy", rows)
    np.save("queries.npy", rows[:3])
    Path("faq.csv").write_text("id,question\na,How do I rotate a key?\nb,Where are the logs?\nc,Who pays the bill?\n")
    commands = [shlex.split(line)[1:] for line in NEXT.splitlines() if line.startswith("  nearkin ")]
    assert len(commands) == 5
    for command in commands:
        result = CliRunner().invoke(nearkin, command)
        assert result.exit_code == 0, result.output
        if command[:2] == ["search", "faq"]:
            assert json.loads(result.stdout)[0]["id"] == "a"


def test_hashing_embedder_of_a_text_does_not_depend_on_its_neighbours() -> None:
    embedder = HashingEmbedder(dim=64)
    together = embedder.embed(["one two", "", "three"])
    np.testing.assert_allclose(together[2:], embedder.embed(["three"]), rtol=1e-6)
    assert not together[1].any()
