"""CRC-32 of the positions and ids of rows, of which there may be millions at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from zlib import crc32

import numpy as np


def id_checksums(positions: Sequence[int], ids: Sequence[int | str]) -> list[int]:
    """Checksums of positions, which ascend, and their ids: of both in decimal digits, or the text, with a space between.

    >>> id_checksums([0, 8], [7, 8]) == [crc32(b"0 7"), crc32(b"8 8")] == id_checksums([0, 8], ["7", "8"])
    True
    """
    if not len(ids):
        return []
    texts: Iterable[str] = ids if isinstance(ids[0], str) else map(str, ids)  # type: ignore[assignment]
    return list(map(crc32, map(str.encode, texts), _position_checksums(positions).tolist()))


def _position_checksums(positions: Sequence[int]) -> np.ndarray:
    """CRC-32 of "position ", from which that of an id goes on.

    Four bytes more turn a checksum c into ``crc32(four, c) = crc32(four) ^ crc32(zeros, c) ^ crc32(zeros)``, since CRC is
    linear over GF(2) (Peterson and Brown, Cyclic codes for error detection, 1961). So the three last digits and the space
    are worked out once, and all but them once for a thousand positions.
    """
    first, last = positions[0], positions[-1]
    if last - first > 10 * len(positions) + 1000:  # few, and far apart
        return np.array([crc32(b"%d " % each) for each in positions], dtype=np.uint32)
    thousands = range(first // 1000, last // 1000 + 1)
    sums = np.concatenate([_of_thousand(each) for each in thousands])
    if len(positions) == last - first + 1:
        return sums[first - 1000 * thousands[0] :][: len(positions)]
    return np.asarray(sums[np.asarray(positions) - 1000 * thousands[0]])


def _of_thousand(thousand: int) -> np.ndarray:
    if thousand < 1:
        return np.array(
            [crc32(b"%d " % each) for each in range(1000 * thousand, 1000 * thousand + 1000)], dtype=np.uint32
        )
    zeros = bytes(4)
    return _four_bytes() ^ np.uint32(crc32(zeros, crc32(b"%d" % thousand)) ^ crc32(zeros))


@cache
def _four_bytes() -> np.ndarray:
    return np.array([crc32(b"%03d " % each) for each in range(1000)], dtype=np.uint32)
