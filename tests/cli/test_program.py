"""The program itself: quick help, lazy commands, global options, plugins that fail, ways to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import Result

import nearkin as package
from nearkin.cli.program import COMMANDS, nearkin
from nearkin.errors import BudgetError, NearkinError

Run = Callable[..., Result]

HEAVY = (
    "faiss",
    "torch",
    "sentence_transformers",
    "numba",
    "sklearn",
    "matplotlib",
    "pyarrow",
    "h5py",
    "pandas",
    "numpy",
    "rich",
)


def python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
sys.argv = ["nearkin", "--help"]
from nearkin.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = python(code)
    assert done.stderr.strip() == "[]"
    assert "Commands:" in done.stdout


def test_table_of_commands_agrees_with_the_commands() -> None:
    context = click.Context(nearkin)
    for name, entry in COMMANDS.items():
        command = nearkin.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(limit=200) == entry.summary


def _all_commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        found.append(path)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk(inner, (*path, name))

    walk(nearkin, ())
    return found


@pytest.mark.parametrize("path", _all_commands(), ids=" ".join)
def test_help_of_every_command_has_an_example(run: Run, path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert f"  nearkin {' '.join(path)}".rstrip() in result.output
    assert "\b" not in result.output


@pytest.mark.parametrize("path", _all_commands(), ids=" ".join)
def test_every_option_has_a_help_text(path: tuple[str, ...]) -> None:
    command: click.Command = nearkin
    for name in path:
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), name)
        assert inner is not None
        command = inner
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


def test_version(run: Run) -> None:
    assert run("--version").output == f"nearkin, version {package.__version__}\n"


def test_unknown_command_names_the_nearest(run: Run) -> None:
    result = run("serch")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: there is no command 'serch' (did you mean 'search'?); see nearkin --help\n",
    )


def test_global_option_after_the_command_is_explained(run: Run) -> None:
    result = run("settings", "--threads", "2")
    assert result.exit_code == 2
    assert "it goes before the command: nearkin --threads" in result.stderr


def test_disabled_plugin(run: Run) -> None:
    result = run("-p", "no:metrics", "plugins", "list", "--json")
    names = [each["name"] for each in json.loads(result.stdout)["loaded"]]
    assert "metrics" not in names
    assert "codecs" in names
    assert run("-p", "metrics", "plugins", "list").exit_code == 2


BROKEN = {
    "at import": "raise RuntimeError('no luck')",
    "at exit": "import sys; sys.exit(7)",
    "in a hook": """
from nearkin import hookimpl
@hookimpl
def nearkin_metrics():
    raise RuntimeError('no luck')
""",
    "half-way through a generator": """
from nearkin import MetricSpec, hookimpl
@hookimpl
def nearkin_metrics():
    yield MetricSpec(name='half', summary='Half.', make='a:B')
    raise RuntimeError('no luck')
""",
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_plugin_is_one_line_and_everything_else_works(run: Run, tmp_path: Path, how: str, built: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN[how])
    result = run("--plugin", "mine.py", "search", "indexes/mine", "v.npy", "-k", "1", "--nl")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 400
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("plugin mine (mine.py) was left out: ")
    listed = run("--plugin", "mine.py", "components", "metrics").stdout
    assert "half" not in listed
    assert "cosine" in listed


def test_strict_plugins_end_with_4(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(BROKEN["at import"])
    monkeypatch.setenv("NEARKIN_STRICT_PLUGINS", "1")
    result = run("--plugin", "mine.py", "components")
    assert result.exit_code == 4
    assert result.stderr.startswith("error: plugin mine (mine.py) was left out: RuntimeError: no luck")


def test_help_needs_no_plugin(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN["at import"])
    result = run("--plugin", "mine.py", "--help")
    assert (result.exit_code, result.stderr) == (0, "")


def _leaves(kind: type[NearkinError]) -> list[type[NearkinError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in _leaves(child))]


@pytest.mark.parametrize("kind", _leaves(NearkinError), ids=lambda kind: kind.__name__)
def test_every_error_is_one_line_with_its_code(
    run: Run, kind: type[NearkinError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise kind("two\nlines", hint="do this")

    monkeypatch.setattr("nearkin.settings.load_settings", fail)
    result = run("settings")
    assert (result.exit_code, result.stdout, result.stderr) == (kind.exit_code, "", "error: two lines; do this\n")


def test_budget_is_6() -> None:
    assert BudgetError.exit_code == 6


def test_a_bug_is_1_with_a_traceback() -> None:
    code = """
import nearkin.settings
nearkin.settings.load_settings = lambda: 1 / 0
import sys
sys.argv = ["nearkin", "settings"]
from nearkin.cli import main
main()
"""
    done = python(code)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_interrupt_is_130_without_a_traceback() -> None:
    code = """
import nearkin.settings
def interrupted(*arguments):
    raise KeyboardInterrupt
nearkin.settings.load_settings = interrupted
import sys
sys.argv = ["nearkin", "settings"]
from nearkin.cli import main
main()
"""
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_closed_pipe_is_quiet(built: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nearkin", "search", "indexes/mine", "v.npy", "-k", "100", "--nl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["rank"] == 0
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(60) == 128 + signal.SIGPIPE
    assert errors == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_of_the_output_is_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "nearkin", "settings"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (5, "error: the output cannot be written: no space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")
def test_terminal_gets_a_table_and_pipe_gets_json(built: Path, tmp_path: Path) -> None:
    import pty

    np.save(tmp_path / "q.npy", np.zeros((1, 8), np.float32))
    command = [sys.executable, "-m", "nearkin", "search", "indexes/mine", "q.npy", "-k", "2"]
    piped = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60, check=True)
    assert len(json.loads(piped.stdout)) == 2
    parent, child = pty.openpty()
    with subprocess.Popen(command, stdout=child, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                more = os.read(parent, 4096)
            except OSError:  # Linux reports the end of a pseudo-terminal as an input error
                break
            if not more:
                break
            shown += more
        assert process.wait(60) == 0
    os.close(parent)
    assert "similarity" in shown.decode().splitlines()[0]
