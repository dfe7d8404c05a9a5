"""`fairlead batch`: score a table."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_facts, print_json, say
from fairlead.errors import NotFound

if TYPE_CHECKING:
    from fairlead.batch.score import Summary

__all__ = ["command"]


@click.command("batch")
@click.argument("version")
@click.argument("source", metavar="IN")
@click.argument("out")
@click.option("--table", metavar="NAME", help="The table to score, where IN is a database's SQLAlchemy URL.")
@click.option("--query", metavar="SELECT", help="What to score instead of a table; ORDER BY lets a stopped run go on.")
@click.option("--into", metavar="NAME", help="The table to make, where OUT is a database's SQLAlchemy URL.")
@click.option("--columns", metavar="A,B", help="The input's columns to keep beside the answers; all without it.")
@click.option("--max-bad", type=click.IntRange(min=0), metavar="NUMBER", help="Fail where more rows are bad.")
@click.option("--overwrite", is_flag=True, help="Replace OUT, and begin anew where a run was stopped.")
@click.option("--threads", type=click.IntRange(1, 1024), help="How many cores to use; all without it.")
@click.option("--dry-run", is_flag=True, help="Score the first thousand rows and write nothing.")
@json_option
@pass_invocation
def command(  # noqa: PLR0913, PLR0917 - one for each option
    invocation: Invocation,
    version: str,
    source: str,
    out: str,
    table: str | None,
    query: str | None,
    into: str | None,
    columns: str | None,
    max_bad: int | None,
    threads: int | None,
    *,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Score the table IN with VERSION (flights:champion) and write it with the answers to OUT.

    IN and OUT are .parquet, .csv or .jsonl (the latter two also .gz), or a database's SQLAlchemy URL. A run that was stopped
    goes on when the same command is given again. Rows that cannot be answered go to OUT.bad.jsonl, or into the table
    NAME_bad, with the reason.
    """
    with _needing_pyarrow():
        from fairlead.batch.sources import open_source
    with ThreadPoolExecutor(1, "source") as beside:
        # A process or a server has to answer first; meanwhile the rest is imported, and the version fetched.
        opening = beside.submit(open_source, source, table=table, query=query)
        with _needing_pyarrow():
            from fairlead.batch.model import open_model
            from fairlead.batch.outputs import open_output
            from fairlead.batch.score import Plan, rehearse, run
        from fairlead.app import open_version

        config = invocation.config()
        name, bundle = open_version(config, version)
        rows = opening.result()
    kept = None if columns is None else tuple(one.strip() for one in columns.split(",") if one.strip())
    cores = threads or len(os.sched_getaffinity(0))
    plan = Plan(name, bundle.digest, columns=kept, max_bad=max_bad, threads=cores)
    output = open_output(out, table=into, overwrite=overwrite)
    model = open_model(bundle, memory=config.worker_memory, seconds=config.worker_timeout, processes=cores)
    with contextlib.closing(model), _progress() as report:
        summary = rehearse(rows, model, output, plan) if dry_run else run(rows, model, output, plan, report)
    _show(summary, as_json=as_json)


@contextlib.contextmanager
def _needing_pyarrow() -> Iterator[None]:
    try:
        yield
    except ImportError as err:
        raise NotFound(
            "Scoring a table needs pyarrow, which is not installed.", hint="pip install 'fairlead[batch]'"
        ) from err


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int | None], None]]:
    """Show how far it is: a bar on a terminal, a line at each tenth elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines() -> Callable[[int, int | None], None]:
    tenth = 0

    def report(done: int, total: int | None) -> None:
        nonlocal tenth
        # Without a total there are no tenths: each million is told instead.
        reached = done * 10 // total if total else done // 1_000_000
        if reached > tenth:
            tenth = reached
            say(f"{done:,} rows" + (f" of {total:,} ({reached * 10} %)" if total else ""))

    return report


def _show(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    strangers = ", ".join(f"{name} {count}" for name, count in summary.unseen.items())
    print_facts(
        [
            ("model", summary.model),
            ("rows", summary.read),
            ("answered", summary.answered),
            ("bad", f"{summary.bad}, see {summary.bad_file}" if summary.bad_file else summary.bad),
            ("unseen categories", strangers),
            ("went on at row", summary.resumed_at or None),
            ("written to", None if summary.dry_run else summary.out),
        ]
    )
