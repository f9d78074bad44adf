"""`import nearkin` and `nearkin --help` stay quick: no heavy package is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "faiss",
    "torch",
    "sentence_transformers",
    "numba",
    "sklearn",
    "scipy",
    "pandas",
    "matplotlib",
    "pyarrow",
    "h5py",
)
HELP = """
import sys
from nearkin.cli import main
sys.argv = ["nearkin", {arguments}]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
"""
REPORT = f"import sys; print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "code",
    [
        "import nearkin",
        "import nearkin as nk; nk.build, nk.Collection, nk.describe, nk.Registry, nk.measure, nk.report",
        HELP.format(arguments='"--help"'),
        HELP.format(arguments='"build", "--help"'),
        HELP.format(arguments='"--version"'),
        "from nearkin.registry import default_registry; default_registry().specs('index')",
    ],
    ids=["import", "names", "help", "help of a command", "version", "registry"],
)
def test_nothing_heavy_is_loaded(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{REPORT}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"
