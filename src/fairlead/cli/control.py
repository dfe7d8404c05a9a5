"""`fairlead control`: brings what is deployed to this machine; `fairlead serve` starts it by itself."""

from __future__ import annotations

import click

from fairlead.cli.invocation import Invocation, pass_invocation

__all__ = ["command"]


@click.command("control")
@pass_invocation
def command(invocation: Invocation) -> None:
    """Bring what is deployed to this machine's gateways, and carry their reports back."""
    from fairlead.service import control

    control(invocation.config())
