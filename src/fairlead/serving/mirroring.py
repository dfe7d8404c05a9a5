"""Keeps the shadows of one gateway process at its routing table: begins those that a new table names, ends those that it does not.

A shadow goes on over a change of the table that does not concern it. One that cannot be loaded holds up nothing: the table is
served, and the gateway's status says what is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from fairlead.eventlog.writer import EventLog
from fairlead.events import Event, Prediction
from fairlead.predictor.worker import shadow_path
from fairlead.routing.table import Mirror
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.processes.status import ShadowStatus
from fairlead.serving.shadow import MirrorCount, Shadow

__all__ = ["Shadows"]

_MAX_COUNTED: Final = 500
_OTHER: Final = ("other", "other")

_Key = tuple[str, str, str, str, tuple[str, ...]]
"""Endpoint, name and version of the shadow, its bundle, and the bundles of those whose answers are given."""


class Shadows:
    """The shadows of one gateway process.

    Args:
        run: The folder of sockets.
        bundles: The folder of unpacked bundles.
        timeout: How long a process may take for an answer, in seconds.
        log: Where pairs are recorded; `None` records nothing.
    """

    def __init__(self, run: Path, bundles: Path, *, timeout: float, log: EventLog | None) -> None:
        self._run = run
        self._bundles = bundles
        self._timeout = timeout
        self._note: Callable[[Sequence[Event]], object] = log.note if log is not None else _nothing
        self._running: dict[_Key, Shadow] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._counts: dict[tuple[str, str], MirrorCount] = {}

    def follow(self, endpoints: Mapping[str, LiveEndpoint]) -> None:
        """Begin and end shadows as these endpoints want it; from now on they hear what is answered there.

        Args:
            endpoints: What is live now.
        """
        wanted: dict[_Key, Shadow] = {}
        for live in endpoints.values():
            shadows = [self._shadow(live, mirror, wanted) for mirror in live.endpoint.mirrors]
            live.mirror = _told(shadows)
        for key in self._running.keys() - wanted.keys():
            task = asyncio.get_running_loop().create_task(self._running[key].end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._running = wanted

    def _shadow(self, live: LiveEndpoint, mirror: Mirror, wanted: dict[_Key, Shadow]) -> Shadow:
        given = tuple(one.digest for one in live.variants)
        key = (live.name, mirror.name, mirror.model, mirror.digest, given)
        found = wanted.get(key) or self._running.get(key)
        if found is None:
            found = Shadow(
                live,
                mirror,
                folder=self._bundles / mirror.digest,
                path=shadow_path(self._run, mirror.digest),
                timeout=self._timeout,
                note=self._note,
                count=self._count(live.name, mirror.model),
            )
        found.mirror = mirror
        wanted[key] = found
        return found

    def _count(self, endpoint: str, version: str) -> MirrorCount:
        key = (endpoint, version)
        if key not in self._counts and len(self._counts) >= _MAX_COUNTED:
            key = _OTHER
        return self._counts.setdefault(key, MirrorCount(*key))

    def counts(self) -> list[MirrorCount]:
        """What became of the rows since the process began, for each endpoint and version."""
        for one in self._counts.values():
            one.waiting = 0
        for shadow in self._running.values():
            shadow.count.waiting += shadow.waiting
        return list(self._counts.values())

    def statuses(self) -> tuple[ShadowStatus, ...]:
        """How each shadow is doing."""
        return tuple(
            ShadowStatus(
                endpoint=key[0],
                name=one.mirror.name,
                model=one.mirror.model,
                state=one.state,
                detail=one.detail,
                waiting=one.waiting,
                ok=one.count.ok,
                failed=one.count.failed,
                dropped=one.count.dropped,
            )
            for key, one in self._running.items()
        )

    async def close(self) -> None:
        """End all shadows."""
        self.follow({})
        await asyncio.gather(*self._ending)


def _told(shadows: Sequence[Shadow]) -> Callable[[Sequence[Prediction]], None] | None:
    """Who is told what was answered."""
    if len(shadows) < 2:
        return shadows[0].offer if shadows else None

    def tell(predictions: Sequence[Prediction]) -> None:
        for one in shadows:
            one.offer(predictions)

    return tell


def _nothing(_: Sequence[Event]) -> None:
    """The event log is off."""
