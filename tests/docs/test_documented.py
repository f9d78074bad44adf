"""Nothing that a user can name is undocumented, and every link leads somewhere."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import generate
import pytest
from tables import builtin_registry

import nearkin
from nearkin import errors
from nearkin.cli.program import COMMANDS
from nearkin.collection import Collection
from nearkin.hooks import HOOKS
from nearkin.registry import KINDS
from nearkin.results import SearchResult
from nearkin.settings import Settings

ROOT = generate.ROOT
PAGES = [*generate.written_pages(), *sorted((ROOT / "docs" / "commands").glob("*.md"))]
PAGES += [ROOT / "CHANGELOG.md", ROOT / "indexes" / "README.md", ROOT / "benchmarks" / "README.md"]
HOME = {
    "metric": "metrics.md",
    "index": "plans.md",
    "codec": "plans.md",
    "transform": "plans.md",
    "clusterer": "clustering.md",
    "embedder": "embedders.md",
    "learner": "labels.md",
    "recommender": "recommendations.md",
    "format": "formats.md",
}
"""Kind of component to the page that says which one to take."""


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def everything() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in PAGES)


def as_code(text: str) -> set[str]:
    """Words that stand in code, in a line or a block."""
    return set(re.findall(r"[\w@-]+", " ".join(re.findall(r"`+[^`]*`+", text))))


def missing(names: Iterator[str] | list[str], text: str) -> list[str]:
    words = as_code(text)
    return sorted(name for name in names if name not in words)


def test_every_kind_has_a_page() -> None:
    assert set(HOME) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_components_have_prose_beside_the_tables(kind: str) -> None:
    prose = generate.SECTION.sub("", text_of(HOME[kind]))
    written = as_code(prose) | {match[1] for match in re.finditer(r"`(\w+?)M?x[48]`", prose)}
    names = [spec.name for spec in builtin_registry().specs(kind)]
    undescribed = {name for name in names if name not in written}
    assert not undescribed


@pytest.mark.parametrize("kind", KINDS)
def test_components_their_aliases_and_options_are_in_the_tables(kind: str) -> None:
    specs = builtin_registry().specs(kind)
    names = [name for spec in specs if spec.name != "pq" for name in (spec.name, *spec.aliases)]
    options = [each.name for spec in specs if spec.params for each in dataclasses.fields(spec.params)]
    assert missing([*names, *(each for each in options if each != "factory")], text_of(HOME[kind])) == []


def test_search_parameters() -> None:
    knobs: set[str] = {"rerank"}
    for spec in builtin_registry().specs("index"):
        if isinstance(spec.make, str):
            module, _, name = spec.make.partition(":")
            knobs |= set(getattr(getattr(importlib.import_module(module), name), "search_params", {}))
    assert {"nprobe", "ef_search"} <= knobs
    assert missing(sorted(knobs), text_of("plans.md")) == []


def test_public_names() -> None:
    assert missing(list(nearkin.__all__), text_of("python.md")) == []


def test_public_names_are_explained_besides_the_list() -> None:
    others = "\n".join(path.read_text(encoding="utf-8") for path in PAGES if path.name != "python.md")
    assert missing(list(nearkin.__all__), others) == []


def test_methods_of_a_collection_and_its_results() -> None:
    public = [name for kind in (Collection, SearchResult) for name in vars(kind) if name[0] != "_"]
    inner = {"adopt", "forget_vectors", "screen", "metric_text", "keeps_vectors", "timings", "to_columns", "metric"}
    inner |= {"true_distances", "close", "readonly", "threads", "dim", "plan", "rows", "recipe", "index", "take_over"}
    assert missing([name for name in public if name not in inner], everything()) == []


def test_errors() -> None:
    names = [
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert len(names) > 20
    assert missing(names, text_of("errors.md")) == []


def test_settings() -> None:
    names = [each.name for each in dataclasses.fields(Settings) if each.name != "origins"]
    variables = [f"NEARKIN_{name.upper()}" for name in names]
    assert missing([*names, *variables], text_of("settings.md")) == []


def test_hooks_and_specs() -> None:
    assert missing([*HOOKS, *(spec.__name__ for spec in HOOKS.values())], text_of("plugins.md")) == []


def test_commands() -> None:
    index = text_of("README.md")
    assert [name for name in COMMANDS if f"[`nearkin {name}`](commands/{name}.md)" not in index] == []


def test_every_page_is_in_the_index() -> None:
    index = text_of("README.md")
    pages = [path.name for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "README.md"]
    assert [name for name in pages if f"({name})" not in index] == []


# ---- links -----------------------------------------------------------------------------------------------------------


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield from re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_resolve(path: Path) -> None:
    for link in links(path):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_fences_are_closed(path: Path) -> None:
    fences = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("```")]
    assert len(fences) % 2 == 0
    assert {fence for fence in fences[1::2]} <= {"```"}


def test_targets_of_make_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake (\w+)", " ".join(re.findall(r"`+[^`]*`+", everything()))))
    assert {"demo", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_files_that_pages_name_exist() -> None:
    code = " ".join(
        re.findall(r"`[^`\n]+`", "\n".join(path.read_text(encoding="utf-8") for path in generate.written_pages()))
    )
    places = re.findall(r"\b(?:src|plugins|tests|benchmarks|docs)/[\w./-]*\w", code)
    assert len(places) > 5
    assert [place for place in places if not (ROOT / place).exists()] == []
