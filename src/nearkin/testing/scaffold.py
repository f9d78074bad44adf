"""A whole third-party plugin to start from: package, entry point, metric, tests and README."""

from __future__ import annotations

import re
from string import Template

from nearkin.errors import ParameterError
from nearkin.hooks import GROUP

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")

_PYPROJECT = Template("""\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "nearkin-$name"
version = "0.1.0"
description = "The metric $name for nearkin."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["nearkin", "numpy>=1.26"]

[project.entry-points."$group"]
$name = "$module"

[tool.setuptools]
py-modules = ["$module"]
package-dir = {"" = "src"}

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
""")

_MODULE = Template('''\
"""The metric $name, a plugin of nearkin."""

from __future__ import annotations

import numpy as np

from nearkin.hooks import MetricSpec, hookimpl
from nearkin.metrics import Metric


class $class_name(Metric):
    """Σ |a_i - b_i| / (|a_i| + |b_i|), the Canberra distance, to be replaced by your own; columns that are both 0 count 0.

    Source: G. N. Lance and W. T. Williams, "Computer programs for hierarchical polythetic classification" (1966).

    >>> $class_name().distances(np.float32([[1, 0]]), np.float32([[1, 2], [3, 0]])).tolist()
    [[1.0, 0.5]]
    """

    name = "$name"
    axioms = frozenset({"non-negative", "identity", "symmetric", "triangle"})

    def pairwise(self, queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """(nq, dim) and (n, dim) rows to (nq, n) distances; smaller is nearer."""
        rows = vectors.astype(np.float64)
        magnitudes = np.abs(rows)
        distances = np.empty((len(queries), len(rows)))
        for number, query in enumerate(queries.astype(np.float64)):
            total = magnitudes + np.abs(query)
            shares = np.divide(np.abs(rows - query), total, out=np.zeros_like(rows), where=total > 0)
            distances[number] = shares.sum(axis=1)
        return distances


@hookimpl
def nearkin_metrics() -> list[MetricSpec]:
    """What this plugin offers."""
    return [
        MetricSpec(
            name="$name",
            summary="Sum of the absolute differences, each divided by the columns' magnitudes (Canberra).",
            make=$class_name,
        )
    ]
''')

_TEST = Template('''\
"""Every promise of the metric contract, and one value worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import $module
import numpy as np

from nearkin.testing import parametrize


@parametrize($module)
def test_contract(check: Callable[[], None]) -> None:
    check()


def test_value_by_hand() -> None:
    metric = $module.$class_name()
    found = metric.distances(np.array([[1, -2, 0]], np.float32), np.array([[3, 2, 0]], np.float32))
    assert found.tolist() == [[2 / 4 + 4 / 4 + 0]]
''')

_README = Template("""\
# nearkin-$name

The metric `$name` for [nearkin](https://pypi.org/project/nearkin/), as a plugin.

```
pip install -e .                   # nearkin finds it by its entry point
nearkin components metrics         # it is in the list
nearkin plugins check $name
python -m pytest
```

To try the one file without installing it:

```
nearkin --plugin src/$module.py components metrics
```
""")


def new_metric(name: str) -> dict[str, str]:
    """The files of a new metric plugin that works and passes its checks: relative path to text.

    Parameters
    ----------
    name
        What users will ask for: lower-case letters, digits and hyphens, starting with a letter.

    Raises
    ------
    ParameterError
        `name` is not such a name.

    Examples
    --------
    >>> sorted(new_metric("my-metric"))
    ['README.md', 'pyproject.toml', 'src/nearkin_my_metric.py', 'tests/test_my_metric.py']
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise ParameterError(
            f"{name!r} is not a name for a metric",
            hint="use lower-case letters, digits and hyphens, for example my-metric",
        )
    short = name.replace("-", "_")
    words = {
        "name": name,
        "module": f"nearkin_{short}",
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "group": GROUP,
    }
    files = {
        "README.md": _README,
        "pyproject.toml": _PYPROJECT,
        f"src/nearkin_{short}.py": _MODULE,
        f"tests/test_{short}.py": _TEST,
    }
    return {path: template.substitute(words) for path, template in files.items()}
