"""`fairlead audit`: who changed what, and whether the record still holds."""

from __future__ import annotations

from typing import NoReturn

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_table, say
from fairlead.errors import NotAllowed
from fairlead.events import AuditEntry
from fairlead.registry.audit import audit_entries, verify_chain
from fairlead.storage.database import Database

__all__ = ["command", "print_entries"]


@click.command("audit")
@click.argument("subject", required=False)
@click.option("--verify", is_flag=True, help="Recompute the chain: exit code 5 where an entry was altered.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many entries."
)
@json_option
@pass_invocation
def command(invocation: Invocation, subject: str | None, *, verify: bool, limit: int, as_json: bool) -> None:
    """Show who changed what, newest first; SUBJECT is a model, a version, an alias or an endpoint."""
    database = invocation.stores().database
    if verify:
        _verify(database, as_json=as_json)
        return
    print_entries(audit_entries(database, subject=subject, limit=limit), as_json=as_json)


def print_entries(entries: list[AuditEntry], *, as_json: bool) -> None:
    """Print audit entries as a table, or as JSON."""
    if as_json:
        print_json(entries)
        return
    if not entries:
        say("Nothing has been recorded.")
        return
    rows = [
        (entry.sequence, local_time(entry.time), entry.actor, entry.action, entry.subject, _detail(entry))
        for entry in entries
    ]
    print_table(("#", "time", "who", "did", "what", "detail"), rows)


def _verify(database: Database, *, as_json: bool) -> None:
    held, found = verify_chain(database)
    if as_json:
        print_json({"held": held, "break": found})
    if found is not None:
        _refuse(held, found.sequence, found.reason)
    say(f"All {held} entries hold.")


def _refuse(held: int, sequence: int, reason: str) -> NoReturn:
    raise NotAllowed(
        f"The audit trail does not hold: {reason}; {held} entries before it do.",
        hint=f"Compare entry {sequence} with a backup of the database.",
        sequence=sequence,
    )


def _detail(entry: AuditEntry) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.detail.items() if value is not None)
