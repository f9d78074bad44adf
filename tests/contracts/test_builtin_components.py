"""Every component that comes with nearkin keeps every promise of its kind: one test for each example and check."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from nearkin.registry import KINDS, Registry
from nearkin.testing import parametrize

REGISTRY = Registry(strict=True)
REGISTRY.load_entry_points()
BUILT_IN = [
    spec for plugin in REGISTRY.plugins.values() if plugin.source.startswith("nearkin ") for spec in plugin.specs
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small arrays on several threads, in several test processes, would mostly wait for one another."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


def test_there_are_components_of_every_kind() -> None:
    assert {spec.kind for spec in BUILT_IN} == set(KINDS)


@parametrize(BUILT_IN, registry=REGISTRY)
def test_contract(check: Callable[[], None]) -> None:
    check()
