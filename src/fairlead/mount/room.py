"""The room behind a mounted endpoint: a gateway of one endpoint, within an event loop of somebody else's.

```
routing table's file ─▶ follower ─▶ gateway ◀── ASGI, in this very loop
                           │           │  ◀──── WSGI, from the threads of its server
             worker processes of its own   event log, onlookers
```

It reports what it does as a gateway process does, so that `fairlead deploy` waits for it and `fairlead status` lists it.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from fairlead.bundle.reader import Bundle
from fairlead.config import Config, load_config
from fairlead.errors import NotFound, Overloaded
from fairlead.eventlog.writer import EventLog
from fairlead.mount.admission import Admission
from fairlead.mount.onlookers import Onlookers
from fairlead.mount.worker import OwnProcess
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import AsyncPredictor
from fairlead.routing.table import check_endpoint
from fairlead.serving.follower import LOOK_SECONDS, Follower
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.reading import Intake
from fairlead.serving.http.request import Limits, Request
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.loader import Loader
from fairlead.serving.processes.status import GatewayStatus, State, remove_status, sweep_statuses, write_status

__all__ = ["Mount", "Room", "mount"]

_SYNC_EVERY: Final = 5
_RETRY_SECONDS: Final = 2
_REPORT_SECONDS: Final = 1.0
_number = count(1)


class Mount(msgspec.Struct, frozen=True):
    """What is mounted.

    Attributes:
        endpoint: Its name in the routing table.
        config: The settings of the home that it belongs to.
        tokens: Whether a token is needed: always, never, or (`None`) as soon as the home has had one.
    """

    endpoint: str
    config: Config
    tokens: bool | None


def mount(endpoint: str, home: Path | str | None, tokens: bool | None) -> Mount:  # noqa: FBT001 - as `Mount` has it
    """Check what is to be mounted.

    Raises:
        BadReference: No endpoint can have this name.
        InvalidInput: A setting is unknown or not allowed.
    """
    check_endpoint(endpoint)
    return Mount(endpoint, load_config({"home": None if home is None else str(home)}), tokens)


class Room:
    """The parts of one mounted endpoint; made inside the event loop that it lives in.

    Args:
        mounted: What is mounted.
    """

    def __init__(self, mounted: Mount) -> None:
        self.loop = asyncio.get_running_loop()
        self.endpoint = mounted.endpoint
        self._config = config = mounted.config
        self._name = writer = f"mount-{os.getpid()}-{next(_number)}"
        folder = config.paths.events if config.event_log else None
        self._log = EventLog(folder, writer, segment_bytes=config.event_segment_bytes) if folder else None
        self.gateway = Gateway(self._log, deadline=config.request_deadline, max_in_flight=config.max_in_flight)
        self.intake = Intake(Limits(max_body=config.max_body, max_buffered=config.max_buffered), 0.0)
        """How much all large bodies hold."""
        self.admission = Admission(self.endpoint, config.paths, mounted.tokens)
        self.onlookers = Onlookers(writer, config, self.gateway, self._log)
        loader = Loader(config.paths.bundles, max_rows=config.max_rows, connect_worker=self._connect_worker)
        self._follower = Follower(config.paths.table, loader, self.gateway, only=self.endpoint)
        self._follower.on_swap, self._follower.tell = self._swapped, self._told
        self._state: State = "loading"
        self._detail = ""
        self._processes: dict[str, OwnProcess] = {}
        self._retired: list[tuple[float, OwnProcess]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.release = weakref.finalize(
            self, _release, self._log, self._processes, self._retired, os.getpid(), config.paths.run, writer
        )
        """Close the log and end the processes; blocks. Also done when nobody refers to this any more."""

    async def open(self) -> None:
        """Load what the table says; follow it from then on."""
        await asyncio.to_thread(sweep_statuses, self._config.paths.run)
        await self._follower.look()
        works = (self._follower.follow(), self._tend(), self._keep_reporting(), *self.onlookers.work())
        self._tasks = [asyncio.create_task(work) for work in works]

    async def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        await self.gateway.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._all_processes():
            await process.worker.close()
        await self.onlookers.close()
        self.release()  # here: when the interpreter ends, no thread can be had any more

    def live(self) -> LiveEndpoint:
        """The endpoint, ready to answer.

        Raises:
            NotFound: Nothing is deployed under its name.
            Overloaded: What is deployed could not be loaded.
        """
        found = self.gateway.endpoints.get(self.endpoint)
        if found is not None:
            return found
        if self._state == "failed":
            raise Overloaded(
                "The endpoint could not be loaded; the operator's log says why.", retry_after=_RETRY_SECONDS
            )
        raise NotFound(
            f"There is no endpoint {self.endpoint!r}.", hint=f"`fairlead deploy {self.endpoint}:VERSION` makes it."
        )

    def hold(self, request: Request, size: int) -> None:
        """Count what a large body holds until its request is answered.

        Raises:
            Overloaded: All of them hold too much.
        """
        request.held += size
        self.intake.hold(size)

    def _told(self, state: State, detail: str) -> None:
        self._state, self._detail = state, detail
        self.admission.look()  # tokens are delivered before the table: who may ask is known when the first answer is given
        self._report()

    async def _keep_reporting(self) -> None:
        """Say that we live, apart from what may take its time."""
        while True:
            self._report()
            await asyncio.sleep(_REPORT_SECONDS)

    def _report(self) -> None:
        status = GatewayStatus(
            name=self._name,
            pid=os.getpid(),
            revision=self.gateway.revision,
            seen=self._follower.seen,
            state=self._state,
            detail=self._detail,
            time=time.time(),
            answered=self.gateway.answered,
            failed=self.gateway.failed,
            dropped=self._log.dropped if self._log is not None else 0,
            role="mount",
            endpoint=self.endpoint,
        )
        write_status(self._config.paths.run, status)

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
            self.admission.look()
            try:
                for process in self._all_processes():
                    process.keep_alive()
            except OSError:  # no process can be had now; perhaps at the next turn
                logger.exception("The worker process of {endpoint} could not be started.", endpoint=self.endpoint)
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


def _release(  # noqa: PLR0913, PLR0917 - what a room has taken; a finalizer must not know the room itself
    log: EventLog | None,
    processes: dict[str, OwnProcess],
    retired: list[tuple[float, OwnProcess]],
    owner: int,
    run: Path,
    name: str,
) -> None:
    if os.getpid() != owner:  # a fork's copy: the files and processes are its parent's
        return
    for process in (*processes.values(), *(one for _, one in retired)):
        process.end()
    remove_status(run, name)
    if log is not None:
        log.close()
