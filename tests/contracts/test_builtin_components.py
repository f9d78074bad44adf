"""Every component that comes with nearkin keeps every promise of its kind: one test for each example and check."""

from __future__ import annotations

from collections.abc import Callable

from nearkin.registry import KINDS, Registry
from nearkin.testing import parametrize

REGISTRY = Registry(strict=True)
REGISTRY.load_entry_points()
BUILT_IN = [
    spec for plugin in REGISTRY.plugins.values() if plugin.source.startswith("nearkin ") for spec in plugin.specs
]


def test_there_are_components_of_every_kind() -> None:
    assert {spec.kind for spec in BUILT_IN} == set(KINDS)


@parametrize(BUILT_IN, registry=REGISTRY)
def test_contract(check: Callable[[], None]) -> None:
    check()
