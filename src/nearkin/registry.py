"""Plugins in, components out: load, verify, isolate, name, resolve.

A plugin is published as a whole or not at all. Each one is imported, registered with pluggy on its own, its hooks called
and consumed, and its specs checked, all inside one try: a plugin that raises at import, in a hook or half-way through a
generator is recorded in `Registry.failures`, and everything else goes on working.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
import typing
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from nearkin.component_names import is_component_name
from nearkin.components import Part, parse_part, read_params
from nearkin.errors import (
    AmbiguousNameError,
    MissingDependencyError,
    NearkinError,
    PluginLoadError,
    UnknownNameError,
)
from nearkin.hooks import GROUP, HOOKS, HookSpecs, MetricSpec, Spec
from nearkin.settings import Settings, load_settings

KINDS = tuple(spec.kind for spec in HOOKS.values())
PLURALS = {"index": "indexes"} | {kind: f"{kind}s" for kind in KINDS if kind != "index"}

MOST_SPECS = 1000
"""Components of one plugin; a hook that gives more is taken for one that never ends."""

REGISTERED = "registered from Python"
"""Source of a plugin that is an object of this process."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that was loaded, and what it gave."""

    name: str
    source: str
    """Distribution and version, or the file."""
    hooks: tuple[str, ...]
    specs: tuple[Spec, ...]


@dataclass(frozen=True)
class Failure:
    """A plugin that was not loaded, and why."""

    name: str
    source: str
    error: BaseException

    @property
    def line(self) -> str:
        """One line for stderr."""
        reason = str(self.error).strip().splitlines()
        return f"plugin {self.name} ({self.source}) was left out: {type(self.error).__name__}: {reason[0] if reason else ''}"


class Registry:
    """Components by kind and name.

    Parameters
    ----------
    report
        Called with one line for each plugin that fails.
    strict
        Raise instead of leaving a failing plugin out.

    Examples
    --------
    >>> registry = default_registry()
    >>> registry.resolve("metric", "l2").name
    'euclidean'
    >>> registry.make("codec", "pq8x4", 32).label
    'pq8x4'
    """

    def __init__(self, *, report: Callable[[str], None] | None = None, strict: bool = False) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.failures: list[Failure] = []
        self._report = report
        self._strict = strict
        self._by_name: dict[tuple[str, str], list[tuple[str, Spec]]] = {}

    # ---- loading ---------------------------------------------------------------------------------------------------

    def load_entry_points(self, disabled: Iterable[str] = ()) -> None:
        """Load every plugin that an installed distribution announces, except those named in `disabled`."""
        off = set(disabled)
        for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: (not _built_in(point), point.name)):
            if point.name in off:
                continue
            source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            self._load(point.name, source, point.load)

    def load_path(self, path: str | Path) -> None:
        """Load a plugin from a .py file, or every .py file of a folder."""
        place = Path(path)
        inside = sorted(file for file in place.glob("*.py") if not file.name.startswith("_"))
        for file in inside if place.is_dir() else [place]:
            self._load(file.stem.replace("_", "-"), str(file), lambda file=file: _import_file(file))  # type: ignore[misc]

    def register(self, plugin: object, name: str, source: str = REGISTERED) -> None:
        """Publish what a module or object with `hookimpl` functions gives.

        Raises
        ------
        PluginLoadError
            In strict mode, if anything is wrong with it; otherwise the failure is recorded.
        """
        self._load(name, source, lambda: plugin)

    def _load(self, name: str, source: str, load: Callable[[], object]) -> None:
        try:
            with redirect_stdout(sys.stderr):  # standard output is for results
                plugin = load()
                specs = _specs_of(plugin, name)
            self._publish(name, source, plugin, specs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit included; it must not stop the rest
            failure = Failure(name, source, error)
            if self._strict:
                raise PluginLoadError(failure.line) from error
            self.failures.append(failure)
            if self._report:
                self._report(failure.line)

    def _publish(self, name: str, source: str, plugin: object, specs: list[Spec]) -> None:
        namesakes = [plugin for plugin in self.plugins.values() if plugin.name.partition("@")[0] == name]
        if source != REGISTERED and any(plugin.source == source for plugin in namesakes):
            return  # found twice: on two entries of the path, or named twice
        if namesakes:
            name = self._free_name(name, source)
        hooks = tuple(hook for hook in HOOKS if getattr(plugin, hook, None) is not None)
        self.plugins[name] = Plugin(name, source, hooks, tuple(specs))
        for spec in specs:
            for known in (spec.name, *spec.aliases):
                self._by_name.setdefault((spec.kind, known), []).append((name, spec))

    def _free_name(self, name: str, source: str) -> str:
        """``name@source``, numbered if that is taken too."""
        wanted = f"{name}@{'python' if source == REGISTERED else source.split()[0]}"
        names = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
        return next(each for each in names if each not in self.plugins)

    # ---- finding ---------------------------------------------------------------------------------------------------

    def specs(self, kind: str) -> list[Spec]:
        """Every spec of a kind, in order of name."""
        found = [spec for plugin in self.plugins.values() for spec in plugin.specs if spec.kind == kind]
        return sorted(found, key=lambda spec: spec.name)

    def owner(self, spec: Spec) -> str:
        """Name of the plugin that gave a spec."""
        return next(name for name, plugin in self.plugins.items() if any(spec is each for each in plugin.specs))

    def name_of(self, spec: Spec) -> str:
        """What a plan calls a component: with its plugin in front where the name alone means none, or another one."""
        try:
            if self.resolve(spec.kind, spec.name) is spec:
                return spec.name
        except NearkinError:
            pass
        return f"{self.owner(spec)}/{spec.name}"

    def names(self, kind: str) -> list[str]:
        """Names of a kind, without aliases."""
        return sorted({spec.name for spec in self.specs(kind)})

    def has(self, kind: str, name: str) -> bool:
        """Whether a name or alias, possibly written ``plugin/name``, is known."""
        return (kind, name.rpartition("/")[2]) in self._by_name

    def resolve(self, kind: str, name: str) -> Spec:
        """The spec with this name or alias; ``plugin/name`` chooses between plugins.

        Raises
        ------
        UnknownNameError
            Nothing has this name; the message gives the nearest spellings.
        AmbiguousNameError
            Two plugins offer it.
        """
        plugin, _, short = name.rpartition("/")
        found = self._by_name.get((kind, short), [])
        if plugin:
            found = [(owner, spec) for owner, spec in found if owner == plugin]
        if not found:
            raise UnknownNameError(self._unknown(kind, name), hint=f"`nearkin components {PLURALS[kind]}` lists them")
        if len(found) > 1:
            owners = [owner for owner, _ in found]
            raise AmbiguousNameError(
                f"{kind} {short!r} is offered by {len(owners)} plugins: {', '.join(owners)}",
                hint=f"choose one as {owners[0]}/{short}, or turn one off with -p no:{owners[-1]}",
            )
        return found[0][1]

    def _unknown(self, kind: str, name: str) -> str:
        known = [key for each, key in self._by_name if each == kind]
        close = difflib.get_close_matches(name.lower(), known, n=2)
        sentence = f"no {kind} is called {name!r}"
        if close:
            sentence += f" (did you mean {' or '.join(repr(each) for each in close)}?)"
        if self.failures:
            sentence += f"; plugins that failed to load might have it: {', '.join(f.name for f in self.failures)}"
        return sentence

    def parse(self, kind: str, text: str) -> Part:
        """Read ``name``, ``name`` with numbers glued on, and options: ``pq48x8``, ``mahalanobis:shrinkage=0.1``."""
        return parse_part(text, lambda name: self.has(kind, name), lambda name: self.resolve(kind, name))

    def build(self, spec: Spec, *args: Any, params: dict[str, Any] | None = None) -> Any:
        """Make a component from its spec.

        Raises
        ------
        MissingDependencyError
            A package it needs is not installed; the hint is the pip command.
        PluginLoadError
            Its code cannot be imported, or raised something that is not a nearkin error.
        """
        _need(spec)
        factory = self._factory(spec)
        try:
            return factory(*args, **(params or {}))
        except NearkinError:
            raise
        except ImportError as error:
            raise _missing(spec, error.name or str(error)) from error
        except Exception as error:
            raise PluginLoadError(
                f"{spec.kind} {spec.name!r} could not be made: {type(error).__name__}: {error}"
            ) from error

    def make(self, kind: str, text: str, *args: Any) -> Any:
        """`parse`, then `build`: ``make("metric", "mahalanobis:shrinkage=0.1")``."""
        part = self.parse(kind, text)
        spec = self.resolve(kind, part.name)
        return self.build(spec, *args, params=read_params(spec, part))

    def _factory(self, spec: Spec) -> Callable[..., Any]:
        if callable(spec.make):
            return spec.make
        module, _, attribute = spec.make.partition(":")
        try:
            factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            if error.name and error.name.partition(".")[0] != module.partition(".")[0]:
                raise _missing(spec, error.name) from error
            raise PluginLoadError(f"{spec.kind} {spec.name!r} cannot be imported from {spec.make}: {error}") from error
        except Exception as error:
            raise PluginLoadError(f"{spec.kind} {spec.name!r} cannot be imported from {spec.make}: {error}") from error
        return factory


def _specs_of(plugin: object, name: str) -> list[Spec]:
    """Register a plugin with a pluggy manager of its own, call every hook, and check what comes."""
    manager = pluggy.PluginManager("nearkin")
    manager.add_hookspecs(HookSpecs)
    try:
        manager.register(plugin, name=name)
    except pluggy.PluginValidationError as error:  # says what is wrong in its last line
        raise PluginLoadError(str(error).splitlines()[-1], hint="hooks of nearkin take no argument") from error
    marked = [name for name in dir(plugin) if _is_hook(plugin, name)]
    unknown = [hook for hook in marked if hook not in HOOKS]
    if unknown:
        close = difflib.get_close_matches(unknown[0], HOOKS, n=1)
        raise PluginLoadError(
            f"{unknown[0]} is not a hook of nearkin" + (f" (did you mean {close[0]}?)" if close else ""),
            hint=f"the hooks are {', '.join(HOOKS)}",
        )
    specs: list[Spec] = _function_metrics(plugin)
    for hook, kind in HOOKS.items():
        for given in getattr(manager.hook, hook)():
            for spec in given:
                _check_spec(spec, hook, kind)
                specs.append(spec)
                if len(specs) > MOST_SPECS:
                    raise PluginLoadError(f"{hook} gave more than {MOST_SPECS:,} components and went on")
    if not specs:
        unmarked = [hook for hook in HOOKS if callable(getattr(plugin, hook, None)) and hook not in marked]
        hint = f"mark {unmarked[0]} with @nearkin.hookimpl" if unmarked else f"implement one of {', '.join(HOOKS)}"
        raise PluginLoadError("it offers no component", hint=hint)
    keys = [(spec.kind, known) for spec in specs for known in (spec.name, *spec.aliases)]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        kind_name, known = sorted(twice)[0]
        raise PluginLoadError(f"it offers {kind_name} {known!r} twice")
    return specs


def _function_metrics(plugin: object) -> list[Spec]:
    """Specs of the metrics that a module makes with `nearkin.metric`, which need no hook.

    The module that defines them is not imported for this: where nothing has imported it, there are none.
    """
    functions = sys.modules.get("nearkin.metric_functions")
    if functions is None or not isinstance(plugin, ModuleType):
        return []
    found = {id(value): value for value in vars(plugin).values() if isinstance(value, functions.FunctionMetric)}
    return [
        MetricSpec(
            name=each.name, summary=(each.__doc__ or "A compiled formula.").strip().splitlines()[0], make=each.fresh
        )
        for each in found.values()
    ]


def _is_hook(plugin: object, name: str) -> bool:
    return getattr(getattr(plugin, name, None), "nearkin_impl", None) is not None


def _check_spec(spec: Any, hook: str, kind: type[Spec]) -> None:
    if not isinstance(spec, kind):
        raise PluginLoadError(f"{hook} gave a {type(spec).__name__}, {kind.__name__} expected")
    for field in ("aliases", "shorthand", "needs", "suggests"):
        value = getattr(spec, field)
        if not isinstance(value, tuple | list) or not all(isinstance(each, str) for each in value):
            raise PluginLoadError(f"{spec.kind} {spec.name!r} has {field}={value!r}, a tuple of names expected")
    for known in (spec.name, *spec.aliases):
        if not is_component_name(known):
            raise PluginLoadError(
                f"{known!r} is not a name for a {spec.kind}", hint="use lower-case letters, digits and hyphens"
            )
    if not spec.summary or "\n" in spec.summary:
        raise PluginLoadError(f"{spec.kind} {spec.name!r} needs a summary of one line")
    if not (callable(spec.make) or (isinstance(spec.make, str) and re.fullmatch(r"[\w.]+:\w+", spec.make))):
        raise PluginLoadError(f"{spec.kind} {spec.name!r} has make={spec.make!r}, 'module:Name' or a callable expected")
    _check_params(spec)


def _check_params(spec: Spec) -> None:
    if spec.params is not None and not (isinstance(spec.params, type) and dataclasses.is_dataclass(spec.params)):
        raise PluginLoadError(f"{spec.kind} {spec.name!r} has params that are not a dataclass")
    hints = typing.get_type_hints(spec.params) if spec.params is not None else {}
    names = [field.name for field in dataclasses.fields(spec.params)] if spec.params is not None else []
    for name in names:
        parts = typing.get_args(hints[name]) or (hints[name],)
        if not {*parts} <= {int, float, bool, str, type(None)}:
            raise PluginLoadError(
                f"option {name} of {spec.kind} {spec.name!r} is of type {hints[name]}, int, float, bool or str expected"
            )
    named = {"shorthand": spec.shorthand, "leading": (spec.leading,) if spec.leading else (), "scales": (*spec.scales,)}
    unknown = [name for given in named.values() for name in given if name not in names]
    if unknown:
        field = next(field for field, given in named.items() if unknown[0] in given)
        raise PluginLoadError(
            f"{spec.kind} {spec.name!r} has {field} for {unknown[0]!r}, which is none of its options"
            + (f" ({', '.join(names)})" if names else "")
        )


def _need(spec: Spec) -> None:
    for module in spec.needs:
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            raise _missing(spec, module)


def _missing(spec: Spec, module: str) -> MissingDependencyError:
    command = f'pip install "nearkin[{spec.extra}]"' if spec.extra else f"pip install {module}"
    return MissingDependencyError(f"{spec.kind} {spec.name!r} needs the package {module}", hint=command)


def _built_in(point: metadata.EntryPoint) -> bool:
    return point.value.startswith("nearkin_plugins.")


def _import_file(path: Path) -> ModuleType:
    """Import a .py file under a name of its own, so that two files of one name do not meet in sys.modules."""
    if not path.is_file():
        raise PluginLoadError(f"there is no plugin file {path}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"nearkin_plugin_file_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginLoadError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def load_registry(settings: Settings, *, report: Callable[[str], None] | None = None) -> Registry:
    """A fresh registry with the installed plugins and those that the settings name."""
    registry = Registry(report=report, strict=settings.strict_plugins)
    registry.load_entry_points(settings.disabled_plugins)
    for path in settings.plugins:
        registry.load_path(path)
    return registry


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """The registry of this process, made on first use from the settings; failures go to stderr, one line each."""
    return load_registry(load_settings(), report=lambda line: print(line, file=sys.stderr))
