"""The registry: plugins published whole or not at all, failures told and survived, names resolved or refused in words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.unit.offered_metrics import Offers, Params, metric

from nearkin.errors import (
    AmbiguousNameError,
    MissingDependencyError,
    ParameterError,
    PluginLoadError,
    UnknownNameError,
)
from nearkin.hooks import GROUP, CodecSpec, hookimpl
from nearkin.metrics import Cosine, Euclidean
from nearkin.registry import KINDS, Registry, default_registry, load_registry
from nearkin.settings import load_settings

# ---- files ---------------------------------------------------------------------------------------------------------

GOOD_FILE = """
from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import Metric

class Mine(Metric):
    name = "{name}"
    def pairwise(self, queries, vectors):
        return abs(queries[:, None] - vectors[None]).max(axis=2)

@hookimpl
def nearkin_metrics():
    return [MetricSpec(name="{name}", summary="From a file.", make=Mine)]
"""


def test_a_file_and_a_folder_of_files_are_loaded(tmp_path: Path) -> None:
    for name in ("one", "two_words", "_private"):
        (tmp_path / f"{name}.py").write_text(GOOD_FILE.format(name=name.strip("_").replace("_", "-")))
    (tmp_path / "notes.txt").write_text("not Python")
    registry = Registry(strict=True)
    registry.load_path(tmp_path)
    assert list(registry.plugins) == ["one", "two-words"]
    assert registry.make("metric", "two-words").name == "two-words"
    assert registry.plugins["one"].source == str(tmp_path / "one.py")
    registry.load_path(tmp_path / "one.py")
    assert list(registry.plugins) == ["one", "two-words"]


def test_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    registry = Registry(strict=True)
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GOOD_FILE.format(name=folder))
        registry.load_path(str(tmp_path / folder / "mine.py"))
    assert len(registry.plugins) == 3
    assert [registry.make("metric", name).name for name in "abc"] == ["a", "b", "c"]
    for plugin in registry.plugins.values():
        (spec,) = plugin.specs
        assert registry.resolve("metric", f"{plugin.name}/{spec.name}") is spec


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("import no_such_package_anywhere", "ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("\0", "null bytes"),
        ("", "it offers no component"),
        ("raise BaseExceptionGroup('two', [ValueError(1)])", "two"),
    ],
)
def test_a_file_that_fails_at_import_is_told(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "bad_file.py"
    path.write_text(content)
    before = set(sys.modules)
    registry = Registry()
    registry.load_path(path)
    (failure,) = registry.failures
    assert (failure.name, failure.source) == ("bad-file", str(path))
    assert sentence in failure.line
    if content and sentence != "it offers no component":
        assert not [name for name in set(sys.modules) - before if name.startswith("nearkin_plugin_file_")]


@pytest.mark.parametrize("name", ["missing.py", "notes.txt", "folder.py"])
def test_what_is_no_python_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("not Python")
    registry = Registry()
    registry.load_path(tmp_path / name)
    (failure,) = registry.failures
    assert isinstance(failure.error, PluginLoadError)
    assert name in failure.line


# ---- installed distributions ---------------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Distribution name, entry-point name and module text, installed on a path of its own."""

    def make(distribution: str, point: str, text: str) -> None:
        place = tmp_path / distribution
        module = f"{distribution.replace('-', '_')}_module"
        info = place / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (place / f"{module}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{point} = {module}\n")
        monkeypatch.syspath_prepend(str(place))
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


def test_an_installed_plugin_is_found(install: Callable[..., None]) -> None:
    install("far-away", "far", GOOD_FILE.format(name="far"))
    registry = Registry(strict=True)
    registry.load_entry_points()
    assert registry.plugins["far"].source == "far-away 1.0"
    assert registry.resolve("metric", "far/far") is registry.resolve("metric", "far")
    built_in = [name for name, plugin in registry.plugins.items() if plugin.source.startswith("nearkin ")]
    assert list(registry.plugins)[: len(built_in)] == built_in


def test_one_entry_point_name_of_two_distributions(install: Callable[..., None]) -> None:
    install("first-dist", "same", GOOD_FILE.format(name="cosy"))
    install("second-dist", "same", GOOD_FILE.format(name="cosy"))
    registry = Registry(strict=True)
    registry.load_entry_points()
    registry.load_entry_points()
    names = [name for name in registry.plugins if name.startswith("same")]
    assert len(names) == 2
    assert {registry.plugins[name].source for name in names} == {"first-dist 1.0", "second-dist 1.0"}
    with pytest.raises(AmbiguousNameError, match="2 plugins"):
        registry.resolve("metric", "cosy")
    for name in names:
        assert registry.resolve("metric", f"{name}/cosy") is registry.plugins[name].specs[0]


def test_a_broken_installed_plugin_leaves_the_rest(install: Callable[..., None]) -> None:
    install("broken-dist", "broken", "raise RuntimeError('half installed')")
    told: list[str] = []
    registry = Registry(report=told.append)
    registry.load_entry_points()
    assert told == ["plugin broken (broken-dist 1.0) was left out: RuntimeError: half installed"]
    assert {spec.kind for plugin in registry.plugins.values() for spec in plugin.specs} == set(KINDS)


def test_disabled_plugins_are_not_even_imported(install: Callable[..., None]) -> None:
    install("loud-dist", "loud", "raise RuntimeError('imported')")
    registry = Registry(strict=True)
    registry.load_entry_points(disabled=["loud", "metrics", "no-such-plugin"])
    assert "metrics" not in registry.plugins
    assert "codecs" in registry.plugins
    assert not registry.has("metric", "cosine")


def test_settings_say_what_is_loaded(tmp_path: Path, install: Callable[..., None]) -> None:
    install("broken-dist", "broken", "raise RuntimeError('half installed')")
    (tmp_path / "extra.py").write_text(GOOD_FILE.format(name="extra"))
    given = {"plugins": [str(tmp_path / "extra.py")], "disabled_plugins": ["formats"]}
    registry = load_registry(load_settings(given, environ={}, files=()))
    assert registry.has("metric", "extra")
    assert not registry.specs("format")
    assert [failure.name for failure in registry.failures] == ["broken"]
    with pytest.raises(PluginLoadError, match="half installed"):
        load_registry(load_settings({"strict_plugins": True}, environ={}, files=()))


def test_the_default_registry_is_made_once() -> None:
    assert default_registry() is default_registry()


# ---- names ---------------------------------------------------------------------------------------------------------


def two_of_a_name() -> Registry:
    registry = Registry(strict=True)
    registry.register(Offers(metric("cosine", make=Cosine), metric("only")), "left")
    registry.register(Offers(metric("cosine"), metric("angle", aliases=("only",))), "right")
    return registry


def test_a_clash_is_an_error_only_when_asked_for() -> None:
    registry = two_of_a_name()
    assert registry.resolve("metric", "angle").name == "angle"
    with pytest.raises(AmbiguousNameError) as caught:
        registry.resolve("metric", "cosine")
    assert str(caught.value) == (
        "metric 'cosine' is offered by 2 plugins: left, right; choose one as left/cosine, or turn one off with -p no:right"
    )
    with pytest.raises(AmbiguousNameError, match="'only'"):
        registry.make("metric", "only")


def test_a_plugin_s_name_chooses() -> None:
    registry = two_of_a_name()
    assert isinstance(registry.make("metric", "left/cosine"), Cosine)
    assert isinstance(registry.make("metric", "right/cosine"), Euclidean)
    assert registry.resolve("metric", "right/only").name == "angle"
    assert registry.owner(registry.resolve("metric", "right/cosine")) == "right"
    with pytest.raises(UnknownNameError, match="'middle/cosine'"):
        registry.resolve("metric", "middle/cosine")
    with pytest.raises(UnknownNameError, match="'left/angle'"):
        registry.resolve("metric", "left/angle")


def test_one_name_may_be_of_two_kinds() -> None:
    class Both(Offers):
        @hookimpl
        def nearkin_codecs(self) -> Iterable[CodecSpec]:
            return [CodecSpec(name="mine", summary="For a test.", make="nearkin.codecs:Float32")]

    registry = Registry(strict=True)
    registry.register(Both(metric("mine")), "both")
    assert registry.resolve("codec", "mine").kind == "codec"
    assert registry.resolve("metric", "mine").kind == "metric"
    assert registry.plugins["both"].hooks == ("nearkin_metrics", "nearkin_codecs")


def test_objects_registered_under_one_name_are_all_kept() -> None:
    registry = Registry(strict=True)
    for name in ("a", "b", "c"):
        registry.register(Offers(metric(name)), "mine")
    assert registry.names("metric") == ["a", "b", "c"]
    assert list(registry.plugins) == ["mine", "mine@python", "mine@python-2"]
    assert registry.resolve("metric", "mine@python-2/c").name == "c"


def test_an_unknown_name_gives_the_nearest_and_how_to_list() -> None:
    registry = Registry(strict=True)
    registry.register(Offers(metric("euclidean", aliases=("l2",)), metric("sqeuclidean"), metric("hamming")), "mine")
    with pytest.raises(UnknownNameError) as caught:
        registry.resolve("metric", "euclidian")
    assert str(caught.value) == (
        "no metric is called 'euclidian' (did you mean 'euclidean' or 'sqeuclidean'?); "
        "`nearkin components metrics` lists them"
    )
    with pytest.raises(UnknownNameError) as caught:
        registry.resolve("index", "zzz")
    assert str(caught.value) == "no index is called 'zzz'; `nearkin components indexes` lists them"


# ---- making --------------------------------------------------------------------------------------------------------


class Powered(Euclidean):
    """Takes one option."""

    name = "powered"
    made: ClassVar[list[float]] = []

    def __init__(self, power: float) -> None:
        if power < 1:
            raise ParameterError(f"power is {power}")
        if power > 99:
            raise ValueError("too much")
        self.power = power


def made_by(**more: Any) -> Registry:
    registry = Registry(strict=True)
    registry.register(Offers(metric(**more)), "mine")
    return registry


def test_a_component_is_made_with_its_options() -> None:
    registry = made_by(make=Powered, params=Params, shorthand=("power",))
    assert [registry.make("metric", text).power for text in ("mine", "mine3", "mine:power=1.5")] == [2.0, 3.0, 1.5]
    with pytest.raises(ParameterError, match=r"^power is 0\.5$"):
        registry.make("metric", "mine:power=0.5")
    with pytest.raises(PluginLoadError, match="metric 'mine' could not be made: ValueError: too much"):
        registry.make("metric", "mine:power=100")


def test_a_missing_package_gives_the_pip_command() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        made_by(needs=("no_such_package.inner",), extra="gpu").make("metric", "mine")
    assert str(caught.value) == ("metric 'mine' needs the package no_such_package.inner; pip install \"nearkin[gpu]\"")
    assert isinstance(caught.value, ImportError)
    with pytest.raises(MissingDependencyError, match=r"pip install no_such_package$"):
        made_by(needs=("numpy", "no_such_package")).make("metric", "mine")


def test_a_package_missing_only_when_the_code_runs_gives_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> None:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(MissingDependencyError, match=r"pip install no_such_package$"):
        made_by(make=make).make("metric", "mine")
    (tmp_path / "late_module_of_a_test.py").write_text("import no_such_package\nclass Mine: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"pip install no_such_package$"):
        made_by(make="late_module_of_a_test:Mine").make("metric", "mine")


@pytest.mark.parametrize("make", ["no_such_module_at_all:Mine", "nearkin.metrics:NoSuchClass", "nearkin.no_such:Mine"])
def test_code_that_is_not_there_is_named(make: str) -> None:
    with pytest.raises(PluginLoadError, match=f"cannot be imported from {make}"):
        made_by(make=make).make("metric", "mine")


def test_nothing_behind_a_spec_runs_before_it_is_asked_for() -> None:
    registry = made_by(make="no_such_module_at_all:Mine")
    assert registry.resolve("metric", "mine").summary == "For a test."
    assert registry.names("metric") == ["mine"]


def test_loading_the_built_ins_imports_nothing_heavy() -> None:
    heavy = "faiss torch sentence_transformers numba sklearn scipy pandas matplotlib pyarrow hypothesis pytest"
    script = (
        "import sys, nearkin\n"
        "from nearkin.registry import KINDS, Registry\n"
        "registry = Registry(strict=True)\n"
        "registry.load_entry_points()\n"
        "assert {spec.kind for kind in KINDS for spec in registry.specs(kind)} == set(KINDS)\n"
        f"print(sorted(set({heavy.split()!r}) & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("[]\n", 0), run.stderr
