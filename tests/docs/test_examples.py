"""Every example of the docs runs and prints what its page says; and what runs them notices when one does not."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import examples
import generate
import pytest
from examples import ExampleError, kept_if_same, session, with_output


def name_of(path: Path) -> str:
    return path.relative_to(generate.ROOT).as_posix()


@pytest.mark.parametrize("path", generate.written_pages(), ids=name_of)
def test_examples_run_and_their_output_is_fresh(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert with_output(text, name_of(path)) == text, "stale: run make docs"


@pytest.mark.parametrize("path", generate.written_pages(), ids=name_of)
def test_blocks_for_the_shell_are_run_or_have_no_prompt(path: Path) -> None:
    """A line with a prompt is run only in a console block, so it must not stand in another."""
    language = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            language = line[3:]
        assert language == "console" or not line.startswith("$ "), line


def python(source: str, marker: str = "<!-- run -->", output: str = "") -> str:
    below = f"\n```text\n{output}```\n" if output else ""
    return f"{marker}\n```python\n{source}\n```\n{below}<!-- end -->\n"


def test_output_is_written_below() -> None:
    assert with_output(python("print(1)"), "page") == python("print(1)", output="1\n")


def test_stale_output_is_replaced() -> None:
    assert with_output(python("print(1)", output="2\n"), "page") == python("print(1)", output="1\n")


def test_blocks_share_names_and_folder() -> None:
    page = "```python\nx = 3\nfrom pathlib import Path; Path('f').touch()\n```\n" + python(
        "import os; print(x, os.listdir('.'))"
    )
    assert "3 ['f']" in with_output(page, "page")


def test_a_block_that_raises_names_page_and_line() -> None:
    with pytest.raises(ExampleError, match="page:3: NameError"):
        with_output("\n```python\nmissing\n```\n", "page")


def test_a_shown_block_is_not_run() -> None:
    page = "<!-- shown: no such package -->\n```python\nimport no_such_package\n```\n"
    assert with_output(page, "page") == page


def test_a_file_is_written_and_not_run() -> None:
    page = "<!-- file: raises.py -->\n```python\n1 / 0\n```\n"
    page += python("from pathlib import Path\nprint(Path('raises.py').read_text())")
    assert "```text\n1 / 0\n" in with_output(page, "page")


CONSOLE = "<!-- {} -->\n```console\n{}\n```\n<!-- end -->\n"


def test_a_command_that_fails_must_be_announced() -> None:
    with pytest.raises(ExampleError, match="page:3: exit code 2\nerror: there is no command 'bild'"):
        with_output(CONSOLE.format("run", "$ nearkin bild"), "page")
    assert "error: there is no command" in with_output(CONSOLE.format("run: fails", "$ nearkin bild"), "page")


def test_a_command_announced_as_failing_must_fail() -> None:
    with pytest.raises(ExampleError, match="exit code 0"):
        with_output(CONSOLE.format("run: fails", "$ nearkin --version"), "page")


def test_console_output_is_replaced_and_the_commands_stay() -> None:
    found = with_output(CONSOLE.format("run", "$ nearkin --version\nold\n$ nearkin --version"), "page")
    assert "old" not in found
    assert found.count("$ nearkin --version\nnearkin") == 2


def test_pipes_carry_the_output_on() -> None:
    page = "```python\nimport numpy as np\nimport nearkin as nk\nnk.build(np.eye(2)).save('i')\n```\n"
    page += CONSOLE.format("run", "$ nearkin get i 1 | nearkin search i - -k 1 --csv")
    assert "1,0,1,0.0,1.0" in with_output(page, "page")


def test_only_nearkin_is_run() -> None:
    with pytest.raises(ExampleError, match="only nearkin is run in a console block, not rm"):
        with_output("```console\n$ rm -r x\n```\n", "page")


def test_folder_and_environment_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARKIN_SEED", "5")
    folder = os.getcwd()
    with session("page"):
        assert "NEARKIN_SEED" not in os.environ
        assert os.getcwd() != folder
    assert (os.environ["NEARKIN_SEED"], os.getcwd()) == ("5", folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("build 1.2 s, save 15 ms", "build 0.9 s, save 120 ms"),
        ("ids   160 kB  3.1%", "ids  1.2 MB   12.0%"),
        ("recall@10 0.99 (95 % interval 0.98 to 1.00)", "recall@10 1.00 (95 % interval 0.99 to 1.00)"),
        ("numpy 1.26.4, faiss 1.15.1", "numpy 2.4.6, faiss 1.16.0"),
        ("distance 0.06123456", "distance 0.06123461"),
        ("1.5e-08", "3e-09"),
        ("20 passed", "21 passed"),
    ],
)
def test_what_varies_is_kept(old: str, new: str) -> None:
    assert kept_if_same(old, new) == old


@pytest.mark.parametrize(
    ("old", "new"),
    [("20,000 rows", "20,001 rows"), ("[[0, 7]]", "[[0, 8]]"), ("0.061", "0.062"), ("ivf141", "ivf142"), ("a\nb", "a")],
)
def test_what_does_not_vary_is_replaced(old: str, new: str) -> None:
    assert kept_if_same(old, new) == new


def test_doctests() -> None:
    found = doctest.testmod(examples)
    assert (found.attempted, found.failed) == (2, 0)
