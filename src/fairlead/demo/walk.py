"""The demonstration from beginning to end: train, pack, deploy, serve, replay.

Each step is what a user would do by hand, through the same doors: `fairlead.pack`, a deployment, `fairlead serve`, the public
HTTP API. The second time nothing is trained again (`versions`). `story` is what may be told while it serves.
"""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fairlead.app import Stores, current_actor, open_stores
from fairlead.config import Config
from fairlead.demo import flights as source
from fairlead.demo import story
from fairlead.demo.replay import Flight, drawn, unseen
from fairlead.demo.screen import Screen
from fairlead.demo.service import free_port, serving
from fairlead.demo.traffic import follow, passing
from fairlead.demo.versions import FIRST, HALF_YEAR, MISREAD, NAME, SMALL, published
from fairlead.rollout.direct import deploy
from fairlead.routing.store import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RATE", "Tale", "program", "walk"]

RATE = 20.0
"""Flights a second; a day of New York's flights then takes three quarters of a minute."""


Tale = Literal["start", "rollout"]
"""What is shown: how it begins, or how versions take over."""


def walk(  # noqa: PLR0913 - where, how, and until when
    config: Config,
    screen: Screen,
    *,
    duration: float | None,
    replaying: bool,
    tale: Tale = "start",
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Show everything, until `duration` seconds of service have passed or Ctrl-C; a story is told to its end.

    Args:
        config: Where the state lies, and where the service listens.
        screen: How to speak.
        duration: How long to serve, in seconds; `None` serves until it is interrupted.
        replaying: Whether flights are replayed while it serves.
        tale: What is shown.
        ended: Whether it was interrupted: Python loses an interruption that comes at a bad moment, such as while it imports.

    Raises:
        NotFound: The flights are not installed.
        Conflict: No port is free.
        StorageError: The service does not start; or as `fairlead.pack` and `deploy`.
    """
    table = source.flights()
    late = (table[source.TARGET] == "late").mean()
    screen.talk(f"{len(table):,} flights of 2013, {late:.0%} of them late")
    stores = open_stores(config)
    recipes = (FIRST, SMALL) if tale == "start" else (FIRST, HALF_YEAR, MISREAD)
    refs = [published(config, stores, table, recipe, screen.talk) for recipe in recipes]
    _put_live(stores, refs[0], screen)
    port = free_port(config.host, config.port)
    if port != config.port:
        screen.talk(f"port {config.port} is taken; using {port}")
    flights = list(unseen(table if tale == "start" else table[table["month"] >= story.MONTH]))
    example = next((one for one in flights if None not in one.row.values()), flights[0])
    with serving(config.paths.home, config.host, port):
        url = f"http://{config.host}:{port}"
        until = None if duration is None else time.monotonic() + duration
        screen.show(addresses(url, config.paths.home, refs[1], example, tale))
        if tale == "rollout":
            _tell_story(url, config.paths.home, table, refs, screen)
        _stay(
            url,
            flights if replaying else [],
            screen,
            lambda: ended() or (until is not None and time.monotonic() >= until),
        )


def _put_live(stores: Stores, ref: str, screen: Screen) -> None:
    """Deploy the version, unless the endpoint serves one already: perhaps somebody has tried another."""
    with stores.database.read() as connection:
        live = read_table(connection).endpoint(NAME)
    if live is not None:
        screen.talk(f"the endpoint serves {', '.join(variant.model for variant in live.variants)}")
        return
    deploy(stores.database, stores.blobs, ref, NAME, actor=current_actor())
    screen.talk(f"{ref} deployed")


def addresses(url: str, home: Path, other: str, flight: Flight, tale: Tale = "start") -> str:
    """Where to look, and what to try next."""
    fairlead = shlex.join([program(), "--home", str(home)])
    row = shlex.quote(json.dumps(flight.row))
    tries = {
        "start": [
            f"{fairlead} status",
            f"{fairlead} deploy {other}      # another version, while it answers",
            f"{fairlead} show {NAME}:champion",
            f"{fairlead} demo --story rollout      # how versions take over, when this has ended",
        ],
        "rollout": [
            f"{fairlead} status --watch      # a rollout, as it goes on",
            f"{fairlead} history {NAME}",
        ],
    }
    return "\n".join(
        [
            "",
            f"  the page   {url}/{NAME}",
            f"  the docs   {url}/docs",
            f"  the API    {url}/predict/{NAME}",
            "",
            "Try, in another terminal:",
            "",
            f"  curl {url}/predict/{NAME} --json {row}",
            *(f"  {one}" for one in tries[tale]),
            "",
            "Ctrl-C stops everything.",
            "",
        ]
    )


def program() -> str:
    """How to call `fairlead` from another terminal, where this environment may not be active."""
    ours = Path(sys.executable).with_name("fairlead")
    return "fairlead" if shutil.which("fairlead") == str(ours) or not ours.exists() else str(ours)


def _stay(url: str, flights: Iterable[Flight], screen: Screen, over: Callable[[], bool]) -> None:
    """Replay until the flights or the time are over, then wait for the time or for Ctrl-C."""
    follow(url, flights, rate=RATE, live=screen.live, ended=over)
    while not over():
        time.sleep(0.2)


def _tell_story(url: str, home: Path, year: pd.DataFrame, refs: Sequence[str], screen: Screen) -> None:
    flights = itertools.chain.from_iterable(drawn(year, month) for month in range(story.MONTH, 13))
    first, second, third = refs
    with passing(url, flights, rate=story.RATE, live=screen.live) as passed:
        story.tell(home, (first, second, third), screen)
    came_to = passed.result()
    screen.talk(f"{came_to.asked:,} flights were asked meanwhile, {came_to.failed:,} of them in vain")
