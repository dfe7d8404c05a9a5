"""`fairlead control`: brings what is deployed to this machine; `fairlead serve` starts it by itself."""

from __future__ import annotations

import click

from fairlead.cli.invocation import Invocation, pass_invocation

__all__ = ["command"]


@click.command("control")
@click.option("--console-host", help="The address of the operator's API.")
@click.option("--console-port", type=int, help="The port of the operator's API; 0 opens none.")
@pass_invocation
def command(invocation: Invocation, console_host: str | None, console_port: int | None) -> None:
    """Bring what is deployed to this machine's gateways, and carry their reports back."""
    from fairlead.service import control

    control(invocation.config(console_host=console_host, console_port=console_port))
