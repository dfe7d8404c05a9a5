"""What `promote`, `abort`, `pause`, `resume`, `approve` and `rollback` share: one operation on one endpoint's rollout.

Each writes what shall be in one transaction, brings it to this machine, waits until the gateways obey, and says what is true then.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import click

from fairlead.app import Stores
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, print_line
from fairlead.cli.rollouts.standing import print_standing, say_gateways, say_next
from fairlead.rollout.operations import Terms
from fairlead.rollout.rollout import Rollout
from fairlead.rollout.store import find_rollout
from fairlead.rollout.summary import Summary, summarize, summary_of
from fairlead.routing.store import read_table
from fairlead.routing.table import check_endpoint
from fairlead.serving.processes.status import Role

__all__ = ["Operation", "read_summary", "steering_command"]

Operation = Callable[[Stores, str, str, str, Terms], Rollout]
"""Stores, endpoint, actor, because, terms: does it, and gives the rollout as it is then."""


def steering_command(verb: str, text: str, operation: Operation) -> click.Command:
    """The command of a verb.

    Args:
        verb: "promote".
        text: Its help.
        operation: What it does.
    """

    @click.command(verb, help=text)
    @click.argument("endpoint")
    @click.option("--because", default="", metavar="TEXT", help="Why; it stands in the history and the audit.")
    @click.option(
        "--wait", "seconds", type=float, default=30.0, show_default=True, help="How long to wait for the gateways."
    )
    @click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
    @json_option
    @pass_invocation
    def command(  # noqa: PLR0913 - one parameter an option
        invocation: Invocation, endpoint: str, because: str, seconds: float, *, dry_run: bool, as_json: bool
    ) -> None:
        _steer(invocation, operation, endpoint, because, None if dry_run else seconds, as_json=as_json)

    return command


def read_summary(stores: Stores, number: int) -> Summary:
    """Where a rollout stands now.

    Raises:
        NotFound: There is none of this number.
    """
    with stores.database.read() as connection:
        return summarize(connection, find_rollout(connection, number))


def _steer(  # noqa: PLR0913 - what, where, why, and how it is told
    invocation: Invocation,
    operation: Operation,
    endpoint: str,
    because: str,
    seconds: float | None,
    *,
    as_json: bool,
) -> None:
    """Do it, and wait `seconds`; with `None`, only say what would be."""
    from fairlead.app import current_actor

    check_endpoint(endpoint)
    stores = invocation.stores()
    done = operation(stores, endpoint, current_actor(), because, Terms(dry_run=seconds is None))
    if seconds is None:
        _print_wish(summary_of(done, None), as_json=as_json)
        return
    served, revision, elapsed = _obeyed(invocation, stores, seconds)
    summary = read_summary(stores, done.number)
    if as_json:
        print_json({"rollout": summary, "gateways": served["gateway"], "mounts": served["mount"], "dry_run": False})
        return
    print_standing(summary)
    say_gateways(served, revision, elapsed)
    say_next(summary)


def _obeyed(invocation: Invocation, stores: Stores, seconds: float) -> tuple[Counter[Role], int, float]:
    """How many gateways and mounted endpoints serve the newest table, its revision, and how long that took."""
    from fairlead.service import deliver_here, wait_for_gateways

    config, start = invocation.config(), time.monotonic()
    deliver_here(config, stores)
    with stores.database.read() as connection:
        revision = read_table(connection).revision
    served = Counter(one.role for one in wait_for_gateways(config, stores, revision, seconds))
    return served, revision, time.monotonic() - start


def _print_wish(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print_json({"rollout": summary, "gateways": 0, "dry_run": True})
        return
    number = f"rollout {summary.number}" if summary.number else f"a rollout that brings {summary.model} back"
    print_line(f"{summary.endpoint}: {number} would be {summary.state}")
