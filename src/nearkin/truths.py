"""True neighbours, kept in the user's cache folder: comparing every row takes longest of all that measuring does.

A truth is found again by the content of everything that decides it: the rows and queries as the metric prepares them, which rows
are deleted, k, the metric's name, state and formula, and the version of nearkin. A file that is not as it was written is as good
as none, and so is a folder that cannot be written to.
"""

from __future__ import annotations

import contextlib
import json
import os
from hashlib import blake2b
from pathlib import Path

import numpy as np

import nearkin as package
from nearkin.indexes import Found
from nearkin.indexing import Recipe, exact_over
from nearkin.rows import Rows
from nearkin.user_cache import cache_folder

WORTH_KEEPING = 2e9
"""Pairs of values compared from which on a truth is kept; the fastest metrics compare so many in about half a second."""

MOST_BYTES = 256 << 20
"""Bytes that truths may take up together; the ones not used for longest go first."""

MAGIC = b"nktruth1"
DIGEST = 32


def exact_truth(
    rows: Rows, alive: np.ndarray, prepared: np.ndarray, k: int, threads: int, recipe: Recipe, *, cache: bool = True
) -> Found:
    """As `nearkin.indexing.exact_over`, from the cache where the same was asked before.

    Parameters
    ----------
    alive
        (n,) False where a row is deleted.
    prepared
        (nq, dim) prepared queries.
    cache
        Whether to look there and to keep the answer there. Little work, and a metric that is neither a reduction, native to
        faiss nor compiled, so that nothing identifies it, are not kept.
    """
    values = len(alive) * prepared.shape[0] * prepared.shape[1]
    if not cache or values < WORTH_KEEPING or recipe.metric.space.label == "pairwise":
        return exact_over(rows, alive, prepared, k, threads, recipe)
    key = _key(rows, alive, prepared, k, recipe)
    kept = read_truth(key, len(prepared), k)
    if kept is None:
        kept = exact_over(rows, alive, prepared, k, threads, recipe)
        keep_truth(key, kept)
    return kept


def _key(rows: Rows, alive: np.ndarray, prepared: np.ndarray, k: int, recipe: Recipe) -> bytes:
    """Hash of everything that decides a truth."""
    metric = recipe.metric
    state, space = metric.state(), metric.space
    facts = {
        "version": package.__version__,
        "metric": [metric.name, space.label, space.kernel.source.digest if space.kernel else "", dict(state.meta)],
        "exact": str(recipe.exact().plan),
        "shapes": [len(alive), *prepared.shape, k, str(prepared.dtype)],
        "arrays": {name: [str(array.dtype), *array.shape] for name, array in state.arrays.items()},
    }
    found = blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=DIGEST)
    parameters = metric.kernel_params() if metric.kernel is not None else None
    for array in (*state.arrays.values(), *(() if parameters is None else (parameters,)), np.packbits(alive), prepared):
        found.update(np.ascontiguousarray(array).data)
    for _, block in rows.blocks(0, len(alive)):
        found.update(np.ascontiguousarray(metric.prepare(block)).data)
    return found.digest()


def _path(key: bytes) -> Path:
    return cache_folder("truths") / key.hex()


def read_truth(key: bytes, queries: int, k: int) -> Found | None:
    """The truth kept under a key; None if there is none, or not what was written."""
    try:
        path = _path(key)
        content = path.read_bytes()
    except (OSError, RuntimeError):  # no such file; no home folder
        return None
    with contextlib.suppress(OSError):  # in a read-only folder
        os.utime(path)  # used now: it goes last
    start, cells = len(MAGIC) + DIGEST, queries * k
    body = content[start:]
    if len(body) != 12 * cells or content[:start] != MAGIC + _checksum(key, body):
        return None
    positions = np.frombuffer(body, "<i8", cells).astype(np.int64).reshape(queries, k)
    distances = np.frombuffer(body, "<f4", cells, offset=8 * cells).astype(np.float32).reshape(queries, k)
    return Found(positions, distances)


def keep_truth(key: bytes, found: Found) -> None:
    """Write a truth under a key, all or nothing; where that is not possible, nothing happens."""
    body = found.positions.astype("<i8").tobytes() + found.distances.astype("<f4").tobytes()
    if len(body) > MOST_BYTES // 2:
        return
    part: Path | None = None
    try:
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(MAGIC + _checksum(key, body) + body)
        part.replace(path)
        _make_room(path.parent)
    except (OSError, RuntimeError):
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _checksum(key: bytes, body: bytes) -> bytes:
    """Of the key too: a file under another's name is no truth."""
    return blake2b(key + body, digest_size=DIGEST).digest()


def _make_room(folder: Path) -> None:
    """Remove the files used longest ago while all together are too large."""
    known = sorted((each.stat().st_mtime_ns, each.stat().st_size, each) for each in folder.iterdir() if each.is_file())
    total = sum(size for _, size, _ in known)
    for _, size, path in known:
        if total <= MOST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
