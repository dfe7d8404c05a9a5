"""`fairlead status`: what is served, and how it is doing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, print_line, print_table, say
from fairlead.cli.rollouts.standing import print_standings
from fairlead.errors import InvalidInput

if TYPE_CHECKING:
    from fairlead.service import ServiceStatus
    from fairlead.serving.processes.status import GatewayStatus

__all__ = ["command"]

_MOST_SECONDS = 366 * 86_400.0


@click.command("status")
@click.option("--watch", "watching", is_flag=True, help="Show rollouts as they go on; Ctrl-C ends.")
@click.option("--until", metavar="WHEN", help="Watch until no rollout is under way (`ended`), or for so many seconds.")
@json_option
@pass_invocation
def command(invocation: Invocation, *, watching: bool, until: str | None, as_json: bool) -> None:
    """Show the endpoints, the versions that answer, the rollouts under way, and the gateways."""
    from fairlead.service import service_status

    config, stores = invocation.config(), invocation.stores()
    if watching:
        from fairlead.cli.rollouts.steering import read_summary
        from fairlead.cli.rollouts.watching import watch

        watch(
            lambda: service_status(config, stores),
            lambda number: read_summary(stores, number),
            until_ended=until == "ended",
            seconds=None if until in {None, "ended"} else _seconds(until or ""),
            as_json=as_json,
        )
        return
    if until is not None:
        raise InvalidInput("--until is about --watch.", hint="`fairlead status --watch --until ended`")
    status = service_status(config, stores)
    if as_json:
        print_json(status)
        return
    _print(status)


def _seconds(until: str) -> float:
    try:
        seconds = float(until)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise InvalidInput(f"--until is {until[:40]!r}.", hint="Give `ended`, or a number of seconds.")
    return seconds


def _print(status: ServiceStatus) -> None:
    if not status.endpoints:
        say("Nothing is deployed. `fairlead deploy MODEL:VERSION` lets an endpoint answer.")
    else:
        shares = [(one.name, one.model, one.variant, one.weight, one.road) for one in status.endpoints]
        print_table(["endpoint", "model", "variant", "weight %", "road"], shares)
    print_standings(status.rollouts)
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
