"""Every command on tiny files, and what it prints."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import nearkin as nk
from nearkin.cli import rendering

Run = Callable[..., Result]


def test_build_prints_what_was_built_and_saves_it(run: Run, vectors: np.ndarray) -> None:
    arguments = ("v.npy", "--metric", "cosine", "--plan", "ivf,pq,refine-f16", "--set", "nprobe=20")
    result = run("build", *arguments, "-o", "indexes/a", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["rows"], report["dim"], report["plan"]) == (400, 8, "ivf20,pq4x4,refine-f16")
    assert report["search"]["nprobe"] == 20
    sizes = report["bytes"]
    assert sizes["float32"] == 400 * 8 * 4
    assert sizes["allocated"]["refinement"] == 400 * 8 * 2
    assert set(sizes["predicted"]) == set(sizes["allocated"])
    assert sizes["disk"]["vectors"] >= sizes["float32"]
    with nk.open("indexes/a", readonly=True) as saved:
        assert saved.search(vectors[:5], 1).ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    text = run("build", *arguments, "-o", "indexes/b").stdout
    assert "ivf20,pq4x4,refine-f16" in text
    assert "rows as float32" in text


def test_build_overwrites_only_when_told(run: Run, built: Path) -> None:
    refused = run("build", "v.npy", "-o", "indexes/mine")
    assert refused.exit_code == 2
    assert "pass --overwrite" in refused.stderr
    assert run("build", "v.npy", "-o", "indexes/mine", "--overwrite").exit_code == 0
    assert json.loads(run("info", "indexes/mine", "--json").stdout)["plan"] == "flat"


def test_build_without_vectors(run: Run, vectors: np.ndarray) -> None:
    assert run("build", "v.npy", "-o", "indexes/lean", "--no-vectors").exit_code == 0
    facts = json.loads(run("info", "indexes/lean", "--json").stdout)
    assert facts["keeps_vectors"] is False
    assert facts["bytes"]["disk"]["vectors"] == 0
    assert run("add", "indexes/lean", "v.npy").exit_code == 2


def test_build_skips_bad_rows_and_lists_them(run: Run, vectors: np.ndarray, tmp_path: Path) -> None:
    vectors[[3, 7]] = np.nan
    np.save(tmp_path / "bad.npy", vectors)
    result = run("build", "bad.npy", "--on-bad", "skip", "-o", "indexes/a")
    assert result.exit_code == 0
    assert "2 rows left out: 3, 7" in result.stderr
    report = json.loads(run("build", "bad.npy", "--on-bad", "skip", "-o", "indexes/b", "--json").stdout)
    assert (report["rows"], report["skipped"]) == (398, [3, 7])


def test_same_seed_builds_the_same(run: Run, vectors: np.ndarray) -> None:
    for name in ("a", "b"):
        assert run("--seed", "5", "build", "v.npy", "--plan", "ivf8", "-o", name).exit_code == 0
    found = [run("search", name, "v.npy", "-k", "3", "--set", "nprobe=1").stdout for name in ("a", "b")]
    assert found[0] == found[1]


@pytest.mark.parametrize("style", ["--json", "--nl", "--csv"])
def test_search_formats_hold_the_same_as_python(run: Run, built: Path, vectors: np.ndarray, style: str) -> None:
    result = run("search", "indexes/mine", "v.npy", "-k", "3", style)
    assert (result.exit_code, result.stderr) == (0, "")
    if style == "--json":
        hits = json.loads(result.stdout)
    elif style == "--nl":
        hits = [json.loads(line) for line in result.stdout.splitlines()]
    else:
        hits = list(csv.DictReader(io.StringIO(result.stdout)))
    with nk.open(built, readonly=True) as saved:
        wanted = saved.search(vectors, 3).to_columns()
    assert list(hits[0]) == ["query", "rank", "id", "distance", "similarity"]
    for name in ("query", "rank", "id"):
        assert [int(hit[name]) for hit in hits] == wanted[name].tolist()
    for name in ("distance", "similarity"):  # the decimals printed read back as the same float32
        np.testing.assert_array_equal(np.float32([float(hit[name]) for hit in hits]), wanted[name])


def test_search_table(run: Run, built: Path) -> None:
    lines = run("search", "indexes/mine", "v.npy", "-k", "1", "--table").stdout.splitlines()
    assert lines[0].split() == ["query", "rank", "id", "distance", "similarity"]
    assert lines[2].split() == ["0", "0", "0", "0", "1"]
    assert len(lines) == 402


def test_search_names_queries_by_their_ids(run: Run, shop: Path) -> None:
    result = run("search", shop, "shop.csv", "--format", "csv:id=sku", "-k", "2", "--csv")
    assert [line.split(",")[:3] for line in result.stdout.splitlines()[1:]] == [
        ["a", "0", "a"],
        ["a", "1", "b"],
        ["b", "0", "b"],
        ["b", "1", "a"],
        ["c", "0", "c"],
        ["c", "1", "b"],
    ]


def test_search_by_distance(run: Run, shop: Path) -> None:
    result = run("search", shop, "-", "--max-distance", "1.5", "--nl", input="[1, 0]\n[5, 5]\n")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["a", "b"]
    refused = run("search", shop, "-", "--max-distance", "1", "-k", "3", input="[1, 0]")
    assert refused.exit_code == 2
    assert "exclude each other" in refused.stderr


def test_incomplete_queries_are_noted_with_the_reason(run: Run, shop: Path) -> None:
    result = run("search", shop, "-", "-k", "5", "--nl", input="[1, 0]")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == "note: the query got fewer neighbours than asked: the collection has 3 rows, 5 asked\n"
    assert run("search", shop, "-", "-k", "5", input="[1, 0]\n[2, 0]").stderr.startswith("note: 2 of 2 queries got")


def test_queries_from_standard_input(run: Run, built: Path, vectors: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, vectors[:4])
    lines = "\n".join(json.dumps(row.tolist()) for row in vectors[:4])
    from_file = run("search", "indexes/mine", "-", "-k", "2", "--nl", input=buffer.getvalue())
    assert from_file.exit_code == 0
    assert run("search", "indexes/mine", "-", "-k", "2", "--nl", input=lines).stdout == from_file.stdout
    piped = run("get", "indexes/mine", "17").stdout
    found = json.loads(run("search", "indexes/mine", "-", "-k", "1", "--nl", input=piped).stdout)
    assert (found["query"], found["id"], found["distance"]) == (17, 17, 0.0)


def test_add_get_delete(run: Run, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("sku,colour,x,y\nd,pink,4,0\n")
    added = run("add", shop, "more.csv", "--format", "csv:id=sku")
    assert (added.exit_code, added.stdout) == (0, f"added 1 row to {shop}, which now has 4\n")
    rows = [json.loads(line) for line in run("get", shop, "d", "a").stdout.splitlines()]
    assert rows[0] == {"id": "d", "vector": [4.0, 0.0], "metadata": {"colour": "pink"}}
    assert rows[1]["id"] == "a"
    deleted = run("delete", shop, "-", input="a\nd\n")
    assert (deleted.exit_code, deleted.stdout) == (0, f"deleted 2 rows from {shop}, which now has 2\n")
    assert run("get", shop, "a").exit_code == 3


def test_add_replaces_unless_told_not_to(run: Run, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "again.csv").write_text("sku,colour,x,y\na,white,5,5\nnew,grey,6,6\n")
    refused = run("add", shop, "again.csv", "--id", "sku", "--only-new")
    assert refused.exit_code == 2
    assert "id 'a' is there already" in refused.stderr
    report = json.loads(run("add", shop, "again.csv", "--id", "sku", "--json").stdout)
    assert (report["added"], report["replaced"], report["rows"]) == (1, 1, 4)
    assert json.loads(run("get", shop, "a").stdout)["vector"] == [5.0, 5.0]


def test_add_from_standard_input(run: Run, shop: Path) -> None:
    line = '{"id": "z", "vector": [0.1, 0.2], "metadata": {"colour": "black"}}'
    assert run("add", shop, "-", input=line).exit_code == 0
    assert json.loads(run("get", shop, "z").stdout) == json.loads(line)


def test_info_and_optimize(run: Run, built: Path, vectors: np.ndarray) -> None:
    run("add", "indexes/mine", "v.npy")
    run("delete", "indexes/mine", "3", "5")
    facts = json.loads(run("info", "indexes/mine", "--json").stdout)
    assert (facts["rows"], facts["deleted"], facts["uncovered"]) == (798, 2, 400)
    assert (facts["metric"], facts["plan"], facts["problems"]) == ("euclidean", "ivf8", [])
    assert "built ivf8 over 798 rows" in run("optimize", "indexes/mine").stdout
    text = run("info", "indexes/mine").stdout
    assert "uncovered  0\n" in text
    assert "problems   none\n" in text


def test_describe(run: Run, vectors: np.ndarray) -> None:
    found = json.loads(run("describe", "v.npy", "--json").stdout)
    assert found == nk.describe(vectors).to_dict()
    text = run("describe", "v.npy", "--metric", "cosine").stdout
    assert "cosine distance" in text
    assert "400" in text


def test_convert(run: Run, vectors: np.ndarray, shop: Path) -> None:
    result = run("convert", "v.npy", "v.fvecs")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "wrote 400 rows to v.fvecs\n", "")
    np.testing.assert_array_equal(nk.read_vectors("v.fvecs").vectors, vectors)
    lossy = run("convert", "shop.csv", "shop.npy", "--from", "csv:id=sku")
    assert lossy.stderr == "note: shop.npy cannot keep the ids and metadata of shop.csv\n"


def test_components(run: Run) -> None:
    every = json.loads(run("components", "--json").stdout)
    kinds = {
        "metrics",
        "indexes",
        "transforms",
        "codecs",
        "clusterers",
        "embedders",
        "learners",
        "recommenders",
        "formats",
    }
    assert set(every) == kinds
    pq = next(each for each in every["codecs"] if each["name"] == "pq")
    assert (pq["options"], pq["plugin"]) == ({"M": None, "bits": 4}, "codecs")
    text = run("components").stdout
    assert all(each["name"] in text for kind in every.values() for each in kind)
    assert json.loads(run("components", "metric", "--json").stdout) == {"metrics": every["metrics"]}


def test_compatibility_is_what_building_says(run: Run) -> None:
    table = json.loads(run("components", "--compat", "--json").stdout)
    rows = np.random.default_rng(0).gamma(2, size=(300, 8))
    bits = np.packbits(rows > 2, axis=1)
    for each in table:
        if each["index"] == "faiss" or (each["metric"] == "haversine" and "pq" in each["codec"]):
            continue  # three columns have no eight groups
        codec = "" if each["codec"] in ("f32", "bits") else f",{each['codec']}"
        wants_bits = each["metric"] in ("hamming", "jaccard", "dice")
        wraps_and_keeps_rows = each["index"] == "surrogate" and codec  # a codec after it belongs to the index inside
        if wants_bits != (each["codec"] == "bits") or wraps_and_keeps_rows:
            assert not each["legal"]
            continue
        try:
            given = bits if wants_bits else rows[:, :2] if each["metric"] == "haversine" else rows
            nk.build(given, metric=each["metric"], plan=f"{each['index']}{codec}", threads=1)
        except nk.errors.NotSupportedError:
            assert not each["legal"], each
            assert each["reason"]
        else:
            assert each["legal"], each
    text = run("components", "--compat").stdout
    assert text.count("yes") == sum(each["legal"] for each in table)


def test_plugins_list(run: Run) -> None:
    found = json.loads(run("plugins", "list", "--json").stdout)
    assert found["failed"] == []
    metrics = next(each for each in found["loaded"] if each["name"] == "metrics")
    assert "metric cosine" in metrics["components"]
    assert "cosine" in run("plugins", "list").stdout


def test_new_metric_passes_its_checks(run: Run) -> None:
    written = run("plugins", "new", "metric", "my-metric", "--to", "there").stdout.splitlines()
    assert "there/src/nearkin_my_metric.py" in written
    checked = run("--plugin", "there/src/nearkin_my_metric.py", "plugins", "check", "nearkin-my-metric")
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.startswith("metric my-metric: ")
    assert run("plugins", "new", "metric", "my-metric", "--to", "there").exit_code == 2
    assert run("plugins", "new", "metric", "My Metric").exit_code == 2


def test_failing_check_ends_with_4(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("""
import numpy as np
from nearkin import Metric, MetricSpec, hookimpl

class Wrong(Metric):
    name = "wrong"
    axioms = frozenset({"symmetric"})

    def pairwise(self, queries, vectors):
        return queries[:, :1].astype(np.float64) - vectors[:, :1].T

@hookimpl
def nearkin_metrics():
    return [MetricSpec(name="wrong", summary="Not symmetric.", make=Wrong)]
""")
    result = run("--plugin", "wrong.py", "plugins", "check", "wrong")
    assert result.exit_code == 4
    assert "symmetric" in result.stdout
    assert result.stderr.startswith("error: plugin 'wrong' fails ")


def test_a_wrong_declaration_is_refused_with_the_rows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "squares.py").write_text("""
import nearkin as nk

@nk.metric("squares", axioms={"non-negative", "identity", "symmetric", "triangle"})
def squares(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += (a[i] - b[i]) ** 2
    return total
""")
    np.save(tmp_path / "line.npy", np.float32([[0, 0], [np.nan, 0], [1, 0], [3, 0]]))
    asked = ("--plugin", "squares.py", "build", "line.npy", "--metric", "squares", "--on-bad", "skip", "-o", "there")
    result = run(*asked)
    assert result.exit_code == 4
    assert result.stderr.splitlines()[-1] == (
        "error: metric 'squares' declares the axiom triangle, and rows break it: the distance of row 0 [0, 0] to row 3 "
        "[3, 0] is 9, and over row 2 [1, 0] it is 1 + 4; correct the formula, or leave triangle out of its axioms"
    )
    assert not (tmp_path / "there").exists()


def test_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARKIN_SEED", "7")
    found = json.loads(run("--threads", "2", "settings", "--json").stdout)
    assert found["threads"] == {"value": 2, "source": "argument"}
    assert found["seed"] == {"value": 7, "source": "NEARKIN_SEED"}
    assert found["indexes"]["source"] == "default"
    assert "NEARKIN_SEED" in run("settings").stdout


def test_measure(run: Run, vectors: np.ndarray) -> None:
    arguments = ("measure", "v.npy", "--plan", "ivf8", "--set", "nprobe=8")
    found = json.loads(run(*arguments, "--held-out", "50", "--json").stdout)
    assert (found["rows"], found["recall"]["queries"], found["recall"]["mean"]) == (350, 50, 1.0)
    text = run(*arguments, "--queries", "v.npy").stdout
    assert "recall@10  1.000 (95 % interval " in text
    assert "your queries" in text
    assert "worst 5 %  recall 1.000 on average (20 of the queries)" in text
    assert "index in memory" in text
    assert "process resident" in text


def test_evaluate_with_queries(run: Run, vectors: np.ndarray, built: Path) -> None:
    np.save("q.npy", np.random.default_rng(1).normal(size=(60, 8)))
    text = run("evaluate", "indexes/mine", "--queries", "q.npy", "--set", "nprobe=1").stdout
    assert "search     nprobe=1" in text
    assert "60 queries), your queries" in text
    assert "advice: raise nprobe from 1 to " in text
    assert re.search(r"^probing +0\.\d{3}  0\.\d{3} to 0\.\d{3}  too little of the index", text, re.MULTILINE)
    assert "surrogate" not in text  # nothing to do with this plan
    facts = json.loads(run("evaluate", "indexes/mine", "--queries", "q.npy", "-k", "5", "--json").stdout)
    assert (facts["k"], facts["quality"]["recall"]["mean"], facts["own_rows"]) == (5, 1.0, False)
    assert facts["losses"]["search"] == {"nprobe": 8}


def test_evaluate_by_rows_of_the_index(run: Run, built: Path) -> None:
    result = run("evaluate", "indexes/mine", "--rows-asked", "50")
    assert "50 queries), rows of its own" in result.stdout
    assert "a graph looks better than it is" in result.stderr
    assert run("evaluate", "indexes/mine", "--set", "ef_search=3").exit_code == 2
    assert run("evaluate", "indexes/none").exit_code == 3


def test_bytes_are_shown_with_the_error_of_the_prediction(run: Run, vectors: np.ndarray) -> None:
    result = run("build", "v.npy", "--plan", "ivf8,pq4x4,refine-f16", "-o", "indexes/small")
    assert re.search(r"^index in memory +[\d.]+ kB +[\d.]+ kB +[+-]?\d+\.\d%", result.stdout, re.MULTILINE)
    assert re.search(r"^vectors mapped kept +12\.8 kB", result.stdout, re.MULTILINE)
    facts = json.loads(run("info", "indexes/small", "--json").stdout)
    assert facts["bytes"]["kept"] == {"vectors mapped": 12_800, "tombstones": 400}
    assert sum(facts["bytes"]["predicted"].values()) == pytest.approx(
        sum(facts["bytes"]["allocated"].values()), rel=0.1
    )


def test_python_m_nearkin() -> None:
    command = [sys.executable, "-m", "nearkin", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"nearkin, version {nk.__version__}\n"


def test_long_tables_look_like_short_ones_without_the_slow_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    headers, right = ("query", "rank", "id", "distance"), ("rank", "distance")
    rows = [(f"{each // 10}", each % 10, ("a", "日本", "b c")[each % 3], f"{each / 7:.4g}") for each in range(500)]
    odd = ("a\nb", 0, "x" * 200, "")

    def printed(*rows: tuple[object, ...]) -> str:
        with CliRunner().isolation() as (out, *_):
            rendering.print_table(headers, rows, right=right)
        return out.getvalue().decode()

    quick, folded = printed(*rows), printed(*rows, odd)
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "MANY_ROWS", 10_000)
        assert (printed(*rows), printed(*rows, odd)) == (quick, folded)
    assert len(quick.splitlines()) == 502
    monkeypatch.setattr("rich.table.Table.add_row", None)
    assert printed(*rows) == quick


def test_a_collection_filled_step_by_step_says_what_was_done(run: Run, vectors: np.ndarray) -> None:
    assert run("create", "indexes/shop", "--dim", "8").exit_code == 0
    refused = run("create", "indexes/shop", "--dim", "8")
    assert (refused.exit_code, "overwrite" in refused.stderr, "nearkin add" in refused.stderr) == (2, False, True)
    Path("a.jsonl").write_text(json.dumps({"id": "a", "vector": [1.0] * 8, "tags": ["new"], "flag": True, "name": "x"}))
    assert run("add", "indexes/shop", "a.jsonl").stdout == "added 1 row to indexes/shop, which now has 1\n"
    assert run("add", "indexes/shop", "a.jsonl").stdout == "replaced 1 row of indexes/shop, which has 1\n"
    table = run("fields", "indexes/shop").stdout
    assert '["new"]' in table
    assert "true\n" in re.sub(" +\n", "\n", table)
    assert '"x"' not in table
    assert run("optimize", "indexes/shop").stdout.startswith("built flat over 1 rows")
    assert run("optimize", "indexes/shop").stdout == "left flat as it was, over 1 rows\n"


def test_a_filter_that_keeps_nothing_names_fields_that_no_row_has(run: Run, shop: Path) -> None:
    for words in (("count", shop), ("list", shop), ("delete", shop), ("search", shop, "-")):
        result = run(*words, "--where", "color = 'red' and colour = 'no such'", input="[1, 0]")
        assert result.exit_code == 0, result.output
        assert "no row has the field color (nearkin fields" in result.stderr
        assert "field colour" not in result.stderr
