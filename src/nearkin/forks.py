"""Processes that were forked: a collection that a parent opened must not be used in a child.

Threads, locks and library state of the parent are not in the child: faiss hangs there, and SQLite forbids a connection in both.
"""

from __future__ import annotations

import os

from nearkin.errors import StateError


class _Process:
    """Forks between the first process that imported this and the present one."""

    generation = 0


def _count_fork() -> None:
    _Process.generation += 1


if hasattr(os, "register_at_fork"):  # systems without it do not fork
    os.register_at_fork(after_in_child=_count_fork)


def process_generation() -> int:
    """A number that is the same for as long as the process is."""
    return _Process.generation


def need_same_process(generation: int) -> None:
    """Raise StateError if the process was forked since `process_generation` gave this number.

    >>> need_same_process(process_generation())
    """
    if generation != _Process.generation:
        raise StateError(
            f"this collection was opened before the process was forked, and cannot be used in the child (process {os.getpid()})",
            hint="open it in the child, or start processes with multiprocessing.get_context('spawn')",
        )
