"""``nearkin cluster``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

import nearkin as nk

RNG = np.random.default_rng(0)
CENTRES = np.array([[20.0, 30_000.0, 10.0], [40.0, 60_000.0, 90.0], [60.0, 90_000.0, 50.0]])
TRUTH = np.repeat([0, 1, 2], [60, 30, 10])
TABLE = CENTRES[TRUTH] + RNG.normal(size=(100, 3)) * [2.0, 2_000.0, 4.0]


@pytest.fixture
def customers(tmp_path):
    """customers.csv: ids, a name, three columns of numbers in units of their own, and a weight."""
    lines = ["id,name,Age,Income (k$),score,weight"]
    lines += [f"c{at},n{at},{a:.3f},{b:.3f},{c:.3f},{1 + at % 2}" for at, (a, b, c) in enumerate(TABLE)]
    (tmp_path / "customers.csv").write_text("\n".join(lines))
    return tmp_path / "customers.csv"


def answer(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def labels_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_segments_of_a_table_in_its_own_units(run, customers):
    result = run("cluster", "customers.csv", "--numeric", "age,income,score", "-k", 3)
    assert result.exit_code == 0, result.output
    assert "standardized-euclidean" in result.stderr
    assert "--metric euclidean" in result.stderr
    for word in ("Age", "Income", "score", "60.0%", "medoid id", "silhouette", "Davies-Bouldin", "critical"):
        assert word in result.stdout
    found = answer(run("cluster", "customers.csv", "--numeric", "age,income,score", "-k", 3, "--json"))
    assert found["columns"] == ["Age", "Income (k$)", "score"]
    order = np.argsort([each["centroid"][0] for each in found["clusters"]])
    assert [found["clusters"][at]["rows"] for at in order] == [60, 30, 10]
    means = [TABLE[group == TRUTH].mean(axis=0) for group in range(3)]
    np.testing.assert_allclose([found["clusters"][at]["centroid"] for at in order], means, rtol=1e-4)
    assert {each["medoid"][0] for each in found["clusters"]} == {"c"}
    wanted = nk.cluster(TABLE.astype(np.float32), 3, metric="standardized-euclidean").quality()
    assert found["quality"]["wcss"] == pytest.approx(wanted.wcss, rel=1e-3)


def test_the_folder_has_everything(run, customers, tmp_path):
    result = run("cluster", "customers.csv", "--numeric", "age,income", "-k", 3, "-o", "out/segments")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "segments"
    names = {each.name for each in folder.iterdir()}
    assert names == {"clusters.html", "clusters.png", "outliers.png", "labels.csv", "centroids.csv", "clusters.json"}
    rows = labels_of((folder / "labels.csv").read_text())
    assert [row["id"] for row in rows] == [f"c{at}" for at in range(100)]
    pairs = {(int(row["cluster"]), truth) for row, truth in zip(rows, TRUTH.tolist(), strict=True)}
    assert len(pairs) == 3
    assert {row["band"] for row in rows} <= {"normal", "warning", "critical"}
    assert list(labels_of((folder / "centroids.csv").read_text())[0]) == [
        "cluster",
        "rows",
        "medoid",
        "Age",
        "Income (k$)",
    ]
    page = (folder / "clusters.html").read_text()
    assert "3 clusters of customers.csv" in page
    assert "http" not in page.replace("http://www.w3.org/", "")
    assert (folder / "clusters.png").read_bytes().startswith(b"\x89PNG")
    again = run("cluster", "customers.csv", "-k", 2, "-o", "out/segments")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert run("cluster", "customers.csv", "-k", 2, "-o", "out/segments", "--overwrite").exit_code == 0


def test_k_is_chosen_and_the_curve_printed(run, customers, tmp_path):
    result = run("cluster", "customers.csv", "--numeric", "Age,score", "-k", "auto", "-o", "out")
    assert result.exit_code == 0, result.output
    assert "k = 3 has the highest mean silhouette" in result.stdout
    assert next(line for line in result.stdout.splitlines() if line.endswith("taken")).split()[0] == "3"
    assert (tmp_path / "out" / "k_curve.png").is_file()
    assert answer(run("cluster", "customers.csv", "--numeric", "Age,score", "--json"))["choice"]["k"] == 3


def test_every_method_side_by_side(run, customers):
    result = run("cluster", "customers.csv", "--numeric", "Age,score", "-k", 3, "--compare", "--metric", "manhattan")
    assert result.exit_code == 0, result.output
    for word in ("objective", "kmedoids", "kmedians", "memory", "spherical is refused: "):
        assert word in result.stdout
    found = answer(run("cluster", "customers.csv", "--numeric", "Age", "-k", 3, "--compare", "--json"))
    assert found["metric"] == "standardized-euclidean"
    assert {"lloyd", "kmeans"} <= {each["method"].partition(":")[0] for each in found["methods"]}
    refused = run("cluster", "customers.csv", "--compare")
    assert (refused.exit_code, "-k is auto" in refused.stderr) == (2, True)


def test_labels_of_these_rows_and_of_others(run, customers, tmp_path):
    given = ("cluster", "customers.csv", "--numeric", "age,income,score", "-k", 3)
    result = run(*given, "--labels", "labels.csv")
    assert "labels.csv" in result.stdout
    written = labels_of((tmp_path / "labels.csv").read_text())
    assert labels_of(run(*given, "--labels", "-").stdout) == written
    lines = customers.read_text().splitlines()
    (tmp_path / "new.csv").write_text("\n".join([lines[0], *lines[31:40], "far,x,500,0,0,1"]))
    fresh = labels_of(run(*given, "--assign", "new.csv").stdout)
    assert fresh[:9] == written[30:39]
    assert (fresh[9]["id"], fresh[9]["band"]) == ("far", "critical")
    done = run(*given, "--assign", "new.csv", "--labels", "new-labels.csv")
    assert "clusters" in done.stdout
    assert labels_of((tmp_path / "new-labels.csv").read_text()) == fresh


def test_rows_that_lack_numbers(run, tmp_path):
    (tmp_path / "gaps.csv").write_text("x,y\n1,2\n,3\n1.5,NA\n9,9\n9,8\n")
    result = run("cluster", "gaps.csv", "-k", 2)
    assert result.exit_code == 2
    assert "gaps.csv lacks numbers in 2 of 5 rows (x 1, y 1); pass --drop-missing" in result.stderr
    result = run("cluster", "gaps.csv", "-k", 2, "--drop-missing", "--labels", "-")
    assert "note: 2 of 5 rows were left out, which lack a number" in result.stderr
    assert [row["id"] for row in labels_of(result.stdout)] == ["0", "3", "4"]
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"x": [1, None, 9], "y": [1, 2, 3]}).to_parquet(tmp_path / "gaps.parquet", index=False)
    assert "1 of 3 rows (x 1)" in run("cluster", "gaps.parquet", "-k", 2).stderr
    assert run("cluster", "gaps.parquet", "-k", 2, "--drop-missing", "--json").exit_code == 0


def test_weights_are_a_column_that_is_not_clustered_by(run, customers):
    found = answer(run("cluster", "customers.csv", "-k", 3, "--weights", "weight", "--metric", "euclidean", "--json"))
    assert found["columns"] == ["Age", "Income (k$)", "score"]
    rows = np.float32([[float(f"{value:.3f}") for value in row] for row in TABLE])
    wanted = nk.cluster(rows, 3, weights=1 + np.arange(100) % 2)
    assert found["inertia"] == pytest.approx(wanted.inertia, rel=1e-6)


def test_vectors_without_names(run, vectors):
    result = run("--seed", 3, "cluster", "v.npy", "-k", 8, "--nprobe", 2, "--metric", "cosine", "--n-init", 1)
    assert result.exit_code == 0, result.output
    assert "this clustering costs you" in result.stdout
    assert "medoid row" in result.stdout
    assert "seed 3" in result.stdout
    piped = run("cluster", "-", "-k", 2, "--json", input=b"[1, 2]\n[1, 3]\n[9, 9]\n")
    assert answer(piped)["rows"] == 3
    table = run("cluster", "-", "-k", 2, "--format", "csv", "--numeric", "b", "--json", input="a,b\n1,2\n3,4\n5,60\n")
    assert answer(table)["columns"] == ["b"]


def test_centroids_to_start_from(run, vectors, tmp_path):
    np.save(tmp_path / "start.npy", vectors[:4])
    found = answer(run("cluster", "v.npy", "-k", 4, "--init", "start.npy", "--max-iter", 1, "--json"))
    wanted = nk.cluster(vectors, 4, init=vectors[:4], max_iter=1)
    assert found["inertia"] == pytest.approx(wanted.inertia)
    assert answer(run("cluster", "v.npy", "-k", 4, "--init", "forgy", "--json"))["method"].count("init=random") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--numeric", "agee", "-k", "3"), 2, "no column 'agee' (did you mean 'Age'?); it has"),
        (("--numeric", "e", "-k", "3"), 2, "'e' may be any of"),
        (("--numeric", "name", "-k", "3"), 2, "holds text"),
        (("--numeric", "age,Age", "-k", "3"), 2, "asked for twice"),
        (("-k", "0"), 2, "neither 'auto' nor"),
        (("-k", "101"), 2, "101 centroids asked of 100 rows"),
        (("-k", "3", "--method", "kmens"), 3, "did you mean 'kmeans'"),
        (("-k", "3", "--method", "spherical", "--metric", "manhattan"), 2, "use method='lloyd'"),
        (("-k", "3", "--init", "best"), 2, "k-means++"),
        (("-k", "3", "-o", ""), 2, "empty"),
        (("-k", "3", "--nprobe", "9"), 2, "nprobe is 9"),
        (("-k", "3", "--assign", "gone.csv"), 5, "there is no file gone.csv"),
        (("-k", "3", "--labels", "no/such/place.csv"), 5, "no/such/place.csv"),
        (("-k", "3", "--weights", "name"), 2, "holds text"),
    ],
)
def test_what_is_wrong_is_one_sentence(run, customers, arguments, code, said):
    result = run("cluster", "customers.csv", *arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert said in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_files_without_columns_are_told(run, vectors):
    result = run("cluster", "v.npy", "--numeric", "x", "-k", 2)
    assert result.exit_code == 2
    assert "npy files name no columns" in result.stderr
    result = run("cluster", "-", "--numeric", "x", "-k", 2, input=b"[1]\n")
    assert "--format csv" in result.stderr


def test_without_matplotlib_nothing_is_read(run, monkeypatch):
    monkeypatch.setattr("nearkin.reporting.drawing.importlib.util.find_spec", lambda name: None)
    result = run("cluster", "gone.npy", "-k", 2, "-o", "out")
    assert result.exit_code == 4
    assert 'pip install "nearkin[report]"' in result.stderr
