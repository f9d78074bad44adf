"""What to say of a filter that keeps no row, and of groups by a field that no row has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearkin.cli.rendering import note

if TYPE_CHECKING:
    from nearkin.collection import Collection


def note_missing_fields(collection: Collection, where: str | None) -> None:
    """Name the fields of a filter that no row has: most are misspelled."""
    from nearkin.filters import as_filter

    if where is None or not len(collection):
        return
    for name in as_filter(where).fields:
        if not collection.count(f"{name} is not null"):
            note(f"no row has the field {name} (nearkin fields lists those that there are)")


def need_field(collection: Collection, name: str | None) -> None:
    """Raise UnknownNameError if rows are to be grouped by a field that none of them has.

    Raises
    ------
    UnknownNameError
        With the nearest name of those that there are.
    """
    if name is None or not len(collection) or collection.count(f"{name} is not null"):
        return
    from difflib import get_close_matches

    from nearkin.errors import UnknownNameError

    known = list(collection.fields())
    close = get_close_matches(name, known, n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    raise UnknownNameError(
        f"no row has the field {name!r}{meant}, so there is nothing to group by", hint="see nearkin fields"
    )
