"""Rows from a file into a collection that exists, block by block; what was interrupted goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearkin.collection import Collection
from nearkin.documents import kind_of
from nearkin.embedders import Told
from nearkin.errors import ParameterError, VectorError
from nearkin.files import with_columns
from nearkin.formats import Block
from nearkin.ids import need_distinct
from nearkin.intake import gate_of
from nearkin.item_adding import FilesAdded, ItemRun
from nearkin.item_files import ItemOptions, open_items
from nearkin.resuming import Progress, file_facts, keeper_of
from nearkin.sources import Blocks, Source, open_source
from nearkin.staging import screened
from nearkin.vectors import Gate, OnBad


@dataclass(frozen=True)
class FileAdded:
    """What adding a file did.

    Attributes
    ----------
    added, replaced
        Rows under new ids, and rows that took the place of one.
    skipped
        Numbers of the rows that were left out as bad.
    resumed
        Rows at the head of the file that an interrupted run had added before.
    already
        Rows without ids that an earlier run on the same, unchanged file had added, all of them: they are not added twice.
    """

    added: int
    replaced: int
    skipped: np.ndarray
    resumed: int
    already: int = 0


def add_file(
    collection: Collection,
    source: str | os.PathLike[str] | Blocks,
    *,
    format: str | None = None,
    on_bad: OnBad = "fail",
    replace: bool = True,
    told: Told | None = None,
) -> FileAdded:
    """Add the rows of a file to a collection, replacing those whose ids are there.

    The file is read twice: first all of it is checked, then it is added in parts, each of them durable. A run that was
    interrupted goes on after the last part when it is started again on the same file. Rows without ids that were all added by an
    earlier run on the same, unchanged file are not added again.

    Parameters
    ----------
    source
        Path of a file of vectors, or a function that gives `nearkin.Block` s from the first one on each time (which is added
        from the start again).
    format
        Format of the file, such as ``"csv:id=sku"``; None for that of its name.
    on_bad
        As for `Collection.add`.
    replace
        False refuses ids that are there already.
    told
        Called after each part.

    Raises
    ------
    VectorError, ParameterError
        Rows of another width, or that cannot be compared; ids that are given twice, or of another kind. Nothing was added.
    StorageError
        The file cannot be read, or the folder not written; parts before were added.

    Examples
    --------
    >>> import tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home, nk.create(f"{home}/mine", dim=3) as mine:
    ...     np.save(f"{home}/rows.npy", np.eye(3))
    ...     add_file(mine, f"{home}/rows.npy").added, len(mine)
    (3, 3)
    """
    run = _opened(collection, source, format, on_bad, replace)
    run.check()
    return run.finish(told)


def _opened(
    collection: Collection, source: str | os.PathLike[str] | Blocks, format: str | None, on_bad: OnBad, replace: bool
) -> _Run:
    collection._need_settled()
    found = open_source(source, registry=collection.recipe.registry, format=format)
    if found.dim != collection.dim:
        raise VectorError(
            f"the rows have {found.dim:,} columns, {collection.dim:,} expected",
            hint="if other columns hold numbers too, say which ones are the vectors: --vectors 'v*', format='csv:vectors=v*'",
        )
    facts = None if callable(source) else [file_facts(Path(source)), format, on_bad]
    return _Run(collection, found, on_bad, replace, facts)


def add_files(
    collection: Collection,
    files: Sequence[str | os.PathLike[str]],
    *,
    text: str | None = None,
    id: str | None = None,
    chunk: int | None = None,
    overlap: int | None = None,
    vectors: str | None = None,
    format: str | None = None,
    on_bad: OnBad = "fail",
    replace: bool = True,
    told: Told | None = None,
) -> FilesAdded:
    """Add files to a collection: texts and tables through its embedder, or vectors; rows whose ids are there are replaced.

    For an embedder of texts, text files (.txt, .md, .rst, and others that no format reads) are documents, cut into chunks with ids
    such as ``"notes/a.md#3"``; a document that is added again replaces its chunks. Of tables (csv, tsv, jsonl, parquet, arrow), one
    column is the text and the others become metadata. For an embedder of records, all columns make the record. Everything is
    checked before anything is added, and added part by part: a run that was interrupted goes on where it stopped when it is
    started again on the same files, and embeds nothing twice. An embedder that has to learn does so first, from all of the files.

    Parameters
    ----------
    files
        Paths; a folder stands for the text files below it.
    text
        Column of the texts; None for one that is called like the field of the collection, or text, or is the only one.
    id
        Column of the ids; None for one that is called id, if there is one, else whole numbers go on from the last.
    chunk, overlap
        Words in a chunk, at most, and words that it shares with the one before; None for 200 and 40 where a document is cut, while
        the texts of a column are cut only if `chunk` is given.
    vectors
        Column of vectors that the embedder made, which are added as they are.
    format
        Format of the files, such as ``"csv:delimiter=semicolon"``; None for those of their names.
    on_bad
        ``"fail"`` refuses empty texts, and vectors that cannot be stored; ``"skip"`` leaves them out.
    replace
        False refuses ids that are there already.
    told
        Called after each part.

    Raises
    ------
    InputError, ParameterError, VectorError
        As for `Collection.add`; and a column that is not there, with those that are.
    NotSupportedError
        The files hold something else than the embedder takes.
    StorageError, CorruptFileError
        A file cannot be read, or its text is not UTF-8; parts before were added.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import nearkin as nk
    >>> with tempfile.TemporaryDirectory() as home, nk.create(f"{home}/faq", embedder="hashing") as faq:
    ...     _ = pathlib.Path(f"{home}/faq.csv").write_text("id,question,topic\\nq1,How do I rotate a key?,keys\\n")
    ...     done = add_files(faq, [f"{home}/faq.csv"], text="question")
    ...     done.added, faq.get(["q1"])[0].metadata
    (1, {'topic': 'keys', 'text': 'How do I rotate a key?'})
    """
    if isinstance(files, str | os.PathLike):
        raise ParameterError(f"files is the single path {os.fspath(files)!r}, a list expected", hint="pass [path]")
    registry, record = collection.recipe.registry, collection.embedder_record
    kinds = {path: "vectors" if vectors is not None else kind_of(path, registry, format) for path in files}
    numbers = [path for path, kind in kinds.items() if kind == "vectors" or record is None]
    if numbers and (text is not None or chunk is not None or overlap is not None):
        raise ParameterError(
            f"text, chunk and overlap (--text, --chunk, --overlap) are for texts, and {numbers[0]} is read as vectors",
            hint=None if record else "this collection has no embedder: create one with embedder=... (--embedder)",
        )
    columns = {"vectors": vectors, "id": id}
    named = {path: with_columns(path, registry, format, columns) for path in numbers}
    runs = {path: _opened(collection, path, named[path], on_bad, replace) for path in numbers}
    others = [path for path in kinds if path not in runs]
    items = None
    if others and record is not None:
        options = ItemOptions(text, id, chunk, overlap, format)
        source = open_items(
            others, record.takes, record.field, options, registry=registry, text_ids=has_text_ids(collection)
        )
        items = ItemRun(collection, source, on_bad, replace)
    _check([*runs.values(), *([] if items is None else [items])], replace=replace)
    done = FilesAdded()
    for path, run in runs.items():
        done += _as_files(run.finish(told), path)
    return done if items is None else done + items.finish(told)


def _check(runs: Sequence[_Run | ItemRun], *, replace: bool) -> None:
    """Look at all rows and items before any is added, each run for itself and then their ids together."""
    for run in runs:
        run.check()
    named = [run.ids for run in runs if run.ids]
    if len({str if ids is not None and isinstance(ids[0], str) else int for ids in (run.ids for run in runs)}) > 1:
        raise ParameterError(
            "ids mix whole numbers and strings, one kind expected", hint="add the files to collections of their own"
        )
    if not replace:
        need_distinct([each for ids in named for each in ids])


def _as_files(found: FileAdded, path: str | os.PathLike[str]) -> FilesAdded:
    left_out = [f"row {row:,} of {path}" for row in found.skipped.tolist()]
    return FilesAdded(found.added, found.replaced, 0, left_out, found.resumed, already=found.already)


def has_text_ids(collection: Collection) -> bool:
    """Whether ids that come in are texts: those that are there are."""
    return len(collection.rows) > 0 and collection.rows.ids.kind == "str"


class _Run:
    """One run over a source, which is read twice."""

    def __init__(self, collection: Collection, source: Source, on_bad: OnBad, replace: bool, facts: Any) -> None:
        self._collection = collection
        self._source = source
        self._on_bad = on_bad
        self._replace = replace
        self._progress = Progress(collection, None if facts is None else keeper_of(facts))
        self._checked = self._gate()
        self.ids: list[Any] | None = None
        """Ids of the good rows, once they were checked; None where they have none."""

    def _gate(self) -> Gate:
        return gate_of(self._collection.metric, self._collection.dim, self._on_bad)

    def check(self) -> None:
        """Look at every row before any is added."""
        gate, progress = self._checked, self._progress
        ids: list[Any] = []
        for part in screened(self._source.read(), gate):
            ids += part.ids or ()
        need_distinct(ids)
        self.ids = ids or None
        progress.resume(ids[: self._good(progress.items)] if ids else None)
        left = ids[self._good(progress.items) :]
        if left:
            self._collection.rows.ids.next_ids(left, len(left), replace=self._replace)

    def _good(self, rows: int) -> int:
        """Good rows among the first ones."""
        return rows - int(np.count_nonzero(self._checked.skipped < rows))

    def finish(self, told: Told | None) -> FileAdded:
        """Add what was not added before, part by part."""
        start, gate, checked = self._progress.items, self._gate(), self._checked
        if start == checked.rows:
            return FileAdded(0, 0, checked.skipped, 0, already=start)
        if self.ids:
            self._progress.overtake(self.ids[self._good(start) :])
        added = replaced = 0
        remains = self._progress.remains
        for block in _after(self._source.read(), start):
            found = gate.take(block.vectors)
            done = start + gate.rows
            with self._collection.unchanging():
                mark = self._progress.mark(done, len(found.vectors), last=done >= checked.rows)
                taken = self._collection._take_block(found, block, replace=self._replace, mark=mark, gone=remains)
            places = taken.replaced + len(remains)
            added, replaced, remains = added + len(taken.ids) - places, replaced + places, []
            if told is not None:
                told(done, checked.rows)
        return FileAdded(added, replaced, checked.skipped, start)


def _after(blocks: Iterator[Block], rows: int) -> Iterator[Block]:
    """Blocks without their first rows."""
    for block in blocks:
        count = len(block.vectors)
        if rows < count:
            ids = None if block.ids is None else block.ids[rows:]
            yield Block(block.vectors[rows:], ids, None if block.metadata is None else block.metadata[rows:])
        rows = max(0, rows - count)
