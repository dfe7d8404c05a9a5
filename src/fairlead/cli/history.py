"""`fairlead history`: what an endpoint has served, from the audit trail."""

from __future__ import annotations

import click

from fairlead.cli.audit import print_entries
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.errors import NotFound
from fairlead.registry.audit import audit_entries
from fairlead.routing.table import check_endpoint

__all__ = ["command"]

_TELLING = frozenset({"deployed", "retired"})


@click.command("history")
@click.argument("endpoint")
@json_option
@pass_invocation
def command(invocation: Invocation, endpoint: str, *, as_json: bool) -> None:
    """Show what an endpoint has served, newest first."""
    check_endpoint(endpoint)
    entries = audit_entries(invocation.stores().database, subject=endpoint)
    told = [entry for entry in entries if entry.action in _TELLING and entry.subject == endpoint]
    if not told:
        raise NotFound(f"Nothing was ever deployed to {endpoint!r}.", hint="`fairlead status` lists what is served.")
    print_entries(told, as_json=as_json)
