"""The documentation of Python's own standard library, read from its source with ast: text that is on every machine.

Nothing is imported or run. Modules written in C have no docstrings here.
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nearkin.errors import StorageError

SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "distutils", "site-packages", "dist-packages"}
)

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Docstring:
    """The documentation of one object.

    >>> Docstring("bisect.insort_right", "Insert item x in list a. Keep it sorted.").first_sentence
    'Insert item x in list a.'
    """

    name: str
    """Qualified, as in ``shutil.copytree`` or ``zipfile.ZipFile.extract``."""
    paragraph: str
    """The first paragraph."""
    whole: str = ""
    """Everything, on one line."""

    @property
    def first_sentence(self) -> str:
        """Up to the first full stop followed by a space."""
        sentence, stop, _ = self.paragraph.partition(". ")
        return sentence + stop.rstrip()


def read_docstrings(root: Path | None = None) -> list[Docstring]:
    """Docstrings of the public modules, classes, functions and methods, in order of name, each name once.

    Parameters
    ----------
    root
        Folder of Python files; None for this Python's standard library.

    Raises
    ------
    StorageError
        There is no Python source in the folder (some distributions ship compiled files only).

    Examples
    --------
    >>> import json
    >>> names = [each.name for each in read_docstrings(Path(json.__file__).parent)]
    >>> "decoder.JSONDecoder.decode" in names
    True
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if root is None else root
    found: dict[str, Docstring] = {}
    for path in _public_files(folder):
        for each in _docstrings_of(path, _module_name(path.relative_to(folder))):
            found.setdefault(each.name, each)
    if not found:
        raise StorageError(
            f"{folder} has no Python source with docstrings", hint="use a Python installed with its source"
        )
    return [found[name] for name in sorted(found)]


def _public_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        *folders, file = path.relative_to(folder).parts
        hidden = any(part.startswith("_") or "-" in part or part in SKIPPED_FOLDERS for part in folders)
        if not hidden and (file == "__init__.py" or not file.startswith("_")):
            yield path


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _docstrings_of(path: Path, module: str) -> Iterator[Docstring]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in somebody else's source are not the reader's concern
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # unreadable, or source of another Python version: the other files are enough
    yield from _documented(tree, module)


def _documented(node: _Documented, name: str) -> Iterator[Docstring]:
    """A node and, within modules and classes, what they define."""
    text = ast.get_docstring(node, clean=False)
    paragraph = _first_paragraph(text) if text else ""
    if paragraph and name:
        yield Docstring(name, paragraph, " ".join((text or "").split()))
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in _definitions(node.body):
            if not inner.name.startswith("_"):
                yield from _documented(inner, f"{name}.{inner.name}" if name else inner.name)


def _definitions(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions of a body, those inside its if and try blocks too."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement
        elif isinstance(statement, ast.If):
            yield from _definitions([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handlers = [line for handler in statement.handlers for line in handler.body]
            yield from _definitions([*statement.body, *handlers, *statement.orelse, *statement.finalbody])


def _first_paragraph(text: str) -> str:
    """The first paragraph on one line, empty if it says nothing in words."""
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    return paragraph if any(letter.isalpha() for letter in paragraph) else ""
