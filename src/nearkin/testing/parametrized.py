"""The kit as pytest tests: one for each component, example and check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from nearkin.errors import ParameterError
from nearkin.hooks import Spec
from nearkin.registry import Registry
from nearkin.testing.contract import Check, CheckFailed, Subject, options
from nearkin.testing.runner import checks, run_check, subjects

Test = TypeVar("Test", bound=Callable[..., object])


def parametrize(
    plugin_or_specs: Any,
    kind: str | None = None,
    *,
    registry: Registry | None = None,
    seed: int = 0,
    rows: np.ndarray | None = None,
) -> Callable[[Test], Test]:
    """A pytest decorator that turns a test of one argument, ``check``, into a test for each component, example and check.

    Parameters
    ----------
    plugin_or_specs
        A module or object with hooks, or specs.
    kind
        Only components of this kind.
    registry
        Where the other components come from; left out, the installed plugins.
    rows
        Rows to check with instead of random ones.

    Examples
    --------
    The whole test file of a plugin::

        import my_metrics
        from nearkin.testing import parametrize

        @parametrize(my_metrics)
        def test_contract(check):
            check()
    """
    import pytest

    home = registry if registry is not None else _installed()
    params = []
    for spec in _specs(plugin_or_specs, home):
        if kind not in (None, spec.kind):
            continue
        for example, subject in zip(spec.examples, subjects(spec, home, seed=seed, rows=rows), strict=True):
            name = "-".join(each for each in (spec.kind, spec.name, options(example)) if each)
            for check in checks(spec.kind):
                params.append(pytest.param(_test(check, subject), id=f"{name}-{check.name}", marks=_marks(check, spec)))
    mark: Callable[[Test], Test] = pytest.mark.parametrize("check", params)
    return mark


def _marks(check: Check, spec: Spec) -> list[Any]:
    import pytest

    if check.name not in spec.known_failures:
        return []
    # With several examples the failure may be one example's alone.
    return [pytest.mark.xfail(reason=spec.known_failures[check.name], strict=len(spec.examples) == 1)]


def _test(check: Check, subject: Subject) -> Callable[[], None]:
    def run() -> None:
        import pytest

        outcome, reason = run_check(check, subject)
        if outcome == "skipped":
            pytest.skip(reason)
        if outcome == "failed":
            raise CheckFailed(f"{check.promise} But {reason}")

    return run


def _installed() -> Registry:
    registry = Registry()
    registry.load_entry_points()
    return registry


def _specs(plugin_or_specs: Any, registry: Registry) -> Iterable[Spec]:
    if isinstance(plugin_or_specs, Spec):
        return [plugin_or_specs]
    if isinstance(plugin_or_specs, list | tuple):
        return list(plugin_or_specs)
    strict = Registry(strict=True)
    strict.register(plugin_or_specs, "under-test")
    specs = strict.plugins["under-test"].specs
    if not specs:
        raise ParameterError("the plugin offers no component")
    return specs
