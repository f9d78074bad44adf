"""Interactions out of files: tables of any format with named columns, delimited text without a header, baskets a line."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from nearkin.components import as_written
from nearkin.errors import CorruptFileError, InputError, ParameterError, StorageError
from nearkin.event_columns import EventColumns, EventReader, Events, OnBad, find_columns
from nearkin.files import Formats, find_format, name_of_format
from nearkin.formats import VectorFormat, encoding_hint
from nearkin.interactions import Interactions
from nearkin.registry import default_registry

READ_ROWS = 8192
SAMPLE = 1000
"""Rows by which columns and delimiters are judged."""

HEAD_BYTES = 1 << 18
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe", " ": "space"}
DOUBLE = "::"
"""Between the values of MovieLens' .dat files: two colons, with a column without values between each two."""

PathLike = str | os.PathLike[str]


def read_interactions(
    path: PathLike,
    *,
    user: str | None = None,
    item: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    format: str | None = None,
    baskets: bool | None = None,
    on_bad: OnBad = "fail",
    encoding: str = "utf-8",
    registry: Formats | None = None,
) -> Interactions:
    """Events of a file, read block by block: csv, tsv, jsonl, parquet, arrow, and delimited text whatever its name.

    Parameters
    ----------
    path
        The file, or a folder of parts.
    user, item, weight, time
        Names of the columns; those left out are guessed by well-known names (userId, movieId, rating, timestamp, customer, sku,
        quantity, ...), and of a file without a header by their order. `Interactions.notes` says which were taken. Times are
        seconds since 1970 (or milli-, micro- or nanoseconds), ISO dates or dates such as 20260131; `notes` says for what they
        were taken, and from when to when they are.
    format
        Name and options, such as ``"csv:delimiter=pipe"``; by default from the file's name, and the delimiter from its lines.
    baskets
        Whether each line is a basket, its cells the items and its number, from 1 on, the user. None to see that from lines of
        differing length; where three in four have the same, the others are taken for broken lines of a table.
    on_bad
        ``"skip"`` leaves out rows that lack an id, a number or a time, and broken lines; ``"fail"`` refuses them.
    encoding
        Of text, such as ``"latin-1"``.

    Raises
    ------
    StorageError, CorruptFileError
        The file cannot be read.
    ParameterError
        There is no such column, or none whose name tells the user or the item.
    InputError
        A row cannot be read; there is none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(f"{folder}/bought.csv").write_text("tea,milk\\ntea\\nbread,milk,tea\\n")
    ...     bought = read_interactions(f"{folder}/bought.csv")
    >>> bought.items.tolist(), bought.matrix().toarray().tolist()
    (['tea', 'milk', 'bread'], [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    """
    formats: Formats = default_registry() if registry is None else registry
    asked = {"user": user, "item": item, "weight": weight, "time": time}
    with recoded(path, encoding) as place:
        delimiter = None if format is not None else delimiter_of(place, formats)
        if baskets or (baskets is None and delimiter and not any(asked.values()) and _are_baskets(place, delimiter)):
            return Interactions.of_events(_read_baskets(place, path, delimiter or ",", asked, on_bad))
        reader = reader_of(place, formats, format, delimiter)
        with _without_broken_lines(place, delimiter if on_bad == "skip" else None) as (whole, notes):
            try:
                read = _read_events(reader, whole, os.fspath(path), asked, on_bad)
            except CorruptFileError as error:
                raise _with_advice(error, place, delimiter, baskets) from error
        return Interactions.of_events(read._replace(notes=(*read.notes, *notes)))


def _read_events(reader: VectorFormat, place: Path, what: str, asked: dict[str, str | None], on_bad: OnBad) -> Events:
    events: EventReader | None = None
    for block in reader.records(place, rows=READ_ROWS):
        if events is None:
            names = list(dict.fromkeys(name for each in block for name in each))
            sample = {name: [each.get(name) for each in block[:SAMPLE]] for name in names}
            events = EventReader(what, find_columns(what, names, sample, **asked), on_bad, reader.untyped)
        events.take({name: [each.get(name) for each in block] for name in events.columns.used})
    if events is None:
        raise InputError(f"there are no events in {what}: it has no rows")
    return events.events()


# ---- what a text is ----------------------------------------------------------------------------------------------------


@contextmanager
def recoded(path: PathLike, encoding: str) -> Iterator[Path]:
    """A file whose text is UTF-8: the file itself, or one that is there for as long as this lasts."""
    place = Path(path)
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="nearkin-") as folder:
        target = Path(folder) / place.name
        try:
            with (
                place.open(encoding=encoding, newline="") as source,
                target.open("w", encoding="utf-8", newline="") as file,
            ):
                shutil.copyfileobj(source, file)
        except LookupError as error:
            raise ParameterError(f"encoding is {encoding!r}, which is none", hint="for example latin-1") from error
        except UnicodeError as error:
            raise CorruptFileError(f"{path} is no text in {encoding}: {error}") from error
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}") from error
        yield target


def delimiter_of(path: Path, formats: Formats) -> str | None:
    """What stands between the cells of a text; None for a file of another kind.

    Of a name that says csv or tsv it is what they have, unless the lines have the same number of another one; any other name that
    no format with columns claims is judged by the lines alone.
    """
    if path.is_dir():
        return None
    usual = _usual_delimiter(path, formats)
    if usual is None:
        return None
    lines = _first_lines(path)
    if all(DOUBLE in line for line in lines):
        return DOUBLE
    widths = {each: _widths(lines, each) for each in dict.fromkeys((usual, *DELIMITERS))}
    if _even(widths[usual]):
        return usual
    even = {each: min(found) for each, found in widths.items() if each != " " and _even(found)}
    if even:
        return max(even, key=lambda each: even[each])
    often = {each: sum(found) for each, found in widths.items() if each != " " or usual == " "}
    most = max(often, key=lambda each: often[each])
    return most if often[most] > len(lines) else (" " if sum(widths[" "]) > len(lines) else usual)


def _usual_delimiter(path: Path, formats: Formats) -> str | None:
    """By the file's name; a comma where that does not tell; None where it is no delimited text."""
    if not path.exists():
        raise StorageError(f"there is no file {path}")
    name = None
    if any(
        path.name.lower().endswith(each) for spec in formats.specs("format") for each in getattr(spec, "suffixes", ())
    ):
        name = name_of_format(path, formats)
        reader = formats.make("format", name)
        if not reader.reads_records and path.suffix.lower() != ".txt":
            return None  # which the format itself refuses in words
        if reader.reads_records:
            return {"csv": ",", "tsv": "\t"}.get(name)
    with path.open("rb") as file:
        if b"\0" in file.read(HEAD_BYTES):
            name_of_format(path, formats)  # raises, and says which endings are known
            return None
    return ","


def _first_lines(path: Path) -> list[str]:
    """Whole lines of the beginning, blank ones left out."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    text = head.decode("utf-8-sig", errors="replace")
    lines = text.splitlines()
    if len(head) == HEAD_BYTES:
        lines = lines[:-1]
    found = [line for line in lines[:SAMPLE] if line.strip()]
    if not found:
        raise CorruptFileError(f"{path} is empty, rows of values expected")
    return found


def _widths(lines: Sequence[str], delimiter: str) -> list[int]:
    try:
        return [len(cells) for cells in csv.reader(lines, delimiter=delimiter)]
    except csv.Error:
        return []


def _even(widths: Sequence[int]) -> bool:
    return len(set(widths)) == 1 and widths[0] > 1


def _are_baskets(path: Path, delimiter: str) -> bool:
    """Whether lines differ in length, few having the same, and the first does not name a user and an item."""
    if delimiter == DOUBLE:
        return False
    lines = _first_lines(path)
    widths = Counter(_widths(lines, delimiter))
    if _are_of_a_table(widths):
        return False
    names = next(csv.reader(lines[:1], delimiter=delimiter), [])
    try:
        find_columns("", [each.strip() for each in names], {})
    except ParameterError:
        return len(widths) > 1
    return False


def _are_of_a_table(widths: Counter[int]) -> bool:
    """Whether nearly all lines have the same number of cells, two or more."""
    width, lines = widths.most_common(1)[0] if widths else (0, 0)
    return width > 1 and widths.total() >= 4 and 4 * lines >= 3 * widths.total()


def _broken_lines(place: Path, delimiter: str) -> tuple[int, str]:
    """How many lines have another number of cells than the first, and which is the first of those, in words."""
    count, first, width = 0, "", 0
    with _text_of(place, place) as lines:
        reader = csv.reader(lines, delimiter=delimiter[0])
        for cells in reader:
            width = width or len(cells)
            if cells and len(cells) != width:
                count += 1
                first = first or f"line {reader.line_num:,} has {len(cells)} cells, {width} expected"
    return count, first


@contextmanager
def _without_broken_lines(place: Path, delimiter: str | None) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A file all of whose lines have as many cells as the first: the file itself, or one that is there for as long as this
    lasts; and what was left out, in words. Without a delimiter, the file as it is."""
    count, first = (0, "") if delimiter is None else _broken_lines(place, delimiter)
    if not count or delimiter is None:
        yield place, ()
        return
    with tempfile.TemporaryDirectory(prefix="nearkin-") as folder:
        target = Path(folder) / place.name
        width = 0
        with _text_of(place, place) as lines, target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter[0])
            for cells in csv.reader(lines, delimiter=delimiter[0]):
                width = width or len(cells)
                if len(cells) == width:
                    writer.writerow(cells)
        yield target, (f"{count:,} line{'s were' if count > 1 else ' was'} left out ({first})",)


def _with_advice(error: CorruptFileError, place: Path, delimiter: str | None, baskets: bool | None) -> CorruptFileError:
    """The same error, with what to do about it if a line is broken."""
    if delimiter is None or error.hint or not _broken_lines(place, delimiter)[0]:
        return error
    hint = 'correct it, or leave such lines out: on_bad="skip" (--on-bad skip)'
    return CorruptFileError(
        error.message, hint=hint + ("; if each is a basket: baskets=True (--baskets)" if baskets is None else "")
    )


def reader_of(path: Path, formats: Formats, format: str | None, delimiter: str | None) -> VectorFormat:
    """What reads the records of a file."""
    if format is not None or delimiter is None:
        return find_format(path, registry=formats, format=format)
    if delimiter == DOUBLE:
        return find_format(path, registry=formats, format=f"csv:header=false:delimiter={as_written(':')}")
    return find_format(path, registry=formats, format=f"csv:delimiter={DELIMITERS[delimiter]}")


def _read_baskets(place: Path, path: PathLike, delimiter: str, asked: dict[str, str | None], on_bad: OnBad) -> Events:
    """A basket a line; cells without text are no items."""
    given = [role for role, name in asked.items() if name is not None]
    if given:
        raise ParameterError(
            f"baskets have no columns, and {given[0]}={asked[given[0]]!r} names one", hint="leave out one of the two"
        )
    reader = EventReader(os.fspath(path), EventColumns("basket", "item"), on_bad, untyped=False)
    with _text_of(place, path) as lines:
        baskets = enumerate(csv.reader(lines, delimiter=delimiter), 1)
        while block := list(islice(baskets, READ_ROWS)):
            pairs = [(number, text) for number, basket in block for text in map(str.strip, basket) if text]
            reader.take({"basket": [number for number, _ in pairs], "item": [text for _, text in pairs]})
    found = reader.events()
    return found._replace(notes=(f"{len(found.users):,} baskets, one a line", *found.notes))


@contextmanager
def _text_of(place: Path, path: PathLike) -> Iterator[Iterable[str]]:
    try:
        with place.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{path} is no text in UTF-8 ({error.reason})", hint=encoding_hint(error)) from error
    except csv.Error as error:
        raise CorruptFileError(f"{path} cannot be read: {error}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
