"""A whole third-party plugin to start from: package, entry point, metric, tests and README."""

from __future__ import annotations

from string import Template

from nearkin.component_names import is_component_name
from nearkin.errors import ParameterError
from nearkin.hooks import GROUP

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
dependencies = ["nearkin[kernels]"]

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

import nearkin as nk


@nk.metric("$name", axioms={"non-negative", "identity", "symmetric", "triangle"})
def $function(a, b):
    """Σ |a_i - b_i| / (|a_i| + |b_i|), the Canberra distance, to be replaced by your own.

    Columns that are 0 in both rows count 0.

    Source: G. N. Lance and W. T. Williams, "Computer programs for hierarchical polythetic classification" (1966).
    """
    total = 0.0
    for i in range(a.shape[0]):
        magnitude = abs(a[i]) + abs(b[i])
        if magnitude > 0.0:
            total += abs(a[i] - b[i]) / magnitude
    return total
''')

_TEST = Template('''\
"""Every promise of the metric contract, and one value worked out by hand."""

from collections.abc import Callable

import $module
import numpy as np

from nearkin.testing import parametrize


@parametrize($module)
def test_contract(check: Callable[[], None]) -> None:
    check()


def test_value_by_hand() -> None:
    found = $module.$function.distances(np.float32([[1, -2, 0]]), np.float32([[3, 2, 0]]))
    assert found.tolist() == [[2 / 4 + 4 / 4 + 0]]
''')

_README = Template("""\
# nearkin-$name

The metric `$name` for [nearkin](https://pypi.org/project/nearkin/), as a plugin: a formula over two rows in
`src/$module.py`, which is compiled on first use.

```
pip install -e .                   # nearkin finds it by its entry point
nearkin components metrics         # it is in the list
nearkin plugins check $name
python -m pytest
```

To try the one file without installing it:

```
nearkin --plugin src/$module.py build vectors.npy --metric $name --plan ivf -o indexes/mine
```

The axioms that the formula declares are tested on some of the rows whenever something is built.
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
    if not is_component_name(name):
        raise ParameterError(
            f"{name!r} is not a name for a metric",
            hint="use lower-case letters, digits and hyphens, for example my-metric",
        )
    short = name.replace("-", "_")
    words = {
        "name": name,
        "module": f"nearkin_{short}",
        "function": f"{short}_distance",  # with a second word, or it might be a keyword, or hide what formulas use, such as max
        "group": GROUP,
    }
    files = {
        "README.md": _README,
        "pyproject.toml": _PYPROJECT,
        f"src/nearkin_{short}.py": _MODULE,
        f"tests/test_{short}.py": _TEST,
    }
    return {path: template.substitute(words) for path, template in files.items()}
