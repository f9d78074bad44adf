"""Checks of the index contract: how an index behaves, beyond what one search answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from nearkin.codecs import Codec
from nearkin.components import Part
from nearkin.errors import MissingDependencyError, NotSupportedError, NotTrainedError, ParameterError, VectorError
from nearkin.hooks import IndexSpec
from nearkin.indexes import Found, Mask
from nearkin.legality import transforms_itself
from nearkin.metrics import Space
from nearkin.plans import Plan, make_codec, make_index
from nearkin.testing.contract import (
    Checks,
    NotApplicable,
    Subject,
    expect,
    expect_error,
    expect_json,
    fail,
    first_line,
    read_only,
    written,
)
from nearkin.testing.index_checks import expect_alike, searched
from nearkin.testing.index_subjects import K, SpaceMetric, accepted, full_effort, grounds, pairs
from nearkin.testing.samples import DIM, ROWS
from nearkin.transforms import Transform

BEHAVIOUR_CHECKS = Checks("index")


@BEHAVIOUR_CHECKS.add
def added_in_parts(subject: Subject) -> None:
    """Adding rows in two parts answers as adding them at once."""
    for pair in pairs(subject):
        index = pair.trained()
        index.add(pair.rows[:100])
        index.add(pair.rows[100:])
        expect_alike(searched(index, pair), searched(pair.index, pair), pair, "rows added in two parts")


@BEHAVIOUR_CHECKS.add
def positions_in_order(subject: Subject) -> None:
    """Positions count the rows in the order of adding, over any number of parts, one of them empty."""
    for pair in pairs(subject):
        index = pair.trained()
        for start, stop in ((0, 1), (1, 1), (1, 90), (90, 91), (91, len(pair.rows))):
            index.add(np.ascontiguousarray(pair.rows[start:stop]))
            expect(index.n == stop, f"{pair}: n is {index.n} after {stop} rows were added in parts")
        expect_alike(searched(index, pair), searched(pair.index, pair), pair, "rows added in five parts")


@BEHAVIOUR_CHECKS.add
def rows_apart(subject: Subject) -> None:
    """Where rows are said to be apart, masking some answers as never having added them, at the usual effort too."""
    said = [pair for pair in pairs(subject) if pair.index.rows_apart]
    if not said:
        raise NotApplicable("it does not say that rows are apart")
    allowed = subject.rng("apart").random(len(said[0].rows)) < 0.8
    kept = np.flatnonzero(allowed)
    for pair in said:
        others = pair.trained()
        others.add(np.ascontiguousarray(pair.rows[kept]))
        found = others.search(pair.queries, K)
        masked = pair.index.search(pair.queries, K, mask=Mask(allowed.copy()))
        moved = Found(np.where(found.positions < 0, -1, kept[found.positions]), found.distances)
        expect_alike(masked, moved, pair, "rows masked, and rows never added")


@BEHAVIOUR_CHECKS.add
def batch_independent(subject: Subject) -> None:
    """A query alone is answered as it is among others; no queries give no answers."""
    for pair in pairs(subject):
        index = pair.index
        many = searched(index, pair)
        for row in range(len(pair.queries)):
            query = np.ascontiguousarray(pair.queries[row : row + 1])
            alone = index.search(query, K, params=full_effort(index))
            wanted = type(many)(many.positions[row : row + 1], many.distances[row : row + 1])
            expect_alike(alone, wanted, pair, f"query {row} alone and among {len(pair.queries)}")


@BEHAVIOUR_CHECKS.add
def state_restores(subject: Subject) -> None:
    """A fresh index that restores the state gives identical answers, and takes more rows."""
    for pair in pairs(subject):
        state = pair.index.state()
        expect_json(state, f"the state with {pair}")
        fresh = pair.untrained()
        fresh.restore(written(state))
        expect(fresh.n == pair.index.n, f"{pair}: n is {fresh.n} after restore, it was {pair.index.n}")
        for params in ({}, full_effort(pair.index)):
            before = pair.index.search(pair.queries, K, params=params)
            after = fresh.search(pair.queries, K, params=params)
            same = np.array_equal(before.positions, after.positions) and np.array_equal(
                before.distances, after.distances
            )
            expect(same, f"{pair}: answers after restore are not the same")
        fresh.add(np.ascontiguousarray(pair.rows[:5]))
        expect(
            fresh.n == pair.index.n + 5,
            f"{pair}: n is {fresh.n} after 5 rows were added to {pair.index.n} restored ones",
        )


@BEHAVIOUR_CHECKS.add
def search_parameters(subject: Subject) -> None:
    """Defaults are set for every search parameter and in range; unknown names and bad values raise ParameterError."""
    for pair in pairs(subject):
        index = pair.index
        defaults = index.resolve({})
        expect(
            set(defaults) == set(index.knobs),
            f"{pair}: defaults are for {sorted(defaults)}, search parameters are {sorted(index.knobs)}",
        )
        for name, knob in index.knobs.items():
            expect(knob.summary, f"{pair}: search parameter {name} has no summary")
            expect(
                defaults[name] >= knob.least,
                f"{pair}: {name} is {defaults[name]} by default, at least {knob.least} allowed",
            )
            for bad in (knob.least - 1, 1.5, "many", True):
                expect_error(
                    ParameterError,
                    f"{pair}: {name}={bad!r}",
                    lambda: index.search(pair.queries, K, params={name: bad}),  # noqa: B023 - called at once
                )
        expect_error(
            ParameterError,
            f"{pair}: an unknown search parameter",
            lambda: index.search(pair.queries, K, params={"no_such_parameter": 1}),  # noqa: B023 - called at once
        )


@BEHAVIOUR_CHECKS.add
def cost_honest(subject: Subject) -> None:
    """The bytes that cost predicts are those allocated, within a quarter."""
    for pair in pairs(subject):
        predicted = sum(pair.untrained().cost(len(pair.rows)).values())
        allocated = sum(pair.index.allocated().values())
        expect(
            abs(predicted - allocated) <= 0.25 * allocated,
            f"{pair}: {predicted:,} bytes are predicted for {len(pair.rows)} rows, {allocated:,} are allocated",
        )
        lower = sum(pair.finest.cost(len(pair.rows)).values()) // 4
        expect(allocated >= lower, f"{pair}: {allocated:,} bytes allocated cannot hold {len(pair.rows)} rows")


@BEHAVIOUR_CHECKS.add
def not_trained(subject: Subject) -> None:
    """Adding rows before training raises NotTrainedError."""
    for pair in pairs(subject):
        index = pair.untrained()
        expect_error(NotTrainedError, f"{pair}: add before train", lambda: index.add(pair.rows))  # noqa: B023


@BEHAVIOUR_CHECKS.add
def too_few_rows(subject: Subject) -> None:
    """Training on fewer rows than train_rows() raises VectorError."""
    for pair in pairs(subject):
        index = pair.untrained()
        few = pair.rows[: index.train_rows() - 1]
        expect_error(VectorError, f"{pair}: training on {len(few)} rows", lambda: index.train(few))  # noqa: B023


@BEHAVIOUR_CHECKS.add
def wrong_width(subject: Subject) -> None:
    """Rows of another width raise VectorError."""
    for pair in pairs(subject):
        index = pair.trained()
        wide = np.concatenate([pair.rows, pair.rows[:, :1]], axis=1)
        expect_error(VectorError, f"{pair}: adding {wide.shape[1]} columns", lambda: index.add(wide))  # noqa: B023
        expect_error(VectorError, f"{pair}: training on {wide.shape[1]} columns", lambda: index.train(wide))  # noqa: B023


@BEHAVIOUR_CHECKS.add
def threads_agree(subject: Subject) -> None:
    """One thread and two give the same answers."""
    for pair in pairs(subject):
        two, one = (  # one last: a library may keep the number for the checks to come
            pair.index.search(pair.queries, K, params=full_effort(pair.index), threads=threads) for threads in (2, 1)
        )
        expect_alike(two, one, pair, "two threads and one")


@BEHAVIOUR_CHECKS.add
def searched_at_once(subject: Subject) -> None:
    """Searches from two Python threads at once are answered as they are one after the other."""
    for pair in pairs(subject):
        half = len(pair.queries) // 2
        halves = (slice(0, half), slice(half, None))
        index, effort = pair.index, full_effort(pair.index)
        wanted = [index.search(pair.queries[part], K, params=effort) for part in halves]
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(index.search, pair.queries[halves[i % 2]], K, params=effort) for i in range(8)]
            for i, job in enumerate(jobs):
                expect_alike(job.result(), wanted[i % 2], pair, "two threads searching at once")


@BEHAVIOUR_CHECKS.add
def input_unchanged(subject: Subject) -> None:
    """Training, adding and searching do not change the arrays that they are given."""
    for pair in pairs(subject):
        rows, queries = pair.rows.copy(), pair.queries.copy()
        allowed = np.arange(len(rows)) % 3 > 0
        mask = Mask(allowed.copy())
        index = pair.untrained()
        index.train(rows)
        index.add(rows)
        index.search(queries, K)
        index.search(queries, K, mask=mask)
        expect(np.array_equal(rows, pair.rows), f"{pair}: train or add changed the rows")
        expect(np.array_equal(queries, pair.queries), f"{pair}: search changed the queries")
        expect(np.array_equal(mask.allowed, allowed), f"{pair}: search changed the mask")


@BEHAVIOUR_CHECKS.add
def read_only_input(subject: Subject) -> None:
    """Training, adding and searching take read-only arrays, such as memory-mapped ones."""
    for pair in pairs(subject):
        try:
            index = pair.untrained()
            index.train(read_only(pair.rows))
            index.add(read_only(pair.rows))
            index.search(read_only(pair.queries), K, mask=Mask(read_only(np.ones(len(pair.rows), bool))))
        except (ValueError, TypeError) as error:
            fail(f"{pair}: read-only arrays raised {type(error).__name__}: {first_line(error)}")


class _HalfTheColumns(Transform):
    """Every other column, weighted: what it does to the order of the rows is easily seen."""

    name = "half-the-columns"

    @property
    def width(self) -> int:
        return -(-self.dim // 2)

    def _train(self, vectors: np.ndarray, space: Space, codec: Codec | None, seed: int) -> np.ndarray:
        return np.linspace(1, 3, self.width)[:, None] * np.eye(self.dim)[::2]


@BEHAVIOUR_CHECKS.add
def transform_applied(subject: Subject) -> None:
    """Where the spec says that the index applies a transform itself, it answers as an index over transformed rows does."""
    tried = 0
    for pair in pairs(subject):
        codec = pair.codec.make(pair.rows.shape[1])
        transform = _HalfTheColumns(pair.rows.shape[1])
        if not transforms_itself(pair.spec, pair.space, codec) or pair.space.label not in transform.spaces:
            continue
        tried += 1
        index = pair.made(transform)
        index.train(pair.rows)
        index.add(pair.rows)
        transform.train(pair.rows, space=pair.space, codec=None)
        over = replace(pair, kept_rows=transform.apply(pair.rows), kept_queries=transform.apply(pair.queries))
        found = index.search(pair.queries, K, params=full_effort(index))
        expect_alike(found, searched(over.index, over), over, "transformed by the index and before it")
    if not tried:
        raise NotApplicable("it does not say that it applies a transform")


@BEHAVIOUR_CHECKS.add
def plans_match_accepts(subject: Subject) -> None:
    """A plan makes every pair that the spec accepts, refuses every other, and the spec accepts a codec that exists."""
    spec, registry = subject.spec, subject.registry
    if not isinstance(spec, IndexSpec) or not any(spec is known for known in registry.specs("index")):
        raise NotApplicable("it is not published in this registry, so no plan can name it")
    name = Part(f"{registry.owner(spec)}/{spec.name}", dict(subject.params))
    if not registry.specs("codec"):
        raise NotApplicable("the registry has no codecs")
    made = 0
    for codec_spec in registry.specs("codec"):
        codec_part = Part(f"{registry.owner(codec_spec)}/{codec_spec.name}")
        try:
            codec = make_codec(codec_part, DIM, registry)
        except MissingDependencyError:
            continue
        for space, _, _ in grounds(subject):
            legal = accepted(spec, space, codec)
            made += legal
            plan = Plan(name, codec_part)
            pair = f"{codec_spec.name} under {space.label}"
            try:
                make_index(plan, SpaceMetric(space), DIM, registry, rows=ROWS)
            except NotSupportedError as error:
                expect(not legal, f"{pair}: accepted by the spec, and refused: {error}")
            else:
                expect(legal, f"{pair}: not accepted by the spec, and not refused")
    expect(made, f"it accepts {sorted(spec.accepts)}, which no codec of this registry is")
