"""How many cells an ivf index has and looks into where nobody says, whatever scans them."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from nearkin.errors import VectorError
from nearkin.search_parameters import SearchParameter

NPROBE: Mapping[str, SearchParameter] = {
    "nprobe": SearchParameter("cells looked into for each query; more find more and take longer")
}


def usual_nlist(rows: int) -> int:
    """Cells for so many rows: about as many as rows in each.

    >>> usual_nlist(10_000), usual_nlist(0)
    (100, 1)
    """
    return max(1, round(sqrt(rows)))


def usual_nprobe(nlist: int) -> int:
    """Of so many cells, how many to look into: an eighth, and all of a few.

    >>> usual_nprobe(1024), usual_nprobe(100), usual_nprobe(10)
    (128, 32, 10)
    """
    return min(nlist, max(32, -(-nlist // 8)))


def need_rows_for_cells(nlist: int, n: int) -> None:
    """Raise VectorError if there are fewer rows than cells."""
    if n < nlist:
        raise VectorError(
            f"ivf was asked for {nlist:,} cells, and there are only {n:,} rows to find them in",
            hint=f"use nlist of at most {usual_nlist(n)}, or leave the number out",
        )
