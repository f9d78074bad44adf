"""``nearkin demo``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nearkin.cli.measure import quality_and_speed
from nearkin.cli.rendering import note, output_width, parameters, print_facts, print_memory, seconds, shortened
from nearkin.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearkin.demo import Answer, Demo

NEXT = """\
Try next, with texts of your own (notes/*.md, or a table with a column of texts):
  nearkin build faq.csv --embedder lsa --text question --id id -o faq
  nearkin search faq "how do I rotate a key" -k 3

With a file of vectors (npy, csv, parquet, fvecs, ...):
  nearkin describe vectors.npy
  nearkin build vectors.npy --metric cosine --plan ivf,pq,refine-f16 -o mine
  nearkin search mine queries.npy -k 10"""


@click.command()
@click.option("--ask", "questions", metavar="QUESTION", multiple=True, help="Ask this instead; repeatable.")
@click.option("-k", "k", type=click.IntRange(1, 50), default=3, show_default=True, help="Answers to each question.")
@click.pass_obj
def demo(session: Session, questions: tuple[str, ...], k: int) -> None:
    """Index the documentation of Python's standard library and ask it questions.

    Needs no download and no account: docstrings are read from the source of this Python; the embedder lsa learns from
    them which words go together; they are indexed, asked and measured. Prints the answers, bytes of memory beside
    float32, measured recall and speed, and what to try next.

    \b
    nearkin demo
    nearkin demo --ask "remove a folder" --ask "days in a month"
    """
    from nearkin.demo import QUESTIONS, run_demo

    found = run_demo(
        questions or QUESTIONS,
        k=k,
        seed=session.settings.seed,
        threads=session.threads or 1,
        registry=session.registry,
        progress=note if sys.stderr.isatty() else lambda step: None,
    )
    _print_demo(found)


def _print_demo(found: Demo) -> None:
    click.echo(
        f"{found.docstrings:,} docstrings of Python's standard library ({found.modules} modules), each one vector\n"
    )
    _print_answers(found.answers)
    click.echo("What it costs:")
    sizes = found.measurement
    print_memory(sizes.predicted, sizes.allocated, {}, sizes.float32_bytes)
    click.echo("\nWhat it gives up, against exact search:")
    print_facts({"plan": sizes.plan, "search": parameters(sizes.search), **quality_and_speed(sizes)})
    took = ", ".join(f"{step} {seconds(value)}" for step, value in found.seconds.items())
    click.echo(f"\nAll took {seconds(sum(found.seconds.values()))}: {took}.")
    click.echo("\n" + NEXT)


def _print_answers(answers: Mapping[str, tuple[Answer, ...]]) -> None:
    """Each question with its answers below: similarity, name, and as much of the documentation as there is room for."""
    width = max(len(answer.name) for each in answers.values() for answer in each)
    for question, nearest in answers.items():
        click.secho(question, bold=True)
        for answer in nearest:
            line = f"  {answer.similarity:.2f}  {answer.name:<{width}}  {answer.sentence}"
            click.echo(shortened(line, output_width()))
        click.echo()
