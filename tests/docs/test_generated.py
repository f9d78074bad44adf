"""The generated parts of the docs are what the program says now."""

from __future__ import annotations

from pathlib import Path

import generate
import pytest
from commands import command_pages
from tables import TABLES, described, table


def name_of(path: Path) -> str:
    return path.relative_to(generate.ROOT).as_posix()


@pytest.mark.parametrize("path", generate.written_pages(), ids=name_of)
def test_tables_are_fresh(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == generate.with_tables(text), "stale: run make docs"


@pytest.mark.parametrize("name", command_pages())
def test_command_pages_are_fresh(name: str) -> None:
    path = generate.ROOT / "docs" / "commands" / f"{name}.md"
    assert path.read_text(encoding="utf-8") == command_pages()[name], "stale: run make docs"


def test_no_page_of_a_command_that_is_gone() -> None:
    assert generate.stale_command_pages() == []


def test_every_table_is_on_a_page() -> None:
    texts = [path.read_text(encoding="utf-8") for path in generate.written_pages()]
    assert [name for name in TABLES if not any(f"<!-- generated: {name} -->" in text for text in texts)] == []


class TestMain:
    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A small repository with a stale page, and a page of a command that is gone."""
        (tmp_path / "docs" / "commands").mkdir(parents=True)
        (tmp_path / "README.md").write_text("<!-- generated: settings -->\nold\n<!-- end -->\n")
        (tmp_path / "CONTRIBUTING.md").write_text("<!-- run -->\n```python\nprint(6 * 7)\n```\n<!-- end -->\n")
        (tmp_path / "docs" / "commands" / "gone.md").write_text("# nearkin gone\n")
        monkeypatch.setattr(generate, "ROOT", tmp_path)
        return tmp_path

    def test_check_shows_a_diff_and_changes_nothing(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = (root / "README.md").read_text()
        assert generate.main(["--check"]) == 1
        shown = capsys.readouterr().out
        assert "-old" in shown
        assert "+42" in shown
        assert "gone.md is the page of no command" in shown
        assert (root / "README.md").read_text() == before

    def test_writes_once(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert generate.main([]) == 0
        assert "| `threads` |" in (root / "README.md").read_text()
        assert "```text\n42\n```\n<!-- end -->" in (root / "CONTRIBUTING.md").read_text()
        assert not (root / "docs" / "commands" / "gone.md").exists()
        assert (root / "docs" / "commands" / "build.md").is_file()
        capsys.readouterr()
        assert generate.main(["--check"]) == 0
        assert capsys.readouterr().out == ""

    def test_an_example_that_fails_is_one_line(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (root / "README.md").write_text("```python\n1 / 0\n```\n")
        assert generate.main(["--check"]) == 1
        assert capsys.readouterr().err == "README.md:2: ZeroDivisionError: division by zero\n"

    def test_unknown_arguments_are_refused(self) -> None:
        assert generate.main(["--wrong"]) == 2


def test_table_escapes_and_leaves_empty_columns_out() -> None:
    assert table(("a", "b", "c"), [("x|y", "", 1)]) == "| a | c |\n| --- | --- |\n| x\\|y | 1 |"


def test_attributes_are_read_over_base_classes() -> None:
    class Parent:
        """Parent.

        Attributes
        ----------
        one
            The ``first``
            of two.
        """

    class Child(Parent):
        """Child.

        Attributes
        ----------
        two
            The second.
        """

    assert described(Child) == {"one": "The `first` of two.", "two": "The second."}
