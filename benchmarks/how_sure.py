"""How sure: calibration error before and after, whether a stated error rate is kept, and what is noticed as out of scope.

Each data set is split several times into rows that are known and rows that judge. On the former, classifiers are fitted with
`nk.SureClassifier` at every error rate; the latter say what share of answers is wrong, how many are answered, and how far the
probabilities are from what comes true. The promise counts as broken where the share of wrong answers is larger than asked for by
more than its 95 % interval. Out of scope: short messages and dictionary glosses asked of the banking questions.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import nearkin as nk
from nearkin.accuracy import Interval
from nearkin.learning.calibration_error import calibration_error
from nearkin.learning.sureness import Sureness

RATES = (0.02, 0.05, 0.1)
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
TUNED = 3000
"""Known rows that the strength of a method is chosen by, at most."""


class Labelled(NamedTuple):
    """Rows with labels, and the metric that they are compared by."""

    name: str
    rows: np.ndarray
    labels: np.ndarray
    metric: str


def questions(data: Path) -> Labelled:
    """Banking questions as MiniLM vectors, both parts together."""
    vectors = [np.load(data / f"banking77-{part}-minilm.npy").astype(np.float32) for part in ("train", "test")]
    labels = []
    for part in ("train", "test"):
        with (data / f"banking77-{part}.csv").open(encoding="utf-8", newline="") as file:
            labels += [row["category"] for row in csv.DictReader(file)]
    return Labelled("banking77", np.concatenate(vectors), np.array(labels), "cosine")


def messages(data: Path) -> tuple[list[str], list[str]]:
    """Short messages, and whether they are spam."""
    with (data / "sms-spam.csv").open(encoding="latin-1", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row[1] for row in rows], [row[0] for row in rows]


def spam(data: Path) -> Labelled:
    """Short messages as lsa has them."""
    texts, labels = messages(data)
    mine = nk.build(
        texts, embedder="lsa", metric="cosine", metadata=[{"label": each} for each in labels], on_bad="skip"
    )
    kept = [row.metadata["label"] for row in mine.select(vectors=False)]
    return Labelled("sms-spam", mine.rows.span(0, len(mine.rows)).copy(), np.array(kept), "cosine")


def credit(data: Path) -> Labelled:
    """Applicants as the embedder of tables has them, without the class."""
    with (data / "german-credit.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    records = [{f"c{at}": value for at, value in enumerate(row[:-1])} for row in rows]
    numeric = [name for name in records[0] if all(each[name].replace(".", "", 1).isdecimal() for each in records)]
    records = [{name: float(each[name]) if name in numeric else each[name] for name in each} for each in records]
    mine = nk.build(records, embedder="table", metric="euclidean")
    return Labelled(
        "german-credit", mine.rows.span(0, len(mine.rows)).copy(), np.array([row[-1] for row in rows]), "euclidean"
    )


def digits(data: Path) -> Labelled:
    """Handwritten digits of scikit-learn."""
    pixels, labels = load_digits(return_X_y=True)
    return Labelled("digits", pixels.astype(np.float32), labels, "euclidean")


def neighbours(metric: str, rows: np.ndarray, labels: np.ndarray) -> Any:
    """Of the known rows."""
    return nk.KNNClassifier(10, metric=metric, weights="distance", threads=1)


def logistic(metric: str, rows: np.ndarray, labels: np.ndarray) -> Any:
    """With the strength that has the least log-loss in three folds of the known rows, or of 3,000 of them."""
    plain = GridSearchCV(LogisticRegression(max_iter=100), {"C": STRENGTHS}, scoring="neg_log_loss", cv=3)
    return LogisticRegression(max_iter=100, **plain.fit(rows[:TUNED], labels[:TUNED]).best_params_)


METHODS = {"knn": neighbours, "logistic": logistic}


class Judged(NamedTuple):
    """What one split says: of every judging row the probability before and after, and whether the label was right."""

    before: np.ndarray
    after: np.ndarray
    right: np.ndarray
    rates: list[dict[str, Any]]
    strength: float | None


def judged(given: Labelled, method: str, seed: int) -> Judged:
    """Seven tenths of the rows are known, the others judge."""
    order = np.random.default_rng(seed).permutation(len(given.rows))
    cut = round(0.7 * len(order))
    known, judge = order[:cut], order[cut:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = METHODS[method](given.metric, given.rows[known], given.labels[known])
        sure = nk.SureClassifier(model, metric=given.metric, cv=5, random_state=seed)
        sure.fit(given.rows[known], given.labels[known])
    before = sure.estimator_.predict_proba(given.rows[judge]).max(axis=1)
    stated = sure.predict_proba(given.rows[judge]).max(axis=1)
    right = sure.predict(given.rows[judge]) == given.labels[judge]
    rates = []
    for rate in RATES:  # the rows that were held out are the same at every rate
        sure.sureness_ = Sureness.of(sure.held_out_, error_rate=rate, scope=0.99, seed=seed)
        found = sure.decide(given.rows[judge], 0)
        error = Interval.of((~right[found.known]).astype(float)) if found.known.any() else None
        rates.append(
            {"rate": rate, "coverage": found.coverage, "error": error, "in_scope": 1 - found.out_of_scope.mean()}
        )
    return Judged(before, stated, right, rates, getattr(model, "C", None))


def table(given: Labelled, seeds: int) -> list[dict[str, Any]]:
    """All methods and rates of a data set, over splits; printed as they come. Calibration errors are of the rows of all splits."""
    lines = []
    for method in METHODS:
        runs = [judged(given, method, seed) for seed in range(seeds)]
        strengths = sorted({each.strength for each in runs if each.strength is not None})
        right = np.concatenate([each.right for each in runs])
        before, after = (np.concatenate([getattr(each, name) for each in runs]) for name in ("before", "after"))
        ece = calibration_error(before, right), calibration_error(after, right)
        print(
            f"{given.name} by {method}: accuracy {right.mean():.3f}, calibration error {ece[0]:.3f} before, {ece[1]:.3f} after "
            f"({len(right):,} judging rows in {seeds} splits)"
            + (f", C {', '.join(map(str, strengths))}" if strengths else "")
        )
        for at, rate in enumerate(RATES):
            some = [each.rates[at] for each in runs]
            errors = [each["error"] for each in some if each["error"] is not None]
            line = {
                "data": given.name,
                "method": method,
                "strengths": strengths,
                "accuracy": float(right.mean()),
                "ece_before": ece[0],
                "ece_after": ece[1],
                "rate": rate,
                "error": float(np.mean([each.mean for each in errors])) if errors else None,
                "coverage": mean(some, "coverage"),
                "in_scope": mean(some, "in_scope"),
                "splits": seeds,
                "at_most": seeds - sum(each.mean > rate for each in errors),
                "kept": seeds - sum(each.low > rate for each in errors),
            }
            wrong = (
                "nothing answered"
                if line["error"] is None
                else f"wrong {line['error']:.4f}, answered {line['coverage']:.3f}"
            )
            print(
                f"    asked {rate:.2f}: {wrong}; so in {line['at_most']} of {seeds}, within the interval in {line['kept']}"
            )
            lines.append(line)
    return lines


def mean(lines: list[dict[str, Any]], name: str) -> float:
    """Of a number of every line."""
    return float(np.mean([each[name] for each in lines]))


def foreign(data: Path) -> list[dict[str, Any]]:
    """Shares held for out of scope: of banking questions, of glosses (the same model), and both under lsa with short messages."""
    given, found = questions(data), []
    known, own = given.rows[:10_003], given.rows[10_003:]
    glosses = np.load(data / "wordnet-384-angular.npz")["test"].astype(np.float32)
    model = nk.KNNClassifier(10, metric="cosine", weights="distance", threads=1)
    sure = nk.SureClassifier(model).fit(known, given.labels[:10_003])
    kept, noticed = (1 - sure.decide(own, 0).out_of_scope.mean(), sure.decide(glosses, 0).out_of_scope.mean())
    found.append(
        {
            "known": "banking77 (MiniLM)",
            "foreign": "wordnet glosses",
            "in_scope": float(kept),
            "noticed": float(noticed),
        }
    )
    with (data / "banking77-train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (data / "banking77-test.csv").open(encoding="utf-8", newline="") as file:
        asked = [row["text"] for row in csv.DictReader(file)]
    texts = [row["text"] for row in rows]
    mine = nk.build(texts, embedder="lsa", metric="cosine", metadata=[{"category": row["category"]} for row in rows])
    labels = mine.classifier("category", k=10)

    def share(given: list[str]) -> float:
        there = np.asarray(mine.embedder.embed(given)).any(axis=1)
        return float(
            labels.decide(
                [each for each, is_there in zip(given, there, strict=True) if is_there], 0
            ).out_of_scope.mean()
        )

    kept, noticed = 1 - share(asked), share(messages(data)[0])
    found.append({"known": "banking77 (lsa)", "foreign": "short messages", "in_scope": kept, "noticed": noticed})
    for line in found:
        print(
            f"{line['known']}: {line['in_scope']:.3f} in scope; of {line['foreign']} {line['noticed']:.3f} noticed",
            flush=True,
        )
    return found


def main() -> None:
    """Run the parts whose data is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    data = Path(os.environ.get("NEARKIN_DATA", ""))
    wanted: dict[str, tuple[Callable[[], Labelled], str, int]] = {
        "digits": (partial(digits, data), "", 2),
        "credit": (partial(credit, data), "german-credit.csv", 4),
        "spam": (partial(spam, data), "sms-spam.csv", 1),
        "questions": (partial(questions, data), "banking77-train-minilm.npy", 1),
    }
    lines: list[dict[str, Any]] = []
    for name, (read, file, more) in wanted.items():
        if (options.only and name not in options.only) or not (data / file).exists():
            print(f"{name}: left out" + ("" if options.only else f", there is no {file}"))
            continue
        lines += table(read(), more * options.seeds)
    scope = foreign(data) if not options.only or "foreign" in options.only else []
    print(json.dumps({"benchmark": "how_sure", "sure": lines, "scope": scope}))


if __name__ == "__main__":
    main()
