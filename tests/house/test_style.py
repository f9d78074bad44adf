"""Names, sizes and habits of every module."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

FILE_LINES = 500
FUNCTION_LINES = 40
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "core", "misc", "tools"}


@pytest.fixture(scope="session")
def everything(kernel, plugins):
    return [*kernel, *plugins]


@pytest.fixture(scope="session")
def tracked(root):
    """Text files of the project: those that git knows, or would if they were added."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    found = {}
    for name in done.stdout.splitlines():
        path = root / name
        if path.is_file():
            try:
                found[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return found


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(node):
    """Lines of a function without its docstring and decorators."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if is_docstring and isinstance(first.value.value, str) else 0
    return node.end_lineno - node.lineno + 1 - docstring


def is_a_table(node):
    """A function that only returns a list of specs, which is data."""
    body = [each for each in node.body if not isinstance(each, ast.Expr)]
    return len(body) == 1 and isinstance(body[0], ast.Return) and isinstance(body[0].value, ast.List)


def test_modules_have_names_that_say_something(everything):
    vague = [module.name for module in everything if VAGUE & set(re.split(r"[._]", module.name))]
    assert not vague


def test_files_are_short(everything):
    long = [
        f"{module.place}: {lines} lines" for module in everything if (lines := module.text.count("\n")) > FILE_LINES
    ]
    assert not long, "\n".join(long)


def test_functions_are_short(everything):
    long = [
        f"{module.place}:{node.lineno} {node.name}: {code_lines(node)} lines"
        for module in everything
        for node in functions(module.tree)
        if code_lines(node) > FUNCTION_LINES and not is_a_table(node)
    ]
    assert not long, "\n".join(long)


def public_objects(module):
    """Public classes and functions of a module, and the public methods of its classes, with what they override."""
    if module.name.endswith("__main__"):
        return  # importing it runs the program
    loaded = importlib.import_module(module.name)
    for name, value in vars(loaded).items():
        if name.startswith("_") or getattr(value, "__module__", None) != loaded.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for attribute, member in vars(value).items():
                plain = getattr(member, "fget", None) or getattr(member, "__func__", member)
                plain = getattr(plain, "func", plain)  # cached_property
                if not attribute.startswith("_") and inspect.isfunction(plain):
                    yield f"{name}.{attribute}", member


def is_documented(module, name, value):
    """Has a docstring, or overrides a method that has one."""
    if "." not in name:
        own = inspect.getdoc(value) if not inspect.isclass(value) else value.__doc__
        return bool(own)
    owner, attribute = name.split(".")
    classes = getattr(importlib.import_module(module.name), owner).__mro__
    return any((found := vars(each).get(attribute)) is not None and found.__doc__ for each in classes)


def test_everything_public_is_documented(everything):
    bare = [
        f"{module.name}.{name}"
        for module in everything
        if not module.name.startswith("nearkin.cli.")  # click takes the text of its commands from elsewhere
        for name, value in public_objects(module)
        if not is_documented(module, name, value) and not name.startswith("nearkin_")
    ]
    assert not bare, "\n".join(bare)


def test_every_module_says_what_it_is(everything):
    assert [module.name for module in everything if not ast.get_docstring(module.tree)] == []


CONTRACTS = ("vectors", "results", "ids", "metrics", "codecs", "centroids", "indexes", "embedders", "formats")


def test_docstrings_of_the_contracts_keep_numpydoc_sections(kernel):
    """A section's underline is as long as its title, and those who document errors name classes that exist."""
    from nearkin import errors

    known = {name for name in vars(errors) if name.endswith("Error")} | {"IndexError", "NotApplicable"}
    for module in kernel:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                continue
            lines = (ast.get_docstring(node) or "").splitlines()
            for title, rule in pairwise(lines):
                if rule.strip() and set(rule.strip()) == {"-"}:
                    assert len(rule) == len(title), f"{module.name}: {title!r}"
            if "Raises" in lines:
                start = lines.index("Raises") + 2
                named = re.findall(r"\b[A-Z]\w*Error\b|NotApplicable", lines[start])
                assert named, f"{module.name}: {lines[start]!r}"
                assert set(named) <= known, f"{module.name}: {named}"


@pytest.mark.parametrize("name", CONTRACTS)
def test_public_functions_of_the_contracts_that_raise_say_so(kernel, name):
    """A public function of a contract that raises an input error itself documents it, unless its summary does."""
    (module,) = [each for each in kernel if each.name == f"nearkin.{name}"]
    silent = []
    for node in functions(module.tree):
        documented = (ast.get_docstring(node) or "").casefold()
        raises = {
            raised.exc.func.id
            for raised in ast.walk(node)
            if isinstance(raised, ast.Raise)
            and isinstance(raised.exc, ast.Call)
            and isinstance(raised.exc.func, ast.Name)
        }
        inputs = raises & {"VectorError", "ParameterError", "UnknownIdError", "InputError"}
        if inputs and not node.name.startswith("_") and not re.search(r"raises?\b|error|refuse", documented):
            silent.append(f"{node.name}: {inputs}")
    assert not silent


def test_asserts_narrow_types_and_nothing_else(everything):
    for module in everything:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assert):
                text = ast.unparse(node.test)
                narrowing = text.startswith("isinstance(") or text.endswith("is not None")
                assert narrowing, f"{module.place}:{node.lineno} assert {text}"


def test_no_bare_except(everything):
    bare = [
        f"{module.place}:{node.lineno}"
        for module in everything
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not bare


def test_nothing_is_pickled(everything):
    """No pickle module is imported, and no reader of numpy's is allowed to unpickle.

    The checks of learners copy estimators in memory as joblib's workers do; they read no file.
    """
    in_memory = {"nearkin.testing.learner_checks"}
    for module in everything:
        for node in ast.walk(module.tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            unpicklers = {name.split(".")[0] for name in names} & {"pickle", "cPickle", "dill", "joblib", "shelve"}
            assert not unpicklers or module.name in in_memory, module.place
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", f"{module.place}: allow_pickle"


def test_no_machine_in_tracked_files(tracked):
    """No path of somebody's home, no address of a package mirror."""
    machine = re.compile(r"(?<![\w.])/(?:home|Users|work|root|opt|mnt)/\w|file:///|[A-Z]:\\\\Users")
    mirror = re.compile(r"(?:index-url|extra-index-url|find-links|trusted-host)|https?://[^\s\"')>]*/simple\b")
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in tracked.items()
        if name != Path(__file__).relative_to(Path(__file__).parents[2]).as_posix()
        for number, line in enumerate(text.splitlines(), 1)
        if machine.search(line) or mirror.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_leftovers_in_tracked_files(tracked):
    """Nothing half-done is committed: no marks of a merge, no notes to oneself, no debugger."""
    leftover = re.compile(r"^(?:<{7} |>{7} |={7}$)|\b(?:TODO|FIXME|XXX)\b|breakpoint\(\)|import pdb")
    found = [
        f"{name}:{number}"
        for name, text in tracked.items()
        if name.endswith((".py", ".toml", ".md", "Makefile")) and not name.startswith("tests/house/")
        for number, line in enumerate(text.splitlines(), 1)
        if leftover.search(line)
    ]
    assert not found, "\n".join(found)
