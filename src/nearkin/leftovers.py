"""What interrupted work and earlier repairs left in the folder of a collection and beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from nearkin.store.built import other_builds, remove_folders
from nearkin.store.folder import Folder
from nearkin.store.replacement import DATABASE_NAME
from nearkin.store.rewriting import SUFFIX, remove_rewritten


def damaged_names(path: Path) -> list[Path]:
    """Damaged folders that were kept of a collection, in the order in which they were."""
    pattern = re.compile(re.escape(path.name) + r"\.damaged(?:-(\d+))?")
    found = {}
    for each in path.parent.iterdir() if path.parent.is_dir() else ():
        if match := pattern.fullmatch(each.name):
            found[int(match[1] or 1)] = each
    return [found[number] for number in sorted(found)]


def next_damaged_name(path: Path) -> Path:
    """Where the next damaged folder of a collection is kept.

    >>> next_damaged_name(Path("/no/such/wiki")).name
    'wiki.damaged'
    """
    number, first = 1, path.with_name(f"{path.name}.damaged")
    while os.path.lexists(first if number == 1 else f"{first}-{number}"):
        number += 1
    return first if number == 1 else Path(f"{first}-{number}")


def leftovers(here: Path) -> list[Path]:
    """What interrupted work left in a sound folder and beside it: builds that no commit refers to, folders half written or
    already replaced."""
    with Folder.open(here, readonly=True) as folder:
        found = other_builds(here / "built", folder._committed.built)
    if (here / f"{DATABASE_NAME}{SUFFIX}").exists():
        found.append(here / f"{DATABASE_NAME}{SUFFIX}")
    return found + [each for each in here.parent.iterdir() if _is_beside(here.name[:100], each.name) and each.is_dir()]


def _is_beside(name: str, other: str) -> bool:
    """Whether a folder is one that is written in the place of another, or in the place of such a one: each has a dot more in
    front.

    >>> _is_beside("wiki", ".wiki.repaired.new"), _is_beside("wiki", "..wiki.repaired.new.0123456789ab.tmp")
    (True, True)
    >>> _is_beside("wiki", "..wiki.0123456789ab.tmp")  # of the collection .wiki
    False
    """
    found = re.fullmatch(rf"(\.+){re.escape(name)}((?:\.[0-9a-f]{{12}}\.tmp|\.replaced\.old|\.repaired\.new)+)", other)
    return found is not None and 2 * len(found[1]) == found[2].count(".")


def remove_leftovers(left: Iterable[Path], here: Path) -> None:
    """Remove what `leftovers` found."""
    remove_folders([each for each in left if each.is_dir()])
    remove_rewritten(here / DATABASE_NAME)
