"""`fairlead demo`: all of Fairlead on a year of real flights, in one command."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING

import click

from fairlead.cli.invocation import Invocation, pass_invocation

if TYPE_CHECKING:
    from fairlead.demo.walk import Screen

__all__ = ["command"]

_TERMINAL_SECONDS = 0.5
_FILE_SECONDS = 10.0
"""How often the live line is written: over the former one on a terminal, below it elsewhere."""


@click.command("demo")
@click.option(
    "--home", metavar="FOLDER", help="The folder that holds the state, as the option of that name before the verb."
)
@click.option("--host", metavar="ADDRESS", help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port; the next free one where it is taken.")
@click.option(
    "--duration", type=click.FloatRange(min=0), metavar="SECONDS", help="How long to serve; until Ctrl-C otherwise."
)
@click.option("--no-replay", is_flag=True, help="Serve without replaying flights.")
@pass_invocation
def command(  # noqa: PLR0913 - one argument an option
    invocation: Invocation,
    home: str | None,
    host: str | None,
    port: int | None,
    duration: float | None,
    *,
    no_replay: bool,
) -> None:
    """Train a model on real flights, pack, deploy and serve it, and replay the flights of April.

    Needs the extra: pip install 'fairlead[demo]'. The state stays in the home folder, so the second time is quick. Ctrl-C stops
    everything; the exit code is then 0.
    """
    from fairlead.demo.walk import walk  # SQLAlchemy and httpx are not for `--help`

    config = invocation.config(**({"home": home} if home else {}), host=host, port=port)
    # A demo whose terminal is closed, or that is asked to end, takes its service along.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end a demo
        walk(config, _screen(), duration=duration, replaying=not no_replay)
    click.echo("\nStopped.", err=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _screen() -> Screen:
    from fairlead.demo.walk import Screen  # as above

    began = time.monotonic()
    terminal = sys.stderr.isatty()
    every = _TERMINAL_SECONDS if terminal else _FILE_SECONDS
    shown = -every

    def talk(text: str) -> None:
        click.echo(f"{time.monotonic() - began:5.1f} s  {text}", err=True)

    def live(text: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= every:
            shown = now
            # Erases what a longer line has left behind.
            click.echo(f"\r{text}\x1b[K" if terminal else text, err=True, nl=not terminal)

    return Screen(talk=talk, show=click.echo, live=live)
