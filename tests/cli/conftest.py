"""A program to call, and small files to call it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from nearkin.cli.program import nearkin

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls the program in a folder of its own, untouched by the settings of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    for name in ("NEARKIN_PLUGINS", "NEARKIN_DISABLED_PLUGINS", "NEARKIN_STRICT_PLUGINS", "NEARKIN_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(nearkin, [str(each) for each in arguments], input=input)

    return call


@pytest.fixture
def vectors(tmp_path: Path) -> np.ndarray:
    """400 x 8 float32 rows, also in v.npy."""
    rows = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    return rows


@pytest.fixture
def built(run: Run, vectors: np.ndarray, tmp_path: Path) -> Path:
    """A saved index over v.npy with ids 0 to 399."""
    result = run("build", "v.npy", "--plan", "ivf8", "--set", "nprobe=8", "-o", "indexes/mine")
    assert result.exit_code == 0, result.output
    return tmp_path / "indexes" / "mine"


@pytest.fixture
def shop(run: Run, tmp_path: Path) -> Path:
    """A saved index with text ids and metadata, from shop.csv."""
    (tmp_path / "shop.csv").write_text("sku,colour,x,y\na,red,1,0\nb,green,2,0\nc,blue,9,0\n")
    result = run("build", "shop.csv", "--format", "csv:id=sku", "-o", "indexes/shop")
    assert result.exit_code == 0, result.output
    return tmp_path / "indexes" / "shop"
