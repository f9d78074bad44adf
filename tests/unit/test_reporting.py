"""A report as files: complete, self-contained, escaped, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.unit.made_tradeoffs import FLAT, four, row, setting, tradeoffs

import nearkin as nk
from nearkin.errors import MissingDependencyError, ParameterError
from nearkin.reporting import drawing, figures
from nearkin.reporting.document import FILES, PICTURES, Report
from nearkin.reporting.figures import pictures
from nearkin.reporting.markdown import as_markdown, plain
from nearkin.reporting.page import as_html
from nearkin.reporting.tables import as_csv, facts, lines

HOSTILE = '<img src=x onerror="alert(1)">|`x` & co'


class Elements(HTMLParser):
    """Tags, with their attributes, and text."""

    VOID = frozenset({"meta", "br", "img", "link", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take seconds, and where files go has nothing to do with them."""
    monkeypatch.setattr("nearkin.reporting.document.pictures", lambda found: [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("reports") / "mine"
    Report(four(), HOSTILE).save(place)
    return place


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_all_files_are_there_and_nothing_else(folder):
    assert {each.name for each in folder.iterdir()} == {*FILES, *PICTURES}
    assert [each.name for each in folder.parent.iterdir()] == ["mine"]
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_the_page_is_well_formed_and_asks_for_nothing(folder):
    page = Elements(page_of(folder))
    assert page.open == []
    for tag, attributes in page.found:
        assert tag not in ("link", "img", "iframe", "object"), tag
        assert not (tag == "script" and "src" in attributes)
        for name in ("src", "href", "xlink:href", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, value)
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in page_of(folder)
    assert re.findall(r"url\((?!#)", page_of(folder)) == []
    assert [tag for tag, _ in page.found].count("svg") == 4


def test_names_and_errors_are_text(folder):
    page = Elements(page_of(folder))
    assert f"Trade-offs of {HOSTILE}" in page.text
    assert "<script>alert(1)</script> | it broke" in page.text
    assert [tag for tag, _ in page.found].count("script") == 1


def test_markdown_tables_have_one_width_and_no_markup_from_outside(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "<script" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
    for name in PICTURES:
        assert f"]({name})" in text
    assert plain(four().failed[0].error) in text


def test_the_recommendation_comes_first_and_its_row_is_marked(folder):
    page = page_of(folder)
    assert page.index("Take <strong>ivf</strong> with nprobe=16") < page.index("<svg") < page.index("<table")
    assert re.search(r'<tr class="best"><td class="text" data-value="ivf">', page)
    assert page.count('<span class="badge speed">') == 3  # ivf, int8, flat: nothing is both faster and better
    assert page.count('<span class="badge memory">') == 3 + 1  # pq, int8, flat; and the one that explains it


def test_the_table_says_what_was_measured():
    first = lines(four())[0]
    assert first.cells == (
        "ivf",
        "nprobe=16",
        "0.970",
        "0.960 to 0.980",
        "5,000",
        "100",
        "200",
        "110",
        "0.9",
        "0.0",
        "",
    )
    assert first.best_for == ("speed",)


def test_csv_has_a_line_a_setting_and_no_formula():
    found = tradeoffs(FLAT, row("ivf", 5, setting(0.9, 2), setting(0.99, 1)), row("bad", 0, error="=HYPERLINK(1)"))
    read = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [each["plan"] for each in read] == ["flat", "ivf", "ivf", "bad"]
    assert float(read[2]["recall"]) == 0.99
    assert read[3]["error"] == "'=HYPERLINK(1)"


def test_json_holds_everything(folder):
    read = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert read == json.loads(json.dumps(Report(four(), HOSTILE).to_dict()))
    assert [each["plan"] for each in read["rows"]] == ["flat", "ivf", "flat,int8", "flat,pq", "theirs"]
    assert read["rows"][1]["settings"][1]["recall"]["mean"] == 0.97
    assert read["recommendation"]["plan"] == "ivf"
    assert read["left_out"][0]["plan"] == "hnsw,int8"
    assert read["claims"][0]["verdict"] == "holds"


def test_json_has_null_for_what_is_not_finite():
    found = tradeoffs(FLAT, row("ivf", 5, setting(0.9, 2), reconstruction_error=float("nan")))
    assert Report(found).to_dict()["rows"][1]["reconstruction_error"] is None


def test_how_it_was_measured():
    said = facts(four())
    assert "500, rows held out before anything was built" in said["queries"]
    assert "1 thread;" in said["speed"]
    assert "given by you" in facts(tradeoffs(FLAT, held_out=False))["queries"]
    assert "counted as right" in facts(tradeoffs(FLAT, ties=True))["recall"]


def test_a_busy_machine_is_said_and_a_steady_one_is_not():
    busy, steady = tradeoffs(FLAT, drift=0.4), tradeoffs(FLAT, drift=1.2)
    assert "flat was only 0.4 times as fast at the end as at the start" in as_html(busy, "x", [])
    assert "only 0.4 times as fast" in as_markdown(busy, "x", []).replace("\\", "")
    for text in (as_html(steady, "x", []), as_markdown(steady, "x", []), as_html(tradeoffs(FLAT), "x", [])):
        assert "Other programs" not in text
    assert "at 120% of its first speed" in facts(steady)["speed"]


def test_one_plan_without_a_histogram_is_drawn_too():
    drawn = pictures(tradeoffs(FLAT, histogram=None))
    assert [each.name for each in drawn] == ["recall_speed", "recall_memory", "memory"]
    assert drawn[0].key == ("flat",)


def test_pictures_take_the_colours_and_the_font_of_the_page():
    for each in pictures(four()):
        assert "var(--ink)" in each.svg
        assert "var(--font)" in each.svg
        assert figures.INK not in each.svg
        assert "DejaVu" not in each.svg


# ---- where it is written ---------------------------------------------------------------------------------------------


def test_a_report_is_replaced_only_when_told(tmp_path, undrawn):
    place = tmp_path / "report"
    Report(four(), "first").save(place)
    with pytest.raises(ParameterError, match="there is a report at"):
        Report(four()).save(place)
    Report(four(), "another").save(place, overwrite=True)
    assert "Trade-offs of another" in page_of(place)


def test_nothing_but_a_report_is_replaced(tmp_path, undrawn):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(ParameterError, match="not a report, it is not replaced"):
        Report(four()).save(tmp_path / "letters", overwrite=True)
    nk.build(np.eye(3)).save(tmp_path / "index")
    with pytest.raises(ParameterError, match="not a report"):
        Report(four()).save(tmp_path / "index", overwrite=True)
    Report(four()).save(tmp_path / "report")
    with pytest.raises(ParameterError, match="not a collection"):
        nk.build(np.eye(3)).save(tmp_path / "report", overwrite=True)
    (tmp_path / "report" / "mine.txt").write_text("x")
    with pytest.raises(ParameterError, match="not its own"):
        Report(four()).save(tmp_path / "report", overwrite=True)


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, undrawn):
    Report(four(), "first").save(tmp_path / "report")
    monkeypatch.setattr("nearkin.reporting.document.as_csv", lambda found: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Report(four(), "second").save(tmp_path / "report", overwrite=True)
    assert "Trade-offs of first" in page_of(tmp_path / "report")
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


def test_without_matplotlib_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=re.escape('pip install "nearkin[report]"')):
        nk.report(np.full((9, 2), np.nan), path=tmp_path / "report")


def test_a_place_that_is_taken_is_refused_before_any_work(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").write_text("x")
    with pytest.raises(ParameterError, match="not a report"):
        nk.report(np.full((9, 2), np.nan), path=tmp_path / "taken")


def test_from_vectors_to_a_folder(tmp_path):
    said = []
    rows = np.random.default_rng(0).normal(size=(300, 8))
    made = nk.report(rows, path=tmp_path / "r", queries_held_out=20, seconds=0.4, title="mine", progress=said.append)
    assert said[0] == "finding the exact neighbours"
    assert said[-1] == "drawing the report"
    assert said[1].startswith("1 of ")
    assert said[1].endswith(" more: flat")
    assert (
        json.loads((tmp_path / "r" / "report.json").read_text())["recommendation"]["plan"]
        == made.recommendation.row.plan
    )
