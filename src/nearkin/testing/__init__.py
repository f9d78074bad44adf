"""The contract kit: every promise that a component makes to nearkin, as a check that anyone can run on their own plugin.

>>> from nearkin.registry import default_registry
>>> report = check_component(default_registry().resolve("clusterer", "lloyd"), default_registry())
>>> report.kind, report.component, report.ok
('clusterer', 'lloyd', True)
"""

from nearkin.testing.contract import Check, CheckFailed, NotApplicable, Subject
from nearkin.testing.parametrized import parametrize
from nearkin.testing.runner import Report, Result, check_component, check_plugin, checks
from nearkin.testing.scaffold import new_metric

__all__ = [
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Report",
    "Result",
    "Subject",
    "check_component",
    "check_plugin",
    "checks",
    "new_metric",
    "parametrize",
]
