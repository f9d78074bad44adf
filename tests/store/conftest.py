import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearkin.errors import ParameterError
from nearkin.state import State
from nearkin.store import Folder, Header


@pytest.fixture(scope="session")
def header() -> Callable[..., Header]:
    """Makes headers that differ from the usual one in what is given."""

    def make(**given: Any) -> Header:
        state = State({"matrix": np.arange(6, dtype=np.float64).reshape(2, 3)}, {"shrinkage": 0.1})
        usual: dict[str, Any] = {
            "dim": 3,
            "dtype": "float32",
            "metric": "mahalanobis:shrinkage=0.1",
            "plan": "ivf4,pq3x8",
            "search": {"nprobe": 2},
            "seed": 7,
            "keep_vectors": True,
            "metric_state": state,
            "library": "0.1.0",
        }
        return Header(**{**usual, **given})

    return make


def next_ids(folder: Folder) -> list[Any] | str:
    """What new rows would be called, or why they cannot be: strings have no next, and 64 bits have an end."""
    try:
        return folder.ids.next_ids(None, 2)
    except ParameterError as error:
        return error.message


@pytest.fixture(scope="session")
def contents() -> Callable[[Folder], Any]:
    """Everything that a folder answers, as plain values that can be compared."""

    def read(folder: Folder) -> Any:
        alive = np.flatnonzero(folder.alive)
        built = folder.built()
        state = folder.header.metric_state
        return {
            "facts": [(name, each) for name, each in vars(folder.header).items() if name != "metric_state"],
            "metric": (dict(state.meta), {name: array.tolist() for name, array in state.arrays.items()}),
            "alive": folder.alive.tolist(),
            "ids": folder.ids.at(alive).tolist(),
            "next": next_ids(folder),
            "vectors": folder.span(0, len(folder)).tolist() if folder.header.keep_vectors else None,
            "metadata": folder.metadata(np.arange(len(folder))),
            "built": built
            and (
                built.label,
                built.covered,
                dict(built.state.meta),
                {name: (array.dtype.str, array.tolist()) for name, array in built.state.arrays.items()},
            ),
        }

    return read


@pytest.fixture(scope="session")
def index_state() -> State:
    """A state like an index has: arrays of several types, one of them empty, and names that are no file names."""
    return State(
        {
            "faiss/../codes": np.arange(24, dtype=np.uint8).reshape(8, 3),
            "centroids": np.linspace(-1, 1, 6).astype(np.float32).reshape(2, 3),
            "nothing": np.empty((0, 3), dtype=np.int64),
            "scale": np.array(0.5),
        },
        {"nlist": 4, "codec": {"bits": 8}},
    )


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder that is synced at once, where there is such a place: a killed process loses nothing of it either."""
    place = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as home:
        yield Path(home)
