"""Tables of the docs, from what the components, settings, errors and names of nearkin say of themselves."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any

from commands import summaries

import nearkin
from nearkin import errors
from nearkin.centroids import Clusterer
from nearkin.clustering.problem import objective_of
from nearkin.compatibility import compatibility
from nearkin.components import Part, as_written
from nearkin.hooks import GROUP, HOOKS, FormatSpec, IndexSpec, Spec
from nearkin.metrics import Metric
from nearkin.plans import make_codec
from nearkin.registry import Registry
from nearkin.settings import Settings

COLUMNS = 384
"""Columns that bytes of codecs are given for."""


def table(headers: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; columns that are empty everywhere are left out."""
    names, cells = list(headers), [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    used = [number for number in range(len(names)) if any(row[number] for row in cells)]
    lines = [[names[each] for each in used], ["---"] * len(used), *([row[each] for each in used] for row in cells)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(words: Iterable[object]) -> str:
    """Words set as code, separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def first_sentence(thing: object) -> str:
    """The first paragraph of a docstring, as one line of Markdown."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.sub(r"`+([^`]+)`+", r"`\1`", text)


def described(kind: type) -> dict[str, str]:
    """The Attributes section of a docstring: name to text, over all base classes."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        section = (inspect.cleandoc(each.__doc__ or "")).partition("Attributes\n----------\n")[2]
        section = section.partition("\n\n")[0]
        for name, text in re.findall(r"^(\w+)\n((?:    .*\n?)+)", section, re.MULTILINE):
            found[name] = re.sub(r"`+([^`]+)`+", r"`\1`", " ".join(text.split()))
    return found


# ---- components ------------------------------------------------------------------------------------------------------


def components(kind: str) -> str:
    """Names, other names and summaries of a kind."""
    rows = [
        (f"`{spec.name}`", code(spec.aliases), _summary(spec), _defaults(spec))
        for spec in builtin_registry().specs(kind)
    ]
    return table(("Name", "Also", "What it is", "Options"), rows)


def indexes() -> str:
    """Indexes with the parameters of their searches."""
    rows = []
    for spec in builtin_registry().specs("index"):
        made = _made(spec)
        knobs: Mapping[str, Any] = getattr(made, "search_params", {})
        name = "faiss:FACTORY" if spec.name == "faiss" else spec.name
        options = "" if spec.name == "faiss" else _defaults(spec)
        rows.append((f"`{name}`", _summary(spec), options, code(knobs)))
    return table(("Name", "What it is", "Options", "Search parameters"), rows)


def options(*kinds: str, left_out: str = "chosen") -> Callable[[], str]:
    """Options of all components of some kinds, one a row; `left_out` says what one without a default is."""

    def made() -> str:
        rows = [
            (f"`{spec.name}`", f"`{each.name}`", _default(each, left_out), meanings.get(each.name, ""))
            for kind in kinds
            for spec in builtin_registry().specs(kind)
            if spec.params is not None and spec.name != "faiss"
            for meanings in [described(spec.params)]
            for each in dataclasses.fields(spec.params)
        ]
        return table(("Of", "Option", "Default", "Meaning"), rows)

    return made


def codecs() -> str:
    """Codecs with bytes a row."""
    rows = []
    for spec in builtin_registry().specs("codec"):
        for example in spec.examples:
            codec = make_codec(Part(spec.name, example), COLUMNS, builtin_registry())
            size = f"{codec.code_size:,}" if codec.dtype == "float32" else ""
            trained = f"{codec.train_rows:,}" if codec.train_rows else "none"
            rows.append((f"`{codec.label}`", code(spec.aliases), _summary(spec), size, trained))
    return table(("Name", "Also", "What it is", f"Bytes a row of {COLUMNS}", "Rows to train"), rows)


def formats() -> str:
    """File formats with what they read and keep."""
    rows = []
    for spec in builtin_registry().specs("format"):
        made = builtin_registry().make("format", spec.name)
        suffixes = spec.suffixes if isinstance(spec, FormatSpec) else ()
        kept = ", ".join(sorted(made.keeps)) or "vectors only"
        rows.append((f"`{spec.name}`", code(suffixes), _summary(spec), kept, code(_option_names(spec))))
    return table(("Name", "Endings", "What it is", "Keeps", "Options"), rows)


def _option_names(spec: Spec) -> list[str]:
    return [each.name for each in dataclasses.fields(spec.params)] if spec.params is not None else []


def legal() -> str:
    """Which codecs each index may use under each metric; metrics that agree share a row."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in compatibility(builtin_registry()):
        cell = found.setdefault(each.metric, {}).setdefault(each.index, [])
        if each.legal:
            cell.append({"pq": "pqMx4", "pq:bits=8": "pqMx8"}.get(each.codec, each.codec))
    order = ["flat", "ivf", "hnsw", "faiss"]
    order += sorted({index for row in found.values() for index in row} - set(order))
    groups: dict[tuple[str, ...], list[str]] = {}
    for metric, row in found.items():
        groups.setdefault(tuple(" ".join(row[index]) or "none" for index in order), []).append(metric)
    rows = [(code(metrics), *cells) for cells, metrics in groups.items()]
    return table(("Metric", *(f"`{index}`" if index != "faiss" else "`faiss:`" for index in order)), rows)


CENTRES = {"mean": "means", "direction": "directions", "median": "medians", "medoid": "rows"}


def clusterable() -> str:
    """What the centroids of each method are under each metric, a dash where it is refused; metrics that agree share a row."""
    registry, groups = builtin_registry(), dict[tuple[str, ...], list[str]]()
    methods = {spec.name: registry.make("clusterer", spec.name) for spec in registry.specs("clusterer")}
    for name, metric in _metrics():
        groups.setdefault(tuple(_centres(metric, each) for each in methods.values()), []).append(name)
    rows = [(code(metrics), *cells) for cells, metrics in groups.items()]
    return table(("Metric", *(f"`{name}`" for name in methods)), rows)


def _centres(metric: Metric, clusterer: Clusterer) -> str:
    try:
        return CENTRES[objective_of(metric, clusterer, builtin_registry()).rule]
    except errors.NotSupportedError:
        return "-"


@lru_cache(maxsize=1)
def builtin_registry() -> Registry:
    """What comes with nearkin; plugins that happen to be installed do not belong into the docs."""
    registry = Registry(strict=True)
    for point in metadata.entry_points(group=GROUP):
        if point.value.startswith("nearkin_plugins."):
            registry.register(point.load(), point.name)
    return registry


def _made(spec: Spec) -> Any:
    if not isinstance(spec, IndexSpec) or callable(spec.make):
        return spec.make
    module, _, name = spec.make.partition(":")
    return getattr(importlib.import_module(module), name)


def _summary(spec: Spec) -> str:
    return spec.summary.rstrip(".")


def _defaults(spec: Spec) -> str:
    if spec.params is None:
        return ""
    return ", ".join(
        f"`{each.name}`" if each.default in (None, dataclasses.MISSING) else f"`{each.name}={as_written(each.default)}`"
        for each in dataclasses.fields(spec.params)
    )


def _default(option: dataclasses.Field[Any], left_out: str) -> str:
    return left_out if option.default in (None, dataclasses.MISSING) else f"`{as_written(option.default)}`"


# ---- metrics ---------------------------------------------------------------------------------------------------------


def metric_facts() -> str:
    """Of each metric: what it holds, how it is computed, its similarity, and rows that it wants."""
    rows = []
    for name, metric in _metrics():
        rows.append((f"`{name}`", _held(metric), _computed(metric), _as_code(metric.similarity_rule), _wanted(metric)))
    return table(("Metric", "Axioms", "Computed as", "Similarity", "Rows it wants, or why it refuses some"), rows)


def metric_formulas() -> str:
    """A section for each metric, from its docstring: formula, source, conventions, and a worked number."""
    sections = []
    for name, metric in _metrics():
        prose, _, rest = (inspect.getdoc(type(metric)) or "").partition("\nParameters\n")
        _, _, worked = rest.partition("\nExamples\n--------\n")
        prose = f"{prose}\n\n{worked}" if worked else prose
        parts = []
        for paragraph in prose.strip().split("\n\n"):
            if paragraph.startswith(">>>"):
                parts.append(f"```pycon\n{paragraph}\n```")
            else:
                parts.append(textwrap.fill(_as_code(" ".join(paragraph.split())), 120, break_on_hyphens=False))
        sections.append("\n\n".join([f"### {name}", *parts]))
    return "\n\n".join(sections)


def _metrics() -> Iterable[tuple[str, Metric]]:
    for spec in builtin_registry().specs("metric"):
        yield spec.name, builtin_registry().make("metric", spec.name)


def _as_code(text: str) -> str:
    return re.sub(r"`+([^`]+)`+", r"`\1`", text)


def _held(metric: Metric) -> str:
    lacking = [axiom for axiom in ("non-negative", "identity", "symmetric", "triangle") if axiom not in metric.axioms]
    if not lacking:
        return "all four"
    return "not " + ", ".join(lacking)


def _computed(metric: Metric) -> str:
    if type(metric).__name__ == "Minkowski":
        return "a compiled formula for each p"
    if metric.reduces_to is not None:
        mapped = type(metric).prepare is not Metric.prepare
        return {"l2": "squared L2", "inner-product": "inner product"}[metric.reduces_to] + (
            " of mapped rows" if mapped else ""
        )
    ways = ["faiss"] if metric.native else []
    return " and ".join([*ways, *(["a compiled formula"] if metric.kernel is not None else [])])


def _wanted(metric: Metric) -> str:
    wanted = ["packed bits"] if metric.dtype == "bits" else []
    wanted += [", ".join(metric.columns)] if metric.columns else []
    wanted += [metric.bad_row_reason] if metric.refuses_rows and not metric.columns else []
    return "; ".join(wanted)


# ---- errors, settings, commands, hooks, names ------------------------------------------------------------------------


def error_tree() -> str:
    """Every error class, its builtin base, and the exit code."""
    rows = [
        (f"{'· ' * depth}`{kind.__name__}`", code(_builtin_bases(kind)), first_sentence(kind), kind.exit_code)
        for kind, depth in _below(errors.NearkinError, 0)
    ]
    return table(("Class", "Also a", "Meaning", "Exit code"), rows)


def _below(kind: type[errors.NearkinError], depth: int) -> Iterable[tuple[type[errors.NearkinError], int]]:
    yield kind, depth
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _below(each, depth + 1)


def _builtin_bases(kind: type) -> list[str]:
    return [each.__name__ for each in kind.__bases__ if each.__module__ == "builtins" and each is not Exception]


def settings() -> str:
    """Every setting."""
    meanings = described(Settings)
    rows = [
        (
            f"`{each.name}`",
            f"`NEARKIN_{each.name.upper()}`",
            f"`{each.default}`" if each.default != () else "none",
            text,
        )
        for each in dataclasses.fields(Settings)
        if (text := meanings[each.name]) and each.name != "origins"
    ]
    return table(("Setting", "Environment", "Default", "Meaning"), rows)


def commands() -> str:
    """Every command, linked to its page."""
    return table(
        ("Command", "What it does"),
        [(f"[`nearkin {name}`](commands/{name}.md)", text) for name, text in sorted(summaries().items())],
    )


def hooks() -> str:
    """Every hook of the plugin interface."""
    rows = [(f"`{name}`", f"`{spec.__name__}`", first_sentence(spec)) for name, spec in HOOKS.items()]
    return table(("Hook", "Returns", "What its `make` gives"), rows)


def names() -> str:
    """Every public name of the package."""
    rows = []
    for name in nearkin.__all__:
        thing = getattr(nearkin, name)
        rows.append((f"`nk.{name}`", "Marks the hooks of a plugin." if name == "hookimpl" else first_sentence(thing)))
    return table(("Name", "What it is"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "clusterable": clusterable,
    "clusterer-options": options("clusterer"),
    "clusterers": lambda: components("clusterer"),
    "codecs": codecs,
    "commands": commands,
    "compatibility": legal,
    "embedders": lambda: components("embedder"),
    "errors": error_tree,
    "formats": formats,
    "format-options": options("format"),
    "hooks": hooks,
    "indexes": indexes,
    "learners": lambda: components("learner"),
    "metrics": lambda: components("metric"),
    "metric-facts": metric_facts,
    "metric-formulas": metric_formulas,
    "metric-options": options("metric", left_out="none"),
    "names": names,
    "plan-options": options("index", "transform", "codec"),
    "recommenders": lambda: components("recommender"),
    "settings": settings,
    "transforms": lambda: components("transform"),
}
"""Name of each generated part to what writes it."""
