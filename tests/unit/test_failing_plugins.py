"""Plugins that fail are left out whole and told; everything else goes on working."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.unit.offered_metrics import Offers, Params, metric

from nearkin.errors import (
    PluginLoadError,
    UnknownNameError,
)
from nearkin.hooks import CodecSpec, MetricSpec, hookimpl
from nearkin.registry import Registry


class RaisesInHook:
    @hookimpl
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        raise ZeroDivisionError("no metrics today")


class ExitsInHook:
    @hookimpl
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        raise SystemExit(1)


class BreaksHalfWay:
    @hookimpl
    def nearkin_metrics(self) -> Iterator[MetricSpec]:
        yield metric("first")
        raise RuntimeError("the second is broken")


class BreaksInItsSecondHook:
    @hookimpl
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        return [metric("first")]

    @hookimpl
    def nearkin_codecs(self) -> Iterable[CodecSpec]:
        raise RuntimeError("codecs are broken")


class WantsAnArgument:
    @hookimpl
    def nearkin_metrics(self, registry: Any) -> Iterable[MetricSpec]:
        return [metric()]


class MisspeltHook:
    @hookimpl
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        return [metric()]

    @hookimpl
    def nearkin_codec(self) -> Iterable[CodecSpec]:
        return []


class Unmarked:
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        return [metric()]


class OffersNothing:
    @hookimpl
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        return []


class GivesNone:
    @hookimpl
    def nearkin_metrics(self) -> None:
        return None


class GivesOneSpec:
    @hookimpl
    def nearkin_metrics(self) -> Any:
        return metric()


class WrongKind:
    @hookimpl
    def nearkin_metrics(self) -> Iterable[Any]:
        return [CodecSpec(name="f32", summary="For a test.", make="nearkin.codecs:Float32")]


@dataclass(frozen=True)
class ListParams:
    """An option that text cannot give."""

    columns: list[int] | None = None


FAILING: list[tuple[Any, str]] = [
    (RaisesInHook(), "ZeroDivisionError: no metrics today"),
    (ExitsInHook(), "SystemExit: 1"),
    (BreaksHalfWay(), "RuntimeError: the second is broken"),
    (BreaksInItsSecondHook(), "RuntimeError: codecs are broken"),
    (
        WantsAnArgument(),
        "{'registry'} are declared in the hookimpl but can not be found in the hookspec; hooks of nearkin",
    ),
    (MisspeltHook(), "nearkin_codec is not a hook of nearkin (did you mean nearkin_codecs?)"),
    (Unmarked(), "it offers no component; mark nearkin_metrics with @nearkin.hookimpl"),
    (OffersNothing(), "it offers no component; implement one of nearkin_metrics, "),
    (GivesNone(), "it offers no component"),
    (object(), "it offers no component"),
    (GivesOneSpec(), "not iterable"),
    (WrongKind(), "nearkin_metrics gave a CodecSpec, MetricSpec expected"),
    (Offers({"name": "mine"}), "nearkin_metrics gave a dict, MetricSpec expected"),
    (Offers(metric("first"), metric("first")), "it offers metric 'first' twice"),
    (Offers(metric("first", aliases=("other",)), metric("other")), "it offers metric 'other' twice"),
    *(
        (Offers(metric("first"), metric(name)), f"{name!r} is not a name for a metric")
        for name in (
            "",
            "Mine",
            "my_metric",
            "1st",
            "a--b",
            "-a",
            "a-",
            "a b",
            "a:b",
            "a/b",
            "a,b",
            "a\n",
            "é",
            None,
            7,
        )
    ),
    (Offers(metric(aliases=("Other",))), "'Other' is not a name for a metric"),
    (Offers(metric(aliases="other")), "has aliases='other', a tuple of names expected"),
    (Offers(metric(needs="faiss")), "has needs='faiss', a tuple of names expected"),
    (Offers(metric(summary="")), "needs a summary of one line"),
    (Offers(metric(summary="two\nlines")), "needs a summary of one line"),
    (Offers(metric(make="no_colon")), "has make='no_colon', 'module:Name' or a callable expected"),
    (Offers(metric(make="a:b:c")), "has make='a:b:c'"),
    (Offers(metric(make=None)), "has make=None"),
    (Offers(metric(params=dict)), "has params that are not a dataclass"),
    (Offers(metric(params=Params())), "has params that are not a dataclass"),
    (Offers(metric(params=ListParams)), "option columns of metric 'mine' is of type"),
    (
        Offers(metric(params=Params, shorthand=("size",))),
        "has shorthand for 'size', which is none of its options (power)",
    ),
]


@pytest.mark.parametrize(("plugin", "sentence"), FAILING, ids=lambda value: type(value).__name__)
def test_a_failing_plugin_is_left_out_whole_and_told(plugin: Any, sentence: str) -> None:
    told: list[str] = []
    registry = Registry(report=told.append)
    registry.register(plugin, "bad")
    registry.register(Offers(metric("good")), "good")
    assert list(registry.plugins) == ["good"]
    assert registry.names("metric") == ["good"]
    assert not registry.specs("codec")
    (failure,) = registry.failures
    assert told == [failure.line]
    assert failure.line.startswith("plugin bad (registered from Python) was left out: ")
    assert sentence in failure.line
    assert "\n" not in failure.line


@pytest.mark.parametrize(("plugin", "sentence"), FAILING[:6], ids=lambda value: type(value).__name__)
def test_in_strict_mode_it_is_raised(plugin: Any, sentence: str) -> None:
    registry = Registry(strict=True)
    with pytest.raises(PluginLoadError) as caught:
        registry.register(plugin, "bad")
    assert sentence in str(caught.value)
    assert not registry.plugins


def test_an_interrupt_is_not_a_failing_plugin() -> None:
    class Interrupts:
        @hookimpl
        def nearkin_metrics(self) -> Iterable[MetricSpec]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Registry().register(Interrupts(), "slow")


def test_an_unknown_name_names_the_plugins_that_failed() -> None:
    registry = Registry()
    registry.register(RaisesInHook(), "bad")
    registry.register(object(), "empty")
    with pytest.raises(UnknownNameError, match="plugins that failed to load might have it: bad, empty"):
        registry.resolve("metric", "mine")
