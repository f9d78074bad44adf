"""The table embedder: units, what is missing, there and back, and any table at all."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.table_data import CATEGORICAL, NUMERIC, PERSONS, made

import nearkin as nk
from nearkin import errors
from nearkin.registry import Registry
from nearkin.state import State
from nearkin_plugins.tables.embedder import TableEmbedder


def fitted(records: list[dict[str, Any]], **options: Any) -> TableEmbedder:
    embedder = TableEmbedder(**options)
    embedder.fit(records)
    return embedder


def squared(embedder: TableEmbedder, one: Any, other: Any, role: Any = "document") -> float:
    both = np.concatenate([embedder.embed([one], role=role), embedder.embed([other])]).astype(np.float64)
    return float(((both[0] - both[1]) ** 2).sum())


def test_the_nearest_of_a_is_b() -> None:
    records = list(PERSONS.values())
    for text in ("table", f"table:numeric={','.join(NUMERIC)}:categorical={','.join(CATEGORICAL)}"):
        people = nk.build(records, embedder=text, ids=list(PERSONS))
        assert people.metric_text == "euclidean"
        for name, nearest in (("A", "B"), ("B", "A"), ("C", "B")):
            assert people.search([PERSONS[name]], k=2).ids.tolist() == [[name, nearest]]
        assert people.search([{"height": 186, "age": 50}], k=1).ids.tolist() == [["C"]]


# ---- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaling", "step"), [("standard", np.sqrt(2)), ("robust", 2.0), ("minmax", 4.0), ("none", 1.0)]
)
def test_a_step_of_a_number(scaling: str, step: float) -> None:
    records = [{"x": value} for value in (1, 2, 3, 4, 5)]
    embedder = fitted(records, numeric="x", scaling=scaling)
    assert squared(embedder, {"x": 1}, {"x": 4}) == pytest.approx((3 / step) ** 2, rel=1e-6)


def test_minmax_is_the_squared_form_of_gower() -> None:
    records = [{"x": value, "k": kind} for value, kind in ((0, "a"), (5, "b"), (10, "a"))]
    embedder = fitted(records, numeric="x", categorical="k", scaling="minmax", weights={"k": 2})
    assert embedder.contributions(records[0], records[1]) == pytest.approx({"k": 2.0, "x": 0.25}, rel=1e-6)


def test_one_category_more_is_one_unit_whichever_they_are() -> None:
    embedder = fitted([{"k": each} for each in ("a", "b", None)], categorical="k")
    pairs = [("a", "b"), ("a", None), ("a", "new"), (None, "new"), ("new", "b")]
    assert [squared(embedder, {"k": one}, {"k": other}) for one, other in pairs] == pytest.approx([1.0] * 5, rel=1e-6)
    assert squared(embedder, {"k": "new"}, {"k": "newer"}) == 0


def test_a_category_that_is_missing_and_was_not_before_is_half_a_unit_from_each() -> None:
    embedder = fitted([{"k": "a"}, {"k": "b"}], categorical="k")
    assert [squared(embedder, {"k": None}, {"k": each}) for each in ("a", "b", "c")] == pytest.approx([0.5] * 3)


def test_a_number_that_is_missing_lies_at_the_centre_and_is_marked_if_there_were_such() -> None:
    told = fitted([{"x": 1}, {"x": 3}, {"x": None}], numeric="x")
    assert squared(told, {"x": None}, {"x": 2}) == pytest.approx(1.0)
    assert squared(told, {"x": ""}, {"x": 1}) == pytest.approx(2.0)
    assert squared(told, {"x": "NA"}, {"x": float("nan")}) == 0
    plain = fitted([{"x": 1}, {"x": 3}], numeric="x")
    assert plain.dim == 1
    assert squared(plain, {"x": None}, {"x": 2}) == 0


def test_a_column_that_a_query_does_not_name_tells_no_categories_apart() -> None:
    records = [{"x": 1, "k": "a"}, {"x": 3, "k": "b"}, {"x": None, "k": None}]
    embedder = fitted(records, numeric="x", categorical="k")
    assert [squared(embedder, {"x": 1}, {"x": 1, "k": each}, "query") for each in ("a", "b", None, "c")] == (
        pytest.approx([0.5] * 4)
    )
    # at the centre, and half a unit from what is there and what is not
    assert squared(embedder, {"k": "a"}, {"k": "a", "x": 2}, "query") == pytest.approx(0.25)
    assert squared(embedder, {"k": "a"}, {"k": "a", "x": None}, "query") == pytest.approx(0.25)
    assert squared(embedder, {"k": "a"}, {"k": "a", "x": 2}, "document") == pytest.approx(1.0)


def test_weights_multiply_the_squared_distance() -> None:
    records = made(50)
    plain = fitted(records, numeric="size,count", categorical="kind,town")
    heavy = fitted(records, numeric="size,count", categorical="kind,town", weights="size=2,kind=0.5,town=0")
    for one, other in zip(records[:10], records[10:20], strict=True):
        wanted = plain.contributions(one, other)
        wanted |= {"size": 2 * wanted["size"], "kind": 0.5 * wanted["kind"], "town": 0.0}
        assert heavy.contributions(one, other) == pytest.approx(wanted, rel=1e-5, abs=1e-6)
        assert sum(heavy.contributions(one, other).values()) == pytest.approx(squared(heavy, one, other))


def test_dates_go_round_and_on() -> None:
    days = [{"d": date(2023, 1, 2) + timedelta(days=at)} for at in range(0, 730, 5)]
    circle = fitted(days, dates="d", date_parts="year")
    near = squared(circle, {"d": "2023-12-31"}, {"d": "2024-01-01"})
    far = squared(circle, {"d": "2024-01-01"}, {"d": "2024-07-01"})
    assert near < 1e-3
    assert far == pytest.approx(1.0, rel=1e-5)
    week = fitted(days, dates="d", date_parts="week")
    assert squared(week, {"d": "2024-03-04"}, {"d": "2025-06-02"}) == 0  # Mondays
    assert squared(week, {"d": "2024-03-04"}, {"d": "2024-03-06"}) == pytest.approx(
        np.sin(2 * np.pi / 7) ** 2, rel=1e-5
    )
    line = fitted(days, dates="d", date_parts="time")
    steps = np.std([each["d"].toordinal() for each in days])
    assert squared(line, {"d": "2023-01-02"}, {"d": "2024-01-02"}) == pytest.approx((365 / steps) ** 2, rel=1e-5)
    all_three = fitted(days, dates="d")
    assert all_three.dim == 5  # no times of day
    total = [squared(each, {"d": "2023-02-03"}, {"d": "2024-08-09"}) for each in (circle, week, line)]
    assert squared(all_three, {"d": "2023-02-03"}, {"d": "2024-08-09"}) == pytest.approx(np.mean(total), rel=1e-5)


def test_a_date_is_the_same_in_every_form() -> None:
    import pandas as pd

    zone = timezone(timedelta(hours=2))
    forms = [
        "2024-02-29T18:30",
        " 2024-02-29 18:30:00 ",
        "2024-02-29T20:30+02:00",
        "2024-02-29T18:30Z",
        datetime(2024, 2, 29, 18, 30),
        datetime(2024, 2, 29, 20, 30, tzinfo=zone),
        datetime(2024, 2, 29, 18, 30, tzinfo=UTC),
        np.datetime64("2024-02-29T18:30"),
        np.datetime64("2024-02-29T18:30", "ns"),
        pd.Timestamp("2024-02-29T18:30"),
        pd.Timestamp("2024-02-29T20:30", tz=zone),
    ]
    embedder = fitted([{"d": "2024-01-01T06:00"}, {"d": "2023-01-01"}, {"d": "2022-05-01"}], dates="d")
    assert embedder.dim == 7
    vectors = embedder.embed([{"d": form} for form in forms])
    assert (vectors == vectors[0]).all()
    assert embedder.records(vectors[:1]) == [{"d": "2024-02-29T18:30"}]
    gone = embedder.embed([{"d": each} for each in (None, pd.NaT, np.datetime64("NaT"), "", "NA")])
    assert not gone.any()


def test_a_number_is_the_same_in_every_form() -> None:
    forms = [179, 179.0, "179", " 179.0 ", "1.79e2", "+179", np.float32(179), np.int16(179), Decimal(179)]
    embedder = fitted([{"x": 1}, {"x": 200}], numeric="x")
    vectors = embedder.embed([{"x": form} for form in forms])
    assert (vectors == vectors[0]).all()
    assert len(np.unique(embedder.embed([{"x": each} for each in (True, "true", " TRUE", np.bool_(True), 1)]))) == 1
    import pandas as pd

    missing = (
        None,
        float("nan"),
        np.float32("nan"),
        pd.NA,
        Decimal("NaN"),
        "",
        "  ",
        "NA",
        "NaN",
        "nan",
        "NULL",
        "null",
    )
    assert not embedder.embed([{"x": each} for each in missing]).any()


def test_a_category_is_the_same_in_every_form() -> None:
    embedder = fitted([{"k": "4"}, {"k": "true"}, {"k": "a b"}], categorical="k")
    for forms in (
        [4, 4.0, "4", " 4 ", np.int8(4), np.float64(4)],
        [True, "True", "true", np.bool_(True)],
        ["a b", "a b "],
    ):
        vectors = embedder.embed([{"k": each} for each in forms])
        assert (vectors == vectors[0]).all()
    ones = embedder.embed([{"k": 1}, {"k": True}, {"k": 1}])
    assert (ones[0] == ones[2]).all()
    assert (ones[0] != ones[1]).any()


def test_large_offsets_and_extremes_keep_their_digits() -> None:
    records = [{"x": 1e9 + value} for value in (-1.0, 0.0, 1.0)]
    embedder = fitted(records, numeric="x")
    np.testing.assert_allclose(embedder.embed(records)[:, 0], np.sqrt(1.5) * np.float32([-1, 0, 1]), rtol=1e-6)
    assert [row["x"] for row in embedder.records(embedder.embed(records))] == [each["x"] for each in records]
    wide = [{"x": value} for value in (-1e150, 0.0, 1e150)]
    assert np.isfinite(fitted(wide, numeric="x").embed(wide)).all()
    for tiny in (1e-140, 5e-324):
        small = [{"x": value} for value in (0.0, tiny, 2 * tiny)]
        assert np.isfinite(fitted(small, numeric="x").embed(small)).all()


def test_where_the_middle_half_is_all_the_same_the_standard_deviation_is_the_step() -> None:
    records = [{"x": value} for value in [0] * 9 + [10]]
    embedder = fitted(records, numeric="x", scaling="robust")
    assert squared(embedder, {"x": 0}, {"x": 3}) == pytest.approx(1.0)


# ---- there and back --------------------------------------------------------------------------------------------------


def test_means_of_vectors_are_the_means_of_the_records() -> None:
    records = made(200)
    embedder = fitted(records, numeric="size,count", categorical="kind,town", weights="size=3,kind=0.2")
    vectors = embedder.embed(records)
    (found,) = embedder.records(vectors.mean(axis=0, keepdims=True, dtype=np.float64), shares=True)
    sizes = [row["size"] for row in records if row["size"] is not None]
    assert found["size"] == pytest.approx(np.mean(sizes), rel=1e-5)
    assert found["count"] == pytest.approx(np.mean([row["count"] for row in records]), rel=1e-5)
    kinds = [row["kind"] for row in records]
    wanted = {kind or "(missing)": kinds.count(kind) / 200 for kind in set(kinds)}
    assert found["kind"] == pytest.approx(wanted, abs=1e-5)
    assert list(found["kind"].values()) == sorted(found["kind"].values(), reverse=True)
    again = embedder.records(vectors)
    for row, back in zip(records, again, strict=True):
        assert back == {**row, "size": None if row["size"] is None else pytest.approx(row["size"], abs=1)}


def test_centroids_of_a_collection_read_in_the_tables_terms() -> None:
    records = [{"x": value, "k": kind} for value, kind in ((1, "a"), (2, "a"), (3, "b"), (101, "c"), (103, "c"))]
    mine = nk.build(records, embedder="table:numeric=x:categorical=k")
    vectors = np.stack([row.vector for row in mine.select(vectors=True)])
    found = nk.cluster(vectors, 2, metric="euclidean")
    assert mine.embedder is not None
    read = sorted(mine.embedder.records(found.centroids), key=lambda row: row["x"])
    assert read == [{"x": pytest.approx(2, rel=1e-4), "k": "a"}, {"x": pytest.approx(102, rel=1e-4), "k": "c"}]


def test_what_is_not_in_the_vectors_is_none() -> None:
    embedder = fitted(
        [{"x": 1, "k": "a", "d": "2024-01-01"}] * 2, numeric="x", categorical="k", dates="d", weights="k=0"
    )
    (back,) = embedder.records(embedder.embed([{"x": 5, "k": "a", "d": "2025-01-01"}]))
    assert back == {"x": 1.0, "k": None, "d": "2024-01-01"}
    with pytest.raises(errors.VectorError, match="2 columns, "):
        embedder.records([[1.0, 2.0]])


def test_places_on_circles_are_told_where_there_is_no_line() -> None:
    records = [{"d": "2024-03-04T06:30"}, {"d": "2024-09-07T18:00"}]
    embedder = fitted(records, dates="d", date_parts=["day", "week", "year"])
    assert [row["d"] for row in embedder.records(embedder.embed(records))] == [
        "03-04 Monday 06:30",
        "09-07 Saturday 18:00",
    ]


# ---- kinds that are found by looking ---------------------------------------------------------------------------------


def test_kinds_are_found_by_looking() -> None:
    records = [
        {
            "row": at,
            "name": f"person {at}",
            "height": f"{170 + at % 7}",
            "plan": ["basic", "pro"][at % 2],
            "active": at % 3 == 0,
            "member": ["True", "false"][at % 2],
            "since": f"2024-{at % 12 + 1:02d}-01",
            "empty": None,
            "tags": ["a", "b"],
            "note": f"text number {at // 2}",
            "mixed": ["x", 3, None][at % 3],
        }
        for at in range(60)
    ]
    embedder = fitted(records)
    assert embedder.columns == ("height", "plan", "active", "member", "mixed", "since")
    told = [note for note in embedder.notes if "left out" in note]
    assert [note.split("'")[1] for note in told] == ["row", "name", "empty", "tags", "note"]
    assert "it only counts the rows" in told[0]
    assert "all of its 60 texts differ" in told[1]
    with pytest.raises(
        errors.InputError, match="none of the columns can be compared; column 'id' is left out: all of its 2"
    ):
        fitted([{"id": "a"}, {"id": "b"}])


def test_a_data_frame_is_a_table() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "x": pd.array([1, None, 3, 5], dtype="Int64"),
            "k": pd.Categorical(["a", "b", "a", None]),
            "d": pd.to_datetime(["2024-01-01", "2024-05-01", None, "2025-01-01"]),
        }
    )
    mine = nk.build(frame, embedder="table")
    assert mine.search(frame, k=1).ids.tolist() == [[0], [1], [2], [3]]
    assert mine.get([1])[0].metadata == {"x": None, "k": "b", "d": "2024-05-01T00:00:00"}


# ---- what is told ----------------------------------------------------------------------------------------------------


def test_columns_that_say_the_same_are_told() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 200))
    towns = rng.choice(["Wuhan", "Shanghai", "Berlin"], 200)
    country = {"Wuhan": "China", "Shanghai": "China", "Berlin": "Germany"}
    codes = {"Wuhan": "WUH", "Shanghai": "SHA", "Berlin": "BER"}
    records = [
        {"cm": a[i], "inch": a[i] / 2.54, "b": b[i], "c": c[i], "sum": b[i] + c[i] + 0.1 * a[i], "same": 7}
        | {"town": towns[i], "code": codes[towns[i]], "country": country[towns[i]], "free": "xy"[i % 2], "one": "o"}
        for i in range(200)
    ]
    told = fitted(records).notes
    assert [note.split(" (")[0].split(":")[0] for note in told] == [
        "column 'same' is always 7",
        "column 'one' is always 'o'",
        "columns 'cm' and 'inch' are collinear",
        "column 'b' is nearly a sum of other columns",
        "column 'c' is nearly a sum of other columns",
        "column 'sum' is nearly a sum of other columns",
        "columns 'town' and 'code' decide each other",
        "column 'town' decides column 'country'",
        "column 'code' decides column 'country'",
    ]
    assert "correlation 1.00" in told[2]
    assert fitted(records, numeric="cm,inch,b", weights="inch=0").notes == ()


def test_many_categories_are_told_and_too_many_refused() -> None:
    records = [{"k": f"key {at}"} for at in range(40)]
    assert "40 different categories in 40 values" in fitted(records, categorical="k").notes[0]
    with pytest.raises(errors.InputError, match=r"10,001 different categories, at most 10,000 .* rare=0.001"):
        fitted([{"k": f"key {at}"} for at in range(10_001)], categorical="k")


def test_notes_come_back_with_the_collection(tmp_path: Path) -> None:
    records = [{"x": at, "y": 2 * at} for at in range(20)]
    nk.build(records, embedder="table:numeric=x,y").save(tmp_path / "t")
    with nk.open(tmp_path / "t") as mine:
        assert mine.embedder is not None
        assert "collinear (correlation 1.00)" in mine.embedder.notes[0]


# ---- identity --------------------------------------------------------------------------------------------------------


def test_a_folder_keeps_what_was_learned(tmp_path: Path) -> None:
    records = made(100)
    text = "table:numeric=size,count:categorical=kind,town:weights=size=2:scaling=robust"
    with nk.create(tmp_path / "t", embedder=text) as mine:
        mine.add(records[:80])
        mine.add(records[80:])
        wanted = mine.search(records, k=5).ids.tolist()
        vectors = mine.embedder.embed(records)  # type: ignore[union-attr]
    with nk.open(tmp_path / "t") as mine:
        assert mine.search(records, k=5).ids.tolist() == wanted
        assert (mine.embedder.embed(records) == vectors).all()  # type: ignore[union-attr]
        assert mine.embedder_record is not None
        assert mine.embedder_record.text == text
    other = fitted(records[:50], numeric="size,count", categorical="kind,town", weights="size=2", scaling="robust")
    with pytest.raises(errors.EmbedderMismatchError, match="learned was"):
        nk.open(tmp_path / "t", embedder=other)
    for changed in (text.replace("size=2", "size=3"), text.replace("robust", "standard")):
        with pytest.raises(errors.EmbedderMismatchError, match="table"):
            nk.open(tmp_path / "t", embedder=changed)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"numeric": ["a", "b, c", ' "d" ', "e=f", "g:h"], "weights": {"b, c": 2, "e=f": 0.25, "g:h": 1e-7}},
        {
            "categorical": "a",
            "dates": ("d", "ü"),
            "date_parts": "year,time",
            "rare": 0.01,
            "missing": ["?", "n/a", ","],
        },
        {"numeric": "a", "scaling": "minmax", "unreadable": "missing"},
    ],
)
def test_the_registry_makes_it_again_from_its_text(options: dict[str, Any]) -> None:
    registry = Registry(strict=True)
    registry.load_entry_points()
    embedder = TableEmbedder(**options)
    again = registry.make("embedder", embedder.text)
    assert isinstance(again, TableEmbedder)
    assert (again.text, again.identity) == (embedder.text, embedder.identity)
    assert (again.kinds, again.weights, again.reading) == (embedder.kinds, embedder.weights, embedder.reading)


# ---- any table at all ------------------------------------------------------------------------------------------------

NAMES = st.text(min_size=1, max_size=6)
NUMBERS = st.one_of(  # no robust step is so small that others could not be compared
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(-1e12, 1e12).map(lambda each: round(each, 3)),
    st.booleans(),
    st.just("NA"),
    st.just("  7.5 "),
)
CATEGORIES = st.one_of(st.none(), st.text(max_size=4), st.integers(-3, 3), st.booleans())
DATES = st.one_of(
    st.none(),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC])),
    st.dates().map(lambda each: each.isoformat()),
)
CELLS = {"numeric": NUMBERS, "categorical": CATEGORIES, "dates": DATES}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Options that name the columns of a table, and its records; columns may be constant, missing or unnamed in a record."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    kinds = {name: draw(st.sampled_from(sorted(CELLS))) for name in names}
    rows = draw(st.integers(1, 8))
    columns = {}
    for name, kind in kinds.items():
        cells = st.one_of(
            CELLS[kind].map(lambda cell: [cell] * rows), st.lists(CELLS[kind], min_size=rows, max_size=rows)
        )
        columns[name] = draw(cells)
    records = [{name: cells[row] for name, cells in columns.items()} for row in range(rows)]
    for record in records[1:]:
        for name in draw(st.sets(st.sampled_from(names), max_size=len(names) - 1)):
            del record[name]
    options: dict[str, Any] = {kind: [name for name in names if kinds[name] == kind] for kind in CELLS}
    options["weights"] = {name: draw(st.floats(0.01, 100)) for name in names if draw(st.booleans())}
    options["scaling"] = draw(st.sampled_from(["standard", "robust", "minmax"]))
    options["rare"] = draw(st.sampled_from([0.0, 0.3]))
    return options, records


@given(tables())
def test_any_table(table: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    options, records = table
    embedder = fitted(records, **options)
    vectors = embedder.embed(records)
    registry = Registry(strict=True)
    registry.load_entry_points()
    again: TableEmbedder = registry.make("embedder", embedder.text)
    state = embedder.state()
    again.restore(State(state.arrays, json.loads(json.dumps(state.meta))))
    assert again.fingerprint == embedder.fingerprint
    assert (again.embed(records) == vectors).all()
    again.check_canaries(embedder.embed(embedder.canaries))
    for row, record in enumerate(records):
        assert (embedder.embed([record])[0] == vectors[row]).all()
        assert sum(embedder.contributions(record, records[0], role="document").values()) == pytest.approx(
            float(((vectors[row].astype(np.float64) - vectors[0]) ** 2).sum())
        )
    asked = embedder.embed(records, role="query")
    full = [row for row, record in enumerate(records) if len(record) == len(records[0])]
    assert (asked[full] == vectors[full]).all()
    back = embedder.records(vectors)
    assert [list(row) for row in back] == [list(embedder.columns)] * len(records)
    assert json.loads(json.dumps(embedder.records(vectors, shares=True))) is not None


@given(
    st.lists(st.floats(-1e9, 1e9).map(lambda each: round(each, 5)), min_size=2, max_size=20),
    st.sampled_from(["standard", "robust", "minmax"]),
)
def test_numbers_come_back_in_their_units(values: list[float], scaling: str) -> None:
    records = [{"x": value} for value in values]
    embedder = fitted(records, numeric="x", scaling=scaling)
    vectors = embedder.embed(records)
    spread = max(values) - min(values)
    for row, value in zip(embedder.records(vectors), values, strict=True):
        assert row["x"] == pytest.approx(value, abs=max(2e-6 * spread, 1e-15 * abs(value)))


@given(
    st.lists(st.one_of(st.none(), st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1))), min_size=1, max_size=12)
)
def test_dates_come_back(moments: list[datetime | None]) -> None:
    records = [{"d": moment} for moment in moments]
    embedder = fitted(records, dates="d")
    present = [moment for moment in moments if moment is not None]
    for row, moment in zip(embedder.records(embedder.embed(records)), moments, strict=True):
        if moment is None:
            assert row["d"] is None
        else:
            span = max(present) - min(present)
            assert abs(datetime.fromisoformat(row["d"]) - moment) <= timedelta(days=0.51) + span * 1e-5
