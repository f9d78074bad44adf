"""Checks of the transform contract."""

from __future__ import annotations

import numpy as np

from nearkin.errors import NotTrainedError, VectorError
from nearkin.metrics import INNER_PRODUCT, L2, Space
from nearkin.testing.contract import Checks, Subject, expect, expect_error, expect_json, fail, read_only, written
from nearkin.testing.samples import DIM, ROWS, ordinary_rows
from nearkin.transforms import Transform
from nearkin.vectors import as_vectors

TRANSFORM_CHECKS = Checks("transform")

_SPACES = {space.label: space for space in (L2, INNER_PRODUCT)}


def _rows(subject: Subject) -> np.ndarray:
    if subject.rows is not None:
        return as_vectors(subject.rows).copy()
    return ordinary_rows(subject.rng("rows"), ROWS, DIM, "float32")


def _fresh(subject: Subject) -> Transform:
    transform: Transform = subject.make(_rows(subject).shape[1])
    return transform


def _trained(subject: Subject, space: Space | None = None) -> Transform:
    transform = _fresh(subject)
    transform.train(_rows(subject), space=space or _served(transform)[0], codec=None)
    return transform


def _served(transform: Transform) -> list[Space]:
    """The spaces that it says it keeps the order of."""
    return [_SPACES[label] for label in sorted(transform.spaces) if label in _SPACES]


@TRANSFORM_CHECKS.gate
def maps_rows(subject: Subject) -> None:
    """It serves squared L2 or inner product, and rows become finite float32 rows of as many columns as width says."""
    transform, rows = _fresh(subject), _rows(subject)
    expect(bool(_served(transform)), f"its spaces are {sorted(transform.spaces)}, none of {', '.join(_SPACES)}")
    width = transform.width
    mapped = _trained(subject).apply(rows)
    wanted = (len(rows), width)
    expect(
        mapped.shape == wanted and mapped.dtype == np.float32,
        f"apply gave {mapped.dtype} of shape {mapped.shape}, float32 {wanted} expected",
    )
    bad = int((~np.isfinite(mapped)).any(axis=1).sum())
    expect(not bad, f"{bad} of {len(rows)} rows come out with NaN or infinite values")


@TRANSFORM_CHECKS.add
def known_before_training(subject: Subject) -> None:
    """width, label and cost() are known before training, and training does not change them."""
    before, after = _fresh(subject), _trained(subject)
    for what, early, late in (
        ("width", before.width, after.width),
        ("label", before.label, after.label),
        ("cost()", before.cost(), after.cost()),
    ):
        expect(early == late, f"{what} is {early!r} before training and {late!r} after")
    expect(
        after.cost() == after.state().nbytes, f"cost() is {after.cost()} bytes, the state has {after.state().nbytes}"
    )


@TRANSFORM_CHECKS.add
def matrix_alone(subject: Subject) -> None:
    """apply gives matrix @ row and the state is the matrix, since an index that applies it in its own library has no more."""
    rows, transform = _rows(subject), _trained(subject)
    matrix, state = transform.matrix, transform.state()
    expect(matrix is not None, "its matrix is None after training")
    assert matrix is not None
    product = rows.astype(np.float64) @ matrix.T.astype(np.float64)
    apart = float(np.abs(transform.apply(rows) - product).max())
    expect(apart <= 1e-4 * float(np.abs(product).max()), f"apply is up to {apart:.6g} from the product with the matrix")
    expect(set(state.arrays) == {"matrix"} and not state.meta, f"the state has {sorted({*state.arrays, *state.meta})}")


@TRANSFORM_CHECKS.add
def order_kept(subject: Subject) -> None:
    """Under every space that it serves, the nearest tenth of the rows before it holds the nearest row after it, most times."""
    rows = _rows(subject)
    for space in _served(_fresh(subject)):
        mapped = _trained(subject, space).apply(rows)
        before, after = space.pairwise(rows[:50], rows), space.pairwise(mapped[:50], mapped)
        for values in (before, after):
            np.fill_diagonal(values, np.inf)
        ranks = (before < np.take_along_axis(before, after.argmin(axis=1)[:, None], axis=1)).sum(axis=1)
        share = float((ranks < len(rows) / 10).mean())
        expect(share > 0.5, f"under {space.label} that is so for {share:.0%} of the queries")


@TRANSFORM_CHECKS.add
def deterministic(subject: Subject) -> None:
    """Two transforms trained on the same rows with the same seed map rows alike."""
    rows = _rows(subject)
    one, other = _trained(subject).apply(rows), _trained(subject).apply(rows)
    apart = float(np.abs(one - other).max())
    expect(apart <= 1e-4 * float(np.ptp(one)), f"values differ by {apart:.6g} after training again")


@TRANSFORM_CHECKS.add
def state_restores(subject: Subject) -> None:
    """A fresh transform that restores the state maps rows identically, without training."""
    rows, trained = _rows(subject), _trained(subject)
    state = trained.state()
    expect_json(state, "the state")
    fresh = _fresh(subject)
    fresh.restore(written(state))
    expect(np.array_equal(fresh.apply(rows), trained.apply(rows)), "rows are mapped otherwise after restore")


@TRANSFORM_CHECKS.add
def not_trained(subject: Subject) -> None:
    """Before training, apply raises NotTrainedError."""
    expect_error(NotTrainedError, "apply before train", lambda: _fresh(subject).apply(_rows(subject)))


@TRANSFORM_CHECKS.add
def too_few_rows(subject: Subject) -> None:
    """Training on fewer rows than train_rows raises VectorError with that number."""
    transform = _fresh(subject)
    few = _rows(subject)[: transform.train_rows - 1]
    space = _served(transform)[0]
    error = expect_error(
        VectorError, f"training on {len(few)} rows", lambda: transform.train(few, space=space, codec=None)
    )
    needed = str(transform.train_rows)
    expect(
        needed in str(error).replace(",", ""),
        f"training on {len(few)} rows raised {error}, without the {needed} needed",
    )


@TRANSFORM_CHECKS.add
def wrong_width(subject: Subject) -> None:
    """Rows of another width raise VectorError."""
    rows = _rows(subject)
    wide = np.concatenate([rows, rows[:, :1]], axis=1)
    fresh = _fresh(subject)
    expect_error(VectorError, f"apply to {wide.shape[1]} columns", lambda: _trained(subject).apply(wide))
    expect_error(
        VectorError,
        f"train on {wide.shape[1]} columns",
        lambda: fresh.train(wide, space=_served(fresh)[0], codec=None),
    )


@TRANSFORM_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Training and mapping change no array that they are given, and take read-only ones, such as memory-mapped files."""
    before = _rows(subject)
    transform = _fresh(subject)
    for name, call in (
        ("train", lambda rows: transform.train(rows, space=_served(transform)[0], codec=None)),
        ("apply", transform.apply),
    ):
        given = before.copy()
        call(given)
        expect(np.array_equal(given, before), f"{name} changed the array it was given")
        try:
            call(read_only(before.copy()))
        except (ValueError, TypeError) as error:
            fail(f"{name} of a read-only array raised {type(error).__name__}: {error}")
