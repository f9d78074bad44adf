"""``nearkin learn``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import json_option
from nearkin.cli.rendering import note, print_facts, print_json, print_table, print_whole_table, seconds, working
from nearkin.cli.session import Session
from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.learning.comparing import LearnerComparison, LearnerRow
    from nearkin.learning.judging import Judgement
    from nearkin.learning.labelled_files import Labelled
    from nearkin.learning.learning_curves import LearningCurve
    from nearkin.reporting.learner_files import LearnerReport

BUDGET = 60.0
"""Seconds a method, unless another number is given."""

LABELS_SHOWN = 12

MANY_ROWS = 2000
"""From so many on, what takes long is told before it is done."""


def read_names(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Names separated by commas, in one option or in several."""
    return tuple(name.strip() for text in given for name in text.split(",") if name.strip())


@click.command()
@click.argument("file", metavar="FILE|DIR")
@click.option("--label", metavar="COLUMN", help="Column of the labels, or of the numbers to predict.")
@click.option("--text", metavar="COLUMN", help="Column of texts to learn from.")
@click.option(
    "--columns", metavar="NAMES", multiple=True, callback=read_names, help="Columns of a table to learn from."
)
@click.option("--vectors", metavar="NAMES", multiple=True, callback=read_names, help="Columns that are vectors.")
@click.option("--labels", metavar="FILE", help="Labels of a file of vectors, in the same order.")
@click.option("--method", "methods", metavar="NAME[:OPTIONS]", multiple=True, help="What learns; repeatable.  [knn]")
@click.option("--compare", is_flag=True, help="Compare every method, or those given.")
@click.option("--cv", type=int, default=5, show_default=True, metavar="N", help="Folds.")
@click.option(
    "--task", type=click.Choice(["classes", "numbers"]), help="What is predicted; by default seen from the labels."
)
@click.option("--embedder", metavar="NAME[:OPTIONS]", help="Texts or records to vectors; by default lsa or table.")
@click.option("--budget", type=float, metavar="SECONDS", help=f"Time for each method of a comparison.  [{BUDGET:g}]")
@click.option("--curve", is_flag=True, help="Say whether more rows would help.")
@click.option(
    "--report", "path", metavar="PATH", help="Write a page (.html), Markdown (.md), .json, or a folder of all."
)
@click.option("--overwrite", is_flag=True, help="Replace what is at PATH.")
@click.option("--format", metavar="NAME[:OPTIONS]", help="Format of FILE, such as csv:encoding=latin-1.")
@json_option
@click.pass_obj
def learn(session: Session, /, file: str, path: str | None, overwrite: bool, as_json: bool, **given: Any) -> None:
    """Say how well labels or numbers can be predicted, and by which method.

    Reads FILE (csv, tsv, jsonl, parquet; or vectors, with --labels) or an index DIR. --text learns from texts; else all columns but
    the label make the row, or those of --columns. Every row is predicted once, by a model that has not seen it: embedders that
    learn do so in each fold. Prints scores with 95 % intervals, the labels that are confused most, and how sure predictions are;
    with --compare one table of all methods, with paired tests.

    \b
    nearkin learn banking.csv --text text --label category --compare --report banking.html
    nearkin learn credit.csv --label class --method knn:n_neighbors=15
    nearkin learn houses.csv --label price --task numbers --compare
    nearkin learn vectors.npy --labels labels.txt --compare
    nearkin learn indexes/faq --label category
    """
    if path is not None:
        from nearkin.reporting.learner_files import check_learner_report

        check_learner_report(path, overwrite=overwrite)
    methods, compare = given["methods"], given["compare"]
    if not compare and len(methods) > 1:
        raise ParameterError(f"{len(methods)} methods are given, and one is judged", hint="--compare compares them")
    if given["budget"] is not None and not compare:
        raise ParameterError("--budget is for --compare, and one method is judged", hint="leave one of the two out")
    rows = _read(session, file, given)
    task, remarks = _task(rows, given["task"], given["label"])
    for remark in remarks:
        note(remark)
    given = {**given, "task": task, "curve": given["curve"] or path is not None}
    for sentence in _before(session, rows, given):
        note(sentence)
    with working(f"learning from {len(rows.labels):,} rows") as told:
        report = _report(session, file, rows, remarks, given, told)
        curve = report.curve if given["curve"] else None
        if path is not None:
            from nearkin.reporting.learner_files import write_learner_report

            write_learner_report(report, path, overwrite=overwrite)
    _print(report, curve, path, as_json=as_json)


def _read(session: Session, file: str, given: dict[str, Any]) -> Labelled:
    from nearkin.learning.labelled_files import Asked, read_labelled

    names = ("label", "text", "columns", "vectors", "labels", "embedder", "format")
    return read_labelled(file, Asked(**{name: given[name] for name in names}), registry=session.registry)


def _task(rows: Labelled, task: str | None, label: str | None) -> tuple[str, tuple[str, ...]]:
    """What is predicted, and what there is to tell."""
    from nearkin.learning.folds import task_of

    if task is not None:
        return task, rows.remarks
    numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in rows.labels)
    found = task_of(rows.labels) if numeric else "classes"
    if not numeric:
        return found, rows.remarks
    other = "classes" if found == "numbers" else "numbers"
    what = f"column {label!r} holds" if label is not None else "labels are"
    said = f"{what} {len(set(rows.labels)):,} different numbers, predicted as {found}; --task {other} changes that"
    return found, (*rows.remarks, said)


def _before(session: Session, rows: Labelled, given: dict[str, Any]) -> list[str]:
    """What will take long, and how long as far as it is known."""
    if len(rows.labels) < MANY_ROWS:
        return []
    found = []
    if rows.embedder is not None:
        from nearkin.bound_embedder import make_embedder

        learns = make_embedder(rows.embedder, session.registry).needs_fit
        how = f"anew from the training rows in each of {given['cv']} folds, which takes time" if learns else "once"
        found.append(f"{len(rows.labels):,} rows are embedded with {rows.embedder}, {how}")
    if given["compare"]:
        budget = BUDGET if given["budget"] is None else given["budget"]
        found.append(f"each method may take about {budget:g} s (--budget), besides embedding and trying how fast it is")
    if given["curve"]:
        found.append("the learning curve fits the method again on fewer rows")
    return found


def _report(
    session: Session, file: str, rows: Labelled, remarks: tuple[str, ...], given: dict[str, Any], told: Any
) -> LearnerReport:
    from nearkin.learning.comparing import compare_learners
    from nearkin.learning.judging import judge
    from nearkin.reporting.learner_files import LearnerReport

    how: dict[str, Any] = {
        "cv": given["cv"],
        "task": given["task"],
        "embedder": rows.embedder,
        "seed": session.settings.seed,
        "threads": session.settings.threads,
        "registry": session.registry,
        "progress": told,
    }
    title = PurePath(file).name
    if not given["compare"]:
        judged = judge((given["methods"] or ("knn",))[0], rows.rows, rows.labels, **how)
        return LearnerReport(judged, None, title, remarks)
    budget = BUDGET if given["budget"] is None else given["budget"]
    found = compare_learners(rows.rows, rows.labels, methods=given["methods"] or None, budget=budget, **how)
    return LearnerReport(found.best, found, title, remarks)


# ---- printing --------------------------------------------------------------------------------------------------------


def _print(report: LearnerReport, curve: LearningCurve | None, path: str | None, *, as_json: bool) -> None:
    from nearkin.reporting.learner_tables import comparison_dict, judgement_dict

    if as_json:
        compared = report.comparison
        found = judgement_dict(report.judged) if compared is None else comparison_dict(compared)
        print_json(
            {**found, "learning_curve": None if curve is None else curve.to_dict(), "remarks": list(report.remarks)}
        )
        return
    if report.comparison is not None:
        _print_methods(report.comparison)
    else:
        _print_judgement(report.judged)
    if curve is not None:
        click.echo(f"\n{curve.sentence}")
    if path is not None:
        click.echo(f"\nwritten  {path}")
    for sentence in report.notes:
        if sentence not in report.remarks:
            note(sentence)


def _print_methods(found: LearnerComparison) -> None:
    from nearkin.reporting.learner_page import method_lines
    from nearkin.reporting.learner_tables import LearnerReport, tests_sentence

    first, others = ("accuracy", ("F1", "ROC-AUC")) if found.task == "classes" else ("RMSE", ("MAE", "R2"))
    rows = [row for row in found if not row.error]
    headers = ("method", first, "interval", *others, "rows")
    print_whole_table(headers, [_method_cells(row, first, others) for row in rows], right=headers[1:])
    click.echo(f"\n{found.sentence}.")
    if found.cut:
        click.echo(f"* Fitted on fewer than the {found.trial.trained:,} rows of a fold, for the time (--budget).")
    click.echo("Intervals are of 95 %.\n")
    calibration = ("calib.",) if found.task == "classes" else ()
    headers = ("method", *calibration, "fit", "predict", "p best", "p base")
    print_whole_table(headers, [_time_cells(row, found) for row in rows], right=headers[1:])
    if found.best.embed_seconds:
        click.echo(f"\nEmbedding took {seconds(found.best.embed_seconds)} in all folds, once for all methods.")
    tests = tests_sentence(found)
    if tests:
        click.echo(f"\n{tests}")
    for line in method_lines(LearnerReport(found.best, found)):
        click.echo(line)


def _method_cells(row: LearnerRow, first: str, others: Iterable[str]) -> tuple[str, ...]:
    from nearkin.reporting.learner_tables import figure, rows_cell

    score = row.scores.get(first)
    rest = [row.scores.get(name) for name in others]
    return (
        row.method,
        "-" if score is None else figure(score.value),
        "-" if score is None else f"{figure(score.low)}-{figure(score.high)}",
        *("-" if each is None else figure(each.value) for each in rest),
        rows_cell(row),
    )


def _time_cells(row: LearnerRow, found: LearnerComparison) -> tuple[str, ...]:
    from nearkin.reporting.learner_tables import figure, p_value

    error, fit, predict = row.scores.get("calibration error"), row.fit_seconds, row.predict_seconds
    calibration = ("-" if error is None else figure(error.value),) if found.task == "classes" else ()
    return (
        row.method,
        *calibration,
        "-" if fit is None else seconds(fit),
        "-" if predict is None else seconds(predict),
        "best" if row is found.rows[0] else p_value(row.against_best),
        p_value(row.against_baseline),
    )


def _print_judgement(judged: Judgement) -> None:
    from nearkin.reporting.learner_tables import (
        BIN_HEADERS,
        PAIR_HEADERS,
        bin_cells,
        pair_cells,
        run_facts,
        score_cells,
        short_class_cells,
    )

    embed = {"embed": seconds(judged.embed_seconds)} if judged.embed_seconds else {}
    times = {**embed, "fit": seconds(judged.fit_seconds), "predict": seconds(judged.predict_seconds)}
    print_facts({"method": judged.method, **run_facts(judged), **score_cells(judged), **times})
    if judged.task == "numbers":
        return
    labels = short_class_cells(judged)
    few = len(labels) <= LABELS_SHOWN
    some = "labels" if few else f"the {LABELS_SHOWN} labels of {len(labels):,} with the lowest F1 (--json has all)"
    click.echo(f"\n{some}, the lowest F1 first, with its 95 % interval")
    headers = ("label", "rows", "precision", "recall", "F1", "interval")
    print_whole_table(headers, labels[:LABELS_SHOWN], right=headers[1:], broken=("label",))
    pairs = pair_cells(judged)
    if len(judged.labels) <= LABELS_SHOWN:
        click.echo("\nrows by true label (down) and predicted one (across)")
        names = [str(each) for each in judged.labels.tolist()]
        cells = [(name, *map(str, row)) for name, row in zip(names, judged.confusion.tolist(), strict=True)]
        print_table(("", *names), cells, right=names)
    if pairs:
        click.echo("\nmost confused")
        print_whole_table(PAIR_HEADERS, pairs, right=PAIR_HEADERS[2:], broken=PAIR_HEADERS[:2])
    if judged.reliability:
        click.echo("\nhow sure, and how often right")
        print_table(BIN_HEADERS, bin_cells(judged), right=BIN_HEADERS[1:])
