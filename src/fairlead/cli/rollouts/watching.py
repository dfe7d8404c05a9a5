"""`fairlead status --watch`: the rollouts that are under way, as they go on.

On a terminal one screen is drawn again and again; elsewhere, a line is printed whenever a rollout has moved or a verdict has turned.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import click
import msgspec

from fairlead.cli.output import clean, print_line, say
from fairlead.cli.rollouts.standing import told
from fairlead.durations import tell_duration
from fairlead.errors import NotAllowed, StorageError
from fairlead.rollout.summary import Summary

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

    from fairlead.service import ServiceStatus

__all__ = ["watch"]

_LOOK_SECONDS: Final = 0.5
_STYLES: Final = {"pass": "green", "fail": "bold red", "error": "red", "inconclusive": "yellow"}
_SIGNS: Final = {"pass": "✓", "fail": "✗", "error": "!", "inconclusive": "…"}


class _Screen(Protocol):
    def show(self, status: ServiceStatus, rollouts: list[Summary]) -> None:
        """Show what is under way, and what has just ended."""
        ...


def watch(
    look: Callable[[], ServiceStatus],
    find: Callable[[int], Summary],
    *,
    until_ended: bool,
    seconds: float | None,
    as_json: bool,
) -> None:
    """Show rollouts as they go on, until Ctrl-C, or as `until_ended` and `seconds` say.

    Args:
        look: What is served now.
        find: A rollout by its number, for those that have ended.
        until_ended: Whether to end when none is under way.
        seconds: Whether to end after so long.
        as_json: Print a line of JSON for each change.

    Raises:
        NotAllowed: With `until_ended`, one of them was aborted.
    """
    if as_json or not sys.stdout.isatty():
        _follow(_Lines(as_json=as_json), look, find, until_ended=until_ended, seconds=seconds)
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        _follow(_Drawn(live), look, find, until_ended=until_ended, seconds=seconds)


def _follow(
    screen: _Screen,
    look: Callable[[], ServiceStatus],
    find: Callable[[int], Summary],
    *,
    until_ended: bool,
    seconds: float | None,
) -> None:
    end = None if seconds is None else time.monotonic() + seconds
    known: dict[int, Summary] = {}
    while True:
        try:
            status = look()
            active = {one.number: one for one in status.rollouts}
            ended = [number for number, one in known.items() if one.active and number not in active]
            known |= active | {number: find(number) for number in ended}
            screen.show(status, list(known.values()))
            if until_ended and not any(one.active for one in known.values()):
                break
        except StorageError as error:  # a database that is busy for a moment ends no watch
            say(f"{error.detail} Trying again.")
        if end is not None and time.monotonic() >= end:
            return
        time.sleep(_LOOK_SECONDS)
    for one in known.values():
        if one.state == "aborted":
            raise NotAllowed(
                f"Rollout {one.number} of {one.endpoint!r} was aborted: {one.because}",
                hint=f"`fairlead history {one.endpoint} --rollout {one.number} --looks` tells all of it.",
            )


class _Lines:
    """Prints a line for each change: for logs, pipes and scripts."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._shown: dict[int, object] = {}
        self._idle = False

    def show(self, status: ServiceStatus, rollouts: list[Summary]) -> None:
        del status
        for one in rollouts:
            key = (one.revision, one.state, one.step, [(seen.metric, seen.verdict) for seen in one.verdicts])
            if self._shown.get(one.number) != key:
                self._shown[one.number] = key
                self._print(one)
        if not rollouts and not self._idle:
            say("No rollout is under way.")
        self._idle = not rollouts

    def _print(self, summary: Summary) -> None:
        if self._as_json:
            click.echo(msgspec.json.encode(summary))
        else:
            clock = time.strftime("%H:%M:%S", time.localtime())
            verdicts = ", ".join(f"{one.metric} {one.verdict}" for one in summary.verdicts)
            print_line(f"{clock}  {told(summary)}  [{verdicts or 'not looked at yet'}]  {summary.because}")
        sys.stdout.flush()


class _Drawn:
    """Draws one screen again and again."""

    def __init__(self, live: object) -> None:
        from rich.live import Live

        assert isinstance(live, Live)
        self._live = live

    def show(self, status: ServiceStatus, rollouts: list[Summary]) -> None:
        self._live.update(_drawing(status, rollouts), refresh=True)


def _drawing(status: ServiceStatus, rollouts: list[Summary]) -> Group:
    """The screen. Texts come from people and models, so nothing in them is taken for markup."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [_endpoints(status)]
    for one in rollouts:
        parts += [Text(), Text(clean(told(one)), style="bold"), Text(clean(f"  {one.because}"))]
        if one.waits and one.waits != one.because:
            parts.append(Text(clean(f"  {one.waits}"), style="dim"))
        parts.append(Text(f"  in this step for {tell_duration(max(1.0, time.time() - one.stepped))}", style="dim"))
        if one.verdicts:
            parts.append(_verdicts(one))
        parts.append(Text(f"  {'   '.join(one.next)}", style="cyan"))
    if not rollouts:
        parts += [Text(), Text("No rollout is under way.")]
    parts.append(Text(f"{_gateways(status)}   Ctrl-C ends", style="dim"))
    return Group(*parts)


def _endpoints(status: ServiceStatus) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for head in ("endpoint", "variant", "model"):
        table.add_column(head)
    table.add_column("weight %", justify="right")
    for one in status.endpoints:
        table.add_row(Text(one.name), Text(one.variant), Text(one.model), f"{one.weight:g}")
    return table


def _verdicts(summary: Summary) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
    for seen in summary.verdicts:
        sign = Text(f"  {_SIGNS.get(seen.verdict, '')} {seen.verdict}", style=_STYLES.get(seen.verdict, ""))
        table.add_row(sign, Text(clean(seen.metric)), Text(clean(seen.because)))
    return table


def _gateways(status: ServiceStatus) -> str:
    if not status.gateways:
        return "No service is running here."
    behind = sum(one.revision < status.revision for one in status.gateways)
    late = f", {behind} behind" if behind else ""
    return f"{len(status.gateways)} gateways, revision {status.revision}{late}"
