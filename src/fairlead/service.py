"""Builds the running service out of its parts: the processes of `fairlead serve` and what each is told.

It stands beside `app`, which builds what runs once and ends. Stores are imported only where they are opened: a gateway must
answer a second after it was started.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec
from loguru import logger

from fairlead.config import Config
from fairlead.errors import Conflict, FairleadError, Forbidden, InvalidInput, Overloaded
from fairlead.logs import set_up_logs
from fairlead.routing.table import SLOTS
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.gate import is_loopback
from fairlead.serving.keys.proxies import networks_of
from fairlead.serving.keys.tokens_file import read_tokens
from fairlead.serving.observing.observation import OFF, STDOUT
from fairlead.serving.processes.process import Settings, encode_settings
from fairlead.serving.processes.status import GatewayStatus, read_statuses, role_of
from fairlead.serving.processes.supervisor import Supervisor, road_of
from fairlead.tokens import TokenSet

if TYPE_CHECKING:
    from fairlead.app import Stores
    from fairlead.console.server import ConsoleServer
    from fairlead.rollout.summary import Summary
    from fairlead.serving.http.asgi import ASGIApp
    from fairlead.serving.keys.keyring import Keyring
    from fairlead.serving.processes.delivery import TokenSource

__all__ = [
    "control",
    "deliver_here",
    "deliver_tokens_here",
    "gateway_settings",
    "monitor",
    "operator_url",
    "serve",
    "service_status",
    "url",
    "wait_for_gateways",
]

_READY_SECONDS = 60.0
_ALIVE_SECONDS = 3.0
"""A gateway reports once a second; one that did not for this long is not waited for."""


def serve(
    config: Config,
    *,
    on_ready: Callable[[str], None],
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Run the whole service on this machine until SIGTERM, SIGINT, or `until` says so.

    Args:
        config: The settings.
        on_ready: Told the address once every gateway answers.
        until: Asked some twenty times a second.

    Raises:
        Forbidden: An address can be reached by others, and there is no token for it.
        InvalidInput: A setting contradicts another, or names what cannot be.
        Conflict: Another service holds the port or the home.
        Overloaded: The gateways did not become ready within a minute.
    """
    networks_of(config.proxies)
    _check_tokens(config)
    _check_console(config)
    _check_grpc(config)
    set_up_logs(config.log_format, "supervisor")
    paths = config.paths
    supervisor = Supervisor(
        run=paths.run,
        table=paths.table,
        bundles=paths.bundles,
        worker_command=lambda digest: worker_command(config, digest),
        shadow_command=lambda digest: worker_command(config, digest, shadow=True),
        drain=config.drain,
        worker_memory=config.worker_memory,
    )
    with ExitStack() as held:
        reserved = held.enter_context(closing(_reserve(config.host, config.port, shared=supervisor.took_over)))
        if config.grpc_port is not None:
            held.enter_context(closing(_reserve(config.host, config.grpc_port, shared=supervisor.took_over)))
        held.enter_context(closing(supervisor))
        port = reserved.getsockname()[1]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        for index in range(config.workers):
            settings = gateway_settings(config, f"gateway-{index}", port)
            supervisor.add(
                settings.name, [sys.executable, "-m", "fairlead.serving.processes.process", encode_settings(settings)]
            )
        supervisor.add("control", _control_command(config))
        if is_watching(config):
            supervisor.add("monitor", _monitor_command(config))
        _wait_until_ready(supervisor, config.workers, until)
        if not supervisor.stopping:
            on_ready(url(config.host, port))
        supervisor.keep(until)


def _control_command(config: Config) -> list[str]:
    where = ["--console-host", config.console_host, "--console-port", str(config.console_port)]
    told = ["--home", str(config.paths.home), "control", *where]
    return [sys.executable, "-m", "fairlead.cli.main", *told]


def is_watching(config: Config) -> bool:
    """Whether reports are made here: what that needs is installed, and there is a log to make them of."""
    if not config.event_log:
        return False
    missing = [name for name in ("polars", "pyarrow") if find_spec(name) is None]
    if missing:
        logger.info(
            "{missing} is not installed, so nothing is monitored: pip install 'fairlead[monitor]'", missing=missing[0]
        )
    return not missing


def _monitor_command(config: Config) -> list[str]:
    return [sys.executable, "-m", "fairlead.cli.main", "--home", str(config.paths.home), "monitor", "run"]


def monitor(config: Config) -> None:
    """Run the monitor process until SIGTERM or SIGINT: compact events, make the reports that are due, tell what they say.

    Where another one works in this home, it waits until that has ended.
    """
    from fairlead.app import monitor_of, open_alerts, open_stores
    from fairlead.monitor.notices import notice_alert
    from fairlead.monitor.process import run

    set_up_logs(config.log_format, "monitor")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported, which is after here
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with closing(open_alerts(config)) as alerts:
        watcher = monitor_of(config, open_stores(config), tell=lambda notice: alerts.tell(notice_alert(notice)))
        run(watcher, config.paths.run, stop)


def control(config: Config) -> None:
    """Run the control process until SIGTERM or SIGINT: bring tables and bundles to this machine, carry reports back."""
    from fairlead.app import open_alerts, open_stores
    from fairlead.console.wishes import fulfil
    from fairlead.rollout.controller import Controller
    from fairlead.rollout.notices import notice_alert
    from fairlead.serving.processes.delivery import Delivery

    set_up_logs(config.log_format, "control")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stores, paths = open_stores(config), config.paths
    delivery = Delivery(
        stores.database,
        stores.blobs,
        bundles=paths.bundles,
        table=paths.table,
        run=paths.run,
        tokens=paths.tokens,
        token_source=_token_source(),
    )
    alerts = open_alerts(config)
    controller = Controller(
        stores.database,
        paths.events if config.event_log else None,
        f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}",
        tell=lambda notice: alerts.tell(notice_alert(notice)),
    )
    with closing(alerts), closing(_console(config, stores)) as console, closing(controller):
        while not stop.wait(delivery.step()):
            console.look()
            fulfil(paths.run, stores.database, stores.blobs)
            controller.step()


def _console(config: Config, stores: Stores) -> ConsoleServer:
    from fairlead.console.server import ConsoleServer, ConsoleSettings

    def make_app(keyring: Keyring) -> ASGIApp:
        from fairlead.console.api import build_app
        from fairlead.console.exchange import Operator

        operator = Operator(
            stores.database,
            stores.blobs,
            lambda: service_status(config, stores),
            keyring,
            config.paths.events,
            config.paths.bundles,
            config.monitor,
        )
        return build_app(operator)

    settings = ConsoleSettings(
        host=config.console_host,
        port=config.console_port,
        allowed_hosts=config.hosts,
        tokens=config.paths.tokens,
        rates=config.paths.rates,
        limits=_limits(config),
    )
    return ConsoleServer(settings, make_app)


def deliver_here(config: Config, stores: Stores) -> None:
    """Bring what was deployed to this machine at once, so that a service that starts next needs no store.

    Only where the service of this home runs here, or may: with the database of its own that a laptop has.

    Raises:
        BundleError: A bundle is missing or corrupt.
        StorageError: A store or the disk refuses.
    """
    from fairlead.serving.processes.delivery import deliver

    deliver_tokens_here(config, stores)
    deliver(stores.database, stores.blobs, bundles=config.paths.bundles, table=config.paths.table)


def deliver_tokens_here(config: Config, stores: Stores) -> TokenSet:
    """Bring the tokens to this machine at once, as `deliver_here` does with what was deployed.

    Raises:
        Conflict: The database has lost its tokens.
        StorageError: The database or the disk refuses.
    """
    from fairlead.serving.processes.delivery import deliver_tokens

    return deliver_tokens(stores.database, _token_source(), config.paths.tokens)


def operator_url(config: Config) -> str | None:
    """Where the operator's API is; `None` where it is off, or no token could use it."""
    from fairlead.console.server import is_usable

    told = read_tokens(config.paths.tokens)
    usable = config.console_port and told is not None and is_usable(told)
    return f"{url(config.console_host, config.console_port)}/api" if usable else None


def _token_source() -> TokenSource:
    from fairlead.registry.tokens import token_set, token_stamp
    from fairlead.serving.processes.delivery import TokenSource

    return TokenSource(token_stamp, token_set)


def wait_for_gateways(config: Config, stores: Stores, revision: int, seconds: float) -> list[GatewayStatus]:
    """Wait until every live gateway and mounted endpoint, here and on other machines, serves a revision.

    Returns:
        Those that do; none where none is alive.

    Raises:
        Conflict: One could not load it, and goes on with what it has.
        Overloaded: They did not get there in time.
    """
    end = time.monotonic() + seconds
    while True:
        gateways = _gateways(config, stores)
        behind = [one for one in gateways if one.revision < revision]
        if not behind:
            return gateways
        for one in behind:
            if one.state == "failed" and one.seen >= revision:
                raise Conflict(
                    f"{one.name} cannot serve revision {revision} and goes on with {one.revision}: {one.detail}",
                    hint="Deploy the former version again, or mend what is said above.",
                )
        if time.monotonic() > end:
            raise Overloaded(
                f"{', '.join(one.name for one in behind)} did not serve revision {revision} within {seconds:g} s.",
                hint="`fairlead status` shows what each does.",
            )
        time.sleep(0.02)


def _gateways(config: Config, stores: Stores) -> list[GatewayStatus]:
    """The live gateways: this machine's as they say themselves, other machines' as they were reported to the database."""
    from fairlead.routing.store import live_gateways

    with stores.database.read() as connection:
        reports = live_gateways(connection, time.time() - _ALIVE_SECONDS)
    others = [
        # What a failed gateway has seen is not reported; it has failed at the newest revision there is.
        GatewayStatus(
            one.name, one.pid, one.revision, sys.maxsize, one.state, one.detail, one.time, role=role_of(one.name)
        )
        for one in reports
        if one.host != socket.gethostname()
    ]
    return [*read_statuses(config.paths.run), *others]


class ServedEndpoint(msgspec.Struct, frozen=True):
    """One variant of an endpoint, as the routing table has it.

    Attributes:
        name: The endpoint.
        variant: Its variant.
        model: The version that answers.
        weight: Percent of the traffic.
        road: How it answers; "?" where its bundle is not on this machine.
    """

    name: str
    variant: str
    model: str
    weight: float
    road: str


class ServiceStatus(msgspec.Struct, frozen=True):
    """What is deployed, what the live gateways do with it, and the rollouts that are under way."""

    revision: int
    endpoints: tuple[ServedEndpoint, ...]
    gateways: tuple[GatewayStatus, ...]
    rollouts: tuple[Summary, ...] = ()


def service_status(config: Config, stores: Stores) -> ServiceStatus:
    """What is deployed, and what the live gateways do with it.

    Raises:
        StorageError: The database cannot be read.
    """
    from fairlead.rollout.store import active_rollouts
    from fairlead.rollout.summary import summarize
    from fairlead.routing.store import read_table

    with stores.database.read() as connection:
        table = read_table(connection)
        rollouts = tuple(summarize(connection, one) for one in active_rollouts(connection))
    endpoints = tuple(
        ServedEndpoint(endpoint.name, one.name, one.model, one.slots * 100 / SLOTS, _road(config, one.digest))
        for endpoint in table.endpoints
        for one in endpoint.variants
    )
    return ServiceStatus(table.revision, endpoints, tuple(_gateways(config, stores)), rollouts)


def _road(config: Config, digest: str) -> str:
    with suppress(FairleadError):
        return road_of(config.paths.bundles / digest)
    return "?"


def gateway_settings(config: Config, name: str, port: int) -> Settings:
    """What one gateway process is told."""
    paths = config.paths
    return Settings(
        name=name,
        host=config.host,
        port=port,
        table=paths.table,
        bundles=paths.bundles,
        run=paths.run,
        events=paths.events if config.event_log else None,
        segment_bytes=config.event_segment_bytes,
        max_rows=config.max_rows,
        request_deadline=config.request_deadline,
        worker_timeout=config.worker_timeout,
        drain=config.drain,
        limits=_limits(config),
        tokens=paths.tokens,
        rates=paths.rates,
        allowed_hosts=config.hosts,
        trusted_proxies=config.proxies,
        invocations=config.invocations,
        access_log=config.access_log if config.access_log in {OFF, STDOUT} else str(paths.home / config.access_log),
        log_format=config.log_format,
        max_in_flight=config.max_in_flight,
        grpc_port=config.grpc_port,
    )


def _limits(config: Config) -> Limits:
    return Limits(
        max_body=config.max_body,
        header_timeout=config.header_timeout,
        body_timeout=config.body_timeout,
        idle_timeout=config.idle_timeout,
        write_timeout=config.write_timeout,
        max_connections=config.max_connections,
        max_buffered=config.max_buffered,
    )


def worker_command(config: Config, digest: str, *, shadow: bool = False) -> list[str]:
    """How the worker of a bundle is started, or the process in which it is asked as a shadow."""
    from fairlead.predictor import launch
    from fairlead.predictor.worker import shadow_path, socket_path

    paths = config.paths
    path = shadow_path(paths.run, digest) if shadow else socket_path(paths.run, digest)
    return launch.worker_command(
        paths.bundles / digest,
        digest,
        path,
        memory=config.worker_memory,
        seconds=config.worker_timeout,
        shadow=shadow,
    )


def url(host: str, port: int) -> str:
    """The address for a person on this machine."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared, not bound
    return f"http://{shown}:{port}"


def _wait_until_ready(supervisor: Supervisor, gateways: int, until: Callable[[], bool]) -> None:
    end = time.monotonic() + _READY_SECONDS
    supervisor.keep(lambda: until() or supervisor.ready(gateways) or time.monotonic() > end)
    if not supervisor.stopping and not until() and not supervisor.ready(gateways):
        raise Overloaded(
            f"The gateways did not become ready within {_READY_SECONDS:g} s.", hint="The lines above say why."
        )


def _check_tokens(config: Config) -> None:
    """Know who may ask before a port opens.

    The tokens' file says it, and a start needs no database; where there is no file yet, the database is asked once.
    """
    alone = is_loopback(config.host)
    told = _tokens_here(config, enough=lambda told: alone or bool(told.tokens))
    if not alone and not told.tokens:
        raise Forbidden(
            f"On {config.host} everybody who can reach this machine could ask the models: there is no token.",
            hint="`fairlead token create NAME --scope predict` makes one; callers then show it.",
        )


def _check_console(config: Config) -> None:
    """The same for the operator's port.

    The control process does not look again: it opens the port when a token could use it, and must bring a routing table here
    even when the last one was revoked meanwhile.
    """
    from fairlead.console.server import is_usable

    if not config.console_port or is_loopback(config.console_host):
        return
    if not is_usable(_tokens_here(config, enough=is_usable)):
        raise Forbidden(
            f"On {config.console_host} everybody who can reach this machine could try the operator's API: there is no token "
            "that may use it.",
            hint="`fairlead token create NAME --scope admin` makes one; or leave console_host at 127.0.0.1.",
        )


def _tokens_here(config: Config, *, enough: Callable[[TokenSet], bool]) -> TokenSet:
    """The tokens by their file; by the database where the file is missing or does not do."""
    told = read_tokens(config.paths.tokens)
    if told is not None and enough(told):
        return told
    from fairlead.app import open_stores

    return deliver_tokens_here(config, open_stores(config))


def _check_grpc(config: Config) -> None:
    if config.grpc_port is None:
        return
    if find_spec("grpc") is None or find_spec("google.protobuf") is None:
        raise InvalidInput(
            f"The port {config.grpc_port} is to speak gRPC, which is not installed.",
            hint="pip install 'fairlead[grpc]'",
        )
    if config.grpc_port == config.port:
        raise InvalidInput(f"HTTP and gRPC cannot share the port {config.port}.", hint="Choose another --grpc-port.")


def _check_alerts(config: Config) -> None:
    """Know before a port opens that nobody waits for alerts in vain."""
    if config.alert_webhook or config.alert_urls:
        from fairlead.app import open_alerts

        open_alerts(config)


def _reserve(host: str, port: int, *, shared: bool) -> socket.socket:
    """Hold the port without listening, so that it is ours and every gateway can join.

    Args:
        host: The address.
        port: 0 takes a free one.
        shared: Whether gateways of a former start still listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        probe.bind((host, port))
        if not shared:
            taken = probe.getsockname()[1]
            probe.close()
            return _reserve(host, taken, shared=True)
    except OSError as err:
        probe.close()
        raise Conflict(
            f"The address {host}:{port} cannot be used: {err.strerror}.",
            hint="Something else may listen there; choose another with --port or --grpc-port.",
        ) from err
    return probe
