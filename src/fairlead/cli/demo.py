"""`fairlead demo`: all of Fairlead on a year of real flights, in one command."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from typing import Literal

import click

from fairlead.cli.invocation import Invocation, pass_invocation
from fairlead.errors import InvalidInput

__all__ = ["command"]

_TERMINAL_SECONDS = 0.5
_FILE_SECONDS = 10.0
"""How often the live line is written: over the former one on a terminal, below it elsewhere."""
_ERASE = "\x1b[K"


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
@click.option(
    "--story",
    type=click.Choice(["rollout", "year"]),
    help="Tell how versions take over, or what monitoring says of a year; the year needs no service.",
)
@pass_invocation
def command(  # noqa: PLR0913 - one argument an option
    invocation: Invocation,
    home: str | None,
    host: str | None,
    port: int | None,
    duration: float | None,
    *,
    no_replay: bool,
    story: Literal["rollout", "year"] | None,
) -> None:
    """Train a model on real flights, pack, deploy and serve it, and replay the flights of April.

    Needs the extra: pip install 'fairlead[demo]'. The state stays in the home folder, so the second time is quick. Ctrl-C stops
    everything; the exit code is then 0.
    """
    from fairlead.demo.screen import Screen
    from fairlead.demo.walk import program, walk  # SQLAlchemy and httpx are not for `--help`

    if story == "year" and (no_replay or duration is not None or host or port):
        raise InvalidInput("--story year serves nothing.", hint="Leave --host, --port, --duration and --no-replay out.")
    if story and no_replay:
        raise InvalidInput(
            "--story needs the replay: without traffic nothing is decided.", hint="Leave --no-replay out."
        )
    config = invocation.config(**({"home": home} if home else {}), host=host, port=port)
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    # A demo whose terminal is closed, or that is asked to end, takes its service along.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    began = time.monotonic()
    live = _Live()
    screen = Screen(
        talk=lambda text: live.above(f"{time.monotonic() - began:5.1f} s  {text}"), show=live.apart, live=live.show
    )
    if story == "year":
        from fairlead.demo.year import tell  # polars

        tell(config, screen, program())
        return
    with contextlib.suppress(KeyboardInterrupt):  # the way to end a demo
        walk(
            config, screen, duration=duration, replaying=not no_replay, tale=story or "start", ended=interrupted.is_set
        )
    live.finish()
    click.echo("Stopped.", err=True)


class _Live:
    """The line that says how the replay stands: over the former one on a terminal, below it and more seldom elsewhere.

    Flights may be asked in one thread while another tells what happens.
    """

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._every = _TERMINAL_SECONDS if self._terminal else _FILE_SECONDS
        self._written = -self._every
        self._waiting = ""
        self._lock = threading.Lock()

    def show(self, text: str) -> None:
        """Say how the replay stands, if that was not said just now."""
        now = time.monotonic()
        with self._lock:
            if now - self._written < self._every:
                self._waiting = text
                return
            self._written = now
            self._write(text)

    def above(self, text: str) -> None:
        """Say something that stays."""
        with self._lock:
            self._clear()
            click.echo(text, err=True)

    def apart(self, text: str) -> None:
        """Print something that is to be kept."""
        with self._lock:
            self._clear()
            click.echo(text)

    def finish(self) -> None:
        """Write what has not been written, and end the line."""
        with self._lock:
            if self._waiting:
                self._write(self._waiting)
            if self._terminal:
                click.echo("", err=True)

    def _write(self, text: str) -> None:
        self._waiting = ""
        # The escape erases what a longer line has left behind.
        click.echo(f"\r{text}{_ERASE}" if self._terminal else text, err=True, nl=not self._terminal)

    def _clear(self) -> None:
        if self._terminal:
            click.echo(f"\r{_ERASE}", err=True, nl=False)
