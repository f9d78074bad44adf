"""Filters in SQLite against an evaluator in Python that shares nothing with them but the tree."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit import filter_tables
from tests.unit.filter_tables import table_of

from nearkin.filters import as_filter, field_sql
from nearkin.filters.names import Field
from nearkin.filters.tree import Among, Between, Compare, Either, Has, Like, Missing, Not, both, either, negated
from nearkin.filters.values import as_value, instant

# ---- the oracle ------------------------------------------------------------------------------------------------------

ABSENT = object()
ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def nanoseconds(text):
    """Nanoseconds since the year 1 in UTC, or None for what is no date."""
    found = ISO.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(found[each] or 0) for each in range(1, 7))
    try:
        datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    zone = found[8] or "Z"
    offset = 0
    if zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[4:])
        if hours > 14 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (1 if zone[0] == "+" else -1)
    total = date(year, month, day).toordinal() * 86_400 + (hour * 60 + minute - offset) * 60 + second
    if total >= (date.max.toordinal() + 1) * 86_400:
        return None
    return total * 10**9 + int((found[7] or "0").ljust(9, "0"))


def reach(field, metadata, ident):
    if not field.keys:
        return ident
    for key in field.keys:
        if not isinstance(metadata, dict) or key not in metadata:
            return ABSENT
        metadata = metadata[key]
    return ABSENT if metadata is None else metadata


def as_number(value):
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def comparable(value, wanted):
    """Both sides as Python values that compare as the filter should, or None."""
    if wanted.kind == "flag":
        return (value, wanted.value) if isinstance(value, bool) else None
    if wanted.kind == "number":
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return (as_number(value), as_number(wanted.value)) if good else None
    if not isinstance(value, str):
        return None
    if wanted.kind == "text":
        return value, wanted.value
    moment = nanoseconds(value)
    return None if moment is None else (moment, nanoseconds(wanted.value))


def holds(operator, value, wanted):
    pair = comparable(value, wanted)
    if pair is None:
        return False
    left, right = pair
    return {"=": left == right, "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[
        operator
    ]


def as_regex(pattern):
    pieces, rest = [], iter(pattern)
    for letter in rest:
        pieces.append({"%": ".*", "_": "."}.get(letter) or re.escape(next(rest) if letter == "\\" else letter))
    return re.compile("".join(pieces), re.DOTALL)


def matches(tree, metadata, ident):
    """Whether a row matches."""
    if isinstance(tree, Not):
        return not matches(tree.inner, metadata, ident)
    if hasattr(tree, "parts"):
        found = [matches(part, metadata, ident) for part in tree.parts]
        return any(found) if isinstance(tree, Either) else all(found)
    value = reach(tree.field, metadata, ident)
    if isinstance(tree, Missing):
        return value is ABSENT
    if isinstance(tree, Compare):
        return holds(tree.operator, value, tree.value)
    if isinstance(tree, Between):
        return holds(">=", value, tree.low) and holds("<=", value, tree.high)
    if isinstance(tree, Among):
        return any(holds("=", value, each) for each in tree.values)
    if isinstance(tree, Has):
        return isinstance(value, list) and any(holds("=", each, tree.value) for each in value)
    assert isinstance(tree, Like)
    return isinstance(value, str) and as_regex(tree.pattern).fullmatch(value) is not None


# ---- rows and filters ------------------------------------------------------------------------------------------------

NAMES = ["a", "b.c", "`b c`", "`d.e`", "ü", "`it's`", "`in`", "date", "`x``y`", "`%_?`"]
TEXTS = [
    "", "a", "A", "ab", "abc", "b", "5", "1", "true", "null", "[1]", '["a"]', "100%", "a_b", "a*b?[c]", "it's", 'say "hi"',
    "a\\b", "é", "e\u0301", "日本", "😀", "\U0010ffff", "\n", "\x7f", "2026", "now", "12:00", "2459000.5",
]  # fmt: skip
MOMENTS = [
    "2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T01:00+01:00", "2026-01-30T23:00:00-01:00", "2026-01-31 00:00:00.000",
    "2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.1234567", "2026-01-31T12:00:59.999999999", "2026-02-01",
    "0001-01-01", "0001-01-01T00:00+02:00", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.9Z", "2024-02-29",
]  # fmt: skip
NO_MOMENTS = [
    "2026-02-30", "2026-02-29", "2026-13-01", "2026-01-31T24:00", "2026-01-31T12", "2026-01-31T12:00:00.", "2026-1-31",
    "2026-01-31Z", "2026-01-31T12:00z", " 2026-01-31", "2026-01-31 ", "2026-01-31T12:00:60", "2026-01-31T12:00+15:00",
    "2026-01-31T12:00:00.1234567890", "0000-01-01", "9999-12-31T23:59:59-01:00", "2026-01-31T12:00:00.5.5", "２０２６-01-31",
    "2026-01-31T12:00+0100", "2026-01-31t12:00", "2026-01-31T12:00:0Z", "-2026-01-31",
]  # fmt: skip
NUMBERS = [0, 1, -1, 5, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 10**25, 0.5, 0.1, 1e22, 1.5e300, -2.5e-7, 3.0]
NUMBERS += [0.1234567890123456, 9007199254740993.0, 1e18]
numbers = st.sampled_from(NUMBERS) | st.integers(-3, 6) | st.integers(-300, 300).map(lambda each: each / 100)
texts = st.sampled_from(TEXTS + MOMENTS + NO_MOMENTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4
)
scalars = st.none() | st.booleans() | numbers | texts
anything = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from(["c", "d"]), scalars, max_size=2)
rows = st.none() | st.fixed_dictionaries({}, optional={key: anything for key in ["a", "b", "b c", "ü", "it's", "in"]})
idents = st.integers(-2, 6) | st.sampled_from(["a", "ab", "5", "2026-01-31", "2026-01-31T12:00Z", "it's", "é"])

fields = st.sampled_from(["a", "a", "a", *NAMES]).map(lambda name: as_filter(f"{name} is null").field)
fields_and_id = fields | st.just(Field(()))
moments = st.sampled_from(MOMENTS[:9] + MOMENTS[11:]).map(instant)
values = st.booleans().map(as_value) | numbers.map(as_value) | texts.map(as_value) | moments
ordered = values.filter(lambda each: each.ordered)
patterns = st.lists(
    st.sampled_from(["%", "_", "a", "b", "\\%", "\\_", "\\\\", "[", "*", "?", "é", "😀", "\U0010ffff", "2"])
)
leaves = st.one_of(
    st.builds(Compare, fields_and_id, st.just("="), values),
    st.builds(Compare, fields_and_id, st.sampled_from(["<", "<=", ">", ">="]), ordered),
    st.builds(Among, fields_and_id, st.lists(values, max_size=5, unique=True).map(tuple)),
    st.tuples(fields_and_id, ordered, ordered)
    .filter(lambda each: each[1].kind == each[2].kind)
    .map(lambda a: Between(*a)),
    st.builds(Has, fields, values),
    st.builds(Like, fields_and_id, patterns.map("".join).filter(lambda each: each.count("%") < 20)),
    st.builds(Missing, fields_and_id),
)
trees = st.recursive(
    leaves,
    lambda inner: inner.map(negated) | st.lists(inner, min_size=2, max_size=3).flatmap(
        lambda parts: st.sampled_from([both(parts), either(parts)])
    ),
    max_leaves=6,
)  # fmt: skip


def selected(connection, where):
    return set(filter_tables.selected(connection, where))


GRID = [
    ABSENT,
    None,
    True,
    False,
    *NUMBERS,
    *TEXTS,
    *MOMENTS,
    *NO_MOMENTS,
    [],
    [1, True, "a"],
    ["2026-01-31"],
    {"c": 1},
]
WANTED = [as_value(each) for each in [True, False, *NUMBERS, *TEXTS, *MOMENTS]] + [
    instant(each) for each in MOMENTS[:9]
]


@pytest.mark.parametrize("kind", ["text", "number", "flag", "instant"])
def test_every_value_against_every_other(kind):
    """All comparisons of all values, one row a value: what random rows meet too rarely."""
    rows = [{} if each is ABSENT else {"a": each} for each in GRID]
    connection, field = table_of(rows), Field(("a",))
    for value in [each for each in WANTED if each.kind == kind]:
        signs = ["=", "<", "<=", ">", ">="] if value.ordered else ["="]
        trees = [Compare(field, sign, value) for sign in signs]
        trees += [Among(field, (value, as_value("zzz"), as_value(False))), Has(field, value)]
        trees += [Between(field, value, other) for other in WANTED[::7] if value.ordered and other.kind == kind]
        for tree in trees:
            wanted = {row for row, each in enumerate(rows) if matches(tree, each, row)}
            assert selected(connection, tree) == wanted, str(tree)
            assert selected(connection, negated(tree)) == set(range(len(rows))) - wanted, f"not {tree}"


PATTERNS = [
    "",
    "%",
    "_",
    "__",
    "a%",
    "%a",
    "%b%",
    "A%",
    "a_",
    "_b",
    "a\\_b",
    "100\\%",
    "a\\\\%",
    "a*%",
    "%?%",
    "a%[c]",
    "%]",
]
PATTERNS += ["it's%", 'say "%', "é", "e_", "日%", "😀%", "\U0010ffff%", "\ud7ff%", "2026-01-31%", "_%_", "%\n%", "[%"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_against_every_text(pattern):
    rows = [{"a": each} for each in [*TEXTS, *MOMENTS, "\ud7ffx", "\ue000", "]", "[", "[]", 5, True, None, ["a"]]]
    connection = table_of(rows)
    tree = Like(Field(("a",)), pattern)
    assert selected(connection, tree) == {row for row, each in enumerate(rows) if matches(tree, each, row)}
    assert as_filter(str(tree)) == tree


quick = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(quick, max_examples=120)
@given(
    st.lists(st.tuples(rows, idents), min_size=1, max_size=8), st.lists(trees, min_size=1, max_size=4), st.booleans()
)
def test_sqlite_and_python_select_the_same_rows(drawn, filters, indexed):
    metadata, ids = zip(*drawn, strict=True)
    connection = table_of(metadata, ids)
    if indexed:
        for number, name in enumerate({name for tree in filters for name in tree.fields}):
            connection.execute(f"CREATE INDEX i{number} ON rows ({field_sql(name)})")
    for tree in filters:
        wanted = {row for row, (each, ident) in enumerate(drawn) if matches(tree, each, ident)}
        assert selected(connection, tree) == wanted, str(tree)
        assert selected(connection, negated(tree)) == set(range(len(drawn))) - wanted, f"not {tree}"
    connection.close()


@settings(quick, max_examples=150)
@given(trees)
def test_text_reads_back_as_the_same_filter(tree):
    assert as_filter(str(tree)) == tree
    assert hash(as_filter(str(tree))) == hash(tree)


def as_given(value):
    """A value as it stands in a dict."""
    return datetime.fromisoformat(value.value[:26]).replace(tzinfo=UTC) if value.kind == "instant" else value.value


def as_mapping(tree):
    """The dict that says what a tree says."""
    if isinstance(tree, Not):
        return {"$not": as_mapping(tree.inner)}
    if hasattr(tree, "parts"):
        return {"$or" if isinstance(tree, Either) else "$and": [as_mapping(part) for part in tree.parts]}
    if isinstance(tree, Missing):
        asked = {"$null": True}
    elif isinstance(tree, Among):
        asked = {"$in": [as_given(each) for each in tree.values]}
    elif isinstance(tree, Between):
        asked = {"$between": (as_given(tree.low), as_given(tree.high))}
    elif isinstance(tree, Like):
        asked = {"$like": tree.pattern}
    elif isinstance(tree, Has):
        asked = {"$has": as_given(tree.value)}
    else:
        names = {"=": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
        asked = {names[tree.operator]: as_given(tree.value)}
    return {str(tree.field): asked}


def to_microseconds(tree):
    return not re.search(r"\.\d{7}", str(tree))


@settings(quick, max_examples=100)
@given(trees.filter(to_microseconds))
def test_a_dict_says_the_same_as_the_text(tree):
    assert as_filter(as_mapping(tree)) == tree


@pytest.mark.parametrize("text", MOMENTS)
@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_dates_are_compared_as_points_in_time(text, seconds):
    connection = table_of([{"t": text}])
    moment = nanoseconds(text) + seconds * 10**9
    days, rest = divmod(moment, 86_400 * 10**9)
    if not 1 <= days <= date.max.toordinal():
        return
    at = datetime.fromordinal(days) + timedelta(microseconds=rest // 1_000)
    assert selected(connection, {"t": {"$lt": at}}) == ({0} if seconds > 0 else set())
    assert selected(connection, {"t": {"$gte": at}}) == (set() if seconds > 0 else {0})


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_what_is_no_date_never_matches_one(text):
    connection = table_of([{"t": text}])
    every = "t = {0} or t < {0} or t >= {0} or t in ({0}) or t between 0001-01-01 and 9999-12-31"
    assert selected(connection, every.format("2026-01-31")) == set()
    assert selected(connection, {"t": text}) == {0}
