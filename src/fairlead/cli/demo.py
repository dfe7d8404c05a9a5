"""`fairlead demo`: all of Fairlead on a year of real flights, in one command."""

from __future__ import annotations

import contextlib
import signal
import sys
import time

import click

from fairlead.cli.invocation import Invocation, pass_invocation

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
    from fairlead.demo.walk import Screen, walk  # SQLAlchemy and httpx are not for `--help`

    config = invocation.config(**({"home": home} if home else {}), host=host, port=port)
    # A demo whose terminal is closed, or that is asked to end, takes its service along.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    live = _Live()
    screen = Screen(talk=lambda text: _talk(began, text), show=click.echo, live=live.show)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end a demo
        walk(config, screen, duration=duration, replaying=not no_replay)
    live.finish()
    click.echo("Stopped.", err=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _talk(began: float, text: str) -> None:
    click.echo(f"{time.monotonic() - began:5.1f} s  {text}", err=True)


class _Live:
    """The line that says how the replay stands: over the former one on a terminal, below it and more seldom elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = _TERMINAL_SECONDS if self._terminal else _FILE_SECONDS
        self._written = -self._every
        self._waiting = ""

    def show(self, text: str) -> None:
        now = time.monotonic()
        if now - self._written < self._every:
            self._waiting = text
            return
        self._written = now
        self._write(text)

    def finish(self) -> None:
        """Write what has not been written, and end the line."""
        if self._waiting:
            self._write(self._waiting)
        if self._terminal:
            click.echo("", err=True)

    def _write(self, text: str) -> None:
        self._waiting = ""
        # The escape erases what a longer line has left behind.
        click.echo(f"\r{text}\x1b[K" if self._terminal else text, err=True, nl=not self._terminal)
