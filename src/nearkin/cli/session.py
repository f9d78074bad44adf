"""What the global options say, and the settings and plugins that follow from it; loaded on first use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.rendering import note
from nearkin.errors import ParameterError

if TYPE_CHECKING:
    from nearkin.collection import Collection
    from nearkin.embedders import Embedder
    from nearkin.files import Loaded
    from nearkin.registry import Registry
    from nearkin.settings import Settings


@dataclass
class Session:
    """One run of the program; commands receive it with `click.pass_obj`."""

    plugin_files: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    threads: int | None = None
    seed: int | None = None

    @cached_property
    def settings(self) -> Settings:
        """Settings, with what the global options set."""
        from nearkin.settings import load_settings

        found = load_settings()
        given: dict[str, Any] = {"threads": self.threads, "seed": self.seed}
        if self.plugin_files:
            given["plugins"] = (*found.plugins, *self.plugin_files)
        if self.disabled:
            given["disabled_plugins"] = (*found.disabled_plugins, *self.disabled)
        return load_settings(given)

    @cached_property
    def registry(self) -> Registry:
        """Components; a plugin that fails is one line on standard error."""
        from nearkin.registry import load_registry

        return load_registry(self.settings, report=lambda line: click.echo(line, err=True))

    def read(self, path: str, format: str | None = None) -> Loaded:
        """Vectors, ids and metadata of a file, or for ``-`` of standard input: `format`, else .npy or JSON lines."""
        from nearkin.cli.standard_input import read_vectors_from_stdin, stdin_in_a_file
        from nearkin.files import read_vectors

        if path == "-" and format is None:
            return read_vectors_from_stdin()
        if path == "-":
            with stdin_in_a_file() as place:
                return read_vectors(place, registry=self.registry, format=format)
        return read_vectors(path, registry=self.registry, format=format)

    def with_columns(self, path: str, format: str | None, columns: dict[str, str | None]) -> str | None:
        """A format with the columns that options name."""
        from nearkin.files import with_columns

        if format is None and path == "-" and any(column is not None for column in columns.values()):
            raise ParameterError("columns of standard input need its format", hint="for example --format csv")
        return with_columns(path, self.registry, format, columns)

    @contextmanager
    def source(self, path: str, format: str | None = None) -> Iterator[tuple[Any, str | None]]:
        """What `nearkin.build_folder` reads, and its format; standard input is kept in a file for as long as this lasts."""
        from nearkin.cli.standard_input import stdin_in_a_file

        if path != "-":
            yield path, format
            return
        with stdin_in_a_file() as place:
            yield self.source_in_file(place, format)

    def source_in_file(self, place: Path, format: str | None) -> tuple[Any, str | None]:
        """What `source` gives for standard input that was kept in a file."""
        from nearkin.cli.standard_input import is_npy, read_lines

        lines = format is None and not is_npy(place)
        return (partial(read_lines, place), None) if lines else (place, format or "npy")

    def open(
        self, path: str, *, readonly: bool = False, tell: bool = True, embedder: str | Embedder | None = None
    ) -> Collection:
        """A saved index; with `tell`, what is wrong with it is a note on standard error. A given embedder has to be its own."""
        from nearkin.building import open_collection

        given: dict[str, Any] = {"threads": self.threads, "registry": self.registry, "embedder": embedder}
        collection = open_collection(path, readonly=readonly, **given)
        for problem in collection.problems if tell else ():
            note(f"{problem}; rows are searched one by one until you run nearkin optimize {path}")
        return collection
