"""`fairlead alias`: the one thing about a version that moves."""

from __future__ import annotations

import click

from fairlead.app import current_actor
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_json, say
from fairlead.errors import BadReference, InvalidInput
from fairlead.refs import ModelRef
from fairlead.registry.registry import Alias, plan_alias, remove_alias, resolve, set_alias

__all__ = ["command"]


@click.command("alias")
@click.argument("alias", metavar="MODEL:ALIAS")
@click.argument("version", required=False)
@click.option("--remove", is_flag=True, help="Take the alias away; the version stays.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@json_option
@pass_invocation
def command(  # noqa: PLR0913 - click gives each option by its name
    invocation: Invocation, alias: str, version: str | None, *, remove: bool, dry_run: bool, as_json: bool
) -> None:
    """Point an alias at a version: fairlead alias flights:champion flights:2."""
    wanted = ModelRef.parse(alias)
    if wanted.alias is None:
        raise BadReference(f"{alias!r} names no alias.", hint="Use model:alias, such as flights:champion.")
    if remove == (version is not None):
        raise InvalidInput("Give either a version or --remove.", hint=f"`fairlead alias {alias} {wanted.model}:1`")
    database, actor = invocation.stores().database, current_actor()
    if version is None:
        former = resolve(database, wanted).number
        result = Alias(wanted.model, wanted.alias, None, former)
        if not dry_run:
            result = remove_alias(database, wanted.model, wanted.alias, actor=actor)
    elif dry_run:
        result = plan_alias(database, wanted.model, wanted.alias, version)
    else:
        result = set_alias(database, wanted.model, wanted.alias, version, actor=actor)
    if as_json:
        print_json(result)
    say(_told(result, dry_run=dry_run))


def _told(result: Alias, *, dry_run: bool) -> str:
    name = f"{result.model}:{result.alias}"
    would = " would" if dry_run else ""
    if result.number is None:
        return f"{name}{would}{' be' if dry_run else ' was'} taken away; it pointed at {result.model}:{result.former}."
    if result.number == result.former:
        return f"{name} points at {result.model}:{result.number} already."
    before = f", before {result.model}:{result.former}" if result.former else ""
    return f"{name}{would} point{'' if dry_run else 's'} at {result.model}:{result.number}{before}."
