"""The follower: keeps a gateway at the routing table's file.

It asks `stat` five times a second. A table that was replaced is loaded away from the event loop and then swapped in as a
whole; one that cannot be loaded leaves the one before it live. Gateway processes and mounted applications follow alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from loguru import logger

from fairlead.errors import FairleadError
from fairlead.routing.cache import read_cached
from fairlead.routing.table import RoutingTable
from fairlead.serving.gateway import Gateway
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.loader import Loader
from fairlead.serving.processes.status import State
from fairlead.storage.replaced import fingerprint

__all__ = ["LOOK_SECONDS", "Follower"]

LOOK_SECONDS = 0.2
"""How long a new table may lie there before it is seen."""


class Follower:
    """Loads what a table's file names, whenever it is replaced.

    Args:
        table: The file.
        loader: Makes live endpoints of a table.
        gateway: Is swapped to them.
        only: The one endpoint that is wanted; every one where it is `None`.
    """

    def __init__(self, table: Path, loader: Loader, gateway: Gateway, *, only: str | None = None) -> None:
        self.seen = -1
        """The newest revision that was found, served or not."""
        self.on_swap: Callable[[Mapping[str, LiveEndpoint]], None] = lambda _: None
        """Told what is live now."""
        self.tell: Callable[[State, str], None] = lambda *_: None
        """Told how it goes, and what is wrong."""
        self._table = table
        self._loader = loader
        self._gateway = gateway
        self._only = only
        self._fingerprint: tuple[int, int, int] | None = None

    async def follow(self) -> None:
        """Look again and again; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Load the table if its file was replaced, and swap; what is live stays if that fails."""
        found = fingerprint(self._table)
        if found is None or found == self._fingerprint:
            return
        self._fingerprint = found
        try:
            await self._load()
        except FairleadError as err:
            logger.error("Revision {revision} cannot be served: {error}", revision=self.seen, error=str(err))
            self.tell("failed", str(err))
        except Exception:  # noqa: BLE001 - whatever a new table does, what is live goes on
            logger.exception("Revision {revision} cannot be served.", revision=self.seen)
            self.tell("failed", "The table could not be loaded; the log says why.")

    async def _load(self) -> None:
        table = read_cached(self._table)
        if table is None:
            return
        self.seen = table.revision
        self.tell("loading", "")
        endpoints = await asyncio.to_thread(self._loader.load, self._wanted(table), self._gateway.endpoints)
        self._gateway.swap(table.revision, endpoints)
        self.on_swap(endpoints)
        self.tell("ready", "")
        logger.info("Serving revision {revision}.", revision=table.revision)

    def _wanted(self, table: RoutingTable) -> RoutingTable:
        if self._only is None:
            return table
        return msgspec.structs.replace(table, endpoints=tuple(one for one in table.endpoints if one.name == self._only))
