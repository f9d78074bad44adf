"""Pages, pictures and tables of clusterings."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import MissingDependencyError, ParameterError, StorageError
from nearkin.reporting.cluster_pictures import MOST_COLOURED, cluster_picture, outlier_picture, project, thinned
from nearkin.reporting.cluster_tables import ClusterReport, as_dict, cluster_cells, cluster_headers

RNG = np.random.default_rng(0)
PLANE = np.concatenate([RNG.normal(size=(40, 2)), RNG.normal(size=(20, 2)) + 12])
WIDE = RNG.normal(size=(300, 6)) * [5, 4, 1, 1, 1, 1]


class Checker(HTMLParser):
    """Every tag that is opened is closed, in order."""

    VOID = frozenset({"meta", "br", "path", "use", "rect", "circle", "image", "line"})

    def __init__(self):
        super().__init__()
        self.open, self.errors = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)


@pytest.mark.parametrize(
    ("rows", "k", "given"),
    [
        (PLANE, 2, {}),
        (PLANE[:, :1], 3, {}),
        (WIDE, 1, {}),
        (WIDE, 30, {"metric": "cosine"}),
        (WIDE, 80, {}),
        (WIDE, "auto", {"metric": "mahalanobis"}),
        (WIDE[:60], 3, {"method": "kmedoids", "metric": "canberra"}),
        (RNG.integers(0, 256, size=(50, 4), dtype=np.uint8), 3, {"method": "kmedoids", "metric": "hamming"}),
        (np.ones((6, 3)), 2, {}),
    ],
    ids=["plane", "line", "one", "many", "very many", "auto", "medoids", "bits", "equal rows"],
)
def test_every_clustering_can_be_saved(tmp_path, rows, k, given):
    found = nk.cluster(rows, k, n_init=1, **given)
    found.save(tmp_path / "out", title="<rows> & such")
    page = (tmp_path / "out" / "clusters.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert not checker.errors
    assert not checker.open
    assert "&lt;rows&gt; &amp; such" in page
    assert "<rows>" not in page
    assert not re.search(r"(?:src|href)=\"https?:|@import|url\(http", page)
    said = json.loads((tmp_path / "out" / "clusters.json").read_text())
    assert said["k"] == found.k
    labels = list(csv.DictReader(io.StringIO((tmp_path / "out" / "labels.csv").read_text())))
    assert [int(row["cluster"]) for row in labels] == found.labels.tolist()
    np.testing.assert_allclose([float(row["distance"]) for row in labels], found.distances(), rtol=1e-6, atol=1e-9)
    assert (tmp_path / "out" / "k_curve.png").exists() == (k == "auto")


def test_two_columns_are_drawn_as_they_are():
    found = nk.cluster(PLANE * [1, 1000], 2, metric="standardized-euclidean")
    places = project(found, np.arange(len(PLANE)), ("a", "b"))
    np.testing.assert_allclose(places.rows, PLANE * [1, 1000], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(places.centroids, found.centroids)
    assert places.axes == ("a", "b")


def test_more_columns_are_drawn_along_their_principal_components():
    found = nk.cluster(WIDE, 3)
    places = project(found, np.arange(len(WIDE)))
    values, vectors = np.linalg.eigh(np.cov(WIDE.T))
    wanted = (WIDE - WIDE.mean(axis=0)) @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(places.rows), np.abs(wanted), atol=1e-4)
    assert f"{values[-2:].sum() / values.sum():.0%}" in places.note
    members = places.rows[found.labels == 1].mean(axis=0)
    np.testing.assert_allclose(places.centroids[1], members, atol=0.05)


def test_small_clusters_are_drawn_however_many_rows_there_are():
    labels = np.repeat([0, 1, 2], [50_000, 5, 300])
    shown = thinned(labels, 3, most=1000)
    counts = np.bincount(labels[shown])
    assert counts[1] == 5
    assert counts[2] >= 6
    assert len(shown) < 1100
    assert (np.diff(shown) > 0).all()
    np.testing.assert_array_equal(shown, thinned(labels, 3, most=1000))


def test_pictures_do_not_rely_on_colour():
    few, many = nk.cluster(WIDE, 8, n_init=1), nk.cluster(WIDE, MOST_COLOURED + 1, n_init=1)
    for found in (few, many):
        svg = cluster_picture(found).svg
        assert all(f">{number}</text>" in svg for number in range(found.k))
        assert "var(--ink)" in svg
        assert "var(--paper)" in svg
    assert "grey" in cluster_picture(many).caption
    assert "grey" not in cluster_picture(few).caption
    assert "warning" in outlier_picture(few.outliers()).svg


def test_a_picture_of_its_own(tmp_path):
    found = nk.cluster(PLANE, 2)
    found.picture(tmp_path / "a.png")
    found.picture(tmp_path / "a.svg", columns=("left", "up"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "a.svg").read_text()
    assert "var(--" not in svg
    assert ">left</text>" in svg
    with pytest.raises(ParameterError, match=r"\.png or \.svg"):
        found.picture(tmp_path / "a.gif")
    with pytest.raises(StorageError):
        found.picture(tmp_path / "no" / "a.png")


def test_the_table_is_right():
    found = nk.cluster(PLANE, 2)
    report = ClusterReport(found, [f"r{at}" for at in range(60)], ("x", "y"))
    assert cluster_headers(report)[3:5] == ("x", "y")
    for cluster, cells in enumerate(cluster_cells(report)):
        members = PLANE[found.labels == cluster]
        assert cells[1] == str(len(members))
        assert float(cells[3]) == pytest.approx(members[:, 0].mean(), rel=1e-3)
        apart = np.linalg.norm(members[:, None] - members[None], axis=2).sum(axis=1)
        row = np.flatnonzero(found.labels == cluster)[apart.argmin()]
        assert cells[-1] == f"r{row}"
        spread = np.linalg.norm(members - members.mean(axis=0), axis=1).mean()
        assert float(cells[5]) == pytest.approx(spread, rel=1e-3)
    json.dumps(as_dict(report), allow_nan=False)


def test_what_does_not_fit_is_refused(tmp_path, monkeypatch):
    found = nk.cluster(PLANE, 2)
    with pytest.raises(ParameterError, match="3 columns were named, 2 were clustered"):
        found.save(tmp_path / "out", columns=("a", "b", "c"))
    with pytest.raises(ParameterError, match="1 ids were given for 60 rows"):
        found.save(tmp_path / "out", ids=["a"])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").write_text("mine")
    with pytest.raises(ParameterError, match="not a clustering"):
        found.save(tmp_path / "taken", overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
    monkeypatch.setattr("nearkin.reporting.drawing.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=re.escape('pip install "nearkin[report]"')):
        found.save(tmp_path / "out")
