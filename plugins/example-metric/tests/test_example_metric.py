"""Every promise of the metric contract, and one value worked out by hand."""

from collections.abc import Callable

import nearkin_example_metric
import numpy as np

from nearkin.testing import parametrize


@parametrize(nearkin_example_metric)
def test_contract(check: Callable[[], None]) -> None:
    check()


def test_value_by_hand() -> None:
    found = nearkin_example_metric.example_metric_distance.distances(np.float32([[1, -2, 0]]), np.float32([[3, 2, 0]]))
    assert found.tolist() == [[2 / 4 + 4 / 4 + 0]]
