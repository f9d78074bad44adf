"""State: arrays and JSON, nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nearkin.state import State


def test_bytes_are_those_of_the_arrays():
    assert State().nbytes == 0
    assert State({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.uint8)}).nbytes == 53


def test_a_state_is_frozen_and_states_share_nothing():
    state = State()
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.meta = {}
    assert State().arrays is not state.arrays
