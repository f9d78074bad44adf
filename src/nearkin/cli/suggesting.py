"""Suggestions in print: for whom, what, and because of what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.rendering import note, print_json, print_table
from nearkin.errors import UnknownNameError

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.files import Formats
    from nearkin.recommenders import Recommender
    from nearkin.suggestions import Because, Suggestions

TITLES = ("title", "name")
"""Fields of the metadata that are printed where none is asked for."""
LONGEST = 60
"""Characters of a title."""


@dataclass(frozen=True)
class Names:
    """What is printed of an item besides its id.

    Attributes
    ----------
    columns
        Their heads.
    values
        Text of the id to one value a column; the first is the item's name.
    """

    columns: tuple[str, ...] = ()
    values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @classmethod
    def of_file(cls, path: str | None, registry: Formats) -> Names:
        """Titles out of a table; none without one."""
        from nearkin.recommending.item_names import read_item_names

        if path is None:
            return cls()
        return cls(("title",), {key: (title,) for key, title in read_item_names(path, registry=registry).items()})

    @classmethod
    def of_rows(cls, collection: Collection, ids: Iterable[Any], show: Sequence[str]) -> Names:
        """Fields of the metadata: those that are asked for, else the title, else the text of an index with an embedder.

        Raises
        ------
        UnknownNameError
            No row has a field that is asked for.
        """
        keys = [getattr(each, "id", each) for each in ids]
        positions = collection.rows.ids.positions(keys)
        metadata = collection.rows.metadata(positions)
        for name in show:
            if not any(name in each for each in metadata) and not collection.count(f"`{name}` is not null"):
                raise UnknownNameError(
                    f"no row has the field {name!r}", hint="nearkin fields lists those that there are"
                )
        record = collection.embedder_record
        usual = (*TITLES, *(() if record is None or record.takes == "record" else (record.field,)))
        found = next((name for name in usual if any(each.get(name) for each in metadata)), None)
        columns = tuple(show) or (() if found is None else (found,))
        pairs = zip(keys, metadata, strict=True)
        return cls(columns, {str(key): tuple(each.get(name) for name in columns) for key, each in pairs})

    def of(self, id: Any) -> tuple[Any, ...]:
        """Values of an item, None where there are none."""
        return self.values.get(str(id), (None,) * len(self.columns))

    def named(self, id: Any) -> str:
        """An item in few words: its name, or its id."""
        given = self.of(id)
        return _cell(given[0]) if given and given[0] else str(id)


def print_suggestions(
    found: Suggestions,
    names: Names,
    heads: Sequence[str],
    *,
    as_json: bool,
    made: Recommender | None = None,
    similar: bool = False,
) -> None:
    """A table below each head, or JSON.

    Parameters
    ----------
    made
        What recommends, which knows how popular items are; None for an index.
    similar
        Whether items like an item were asked for, which says by itself because of what.
    """
    popularity = {} if made is None else dict(zip(made.items.tolist(), made.popularity.tolist(), strict=True))
    if as_json:
        print_json([_as_dict(found, row, names, popularity, similar=similar) for row in range(len(found))])
        return
    for row, head in enumerate(heads):
        if row:
            click.echo()
        click.echo(f"{head}: {found.reasons[row]}" if found.reasons[row] else head)
        click.echo()
        _print_row(found, row, names, popularity, similar=similar)
    if names.columns and made is not None and not any(str(each) in names.values for each in made.items.tolist()):
        note("the names are of other items: none of the ids is an item's")


def _print_row(found: Suggestions, row: int, names: Names, popularity: Mapping[Any, float], *, similar: bool) -> None:
    last = "similarity" if similar else "score"
    headers = ["#", "item", *names.columns, last, *(() if similar else ("because of",))]
    rows = []
    for rank, each in enumerate(found[row]):
        why = () if similar else (_why(found, row, rank, each.because, names, popularity.get(each.id)),)
        rows.append((rank + 1, each.id, *map(_cell, names.of(each.id)), f"{each.score:.4g}", *why))
    print_table(headers, rows, right=("#", last))


def _why(
    found: Suggestions, row: int, rank: int, because: Sequence[Because], names: Names, popularity: float | None
) -> str:
    if because:
        return ", ".join(f"{names.named(each.id)} {each.share:.0%}" for each in because)
    return "" if popularity is None else f"liked by {popularity:.0%} of the users"


def _as_dict(
    found: Suggestions, row: int, names: Names, popularity: Mapping[Any, float], *, similar: bool
) -> dict[str, Any]:
    items = []
    for each in found[row]:
        told = {"id": each.id, **dict(zip(names.columns, names.of(each.id), strict=True)), "score": each.score}
        if each.id in popularity:
            told["popularity"] = popularity[each.id]
        if not similar:
            told["because"] = [
                {"id": part.id, **({"name": names.named(part.id)} if names.columns else {}), "share": part.share}
                for part in each.because
            ]
        items.append(told)
    return {"item" if similar else "user": found.users[row], "reason": found.reasons[row], "items": items}


def _cell(value: Any) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def print_evaluation(found: Any, *, as_json: bool) -> None:
    """How good recommenders are: a `nearkin.RecommenderEvaluation` as a table, or JSON."""
    if as_json:
        print_json(found.to_dict())
        return
    click.echo(f"{found.users:,} users, {found.split}\n")
    headers = ("method", f"NDCG@{found.k}", "interval", "beside popular", f"recall@{found.k}", "coverage", "novelty")
    rows = []
    for row in found.rows:
        beside = row.against["ndcg"].difference if row.against else None
        rows.append(
            (
                row.name,
                f"{row.ndcg.mean:.3f}",
                f"{row.ndcg.low:.3f} to {row.ndcg.high:.3f}",
                "" if beside is None else f"{beside.mean:+.3f} ({beside.low:+.3f} to {beside.high:+.3f})",
                f"{row.recall.mean:.3f}",
                f"{row.coverage:.3f}",
                f"{row.novelty:.2f}",
            )
        )
    print_table(headers, rows, right=headers[1:])
    for each in found.notes:
        note(each)
