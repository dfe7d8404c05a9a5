"""`fairlead events`: what was asked and answered, from the event log of this home, whether a service runs or not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from fairlead.archive.needs import needing_monitor
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_line, print_table, say
from fairlead.durations import parse_since
from fairlead.errors import Conflict, InvalidInput, StorageError
from fairlead.routing.table import check_endpoint

if TYPE_CHECKING:
    from fairlead.archive.compaction import Compacted

__all__ = ["command"]

_SHOWN: Final = 60

_PATIENCE: Final = 60.0
"""A running service compacts now and then; it is done within seconds, unless it has a day to catch up."""


@click.group("events")
def command() -> None:
    """Ask the event log, take predictions out of it, and compact it."""


_since_option = click.option(
    "--since", metavar="TIME", default="1d", show_default=True, help="Ago, such as 1h or 7d; or a date, 2026-11-22."
)
_until_option = click.option("--until", metavar="TIME", help="As --since; now without it.")


@command.command("list")
@click.argument("endpoint")
@_since_option
@_until_option
@click.option("--where", "wheres", multiple=True, metavar="CONDITION", help='Such as "status != ok" or "temp > 90".')
@click.option("--status", help="ok, or the code of an error.")
@click.option("--model", help="The version that answered, such as flights:3.")
@click.option("--variant", help="The variant that answered.")
@click.option("--id", "identity", help="Of one prediction.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="At most so many, the latest."
)
@json_option
@pass_invocation
def _list(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    endpoint: str,
    *,
    since: str,
    until: str | None,
    wheres: tuple[str, ...],
    limit: int,
    as_json: bool,
    status: str | None,
    model: str | None,
    variant: str | None,
    identity: str | None,
) -> None:
    """Show the latest predictions of ENDPOINT, newest first, each with its label."""
    with needing_monitor("Asking the event log"):
        from fairlead.archive.frames import frames
        from fairlead.archive.querying import Condition, latest, parse_condition

    check_endpoint(endpoint)
    start, end = _span(since, until)
    named = {"status": status, "model": model, "variant": variant, "id": identity}
    conditions = [
        *(Condition(name, "=", value) for name, value in named.items() if value is not None),
        *map(parse_condition, wheres),
    ]
    found = frames(invocation.config().paths.events, endpoint, start, end)
    rows = latest(found, conditions, limit)
    if as_json:
        print_json({"endpoint": endpoint, "events": [_facts(row) for row in rows], "notes": found.notes})
        return
    _tell(found.notes)
    if not rows:
        say(
            f"No predictions of {endpoint} since {local_time(start)} {'that are so' if conditions else ''}.".replace(
                " .", "."
            )
        )
        return
    print_table(_HEADS, [_line(row) for row in rows])


@command.command("export")
@click.argument("endpoint")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@_since_option
@_until_option
@click.option("--labelled", is_flag=True, help="Only predictions with a label.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there.")
@json_option
@pass_invocation
def _export(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    endpoint: str,
    out: Path,
    *,
    since: str,
    until: str | None,
    labelled: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the predictions of ENDPOINT to OUT: .parquet, .csv or .jsonl, each with its label."""
    with needing_monitor("Exporting events"):
        from fairlead.archive.querying import export

    check_endpoint(endpoint)
    start, end = _span(since, until)
    if out.exists() and not overwrite:
        raise Conflict(f"{out} is there already.", hint="Give --overwrite, or another name.")
    try:
        done = export(invocation.config().paths.events, endpoint, out, start, end, labelled=labelled)
    except OSError as err:
        raise StorageError(f"{out} cannot be written: {err.strerror}.") from err
    if as_json:
        print_json({"endpoint": endpoint, "file": str(out), **msgspec.to_builtins(done)})
        return
    _tell(done.notes)
    joined = done.joining
    print_line(
        f"{done.rows:,} predictions, {joined.labelled:,} with a label, {joined.corrected:,} of them corrected; "
        f"{joined.unknown:,} labels without their prediction."
    )


@command.command("compact")
@json_option
@pass_invocation
def _compact(invocation: Invocation, *, as_json: bool) -> None:
    """Compact the event log now, and prune what is too old; a running service does it by itself."""
    with needing_monitor("Compacting the event log"):
        from fairlead.archive.compaction import compact

    config = invocation.config()
    try:
        done = compact(
            config.paths.events,
            days=config.event_days,
            most_bytes=config.event_bytes,
            least=0,
            patience=_PATIENCE,
        )
    except OSError as err:
        raise StorageError(f"The event log cannot be compacted: {err.strerror}.") from err
    if as_json:
        print_json(done)
        return
    _tell(done.notes)
    print_line(_sentence(done))


def _sentence(done: Compacted) -> str:
    parts = [f"{done.rows:,} events compacted"]
    parts += [f"{done.merged:,} parts merged"] if done.merged else []
    parts += [f"{done.removed:,} files removed"] if done.removed else []
    parts += [f"{one.rows:,} events of {one.day} pruned by {one.because}" for one in done.pruned]
    return f"{', '.join(parts)}; {done.kept_rows:,} events in {done.kept_bytes / 1e6:,.2f} MB."


def _span(since: str, until: str | None) -> tuple[float, float]:
    now = time.time()
    start, end = parse_since(since, now), now if until is None else parse_since(until, now)
    if start >= end:
        raise InvalidInput(f"--since {since} is not before --until {until or 'now'}.")
    return start, end


def _tell(notes: Any) -> None:
    for note in notes:
        say(note)


_HEADS: Final = ("time", "id", "model", "variant", "status", "ms", "prediction", "label", "row")


def _line(row: dict[str, Any]) -> tuple[object, ...]:
    inputs = ", ".join(f"{name} {value}" for name, value in _under(row, "input.").items())
    return (
        local_time(row["time"]),
        row["id"],
        row["model"],
        row["variant"],
        row["status"],
        row["latency"] * 1000,
        row["prediction"],
        row["label"],
        inputs if len(inputs) <= _SHOWN else inputs[: _SHOWN - 1] + "…",
    )


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON has it: inputs and probabilities by name."""
    plain = {name: value for name, value in row.items() if not name.startswith(("input.", "probability."))}
    return {**plain, "inputs": _under(row, "input."), "probabilities": _under(row, "probability.")}


def _under(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix) and value is not None
    }
