"""The follower: keeps a gateway at the routing table's file.

It asks `stat` five times a second. A table that was replaced is loaded away from the event loop and then swapped in as a
whole; one that cannot be loaded leaves the one before it live, and is tried again, ever more seldom: what was missing or full may
be there, or have room, a minute later. Gateway processes and mounted applications follow alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

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

_BACK_OFF: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""How long a table that could not be loaded is left alone, in seconds; the last one again and again."""


class Follower:
    """Loads what a table's file names, whenever it is replaced.

    Args:
        table: The file.
        loader: Makes live endpoints of a table.
        gateway: Is swapped to them.
        only: The one endpoint that is wanted; every one where it is `None`.
        clock: Seconds that never go back; a test has its own.
    """

    def __init__(
        self,
        table: Path,
        loader: Loader,
        gateway: Gateway,
        *,
        only: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
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
        self._clock = clock
        self._fingerprint: tuple[int, int, int] | None = None
        self._failures = 0
        self._retry_at = 0.0

    async def follow(self) -> None:
        """Look again and again; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Load the table if its file was replaced, or failed a while ago, and swap; what is live stays if that fails."""
        found = fingerprint(self._table)
        if found is None or not self._is_due(found):
            return
        self._failures = self._failures if found == self._fingerprint else 0
        self._fingerprint = found
        try:
            await self._load()
        except FairleadError as err:
            logger.error("Revision {revision} cannot be served: {error}", revision=self.seen, error=str(err))
            self._put_off(str(err))
        except Exception:  # noqa: BLE001 - whatever a new table does, what is live goes on
            logger.exception("Revision {revision} cannot be served.", revision=self.seen)
            self._put_off("The table could not be loaded; the log says why.")
        else:
            self._failures = 0

    def _is_due(self, found: tuple[int, int, int]) -> bool:
        if found != self._fingerprint:
            return True
        return self._failures > 0 and self._clock() >= self._retry_at

    def _put_off(self, reason: str) -> None:
        self._retry_at = self._clock() + _BACK_OFF[min(self._failures, len(_BACK_OFF) - 1)]
        self._failures += 1
        self.tell("failed", reason)

    async def _load(self) -> None:
        table = read_cached(self._table)
        if table is None:
            return
        self.seen = table.revision
        self.tell("loading", "")
        try:
            await self._swap(table, table.revision)
        except FairleadError:
            if self._gateway.revision < 0 and table.undivided() != table:
                # A process that starts anew has nothing that could go on. A candidate that cannot be loaded must not keep
                # the stable versions from answering; the revision says that this is not yet what is wanted.
                await self._swap(table.undivided(), table.revision - 1)
            raise
        self.tell("ready", "")
        logger.info("Serving revision {revision}.", revision=table.revision)

    async def _swap(self, table: RoutingTable, revision: int) -> None:
        endpoints = await asyncio.to_thread(self._loader.load, self._wanted(table), self._gateway.endpoints)
        self._gateway.swap(revision, endpoints)
        self.on_swap(endpoints)

    def _wanted(self, table: RoutingTable) -> RoutingTable:
        if self._only is None:
            return table
        return msgspec.structs.replace(table, endpoints=tuple(one for one in table.endpoints if one.name == self._only))
