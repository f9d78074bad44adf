"""One whole number as seed, from what scikit-learn calls ``random_state``."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_random_state

from nearkin.settings import load_settings


def seed_of(random_state: Any) -> int:
    """The number itself, one drawn from a generator, or for None that of the settings.

    >>> seed_of(7)
    7
    """
    if random_state is None or isinstance(random_state, int | np.integer):
        return load_settings({"seed": None if random_state is None else int(random_state)}).seed
    return int(check_random_state(random_state).randint(2**31 - 1))
