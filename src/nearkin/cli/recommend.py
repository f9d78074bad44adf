"""``nearkin recommend``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.filter_notes import note_missing_fields
from nearkin.cli.options import json_option, where_option
from nearkin.cli.rendering import note, working
from nearkin.cli.session import Session
from nearkin.errors import NearkinError, ParameterError, StorageError

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.interactions import Interactions
    from nearkin.recommenders import Recommender
    from nearkin.suggestions import Suggestions

OF_AN_INDEX = {"where": "--where", "among": "--among", "beta": "--beta", "show": "--show"}
OF_EVENTS = {
    "users": "--user",
    "similar": "--similar",
    "evaluate": "--evaluate",
    "split": "--split",
    "methods": "--method",
    "half_life": "--half-life",
    "min_weight": "--min-weight",
    "item_names": "--item-names",
    "user_column": "--user-column",
    "item_column": "--item-column",
    "weight_column": "--weight-column",
    "time_column": "--time-column",
    "format": "--format",
    "encoding": "--encoding",
    "on_bad": "--on-bad",
    "baskets": "--baskets",
}
USUAL_METHOD = "item-knn"
COMPARED = ("item-knn", "user-knn", "als")
"""Methods that are evaluated where none is named."""

MOST = 1_000_000
"""Items wanted, at most, as `nearkin search` has it."""

_options = (
    click.option(
        "--liked", metavar="IDS", multiple=True, help="Items that are liked, such as sku-1,sku-7; repeatable."
    ),
    click.option("--disliked", metavar="IDS", multiple=True, help="Items that are not; repeatable."),
    click.option("-k", "k", type=click.IntRange(1, MOST), default=10, show_default=True, help="Items wanted."),
    click.option("--include-seen", is_flag=True, help="Recommend what is known already, too."),
    where_option,
    click.option("--among", metavar="FILE", help="Only items whose ids a file has, one a line."),
    click.option("--beta", type=float, metavar="X", help="What disliked rows of an index count.  [default: 0.5]"),
    click.option("--show", metavar="FIELD", multiple=True, help="Print a field of the metadata; repeatable."),
    click.option("--user", "users", metavar="ID", multiple=True, help="For this user of the file; repeatable."),
    click.option("--similar", metavar="ID", multiple=True, help="Print the items most like one; repeatable."),
    click.option("--evaluate", is_flag=True, help="Print how good methods are on held-out events, beside popularity."),
    click.option(
        "--split",
        type=click.Choice(["user-holdout", "leave-last-out"]),
        help="What --evaluate holds out: users, or the last item of each.  [default: user-holdout]",
    ),
    click.option(
        "--method",
        "methods",
        metavar="NAME[:OPTIONS]",
        multiple=True,
        help="What recommends, such as als or popular; several, each with --method, are compared by --evaluate.  "
        f"[default: {USUAL_METHOD}; with --evaluate {', '.join(COMPARED)}]",
    ),
    click.option("--half-life", metavar="TIME", help="Let events count half after this time, such as 90d."),
    click.option("--min-weight", type=float, metavar="X", help="Smaller weights mean seen and not liked."),
    click.option("--item-names", metavar="FILE", help="Titles of items: a table with their ids and titles."),
    click.option("--user-column", metavar="COLUMN", help="Column of the users; by default user, userId, ..."),
    click.option("--item-column", metavar="COLUMN", help="Column of the items; by default item, movieId, sku, ..."),
    click.option("--weight-column", metavar="COLUMN", help="Column of the weights; by default rating, quantity, ..."),
    click.option("--time-column", metavar="COLUMN", help="Column of the times; by default timestamp, date, ..."),
    click.option("--format", metavar="NAME[:OPTIONS]", help="Format of the file; by default from its name and lines."),
    click.option("--encoding", metavar="NAME", help="Encoding of the file, such as latin-1.  [default: utf-8]"),
    click.option("--on-bad", type=click.Choice(["fail", "skip"]), help="Rows that cannot be read.  [default: fail]"),
    click.option("--baskets/--no-baskets", default=None, help="Whether each line of the file is a basket of items."),
)


def _with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_options):
        command = option(command)
    return command


@click.command()
@click.argument("source")
@_with_options
@json_option
@click.pass_obj
def recommend(session: Session, /, source: str, as_json: bool, **given: Any) -> None:
    """Recommend items: by what is liked, from an index or from who had to do with what.

    SOURCE is the folder of an index: its rows most like the --liked and least like the --disliked ones are printed. Or it is a
    file of events (csv, tsv, jsonl, parquet, arrow, - for standard input with --format): ratings, purchases, plays with a user and
    an item each, or baskets, one a line. From these a --method learns and recommends to each --user, or to someone new by what
    they --liked. Columns are guessed by their names, and what was guessed is told.

    Prints the items with their scores, and because of what each is there; a user of whom nothing is known gets what is popular.
    --evaluate holds out users, or the last item of each, and prints how many of their items each --method finds; without one,
    item-knn, user-knn and als.

    \b
    nearkin recommend indexes/shop --liked sku-1,sku-7 --disliked sku-3 --where 'price < 50'
    nearkin recommend ratings.csv --user u42 --method als --half-life 90d --item-names movies.csv
    nearkin recommend ratings.csv --liked m1,m7 --disliked m3
    nearkin recommend ratings.csv --similar m1
    nearkin recommend ratings.csv --evaluate --method als --method item-knn
    """
    given["liked"], given["disliked"] = _ids(given["liked"]), _ids(given["disliked"])
    _need_source(session, source, given["format"])
    _need_one_side(given["liked"], given["disliked"])
    if _is_index(source):
        _refuse(given, OF_EVENTS, f"{source} is an index", "of a file of events")
        if not given["liked"]:
            raise click.UsageError("recommend from an index needs --liked")
        with session.open(source, readonly=True) as collection, working(f"searching {source}"):
            _of_index(collection, given, as_json=as_json)
        return
    _refuse(given, OF_AN_INDEX, f"{source} is a file of events", "of an index", but="among")
    _need_one_question(given)
    (_evaluated if given["evaluate"] else _of_events)(session, source, given, as_json=as_json)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def _ids(texts: Sequence[str]) -> list[str]:
    """Ids between commas, each once; one with a comma inside stands between quotes."""
    import csv

    cells = (each.strip() for row in csv.reader(texts, skipinitialspace=True) for each in row)
    return list(dict.fromkeys(filter(None, cells)))


def _need_source(session: Session, source: str, format: str | None) -> None:
    """Raise if the source is neither a file, nor an index, nor a folder with files that can be read."""
    if source == "-" or _is_index(source):
        return
    if not Path(source).exists():
        raise StorageError(f"there is no file {source}, and no index")
    if Path(source).is_dir():
        from nearkin.files import find_format

        try:
            find_format(source, registry=session.registry, format=format)
        except NearkinError as error:
            raise StorageError(f"{source} is a folder and not an index", hint="nor has it files of events") from error


def _need_one_side(liked: Sequence[str], disliked: Sequence[str]) -> None:
    both = [each for each in liked if each in disliked]
    if both:
        raise ParameterError(f"{both[0]!r} is both liked and disliked", hint="leave it out of one of the two")


def _is_index(source: str) -> bool:
    from nearkin.store.replacement import DATABASE_NAME

    return (Path(source) / DATABASE_NAME).is_file()


def _refuse(given: dict[str, Any], names: dict[str, str], what: str, whose: str, but: str = "") -> None:
    for name, flag in names.items():
        if name != but and given[name] not in (None, (), False):
            raise click.UsageError(f"{what}, and {flag} is an option {whose}")


def _need_one_question(given: dict[str, Any]) -> None:
    asked = [each for each in ("users", "similar", "liked", "evaluate") if given[each]]
    if len(asked) != 1:
        raise click.UsageError(
            "recommend takes --user, --liked, --similar or --evaluate, exactly one of them, for a file of events"
        )
    if given["disliked"] and not given["liked"]:
        raise click.UsageError("--disliked goes with --liked")
    if given["split"] and not given["evaluate"]:
        raise click.UsageError("--split goes with --evaluate")
    if len(given["methods"]) > 1 and not given["evaluate"]:
        raise click.UsageError("one --method recommends; several are compared by --evaluate")
    for name, flag in (("among", "--among"), ("include_seen", "--include-seen"), ("item_names", "--item-names")):
        if given["evaluate"] and given[name]:
            raise click.UsageError(f"{flag} does not go with --evaluate")


def _lines(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParameterError(
            f"{path} is no text in UTF-8 ({error.reason})", hint="one id a line is expected"
        ) from error
    except FileNotFoundError as error:
        raise StorageError(f"there is no file {path}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


_WHOLE = re.compile(r"-?[0-9]+")


def _known(texts: Sequence[str], ids: Any) -> list[Any]:
    """Ids of the type that there is; texts that are no numbers are left as they are where those are numbers."""
    if ids.dtype == object:
        return list(texts)
    return [int(each) if _WHOLE.fullmatch(each) else each for each in texts]


def _need_items(texts: Sequence[str], items: Any, what: str) -> list[Any]:
    from nearkin.errors import UnknownIdError
    from nearkin.ids import close_spellings

    there, found = set(items.tolist()), _known(texts, items)
    for each in found:
        if each not in there:
            kind = "" if items.dtype == object or not isinstance(each, str) else ", whose items are whole numbers"
            such = f"its items are such as {', '.join(map(repr, items.tolist()[:3]))}"
            raise UnknownIdError(
                f"there is no item {each!r} in {what}{kind}", hint=close_spellings(each, items.tolist()) or such
            )
    return found


def _among(path: str | None, ids: Any) -> list[Any] | None:
    """Ids of a file that are among some; how many are not is told."""
    texts = _lines(path)
    if texts is None:
        return None
    there = set(ids.tolist())
    found = [each for each in _known(texts, ids) if each in there]
    if len(found) < len(texts):
        note(f"{len(texts) - len(found):,} of {len(texts):,} ids in {path} are of no item")
    return found


# ---- from an index ---------------------------------------------------------------------------------------------------


def _of_index(collection: Collection, given: dict[str, Any], *, as_json: bool) -> None:
    from nearkin.cli.rows import ids_from_text
    from nearkin.cli.suggesting import Names, print_suggestions

    liked, disliked = (ids_from_text(collection, tuple(given[each])) for each in ("liked", "disliked"))
    beta = {} if given["beta"] is None else {"beta": given["beta"]}
    found = collection.recommend(
        liked,
        disliked=disliked,
        k=given["k"],
        where=given["where"],
        among=_among(given["among"], collection.ids),
        exclude_seen=not given["include_seen"],
        **beta,
    )
    if not found.counts.any():
        note_missing_fields(collection, given["where"])
    names = Names.of_rows(collection, [*liked, *disliked, *found[0]], given["show"])
    said = f"{', '.join(map(names.named, liked))}" + (
        f", not {', '.join(map(names.named, disliked))}" if disliked else ""
    )
    print_suggestions(found, names, [f"liked {said}"], as_json=as_json)


# ---- from events -----------------------------------------------------------------------------------------------------


@contextmanager
def _place(source: str, format: str | None) -> Iterator[str]:
    """The path of the file, for as long as it is there."""
    from nearkin.cli.standard_input import stdin_in_a_file

    if source != "-":
        yield source
        return
    if format is None:
        raise ParameterError("events from standard input need their format", hint="for example --format csv")
    with stdin_in_a_file() as place:
        yield str(place)


def _events(session: Session, source: str, given: dict[str, Any]) -> Interactions:
    from nearkin.recommending.event_files import read_interactions

    with _place(source, given["format"]) as place, working(f"reading {source}"):
        events = read_interactions(
            place,
            user=given["user_column"],
            item=given["item_column"],
            weight=given["weight_column"],
            time=given["time_column"],
            format=given["format"],
            baskets=given["baskets"],
            on_bad=given["on_bad"] or "fail",
            encoding=given["encoding"] or "utf-8",
            registry=session.registry,
        )
    for each in events.notes:
        note(each)
    if given["half_life"] is not None and set(given["methods"]) == {"popular"}:
        note("popular counts users and not weights, so that --half-life changes nothing")
    if given["min_weight"] is not None:
        events = events.at_least(given["min_weight"])
    return events if given["half_life"] is None else events.decayed(given["half_life"])


def _of_events(session: Session, source: str, given: dict[str, Any], *, as_json: bool) -> None:
    from nearkin.cli.suggesting import Names, print_suggestions

    made: Recommender = session.registry.make("recommender", (given["methods"] or (USUAL_METHOD,))[0])
    names = Names.of_file(given["item_names"], session.registry)
    events = _events(session, source, given)
    with working(f"learning from {len(events):,} events"):
        made.fit(events)
        found, heads = _suggested(made, source, given, names)
    print_suggestions(found, names, heads, as_json=as_json, made=made, similar=bool(given["similar"]))


def _evaluated(session: Session, source: str, given: dict[str, Any], *, as_json: bool) -> None:
    methods = list(given["methods"] or COMPARED)
    for each in methods:  # a wrong name is told before anything is read
        session.registry.make("recommender", each)
    from nearkin import evaluate_recommender
    from nearkin.cli.suggesting import print_evaluation

    events = _events(session, source, given)
    with working(f"evaluating {', '.join(methods)}"):
        found = evaluate_recommender(
            methods,
            events,
            split=given["split"] or "user-holdout",
            k=given["k"],
            seed=session.settings.seed,
            registry=session.registry,
        )
    print_evaluation(found, as_json=as_json)


def _suggested(made: Recommender, source: str, given: dict[str, Any], names: Any) -> tuple[Suggestions, list[str]]:
    """What is answered, and a line above each row."""
    if given["similar"]:
        items = _need_items(given["similar"], made.items, source)
        return made.similar_items(items, given["k"]), [f"like {names.named(each)}" for each in items]
    options: dict[str, Any] = {
        "exclude_seen": not given["include_seen"],
        "among": _among(given["among"], made.items),
    }
    if given["users"]:
        users = _known(given["users"], made.users)
        found = made.recommend(users, given["k"], **options)
        return found, [_user_line(made, each) for each in users]
    liked, disliked = (_need_items(given[each], made.items, source) for each in ("liked", "disliked"))
    if made.name == "popular":
        note("popular recommends the same to everybody: what is liked or disliked is left out and changes nothing else")
    history = {**dict.fromkeys(liked, 1.0), **dict.fromkeys(disliked, -1.0)}
    said = ", ".join(map(names.named, liked)) + (f", not {', '.join(map(names.named, disliked))}" if disliked else "")
    return made.recommend_for([history], given["k"], **options), [f"liked {said}"]


def _user_line(made: Recommender, user: Any) -> str:
    from nearkin.ids import close_spellings

    users = made.users.tolist()
    if user in users:
        count = made.seen(user)
        return f"user {user}, {count:,} item{'' if count == 1 else 's'} known"
    close = close_spellings(user, users)
    return f"user {user}" + (f", {close}" if close else "")
