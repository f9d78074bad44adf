"""Checks of the learner contract: scikit-learn's protocol, and what nearkin needs besides."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from nearkin.learners import Explains, Reason
from nearkin.testing.contract import Checks, NotApplicable, Subject, expect, fail, first_line
from nearkin.testing.learner_subjects import (
    CLOSE,
    TRAINED,
    Ground,
    fresh,
    grounds,
    learned,
    of_task,
    one_of_each,
    predicted,
    probabilities,
    same_answers,
    same_predictions,
    scikit_learn_failures,
)

LEARNER_CHECKS = Checks("learner")


@LEARNER_CHECKS.gate
def fits(subject: Subject) -> None:
    """fit gives back the learner, and predict one label or finite number a row."""
    for ground in grounds(subject):
        learner = fresh(subject, ground)
        back = learner.fit(ground.rows.copy(), ground.targets.copy())
        expect(back is learner, f"fit gives back a {type(back).__name__}, the learner itself expected ({ground.name})")
        found = np.asarray(learner.predict(ground.asked.copy()))
        wanted = (len(ground.asked),)
        expect(found.shape == wanted, f"predictions have shape {found.shape}, {wanted} expected ({ground.name})")
        if ground.task == "numbers":
            numbers = found.dtype.kind in "iuf" and np.isfinite(found).all()
            expect(numbers, f"predictions are {found.dtype}, finite numbers expected")


@LEARNER_CHECKS.gate
def seeds_repeat(subject: Subject) -> None:
    """A fresh learner that learns from the same rows answers the same."""
    for ground in one_of_each(subject):
        again = fresh(subject, ground).fit(ground.rows, ground.targets)
        same_answers(again, subject, ground, "learning a second time")


@LEARNER_CHECKS.add
def labels_come_back(subject: Subject) -> None:
    """Labels (texts, whole numbers, booleans) come back as the kind they were, and only those; classes_ has them sorted."""
    for ground in of_task(subject, "classes"):
        classes, found = np.asarray(learned(subject, ground).classes_), predicted(subject, ground)
        same = classes.shape == ground.labels.shape and bool((classes == ground.labels).all())
        expect(same, f"classes_ is {classes.tolist()}, {ground.labels.tolist()} expected")
        strange = set(found.tolist()) - set(ground.labels.tolist())
        expect(
            not strange, f"labels {sorted(map(str, strange))} are predicted, and there were none such ({ground.name})"
        )
        kinds = {"i": "iu", "u": "iu"}.get(ground.targets.dtype.kind, ground.targets.dtype.kind)
        expect(
            found.dtype.kind in kinds,
            f"labels of type {ground.targets.dtype} come back as {found.dtype} ({ground.name})",
        )


@LEARNER_CHECKS.add
def probabilities_sum(subject: Subject) -> None:
    """Probabilities are between 0 and 1, one for each of classes_, and sum to 1 a row."""
    for ground, given, _ in _with_probabilities(subject):
        wanted = (len(ground.asked), len(ground.labels))
        expect(given.shape == wanted, f"probabilities have shape {given.shape}, {wanted} expected")
        low, high = float(given.min()), float(given.max())
        expect(0 <= low <= high <= 1 + CLOSE, f"probabilities go from {low:.6g} to {high:.6g}")
        off = float(np.abs(given.sum(axis=1) - 1).max())
        expect(off <= CLOSE, f"probabilities of a row sum to 1 only up to {off:.3g}")


@LEARNER_CHECKS.add
def most_probable(subject: Subject) -> None:
    """The label that is predicted is the most probable one, in the order of classes_."""
    for ground, given, found in _with_probabilities(subject):
        chosen = given[np.arange(len(found)), np.searchsorted(ground.labels, found)]
        behind = given.max(axis=1) - chosen
        worst = int(behind.argmax())
        expect(
            behind[worst] <= CLOSE,
            f"row {worst} is given {found[worst]!r} with probability {chosen[worst]:.4f}, "
            f"another label has {given[worst].max():.4f} ({ground.name})",
        )


def _with_probabilities(subject: Subject) -> list[tuple[Ground, np.ndarray, np.ndarray]]:
    found = []
    for ground in of_task(subject, "classes"):
        given = probabilities(learned(subject, ground), ground.asked)
        if given is None:
            raise NotApplicable("it gives no probabilities")
        found.append((ground, given, predicted(subject, ground)))
    return found


@LEARNER_CHECKS.add
def learns(subject: Subject) -> None:
    """Groups that lie apart are told apart better than by the most frequent label; a weighed sum better than by the mean."""
    for ground in grounds(subject):
        found = predicted(subject, ground)
        if ground.task == "classes":
            right = float((found == ground.answers).mean())
            most = max(float((ground.answers == label).mean()) for label in ground.labels)
            wanted = most + (1 - most) / 2
            expect(
                right >= wanted,
                f"{right:.0%} of labels are right, the most frequent one has {most:.0%} ({ground.name})",
            )
        else:
            explained = 1 - float(((found - ground.answers) ** 2).mean() / ground.answers.var())
            expect(explained >= 0.3, f"R² of a weighed sum of columns is {explained:.3f}, the mean has 0")


@LEARNER_CHECKS.add
def learns_anew(subject: Subject) -> None:
    """fit forgets what an earlier fit learned."""
    for ground in one_of_each(subject):
        learner = fresh(subject, ground)
        learner.fit(ground.rows[:-20, ::-1] + 3, ground.targets[20:])
        learner.fit(ground.rows, ground.targets)
        same_answers(learner, subject, ground, "having learned from other rows before")


@LEARNER_CHECKS.add
def one_at_a_time(subject: Subject) -> None:
    """A row alone gets the answer that it gets among others."""
    for ground in one_of_each(subject):
        learner = learned(subject, ground)
        single = np.array([learner.predict(row[None])[0] for row in ground.asked])
        same_predictions(single, predicted(subject, ground), "asking one row at a time")
        given = probabilities(learner, ground.asked)
        if given is not None:
            moved = max(
                np.abs(learner.predict_proba(row[None])[0] - p).max()
                for row, p in zip(ground.asked, given, strict=True)
            )
            expect(moved <= CLOSE, f"asking one row at a time moves a probability by {moved:.3g}")


@LEARNER_CHECKS.add
def two_threads(subject: Subject) -> None:
    """Two threads that ask at once get what one gets alone."""
    for ground in one_of_each(subject):
        learner, wanted = learned(subject, ground), predicted(subject, ground)
        with ThreadPoolExecutor(2) as pool:
            turned = pool.submit(learner.predict, ground.asked[::-1])
            same_predictions(
                pool.submit(learner.predict, ground.asked).result(), wanted, "asking while another thread does"
            )
            same_predictions(turned.result(), wanted[::-1], "asking while another thread does")


@LEARNER_CHECKS.add
def threads_given(subject: Subject) -> None:
    """The number of threads (threads or n_jobs) does not change answers."""
    import joblib

    known = {
        name for name in ("threads", "n_jobs") for ground in one_of_each(subject) if name in _options(subject, ground)
    }
    if not known:
        raise NotApplicable("it has no such option")
    for ground in one_of_each(subject):
        for count in (1, 2):
            learner = fresh(subject, ground)
            learner.set_params(**{name: count for name in known if name in _options(subject, ground)})
            with joblib.parallel_config(backend="threading"):  # processes would take seconds to start
                same_answers(learner.fit(ground.rows, ground.targets), subject, ground, f"with {count} threads")


def _options(subject: Subject, ground: Ground) -> dict[str, Any]:
    options: dict[str, Any] = fresh(subject, ground).get_params()
    return options


@LEARNER_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Rows and targets stay as they are."""
    for ground in one_of_each(subject):
        given = [np.array(each) for each in (ground.rows, ground.targets, ground.asked)]
        learner = fresh(subject, ground).fit(given[0], given[1])
        learner.predict(given[2])
        for name, each, before in zip(
            ("rows", "targets", "asked rows"), given, (ground.rows, ground.targets, ground.asked), strict=True
        ):
            expect(np.array_equal(each, before), f"the {name} are changed in {int((each != before).sum())} places")


@LEARNER_CHECKS.add
def own_copy(subject: Subject) -> None:
    """What happens to rows and targets after fit does not change the answers."""
    for ground in one_of_each(subject):
        rows, targets = ground.rows.copy(), ground.targets.copy()
        learner = fresh(subject, ground).fit(rows, targets)
        rows[:] = 7
        targets[:] = targets[0]
        same_answers(learner, subject, ground, "changing the rows afterwards")


@LEARNER_CHECKS.add
def clones(subject: Subject) -> None:
    """scikit-learn's clone has the same options, has learned nothing, and learns the same."""
    from sklearn.base import clone

    for ground in one_of_each(subject):
        again = clone(learned(subject, ground))
        kept = sorted(name for name in vars(again) if name.endswith("_") and not name.startswith("_"))
        expect(not kept, f"a clone has {', '.join(kept)} before it learns")
        same_answers(again.fit(ground.rows, ground.targets), subject, ground, "a clone that learns")


@LEARNER_CHECKS.add
def pickles(subject: Subject) -> None:
    """What pickle and joblib bring back answers the same."""
    import joblib

    for ground in one_of_each(subject):
        learner = learned(subject, ground)
        same_answers(pickle.loads(pickle.dumps(learner)), subject, ground, "coming back from pickle")
        written = io.BytesIO()
        joblib.dump(learner, written)
        written.seek(0)
        same_answers(joblib.load(written), subject, ground, "coming back from joblib")


@LEARNER_CHECKS.add
def not_finite(subject: Subject) -> None:
    """NaN and infinity are refused with a ValueError, at fit and at predict, unless its tags say that it takes NaN."""
    for ground in one_of_each(subject):
        tags = _tags(fresh(subject, ground))
        if tags.no_validation:
            raise NotApplicable("its tags say that it does not look at rows")
        for value in (np.inf,) if tags.input_tags.allow_nan else (np.nan, np.inf):
            rows, asked = ground.rows.copy(), ground.asked.copy()
            rows[3, 1] = asked[2, 1] = value
            learner = learned(subject, ground)
            _expect_value_error(f"fit with {value}", partial(fresh(subject, ground).fit, rows, ground.targets))
            _expect_value_error(f"predict with {value}", partial(learner.predict, asked))


@LEARNER_CHECKS.add
def wrong_width(subject: Subject) -> None:
    """Rows with other than the learned number of columns are refused with a ValueError."""
    for ground in one_of_each(subject):
        learner = learned(subject, ground)
        if _tags(learner).no_validation:
            raise NotApplicable("its tags say that it does not look at rows")
        for what, rows in (("a column less", ground.asked[:, 1:]), ("one twice", ground.asked[:, [0, *range(6)]])):
            _expect_value_error(f"predict with {what}", partial(learner.predict, rows))


@LEARNER_CHECKS.add
def one_class(subject: Subject) -> None:
    """One label is refused with a ValueError that speaks of classes, or is what every row gets."""
    for ground in of_task(subject, "classes"):
        only = np.full_like(ground.targets, ground.labels[0])
        try:
            found = fresh(subject, ground).fit(ground.rows, only).predict(ground.asked)
        except ValueError as error:
            expect(
                "class" in str(error).lower(), f"one label is refused without a word of classes: {first_line(error)}"
            )
        else:
            expect((np.asarray(found) == only[0]).all(), f"having seen {only[0]!r} only, it predicts others")


@LEARNER_CHECKS.add
def not_fitted(subject: Subject) -> None:
    """predict before fit raises scikit-learn's NotFittedError."""
    from sklearn.exceptions import NotFittedError

    for ground in one_of_each(subject):
        try:
            fresh(subject, ground).predict(ground.asked)
        except NotFittedError:
            continue
        except Exception as error:
            fail(f"predict before fit raised {type(error).__name__} ({first_line(error)}), NotFittedError expected")
        fail("predict before fit raised nothing, NotFittedError expected")


@LEARNER_CHECKS.add
def reasons_counted(subject: Subject) -> None:
    """reasons gives each row at most as many as asked for, the largest share first, and the same ones if asked for more."""
    for ground, learner in _explaining(subject):
        few, all_of_them = learner.reasons(ground.asked, most=2), learner.reasons(ground.asked, most=TRAINED)
        for what, each in (("most=2", few), (f"most={TRAINED}", all_of_them)):
            expect(
                len(each) == len(ground.asked), f"reasons of {len(ground.asked)} rows are {len(each)} lists with {what}"
            )
        for first, every in zip(few, all_of_them, strict=True):
            expect(1 <= len(first) <= 2, f"with most=2 a row has {len(first)} reasons")
            sizes = [abs(reason.weight) for reason in every]
            expect(sizes == sorted(sizes, reverse=True), "reasons are not in the order of their shares")
            apart = max(abs(abs(one.weight) - size) for one, size in zip(first, sizes, strict=False))
            expect(apart <= CLOSE, f"the share of a reason moves by {apart:.3g} if more are asked for")


@LEARNER_CHECKS.add
def reasons_share(subject: Subject) -> None:
    """Shares of all reasons add up to 1 in size (or are all 0); those of neighbours and centroids are not negative."""
    for ground, learner in _explaining(subject):
        for row, reasons in enumerate(learner.reasons(ground.asked, most=TRAINED)):
            total = sum(abs(reason.weight) for reason in reasons)
            expect(total <= CLOSE or abs(total - 1) <= CLOSE, f"the shares of row {row} add up to {total:.6g}")
            least = min((reason.weight for reason in reasons if not _is_column(reason)), default=0.0)
            expect(least >= 0, f"a neighbour or centroid of row {row} has a share of {least:.3g}")


@LEARNER_CHECKS.add
def reasons_name(subject: Subject) -> None:
    """A reason names a column that there is, or a row (or centroid) with the label that it has, at a distance of at least 0."""
    for ground, learner in _explaining(subject):
        for reason in (each for row in learner.reasons(ground.asked, most=TRAINED) for each in row):
            if _is_column(reason):
                known = (
                    reason.what in range(ground.asked.shape[1]) if isinstance(reason.what, int | np.integer) else True
                )
                expect(known, f"column {reason.what!r} is a reason, and there are {ground.asked.shape[1]}")
                continue
            right = {_plain(reason.what)} if ground.task == "classes" else set()  # the one centroid of a label
            if isinstance(reason.what, str) and reason.what.startswith("centroid "):
                right = {_plain(each) for each in np.unique(ground.targets)}
            elif isinstance(reason.what, int | np.integer) and 0 <= reason.what < len(ground.targets):
                right |= {_plain(ground.targets[reason.what])}
            expect(
                _plain(reason.label) in right,
                f"{reason.what!r} is a reason with the label {reason.label!r}, {right} expected",
            )
            expect(reason.distance is not None and not np.isnan(reason.distance), f"{reason.what!r} has no distance")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _is_column(reason: Reason) -> bool:
    return reason.label is None and reason.distance is None


def _explaining(subject: Subject) -> list[tuple[Ground, Any]]:
    found = [(ground, learned(subject, ground)) for ground in one_of_each(subject)]
    if not all(isinstance(learner, Explains) for _, learner in found):
        raise NotApplicable("it has no reasons")
    return found


@LEARNER_CHECKS.add
def scikit_learn(subject: Subject) -> None:
    """scikit-learn's own check_estimator finds nothing."""
    for ground in one_of_each(subject):
        failures = scikit_learn_failures(fresh(subject, ground))
        if failures:
            name, why = next(iter(failures.items()))
            fail(
                f"{len(failures)} of scikit-learn's checks fail for {ground.task}, the first {name}: {why.splitlines()[0]}"
            )


def _tags(learner: Any) -> Any:
    from sklearn.utils import get_tags

    return get_tags(learner)


def _expect_value_error(what: str, call: Callable[[], Any]) -> None:
    """Break the promise unless `call` raises a ValueError (every NotFittedError is one)."""
    try:
        call()
    except ValueError:
        return
    except Exception as error:
        fail(f"{what} raised {type(error).__name__} ({first_line(error)}), ValueError expected")
    fail(f"{what} raised nothing, ValueError expected")
