"""A compiled formula means what it means in Python: names used twice, defaults, infinite numbers, parts of rows."""

from __future__ import annotations

import math
from threading import Thread

import numpy as np
import pytest

import nearkin as nk
from nearkin.errors import ParameterError, PluginContractError
from nearkin.kernel_source import read_kernel
from nearkin.kernels import Kernel

FAR = math.inf
OFFSET = 0.5


def times(factor):
    def scaled(x):
        return x * factor

    return scaled


twice, thrice = times(2), times(3)


def pairwise(x):
    return x + 1.0


def with_default(x, more=OFFSET):
    return x + more


def uses_one_name_twice(a, b):
    return twice(a[0]) + 10 * thrice(b[0])


def uses_names_of_the_template(a, b):
    return pairwise(abs(a[0] - b[0]))


def uses_infinity(a, b):
    least = FAR
    for i in range(a.shape[0]):
        least = min(least, abs(a[i] - b[i]))
    return least


def uses_a_default(a, b):
    return with_default(abs(a[0] - b[0]))


@pytest.mark.parametrize(
    "kernel",
    [uses_one_name_twice, uses_names_of_the_template, uses_infinity, uses_a_default],
    ids=lambda each: each.__name__,
)
def test_it_is_what_python_computes(kernel):
    a, b = np.float32([[5, 1]]), np.float32([[2, 3]])
    assert Kernel(read_kernel(kernel)).pairwise(a, b)[0, 0] == pytest.approx(kernel(a[0], b[0]))


def test_a_default_that_is_no_number_is_refused():
    def named(x, how="l1"):
        return x

    def kernel(a, b):
        return named(a[0])

    with pytest.raises(ParameterError, match="function 'named' has a default that is no number"):
        read_kernel(kernel)


def halves(a, b):
    _, only_a, only_b = nk.bit_counts(a[:4], b[:4])
    return only_a + only_b


def whole(a, b):
    _, only_a, only_b = nk.bit_counts(a, b)
    return only_a + only_b


def every_other(a, b):
    _, only_a, only_b = nk.bit_counts(a[::2], b[::2])
    return only_a + only_b


def test_bits_of_parts_of_rows_are_counted():
    ones, zeros = np.full((1, 8), 255, np.uint8), np.zeros((1, 8), np.uint8)
    assert Kernel(read_kernel(halves)).pairwise(ones, zeros).tolist() == [[32.0]]


@pytest.mark.parametrize(("kernel", "dtype"), [(whole, np.float32), (every_other, np.uint8)])
def test_what_bits_cannot_be_counted_of_is_refused(kernel, dtype):
    with pytest.raises(PluginContractError, match="numba cannot compile"):
        Kernel(read_kernel(kernel)).pairwise(np.ones((1, 8), dtype), np.zeros((1, 8), dtype))


@nk.metric("own-cosine")
def own_cosine(a, b):
    product, long_a, long_b = 0.0, 0.0, 0.0
    for i in range(a.shape[0]):
        product += a[i] * b[i]
        long_a += a[i] * a[i]
        long_b += b[i] * b[i]
    return 1.0 - product / (long_a * long_b) ** 0.5


def test_centres_that_the_metric_is_not_defined_on_are_left_alone():
    rng = np.random.default_rng(0)
    rows = np.zeros((2000, 16), np.float32)  # medians of such rows are rows of zeros
    rows[np.arange(2000), rng.integers(0, 16, 2000)] = 1
    rows[np.arange(2000), rng.integers(0, 16, 2000)] = 2
    mine = nk.build(rows, metric=own_cosine, plan="ivf8")
    assert mine.search(rows[:1], k=1, nprobe=8).distances[0, 0] == pytest.approx(0, abs=1e-6)


def test_first_searches_from_two_threads_put_the_lists_in_order_once():
    rows = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    mine = nk.build(rows, metric=own_cosine, plan="ivf4")
    index = mine._index
    others = []

    class Interrupted(list):
        """Another search comes in between two looks at what is waiting."""

        def __iter__(self):
            if not others:
                others.append(Thread(target=index._ordered))
                others[0].start()
                others[0].join(0.5)
            return super().__iter__()

    index._waiting = Interrupted(index._waiting)
    found = mine.search(rows[:5], k=3, nprobe=4)
    others[0].join()
    assert found.ids.tolist() == mine.exact_search(rows[:5], k=3).ids.tolist()
    assert sorted(index._ordered()[2].tolist()) == list(range(500))
