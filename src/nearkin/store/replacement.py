"""A folder written beside its place and renamed into it: it appears complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from nearkin.errors import ParameterError
from nearkin.store.durability import storage_errors, sync_folder, sync_tree
from nearkin.store.failpoints import failpoint
from nearkin.store.lock import WriterLock

DATABASE_NAME = "collection.sqlite"

OWN_NAMES = {
    "vectors",
    "built",
    "LOCK",
    *(DATABASE_NAME + end for end in ("", "-journal", "-wal", "-shm", "-rewritten")),
}
"""What a collection's folder holds; anything else there is somebody's, and is not deleted with the rest."""


class FolderKind(NamedTuple):
    """What a folder is, so that nothing else is ever replaced by one of its kind."""

    noun: str
    marker: str
    """The file by which it is known."""
    own_names: frozenset[str]
    """What it holds."""


COLLECTION = FolderKind("collection", DATABASE_NAME, frozenset(OWN_NAMES))


def write_folder(
    path: str | os.PathLike[str],
    fill: Callable[[Path], None],
    *,
    overwrite: bool = False,
    kind: FolderKind = COLLECTION,
    beside: Path | None = None,
) -> None:
    """Let `fill` write a temporary folder beside `path`, sync it to the disk, and rename it into place.

    Parameters
    ----------
    fill
        Called with an empty folder, or with `beside`.
    overwrite
        Replace a folder of the same kind that is there. Any other one that is not empty is refused all the same.
    kind
        What is written.
    beside
        The folder beside `path` to be renamed into place, which `fill` makes or goes on with. It stays where that fails.

    Raises
    ------
    ParameterError
        Something is at `path` that may not be replaced.
    LockedError
        The collection that is there is being written.
    StorageError
        Writing failed; what was at `path` is still there and nothing else is left but `beside`.
    """
    place = real_path(path)
    check_place(place, overwrite=overwrite, kind=kind)
    temporary = beside or _sibling(place, secrets.token_hex(6), "tmp")
    with _locked(place):
        try:
            with storage_errors(place, "written"):
                place.parent.mkdir(parents=True, exist_ok=True)
                if beside is None:
                    temporary.mkdir()
                    failpoint("temporary folder made")
                fill(temporary)
                failpoint("folder filled")
                sync_tree(temporary)
                failpoint("folder synced")
                _swap(temporary, place)
        except BaseException:
            if beside is None:
                shutil.rmtree(temporary, ignore_errors=True)
            raise
    shutil.rmtree(replaced_name(place), ignore_errors=True)


def put_in_place(made: Path, path: str | os.PathLike[str], *, kind: FolderKind = COLLECTION) -> None:
    """Rename a folder that is whole, on the disk and beside `path` into it, where another one of its kind may be.

    Raises
    ------
    ParameterError
        Something is at `path` that may not be replaced.
    LockedError
        The collection that is there is being written.
    StorageError
        Renaming failed; both are as they were.
    """
    place = real_path(path)
    check_place(place, overwrite=True, kind=kind)
    with _locked(place), storage_errors(place, "written"):
        _swap(made, place)
    shutil.rmtree(replaced_name(place), ignore_errors=True)


def check_place(path: str | os.PathLike[str], *, overwrite: bool = False, kind: FolderKind = COLLECTION) -> None:
    """Refuse a place that `write_folder` would refuse, before any work is done.

    Raises
    ------
    ParameterError
        Something is at `path` that may not be replaced, or `path` is inside a collection.
    StorageError
        The place cannot be looked at.
    """
    place = real_path(path)
    with storage_errors(place, "read"):
        for above in place.parents:
            if (above / DATABASE_NAME).is_file():
                raise ParameterError(f"{place} is inside the collection {above}", hint="choose a folder outside of it")
        _refuse_to_replace(place, kind, overwrite=overwrite)


def real_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path without symbolic links, so that a link to a collection stays one."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise ParameterError(f"{os.fspath(path)!r} cannot be a path: {error}") from error


def replaced_name(path: Path) -> Path:
    """Where the old folder is between two renames; left there if the process is killed at that moment."""
    return _sibling(path, "replaced", "old")


def what_is_at(path: Path) -> str:
    """What is at a path, in words.

    >>> what_is_at(Path("/no/such/place"))
    'there is nothing at /no/such/place'
    """
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir())
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"{path} is a folder with {len(names)} entries ({shown})" if names else f"{path} is an empty folder"
    if path.exists():
        return f"{path} is a file of {path.stat().st_size:,} bytes"
    return f"there is nothing at {path}"


def _refuse_to_replace(path: Path, kind: FolderKind, *, overwrite: bool) -> None:
    old = replaced_name(path)
    if not path.exists() and old.exists() and not overwrite:  # all that is left of what was here
        raise ParameterError(
            f"there is nothing at {path}, its replacement was interrupted",
            hint=f"rename {old} to {path}, or pass overwrite=True (--overwrite) to do without it",
        )
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / kind.marker).is_file():
        raise ParameterError(
            f"{what_is_at(path)} and not a {kind.noun}, it is not replaced", hint="choose another path"
        )
    if not overwrite:
        raise ParameterError(
            f"there is a {kind.noun} at {path} already", hint="pass overwrite=True (--overwrite) to replace it"
        )
    others = sorted(each.name for each in path.iterdir() if each.name not in kind.own_names)
    if others:
        raise ParameterError(
            f"the {kind.noun} at {path} also holds {len(others)} entr{'y' if len(others) == 1 else 'ies'} "
            f"that are not its own ({', '.join(others[:5])}), it is not replaced",
            hint="move them elsewhere",
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep writers out of the collection that is replaced."""
    lock = WriterLock.acquire(path) if (path / DATABASE_NAME).exists() else None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _swap(temporary: Path, path: Path) -> None:
    old = replaced_name(path)
    if path.exists():
        if any(path.iterdir()):
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        elif os.name == "nt":
            path.rmdir()  # elsewhere a rename replaces an empty folder
    try:
        failpoint("swap: old moved")
        temporary.rename(path)
        failpoint("swap: new in place")
        sync_folder(path.parent)
    except BaseException:
        if not temporary.exists():
            path.rename(temporary)
        if old.exists():
            old.rename(path)
        raise


def _sibling(path: Path, middle: str, suffix: str) -> Path:
    return path.with_name(f".{path.name[:100]}.{middle}.{suffix}")
