"""How verbs tell where a rollout stands: one line of data, the verdicts below it, and what one can do next on stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from fairlead.cli.output import print_line, print_table, say
from fairlead.rollout.summary import Summary, stands
from fairlead.serving.processes.status import Role

__all__ = ["print_standing", "print_standings", "say_gateways", "say_next", "told"]

_ROLES: Final[Mapping[Role, str]] = {"gateway": "gateway", "mount": "mounted endpoint"}


def told(summary: Summary) -> str:
    """Where it stands, as one line."""
    against = f"against {summary.stable}" if summary.stable else "behind people"
    what = f"{summary.strategy} of {summary.model} {against}"
    if summary.strategy == "direct":
        what = f"{summary.model} at once"
    return f"{summary.endpoint}: rollout {summary.number}, {what}: {stands(summary)}"


def print_standing(summary: Summary) -> None:
    """Print where a rollout stands, and why."""
    print_line(told(summary))
    print_line(f"  {summary.because}")
    if summary.waits and summary.waits != summary.because:
        print_line(f"  {summary.waits}")


def print_standings(summaries: Sequence[Summary]) -> None:
    """Print the rollouts that are under way, with the verdicts of the last look."""
    for summary in summaries:
        print_line("")
        print_standing(summary)
        if summary.verdicts:
            rows = [(f"  {one.metric}", one.role, one.verdict, one.because) for one in summary.verdicts]
            print_table(["  metric", "role", "verdict", "because"], rows)
        say_next(summary)


def say_next(summary: Summary) -> None:
    """Tell the commands that make sense now."""
    say(f"  next: {', '.join(f'`{one}`' for one in summary.next)}")


def say_gateways(served: Mapping[Role, int], revision: int, seconds: float) -> None:
    """Tell who obeys already: `2 gateways and 1 mounted endpoint serve revision 3 after 0.2 s`."""
    told = [f"{count} {_ROLES[role]}{'s' if count > 1 else ''}" for role, count in sorted(served.items()) if count]
    if told:
        verb = "serves" if sum(served.values()) == 1 else "serve"
        say(f"  {' and '.join(told)} {verb} revision {revision} after {seconds:.1f} s")
    else:
        say("  no service is running here; `fairlead serve` starts with this")
