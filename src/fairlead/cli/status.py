"""`fairlead status`: what is served, and how it is doing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, print_line, print_table, say

if TYPE_CHECKING:
    from fairlead.serving.processes.status import GatewayStatus

__all__ = ["command"]


@click.command("status")
@json_option
@pass_invocation
def command(invocation: Invocation, *, as_json: bool) -> None:
    """Show the endpoints, the versions that answer, and the gateways."""
    from fairlead.service import service_status

    status = service_status(invocation.config(), invocation.stores())
    if as_json:
        print_json(status)
        return
    if not status.endpoints:
        say("Nothing is deployed. `fairlead deploy MODEL:VERSION` lets an endpoint answer.")
    else:
        shares = [(one.name, one.model, one.variant, one.weight, one.road) for one in status.endpoints]
        print_table(["endpoint", "model", "variant", "weight %", "road"], shares)
    if not status.gateways:
        say("No service is running here. `fairlead serve` starts it.")
        return
    print_line("")
    rows = [
        (
            one.name,
            one.pid,
            one.revision,
            one.state,
            f"{max(0.0, time.time() - one.time):.1f} s ago",
            one.answered,
            one.failed,
            one.dropped,
        )
        for one in status.gateways
    ]
    print_table(["gateway", "pid", "revision", "state", "seen", "answered", "failed", "dropped"], rows)
    _show_shadows(status.gateways)
    for one in status.gateways:
        if one.detail:
            say(f"{one.name}: {one.detail}")
    if any(one.dropped for one in status.gateways):
        say("Events were dropped: the event log could not be written. See that the disk has space.")


def _show_shadows(gateways: Sequence[GatewayStatus]) -> None:
    """How those are doing that stand in the shadow of others, and what is wrong with them."""
    found = [(gateway.name, one) for gateway in gateways for one in gateway.shadows]
    if not found:
        return
    print_line("")
    rows = [
        (one.endpoint, one.model, one.name, name, one.state, one.ok, one.failed, one.dropped, one.waiting)
        for name, one in found
    ]
    print_table(
        ["in the shadow of", "model", "variant", "gateway", "state", "ok", "failed", "dropped", "waiting"], rows
    )
    for name, one in found:
        if one.detail:
            say(f"{one.model} at {name}: {one.detail}")
