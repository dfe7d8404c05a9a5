"""`fairlead models`: what there is."""

from __future__ import annotations

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_table, say
from fairlead.registry.registry import list_models

__all__ = ["command"]


@click.command("models")
@json_option
@pass_invocation
def command(invocation: Invocation, *, as_json: bool) -> None:
    """List the models and their versions."""
    models = list_models(invocation.stores().database)
    if as_json:
        print_json(models)
        return
    if not models:
        say("There are no models yet. `fairlead pack model.pkl --name … --data …` makes the first.")
        return
    rows = [
        (
            model.name,
            model.latest,
            ", ".join(f"{alias} → {number}" for alias, number in model.aliases.items()),
            local_time(model.created),
        )
        for model in models
    ]
    print_table(("model", "versions", "aliases", "since"), rows)
