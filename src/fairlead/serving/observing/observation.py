"""Joins what looks on while a gateway process answers: counters always, the access log and traces where they are wanted.

Everything here is told by two hooks, `gateway.observe` and `lane.on_answer`, and none of it is waited for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

from loguru import logger

from fairlead.eventlog.writer import EventLog
from fairlead.logs import open_lines
from fairlead.serving.feedback.box import Counted
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Lane
from fairlead.serving.http.request import Peer, Request
from fairlead.serving.keys.proxies import Proxies
from fairlead.serving.mirroring import Shadows
from fairlead.serving.observing.access_log import AccessLog
from fairlead.serving.observing.identity import identify
from fairlead.serving.observing.metrics import Metrics, MetricsDoor, keep_snapshot
from fairlead.serving.observing.tracing import open_tracing

__all__ = ["OFF", "STDOUT", "Observation"]

_Told = Callable[[Peer, Request], None]
OFF = "off"
STDOUT = "-"


class Observation:
    """What looks on in one process; sets the hooks when it is made.

    Args:
        process: "gateway-0".
        run: The folder of what runs.
        lane: Told of every answer.
        gateway: Told of every request to an endpoint.
        log: The event log, whose counts are told.
        access_log: A file, "-" for stdout, or "off".
        feedback: How much feedback was taken, by endpoint and kind.
        shadows: Whose counts are told.
        proxies: Who is believed about whom they speak for.
    """

    def __init__(  # noqa: PLR0913 - what it looks at, and where it tells
        self,
        process: str,
        run: Path,
        lane: Lane,
        gateway: Gateway,
        *,
        log: EventLog | None,
        access_log: str,
        feedback: Mapping[str, Mapping[Counted, int]],
        shadows: Shadows,
        proxies: Proxies,
    ) -> None:
        self._run = run
        self._lane = lane
        self._gateway = gateway
        self._log = log
        self._metrics = Metrics(
            process, counts=self._counts, gauges=self._gauges, feedback=feedback, mirrored=shadows.counts
        )
        self._access_log = _open_access_log(process, access_log, proxies)
        self._tracing = open_tracing(os.environ, process)
        self.door = MetricsDoor(self._metrics, gateway, run)
        gateway.observe = self._metrics.observe
        told = [one.answered for one in (self._metrics, self._access_log, self._tracing) if one is not None]
        self.answered: _Told = told[0] if len(told) == 1 else _all_of(told)
        """Is to be told of every answer, by whichever port."""
        self.identify: Callable[[Request], bytes] | None = identify if len(told) > 1 else None
        """Is to be asked who a request is before it is answered; `None` where nobody wants to know."""
        lane.on_answer, lane.identify = self.answered, self.identify

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
            "connections_refused": self._lane.turned_away,
            "access_log_dropped": self._access_log.dropped if self._access_log is not None else 0,
        }

    def _gauges(self) -> dict[str, float]:
        return {
            "in_flight": sum(connection.busy for connection in self._lane.connections),
            "queue_depth": self._gateway.queued,
            "connections": len(self._lane.connections),
            "revision": self._gateway.revision,
        }


def _open_access_log(process: str, where: str, proxies: Proxies) -> AccessLog | None:
    if where == OFF:
        return None
    try:
        return AccessLog(process, open_lines(None if where == STDOUT else Path(where)), proxies)
    except OSError as err:
        # Serving goes on: `doctor` and this line say what is missing.
        logger.error("The access log {where} cannot be opened: {error}.", where=where, error=err.strerror)
        return None


def _all_of(told: Sequence[_Told]) -> _Told:
    def answered(peer: Peer, request: Request) -> None:
        for one in told:
            one(peer, request)

    return answered
