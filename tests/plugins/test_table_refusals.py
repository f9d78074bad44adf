"""What the table embedder refuses: options, values and records, each in a sentence that names it."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from tests.plugins.table_data import PERSONS

import nearkin as nk
from nearkin import errors
from nearkin_plugins.tables.embedder import TableEmbedder


def fitted(records: list[dict[str, Any]], **options: Any) -> TableEmbedder:
    embedder = TableEmbedder(**options)
    embedder.fit(records)
    return embedder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"numeric": "a", "categorical": "a"}, "column 'a' is named for two kinds"),
        ({"numeric": "a,a"}, "numeric names column 'a' twice"),
        ({"numeric": "a,,b"}, "numeric has '' for the name of a column"),
        ({"numeric": ["a", 3]}, "numeric has 3 for the name of a column"),
        ({"numeric": 'a,"b'}, "which cannot be read from '\"b' on"),
        (
            {"numeric": "height", "weights": "heigth=2"},
            r"which is none of the columns height \(did you mean 'height'\?\)",
        ),
        ({"weights": "a=-1"}, "the weight of column 'a' is '-1', a number from 0 to 1,000,000"),
        ({"weights": {"a": float("nan")}}, "the weight of column 'a' is nan"),
        ({"weights": "a=x"}, "the weight of column 'a' is 'x'"),
        ({"weights": "a=1,a=2"}, "weights names column 'a' twice"),
        ({"weights": "a"}, "NAME=NUMBER expected at 'a'"),
        ({"numeric": "a", "weights": {"a": 0}}, "all columns have the weight 0"),
        ({"scaling": "standrd"}, "scaling is 'standrd', one of standard, robust, minmax, none"),
        ({"date_parts": "month"}, "date_parts is 'month', one of time, year, week, day"),
        ({"date_parts": ""}, "date_parts is empty"),
        ({"rare": 1.5}, "rare is 1.5, a share"),
        ({"unreadable": "skip"}, "unreadable is 'skip', one of refuse, missing"),
    ],
)
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        TableEmbedder(**options)


@pytest.mark.parametrize(
    ("options", "value", "said"),
    [
        (
            {"numeric": "v"},
            "12 kg",
            r"item 1, column 'v': '12 kg' is no number; .* missing=12 kg, or unreadable=missing",
        ),
        ({"numeric": "v"}, "n/a", "item 1, column 'v': 'n/a' is no number"),
        ({"numeric": "v"}, "1,5", "is no number"),
        ({"numeric": "v"}, "1_000", "is no number"),
        ({"numeric": "v"}, "inf", "is no number"),
        ({"numeric": "v"}, float("inf"), "inf is no number from -1e\\+150 to 1e\\+150"),
        ({"numeric": "v"}, 10**400, "is no number from"),
        ({"numeric": "v"}, "1e400", "is no number from"),
        ({"numeric": "v"}, 1 + 2j, "is no number"),
        ({"numeric": "v"}, [1], r"\[1\] is no number"),
        ({"numeric": "v"}, date(2024, 1, 1), "is no number"),
        ({"categorical": "v"}, ["a"], r"\['a'\] is no text, number or date"),
        ({"categorical": "v"}, {"a": 1}, "is no text, number or date"),
        ({"dates": "v"}, "31.12.2024", "'31.12.2024' is no date such as 2024-02-29"),
        ({"dates": "v"}, "2023-02-29", "is no date"),
        ({"dates": "v"}, "today", "is no date"),
        ({"dates": "v"}, 2024, "2024 is no date"),
        ({"dates": "v"}, np.datetime64("20000-01-01"), "is no date"),
    ],
)
def test_values_that_cannot_be_read(options: dict[str, Any], value: Any, said: str) -> None:
    good = {"numeric": 1, "categorical": "a", "dates": "2024-01-01"}[next(iter(options))]
    records = [{"v": good}, {"v": value}]
    embedder = fitted(records[:1], **options)
    for call in (embedder.fit, embedder.embed):
        with pytest.raises(errors.InputError, match=said):
            call(records)
    lenient = fitted(records, **options, unreadable="missing")
    assert (lenient.embed(records)[1] == lenient.embed([{"v": None}])[0]).all()


def test_values_are_checked_before_anything_is_learned_or_added() -> None:
    embedder = TableEmbedder(numeric="x", categorical="k")
    good = [{"x": 1, "k": "a"}, {"x": 2, "k": "b"}]
    assert embedder.check_items(good) == good
    with pytest.raises(errors.InputError, match="item 101, column 'x': '3 m' is no number"):
        embedder.check_items([good[0], {"x": "3 m"}], 100)
    with pytest.raises(errors.InputError, match="item 101 has none of the columns x, k; it has no columns"):
        embedder.check_items([good[0], {}], 100)
    mine = nk.build(good, embedder=embedder)
    with pytest.raises(errors.InputError, match="item 0, column 'k'"):
        mine.add([{"k": ["a"]}])
    assert TableEmbedder().check_items([{"x": "anything"}]) == [{"x": "anything"}]


def test_further_texts_may_mean_missing() -> None:
    embedder = fitted([{"x": 1}, {"x": "n/a"}, {"x": " ? "}, {"x": None}], numeric="x", missing="n/a,?")
    vectors = embedder.embed([{"x": "n/a"}, {"x": "?"}, {"x": ""}])
    assert (vectors == vectors[2]).all()


def test_wrong_records() -> None:
    records = list(PERSONS.values())
    with pytest.raises(
        errors.InputError, match=r"none of 3 items has a column 'hieght'; .* \(did you mean 'height'\?\)"
    ):
        fitted(records, numeric="hieght")
    embedder = fitted(records, numeric="height,weight", categorical="hobby")
    with pytest.raises(errors.InputError, match=r"item 1 has none of the columns height, weight, hobby; it has colour"):
        embedder.embed([records[0], {"colour": "red"}])
    with pytest.raises(errors.InputError, match=r"query 0 has 'heigth', .* \(did you mean 'height'\?\)"):
        embedder.embed([{"heigth": 180, "weight": 70}], role="query")
    with pytest.raises(errors.InputError, match="item 0 is of type str, a dict"):
        embedder.embed(["a"])
    with pytest.raises(errors.InputError, match=r"item 70, column 'height': 1e\+100 lies .* steps of"):
        embedder.check_items([{"height": 1e100}], first=70)
    when = fitted([{"born": "1970-01-01T00:00:00.000000"}, {"born": "1970-01-01T00:00:00.000001"}], dates="born")
    with pytest.raises(errors.InputError, match="item 8, column 'born': '9000-01-01' lies"):
        when.check_items([{"born": None}, {"born": "9000-01-01"}], first=7)
    with pytest.raises(errors.InputError, match=r"item 1, column 'height': 1e\+100 lies .* steps of"):
        embedder.embed([records[0], {"height": 1e100}])
    with pytest.raises(errors.NotTrainedError):
        TableEmbedder(numeric="height").embed(records)
    with pytest.raises(errors.ParameterError, match="there is a weight for 'heigt', which is none of"):
        fitted(records, weights="heigt=2")
