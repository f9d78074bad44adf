"""The code on the page about plugins is true: its files load and pass every check, its programs print what it says."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from nearkin.hooks import GROUP, HOOKS, Spec
from nearkin.registry import Registry
from nearkin.settings import load_settings
from nearkin.testing import check_plugin

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FILES = {text.split()[1]: text for kind, text in BLOCKS if kind == "python" and text.startswith("# ")}


@pytest.mark.parametrize("name", ["clark", "topbits"])
def test_the_plugins_of_the_page_pass_every_check(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text(FILES[f"{name}.py"], encoding="utf-8")
    registry = Registry(strict=True)
    registry.load_path(tmp_path / f"{name}.py")
    (report,) = check_plugin(name, registry)
    assert report.ok, str(report)


def test_the_test_file_of_the_page_passes(tmp_path: Path) -> None:
    for name in ("clark.py", "test_clark.py"):
        (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "test_clark.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_program_of_the_page_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = [text for kind, text in BLOCKS if kind == "python" and not text.startswith("# ")]
    (tmp_path / "clark.py").write_text(FILES["clark.py"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/plugins.md", "exec"), {})
    assert f"prints `{printed.getvalue().strip()}`" in PAGE


def test_the_codec_of_the_page_is_written_in_plans_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "topbits.py").write_text(FILES["topbits.py"], encoding="utf-8")
    registry = Registry(strict=True)
    registry.load_path(tmp_path / "topbits.py")
    made = [registry.make("codec", text, 8).label for text in ("topbits4", "topbits:bits=4", "topbits")]
    assert made == ["topbits4", "topbits4", "topbits8"]


def test_the_toml_of_the_page_is_read(tmp_path: Path) -> None:
    settings, project = [text for kind, text in BLOCKS if kind == "toml"]
    (tmp_path / "nearkin.toml").write_text(settings, encoding="utf-8")
    assert load_settings(environ={}, files=(tmp_path / "nearkin.toml",)).plugins == ("clark.py",)
    assert list(tomllib.loads(project)["project"]["entry-points"]) == [GROUP]


def test_every_hook_and_every_field_of_a_spec_is_on_the_page() -> None:
    for hook, spec in HOOKS.items():
        assert f"| `{hook}` | `{spec.__name__}` |" in PAGE
    for field in fields(Spec):
        assert f"`{field.name}`" in PAGE
