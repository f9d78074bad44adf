"""Plugins made of a few metrics, for tests of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import Euclidean


def metric(name: Any = "mine", **more: Any) -> MetricSpec:
    return MetricSpec(**{"name": name, "summary": "For a test.", "make": Euclidean, **more})


class Offers:
    """A plugin that offers some metrics."""

    def __init__(self, *specs: Any) -> None:
        self.specs = specs

    @hookimpl
    def nearkin_metrics(self) -> Iterable[Any]:
        return self.specs


@dataclass(frozen=True)
class Params:
    """One option."""

    power: float = 2.0
