"""The modules of the house, parsed once."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """A module of the kernel or of the built-in plugins."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def place(self) -> str:
        """Path from the root, as it is shown."""
        return self.path.relative_to(ROOT).as_posix()

    def __hash__(self) -> int:
        return hash(self.name)


def modules_below(folder: Path) -> list[Module]:
    """Modules of a package, by dotted name; a package's own module has the package's name."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found.append(Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def kernel() -> list[Module]:
    return modules_below(ROOT / "src" / "nearkin")


@pytest.fixture(scope="session")
def plugins() -> list[Module]:
    return modules_below(ROOT / "plugins" / "nearkin_plugins")
