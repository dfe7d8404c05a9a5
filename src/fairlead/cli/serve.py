"""`fairlead serve`: everything on this machine."""

from __future__ import annotations

import click

from fairlead.cli.invocation import Invocation, pass_invocation
from fairlead.cli.output import print_line, say

__all__ = ["command"]


@click.command("serve")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=int, help="The port; 0 takes a free one.")
@click.option("--grpc-port", type=int, help="The port of gRPC; off without it.")
@click.option("--workers", type=int, help="How many gateway processes share the port.")
@click.option("--console-host", help="The address of the operator's API.")
@click.option("--console-port", type=int, help="The port of the operator's API; 0 opens none.")
@pass_invocation
def command(  # noqa: PLR0913 - one for each option
    invocation: Invocation,
    *,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    workers: int | None,
    console_host: str | None,
    console_port: int | None,
) -> None:
    """Serve everything on this machine until Ctrl-C."""
    from fairlead.service import operator_url, serve

    where = {"host": host, "port": port, "grpc_port": grpc_port, "workers": workers}
    config = invocation.config(**where, console_host=console_host, console_port=console_port)

    def ready(address: str) -> None:
        print_line(f"Serving on {address}")
        say(f"  pages and documentation: {address}/ and {address}/docs; Ctrl-C stops.")
        if config.grpc_port is not None:
            say(f"  gRPC: {config.host}:{config.grpc_port}")
        if operator := operator_url(config):
            say(f"  operator's API: {operator}")

    serve(config, on_ready=ready)
