"""Settings: which source wins, what each type takes, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearkin.errors import ParameterError
from nearkin.settings import Settings, available_cores, load_settings, settings_files


def toml(folder: Path, text: str, name: str = "nearkin.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults() -> None:
    settings = load_settings(environ={}, files=())
    assert settings == Settings()
    assert set(settings.origins.values()) == {"default"}
    assert settings.cores == available_cores() >= 1


def test_later_sources_win_and_are_remembered(tmp_path: Path) -> None:
    user = toml(tmp_path, "threads = 1\nseed = 1\nindexes = 'user'\nstrict_plugins = true", "user.toml")
    project = toml(tmp_path, "threads = 2\nseed = 2\nplugins = ['a.py', 'b']", "project.toml")
    settings = load_settings({"threads": 4, "seed": None}, environ={"NEARKIN_SEED": "3"}, files=(user, project))
    assert (settings.threads, settings.seed, settings.indexes) == (4, 3, "user")
    assert (settings.plugins, settings.strict_plugins) == (("a.py", "b"), True)
    assert settings.origins == {
        "threads": "argument",
        "seed": "NEARKIN_SEED",
        "indexes": str(user),
        "plugins": str(project),
        "disabled_plugins": "default",
        "strict_plugins": str(user),
    }
    assert settings.cores == 4


def test_missing_files_and_empty_variables_say_nothing(tmp_path: Path) -> None:
    settings = load_settings(environ={"NEARKIN_THREADS": ""}, files=(tmp_path / "none.toml",))
    assert settings == Settings()


def test_lists_in_variables_are_split_at_the_path_separator() -> None:
    text = os.pathsep.join(["one.py", "", "/two", ""])
    settings = load_settings(environ={"NEARKIN_PLUGINS": text, "NEARKIN_DISABLED_PLUGINS": "metrics"}, files=())
    # An empty entry must not become the working folder, whose every file would be run.
    assert settings.plugins == ("one.py", "/two")
    assert settings.disabled_plugins == ("metrics",)


def test_paths_are_taken_as_text() -> None:
    settings = load_settings({"indexes": Path("here"), "plugins": [Path("a.py")]}, environ={}, files=())
    assert (settings.indexes, settings.plugins) == ("here", ("a.py",))


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("YES", True), ("0", False), ("no", False)])
def test_switches_in_variables(text: str, value: bool) -> None:
    assert load_settings(environ={"NEARKIN_STRICT_PLUGINS": text}, files=()).strict_plugins is value


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("threads", -1, "a whole number, 0 to 1,024"),
        ("threads", 2.7, "a whole number"),
        ("threads", True, "a whole number"),
        ("threads", "many", "a whole number"),
        ("threads", float("inf"), "a whole number"),
        ("seed", "1.5", "a whole number"),
        ("strict_plugins", "maybe", "true or false"),
        ("strict_plugins", 2, "true or false"),
        ("plugins", 3, "a list"),
        ("plugins", {"a": 1}, "a list"),
        ("plugins", ["a", 1], "a list"),
        ("indexes", 5, "text"),
        ("indexes", ["a"], "text"),
    ],
)
def test_values_of_the_wrong_type_are_refused_with_their_source(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(ParameterError, match=rf"^argument: setting {name} is .*, {wanted}.* expected$"):
        load_settings({name: value}, environ={}, files=())


def test_unknown_names_are_refused_with_the_file(tmp_path: Path) -> None:
    path = toml(tmp_path, "thread = 1")
    with pytest.raises(ParameterError, match=r"nearkin\.toml: there is no setting 'thread'; .*threads, seed"):
        load_settings(environ={}, files=(path,))


@pytest.mark.parametrize("content", [b"threads = ", b"= 1", b"\xff\xfe", b"[threads"])
def test_files_that_are_not_toml_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nearkin.toml"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=r"nearkin\.toml is not TOML"):
        load_settings(environ={}, files=(path,))


def test_files_are_the_users_then_the_projects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_files() == (tmp_path / "nearkin" / "nearkin.toml", Path("nearkin.toml"))
    (tmp_path / "nearkin").mkdir()
    toml(tmp_path / "nearkin", "seed = 11")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEARKIN_THREADS", "3")
    assert load_settings().seed == 11
    toml(tmp_path, "seed = 12")
    assert (load_settings().seed, load_settings().threads) == (12, 3)


@given(
    name=st.sampled_from(["threads", "seed", "indexes", "plugins", "disabled_plugins", "strict_plugins", "other"]),
    value=st.one_of(
        st.integers(), st.floats(), st.text(), st.booleans(), st.binary(), st.lists(st.text() | st.integers())
    ),
)
def test_whatever_is_given_is_taken_as_its_type_or_refused(name: str, value: Any) -> None:
    try:
        settings = load_settings({name: value}, environ={}, files=())
    except ParameterError as error:
        refusal = str(error)
    else:
        assert type(getattr(settings, name)) is type(getattr(Settings(), name))
        assert settings.origins[name] == ("default" if value is None else "argument")
        return
    assert name in refusal
