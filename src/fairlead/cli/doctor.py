"""`fairlead doctor`: what is wrong with this machine."""

from __future__ import annotations

import click

from fairlead.cli.invocation import Invocation, json_option
from fairlead.cli.output import print_json, print_table, say

__all__ = ["command"]


@click.command("doctor")
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Say what is wrong with this machine; ends with 1 where something is."""
    from fairlead.checkup import examine

    invocation = context.find_object(Invocation)
    assert invocation is not None
    findings = examine(invocation.config())
    wrong = sum(one.state == "wrong" for one in findings)
    if as_json:
        print_json({"sound": not wrong, "findings": findings})
    else:
        print_table(["check", "", "found"], [(one.check, one.state, one.found) for one in findings])
        for one in findings:
            if one.todo:
                say(f"{one.state}: {one.found} {one.todo}")
    if wrong:
        context.exit(1)
