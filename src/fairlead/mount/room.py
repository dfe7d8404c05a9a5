"""The room behind a mounted endpoint: a gateway of one endpoint, within an event loop of somebody else's.

```
routing table's file ─▶ follower ─▶ gateway ◀── ASGI, in this very loop
                           │           │  ◀──── WSGI, from the threads of its server
             worker processes of its own   event log
```
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Mapping
from itertools import count
from typing import Final

from loguru import logger

from fairlead.bundle.reader import Bundle
from fairlead.config import Config
from fairlead.errors import NotFound, Overloaded
from fairlead.eventlog.writer import EventLog
from fairlead.mount.worker import OwnProcess
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import AsyncPredictor
from fairlead.serving.follower import LOOK_SECONDS, Follower
from fairlead.serving.gateway import Gateway
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.loader import Loader
from fairlead.serving.processes.status import State

__all__ = ["Room"]

_SYNC_EVERY: Final = 5
_RETRY_SECONDS: Final = 2
_number = count(1)


class Room:
    """The parts of one mounted endpoint; made inside the event loop that it lives in.

    Args:
        endpoint: Its name in the routing table.
        config: The settings of the home that it belongs to.
    """

    def __init__(self, endpoint: str, config: Config) -> None:
        self.loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._config = config
        writer = f"mount-{os.getpid()}-{next(_number)}"
        folder = config.paths.events if config.event_log else None
        self._log = EventLog(folder, writer, segment_bytes=config.event_segment_bytes) if folder else None
        self.gateway = Gateway(self._log, deadline=config.request_deadline)
        loader = Loader(config.paths.bundles, max_rows=config.max_rows, connect_worker=self._connect_worker)
        self._follower = Follower(config.paths.table, loader, self.gateway, only=endpoint)
        self._follower.on_swap, self._follower.tell = self._swapped, self._told
        self._state: State = "loading"
        self._processes: dict[str, OwnProcess] = {}
        self._retired: list[tuple[float, OwnProcess]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.release = weakref.finalize(self, _release, self._log, self._processes, self._retired, os.getpid())
        """Close the log and end the processes; blocks. Also done when nobody refers to this any more."""

    async def open(self) -> None:
        """Load what the table says; follow it from then on."""
        await self._follower.look()
        self._tasks = [asyncio.create_task(self._follower.follow()), asyncio.create_task(self._tend())]

    async def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        await self.gateway.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._all_processes():
            await process.worker.close()
        self.release()  # here: when the interpreter ends, no thread can be had any more

    def live(self) -> LiveEndpoint:
        """The endpoint, ready to answer.

        Raises:
            NotFound: Nothing is deployed under its name.
            Overloaded: What is deployed could not be loaded.
        """
        found = self.gateway.endpoints.get(self._endpoint)
        if found is not None:
            return found
        if self._state == "failed":
            raise Overloaded(
                "The endpoint could not be loaded; the operator's log says why.", retry_after=_RETRY_SECONDS
            )
        raise NotFound(
            f"There is no endpoint {self._endpoint!r}.", hint=f"`fairlead deploy {self._endpoint}:VERSION` makes it."
        )

    def _told(self, state: State, _: str) -> None:
        self._state = state

    def _swapped(self, endpoints: Mapping[str, LiveEndpoint]) -> None:
        """Retire the processes that answer no more, once what they were asked must be answered."""
        live = {endpoint.digest for endpoint in endpoints.values()}
        at = time.monotonic() + self._config.request_deadline + 1.0
        for digest in self._processes.keys() - live:
            self._retired.append((at, self._processes.pop(digest)))

    async def _tend(self) -> None:
        """Keep the processes alive, end the retired ones, hand the log to the disk."""
        for turn in count(1):
            await asyncio.sleep(LOOK_SECONDS)
            try:
                for process in self._all_processes():
                    process.keep_alive()
            except OSError:  # no process can be had now; perhaps at the next turn
                logger.exception("The worker process of {endpoint} could not be started.", endpoint=self._endpoint)
            now = time.monotonic()
            for entry in [one for one in self._retired if one[0] < now]:
                self._retired.remove(entry)
                await entry[1].worker.close()
                await asyncio.to_thread(entry[1].end)
            if self._log is not None and turn % _SYNC_EVERY == 0:
                await asyncio.to_thread(self._log.sync)

    def _all_processes(self) -> list[OwnProcess]:
        return [*self._processes.values(), *(process for _, process in self._retired)]

    def _connect_worker(self, bundle: Bundle) -> tuple[AsyncPredictor, list[Outcome]]:
        """Start the worker of a bundle; called from the loader's thread."""
        process = self._processes.get(bundle.digest)
        if process is None:
            process = OwnProcess(bundle, memory=self._config.worker_memory, seconds=self._config.worker_timeout)
        ready = process.worker.answer_when_ready(bundle.samples.rows)
        outcomes = asyncio.run_coroutine_threadsafe(ready, self.loop).result()
        self._processes[bundle.digest] = process
        return process.worker, outcomes


def _release(
    log: EventLog | None, processes: dict[str, OwnProcess], retired: list[tuple[float, OwnProcess]], owner: int
) -> None:
    if os.getpid() != owner:  # a fork's copy: the files and processes are its parent's
        return
    for process in (*processes.values(), *(one for _, one in retired)):
        process.end()
    if log is not None:
        log.close()
