"""One typed Settings object, and where each of its values came from.

Later sources win: defaults, the user's file, the project's file, the environment, what the caller passes. The files are TOML,
``nearkin.toml`` in the user's configuration folder and in the working folder; the environment variables are ``NEARKIN_`` and the
name in capitals, lists separated by the system's path separator.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearkin.errors import ParameterError, StorageError


@dataclass(frozen=True)
class Settings:
    """What holds for a whole process.

    Attributes
    ----------
    threads
        Threads for building and searching; 0 means every core.
    seed
        Seed of everything random.
    indexes
        Folder that a collection named without a path is looked up in.
    plugins
        Plugin files and folders to load besides the installed ones.
    disabled_plugins
        Names of plugins to leave out.
    strict_plugins
        Raise when a plugin fails instead of leaving it out.
    origins
        Name of each setting to where its value came from.

    Examples
    --------
    >>> settings = load_settings({"threads": 2}, environ={"NEARKIN_SEED": "7"}, files=())
    >>> settings.threads, settings.origins["threads"], settings.seed, settings.origins["seed"]
    (2, 'argument', 7, 'NEARKIN_SEED')
    """

    threads: int = 0
    seed: int = 0
    indexes: str = "indexes"
    plugins: tuple[str, ...] = ()
    disabled_plugins: tuple[str, ...] = ()
    strict_plugins: bool = False
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def cores(self) -> int:
        """Threads to use, with 0 resolved to the cores that this process may run on."""
        return self.threads or available_cores()


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def settings_files() -> tuple[Path, ...]:
    """Files that settings are read from, the weaker first."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (home / "nearkin" / "nearkin.toml", Path("nearkin.toml"))


def load_settings(
    given: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: tuple[Path, ...] | None = None,
) -> Settings:
    """Settings from files, environment and arguments.

    Raises
    ------
    ParameterError
        A file that is not TOML, an unknown name, or a value of the wrong type; the message names the source.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {name: "default" for name in _FIELDS}
    for path in settings_files() if files is None else files:
        if path.is_file():
            _take(values, origins, _read_toml(path), str(path))
    variables = os.environ if environ is None else environ
    for name in _FIELDS:
        variable = f"NEARKIN_{name.upper()}"
        if variables.get(variable):
            _take(values, origins, {name: variables[variable]}, variable)
    _take(values, origins, {name: value for name, value in (given or {}).items() if value is not None}, "argument")
    return Settings(**values, origins=origins)


_FIELDS = {each.name: each.default for each in dataclasses.fields(Settings) if each.name != "origins"}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"settings file {path} is not TOML: {error}") from error
    except OSError as error:
        raise StorageError(f"settings file {path} cannot be read: {error.strerror}") from error


def _take(values: dict[str, Any], origins: dict[str, str], found: Mapping[str, Any], source: str) -> None:
    for name, value in found.items():
        if name not in _FIELDS:
            raise ParameterError(f"{source}: there is no setting {name!r}; the settings are {', '.join(_FIELDS)}")
        values[name] = _convert(name, value, source)
        origins[name] = source


def _convert(name: str, value: Any, source: str) -> Any:
    default = _FIELDS[name]
    try:
        if isinstance(default, bool):
            return value if isinstance(value, bool) else _WORDS[str(value).lower()]
        if isinstance(default, int):
            number = int(value)
            if not 0 <= number <= _MOST.get(name, number) or isinstance(value, bool) or number != float(value):
                raise ValueError
            return number
        if isinstance(default, tuple):
            return _read_list(value)
        return os.fspath(_need_text(value))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        whole = f"a whole number, 0 to {_MOST[name]:,}" if name in _MOST else "a whole number, 0 or more"
        kind = {bool: "true or false", int: whole, tuple: "a list"}.get(type(default), "text")
        raise ParameterError(f"{source}: setting {name} is {value!r}, {kind} expected") from error


def _read_list(value: Any) -> tuple[str, ...]:
    """A list, or text split at the path separator; empty entries say nothing, least of all the working folder."""
    if isinstance(value, str):
        value = value.split(os.pathsep)
    elif not isinstance(value, list | tuple):
        raise ValueError
    return tuple(os.fspath(_need_text(each)) for each in value if each != "")


def _need_text(value: Any) -> str | os.PathLike[str]:
    if not isinstance(value, str | os.PathLike):
        raise ValueError
    return value


THREADS = 1024
"""Threads that one call may use; far more, and the system refuses them by ending the process."""

_MOST = {"threads": THREADS}
_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
