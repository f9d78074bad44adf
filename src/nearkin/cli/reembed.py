"""``nearkin reembed``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nearkin.cli.options import embedder_option, on_bad_option
from nearkin.cli.rendering import listed, note, working
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from nearkin.reembedding import Reembedding


@click.command()
@click.argument("directory", metavar="DIR")
@embedder_option
@click.option(
    "--metric", metavar="NAME[:OPTIONS]", help="What similar means; by default what the embedder is made for."
)
@click.option("--plan", help="Index, codec and refinement; by default the one before.")
@click.option("--keep", metavar="FOLDER", help="Keep the old index there.")
@on_bad_option
@click.pass_obj
def reembed(session: Session, /, directory: str, **given: Any) -> None:
    """Embed the texts or records of an index again, by another embedder.

    The new index grows beside the old one, which answers until the new one takes its place, complete or not at all; what
    was interrupted goes on where it stopped. Without --embedder the same one embeds again, having learned from all items
    that there are now. Prints rows and columns, and how many of the nearest rows stayed the same.

    \b
    nearkin reembed indexes/docs --embedder sentence-transformers:all-MiniLM-L6-v2 --keep indexes/docs-before
    nearkin reembed indexes/notes
    """
    from nearkin.reembedding import reembed as reembed_folder

    with working(f"embedding {directory} again") as progress:
        done = reembed_folder(
            directory,
            told=lambda rows, total: progress(f"embedded {rows:,} of {total:,} rows"),
            threads=session.threads,
            registry=session.registry,
            **given,
        )
    _tell(done, directory)


def _tell(done: Reembedding, directory: str) -> None:
    click.echo(
        f"{directory} has {done.rows:,} rows of {done.new_dim:,} columns by {done.new}, it had {done.old_dim:,} by {done.old}"
    )
    if done.overlap is not None:
        click.echo(
            f"of the 10 nearest rows of a row, {done.overlap.mean:.0%} stayed the same ({done.overlap.queries:,} rows asked)"
        )
    if done.resumed:
        note(f"went on after the first {done.resumed:,} rows, which an interrupted run had embedded")
    if done.skipped:
        note(
            f"{len(done.skipped):,} rows left out, which the new embedder has no usable vector for: {listed(list(done.skipped))}"
        )
    if done.kept is not None:
        note(f"the old index is kept in {done.kept}")
