"""`fairlead token`: who may ask, see and change.

A token is printed once, on stdout, so that it can be put where it belongs without passing through a person's screen.
"""

from __future__ import annotations

import time

import click
import msgspec

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_line, print_table, say
from fairlead.durations import parse_duration
from fairlead.tokens import SCOPES

__all__ = ["command"]


@click.group("token")
def command() -> None:
    """Create, list and revoke the tokens that callers show."""


@command.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="What it allows.")
@click.option("--endpoint", "endpoints", multiple=True, help="Where it allows that; everywhere without it.")
@click.option("--rate", type=float, help="How many requests a second it allows.")
@click.option("--burst", type=int, help="How many may come at once; the requests of one second without it.")
@click.option("--expires", metavar="TIME", help="How long it holds, such as 12h or 30d; for ever without it.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@json_option
@pass_invocation
def _create(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    name: str,
    *,
    scopes: tuple[str, ...],
    endpoints: tuple[str, ...],
    rate: float | None,
    burst: int | None,
    expires: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create the token NAME and print it; it cannot be shown again."""
    from fairlead.app import current_actor
    from fairlead.registry.tokens import create_token
    from fairlead.service import deliver_tokens_here

    config, stores = invocation.config(), invocation.stores()
    issued, secret = create_token(
        stores.database,
        name,
        scopes=scopes,
        endpoints=endpoints,
        rate=rate,
        burst=burst,
        seconds=None if expires is None else parse_duration(expires),
        actor=current_actor(),
        dry_run=dry_run,
    )
    first = not dry_run and deliver_tokens_here(config, stores).issued == 1
    if as_json:
        print_json({**msgspec.structs.asdict(issued), "token": secret or None, "dry_run": dry_run})
    elif not dry_run:
        print_line(secret)
    say(f"The token {name} {'would allow' if dry_run else 'allows'} {_allows(issued.scopes, issued.endpoints)}.")
    if not dry_run:
        say("  It is shown this once. Callers send it as `Authorization: Bearer TOKEN`.")
    if first:
        say("  It is the first: from now on the service answers nobody without a token.")


@command.command("list")
@json_option
@pass_invocation
def _list(invocation: Invocation, *, as_json: bool) -> None:
    """List the tokens that were ever created, newest first; none can be shown again."""
    from fairlead.registry.tokens import list_tokens

    found = list_tokens(invocation.stores().database)
    if as_json:
        print_json(found)
        return
    if not found:
        say("There is no token. `fairlead token create NAME --scope predict` makes one.")
        return
    now = time.time()
    rows = [
        (
            one.name,
            one.id,
            " ".join(one.scopes),
            " ".join(one.endpoints) or "all",
            one.rate,
            local_time(one.expires) if one.expires else "never",
            one.state(now),
        )
        for one in found
    ]
    print_table(["token", "id", "scopes", "endpoints", "rate/s", "expires", "state"], rows)


@command.command("revoke")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@json_option
@pass_invocation
def _revoke(invocation: Invocation, name: str, *, dry_run: bool, as_json: bool) -> None:
    """Revoke the token NAME, or the one with this id; every gateway refuses it within a second."""
    from fairlead.app import current_actor
    from fairlead.registry.tokens import revoke_token
    from fairlead.service import deliver_tokens_here

    stores = invocation.stores()
    found = revoke_token(stores.database, name, actor=current_actor(), dry_run=dry_run)
    if not dry_run:
        deliver_tokens_here(invocation.config(), stores)
    if as_json:
        print_json({**msgspec.structs.asdict(found), "dry_run": dry_run})
    say(f"The token {found.name} {'would be' if dry_run else 'is'} worthless from now on.")


def _allows(scopes: tuple[str, ...], endpoints: tuple[str, ...]) -> str:
    return f"{', '.join(scopes)} {'at ' + ', '.join(endpoints) if endpoints else 'everywhere'}"
