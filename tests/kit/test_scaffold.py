"""The template of a metric plugin works: it is the example in the repository, loads from a file and installs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import nearkin
from nearkin.errors import ParameterError
from nearkin.hooks import GROUP
from nearkin.registry import Registry
from nearkin.testing import check_plugin, new_metric

EXAMPLE = Path(__file__).parents[2] / "plugins" / "example-metric"


def written(folder: Path, name: str) -> Path:
    """The template's files in a folder."""
    for path, text in new_metric(name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def environment(*more: Path) -> dict[str, str]:
    """The environment of a child process that sees this nearkin and more folders, wherever they are imported from."""
    root = Path(nearkin.__file__).parents[1]
    plugins = importlib.util.find_spec("nearkin_plugins")
    assert plugins is not None
    assert plugins.submodule_search_locations is not None
    paths = [str(root), str(Path(next(iter(plugins.submodule_search_locations))).parent), *map(str, more)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def test_the_example_in_the_repository_is_the_template() -> None:
    files = new_metric("example-metric")
    for path, text in files.items():
        assert (EXAMPLE / path).read_text(encoding="utf-8") == text, path
    kept = {
        str(path.relative_to(EXAMPLE))
        for path in EXAMPLE.rglob("*")
        if path.is_file() and not {"__pycache__", "build"} & set(path.parts) and ".egg-info" not in str(path)
    }
    assert kept == set(files)


def test_it_loads_from_its_file_and_passes_every_check(tmp_path: Path) -> None:
    registry = Registry(strict=True)
    registry.load_path(written(tmp_path, "my-metric") / "src" / "nearkin_my_metric.py")
    (report,) = check_plugin("nearkin-my-metric", registry)
    assert (report.component, report.ok) == ("my-metric", True), str(report)
    metric = registry.make("metric", "my-metric")
    found = metric.distances(np.array([[1, -2, 0]], np.float32), np.array([[3, 2, 0]], np.float32))
    assert found.tolist() == [[1.5]]


def test_its_own_tests_pass(tmp_path: Path) -> None:
    folder = written(tmp_path, "my-metric")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--doctest-modules", "."],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "xfailed" not in run.stdout
    assert " passed" in run.stdout


@pytest.mark.parametrize("name", ["", "My-Metric", "my_metric", "1st", "my-metric-", "a--b", "a b", "../up", None, 7])
def test_other_names_are_refused(name: object) -> None:
    with pytest.raises(ParameterError, match="is not a name for a metric"):
        new_metric(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["class", "a", "m2", "two-words-and-3"])
def test_every_name_gives_python_that_compiles(name: str) -> None:
    for path, text in new_metric(name).items():
        assert "$" not in text.replace('$"', "")
        if path.endswith(".py"):
            compile(text, path, "exec")


def test_an_entry_point_to_a_module_with_nothing_but_a_function_is_enough(tmp_path: Path) -> None:
    """As installed, but without pip: the module, and what a wheel says of itself, in a folder of the path."""
    source = written(tmp_path / "project", "my-metric") / "src" / "nearkin_my_metric.py"
    assert "hook" not in source.read_text(encoding="utf-8")
    site = tmp_path / "site"
    about = site / "nearkin_my_metric-0.1.0.dist-info"
    about.mkdir(parents=True)
    (site / source.name).write_bytes(source.read_bytes())
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nearkin-my-metric\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\nmy-metric = nearkin_my_metric\n")
    script = (
        "import nearkin as nk; from nearkin.registry import default_registry as registry;"
        "print(registry().plugins['my-metric'].source, registry().resolve('metric', 'my-metric').summary);"
        "print(nk.build([[1, 2], [3, 0]], metric='my-metric').search([[1, 0]], 2).distances.tolist());"
        "print(registry().make('metric', 'my-metric') is registry().make('metric', 'my-metric'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment(site), capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == [
        "nearkin-my-metric 0.1.0 Σ |a_i - b_i| / (|a_i| + |b_i|), the Canberra distance, to be replaced by your own.",
        "[[0.5, 1.0]]",
        "False",
    ], run.stderr


def why_not_installable() -> str | None:
    """Why pip cannot install a project here without the network, if it cannot."""
    for package in ("pip", "setuptools"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    version = metadata.version("setuptools")
    bundled = tuple(int(part) for part in version.split(".")[:2]) >= (70, 1)
    if not bundled and importlib.util.find_spec("wheel") is None:
        return f"setuptools {version} needs the package wheel to build"
    return None


@pytest.mark.skipif(why_not_installable() is not None, reason=why_not_installable() or "")
@pytest.mark.parametrize("editable", [False, True], ids=["installed", "editable"])
def test_installed_it_is_found_by_its_entry_point(tmp_path: Path, editable: bool) -> None:
    project = written(tmp_path / "project", "my-metric")
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    pip += ["--no-index", "--no-build-isolation", "--target", str(target), *(["--editable"] if editable else []), "."]
    run = subprocess.run(pip, cwd=project, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (distribution,) = metadata.distributions(path=[str(target)])
    (point,) = distribution.entry_points.select(group=GROUP)
    assert (distribution.name, point.name, point.value) == ("nearkin-my-metric", "my-metric", "nearkin_my_metric")

    script = "\n".join(
        (
            "import site, sys",
            f"site.addsitedir({str(target)!r})",
            "from nearkin.registry import Registry",
            "registry = Registry(strict=True)",
            "registry.load_entry_points()",
            "print(registry.plugins['my-metric'].source, registry.make('metric', 'my-metric').name)",
        )
    )
    run = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["nearkin-my-metric", "0.1.0", "my-metric"], run.stderr
