"""`nearkin.report`: measure every plan, recommend one, and write all of it into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearkin.claims import Claim, judge_claims
from nearkin.metrics import Metric
from nearkin.recommendation import Recommendation, recommend
from nearkin.registry import Registry
from nearkin.reporting.drawing import need_matplotlib
from nearkin.reporting.figures import pictures
from nearkin.reporting.markdown import as_markdown
from nearkin.reporting.page import as_html
from nearkin.reporting.tables import as_csv, as_dict, as_json
from nearkin.store.replacement import FolderKind, check_place, write_folder
from nearkin.tradeoff_runs import measure_tradeoffs
from nearkin.tradeoffs import TradeOffs

FILES = ("report.html", "report.md", "report.csv", "report.json")
PICTURES = ("recall_speed.png", "recall_memory.png", "memory.png", "distances.png")
FOLDER = FolderKind("report", "report.json", frozenset({*FILES, *PICTURES}))


@dataclass(frozen=True)
class Report:
    """All trade-offs on one set of vectors.

    Attributes
    ----------
    tradeoffs
        What was measured: a row a plan.
    title
        What it was measured on, for the headings.
    """

    tradeoffs: TradeOffs
    title: str = "your vectors"

    @property
    def recommendation(self) -> Recommendation:
        """Which plan to take, and why."""
        return recommend(self.tradeoffs)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What textbooks say, judged on these vectors."""
        return judge_claims(self.tradeoffs)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what report.json holds."""
        return as_dict(self.tradeoffs, self.title)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write report.html, .md, .csv, .json and the pictures as PNG into a folder, which appears complete or not at all.

        Parameters
        ----------
        overwrite
            Replace a report that is there. Any other folder that is not empty is refused all the same.

        Raises
        ------
        MissingDependencyError
            matplotlib is not installed.
        ParameterError
            Something is at `path` that may not be replaced.
        StorageError
            Writing failed; what was there is still there.
        """
        check_place(path, overwrite=overwrite, kind=FOLDER)
        drawn = pictures(self.tradeoffs)
        files = {
            "report.html": as_html(self.tradeoffs, self.title, drawn),
            "report.md": as_markdown(self.tradeoffs, self.title, drawn),
            "report.csv": as_csv(self.tradeoffs),
            "report.json": as_json(self.tradeoffs, self.title),
        }

        def fill(folder: Path) -> None:
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8", newline="")
            for each in drawn:
                (folder / f"{each.name}.png").write_bytes(each.png)

        write_folder(path, fill, overwrite=overwrite, kind=FOLDER)


def report(
    vectors: Any,
    *,
    metric: str | Metric = "euclidean",
    queries: Any = None,
    k: int = 10,
    path: str | os.PathLike[str] | None = None,
    recall: float = 0.95,
    queries_held_out: int = 1000,
    seconds: float | None = None,
    title: str = "your vectors",
    overwrite: bool = False,
    seed: int | None = None,
    threads: int | None = None,
    registry: Registry | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> Report:
    """Measure every plan that is legal for a metric on your vectors, and recommend one.

    Parameters
    ----------
    vectors, metric, queries, k, recall, queries_held_out, seconds, progress
        As for `nearkin.tradeoff_runs.measure_tradeoffs`: without `queries`, rows are held out; a plan that is recommended has a
        recall of surely `recall`; `seconds` is the time that measuring may take, 240 unless it is said.
    path
        Folder to write the report to; None writes nothing, and `Report.save` does later.
    title
        What the headings call the vectors.
    overwrite
        Replace a report at `path`.

    Raises
    ------
    MissingDependencyError
        `path` is given and matplotlib is not installed; said before any work, as is a `path` that may not be replaced.
    VectorError, ParameterError, UnknownNameError
        One sentence each, with the numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import nearkin as nk
    >>> rows = np.random.default_rng(0).normal(size=(600, 8))
    >>> found = nk.report(rows, queries_held_out=50, seconds=0.01)
    >>> found.recommendation.row.plan, found.recommendation.reached
    ('flat', False)
    """
    if path is not None:
        need_matplotlib()
        check_place(path, overwrite=overwrite, kind=FOLDER)
    found = measure_tradeoffs(
        vectors,
        metric=metric,
        queries=queries,
        k=k,
        recall=recall,
        queries_held_out=queries_held_out,
        seconds=seconds,
        seed=seed,
        threads=threads,
        registry=registry,
        progress=progress,
    )
    made = Report(found, title)
    if path is not None:
        progress("drawing the report")
        made.save(path, overwrite=overwrite)
    return made
