"""Items of files into a collection with an embedder, part by part; what was interrupted goes on, and embeds no row twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Any

import numpy as np

from nearkin.collection import Collection
from nearkin.embedders import Told
from nearkin.errors import InputError, VectorError
from nearkin.formats import Block
from nearkin.ids import need_distinct
from nearkin.intake import gate_of
from nearkin.item_files import ItemSource
from nearkin.items import ItemBlock, metadata_of_items
from nearkin.metadata_text import metadata_text
from nearkin.resuming import Keeper, Progress, keeper_of
from nearkin.staging import ItemReservoir, one_after_another
from nearkin.vectors import OnBad, Screened

ITEMS_A_COMMIT = 2048
"""Items that are embedded and committed together: what an interruption costs at most."""

LEARNED_FROM = 100_000
"""Items that an embedder learns from, at most: a random sample where there are more."""


@dataclass(frozen=True)
class FilesAdded:
    """What adding files did.

    Attributes
    ----------
    added, replaced, removed
        Rows under new ids, rows that took the place of one, and rows that are gone: of a document that has fewer chunks now, or
        of an item that was left out this time.
    left_out
        Items that were left out, by id or by file and row.
    resumed
        Items at the head that an interrupted run had dealt with before.
    learned_from
        Items that the embedder learned from in this run; 0 if it did not.
    already
        Items without ids that an earlier run on the same, unchanged files had added, all of them: they are not added twice.
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0
    left_out: Sequence[str] = ()
    resumed: int = 0
    learned_from: int = 0
    already: int = 0

    def __add__(self, other: FilesAdded) -> FilesAdded:
        """Both together."""
        return FilesAdded(
            self.added + other.added,
            self.replaced + other.replaced,
            self.removed + other.removed,
            (*self.left_out, *other.left_out),
            self.resumed + other.resumed,
            self.learned_from + other.learned_from,
            self.already + other.already,
        )


def add_items(
    collection: Collection,
    source: ItemSource,
    *,
    on_bad: OnBad = "fail",
    replace: bool = True,
    told: Told | None = None,
    keeper: Keeper | None = None,
) -> FilesAdded:
    """Add the items of files, replacing those whose ids are there.

    The files are read twice: first all of it is checked, then the items are embedded and added in parts, each of them durable. A
    run that was interrupted goes on after the last part when it is started again on the same files. A document that is added
    again loses the chunks that it has no more, in the commit of its last one. Items without ids that were all added by an earlier
    run on the same, unchanged files are not added again.

    Parameters
    ----------
    on_bad
        ``"fail"`` refuses empty texts before anything is added, and ends at the first item whose vector cannot be stored;
        ``"skip"`` leaves such items out. Items of which the embedder knows nothing are left out in any case, and told of: which
        ones these are shows only when they are embedded.
    replace
        False refuses ids that are there already.
    told
        Called after each part.
    keeper
        Where it is kept how far the run has come; None for a mark of its own.

    Raises
    ------
    InputError
        There are no items, or empty ones; ids that are given twice, or of another kind. Nothing was added.
    VectorError
        The vector of an item cannot be stored under the metric; what came before was added.
    """
    run = ItemRun(collection, source, on_bad, replace, keeper)
    run.check()
    return run.finish(told)


@dataclass
class _Checked:
    """What the first pass over the items found."""

    rows: int = 0
    empty: list[str] = field(default_factory=list)
    ids: list[Any] = field(default_factory=list)
    chunks: dict[str, int] = field(default_factory=dict)
    """Chunks of each document."""


class ItemRun:
    """One run over items, which are read twice."""

    def __init__(
        self,
        collection: Collection,
        source: ItemSource,
        on_bad: OnBad,
        replace: bool,
        keeper: Keeper | None = None,
    ) -> None:
        self._collection = collection
        self._source = source
        gate_of(collection.metric, 1, on_bad)  # refuses what on_bad cannot be
        self._on_bad = on_bad
        self._replace = replace
        self._stays = keeper is not None and keeper.stays
        self._bound = collection._need_embedder()
        self._checked = _Checked()
        self._sample: ItemReservoir | None = None
        if not self._bound.record.fitted:
            self._sample = ItemReservoir(LEARNED_FROM, collection.recipe.seed)
        own = None if source.facts is None else keeper_of(source.facts)
        self._progress = Progress(collection, keeper or own)
        self._left_out: list[str] = list(self._progress.facts.get("left_out", ()))
        self._out: list[int] = list(self._progress.facts.get("out", ()))

    @property
    def ids(self) -> list[Any] | None:
        """Ids of all items, once they were checked; None where they have none."""
        return self._checked.ids or None

    # ---- the first pass --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Look at every item before any is added."""
        found = self._checked
        with_ids: set[bool] = set()
        for block in self._source.read():
            items = self._bound.embedder.check_items(block.items, block.first)
            empty = _empty(items)
            found.empty += [_name([block], at) for at in empty]
            with_ids.add(block.ids is not None)
            if len(with_ids) > 1:
                raise InputError(
                    f"{block.origin} has {'ids' if block.ids else 'no ids'}, and the files before it have "
                    f"{'none' if block.ids else 'ids'}",
                    hint="name the column of the ids: id=... (--id), or add the files one by one",
                )
            found.ids += block.ids or ()
            self._look_at_metadata(block, items)
            if self._sample is not None:
                self._sample.add(items if not empty else [each for at, each in enumerate(items) if at not in {*empty}])
            found.rows += len(items)
        self._need_usable()
        self._need_ids()

    def _look_at_metadata(self, block: ItemBlock, items: list[Any]) -> None:
        extra = metadata_of_items(items, self._bound.record.field, block.metadata)
        for row, each in enumerate(extra, block.first):
            metadata_text(each, row)
        for document, number in filter(None, block.chunks or ()):
            self._checked.chunks[document] = max(number + 1, self._checked.chunks.get(document, 0))

    def _need_usable(self) -> None:
        found, files = self._checked, ", ".join(self._source.names[:3])
        if not found.rows:
            raise InputError(f"there are no items in {files}")
        if found.empty and (self._on_bad == "fail" or len(found.empty) == found.rows):
            many = f" ({len(found.empty):,} of {found.rows:,} items)" if found.rows > 1 else ""
            raise InputError(
                f"{found.empty[0]} is empty{many}",
                hint='take it out, or pass on_bad="skip" (--on-bad skip)' if len(found.empty) < found.rows else None,
            )

    def _need_ids(self) -> None:
        found, progress, table = self._checked, self._progress, self._collection.rows.ids
        need_distinct(found.ids)
        out = {*self._out}
        before = [each for number, each in enumerate(found.ids[: progress.items]) if number not in out]
        progress.resume(before if found.ids else None)
        if not progress.items:
            self._left_out, self._out = [], []
        left = found.ids[progress.items :] if found.ids else None
        table.next_ids(left, found.rows - progress.items, replace=self._replace)

    # ---- the second pass -------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        """Let the embedder learn, if it has to; what it learns is on the disk before the first row."""
        if self._sample is not None:
            self._collection.fit_embedder(self._sample.items)
            self._bound = self._collection._need_embedder()

    def finish(self, told: Told | None) -> FilesAdded:
        """Embed and add what was not added before, part by part."""
        start, total = self._progress.items, self._checked.rows
        if start == total and not self._stays:
            return FilesAdded(left_out=tuple(self._left_out), already=total)
        self._fit()
        if self._checked.ids:
            self._progress.overtake(self._checked.ids[start:])
        done, all_done = start, FilesAdded()
        older, remains = self._older_chunks(), self._progress.remains
        for part, pieces in _parts(_after(self._source.read(), done), ITEMS_A_COMMIT):
            all_done += self._take(part, pieces, older, remains, first=done, last=done + len(part.items) >= total)
            done, remains = done + len(part.items), []
            if told is not None:
                told(done, total)
        learned = 0 if self._sample is None else len(self._sample.items)
        return changed(all_done, left_out=tuple(self._left_out), resumed=start, learned_from=learned)

    def _take(
        self,
        part: ItemBlock,
        pieces: list[ItemBlock],
        older: dict[str, list[Any]],
        remains: list[int],
        *,
        first: int,
        last: bool,
    ) -> FilesAdded:
        """Embed a part and commit it together with how far the run has come; `remains` are ids that go, too."""
        empty = {*_empty(part.items)}
        kept = [at for at in range(len(part.items)) if at not in empty]
        vectors = self._bound.embed([part.items[at] for at in kept], "document")  # without the lock: it may take long
        gate = gate_of(self._collection.metric, self._collection.dim, "skip")
        found = gate.take(vectors)
        wrong = found.skipped[vectors[found.skipped].any(axis=1)]  # zeros are what the embedder knows nothing of
        if len(wrong) and self._on_bad == "fail":
            at = kept[int(wrong[0])]
            raise VectorError(
                f"{_name(pieces, at)} has a vector that cannot be stored ({gate.complaint.partition(':')[0]}): "
                f"{str(part.items[at])[:60]!r}",
                hint='take it out, or pass on_bad="skip" (--on-bad skip); what came before it was added',
            )
        stays = kept if found.kept is None else [kept[row] for row in found.kept.tolist()]
        out = sorted({*range(len(part.items))}.difference(stays))
        self._left_out += [_name(pieces, at) for at in out]
        self._out += [first + at for at in out]
        whole = Screened(found.vectors, None, np.empty(0, dtype=np.int64))
        gone = [*remains, *self._gone(part, out, older)]
        block = self._block(part, stays, found.vectors)
        with self._collection.unchanging():
            besides = {"left_out": self._left_out, "out": self._out}
            mark = self._progress.mark(first + len(part.items), len(stays), last=last, **besides)
            before = len(self._collection)
            taken = self._collection._take_block(whole, block, replace=self._replace, mark=mark, gone=gone)
            new, replaced = len(taken.ids), taken.replaced + len(remains)
            removed = before + new - replaced - len(self._collection)
        return FilesAdded(new - replaced, replaced, removed)

    def _block(self, part: ItemBlock, stays: list[int], vectors: np.ndarray) -> Block:
        extra = None if part.metadata is None else [part.metadata[at] for at in stays]
        metadata = metadata_of_items([part.items[at] for at in stays], self._bound.record.field, extra)
        ids = None if part.ids is None else [part.ids[at] for at in stays]
        return Block(vectors, ids if stays else [], metadata)

    def _older_chunks(self) -> dict[str, list[Any]]:
        """Ids of the chunks that documents had before, beyond those that they have now."""
        table, chunks = self._collection.rows.ids, self._checked.chunks
        if not chunks or table.kind != "str":
            return {}
        own = {*self._checked.ids}
        others = [each for each in self._collection.ids.tolist() if each not in own]
        named = [(each, *each.rpartition("#")[::2]) for each in others]
        beyond = [
            (key, document)
            for key, document, number in named
            if document in chunks and number.isdecimal() and int(number) >= chunks[document]
        ]
        older: dict[str, list[Any]] = {}
        known = self._collection.rows.metadata(table.existing([key for key, _ in beyond]))
        for (key, document), metadata in zip(beyond, known, strict=True):
            if metadata.get("document") == document:
                older.setdefault(document, []).append(key)
        return older

    def _gone(self, part: ItemBlock, out: list[int], older: dict[str, list[Any]]) -> list[Any]:
        """Ids of the rows that go with a part: of items left out, and chunks beyond the last one of a document that ends in it."""
        gone = [] if part.ids is None else [part.ids[at] for at in out]
        for document, number in filter(None, part.chunks or ()):
            if number == self._checked.chunks[document] - 1:
                gone += older.get(document, ())
        return gone


def _empty(items: Sequence[Any]) -> list[int]:
    """Numbers of the texts without anything in them, and of the records without a value."""
    return [at for at, each in enumerate(items) if (not each.strip() if isinstance(each, str) else not _filled(each))]


def _filled(record: Any) -> bool:
    return any(value is not None and value != "" for value in record.values())


def _name(pieces: Sequence[ItemBlock], at: int) -> str:
    """How an item is called, by its number in blocks that follow one another."""
    for block in pieces:
        if at < len(block.items):
            return (
                f"row {block.first + at:,} of {block.origin}"
                if block.ids is None
                else f"{block.ids[at]!r} of {block.origin}"
            )
        at -= len(block.items)
    raise IndexError(at)


def _after(blocks: Iterator[ItemBlock], items: int) -> Iterator[ItemBlock]:
    """Blocks without their first items."""
    for block in blocks:
        count = len(block.items)
        if items < count:
            yield block.part(items) if items else block
        items = max(0, items - count)


def _parts(blocks: Iterator[ItemBlock], items: int) -> Iterator[tuple[ItemBlock, list[ItemBlock]]]:
    """The same items in parts worth a commit, and the blocks that each is made of."""
    waiting: list[ItemBlock] = []
    count = 0
    for block in blocks:
        start = 0
        while count + len(block.items) - start >= items:
            stop = start + items - count
            waiting.append(block.part(start, stop))
            yield _joined(waiting), waiting
            start, waiting, count = stop, [], 0
        if start < len(block.items):
            waiting.append(block.part(start))
            count += len(block.items) - start
    if waiting:
        yield _joined(waiting), waiting


def _joined(blocks: list[ItemBlock]) -> ItemBlock:
    if len(blocks) == 1:
        return blocks[0]
    counts = [len(block.items) for block in blocks]
    ids = one_after_another([block.ids for block in blocks], counts, None)
    metadata = one_after_another([block.metadata for block in blocks], counts, {})
    chunks = one_after_another([block.chunks for block in blocks], counts, None)
    items = [each for block in blocks for each in block.items]
    return ItemBlock(items, ids, metadata, blocks[0].origin, blocks[0].first, chunks)
