"""What looks on while a mounted endpoint answers: the counters, the access log and the traces that a gateway process has.

The counters join those of the home's other processes, so that any `/metrics` of the machine tells them all.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

from fairlead.config import Config
from fairlead.eventlog.writer import EventLog
from fairlead.mount.exchange import Reply
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.request import Peer, Request
from fairlead.serving.keys.proxies import Proxies
from fairlead.serving.observing.access_log import AccessLog
from fairlead.serving.observing.exposition import TEXT, render
from fairlead.serving.observing.identity import identify
from fairlead.serving.observing.metrics import Metrics, collect, keep_snapshot
from fairlead.serving.observing.observation import OFF, STDOUT
from fairlead.serving.observing.tracing import open_tracing

__all__ = ["Onlookers"]


class Onlookers:
    """What looks on in one room.

    Args:
        process: "mount-1234-1".
        config: Says whether there is an access log, and where.
        gateway: Tells of every request to the endpoint.
        log: The event log, whose counts are told.
    """

    def __init__(self, process: str, config: Config, gateway: Gateway, log: EventLog | None) -> None:
        self._run = config.paths.run
        self._gateway = gateway
        self._log = log
        self._metrics = Metrics(process, counts=self._counts, gauges=self._gauges)
        self._tracing = open_tracing(os.environ, process)
        self._access_log: AccessLog | None = None
        if config.access_log != OFF:
            where = None if config.access_log == STDOUT else config.paths.home / config.access_log
            self._access_log = AccessLog(process, _appender(where), Proxies(config.proxies))
        gateway.observe = self._metrics.observe

    def identify(self, request: Request) -> tuple[tuple[str, str], ...]:
        """Give a request its id, where somebody wants to know it; the header that tells it."""
        if self._access_log is None and self._tracing is None:
            return ()
        identify(request)
        return (("x-request-id", request.identity.request),)

    def answered(self, peer: Peer, request: Request) -> None:
        """Tell of one request that was answered."""
        for one in (self._metrics, self._access_log, self._tracing):
            if one is not None:
                one.answered(peer, request)

    async def counted(self) -> Reply:
        """What all processes of the home have counted on this machine."""
        await asyncio.to_thread(self._metrics.written().write, self._run)
        families = await asyncio.to_thread(collect, self._run)
        body = await asyncio.to_thread(render, families, openmetrics=False)
        return Reply(200, body, TEXT.decode(), (("cache-control", "no-store"),))

    def work(self) -> list[Coroutine[None, None, None]]:
        """What is done beside answering, until it is cancelled."""
        found = [keep_snapshot(self._metrics, self._run)]
        return [*found, self._access_log.keep()] if self._access_log is not None else found

    async def close(self) -> None:
        """Send what has not been sent yet."""
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _counts(self) -> dict[str, int]:
        return {
            "events": self._log.written if self._log is not None else 0,
            "events_dropped": self._log.dropped if self._log is not None else 0,
            "access_log_dropped": self._access_log.dropped if self._access_log is not None else 0,
        }

    def _gauges(self) -> dict[str, float]:
        return {"queue_depth": self._gateway.queued, "revision": self._gateway.revision}


def _appender(where: Path | None) -> Callable[[str], None]:
    """Appends whole lines, by no logger: the application's own belong to the application."""

    def write(lines: str) -> None:
        if where is None:
            sys.stdout.write(lines)
            sys.stdout.flush()
            return
        with where.open("a", encoding="ascii") as file:
            file.write(lines)

    return write
