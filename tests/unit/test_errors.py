"""The error tree is the one drawn in its docstring, and survives a pickle on the way back from a worker."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from nearkin import errors

TREE = {
    "InputError": ("NearkinError", ValueError, 2),
    "VectorError": ("InputError", ValueError, 2),
    "ParameterError": ("InputError", ValueError, 2),
    "FilterError": ("InputError", ValueError, 2),
    "UnknownError": ("NearkinError", LookupError, 3),
    "UnknownNameError": ("UnknownError", LookupError, 3),
    "AmbiguousNameError": ("UnknownError", LookupError, 3),
    "UnknownCollectionError": ("UnknownError", LookupError, 3),
    "UnknownIdError": ("UnknownError", LookupError, 3),
    "StateError": ("NearkinError", RuntimeError, 2),
    "NotTrainedError": ("StateError", RuntimeError, 2),
    "ClosedError": ("StateError", RuntimeError, 2),
    "LockedError": ("StateError", RuntimeError, 5),
    "ReadOnlyError": ("StateError", RuntimeError, 2),
    "EmbedderMismatchError": ("StateError", RuntimeError, 2),
    "NotSupportedError": ("NearkinError", Exception, 2),
    "BudgetError": ("NearkinError", Exception, 6),
    "PluginError": ("NearkinError", Exception, 4),
    "PluginLoadError": ("PluginError", Exception, 4),
    "PluginContractError": ("PluginError", Exception, 4),
    "MissingDependencyError": ("PluginError", ImportError, 4),
    "StorageError": ("NearkinError", OSError, 5),
    "CorruptFileError": ("StorageError", OSError, 5),
    "FormatVersionError": ("StorageError", OSError, 5),
}


def test_the_tree_is_complete():
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert defined == {"NearkinError", *TREE}


@pytest.mark.parametrize("name", TREE)
def test_place_in_the_tree(name):
    parent, builtin, exit_code = TREE[name]
    kind = getattr(errors, name)
    assert kind.__bases__[0] is getattr(errors, parent)
    assert issubclass(kind, builtin)
    assert kind.exit_code == exit_code


def test_the_drawing_names_every_class_and_no_other():
    drawn = set(re.findall(r"\b\w+Error\b", errors.__doc__.split(">>>")[0].split("A message")[0]))
    assert drawn - {"ValueError", "LookupError", "RuntimeError", "ImportError", "OSError"} == {"NearkinError", *TREE}


@pytest.mark.parametrize("name", ["NearkinError", *TREE])
@pytest.mark.parametrize("hint", [None, "do this"])
def test_message_and_hint_travel(name, hint):
    error = getattr(errors, name)("3 of 4 rows", hint=hint)
    for other in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (other.message, other.hint) == ("3 of 4 rows", hint)
        assert str(other) == ("3 of 4 rows; do this" if hint else "3 of 4 rows")
        assert other.args == ("3 of 4 rows",)
