"""Runs the real service for tests, and puts bounded load on it. Everything listens on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sharing import free_port

CLI = [sys.executable, "-m", "fairlead.cli.main"]


def cli(home: Path, *arguments: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*CLI, "--home", str(home), *arguments], capture_output=True, text=True, timeout=120, check=False, **options
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


@dataclass
class Service:
    """`fairlead serve` as a process."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "serve.log").read_text()

    def wait_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as reply:
                if reply.status == 200:
                    return
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log}")

    def pids(self, role: str = "") -> dict[str, int]:
        found = json.loads((self.home / "run" / "processes.json").read_text())
        return {one["role"]: one["pid"] for one in found if one["role"].startswith(role) and alive(one["pid"])}

    def wait_for(self, what, seconds: float = 30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                if found := what():
                    return found
            time.sleep(0.05)
        raise AssertionError(f"it did not happen in {seconds} s: {self.log}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill_all(self) -> None:
        """The whole tree at once, as a crash of the machine would."""
        pids = [self.process.pid, *self.pids().values()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def start(home: Path, *options: str, port: int | None = None, workers: int = 1, **popen) -> Service:
    port = port or free_port()
    with (home / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [*CLI, "--home", str(home), "serve", "--port", str(port), "--workers", str(workers), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **popen,
        )
    return Service(home, port, process)


@contextlib.contextmanager
def serving(home: Path, *options: str, **more) -> Iterator[Service]:
    service = start(home, *options, **more)
    try:
        service.wait_ready()
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
        for pid in service.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def at(port: int, data: bytes) -> bytes:
    """A request as it is written in a test, addressed to the service on this port."""
    return re.sub(rb"\r\n([Hh]ost): x\r\n", b"\r\n\\1: 127.0.0.1:%d\r\n" % port, data)


def exchange(port: int, data: bytes, *, timeout: float = 10, half_close: bool = False) -> bytes:
    """Send raw bytes; return everything that comes back until the other side closes, or an answer is whole.

    `host: x` in them stands for the service's own address.
    """
    data = at(port, data)
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
                head, _, body = received.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if length and len(body) >= int(length[0].split(b":")[1]):
                    break
        return received


def post(
    port: int,
    path: str,
    body: bytes,
    content_type: str | None = "application/json",
    method: str = "POST",
    timeout: float = 30,
) -> tuple[int, dict[str, str], bytes]:
    kind = f"content-type: {content_type}\r\n" if content_type else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{kind}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    received = exchange(port, head.encode() + body, timeout=timeout)
    top, _, content = received.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, content


@dataclass
class Load:
    """What came back: for each answer, the row that was asked and the answer; and what failed."""

    answers: list[tuple[int, dict]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


IDLE_SECONDS = 0.4
"""A gateway that stops closes connections that have been idle for half a second."""


async def load(port: int, rows: Sequence[bytes], connections: int, stop: asyncio.Event, path: str, found: Load) -> None:
    """Ask on several kept-alive connections until `stop` is set; a lost connection is opened again and counted.

    One that we ourselves have left idle for long, because this machine was busy, may be closed by who stops: a client opens it again
    (RFC 9112, section 9.5), and so do we.
    """

    async def one(offset: int) -> None:
        number, streams, heard, idle = offset, None, 0.0, 0.0
        while not stop.is_set():
            number = (number + connections) % len(rows)
            body = rows[number]
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", port)
                    heard = time.monotonic()
                reader, writer = streams
                idle = time.monotonic() - heard
                writer.write(
                    b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (path.encode(), port, len(body), body)
                )
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                content = await asyncio.wait_for(reader.readexactly(length), 10)
                if b" 200 " in head.split(b"\r\n")[0]:
                    found.answers.append((number, json.loads(content)))
                else:
                    found.failures.append(content.decode())
                heard = time.monotonic()
                if b"connection: close" in head.lower():
                    writer.close()
                    streams = None
            except (OSError, EOFError, TimeoutError) as err:
                if idle < IDLE_SECONDS:
                    found.failures.append(repr(err))
                if streams is not None:
                    streams[1].close()
                streams = None
                await asyncio.sleep(0.02)
        if streams is not None:
            streams[1].close()

    await asyncio.gather(*(one(offset) for offset in range(connections)))


class Background:
    """Load from a thread of its own while the test does something else."""

    def __init__(
        self, port: int, rows: Sequence[bytes], *, connections: int = 16, path: str = "/predict/flights"
    ) -> None:
        import threading

        self.found = Load()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(load(port, rows, connections, self._stop, path, self.found),)
        )

    def __enter__(self) -> Load:
        self._thread.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()
