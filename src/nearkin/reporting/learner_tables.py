"""Judgements and comparisons of learners as cells, JSON and CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nearkin.learning.score_intervals import ClassScores, Score
from nearkin.learning.score_intervals import figure as figure
from nearkin.reporting.cluster_tables import plain

if TYPE_CHECKING:
    from nearkin.learning.comparing import LearnerComparison, LearnerRow
    from nearkin.learning.embedding_step import EmbeddingStep
    from nearkin.learning.judging import Judgement
    from nearkin.learning.learning_curves import LearningCurve
    from nearkin.learning.paired_tests import PairedTest

MOST_CLASSES = 500
"""Labels whose scores and confusion a page and its JSON hold in full."""

SHOWN_SCORES = {
    "classes": ("accuracy", "F1", "ROC-AUC", "log-loss", "calibration error"),
    "numbers": ("RMSE", "MAE", "R2"),
}
"""What stands in the table of methods."""

INTERVALS = (
    "Each row was predicted once, by a model fitted without its fold. Intervals of 95 % are about other rows of the same kind, "
    "with the models as they were fitted; how much another training set would change them is not in it."
)


@dataclass(frozen=True, eq=False)
class LearnerReport:
    """What a report tells of.

    Attributes
    ----------
    judged
        The method, or the best of those compared.
    comparison
        All methods, if several were compared.
    title
        What the rows are called.
    remarks
        Sentences on how the rows came about.
    with_curve
        Whether the learning curve is made.
    """

    judged: Judgement
    comparison: LearnerComparison | None = None
    title: str = "your rows"
    remarks: tuple[str, ...] = ()
    with_curve: bool = True

    @cached_property
    def curve(self) -> LearningCurve | None:
        """Of the method, where it is asked for and there are rows enough."""
        from nearkin.errors import NearkinError

        if not self.with_curve:
            return None
        try:
            return self.judged.learning_curve()
        except NearkinError:  # too few rows for the smallest shares
            return None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, each once."""
        compared = self.comparison.notes if self.comparison is not None else ()
        return tuple(dict.fromkeys((*self.remarks, *compared, *self.judged.notes)))


# ---- cells -----------------------------------------------------------------------------------------------------------


def with_interval(score: Score | None) -> str:
    """``0.912 (0.901 to 0.922)``; a hyphen for a score that is not defined."""
    if score is None:
        return "-"
    return str(score)


def p_value(test: PairedTest | None) -> str:
    """The corrected one, in words where it is small."""
    if test is None:
        return "-"
    return "<0.001" if test.adjusted < 0.001 else f"{test.adjusted:.3f}"


def method_headers(found: LearnerComparison) -> tuple[str, ...]:
    """Of the table of methods."""
    return ("method", *SHOWN_SCORES[found.task], "rows", "fit", "predict", "p to best", f"p to {found.baseline}")


def method_cells(found: LearnerComparison, seconds: Any) -> list[tuple[str, ...]]:
    """A row for each method that could be fitted; the first score with its interval.

    Parameters
    ----------
    seconds
        Puts a duration into words.
    """
    return [_cells(row, found, seconds) for row in found.rows if not row.error]


def _cells(row: LearnerRow, found: LearnerComparison, seconds: Any) -> tuple[str, ...]:
    first, *others = SHOWN_SCORES[found.task]
    scores = [row.scores.get(name) for name in others]
    fit, predict = row.fit_seconds, row.predict_seconds
    return (
        row.method,
        with_interval(row.scores.get(first)),
        *("-" if each is None else figure(each.value) for each in scores),
        rows_cell(row),
        "-" if fit is None else seconds(fit),
        "-" if predict is None else seconds(predict),
        p_value(row.against_best) if row is not found.rows[0] else "best",
        p_value(row.against_baseline),
    )


def rows_cell(row: LearnerRow) -> str:
    """Training rows in a fold, with a star where a budget cut them."""
    return "-" if row.rows_fitted is None else f"{row.rows_fitted:,}{'*' if row.cut else ''}"


def tests_sentence(found: LearnerComparison) -> str:
    """Which tests there were."""
    test = next(
        (each for row in found.rows for each in (row.against_best, row.against_baseline) if each is not None), None
    )
    if test is None:
        return ""
    return (
        f"p values are of the paired test ({test.test}), corrected for all pairs of methods (Holm); above 0.05 the difference may "
        "be chance. The best method was chosen on these same rows."
        + (
            " A star is at methods that a budget allowed fewer rows; they are not tested against the best."
            if found.cut
            else ""
        )
    )


def class_cells(judged: Judgement) -> list[tuple[str, ...]]:
    """A row for each label, the worst F1 first."""
    return [
        (str(each.label), f"{each.rows:,}", *(with_interval(score) for score in (each.precision, each.recall, each.f1)))
        for each in _worst_first(judged)
    ]


def short_class_cells(judged: Judgement) -> list[tuple[str, ...]]:
    """As `class_cells`, with the interval of F1 alone, in a cell of its own."""
    return [
        (
            str(each.label),
            f"{each.rows:,}",
            *(figure(score.value) for score in (each.precision, each.recall, each.f1)),
            f"{figure(each.f1.low)}-{figure(each.f1.high)}",
        )
        for each in _worst_first(judged)
    ]


def _worst_first(judged: Judgement) -> list[ClassScores]:
    return sorted(judged.by_class, key=lambda each: each.f1.value)[:MOST_CLASSES]


CLASS_HEADERS = ("label", "rows", "precision", "recall", "F1")
PAIR_HEADERS = ("true label", "was called", "rows", "of the label")
BIN_HEADERS = ("confidence", "rows", "mean confidence", "right")


def pair_cells(judged: Judgement, most: int = 10) -> list[tuple[str, ...]]:
    """The most confused pairs."""
    return [
        (str(each.truth), str(each.predicted), f"{each.rows:,}", f"{each.share:.0%}")
        for each in judged.most_confused(most)
    ]


def bin_cells(judged: Judgement) -> list[tuple[str, ...]]:
    """The reliability table."""
    return [
        (f"{each.low:.2f} to {each.high:.2f}", f"{each.rows:,}", f"{each.confidence:.3f}", f"{each.accuracy:.3f}")
        for each in judged.reliability
    ]


def score_cells(judged: Judgement) -> dict[str, str]:
    """Every score with its interval."""
    return {name: with_interval(score) for name, score in judged.scores.items()}


def run_facts(judged: Judgement) -> dict[str, str]:
    """How it was judged, in words."""
    trial = judged.trial
    kinds = f"{len(judged.labels):,} labels" if judged.task == "classes" else "numbers"
    facts = {"rows": f"{trial.count:,}, {kinds}", "folds": f"{trial.cv}, seed {trial.seed}"}
    if trial.step is not None:
        embedder = trial.step.embedder
        text = embedder if isinstance(embedder, str) else embedder.text
        unit = ", vectors of length 1 for the cosine" if _unit(trial.step) else ""
        facts["embedder"] = f"{text}, {_learned(embedder)}{unit}"
    return facts


def _unit(step: EmbeddingStep) -> bool:
    return getattr(step.embedder, "metric", "") == "cosine" if step.unit is None else step.unit


def _learned(embedder: Any) -> str:
    needs = getattr(embedder, "needs_fit", True)
    return "learned in each fold from the training rows" if needs else "the same for all folds"


# ---- JSON ------------------------------------------------------------------------------------------------------------


def judgement_dict(judged: Judgement) -> dict[str, Any]:
    """JSON-able."""
    found: dict[str, Any] = {
        "method": judged.method,
        "task": judged.task,
        "rows": judged.trial.count,
        "folds": judged.trial.cv,
        "seed": judged.trial.seed,
        "scores": {name: _score(score) for name, score in judged.scores.items()},
        "fit_seconds": judged.fit_seconds,
        "predict_seconds": judged.predict_seconds,
        "embed_seconds": judged.embed_seconds,
        "rows_fitted": judged.rows_fitted,
        "notes": list(judged.notes),
    }
    if judged.task == "classes":
        found |= {
            "labels": judged.labels.tolist(),
            "by_class": [asdict(each) for each in judged.by_class],
            "confusion": judged.confusion.tolist(),
            "most_confused": [each._asdict() for each in judged.most_confused()],
            "reliability": [each._asdict() for each in judged.reliability],
        }
    return dict(plain(found))


def comparison_dict(found: LearnerComparison) -> dict[str, Any]:
    """JSON-able."""
    return dict(
        plain(
            {
                "task": found.task,
                "rows": found.trial.count,
                "folds": found.trial.cv,
                "seed": found.trial.seed,
                "baseline": found.baseline,
                "sentence": found.sentence,
                "notes": list(found.notes),
                "methods": [_row_dict(row) for row in found.rows],
                "best": judgement_dict(found.best),
            }
        )
    )


def _row_dict(row: LearnerRow) -> dict[str, Any]:
    return {
        "method": row.method,
        "yardstick": row.yardstick,
        "scores": {name: _score(score) for name, score in row.scores.items()},
        "fit_seconds": row.fit_seconds,
        "predict_seconds": row.predict_seconds,
        "rows_fitted": row.rows_fitted,
        "cut": row.cut,
        "against_best": None if row.against_best is None else asdict(row.against_best),
        "against_baseline": None if row.against_baseline is None else asdict(row.against_baseline),
        "notes": [] if row.judgement is None else list(row.judgement.notes),
        "error": row.error,
    }


def _score(score: Score | None) -> Any:
    return None if score is None else asdict(score)


def report_dict(report: LearnerReport) -> dict[str, Any]:
    """Everything that a report holds, JSON-able."""
    made: dict[str, Any] = {"title": report.title, "remarks": list(report.remarks)}
    made |= {"comparison": comparison_dict(report.comparison)} if report.comparison is not None else {}
    made["judgement"] = judgement_dict(report.judged)
    made["learning_curve"] = None if report.curve is None else report.curve.to_dict()
    return dict(plain(made))


def as_json(report: LearnerReport) -> str:
    """`report_dict` as one document, indented."""
    return json.dumps(report_dict(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_text_table(headers: Sequence[str], rows: Iterable[Sequence[str]], escape: Any) -> str:
    """A table of Markdown, its first column text."""
    rule = [":--" if at == 0 else "--:" for at in range(len(headers))]
    lines = [headers, rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts_of(report: LearnerReport) -> Mapping[str, str]:
    """How it was measured, for the foot of a report."""
    took = report.judged.embed_seconds
    times = {"embedding": f"{took:.1f} s in all folds, which methods share"} if took else {}
    return {**run_facts(report.judged), **times, "intervals": INTERVALS}
