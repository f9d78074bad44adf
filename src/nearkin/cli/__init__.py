"""The command line: parse, call, render. `main` is the command ``nearkin``."""

from __future__ import annotations


def main() -> None:
    """Run ``nearkin`` with the arguments of the process, and exit."""
    import os
    import sys

    # OpenMP's threads spin while they wait for each other, which on a busy machine slows a command several times over.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from nearkin.cli.exits import hold_standard_streams
    from nearkin.cli.program import nearkin

    hold_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # an id that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    nearkin()
