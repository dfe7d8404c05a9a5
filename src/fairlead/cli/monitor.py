"""`fairlead monitor`: what has drifted, how well an endpoint does, and whether that can be said at all.

`fairlead monitor flights` makes a report now; the other verbs below list, show, judge for a pipeline, and set.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_table, say
from fairlead.errors import InvalidInput, NotAllowed, StorageError
from fairlead.routing.table import check_endpoint

if TYPE_CHECKING:
    from fairlead.monitor.report import Report
    from fairlead.monitor.store import Brief

__all__ = ["command"]

_TREND: Final = 60
_FAIL_ON: Final = {
    "breach": {"breach"},
    "drift": {"breach", "drift"},
    "insufficient": {"breach", "drift", "error", "insufficient"},
}
_FINDING: Final = "finding"
_FOUND: Final = {"breach", "drift", "error"}


class _Verbs(click.Group):
    """A group whose first word may be an endpoint: then a report is made."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help", "-h"}:
            args = ["report", *args]
        return super().parse_args(ctx, args)


@click.group("monitor", cls=_Verbs)
def command() -> None:
    """Say what has drifted, and how well an endpoint does: `fairlead monitor ENDPOINT` makes a report now."""


def _wish_options(verb: Any) -> Any:
    """What report is wanted."""
    for option in (
        click.option(
            "--segment", "segments", multiple=True, metavar="COLUMN=LEVEL", help="Also within this part of the traffic."
        ),
        click.option("--reference", metavar="TEXT", help="training, past, `past 7d` or week; as set otherwise."),
        click.option(
            "--window", metavar="WINDOW", help="1d, `10000 rows`, or 2026-04-01..2026-05-01; as set otherwise."
        ),
    ):
        verb = option(verb)
    return verb


@command.command("report")
@click.argument("endpoint")
@_wish_options
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write it as one page, too.")
@click.option("--save", is_flag=True, help="Keep it, under a number.")
@json_option
@pass_invocation
def _report(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    endpoint: str,
    *,
    window: str | None,
    reference: str | None,
    segments: tuple[str, ...],
    page: Path | None,
    save: bool,
    as_json: bool,
) -> None:
    """Make a report of ENDPOINT now."""
    report = _made(invocation, endpoint, window, reference, segments, save=save)
    if page is not None:
        _write_page(invocation, report, page)
    _show(report, as_json=as_json)


@command.command("list")
@click.argument("endpoint")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many, the newest.")
@json_option
@pass_invocation
def _list(invocation: Invocation, endpoint: str, limit: int, *, as_json: bool) -> None:
    """List the reports of ENDPOINT, newest first."""
    from fairlead.monitor.store import list_reports

    check_endpoint(endpoint)
    with invocation.stores().database.read() as connection:
        found = list_reports(connection, endpoint, limit)
    if as_json:
        print_json(found)
        return
    if not found:
        say(f"There is no report of {endpoint!r} yet. `fairlead monitor {endpoint}` makes one.")
        return
    heads = ("#", "from", "to", "verdict", "rows", "labels %", "instead of", "worst")
    print_table(heads, [_line(one) for one in found])


@command.command("show")
@click.argument("number", type=click.IntRange(1, 2**31 - 1))
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write it as one page, too.")
@json_option
@pass_invocation
def _show_one(invocation: Invocation, number: int, *, page: Path | None, as_json: bool) -> None:
    """Show report NUMBER."""
    from fairlead.monitor.store import find_report

    with invocation.stores().database.read() as connection:
        report = find_report(connection, number)
    if page is not None:
        _write_page(invocation, report, page)
    _show(report, as_json=as_json)


@command.command("check")
@click.argument("endpoint", required=False)
@_wish_options
@click.option(
    "--current", metavar="TABLE", help="A table instead of an endpoint's traffic; --reference is then one, too."
)
@click.option("--target", metavar="COLUMN", help="Of the tables: what proved true.")
@click.option("--prediction", metavar="COLUMN", help="Of the tables: what the model said.")
@click.option(
    "--fail-on",
    type=click.Choice([*_FAIL_ON, _FINDING]),
    default="drift",
    show_default=True,
    help="From which verdict of the whole on it ends with 5; or `finding`: if one thing alone drifts, breaches or fails.",
)
@json_option
@pass_invocation
def _check(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    endpoint: str | None,
    *,
    window: str | None,
    reference: str | None,
    segments: tuple[str, ...],
    current: str | None,
    target: str | None,
    prediction: str | None,
    fail_on: str,
    as_json: bool,
) -> None:
    """Judge ENDPOINT's window, or two tables, and end with 5 where the verdict is --fail-on or worse."""
    if current is not None:
        if endpoint is not None or window is not None or segments:
            raise InvalidInput(
                "--current is about two tables, not about an endpoint.", hint="--reference A --current B"
            )
        report = _of_tables(invocation, reference, current, target, prediction)
    elif endpoint is not None:
        report = _made(invocation, endpoint, window, reference, segments)
    else:
        raise InvalidInput("What is to be judged?", hint="Name an endpoint, or give --reference A --current B.")
    _show(report, as_json=as_json)
    if fail_on == _FINDING:
        worst = next((one for one in report.findings if one.verdict in _FOUND), None)
        if worst is not None:
            raise NotAllowed(f"{worst.because} --fail-on is {fail_on}.", hint="The report above tells all.")
    elif report.verdict in _FAIL_ON[fail_on]:
        raise NotAllowed(
            f"The verdict is {report.verdict}, and --fail-on is {fail_on}.", hint="The report above says why."
        )


@command.command("settings")
@click.argument("endpoint")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a value; an empty one takes it back.")
@click.option("--dry-run", is_flag=True, help="Say what would hold, and change nothing.")
@json_option
@pass_invocation
def _settings(invocation: Invocation, endpoint: str, pairs: tuple[str, ...], *, dry_run: bool, as_json: bool) -> None:
    """Show how ENDPOINT is watched, or set it."""
    from fairlead.app import current_actor
    from fairlead.monitor.overlay import assigned, overlaid, plain
    from fairlead.monitor.store import read_settings, write_settings

    check_endpoint(endpoint)
    config, database = invocation.config(), invocation.stores().database
    with database.read() as connection:
        stored = read_settings(connection, endpoint)
    wanted = overlaid(stored, assigned(pairs))
    settings = config.monitor.of(endpoint, wanted)
    if pairs and not dry_run:
        with database.write() as connection:
            write_settings(connection, endpoint, wanted, current_actor())
    if as_json:
        print_json({"settings": plain(settings), "set": wanted, "dry_run": dry_run})
        return
    print_table(("setting", "value"), _flat(plain(settings)))


@command.command("run", hidden=True)
@pass_invocation
def _run(invocation: Invocation) -> None:
    """Make the reports that are due, again and again; `serve` runs it."""
    from fairlead.service import monitor

    monitor(invocation.config())


def _made(  # noqa: PLR0913 - the parts of a wish
    invocation: Invocation,
    endpoint: str,
    window: str | None,
    reference: str | None,
    segments: tuple[str, ...],
    *,
    save: bool = False,
) -> Report:
    from fairlead.app import records_of

    check_endpoint(endpoint)
    config, stores = invocation.config(), invocation.stores()
    from fairlead.monitor.asked import Wish, make_asked

    wish = Wish(window, reference, segments, save)
    return make_asked(records_of(config, stores), config.monitor, endpoint, wish, time.time())


def _of_tables(
    invocation: Invocation, reference: str | None, current: str, target: str | None, prediction: str | None
) -> Report:
    if reference is None:
        raise InvalidInput("--current has nothing to be held against.", hint="Give --reference, a table or a version.")
    from fairlead.app import drift

    settings = invocation.config().monitor.of("")
    return drift(reference, current, target=target, prediction=prediction, settings=settings, home=invocation.home)


def _write_page(invocation: Invocation, report: Report, page: Path) -> None:
    from fairlead.monitor.page.document import html
    from fairlead.monitor.store import recent_reports

    with invocation.stores().database.read() as connection:
        trend = recent_reports(connection, report.endpoint, _TREND)
    try:
        page.write_text(html(report, trend=trend), "utf-8")
    except OSError as error:
        raise StorageError(f"{page} cannot be written: {error.strerror}.", hint="Choose another place.") from error
    say(f"{page} is written.")


def _show(report: Report, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    from fairlead.monitor.text import table

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    # The table cleans what callers control by itself, and its colours are control characters.
    click.echo(table(report, shutil.get_terminal_size().columns, colour=colour), nl=False)


def _line(brief: Brief) -> tuple[object, ...]:
    window = (local_time(brief.window.start), local_time(brief.window.end)) if brief.window else ("", "")
    coverage = round(100 * brief.labels.coverage, 1)
    return brief.number, *window, brief.verdict, brief.rows, coverage, brief.amends or None, brief.worst


def _flat(table: dict[str, Any], prefix: str = "") -> Sequence[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, msgspec.json.encode(value).decode()))
    return found
