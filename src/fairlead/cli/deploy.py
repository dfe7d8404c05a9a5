"""`fairlead deploy`: let an endpoint answer with a version."""

from __future__ import annotations

import time

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, print_line, say

__all__ = ["command"]


@click.command("deploy")
@click.argument("ref")
@click.option("--endpoint", help="The public name; the model's where it is not given.")
@click.option("--strategy", type=click.Choice(["direct"]), default="direct", help="All traffic at once.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--wait", "seconds", type=float, default=30.0, show_default=True, help="How long to wait for the gateways."
)
@json_option
@pass_invocation
def command(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    ref: str,
    endpoint: str | None,
    strategy: str,
    seconds: float,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let an endpoint answer with the version REF, such as flights:2.

    With a running service it takes effect at once, without a failed request; otherwise it is what `fairlead serve` starts
    with. The alias champion of the model moves along.
    """
    from fairlead.app import current_actor
    from fairlead.rollout.direct import deploy
    from fairlead.service import deliver_here, wait_for_gateways

    config = invocation.config()
    stores = invocation.stores()
    deployment = deploy(stores.database, stores.blobs, ref, endpoint, actor=current_actor(), dry_run=dry_run)
    served = 0
    if not dry_run:
        start = time.monotonic()
        deliver_here(config, stores)
        served = wait_for_gateways(config, stores, deployment.table.revision, seconds)
        elapsed = time.monotonic() - start
    if as_json:
        facts = {"endpoint": deployment.endpoint, "model": deployment.model, "former": deployment.former}
        shown = {**facts, "changed": deployment.changed, "revision": deployment.table.revision, "strategy": strategy}
        print_json({**shown, "dry_run": dry_run, "gateways": served})
        return
    before = f" (before: {', '.join(deployment.former)})" if deployment.former and deployment.changed else ""
    verb = "would answer" if dry_run and deployment.changed else "answers" if deployment.changed else "already answers"
    print_line(f"{deployment.endpoint} {verb} with {deployment.model}{before}")
    if served:
        say(
            f"  {served} gateway{'s' if served > 1 else ''} serve revision {deployment.table.revision} after {elapsed:.1f} s"
        )
    elif not dry_run:
        say("  no service is running here; `fairlead serve` starts with this")
