"""Write the generated parts of README.md and docs/: tables, command pages, and the output of examples.

python docs/generate.py            write what has changed
python docs/generate.py --check    print a diff and exit with 1 if something is stale
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from commands import command_pages
from examples import ExampleError, with_output
from tables import TABLES

ROOT = Path(__file__).parents[1]
SECTION = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def written_pages() -> list[Path]:
    """Pages that people write, with generated parts in them."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """A page with its generated tables filled in."""
    return SECTION.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]().strip()}\n\n{found[4]}", text)


def rendered(path: Path) -> str:
    """A written page as it should be."""
    return with_output(with_tables(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix())


def generated() -> Iterator[tuple[Path, str]]:
    """Every page with its text as it should be."""
    for name, text in command_pages().items():
        yield ROOT / "docs" / "commands" / f"{name}.md", text
    for path in written_pages():
        yield path, rendered(path)


def stale_command_pages() -> list[Path]:
    """Pages of commands that are no more."""
    known = command_pages()
    return [path for path in sorted((ROOT / "docs" / "commands").glob("*.md")) if path.stem not in known]


def difference(path: Path, wanted: str) -> str:
    """A diff between a page and what it should be; empty if they are the same."""
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    name = path.relative_to(ROOT).as_posix()
    lines = difflib.unified_diff(there.splitlines(), wanted.splitlines(), name, f"{name}, generated", lineterm="")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    check = bool(arguments)
    try:
        changed = [_report(path, wanted, check=check) for path, wanted in generated()]
    except ExampleError as error:
        print(error, file=sys.stderr)
        return 1
    for path in stale_command_pages():
        changed.append(True)
        print(f"{path.relative_to(ROOT)} is the page of no command")
        if not check:
            path.unlink()
    return int(check and any(changed))


def _report(path: Path, wanted: str, *, check: bool) -> bool:
    """Print how a page differs from what it should be, or write it; whether it did."""
    changed = difference(path, wanted)
    if changed and check:
        print(changed)
    elif changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return bool(changed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
