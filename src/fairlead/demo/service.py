"""The demo's service: `fairlead serve` as a process of its own, as a user would start it.

It runs in a session of its own, so that Ctrl-C reaches the demo alone and the demo stops the service in good order.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fairlead.errors import Conflict, StorageError

__all__ = ["free_port", "serving"]

_START_SECONDS = 60.0
_STOP_SECONDS = 45.0
"""Longer than the service takes to let its requests finish."""
_TRIED_PORTS = 20


def free_port(host: str, port: int) -> int:
    """`port` if nothing listens there, else the next one that is free.

    Raises:
        Conflict: None of the next twenty is.
    """
    for candidate in range(port, min(port + _TRIED_PORTS, 65536)):
        if _is_free(host, candidate):
            return candidate
    raise Conflict(
        f"Ports {port} to {port + _TRIED_PORTS - 1} on {host} are taken.", hint="Choose another with --port.", port=port
    )


def _is_free(host: str, port: int) -> bool:
    # A listener that allows others beside it (SO_REUSEPORT) is noticed only by knocking.
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
        return False
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def serving(home: Path, host: str, port: int) -> Iterator[Path]:
    """Run `fairlead serve` while the block runs; it answers when the block begins.

    Yields:
        The file that holds what it says.

    Raises:
        StorageError: It ended, or did not become ready in a minute; the last lines of what it said are in the message.
    """
    log = home / "demo" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "fairlead.cli.main",
        "--home",
        str(home),
        "serve",
        "--host",
        host,
        "--port",
        str(port),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  our own program with our own arguments
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _await_ready(process, host, port, log)
        yield log
    finally:
        _stop(process)


def _await_ready(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _ready(host, port):
            return
        time.sleep(0.05)
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
    raise StorageError(f"The service did not become ready: {tail or 'it said nothing'}.", hint=f"See {log}.")


def _ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Its session holds nothing but the service's own processes.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
