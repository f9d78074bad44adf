"""A collection through any order of changes, against a dict and brute force in float64."""

from __future__ import annotations

import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import nearkin as nk
from nearkin import errors

SOAK = bool(os.environ.get("NEARKIN_SOAK"))
DIM = 4
METRICS = ("euclidean", "cosine", "inner-product", "hamming")
TINY = 1e-4


def brute_force(metric: str, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distances in float64, written down once more."""
    if metric == "hamming":
        different = np.unpackbits(query[None, :] ^ rows, axis=1).sum(axis=1).astype(np.float64)
        return different
    q, x = query.astype(np.float64), rows.astype(np.float64)
    if metric == "euclidean":
        return np.sqrt(((x - q) ** 2).sum(axis=1))
    if metric == "cosine":
        return 1 - (x @ q) / (np.linalg.norm(x, axis=1) * np.linalg.norm(q))
    return -(x @ q)


class CollectionMachine(RuleBasedStateMachine):
    """`model` is the truth: id to (vector, metadata)."""

    metric = "euclidean"
    plan = "flat"

    @initialize(seed=st.integers(0, 2**20), text_ids=st.booleans(), count=st.integers(1, 12), on_disk=st.booleans())
    def build(self, seed, text_ids, count, on_disk):
        self.rng = np.random.default_rng(seed)
        self.home = Path(tempfile.mkdtemp())
        self.text_ids = text_ids
        self.ever = 0
        self.model = {}
        self.uncovered = 0
        count = max(count, 4)
        vectors, ids = self.rows(count), self.new_ids(count)
        if on_disk:
            dim = vectors.shape[1]
            self.mine = nk.create(self.home / "used", dim=dim, metric=self.metric, plan=self.plan)
            self.mine.add(vectors, ids)
        else:
            self.mine = nk.build(vectors, metric=self.metric, plan=self.plan, ids=ids)
        self.model = {key: (vector, {}) for key, vector in zip(ids, vectors, strict=True)}

    # ---- what goes in ----------------------------------------------------------------------------------------------

    def rows(self, count):
        """Rows on a coarse grid, so that ties and equal rows are common; none is zero."""
        if self.metric == "hamming":
            return self.rng.integers(0, 256, (count, DIM), dtype=np.uint8)
        rows = self.rng.integers(-3, 4, (count, DIM)).astype(np.float32)
        rows[~rows.any(axis=1)] = 1
        return rows

    def new_ids(self, count):
        start, self.ever = self.ever, self.ever + count
        numbers = [7 * each - 20 if 7 * each != 19 else 1000 for each in range(start, start + count)]
        return (
            [f"row {each}" for each in numbers] if self.text_ids else [each - (each == -1) * 10**6 for each in numbers]
        )

    def pick(self, count):
        keys = sorted(self.model)
        return [keys[each] for each in self.rng.permutation(len(keys))[:count]]

    @property
    def effort(self):
        return {"nprobe": 4} if self.plan.startswith("ivf") and self.mine._index is not None else {}

    # ---- what changes it -------------------------------------------------------------------------------------------

    @rule(count=st.integers(0, 6), with_metadata=st.booleans())
    def add(self, count, with_metadata):
        vectors, ids = self.rows(count), self.new_ids(count)
        metadata = [{"n": each} for each in range(count)] if with_metadata else None
        added = self.mine.add(vectors, ids, metadata=metadata)
        assert added.ids == ids
        assert added.skipped.size == 0
        for row, key in enumerate(ids):
            self.model[key] = (vectors[row].copy(), metadata[row] if metadata else {})
        vectors[:] = 0  # what the caller does afterwards is no concern of the collection's

    @rule(count=st.integers(1, 3))
    def add_without_ids(self, count):
        vectors = self.rows(count)
        if self.text_ids:
            with pytest.raises(errors.ParameterError, match="without ids"):
                self.mine.add(vectors)
            return
        added = self.mine.add(vectors)
        assert len(set(added.ids) | set(self.model)) == count + len(self.model)
        self.ever = max(self.ever, max(added.ids) // 7 + 4)
        for key, vector in zip(added.ids, vectors, strict=True):
            self.model[key] = (vector, {})

    @rule(old=st.integers(0, 3), new=st.integers(0, 3), price=st.integers(0, 9))
    def upsert(self, old, new, price):
        ids = self.pick(old) + self.new_ids(new)
        vectors = self.rows(len(ids))
        metadata = [{"price": price + each, "tags": [each % 2, "new"]} for each in range(len(ids))]
        self.mine.upsert(vectors, ids, metadata=metadata)
        for row, (key, vector) in enumerate(zip(ids, vectors, strict=True)):
            self.model.pop(key, None)
            self.model[key] = (vector, metadata[row])

    @rule(limit=st.integers(0, 9))
    def delete_by_filter(self, limit):
        gone = [key for key, (_, extra) in self.model.items() if extra.get("price", 99) < limit // 3]
        assert self.mine.delete(where=f"price < {limit // 3}") == len(gone)
        for key in gone:
            del self.model[key]

    @rule()
    def reopen(self):
        if self.mine.path is not None:
            self.mine.close()
            self.mine = nk.open(self.mine.path)
            assert self.mine.problems == []

    @rule()
    def index_a_field(self):
        if self.mine.path is not None:
            self.mine.index_field("price")

    @rule()
    def verify(self):
        assert self.mine.verify() == []

    @rule(count=st.integers(0, 5))
    def delete(self, count):
        keys = self.pick(count)
        assert self.mine.delete(keys) == len(keys)
        for key in keys:
            del self.model[key]

    @rule()
    def delete_everything(self):
        if len(self.model) < 6:
            self.mine.delete(list(self.model))
            self.model.clear()

    @rule(retrain=st.booleans())
    def optimize(self, retrain):
        try:
            self.mine.optimize(retrain=retrain)
        except errors.VectorError:
            few = f"4 cells, and there are only {len(self.model)} rows"
            with pytest.raises(errors.VectorError, match=few):
                self.mine.optimize(retrain=retrain)
        else:
            assert self.mine.uncovered == 0 or not self.model

    @rule(then_open=st.booleans())
    def save(self, then_open):
        path = self.home / "saved"
        self.mine.save(path, overwrite=path.exists())
        if then_open:
            self.mine.close()
            shutil.rmtree(self.home / "used", ignore_errors=True)
            path.rename(self.home / "used")
            self.mine = nk.open(self.home / "used")
            assert self.mine.problems == []

    @rule(kind=st.sampled_from(["width", "nan", "duplicate", "known", "unknown", "k", "param", "metadata", "kind"]))
    def fail(self, kind):
        """Whatever is refused changes nothing; the invariants look."""
        two, ids = self.rows(2), self.new_ids(2)
        call = {
            "width": lambda: self.mine.add(np.ones((2, DIM + 1), two.dtype), ids),
            "nan": lambda: self.mine.add(np.full((2, DIM), np.nan), ids),
            "duplicate": lambda: self.mine.upsert(two, [ids[0], ids[0]]),
            "known": lambda: self.mine.add(two, [ids[0], *self.pick(1)]),
            "unknown": lambda: self.mine.delete([*self.pick(1), ids[1]]),
            "k": lambda: self.mine.search(two, 0),
            "param": lambda: self.mine.search(two, 1, effort=3),
            "metadata": lambda: self.mine.add(two, ids, metadata=[{"n": 1}, {"n": object()}]),
            "kind": lambda: self.mine.upsert(two, [1, 2] if self.text_ids else ["1", "2"]),
        }[kind]
        if kind == "known" and not self.model:
            return
        with pytest.raises((errors.InputError, errors.UnknownIdError)):
            call()

    # ---- what must hold --------------------------------------------------------------------------------------------

    def found_is_right(self, query, positions_to_ids, distances, k, kept=None):
        """As many as there can be, each a living row once, with its true distance, none nearer left out."""
        keys = list(self.model if kept is None else kept)
        ids = [each for each in positions_to_ids if each is not None][: min(k, len(keys))]
        assert len(set(ids)) == min(k, len(keys))
        assert set(ids) <= set(keys)
        if not keys:
            return
        rows = np.array([self.model[key][0] for key in keys])
        true = dict(zip(keys, brute_force(self.metric, query, rows), strict=True))
        np.testing.assert_allclose([true[each] for each in ids], distances[: len(ids)], rtol=TINY, atol=TINY)
        kth = sorted(true.values())[len(ids) - 1]
        assert all(true[each] <= kth + TINY for each in ids)

    @invariant()
    def searches_are_right(self):
        queries = self.rows(3)
        for k in (1, 4, len(self.model) + 2):
            found = self.mine.search(queries, k, **self.effort)
            assert (found.complete == (len(self.model) >= k)).all()
            assert all(bool(reason) == (len(self.model) < k) for reason in found.reason)
            for row, query in enumerate(queries):
                self.found_is_right(query, [hit.id for hit in found[row]], found.distances[row], k)
                assert (found.positions[row, found.counts[row] :] == -1).all()
                assert np.isposinf(found.distances[row, found.counts[row] :]).all()

    @invariant()
    def filtered_searches_are_right(self):
        queries = self.rows(2)
        kept_by = {
            "price between 2 and 5": lambda extra: 2 <= extra.get("price", 99) <= 5,
            'not tags has "new"': lambda extra: "new" not in extra.get("tags", []),
            "tags has 1 or n >= 1": lambda extra: 1 in extra.get("tags", []) or extra.get("n", 0) >= 1,
        }
        for where, keeps in kept_by.items():
            kept = {key: row for key, row in self.model.items() if keeps(row[1])}
            assert self.mine.count(where) == len(kept)
            assert {row.id for row in self.mine.select(where, vectors=False)} == set(kept)
            found = self.mine.search(queries, 3, where=where, **self.effort)
            for row, query in enumerate(queries):
                ids = [hit.id for hit in found[row]]
                self.found_is_right(query, ids, found.distances[row], 3, kept)

    @invariant()
    def ranges_are_right(self):
        (query,) = self.rows(1)
        keys = list(self.model)
        true = (
            brute_force(self.metric, query, np.array([self.model[key][0] for key in keys]).reshape(-1, DIM))
            if keys
            else []
        )
        for limit in (-1.0, 0.0, 2.2, 1e9):
            (hits,) = self.mine.range_search(query[None, :], limit, **self.effort)
            inside = {key for key, value in zip(keys, true, strict=True) if value <= limit - TINY}
            perhaps = {key for key, value in zip(keys, true, strict=True) if value <= limit + TINY}
            ids = [hit.id for hit in hits]
            assert len(ids) == len(set(ids))
            assert inside <= set(ids) <= perhaps
            assert all(one.distance <= two.distance for one, two in pairwise(hits))

    @invariant()
    def rows_come_back(self):
        keys = self.pick(4)
        for key, row in zip(keys, self.mine.get(keys), strict=True):
            assert row.id == key
            assert row.vector.tolist() == self.model[key][0].tolist()
            assert row.metadata == self.model[key][1]
        assert len(self.mine) == len(self.model)
        assert sorted(self.mine.ids.tolist()) == sorted(self.model)
        assert all(key in self.mine for key in keys)
        assert ("never" if self.text_ids else 10**9) not in self.mine

    def teardown(self):
        if hasattr(self, "mine"):
            self.mine.close()
            shutil.rmtree(self.home)


@pytest.mark.parametrize("plan", ["flat", "ivf4,f32"])
@pytest.mark.parametrize("metric", METRICS)
def test_against_a_dict(metric, plan):
    machine = type(
        f"{metric} {plan}",
        (CollectionMachine,),
        {"metric": metric, "plan": plan.replace("f32", "bits") if metric == "hamming" else plan},
    )
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100 if SOAK else 4,
            stateful_step_count=40 if SOAK else 12,
            deadline=None,
            derandomize=not SOAK,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
