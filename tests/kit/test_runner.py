"""How checks are run and reported: outcomes, examples, known failures, plugins, pytest, determinism."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nearkin.codecs import Float32
from nearkin.errors import ParameterError, UnknownNameError
from nearkin.hooks import ClustererSpec, CodecSpec, MetricSpec
from nearkin.lloyd import Lloyd
from nearkin.metrics import ALL_AXIOMS, Metric
from nearkin.registry import KINDS, Registry
from nearkin.testing import CheckFailed, Report, check_component, check_plugin, checks, parametrize


@dataclass(frozen=True)
class PowerParams:
    """Options of `Power`."""

    power: int = 1

    def __post_init__(self) -> None:
        if self.power < 1:
            raise ParameterError(f"power is {self.power}, at least 1 expected")


class Power(Metric):
    """Σ |a - b|**power: its triangle inequality fails for every power but 1."""

    name = "power"
    axioms = ALL_AXIOMS

    def __init__(self, power: int) -> None:
        self.power = power

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        apart = queries[:, None, :].astype(np.float64) - vectors[None, :, :].astype(np.float64)
        return np.asarray((np.abs(apart) ** self.power).sum(axis=2))


def power_spec(**more: Any) -> MetricSpec:
    return MetricSpec(name="power", summary="For a test.", make=Power, params=PowerParams, **more)


def outcomes(report: Report) -> dict[str, str]:
    return {result.name: result.outcome for result in report.results}


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_has_a_name_and_a_promise_of_one_sentence(kind: str) -> None:
    found = checks(kind)
    assert len({check.name for check in found}) == len(found) > 10
    for check in found:
        assert check.kind == kind
        assert check.promise.endswith(".")
        assert ". " not in check.promise
        assert check.name == check.name.lower().replace("_", "-")


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"'metrics'.*metric, transform, codec"):
        checks("metrics")


def test_every_example_is_run_and_the_failing_one_named() -> None:
    report = check_component(power_spec(examples=({}, {"power": 2})), Registry())
    assert not report.ok
    assert [result.name for result in report.failed] == ["axiom-triangle"]
    assert report.failed[0].reason.startswith("with power=2: the distance of row ")
    assert report.failed[0].seconds > 0
    assert "axiom-triangle: with power=2" in str(report)


def test_a_known_failure_is_reported_as_such() -> None:
    known = {"axiom-triangle": "powers above 1 are no distance"}
    report = check_component(power_spec(examples=({"power": 2},), known_failures=known), Registry())
    assert report.ok
    assert outcomes(report)["axiom-triangle"] == "known failure"
    reason = next(result.reason for result in report.results if result.name == "axiom-triangle")
    assert reason.startswith("powers above 1 are no distance (with power=2: the distance of row ")


def test_a_known_failure_that_passes_is_a_failure() -> None:
    report = check_component(power_spec(known_failures={"axiom-triangle": "no more"}), Registry())
    assert [result.name for result in report.failed] == ["axiom-triangle"]
    assert "take it out" in report.failed[0].reason


def test_an_example_that_its_params_refuse_fails() -> None:
    for example in ({"power": 0}, {"powre": 2}, {"power": "two"}):
        report = check_component(power_spec(examples=(example,)), Registry())
        assert [result.name for result in report.failed] == ["made"]
        assert "pow" in report.failed[0].reason


def test_a_missing_package_skips_every_check() -> None:
    spec = CodecSpec(name="f32", summary="For a test.", make=Float32, needs=("no_such_package_anywhere",), extra="gpu")
    report = check_component(spec, Registry())
    assert report.ok
    assert {outcome for name, outcome in outcomes(report).items() if name != "known-failures-named"} == {"skipped"}
    assert 'pip install "nearkin[gpu]"' in report.results[0].reason


@pytest.mark.parametrize(
    "error", [SystemExit(3), ZeroDivisionError("division by zero"), RecursionError("deep"), ValueError()]
)
def test_whatever_a_component_raises_is_a_failed_check(error: BaseException) -> None:
    class Raises(Lloyd):
        def _fit(self, *given: Any) -> Any:
            raise error

    report = check_component(ClustererSpec(name="lloyd", summary="For a test.", make=Raises), Registry())
    assert [result.name for result in report.failed] == ["shapes"]
    assert type(error).__name__ in report.failed[0].reason


def test_a_constructor_that_raises_fails_made_only() -> None:
    def make() -> Any:
        raise ValueError("no licence")

    report = check_component(MetricSpec(name="power", summary="For a test.", make=make), Registry())
    assert [result.name for result in report.failed] == ["made"]
    assert "no licence" in report.failed[0].reason


def test_an_interrupt_is_not_swallowed() -> None:
    class Interrupted(Lloyd):
        def _fit(self, *given: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_component(ClustererSpec(name="lloyd", summary="For a test.", make=Interrupted), Registry())


def test_the_same_seed_gives_the_same_report() -> None:
    spec = power_spec(examples=({"power": 2},))
    one, again, other = (check_component(spec, Registry(), seed=seed).failed[0].reason for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_rows_of_ones_own_are_used() -> None:
    class OnlyWholeNumbers(Power):
        def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
            if not ((queries == queries.round()).all() and (vectors == vectors.round()).all()):
                raise ValueError("whole numbers expected")
            return super().pairwise(queries, vectors)

    spec = MetricSpec(name="power", summary="For a test.", make=lambda: OnlyWholeNumbers(1))
    rows = np.random.default_rng(0).integers(-9, 9, (60, 3)).astype(np.float32)
    assert outcomes(check_component(spec, Registry()))["distances-shape"] == "failed"
    assert outcomes(check_component(spec, Registry(), rows=rows))["distances-shape"] == "passed"


def test_a_plugin_is_checked_component_by_component(plugin_of: Callable[..., Any]) -> None:
    registry = Registry(strict=True)
    lloyd = ClustererSpec(name="lloyd", summary="For a test.", make=Lloyd, rules=Lloyd.rules)
    registry.register(plugin_of(power_spec(), lloyd), "two")
    reports = check_plugin("two", registry)
    assert [(report.kind, report.component, report.ok) for report in reports] == [
        ("metric", "power", True),
        ("clusterer", "lloyd", True),
    ]


def test_an_unknown_plugin_is_named_with_the_reason_if_it_failed_to_load() -> None:
    registry = Registry()
    registry.register(object(), "empty")
    with pytest.raises(UnknownNameError, match="it offers no component"):
        check_plugin("empty", registry)
    with pytest.raises(UnknownNameError, match="'other'"):
        check_plugin("other", registry)


def parameters(mark: Any) -> list[Any]:
    """The pytest parameters that `parametrize` made."""
    assert mark.mark.args[0] == "check"
    return list(mark.mark.args[1])


def test_parametrize_gives_a_test_for_each_example_and_check(plugin_of: Callable[..., Any]) -> None:
    spec = power_spec(examples=({}, {"power": 2}))
    found = parameters(parametrize(plugin_of(spec), registry=Registry()))
    assert len(found) == 2 * len(checks("metric"))
    assert found[0].id == "metric-power-made"
    assert found[-1].id.startswith("metric-power-power=2-")
    failing = next(each for each in found if each.id == "metric-power-power=2-axiom-triangle")
    with pytest.raises(CheckFailed, match=r"no detour .* But the distance of row \d+ \["):
        failing.values[0]()


def test_parametrize_takes_specs_and_a_kind() -> None:
    lloyd = ClustererSpec(name="lloyd", summary="For a test.", make=Lloyd, rules=Lloyd.rules)
    found = parameters(parametrize([power_spec(), lloyd], "clusterer", registry=Registry()))
    assert {each.id.split("-")[0] for each in found} == {"clusterer"}


def test_parametrize_skips_and_expects_known_failures() -> None:
    spec = power_spec(examples=({"power": 2},), known_failures={"axiom-triangle": "no distance"})
    found = {each.id: each for each in parameters(parametrize(spec, registry=Registry()))}
    (mark,) = found["metric-power-power=2-axiom-triangle"].marks
    assert (mark.name, mark.kwargs) == ("xfail", {"reason": "no distance", "strict": True})
    with pytest.raises(pytest.skip.Exception, match="no reduction"):
        found["metric-power-power=2-reduction-agrees"].values[0]()
