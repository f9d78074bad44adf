"""What the tests of the kit share: a plugin made of specs, and the names of the checks that a component fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from nearkin.hooks import (
    ClustererSpec,
    CodecSpec,
    EmbedderSpec,
    FormatSpec,
    IndexSpec,
    LearnerSpec,
    MetricSpec,
    RecommenderSpec,
    Spec,
    TransformSpec,
    hookimpl,
)
from nearkin.registry import Registry
from nearkin.testing import Report, check_component


class SpecPlugin:
    """A plugin that offers the specs it is made from."""

    def __init__(self, *specs: Spec) -> None:
        self.specs = specs

    @hookimpl
    def nearkin_metrics(self) -> Iterable[MetricSpec]:
        return [spec for spec in self.specs if isinstance(spec, MetricSpec)]

    @hookimpl
    def nearkin_transforms(self) -> Iterable[TransformSpec]:
        return [spec for spec in self.specs if isinstance(spec, TransformSpec)]

    @hookimpl
    def nearkin_codecs(self) -> Iterable[CodecSpec]:
        return [spec for spec in self.specs if isinstance(spec, CodecSpec)]

    @hookimpl
    def nearkin_clusterers(self) -> Iterable[ClustererSpec]:
        return [spec for spec in self.specs if isinstance(spec, ClustererSpec)]

    @hookimpl
    def nearkin_indexes(self) -> Iterable[IndexSpec]:
        return [spec for spec in self.specs if isinstance(spec, IndexSpec)]

    @hookimpl
    def nearkin_embedders(self) -> Iterable[EmbedderSpec]:
        return [spec for spec in self.specs if isinstance(spec, EmbedderSpec)]

    @hookimpl
    def nearkin_learners(self) -> Iterable[LearnerSpec]:
        return [spec for spec in self.specs if isinstance(spec, LearnerSpec)]

    @hookimpl
    def nearkin_recommenders(self) -> Iterable[RecommenderSpec]:
        return [spec for spec in self.specs if isinstance(spec, RecommenderSpec)]

    @hookimpl
    def nearkin_formats(self) -> Iterable[FormatSpec]:
        return [spec for spec in self.specs if isinstance(spec, FormatSpec)]


@pytest.fixture
def plugin_of() -> Callable[..., SpecPlugin]:
    return SpecPlugin


@pytest.fixture
def report_of() -> Callable[..., Report]:
    """Spec, and other plugins to load first, to the report of the whole kit on the component."""

    def check(spec: Spec, *others: object) -> Report:
        registry = Registry(strict=True)
        for number, other in enumerate(others):
            registry.register(other, f"other-{number}")
        registry.register(SpecPlugin(spec), "under-test")
        return check_component(spec, registry)

    return check


@pytest.fixture
def failed(report_of: Callable[..., Report]) -> Callable[..., dict[str, str]]:
    """Spec, and other plugins, to the names of the checks that the component fails, with the reasons."""

    def check(spec: Spec, *others: object) -> dict[str, str]:
        report = report_of(spec, *others)
        assert all(count == 1 for count in Counter(result.name for result in report.results).values())
        return {result.name: result.reason for result in report.failed}

    return check
