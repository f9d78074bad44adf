"""What to say of a filter that keeps no row."""

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
