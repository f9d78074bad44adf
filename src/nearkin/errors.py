"""Every error that nearkin raises on purpose, in one tree.

::

    NearkinError(Exception)          what is wrong + what was expected + .hint
    ├── InputError(ValueError)       VectorError ParameterError FilterError
    ├── UnknownError(LookupError)    UnknownNameError AmbiguousNameError UnknownCollectionError UnknownIdError
    ├── StateError(RuntimeError)     NotTrainedError ClosedError LockedError ReadOnlyError EmbedderMismatchError
    ├── NotSupportedError            the component, the operation, who does support it
    ├── BudgetError                  no plan meets it; the nearest that does, with its numbers
    ├── PluginError                  PluginLoadError PluginContractError MissingDependencyError(ImportError)
    └── StorageError(OSError)        CorruptFileError FormatVersionError

A message is one sentence with the numbers in it; the hint says what to do next. Each class carries the exit code that
the command line returns for it: 2 usage or input, 3 unknown name, 4 plugin, 5 storage, 6 budget.

>>> error = VectorError("queries have 384 columns, the collection has 768", hint="embed them with the same model")
>>> str(error)
'queries have 384 columns, the collection has 768; embed them with the same model'
>>> isinstance(error, ValueError)
True
"""

from __future__ import annotations

from typing import Any, ClassVar


class NearkinError(Exception):
    """The root of the tree: catch it to catch everything that nearkin raises on purpose."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> Any:
        """Pickle with the hint, so that an error survives the way back from a worker process."""
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[NearkinError], message: str, hint: str | None) -> NearkinError:
    return kind(message, hint=hint)


class InputError(NearkinError, ValueError):
    """What the caller passed cannot be used."""


class VectorError(InputError):
    """An array of vectors has the wrong shape, type or values."""


class ParameterError(InputError):
    """A parameter, an option or a plan string is wrong."""


class FilterError(InputError):
    """A filter expression cannot be read."""


class UnknownError(NearkinError, LookupError):
    """Something was asked for by a name or id that does not exist."""

    exit_code: ClassVar[int] = 3


class UnknownNameError(UnknownError):
    """No component of this kind has this name."""


class AmbiguousNameError(UnknownError):
    """Two plugins offer this name; the message says how to choose one."""


class UnknownCollectionError(UnknownError):
    """There is no collection at this place."""


class UnknownIdError(UnknownError):
    """The collection has no row with this id."""


class StateError(NearkinError, RuntimeError):
    """The object is not in a state that allows this."""


class NotTrainedError(StateError):
    """The component was used before it was trained or fitted."""


class ClosedError(StateError):
    """The collection was closed."""


class LockedError(StateError):
    """Another process is writing to this collection."""

    exit_code: ClassVar[int] = 5


class ReadOnlyError(StateError):
    """The collection was opened for reading only."""


class EmbedderMismatchError(StateError):
    """A query was embedded by another embedder than the collection."""


class NotSupportedError(NearkinError):
    """This component does not do this; the message names one that does."""


class BudgetError(NearkinError):
    """No plan meets the budget; the message names the nearest one that can be met."""

    exit_code: ClassVar[int] = 6


class PluginError(NearkinError):
    """Something is wrong with a plugin, not with the caller."""

    exit_code: ClassVar[int] = 4


class PluginLoadError(PluginError):
    """A plugin could not be imported, registered or read."""


class PluginContractError(PluginError):
    """A component of a plugin broke the contract of its kind."""


class MissingDependencyError(PluginError, ImportError):
    """A package that the component needs is not installed; the hint is the pip command."""


class StorageError(NearkinError, OSError):
    """Reading or writing a file failed."""

    exit_code: ClassVar[int] = 5


class CorruptFileError(StorageError):
    """A file does not hold what was written to it."""


MEND = "nearkin repair saves what is whole, or restore it from a copy"
"""What to do about a damaged collection."""


class FormatVersionError(StorageError):
    """A file was written in a format version that this nearkin does not know."""
