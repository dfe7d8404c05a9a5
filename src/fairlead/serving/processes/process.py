"""One gateway process: `python -m fairlead.serving.processes.process SETTINGS`.

It obeys files only (the routing table, the unpacked bundles), so it starts and serves with every store gone. It never stops
by itself: a table that cannot be loaded leaves the one before it live.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from fairlead.bundle.reader import Bundle
from fairlead.eventlog.writer import EventLog
from fairlead.logs import LogFormat, set_up_logs
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import AsyncPredictor
from fairlead.predictor.worker import Worker, socket_path
from fairlead.serving.doors import invocations
from fairlead.serving.doors.cases import Cases
from fairlead.serving.doors.door import Door, Doors
from fairlead.serving.doors.feedback import FeedbackDoor
from fairlead.serving.doors.health import Health
from fairlead.serving.doors.invocations import Invocations
from fairlead.serving.doors.meant import MeantEndpoint
from fairlead.serving.doors.openinference import OpenInference
from fairlead.serving.doors.repository import Repository
from fairlead.serving.doors.rest import Rest
from fairlead.serving.doors.tensor_endpoint import TensorEndpoints
from fairlead.serving.doors.v1 import V1
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.follower import LOOK_SECONDS, Follower
from fairlead.serving.gateway import Gateway
from fairlead.serving.http import errorbody
from fairlead.serving.http.asgi import ASGIApp, Bridge
from fairlead.serving.http.lane import Lane
from fairlead.serving.http.request import Limits, Request
from fairlead.serving.keys.gate import Gate, Hosts, is_loopback, public_need
from fairlead.serving.keys.keyring import OPEN_SCOPES, Keyring
from fairlead.serving.keys.proxies import Proxies
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.loader import Loader
from fairlead.serving.mirroring import Shadows
from fairlead.serving.observing.observation import OFF, Observation
from fairlead.serving.processes.status import GatewayStatus, State, remove_status, write_status
from fairlead.serving.processes.wishes import Wishes

if TYPE_CHECKING:
    from fairlead.serving.grpc.server import GrpcServer

__all__ = ["Settings", "decode_settings", "encode_settings", "main", "run"]

_REPORT_SECONDS = 1.0
_FIRST_TABLE_SECONDS = 5.0
_BACKLOG = 2048


class Settings(msgspec.Struct, frozen=True):
    """What a gateway process is told. Seconds and bytes.

    Attributes:
        name: "gateway-0".
        host: The address to listen on.
        port: The port, shared with the other gateway processes.
        table: The routing table's file.
        bundles: The folder of unpacked bundles.
        run: The folder of sockets and statuses.
        events: The event log's folder; `None` records nothing.
        segment_bytes: When a segment of the event log is closed.
        max_rows: How many rows one request may hold.
        request_deadline: How long a request may take.
        worker_timeout: How long a worker may take to become ready or to answer.
        drain: How long requests may take to finish after SIGTERM.
        limits: What a client may do.
        tokens: The tokens' file.
        rates: The file in which all gateways of this machine count the requests of each token.
        allowed_hosts: What the service may be called in a request beside its address.
        grpc_port: The port of gRPC, shared as well; `None` opens none.
        trusted_proxies: Who is believed about whom they speak for.
        invocations: The endpoint that `/invocations` asks where a request names none.
        access_log: The access log's file, "-" for stdout, or "off".
        log_format: How this process tells what it does.
        max_in_flight: How many rows may be answered at a time.
    """

    name: str
    host: str
    port: int
    table: Path
    bundles: Path
    run: Path
    events: Path | None
    segment_bytes: int
    max_rows: int
    request_deadline: float
    worker_timeout: float
    drain: float
    limits: Limits
    tokens: Path
    rates: Path
    allowed_hosts: tuple[str, ...] = ()
    grpc_port: int | None = None
    trusted_proxies: tuple[str, ...] = ()
    invocations: str | None = None
    access_log: str = OFF
    log_format: LogFormat = "text"
    max_in_flight: int = 20_000


def encode_settings(settings: Settings) -> str:
    """The settings as the argument of a process."""
    return msgspec.json.encode(settings, enc_hook=str).decode()


def decode_settings(text: str) -> Settings:
    """The settings from the argument of a process."""
    return msgspec.json.decode(text, type=Settings, dec_hook=lambda kind, value: kind(value))


def main() -> None:
    """Run as a process; the settings are the one argument, as JSON."""
    settings = decode_settings(sys.argv[1])
    set_up_logs(settings.log_format, settings.name)
    _allow_files(settings.limits.max_connections)
    # A hot path makes few cycles; looking for them less often is worth 5 % of its time.
    gc.set_threshold(50_000, 20, 20)
    import uvloop  # only here: the supervisor reads `Settings` from this module and runs no loop

    uvloop.run(run(settings))


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish."""
    process = _Process(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await process.start()
    await stop.wait()
    await process.stop()


class _Process:
    """The parts of one gateway process and what it does beside answering."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        writer = f"{settings.name}-{os.getpid()}"
        self._log = EventLog(settings.events, writer, segment_bytes=settings.segment_bytes) if settings.events else None
        self._gateway = Gateway(self._log, deadline=settings.request_deadline, max_in_flight=settings.max_in_flight)
        self._feedback = FeedbackBox(self._log)
        self._shadows = Shadows(settings.run, settings.bundles, timeout=settings.worker_timeout, log=self._log)
        self._bridge = Bridge(self._make_pages)
        self._lane = Lane(settings.limits)
        proxies = Proxies(settings.trusted_proxies)
        where = settings.access_log
        self._observation = Observation(
            settings.name, settings.run, self._lane, self._gateway, log=self._log, access_log=where, proxies=proxies,
            feedback=self._feedback.counts, shadows=self._shadows,
        )  # fmt: skip
        self._keyring = _keyring(settings)
        self._meant = MeantEndpoint(self._gateway, settings.invocations)
        hosts = Hosts(settings.host, settings.port, settings.allowed_hosts)
        self._lane.gate = Gate(self._keyring, hosts, public_need, meant=self._meant.name)
        self._rest = Rest(self._gateway)
        self._tensors = TensorEndpoints(self._gateway)
        self._lane.error_shapes |= {b"v1": errorbody.told, b"v2": errorbody.told, b"invocations": invocations.told}
        self._lane.fallback = Doors(self._doors(), self._bridge.handle).handle
        loader = Loader(settings.bundles, max_rows=settings.max_rows, connect_worker=self._connect_worker)
        self._follower = Follower(settings.table, loader, self._gateway)
        self._follower.on_swap, self._follower.tell = self._swapped, self._tell
        self._workers: dict[str, Worker] = {}
        self._state: State = "loading"
        self._detail = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._grpc: GrpcServer | None = None

    async def start(self) -> None:
        """Load what the table says, then open the port.

        A process that has nothing to answer with stays out of the kernel's choice, unless a table does not come: then it
        says so on the port, which a person looks at first.
        """
        self._lane.tick()
        self._keyring.look()
        self._tell("loading", "")
        end = time.monotonic() + _FIRST_TABLE_SECONDS
        await self._follower.look()
        while self._gateway.revision < 0 and time.monotonic() < end:
            await asyncio.sleep(LOOK_SECONDS / 4)
            await self._follower.look()
        listener = _listen(self._settings.host, self._settings.port)
        self._server = await self._loop.create_server(self._lane.connection, sock=listener, backlog=_BACKLOG)
        await self._open_grpc()
        for work in (
            self._lane.sweep(),
            self._follower.follow(),
            self._watch_tokens(),
            self._report(),
            self._sync(),
            *self._observation.work(),
        ):
            self._tasks.append(asyncio.create_task(_forever(work)))
        # The pages' imports cost a quarter of a second: pay it now, between predictions, and not at the first page.
        self._loop.call_later(1.0, self._bridge.warm_up)
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Stop listening, finish what was begun, sync the log."""
        assert self._server is not None
        self._server.close()
        await asyncio.gather(self._lane.drain(self._settings.drain), self._close_grpc())
        await self._gateway.close()
        await self._shadows.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._observation.close()
        if self._log is not None:
            await asyncio.to_thread(self._log.close)
        remove_status(self._settings.run, self._settings.name)

    async def _open_grpc(self) -> None:
        if self._settings.grpc_port is not None:
            from fairlead.serving.grpc.server import GrpcServer  # an extra, and a tenth of a second

            wishes = Wishes(self._settings.run, lambda: self._gateway.revision)
            self._grpc = GrpcServer(
                self._gateway,
                self._tensors,
                self._settings.limits,
                intake=self._lane.intake,
                onlooker=self._observation,
                keyring=self._keyring,
                steer=wishes,
            )
            await self._grpc.start(self._settings.host, self._settings.grpc_port)

    async def _close_grpc(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(self._settings.drain)

    def _doors(self) -> list[Door]:
        """Who is asked for what has no fast route, in this order."""
        max_body = self._settings.limits.max_body
        tensors, wishes = self._tensors, Wishes(self._settings.run, lambda: self._gateway.revision)
        return [
            Health(self._gateway),
            self._observation.door,
            self._rest,
            FeedbackDoor(self._gateway, self._feedback, self._source),
            Cases(self._gateway, self._feedback),
            Repository(self._gateway, tensors, wishes, self._actor),
            OpenInference(self._gateway, tensors, max_body=max_body),
            V1(self._gateway, tensors, max_body=max_body),
            Invocations(self._gateway, self._meant, max_body=max_body),
        ]

    def _actor(self, request: Request) -> str:
        token = self._keyring.find(request.header(b"authorization"))
        return f"token {token.name}" if token else "a token that was revoked meanwhile"

    def _source(self, request: Request) -> str:
        """Who sends feedback, as the event log has it."""
        token = self._keyring.find(request.header(b"authorization"))
        return token.name if token else "http"

    def _make_pages(self) -> ASGIApp:
        from fairlead.serving.pages.web import build_app  # Starlette and Jinja are not needed to predict

        return build_app(
            self._gateway,
            max_body=self._settings.limits.max_body,
            token_needed=lambda: not self._keyring.open_to("predict"),
            feedback=self._feedback,
        )

    def _swapped(self, endpoints: Mapping[str, LiveEndpoint]) -> None:
        self._lane.routes = self._rest.routes(endpoints)
        self._shadows.follow(endpoints)

    def _tell(self, state: State, detail: str) -> None:
        self._state, self._detail = state, detail
        status = GatewayStatus(
            name=self._settings.name,
            pid=os.getpid(),
            revision=self._gateway.revision,
            seen=self._follower.seen,
            state=state,
            detail=detail,
            time=time.time(),
            answered=self._gateway.answered,
            failed=self._gateway.failed,
            dropped=self._log.dropped if self._log is not None else 0,
            shadows=self._shadows.statuses(),
        )
        write_status(self._settings.run, status)

    async def _watch_tokens(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._keyring.look()

    async def _report(self) -> None:
        while True:
            self._tell(self._state, self._detail)
            await asyncio.sleep(_REPORT_SECONDS)

    async def _sync(self) -> None:
        while self._log is not None:
            await asyncio.sleep(_REPORT_SECONDS)
            await asyncio.to_thread(self._log.sync)

    def _connect_worker(self, bundle: Bundle) -> tuple[AsyncPredictor, list[Outcome]]:
        """Reach the worker of a bundle; called from the loader's thread."""
        worker = self._workers.get(bundle.digest)
        if worker is None:
            path = socket_path(self._settings.run, bundle.digest)
            worker = Worker(path, timeout=self._settings.worker_timeout)
        future = asyncio.run_coroutine_threadsafe(worker.answer_when_ready(bundle.samples.rows), self._loop)
        outcomes = future.result()
        self._workers[bundle.digest] = worker
        return worker, outcomes


def _keyring(settings: Settings) -> Keyring:
    """Open for asking where nobody else can reach us and no token was ever created; closed otherwise."""
    anybody = OPEN_SCOPES if is_loopback(settings.host) else frozenset()
    return Keyring(settings.tokens, settings.rates, open_scopes=anybody)


def _allow_files(connections: int) -> None:
    """Use what the hard limit allows: each connection is a file, and the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256 if hard == resource.RLIM_INFINITY else min(connections + 256, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _forever(work: Coroutine[None, None, None]) -> None:
    """Run a background task; its failure is logged, because nobody awaits it."""
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    except Exception:  # noqa: BLE001 - as said
        logger.exception("A background task of the gateway failed.")


def _listen(host: str, port: int) -> socket.socket:
    """A socket on a port that several processes share; the kernel divides the connections among them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return listener


if __name__ == "__main__":
    main()
