"""A program of its own that reads HDF5 files with h5py, so that a damaged file can bring down nothing else.

It takes one argument, a JSON object with ``path``. With ``dataset`` it writes rows to standard output: for every run of them a
line of JSON, ``{"ids": [...], "bytes": n}``, and the bytes of their values. Without, it writes one line: what is in the
file. Its exit code is 3, and its output one line, if it refuses the file.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

LARGEST_MEMORY = 8 << 30
"""Bytes of address space; a false size in the file is refused by the system before it is a problem."""
LARGEST_CHUNK = 1 << 30
SECONDS = 60
"""Processor time to look into a file, and to read 64 MB; HDF5 can go round in circles in a damaged one."""
LARGEST_COUNT = 10_000
"""Objects that are looked at."""


def limit_time(nbytes: int) -> None:
    """Let the system end this process when it takes far too long."""
    seconds = SECONDS * (1 + (nbytes >> 26))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def look(file: Any) -> dict[str, Any]:
    """Every dataset: shape, type, and where its values are, if they lie in one piece."""
    import h5py

    found: dict[str, Any] = {}

    def note(name: str, each: Any) -> bool | None:
        if isinstance(each, h5py.Dataset):
            found[name] = described(each)
        return True if len(found) >= LARGEST_COUNT else None

    file.visititems(note)
    return found


def described(data: Any) -> dict[str, Any]:
    """Shape, numpy type ("text" for strings), bytes on disk, and the offset of values that lie in one piece."""
    import h5py

    kind = "text" if h5py.check_string_dtype(data.dtype) is not None else data.dtype.str
    plain = data.chunks is None and not data.is_virtual and not data.external
    chunk = data.dtype.itemsize
    for size in data.chunks or ():
        chunk *= size
    return {
        "shape": list(data.shape or ()),
        "dtype": kind if data.dtype.subdtype is None and data.dtype.fields is None else "records",
        "stored": data.id.get_storage_size(),
        "offset": data.id.get_offset() if plain else None,
        "elsewhere": bool(data.is_virtual or data.external),
        "chunk": chunk,
    }


def stream(file: Any, asked: dict[str, Any]) -> Iterator[tuple[list[Any] | None, Any]]:
    """Ids and values of runs of rows."""
    data = file[asked["dataset"]]
    ids = file[asked["ids"]] if asked["ids"] else None
    if ids is not None and asked["text"]:
        ids = ids.asstr()
    step = asked["step"]
    for start in range(0, len(data), step):
        names = None if ids is None else ids[start : start + step].tolist()
        yield names, data[start : start + step] if asked["values"] else None


def main() -> None:
    """Answer the one question."""
    asked = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py

    out = sys.stdout.buffer
    try:
        with h5py.File(asked["path"], "r", rdcc_nbytes=64 << 20) as file:
            if "dataset" not in asked:
                limit_time(0)
                out.write(json.dumps(look(file)).encode() + b"\n")
                return
            limit_time(file[asked["dataset"]].nbytes)
            for ids, values in stream(file, asked):
                content = b"" if values is None else values.tobytes()
                head = {"ids": ids, "bytes": len(content)}
                out.write(json.dumps(head).encode() + b"\n" + content)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        out.write(json.dumps({"refused": str(error) or type(error).__name__}).encode() + b"\n")
        out.flush()
        sys.exit(3)


if __name__ == "__main__":
    main()
