"""The operator's port: the fast lane once more, with a gate that lets nobody in without a token.

It runs in a thread of the control process, with an event loop of its own, so that neither holds up the other: delivery goes
on whatever the operator asks. The port stays closed as long as no token could use it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from loguru import logger

from fairlead.console.api import operator_need
from fairlead.errors import FairleadError
from fairlead.serving.http.asgi import ASGIApp, Bridge
from fairlead.serving.http.lane import Lane
from fairlead.serving.http.request import Limits
from fairlead.serving.keys.gate import Gate, Hosts
from fairlead.serving.keys.keyring import Keyring
from fairlead.serving.keys.tokens_file import read_tokens
from fairlead.storage.replaced import fingerprint
from fairlead.tokens import TokenSet

__all__ = ["ConsoleServer", "ConsoleSettings", "is_usable"]

_LOOK_SECONDS = 0.2
_RETRY_SECONDS = 5.0
_STOP_SECONDS = 5.0


class ConsoleSettings(msgspec.Struct, frozen=True):
    """What the operator's port is told.

    Attributes:
        host: The address to listen on.
        port: The port; 0 opens none.
        allowed_hosts: What it may be called beside its address.
        tokens: The tokens' file.
        rates: The file in which requests are counted, shared with the gateways.
        limits: What a client may do.
    """

    host: str
    port: int
    allowed_hosts: tuple[str, ...]
    tokens: Path
    rates: Path
    limits: Limits


def is_usable(tokens: TokenSet) -> bool:
    """Whether a token could use the operator's port."""
    return any(token.allows(scope) for token in tokens.tokens for scope in ("read", "deploy"))


class ConsoleServer:
    """Opens the operator's port as soon as a token could use it.

    Args:
        settings: Where, and who may.
        make_app: Makes the API.
    """

    def __init__(self, settings: ConsoleSettings, make_app: Callable[[Keyring], ASGIApp]) -> None:
        self._settings = settings
        self._make_app = make_app
        self._thread: threading.Thread | None = None
        self._fingerprint: tuple[int, int, int] | None = None
        self._retry_at = 0.0
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def look(self) -> None:
        """Open the port if a token could use it now; called again and again."""
        if self._thread is not None or not self._settings.port or time.monotonic() < self._retry_at:
            return
        found = fingerprint(self._settings.tokens)
        if found is None or found == self._fingerprint:
            return
        with suppress(FairleadError):
            told = read_tokens(self._settings.tokens)
            if told is not None and is_usable(told):
                self._open()
                return
        self._fingerprint = found

    def close(self) -> None:
        """Let requests in flight finish, and close the port."""
        if self._thread is None:
            return
        while self._loop is None and self._thread.is_alive():
            time.sleep(0.01)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2 * _STOP_SECONDS)

    def _open(self) -> None:
        """Listen, or try again later: a port that is taken must not end the control process."""
        host, port = self._settings.host, self._settings.port
        try:
            listener = _listen(host, port)
        except OSError as err:
            logger.error("The operator's port {port} cannot be used: {error}", port=port, error=err.strerror)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return
        self._thread = threading.Thread(target=self._run, args=(listener,), name="console", daemon=True)
        self._thread.start()
        logger.info("The operator's API listens on port {port}.", port=listener.getsockname()[1])

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except Exception:  # noqa: BLE001 - nobody awaits this thread
            logger.exception("The operator's port failed.")

    async def _serve(self, listener: socket.socket) -> None:
        settings = self._settings
        keyring = Keyring(settings.tokens, settings.rates)
        keyring.look()
        lane = Lane(settings.limits)
        lane.tick()
        lane.gate = Gate(
            keyring, Hosts(settings.host, listener.getsockname()[1], settings.allowed_hosts), operator_need
        )
        lane.fallback = Bridge(lambda: self._make_app(keyring)).handle
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lane.connection, sock=listener)
        tasks = [asyncio.create_task(lane.sweep()), asyncio.create_task(_follow(keyring))]
        self._loop = loop
        await self._stop.wait()
        server.close()
        await lane.drain(_STOP_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(keyring: Keyring) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        keyring.look()


def _listen(host: str, port: int) -> socket.socket:
    """A socket of our own: unlike the gateways' port, this one is shared with nobody."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
    listener.listen()  # now: who was told that the port is open may come before the loop has started
    return listener
