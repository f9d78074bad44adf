"""Queries that got too few neighbours are asked again, and only those."""

import numpy as np

from nearkin.completion import complete, widened
from nearkin.indexes import Found


def found(positions):
    positions = np.array(positions)
    return Found(positions, np.where(positions < 0, np.inf, positions).astype(np.float32))


def test_only_short_answers_are_asked_again_and_only_better_ones_taken():
    asked = []

    def attempt(answers):
        def run(short):
            asked.append(short.tolist())
            return found([answers[each] for each in short.tolist()])

        return run

    first = found([[1, 2], [3, -1], [-1, -1]])
    attempts = [
        attempt({1: [-1, -1], 2: [7, -1]}),
        attempt({1: [3, 4], 2: [7, 8]}),
        attempt({}),
    ]
    whole = complete(first, 2, attempts)
    assert asked == [[1, 2], [1, 2]]
    assert whole.positions.tolist() == [[1, 2], [3, 4], [7, 8]]
    assert whole.distances.tolist() == [[1, 2], [3, 4], [7, 8]]
    assert first.positions.tolist() == [[1, 2], [3, -1], [-1, -1]]


def test_an_answer_is_never_replaced_by_a_shorter_one():
    first = found([[3, -1]])
    assert complete(first, 2, [lambda short: found([[-1, -1]])]).positions.tolist() == [[3, -1]]


def test_parameters_grow_until_they_are_as_large_as_the_index():
    class Small:
        n = 100

        def resolve(self, params):
            return {"nprobe": 3, "rerank": 40, **params}

    assert list(widened(Small(), {"rerank": 10})) == [
        {"nprobe": 12, "rerank": 40},
        {"nprobe": 48, "rerank": 100},
        {"nprobe": 100, "rerank": 100},
    ]
