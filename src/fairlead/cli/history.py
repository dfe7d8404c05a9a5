"""`fairlead history`: what an endpoint has served, and all that happened in one of its rollouts."""

from __future__ import annotations

from typing import Final

import click

from fairlead.app import Stores
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_line, print_table
from fairlead.cli.rollouts.standing import print_standing
from fairlead.errors import InvalidInput, NotFound
from fairlead.events import AuditEntry
from fairlead.registry.audit import audit_entries
from fairlead.rollout.store import LogEntry, find_rollout, history, list_rollouts
from fairlead.rollout.summary import summarize
from fairlead.routing.table import check_endpoint

__all__ = ["command"]

_TELLING: Final = frozenset(
    {"deployed", "retired", "began rollout", "stepped", "approved", "paused", "resumed"}
    | {"promoted", "aborted", "superseded", "rolled back"}
)


@click.command("history")
@click.argument("endpoint")
@click.option("--rollout", "number", type=click.IntRange(1), help="All that happened in this rollout, oldest first.")
@click.option("--looks", is_flag=True, help="With what was seen and decided at each look.")
@json_option
@pass_invocation
def command(invocation: Invocation, endpoint: str, number: int | None, *, looks: bool, as_json: bool) -> None:
    """Show what ENDPOINT has served and how it came to that, newest first; with --rollout, one rollout in full."""
    check_endpoint(endpoint)
    stores = invocation.stores()
    if number is not None:
        _print_rollout(stores, endpoint, number, looks=looks, as_json=as_json)
        return
    if looks:
        raise InvalidInput("--looks is about one rollout.", hint=f"`fairlead history {endpoint} --rollout N --looks`")
    entries = audit_entries(stores.database, subject=endpoint, limit=1000)
    told = [entry for entry in entries if entry.action in _TELLING and entry.subject == endpoint]
    if not told:
        raise NotFound(f"Nothing was ever deployed to {endpoint!r}.", hint="`fairlead status` lists what is served.")
    if as_json:
        print_json(told)
        return
    print_table(("#", "time", "who", "did", "version", "weight %", "rollout", "because"), [_line(one) for one in told])


def _line(entry: AuditEntry) -> tuple[object, ...]:
    """One change, as a line; entries from before there were rollouts know less."""
    detail = entry.detail
    version = detail.get("version") or detail.get("former")
    told = detail.get("weight"), detail.get("rollout"), detail.get("because") or ""
    return entry.sequence, local_time(entry.time), entry.actor, entry.action, version, *told


def _print_rollout(stores: Stores, endpoint: str, number: int, *, looks: bool, as_json: bool) -> None:
    with stores.database.read() as connection:
        rollout = find_rollout(connection, number)
        if rollout.endpoint != endpoint:
            some = ", ".join(str(one.number) for one in list_rollouts(connection, endpoint, limit=10)) or "none"
            raise NotFound(
                f"Rollout {number} is none of {endpoint!r}, but of {rollout.endpoint!r}.",
                hint=f"The newest of {endpoint!r}: {some}.",
                rollout=number,
            )
        summary = summarize(connection, rollout)
    entries = history(stores.database, number, looks=looks)
    if as_json:
        print_json({"rollout": summary, "entries": entries})
        return
    print_standing(summary)
    print_line("")
    print_table(("#", "time", "who", "did", "state", "because"), [_row(entry) for entry in entries])


def _row(entry: LogEntry) -> tuple[object, ...]:
    step = entry.content.get("step")
    where = f"step {step + 1}" if isinstance(step, int) else ""
    state = entry.content.get("state") or (entry.content.get("decision") or {}).get("kind") or ""
    told = f"{state}, {where}" if state and where else state or where
    return entry.sequence, local_time(entry.time), entry.actor, entry.kind, told, entry.because
