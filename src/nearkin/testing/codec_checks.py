"""Checks of the codec contract."""

from __future__ import annotations

import numpy as np

from nearkin.codecs import Codec
from nearkin.errors import NotTrainedError, VectorError
from nearkin.testing.contract import (
    Checks,
    NotApplicable,
    Subject,
    expect,
    expect_error,
    expect_json,
    fail,
    read_only,
    written,
)
from nearkin.testing.samples import DIM, ROWS, ordinary_rows
from nearkin.vectors import as_vectors

CODEC_CHECKS = Checks("codec")


class _Bench:
    """A trained codec, the rows that it was trained on, their codes and what these decode to.

    Each time copies, so that a codec that changes what it is given spoils no other check.
    """

    def __init__(self, codec: Codec, rows: np.ndarray) -> None:
        self.codec = codec
        self._rows = rows
        self._codes = codec.encode(rows.copy())
        self._decoded = codec.decode(self._codes.copy())

    @property
    def rows(self) -> np.ndarray:
        return self._rows.copy()

    @property
    def codes(self) -> np.ndarray:
        return self._codes.copy()

    @property
    def decoded(self) -> np.ndarray:
        return self._decoded.copy()


def _rows(subject: Subject) -> np.ndarray:
    def make() -> np.ndarray:
        codec: Codec = subject.make(DIM)
        if subject.rows is not None:
            return as_vectors(subject.rows, dtype=codec.dtype)
        return ordinary_rows(subject.rng("rows"), max(ROWS, codec.train_rows), DIM, codec.dtype)

    return subject.once("rows", make).copy()


def _fresh(subject: Subject) -> Codec:
    codec: Codec = subject.make(_rows(subject).shape[1])
    return codec


def _trained(subject: Subject) -> Codec:
    codec = _fresh(subject)
    if codec.train_rows:
        codec.train(_rows(subject))
    return codec


def _bench(subject: Subject) -> _Bench:
    return subject.once("bench", lambda: _Bench(_trained(subject), _rows(subject)))


@CODEC_CHECKS.gate
def encodes_and_decodes(subject: Subject) -> None:
    """Rows become uint8 codes of code_size bytes, and codes become finite rows of the codec's own type and width."""
    bench = _bench(subject)
    wanted = (len(bench.rows), bench.codec.code_size)
    expect(
        bench.codes.dtype == np.uint8 and bench.codes.shape == wanted,
        f"encode gave {bench.codes.dtype} of shape {bench.codes.shape}, uint8 {wanted} expected",
    )
    dtype = np.dtype(np.uint8 if bench.codec.dtype == "bits" else np.float32)
    expect(
        bench.decoded.dtype == dtype and bench.decoded.shape == bench.rows.shape,
        f"decode gave {bench.decoded.dtype} of shape {bench.decoded.shape}, {dtype} {bench.rows.shape} expected",
    )
    expect(
        np.isfinite(bench.decoded).all(), f"{int((~np.isfinite(bench.decoded)).sum())} decoded values are not finite"
    )


@CODEC_CHECKS.add
def code_size_known(subject: Subject) -> None:
    """code_size, label and the bytes kept once are known before training, and training does not change them."""
    before, after = _fresh(subject), _bench(subject).codec
    for what, early, late in (
        ("code_size", before.code_size, after.code_size),
        ("label", before.label, after.label),
        ("overhead()", before.overhead(), after.overhead()),
    ):
        expect(early == late, f"{what} is {early!r} before training and {late!r} after")


@CODEC_CHECKS.add
def cost_honest(subject: Subject) -> None:
    """cost(n) is the bytes of n codes and of what training found."""
    bench = _bench(subject)
    cost = bench.codec.cost(len(bench.rows))
    expect(
        cost.get("codes") == bench.codes.nbytes,
        f"cost says {cost.get('codes')} bytes of codes for {len(bench.rows)} rows, they take {bench.codes.nbytes}",
    )
    beside = sum(cost.values()) - bench.codes.nbytes
    kept = bench.codec.state().nbytes
    # A library may wrap what it keeps in a header of its own.
    expect(
        beside * 0.75 - 64 <= kept <= beside * 1.25 + 1024,
        f"cost says {beside} bytes beside the codes, and the state has {kept}",
    )


@CODEC_CHECKS.add
def deterministic(subject: Subject) -> None:
    """Two codecs trained on the same rows give the same codes."""
    bench = _bench(subject)
    different = (_trained(subject).encode(bench.rows) != bench.codes).any(axis=1)
    expect(
        not different.any(), f"{int(different.sum())} of {len(different)} rows have other codes after training again"
    )


@CODEC_CHECKS.add
def stable(subject: Subject) -> None:
    """Encoding a decoded row again gives the same row back."""
    bench = _bench(subject)
    again = bench.codec.decode(bench.codec.encode(bench.decoded)).astype(np.float64)
    moved = float(np.abs(again - bench.decoded).max())
    spread = float(np.ptp(bench.rows.astype(np.float64)))
    expect(
        moved <= 1e-3 * spread,
        f"a value moves by {moved:.6g} when a decoded row is encoded again (rows spread {spread:.6g})",
    )


@CODEC_CHECKS.add
def lossless_exact(subject: Subject) -> None:
    """A codec that says it is lossless gives back every row exactly."""
    bench = _bench(subject)
    if not bench.codec.lossless:
        raise NotApplicable("it does not say that it is lossless")
    rows = [bench.rows]
    if bench.codec.dtype == "float32":
        edges = np.array([0.0, -0.0, 1e-38, -1e-45, 3.4e38, -3.4e38, 1 / 3, np.pi], dtype=np.float32)
        rows.append(np.resize(edges, (len(edges), bench.rows.shape[1])))
    for each in rows:
        back = bench.codec.decode(bench.codec.encode(each))
        different = (back != each).any(axis=1)
        expect(not different.any(), f"{int(different.sum())} of {len(each)} rows come back different")


@CODEC_CHECKS.add
def error_bounded(subject: Subject) -> None:
    """A lossy codec is nearer to the rows that it was trained on than the mean of these rows is."""
    bench = _bench(subject)
    if bench.codec.lossless:
        raise NotApplicable("it says that it is lossless")
    rows = _as_numbers(bench.rows)
    error = float(((rows - _as_numbers(bench.decoded)) ** 2).sum(axis=1).mean())
    spread = float(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean())
    expect(error < spread, f"the mean squared error is {error:.6g}, that of the mean row {spread:.6g}")


def _as_numbers(rows: np.ndarray) -> np.ndarray:
    return np.unpackbits(rows, axis=1).astype(np.float64) if rows.dtype == np.uint8 else rows.astype(np.float64)


@CODEC_CHECKS.add
def state_restores(subject: Subject) -> None:
    """A fresh codec that restores the state encodes and decodes identically, without training."""
    bench = _bench(subject)
    state = bench.codec.state()
    expect_json(state, "the state")
    fresh = _fresh(subject)
    fresh.restore(written(state))
    expect(fresh.is_trained, "it is not trained after restore")
    different = int((fresh.encode(bench.rows) != bench.codes).any(axis=1).sum())
    expect(not different, f"{different} of {len(bench.rows)} rows have other codes after restore")
    different = int((fresh.decode(bench.codes) != bench.decoded).any(axis=1).sum())
    expect(not different, f"{different} of {len(bench.rows)} codes are decoded otherwise after restore")


@CODEC_CHECKS.add
def too_few_rows(subject: Subject) -> None:
    """Training on fewer rows than train_rows raises VectorError with that number."""
    codec = _fresh(subject)
    if not codec.train_rows:
        raise NotApplicable("it is not trained")
    few = codec.train_rows - 1
    error = expect_error(VectorError, f"training on {few} rows", lambda: codec.train(_rows(subject)[:few]))
    plain = str(error).replace(",", "")
    expect(
        str(codec.train_rows) in plain, f"training on {few} rows raised {error}, without the {codec.train_rows} needed"
    )


@CODEC_CHECKS.add
def not_trained(subject: Subject) -> None:
    """Before training, encode and decode raise NotTrainedError."""
    codec, bench = _fresh(subject), _bench(subject)
    if not codec.train_rows:
        raise NotApplicable("it is not trained")
    expect_error(NotTrainedError, "encode before train", lambda: codec.encode(bench.rows))
    expect_error(NotTrainedError, "decode before train", lambda: codec.decode(bench.codes))


@CODEC_CHECKS.add
def wrong_width(subject: Subject) -> None:
    """Rows and codes of another width raise VectorError."""
    bench = _bench(subject)
    wide = np.concatenate([bench.rows, bench.rows[:, :1]], axis=1)
    long = np.concatenate([bench.codes, bench.codes[:, :1]], axis=1)
    expect_error(VectorError, f"encode of {wide.shape[1]} columns", lambda: bench.codec.encode(wide))
    expect_error(VectorError, f"decode of {long.shape[1]} bytes", lambda: bench.codec.decode(long))
    expect_error(VectorError, f"train on {wide.shape[1]} columns", lambda: _fresh(subject).train(wide))


@CODEC_CHECKS.add
def extreme_values(subject: Subject) -> None:
    """Values far beyond the rows seen in training are refused with VectorError or come back finite."""
    bench = _bench(subject)
    if bench.codec.dtype == "bits":
        raise NotApplicable("packed bits have no extreme values")
    for factor in (1e-30, 1e6, 1e30):
        rows = bench.rows * np.float32(factor)
        try:
            with np.errstate(all="ignore"):
                back = bench.codec.decode(bench.codec.encode(rows))
        except VectorError:
            continue
        bad = int((~np.isfinite(back)).any(axis=1).sum())
        expect(not bad, f"{bad} of {len(rows)} rows times {factor:g} come back with NaN or infinite values")


@CODEC_CHECKS.add
def batch_independent(subject: Subject) -> None:
    """A row alone gets the code that it gets among others; no rows give no codes."""
    bench = _bench(subject)
    for i in range(0, len(bench.rows), 29):
        code = bench.codec.encode(bench.rows[i : i + 1])
        expect(
            np.array_equal(code[0], bench.codes[i]), f"row {i} has another code alone than among {len(bench.rows)} rows"
        )
        row = bench.codec.decode(bench.codes[i : i + 1])
        expect(np.array_equal(row[0], bench.decoded[i]), f"code {i} is decoded otherwise alone than among others")
    empty = bench.codec.encode(bench.rows[:0])
    expect(empty.shape == (0, bench.codec.code_size), f"no rows were encoded to shape {empty.shape}")
    back = bench.codec.decode(empty)
    expect(back.shape == (0, bench.rows.shape[1]), f"no codes were decoded to shape {back.shape}")


@CODEC_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Training, encoding and decoding do not change the array that they are given."""
    bench = _bench(subject)
    codec = _fresh(subject)
    rows, codes = bench.rows.copy(), bench.codes.copy()
    for name, call, given, before in (
        ("train", codec.train, rows, bench.rows),
        ("encode", codec.encode, rows, bench.rows),
        ("decode", codec.decode, codes, bench.codes),
    ):
        call(given)
        expect(np.array_equal(given, before), f"{name} changed the array it was given")


@CODEC_CHECKS.add
def read_only_input(subject: Subject) -> None:
    """Training, encoding and decoding take read-only arrays, such as memory-mapped ones."""
    bench = _bench(subject)
    codec = _fresh(subject)
    for name, call, given in (
        ("train", codec.train, bench.rows),
        ("encode", codec.encode, bench.rows),
        ("decode", codec.decode, bench.codes),
    ):
        try:
            call(read_only(given))
        except (ValueError, TypeError) as error:
            fail(f"{name} of a read-only array raised {type(error).__name__}: {error}")
