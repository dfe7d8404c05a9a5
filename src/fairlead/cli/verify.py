"""`fairlead verify`: does a version still hold what was sealed, and give the answers it was sealed with?"""

from __future__ import annotations

import click

from fairlead.cli.invocation import Invocation, json_option
from fairlead.cli.main import EXIT_CODES
from fairlead.cli.output import print_facts, print_json, say
from fairlead.errors import BundleError

__all__ = ["command"]


@click.command("verify")
@click.argument("ref")
@json_option
@click.pass_context
def command(context: click.Context, ref: str, *, as_json: bool) -> None:
    """Check a version's digests and let it answer its samples again."""
    from fairlead.app import verify  # what answering needs is not for `--help`

    invocation = context.find_object(Invocation)
    assert invocation is not None
    name, report = verify(invocation.config(), ref)
    if as_json:
        print_json({"ref": name, "holds": report.holds, "report": report})
    else:
        difference = report.largest_difference
        print_facts(
            [
                ("version", name),
                ("digest", report.digest),
                ("road", report.road),
                ("files compared", report.files),
                ("samples answered", report.samples),
                ("largest difference", None if difference is None else f"{difference:.3g}"),
                ("verdict", "holds" if report.holds else "does not hold"),
                *((problem.where, problem.what) for problem in report.problems),
            ]
        )
    if not report.holds:
        say(f"{name} is not as it was sealed: {report.problems[0].where}: {report.problems[0].what}")
        context.exit(EXIT_CODES[BundleError])
