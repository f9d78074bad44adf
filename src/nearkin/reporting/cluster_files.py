"""The folder that a clustering is saved to: a page, pictures, labels, centroids and everything as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nearkin.errors import ParameterError
from nearkin.reporting.cluster_page import as_html
from nearkin.reporting.cluster_pictures import cluster_picture, curve_picture, outlier_picture
from nearkin.reporting.cluster_tables import ClusterReport, as_json, centroids_csv, labels_csv
from nearkin.reporting.drawing import Picture, need_matplotlib, standalone_svg
from nearkin.store.durability import storage_errors
from nearkin.store.replacement import FolderKind, check_place, write_folder

if TYPE_CHECKING:
    from nearkin.clustering.result import Clustering

FILES = ("clusters.html", "clusters.json", "labels.csv", "centroids.csv")
PICTURES = ("clusters.png", "outliers.png", "k_curve.png")
FOLDER = FolderKind("clustering", "clusters.json", frozenset({*FILES, *PICTURES}))


def check_folder(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a place that may not be written, and a machine without matplotlib, before any work.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    ParameterError
        Something is at `path` that may not be replaced.
    """
    need_matplotlib()
    check_place(path, overwrite=overwrite, kind=FOLDER)


def write_report(report: ClusterReport, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write the folder, which appears complete or not at all; errors as for `nearkin.Clustering.save`."""
    check_folder(path, overwrite=overwrite)
    if report.ids is not None and len(report.ids) != len(report.found.labels):
        raise ParameterError(f"{len(report.ids):,} ids were given for {len(report.found.labels):,} rows")
    drawn = pictures(report)
    texts = {
        "clusters.html": as_html(report, drawn),
        "clusters.json": as_json(report),
        "labels.csv": labels_csv(report),
        "centroids.csv": centroids_csv(report),
    }

    def fill(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        for each in drawn:
            (folder / f"{each.name}.png").write_bytes(each.png)

    write_folder(path, fill, overwrite=overwrite, kind=FOLDER)


def pictures(report: ClusterReport) -> list[Picture]:
    """The plane, the curve that k was chosen by if it was, and the distances from the centroids."""
    found = report.found
    drawn = [cluster_picture(found, report.columns, seed=found.seed)]
    if found.choice is not None and len(found.choice.curve) > 1:
        drawn.append(curve_picture(found.choice))
    return [*drawn, outlier_picture(report.outliers)]


def write_picture(found: Clustering, path: str | os.PathLike[str], columns: tuple[str, ...] = ()) -> None:
    """The plane as a file of its own; errors as for `nearkin.Clustering.picture`."""
    place = Path(path)
    ending = place.suffix.lower()
    if ending not in (".png", ".svg"):
        raise ParameterError(f"a picture is written as .png or .svg, and {os.fspath(path)!r} ends otherwise")
    drawn = cluster_picture(found, columns, seed=found.seed)
    with storage_errors(place, "written"):
        place.write_bytes(drawn.png if ending == ".png" else standalone_svg(drawn.svg).encode())
