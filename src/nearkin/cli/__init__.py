"""The command line: parse, call, render. `main` is the command ``nearkin``."""

from __future__ import annotations


def main() -> None:
    """Run ``nearkin`` with the arguments of the process, and exit."""
    from nearkin.cli.program import nearkin

    nearkin()
