"""Where nearkin keeps what it can make again: compiled kernels and true answers, in the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(part: str) -> Path:
    """The folder of one kind of thing: below what ``NEARKIN_CACHE`` names, else in the user's cache folder.

    >>> cache_folder("kernels").name
    'kernels'
    """
    given = os.environ.get("NEARKIN_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearkin"
    return base / part
