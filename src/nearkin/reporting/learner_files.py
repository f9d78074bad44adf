"""Files that learners are reported in: a page, Markdown with pictures, JSON, or a folder of all of them."""

from __future__ import annotations

import os
from pathlib import Path

from nearkin.errors import ParameterError
from nearkin.reporting.drawing import Picture, need_matplotlib
from nearkin.reporting.learner_page import as_html, as_markdown
from nearkin.reporting.learner_pictures import (
    boundary_picture,
    confusion_picture,
    curve_picture,
    errors_picture,
    methods_picture,
    reliability_picture,
)
from nearkin.reporting.learner_plane import plane_of
from nearkin.reporting.learner_tables import LearnerReport, as_json
from nearkin.store.durability import storage_errors
from nearkin.store.replacement import FolderKind, check_place, write_folder

__all__ = ["LearnerReport", "check_learner_report", "write_learner_report"]

FILES = ("learners.html", "learners.md", "learners.json")
PICTURES = ("methods", "confusion", "reliability", "learning_curve", "boundary", "predictions")
FOLDER = FolderKind("report on learners", "learners.json", frozenset({*FILES, *(f"{each}.png" for each in PICTURES)}))
ENDINGS = (".html", ".md", ".json")


def check_learner_report(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse a place that may not be written, and a machine without matplotlib, before any work.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    ParameterError
        Something is at `path` that may not be replaced, or its ending is that of another file.
    """
    place = Path(path)
    if place.suffix.lower() != ".json":
        need_matplotlib()
    if not place.suffix or place.is_dir():
        check_place(path, overwrite=overwrite, kind=FOLDER)
        return
    if place.suffix.lower() not in ENDINGS:
        raise ParameterError(
            f"{os.fspath(path)!r} is no report: its name ends with {', '.join(ENDINGS)}, or with nothing for a folder"
        )
    if place.exists() and not overwrite:
        raise ParameterError(f"{os.fspath(path)!r} is there already", hint="pass overwrite=True (--overwrite)")


def write_learner_report(report: LearnerReport, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write what the ending of `path` says; errors as for `nearkin.Judgement.report`."""
    check_learner_report(path, overwrite=overwrite)
    place = Path(path)
    kind = place.suffix.lower()
    drawn = pictures(report) if kind != ".json" else []
    if not kind or place.is_dir():
        _write_folder(report, drawn, path, overwrite=overwrite)
        return
    with storage_errors(place, "written"):
        place.parent.mkdir(parents=True, exist_ok=True)
        prefix = f"{place.stem}-"
        if kind == ".html":
            text = as_html(report, drawn)
        else:
            text = as_markdown(report, drawn, prefix) if kind == ".md" else as_json(report)
        place.write_text(text, encoding="utf-8", newline="")
        for each in drawn if kind == ".md" else []:
            (place.parent / f"{prefix}{each.name}.png").write_bytes(each.png)


def _write_folder(
    report: LearnerReport, drawn: list[Picture], path: str | os.PathLike[str], *, overwrite: bool
) -> None:
    texts = {
        "learners.html": as_html(report, drawn),
        "learners.md": as_markdown(report, drawn),
        "learners.json": as_json(report),
    }

    def fill(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        for each in drawn:
            (folder / f"{each.name}.png").write_bytes(each.png)

    write_folder(path, fill, overwrite=overwrite, kind=FOLDER)


def pictures(report: LearnerReport) -> list[Picture]:
    """Those that there are numbers for."""
    judged = report.judged
    drawn = [methods_picture(report.comparison)] if report.comparison is not None else []
    if judged.task == "classes":
        drawn.append(confusion_picture(judged))
        drawn += [reliability_picture(judged)] if judged.reliability else []
    else:
        drawn.append(errors_picture(judged))
    drawn += [curve_picture(report.curve)] if report.curve is not None else []
    plane = plane_of(judged)
    return [*drawn, boundary_picture(plane)] if plane is not None else drawn
