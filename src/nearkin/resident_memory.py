"""Memory that the process really takes: resident bytes now, and the most since a moment.

On Linux from ``/proc/self/status``, whose highest mark is set back through ``/proc/self/clear_refs``; elsewhere from `resource`,
which knows the highest mark since the process started; None where neither is there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What clear_refs takes to set VmHWM back to what is resident now; see proc(5)."""


class Peak:
    """The most that was resident while something ran.

    Attributes
    ----------
    bytes
        None until it is over, and where it is not known.
    since_start
        Whether it counts from the start of the process, since the mark could not be set back.
    """

    bytes: int | None = None
    since_start: bool = False


def resident_bytes() -> int | None:
    """Bytes of the process that are in memory now, libraries and mapped files that were touched included.

    >>> resident_bytes() is None or resident_bytes() > 1_000_000
    True
    """
    return _of_status("VmRSS")


def peak_bytes() -> int | None:
    """The most bytes that were in memory since the process started, or since `watch_peak` set the mark back."""
    return _of_status("VmHWM") or _of_resource()


@contextmanager
def watch_peak() -> Iterator[Peak]:
    """Find the most that is resident while the body runs.

    >>> with watch_peak() as peak:
    ...     row = bytearray(1000)
    >>> peak.bytes is None or peak.bytes > 1_000_000
    True
    """
    peak = Peak()
    peak.since_start = not _reset()
    yield peak
    peak.bytes = peak_bytes()


def _reset() -> bool:
    try:
        CLEAR_REFS.write_text(RESET_PEAK)
    except OSError:
        return False
    return True


def _of_status(field: str) -> int | None:
    try:
        text = STATUS.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _of_resource() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
